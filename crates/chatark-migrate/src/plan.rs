//! The work of a run without the writing.

use chatark_archive::Archive;
use chatark_core::{Error, ErrorKind, Result};
use chatark_target::{LossReport, LossRow};
use serde::Serialize;

use crate::selection::Selection;
use crate::target::{FileTarget, Item};

/// What would go, and what of it would be lost.
#[derive(Debug, Default, Serialize)]
pub struct Plan {
    /// Conversations that were chosen.
    pub conversations: u64,
    /// Their messages.
    pub messages: u64,
    /// What the target would write of them: lines, rows, files, or elements.
    pub items: u64,
    /// What becomes of each field.
    #[serde(rename = "losses")]
    pub loss_report: Vec<LossRow>,
}

impl Plan {
    /// Refuses a run of which nothing would come.
    pub fn refuse_nothing(&self) -> Result<()> {
        refuse_nothing(self.conversations, self.items)
    }
}

/// Refuses a migration in which no item goes of so many conversations.
pub fn refuse_nothing(conversations: u64, items: u64) -> Result<()> {
    let (message, hint) = match (conversations, items) {
        (0, 0) => (
            "no conversation of the archive is chosen".to_owned(),
            "check the sources and the filters, or run `chatark pull` first",
        ),
        (chosen, 0) => (
            format!("of {chosen} conversations that are chosen, the target takes nothing"),
            "`chatark migrate plan` with the same arguments says why",
        ),
        _ => return Ok(()),
    };
    Err(Error::new(ErrorKind::Usage, "migrate", message).hint(hint))
}

/// Plans a migration into files. Writes nothing.
pub fn plan(archive: &Archive, selection: &Selection, target: FileTarget) -> Result<Plan> {
    walk(archive, selection, target, |_| Ok(()))
}

/// Turns what is chosen into items and gives them to `write`, and returns what that came to.
pub(crate) fn walk(
    archive: &Archive,
    selection: &Selection,
    target: FileTarget,
    mut write: impl FnMut(Item) -> Result<()>,
) -> Result<Plan> {
    let mut mapper = target.mapper(archive, selection)?;
    let (mut loss_report, mut plan) = (LossReport::default(), Plan::default());
    let mut items_written = 0;
    let mut give = |items: Vec<Item>| {
        items_written += items.iter().filter(|item| item.is_content()).count() as u64;
        items.into_iter().try_for_each(&mut write)
    };
    selection
        .each_listed(archive, |origin, list, entry| mapper.meet(origin, list, entry, &mut loss_report))?;
    selection.each(archive, |archived| {
        plan.conversations += 1;
        plan.messages += archived.conversation.messages.len() as u64;
        give(mapper.map(archived, &mut loss_report)?)
    })?;
    give(mapper.finish(&mut loss_report))?;
    (plan.items, plan.loss_report) = (items_written, loss_report.rows());
    Ok(plan)
}
