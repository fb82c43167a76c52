//! The config file: finds it, reads it, and reports all mistakes in one pass, each with its line and key.

mod section;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chatark_core::{ChangeDetection, Descriptor, Error, ErrorKind, Result, Setting, Settings, SourceName};
use chatark_engine::{DriftPolicy, RefreshPolicy};
use chatark_formats::Format;
use chatark_http::Policy;
use toml::de::{DeTable, DeValue};

pub(crate) use section::ConfigError;
use section::{Mistakes, Section, type_name};

use crate::key::KeyLocation;
use crate::registry::{self, ProviderEntry};

/// The example that `init` writes.
pub(crate) const EXAMPLE: &str = include_str!("../../../../config.example.toml");

/// The default look-back window of vendors that do not show changes.
const LOOK_BACK_DAYS: u32 = 30;
const MAX_DAYS: u32 = 3_650;

/// A config without mistakes.
pub(crate) struct Config {
    pub(crate) path: PathBuf,
    pub(crate) archive: PathBuf,
    pub(crate) output: Output,
    pub(crate) policy: Policy,
    pub(crate) sources: Vec<SourceConfig>,
}

/// Where an export writes its files, and in which formats.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Output {
    pub(crate) folder: PathBuf,
    pub(crate) formats: Vec<Format>,
    pub(crate) csv_bom: bool,
    pub(crate) csv_safe: bool,
}

/// The config of one source.
pub(crate) struct SourceConfig {
    pub(crate) name: SourceName,
    pub(crate) provider: &'static ProviderEntry,
    pub(crate) settings: Settings,
    pub(crate) key: KeyLocation,
    pub(crate) refresh: RefreshPolicy,
    pub(crate) drift: DriftPolicy,
    /// Whether the vendor's separate lists of people are pulled too.
    pub(crate) contacts: bool,
}

/// Why the config could not be loaded.
pub(crate) enum LoadError {
    /// It could not be found or opened.
    Unreadable(Error),
    /// It has mistakes.
    Mistakes(ConfigError),
}

/// Finds the config: `--config`, `$CHATARK_CONFIG`, `./config.toml`, or the user's config folder, in this order.
pub(crate) fn find(flag: Option<&Path>) -> Result<PathBuf> {
    // The command line parser has already read `$CHATARK_CONFIG` into the flag.
    if let Some(path) = flag {
        return Ok(path.to_owned());
    }
    let home = std::env::var_os("HOME").map(|home| Path::new(&home).join(".config"));
    let config_folder = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from).or(home);
    let places =
        [Some(PathBuf::from("config.toml")), config_folder.map(|folder| folder.join("chatark/config.toml"))];
    let mut searched = Vec::new();
    for place in places.into_iter().flatten() {
        if place.exists() {
            return Ok(place);
        }
        searched.push(format!("`{}`", place.display()));
    }
    Err(Error::new(
        ErrorKind::Usage,
        "find the config",
        format!("no config file at {}", searched.join(" or ")),
    )
    .hint("run `chatark init` to write one, or `chatark demo` to try Chatark without an account"))
}

/// Reads and checks a config.
pub(crate) fn load(path: &Path) -> Result<Config, LoadError> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        let hint = "run `chatark init` to write one, or name another with `--config`";
        LoadError::Unreadable(
            Error::new(ErrorKind::Usage, "read the config", error).with("path", path.display()).hint(hint),
        )
    })?;
    parse(&text, path).map_err(LoadError::Mistakes)
}

fn parse(text: &str, path: &Path) -> Result<Config, ConfigError> {
    let (root, errors) = DeTable::parse_recoverable(text);
    let mut mistakes = Mistakes::new(text);
    for error in &errors {
        mistakes.add_syntax(error);
    }
    // A key that seems to be missing may be on a line that could not be parsed.
    let fully_parsed = errors.is_empty();
    let folder = path.parent().unwrap_or(Path::new("")).to_owned();
    let mut section = Section::new("", root.get_ref(), 0);
    let archive = section.text("archive", &mut mistakes).map_or("chatark.db", |(path, _)| path);
    let output = read_output(section.table("output", &mut mistakes), &folder, &mut mistakes);
    let policy = read_policy(section.table("network", &mut mistakes), &mut mistakes);
    let sources = read_sources(&mut section, &folder, fully_parsed, &mut mistakes);
    section.finish(&mut mistakes);
    match mistakes.into_error(path) {
        Some(error) => Err(error),
        None => Ok(Config { path: path.to_owned(), archive: folder.join(archive), output, policy, sources }),
    }
}

