//! Conversations independent of any vendor: the data that all vendors' APIs show.

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

/// A complete conversation, before a vendor's API omits anything.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Conversation {
    /// The vendor's id, which is unique within one agent.
    pub id: String,
    /// The title that the vendor generated.
    pub title: Option<String>,
    /// Where the customer wrote.
    pub channel: Channel,
    /// The status of the conversation.
    pub status: Option<Status>,
    /// When it began, in epoch seconds (UTC).
    pub created_at: i64,
    /// When it last changed, in epoch seconds (UTC).
    pub updated_at: i64,
    /// The customer.
    pub contact: Contact,
    /// The labels that the team put on it.
    pub tags: Vec<String>,
    /// The team's notes.
    pub notes: Option<String>,
    /// The customer's feedback on the whole conversation.
    pub feedback: Option<Feedback>,
    /// How many of five stars the person gave the whole conversation.
    pub stars: Option<u8>,
    /// The customer's country, in two letters.
    pub country: Option<String>,
    /// How many leading messages belong to each past session, oldest session first.
    ///
    /// The messages after them belong to the current session.
    pub past_sessions: Vec<usize>,
    /// The messages, oldest first.
    pub messages: Vec<Message>,
    /// Whether the conversation is written in all known variants of the vendor's format: times,
    /// roles, sources and optional keys vary.
    pub varied: bool,
}

/// One message of a conversation.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Message {
    /// The vendor's id, if there is one.
    pub id: Option<String>,
    /// The role of the author.
    pub role: Role,
    /// When it was sent, in epoch seconds (UTC).
    pub created_at: Option<i64>,
    /// The contents, in order.
    pub content: Vec<Content>,
    /// The customer's feedback on this message.
    pub feedback: Option<Feedback>,
    /// The assistant's confidence, from 0 to 1.
    pub score: Option<f64>,
}

/// One piece of a message.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// Text.
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
    /// The result of a tool call.
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
        /// The transcript, if there is one.
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
        /// The fields in order: label, and value if it was filled in.
        fields: Vec<(String, Option<String>)>,
    },
    /// A notice that the chat window shows, such as `success`.
    Notice {
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
    /// A line of the assistant's trace.
    Debug {
        /// What it says.
        text: String,
    },
    /// A content type that only this vendor has.
    Unknown {
        /// The vendor's name for it.
        kind: String,
        /// What it holds; [`Value::Null`] leaves it out.
        data: Value,
    },
}

/// The role of an author.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Role {
    /// The customer.
    #[default]
    User,
    /// The chatbot.
    Assistant,
    /// A tool of the chatbot.
    Tool,
    /// The platform itself.
    System,
}

/// The status of a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// The chatbot is answering.
    Ongoing,
    /// It is over.
    Ended,
    /// A human agent answers.
    TakenOver,
    /// The chatbot is silent; the customer may still write.
    Paused,
}

/// A customer's feedback on a message or a conversation.
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
    /// Nothing waited for it.
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

/// The customer, as far as known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contact {
    /// The id in the system of the agent's owner.
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

/// A person in a list of the vendor: a lead that the chatbot collected, or a contact of the agent's owner.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Person {
    /// The vendor's id; for a lead, a number as text.
    pub id: String,
    /// The id in the system of the agent's owner.
    pub external_id: Option<String>,
    /// The full name.
    pub name: Option<String>,
    /// The e-mail address.
    pub email: Option<String>,
    /// The phone number.
    pub phone: Option<String>,
    /// The company.
    pub company: Option<String>,
    /// When the person was added, in epoch seconds (UTC).
    pub created_at: i64,
}

/// Where a customer wrote, in the finest distinction of any vendor.
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
    /// The playground of the vendor's dashboard.
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
    /// The vendor says "unspecified".
    Unspecified,
    /// The vendor says nothing.
    Missing,
}

impl Channel {
    /// Returns Chatbase's display name; `None` if it writes `null`.
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

    /// Returns Convocore's origin; `None` if it omits the key.
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

    /// Returns the word of the model for this channel.
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
    /// Returns whether the customer wrote anything.
    pub fn has_user_message(&self) -> bool {
        self.messages.iter().any(Message::is_human)
    }
}

impl Message {
    /// Returns a text message.
    pub fn text(role: Role, text: impl Into<String>) -> Self {
        Self { role, content: vec![Content::Text(text.into())], ..Self::default() }
    }

    /// Returns whether the customer wrote it; control messages do not count.
    pub fn is_human(&self) -> bool {
        let only_events = !self.content.is_empty()
            && self.content.iter().all(|content| matches!(content, Content::Event { .. }));
        self.role == Role::User && !only_events
    }
}
