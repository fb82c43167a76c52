//! Chatbase API v2, as any deployment that its documents allow.

use std::collections::{BTreeMap, VecDeque};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Value, json};

use super::{AGENT, Answer, ErrorText, Paging, Place, Request, Truth, Vendor};
use crate::population::{Content, Conversation, Habits, Message, Population};
use crate::random::Random;
use crate::time::{Bound, DAY, HOUR, Instant, MINUTE, SECOND, bound, http_date, written};
use crate::transport::KEY;

/// What conversations of Chatbase are like.
pub const HABITS: Habits = Habits {
    channels: &[
        None,
        Some("API"),
        Some("WhatsApp"),
        Some("WhatsApp"),
        Some("Widget or Iframe"),
        Some("Widget or Iframe"),
        Some("Unspecified"),
        Some("Center stage"),
        Some("Carrier pigeon"),
    ],
    statuses: &["ongoing", "ended", "taken_over", "paused", "snoozed"],
    telephone_ids: 1,
    undated: 0,
    truncates: true,
    has_title_and_status: true,
};

/// A deployment.
#[derive(Debug)]
pub struct ChatbaseV2 {
    facts: Facts,
    served: u64,
    snapshots: Vec<Vec<usize>>,
    arrived: VecDeque<Instant>,
    elements: BTreeMap<(usize, usize), Bytes>,
}

/// What was drawn of a deployment.
#[derive(Debug, Clone)]
struct Facts {
    paging: Paging,
    is_by_activity: bool,
    is_unstable: bool,
    page: usize,
    /// In how many of a hundred pages there is less than there could be, and in how many nothing.
    short_pages: u64,
    empty_pages: u64,
    knows: Knows,
    unknown: Unknown,
    days: Days,
    start_inclusive: bool,
    end_inclusive: bool,
    /// Whether a bare day as end means the end of that day.
    end_of_day: bool,
    /// Whether filters compare what is shown, which is whole seconds, and not what is stored.
    compares_shown: bool,
    rounds_up: bool,
    total: Total,
    total_form: TotalForm,
    end: End,
    /// A cursor is refused when it is older than this.
    cursor_life: Option<(Instant, u16)>,
    /// How an unknown conversation is answered.
    unknown_id: u16,
    limit: Option<u64>,
    reset_in_seconds: bool,
    has_date: bool,
    clock_ahead: Instant,
    too_many: TooMany,
}

