//! Questions of customers and the bot's answers to them.

use chatark_core::{Conversation, Feedback, Message, Role};

/// A question and the bot's answer to it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct AnsweredQuestion {
    pub(crate) question: String,
    pub(crate) answer: String,
    pub(crate) feedback: Option<Feedback>,
    pub(crate) score: Option<f64>,
}

/// Returns each text of the customer that the bot answers with its next text. Internal notes are skipped.
pub(crate) fn answered_questions(conversation: &Conversation) -> Vec<AnsweredQuestion> {
    let is_said = |message: &&Message| !message.internal && !message.text().trim().is_empty();
    let said: Vec<_> = conversation.messages.iter().filter(is_said).collect();
    let pair = |window: &[&Message]| match window {
        [question, answer] if question.role == Role::User && answer.role == Role::Assistant => {
            Some(AnsweredQuestion {
                question: question.text().trim().to_owned(),
                answer: answer.text().trim().to_owned(),
                feedback: answer.feedback,
                score: answer.score,
            })
        }
        _ => None,
    };
    said.windows(2).filter_map(pair).collect()
}
