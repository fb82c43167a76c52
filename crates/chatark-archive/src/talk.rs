//! What the messages of each conversation come to, for reports: one pass over them in the order in which they lie.

use std::collections::HashMap;
use std::mem;

use chatark_core::{Result, Timestamp, Zone};
use rusqlite::{CachedStatement, Connection, Row, params};

use crate::values::database;

/// A quarter of an hour in microseconds: all time zones are whole quarters apart.
const QUARTER: i64 = 900_000_000;

/// The day, week and month of what has no time.
const UNDATED: &str = "undated";

/// How many different response times are held in memory.
const RESPONSES_HELD: usize = 50_000;

/// What has been seen of one conversation.
#[derive(Debug, Default)]
struct Talk {
    messages: i64,
    user: i64,
    assistant: i64,
    human: i64,
    positive: i64,
    negative: i64,
    scored: i64,
    low: i64,
    dated: i64,
    tools: i64,
    first_user_position: Option<i64>,
    last_position: Option<i64>,
    /// The time of the user's first message.
    first_asked: Option<i64>,
    is_answered: bool,
    first_response_seconds: Option<f64>,
    /// The speaker before, and when.
    before: Option<(bool, Option<i64>)>,
    /// How long the assistant took, each time.
    responses: Vec<f64>,
    /// Messages by the quarter in which they were written, in the order of the conversation.
    quarters: Vec<(Option<i64>, i64)>,
}

/// A message as far as it matters here.
struct Said {
    key: i64,
    position: i64,
    role: Speaker,
    created_at: Option<i64>,
    feedback: Option<bool>,
    score: Option<f64>,
    has_tools: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Speaker {
    User,
    Assistant,
    Human,
    Nobody,
}

/// A conversation whose messages are asked for.
struct Wanted {
    key: i64,
    source_key: i64,
    channel: String,
    begun: Option<i64>,
}

/// Makes `temp.talk`, `temp.cells`, `temp.message_cells` and `temp.responses` of the conversations that `temp.chosen`
/// and `temp.bounds` leave over.
///
/// A cell is a source, a channel and a day: numbers that only add up are kept for each cell, so that every grouping
/// afterwards is a sum over cells.
pub(crate) fn gather(connection: &Connection, zone: Zone) -> Result<()> {
    let failed = || database("gather the facts of a report");
    connection
        .execute_batch(
            "CREATE TEMP TABLE talk (
                 key INTEGER PRIMARY KEY, cell INTEGER, messages INTEGER, user_messages INTEGER,
                 assistant_messages INTEGER, human_messages INTEGER, positive_messages INTEGER,
                 negative_messages INTEGER, scored_messages INTEGER, low_messages INTEGER, dated_messages INTEGER,
                 tool_messages INTEGER, first_user_position INTEGER, last_position INTEGER,
                 first_response_seconds REAL);
             CREATE TEMP TABLE cells (
                 cell INTEGER PRIMARY KEY, source_key INTEGER, channel TEXT, day TEXT, week TEXT, month TEXT);
             CREATE TEMP TABLE message_cells (cell INTEGER PRIMARY KEY, messages INTEGER);
             CREATE TEMP TABLE responses (cell INTEGER, response_seconds REAL, times INTEGER);
             SAVEPOINT talk;",
        )
        .map_err(failed())?;
    let mut messages = connection
        .prepare(
            "SELECT conversation_key, position, role, created_at, feedback, score,
                    parts IS NOT NULL AND parts LIKE '%\"tool_%'
             FROM message ORDER BY conversation_key, position",
        )
        .map_err(failed())?;
    let mut wanted = connection
        .prepare(
            "SELECT conversation_key, source_key, coalesce(conversation.channel, 'unknown'), created_at
             FROM conversation CROSS JOIN temp.bounds
             WHERE source_key IN (SELECT source_key FROM temp.chosen)
                 AND (bounds.since IS NULL OR created_at IS NULL OR created_at >= bounds.since)
                 AND (bounds.until IS NULL OR created_at IS NULL OR created_at < bounds.until)
                 AND (bounds.channel IS NULL OR conversation.channel = bounds.channel)
             ORDER BY conversation_key",
        )
        .map_err(failed())?;
    let mut writer = Writer::new(connection, zone)?;
    let mut messages = messages.query([]).map_err(failed())?;
    let mut wanted = wanted.query([]).map_err(failed())?;
    let mut next = messages.next().map_err(failed())?.map(said).transpose().map_err(failed())?;
    while let Some(row) = wanted.next().map_err(failed())? {
        let wanted = conversation(row).map_err(failed())?;
        let mut talk = Talk::default();
        // Messages of other conversations lie in between.
        while let Some(message) = next.as_ref().filter(|message| message.key <= wanted.key) {
            if message.key == wanted.key {
                talk.hear(message);
            }
            next = messages.next().map_err(failed())?.map(said).transpose().map_err(failed())?;
        }
        writer.talk(&wanted, &talk)?;
    }
    writer.finish()?;
    connection.execute_batch("RELEASE talk").map_err(failed())
}

