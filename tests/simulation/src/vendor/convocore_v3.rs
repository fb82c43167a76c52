//! Convocore API v3, as any generation and deployment that its documents allow.

use std::collections::{BTreeMap, VecDeque};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use serde_json::{Value, json};

use super::{AGENT, Answer, ErrorText, Paging, Place, Request, Truth, Vendor};
use crate::population::{Change, Content, Conversation, Habits, Message, Population};
use crate::random::Random;
use crate::time::{DAY, HOUR, Instant, MINUTE, SECOND, written};
use crate::transport::KEY;

/// What conversations of Convocore are like.
pub const HABITS: Habits = Habits {
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
    facts: Facts,
    served: u64,
    /// When exports were asked for.
    exports: VecDeque<Instant>,
    used: BTreeMap<i64, u64>,
    elements: BTreeMap<(usize, usize), Bytes>,
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

/// What was drawn of a deployment.
#[derive(Debug, Clone)]
struct Facts {
    generation: Generation,
    /// The largest page, and whether more is refused or cut to it.
    largest: usize,
    refuses_larger: bool,
    most_ids: usize,
    /// How late the mirror shows what happened.
    lag: Instant,
    end: End,
    has_usage: bool,
    has_rate: bool,
    has_message: bool,
    quota: u64,
    over_quota: OverQuota,
    /// Exports per hour.
    hourly: Option<u64>,
    says_when: bool,
    /// Whether a window holds conversations without a date.
    windows_hold_undated: bool,
    cursor_life: Option<(Instant, u16)>,
    list: List,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
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
    largest: usize,
    refuses_larger: bool,
    has_pages: bool,
    is_by_activity: bool,
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
            largest: random.pick(&[20, 20, 100]),
            refuses_larger: random.percent(40),
            has_pages: random.percent(25),
            is_by_activity: random.percent(40),
            has_last_message: random.percent(70),
            has_last_modified: random.percent(60),
            has_count: random.percent(70),
            has_milliseconds: random.percent(60),
            is_metered: random.percent(5),
        };
        // No document allows less than fifty; a deployment may still send smaller pages.
        let largest = random.pick(&[50, 50, 100, 20]);
        let facts = Facts {
            generation,
            largest,
            refuses_larger: largest >= 50 && random.percent(50),
            most_ids: random.pick(&[200, 500, 200, 50]),
            lag: random.pick(&[0, 0, 0, 20 * SECOND, 5 * MINUTE]),
            end: random.pick(&[End::Null, End::Absent, End::Empty, End::CursorButNoMore]),
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
            says_when: random.percent(60),
            windows_hold_undated: random.percent(40),
            cursor_life: random
                .percent(20)
                .then(|| (random.pick(&[10 * MINUTE, HOUR, DAY]), random.pick(&[400, 404, 410, 422]))),
            list,
        };
        Self { facts, served: 0, exports: VecDeque::new(), used: BTreeMap::new(), elements: BTreeMap::new() }
    }

    fn refused(status: u16, code: &str, message: &str) -> Answer {
        Answer::json(status, json!({"message": message, "code": code}).to_string())
    }

    /// Returns whether there are too many exports in this hour.
    fn is_too_many(&mut self, now: Instant) -> bool {
        let Some(hourly) = self.facts.hourly else { return false };
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
    fn price(&self, place: usize, content: &Content) -> u64 {
        match self.facts.generation {
            Generation::G2 if is_human(content) => 1 + u64::from(has_past_session(place)),
            _ => 0,
        }
    }

    fn export(&mut self, request: &Request, population: &Population, now: Instant) -> Answer {
        let seen = now - self.facts.lag;
        match self.facts.generation {
            Generation::G1 => self.array(population, usize::MAX, seen),
            Generation::G1Limited => self.array(population, 200, seen),
            Generation::G2 => self.paginated(request, population, now),
        }
    }

    /// Answers with one array.
    fn array(&mut self, population: &Population, most: usize, seen: Instant) -> Answer {
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
        self.answer_with(population, &head, &rows, seen)
    }

    fn answer_with(
        &mut self,
        population: &Population,
        head: &Value,
        rows: &[usize],
        seen: Instant,
    ) -> Answer {
        let mut body = head.to_string();
        body.pop();
        if body.len() > 1 {
            body.push(',');
        }
        body.push_str("\"data\":[");
        let mut answer = Answer::default();
        for (at, place) in rows.iter().enumerate() {
            if at > 0 {
                body.push(',');
            }
            let version = population.conversations[*place].version_at(seen);
            let element = self.element(population, *place, version);
            body.push_str(&String::from_utf8_lossy(&element));
            answer.delivered.push((*place, version));
        }
        body.push_str("]}");
        Answer { matching: rows.len(), ..Answer { delivered: answer.delivered, ..Answer::json(200, body) } }
    }

    fn paginated(&mut self, request: &Request, population: &Population, now: Instant) -> Answer {
        let facts = self.facts.clone();
        let seen = now - facts.lag;
        let invalid = || Self::refused(400, "BAD_REQUEST", "Input validation failed");
        let mut limit = 20;
        if let Some(asked) = request.parameter("limit") {
            let Ok(asked) = asked.parse::<usize>() else { return invalid() };
            if asked == 0 || (asked > facts.largest && facts.refuses_larger) {
                return invalid();
            }
            limit = asked.min(facts.largest);
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
        let matching = rows.len();
        let mut begin = 0;
        if let Some(cursor) = request.parameter("cursor") {
            let Some((issued, key, id, sort)) = read_cursor(cursor) else {
                return self.error(400, ErrorText::Cursor);
            };
            if sort != is_newest_first {
                return self.error(400, ErrorText::Cursor);
            }
            if let Some((life, status)) = facts.cursor_life
                && now - issued > life
            {
                return self.error(status, ErrorText::Cursor);
            }
            let is_after = |place: &usize| {
                let conversation = &population.conversations[*place];
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
            .filter(|place| is_human(&population.conversations[*place].at(seen).content))
            .collect();
        let billed: u64 = delivered
            .iter()
            .map(|place| self.price(*place, &population.conversations[*place].at(seen).content))
            .sum();
        let period = now / (30 * DAY);
        let used = self.used.get(&period).copied().unwrap_or(0);
        if used + billed > facts.quota {
            match facts.over_quota {
                OverQuota::Refused402 => {
                    return Self::refused(402, "PAYMENT_REQUIRED", "Export quota exceeded");
                }
                OverQuota::Refused403 => return Self::refused(403, "FORBIDDEN", "Export quota exceeded"),
                OverQuota::Billed => {}
            }
        }
        self.used.insert(period, used + billed);
        let has_more = end < rows.len();
        let last = scanned.last().map(|place| &population.conversations[*place]);
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
        match (has_more, facts.end) {
            (true, _) | (false, End::CursorButNoMore) => head["nextCursor"] = json!(next),
            (false, End::Null) => head["nextCursor"] = Value::Null,
            (false, End::Empty) => head["nextCursor"] = json!(""),
            (false, End::Absent) => {}
        }
        self.add_usage(&mut head, delivered.len(), billed, now);
        let answer = self.answer_with(population, &head, &delivered, seen);
        Answer { billed, matching, ..answer }
    }

    /// Returns the conversations that a request selects, whether it names them, and its window; nothing if it is invalid.
    fn rows(&self, request: &Request, population: &Population, seen: Instant) -> Option<Selected> {
        let from = time(request.parameter("fromTs")).ok()?;
        let to = time(request.parameter("toTs")).ok()?;
        if let Some(ids) = request.parameter("convoIds").filter(|ids| !ids.is_empty()) {
            let ids: Vec<_> = ids.split(',').collect();
            if ids.len() > self.facts.most_ids {
                return None;
            }
            let mut rows: Vec<_> = ids.iter().filter_map(|id| population.place(id)).collect();
            rows.retain(|place| population.conversations[*place].exists(seen));
            rows.sort_unstable();
            rows.dedup();
            return Some((rows, true, (from, to)));
        }
        let is_inside = |place: &usize| {
            let conversation = &population.conversations[*place];
            if !conversation.is_dated {
                return self.facts.windows_hold_undated || (from.is_none() && to.is_none());
            }
            let second = conversation.created.div_euclid(SECOND);
            from.is_none_or(|from| second >= from) && to.is_none_or(|to| second <= to)
        };
        Some((population.existing(seen).filter(is_inside).collect(), false, (from, to)))
    }

    /// Adds what the vendor says about costs.
    fn add_usage(&self, head: &mut Value, delivered: usize, billed: u64, now: Instant) {
        let facts = &self.facts;
        let period = now / (30 * DAY);
        let used = self.used.get(&period).copied().unwrap_or(0);
        if facts.has_message {
            head["message"] =
                json!(format!("Exported {delivered} conversation(s) ({billed} billable session(s)). ..."));
        }
        if facts.has_usage {
            head["usage"] = json!({
                "periodKey": format!("billing_{period}"),
                "billableUsedThisRequest": billed,
                "billableUsedThisPeriod": used,
                "includedQuota": facts.quota,
                "billableRemainingThisPeriod": facts.quota.saturating_sub(used),
                "summary": format!("Used {used} / {} billable session exports this billing cycle...", facts.quota),
            });
        }
        if facts.has_rate {
            let left = facts.hourly.map(|hourly| hourly.saturating_sub(self.exports.len() as u64));
            head["rateLimit"] = json!({"remainingHour": left});
        }
    }

    fn list(&mut self, request: &Request, population: &Population, now: Instant) -> Answer {
        let list = self.facts.list;
        let seen = now - self.facts.lag;
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
            status => return self.error(status, ErrorText::Failed),
        }
        let invalid = || Self::refused(400, "BAD_REQUEST", "Input validation failed");
        let mut limit = 20;
        if let Some(asked) = request.parameter("limit") {
            let Ok(asked) = asked.parse::<usize>() else { return invalid() };
            if asked == 0 || (asked > list.largest && list.refuses_larger) {
                return invalid();
            }
            limit = asked.min(list.largest);
        }
        let mut rows: Vec<usize> = population
            .existing(seen)
            .filter(|place| !population.conversations[*place].at(seen).content.messages.is_empty())
            .collect();
        let key = |conversation: &Conversation| {
            if list.is_by_activity { conversation.at(seen).content.updated } else { start(conversation) }
        };
        sort_by_time(population, &mut rows, key, true);
        let page = request.parameter("page").map_or(Ok(1), str::parse::<usize>);
        let begin = match (request.parameter("cursor"), page) {
            (Some(cursor), _) => {
                let Some((_, at, id, true)) = read_cursor(cursor) else {
                    return self.error(400, ErrorText::Cursor);
                };
                let is_after = |place: &usize| {
                    let conversation = &population.conversations[*place];
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
            shown.iter().map(|place| self.row(&population.conversations[*place], *place, seen)).collect();
        let next = shown.last().map(|place| {
            let lowest = &population.conversations[*place];
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
        let is_told = self.facts.generation == Generation::G2 && self.facts.has_usage;
        let billed = if list.is_metered && is_told { shown.len() as u64 } else { 0 };
        *self.used.entry(now / (30 * DAY)).or_default() += billed;
        Answer { listed: shown.to_vec(), billed, matching: rows.len(), ..Answer::json(200, body.to_string()) }
    }

    /// Returns a thin row of the list.
    fn row(&self, conversation: &Conversation, place: usize, seen: Instant) -> Value {
        let list = self.facts.list;
        let content = &conversation.at(seen).content;
        let mut row = json!({"ID": conversation.id, "userID": conversation.id});
        if conversation.is_dated {
            row["ts"] = json!(conversation.created.div_euclid(SECOND));
            row["firstMessageTS"] = row["ts"].clone();
        }
        if let Some(channel) = &content.channel {
            row["origin"] = json!(channel);
        }
        let is_thin = is_thin(place);
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
                list.has_milliseconds && (place + content.messages.len()).is_multiple_of(2);
            row["lastModified"] = json!(at / if is_in_milliseconds { 1_000 } else { SECOND });
        }
        row
    }

    fn single(&mut self, id: &str, population: &Population, now: Instant) -> Answer {
        let seen = now - self.facts.lag;
        let place = population.place(id).filter(|place| population.conversations[*place].exists(seen));
        let Some(place) = place else {
            return Self::refused(404, "NOT_FOUND", "Conversation not found");
        };
        let version = population.conversations[place].version_at(seen);
        let element = self.element(population, place, version);
        let head = r#"{"success":true,"message":"Conversation exported successfully","data":"#;
        let body = format!("{head}{}}}", String::from_utf8_lossy(&element));
        let billed = self.price(place, &population.conversations[place].versions[version].content);
        *self.used.entry(now / (30 * DAY)).or_default() += billed;
        Answer { delivered: vec![(place, version)], billed, matching: 1, ..Answer::json(200, body) }
    }

    fn light(&self, id: &str, population: &Population, now: Instant) -> Answer {
        let seen = now - self.facts.lag;
        match population.place(id).filter(|place| population.conversations[*place].exists(seen)) {
            Some(place) => {
                let row = self.row(&population.conversations[place], place, seen);
                let body =
                    json!({"success": true, "message": "Conversation retrieved successfully", "data": row});
                Answer::json(200, body.to_string())
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
fn is_thin(place: usize) -> bool {
    place % 5 == 4
}

fn has_past_session(place: usize) -> bool {
    place % 11 == 3
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
    fn answer(&mut self, request: &Request, population: &Population, now: Instant) -> Answer {
        self.served += 1;
        let path: Vec<_> = request.path.iter().map(String::as_str).collect();
        match path.as_slice() {
            ["agents", agent, ..] if *agent != AGENT => Self::refused(404, "NOT_FOUND", "Agent not found"),
            ["agents", _] => {
                let agent = json!({"ID": AGENT, "title": "Voice", "SECRET_API_KEY": KEY});
                let body = json!({"success": true, "message": "Agent retrieved", "data": agent});
                Answer::json(200, body.to_string())
            }
            ["agents", _, "convos"] => self.list(request, population, now),
            ["agents", _, "convos", "export"] => {
                if self.is_too_many(now) {
                    return self.over_limit(now);
                }
                self.export(request, population, now)
            }
            ["agents", _, "convos", id] => self.light(id, population, now),
            ["agents", _, "convos", id, "export"] => {
                if self.is_too_many(now) {
                    return self.over_limit(now);
                }
                self.single(id, population, now)
            }
            _ => Self::refused(404, "NOT_FOUND", "Not found"),
        }
    }

    /// A server that is busy for some seconds, whatever is left of the limit of the hour.
    fn too_many(&mut self, _now: Instant) -> Answer {
        self.refused_for(10)
    }

    fn error(&self, status: u16, kind: ErrorText) -> Answer {
        let (code, message) = match (kind, status) {
            (ErrorText::Key, _) => ("UNAUTHORIZED", format!("Unauthorized: {KEY}")),
            (ErrorText::Record, _) => ("INTERNAL_SERVER_ERROR", "Output validation failed".to_owned()),
            (ErrorText::Cursor, 404) => ("NOT_FOUND", "Not found".to_owned()),
            (ErrorText::Cursor, 422) => ("UNPROCESSABLE_CONTENT", "Input validation failed".to_owned()),
            (ErrorText::Cursor, _) => ("BAD_REQUEST", "Input validation failed".to_owned()),
            _ => ("INTERNAL_SERVER_ERROR", "Internal server error".to_owned()),
        };
        Self::refused(status, code, &message)
    }

    fn place(&self, request: &Request) -> Place {
        let path: Vec<_> = request.path.iter().map(String::as_str).collect();
        match path.as_slice() {
            ["agents", _, "convos"] => Place::List,
            ["agents", _, "convos", "export"] => {
                if request.parameter("convoIds").is_some() {
                    Place::Single
                } else if request.parameter("cursor").is_some() {
                    Place::LaterPage
                } else {
                    Place::FirstPage
                }
            }
            ["agents", _, "convos", _, "export"] => Place::Single,
            _ => Place::Other,
        }
    }

    fn element(&mut self, population: &Population, place: usize, version: usize) -> Bytes {
        if let Some(element) = self.elements.get(&(place, version)) {
            return element.clone();
        }
        let conversation = &population.conversations[place];
        let content = &conversation.versions[version].content;
        let mut turns: Vec<(bool, Vec<Value>)> = Vec::new();
        for said in &content.messages {
            match turns.last_mut() {
                Some((is_customers, messages)) if *is_customers == said.is_customers => {
                    messages.push(message(said));
                }
                _ => turns.push((said.is_customers, vec![message(said)])),
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
        let sessions = if has_past_session(place) {
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
        let element = Bytes::from(value.to_string());
        self.elements.insert((place, version), element.clone());
        element
    }

    fn list_shows(&self, place: usize, change: Change) -> bool {
        // A number of messages tells nothing yet where it is shown for the first time.
        let List { status, has_last_message, has_last_modified, .. } = self.facts.list;
        let is_told = has_last_modified || (change == Change::Reply && has_last_message);
        status == 200 && !is_thin(place) && is_told
    }

    fn list_shows_nothing(&self, place: usize) -> bool {
        let List { status, has_last_message, has_last_modified, has_count, .. } = self.facts.list;
        status != 200 || is_thin(place) || !(has_last_message || has_last_modified || has_count)
    }

    fn truth(&self) -> Truth {
        let facts = &self.facts;
        let is_paginated = facts.generation == Generation::G2;
        Truth {
            page: if is_paginated { facts.largest.min(50) } else { usize::MAX },
            paging: if is_paginated { Paging::Keyset } else { Paging::Whole },
            is_by_activity: false,
            is_unstable: false,
            counts: false,
            sends_count: false,
            overcounts: false,
            has_summaries: false,
            is_read_by_list: true,
            can_read_less: is_paginated,
            can_narrow: is_paginated,
            narrows_by_time_alone: false,
            narrows_by_time: false,
            is_documented: is_paginated
                && facts.list.status == 200
                && facts.cursor_life.is_none()
                && facts.largest >= 50
                && facts.end != End::Empty
                && facts.quota == 50_000,
            has_short_pages: false,
            shows_at_most: (facts.generation == Generation::G1Limited).then_some(200),
            hides_the_rest: false,
            skips_silent: is_paginated,
            has_known_clock: true,
            asks_by_day: false,
            finds_one: true,
            margin: 2 * SECOND,
            lag: facts.lag,
            quota: if is_paginated { Some(facts.quota) } else { None },
            windows_hold_undated: facts.windows_hold_undated,
            list_is_billed: facts.list.is_metered && is_paginated && facts.has_usage,
            list_page: (facts.list.status == 200).then_some(facts.list.largest.min(20)),
        }
    }
}

impl ConvocoreV3 {
    /// Answers that the limit of the hour is reached, and when it is not any more.
    fn over_limit(&self, now: Instant) -> Answer {
        let first = self.exports.front().copied().unwrap_or(now);
        self.refused_for((first + HOUR - now).max(SECOND) / SECOND + 1)
    }

    fn refused_for(&self, seconds: i64) -> Answer {
        let mut answer = Self::refused(429, "TOO_MANY_REQUESTS", "Export rate limit exceeded");
        if self.facts.says_when {
            answer.headers.push(("Retry-After", seconds.to_string()));
        }
        answer
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
