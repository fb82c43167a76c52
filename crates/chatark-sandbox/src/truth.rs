//! Vendor-neutral conversations: what really happened, whichever vendor is asked about it.

use serde_json::Value;

/// A chatbot vendor's API and its version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Vendor {
    /// Chatbase's first API: offset pages, plain contents.
    ChatbaseV1,
    /// Chatbase's second API: cursor pages, typed parts.
    ChatbaseV2,
    /// Convocore's third API: turns, sessions, English times.
    ConvocoreV3,
}

/// A conversation as a faithful archive must hold it, before any vendor leaves something out.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Conversation {
    /// The vendor's id, which is unique within one agent.
    pub id: String,
    /// The title that the vendor made up for it.
    pub title: Option<String>,
    /// Where the person wrote.
    pub channel: Channel,
    /// How far the conversation has come.
    pub status: Option<Status>,
    /// When it began, in epoch seconds (UTC).
    pub created_at: i64,
    /// When the last thing happened in it, in epoch seconds (UTC).
    pub updated_at: i64,
    /// Who wrote.
    pub contact: Contact,
    /// The labels that the team put on it.
    pub tags: Vec<String>,
    /// What the team noted about it.
    pub notes: Option<String>,
    /// What the person thought of the whole conversation.
    pub feedback: Option<Feedback>,
    /// The two-letter country of the person.
    pub country: Option<String>,
    /// How many leading messages belong to each past session, oldest session first.
    ///
    /// The messages after them belong to the current session.
    pub past_sessions: Vec<usize>,
    /// What was said, oldest first.
    pub messages: Vec<Message>,
    /// Whether the vendor writes this conversation in all the spellings that it is known for
    /// instead of its usual one: times, roles, sources and optional keys vary.
    pub varied: bool,
}

/// One message of a conversation.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Message {
    /// The vendor's id, where it gives one.
    pub id: Option<String>,
    /// Who speaks.
    pub role: Role,
    /// When it was sent, in epoch seconds (UTC).
    pub created_at: Option<i64>,
    /// What it holds, in order.
    pub content: Vec<Content>,
    /// What the person thought of this answer.
    pub feedback: Option<Feedback>,
    /// How sure the assistant was, from 0 to 1.
    pub score: Option<f64>,
}

/// One piece of a message.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// What somebody wrote or read.
    Text(String),
    /// The assistant calls a tool.
    ToolCall {
        /// The call's id.
        id: String,
        /// The tool's name.
        name: String,
        /// The tool's arguments.
        input: Value,
    },
    /// What came of a tool call.
    ToolResult {
        /// The call's id.
        id: String,
        /// The tool's name.
        name: String,
        /// How the call ended.
        status: ToolStatus,
        /// What the tool returned.
        data: Option<Value>,
        /// Why the tool failed.
        error: Option<String>,
    },
    /// Buttons to choose from.
    Choice {
        /// The buttons' labels.
        options: Vec<String>,
    },
    /// A picture.
    Image {
        /// Where the picture is.
        url: String,
    },
    /// A document.
    File {
        /// Where the document is.
        url: String,
        /// The document's file name.
        name: Option<String>,
    },
    /// A voice note.
    Audio {
        /// Where the recording is.
        url: String,
        /// What was said, where it was transcribed.
        transcript: Option<String>,
    },
    /// A card with a picture and buttons.
    Card {
        /// The card's heading.
        title: String,
        /// The text below the heading.
        text: Option<String>,
        /// Where the card's picture is.
        image_url: Option<String>,
        /// The buttons' labels.
        options: Vec<String>,
    },
    /// A form, filled in or not.
    Form {
        /// The form's heading.
        title: Option<String>,
        /// The fields in order: label, and value where it was filled in.
        fields: Vec<(String, Option<String>)>,
    },
    /// A notice that the chat window shows, such as `success`.
    HttpEvent {
        /// The kind of notice: default, success, danger or primary.
        level: String,
        /// What it says.
        text: String,
    },
    /// A control message that nobody wrote, such as `launch` or `end`.
    Event {
        /// The vendor's name for it.
        kind: String,
    },
    /// A line of the assistant's own trace.
    Debug {
        /// What it says.
        text: String,
    },
    /// Something that only this vendor knows.
    Unknown {
        /// The vendor's name for it.
        kind: String,
        /// What it holds; [`Value::Null`] leaves it out.
        data: Value,
    },
}

