//! Splits one huge JSON array into its elements while the response arrives.
//!
//! A response may hold every conversation of an account in one array. [`ArrayFramer`] takes the body in chunks of
//! any size and returns whole elements as bytes, so that memory holds one element at a time. The rest of the
//! document, the *envelope*, is kept with an empty array in place of the full one and can be decoded at the end.
//!
//! The framer only finds boundaries. Whoever decodes an element finds out whether it is valid JSON.

use std::fmt;

use bytes::{Bytes, BytesMut};

/// The largest sizes of the pieces of one response, in bytes after decompression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SizeLimits {
    /// The largest element.
    pub element: usize,
    /// The largest envelope.
    pub envelope: usize,
}

impl Default for SizeLimits {
    fn default() -> Self {
        Self { element: 256 << 20, envelope: 16 << 20 }
    }
}

/// Why a response could not be split into elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameError {
    /// An element is larger than the limit.
    ElementTooLarge,
    /// The envelope is larger than the limit.
    EnvelopeTooLarge,
    /// The body ended before the document did.
    Truncated,
    /// The body does not begin with an object or an array.
    NotJson,
}

impl fmt::Display for FrameError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::ElementTooLarge => "one record is larger than the limit",
            Self::EnvelopeTooLarge => "the response without its records is larger than the limit",
            Self::Truncated => "the response is cut off",
            Self::NotJson => "the response is not JSON",
        })
    }
}

/// A push parser that returns the elements of one array and keeps the envelope.
///
/// The array is the value of one key of the top-level object, or the document itself.
#[derive(Debug)]
pub struct ArrayFramer {
    key: String,
    limits: SizeLimits,
    chunk: Bytes,
    at: usize,
    state: State,
    envelope: Vec<u8>,
    /// The beginning of an element whose end has not arrived yet.
    partial: BytesMut,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// Outside the array.
    Envelope(EnvelopeScan),
    /// In the array, before an element, a comma or the end.
    BetweenElements {
        /// The depth of the envelope after the array.
        depth_after: usize,
    },
    /// In an element.
    Element { scan: ElementScan, depth_after: usize },
}

