//! A simulated vendor in this process: conversations, the generations of the export, the list, and failures.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use chatark_convocore_v3::connect;
use chatark_core::{
    Batch, Checkpoint, Error, Gap, GapBounds, HeldRecords, HeldSummary, PageMetadata, Provider, ReadRequest,
    RecordId, ResumeToken, Settings, Timestamp,
};
use chatark_http::{
    Budget, BudgetLimits, Connector, HeaderMap, Policy, SizeLimits, StatusCode, Transport, TransportError,
    TransportRequest, TransportResponse,
};
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};

/// 2024-12-01T10:30:00Z in seconds.
pub(crate) const START: i64 = 1_733_049_000;

/// The largest record in bytes that the client accepts.
const MAX_RECORD_BYTES: usize = 16 << 10;

/// A conversation.
#[derive(Debug, Clone)]
pub(crate) struct Convo {
    pub(crate) id: String,
    pub(crate) ts: i64,
    pub(crate) messages: u64,
    /// Whether it has a human message. Without one, it is listed and not exported.
    pub(crate) has_human: bool,
    /// Whether every response that holds it fails.
    pub(crate) is_failing: bool,
    /// The fields of its row in the list, beside `ID`, `userID` and `ts`.
    pub(crate) row: Value,
}

/// The form of the export's responses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Generation {
    Paged,
    /// Everything in one array, whatever is requested.
    OneArray,
    /// At most so many in each response, without a cursor.
    Capped {
        cap: usize,
        applies_window: bool,
        newest_first: bool,
    },
}

/// The paging keys of the last page: `hasMore`, and how `nextCursor` is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    False,
    FalseNull,
    NullAlone,
    TrueNull,
    TrueMissing,
    TrueEmpty,
}

/// How a response fails that holds a failing conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FailureMode {
    /// 500 "Output validation failed".
    Status,
    /// The same error with status 200.
    EmbeddedError,
    /// The body breaks off there.
    Cut,
    /// Something that is not JSON.
    NotJson,
    /// One record is larger than the limit.
    Large,
    /// The request is refused with this status.
    Refused(u16),
}

/// How the cursors of the export behave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cursors {
    Working,
    /// Each page has a new cursor, and the same conversations.
    Cycling,
    /// Pages announce more, and give no cursor.
    Missing,
}

/// How the list is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ListKind {
    Cursors,
    Numbers,
    Refused(u16),
    /// It is empty, whatever there is.
    Empty,
    /// Each page costs a unit of the quota, and says so or not.
    Metered {
        says_so: bool,
    },
}

/// The state of the simulated vendor.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) convos: Vec<Convo>,
    pub(crate) generation: Generation,
    pub(crate) end: End,
    pub(crate) list: ListKind,
    /// Whether the list is ordered by the last activity, and not by the start.
    pub(crate) lists_by_activity: bool,
    pub(crate) failure_mode: FailureMode,
    /// Cursors that are refused once each, and the status of the refusal.
    pub(crate) refused: HashMap<String, u16>,
    /// After so many requests every request fails.
    pub(crate) down_after: Option<usize>,
    /// Whether `convoIds` is applied.
    pub(crate) selects_ids: bool,
    /// Whether the export shows its quota.
    pub(crate) has_usage: bool,
    pub(crate) cursors: Cursors,
    pub(crate) text: Option<String>,
    pub(crate) asked: Vec<String>,
    pub(crate) billed: BTreeMap<String, u64>,
    pub(crate) quota_used: u64,
}

/// The vendor as a transport.
#[derive(Debug, Clone)]
pub(crate) struct Vendor(pub(crate) Arc<Mutex<World>>);

/// The result of a pull.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) records: Vec<String>,
    /// How many messages the latest record of each had.
    pub(crate) messages: BTreeMap<String, u64>,
    pub(crate) unchanged: BTreeSet<String>,
    pub(crate) gaps: Vec<Gap>,
    pub(crate) closed: Vec<GapBounds>,
    pub(crate) rows: BTreeMap<String, String>,
    pub(crate) rotation: Option<ResumeToken>,
    pub(crate) checkpoint: Checkpoint,
    /// The latest token from which a pull can be resumed.
    pub(crate) resumable: Option<ResumeToken>,
    pub(crate) page: PageMetadata,
    pub(crate) error: Option<Error>,
    pub(crate) batches: usize,
}

