//! The messages of Convocore: how a message of the truth is split into them, and what the model makes of each.

use std::borrow::Cow;

use serde_json::{Value, json};

use crate::truth::{Content, Message, Role};

/// The length at which the trace truncates a tool's result, in characters.
const TRACE_LENGTH: usize = 80;

/// A message of Convocore, which has a single content: one message of the truth can become several.
#[derive(Debug)]
pub(crate) enum ConvocoreMessage<'a> {
    Text(&'a str),
    Visual {
        text: Option<&'a str>,
        urls: Vec<&'a str>,
    },
    Cards(Vec<&'a Content>),
    /// A line of the trace, and whether it reports the end of a tool.
    Trace(Cow<'a, str>, bool),
    Other(&'a Content),
}

impl<'a> ConvocoreMessage<'a> {
    /// Splits a message of the truth into messages of this vendor.
    ///
    /// A text before pictures is their caption; consecutive cards form a carousel; of a tool call,
    /// only the end is traced.
    pub(crate) fn of(message: &'a Message) -> Vec<Self> {
        let mut messages = Vec::new();
        let mut rest = &message.content[..];
        while !rest.is_empty() {
            messages.extend(Self::take(&mut rest));
        }
        messages
    }

    /// Takes the contents of the next message; `None` if they are not shown.
    fn take(rest: &mut &'a [Content]) -> Option<Self> {
        let (first, others) = rest.split_first()?;
        if matches!(first, Content::Image { .. }) {
            let urls = take_pictures(rest);
            return Some(Self::Visual { text: None, urls });
        }
        if is_card(first) {
            let count = rest.iter().take_while(|held| is_card(held)).count();
            let (cards, later) = rest.split_at(count);
            *rest = later;
            return Some(Self::Cards(cards.iter().collect()));
        }
        *rest = others;
        Some(match first {
            Content::Text(text) if picture_count(others) > 0 => {
                let urls = take_pictures(rest);
                Self::Visual { text: Some(text), urls }
            }
            Content::Text(text) => Self::Text(text),
            Content::ToolCall { .. } => return None,
            Content::ToolResult { name, data, error, .. } => {
                let trace = tool_trace(name, data.as_ref(), error.as_deref());
                Self::Trace(Cow::Owned(trace), true)
            }
            Content::Debug { text } => Self::Trace(Cow::Borrowed(text), false),
            other => Self::Other(other),
        })
    }

    /// Returns the speaker on the wire, which has no value for tools and events.
    pub(crate) fn speaker(&self, role: Role) -> Role {
        match (self, role) {
            (Self::Trace(..), _) | (_, Role::Tool) => Role::Assistant,
            (_, role) => role,
        }
    }

    /// Returns the vendor's name for the kind of message.
    pub(crate) fn kind(&self) -> Cow<'_, str> {
        Cow::Borrowed(match self {
            Self::Text(_) => "text",
            Self::Visual { .. } => "visual",
            Self::Cards(cards) if cards.len() == 1 => "cardV2",
            Self::Cards(_) => "carousel",
            Self::Trace(..) => "debug:tell",
            Self::Other(content) => match content {
                Content::Choice { .. } => "choice",
                Content::File { .. } => "file",
                Content::Audio { .. } => "VoiceNote",
                Content::Form { .. } => "form",
                Content::Notice { level, .. } => return Cow::Owned(format!("info:{level}")),
                Content::Event { kind } | Content::Unknown { kind, .. } => kind,
                _ => "text",
            },
        })
    }

    pub(crate) fn payload(&self) -> Option<Value> {
        Some(match self {
            Self::Text(text) => json!({ "message": text }),
            Self::Visual { text, urls } => visual(*text, urls),
            Self::Cards(cards) => match &cards[..] {
                [card] => card_payload(card),
                cards => json!({
                    "cards": cards.iter().map(|card| card_payload(card)).collect::<Vec<_>>(),
                }),
            },
            Self::Trace(text, _) => json!({ "message": text }),
            Self::Other(content) => return other_payload(content),
        })
    }

    /// Returns the role in the words of the model.
    pub(crate) fn expected_role(&self, role: Role) -> &'static str {
        let kind = self.kind();
        if kind.starts_with("debug") {
            "tool"
        } else if is_control(&kind) {
            "system"
        } else {
            self.speaker(role).word()
        }
    }

    /// Returns the text of the message in the model.
    pub(crate) fn expected_text(&self) -> String {
        match self {
            Self::Text(text) => (*text).to_owned(),
            Self::Visual { text, .. } => text.unwrap_or_default().to_owned(),
            Self::Other(Content::Notice { text, .. }) => text.clone(),
            Self::Other(Content::Unknown { kind, data }) if kind.starts_with("info:") => {
                let text = data.as_str().or_else(|| data.get("message")?.as_str());
                text.unwrap_or_default().to_owned()
            }
            Self::Other(Content::Unknown { kind, data }) if kind == "text" => {
                data.as_str().unwrap_or_default().to_owned()
            }
            Self::Cards(_) | Self::Trace(..) | Self::Other(_) => String::new(),
        }
    }

    /// Returns the types of the parts in the model.
    pub(crate) fn expected_parts(&self) -> Vec<&'static str> {
        match self {
            Self::Visual { text, urls } => {
                text.iter().map(|_| "text").chain(urls.iter().map(|_| "image")).collect()
            }
            Self::Cards(cards) => cards.iter().map(|_| "card").collect(),
            Self::Trace(_, is_tool_end) => vec![if *is_tool_end { "tool_result" } else { "other" }],
            Self::Text(_) | Self::Other(_) => vec![part_of_kind(&self.kind())],
        }
    }

    /// Returns whether the wire format has a field for feedback on the message.
    pub(crate) fn has_feedback(&self, is_past: bool, is_varied: bool) -> bool {
        matches!(self, Self::Text(_)) && (is_past || !is_varied)
    }
}

