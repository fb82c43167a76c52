//! What the messages of each conversation come to, for reports: one pass over them in the order in which they lie.

use chatark_core::{Result, Timestamp, Zone};
use rusqlite::{CachedStatement, Connection, Row, params};

use crate::values::database;

/// A quarter of an hour in microseconds: all time zones are whole quarters apart.
const QUARTER: i64 = 900_000_000;

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
    /// How long the assistant took, and how often so long.
    responses: Vec<(f64, i64)>,
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

/// Makes `temp.talk`, `temp.responses` and `temp.message_days` of the sources in `temp.chosen`.
pub(crate) fn gather(connection: &Connection, zone: Zone) -> Result<()> {
    let failed = || database("gather the facts of a report");
    connection
        .execute_batch(
            "CREATE TEMP TABLE talk (
                 key INTEGER PRIMARY KEY, messages INTEGER, user_messages INTEGER, assistant_messages INTEGER,
                 human_messages INTEGER, positive_messages INTEGER, negative_messages INTEGER, scored_messages INTEGER,
                 low_messages INTEGER, dated_messages INTEGER, tool_messages INTEGER, first_user_position INTEGER,
                 last_position INTEGER, first_response_seconds REAL);
             CREATE TEMP TABLE responses (key INTEGER, response_seconds REAL, times INTEGER);
             CREATE TEMP TABLE message_days (key INTEGER, day TEXT, week TEXT, month TEXT, messages INTEGER);
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
            "SELECT conversation_key, created_at FROM conversation
             WHERE source_key IN (SELECT source_key FROM temp.chosen) ORDER BY conversation_key",
        )
        .map_err(failed())?;
    let mut writer = Writer::new(connection, zone)?;
    let mut messages = messages.query([]).map_err(failed())?;
    let mut wanted = wanted.query([]).map_err(failed())?;
    let mut next = messages.next().map_err(failed())?.map(said).transpose().map_err(failed())?;
    while let Some(conversation) = wanted.next().map_err(failed())? {
        let key: i64 = conversation.get(0).map_err(failed())?;
        let begun: Option<i64> = conversation.get(1).map_err(failed())?;
        let mut talk = Talk::default();
        // Messages of other sources lie in between.
        while let Some(message) = next.as_ref().filter(|message| message.key <= key) {
            if message.key == key {
                talk.hear(message);
            }
            next = messages.next().map_err(failed())?.map(said).transpose().map_err(failed())?;
        }
        writer.talk(key, &talk, begun)?;
    }
    drop(writer);
    connection.execute_batch("RELEASE talk").map_err(failed())
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
        let quarter = message.created_at.map(|at| at.div_euclid(QUARTER) * QUARTER);
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
            match self.responses.iter_mut().find(|(seconds, _)| seconds.to_bits() == took.to_bits()) {
                Some((_, times)) => *times += 1,
                None => self.responses.push((took, 1)),
            }
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

/// Writes the rows, and remembers the local dates of the latest quarter.
struct Writer<'a> {
    talk: CachedStatement<'a>,
    response: CachedStatement<'a>,
    day: CachedStatement<'a>,
    zone: Zone,
    latest: Option<(i64, [String; 3])>,
}

impl<'a> Writer<'a> {
    fn new(connection: &'a Connection, zone: Zone) -> Result<Self> {
        let prepare = |sql| connection.prepare_cached(sql).map_err(database("gather the facts of a report"));
        Ok(Self {
            talk: prepare(
                "INSERT INTO temp.talk VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
            )?,
            response: prepare("INSERT INTO temp.responses VALUES (?1, ?2, ?3)")?,
            day: prepare("INSERT INTO temp.message_days VALUES (?1, ?2, ?3, ?4, ?5)")?,
            zone,
            latest: None,
        })
    }

    fn talk(&mut self, key: i64, talk: &Talk, begun: Option<i64>) -> Result<()> {
        let failed = || database("gather the facts of a report");
        self.talk
            .execute(params![
                key,
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
            .map_err(failed())?;
        for (seconds, times) in &talk.responses {
            self.response.execute(params![key, seconds, times]).map_err(failed())?;
        }
        for (quarter, number) in &talk.quarters {
            // A message without a time counts where its conversation began.
            let instant = quarter.or(begun.map(|at| at.div_euclid(QUARTER) * QUARTER));
            let written = match instant {
                Some(instant) => {
                    let [day, week, month] = dates(&mut self.latest, instant, self.zone);
                    self.day.execute(params![key, day, week, month, number])
                }
                None => self.day.execute(params![key, None::<&str>, None::<&str>, None::<&str>, number]),
            };
            written.map_err(failed())?;
        }
        Ok(())
    }
}

fn dates(latest: &mut Option<(i64, [String; 3])>, instant: i64, zone: Zone) -> &[String; 3] {
    if latest.as_ref().is_none_or(|(at, _)| *at != instant) {
        let time = Timestamp::from_microseconds(instant).unwrap_or(Timestamp::EARLIEST);
        let written = ["%Y-%m-%d", "%G-W%V", "%Y-%m"].map(|format| time.written(zone, format));
        *latest = Some((instant, written));
    }
    match latest {
        Some((_, dates)) => dates,
        None => unreachable!("it was set above"),
    }
}
