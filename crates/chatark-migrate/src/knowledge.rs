//! What another bot can learn: each question once, with its best answer. Memory grows with the number of questions.

use std::collections::HashMap;

use chatark_core::{ArchivedConversation, Feedback, Role, question};
use chatark_target::{FieldOutcome, FieldRule, LossReport, QuestionAnswer, Text};
use sha2::{Digest, Sha256};

use crate::answered_question::{AnsweredQuestion, answered_questions};
use crate::hex;

/// Answers with a lower score are left out.
const MIN_SCORE: f64 = 0.5;

/// Collects the questions of conversations, and the best answer to each.
#[derive(Debug, Default)]
pub(crate) struct BestAnswers {
    /// The best answers by normalized question.
    best: HashMap<String, BestAnswer>,
    rated: RatedMessages,
}

/// The number of messages with feedback, and with a score.
#[derive(Debug, Default)]
struct RatedMessages {
    with_feedback: usize,
    with_score: usize,
    /// The id of the latest conversation with an answer, as an example.
    example: String,
}

/// A question with its best answer.
#[derive(Debug)]
pub(crate) struct BestAnswer {
    pub(crate) answered: AnsweredQuestion,
    /// How often the question was asked.
    pub(crate) asked: u64,
    pub(crate) source: String,
    pub(crate) conversation_id: String,
}

const BAD_ANSWER: &str = "its answer has negative feedback or a low score";

/// What becomes of the fields of conversations from which questions and answers are taken.
const RULES: &[FieldRule] = &[
    ("message.role.user", FieldOutcome::Kept, ""),
    (
        "message.role.assistant",
        FieldOutcome::Approximated,
        "as an answer, if it is the best answer to its question",
    ),
    ("message.feedback", FieldOutcome::Kept, ""),
    ("message.score", FieldOutcome::Kept, ""),
    ("part.text", FieldOutcome::Approximated, "as a question or an answer"),
    ("conversation.id", FieldOutcome::Approximated, "of the best answer"),
];

impl BestAnswers {
    /// Adds the questions of a conversation, and counts what becomes of its fields.
    pub(crate) fn add(&mut self, archived: &ArchivedConversation, loss_report: &mut LossReport) {
        let answered = answered_questions(&archived.conversation);
        if answered.is_empty() {
            loss_report.add_left_out("the bot answers no question in it", archived);
            return;
        }
        loss_report.add_fields(RULES, archived);
        self.rated.add(archived);
        let messages = &archived.conversation.messages;
        let asked = messages.iter().filter(|message| message.role == Role::User).count();
        let why = "the bot does not answer it";
        loss_report.add("message.role.user", FieldOutcome::Lost, why, asked - answered.len(), archived);
        for question in answered {
            self.add_question(question, archived, loss_report);
        }
    }

    fn add_question(
        &mut self,
        answered: AnsweredQuestion,
        archived: &ArchivedConversation,
        loss_report: &mut LossReport,
    ) {
        let key = question::normalize(&answered.question);
        let is_bad = answered.feedback == Some(Feedback::Negative)
            || answered.score.is_some_and(|score| score < MIN_SCORE);
        if is_bad || key.is_empty() {
            let why = if is_bad { BAD_ANSWER } else { "it has no words" };
            loss_report.add("message.role.user", FieldOutcome::Lost, why, 1, archived);
            return;
        }
        let Some(best) = self.best.get_mut(&key) else {
            self.best.insert(key, BestAnswer::new(answered, archived));
            return;
        };
        best.asked += 1;
        let merged = "merged with the same question elsewhere";
        loss_report.add("message.role.user", FieldOutcome::Approximated, merged, 1, archived);
        if rank(&answered) > rank(&best.answered) {
            *best = BestAnswer { asked: best.asked, ..BestAnswer::new(answered, archived) };
        }
    }