fn conversation(row: &Row<'_>) -> rusqlite::Result<Wanted> {
    Ok(Wanted { key: row.get(0)?, source_key: row.get(1)?, channel: row.get(2)?, begun: row.get(3)? })
}

fn said(row: &Row<'_>) -> rusqlite::Result<Said> {
    let role = match row.get_ref(2)?.as_str()? {
        "user" => Speaker::User,
        "assistant" => Speaker::Assistant,
        "human_agent" => Speaker::Human,
        _ => Speaker::Nobody,
    };
    Ok(Said {
        key: row.get(0)?,
        position: row.get(1)?,
        role,
        created_at: row.get(3)?,
        feedback: row.get_ref(4)?.as_str_or_null()?.map(|feedback| feedback == "positive"),
        score: row.get(5)?,
        has_tools: row.get(6)?,
    })
}

impl Talk {
    /// Counts a message.
    fn hear(&mut self, message: &Said) {
        self.messages += 1;
        self.dated += i64::from(message.created_at.is_some());
        self.tools += i64::from(message.has_tools);
        let quarter = message.created_at.map(quarter);
        match self.quarters.last_mut() {
            Some((last, number)) if *last == quarter => *number += 1,
            _ => self.quarters.push((quarter, 1)),
        }
        match message.role {
            Speaker::User => self.user += 1,
            Speaker::Assistant => self.hear_assistant(message),
            Speaker::Human => self.human += 1,
            Speaker::Nobody => return,
        }
        self.last_position = Some(message.position);
        self.time_first_response(message);
        let before = self.before.replace((message.role == Speaker::User, message.created_at));
        if let (Some((true, Some(asked))), Speaker::Assistant, Some(answered)) =
            (before, message.role, message.created_at)
            && let Some(took) = seconds(asked, answered)
        {
            self.responses.push(took);
        }
    }

    fn hear_assistant(&mut self, message: &Said) {
        self.assistant += 1;
        self.positive += i64::from(message.feedback == Some(true));
        self.negative += i64::from(message.feedback == Some(false));
        self.scored += i64::from(message.score.is_some());
        self.low += i64::from(message.score.is_some_and(|score| score < 0.5));
    }

    /// The first answer of the bot or a person after the user's first message counts, with or without a time.
    fn time_first_response(&mut self, message: &Said) {
        if message.role == Speaker::User {
            if self.first_user_position.is_none() {
                self.first_user_position = Some(message.position);
                self.first_asked = message.created_at;
            }
        } else if self.first_user_position.is_some() && !self.is_answered {
            self.is_answered = true;
            let times = self.first_asked.zip(message.created_at);
            self.first_response_seconds = times.and_then(|(asked, answered)| seconds(asked, answered));
        }
    }
}

fn seconds(asked: i64, answered: i64) -> Option<f64> {
    (answered >= asked).then(|| (answered - asked) as f64 / 1e6)
}

/// A place in time as it is grouped: source, channel and local day.
type Place = (i64, String, String);