#[derive(Debug, Clone, Copy)]
struct Knows {
    dates: bool,
    single: bool,
    include: bool,
    source: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unknown {
    Refused,
    Ignored,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Days {
    AndInstants,
    AloneElseRefused,
    AloneElseCut,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Total {
    Matching,
    OfAgent,
    Left,
    More,
    Fewer,
    OfPage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TotalForm {
    Number,
    Float,
    Text,
    MinusOne,
    Null,
    Absent,
}

/// What the last page says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    NullAndNoMore,
    NullButMore,
    EmptyText,
    EmptyTextButMore,
    CursorButNoMore,
    Absent,
    /// One more page without anything on it.
    EmptyPage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TooMany {
    RetryAfter,
    RetryAfterDate,
    ResetAlone,
    Nothing,
}

/// A position in the list, as a cursor holds it.
#[derive(Debug)]
struct Position {
    issued: Instant,
    kind: PositionKind,
}

#[derive(Debug)]
enum PositionKind {
    After(Instant, String),
    Offset(usize),
    Snapshot(usize, usize),
}

impl ChatbaseV2 {
    /// Draws a deployment.
    pub fn draw(random: &mut Random) -> Self {
        let paging = random.weighted(&[(55, Paging::Keyset), (25, Paging::Offset), (20, Paging::Snapshot)]);
        let all = Knows { dates: true, single: true, include: true, source: true };
        let none = Knows { dates: false, single: false, include: false, source: false };
        let some = Knows {
            dates: random.percent(60),
            single: random.percent(60),
            include: random.percent(60),
            source: random.percent(60),
        };
        let facts = Facts {
            paging,
            is_by_activity: random.percent(20),
            is_unstable: paging != Paging::Keyset && random.percent(40),
            page: random.weighted(&[(60, 20), (10, 10), (10, 7), (10, 3), (3, 1), (7, 19)]),
            short_pages: random.pick(&[0, 0, 0, 10]),
            empty_pages: random.pick(&[0, 0, 0, 5, 30]),
            knows: random.weighted(&[(60, all), (20, none), (20, some)]),
            unknown: random.pick(&[Unknown::Refused, Unknown::Ignored]),
            days: random.weighted(&[
                (70, Days::AndInstants),
                (15, Days::AloneElseRefused),
                (15, Days::AloneElseCut),
            ]),
            start_inclusive: random.percent(85),
            end_inclusive: random.percent(65),
            end_of_day: random.percent(80),
            compares_shown: random.percent(40),
            rounds_up: random.percent(15),
            total: random.weighted(&[
                (60, Total::Matching),
                (10, Total::OfAgent),
                (10, Total::Left),
                (7, Total::More),
                (7, Total::Fewer),
                (6, Total::OfPage),
            ]),
            total_form: random.weighted(&[
                (60, TotalForm::Number),
                (8, TotalForm::Float),
                (8, TotalForm::Text),
                (8, TotalForm::MinusOne),
                (8, TotalForm::Null),
                (8, TotalForm::Absent),
            ]),
            end: random.weighted(&[
                (50, End::NullAndNoMore),
                (15, End::NullButMore),
                (8, End::EmptyText),
                (5, End::EmptyTextButMore),
                (7, End::CursorButNoMore),
                (7, End::Absent),
                (8, End::EmptyPage),
            ]),
            cursor_life: random
                .percent(25)
                .then(|| (random.pick(&[10 * MINUTE, HOUR, DAY]), random.pick(&[400, 404, 410, 422]))),
            unknown_id: random.pick(&[200, 404]),
            limit: random.pick(&[Some(100), Some(1_000), Some(1_000), None]),
            reset_in_seconds: random.percent(50),
            has_date: random.percent(80),
            clock_ahead: random.pick(&[
                0,
                0,
                0,
                3 * SECOND,
                -40 * SECOND,
                20 * MINUTE,
                -20 * MINUTE,
                -400 * DAY,
            ]),
            too_many: random.pick(&[
                TooMany::RetryAfter,
                TooMany::RetryAfterDate,
                TooMany::ResetAlone,
                TooMany::Nothing,
            ]),
        };
        Self { facts, served: 0, snapshots: Vec::new(), arrived: VecDeque::new(), elements: BTreeMap::new() }
    }

    fn headers(&self, now: Instant) -> Vec<(&'static str, String)> {
        let mut headers = vec![
            ("content-type", "application/json".to_owned()),
            ("x-request-id", format!("req_{}", self.served)),
        ];
        let vendors_now = now + self.facts.clock_ahead;
        if let Some(limit) = self.facts.limit {
            let first = self.arrived.front().copied().unwrap_or(now);
            let reset = (first + 10 * SECOND).max(now) - now + vendors_now;
            let unit = if self.facts.reset_in_seconds { SECOND } else { 1_000 };
            headers.push(("X-RateLimit-Limit", limit.to_string()));
            headers
                .push(("X-RateLimit-Remaining", limit.saturating_sub(self.arrived.len() as u64).to_string()));
            headers.push(("X-RateLimit-Reset", (reset / unit).to_string()));
        }
        if self.facts.has_date {
            headers.push(("Date", http_date(vendors_now)));
        }
        headers
    }

    /// Counts a request in the vendor's sliding window, and returns whether it is one too many.
    fn is_too_many(&mut self, now: Instant) -> bool {
        let Some(limit) = self.facts.limit else { return false };
        while self.arrived.front().is_some_and(|at| now - *at >= 10 * SECOND) {
            self.arrived.pop_front();
        }
        if self.arrived.len() as u64 >= limit {
            return true;
        }
        self.arrived.push_back(now);
        false
    }

    fn refused(&self, now: Instant, code: &str, field: &str) -> Answer {
        let body = json!({"error": {"code": code, "message": "Invalid request", "details": {field: "Unrecognized or invalid"}}});
        Answer { headers: self.headers(now), ..Answer::json(400, body.to_string()) }
    }

    fn not_found(&self, now: Instant, code: &str) -> Answer {
        let body = json!({"error": {"code": code, "message": "The requested item could not be found"}});
        Answer { headers: self.headers(now), ..Answer::json(404, body.to_string()) }
    }

    /// What the vendor shows of an instant: whole seconds.
    fn shown(&self, at: Instant) -> i64 {
        let up = if self.facts.rounds_up { SECOND / 2 } else { 0 };
        (at + up).div_euclid(SECOND)
    }

    fn export(&mut self, request: &Request, population: &Population, now: Instant) -> Answer {
        let facts = self.facts.clone();
        let mut query = Query::default();
        for (name, value) in &request.query {
            let is_known = match name.as_str() {
                "cursor" | "limit" => true,
                "startDate" | "endDate" => facts.knows.dates,
                "conversationId" => facts.knows.single,
                "include" => facts.knows.include,
                "source" => facts.knows.source,
                _ => false,
            };
            if !is_known {
                match facts.unknown {
                    Unknown::Refused => return self.refused(now, "VALIDATION_INVALID_BODY", name),
                    Unknown::Ignored => continue,
                }
            }
            let is_fine = match name.as_str() {
                "limit" => value.parse().is_ok_and(|limit: usize| {
                    query.limit = limit;
                    (1..=20).contains(&limit)
                }),
                "startDate" | "endDate" => self.read_bound(&mut query, name, value),
                "conversationId" => {
                    query.id = Some(value.clone());
                    true
                }
                "include" => {
                    query.is_summary = value == "summary";
                    query.is_summary || value == "messages"
                }
                "source" => {
                    query.sources = Some(value.split(',').map(str::to_owned).collect());
                    true
                }
                _ => true,
            };
            if !is_fine {
                return self.refused(now, "VALIDATION_INVALID_BODY", name);
            }
        }
        if query.since.zip(query.until).is_some_and(|(since, until)| since > until) {
            return self.refused(now, "VALIDATION_INVALID_DATE_RANGE", "startDate");
        }
        let cursor = match request.parameter("cursor").map(read_cursor) {
            None => None,
            Some(None) => return self.refuse_cursor(now, 400),
            Some(Some(position)) => {
                if let Some((life, status)) = facts.cursor_life
                    && now - position.issued > life
                {
                    return self.refuse_cursor(now, status);
                }
                Some(position.kind)
            }
        };
        if let Some(id) = &query.id {
            let known = population.place(id).filter(|place| population.conversations[*place].exists(now));
            if known.is_none() && facts.unknown_id == 404 {
                return self.not_found(now, "RESOURCE_NOT_FOUND");
            }
        }
        let matching: Vec<usize> = population
            .existing(now)
            .filter(|place| self.matches(&population.conversations[*place], &query, now))
            .collect();
        self.page(population, &query, matching, cursor.as_ref(), now)
    }

    fn read_bound(&self, query: &mut Query, name: &str, value: &str) -> bool {
        let Some(read) = bound(value) else { return false };
        let (at, is_day) = match (read, self.facts.days) {
            (Bound::Day(day), _) => (day, true),
            (Bound::Exact(at), Days::AndInstants) => (at, false),
            (Bound::Exact(_), Days::AloneElseRefused) => return false,
            (Bound::Exact(at), Days::AloneElseCut) => (at - at.rem_euclid(DAY), true),
        };
        if name == "startDate" {
            query.since = Some(at);
            query.since_is_day = is_day;
        } else {
            query.until = Some(if is_day && self.facts.end_of_day { at + DAY - 1 } else { at });
            query.until_is_day = is_day && self.facts.end_of_day;
        }
        true
    }

    fn matches(&self, conversation: &Conversation, query: &Query, now: Instant) -> bool {
        let created = if self.facts.compares_shown {
            self.shown(conversation.created) * SECOND
        } else {
            conversation.created
        };
        let after = query.since.is_none_or(|since| {
            if query.since_is_day || self.facts.start_inclusive { created >= since } else { created > since }
        });
        let before = query.until.is_none_or(|until| {
            if query.until_is_day || self.facts.end_inclusive { created <= until } else { created < until }
        });
        let of_source = query.sources.as_ref().is_none_or(|sources| {
            let word = conversation.at(now).content.channel.as_deref();
            word.is_some_and(|word| sources.iter().any(|source| source == word))
        });
        let of_id = query.id.as_ref().is_none_or(|id| *id == conversation.id);
        after && before && of_source && of_id
    }

    fn refuse_cursor(&self, now: Instant, status: u16) -> Answer {
        Answer { headers: self.headers(now), ..self.error(status, ErrorText::Cursor) }
    }

    /// Puts rows into the vendor's order, newest first.
    fn order(&self, population: &Population, rows: &mut Vec<usize>, now: Instant) {
        let mut keyed: Vec<_> = rows
            .iter()
            .map(|place| {
                let conversation = &population.conversations[*place];
                let at = self.sort_key(conversation, now);
                if self.facts.is_unstable {
                    let shuffled = Random::new(self.served ^ ((*place as u64) << 20)).bits();
                    ((at.div_euclid(SECOND), shuffled), conversation.id.as_str(), *place)
                } else {
                    ((at, 0), conversation.id.as_str(), *place)
                }
            })
            .collect();
        keyed.sort_unstable_by(|one, other| other.cmp(one));
        *rows = keyed.into_iter().map(|(.., place)| place).collect();
    }

    fn sort_key(&self, conversation: &Conversation, now: Instant) -> Instant {
        if self.facts.is_by_activity { conversation.at(now).content.updated } else { conversation.created }
    }

    /// Answers with a page of rows.
    fn page(
        &mut self,
        population: &Population,
        query: &Query,
        mut rows: Vec<usize>,
        cursor: Option<&PositionKind>,
        now: Instant,
    ) -> Answer {
        let facts = self.facts.clone();
        let matching = rows.len();
        self.order(population, &mut rows, now);
        let (rows, start) = match cursor {
            None => (rows, 0),
            Some(PositionKind::Offset(offset)) => (rows, *offset),
            Some(PositionKind::After(at, id)) => {
                let is_before = |place: &usize| {
                    let conversation = &population.conversations[*place];
                    let key = self.sort_key(conversation, now);
                    key > *at || (key == *at && conversation.id >= *id)
                };
                let start = rows.iter().position(|place| !is_before(place)).unwrap_or(rows.len());
                (rows, start)
            }
            Some(PositionKind::Snapshot(number, offset)) => match self.snapshots.get(*number) {
                Some(rows) => (rows.clone(), *offset),
                None => return self.refuse_cursor(now, 400),
            },
        };
        let start = start.min(rows.len());
        let mut chance = Random::new(self.served.wrapping_mul(31));
        let mut size = facts.page.min(query.limit);
        let is_empty = chance.percent(facts.empty_pages) && query.id.is_none() && start < rows.len();
        if chance.percent(facts.short_pages) {
            size = size.div_ceil(2);
        }
        if is_empty {
            size = 0;
        }
        let end = (start + size).min(rows.len());
        let on_page: Vec<usize> = rows[start..end]
            .iter()
            .copied()
            // A list that was fixed earlier may hold what is not shown any more.
            .filter(|place| {
                population.conversations.get(*place).is_some_and(|conversation| conversation.exists(now))
            })
            .collect();
        let has_more = end < rows.len();
        let left = rows.len() - start;
        let next = || {
            let kind = match facts.paging {
                Paging::Keyset if end == 0 => PositionKind::After(Instant::MAX, String::new()),
                Paging::Keyset => {
                    let last = &population.conversations[rows[end - 1]];
                    PositionKind::After(self.sort_key(last, now), last.id.clone())
                }
                Paging::Snapshot => {
                    let number = match cursor {
                        Some(PositionKind::Snapshot(number, _)) => *number,
                        _ => self.snapshots.len(),
                    };
                    PositionKind::Snapshot(number, end)
                }
                Paging::Offset | Paging::Whole => PositionKind::Offset(end),
            };
            let nonce = if is_empty { self.served } else { 0 };
            Value::from(write_cursor(&Position { issued: now, kind }, nonce))
        };
        let is_past_end = start >= rows.len() && cursor.is_some();
        let (cursor_value, more) = if has_more {
            (Some(next()), true)
        } else {
            match facts.end {
                End::NullAndNoMore => (Some(Value::Null), false),
                End::NullButMore => (Some(Value::Null), true),
                End::EmptyText => (Some(Value::from("")), false),
                End::EmptyTextButMore => (Some(Value::from("")), true),
                End::CursorButNoMore | End::EmptyPage if is_past_end || rows.is_empty() => {
                    (Some(Value::Null), false)
                }
                End::CursorButNoMore => (Some(next()), false),
                End::EmptyPage => (Some(next()), true),
                End::Absent => (None, false),
            }
        };
        if facts.paging == Paging::Snapshot && !matches!(cursor, Some(PositionKind::Snapshot(..))) {
            self.snapshots.push(rows);
        }
        let counted = Counted { matching, left, on_page: on_page.len() };
        let pagination = self.pagination(population, counted, cursor_value, more, now);
        let body = self.body(population, query, &on_page, &pagination, now);
        let mut answer = Answer { headers: self.headers(now), matching, ..Answer::json(200, body) };
        if query.is_summary {
            answer.listed = on_page;
        } else {
            let with_version = |place: usize| (place, population.conversations[place].version_at(now));
            answer.delivered = on_page.into_iter().map(with_version).collect();
        }
        answer
    }

    fn body(
        &mut self,
        population: &Population,
        query: &Query,
        on_page: &[usize],
        pagination: &Value,
        now: Instant,
    ) -> String {
        let mut body = String::from("{\"data\":[");
        for (at, place) in on_page.iter().enumerate() {
            if at > 0 {
                body.push(',');
            }
            if query.is_summary {
                body.push_str(&self.row(&population.conversations[*place], now).to_string());
            } else {
                let version = population.conversations[*place].version_at(now);
                let element = self.element(population, *place, version);
                body.push_str(&String::from_utf8_lossy(&element));
            }
        }
        body.push_str("],\"pagination\":");
        body.push_str(&pagination.to_string());
        body.push('}');
        body
    }

    /// Writes the envelope around a page.
    fn pagination(
        &self,
        population: &Population,
        counted: Counted,
        cursor: Option<Value>,
        more: bool,
        now: Instant,
    ) -> Value {
        let Counted { matching, left, on_page } = counted;
        let count = match self.facts.total {
            Total::Matching => matching,
            Total::OfAgent => population.existing(now).count(),
            Total::Left => left,
            Total::More => matching + 1 + matching / 10,
            Total::Fewer => matching - matching.div_ceil(10).min(matching),
            Total::OfPage => on_page,
        };
        let mut pagination = json!({"hasMore": more});
        if let Some(cursor) = cursor {
            pagination["cursor"] = cursor;
        }
        match self.facts.total_form {
            TotalForm::Number => pagination["total"] = json!(count),
            TotalForm::Float => pagination["total"] = json!(count as f64),
            TotalForm::Text => pagination["total"] = json!(count.to_string()),
            TotalForm::MinusOne => pagination["total"] = json!(-1),
            TotalForm::Null => pagination["total"] = Value::Null,
            TotalForm::Absent => {}
        }
        pagination
    }

    fn row(&self, conversation: &Conversation, now: Instant) -> Value {
        self.summary(conversation, &conversation.at(now).content)
    }

    fn summary(&self, conversation: &Conversation, content: &Content) -> Value {
        json!({
            "id": conversation.id,
            "title": content.title,
            "createdAt": self.shown(conversation.created),
            "updatedAt": self.shown(content.updated),
            "userId": content.user,
            "source": content.channel,
            "status": content.status,
        })
    }

    fn message(&self, message: &Message) -> Value {
        let parts = if message.is_tool {
            json!([
                {"type": "tool-call", "toolCallId": "call_1", "toolName": "lookup"},
                {"type": "tool-result", "toolCallId": "call_1", "toolName": "lookup",
                 "output": {"status": "shipped", "eta": message.text}},
            ])
        } else {
            json!([{"type": "text", "text": message.text}])
        };
        let role = if message.is_customers { "user" } else { "assistant" };
        let mut value = json!({"id": message.id, "role": role, "parts": parts});
        if !message.text.len().is_multiple_of(5) {
            value["createdAt"] = json!(self.shown(message.at));
        }
        if !message.is_customers {
            let word = message.feedback.map(|good| if good { "positive" } else { "negative" });
            value["feedback"] = json!(word);
            if let Some(score) = message.score {
                value["metadata"] = json!({"score": f64::from(score) / 1_000.0});
            }
        }
        value
    }
}

/// How many conversations there are around a page.
#[derive(Debug, Clone, Copy)]
struct Counted {
    matching: usize,
    left: usize,
    on_page: usize,
}

/// What a request asks for.
#[derive(Debug)]
struct Query {
    limit: usize,
    since: Option<Instant>,
    since_is_day: bool,
    until: Option<Instant>,
    until_is_day: bool,
    id: Option<String>,
    is_summary: bool,
    sources: Option<Vec<String>>,
}

impl Default for Query {
    fn default() -> Self {
        Self {
            limit: 20,
            since: None,
            since_is_day: false,
            until: None,
            until_is_day: false,
            id: None,
            is_summary: false,
            sources: None,
        }
    }
}

impl Vendor for ChatbaseV2 {
    fn answer(&mut self, request: &Request, population: &Population, now: Instant) -> Answer {
        self.served += 1;
        if self.is_too_many(now) {
            return self.too_many(now);
        }
        let path: Vec<_> = request.path.iter().map(String::as_str).collect();
        match path.as_slice() {
            ["agents", agent, ..] if *agent != AGENT => {
                let body = r#"{"data":[],"pagination":{"cursor":null,"hasMore":false,"total":0}}"#;
                Answer { headers: self.headers(now), ..Answer::json(200, body.to_owned()) }
            }
            ["agents", _] => {
                let body = json!({"data": {"id": AGENT, "name": "Shop"}}).to_string();
                Answer { headers: self.headers(now), ..Answer::json(200, body) }
            }
            ["agents", _, "conversations", "export"] => self.export(request, population, now),
            _ => self.not_found(now, "NOT_FOUND"),
        }
    }

    fn too_many(&mut self, now: Instant) -> Answer {
        let body = r#"{"error":{"code":"RATE_LIMIT_TOO_MANY_REQUESTS","message":"Too many requests, please try again later"}}"#;
        let mut headers = self.headers(now);
        let is_limit = |name: &str| name.starts_with("X-RateLimit");
        match self.facts.too_many {
            TooMany::RetryAfter => headers.push(("Retry-After", "3".to_owned())),
            TooMany::RetryAfterDate => {
                headers.push(("Retry-After", http_date(now + self.facts.clock_ahead + 3 * SECOND)));
            }
            TooMany::ResetAlone => {}
            TooMany::Nothing => headers.retain(|(name, _)| !is_limit(name)),
        }
        Answer { headers, ..Answer::json(429, body.to_owned()) }
    }

    fn error(&self, status: u16, kind: ErrorText) -> Answer {
        // The vendor repeats the key, as it is and as it is in a URL.
        let echo = format!("The API key {KEY} ({}) has expired", KEY.replace('/', "%2F").replace('+', "%2B"));
        let (code, message) = match (kind, status) {
            (ErrorText::Key, _) => ("AUTH_EXPIRED_API_KEY", echo.as_str()),
            (ErrorText::Cursor, 404 | 410) => ("RESOURCE_NOT_FOUND", "The requested item could not be found"),
            (ErrorText::Cursor, _) => ("VALIDATION_INVALID_BODY", "Invalid request"),
            (_, 503) => ("SERVICE_UNDER_MAINTENANCE", "The API is temporarily unavailable"),
            _ => ("INTERNAL_SERVER_ERROR", "Something went wrong, please try again"),
        };
        Answer::json(status, json!({"error": {"code": code, "message": message}}).to_string())
    }

    fn place(&self, request: &Request) -> Place {
        if request.path.last().is_none_or(|last| last != "export") {
            Place::Other
        } else if request.parameter("conversationId").is_some() {
            Place::Single
        } else if request.parameter("include") == Some("summary") {
            Place::List
        } else if request.parameter("cursor").is_some() {
            Place::LaterPage
        } else {
            Place::FirstPage
        }
    }

    fn element(&mut self, population: &Population, place: usize, version: usize) -> Bytes {
        if let Some(element) = self.elements.get(&(place, version)) {
            return element.clone();
        }
        let conversation = &population.conversations[place];
        let content = &conversation.versions[version].content;
        let mut value = self.summary(conversation, content);
        value["messages"] = content.messages.iter().map(|message| self.message(message)).collect();
        let element = Bytes::from(value.to_string());
        self.elements.insert((place, version), element.clone());
        element
    }

    fn truth(&self) -> Truth {
        let facts = &self.facts;
        let has_count = matches!(facts.total_form, TotalForm::Number | TotalForm::Float | TotalForm::Text);
        // A summary has the cursor behind its conversation.
        let by_summary = facts.knows.include;
        let by_time = facts.knows.dates && facts.days == Days::AndInstants;
        Truth {
            page: facts.page,
            paging: facts.paging,
            is_by_activity: facts.is_by_activity,
            is_unstable: facts.is_unstable,
            counts: has_count && facts.total == Total::Matching,
            sends_count: has_count,
            overcounts: has_count && !matches!(facts.total, Total::Matching | Total::Fewer),
            // Without single conversations, what a summary shows as changed is read with its page.
            has_summaries: facts.knows.include,
            is_read_by_list: false,
            can_read_less: facts.knows.include && facts.knows.single,
            can_narrow: by_summary || by_time,
            narrows_by_time_alone: by_time && !by_summary,
            narrows_by_time: by_time,
            is_documented: facts.knows.dates
                && facts.knows.single
                && facts.knows.include
                && facts.knows.source
                && facts.days == Days::AndInstants
                && facts.total_form == TotalForm::Number
                && facts.end == End::NullAndNoMore
                && facts.cursor_life.is_none(),
            has_short_pages: facts.short_pages + facts.empty_pages > 0,
            shows_at_most: None,
            hides_the_rest: false,
            skips_silent: false,
            has_known_clock: facts.has_date || facts.clock_ahead.abs() < MINUTE,
            asks_by_day: false,
            finds_one: facts.knows.single,
            margin: 2 * SECOND,
            lag: 0,
            quota: None,
            list_page: None,
            windows_hold_undated: false,
            list_is_billed: false,
        }
    }
}

/// Writes a cursor. Its text looks like the documented one, and needs encoding in a URL.
fn write_cursor(position: &Position, nonce: u64) -> String {
    let mut value = json!({"i": position.issued});
    match &position.kind {
        PositionKind::After(at, id) => {
            value["t"] = json!(written((*at).min(4_000_000_000 * SECOND), "%Y-%m-%dT%H:%M:%S%.6fZ"));
            value["u"] = json!(at);
            value["id"] = json!(id);
        }
        PositionKind::Offset(offset) => value["o"] = json!(offset),
        PositionKind::Snapshot(number, offset) => {
            value["s"] = json!(number);
            value["o"] = json!(offset);
        }
    }
    if nonce > 0 {
        value["n"] = json!(nonce);
    }
    STANDARD.encode(value.to_string())
}

fn read_cursor(text: &str) -> Option<Position> {
    let value: Value = serde_json::from_slice(&STANDARD.decode(text).ok()?).ok()?;
    let issued = value["i"].as_i64()?;
    let number = |name: &str| value[name].as_u64().map(|number| number as usize);
    let kind = match (value["u"].as_i64(), number("s"), number("o")) {
        (Some(at), ..) => PositionKind::After(at, value["id"].as_str()?.to_owned()),
        (None, Some(snapshot), Some(offset)) => PositionKind::Snapshot(snapshot, offset),
        (None, None, Some(offset)) => PositionKind::Offset(offset),
        _ => return None,
    };
    Some(Position { issued, kind })
}
