//! All faults: exit code and saved conversations of each run, compared with the table in `docs/reliability.md`;
//! and that no key and nothing that people wrote is anywhere it does not belong.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use chatark_sandbox::truth::{Content, Conversation};
use chatark_sandbox::{
    Agent, Dataset, Fault, FaultKind, Generation, RateLimitReset, RetryAfter, Sandbox, Vendor,
};
use chatark_tests::{KEY, Run, Running, TestEnvironment, eventually, repository};
use serde_json::json;

use crate::support::{agent, archived, current_agent, ids, query_number};

/// The text of every message of these agents.
const CANARY: &str = "canary-words-of-a-customer";
/// The response that a fault affects, from 0.
const THIRD: u64 = 2;
const ALWAYS: u64 = u64::MAX;

/// The APIs, which are the columns of the table.
const APIS: [Api; 4] = [Api::V1, Api::V2, Api::Pages, Api::OneArray];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Api {
    V1,
    V2,
    Pages,
    OneArray,
}

impl Api {
    fn vendor(self) -> Vendor {
        match self {
            Self::V1 => Vendor::ChatbaseV1,
            Self::V2 => Vendor::ChatbaseV2,
            Self::Pages | Self::OneArray => Vendor::ConvocoreV3,
        }
    }

    /// Returns an agent with four full responses, or one response of the same size.
    fn agent(self) -> Agent {
        let number = match self {
            Self::V1 => 400,
            Self::V2 => 80,
            Self::Pages => 200,
            Self::OneArray => 1_000,
        };
        let mut agent = agent(self.vendor(), number);
        let mut conversations: Vec<_> = agent.dataset.iter().collect();
        conversations.iter_mut().for_each(add_canary);
        agent.dataset = Dataset::of(conversations);
        if self == Self::OneArray {
            agent.generation = Generation::OneArray;
        }
        agent
    }

    /// Returns the response that a fault affects: the third, or the only one.
    fn affected_response(self) -> u64 {
        if self == Self::OneArray { 0 } else { THIRD }
    }
}

fn add_canary(conversation: &mut Conversation) {
    for message in &mut conversation.messages {
        for content in &mut message.content {
            if let Content::Text(text) = content {
                *text = format!("{CANARY} {text}");
            }
        }
    }
}

/// A fault, and the vendors that it applies to.
struct VendorFault {
    name: &'static str,
    at: Affected,
    kind: FaultKind,
}

/// The responses that a fault affects.
#[derive(Clone, Copy)]
enum Affected {
    /// This many consecutive responses, from the third on.
    Third(u64),
    /// All responses from the first on, on every route.
    Everything,
}

