//! The numbers of one conversation that metrics are computed from.

use std::collections::{BTreeMap, HashMap};

use crate::model::{Conversation, Message, Part};
use crate::question;
use crate::time::Timestamp;
use crate::vocabulary::{Feedback, Role};

/// The name of a tool, or the status of a tool call, that the vendor does not give.
pub const UNKNOWN: &str = "unknown";
/// The status of a tool call without a result.
pub const NO_RESULT: &str = "no-result";

/// A quarter of an hour in microseconds: offsets between time zones are whole quarters.
const QUARTER_HOUR_MICROSECONDS: i64 = 900_000_000;

/// The numbers of one conversation, computed once when it is written to the archive.
///
/// A *speaker* is the customer, the bot or a human agent; a *response* is a message of the bot or a human agent right
/// after the customer's, if both have a time.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ConversationStats {
    /// All messages.
    pub messages: u32,
    /// Messages of the customer.
    pub user_messages: u32,
    /// Messages of the bot.
    pub assistant_messages: u32,
    /// Messages of human agents.
    pub human_agent_messages: u32,
    /// Messages of the platform.
    pub system_messages: u32,
    /// Messages of tools.
    pub tool_messages: u32,
    /// Notes that the customer never saw. They count as messages, and as nothing else.
    pub internal_notes: u32,
    /// Messages with a time.
    pub dated_messages: u32,
    /// Who spoke first.
    pub first_speaker: Option<Role>,
    /// Who spoke last.
    pub last_speaker: Option<Role>,
    /// The position of the customer's first message.
    pub first_question_position: Option<u32>,
    /// The position of the last message that a customer, the bot or a human agent wrote.
    pub last_position: Option<u32>,
    /// The [key](question::key) of the customer's first message.
    pub first_question: Option<i64>,
    /// The key of the customer's last message, if nobody spoke after it.
    pub unanswered_question: Option<i64>,
    /// Seconds from the customer's first message to the first message of the bot or a human agent after it.
    ///
    /// `None` if there is no such pair or the vendor gives no time for one of the two.
    pub first_response_seconds: Option<f64>,
    /// Seconds that each response of the bot took.
    pub bot_responses: Vec<f64>,
    /// Seconds that each response of a human agent took.
    pub human_agent_responses: Vec<f64>,
    /// Seconds from the beginning of the conversation to its last activity.
    pub duration_seconds: Option<f64>,
    /// Answers of the bot with positive feedback.
    pub positive_messages: u32,
    /// Answers of the bot with negative feedback.
    pub negative_messages: u32,
    /// The confidence score of each answer that has one.
    pub scores: Vec<f64>,
    /// Tool calls by name and status, in order.
    pub tools: Vec<ToolCalls>,
    /// Messages per quarter of an hour, except the quarter in which the conversation began.
    pub quarters: BTreeMap<QuarterHour, u32>,
}

/// The statistics that one row of a table of conversations shows.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct StatsSummary {
    /// Messages of the customer.
    pub user_messages: u32,
    /// Messages of the bot.
    pub assistant_messages: u32,
    /// Tool calls.
    pub tool_calls: u32,
    /// Seconds from the customer's first message to the first response.
    pub first_response_seconds: Option<f64>,
    /// Seconds from the beginning of the conversation to its last activity.
    pub duration_seconds: Option<f64>,
}

impl From<&ConversationStats> for StatsSummary {
    fn from(stats: &ConversationStats) -> Self {
        Self {
            user_messages: stats.user_messages,
            assistant_messages: stats.assistant_messages,
            tool_calls: stats.tool_calls(),
            first_response_seconds: stats.first_response_seconds,
            duration_seconds: stats.duration_seconds,
        }
    }
}

/// Calls of one tool with the same status.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ToolCalls {
    /// The name of the tool, or [`UNKNOWN`].
    pub name: String,
    /// The vendor's word for their status, [`UNKNOWN`] if it gives none, or [`NO_RESULT`].
    pub status: String,
    /// How many there were.
    pub count: u32,
}

/// A quarter of an hour in UTC, counted from 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QuarterHour(pub i64);

impl QuarterHour {
    /// Returns the quarter that an instant lies in.
    pub fn of(instant: Timestamp) -> Self {
        Self(instant.microseconds().div_euclid(QUARTER_HOUR_MICROSECONDS))
    }

