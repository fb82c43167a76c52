//! Reads TOML tables key by key, and collects all mistakes with their lines instead of stopping at the first.

use std::ops::Range;
use std::path::Path;

use chatark_core::{Error, ErrorKind};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A mistake in the config. Its line is never shown, because it may contain an API key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mistake {
    pub(crate) line: usize,
    pub(crate) key: String,
    pub(crate) message: String,
}

/// The mistakes of one file.
#[derive(Debug)]
pub(crate) struct Mistakes<'t> {
    text: &'t str,
    found: Vec<Mistake>,
}

/// One table of the config. Its keys are taken one by one; every key that remains is a mistake.
#[derive(Debug)]
pub(crate) struct Section<'t> {
    /// The name of the table in messages, such as `source[2]`.
    name: String,
    /// The offset of the table in the file, in bytes.
    offset: usize,
    /// The entries that have not been taken yet: key, place of the key in the file, and value.
    remaining: Vec<(&'t str, Range<usize>, &'t Spanned<DeValue<'t>>)>,
    /// The keys that were asked for.
    known: Vec<&'static str>,
}

impl<'t> Mistakes<'t> {
    pub(crate) fn new(text: &'t str) -> Self {
        Self { text, found: Vec::new() }
    }

    pub(crate) fn add(&mut self, offset: usize, key: impl Into<String>, message: impl Into<String>) {
        self.found.push(Mistake { line: self.line(offset), key: key.into(), message: message.into() });
    }

    /// Adds a syntax error, named after the key at the start of its line.
    pub(crate) fn add_syntax(&mut self, error: &toml::de::Error) {
        let offset = error.span().map_or(0, |span| span.start).min(self.text.len());
        let start = self.text[..offset].rfind('\n').map_or(0, |newline| newline + 1);
        let key: String = self.text[start..]
            .trim_start()
            .chars()
            .take_while(|letter| letter.is_ascii_alphanumeric() || "_-".contains(*letter))
            .collect();
        // The parser's message may quote the line; only its first clause is safe to show.
        let message = error.message().split([':', '`', '"']).next().unwrap_or_default().trim().to_owned();
        self.add(offset, key, format!("is not valid TOML ({message})"));
    }

    /// Returns how many mistakes have been found so far.
    pub(crate) fn count(&self) -> usize {
        self.found.len()
    }

    /// Returns whether a mistake was found at a key.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.found.iter().any(|mistake| mistake.key == key)
    }

    /// Returns whether a mistake was found inside a table.
    pub(crate) fn has_within(&self, table: &str) -> bool {
        self.found.iter().any(|mistake| mistake.key.starts_with(table))
    }

    /// Returns one error for all mistakes, or `None` if there are none.
    pub(crate) fn into_error(mut self, path: &Path) -> Option<ConfigError> {
        if self.found.is_empty() {
            return None;
        }
        self.found.sort_by_key(|mistake| mistake.line);
        Some(ConfigError { path: path.display().to_string(), mistakes: self.found })
    }

    fn line(&self, offset: usize) -> usize {
        let before = self.text.get(..offset).unwrap_or(self.text);
        before.matches('\n').count() + 1
    }
}

/// All mistakes of a config.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ConfigError {
    pub(crate) path: String,
    pub(crate) mistakes: Vec<Mistake>,
}

impl ConfigError {
    /// Returns one line per mistake: file, line number, key and what is wrong.
    pub(crate) fn lines(&self) -> Vec<String> {
        let line = |mistake: &Mistake| {
            let Mistake { line, key, message } = mistake;
            if key.is_empty() {
                format!("{}:{line}: {message}", self.path)
            } else {
                format!("{}:{line}: `{key}` {message}", self.path)
            }
        };
        self.mistakes.iter().map(line).collect()
    }

    /// Returns the error that ends the command.
    pub(crate) fn error(&self) -> Error {
        let number = self.mistakes.len();
        let mistakes = if number == 1 { "mistake" } else { "mistakes" };
        Error::new(ErrorKind::Usage, "read the config", format!("{number} {mistakes} in {}", self.path))
            .hint("`chatark init` writes a commented example")
    }
}