/// The records that an archive would hold.
#[derive(Debug, Default)]
pub(crate) struct Held(pub(crate) HashMap<String, HeldSummary>);

impl std::fmt::Debug for World {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { convos, generation, end, list, lists_by_activity, failure_mode, selects_ids, .. } = self;
        writeln!(formatter, "{generation:?} {end:?} {list:?} {failure_mode:?} selects {selects_ids}")?;
        writeln!(formatter, "by activity {lists_by_activity}")?;
        for convo in convos {
            let human = if convo.has_human { "" } else { " no human" };
            let failing = if convo.is_failing { " failing" } else { "" };
            write!(formatter, "{}@{}{human}{failing}, ", convo.id, convo.ts - START)?;
        }
        Ok(())
    }
}

impl HeldRecords for Held {
    fn summaries(&self, ids: &[RecordId]) -> Vec<Option<HeldSummary>> {
        ids.iter().map(|id| self.0.get(id.as_str()).cloned()).collect()
    }
}

impl Convo {
    pub(crate) fn new(id: impl Into<String>, ts: i64) -> Self {
        let row = json!({"messagesNum": 2, "lastMessageTS": ts + 60});
        Self { id: id.into(), ts, messages: 2, has_human: true, is_failing: false, row }
    }

    /// Adds a message at a second, and updates the row.
    pub(crate) fn add_message(&mut self, second: i64) {
        self.messages += 1;
        self.row = json!({"messagesNum": self.messages, "lastMessageTS": second});
    }

    fn export(&self) -> Value {
        let turns: Vec<_> = (0..self.messages).map(|number| json!({"from": "user", "n": number})).collect();
        json!({"metadata": {"convo": {"id": self.id, "ts": self.ts}, "sessions": []}, "turns": turns})
    }

    fn list_row(&self) -> Value {
        let mut row = json!({"ID": self.id, "userID": self.id, "ts": self.ts});
        row.as_object_mut().unwrap().extend(self.row.as_object().unwrap().clone());
        row
    }
}

impl World {
    pub(crate) fn new(convos: Vec<Convo>) -> Self {
        Self {
            convos,
            generation: Generation::Paged,
            end: End::FalseNull,
            list: ListKind::Cursors,
            lists_by_activity: false,
            failure_mode: FailureMode::Status,
            refused: HashMap::new(),
            down_after: None,
            selects_ids: true,
            has_usage: true,
            cursors: Cursors::Working,
            text: None,
            asked: Vec::new(),
            billed: BTreeMap::new(),
            quota_used: 0,
        }
    }

    /// Conversations `c0000`, … a minute apart.
    pub(crate) fn of(count: usize) -> Self {
        let minute = |number: usize| START + 60 * i64::try_from(number).unwrap();
        Self::new((0..count).map(|number| Convo::new(format!("c{number:04}"), minute(number))).collect())
    }

    pub(crate) fn fail_at(mut self, failing: &[usize]) -> Self {
        for at in failing {
            self.convos[*at].is_failing = true;
        }
        self
    }

    pub(crate) fn served(self) -> Vendor {
        Vendor(Arc::new(Mutex::new(self)))
    }

    fn ascending(&self) -> Vec<&Convo> {
        let mut convos: Vec<_> = self.convos.iter().collect();
        convos.sort_by(|one, other| (one.ts, &one.id).cmp(&(other.ts, &other.id)));
        convos
    }

    fn bill(&mut self, convos: &[Convo]) -> u64 {
        for convo in convos {
            *self.billed.entry(convo.id.clone()).or_default() += 1;
        }
        self.quota_used += convos.len() as u64;
        convos.len() as u64
    }

