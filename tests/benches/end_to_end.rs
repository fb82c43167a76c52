//! Measures the release binary against the sandbox, and prints one row for each scenario.
//!
//! ```console
//! $ cargo bench -p chatark-tests --bench end_to_end
//! $ cargo bench -p chatark-tests --bench end_to_end -- v2      # scenarios whose name holds "v2"
//! ```
//!
//! The sandbox runs in this process and shares the machine's cores with the binary, so every figure includes the
//! work of the other side. A figure counts only if the archive holds every conversation that the sandbox has.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark prints its figures, and ends where something is missing"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use chatark_sandbox::{Agent, Dataset, Generated, Generation, Limits, Sandbox, Vendor, World};
use serde_json::Value;
use tokio::runtime::Runtime;

const AGENT: &str = "benchAgent01";
const KEY: &str = "bench-key";

/// What one run of the binary took.
struct Measured {
    wall: Duration,
    cpu: Duration,
    peak_kibibytes: u64,
    result: Value,
}

struct Scenario {
    name: &'static str,
    vendor: Vendor,
    generation: Generation,
    conversations: usize,
    arguments: &'static [&'static str],
    /// Commands that are measured afterwards, over the same archive.
    then: &'static [&'static [&'static str]],
}

const EXPORT: &[&str] = &["export", "--format", "json,jsonl,csv"];

const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "v2 10,000: pull",
        vendor: Vendor::ChatbaseV2,
        generation: Generation::Paged,
        conversations: 10_000,
        arguments: &["pull"],
        then: &[&["pull"], &["plan"], &["verify"], &["status"]],
    },
    Scenario {
        name: "v2 10,000: pull, JSON, JSONL, CSV",
        vendor: Vendor::ChatbaseV2,
        generation: Generation::Paged,
        conversations: 10_000,
        arguments: EXPORT,
        then: &[],
    },
    Scenario {
        name: "v1 10,000: pull, JSON, JSONL, CSV",
        vendor: Vendor::ChatbaseV1,
        generation: Generation::Paged,
        conversations: 10_000,
        arguments: EXPORT,
        then: &[],
    },
    Scenario {
        name: "convocore paged 10,000: pull, JSON, JSONL, CSV",
        vendor: Vendor::ConvocoreV3,
        generation: Generation::Paged,
        conversations: 10_000,
        arguments: EXPORT,
        then: &[],
    },
    Scenario {
        name: "convocore one array, small: pull",
        vendor: Vendor::ConvocoreV3,
        generation: Generation::OneArray,
        conversations: 750,
        arguments: &["pull"],
        then: &[],
    },
    Scenario {
        name: "convocore one array, large: pull",
        vendor: Vendor::ConvocoreV3,
        generation: Generation::OneArray,
        conversations: 75_000,
        arguments: &["pull"],
        then: &[],
    },
    Scenario {
        name: "convocore one array, 1 million messages: pull",
        vendor: Vendor::ConvocoreV3,
        generation: Generation::OneArray,
        conversations: 95_000,
        arguments: &["pull"],
        then: &[&["report"], &["export", "--offline", "--format", "csv"], &["verify"], &["pull"]],
    },
];

fn main() {
    let filter = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).unwrap_or_default();
    let binary = release_binary();
    println!(
        "{:<48} {:>8} {:>8} {:>9} {:>10} {:>9} {:>9}",
        "scenario", "wall s", "cpu s", "peak MiB", "sent MB", "floor s", "requests"
    );
    for scenario in SCENARIOS.iter().filter(|scenario| scenario.name.contains(&filter)) {
        run(scenario, &binary);
    }
}

fn run(scenario: &Scenario, binary: &Path) {
    let runtime = Runtime::new().unwrap();
    let generated = Generated { conversations: scenario.conversations, ..Generated::default() };
    let mut agent = Agent::new(scenario.vendor, AGENT, KEY, Dataset::generated(scenario.vendor, generated));
    agent.generation = scenario.generation;
    let mut world = World::of(vec![agent]);
    world.limits = Limits {
        chatbase_requests: 1_000_000,
        convocore_requests_per_hour: 1_000_000,
        convocore_included_quota: 10_000_000,
        ..Limits::default()
    };
    let sandbox = runtime.block_on(Sandbox::start(world)).unwrap();
    let (floor, sent) = runtime.block_on(download(&sandbox.base_url(scenario.vendor), scenario));
    let before = sandbox.request_count(AGENT);
    let folder = tempfile::tempdir().unwrap();
    write_config(folder.path(), &sandbox.base_url(scenario.vendor), scenario.vendor);
    let measured = measure(binary, folder.path(), scenario.arguments);
    let requests = sandbox.request_count(AGENT) - before;
    let pull = if scenario.arguments[0] == "export" { &measured.result["pull"] } else { &measured.result };
    assert_eq!(pull["sources"][0]["added"], scenario.conversations, "{}: not whole", scenario.name);
    println!(
        "{:<48} {:>8.2} {:>8.2} {:>9.1} {:>10.1} {:>9.2} {:>9}",
        scenario.name,
        measured.wall.as_secs_f64(),
        measured.cpu.as_secs_f64(),
        measured.peak_kibibytes as f64 / 1024.0,
        sent as f64 / 1e6,
        floor.as_secs_f64(),
        requests
    );
    for arguments in scenario.then {
        let (before, sent) = (sandbox.request_count(AGENT), bytes_sent(&sandbox));
        let measured = measure(binary, folder.path(), arguments);
        println!(
            "{:<48} {:>8.2} {:>8.2} {:>9.1} {:>10.1} {:>9} {:>9}",
            format!("    then: {}", arguments.join(" ")),
            measured.wall.as_secs_f64(),
            measured.cpu.as_secs_f64(),
            measured.peak_kibibytes as f64 / 1024.0,
            bytes_sent(&sandbox).saturating_sub(sent) as f64 / 1e6,
            "-",
            sandbox.request_count(AGENT) - before
        );
    }
    runtime.block_on(sandbox.stop());
}

