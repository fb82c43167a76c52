//! The static description of this provider.

use chatark_core::{ChangeDetection, Descriptor, Stream, StreamDescriptor};

use crate::config::SETTINGS;

/// The provider's name, settings and streams, and what it supports.
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
