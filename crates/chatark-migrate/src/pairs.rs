//! Questions and their answers.

use chatark_core::{Conversation, Feedback, Message, Role};

/// A question and the bot's answer to it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Pair {
    pub(crate) question: String,
    pub(crate) answer: String,
    pub(crate) feedback: Option<Feedback>,
    pub(crate) score: Option<f64>,
}

/// Returns each text of the user that the bot answers next, with its answer.
pub(crate) fn of(conversation: &Conversation) -> Vec<Pair> {
    let said: Vec<_> =
        conversation.messages.iter().filter(|message| !message.text().trim().is_empty()).collect();
    let pair = |window: &[&Message]| match window {
        [question, answer] if question.role == Role::User && answer.role == Role::Assistant => Some(Pair {
            question: question.text().trim().to_owned(),
            answer: answer.text().trim().to_owned(),
            feedback: answer.feedback,
            score: answer.score,
        }),
        _ => None,
    };
    said.windows(2).filter_map(pair).collect()
}

/// Brings questions that say the same to one form: letters and digits alone, in lower case.
pub(crate) fn fold(text: &str) -> String {
    let words = text.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_lowercase).collect::<Vec<_>>().join(" ")
}
