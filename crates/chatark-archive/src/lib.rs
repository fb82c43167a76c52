//! The archive: one SQLite file that holds every conversation and contact twice, as the vendor sent it and mapped to the
//! model, with the checkpoint from which each pull resumes.
//!
//! Promises, each checked by a test:
//!
//! - A checkpoint is written in the same transaction as the records before it.
//! - Writing the same records again changes nothing; a changed record keeps its earlier versions.
//! - Nothing is deleted: what a vendor no longer shows is marked as missing.
//! - Conversations are read back in a fixed order, in the memory of one conversation.
//! - The file and its companions are readable only by their owner.
//!
//! **This crate knows no vendor and no HTTP.** The tables are described in the files under `layout`.

mod archive;
mod computed;
mod connection;
mod contact;
mod conversation;
mod deployment;
mod document;
mod drift;
mod encode;
mod filter;
mod gaps;
mod keys;
mod layout;
mod lock;
mod open;
mod persons;
mod raw;
mod read;
mod rebuild;
mod run;
mod run_log;
mod sources;
mod statement;
mod stats;
mod status;
mod sweep;
mod sweep_history;
mod transfer;
mod values;
mod verify;
mod wal;
mod write;

pub use archive::Archive;
pub use document::StoredDocument;
pub use drift::{Drift, IssueRecord};
pub use encode::{EncodedDocument, EncodedRecord, HashedDocument, HashedRecord};
pub use filter::Filter;
pub use gaps::{GapRecord, recent_scope};
pub use keys::SourceKey;
pub use open::Upgrade;
pub use persons::{Identifier, ResolvedIdentifier};
pub use raw::Damage;
pub use rebuild::RebuiltDocument;
pub use run::{ResumePoint, Run, RunCounts, RunEnd, RunStart, SyncMode, Verdict};
pub use stats::{Question, StatsRow};
pub use status::{RunRecord, SourceStatus, StreamStatus};
pub use sweep::Unseen;
pub use sweep_history::SweepHistory;
pub use transfer::{Transfer, TransferState};
pub use verify::{CheckedVersion, StoredVersion, Subset, VersionFault};
pub use write::WriteOp;