/// Returns the part type of a type of message. Forms of other companies have no readable fields.
fn part_of_kind(kind: &str) -> &'static str {
    match kind {
        "text" => "text",
        "choice" | "MultiSelect" | "MultiDropdown" => "choice",
        "visual" => "image",
        "cardV2" | "carousel" => "card",
        "VoiceNote" => "audio",
        "file" | "FileUpload" | "MultiFileUpload" | "Attachment" => "file",
        "form" | "input" | "ui_engine_form" | "ui_engine_input" | "context:form_submission" => "form",
        kind if kind.starts_with("info:") => "text",
        _ => "other",
    }
}

/// Returns whether this type is a control message that nobody wrote.
fn is_control(kind: &str) -> bool {
    const KINDS: [&str; 10] = [
        "launch",
        "stealth",
        "end",
        "no-reply",
        "GetBrowserData",
        "SetRuntime",
        "SetConvoData",
        "VGVF_Channel",
        "VFVG_Channel",
        "VG_Response",
    ];
    KINDS.contains(&kind)
}

fn picture_count(content: &[Content]) -> usize {
    let pictures = content.iter();
    pictures.take_while(|held| matches!(held, Content::Image { .. })).count()
}

fn take_pictures<'a>(rest: &mut &'a [Content]) -> Vec<&'a str> {
    let (pictures, later) = rest.split_at(picture_count(rest));
    *rest = later;
    let urls = pictures.iter().filter_map(|held| match held {
        Content::Image { url } => Some(url.as_str()),
        _ => None,
    });
    urls.collect()
}

fn is_card(content: &Content) -> bool {
    matches!(content, Content::Card { .. })
}

/// The vendor truncates the trace in the middle of the JSON.
fn tool_trace(name: &str, data: Option<&Value>, error: Option<&str>) -> String {
    let result = match (data, error) {
        (Some(data), _) => data.to_string(),
        (None, Some(error)) => json!({ "error": error }).to_string(),
        (None, None) => "{}".to_owned(),
    };
    let shown: String = result.chars().take(TRACE_LENGTH).collect();
    format!("Tool ended: {name} {shown}")
}

fn visual(text: Option<&str>, urls: &[&str]) -> Value {
    let mut payload = match urls {
        [url] => json!({ "image": url }),
        urls => json!({ "images": urls, "imageCount": urls.len() }),
    };
    if let Some(text) = text {
        payload["message"] = json!(text);
    }
    payload
}

fn buttons(options: &[String]) -> Value {
    let buttons = options.iter().map(|option| {
        json!({
            "name": option,
            "request": { "type": "text", "payload": { "message": option } },
        })
    });
    buttons.collect()
}

fn card_payload(card: &Content) -> Value {
    let Content::Card { title, text, image_url, options } = card else {
        return Value::Null;
    };
    let mut payload = json!({ "title": title });
    if let Some(text) = text {
        payload["description"] = json!({ "text": text });
    }
    if let Some(url) = image_url {
        payload["imageUrl"] = json!(url);
    }
    if !options.is_empty() {
        payload["buttons"] = buttons(options);
    }
    payload
}

fn other_payload(content: &Content) -> Option<Value> {
    Some(match content {
        Content::Choice { options } => json!({ "buttons": buttons(options) }),
        Content::File { url, name } => json!({ "url": url, "name": name }),
        // Older voice notes are just the URL.
        Content::Audio { url, transcript: None } => json!(url),
        Content::Audio { url, transcript } => json!({ "url": url, "transcription": transcript }),
        Content::Form { title, fields } => form_payload(title.as_deref(), fields),
        Content::Notice { text, .. } => json!(text),
        Content::Event { .. } => json!({}),
        Content::Unknown { data, .. } if data.is_null() => return None,
        Content::Unknown { data, .. } => data.clone(),
        _ => return None,
    })
}

fn form_payload(title: Option<&str>, fields: &[(String, Option<String>)]) -> Value {
    let declared: Vec<Value> = fields
        .iter()
        .enumerate()
        .map(|(at, (label, _))| json!({ "id": format!("field_{at}"), "type": "text", "label": label }))
        .collect();
    let submitted: Vec<Value> = fields
        .iter()
        .enumerate()
        .filter_map(|(at, (label, value))| {
            let value = value.as_ref()?;
            Some(json!({
                "index": at,
                "label": label,
                "value": value,
                "field_id": format!("field_{at}"),
                "field_type": "text",
            }))
        })
        .collect();
    let mut payload = json!({ "fields": declared, "onSubmit": { "type": "submit_form" } });
    if let Some(title) = title {
        payload["title"] = json!(title);
    }
    if !submitted.is_empty() {
        payload["isSubmitted"] = json!(true);
        payload["submittedData"] = json!(submitted);
    }
    payload
}