fn vendor_faults() -> Vec<VendorFault> {
    let fault = |name, at, kind| VendorFault { name, at, kind };
    let too_many = |retry_after, reset| FaultKind::TooManyRequests { retry_after, reset };
    let drip = FaultKind::SlowBody { chunk: 16_384, delay: Duration::from_millis(2) };
    let refused = FaultKind::ErrorWithStatus200 { message: "the export is being rebuilt".to_owned() };
    vec![
        fault(
            "429 with `Retry-After` in seconds",
            Affected::Third(1),
            too_many(RetryAfter::Seconds(1), RateLimitReset::None),
        ),
        fault(
            "429 with `Retry-After` as a date",
            Affected::Third(1),
            too_many(RetryAfter::HttpDate(1), RateLimitReset::None),
        ),
        fault(
            "429 with `X-RateLimit-Reset` in seconds",
            Affected::Third(1),
            too_many(RetryAfter::None, RateLimitReset::Seconds(1)),
        ),
        fault(
            "429 with `X-RateLimit-Reset` in milliseconds",
            Affected::Third(1),
            too_many(RetryAfter::None, RateLimitReset::Milliseconds(1)),
        ),
        fault("429 without a header", Affected::Third(2), too_many(RetryAfter::None, RateLimitReset::None)),
        fault("429 for ever", Affected::Third(ALWAYS), too_many(RetryAfter::None, RateLimitReset::None)),
        fault(
            "429 that asks for an hour",
            Affected::Third(ALWAYS),
            too_many(RetryAfter::Seconds(3_600), RateLimitReset::None),
        ),
        fault("500 once", Affected::Third(1), FaultKind::ServerError),
        fault("500 twice", Affected::Third(2), FaultKind::ServerError),
        fault("500 for ever", Affected::Third(ALWAYS), FaultKind::ServerError),
        fault("503 once", Affected::Third(1), FaultKind::Maintenance),
        fault("503 twice", Affected::Third(2), FaultKind::Maintenance),
        fault("503 for ever", Affected::Third(ALWAYS), FaultKind::Maintenance),
        fault("connection cut in the body, once", Affected::Third(1), FaultKind::CutBody),
        fault("connection cut in the body, for ever", Affected::Third(ALWAYS), FaultKind::CutBody),
        fault("a body that drips", Affected::Third(1), drip),
        fault("no answer, once", Affected::Third(1), FaultKind::NoResponse),
        fault("no answer, for ever", Affected::Third(ALWAYS), FaultKind::NoResponse),
        fault("HTML under 200", Affected::Third(ALWAYS), FaultKind::HtmlWithStatus200),
        fault("JSON that breaks off, for ever", Affected::Third(ALWAYS), FaultKind::MalformedJson),
        fault("a refusal under 200", Affected::Third(ALWAYS), refused),
        fault("a cursor that repeats", Affected::Third(ALWAYS), FaultKind::RepeatCursor),
        fault("`hasMore` with a null cursor", Affected::Third(1), FaultKind::HasMoreNullCursor),
        fault("an empty page with more to come", Affected::Third(1), FaultKind::EmptyPage),
        fault(
            "conversations that arrive between pages",
            Affected::Third(1),
            FaultKind::AddNewest { conversations: 7 },
        ),
        fault(
            "conversations that are deleted between pages",
            Affected::Third(1),
            FaultKind::RemoveNewest { conversations: 7 },
        ),
        fault("a key that expires half-way", Affected::Third(ALWAYS), FaultKind::ExpiredKey),
        fault("a plan gate", Affected::Everything, FaultKind::PlanGate),
        fault("a key without the scope", Affected::Everything, FaultKind::InsufficientScope),
        fault("unknown fields, words and parts", Affected::Third(ALWAYS), FaultKind::SchemaDrift),
        fault("times in milliseconds", Affected::Third(ALWAYS), FaultKind::MillisecondTimes),
    ]
}

/// Returns whether a fault applies to a vendor; others have no cursor, or no such response.
fn applies(api: Api, fault: &FaultKind) -> bool {
    let has_cursor = matches!(api, Api::V2 | Api::Pages);
    match fault {
        FaultKind::RepeatCursor | FaultKind::HasMoreNullCursor | FaultKind::EmptyPage => has_cursor,
        FaultKind::ErrorWithStatus200 { .. } => matches!(api, Api::Pages | Api::OneArray),
        FaultKind::InsufficientScope => api == Api::V2,
        FaultKind::AddNewest { .. } | FaultKind::RemoveNewest { .. } => api != Api::OneArray,
        _ => true,
    }
}

/// An environment that checks every run for leaked keys and texts.
struct CheckedEnvironment {
    env: TestEnvironment,
    agent: Agent,
}

impl CheckedEnvironment {
    fn new(api: Api) -> Self {
        let agent = api.agent();
        let env = TestEnvironment::of(vec![agent.clone()]);
        // The timeout for a vendor that does not respond.
        let config = fs::read_to_string(env.path("config.toml")).unwrap();
        let impatient = config.replace("timeout_seconds = 5", "timeout_seconds = 2\nattempts = 3");
        assert_ne!(config, impatient);
        fs::write(env.path("config.toml"), impatient).unwrap();
        Self { env, agent }
    }

    /// Runs a command with all logs on, and checks that neither key nor message text is anywhere but in the files
    /// that are made to hold it.
    fn run(&self, arguments: &[&str]) -> Run {
        let mut command = self.env.command();
        command.args(arguments).args(["--json", "-vv"]).env("RUST_BACKTRACE", "full");
        let running = Running::start(&mut command);
        let process = format!("/proc/{}/cmdline", running.id());
        let mut listed = Vec::new();
        eventually(|| {
            listed = fs::read(&process).unwrap_or_default();
            // Before `exec`, the process list shows the test's own command line.
            listed.is_empty() || contains(&listed, b"-vv")
        });
        assert!(!contains(&listed, KEY.as_bytes()), "the key is in the process list");
        let run = running.finish();
        assert!(!run.stderr.contains("panicked"), "{}", run.stderr);
        for output in [&run.stdout, &run.stderr] {
            assert!(!output.contains(KEY), "{arguments:?}: the key is in {output}");
            assert!(!output.contains(CANARY), "{arguments:?}: what people wrote is in {output}");
        }
        assert_no_key_in(self.env.folder.path());
        run
    }

