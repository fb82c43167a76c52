//! Counts of a group of conversations, and which data its source provides.

use std::collections::BTreeMap;

use chatark_archive::StatsRow;
use chatark_core::{Feedback, Status};

/// An answer with a lower score has low confidence.
const LOW_SCORE: f64 = 0.5;

/// Which data the conversations of a source have. A metric that requires other data is not available, and never zero.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each flag is independent")]
pub(crate) struct AvailableData {
    pub(crate) has_dates: bool,
    pub(crate) has_status: bool,
    pub(crate) has_times: bool,
    pub(crate) has_duration: bool,
    pub(crate) has_feedback: bool,
    pub(crate) has_scores: bool,
    pub(crate) has_tools: bool,
    pub(crate) has_people: bool,
}

/// Counts of a group of conversations, which can be added up.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counts {
    pub(crate) volume: Volume,
    /// Conversations in which the customer wrote. The next four count only these.
    pub(crate) with_customer: u64,
    pub(crate) handed_over: u64,
    pub(crate) ended: u64,
    pub(crate) single_message: u64,
    pub(crate) unanswered: u64,
    /// Conversations with positive feedback, on the whole or else on its answers.
    pub(crate) positive: u64,
    /// Conversations with negative feedback, on the whole or else on its answers.
    pub(crate) negative: u64,
    pub(crate) scored_answers: u64,
    pub(crate) low_score_answers: u64,
    /// Conversations by the weekday, 1 for Monday, and the hour in which they began.
    pub(crate) hours: BTreeMap<(u32, u32), u64>,
    /// Tool calls by name and status.
    pub(crate) tools: BTreeMap<(String, String), u64>,
}

/// The number of conversations and messages.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Volume {
    /// Conversations by status, in the order of [`Status::ALL`], then those without one.
    by_status: [u64; Status::ALL.len() + 1],
    pub(crate) messages: u64,
}

impl AvailableData {
    /// Adds a conversation.
    pub(crate) fn add(&mut self, row: &StatsRow) {
        let stats = &row.stats;
        self.has_dates |= row.created_at.is_some();
        self.has_status |= row.status.is_some() || stats.human_agent_messages > 0;
        self.has_times |= stats.dated_messages > 0;
        self.has_duration |= stats.duration_seconds.is_some();
        self.has_feedback |=
            row.feedback.is_some() || stats.positive_messages > 0 || stats.negative_messages > 0;
        self.has_scores |= !stats.scores.is_empty();
        self.has_tools |= !stats.tools.is_empty();
        self.has_people |= row.person.is_some();
    }
}

impl Volume {
    /// Counts a conversation.
    pub(crate) fn add_conversation(&mut self, status: Option<Status>) {
        let index = Status::ALL.iter().position(|known| Some(*known) == status).unwrap_or(Status::ALL.len());
        self.by_status[index] += 1;
    }

    /// Adds another volume.
    pub(crate) fn add(&mut self, other: &Self) {
        self.messages += other.messages;
        for (sum, number) in self.by_status.iter_mut().zip(other.by_status) {
            *sum += number;
        }
    }

    /// Returns the number of conversations.
    pub(crate) fn conversations(&self) -> u64 {
        self.by_status.iter().sum()
    }

    /// Returns the number of conversations of each status that occurs.
    pub(crate) fn by_status(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let words = Status::ALL.iter().map(|status| status.as_str()).chain(["unknown"]);
        words.zip(self.by_status).filter(|(_, number)| *number > 0)
    }
}

impl Counts {
    /// Adds a conversation.
    pub(crate) fn add(&mut self, row: &StatsRow, hour: Option<(u32, u32)>) {
        let stats = &row.stats;
        self.volume.add_conversation(row.status);
        self.volume.messages += u64::from(stats.messages);
        if stats.user_messages > 0 {
            self.with_customer += 1;
            self.handed_over +=
                u64::from(row.status == Some(Status::TakenOver) || stats.human_agent_messages > 0);
            self.ended += u64::from(row.status == Some(Status::Ended));
            self.single_message += u64::from(stats.messages == 1);
            self.unanswered += u64::from(stats.is_unanswered());
        }
        self.add_feedback(row);
        self.scored_answers += stats.scores.len() as u64;
        self.low_score_answers += stats.scores.iter().filter(|score| **score < LOW_SCORE).count() as u64;
        if let Some(hour) = hour {
            *self.hours.entry(hour).or_default() += 1;
        }
        for calls in &stats.tools {
            let tool = (calls.name.clone(), calls.status.clone());
            *self.tools.entry(tool).or_default() += u64::from(calls.count);
        }
    }

    /// Counts the feedback on a conversation: its own, or else that on its answers, which is negative if one of them
    /// is.
    fn add_feedback(&mut self, row: &StatsRow) {
        match row.feedback {
            Some(Feedback::Negative) => self.negative += 1,
            Some(Feedback::Positive) => self.positive += 1,
            None if row.stats.negative_messages > 0 => self.negative += 1,
            None if row.stats.positive_messages > 0 => self.positive += 1,
            _ => {}
        }
    }
}
