//! The statistics of each conversation: written with it, and read by reports in one pass.

use std::collections::HashSet;
use std::fmt::{self, Display, Write as _};
use std::sync::LazyLock;

use chatark_core::{
    Channel, Conversation, ConversationStats, Feedback, QuarterHour, Result, Role, StatsSummary, Status,
    Timestamp, ToolCalls, stats,
};
use rusqlite::{CachedStatement, Connection, OptionalExtension, Row, Transaction, params};
use serde::de::IgnoredAny;

use crate::archive::Archive;
use crate::filter::Filter;
use crate::keys::SourceKey;
use crate::statement::upsert;
use crate::values::{database_error, from_json, read_timestamp, to_json};

/// The columns of a conversation's statistics, in the order in which they are written and read.
const COLUMNS: &str = "messages, user_messages, assistant_messages, human_agent_messages, system_messages,
    tool_messages, internal_notes, dated_messages, first_speaker, last_speaker, first_question_position,
    last_position, first_question, unanswered_question, first_response_seconds, bot_responses, agent_responses,
    positive_messages, negative_messages, scores, tools, quarters";

/// How many columns come before those of [`COLUMNS`] in a row of [`Archive::each_stats`].
const STATS_START: usize = 11;
/// How many columns [`COLUMNS`] names.
const STATS_WIDTH: usize = 22;

/// The statistics of a conversation as they are written: lists are JSON.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct EncodedStats {
    stats: ConversationStats,
    bot_responses: Option<String>,
    agent_responses: Option<String>,
    scores: Option<String>,
    tools: Option<String>,
    quarters: Option<String>,
}

/// A conversation as reports see it.
#[derive(Debug, Clone, PartialEq)]
pub struct StatsRow {
    /// The key of the conversation in the archive.
    pub key: i64,
    /// The source that it belongs to.
    pub source: SourceKey,
    /// Where it took place.
    pub channel: Option<Channel>,
    /// Its status.
    pub status: Option<Status>,
    /// The customer's feedback on the whole conversation.
    pub feedback: Option<Feedback>,
    /// When it began.
    pub created_at: Option<Timestamp>,
    /// Its statistics.
    pub stats: ConversationStats,
    /// The number of the customer's person; `None` without any identifier.
    pub person: Option<i64>,
    /// Whether the archive holds no earlier conversation of the person.
    pub is_first_contact: bool,
    /// Whether it is counted in totals; `false` if a twin of it is counted instead.
    pub is_in_totals: bool,
}

/// Which question of a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    /// The customer's first message.
    First,
    /// The last speaker's message.
    Last,
}

impl EncodedStats {
    pub(crate) fn of(stats: ConversationStats) -> Self {
        let tools: Vec<_> =
            stats.tools.iter().map(|calls| (&calls.name, &calls.status, calls.count)).collect();
        let quarters = stats.quarters.iter().flat_map(|(quarter, number)| [quarter.0, i64::from(*number)]);
        Self {
            bot_responses: list(stats.bot_responses.iter().copied().map(Number)),
            agent_responses: list(stats.human_agent_responses.iter().copied().map(Number)),
            scores: list(stats.scores.iter().copied().map(Number)),
            tools: to_json(&tools, tools.is_empty()),
            quarters: list(quarters),
            stats,
        }
    }

    /// Writes or replaces the statistics of a conversation.
    pub(crate) fn write(&self, transaction: &Transaction<'_>, key: i64) -> Result<()> {
        static UPSERT: LazyLock<String> =
            LazyLock::new(|| upsert("conversation_stats", "conversation_key", "", COLUMNS));
        let stats = &self.stats;
        transaction
            .prepare_cached(&UPSERT)
            .and_then(|mut statement| {
                statement.execute(params![
                    key,
                    stats.messages,
                    stats.user_messages,
                    stats.assistant_messages,
                    stats.human_agent_messages,
                    stats.system_messages,
                    stats.tool_messages,
                    stats.internal_notes,
                    stats.dated_messages,
                    stats.first_speaker.map(Role::as_str),
                    stats.last_speaker.map(Role::as_str),
                    stats.first_question_position,
                    stats.last_position,
                    stats.first_question,
                    stats.unanswered_question,
                    stats.first_response_seconds,
                    self.bot_responses,
                    self.agent_responses,
                    stats.positive_messages,
                    stats.negative_messages,
                    self.scores,
                    self.tools,
                    self.quarters,
                ])
            })
            .map_err(database_error("write the statistics of a conversation"))?;
        Ok(())
    }
}

/// A number in a JSON list.
struct Number(f64);

