//! What a perfect export from each vendor contains, as plain data that tests compare an export with.
//!
//! It follows the rules of the model, and calls no mapper of the product.

use std::borrow::Cow;

use crate::convocore_v3_messages::ConvocoreMessage;
use crate::truth::{Channel, Contact, Content, Conversation, Feedback, Message, Role, Status, Vendor};

/// A conversation as a perfect export from one vendor contains it, in the words of the model.
#[derive(Debug, Clone, PartialEq)]
pub struct Expected {
    /// The conversation's id.
    pub id: String,
    /// The title, if the vendor has one.
    pub title: Option<String>,
    /// The channel's word, if the vendor has one.
    pub channel: Option<&'static str>,
    /// The status word, if the vendor has one.
    pub status: Option<&'static str>,
    /// When it began, in whole epoch seconds.
    pub created_at: Option<i64>,
    /// When it last changed, in whole epoch seconds.
    pub updated_at: Option<i64>,
    /// The contact, reduced to the fields that the vendor has.
    pub contact: Contact,
    /// The labels.
    pub tags: Vec<String>,
    /// The team's notes.
    pub notes: Option<String>,
    /// The feedback on the conversation: positive, negative or none.
    pub feedback: Option<&'static str>,
    /// The rating in stars, of five.
    pub stars: Option<u8>,
    /// The country, if the vendor has one.
    pub country: Option<String>,
    /// The lowest score of any message, if the vendor has one.
    pub min_score: Option<f64>,
    /// The messages in order.
    pub messages: Vec<ExpectedMessage>,
}

/// A message as a perfect export from one vendor contains it.
#[derive(Debug, Clone, PartialEq)]
pub struct ExpectedMessage {
    /// The message's id, if the vendor has one.
    pub id: Option<String>,
    /// The role's word.
    pub role: &'static str,
    /// The word for the kind of author.
    pub author_kind: &'static str,
    /// When it was sent, in epoch seconds.
    pub created_at: Option<i64>,
    /// The text parts, joined by newlines.
    pub text: String,
    /// The feedback on the message: positive, negative or none.
    pub feedback: Option<&'static str>,
    /// The assistant's confidence.
    pub score: Option<f64>,
    /// The types of all parts in order, text included.
    pub part_types: Vec<&'static str>,
}

impl Conversation {
    /// Returns the conversation as a perfect export from this vendor contains it.
    pub fn expected_from(&self, vendor: Vendor) -> Expected {
        match vendor {
            Vendor::ChatbaseV1 => self.expected_from_chatbase_v1(),
            Vendor::ChatbaseV2 => self.expected_from_chatbase_v2(),
            Vendor::ConvocoreV3 => self.expected_from_convocore_v3(),
        }
    }

    fn expected_from_chatbase_v1(&self) -> Expected {
        Expected {
            updated_at: Some(self.updated_at),
            contact: Contact { company: None, address: None, website: None, ..self.contact.clone() },
            country: self.country.clone(),
            min_score: self.min_score(),
            messages: self
                .messages
                .iter()
                .filter(|message| message.is_shown_by_chatbase_v1())
                .map(Message::expected_from_chatbase_v1)
                .collect(),
            ..self.expected_from_chatbase()
        }
    }

    fn expected_from_chatbase_v2(&self) -> Expected {
        Expected {
            title: self.title.clone(),
            status: Some(self.status.map_or("ongoing", Status::word)),
            updated_at: Some(self.updated_at),
            contact: Contact { id: self.contact.id.clone(), ..Contact::default() },
            messages: self
                .messages
                .iter()
                .enumerate()
                .map(|(position, message)| message.expected_from_chatbase_v2(position))
                .collect(),
            ..self.expected_from_chatbase()
        }
    }

    fn expected_from_chatbase(&self) -> Expected {
        Expected {
            id: self.id.clone(),
            title: None,
            channel: match self.channel.chatbase_name() {
                None | Some("Unspecified") => None,
                Some(_) => Some(self.channel.word()),
            },
            status: None,
            created_at: Some(self.created_at),
            updated_at: None,
            contact: Contact::default(),
            tags: Vec::new(),
            notes: None,
            feedback: None,
            stars: None,
            country: None,
            min_score: None,
            messages: Vec::new(),
        }
    }

    fn expected_from_convocore_v3(&self) -> Expected {
        let past: usize = self.past_sessions.iter().sum();
        let messages: Vec<ExpectedMessage> = self
            .messages
            .iter()
            .enumerate()
            .flat_map(|(position, message)| message.expected_from_convocore_v3(position < past, self.varied))
            .collect();
        let last_message_at = messages.iter().rev().find_map(|message| message.created_at);
        Expected {
            id: self.id.clone(),
            title: None,
            channel: convocore_channel(self.channel),
            status: self.status.map(convocore_status),
            created_at: Some(self.created_at),
            updated_at: if self.has_last_message_time() { Some(self.updated_at) } else { last_message_at },
            contact: Contact { id: None, ..self.contact.clone() },
            tags: self.tags.clone(),
            notes: self.notes.clone(),
            feedback: self.feedback.map(Feedback::word),
            stars: self.stars,
            country: None,
            min_score: None,
            messages,
        }
    }