fn read_output(section: Option<Section<'_>>, folder: &Path, mistakes: &mut Mistakes<'_>) -> Output {
    let mut output = Output {
        folder: folder.join("export"),
        formats: Format::ALL.to_vec(),
        csv_bom: false,
        csv_safe: false,
    };
    let Some(mut section) = section else { return output };
    if let Some((path, _)) = section.text("dir", mistakes) {
        output.folder = folder.join(path);
    }
    if let Some(names) = section.texts("formats", mistakes) {
        output.formats.clear();
        for (name, at) in names {
            match Format::from_word(name) {
                Some(format) => output.formats.push(format),
                None => mistakes.add(at, section.path("formats"), "must be one of `json`, `jsonl`, `csv`"),
            }
        }
    }
    output.csv_bom = section.boolean("csv_bom", mistakes).unwrap_or(false);
    output.csv_safe = section.boolean("csv_safe", mistakes).unwrap_or(false);
    section.finish(mistakes);
    output
}

fn read_policy(section: Option<Section<'_>>, mistakes: &mut Mistakes<'_>) -> Policy {
    let mut policy = Policy::default();
    let Some(mut section) = section else { return policy };
    if let Some(attempts) = section.number("attempts", 1..=100, mistakes) {
        policy.max_attempts = attempts;
    }
    if let Some(milliseconds) = section.number("backoff_milliseconds", 1..=60_000, mistakes) {
        policy.backoff = Duration::from_millis(milliseconds.into());
    }
    if let Some(seconds) = section.number("timeout_seconds", 1..=3_600, mistakes) {
        policy.timeout = Duration::from_secs(seconds.into());
    }
    if let Some(seconds) = section.number("settle_seconds", 0..=3_600, mistakes) {
        policy.late_effect_wait = Duration::from_secs(seconds.into());
    }
    if let Some(seconds) = section.number("max_wait_seconds", 0..=86_400, mistakes) {
        policy.max_wait = Duration::from_secs(seconds.into());
    }
    section.finish(mistakes);
    policy
}

fn read_sources(
    section: &mut Section<'_>,
    folder: &Path,
    fully_parsed: bool,
    mistakes: &mut Mistakes<'_>,
) -> Vec<SourceConfig> {
    let Some(value) = section.take("source") else {
        if fully_parsed {
            mistakes.add(0, "source", "is missing: add a `[[source]]` table");
        }
        return Vec::new();
    };
    let Some(list) = value.get_ref().as_array() else {
        let message = format!("must be written as `[[source]]`, not as {}", type_name(value));
        mistakes.add(value.span().start, "source", message);
        return Vec::new();
    };
    let mut names = HashMap::new();
    let mut sources = Vec::new();
    for (at, item) in list.iter().enumerate() {
        let label = format!("source[{}]", at + 1);
        let Some(table) = item.get_ref().as_table() else {
            mistakes.add(item.span().start, label, "must be a table");
            continue;
        };
        let section = Section::new(label, table, item.span().start);
        sources.extend(read_source(section, folder, fully_parsed, &mut names, mistakes));
    }
    sources
}