impl Display for Number {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "only whole numbers that an `i64` holds are converted"
    )]
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// Above this, not every whole number is an `f64`.
        const MAX_EXACT: f64 = 9_007_199_254_740_992.0;
        let Self(number) = *self;
        // Most numbers are whole, and these are written several times faster as integers.
        if number.fract() == 0.0 && number.abs() < MAX_EXACT && number.is_sign_positive() {
            return Display::fmt(&(number as i64), formatter);
        }
        Display::fmt(&number, formatter)
    }
}

/// Returns numbers as a JSON list without spaces, or `None` if there are none.
fn list(mut numbers: impl Iterator<Item = impl Display>) -> Option<String> {
    let mut text = format!("[{}", numbers.next()?);
    for number in numbers {
        let _ = write!(text, ",{number}");
    }
    text.push(']');
    Some(text)
}

impl Archive {
    /// Passes the statistics of every matching conversation to `take`, in the order in which they were archived.
    ///
    /// Reads one state of the archive, whatever is written meanwhile, and holds one conversation at a time.
    pub fn each_stats(&self, filter: &Filter, mut take: impl FnMut(&StatsRow) -> Result<()>) -> Result<()> {
        let failed = || database_error("read the statistics");
        let snapshot = self.connection.unchecked_transaction().map_err(failed())?;
        self.resolve_persons_to_read()?;
        let sources: HashSet<i64> =
            self.sources(&filter.sources)?.into_iter().map(|(key, _)| key.0).collect();
        let sql = format!(
            "SELECT c.conversation_key, c.source_key, c.channel, c.status, c.feedback, c.created_at, c.updated_at,
                 person.person_key, person.is_first, twin.counted_as, other.source_key, {COLUMNS},
                 other.created_at, other.channel
             FROM conversation c CROSS JOIN conversation_stats USING (conversation_key)
                 LEFT JOIN person ON person.record_key = c.conversation_key
                 LEFT JOIN twin ON twin.conversation_key = c.conversation_key
                 LEFT JOIN conversation other ON other.conversation_key = twin.counted_as
             ORDER BY c.conversation_key"
        );
        let mut statement = self.connection.prepare_cached(&sql).map_err(failed())?;
        let mut rows = statement.query([]).map_err(failed())?;
        let mut twins = Twins::default();
        while let Some(row) = rows.next().map_err(failed())? {
            if !sources.contains(&row.get(1).map_err(failed())?) {
                continue;
            }
            let mut found = read(row).map_err(failed())??;
            if !filter.is_inside(found.created_at, found.channel) {
                continue;
            }
            found.is_in_totals = twins.is_counted(row, filter, &sources).map_err(failed())?;
            take(&found)?;
        }
        drop(rows);
        snapshot.finish().map_err(failed())
    }

    /// Returns the text of a question of a conversation; `None` if there is no such message.
    pub fn question(&self, key: i64, question: Question) -> Result<Option<String>> {
        let position = match question {
            Question::First => "first_question_position",
            Question::Last => "last_position",
        };
        let sql = format!(
            "SELECT text FROM conversation_stats JOIN message USING (conversation_key)
             WHERE conversation_key = ?1 AND message.position = {position}"
        );
        let failed = || database_error("read a question");
        let mut statement = self.connection.prepare_cached(&sql).map_err(failed())?;
        statement.query_row([key], |row| row.get(0)).optional().map_err(failed())
    }
}

/// Decides which of several twins is counted in totals.
#[derive(Debug, Default)]
struct Twins {
    /// Conversations outside the report: a twin of each has been counted instead.
    counted: HashSet<i64>,
}

impl Twins {
    fn is_counted(
        &mut self,
        row: &Row<'_>,
        filter: &Filter,
        sources: &HashSet<i64>,
    ) -> rusqlite::Result<bool> {
        let Some(counted_as) = row.get::<_, Option<i64>>(9)? else { return Ok(true) };
        if counted_as == row.get::<_, i64>(0)? {
            return Ok(true);
        }
        let source: Option<i64> = row.get(10)?;
        let after = STATS_START + STATS_WIDTH;
        let created_at = read_timestamp(row.get(after)?);
        let channel = row.get_ref(after + 1)?.as_str_or_null()?.and_then(Channel::from_word);
        let is_other_in_report =
            source.is_some_and(|source| sources.contains(&source)) && filter.is_inside(created_at, channel);
        Ok(!is_other_in_report && self.counted.insert(counted_as))
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<Result<StatsRow>> {
    let word = |at: usize| Ok::<_, rusqlite::Error>(row.get_ref(at)?.as_str_or_null()?);
    let created_at = read_timestamp(row.get(5)?);
    let stats = match read_stats(row, STATS_START, created_at, read_timestamp(row.get(6)?))? {
        Ok(stats) => stats,
        Err(error) => return Ok(Err(error)),
    };
    Ok(Ok(StatsRow {
        key: row.get(0)?,
        source: SourceKey(row.get(1)?),
        channel: word(2)?.and_then(Channel::from_word),
        status: word(3)?.and_then(Status::from_word),
        feedback: word(4)?.and_then(Feedback::from_word),
        created_at,
        stats,
        person: row.get(7)?,
        is_first_contact: row.get::<_, Option<bool>>(8)?.unwrap_or(false),
        is_in_totals: true,
    }))
}

/// Reads the few stored statistics that exported tables show.
pub(crate) struct Summaries<'c>(CachedStatement<'c>);

impl<'c> Summaries<'c> {
    pub(crate) fn new(connection: &'c Connection) -> Result<Self> {
        let sql =
            "SELECT user_messages, assistant_messages, first_response_seconds, tools FROM conversation_stats
                   WHERE conversation_key = ?1";
        connection.prepare_cached(sql).map(Self).map_err(database_error("read the statistics"))
    }

