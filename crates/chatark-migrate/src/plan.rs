//! The work of a run without the writing.

use chatark_archive::Archive;
use chatark_core::Result;
use serde::Serialize;

use crate::loss::{Loss, Losses};
use crate::selection::Selection;
use crate::target::FileTarget;

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
    pub losses: Vec<Loss>,
}

/// Plans a migration into files. Writes nothing.
pub fn plan(archive: &Archive, selection: &Selection, target: FileTarget) -> Result<Plan> {
    let (mut mapper, mut losses, mut plan) = (target.mapper(), Losses::default(), Plan::default());
    selection.each(archive, |found| {
        plan.conversations += 1;
        plan.messages += found.conversation.messages.len() as u64;
        plan.items += mapper.map(found, &mut losses)?.len() as u64;
        Ok(())
    })?;
    plan.items += mapper.finish().len() as u64;
    plan.losses = losses.rows();
    Ok(plan)
}