/// Who speaks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Role {
    /// The person.
    #[default]
    User,
    /// The chatbot.
    Assistant,
    /// A tool of the chatbot.
    Tool,
    /// The platform itself.
    System,
}

/// How far a conversation has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// The chatbot is answering.
    Ongoing,
    /// It is over.
    Ended,
    /// A human agent answers.
    TakenOver,
    /// The chatbot is silent, the person may still write.
    Paused,
}

/// What a person thought of an answer or a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Feedback {
    /// Thumbs up.
    Positive,
    /// Thumbs down.
    Negative,
}

/// How a tool call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToolStatus {
    /// It returned something.
    Success,
    /// It failed.
    Error,
    /// It has not returned yet.
    Pending,
    /// Nobody waited for it.
    Ignored,
}

impl ToolStatus {
    /// Returns the word that vendors write.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Error => "error",
            Self::Pending => "pending",
            Self::Ignored => "ignored",
        }
    }
}

/// Who wrote, as far as it is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contact {
    /// The id that the shop's own system gave.
    pub id: Option<String>,
    /// The full name.
    pub name: Option<String>,
    /// The e-mail address.
    pub email: Option<String>,
    /// The phone number.
    pub phone: Option<String>,
    /// The company.
    pub company: Option<String>,
    /// The postal address.
    pub address: Option<String>,
    /// The person's or company's website.
    pub website: Option<String>,
}

/// Somebody whom an agent knows by name or address: a lead that it collected, or a contact of the shop.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Person {
    /// The vendor's id; a lead's is a number, written out.
    pub id: String,
    /// The id that the shop's own system gave.
    pub external_id: Option<String>,
    /// The full name.
    pub name: Option<String>,
    /// The e-mail address.
    pub email: Option<String>,
    /// The phone number.
    pub phone: Option<String>,
    /// The company.
    pub company: Option<String>,
    /// Since when the person is known, in epoch seconds (UTC).
    pub created_at: i64,
}

/// Where a person wrote, as finely as any of the vendors tells it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Channel {
    /// The chat bubble of a website.
    #[default]
    Website,
    /// A frame inside a website.
    Frame,
    /// The vendor's own page for the chatbot.
    VendorSite,
    /// The agent's help page.
    AgentPage,
    /// The chat in the middle of a page.
    CenterStage,
    /// The search box of a website.
    Search,
    /// The vendor's API.
    Api,
    /// The vendor's dashboard, where the team tries things.
    Playground,
    /// The dashboard's preview of an action.
    ActionPreview,
    /// The dashboard's preview of a question and its answer.
    QuestionPreview,
    /// WhatsApp.
    WhatsApp,
    /// Facebook Messenger.
    Messenger,
    /// Facebook Messenger under its older name.
    Facebook,
    /// Instagram.
    Instagram,
    /// Slack.
    Slack,
    /// E-mail.
    Email,
    /// E-mail through Outlook.
    Outlook,
    /// The telephone.
    Phone,
    /// A voice session in the browser.
    Voice,
    /// A telephone line of the vendor.
    Telephony,
    /// Text messages.
    Sms,
    /// Telegram.
    Telegram,
    /// Discord.
    Discord,
    /// Zendesk tickets.
    Zendesk,
    /// Zendesk's messaging.
    ZendeskMessaging,
    /// Salesforce.
    Salesforce,
    /// An Android app.
    AndroidSdk,
    /// An iOS app.
    IosSdk,
    /// Google's business messages.
    GoogleBusiness,
    /// Zoho.
    Zoho,
    /// The vendor says that it does not know.
    Unspecified,
    /// The vendor says nothing.
    Missing,
}

