//! Questions and answers to teach another bot with: each question once, with its best answer.
//!
//! Memory grows with the number of different questions.

use std::collections::HashMap;

use chatark_core::{ArchivedConversation, Feedback, Result};

use crate::loss::{Fate, Losses, Rule};
use crate::pairs::{self, Pair};
use crate::target::{Item, Mapper};

pub(crate) const COLUMNS: &[&str] =
    &["question", "answer", "feedback", "score", "asked", "source", "conversation_id"];

/// Answers of which the bot was less sure are not taught on.
const LEAST_SCORE: f64 = 0.5;

#[derive(Default)]
pub(crate) struct Questions(HashMap<String, Best>);

struct Best {
    pair: Pair,
    asked: u64,
    source: String,
    conversation_id: String,
}

const RULES: &[Rule] = &[
    ("message.role.user", Fate::Approximated, "as a question, where the bot answers it next"),
    ("message.role.assistant", Fate::Approximated, "as an answer, where it is the best one to its question"),
    ("message.feedback", Fate::Kept, "of the best answer"),
    ("message.score", Fate::Kept, "of the best answer"),
    ("part.text", Fate::Approximated, "as a question or an answer"),
    ("conversation.id", Fate::Approximated, "of the best answer"),
];

impl Mapper for Questions {
    fn map(&mut self, found: &ArchivedConversation, losses: &mut Losses) -> Result<Vec<Item>> {
        let pairs = pairs::of(&found.conversation);
        if pairs.is_empty() {
            losses.note("conversation", Fate::Lost, "the bot answers no question in it", 1, found);
            return Ok(Vec::new());
        }
        losses.apply(RULES, found);
        for pair in pairs {
            let key = pairs::fold(&pair.question);
            let is_bad = pair.feedback == Some(Feedback::Negative)
                || pair.score.is_some_and(|score| score < LEAST_SCORE);
            if is_bad || key.is_empty() {
                losses.note(
                    "question",
                    Fate::Lost,
                    "its answer was found wrong, or the bot was not sure",
                    1,
                    found,
                );
                continue;
            }
            match self.0.get_mut(&key) {
                Some(best) => {
                    best.asked += 1;
                    losses.note(
                        "question",
                        Fate::Approximated,
                        "merged with the same question elsewhere",
                        1,
                        found,
                    );
                    if rank(&pair) > rank(&best.pair) {
                        *best = Best { asked: best.asked, ..best_of(found, pair) };
                    }
                }
                None => {
                    self.0.insert(key, best_of(found, pair));
                }
            }
        }
        Ok(Vec::new())
    }

    fn finish(self: Box<Self>) -> Vec<Item> {
        let mut all: Vec<_> = self.0.into_values().collect();
        all.sort_by(|one, other| {
            let order = |best: &Best| (rank(&best.pair), best.asked);
            order(other).cmp(&order(one)).then_with(|| one.pair.question.cmp(&other.pair.question))
        });
        all.into_iter().map(|best| Item::Row(row(best))).collect()
    }
}

fn best_of(found: &ArchivedConversation, pair: Pair) -> Best {
    let (source, conversation_id) = (found.origin.source.to_string(), found.conversation.id.to_string());
    Best { pair, asked: 1, source, conversation_id }
}

/// Praise counts before certainty, which is held in thousandths.
fn rank(pair: &Pair) -> (bool, Option<u16>) {
    let thousandths =
        |score: f64| (0..=1_000_u16).rev().find(|step| f64::from(*step) / 1e3 <= score).unwrap_or(0);
    (pair.feedback == Some(Feedback::Positive), pair.score.map(thousandths))
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