    /// Returns the questions, those with the best answers first, and counts what becomes of feedback and scores.
    pub(crate) fn finish(self, loss_report: &mut LossReport) -> Vec<BestAnswer> {
        let mut best: Vec<_> = self.best.into_values().collect();
        self.rated.count(&best, loss_report);
        let why = "as a question";
        loss_report.add_with_example(
            "message.role.user",
            FieldOutcome::Kept,
            why,
            best.len(),
            &self.rated.example,
        );
        best.sort_by(|one, other| {
            let order = |best: &BestAnswer| (rank(&best.answered), best.asked);
            order(other).cmp(&order(one)).then_with(|| one.answered.question.cmp(&other.answered.question))
        });
        best
    }
}

impl RatedMessages {
    fn add(&mut self, archived: &ArchivedConversation) {
        let messages = &archived.conversation.messages;
        self.with_feedback += messages.iter().filter(|message| message.feedback.is_some()).count();
        self.with_score += messages.iter().filter(|message| message.score.is_some()).count();
        self.example = archived.conversation.id.to_string();
    }

    /// Counts the feedback and scores of best answers as kept, and all others as lost.
    fn count(&self, best: &[BestAnswer], loss_report: &mut LossReport) {
        let kept =
            |has: fn(&AnsweredQuestion) -> bool| best.iter().filter(|best| has(&best.answered)).count();
        for (field, all, kept) in [
            ("message.feedback", self.with_feedback, kept(|answered| answered.feedback.is_some())),
            ("message.score", self.with_score, kept(|answered| answered.score.is_some())),
        ] {
            let mut add = |outcome, why, count| {
                loss_report.add_with_example(field, outcome, why, count, &self.example);
            };
            add(FieldOutcome::Kept, "of the best answer", kept);
            add(FieldOutcome::Lost, "of an answer that is not the best one", all - kept);
        }
    }
}

impl BestAnswer {
    fn new(answered: AnsweredQuestion, archived: &ArchivedConversation) -> Self {
        let source = archived.origin.source.to_string();
        Self { answered, asked: 1, source, conversation_id: archived.conversation.id.to_string() }
    }
}

/// Returns the rank of an answer: positive feedback first, then the score in thousandths.
fn rank(answered: &AnsweredQuestion) -> (bool, Option<u16>) {
    let thousandths =
        |score: f64| (0..=1_000_u16).rev().find(|step| f64::from(*step) / 1e3 <= score).unwrap_or(0);
    (answered.feedback == Some(Feedback::Positive), answered.score.map(thousandths))
}

/// Merges questions with the same answer. The first of them in the order of `best` determines the order.
pub(crate) fn merge_answers(best: Vec<BestAnswer>) -> Vec<QuestionAnswer> {
    let mut indices: HashMap<String, usize> = HashMap::new();
    let mut merged: Vec<QuestionAnswer> = Vec::new();
    for BestAnswer { answered, .. } in best {
        // Only spaces may differ: in an answer, punctuation can matter.
        let same = answered.answer.split_whitespace().collect::<Vec<_>>().join(" ");
        let at = *indices.entry(same).or_insert_with_key(|same| {
            merged.push(QuestionAnswer {
                key: key(same),
                questions: Vec::new(),
                answer: answered.answer.clone(),
            });
            merged.len() - 1
        });
        merged[at].questions.push(answered.question);
    }
    merged
}

/// Joins questions and answers into texts of at most `max_characters`, the best answers first.
pub(crate) fn texts(best: Vec<BestAnswer>, max_characters: usize) -> Vec<Text> {
    let mut texts: Vec<(usize, String)> = Vec::new();
    for BestAnswer { answered: AnsweredQuestion { question, answer, .. }, .. } in best {
        let entry: String = format!("Q: {question}\nA: {answer}\n\n").chars().take(max_characters).collect();
        let size = entry.chars().count();
        match texts.last_mut().filter(|(length, _)| length + size <= max_characters) {
            Some((length, text)) => {
                *length += size;
                text.push_str(&entry);
            }
            None => texts.push((size, entry)),
        }
    }
    let text = |(at, (_, text)): (usize, (usize, String))| {
        let text = text.trim_end().to_owned();
        let title = format!("Questions and answers of conversations, part {}", at + 1);
        Text { key: key(&text), title, text }
    };
    texts.into_iter().enumerate().map(text).collect()
}

/// Returns the idempotency key of an answer or a text.
fn key(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes())[..8])
}