    fn saved(&self) -> usize {
        usize::try_from(query_number(&self.env, "SELECT count(*) FROM conversation")).unwrap()
    }

    /// Pulls with the fault and returns the cell of the table; checks that the next run, without it, fetches everything.
    fn cell(&self, code: i32, next: &[&str]) -> String {
        let run = self.run(&["pull"]);
        let (saved, total) = (self.saved(), self.agent.expected().count());
        if run.code != Some(code) {
            return format!(
                "ended with {:?} in place of {code}: {}",
                run.code,
                run.stderr.replace('\n', " ")
            );
        }
        self.env.sandbox().clear_faults(&self.agent.id);
        let again = self.run(next);
        assert_eq!(again.code, Some(0), "{again:#?}");
        let found = ids(&archived(&self.env));
        for expected in current_agent(&self.env, &self.agent).expected() {
            assert!(
                found.contains(&(self.env.sources[0].clone(), expected.id.clone())),
                "{} is lost",
                expected.id
            );
        }
        match saved.checked_sub(total) {
            Some(0) => format!("{code}, all {total}"),
            Some(more) => format!("{code}, all {total} and {more} more"),
            None => format!("{code}, {saved} of {total}"),
        }
    }
}

fn assert_no_key_in(folder: &Path) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            assert_no_key_in(&path);
        } else {
            let bytes = fs::read(&path).unwrap();
            assert!(!contains(&bytes, KEY.as_bytes()), "the key is in {}", path.display());
        }
    }
}

fn contains(bytes: &[u8], words: &[u8]) -> bool {
    memchr::memmem::find(bytes, words).is_some()
}

/// Returns the exit code that the contract requires.
fn expected_code(api: Api, fault: &VendorFault) -> i32 {
    let FaultKind::AddNewest { .. } = fault.kind else {
        let Affected::Third(times) = fault.at else { return 7 };
        return match &fault.kind {
            // What does not arrive in one response is fetched by the ids of the list.
            FaultKind::CutBody | FaultKind::MalformedJson if api == Api::OneArray => 0,
            // What follows is asked for by its dates.
            FaultKind::HasMoreNullCursor if api == Api::Pages => 0,
            FaultKind::TooManyRequests { .. }
            | FaultKind::ServerError
            | FaultKind::Maintenance
            | FaultKind::CutBody
            | FaultKind::NoResponse
            | FaultKind::MalformedJson
                if times == ALWAYS =>
            {
                5
            }
            FaultKind::HtmlWithStatus200 => 5,
            FaultKind::RepeatCursor | FaultKind::HasMoreNullCursor => 3,
            FaultKind::ExpiredKey | FaultKind::ErrorWithStatus200 { .. } => 7,
            _ => 0,
        };
    };
    0
}

fn cell(fault: &VendorFault, api: Api) -> String {
    if !applies(api, &fault.kind) {
        return "–".to_owned();
    }
    let checked = CheckedEnvironment::new(api);
    let injected = match fault.at {
        Affected::Third(times) => Fault::times(api.affected_response(), times, fault.kind.clone()),
        Affected::Everything => Fault::from(0, fault.kind.clone()).on_any_route(),
    };
    assert!(checked.env.sandbox().add_fault(&checked.agent.id, injected));
    // Conversations that moved past the reader, or that have old dates, are found by a full sweep.
    let moves = matches!(fault.kind, FaultKind::AddNewest { .. } | FaultKind::RemoveNewest { .. });
    let next = if moves { &["pull", "--full"][..] } else { &["pull"] };
    checked.cell(expected_code(api, fault), next)
}

fn redirect_cell(api: Api) -> String {
    let checked = CheckedEnvironment::new(api);
    let counter = checked.env.runtime.block_on(Sandbox::start_request_counter()).unwrap();
    let location = format!("{}/elsewhere", counter.url());
    let fault = Fault::from(api.affected_response(), FaultKind::Redirect { location });
    checked.env.sandbox().add_fault(&checked.agent.id, fault);
    let cell = checked.cell(7, &["pull"]);
    assert_eq!(counter.request_count(), 0, "the redirect was followed");
    cell
}