impl Channel {
    /// Returns the display name that Chatbase writes, or none where it writes `null`.
    pub const fn chatbase_name(self) -> Option<&'static str> {
        Some(match self {
            Self::Website => "Widget or Iframe",
            Self::Frame => "Iframe",
            Self::VendorSite => "Chatbase site",
            Self::AgentPage => "Agent page",
            Self::CenterStage => "Center stage",
            Self::Search => "Search",
            Self::Api => "API",
            Self::Playground => "Playground",
            Self::ActionPreview => "Action preview",
            Self::QuestionPreview => "Qna preview",
            Self::WhatsApp => "WhatsApp",
            Self::Messenger | Self::Facebook => "Messenger",
            Self::Instagram => "Instagram",
            Self::Slack => "Slack",
            Self::Email | Self::Outlook => "Email",
            Self::Phone | Self::Voice | Self::Telephony => "Phone",
            Self::Zendesk => "Zendesk",
            Self::ZendeskMessaging => "Zendesk Messaging",
            Self::Salesforce => "Salesforce",
            Self::AndroidSdk => "Android SDK",
            Self::IosSdk => "iOS SDK",
            Self::Sms
            | Self::Telegram
            | Self::Discord
            | Self::GoogleBusiness
            | Self::Zoho
            | Self::Unspecified => "Unspecified",
            Self::Missing => return None,
        })
    }

    /// Returns the origin that Convocore writes, or none where it leaves the key out.
    pub const fn convocore_name(self) -> Option<&'static str> {
        Some(match self {
            Self::Website => "web-chat",
            Self::Frame => "web",
            Self::VendorSite | Self::AgentPage => "webchat",
            Self::CenterStage | Self::Search => "text",
            Self::WhatsApp => "whatsapp",
            Self::Messenger => "messenger",
            Self::Facebook => "facebook",
            Self::Instagram => "instagram",
            Self::Slack => "slack",
            Self::Email => "email",
            Self::Outlook => "outlook",
            Self::Phone => "vapi",
            Self::Voice => "voice",
            Self::Telephony => "telephony",
            Self::Sms => "sms",
            Self::Telegram => "telegram",
            Self::Discord => "discord",
            Self::GoogleBusiness => "gb-chat",
            Self::Zoho => "zoho",
            Self::Api
            | Self::Playground
            | Self::ActionPreview
            | Self::QuestionPreview
            | Self::Zendesk
            | Self::ZendeskMessaging
            | Self::Salesforce
            | Self::AndroidSdk
            | Self::IosSdk
            | Self::Unspecified
            | Self::Missing => return None,
        })
    }

    /// Returns the word for this channel that all vendors' names come down to.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Website
            | Self::Frame
            | Self::VendorSite
            | Self::AgentPage
            | Self::CenterStage
            | Self::Search => "website",
            Self::Api => "api",
            Self::Playground | Self::ActionPreview | Self::QuestionPreview => "playground",
            Self::WhatsApp => "whatsapp",
            Self::Messenger | Self::Facebook => "messenger",
            Self::Instagram => "instagram",
            Self::Slack => "slack",
            Self::Email | Self::Outlook => "email",
            Self::Phone | Self::Voice | Self::Telephony => "phone",
            Self::Sms => "sms",
            Self::Telegram => "telegram",
            Self::Discord => "discord",
            Self::Zendesk | Self::ZendeskMessaging => "zendesk",
            Self::Salesforce => "salesforce",
            Self::AndroidSdk | Self::IosSdk => "mobile",
            Self::GoogleBusiness => "google-business",
            Self::Zoho => "zoho",
            Self::Unspecified | Self::Missing => "other",
        }
    }
}

impl Conversation {
    /// Returns whether a person wrote anything in it.
    pub fn has_user_message(&self) -> bool {
        self.messages.iter().any(Message::is_human)
    }
}

impl Message {
    /// Returns a text message.
    pub fn text(role: Role, text: impl Into<String>) -> Self {
        Self { role, content: vec![Content::Text(text.into())], ..Self::default() }
    }

    /// Returns whether a person wrote it, control messages aside.
    pub fn is_human(&self) -> bool {
        let only_events = !self.content.is_empty()
            && self.content.iter().all(|content| matches!(content, Content::Event { .. }));
        self.role == Role::User && !only_events
    }
}
