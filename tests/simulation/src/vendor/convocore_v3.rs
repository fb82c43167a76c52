//! Convocore API v3, as any generation and deployment that its documents allow.

use std::collections::{BTreeMap, VecDeque};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use serde_json::{Value, json};

use super::{AGENT, ErrorCause, KEY, Paging, Properties, Request, RequestKind, Response, Vendor};
use crate::population::{Change, Content, Conversation, Message, Population, Profile};
use crate::random::Random;
use crate::time::{DAY, HOUR, Instant, MINUTE, SECOND, Span, written};

/// What conversations of Convocore are like.
pub const PROFILE: Profile = Profile {
    channels: &[
        None,
        Some("web-chat"),
        Some("web-chat"),
        Some("whatsapp"),
        Some("whatsapp"),
        Some("messenger"),
        Some("voice"),
        Some("web"),
        Some("carrier-pigeon"),
    ],
    statuses: &["ai-chatting", "human-chatting", "ended_chat", "open"],
    telephone_ids: 12,
    undated: 10,
    truncates: false,
    has_title_and_status: false,
};

/// A deployment.
#[derive(Debug)]
pub struct ConvocoreV3 {
    choices: Choices,
    served: u64,
    /// When exports were asked for.
    exports: VecDeque<Instant>,
    used: BTreeMap<i64, u64>,
    records: BTreeMap<(usize, usize), Bytes>,
}

/// A generation of the export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Generation {
    /// One array with everything.
    G1,
    /// One array with the newest two hundred.
    G1Limited,
    /// Pages with a cursor, metered.
    G2,
}

/// The conversations that a request selects, whether it names them, and its window.
type Selected = (Vec<usize>, bool, (Option<i64>, Option<i64>));

