//! The shared model of Chatark, and the traits between its crates.
//!
//! A provider reads raw records and a mapper turns them into the model of this crate; the archive keeps both; exports,
//! reports and migrations never read raw records. To add a vendor, implement [`Provider`] and [`Mapper`].
//!
//! **This crate never performs I/O.** It knows no runtime, no HTTP, no database, no terminal and no vendor, except for the words that vendors use for channels.

pub mod clock;
pub mod error;
pub mod features;
pub mod fields;
pub mod gap;
pub mod identifier;
pub mod ids;
pub mod issue;
pub mod model;
pub mod provider;
pub mod question;
pub mod record;
pub mod resume_token;
pub mod settings;
pub mod stats;
pub mod stream;
pub mod time;
pub mod vocabulary;
pub mod window;

pub use clock::Clock;
pub use error::{Error, ErrorKind, Result};
pub use features::Features;
pub use gap::{Gap, GapBounds, OpenGap};
pub use identifier::IdentifierKind;
pub use ids::{ConversationId, RecordId, SourceName};
pub use issue::{Issue, IssueKind, Issues};
pub use model::{
    ArchivedConversation, Author, Card, ChoiceOption, Contact, Conversation, FormField, ListedContact,
    MAPPING_VERSION, Message, Origin, Part, Rating,
};
pub use provider::{
    AgentInfo, BatchStream, Descriptor, Estimate, HeldRecords, HeldSummary, Mapper, Provider, RateLimit,
    ReadRequest, Rotation, Selection, UnseenRecord,
};
pub use record::{Batch, Checkpoint, Document, ListRow, PageMetadata, Record, Surface};
pub use resume_token::ResumeToken;
pub use settings::{Setting, SettingKind, SettingProblem, Settings};
pub use stats::{ConversationStats, QuarterHour, StatsSummary, ToolCalls};
pub use stream::{ChangeDetection, DocumentKind, Stream, StreamDescriptor};
pub use time::{LocalHour, Timestamp, Zone};
pub use vocabulary::{AuthorKind, Channel, Feedback, Role, Status};
pub use window::Window;
