//! Chatbase API v2, as any deployment that its documents allow.

use std::collections::{BTreeMap, VecDeque};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Value, json};

use super::{AGENT, ErrorCause, KEY, Paging, Properties, Request, RequestKind, Response, Vendor};
use crate::population::{Content, Conversation, Message, Population, Profile};
use crate::random::Random;
use crate::time::{Bound, DAY, HOUR, Instant, MINUTE, SECOND, Span, bound, http_date, written};

/// What conversations of Chatbase are like.
pub const PROFILE: Profile = Profile {
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
    choices: Choices,
    served: u64,
    snapshots: Vec<Vec<usize>>,
    recent_requests: VecDeque<Instant>,
    records: BTreeMap<(usize, usize), Bytes>,
}

/// The choices of a deployment where the documents are silent or contradict each other.
#[derive(Debug, Clone)]
struct Choices {
    paging: Paging,
    sorts_by_activity: bool,
    is_unstable: bool,
    page_size: usize,
    /// In how many of a hundred pages there is less than there could be, and in how many nothing.
    short_pages: u64,
    empty_pages: u64,
    supports: Supported,
    unknown_parameter: UnknownParameter,
    instant_bounds: InstantBounds,
    start_inclusive: bool,
    end_inclusive: bool,
    /// Whether a bare day as end means the end of that day.
    end_of_day: bool,
    /// Whether filters compare what is shown, which is whole seconds, and not what is stored.
    compares_shown: bool,
    rounds_up: bool,
    total: Total,
    total_form: TotalForm,
    last_page: LastPage,
    /// A cursor is refused when it is older than this.
    cursor_life: Option<(Span, u16)>,
    /// How an unknown conversation is answered.
    unknown_id: u16,
    limit: Option<u64>,
    reset_in_seconds: bool,
    sends_date: bool,
    clock_ahead: Span,
    rate_limit_hints: RateLimitHints,
}