/// The choices of a deployment where the documents are silent or contradict each other.
#[derive(Debug, Clone)]
struct Choices {
    generation: Generation,
    /// The largest page, and whether more is refused or cut to it.
    max_page_size: usize,
    refuses_larger: bool,
    max_ids: usize,
    /// How late the mirror shows what happened.
    lag: Span,
    last_page: LastPage,
    has_usage: bool,
    has_rate: bool,
    has_message: bool,
    quota: u64,
    over_quota: OverQuota,
    /// Exports per hour.
    hourly: Option<u64>,
    sends_retry_after: bool,
    /// Whether a window holds conversations without a date.
    windows_hold_undated: bool,
    cursor_life: Option<(Span, u16)>,
    list: List,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LastPage {
    Null,
    Absent,
    Empty,
    CursorButNoMore,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OverQuota {
    Refused402,
    Refused403,
    Billed,
}

/// The list of conversations without their messages.
#[derive(Debug, Clone, Copy)]
struct List {
    /// The status with which it is refused; 200 if it is served.
    status: u16,
    max_page_size: usize,
    refuses_larger: bool,
    has_pages: bool,
    sorts_by_activity: bool,
    has_last_message: bool,
    has_last_modified: bool,
    has_count: bool,
    has_milliseconds: bool,
    is_metered: bool,
}

impl ConvocoreV3 {
    /// Draws a deployment.
    pub fn draw(random: &mut Random) -> Self {
        let generation =
            random.weighted(&[(20, Generation::G1), (15, Generation::G1Limited), (65, Generation::G2)]);
        let list = List {
            status: random.weighted(&[(75, 200), (10, 403), (10, 404), (5, 500)]),
            max_page_size: random.pick(&[20, 20, 100]),
            refuses_larger: random.percent(40),
            has_pages: random.percent(25),
            sorts_by_activity: random.percent(40),
            has_last_message: random.percent(70),
            has_last_modified: random.percent(60),
            has_count: random.percent(70),
            has_milliseconds: random.percent(60),
            is_metered: random.percent(5),
        };
        // No document allows less than fifty; a deployment may still send smaller pages.
        let max_page_size = random.pick(&[50, 50, 100, 20]);
        let choices = Choices {
            generation,
            max_page_size,
            refuses_larger: max_page_size >= 50 && random.percent(50),
            max_ids: random.pick(&[200, 500, 200, 50]),
            lag: random.pick(&[0, 0, 0, 20 * SECOND, 5 * MINUTE]),
            last_page: random.pick(&[
                LastPage::Null,
                LastPage::Absent,
                LastPage::Empty,
                LastPage::CursorButNoMore,
            ]),
            has_usage: random.percent(80),
            has_rate: random.percent(50),
            has_message: random.percent(90),
            quota: random.pick(&[50_000, 50_000, 50_000, 300, 60]),
            over_quota: random.pick(&[OverQuota::Refused402, OverQuota::Refused403, OverQuota::Billed]),
            hourly: match generation {
                Generation::G1 => None,
                Generation::G1Limited => random.pick(&[None, None, Some(3)]),
                Generation::G2 => random.pick(&[Some(1_500), Some(1_500), Some(300)]),
            },
            sends_retry_after: random.percent(60),
            windows_hold_undated: random.percent(40),
            cursor_life: random
                .percent(20)
                .then(|| (random.pick(&[10 * MINUTE, HOUR, DAY]), random.pick(&[400, 404, 410, 422]))),
            list,
        };
        Self { choices, served: 0, exports: VecDeque::new(), used: BTreeMap::new(), records: BTreeMap::new() }
    }

    fn refused(status: u16, code: &str, message: &str) -> Response {
        Response::json(status, json!({"message": message, "code": code}).to_string())
    }

    /// Returns whether there are too many exports in this hour.
    fn exceeds_rate_limit(&mut self, now: Instant) -> bool {
        let Some(hourly) = self.choices.hourly else { return false };
        while self.exports.front().is_some_and(|at| now - *at >= HOUR) {
            self.exports.pop_front();
        }
        if self.exports.len() as u64 >= hourly {
            return true;
        }
        self.exports.push_back(now);
        false
    }

    /// Returns what a conversation costs: one unit for each session in which a human wrote.
    fn price(&self, index: usize, content: &Content) -> u64 {
        match self.choices.generation {
            Generation::G2 if is_human(content) => 1 + u64::from(has_past_session(index)),
            _ => 0,
        }
    }

    fn export(&mut self, request: &Request, population: &Population, now: Instant) -> Response {
        let seen = now - self.choices.lag;
        match self.choices.generation {
            Generation::G1 => self.array(population, usize::MAX, seen),
            Generation::G1Limited => self.array(population, 200, seen),
            Generation::G2 => self.paginated(request, population, now),
        }
    }

    /// Answers with one array.
    fn array(&mut self, population: &Population, most: usize, seen: Instant) -> Response {
        let mut rows: Vec<usize> = population.existing(seen).collect();
        sort_by_time(population, &mut rows, start, true);
        let all = rows.len();
        rows.truncate(most);
        let message = if all > rows.len() {
            format!("Exported {} of {all} conversation(s)", rows.len())
        } else {
            "Conversations exported successfully".to_owned()
        };
        let head = json!({"success": true, "message": message});
        self.response_with(population, &head, &rows, seen)
    }

    fn response_with(
        &mut self,
        population: &Population,
        head: &Value,
        rows: &[usize],
        seen: Instant,
    ) -> Response {
        let mut body = head.to_string();
        body.pop();
        if body.len() > 1 {
            body.push(',');
        }
        body.push_str("\"data\":[");
        let mut response = Response::default();
        for (at, index) in rows.iter().enumerate() {
            if at > 0 {
                body.push(',');
            }
            let version = population.conversations[*index].version_at(seen);
            let record = self.record(population, *index, version);
            body.push_str(&String::from_utf8_lossy(&record));
            response.delivered.push((*index, version));
        }
        body.push_str("]}");
        Response { ..Response { delivered: response.delivered, ..Response::json(200, body) } }
    }

    fn paginated(&mut self, request: &Request, population: &Population, now: Instant) -> Response {
        let choices = self.choices.clone();
        let seen = now - choices.lag;
        let invalid = || Self::refused(400, "BAD_REQUEST", "Input validation failed");
        let mut limit = 20;
        if let Some(asked) = request.parameter("limit") {
            let Ok(asked) = asked.parse::<usize>() else { return invalid() };
            if asked == 0 || (asked > choices.max_page_size && choices.refuses_larger) {
                return invalid();
            }
            limit = asked.min(choices.max_page_size);
        }
        let is_newest_first = match request.parameter("sort") {
            None | Some("desc") => true,
            Some("asc") => false,
            Some(_) => return invalid(),
        };
        let Some((mut rows, selected, window)) = self.rows(request, population, seen) else {
            return invalid();
        };
        sort_by_time(population, &mut rows, start, is_newest_first);
        let mut begin = 0;
        if let Some(cursor) = request.parameter("cursor") {
            let Some((issued, key, id, sort)) = read_cursor(cursor) else {
                return self.error(400, ErrorCause::Cursor);
            };
            if sort != is_newest_first {
                return self.error(400, ErrorCause::Cursor);
            }
            if let Some((life, status)) = choices.cursor_life
                && now - issued > life
            {
                return self.error(status, ErrorCause::Cursor);
            }
            let is_after = |index: &usize| {
                let conversation = &population.conversations[*index];
                let own = (start(conversation), conversation.id.as_str());
                if is_newest_first { own < (key, id.as_str()) } else { own > (key, id.as_str()) }
            };
            begin = rows.iter().position(is_after).unwrap_or(rows.len());
        }
        let end = if selected { rows.len() } else { (begin + limit).min(rows.len()) };
        let scanned = rows[begin..end].to_vec();
        let delivered: Vec<usize> = scanned
            .iter()
            .copied()
            .filter(|index| is_human(&population.conversations[*index].at(seen).content))
            .collect();
        let billed: u64 = delivered
            .iter()
            .map(|index| self.price(*index, &population.conversations[*index].at(seen).content))
            .sum();
        let period = now / (30 * DAY);
        let used = self.used.get(&period).copied().unwrap_or(0);
        if used + billed > choices.quota {
            match choices.over_quota {
                OverQuota::Refused402 => {
                    return Self::refused(402, "PAYMENT_REQUIRED", "Export quota exceeded");
                }
                OverQuota::Refused403 => return Self::refused(403, "FORBIDDEN", "Export quota exceeded"),
                OverQuota::Billed => {}
            }
        }
        self.used.insert(period, used + billed);
        let has_more = end < rows.len();
        let last = scanned.last().map(|index| &population.conversations[*index]);
        let next = last.map(|last| write_cursor(now, start(last), &last.id, is_newest_first));
        let mut head = json!({
            "success": true,
            "mode": if selected { "selected" } else { "paginated" },
            "source": "supabase",
            "limit": limit,
            "hasMore": has_more,
            "scannedConvoCount": scanned.len(),
            "query": {"sort": if is_newest_first { "desc" } else { "asc" }, "fromTs": window.0, "toTs": window.1},
        });
        match (has_more, choices.last_page) {
            (true, _) | (false, LastPage::CursorButNoMore) => head["nextCursor"] = json!(next),
            (false, LastPage::Null) => head["nextCursor"] = Value::Null,
            (false, LastPage::Empty) => head["nextCursor"] = json!(""),
            (false, LastPage::Absent) => {}
        }
        self.add_usage(&mut head, delivered.len(), billed, now);
        let response = self.response_with(population, &head, &delivered, seen);
        Response { billed, ..response }
    }

    /// Returns the conversations that a request selects, whether it names them, and its window; nothing if it is invalid.
    fn rows(&self, request: &Request, population: &Population, seen: Instant) -> Option<Selected> {
        let from = time(request.parameter("fromTs")).ok()?;
        let to = time(request.parameter("toTs")).ok()?;
        if let Some(ids) = request.parameter("convoIds").filter(|ids| !ids.is_empty()) {
            let ids: Vec<_> = ids.split(',').collect();
            if ids.len() > self.choices.max_ids {
                return None;
            }
            let mut rows: Vec<_> = ids.iter().filter_map(|id| population.index_of(id)).collect();
            rows.retain(|index| population.conversations[*index].exists(seen));
            rows.sort_unstable();
            rows.dedup();
            return Some((rows, true, (from, to)));
        }
        let is_inside = |index: &usize| {
            let conversation = &population.conversations[*index];
            if !conversation.is_dated {
                return self.choices.windows_hold_undated || (from.is_none() && to.is_none());
            }
            let second = conversation.created.div_euclid(SECOND);
            from.is_none_or(|from| second >= from) && to.is_none_or(|to| second <= to)
        };
        Some((population.existing(seen).filter(is_inside).collect(), false, (from, to)))
    }

    /// Adds what the vendor says about costs.
    fn add_usage(&self, head: &mut Value, delivered: usize, billed: u64, now: Instant) {
        let choices = &self.choices;
        let period = now / (30 * DAY);
        let used = self.used.get(&period).copied().unwrap_or(0);
        if choices.has_message {
            head["message"] =
                json!(format!("Exported {delivered} conversation(s) ({billed} billable session(s)). ..."));
        }
        if choices.has_usage {
            head["usage"] = json!({
                "periodKey": format!("billing_{period}"),
                "billableUsedThisRequest": billed,
                "billableUsedThisPeriod": used,
                "includedQuota": choices.quota,
                "billableRemainingThisPeriod": choices.quota.saturating_sub(used),
                "summary": format!("Used {used} / {} billable session exports this billing cycle...", choices.quota),
            });
        }
        if choices.has_rate {
            let left = choices.hourly.map(|hourly| hourly.saturating_sub(self.exports.len() as u64));
            head["rateLimit"] = json!({"remainingHour": left});
        }
    }

    fn list(&mut self, request: &Request, population: &Population, now: Instant) -> Response {
        let list = self.choices.list;
        let seen = now - self.choices.lag;
        match list.status {
            200 => {}
            403 => {
                return Self::refused(
                    403,
                    "FORBIDDEN",
                    "API access requires the Business plan or higher (read-only).",
                );
            }
            404 => return Self::refused(404, "NOT_FOUND", "Not found"),
            status => return self.error(status, ErrorCause::Failed),
        }
        let invalid = || Self::refused(400, "BAD_REQUEST", "Input validation failed");
        let mut limit = 20;
        if let Some(asked) = request.parameter("limit") {
            let Ok(asked) = asked.parse::<usize>() else { return invalid() };
            if asked == 0 || (asked > list.max_page_size && list.refuses_larger) {
                return invalid();
            }
            limit = asked.min(list.max_page_size);
        }
        let mut rows: Vec<usize> = population
            .existing(seen)
            .filter(|index| !population.conversations[*index].at(seen).content.messages.is_empty())
            .collect();
        let key = |conversation: &Conversation| {
            if list.sorts_by_activity { conversation.at(seen).content.updated } else { start(conversation) }
        };
        sort_by_time(population, &mut rows, key, true);
        let page = request.parameter("page").map_or(Ok(1), str::parse::<usize>);
        let begin = match (request.parameter("cursor"), page) {
            (Some(cursor), _) => {
                let Some((_, at, id, true)) = read_cursor(cursor) else {
                    return self.error(400, ErrorCause::Cursor);
                };
                let is_after = |index: &usize| {
                    let conversation = &population.conversations[*index];
                    (key(conversation), conversation.id.as_str()) < (at, id.as_str())
                };
                rows.iter().position(is_after).unwrap_or(rows.len())
            }
            (None, Ok(page)) if page == 1 || (list.has_pages && page > 1) => {
                ((page - 1) * limit).min(rows.len())
            }
            _ => return invalid(),
        };
        let end = (begin + limit).min(rows.len());
        let has_more = end < rows.len();
        let shown = &rows[begin..end];
        let data: Vec<Value> =
            shown.iter().map(|index| self.row(&population.conversations[*index], *index, seen)).collect();
        let next = shown.last().map(|index| {
            let lowest = &population.conversations[*index];
            write_cursor(now, key(lowest), &lowest.id, true)
        });
        let body = json!({
            "success": true,
            "message": "Conversations retrieved successfully",
            "limit": limit,
            "hasMore": has_more,
            "nextCursor": next.filter(|_| has_more),
            "data": data,
        });
        // A price that no answer names cannot be kept to.
        let is_told = self.choices.generation == Generation::G2 && self.choices.has_usage;
        let billed = if list.is_metered && is_told { shown.len() as u64 } else { 0 };
        *self.used.entry(now / (30 * DAY)).or_default() += billed;
        Response { listed: shown.to_vec(), billed, ..Response::json(200, body.to_string()) }
    }

    /// Returns a thin row of the list.
    fn row(&self, conversation: &Conversation, index: usize, seen: Instant) -> Value {
        let list = self.choices.list;
        let content = &conversation.at(seen).content;
        let mut row = json!({"ID": conversation.id, "userID": conversation.id});
        if conversation.is_dated {
            row["ts"] = json!(conversation.created.div_euclid(SECOND));
            row["firstMessageTS"] = row["ts"].clone();
        }
        if let Some(channel) = &content.channel {
            row["origin"] = json!(channel);
        }
        let is_thin = is_thin(index);
        if list.has_count && !is_thin {
            row["messagesNum"] = json!(content.messages.len());
        }
        if list.has_last_message && !is_thin {
            row["lastMessageTS"] = json!(content.updated.div_euclid(SECOND));
        }
        if list.has_last_modified && !is_thin {
            // Feedback modifies the record as well; the unit is mixed.
            let at = conversation.at(seen).from.max(content.updated);
            let is_in_milliseconds =
                list.has_milliseconds && (index + content.messages.len()).is_multiple_of(2);
            row["lastModified"] = json!(at / if is_in_milliseconds { 1_000 } else { SECOND });
        }
        row
    }

    fn single_export(&mut self, id: &str, population: &Population, now: Instant) -> Response {
        let seen = now - self.choices.lag;
        let index = population.index_of(id).filter(|index| population.conversations[*index].exists(seen));
        let Some(index) = index else {
            return Self::refused(404, "NOT_FOUND", "Conversation not found");
        };
        let version = population.conversations[index].version_at(seen);
        let record = self.record(population, index, version);
        let head = r#"{"success":true,"message":"Conversation exported successfully","data":"#;
        let body = format!("{head}{}}}", String::from_utf8_lossy(&record));
        let billed = self.price(index, &population.conversations[index].versions[version].content);
        *self.used.entry(now / (30 * DAY)).or_default() += billed;
        Response { delivered: vec![(index, version)], billed, ..Response::json(200, body) }
    }

    fn single_row(&self, id: &str, population: &Population, now: Instant) -> Response {
        let seen = now - self.choices.lag;
        match population.index_of(id).filter(|index| population.conversations[*index].exists(seen)) {
            Some(index) => {
                let row = self.row(&population.conversations[index], index, seen);
                let body =
                    json!({"success": true, "message": "Conversation retrieved successfully", "data": row});
                Response::json(200, body.to_string())
            }
            None => Self::refused(404, "NOT_FOUND", "Conversation not found"),
        }
    }
}

/// Returns when a conversation began, as the mirror sorts it.
fn start(conversation: &Conversation) -> Instant {
    if conversation.is_dated { conversation.created } else { 0 }
}

fn is_human(content: &Content) -> bool {
    content.messages.iter().any(|message| message.is_customers)
}

/// Returns whether the list shows a conversation without times and counts.
fn is_thin(index: usize) -> bool {
    index % 5 == 4
}

fn has_past_session(index: usize) -> bool {
    index % 11 == 3
}

fn sort_by_time(
    population: &Population,
    rows: &mut [usize],
    key: impl Fn(&Conversation) -> Instant,
    is_newest_first: bool,
) {
    rows.sort_unstable_by(|one, other| {
        let (one, other) = (&population.conversations[*one], &population.conversations[*other]);
        let order = (key(one), &one.id).cmp(&(key(other), &other.id));
        if is_newest_first { order.reverse() } else { order }
    });
}

/// Reads seconds or milliseconds as seconds.
fn time(value: Option<&str>) -> Result<Option<i64>, ()> {
    let Some(text) = value else { return Ok(None) };
    let number = text.parse::<f64>().map_err(|_| ())? as i64;
    Ok(Some(if number > 100_000_000_000 { number / 1_000 } else { number }))
}

/// Writes an instant as the export does: English words, without a zone.
fn in_words(at: Instant) -> String {
    let day: u32 = written(at, "%-d").parse().unwrap_or(1);
    let suffix = match (day % 10, day / 10) {
        (1, 0 | 2 | 3) => "st",
        (2, 0 | 2) => "nd",
        (3, 0 | 2) => "rd",
        _ => "th",
    };
    written(at, &format!("%B %-d{suffix} %Y, %-I:%M:%S %P"))
}

fn write_cursor(issued: Instant, key: Instant, id: &str, is_newest_first: bool) -> String {
    let sort = if is_newest_first { "desc" } else { "asc" };
    let value =
        json!({"v": 1, "sort": sort, "uniqueId": format!("{AGENT}_{id}"), "k": key, "i": issued, "id": id});
    URL_SAFE_NO_PAD.encode(value.to_string())
}

fn read_cursor(text: &str) -> Option<(Instant, Instant, String, bool)> {
    let value: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
    let (issued, key) = (value["i"].as_i64()?, value["k"].as_i64()?);
    Some((issued, key, value["id"].as_str()?.to_owned(), value["sort"] == "desc"))
}

fn message(message: &Message) -> Value {
    let feedback = match message.feedback {
        Some(true) => "Positive",
        Some(false) => "Negative",
        None => "Unset",
    };
    let kind = if message.is_tool { "debug:tell" } else { "text" };
    json!({
        "type": kind,
        "ts": in_words(message.at),
        "payload": {"message": message.text, "feedback": feedback, "aiGenerated": !message.is_customers},
    })
}

impl Vendor for ConvocoreV3 {
    fn response(&mut self, request: &Request, population: &Population, now: Instant) -> Response {
        self.served += 1;
        let path: Vec<_> = request.path.iter().map(String::as_str).collect();
        match path.as_slice() {
            ["agents", agent, ..] if *agent != AGENT => Self::refused(404, "NOT_FOUND", "Agent not found"),
            ["agents", _] => {
                let agent = json!({"ID": AGENT, "title": "Voice", "SECRET_API_KEY": KEY});
                let body = json!({"success": true, "message": "Agent retrieved", "data": agent});
                Response::json(200, body.to_string())
            }
            ["agents", _, "convos"] => self.list(request, population, now),
            ["agents", _, "convos", "export"] => {
                if self.exceeds_rate_limit(now) {
                    return self.hourly_limit_reached(now);
                }
                self.export(request, population, now)
            }
            ["agents", _, "convos", id] => self.single_row(id, population, now),
            ["agents", _, "convos", id, "export"] => {
                if self.exceeds_rate_limit(now) {
                    return self.hourly_limit_reached(now);
                }
                self.single_export(id, population, now)
            }
            _ => Self::refused(404, "NOT_FOUND", "Not found"),
        }
    }

    /// A server that is busy for some seconds, whatever is left of the limit of the hour.
    fn rate_limited(&mut self, _now: Instant) -> Response {
        self.refused_for(10)
    }

    fn error(&self, status: u16, cause: ErrorCause) -> Response {
        let (code, message) = match (cause, status) {
            (ErrorCause::Key, _) => ("UNAUTHORIZED", format!("Unauthorized: {KEY}")),
            (ErrorCause::Record, _) => ("INTERNAL_SERVER_ERROR", "Output validation failed".to_owned()),
            (ErrorCause::Cursor, 404) => ("NOT_FOUND", "Not found".to_owned()),
            (ErrorCause::Cursor, 422) => ("UNPROCESSABLE_CONTENT", "Input validation failed".to_owned()),
            (ErrorCause::Cursor, _) => ("BAD_REQUEST", "Input validation failed".to_owned()),
            _ => ("INTERNAL_SERVER_ERROR", "Internal server error".to_owned()),
        };
        Self::refused(status, code, &message)
    }

    fn request_kind(&self, request: &Request) -> RequestKind {
        let path: Vec<_> = request.path.iter().map(String::as_str).collect();
        match path.as_slice() {
            ["agents", _, "convos"] => RequestKind::List,
            ["agents", _, "convos", "export"] => {
                if request.parameter("convoIds").is_some() {
                    RequestKind::Single
                } else if request.parameter("cursor").is_some() {
                    RequestKind::LaterPage
                } else {
                    RequestKind::FirstPage
                }
            }
            ["agents", _, "convos", _, "export"] => RequestKind::Single,
            _ => RequestKind::Other,
        }
    }

    fn record(&mut self, population: &Population, index: usize, version: usize) -> Bytes {
        if let Some(record) = self.records.get(&(index, version)) {
            return record.clone();
        }
        let conversation = &population.conversations[index];
        let content = &conversation.versions[version].content;
        let mut turns: Vec<(bool, Vec<Value>)> = Vec::new();
        for entry in &content.messages {
            match turns.last_mut() {
                Some((is_customers, messages)) if *is_customers == entry.is_customers => {
                    messages.push(message(entry));
                }
                _ => turns.push((entry.is_customers, vec![message(entry)])),
            }
        }
        let turns: Vec<Value> = turns
            .into_iter()
            .map(|(is_customers, messages)| json!({"from": if is_customers { "user" } else { "bot" }, "messages": messages}))
            .collect();
        let mut convo = json!({"id": conversation.id});
        if conversation.is_dated {
            convo["ts"] = json!(conversation.created.div_euclid(SECOND));
        }
        for (key, value) in [("userName", &content.name), ("origin", &content.channel)] {
            if let Some(value) = value {
                convo[key] = json!(value);
            }
        }
        let feedback = match content.rating {
            Some(true) => "Positive",
            Some(false) => "Negative",
            None => "Unset",
        };
        let sessions = if has_past_session(index) {
            json!([[{"from": "human", "ts": 1_732_000_000, "messages": [
                {"from": "human", "type": "text", "ts": 1_732_000_000,
                 "item": {"type": "text", "payload": {"message": "earlier session"}}}]}]])
        } else {
            json!([])
        };
        let value = json!({
            "metadata": {"feedback": feedback, "convo": convo, "sessions": sessions},
            "turns": turns,
        });
        let record = Bytes::from(value.to_string());
        self.records.insert((index, version), record.clone());
        record
    }

    fn list_shows(&self, index: usize, change: Change) -> bool {
        // A number of messages tells nothing yet where it is shown for the first time.
        let List { status, has_last_message, has_last_modified, .. } = self.choices.list;
        let is_told = has_last_modified || (change == Change::Reply && has_last_message);
        status == 200 && !is_thin(index) && is_told
    }

    fn list_shows_nothing(&self, index: usize) -> bool {
        let List { status, has_last_message, has_last_modified, has_count, .. } = self.choices.list;
        status != 200 || is_thin(index) || !(has_last_message || has_last_modified || has_count)
    }

    fn properties(&self) -> Properties {
        let choices = &self.choices;
        let is_paginated = choices.generation == Generation::G2;
        Properties {
            page_size: if is_paginated { choices.max_page_size.min(50) } else { usize::MAX },
            paging: if is_paginated { Paging::Keyset } else { Paging::Whole },
            sorts_by_activity: false,
            is_unstable: false,
            sends_count: false,
            overcounts: false,
            has_summaries: false,
            finds_changes_by_list: true,
            can_read_less: is_paginated,
            can_narrow: is_paginated,
            narrows_by_time_alone: false,
            narrows_by_time: false,
            is_documented: is_paginated
                && choices.list.status == 200
                && choices.cursor_life.is_none()
                && choices.max_page_size >= 50
                && choices.last_page != LastPage::Empty
                && choices.quota == 50_000,
            has_short_pages: false,
            shows_at_most: (choices.generation == Generation::G1Limited).then_some(200),
            hides_the_rest: false,
            skips_silent: is_paginated,
            has_readable_clock: true,
            searches_by_day: false,
            finds_one: true,
            margin: 2 * SECOND,
            lag: choices.lag,
            quota: if is_paginated { Some(choices.quota) } else { None },
            windows_hold_undated: choices.windows_hold_undated,
            list_is_billed: choices.list.is_metered && is_paginated && choices.has_usage,
            list_page: (choices.list.status == 200).then_some(choices.list.max_page_size.min(20)),
        }
    }
}

impl ConvocoreV3 {
    /// Answers that the limit of the hour is reached, and when it is not any more.
    fn hourly_limit_reached(&self, now: Instant) -> Response {
        let first = self.exports.front().copied().unwrap_or(now);
        self.refused_for((first + HOUR - now).max(SECOND) / SECOND + 1)
    }

    fn refused_for(&self, seconds: i64) -> Response {
        let mut response = Self::refused(429, "TOO_MANY_REQUESTS", "Export rate limit exceeded");
        if self.choices.sends_retry_after {
            response.headers.push(("Retry-After", seconds.to_string()));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_in_words() {
        assert_eq!(in_words(1_733_049_000 * SECOND), "December 1st 2024, 10:30:00 am");
        assert_eq!(in_words(1_732_924_805 * SECOND), "November 30th 2024, 12:00:05 am");
    }

    #[test]
    fn bounds_are_seconds_or_milliseconds() {
        assert_eq!(time(Some("1733049000")), Ok(Some(1_733_049_000)));
        assert_eq!(time(Some("1733049000500")), Ok(Some(1_733_049_000)));
        assert_eq!(time(Some("x")), Err(()));
    }
}