    /// Returns its first instant.
    pub fn begin(self) -> Timestamp {
        Timestamp::from_microseconds(self.0.saturating_mul(QUARTER_HOUR_MICROSECONDS))
            .unwrap_or(Timestamp::EARLIEST)
    }
}

/// Returns the seconds from one instant to another; `None` if one of them is unknown or they are out of order.
pub fn seconds_between(from: Option<Timestamp>, to: Option<Timestamp>) -> Option<f64> {
    Some(to?.seconds_since(from?)).filter(|seconds| *seconds >= 0.0)
}

impl ConversationStats {
    /// Computes the numbers of a conversation.
    pub fn of(conversation: &Conversation) -> Self {
        let begin = conversation.created_at.map(QuarterHour::of);
        let mut stats = Self {
            duration_seconds: seconds_between(conversation.created_at, conversation.updated_at),
            tools: tools(&conversation.messages),
            ..Self::default()
        };
        for message in &conversation.messages {
            stats.count(message, begin);
        }
        stats.add_speaking_order(&conversation.messages);
        stats
    }

    /// Returns the number of all tool calls.
    pub fn tool_calls(&self) -> u32 {
        self.tools.iter().map(|calls| calls.count).sum()
    }

    /// Returns whether the customer spoke last.
    pub fn is_unanswered(&self) -> bool {
        self.last_speaker == Some(Role::User)
    }

    fn count(&mut self, message: &Message, begin: Option<QuarterHour>) {
        self.messages += 1;
        self.dated_messages += u32::from(message.created_at.is_some());
        // A message without a time counts where its conversation began.
        if let Some(quarter) =
            message.created_at.map(QuarterHour::of).filter(|quarter| Some(*quarter) != begin)
        {
            *self.quarters.entry(quarter).or_default() += 1;
        }
        match message.role {
            _ if message.internal => self.internal_notes += 1,
            Role::User => self.user_messages += 1,
            Role::Assistant => self.count_answer(message),
            Role::HumanAgent => self.human_agent_messages += 1,
            Role::System => self.system_messages += 1,
            Role::Tool => self.tool_messages += 1,
            Role::Other => {}
        }
    }

    fn count_answer(&mut self, message: &Message) {
        self.assistant_messages += 1;
        self.positive_messages += u32::from(message.feedback == Some(Feedback::Positive));
        self.negative_messages += u32::from(message.feedback == Some(Feedback::Negative));
        self.scores.extend(message.score);
    }

    /// Adds what depends on the order of messages: the first and the last speaker, questions, and response times.
    fn add_speaking_order(&mut self, messages: &[Message]) {
        let speaks = |(_, message): &(u32, &Message)| {
            !message.internal && matches!(message.role, Role::User | Role::Assistant | Role::HumanAgent)
        };
        let mut previous: Option<&Message> = None;
        let mut first_question: Option<&Message> = None;
        let mut is_answered = false;
        for (position, message) in (0..).zip(messages).filter(speaks) {
            if message.role != Role::User {
                if let Some(question) = first_question.filter(|_| !is_answered) {
                    is_answered = true;
                    self.first_response_seconds = seconds_between(question.created_at, message.created_at);
                }
                self.time_response(previous, message);
            } else if first_question.is_none() {
                first_question = Some(message);
                self.first_question_position = Some(position);
                self.first_question = question::key(&message.text());
            }
            self.first_speaker = self.first_speaker.or(Some(message.role));
            self.last_position = Some(position);
            previous = Some(message);
        }
        self.last_speaker = previous.map(|message| message.role);
        let unanswered = previous.filter(|_| self.is_unanswered());
        self.unanswered_question = unanswered.and_then(|message| question::key(&message.text()));
    }

    fn time_response(&mut self, previous: Option<&Message>, message: &Message) {
        let asked_at =
            previous.filter(|previous| previous.role == Role::User).and_then(|previous| previous.created_at);
        let seconds = seconds_between(asked_at, message.created_at);
        let is_bot = message.role == Role::Assistant;
        (if is_bot { &mut self.bot_responses } else { &mut self.human_agent_responses }).extend(seconds);
    }
}