/// Reads one source: its name and key, its provider, and the settings that the provider declares.
fn read_source(
    mut section: Section<'_>,
    folder: &Path,
    fully_parsed: bool,
    names: &mut HashMap<String, usize>,
    mistakes: &mut Mistakes<'_>,
) -> Option<SourceConfig> {
    let name = read_name(&mut section, fully_parsed, names, mistakes);
    let key = read_key(&mut section, folder, fully_parsed, mistakes);
    let provider = read_provider(&mut section, fully_parsed, mistakes)?;
    let mut settings = Settings::default();
    let before = mistakes.count();
    for setting in provider.descriptor.settings {
        read_setting(setting, &mut section, &mut settings, fully_parsed, mistakes);
    }
    if mistakes.count() == before && fully_parsed {
        for problem in (provider.validate)(&settings) {
            mistakes.add(section.offset(), section.path(problem.key), problem.message);
        }
    }
    let refresh = read_refresh(provider.descriptor, &mut section, mistakes);
    let drift = read_drift(&mut section, mistakes);
    let contacts = read_contacts(provider.descriptor, &mut section, mistakes);
    section.finish(mistakes);
    Some(SourceConfig { name: name?, provider, settings, key: key?, refresh, drift, contacts })
}

/// Reads whether the vendor's lists of people are pulled. Only vendors with such lists have this config key.
fn read_contacts(descriptor: &Descriptor, section: &mut Section<'_>, mistakes: &mut Mistakes<'_>) -> bool {
    descriptor.contact_streams().next().is_some() && section.boolean("contacts", mistakes).unwrap_or(false)
}

fn read_drift(section: &mut Section<'_>, mistakes: &mut Mistakes<'_>) -> DriftPolicy {
    let Some((word, at)) = section.text("drift", mistakes) else { return DriftPolicy::default() };
    DriftPolicy::from_word(word).unwrap_or_else(|| {
        let words = DriftPolicy::WORDS.join("`, `");
        mistakes.add(at, section.path("drift"), format!("must be one of `{words}`"));
        DriftPolicy::default()
    })
}

/// Reads the interval of full sweeps and the length of the look-back window. Only vendors that do not show every change
/// have a look-back window.
fn read_refresh(
    descriptor: &Descriptor,
    section: &mut Section<'_>,
    mistakes: &mut Mistakes<'_>,
) -> RefreshPolicy {
    let full_sweep_days = section.number("full_sweep_days", 0..=MAX_DAYS, mistakes);
    let look_back_days = match descriptor.main_stream().changes {
        ChangeDetection::LookBack | ChangeDetection::ListRows => {
            section.number("look_back_days", 1..=MAX_DAYS, mistakes)
        }
        _ => None,
    };
    RefreshPolicy {
        full_sweep_days: full_sweep_days.unwrap_or(descriptor.full_sweep_days),
        look_back_days: look_back_days.unwrap_or(LOOK_BACK_DAYS),
    }
}

fn read_name(
    section: &mut Section<'_>,
    fully_parsed: bool,
    names: &mut HashMap<String, usize>,
    mistakes: &mut Mistakes<'_>,
) -> Option<SourceName> {
    let Some((text, at)) = section.text("name", mistakes) else {
        add_missing("name", section, fully_parsed, mistakes);
        return None;
    };
    match SourceName::new(text) {
        Ok(name) if names.insert(text.to_owned(), at).is_none() => Some(name),
        Ok(_) => {
            mistakes.add(at, section.path("name"), "is also the name of another source");
            None
        }
        Err(error) => {
            mistakes.add(at, section.path("name"), format!("is not a valid name: {}", error.message()));
            None
        }
    }
}

fn read_provider(
    section: &mut Section<'_>,
    fully_parsed: bool,
    mistakes: &mut Mistakes<'_>,
) -> Option<&'static ProviderEntry> {
    let Some((text, at)) = section.text("provider", mistakes) else {
        add_missing("provider", section, fully_parsed, mistakes);
        return None;
    };
    let entry = registry::find(text);
    if entry.is_none() {
        mistakes.add(at, section.path("provider"), format!("must be one of {}", registry::names()));
    }
    entry
}

fn read_setting(
    setting: &'static Setting,
    section: &mut Section<'_>,
    settings: &mut Settings,
    fully_parsed: bool,
    mistakes: &mut Mistakes<'_>,
) {
    match section.text(setting.key, mistakes) {
        Some((text, at)) => match setting.check(text) {
            Ok(()) => settings.set(setting.key, text),
            Err(message) => mistakes.add(at, section.path(setting.key), message),
        },
        None if setting.required => add_missing(setting.key, section, fully_parsed, mistakes),
        None => {}
    }
}