    /// Returns the lowest score of any assistant message.
    pub(crate) fn min_score(&self) -> Option<f64> {
        self.messages
            .iter()
            .filter(|message| message.role == Role::Assistant)
            .filter_map(|message| message.score)
            .reduce(f64::min)
    }

    /// Returns whether Convocore writes `lastMessageTS` for it.
    pub(crate) fn has_last_message_time(&self) -> bool {
        self.varied
    }
}

impl Message {
    /// Returns whether Chatbase's first API shows the message: it hides messages that only call a tool.
    pub(crate) fn is_shown_by_chatbase_v1(&self) -> bool {
        self.content.iter().any(|content| {
            matches!(content, Content::Text(_) | Content::Notice { .. } | Content::Unknown { .. })
        })
    }

    /// Returns the id that Chatbase's second API shows. A message without one gets it from its position.
    pub(crate) fn chatbase_v2_id(&self, position: usize) -> Cow<'_, str> {
        match &self.id {
            Some(id) => Cow::Borrowed(id),
            None => Cow::Owned(format!("msg_{position:02}")),
        }
    }

    fn expected_from_chatbase_v1(&self) -> ExpectedMessage {
        let mut expected = self.expected_from_chatbase(self.id.clone());
        expected.part_types.retain(|part| !part.starts_with("tool"));
        // Content that is neither a string nor blocks cannot have text beside it.
        if expected.part_types.contains(&"other") {
            expected.part_types = vec!["other"];
            expected.text.clear();
        }
        expected.created_at = None;
        expected.feedback = None;
        expected
    }

    fn expected_from_chatbase_v2(&self, position: usize) -> ExpectedMessage {
        self.expected_from_chatbase(Some(self.chatbase_v2_id(position).into_owned()))
    }

    fn expected_from_chatbase(&self, id: Option<String>) -> ExpectedMessage {
        let is_answer = self.role == Role::Assistant;
        ExpectedMessage {
            id,
            role: self.role.word(),
            author_kind: author_kind(self.role.word()),
            created_at: self.created_at,
            text: joined_text(&self.content),
            feedback: self.feedback.filter(|_| is_answer).map(Feedback::word),
            score: self.score.filter(|_| is_answer),
            part_types: self.content.iter().filter_map(chatbase_part).collect(),
        }
    }

    fn expected_from_convocore_v3(&self, is_past: bool, is_varied: bool) -> Vec<ExpectedMessage> {
        ConvocoreMessage::of(self)
            .into_iter()
            .enumerate()
            .map(|(at, wire)| ExpectedMessage {
                id: self.id.clone().filter(|_| at == 0),
                role: wire.expected_role(self.role),
                author_kind: author_kind(wire.expected_role(self.role)),
                created_at: self.created_at,
                text: wire.expected_text(),
                feedback: self.feedback.filter(|_| wire.has_feedback(is_past, is_varied)).map(Feedback::word),
                score: None,
                part_types: wire.expected_parts(),
            })
            .collect()
    }
}

impl Role {
    /// Returns the word of the model.
    pub const fn word(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Tool => "tool",
            Self::System => "system",
        }
    }
}

impl Status {
    /// Returns the word of the model.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ongoing => "ongoing",
            Self::Ended => "ended",
            Self::TakenOver => "taken_over",
            Self::Paused => "paused",
        }
    }
}

impl Feedback {
    /// Returns the word of the model.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Positive => "positive",
            Self::Negative => "negative",
        }
    }
}

/// Returns the word for the kind of author that follows from a role.
fn author_kind(role: &str) -> &'static str {
    match role {
        "user" => "customer",
        "assistant" => "bot",
        "system" => "system",
        "tool" => "tool",
        other => panic!("no vendor has the role {other}"),
    }
}

fn convocore_channel(channel: Channel) -> Option<&'static str> {
    channel.convocore_name().map(|_| channel.word())
}

/// Convocore has no word for a paused conversation: it is one that waits for a human.
fn convocore_status(status: Status) -> &'static str {
    match status {
        Status::Paused => Status::TakenOver.word(),
        other => other.word(),
    }
}

fn chatbase_part(content: &Content) -> Option<&'static str> {
    match content {
        Content::Text(_) | Content::Notice { .. } => Some("text"),
        Content::ToolCall { .. } => Some("tool_call"),
        Content::ToolResult { .. } => Some("tool_result"),
        Content::Unknown { .. } => Some("other"),
        _ => None,
    }
}

fn joined_text(content: &[Content]) -> String {
    let texts: Vec<&str> = content
        .iter()
        .filter_map(|content| match content {
            Content::Text(text) | Content::Notice { text, .. } => Some(text.as_str()),
            _ => None,
        })
        .collect();
    texts.join("\n")
}
