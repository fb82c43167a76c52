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

/// Returns each text of the customer that is directly followed by a text of the bot. Internal notes are skipped.
pub(crate) fn answered_questions(conversation: &Conversation) -> Vec<AnsweredQuestion> {
    let has_public_text = |message: &&Message| !message.internal && !message.text().trim().is_empty();
    let messages: Vec<_> = conversation.messages.iter().filter(has_public_text).collect();
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
    messages.windows(2).filter_map(pair).collect()
}
