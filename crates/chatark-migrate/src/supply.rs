//! What the archive has for a target, packed one after the other.

use std::collections::HashSet;

use chatark_archive::Archive;
use chatark_core::{Error, ErrorKind, Result};
use chatark_target::{DataKind, FieldOutcome, LossReport, MigrationItem, Original, OutboundItem, Target};
use sha2::{Digest, Sha256};

use crate::knowledge::{self, Questions};
use crate::people::People;
use crate::person::Identities;
use crate::selection::Selection;

/// What goes to a target, the same for a plan and its run.
#[derive(Debug, Clone)]
pub struct Order {
    /// Which conversations, people and questions are chosen.
    pub selection: Selection,
    /// Whether knowledge goes as long texts in place of single questions and answers.
    pub as_text: bool,
    /// The vendor's id of the agent that it goes into, to which nothing is carried back.
    pub agent_id: String,
}

/// What was chosen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Chosen {
    pub(crate) conversations: u64,
    pub(crate) messages: u64,
}

const ORIGINAL: &str = "it is chosen twice, as a copy and as what it is a copy of";

/// Packs everything of a kind and gives the items to `take`, always in the same order.
///
/// Conversations take the memory of one; people and questions are gathered before the first of them goes.
pub(crate) fn supply(
    archive: &Archive,
    order: &Order,
    target: &dyn Target,
    kind: DataKind,
    loss_report: &mut LossReport,
    mut take: impl FnMut(OutboundItem) -> Result<()>,
) -> Result<Chosen> {
    let limits = target.capabilities().limits(kind).ok_or_else(|| {
        Error::new(
            ErrorKind::Usage,
            "migrate",
            format!("{} takes no {}", target.capabilities().title, kind.as_str()),
        )
    })?;
    let mut chosen = Chosen::default();
    let (mut people, mut questions) = (People::default(), Questions::default());
    let mut keys = HashSet::new();
    if kind == DataKind::Contacts {
        people = People::new(Identities::read(archive, &order.selection.filter.sources)?);
        let meet = |origin: &_, list, entry: &_| people.meet(origin, list, entry, loss_report);
        order.selection.each_listed(archive, meet)?;
    }
    let originals = if kind == DataKind::History { HashSet::new() } else { originals(archive, order)? };
    order.selection.each_by_itself(archive, |archived| {
        chosen.conversations += 1;
        chosen.messages += archived.conversation.messages.len() as u64;
        let original = Original::of(archived);
        if original.is_copy_of_agent(&order.agent_id) {
            loss_report.add_left_out("it is a copy of one of the target's own", archived);
            return Ok(());
        }
        if original.is_copy() && originals.contains(&short(original.place())) {
            loss_report.add("conversation", FieldOutcome::Approximated, ORIGINAL, 1, archived);
            return Ok(());
        }
        match kind {
            DataKind::History => match target.pack(MigrationItem::Conversation(archived), loss_report)? {
                None => Ok(()),
                Some(item) if keys.insert(short(&item.idempotency_key)) => take(item),
                // What was carried before and pulled again may come twice: by itself, and as a copy.
                Some(_) => {
                    loss_report.add("conversation", FieldOutcome::Approximated, ORIGINAL, 1, archived);
                    Ok(())
                }
            },
            DataKind::Contacts => {
                people.gather(limits.rules, archived, loss_report);
                Ok(())
            }
            DataKind::Knowledge => {
                questions.add(archived, loss_report);
                Ok(())
            }
        }
    })?;
    let mut pack = |item: MigrationItem<'_>, loss_report: &mut LossReport| {
        target.pack(item, loss_report)?.map_or(Ok(()), &mut take)
    };
    for person in people.finish() {
        pack(MigrationItem::Person(&person), loss_report)?;
    }
    if kind != DataKind::Knowledge {
        return Ok(chosen);
    }
    let best = questions.finish(loss_report);
    if let Some(most) = limits.text_characters.filter(|_| order.as_text) {
        let texts = knowledge::texts(best, most);
        texts.iter().try_for_each(|text| pack(MigrationItem::Text(text), loss_report))?;
    } else {
        let answers = knowledge::answers(best);
        answers.iter().try_for_each(|answer| pack(MigrationItem::QuestionAnswer(answer), loss_report))?;
    }
    Ok(chosen)
}

/// Returns where the chosen conversations come from that are no copies.
fn originals(archive: &Archive, order: &Order) -> Result<HashSet<[u8; 16]>> {
    let mut originals = HashSet::new();
    order.selection.each(archive, |archived| {
        let original = Original::of(archived);
        if !original.is_copy() {
            originals.insert(short(original.place()));
        }
        Ok(())
    })?;
    Ok(originals)
}

/// Returns sixteen bytes that tell keys apart, since there may be a million of them.
pub(crate) fn short(idempotency_key: &str) -> [u8; 16] {
    let hash = Sha256::digest(idempotency_key.as_bytes());
    std::array::from_fn(|at| hash[at])
}
