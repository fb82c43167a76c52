//! The plan of a migration to files: converts everything and writes nothing.

use std::borrow::Cow;

use chatark_archive::Archive;
use chatark_core::{ArchivedConversation, Result};
use chatark_target::{FieldOutcome, LossReport, LossRow};
use serde::Serialize;

use super::converter::FileItem;
use super::format::FileFormat;
use crate::selection::MigrationSelection;

/// What would be written, and what would be lost.
#[derive(Debug, Default, Serialize)]
pub struct FilePlan {
    /// The number of selected conversations.
    pub conversations: u64,
    /// The number of their messages.
    pub messages: u64,
    /// The number of items that they become: lines, rows, files or threads.
    pub items: u64,
    /// What becomes of each field.
    #[serde(rename = "losses")]
    pub loss_report: Vec<LossRow>,
}

/// Plans a migration to files. Writes nothing.
pub fn plan_files(archive: &Archive, selection: &MigrationSelection, format: FileFormat) -> Result<FilePlan> {
    convert_all(archive, selection, format, |_| Ok(()))
}

/// Converts the selected conversations into items, and passes these to `write`.
pub(super) fn convert_all(
    archive: &Archive,
    selection: &MigrationSelection,
    format: FileFormat,
    mut write: impl FnMut(FileItem) -> Result<()>,
) -> Result<FilePlan> {
    let mut converter = format.converter(archive)?;
    let (mut loss_report, mut plan) = (LossReport::default(), FilePlan::default());
    let mut item_count = 0;
    let mut write_all = |items: Vec<FileItem>| {
        item_count += items.iter().filter(|item| item.is_content()).count() as u64;
        items.into_iter().try_for_each(&mut write)
    };
    selection.each_listed(archive, |origin, list, listed| {
        converter.add_listed(origin, list, listed, &mut loss_report)
    })?;
    selection.each(archive, |archived| {
        plan.conversations += 1;
        plan.messages += archived.conversation.messages.len() as u64;
        let archived = without_internal_notes(archived, &mut loss_report);
        write_all(converter.convert(&archived, &mut loss_report)?)
    })?;
    write_all(converter.finish(&mut loss_report))?;
    (plan.items, plan.loss_report) = (item_count, loss_report.rows());
    Ok(plan)
}

/// Removes and counts internal notes: in a file, they would look like messages to the customer.
fn without_internal_notes<'a>(
    archived: &'a ArchivedConversation,
    loss_report: &mut LossReport,
) -> Cow<'a, ArchivedConversation> {
    let notes = archived.conversation.messages.iter().filter(|message| message.internal).count();
    if notes == 0 {
        return Cow::Borrowed(archived);
    }
    loss_report.add("message", FieldOutcome::Lost, "an internal note", notes, archived);
    let mut public = archived.clone();
    public.conversation.messages.retain(|message| !message.internal);
    Cow::Owned(public)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use chatark_core::{Conversation, ConversationId, Message, Origin, Part, Role, SourceName};

    use super::*;

    #[test]
    fn internal_notes_are_left_out_and_counted() {
        let origin = Origin {
            source: SourceName::new("shop").unwrap(),
            provider: "convocore-v3".to_owned(),
            agent_id: "agent1".to_owned(),
        };
        let message = |text, internal| Message {
            parts: vec![Part::text(text)],
            internal,
            ..Message::empty(Role::HumanAgent)
        };
        let messages = vec![message("Hello", false), message("a difficult customer", true)];
        let conversation = Conversation { messages, ..Conversation::empty(ConversationId::new("c1")) };
        let archived = ArchivedConversation { origin: Arc::new(origin), conversation };
        let mut loss_report = LossReport::default();
        let public = without_internal_notes(&archived, &mut loss_report);
        let texts: Vec<_> = public.conversation.messages.iter().map(Message::text).collect();
        assert_eq!(texts, ["Hello"]);
        assert_eq!(loss_report.rows()[0].cells().join("|"), "message|lost|1|c1|an internal note");
    }
}