/// Writes the rows, and adds up what belongs to one cell.
struct Writer<'a> {
    talk: CachedStatement<'a>,
    cell: CachedStatement<'a>,
    message: CachedStatement<'a>,
    response: CachedStatement<'a>,
    zone: Zone,
    /// The number of each cell.
    cells: HashMap<Place, i64>,
    /// The quarter that was looked up last, of which conversation, and its cell.
    latest: Option<(i64, Option<i64>, i64)>,
    messages: HashMap<i64, i64>,
    /// How often each response time occurs in each cell; the bits of a number stand for it.
    responses: HashMap<(i64, u64), i64>,
}

impl<'a> Writer<'a> {
    fn new(connection: &'a Connection, zone: Zone) -> Result<Self> {
        let prepare = |sql| connection.prepare_cached(sql).map_err(database("gather the facts of a report"));
        Ok(Self {
            talk: prepare(
                "INSERT INTO temp.talk VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
            )?,
            cell: prepare("INSERT INTO temp.cells VALUES (NULL, ?1, ?2, ?3, ?4, ?5)")?,
            message: prepare("INSERT INTO temp.message_cells VALUES (?1, ?2)")?,
            response: prepare("INSERT INTO temp.responses VALUES (?1, ?2, ?3)")?,
            zone,
            cells: HashMap::new(),
            latest: None,
            messages: HashMap::new(),
            responses: HashMap::new(),
        })
    }

    fn talk(&mut self, wanted: &Wanted, talk: &Talk) -> Result<()> {
        let begun = wanted.begun.map(quarter);
        let cell = self.cell(wanted, begun)?;
        self.talk
            .execute(params![
                wanted.key,
                cell,
                talk.messages,
                talk.user,
                talk.assistant,
                talk.human,
                talk.positive,
                talk.negative,
                talk.scored,
                talk.low,
                talk.dated,
                talk.tools,
                talk.first_user_position,
                talk.last_position,
                talk.first_response_seconds,
            ])
            .map_err(database("gather the facts of a report"))?;
        for seconds in &talk.responses {
            *self.responses.entry((cell, seconds.to_bits())).or_default() += 1;
        }
        for (quarter, number) in &talk.quarters {
            // A message without a time counts where its conversation began.
            let cell = self.cell(wanted, quarter.or(begun))?;
            *self.messages.entry(cell).or_default() += number;
        }
        if self.responses.len() > RESPONSES_HELD { self.write_responses() } else { Ok(()) }
    }

    fn cell(&mut self, wanted: &Wanted, quarter: Option<i64>) -> Result<i64> {
        if let Some((key, latest, cell)) = self.latest
            && (key, latest) == (wanted.key, quarter)
        {
            return Ok(cell);
        }
        let time = quarter.map(|at| Timestamp::from_microseconds(at).unwrap_or(Timestamp::EARLIEST));
        let zone = self.zone;
        let written = |format| time.map_or_else(|| UNDATED.to_owned(), |time| time.written(zone, format));
        let place = (wanted.source_key, wanted.channel.clone(), written("%Y-%m-%d"));
        let cell = if let Some(&cell) = self.cells.get(&place) {
            cell
        } else {
            let (source_key, channel, day) = &place;
            let cell = self
                .cell
                .insert(params![source_key, channel, day, written("%G-W%V"), written("%Y-%m")])
                .map_err(database("gather the facts of a report"))?;
            self.cells.insert(place, cell);
            cell
        };
        self.latest = Some((wanted.key, quarter, cell));
        Ok(cell)
    }

    fn write_responses(&mut self) -> Result<()> {
        for ((cell, bits), times) in mem::take(&mut self.responses) {
            let row = params![cell, f64::from_bits(bits), times];
            self.response.execute(row).map_err(database("gather the facts of a report"))?;
        }
        Ok(())
    }

    fn finish(mut self) -> Result<()> {
        self.write_responses()?;
        for row in &self.messages {
            self.message.execute(row).map_err(database("gather the facts of a report"))?;
        }
        Ok(())
    }
}

fn quarter(at: i64) -> i64 {
    at.div_euclid(QUARTER) * QUARTER
}
