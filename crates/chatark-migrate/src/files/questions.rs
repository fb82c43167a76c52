//! `questions-csv`: one row for each question with its best answer.

use chatark_core::{ArchivedConversation, Feedback, Result};
use chatark_target::LossReport;

use super::converter::{Converter, FileItem};
use crate::knowledge::{BestAnswer, BestAnswers};

pub(super) const COLUMNS: &[&str] =
    &["question", "answer", "feedback", "score", "asked", "source", "conversation_id"];

impl Converter for BestAnswers {
    fn convert(
        &mut self,
        archived: &ArchivedConversation,
        loss_report: &mut LossReport,
    ) -> Result<Vec<FileItem>> {
        self.add(archived, loss_report);
        Ok(Vec::new())
    }

    fn finish(self: Box<Self>, loss_report: &mut LossReport) -> Vec<FileItem> {
        (*self).finish(loss_report).into_iter().map(|best| FileItem::Row(row(best))).collect()
    }
}

fn row(best: BestAnswer) -> Vec<String> {
    vec![
        best.answered.question,
        best.answered.answer,
        best.answered.feedback.map(Feedback::as_str).unwrap_or_default().to_owned(),
        best.answered.score.map(|score| score.to_string()).unwrap_or_default(),
        best.asked.to_string(),
        best.source,
        best.conversation_id,
    ]
}