/// How far the envelope has been scanned.
#[derive(Debug, Clone, Copy)]
struct EnvelopeScan {
    depth: usize,
    string: StringState,
    /// Where the latest string of the top-level object begins in the envelope.
    key_from: usize,
    key_state: KeyState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum KeyState {
    /// Before the document has begun.
    Start,
    /// Where a key is expected.
    KeyExpected,
    /// After a key, before its colon; true if it is the array's.
    AfterKey(bool),
    /// Where the value of the array's key is expected.
    ArrayExpected,
    /// In any other state: the array cannot begin here.
    Other,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StringState {
    Outside,
    Inside,
    Escape,
}

/// How far an element has been scanned.
#[derive(Debug, Clone, Copy)]
struct ElementScan {
    depth: usize,
    string: StringState,
    kind: ElementKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ElementKind {
    Container,
    String,
    Scalar,
}

impl ArrayFramer {
    /// Creates a framer for the array under a key.
    pub fn new(key: impl Into<String>, limits: SizeLimits) -> Self {
        let start =
            EnvelopeScan { depth: 0, string: StringState::Outside, key_from: 0, key_state: KeyState::Start };
        Self {
            key: key.into(),
            limits,
            chunk: Bytes::new(),
            at: 0,
            state: State::Envelope(start),
            envelope: Vec::new(),
            partial: BytesMut::new(),
        }
    }

    /// Takes the next chunk of the body. Before that, call [`Self::next_element`] until it returns `None`.
    pub fn feed(&mut self, chunk: Bytes) {
        debug_assert!(self.at >= self.chunk.len(), "a chunk was fed before the last one was used up");
        self.chunk = chunk;
        self.at = 0;
    }

    /// Returns the next whole element, or `None` once the chunk is used up.
    pub fn next_element(&mut self) -> Result<Option<Bytes>, FrameError> {
        while self.at < self.chunk.len() {
            let element = match self.state {
                State::Envelope(scan) => {
                    self.scan_envelope(scan)?;
                    None
                }
                State::BetweenElements { depth_after } => {
                    self.scan_between_elements(depth_after);
                    None
                }
                State::Element { scan, depth_after } => self.scan_element(scan, depth_after)?,
            };
            if element.is_some() {
                return Ok(element);
            }
        }
        Ok(None)
    }

    /// Returns the envelope at the end of the body. Fails if the document is not complete.
    pub fn finish(self) -> Result<Bytes, FrameError> {
        match self.state {
            State::Envelope(EnvelopeScan { depth: 0, string: StringState::Outside, key_state, .. })
                if key_state != KeyState::Start =>
            {
                Ok(Bytes::from(self.envelope))
            }
            _ => Err(FrameError::Truncated),
        }
    }

    fn scan_envelope(&mut self, mut scan: EnvelopeScan) -> Result<(), FrameError> {
        let rest = &self.chunk[self.at..];
        for (offset, &byte) in rest.iter().enumerate() {
            if self.envelope.len() >= self.limits.envelope {
                return Err(FrameError::EnvelopeTooLarge);
            }
            let enters_array = scan.step(byte, &self.envelope, &self.key)?;
            self.envelope.push(byte);
            if enters_array {
                self.at += offset + 1;
                self.state = State::BetweenElements { depth_after: scan.depth };
                return Ok(());
            }
        }
        self.at = self.chunk.len();
        self.state = State::Envelope(scan);
        Ok(())
    }

    fn scan_between_elements(&mut self, depth_after: usize) {
        while let Some(&byte) = self.chunk.get(self.at) {
            match byte {
                b' ' | b'\t' | b'\r' | b'\n' | b',' => self.at += 1,
                b']' => {
                    self.at += 1;
                    self.envelope.push(byte);
                    self.state = State::Envelope(EnvelopeScan {
                        depth: depth_after,
                        string: StringState::Outside,
                        key_from: 0,
                        key_state: KeyState::Other,
                    });
                    return;
                }
                _ => {
                    self.state = State::Element { scan: ElementScan::begin(byte), depth_after };
                    return;
                }
            }
        }
    }

    fn scan_element(
        &mut self,
        mut scan: ElementScan,
        depth_after: usize,
    ) -> Result<Option<Bytes>, FrameError> {
        let end = scan.find_end(&self.chunk[self.at..]);
        let from = self.at;
        self.at = end.map_or(self.chunk.len(), |end| from + end);
        if self.partial.len() + (self.at - from) > self.limits.element {
            return Err(FrameError::ElementTooLarge);
        }
        let piece = self.chunk.slice(from..self.at);
        if end.is_none() {
            self.partial.extend_from_slice(&piece);
            self.state = State::Element { scan, depth_after };
            return Ok(None);
        }
        self.state = State::BetweenElements { depth_after };
        if self.partial.is_empty() {
            return Ok(Some(piece));
        }
        self.partial.extend_from_slice(&piece);
        Ok(Some(self.partial.split().freeze()))
    }
}

impl EnvelopeScan {
    /// Takes one byte, and returns whether it opens the array.
    fn step(&mut self, byte: u8, before: &[u8], key: &str) -> Result<bool, FrameError> {
        match (self.string, byte) {
            (StringState::Escape, _) => self.string = StringState::Inside,
            (StringState::Inside, b'\\') => self.string = StringState::Escape,
            (StringState::Inside, b'"') => self.end_string(before, key),
            (StringState::Outside, b'"') => {
                self.string = StringState::Inside;
                self.key_from = before.len();
            }
            (StringState::Inside, _) | (StringState::Outside, b' ' | b'\t' | b'\r' | b'\n') => {}
            (StringState::Outside, _) => return self.step_outside(byte),
        }
        Ok(false)
    }

    fn step_outside(&mut self, byte: u8) -> Result<bool, FrameError> {
        let state = self.key_state;
        match byte {
            b'[' if state == KeyState::ArrayExpected || state == KeyState::Start => {
                self.key_state = KeyState::Other;
                return Ok(true);
            }
            _ if state == KeyState::Start && byte != b'{' => return Err(FrameError::NotJson),
            b'{' | b'[' => {
                self.depth += 1;
                self.key_state =
                    if state == KeyState::Start { KeyState::KeyExpected } else { KeyState::Other };
            }
            b'}' | b']' => {
                self.depth = self.depth.saturating_sub(1);
                self.key_state = KeyState::Other;
            }
            b':' if state == KeyState::AfterKey(true) => self.key_state = KeyState::ArrayExpected,
            b',' if self.depth == 1 => self.key_state = KeyState::KeyExpected,
            _ => self.key_state = KeyState::Other,
        }
        Ok(false)
    }

    fn end_string(&mut self, before: &[u8], key: &str) {
        self.string = StringState::Outside;
        self.key_state = match self.key_state {
            KeyState::KeyExpected => KeyState::AfterKey(is_key(&before[self.key_from..], key)),
            _ => KeyState::Other,
        };
    }
}

/// Compares a key as it is in the document, without its closing quote, after decoding its escapes.
fn is_key(raw: &[u8], key: &str) -> bool {
    let Some(inside) = raw.strip_prefix(b"\"") else {
        return false;
    };
    if !inside.contains(&b'\\') {
        return inside == key.as_bytes();
    }
    let quoted = [raw, b"\""].concat();
    serde_json::from_slice::<String>(&quoted).is_ok_and(|decoded| decoded == key)
}

impl ElementScan {
    fn begin(byte: u8) -> Self {
        let kind = match byte {
            b'{' | b'[' => ElementKind::Container,
            b'"' => ElementKind::String,
            _ => ElementKind::Scalar,
        };
        Self { depth: 0, string: StringState::Outside, kind }
    }

    /// Returns the offset just after the element, or `None` if it continues in the next chunk.
    fn find_end(&mut self, bytes: &[u8]) -> Option<usize> {
        if self.kind == ElementKind::Scalar {
            return bytes.iter().position(|byte| matches!(byte, b',' | b']' | b' ' | b'\t' | b'\r' | b'\n'));
        }
        let mut at = 0;
        while at < bytes.len() {
            match self.string {
                StringState::Escape => {
                    self.string = StringState::Inside;
                    at += 1;
                }
                StringState::Inside => {
                    let found = memchr::memchr2(b'"', b'\\', &bytes[at..])?;
                    let ends = bytes[at + found] == b'"';
                    self.string = if ends { StringState::Outside } else { StringState::Escape };
                    at += found + 1;
                    if ends && self.depth == 0 {
                        return Some(at);
                    }
                }
                StringState::Outside => {
                    let byte = bytes[at];
                    at += 1;
                    match byte {
                        b'"' => self.string = StringState::Inside,
                        b'{' | b'[' => self.depth += 1,
                        b'}' | b']' => {
                            self.depth = self.depth.saturating_sub(1);
                            if self.depth == 0 {
                                return Some(at);
                            }
                        }
                        _ => {}
                    }
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    /// Feeds a document in chunks of the given sizes, over and over.
    fn frame(document: &[u8], sizes: &[usize]) -> Result<(Vec<Bytes>, Bytes), FrameError> {
        let mut framer = ArrayFramer::new("data", SizeLimits::default());
        let mut elements = Vec::new();
        let mut rest = document;
        for size in sizes.iter().cycle() {
            let (chunk, after) = rest.split_at((*size).clamp(1, rest.len().max(1)).min(rest.len()));
            framer.feed(Bytes::copy_from_slice(chunk));
            while let Some(element) = framer.next_element()? {
                elements.push(element);
            }
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        Ok((elements, framer.finish()?))
    }

    #[track_caller]
    fn check(document: &str, elements: &[&str], envelope: &str) {
        for size in [1, 2, 3, 7, 4096] {
            let (found, rest) = frame(document.as_bytes(), &[size]).unwrap();
            assert_eq!(found, elements, "chunks of {size}");
            assert_eq!(rest, envelope, "chunks of {size}");
        }
    }

    #[test]
    fn elements_are_returned_whole() {
        check(
            r#"{"success":true,"data":[{"a":"]},{"},[1,[2]],"x,\"]",7,null],"next":{"data":[9]}}"#,
            &[r#"{"a":"]},{"}"#, "[1,[2]]", r#""x,\"]""#, "7", "null"],
            r#"{"success":true,"data":[],"next":{"data":[9]}}"#,
        );
    }

    #[test]
    fn only_a_top_level_key_is_found() {
        check(
            r#"{"x":{"data":[1]},"y":["data",[2]],"z":"data","data":[3]}"#,
            &["3"],
            r#"{"x":{"data":[1]},"y":["data",[2]],"z":"data","data":[]}"#,
        );
        check(r#"{"d\u0061ta" : [ 1 ] }"#, &["1"], r#"{"d\u0061ta" : [] }"#);
        check("[1, 2 ]\n", &["1", "2"], "[]\n");
        check(r#"{"data":null}"#, &[], r#"{"data":null}"#);
        check(r#"{"data":[]}"#, &[], r#"{"data":[]}"#);
    }

    #[test]
    fn truncated_and_too_large_documents_are_errors() {
        for cut in [r#"{"data":[{"id":"a1b2"#, r#"{"data":[1]"#, r#"{"data":[1"#, "", "   ", r#"{"da"#] {
            assert_eq!(frame(cut.as_bytes(), &[3]), Err(FrameError::Truncated), "{cut}");
        }
        assert_eq!(frame(b"<html></html>", &[3]), Err(FrameError::NotJson));
        let limits = SizeLimits { element: 4, envelope: 64 };
        let mut framer = ArrayFramer::new("data", limits);
        framer.feed(Bytes::from_static(br#"{"data":["12345"]}"#));
        assert_eq!(framer.next_element(), Err(FrameError::ElementTooLarge));
        let mut framer = ArrayFramer::new("data", SizeLimits { element: 4, envelope: 8 });
        framer.feed(Bytes::from_static(br#"{"message":"long","data":[]}"#));
        assert_eq!(framer.next_element(), Err(FrameError::EnvelopeTooLarge));
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            r#"[a-z"\\\[\]{},: \u{1F600}é]{0,12}"#.prop_map(Value::from),
            Just(json!("data")),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map("(data|[a-z\"\\\\]{0,4})", inner, 0..5)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_document_survives_any_chunking(
            before in prop::collection::btree_map("[a-c\"]{1,3}", any_json(), 0..4),
            items in prop::collection::vec(any_json(), 0..12),
            after in prop::collection::btree_map("[e-h]{1,3}", any_json(), 0..4),
            pretty in any::<bool>(),
            sizes in prop::collection::vec(1usize..40, 1..8),
        ) {
            let mut document = serde_json::Map::new();
            document.extend(before);
            document.insert("data".to_owned(), Value::from(items.clone()));
            document.extend(after);
            let document = Value::Object(document);
            let text = if pretty { serde_json::to_vec_pretty(&document) } else { serde_json::to_vec(&document) };
            let (found, envelope) = frame(&text.unwrap(), &sizes).unwrap();
            let found: Vec<Value> = found.iter().map(|element| serde_json::from_slice(element).unwrap()).collect();
            prop_assert_eq!(found, items);
            let mut emptied = document;
            emptied["data"] = json!([]);
            prop_assert_eq!(serde_json::from_slice::<Value>(&envelope).unwrap(), emptied);
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), size in 1usize..20) {
            let _ = frame(&bytes, &[size]);
        }

        #[test]
        fn no_almost_json_panics(text in r#"[{}\[\],:"\\datnul0-9 ]{0,120}"#, size in 1usize..20) {
            let _ = frame(text.as_bytes(), &[size]);
        }
    }
}
