//! Questions and answers to teach another bot with, a row for each question.

use chatark_core::{ArchivedConversation, Feedback, Result};
use chatark_target::LossReport;

use crate::knowledge::{Best, Questions};
use crate::target::{Item, Mapper};

pub(crate) const COLUMNS: &[&str] =
    &["question", "answer", "feedback", "score", "asked", "source", "conversation_id"];

impl Mapper for Questions {
    fn map(&mut self, archived: &ArchivedConversation, loss_report: &mut LossReport) -> Result<Vec<Item>> {
        self.add(archived, loss_report);
        Ok(Vec::new())
    }

    fn finish(self: Box<Self>, loss_report: &mut LossReport) -> Vec<Item> {
        (*self).finish(loss_report).into_iter().map(|best| Item::Row(row(best))).collect()
    }
}

fn row(best: Best) -> Vec<String> {
    vec![
        best.pair.question,
        best.pair.answer,
        best.pair.feedback.map(Feedback::as_str).unwrap_or_default().to_owned(),
        best.pair.score.map(|score| score.to_string()).unwrap_or_default(),
        best.asked.to_string(),
        best.source,
        best.conversation_id,
    ]
}