    fn usage(&self, used: u64) -> Value {
        if !self.has_usage {
            return Value::Null;
        }
        json!({"billableUsedThisRequest": used, "billableRemainingThisPeriod": 50_000 - self.quota_used})
    }

    fn answer(&mut self, path: &[&str], query: &HashMap<String, String>) -> (u16, String, bool) {
        if self.down_after.is_some_and(|after| self.asked.len() > after) {
            return failure();
        }
        match path {
            ["convos", "export"] => self.export(query),
            ["convos", id, "export"] => self.single(id),
            ["convos"] => self.list(query),
            ["convos", id] => match self.convos.iter().find(|convo| convo.id == *id) {
                Some(convo) => ok(&json!({"success": true, "data": convo.list_row()})),
                None => refusal(404, "Conversation not found"),
            },
            [] => ok(&json!({"success": true, "data": {"ID": "agent 1", "title": "Shop"}})),
            _ => refusal(404, "Not found"),
        }
    }

    fn single(&mut self, id: &str) -> (u16, String, bool) {
        let found = self.convos.iter().find(|convo| convo.id == id && convo.has_human).cloned();
        match found {
            None => refusal(404, "Conversation not found"),
            Some(convo) if convo.is_failing => self.failing_response(&[]),
            Some(convo) => {
                let used = self.bill(std::slice::from_ref(&convo));
                ok(&json!({"success": true, "data": convo.export(), "usage": self.usage(used)}))
            }
        }
    }

    fn export(&mut self, query: &HashMap<String, String>) -> (u16, String, bool) {
        let number = |name: &str| query.get(name).map(|value| value.parse::<i64>().unwrap());
        let (from, to) = (number("fromTs").unwrap_or(0), number("toTs").unwrap_or(i64::MAX));
        let window = |convo: &&Convo| (from..=to).contains(&convo.ts);
        match (self.generation, query.get("convoIds").filter(|_| self.selects_ids)) {
            (Generation::OneArray, _) => {
                let all: Vec<_> = self.ascending().into_iter().rev().cloned().collect();
                self.array(&all)
            }
            (Generation::Paged | Generation::Capped { .. }, Some(ids)) => {
                let ids: Vec<&str> = ids.split(',').collect();
                let wanted = |convo: &&Convo| ids.contains(&convo.id.as_str());
                let found: Vec<_> = self.ascending().into_iter().filter(wanted).cloned().collect();
                self.page(&found, found.len(), None, true)
            }
            (Generation::Capped { cap, applies_window, newest_first }, None) => {
                let inside = |convo: &&Convo| convo.has_human && (!applies_window || window(convo));
                let mut all: Vec<_> = self.ascending().into_iter().filter(inside).cloned().collect();
                if newest_first {
                    all.reverse();
                }
                all.truncate(cap);
                self.array(&all)
            }
            (Generation::Paged, None) => {
                let limit = usize::try_from(number("limit").unwrap()).unwrap();
                let mut all: Vec<_> = self.ascending().into_iter().filter(window).cloned().collect();
                if query.get("sort").map(String::as_str) != Some("asc") {
                    all.reverse();
                }
                self.paged(query, &all, limit)
            }
        }
    }

    fn paged(&mut self, query: &HashMap<String, String>, all: &[Convo], limit: usize) -> (u16, String, bool) {
        let mut start = 0;
        if let Some(cursor) = query.get("cursor") {
            if let Some(status) = self.refused.remove(cursor) {
                return refusal(status, "Invalid cursor");
            }
            if let Some(turn) = cursor.strip_prefix("turn-") {
                let turn: u64 = turn.parse().unwrap();
                let page: Vec<_> = all.iter().take(limit).cloned().collect();
                return self.page(&page, page.len(), Some(format!("turn-{}", turn + 1)), false);
            }
            let after = all.iter().position(|convo| format!("after-{}", convo.id) == *cursor);
            let Some(after) = after else { return refusal(400, "Invalid cursor") };
            start = after + 1;
        }
        let scanned: Vec<_> = all.iter().skip(start).take(limit).cloned().collect();
        let has_more = start + scanned.len() < all.len();
        let next = scanned.last().filter(|_| has_more).map(|last| format!("after-{}", last.id));
        let next = if self.cursors == Cursors::Cycling { Some("turn-0".to_owned()) } else { next };
        self.page(&scanned, scanned.len(), next, false)
    }