impl<'t> Section<'t> {
    pub(crate) fn new(name: impl Into<String>, table: &'t DeTable<'t>, offset: usize) -> Self {
        let remaining =
            table.iter().map(|(key, value)| (key.get_ref().as_ref(), key.span(), value)).collect();
        Self { name: name.into(), offset, remaining, known: Vec::new() }
    }

    /// Returns the offset of the table in the file.
    pub(crate) fn offset(&self) -> usize {
        self.offset
    }

    /// Returns the full name of a key, for messages.
    pub(crate) fn path(&self, key: &str) -> String {
        if self.name.is_empty() { key.to_owned() } else { format!("{}.{key}", self.name) }
    }

    /// Takes a value of any type.
    pub(crate) fn take(&mut self, key: &'static str) -> Option<&'t Spanned<DeValue<'t>>> {
        self.known.push(key);
        let at = self.remaining.iter().position(|(name, ..)| *name == key)?;
        Some(self.remaining.remove(at).2)
    }

    /// Takes a string and its offset in the file.
    pub(crate) fn text(
        &mut self,
        key: &'static str,
        mistakes: &mut Mistakes<'_>,
    ) -> Option<(&'t str, usize)> {
        let value = self.take(key)?;
        let text = value.get_ref().as_str();
        if text.is_none() {
            mistakes.add(
                value.span().start,
                self.path(key),
                format!("must be a string, not {}", type_name(value)),
            );
        }
        Some((text?, value.span().start))
    }

    /// Takes a list of strings with their offsets in the file.
    pub(crate) fn texts(
        &mut self,
        key: &'static str,
        mistakes: &mut Mistakes<'_>,
    ) -> Option<Vec<(&'t str, usize)>> {
        let value = self.take(key)?;
        let list = value.get_ref().as_array();
        let texts: Option<Vec<_>> = list.and_then(|list| {
            list.iter().map(|item| Some((item.get_ref().as_str()?, item.span().start))).collect()
        });
        if texts.is_none() {
            mistakes.add(value.span().start, self.path(key), "must be a list of strings");
        }
        texts
    }

    /// Takes a boolean.
    pub(crate) fn boolean(&mut self, key: &'static str, mistakes: &mut Mistakes<'_>) -> Option<bool> {
        let value = self.take(key)?;
        let boolean = value.get_ref().as_bool();
        if boolean.is_none() {
            mistakes.add(value.span().start, self.path(key), "must be `true` or `false`");
        }
        boolean
    }

    /// Takes a whole number within bounds.
    pub(crate) fn number(
        &mut self,
        key: &'static str,
        bounds: std::ops::RangeInclusive<u32>,
        mistakes: &mut Mistakes<'_>,
    ) -> Option<u32> {
        let value = self.take(key)?;
        let number = value
            .get_ref()
            .as_integer()
            .and_then(|number| u32::from_str_radix(&number.as_str().replace('_', ""), number.radix()).ok());
        let inside = number.filter(|number| bounds.contains(number));
        if inside.is_none() {
            let message = format!("must be a whole number from {} to {}", bounds.start(), bounds.end());
            mistakes.add(value.span().start, self.path(key), message);
        }
        inside
    }

    /// Takes a table.
    pub(crate) fn table(&mut self, key: &'static str, mistakes: &mut Mistakes<'_>) -> Option<Self> {
        let value = self.take(key)?;
        let name = self.path(key);
        let Some(table) = value.get_ref().as_table() else {
            mistakes.add(value.span().start, name, format!("must be a table, not {}", type_name(value)));
            return None;
        };
        Some(Section::new(name, table, value.span().start))
    }

    /// Reports every key that was not taken as unknown.
    pub(crate) fn finish(self, mistakes: &mut Mistakes<'_>) {
        for (key, span, _) in &self.remaining {
            let near = self.known.iter().max_by(|one, other| {
                strsim::jaro_winkler(one, key).total_cmp(&strsim::jaro_winkler(other, key))
            });
            let message = match near.filter(|near| strsim::jaro_winkler(near, key) > 0.8) {
                Some(near) => format!("is not a known key; did you mean `{near}`?"),
                None => format!("is not a known key; known are `{}`", self.known.join("`, `")),
            };
            mistakes.add(span.start, self.path(key), message);
        }
    }
}

/// Returns the type of a value in words.
pub(crate) fn type_name(value: &Spanned<DeValue<'_>>) -> &'static str {
    match value.get_ref() {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