#[derive(Debug, Clone, Copy)]
struct Supported {
    dates: bool,
    single: bool,
    include: bool,
    source: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum UnknownParameter {
    Refused,
    Ignored,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum InstantBounds {
    Accepted,
    Refused,
    TruncatedToDay,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Total {
    Matching,
    WholeAgent,
    Remaining,
    TooHigh,
    TooLow,
    OnPage,
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
enum LastPage {
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
enum RateLimitHints {
    RetryAfter,
    RetryAfterDate,
    ResetAlone,
    None,
}

/// A position in the list, as a cursor holds it.
#[derive(Debug)]
struct Cursor {
    issued: Instant,
    position: CursorPosition,
}

#[derive(Debug)]
enum CursorPosition {
    After(Instant, String),
    Offset(usize),
    Snapshot(usize, usize),
}

impl ChatbaseV2 {
    /// Draws a deployment.
    pub fn draw(random: &mut Random) -> Self {
        let paging = random.weighted(&[(55, Paging::Keyset), (25, Paging::Offset), (20, Paging::Snapshot)]);
        let all = Supported { dates: true, single: true, include: true, source: true };
        let none = Supported { dates: false, single: false, include: false, source: false };
        let some = Supported {
            dates: random.percent(60),
            single: random.percent(60),
            include: random.percent(60),
            source: random.percent(60),
        };
        let choices = Choices {
            paging,
            sorts_by_activity: random.percent(20),
            is_unstable: paging != Paging::Keyset && random.percent(40),
            page_size: random.weighted(&[(60, 20), (10, 10), (10, 7), (10, 3), (3, 1), (7, 19)]),
            short_pages: random.pick(&[0, 0, 0, 10]),
            empty_pages: random.pick(&[0, 0, 0, 5, 30]),
            supports: random.weighted(&[(60, all), (20, none), (20, some)]),
            unknown_parameter: random.pick(&[UnknownParameter::Refused, UnknownParameter::Ignored]),
            instant_bounds: random.weighted(&[
                (70, InstantBounds::Accepted),
                (15, InstantBounds::Refused),
                (15, InstantBounds::TruncatedToDay),
            ]),
            start_inclusive: random.percent(85),
            end_inclusive: random.percent(65),
            end_of_day: random.percent(80),
            compares_shown: random.percent(40),
            rounds_up: random.percent(15),
            total: random.weighted(&[
                (60, Total::Matching),
                (10, Total::WholeAgent),
                (10, Total::Remaining),
                (7, Total::TooHigh),
                (7, Total::TooLow),
                (6, Total::OnPage),
            ]),
            total_form: random.weighted(&[
                (60, TotalForm::Number),
                (8, TotalForm::Float),
                (8, TotalForm::Text),
                (8, TotalForm::MinusOne),
                (8, TotalForm::Null),
                (8, TotalForm::Absent),
            ]),
            last_page: random.weighted(&[
                (50, LastPage::NullAndNoMore),
                (15, LastPage::NullButMore),
                (8, LastPage::EmptyText),
                (5, LastPage::EmptyTextButMore),
                (7, LastPage::CursorButNoMore),
                (7, LastPage::Absent),
                (8, LastPage::EmptyPage),
            ]),
            cursor_life: random
                .percent(25)
                .then(|| (random.pick(&[10 * MINUTE, HOUR, DAY]), random.pick(&[400, 404, 410, 422]))),
            unknown_id: random.pick(&[200, 404]),
            limit: random.pick(&[Some(100), Some(1_000), Some(1_000), None]),
            reset_in_seconds: random.percent(50),
            sends_date: random.percent(80),
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
            rate_limit_hints: random.pick(&[
                RateLimitHints::RetryAfter,
                RateLimitHints::RetryAfterDate,
                RateLimitHints::ResetAlone,
                RateLimitHints::None,
            ]),
        };
        Self {
            choices,
            served: 0,
            snapshots: Vec::new(),
            recent_requests: VecDeque::new(),
            records: BTreeMap::new(),
        }
    }

    fn headers(&self, now: Instant) -> Vec<(&'static str, String)> {
        let mut headers = vec![
            ("content-type", "application/json".to_owned()),
            ("x-request-id", format!("req_{}", self.served)),
        ];
        let vendors_now = now + self.choices.clock_ahead;
        if let Some(limit) = self.choices.limit {
            let first = self.recent_requests.front().copied().unwrap_or(now);
            let reset = (first + 10 * SECOND).max(now) - now + vendors_now;
            let unit = if self.choices.reset_in_seconds { SECOND } else { 1_000 };
            headers.push(("X-RateLimit-Limit", limit.to_string()));
            headers.push((
                "X-RateLimit-Remaining",
                limit.saturating_sub(self.recent_requests.len() as u64).to_string(),
            ));
            headers.push(("X-RateLimit-Reset", (reset / unit).to_string()));
        }
        if self.choices.sends_date {
            headers.push(("Date", http_date(vendors_now)));
        }
        headers
    }

    /// Counts a request in the vendor's sliding window, and returns whether it is one too many.
    fn exceeds_rate_limit(&mut self, now: Instant) -> bool {
        let Some(limit) = self.choices.limit else { return false };
        while self.recent_requests.front().is_some_and(|at| now - *at >= 10 * SECOND) {
            self.recent_requests.pop_front();
        }
        if self.recent_requests.len() as u64 >= limit {
            return true;
        }
        self.recent_requests.push_back(now);
        false
    }

    fn refused(&self, now: Instant, code: &str, field: &str) -> Response {
        let body = json!({"error": {"code": code, "message": "Invalid request", "details": {field: "Unrecognized or invalid"}}});
        Response { headers: self.headers(now), ..Response::json(400, body.to_string()) }
    }

    fn not_found(&self, now: Instant, code: &str) -> Response {
        let body = json!({"error": {"code": code, "message": "The requested item could not be found"}});
        Response { headers: self.headers(now), ..Response::json(404, body.to_string()) }
    }

    /// What the vendor shows of an instant: whole seconds.
    fn shown(&self, at: Instant) -> i64 {
        let up = if self.choices.rounds_up { SECOND / 2 } else { 0 };
        (at + up).div_euclid(SECOND)
    }

    fn export(&mut self, request: &Request, population: &Population, now: Instant) -> Response {
        let choices = self.choices.clone();
        let mut query = Query::default();
        for (name, value) in &request.query {
            let is_known = match name.as_str() {
                "cursor" | "limit" => true,
                "startDate" | "endDate" => choices.supports.dates,
                "conversationId" => choices.supports.single,
                "include" => choices.supports.include,
                "source" => choices.supports.source,
                _ => false,
            };
            if !is_known {
                match choices.unknown_parameter {
                    UnknownParameter::Refused => return self.refused(now, "VALIDATION_INVALID_BODY", name),
                    UnknownParameter::Ignored => continue,
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
            Some(Some(cursor)) => {
                if let Some((life, status)) = choices.cursor_life
                    && now - cursor.issued > life
                {
                    return self.refuse_cursor(now, status);
                }
                Some(cursor.position)
            }
        };
        if let Some(id) = &query.id {
            let known = population.index_of(id).filter(|index| population.conversations[*index].exists(now));
            if known.is_none() && choices.unknown_id == 404 {
                return self.not_found(now, "RESOURCE_NOT_FOUND");
            }
        }
        let matching: Vec<usize> = population
            .existing(now)
            .filter(|index| self.matches(&population.conversations[*index], &query, now))
            .collect();
        self.page(population, &query, matching, cursor.as_ref(), now)
    }

    fn read_bound(&self, query: &mut Query, name: &str, value: &str) -> bool {
        let Some(read) = bound(value) else { return false };
        let (at, is_day) = match (read, self.choices.instant_bounds) {
            (Bound::Day(day), _) => (day, true),
            (Bound::Exact(at), InstantBounds::Accepted) => (at, false),
            (Bound::Exact(_), InstantBounds::Refused) => return false,
            (Bound::Exact(at), InstantBounds::TruncatedToDay) => (at - at.rem_euclid(DAY), true),
        };
        if name == "startDate" {
            query.since = Some(at);
            query.since_is_day = is_day;
        } else {
            query.until = Some(if is_day && self.choices.end_of_day { at + DAY - 1 } else { at });
            query.until_is_day = is_day && self.choices.end_of_day;
        }
        true
    }

    fn matches(&self, conversation: &Conversation, query: &Query, now: Instant) -> bool {
        let created = if self.choices.compares_shown {
            self.shown(conversation.created) * SECOND
        } else {
            conversation.created
        };
        let after = query.since.is_none_or(|since| {
            if query.since_is_day || self.choices.start_inclusive {
                created >= since
            } else {
                created > since
            }
        });
        let before = query.until.is_none_or(|until| {
            if query.until_is_day || self.choices.end_inclusive { created <= until } else { created < until }
        });
        let of_source = query.sources.as_ref().is_none_or(|sources| {
            let word = conversation.at(now).content.channel.as_deref();
            word.is_some_and(|word| sources.iter().any(|source| source == word))
        });
        let of_id = query.id.as_ref().is_none_or(|id| *id == conversation.id);
        after && before && of_source && of_id
    }

    fn refuse_cursor(&self, now: Instant, status: u16) -> Response {
        Response { headers: self.headers(now), ..self.error(status, ErrorCause::Cursor) }
    }

    /// Puts rows into the vendor's order, newest first.
    fn order(&self, population: &Population, rows: &mut Vec<usize>, now: Instant) {
        let mut keyed: Vec<_> = rows
            .iter()
            .map(|index| {
                let conversation = &population.conversations[*index];
                let at = self.sort_key(conversation, now);
                if self.choices.is_unstable {
                    let shuffled = Random::new(self.served ^ ((*index as u64) << 20)).bits();
                    ((at.div_euclid(SECOND), shuffled), conversation.id.as_str(), *index)
                } else {
                    ((at, 0), conversation.id.as_str(), *index)
                }
            })
            .collect();
        keyed.sort_unstable_by(|one, other| other.cmp(one));
        *rows = keyed.into_iter().map(|(.., index)| index).collect();
    }

    fn sort_key(&self, conversation: &Conversation, now: Instant) -> Instant {
        if self.choices.sorts_by_activity {
            conversation.at(now).content.updated
        } else {
            conversation.created
        }
    }

    /// Answers with a page of rows.
    fn page(
        &mut self,
        population: &Population,
        query: &Query,
        mut rows: Vec<usize>,
        cursor: Option<&CursorPosition>,
        now: Instant,
    ) -> Response {
        let choices = self.choices.clone();
        let matching = rows.len();
        self.order(population, &mut rows, now);
        let (rows, start) = match cursor {
            None => (rows, 0),
            Some(CursorPosition::Offset(offset)) => (rows, *offset),
            Some(CursorPosition::After(at, id)) => {
                let is_before = |index: &usize| {
                    let conversation = &population.conversations[*index];
                    let key = self.sort_key(conversation, now);
                    key > *at || (key == *at && conversation.id >= *id)
                };
                let start = rows.iter().position(|index| !is_before(index)).unwrap_or(rows.len());
                (rows, start)
            }
            Some(CursorPosition::Snapshot(number, offset)) => match self.snapshots.get(*number) {
                Some(rows) => (rows.clone(), *offset),
                None => return self.refuse_cursor(now, 400),
            },
        };
        let start = start.min(rows.len());
        let mut random = Random::new(self.served.wrapping_mul(31));
        let mut size = choices.page_size.min(query.limit);
        let is_empty = random.percent(choices.empty_pages) && query.id.is_none() && start < rows.len();
        if random.percent(choices.short_pages) {
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
            .filter(|index| {
                population.conversations.get(*index).is_some_and(|conversation| conversation.exists(now))
            })
            .collect();
        let has_more = end < rows.len();
        let left = rows.len() - start;
        let next = || {
            let position = match choices.paging {
                Paging::Keyset if end == 0 => CursorPosition::After(Instant::MAX, String::new()),
                Paging::Keyset => {
                    let last = &population.conversations[rows[end - 1]];
                    CursorPosition::After(self.sort_key(last, now), last.id.clone())
                }
                Paging::Snapshot => {
                    let number = match cursor {
                        Some(CursorPosition::Snapshot(number, _)) => *number,
                        _ => self.snapshots.len(),
                    };
                    CursorPosition::Snapshot(number, end)
                }
                Paging::Offset | Paging::Whole => CursorPosition::Offset(end),
            };
            let nonce = if is_empty { self.served } else { 0 };
            Value::from(write_cursor(&Cursor { issued: now, position }, nonce))
        };
        let is_past_end = start >= rows.len() && cursor.is_some();
        let (cursor_value, more) = if has_more {
            (Some(next()), true)
        } else {
            match choices.last_page {
                LastPage::NullAndNoMore => (Some(Value::Null), false),
                LastPage::NullButMore => (Some(Value::Null), true),
                LastPage::EmptyText => (Some(Value::from("")), false),
                LastPage::EmptyTextButMore => (Some(Value::from("")), true),
                LastPage::CursorButNoMore | LastPage::EmptyPage if is_past_end || rows.is_empty() => {
                    (Some(Value::Null), false)
                }
                LastPage::CursorButNoMore => (Some(next()), false),
                LastPage::EmptyPage => (Some(next()), true),
                LastPage::Absent => (None, false),
            }
        };
        if choices.paging == Paging::Snapshot && !matches!(cursor, Some(CursorPosition::Snapshot(..))) {
            self.snapshots.push(rows);
        }
        let counts = RowCounts { matching, left, on_page: on_page.len() };
        let pagination = self.pagination(population, counts, cursor_value, more, now);
        let body = self.body(population, query, &on_page, &pagination, now);
        let mut response = Response { headers: self.headers(now), ..Response::json(200, body) };
        if query.is_summary {
            response.listed = on_page;
        } else {
            let with_version = |index: usize| (index, population.conversations[index].version_at(now));
            response.delivered = on_page.into_iter().map(with_version).collect();
        }
        response
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
        for (at, index) in on_page.iter().enumerate() {
            if at > 0 {
                body.push(',');
            }
            if query.is_summary {
                body.push_str(&self.row(&population.conversations[*index], now).to_string());
            } else {
                let version = population.conversations[*index].version_at(now);
                let record = self.record(population, *index, version);
                body.push_str(&String::from_utf8_lossy(&record));
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
        counts: RowCounts,
        cursor: Option<Value>,
        more: bool,
        now: Instant,
    ) -> Value {
        let RowCounts { matching, left, on_page } = counts;
        let count = match self.choices.total {
            Total::Matching => matching,
            Total::WholeAgent => population.existing(now).count(),
            Total::Remaining => left,
            Total::TooHigh => matching + 1 + matching / 10,
            Total::TooLow => matching - matching.div_ceil(10).min(matching),
            Total::OnPage => on_page,
        };
        let mut pagination = json!({"hasMore": more});
        if let Some(cursor) = cursor {
            pagination["cursor"] = cursor;
        }
        match self.choices.total_form {
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
struct RowCounts {
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
    fn response(&mut self, request: &Request, population: &Population, now: Instant) -> Response {
        self.served += 1;
        if self.exceeds_rate_limit(now) {
            return self.rate_limited(now);
        }
        let path: Vec<_> = request.path.iter().map(String::as_str).collect();
        match path.as_slice() {
            ["agents", agent, ..] if *agent != AGENT => {
                let body = r#"{"data":[],"pagination":{"cursor":null,"hasMore":false,"total":0}}"#;
                Response { headers: self.headers(now), ..Response::json(200, body.to_owned()) }
            }
            ["agents", _] => {
                let body = json!({"data": {"id": AGENT, "name": "Shop"}}).to_string();
                Response { headers: self.headers(now), ..Response::json(200, body) }
            }
            ["agents", _, "conversations", "export"] => self.export(request, population, now),
            _ => self.not_found(now, "NOT_FOUND"),
        }
    }

    fn rate_limited(&mut self, now: Instant) -> Response {
        let body = r#"{"error":{"code":"RATE_LIMIT_TOO_MANY_REQUESTS","message":"Too many requests, please try again later"}}"#;
        let mut headers = self.headers(now);
        let is_limit = |name: &str| name.starts_with("X-RateLimit");
        match self.choices.rate_limit_hints {
            RateLimitHints::RetryAfter => headers.push(("Retry-After", "3".to_owned())),
            RateLimitHints::RetryAfterDate => {
                headers.push(("Retry-After", http_date(now + self.choices.clock_ahead + 3 * SECOND)));
            }
            RateLimitHints::ResetAlone => {}
            RateLimitHints::None => headers.retain(|(name, _)| !is_limit(name)),
        }
        Response { headers, ..Response::json(429, body.to_owned()) }
    }

    fn error(&self, status: u16, cause: ErrorCause) -> Response {
        // The vendor repeats the key, as it is and as it is in a URL.
        let echo = format!("The API key {KEY} ({}) has expired", KEY.replace('/', "%2F").replace('+', "%2B"));
        let (code, message) = match (cause, status) {
            (ErrorCause::Key, _) => ("AUTH_EXPIRED_API_KEY", echo.as_str()),
            (ErrorCause::Cursor, 404 | 410) => {
                ("RESOURCE_NOT_FOUND", "The requested item could not be found")
            }
            (ErrorCause::Cursor, _) => ("VALIDATION_INVALID_BODY", "Invalid request"),
            (_, 503) => ("SERVICE_UNDER_MAINTENANCE", "The API is temporarily unavailable"),
            _ => ("INTERNAL_SERVER_ERROR", "Something went wrong, please try again"),
        };
        Response::json(status, json!({"error": {"code": code, "message": message}}).to_string())
    }

    fn request_kind(&self, request: &Request) -> RequestKind {
        if request.path.last().is_none_or(|last| last != "export") {
            RequestKind::Other
        } else if request.parameter("conversationId").is_some() {
            RequestKind::Single
        } else if request.parameter("include") == Some("summary") {
            RequestKind::List
        } else if request.parameter("cursor").is_some() {
            RequestKind::LaterPage
        } else {
            RequestKind::FirstPage
        }
    }

    fn record(&mut self, population: &Population, index: usize, version: usize) -> Bytes {
        if let Some(record) = self.records.get(&(index, version)) {
            return record.clone();
        }
        let conversation = &population.conversations[index];
        let content = &conversation.versions[version].content;
        let mut value = self.summary(conversation, content);
        value["messages"] = content.messages.iter().map(|message| self.message(message)).collect();
        let record = Bytes::from(value.to_string());
        self.records.insert((index, version), record.clone());
        record
    }

    fn properties(&self) -> Properties {
        let choices = &self.choices;
        let has_count = matches!(choices.total_form, TotalForm::Number | TotalForm::Float | TotalForm::Text);
        // A summary has the cursor after its conversation.
        let by_summary = choices.supports.include;
        let by_time = choices.supports.dates && choices.instant_bounds == InstantBounds::Accepted;
        Properties {
            page_size: choices.page_size,
            paging: choices.paging,
            sorts_by_activity: choices.sorts_by_activity,
            is_unstable: choices.is_unstable,
            sends_count: has_count,
            overcounts: has_count && !matches!(choices.total, Total::Matching | Total::TooLow),
            // Without single conversations, what a summary shows as changed is read with its page.
            has_summaries: choices.supports.include,
            finds_changes_by_list: false,
            can_read_less: choices.supports.include && choices.supports.single,
            can_narrow: by_summary || by_time,
            narrows_by_time_alone: by_time && !by_summary,
            narrows_by_time: by_time,
            is_documented: choices.supports.dates
                && choices.supports.single
                && choices.supports.include
                && choices.supports.source
                && choices.instant_bounds == InstantBounds::Accepted
                && choices.total_form == TotalForm::Number
                && choices.last_page == LastPage::NullAndNoMore
                && choices.cursor_life.is_none(),
            has_short_pages: choices.short_pages + choices.empty_pages > 0,
            shows_at_most: None,
            hides_the_rest: false,
            skips_silent: false,
            has_readable_clock: choices.sends_date || choices.clock_ahead.abs() < MINUTE,
            searches_by_day: false,
            finds_one: choices.supports.single,
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
fn write_cursor(cursor: &Cursor, nonce: u64) -> String {
    let mut value = json!({"i": cursor.issued});
    match &cursor.position {
        CursorPosition::After(at, id) => {
            value["t"] = json!(written((*at).min(4_000_000_000 * SECOND), "%Y-%m-%dT%H:%M:%S%.6fZ"));
            value["u"] = json!(at);
            value["id"] = json!(id);
        }
        CursorPosition::Offset(offset) => value["o"] = json!(offset),
        CursorPosition::Snapshot(number, offset) => {
            value["s"] = json!(number);
            value["o"] = json!(offset);
        }
    }
    if nonce > 0 {
        value["n"] = json!(nonce);
    }
    STANDARD.encode(value.to_string())
}

fn read_cursor(text: &str) -> Option<Cursor> {
    let value: Value = serde_json::from_slice(&STANDARD.decode(text).ok()?).ok()?;
    let issued = value["i"].as_i64()?;
    let number = |name: &str| value[name].as_u64().map(|number| number as usize);
    let position = match (value["u"].as_i64(), number("s"), number("o")) {
        (Some(at), ..) => CursorPosition::After(at, value["id"].as_str()?.to_owned()),
        (None, Some(snapshot), Some(offset)) => CursorPosition::Snapshot(snapshot, offset),
        (None, None, Some(offset)) => CursorPosition::Offset(offset),
        _ => return None,
    };
    Some(Cursor { issued, position })
}