/// Pairs tool calls with their results. A result belongs to the earlier call with the same id; without such a call, it
/// counts as a call itself.
fn tools(messages: &[Message]) -> Vec<ToolCalls> {
    let mut calls: Vec<(&str, &str)> = Vec::new();
    let mut calls_by_id: HashMap<&str, usize> = HashMap::new();
    for part in messages.iter().flat_map(|message| &message.parts) {
        match part {
            Part::ToolCall { id, name, .. } => {
                calls_by_id.extend(id.as_deref().map(|id| (id, calls.len())));
                calls.push((name.as_deref().unwrap_or(UNKNOWN), NO_RESULT));
            }
            Part::ToolResult { id, name, status, .. } => {
                let result = (name.as_deref().unwrap_or(UNKNOWN), status.as_deref().unwrap_or(UNKNOWN));
                match id.as_deref().and_then(|id| calls_by_id.get(id)) {
                    Some(at) => calls[*at] = result,
                    None => calls.push(result),
                }
            }
            _ => {}
        }
    }
    let mut counts: BTreeMap<(&str, &str), u32> = BTreeMap::new();
    for call in calls {
        *counts.entry(call).or_default() += 1;
    }
    let counts = counts.into_iter();
    counts
        .map(|((name, status), count)| ToolCalls { name: name.to_owned(), status: status.to_owned(), count })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ConversationId;

    /// The beginning of a quarter of an hour.
    const NOON: i64 = 1_733_054_400;

    fn message(role: Role, seconds: Option<i64>) -> Message {
        let created_at = seconds.map(|seconds| Timestamp::from_epoch(NOON + seconds).unwrap());
        Message { created_at, parts: vec![Part::text("Hello?")], ..Message::empty(role) }
    }

    fn conversation(messages: Vec<Message>) -> Conversation {
        let created_at = Timestamp::from_epoch(NOON).ok();
        Conversation { created_at, messages, ..Conversation::empty(ConversationId::new("c")) }
    }

    fn stats(messages: Vec<Message>) -> ConversationStats {
        ConversationStats::of(&conversation(messages))
    }

    #[test]
    fn the_first_response_is_the_first_answer_after_the_first_question() {
        let timed = stats(vec![
            message(Role::Assistant, Some(0)),
            message(Role::User, Some(10)),
            message(Role::Tool, Some(11)),
            message(Role::HumanAgent, Some(14)),
            message(Role::Assistant, Some(15)),
        ]);
        assert_eq!(timed.first_response_seconds, Some(4.0));
        let untimed = stats(vec![
            message(Role::User, Some(0)),
            message(Role::Assistant, None),
            message(Role::Assistant, Some(1)),
        ]);
        assert_eq!(untimed.first_response_seconds, None);
        let backwards = stats(vec![message(Role::User, Some(1)), message(Role::Assistant, Some(0))]);
        assert_eq!((backwards.first_response_seconds, backwards.bot_responses), (None, vec![]));
        assert_eq!(stats(vec![message(Role::User, Some(0))]).first_response_seconds, None);
    }

    #[test]
    fn each_response_follows_a_customer_message_and_belongs_to_its_author() {
        let found = stats(vec![
            message(Role::User, Some(0)),
            message(Role::System, Some(1)),
            message(Role::Assistant, Some(2)),
            message(Role::Assistant, Some(9)),
            message(Role::User, Some(10)),
            message(Role::HumanAgent, Some(310)),
            message(Role::User, None),
            message(Role::Assistant, Some(320)),
        ]);
        assert_eq!((found.bot_responses, found.human_agent_responses), (vec![2.0], vec![300.0]));
    }

    #[test]
    fn messages_are_counted_by_who_wrote_them() {
        let roles =
            [Role::System, Role::User, Role::Assistant, Role::Tool, Role::Assistant, Role::HumanAgent];
        let found = stats(roles.map(|role| message(role, None)).into());
        let expected = ConversationStats {
            messages: 6,
            user_messages: 1,
            assistant_messages: 2,
            human_agent_messages: 1,
            system_messages: 1,
            tool_messages: 1,
            first_speaker: Some(Role::User),
            last_speaker: Some(Role::HumanAgent),
            first_question_position: Some(1),
            last_position: Some(5),
            first_question: question::key("hello"),
            ..ConversationStats::default()
        };
        assert_eq!(found, expected);
    }

    #[test]
    fn an_internal_note_is_not_an_answer() {
        let note = Message { internal: true, ..message(Role::HumanAgent, Some(5)) };
        let found = stats(vec![message(Role::User, Some(0)), note, message(Role::Assistant, Some(9))]);
        assert_eq!((found.messages, found.internal_notes, found.human_agent_messages), (3, 1, 0));
        assert_eq!((found.first_response_seconds, found.bot_responses), (Some(9.0), vec![9.0]));
        assert!(found.human_agent_responses.is_empty());
    }

    #[test]
    fn the_last_question_is_unanswered_if_nobody_speaks_after_it() {
        let mut open =
            vec![message(Role::User, None), message(Role::Assistant, None), message(Role::User, None)];
        open[2].parts = vec![Part::text("And now?")];
        open.push(message(Role::System, None));
        let found = stats(open);
        assert!(found.is_unanswered());
        assert_eq!((found.last_position, found.unanswered_question), (Some(2), question::key("and now")));
        assert_eq!(stats(Vec::new()), ConversationStats::default());
    }

    #[test]
    fn only_ratings_of_the_bots_answers_count() {
        let rated = |role, feedback, score| Message { feedback, score, ..message(role, None) };
        let found = stats(vec![
            rated(Role::Assistant, Some(Feedback::Positive), Some(0.9)),
            rated(Role::Assistant, Some(Feedback::Negative), Some(0.5)),
            rated(Role::Assistant, None, None),
            rated(Role::HumanAgent, Some(Feedback::Negative), Some(0.1)),
        ]);
        assert_eq!((found.positive_messages, found.negative_messages), (1, 1));
        assert_eq!(found.scores, [0.9, 0.5]);
    }

    #[test]
    fn messages_outside_the_first_quarter_of_an_hour_are_counted_by_quarter() {
        let at = [Some(0), Some(899), Some(900), None, Some(901), Some(1_800)];
        let found = stats(at.map(|at| message(Role::User, at)).into());
        let first = QuarterHour::of(Timestamp::from_epoch(NOON).unwrap()).0;
        assert_eq!(found.quarters, [(QuarterHour(first + 1), 2), (QuarterHour(first + 2), 1)].into());
        assert_eq!((found.messages, found.dated_messages), (6, 5));
        assert_eq!(QuarterHour(first).begin().microseconds(), NOON * 1_000_000);
    }

    #[test]
    fn a_call_and_its_result_count_once() {
        let call = |id: &str, name: &str| Part::ToolCall {
            id: Some(id.to_owned()),
            name: Some(name.to_owned()),
            input: None,
        };
        let result = |id: Option<&str>, name: Option<&str>, status: Option<&str>| Part::ToolResult {
            id: id.map(Into::into),
            name: name.map(Into::into),
            status: status.map(Into::into),
            data: None,
            error: None,
        };
        let mut first = message(Role::Assistant, None);
        first.parts =
            vec![call("a", "orders"), result(Some("a"), Some("orders"), Some("success")), call("b", "stock")];
        let mut second = message(Role::Tool, None);
        second.parts = vec![
            result(Some("c"), Some("orders"), Some("success")),
            result(None, None, None),
            call("d", "orders"),
            result(Some("d"), Some("orders"), Some("error")),
            Part::text("done"),
        ];
        let found = stats(vec![first, second]);
        let calls =
            |name: &str, status: &str, count| ToolCalls { name: name.into(), status: status.into(), count };
        let expected = [
            calls("orders", "error", 1),
            calls("orders", "success", 2),
            calls("stock", NO_RESULT, 1),
            calls(UNKNOWN, UNKNOWN, 1),
        ];
        assert_eq!(found.tools, expected);
        assert_eq!(found.tool_calls(), 5);
    }

    #[test]
    fn a_duration_is_never_negative() {
        let mut lasting = conversation(Vec::new());
        lasting.updated_at = Timestamp::from_epoch(NOON + 60).ok();
        assert_eq!(ConversationStats::of(&lasting).duration_seconds, Some(60.0));
        lasting.updated_at = Timestamp::from_epoch(NOON - 60).ok();
        assert_eq!(ConversationStats::of(&lasting).duration_seconds, None);
    }
}