    fn page(
        &mut self,
        scanned: &[Convo],
        count: usize,
        next: Option<String>,
        is_selected: bool,
    ) -> (u16, String, bool) {
        if let Some(failing) = scanned.iter().position(|convo| convo.is_failing) {
            return self.failing_response(&scanned[..failing]);
        }
        let shown: Vec<_> = scanned.iter().filter(|convo| convo.has_human).cloned().collect();
        let used = self.bill(&shown);
        let data: Vec<_> = shown.iter().map(Convo::export).collect();
        let text = format!("Exported {} conversation(s) ({used} billable session(s)).", shown.len());
        let mut body = json!({
            "success": true, "message": self.text.clone().unwrap_or(text), "scannedConvoCount": count,
            "mode": if is_selected { "selected" } else { "paginated" }, "usage": self.usage(used), "data": data,
        });
        match (next, self.end) {
            (Some(_), _) if self.cursors == Cursors::Missing => {
                body["hasMore"] = json!(true);
                body["nextCursor"] = Value::Null;
            }
            (Some(next), _) => {
                body["hasMore"] = json!(true);
                body["nextCursor"] = json!(next);
            }
            (None, End::False) => body["hasMore"] = json!(false),
            (None, End::FalseNull) => {
                body["hasMore"] = json!(false);
                body["nextCursor"] = Value::Null;
            }
            (None, End::NullAlone) => body["nextCursor"] = Value::Null,
            (None, End::TrueNull) => {
                body["hasMore"] = json!(true);
                body["nextCursor"] = Value::Null;
            }
            (None, End::TrueMissing) => body["hasMore"] = json!(true),
            (None, End::TrueEmpty) => {
                body["hasMore"] = json!(true);
                body["nextCursor"] = json!("");
            }
        }
        ok(&body)
    }

    fn failing_response(&self, before: &[Convo]) -> (u16, String, bool) {
        match self.failure_mode {
            FailureMode::Status => failure(),
            FailureMode::EmbeddedError => {
                let (_, body, _) = failure();
                (200, body, false)
            }
            FailureMode::Cut => {
                let mut body = "{\"data\":[".to_owned();
                for convo in before.iter().filter(|convo| convo.has_human) {
                    write!(body, "{},", convo.export()).unwrap();
                }
                (200, body + "{\"metadata\":", true)
            }
            FailureMode::Large => {
                ok(&json!({"success": true, "data": [{"turns": "x".repeat(MAX_RECORD_BYTES + 1)}]}))
            }
            FailureMode::NotJson => (200, "oops".to_owned(), false),
            FailureMode::Refused(status) => refusal(status, "no"),
        }
    }

    /// An array without paging keys, which breaks off at what is failing.
    fn array(&mut self, convos: &[Convo]) -> (u16, String, bool) {
        let text = self.text.clone().unwrap_or_else(|| "Conversations exported successfully".to_owned());
        let mut body = format!("{{\"success\":true,\"message\":{},\"data\":[", json!(text));
        for (at, convo) in convos.iter().filter(|convo| convo.has_human).enumerate() {
            body.push_str(if at > 0 { "," } else { "" });
            if convo.is_failing {
                body.push_str("{\"metadata\":");
                return (200, body, true);
            }
            write!(body, "{}", convo.export()).unwrap();
        }
        body.push_str("]}");
        (200, body, false)
    }