fn unknown_agent_cell(api: Api) -> String {
    let mut checked = CheckedEnvironment::new(api);
    let known = checked.agent.clone();
    let stranger = Agent { id: "no-such-agent".to_owned(), ..known };
    checked.env.write_config(&[stranger], "archive = \"strange.db\"");
    let run = checked.run(&["pull"]);
    // Chatbase's first API gives the same response for an agent without conversations, and Chatark says so.
    let code = if api == Api::V1 { 0 } else { 7 };
    assert_eq!(run.code, Some(code), "{run:#?}");
    assert!(run.stderr.contains("agent"), "{}", run.stderr);
    format!("{code}, nothing there")
}

/// Pulls with one record replaced.
fn odd_record_cell(api: Api, record: impl Fn(&str) -> Vec<u8>) -> String {
    let checked = CheckedEnvironment::new(api);
    let id = checked.agent.dataset.conversation(33).id;
    let raw = record(&id);
    let sandbox = checked.env.sandbox();
    sandbox.update(&checked.agent.id, |dataset| dataset.override_raw(&id, raw)).unwrap();
    let run = checked.run(&["pull"]);
    assert_eq!(run.code, Some(0), "{run:#?}");
    assert_eq!(checked.saved(), checked.agent.expected().count());
    format!("0, all {}", checked.saved())
}

fn wrong_shape(api: Api, id: &str) -> Vec<u8> {
    let record = match api {
        Api::V1 => json!({ "id": id, "created_at": [], "messages": { "role": CANARY } }),
        Api::V2 => {
            json!({ "id": id, "createdAt": { "at": 1 }, "status": ["ended"], "messages": [CANARY, 7] })
        }
        Api::Pages | Api::OneArray => {
            json!({ "metadata": { "convo": { "id": id, "ts": {} } }, "turns": [null, { "from": 5, "messages": CANARY }] })
        }
    };
    record.to_string().into_bytes()
}

fn fifty_megabytes(api: Api, id: &str) -> Vec<u8> {
    let text = format!("{CANARY} {}", "x".repeat(50_000_000));
    let record = match api {
        Api::V1 => {
            json!({ "id": id, "created_at": "2026-09-21T14:13:20Z", "messages": [{ "role": "user", "content": text }] })
        }
        Api::V2 => {
            json!({ "id": id, "createdAt": 1_790_000_000, "updatedAt": 1_790_000_000, "status": "ended",
            "messages": [{ "id": "m", "role": "user", "parts": [{ "type": "text", "text": text }] }] })
        }
        Api::Pages | Api::OneArray => json!({ "metadata": { "convo": { "id": id, "ts": 1_790_000_000 } },
            "turns": [{ "from": "user", "messages": [{ "type": "text", "payload": { "message": text } }] }] }),
    };
    record.to_string().into_bytes()
}

/// A row of the table: the name of a fault, and how each cell is computed.
struct Row {
    name: &'static str,
    cell: Box<dyn Fn(Api) -> String + Send + Sync>,
}

fn rows() -> Vec<Row> {
    let mut rows: Vec<_> = vendor_faults()
        .into_iter()
        .map(|fault| Row { name: fault.name, cell: Box::new(move |api| cell(&fault, api)) })
        .collect();
    rows.push(Row { name: "a redirect to another host", cell: Box::new(redirect_cell) });
    rows.push(Row { name: "an unknown agent", cell: Box::new(unknown_agent_cell) });
    let shape = |api| odd_record_cell(api, |id| wrong_shape(api, id));
    rows.push(Row { name: "one record of the wrong shape", cell: Box::new(shape) });
    let none = |api| odd_record_cell(api, |_| b"[1, 2]".to_vec());
    rows.push(Row { name: "one record that is no object", cell: Box::new(none) });
    let huge = |api| odd_record_cell(api, |id| fifty_megabytes(api, id));
    rows.push(Row { name: "a message of 50 MB", cell: Box::new(huge) });
    rows
}

/// Computes the cells on a few threads, because runs mostly wait.
fn computed_cells(rows: &[Row]) -> Vec<Vec<String>> {
    let cells = Mutex::new(vec![vec![String::new(); APIS.len()]; rows.len()]);
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let (row, column) = (at / APIS.len(), at % APIS.len());
                    let Some(found) = rows.get(row) else { return };
                    let cell = (found.cell)(APIS[column]);
                    cells.lock().unwrap()[row][column] = cell;
                }
            });
        }
    });
    cells.into_inner().unwrap()
}