fn add_missing(key: &'static str, section: &Section<'_>, fully_parsed: bool, mistakes: &mut Mistakes<'_>) {
    if fully_parsed && !mistakes.has(&section.path(key)) {
        mistakes.add(section.offset(), section.path(key), "is missing");
    }
}

const KEY_FORMS: &str = "{ env = \"NAME\" }, { file = \"PATH\" } or { command = [\"PROGRAM\", …] }";

/// Reads where the API key comes from. A key in the config itself is a mistake, and the message does not repeat it.
fn read_key(
    section: &mut Section<'_>,
    folder: &Path,
    fully_parsed: bool,
    mistakes: &mut Mistakes<'_>,
) -> Option<KeyLocation> {
    let path = section.path("api_key");
    let Some(value) = section.take("api_key") else {
        if fully_parsed {
            mistakes.add(section.offset(), path, format!("is missing: write {KEY_FORMS}"));
        }
        return None;
    };
    let at = value.span().start;
    let table = match value.get_ref() {
        DeValue::Table(table) => table,
        DeValue::String(_) => {
            mistakes.add(at, path, format!("must not be written into the file: write {KEY_FORMS}"));
            return None;
        }
        _ => {
            mistakes.add(at, path, format!("must be {KEY_FORMS}"));
            return None;
        }
    };
    let mut inner = Section::new(path.clone(), table, at);
    let environment = inner.text("env", mistakes).map(|(name, _)| KeyLocation::Environment(name.to_owned()));
    let file = inner.text("file", mistakes).map(|(path, _)| KeyLocation::File(folder.join(path)));
    let command = inner
        .texts("command", mistakes)
        .map(|words| KeyLocation::Command(words.iter().map(|(word, _)| (*word).to_owned()).collect()));
    inner.finish(mistakes);
    let mut found = [environment, file, command].into_iter().flatten();
    match (found.next(), found.next()) {
        (Some(source), None) => Some(source),
        (Some(_), Some(_)) => {
            mistakes.add(at, path, "must have one of `env`, `file`, `command`, not several");
            None
        }
        (None, _) => {
            if !mistakes.has_within(&path) {
                mistakes.add(at, path, format!("must be {KEY_FORMS}"));
            }
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistakes(text: &str) -> Vec<String> {
        parse(text, Path::new("config.toml")).err().map(|error| error.lines()).unwrap_or_default()
    }

    #[test]
    fn the_example_has_no_mistakes() {
        let config =
            parse(EXAMPLE, Path::new("some/config.toml")).map_err(|error| error.lines()).ok().unwrap();
        let sources: Vec<_> = config
            .sources
            .iter()
            .map(|source| (source.name.as_str(), source.provider.descriptor.name))
            .collect();
        assert_eq!(
            sources,
            [("shop", "chatbase-v2"), ("shop-legacy", "chatbase-v1"), ("voice", "convocore-v3")]
        );
        assert_eq!(config.archive, Path::new("some/chatark.db"));
        assert_eq!(config.output.folder, Path::new("some/export"));
        assert_eq!(config.sources[0].key, KeyLocation::Environment("CHATBASE_API_KEY".to_owned()));
    }

    #[test]
    fn every_provider_is_in_the_example() {
        for entry in registry::PROVIDERS {
            assert!(EXAMPLE.contains(&format!("\"{}\"", entry.descriptor.name)), "{}", entry.descriptor.name);
        }
    }

    #[test]
    fn all_mistakes_are_reported_with_line_and_key_and_without_the_secret() {
        let text = r#"
archive = 7
[[source]]
name = "shop"
provider = "chatbase-v2"
agent = "x"
api_key = "sk-very-secret"
[[source]]
name = "shop"
provider = "chatbase-v3"
api_key = { env = "A", file = "b" }
[[source]]
provider = "convocore-v3"
agent_id = "a"
timezone = "Berlin"
api_key = { variable = "A" }
"#;
        let found = mistakes(text);
        assert_eq!(
            found,
            [
                "config.toml:2: `archive` must be a string, not a number",
                "config.toml:3: `source[1].agent_id` is missing",
                "config.toml:6: `source[1].agent` is not a known key; did you mean `agent_id`?",
                "config.toml:7: `source[1].api_key` must not be written into the file: write { env = \"NAME\" }, { file = \"PATH\" } or { command = [\"PROGRAM\", …] }",
                "config.toml:9: `source[2].name` is also the name of another source",
                "config.toml:10: `source[2].provider` must be one of `chatbase-v1`, `chatbase-v2`, `convocore-v3`",
                "config.toml:11: `source[2].api_key` must have one of `env`, `file`, `command`, not several",
                "config.toml:12: `source[3].name` is missing",
                "config.toml:15: `source[3].timezone` must be an IANA time zone such as `Europe/Berlin`",
                "config.toml:16: `source[3].api_key.variable` is not a known key; known are `env`, `file`, `command`",
            ]
        );
        assert!(!found.join("\n").contains("very-secret"));
    }

    #[test]
    fn a_syntax_error_does_not_hide_other_mistakes_and_its_line_is_not_shown() {
        let text = "[[source]]\nname = \"shop\"\nprovider = \"chatbase-v2\"\nagentid = \"a\"\napi_key = sk-very-secret\n";
        let found = mistakes(text);
        assert!(
            found.iter().any(|line| line.starts_with("config.toml:5: `api_key` is not valid TOML")),
            "{found:?}"
        );
        assert!(found.iter().any(|line| line.starts_with("config.toml:4: `source[1].agentid`")), "{found:?}");
        assert!(!found.join("\n").contains("secret"), "{found:?}");
    }

    #[test]
    fn a_region_or_a_base_url_is_needed() {
        let text = "[[source]]\nname = \"v\"\nprovider = \"convocore-v3\"\nagent_id = \"a\"\napi_key = { env = \"A\" }\n";
        let found = mistakes(text);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("config.toml:1: `source[1].region`"), "{found:?}");
        assert!(mistakes(&format!("{text}region = \"eu\"\n")).is_empty());
    }

    #[test]
    fn contacts_is_a_boolean_of_vendors_that_list_contacts() {
        let source = |provider: &str, line: &str| {
            format!(
                "[[source]]\nname = \"a\"\nprovider = \"{provider}\"\nagent_id = \"a\"\napi_key = {{ env = \"A\" }}\n{line}\n"
            )
        };
        let path = Path::new("config.toml");
        for (line, expect) in [("", false), ("contacts = false", false), ("contacts = true", true)] {
            let config =
                parse(&source("chatbase-v1", line), path).map_err(|error| error.lines()).ok().unwrap();
            assert_eq!(config.sources[0].contacts, expect, "{line}");
        }
        for value in ["\"true\"", "1", "[true]"] {
            let found = mistakes(&source("chatbase-v1", &format!("contacts = {value}")));
            assert_eq!(found, ["config.toml:6: `source[1].contacts` must be `true` or `false`"]);
        }
        for provider in ["chatbase-v2", "convocore-v3"] {
            let found = mistakes(&source(provider, "region = \"eu\"\ncontacts = true"));
            let line = found.iter().find(|line| line.contains("contacts")).unwrap();
            let expect = "config.toml:7: `source[1].contacts` is not a known key";
            assert!(line.starts_with(expect), "{provider}: {found:?}");
        }
    }

    #[test]
    fn an_empty_config_says_what_is_missing() {
        assert_eq!(mistakes(""), ["config.toml:1: `source` is missing: add a `[[source]]` table"]);
        assert_eq!(mistakes("source = []\n"), Vec::<String>::new());
        assert_eq!(
            mistakes("[source]\nname = \"a\"\n"),
            ["config.toml:1: `source` must be written as `[[source]]`, not as a table"]
        );
    }
}
