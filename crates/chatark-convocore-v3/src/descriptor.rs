//! What this provider is and can do.

use chatark_core::{ChangeDetection, Descriptor, Stream, StreamDescriptor};

use crate::config::SETTINGS;

/// What this provider is and can do.
pub const DESCRIPTOR: Descriptor = Descriptor {
    name: "convocore-v3",
    title: "Convocore API v3",
    settings: SETTINGS,
    streams: &[StreamDescriptor {
        stream: Stream::Conversations,
        parent: None,
        reports_total: false,
        changes: ChangeDetection::ListRows,
    }],
    selects_user: false,
    selects_conversations: true,
    full_sweep_days: 30,
    dates_are_zoneless: true,
};