    fn list(&mut self, query: &HashMap<String, String>) -> (u16, String, bool) {
        let mut usage = Value::Null;
        match self.list {
            ListKind::Refused(status) => return refusal(status, "no list"),
            ListKind::Metered { says_so } => {
                self.quota_used += 1;
                usage = if says_so { self.usage(1) } else { Value::Null };
            }
            ListKind::Empty => return ok(&json!({"success": true, "data": [], "hasMore": false})),
            ListKind::Cursors | ListKind::Numbers => {}
        }
        let limit: usize = query["limit"].parse().unwrap();
        let mut all = self.ascending();
        if self.lists_by_activity {
            all.sort_by_key(|convo| convo.row["lastMessageTS"].as_i64());
        }
        all.reverse();
        let start = match (query.get("cursor"), query.get("page")) {
            (Some(cursor), _) => {
                if let Some(status) = self.refused.get(cursor) {
                    return refusal(*status, "Invalid cursor");
                }
                all.iter().position(|convo| format!("row-{}", convo.id) == *cursor).map(|at| at + 1)
            }
            (None, Some(page)) if self.list == ListKind::Numbers => {
                Some((page.parse::<usize>().unwrap() - 1) * limit)
            }
            (None, Some(_)) => None,
            (None, None) => Some(0),
        };
        let Some(start) = start else { return refusal(400, "Invalid input") };
        let rows: Vec<_> = all.iter().skip(start).take(limit.min(20)).collect();
        let has_more = start + rows.len() < all.len();
        let next = rows.last().filter(|_| has_more).map(|last| format!("row-{}", last.id));
        let data: Vec<_> = rows.iter().map(|convo| convo.list_row()).collect();
        let mut body = json!({"success": true, "data": data, "usage": usage});
        if self.list != ListKind::Numbers {
            body["hasMore"] = json!(has_more);
            body["nextCursor"] = json!(next);
        }
        ok(&body)
    }
}

fn ok(body: &Value) -> (u16, String, bool) {
    (200, body.to_string(), false)
}

fn refusal(status: u16, message: &str) -> (u16, String, bool) {
    (status, json!({"message": message, "code": "REFUSED"}).to_string(), false)
}

fn failure() -> (u16, String, bool) {
    let body = json!({"message": "Output validation failed", "code": "INTERNAL_SERVER_ERROR"});
    (500, body.to_string(), false)
}

#[async_trait]
impl Transport for Vendor {
    async fn send(&self, request: TransportRequest) -> Result<TransportResponse, TransportError> {
        let query: HashMap<String, String> = request.url.query_pairs().into_owned().collect();
        let path = request.url.path().trim_start_matches("/v3/agents/agent%201").to_owned();
        let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
        let mut world = self.0.lock().unwrap();
        let shown: Vec<_> = request
            .url
            .query_pairs()
            .filter(|(name, value)| name != "format" && !(name == "sort" && value == "asc"))
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        world.asked.push(format!("{path}?{}", shown.join("&")));
        let (status, body, is_cut) = world.answer(&segments, &query);
        let mut chunks = vec![Ok(Bytes::from(body))];
        if is_cut {
            chunks.push(Err(TransportError::Broken("reset".to_owned())));
        }
        let status = StatusCode::from_u16(status).unwrap();
        Ok(TransportResponse { status, headers: HeaderMap::new(), body: stream::iter(chunks).boxed() })
    }
}

impl Vendor {
    pub(crate) fn world<T>(&self, look: impl FnOnce(&mut World) -> T) -> T {
        look(&mut self.0.lock().unwrap())
    }

    pub(crate) fn provider(&self) -> Box<dyn Provider> {
        self.provider_with(BudgetLimits::default())
    }

    pub(crate) fn provider_with(&self, limits: BudgetLimits) -> Box<dyn Provider> {
        let mut settings = Settings::default();
        settings.set("agent_id", "agent 1");
        settings.set("base_url", "https://vendor.example/v3");
        let moment = Duration::from_micros(1);
        let transport: Arc<dyn Transport> = Arc::new(self.clone());
        let connector = Connector {
            policy: Policy {
                max_attempts: 2,
                backoff: moment,
                max_backoff: moment,
                size_limits: SizeLimits { element: MAX_RECORD_BYTES, ..SizeLimits::default() },
                ..Policy::default()
            },
            transport: Some(transport),
            budget: Arc::new(Budget::new(limits)),
            ..Connector::new("shop", "vg_key".into())
        };
        connect(&settings, connector).unwrap()
    }

