//! Packs the selected data of the archive for a target.

use std::collections::HashSet;

use chatark_archive::Archive;
use chatark_core::{ArchivedConversation, Error, ErrorKind, Result};
use chatark_target::{
    DataKind, FieldOutcome, KindLimits, LossReport, MigrationItem, Original, OutboundItem, Target,
};
use sha2::{Digest, Sha256};

use crate::knowledge::{self, BestAnswers};
use crate::people::People;
use crate::selection::MigrationSelection;

/// What is migrated to a target, and how; the same for a plan and its run.
#[derive(Debug, Clone)]
pub struct MigrationOptions {
    /// The selected conversations.
    pub selection: MigrationSelection,
    /// Whether knowledge is written as long texts instead of single questions and answers.
    pub as_text: bool,
    /// The vendor's id of the target's agent, whose own conversations are not copied back to it.
    pub agent_id: String,
}

/// The number of selected conversations and messages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct SelectedCounts {
    pub(super) conversations: u64,
    pub(super) messages: u64,
}

const SELECTED_TWICE: &str = "it is selected twice, as original and copy or through two APIs";
const OWN_COPY: &str = "it is a copy of a conversation of the target";

/// Packs everything of a kind, and passes the items to `take` in an order that is the same in every run.
///
/// For history, one conversation is in memory at a time; for the other kinds, all people or questions are.
pub(super) fn pack_all(
    archive: &Archive,
    options: &MigrationOptions,
    target: &dyn Target,
    kind: DataKind,
    loss_report: &mut LossReport,
    mut take: impl FnMut(OutboundItem) -> Result<()>,
) -> Result<SelectedCounts> {
    let limits = limits_of(target, kind)?;
    let mut pack = |item: MigrationItem<'_>, loss_report: &mut LossReport| {
        let packed = target.pack(item, loss_report)?;
        let is_sent = packed.is_some();
        packed.map_or(Ok(()), &mut take)?;
        Ok(is_sent)
    };
    match kind {
        DataKind::History => pack_history(archive, options, loss_report, &mut pack),
        DataKind::Contacts => pack_people(archive, options, limits, loss_report, &mut pack),
        DataKind::Knowledge => pack_knowledge(archive, options, limits, loss_report, &mut pack),
    }
}

/// Returns the limits of a kind. Fails if the target does not take it.
pub(super) fn limits_of(target: &dyn Target, kind: DataKind) -> Result<&'static KindLimits> {
    target.capabilities().limits(kind).ok_or_else(|| {
        let message = format!("{} takes no {}", target.capabilities().title, kind.as_str());
        Error::new(ErrorKind::Usage, "migrate", message)
    })
}

/// Packs one item and passes it on; returns whether the target takes it.
type Pack<'a> = &'a mut dyn FnMut(MigrationItem<'_>, &mut LossReport) -> Result<bool>;

fn pack_history(
    archive: &Archive,
    options: &MigrationOptions,
    loss_report: &mut LossReport,
    pack: Pack<'_>,
) -> Result<SelectedCounts> {
    let mut packed = HashSet::new();
    each_selected(archive, options, loss_report, |archived, original, loss_report| {
        // A conversation can be selected twice: as original and copy, or through two APIs of its vendor.
        let key = short_hash(original.agent_and_id());
        if packed.contains(&key) {
            loss_report.add("conversation", FieldOutcome::Approximated, SELECTED_TWICE, 1, archived);
        } else if pack(MigrationItem::Conversation(archived), loss_report)? {
            packed.insert(key);
        }
        Ok(())
    })
}

fn pack_people(
    archive: &Archive,
    options: &MigrationOptions,
    limits: &KindLimits,
    loss_report: &mut LossReport,
    pack: Pack<'_>,
) -> Result<SelectedCounts> {
    let mut people = People::new(archive)?;
    options
        .selection
        .each_listed(archive, |origin, list, listed| people.add_listed(origin, list, listed, loss_report))?;
    let selected = each_original(archive, options, loss_report, |archived, loss_report| {
        people.add(limits.field_rules, archived, loss_report)
    })?;
    for person in people.finish() {
        pack(MigrationItem::Person(&person), loss_report)?;
    }
    Ok(selected)
}

fn pack_knowledge(
    archive: &Archive,
    options: &MigrationOptions,
    limits: &KindLimits,
    loss_report: &mut LossReport,
    pack: Pack<'_>,
) -> Result<SelectedCounts> {
    let mut questions = BestAnswers::default();
    let selected = each_original(archive, options, loss_report, |archived, loss_report| {
        questions.add(archived, loss_report);
        Ok(())
    })?;
    let best = questions.finish(loss_report);
    if let Some(max_characters) = limits.text_characters.filter(|_| options.as_text) {
        for text in knowledge::texts(best, max_characters) {
            pack(MigrationItem::Text(&text), loss_report)?;
        }
    } else {
        for answer in knowledge::merge_answers(best) {
            pack(MigrationItem::QuestionAnswer(&answer), loss_report)?;
        }
    }
    Ok(selected)
}

/// Passes every selected conversation to `take`, except copies whose original is also selected.
fn each_original(
    archive: &Archive,
    options: &MigrationOptions,
    loss_report: &mut LossReport,
    mut take: impl FnMut(&ArchivedConversation, &mut LossReport) -> Result<()>,
) -> Result<SelectedCounts> {
    let originals = selected_originals(archive, options)?;
    each_selected(archive, options, loss_report, |archived, original, loss_report| {
        if original.is_copy() && originals.contains(&short_hash(original.agent_and_id())) {
            loss_report.add("conversation", FieldOutcome::Approximated, SELECTED_TWICE, 1, archived);
            return Ok(());
        }
        take(archived, loss_report)
    })
}

/// Passes every selected conversation to `take`, except copies of the target's own conversations.
fn each_selected(
    archive: &Archive,
    options: &MigrationOptions,
    loss_report: &mut LossReport,
    mut take: impl FnMut(&ArchivedConversation, &Original, &mut LossReport) -> Result<()>,
) -> Result<SelectedCounts> {
    let mut selected = SelectedCounts::default();
    options.selection.each_in_short_transactions(archive, |archived| {
        selected.conversations += 1;
        selected.messages += archived.conversation.messages.len() as u64;
        let original = Original::of(archived);
        if original.is_copy_of_agent(&options.agent_id) {
            loss_report.add_left_out(OWN_COPY, archived);
            return Ok(());
        }
        take(archived, &original, loss_report)
    })?;
    Ok(selected)
}

/// Returns a hash of agent and id for each selected conversation that is not a copy.
fn selected_originals(archive: &Archive, options: &MigrationOptions) -> Result<HashSet<[u8; 16]>> {
    let mut originals = HashSet::new();
    options.selection.each(archive, |archived| {
        let original = Original::of(archived);
        if !original.is_copy() {
            originals.insert(short_hash(original.agent_and_id()));
        }
        Ok(())
    })?;
    Ok(originals)
}

/// Returns the first sixteen bytes of a hash, to save memory: there may be a million keys.
pub(super) fn short_hash(key: &str) -> [u8; 16] {
    let hash = Sha256::digest(key.as_bytes());
    std::array::from_fn(|at| hash[at])
}
