//! What another bot can learn: each question once, with its best answer. Memory grows with the number of questions.

use std::collections::HashMap;

use chatark_core::{ArchivedConversation, Feedback, Role};
use chatark_target::{FieldOutcome, FieldRule, LossReport, QuestionAnswer, Text};
use sha2::{Digest, Sha256};

use crate::hex;
use crate::pairs::{self, Pair};

/// Answers of which the bot was less sure are not taught on.
const LEAST_SCORE: f64 = 0.5;

/// Questions as they are met.
#[derive(Debug, Default)]
pub(crate) struct Questions {
    best: HashMap<String, Best>,
    /// How many messages had feedback, how many a score, and a conversation with one of them.
    judged: (usize, usize, String),
}

/// A question with its best answer.
#[derive(Debug)]
pub(crate) struct Best {
    pub(crate) pair: Pair,
    pub(crate) asked: u64,
    pub(crate) source: String,
    pub(crate) conversation_id: String,
}

const WRONG: &str = "its answer was rated wrong, or the bot was not sure";

/// What becomes of the fields of conversations of which questions and answers are taken.
pub(crate) const RULES: &[FieldRule] = &[
    ("message.role.user", FieldOutcome::Kept, ""),
    (
        "message.role.assistant",
        FieldOutcome::Approximated,
        "as an answer, where it is the best one to its question",
    ),
    ("message.feedback", FieldOutcome::Kept, ""),
    ("message.score", FieldOutcome::Kept, ""),
    ("part.text", FieldOutcome::Approximated, "as a question or an answer"),
    ("conversation.id", FieldOutcome::Approximated, "of the best answer"),
];

impl Questions {
    /// Adds the questions of a conversation, and notes what becomes of its fields.
    pub(crate) fn add(&mut self, archived: &ArchivedConversation, loss_report: &mut LossReport) {
        let pairs = pairs::of(&archived.conversation);
        if pairs.is_empty() {
            loss_report.add_left_out("the bot answers no question in it", archived);
            return;
        }
        loss_report.apply(RULES, archived);
        let messages = &archived.conversation.messages;
        self.judged.0 += messages.iter().filter(|message| message.feedback.is_some()).count();
        self.judged.1 += messages.iter().filter(|message| message.score.is_some()).count();
        self.judged.2 = archived.conversation.id.to_string();
        let asked = messages.iter().filter(|message| message.role == Role::User).count();
        let unanswered = asked - pairs.len();
        loss_report.add(
            "message.role.user",
            FieldOutcome::Lost,
            "no answer of the bot follows it",
            unanswered,
            archived,
        );
        for pair in pairs {
            self.add_pair(pair, archived, loss_report);
        }
    }

    fn add_pair(&mut self, pair: Pair, archived: &ArchivedConversation, loss_report: &mut LossReport) {
        let key = pairs::fold(&pair.question);
        let is_bad =
            pair.feedback == Some(Feedback::Negative) || pair.score.is_some_and(|score| score < LEAST_SCORE);
        if is_bad || key.is_empty() {
            let why = if is_bad { WRONG } else { "it has no words" };
            loss_report.add("message.role.user", FieldOutcome::Lost, why, 1, archived);
            return;
        }
        let Some(best) = self.best.get_mut(&key) else {
            self.best.insert(key, Best::of(archived, pair));
            return;
        };
        best.asked += 1;
        let merged = "merged with the same question elsewhere";
        loss_report.add("message.role.user", FieldOutcome::Approximated, merged, 1, archived);
        if rank(&pair) > rank(&best.pair) {
            *best = Best { asked: best.asked, ..Best::of(archived, pair) };
        }
    }

    /// Returns them, the best ones first, and notes how many of the ratings were those of a best answer.
    pub(crate) fn finish(self, loss_report: &mut LossReport) -> Vec<Best> {
        let mut all: Vec<_> = self.best.into_values().collect();
        let (feedback, scores, example) = self.judged;
        let kept = |has: fn(&Pair) -> bool| all.iter().filter(|best| has(&best.pair)).count();
        for (field, seen, kept) in [
            ("message.feedback", feedback, kept(|pair| pair.feedback.is_some())),
            ("message.score", scores, kept(|pair| pair.score.is_some())),
        ] {
            loss_report.add_with_example(field, FieldOutcome::Kept, "of the best answer", kept, &example);
            loss_report.add_with_example(
                field,
                FieldOutcome::Lost,
                "of another answer than the best one",
                seen - kept,
                &example,
            );
        }
        loss_report.add_with_example(
            "message.role.user",
            FieldOutcome::Kept,
            "as a question",
            all.len(),
            &example,
        );
        all.sort_by(|one, other| {
            let order = |best: &Best| (rank(&best.pair), best.asked);
            order(other).cmp(&order(one)).then_with(|| one.pair.question.cmp(&other.pair.question))
        });
        all
    }
}

impl Best {
    fn of(archived: &ArchivedConversation, pair: Pair) -> Self {
        let (source, conversation_id) =
            (archived.origin.source.to_string(), archived.conversation.id.to_string());
        Self { pair, asked: 1, source, conversation_id }
    }
}

/// Praise counts before certainty, which is held in thousandths.
fn rank(pair: &Pair) -> (bool, Option<u16>) {
    let thousandths =
        |score: f64| (0..=1_000_u16).rev().find(|step| f64::from(*step) / 1e3 <= score).unwrap_or(0);
    (pair.feedback == Some(Feedback::Positive), pair.score.map(thousandths))
}

/// Puts the questions together that have the same answer, in the order of the best of them.
pub(crate) fn answers(best: Vec<Best>) -> Vec<QuestionAnswer> {
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut answers: Vec<QuestionAnswer> = Vec::new();
    for Best { pair, .. } in best {
        // Only spaces may differ: in answers, a external_id may be what matters.
        let same = pair.answer.split_whitespace().collect::<Vec<_>>().join(" ");
        let at = *places.entry(same).or_insert_with_key(|same| {
            let key = hex(&Sha256::digest(same.as_bytes())[..8]);
            answers.push(QuestionAnswer { key, questions: Vec::new(), answer: pair.answer });
            answers.len() - 1
        });
        answers[at].questions.push(pair.question);
    }
    answers
}

/// Writes questions and answers one after the other into texts of at most so many characters, the best ones first.
pub(crate) fn texts(best: Vec<Best>, most: usize) -> Vec<Text> {
    let mut texts: Vec<(usize, String)> = Vec::new();
    for Best { pair, .. } in best {
        let lesson: String =
            format!("Q: {}\nA: {}\n\n", pair.question, pair.answer).chars().take(most).collect();
        let size = lesson.chars().count();
        match texts.last_mut().filter(|(held, _)| held + size <= most) {
            Some((held, text)) => {
                *held += size;
                text.push_str(&lesson);
            }
            None => texts.push((size, lesson)),
        }
    }
    let text = |(at, (_, text)): (usize, (usize, String))| {
        let text = text.trim_end().to_owned();
        let key = hex(&Sha256::digest(text.as_bytes())[..8]);
        Text { key, title: format!("Questions and answers of conversations, part {}", at + 1), text }
    };
    texts.into_iter().enumerate().map(text).collect()
}
