//! What the archive has for a target, packed one after the other.

use std::collections::HashSet;

use chatark_archive::Archive;
use chatark_core::{
    DataKind, Error, ErrorKind, FieldOutcome, LossReport, MigrationItem, OutboundItem, Result, Target,
};
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

/// Packs everything of a kind and gives the parcels to `take`, always in the same order.
///
/// Conversations take the memory of one; people and questions are gathered before the first of them goes.
pub(crate) fn supply(
    archive: &Archive,
    order: &Order,
    target: &dyn Target,
    cargo: DataKind,
    losses: &mut LossReport,
    mut take: impl FnMut(OutboundItem) -> Result<()>,
) -> Result<Chosen> {
    let taking = target.terms().taking(cargo).ok_or_else(|| {
        Error::new(
            ErrorKind::Usage,
            "migrate",
            format!("{} takes no {}", target.terms().title, cargo.as_str()),
        )
    })?;
    let mut chosen = Chosen::default();
    let (mut people, mut questions) = (People::default(), Questions::default());
    let mut marks = HashSet::new();
    if cargo == DataKind::Contacts {
        people = People::new(Identities::read(archive, &order.selection.filter.sources)?);
        let meet = |origin: &_, list, entry: &_| people.meet(origin, list, entry, losses);
        order.selection.each_listed(archive, meet)?;
    }
    let originals = if cargo == DataKind::History { HashSet::new() } else { originals(archive, order)? };
    order.selection.each_by_itself(archive, |found| {
        chosen.conversations += 1;
        chosen.messages += found.conversation.messages.len() as u64;
        if found.is_copy_from(&order.agent_id) {
            losses.leave("it is a copy of one of the target's own", found);
            return Ok(());
        }
        if found.is_copy() && originals.contains(&short(&found.first_place())) {
            losses.note("conversation", FieldOutcome::Approximated, ORIGINAL, 1, found);
            return Ok(());
        }
        match cargo {
            DataKind::History => match target.pack(MigrationItem::Conversation(found), losses)? {
                None => Ok(()),
                Some(parcel) if marks.insert(short(&parcel.mark)) => take(parcel),
                // What was carried before and pulled again may come twice: by itself, and as a copy.
                Some(_) => {
                    losses.note("conversation", FieldOutcome::Approximated, ORIGINAL, 1, found);
                    Ok(())
                }
            },
            DataKind::Contacts => {
                people.gather(taking.rules, found, losses);
                Ok(())
            }
            DataKind::Knowledge => {
                questions.add(found, losses);
                Ok(())
            }
        }
    })?;
    let mut pack = |load: MigrationItem<'_>, losses: &mut LossReport| {
        target.pack(load, losses)?.map_or(Ok(()), &mut take)
    };
    for person in people.finish() {
        pack(MigrationItem::Person(&person), losses)?;
    }
    if cargo != DataKind::Knowledge {
        return Ok(chosen);
    }
    let best = questions.finish(losses);
    if let Some(most) = taking.text_characters.filter(|_| order.as_text) {
        let texts = knowledge::texts(best, most);
        texts.iter().try_for_each(|text| pack(MigrationItem::Text(text), losses))?;
    } else {
        let answers = knowledge::answers(best);
        answers.iter().try_for_each(|answer| pack(MigrationItem::Answer(answer), losses))?;
    }
    Ok(chosen)
}

/// Returns where the chosen conversations come from that are no copies.
fn originals(archive: &Archive, order: &Order) -> Result<HashSet<[u8; 16]>> {
    let mut originals = HashSet::new();
    order.selection.each(archive, |found| {
        if !found.is_copy() {
            originals.insert(short(&found.first_place()));
        }
        Ok(())
    })?;
    Ok(originals)
}

/// Returns sixteen bytes that tell marks apart, since there may be a million of them.
pub(crate) fn short(mark: &str) -> [u8; 16] {
    let hash = Sha256::digest(mark.as_bytes());
    std::array::from_fn(|at| hash[at])
}
