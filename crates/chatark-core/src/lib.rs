//! The shared model of Chatark and the seams between its crates.
//!
//! A provider pulls raw conversations and normalizes them into the model of this crate; the archive keeps
//! both; writers, reports and migrations read the model alone. Whoever adds a vendor implements [`Provider`].
//!
//! **This crate never performs I/O.** It knows no runtime, no HTTP, no database, no terminal and no vendor.

pub mod clock;
pub mod error;
pub mod fields;
pub mod identifier;
pub mod ids;
pub mod issue;
pub mod model;
pub mod provider;
pub mod question;
pub mod settings;
pub mod stats;
pub mod time;
pub mod vocabulary;

pub use clock::Clock;
pub use error::{Error, ErrorKind, Result};
pub use identifier::IdentifierKind;
pub use ids::{ConversationId, SourceName};
pub use issue::{Issue, IssueKind, Issues};
pub use model::{
    ArchivedConversation, Author, Card, ChoiceOption, Contact, Conversation, FormField, ListedContact,
    Message, Origin, Part, Rating,
};
pub use provider::{
    AgentInfo, Batch, BatchStream, Checkpoint, ContactBatch, ContactList, ContactStream, Cursor, Descriptor,
    Estimate, Held, Increments, Known, Pace, PageMetadata, Provider, PullRequest, RawContact,
    RawConversation, Selection, Surface, Window,
};
pub use settings::{Setting, SettingKind, SettingProblem, Settings};
pub use stats::{ConversationStats, Quarter, ToolCalls};
pub use time::{Timestamp, Zone};
pub use vocabulary::{AuthorKind, Channel, Feedback, Role, Status};