/// Returns the bytes of all answers so far that were sent in one piece.
fn bytes_sent(sandbox: &Sandbox) -> usize {
    sandbox.requests().iter().map(|seen| seen.bytes).sum()
}

/// The floor: downloads the same answers one after another and discards them.
async fn download(base: &str, scenario: &Scenario) -> (Duration, usize) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let started = Instant::now();
    let (mut sent, mut cursor, mut page) = (0, None::<String>, 1);
    loop {
        let path = match scenario.vendor {
            Vendor::ChatbaseV1 => format!("get-conversations?chatbotId={AGENT}&size=100&page={page}"),
            Vendor::ChatbaseV2 => format!("agents/{AGENT}/conversations/export?limit=20"),
            Vendor::ConvocoreV3 => format!("agents/{AGENT}/convos/export?limit=50&sort=asc"),
        };
        let cursor_parameter = cursor.as_ref().map_or_else(String::new, |cursor| {
            let encoded = cursor.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
            format!("&cursor={encoded}")
        });
        let request = client.get(format!("{base}/{path}{cursor_parameter}"));
        let mut response = request.bearer_auth(KEY).send().await.unwrap().error_for_status().unwrap();
        let (mut length, mut head, mut tail) = (0, Vec::new(), Vec::new());
        while let Some(chunk) = response.chunk().await.unwrap() {
            length += chunk.len();
            head.extend_from_slice(&chunk[..chunk.len().min(1_000_usize.saturating_sub(head.len()))]);
            tail.extend_from_slice(&chunk);
            let surplus = tail.len().saturating_sub(1_000);
            tail.drain(..surplus);
        }
        sent += length;
        let ends = [String::from_utf8_lossy(&head), String::from_utf8_lossy(&tail)].concat();
        cursor = ["\"cursor\":\"", "\"nextCursor\":\""].iter().find_map(|name| {
            let (_, after) = ends.rsplit_once(name)?;
            Some(after.split_once('"')?.0.to_owned())
        });
        page += 1;
        let ended = match scenario.vendor {
            Vendor::ChatbaseV1 => length < 100,
            Vendor::ChatbaseV2 | Vendor::ConvocoreV3 => cursor.is_none(),
        };
        if ended {
            return (started.elapsed(), sent);
        }
    }
}

fn write_config(folder: &Path, base: &str, vendor: Vendor) {
    let provider = match vendor {
        Vendor::ChatbaseV1 => "chatbase-v1",
        Vendor::ChatbaseV2 => "chatbase-v2",
        Vendor::ConvocoreV3 => "convocore-v3",
    };
    let text = format!(
        "[[source]]\nname = \"bench\"\nprovider = \"{provider}\"\nagent_id = \"{AGENT}\"\nbase_url = \"{base}\"\napi_key = {{ env = \"BENCH_KEY\" }}\n"
    );
    std::fs::write(folder.join("config.toml"), text).unwrap();
}

/// Runs the binary and watches its peak memory and its processor time until it ends.
fn measure(binary: &Path, folder: &Path, arguments: &[&str]) -> Measured {
    let started = Instant::now();
    let mut child = Command::new(binary)
        .args(arguments)
        .args(["--json", "--quiet"])
        .current_dir(folder)
        .env("BENCH_KEY", KEY)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let reader = std::thread::spawn(move || std::io::read_to_string(&mut stdout).unwrap());
    let (mut peak_kibibytes, mut cpu) = (0, Duration::ZERO);
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        peak_kibibytes = peak(child.id()).unwrap_or(peak_kibibytes);
        cpu = processor_time(child.id()).unwrap_or(cpu);
        std::thread::sleep(Duration::from_millis(2));
    };
    let wall = started.elapsed();
    let output = reader.join().unwrap();
    assert!(status.success(), "the binary ended with {status}: {output}");
    Measured { wall, cpu, peak_kibibytes, result: serde_json::from_str(&output).unwrap() }
}

fn peak(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// Linux counts processor time in hundredths of a second.
fn processor_time(pid: u32) -> Option<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    Some(Duration::from_millis(ticks * 10))
}

/// Builds the release binary and returns where it is.
fn release_binary() -> PathBuf {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let built = Command::new(cargo)
        .args(["build", "--release", "--quiet", "-p", "chatark-cli", "--bin", "chatark"])
        .status()
        .unwrap();
    assert!(built.success(), "the release binary could not be built");
    let here = std::env::current_exe().unwrap();
    here.ancestors().nth(2).unwrap().join("chatark")
}