#[test]
fn every_fault_ends_and_saves_as_documented() {
    let rows = rows();
    let mut table = String::from(
        "| fault | Chatbase v1 | Chatbase v2 | Convocore, pages | Convocore, one array |\n|---|---|---|---|---|\n",
    );
    for (row, cells) in rows.iter().zip(computed_cells(&rows)) {
        writeln!(table, "| {} | {} |", row.name, cells.join(" | ")).unwrap();
    }
    println!("{table}");
    check_document("faults of a vendor", &table);
}

/// A local fault: its name, and how exit code and saved conversations are computed.
type LocalFault = (&'static str, fn() -> (i32, String));

const LOCAL_FAULTS: &[LocalFault] = &[
    ("the disk is full", full_disk),
    ("the folder cannot be written", read_only_folder),
    ("a live process holds the archive", locked_by_a_live_process),
    ("a process that held the archive was killed", locked_by_a_killed_process),
    ("the archive is cut short", || not_an_archive(|whole| whole[..whole.len() / 2].to_vec())),
    ("the archive is the file of another program", || not_an_archive(|_| b"Dear diary,\n".repeat(9_000))),
    ("Ctrl-C", || stopped_by("INT")),
    ("SIGTERM", || stopped_by("TERM")),
    ("the budget is spent", spent_budget),
    ("the key is wrong", wrong_key),
    ("the config has mistakes", config_with_mistakes),
];

/// An environment whose archive holds the first two of four responses.
fn half_pulled() -> CheckedEnvironment {
    let checked = CheckedEnvironment::new(Api::V2);
    assert_eq!(checked.run(&["pull", "--max-requests", "2"]).code, Some(8));
    assert_eq!(checked.saved(), 40);
    checked
}

fn spent_budget() -> (i32, String) {
    let checked = CheckedEnvironment::new(Api::V2);
    let run = checked.run(&["pull", "--max-requests", "3"]);
    (run.code.unwrap(), format!("{} of 80", checked.saved()))
}

fn on_disk(size: &str, script: &str, name: &str) -> (i32, String) {
    let agent = agent(Vendor::ChatbaseV2, 4_000);
    let env = crate::disk::environment_on_disk(&agent);
    let run = crate::disk::on_a_disk_of(&env, size, script);
    let said = crate::disk::section(&run.stdout, name);
    let code = said.rsplit_once("code ").unwrap().1.trim().parse().unwrap();
    let held = crate::disk::section(&run.stdout, "held").trim().parse::<usize>().unwrap();
    assert!(held > 0 && held < 4_000, "{held}: {}", run.stdout);
    (code, "what was committed".to_owned())
}

fn full_disk() -> (i32, String) {
    let script = r#"exec 2>&1
        echo "== pull"; "$CHATARK" pull; echo "code $?"
        mount -o remount,size=64m "$PWD/disk"
        echo "== held"; "$CHATARK" export --offline --format jsonl --output files --quiet; wc -l < files/conversations.jsonl"#;
    on_disk("5000k", script, "pull")
}

fn read_only_folder() -> (i32, String) {
    let script = r#"exec 2>&1
        "$CHATARK" pull --max-requests 5 --quiet
        mount -o remount,ro "$PWD/disk"
        echo "== pull"; "$CHATARK" pull; echo "code $?"
        echo "== held"; "$CHATARK" export --offline --format jsonl --output files --quiet; wc -l < files/conversations.jsonl"#;
    on_disk("16m", script, "pull")
}

/// Starts a pull, and returns once it waits for a response.
fn waiting_pull(checked: &CheckedEnvironment) -> Running {
    let before = checked.env.sandbox().export_count(&checked.agent.id);
    checked.env.sandbox().add_fault(&checked.agent.id, Fault::from(0, FaultKind::NoResponse));
    let running = checked.env.spawn(&["pull"]);
    eventually(|| checked.env.sandbox().export_count(&checked.agent.id) > before);
    running
}

fn locked_by_a_live_process() -> (i32, String) {
    let checked = half_pulled();
    let running = waiting_pull(&checked);
    let run = checked.run(&["pull"]);
    assert!(run.stderr.contains(&format!("process {} has held it since 20", running.id())), "{}", run.stderr);
    running.kill();
    running.finish();
    (run.code.unwrap(), format!("{} of 80", checked.saved()))
}

fn locked_by_a_killed_process() -> (i32, String) {
    let checked = half_pulled();
    let running = waiting_pull(&checked);
    running.kill();
    assert_eq!(running.finish().code, None);
    checked.env.sandbox().clear_faults(&checked.agent.id);
    let run = checked.run(&["pull"]);
    assert_eq!(checked.saved(), 80);
    (run.code.unwrap(), "all 80".to_owned())
}

fn not_an_archive(spoil: impl FnOnce(&[u8]) -> Vec<u8>) -> (i32, String) {
    let checked = half_pulled();
    let path = checked.env.path("chatark.db");
    let spoilt = spoil(&fs::read(&path).unwrap());
    fs::write(&path, &spoilt).unwrap();
    // A write-ahead log would repair a part of the file.
    for companion in ["chatark.db-wal", "chatark.db-shm"] {
        let _ = fs::remove_file(checked.env.path(companion));
    }
    let run = checked.run(&["pull"]);
    assert_eq!(fs::read(&path).unwrap(), spoilt, "the file was changed");
    (run.code.unwrap(), "the file is left as it is".to_owned())
}

fn stopped_by(signal: &str) -> (i32, String) {
    let checked = half_pulled();
    let running = waiting_pull(&checked);
    running.signal(signal);
    let run = running.finish();
    assert!(run.stderr.contains("to resume where it stopped"), "{}", run.stderr);
    (run.code.unwrap(), format!("{} of 80", checked.saved()))
}

fn wrong_key() -> (i32, String) {
    let checked = half_pulled();
    let mut command = checked.env.command();
    command.arg("pull").env(format!("KEY_{}", KEY.to_uppercase().replace('-', "_")), "another-key");
    let run = Running::start(&mut command).finish();
    assert!(!run.stderr.contains("another-key") && run.stderr.contains("hint: "), "{}", run.stderr);
    (run.code.unwrap(), format!("{} of 80", checked.saved()))
}

fn config_with_mistakes() -> (i32, String) {
    let checked = half_pulled();
    let path = checked.env.path("config.toml");
    let config = fs::read_to_string(&path).unwrap();
    fs::write(&path, config.replace("agent_id", "agent")).unwrap();
    let run = checked.run(&["pull"]);
    assert!(run.stderr.contains("did you mean `agent_id`"), "{}", run.stderr);
    (run.code.unwrap(), format!("{} of 80", checked.saved()))
}

#[test]
fn every_local_fault_ends_and_saves_as_documented() {
    let mut table = String::from("| fault | exit code | saved |\n|---|---|---|\n");
    for (name, found) in LOCAL_FAULTS {
        let (code, saved) = found();
        writeln!(table, "| {name} | {code} | {saved} |").unwrap();
    }
    println!("{table}");
    check_document("faults of this machine", &table);
}

/// Compares a table with the one between the marks of the document.
#[track_caller]
fn check_document(mark: &str, table: &str) {
    let page = fs::read_to_string(repository().join("docs/reliability.md")).unwrap();
    let (_, rest) = page.split_once(&format!("<!-- {mark} -->\n")).unwrap();
    let (written, _) = rest.split_once("<!-- end -->").unwrap();
    assert_eq!(table.trim(), written.trim(), "docs/reliability.md says something else");
}

/// The document names a test for each promise; every name must exist.
#[test]
fn every_test_in_the_document_exists() {
    let page = fs::read_to_string(repository().join("docs/reliability.md")).unwrap();
    let mut named = 0;
    for name in page.split('`').skip(1).step_by(2) {
        let Some((module, test)) = name.split_once("::") else { continue };
        let places = [
            "tests/tests",
            "crates/chatark-archive/tests/archive",
            "crates/chatark-engine/tests/streams",
            "crates/chatark-http/tests/client",
            "crates/chatark-convocore-v3/tests/reading",
            "crates/chatark-chatbase-v1/tests/world",
        ];
        let files = places.map(|place| repository().join(place).join(format!("{module}.rs")));
        let texts: String = files.iter().filter_map(|file| fs::read_to_string(file).ok()).collect();
        assert!(!texts.is_empty(), "there is no module {module}");
        assert!(test == "*" || texts.contains(&format!("fn {test}(")), "there is no test {name}");
        named += 1;
    }
    assert!(named > 30, "{named}");
}