    /// Reads the statistics of a conversation. If a damaged archive has none, computes them.
    pub(crate) fn read(&mut self, key: i64, conversation: &Conversation) -> Result<StatsSummary> {
        let failed = || database_error("read the statistics");
        let mut rows = self.0.query([key]).map_err(failed())?;
        let Some(row) = rows.next().map_err(failed())? else {
            return Ok(StatsSummary::from(&ConversationStats::of(conversation)));
        };
        let tools = row.get_ref(3).and_then(|tools| Ok(tools.as_str_or_null()?)).map_err(failed())?;
        let tools: Vec<(IgnoredAny, IgnoredAny, u32)> = from_json(tools)?;
        Ok(StatsSummary {
            user_messages: row.get(0).map_err(failed())?,
            assistant_messages: row.get(1).map_err(failed())?,
            tool_calls: tools.iter().map(|(_, _, count)| count).sum(),
            first_response_seconds: row.get(2).map_err(failed())?,
            duration_seconds: stats::seconds_between(conversation.created_at, conversation.updated_at),
        })
    }
}

/// Reads statistics from the columns of [`COLUMNS`], which begin at `first`.
fn read_stats(
    row: &Row<'_>,
    first: usize,
    created_at: Option<Timestamp>,
    updated_at: Option<Timestamp>,
) -> rusqlite::Result<Result<ConversationStats>> {
    let word = |at: usize| Ok::<_, rusqlite::Error>(row.get_ref(at)?.as_str_or_null()?);
    let speaker = |at: usize| Ok::<_, rusqlite::Error>(word(at)?.and_then(Role::from_word));
    let at = |column: usize| first + column;
    let lists = || -> Result<_> {
        let list = |column: usize| word(at(column)).map_err(database_error("read the statistics"));
        let tools: Vec<(String, String, u32)> = from_json(list(20)?)?;
        let quarters: Vec<i64> = from_json(list(21)?)?;
        let numbers = |column: usize| from_json::<Vec<f64>>(list(column)?);
        Ok((numbers(15)?, numbers(16)?, numbers(19)?, tools, quarters))
    };
    let (bot_responses, agent_responses, scores, tools, quarters) = match lists() {
        Ok(lists) => lists,
        Err(error) => return Ok(Err(error)),
    };
    Ok(Ok(ConversationStats {
        messages: row.get(at(0))?,
        user_messages: row.get(at(1))?,
        assistant_messages: row.get(at(2))?,
        human_agent_messages: row.get(at(3))?,
        system_messages: row.get(at(4))?,
        tool_messages: row.get(at(5))?,
        internal_notes: row.get(at(6))?,
        dated_messages: row.get(at(7))?,
        first_speaker: speaker(at(8))?,
        last_speaker: speaker(at(9))?,
        first_question_position: row.get(at(10))?,
        last_position: row.get(at(11))?,
        first_question: row.get(at(12))?,
        unanswered_question: row.get(at(13))?,
        first_response_seconds: row.get(at(14))?,
        bot_responses,
        human_agent_responses: agent_responses,
        duration_seconds: stats::seconds_between(created_at, updated_at),
        positive_messages: row.get(at(17))?,
        negative_messages: row.get(at(18))?,
        scores,
        tools: tools.into_iter().map(|(name, status, count)| ToolCalls { name, status, count }).collect(),
        quarters: quarters.chunks_exact(2).map(|pair| (QuarterHour(pair[0]), read_u32(pair[1]))).collect(),
    }))
}

/// Reads a stored count back.
fn read_u32(number: i64) -> u32 {
    u32::try_from(number).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_compact_json() {
        let numbers = [3.0, 0.25, 1e-6, 0.0, -0.0, 86_400.0, -7.0, 1e16];
        let expected = "[3,0.25,0.000001,0,-0,86400,-7,10000000000000000]";
        assert_eq!(list(numbers.into_iter().map(Number)).as_deref(), Some(expected));
        assert_eq!(list([7_i64].iter()).as_deref(), Some("[7]"));
        assert_eq!(list(std::iter::empty::<i64>()), None);
    }
}