    pub(crate) async fn pull(&self, request: ReadRequest) -> Outcome {
        read(self.provider().as_ref(), request).await
    }

    pub(crate) async fn pull_all(&self) -> Outcome {
        self.pull(ReadRequest::default()).await
    }

    pub(crate) fn forget_requests(&self) {
        self.world(|world| {
            world.asked.clear();
            world.billed.clear();
        });
    }

    pub(crate) fn asked(&self) -> Vec<String> {
        self.world(|world| world.asked.clone())
    }

    /// Returns how many conversations were billed, and the most that one was.
    pub(crate) fn billed(&self) -> (u64, u64) {
        self.world(|world| (world.billed.values().sum(), world.billed.values().max().copied().unwrap_or(0)))
    }
}

/// Reads to the end.
pub(crate) async fn read(provider: &dyn Provider, request: ReadRequest) -> Outcome {
    let mut outcome = Outcome::default();
    let mut batches = provider.read(request);
    while let Some(batch) = batches.next().await {
        match batch {
            Ok(batch) => outcome.add(batch),
            Err(error) => outcome.error = Some(error),
        }
        assert!(outcome.batches < 100_000, "the pull does not end");
    }
    outcome
}

impl Outcome {
    fn add(&mut self, batch: Batch) {
        self.batches += 1;
        let text = |id: &Option<RecordId>| id.as_ref().map_or_else(String::new, |id| id.as_str().to_owned());
        for record in &batch.records {
            let body: Value = serde_json::from_slice(&record.bytes).unwrap();
            self.messages.insert(text(&record.id), body["turns"].as_array().unwrap().len() as u64);
            self.records.push(text(&record.id));
        }
        self.unchanged.extend(batch.unchanged.iter().map(|id| id.as_str().to_owned()));
        self.gaps.extend(batch.gaps);
        self.closed.extend(batch.closed_gaps);
        for row in batch.list_rows {
            self.rows.insert(row.id.as_str().to_owned(), String::from_utf8(row.row.to_vec()).unwrap());
        }
        self.rotation = batch.rotation.or(self.rotation.take());
        if let Checkpoint::At(cursor) = &batch.checkpoint {
            self.resumable = Some(cursor.clone());
        }
        self.checkpoint = batch.checkpoint;
        self.page.add(&batch.page);
    }

    /// Returns the ids that came, each once.
    pub(crate) fn ids(&self) -> BTreeSet<String> {
        self.records.iter().cloned().collect()
    }

    #[track_caller]
    pub(crate) fn expect_end(&self) {
        assert!(self.error.is_none(), "{:?}", self.error);
        assert_eq!(self.checkpoint, Checkpoint::End);
    }

    /// Returns whether a gap holds a conversation.
    pub(crate) fn has_gap_of(&self, convo: &Convo) -> bool {
        let micros = convo.ts * 1_000_000;
        self.gaps.iter().any(|gap| match &gap.bounds {
            GapBounds::Record { id } => id.as_str() == convo.id,
            GapBounds::Window { since, until } => {
                since.is_none_or(|since| since <= micros) && until.is_none_or(|until| micros < until)
            }
            GapBounds::Positions { .. } => false,
            GapBounds::Rest { .. } => true,
        })
    }
}

/// Returns the instant of a second after the first conversation.
pub(crate) fn at(second: i64) -> Option<Timestamp> {
    Timestamp::from_epoch(START + second).ok()
}

/// Returns an open gap that is due.
pub(crate) fn due(bounds: GapBounds) -> chatark_core::OpenGap {
    chatark_core::OpenGap { bounds, is_due: true }
}

/// Every way in which a response fails.
pub(crate) const FAILURE_MODES: [FailureMode; 5] = [
    FailureMode::Status,
    FailureMode::EmbeddedError,
    FailureMode::Cut,
    FailureMode::NotJson,
    FailureMode::Large,
];

/// Every form of the last page.
pub(crate) const END_FORMS: [End; 6] =
    [End::False, End::FalseNull, End::NullAlone, End::TrueNull, End::TrueMissing, End::TrueEmpty];
