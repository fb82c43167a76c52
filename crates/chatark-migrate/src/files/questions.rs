//! Questions and answers to teach another bot with: each question once, with its best answer.
//!
//! Memory grows with the number of different questions.

use std::collections::HashMap;

use chatark_core::{ArchivedConversation, Fate, Feedback, Losses, Result, Role, Rule};

use crate::pairs::{self, Pair};
use crate::target::{Item, Mapper};

pub(crate) const COLUMNS: &[&str] =
    &["question", "answer", "feedback", "score", "asked", "source", "conversation_id"];

/// Answers of which the bot was less sure are not taught on.
const LEAST_SCORE: f64 = 0.5;

#[derive(Default)]
pub(crate) struct Questions {
    best: HashMap<String, Best>,
    /// How many messages had feedback, how many a score, and a conversation with one of them.
    judged: (usize, usize, String),
}

struct Best {
    pair: Pair,
    asked: u64,
    source: String,
    conversation_id: String,
}

const WRONG: &str = "its answer was found wrong, or the bot was not sure";
const RULES: &[Rule] = &[
    ("message.role.user", Fate::Kept, ""),
    ("message.role.assistant", Fate::Approximated, "as an answer, where it is the best one to its question"),
    ("message.feedback", Fate::Kept, ""),
    ("message.score", Fate::Kept, ""),
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
        let messages = &found.conversation.messages;
        self.judged.0 += messages.iter().filter(|message| message.feedback.is_some()).count();
        self.judged.1 += messages.iter().filter(|message| message.score.is_some()).count();
        self.judged.2 = found.conversation.id.to_string();
        let asked = messages.iter().filter(|message| message.role == Role::User).count();
        losses.note(
            "message.role.user",
            Fate::Lost,
            "no answer of the bot follows it",
            asked - pairs.len(),
            found,
        );
        for pair in pairs {
            let key = pairs::fold(&pair.question);
            let is_bad = pair.feedback == Some(Feedback::Negative)
                || pair.score.is_some_and(|score| score < LEAST_SCORE);
            if is_bad || key.is_empty() {
                let why = if is_bad { WRONG } else { "it has no words" };
                losses.note("message.role.user", Fate::Lost, why, 1, found);
                continue;
            }
            match self.best.get_mut(&key) {
                Some(best) => {
                    best.asked += 1;
                    losses.note(
                        "message.role.user",
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
                    self.best.insert(key, best_of(found, pair));
                }
            }
        }
        Ok(Vec::new())
    }

    fn finish(self: Box<Self>, losses: &mut Losses) -> Vec<Item> {
        let mut all: Vec<_> = self.best.into_values().collect();
        let (feedback, scores, example) = self.judged;
        let kept = |has: fn(&Pair) -> bool| all.iter().filter(|best| has(&best.pair)).count();
        for (field, seen, kept) in [
            ("message.feedback", feedback, kept(|pair| pair.feedback.is_some())),
            ("message.score", scores, kept(|pair| pair.score.is_some())),
        ] {
            losses.note_of(field, Fate::Kept, "of the best answer", kept, &example);
            losses.note_of(field, Fate::Lost, "of another answer than the best one", seen - kept, &example);
        }
        losses.note_of("message.role.user", Fate::Kept, "as a question", all.len(), &example);
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
