//! Measures the release binary against the sandbox, and prints one row for each scenario.
//!
//! ```console
//! $ cargo bench -p chatark-tests --bench end_to_end
//! $ cargo bench -p chatark-tests --bench end_to_end -- v2      # scenarios whose name contains "v2"
//! $ CHATARK_BINARY=../old/target/release/chatark cargo bench -p chatark-tests --bench end_to_end -- v2   # another build
//! ```
//!
//! The sandbox runs in this process and shares the machine's cores with the binary, so every figure includes the
//! work of the other side. A figure counts only if the archive holds every conversation that the sandbox has.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark prints its figures, and panics if something is missing"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use chatark_sandbox::{Agent, Dataset, Generation, GeneratorSettings, Limits, Sandbox, Vendor, World};
use serde_json::Value;
use tokio::runtime::Runtime;

const AGENT: &str = "benchAgent01";
/// The Convocore agent that is the target of migrations.
const TARGET_AGENT: &str = "benchAgent02";
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
    /// The vendor's latency, and its limit of requests per ten seconds.
    latency: Duration,
    limit: usize,
    arguments: &'static [&'static str],
    goals: &'static [Goal],
    /// Commands to measure afterwards, on the same archive.
    then: &'static [(&'static [&'static str], &'static [Goal])],
}

/// The goal for a figure.
#[derive(Clone, Copy)]
enum Goal {
    Seconds(f64),
    /// A multiple of the time to download the same responses one by one.
    TimesDownload(f64),
    /// A multiple of the time to download the same responses and parse them once with `serde_json`.
    TimesDownloadAndParse(f64),
    /// A multiple of the time that the rate limit requires for this number of pages.
    TimesLimit(f64),
    /// Seconds more than the previous scenario.
    SecondsMore(f64),
    PeakMebibytes(f64),
    /// A share of the bytes of the first pull.
    ShareOfBytes(f64),
    /// At least this many megabytes of files per second.
    MegabytesOfOutput(f64),
    /// A share of the requests.
    ShareRefused(f64),
    /// The memory of the previous scenario, within a share of it.
    PeakAsBefore(f64),
}

/// The lower bounds and earlier figures that the figures of a row are compared with.
#[derive(Default)]
struct Floors {
    download: f64,
    parse: f64,
    limit: f64,
    sent: f64,
    wall_before: f64,
    peak_before: f64,
}

/// The figures of a row.
struct Figures {
    wall: f64,
    cpu: f64,
    peak: f64,
    sent: f64,
    output: f64,
    requests: u64,
    refused: u64,
}

const MIGRATE: &[&str] = &["migrate", "run", "--from", "bench", "--to", "into", "--only", "history", "--yes"];
const EXPORT: &[&str] = &["export", "--format", "json,jsonl,csv"];
const NO_LIMIT: usize = 1_000_000;
const V2: Scenario = Scenario {
    name: "",
    vendor: Vendor::ChatbaseV2,
    generation: Generation::Paged,
    conversations: 10_000,
    latency: Duration::ZERO,
    limit: NO_LIMIT,
    arguments: &["pull"],
    goals: &[],
    then: &[],
};
const CONVOCORE: Scenario = Scenario { vendor: Vendor::ConvocoreV3, ..V2 };
const ONE_ARRAY: Scenario = Scenario { generation: Generation::OneArray, ..CONVOCORE };

const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "v2 10,000: pull",
        goals: &[Goal::TimesDownload(4.0)],
        then: &[
            (&["pull"], &[Goal::ShareOfBytes(0.1)]),
            (&["plan"], &[]),
            (&["verify"], &[]),
            (&["status"], &[]),
        ],
        ..V2
    },
    Scenario {
        name: "v2 10,000: pull, JSON, JSONL, CSV",
        arguments: EXPORT,
        goals: &[Goal::SecondsMore(1.0)],
        ..V2
    },
    Scenario {
        name: "v2 10,000, 100 ms a round trip: pull",
        latency: Duration::from_millis(100),
        goals: &[Goal::Seconds(6.0)],
        ..V2
    },
    Scenario {
        name: "v2 60,000, 20 ms, 1,000 in 10 s: pull",
        conversations: 60_000,
        latency: Duration::from_millis(20),
        limit: 1_000,
        goals: &[Goal::TimesLimit(1.1), Goal::ShareRefused(0.01)],
        ..V2
    },
    Scenario {
        name: "v1 10,000: pull, JSON, JSONL, CSV",
        vendor: Vendor::ChatbaseV1,
        arguments: EXPORT,
        ..V2
    },
    Scenario {
        name: "v1 10,000, 100 ms a round trip: pull",
        vendor: Vendor::ChatbaseV1,
        latency: Duration::from_millis(100),
        ..V2
    },
    Scenario { name: "convocore paged 10,000: pull, JSON, JSONL, CSV", arguments: EXPORT, ..CONVOCORE },
    Scenario { name: "convocore one array, small: pull", conversations: 750, ..ONE_ARRAY },
    Scenario {
        name: "convocore one array, 1 million messages: pull",
        // A multiple of 50 may be a vendor's limit, so that the list is read as well, as above.
        conversations: 95_003,
        goals: &[Goal::TimesDownloadAndParse(2.0), Goal::PeakMebibytes(64.0)],
        then: &[
            (
                &["export", "--offline", "--format", "csv"],
                &[Goal::MegabytesOfOutput(100.0), Goal::PeakMebibytes(64.0)],
            ),
            (&["report"], &[Goal::Seconds(5.0), Goal::PeakMebibytes(100.0)]),
            (&["verify"], &[]),
            (&["pull"], &[]),
        ],
        ..ONE_ARRAY
    },
    Scenario {
        name: "into convocore, 10,000 of v2",
        arguments: &["pull", "bench"],
        then: &[(MIGRATE, &[]), (MIGRATE, &[])],
        ..V2
    },
    Scenario {
        name: "into convocore, 1,000 of v2, 100 ms",
        conversations: 1_000,
        latency: Duration::from_millis(100),
        arguments: &["pull", "bench"],
        then: &[(MIGRATE, &[])],
        ..V2
    },
    Scenario { name: "memory: v2 10,000", ..V2 },
    Scenario { name: "memory: v2 100,000", conversations: 100_000, ..V2 },
    Scenario {
        name: "memory: v2 1,000,000",
        conversations: 1_000_000,
        goals: &[Goal::PeakAsBefore(0.1)],
        then: &[(&["status"], &[]), (&["pull"], &[Goal::ShareOfBytes(0.1)])],
        ..V2
    },
];

fn main() {
    let filter = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).unwrap_or_default();
    let binary = release_binary();
    println!(
        "{:<48} {:>7} {:>7} {:>6} {:>7} {:>8} {:>7} {:>8} {:>7}  goals",
        "scenario", "wall s", "cpu s", "MiB", "sent MB", "download", "parse", "requests", "refused"
    );
    let mut floors = Floors::default();
    for scenario in SCENARIOS.iter().filter(|scenario| scenario.name.contains(&filter)) {
        run(scenario, &binary, &mut floors);
    }
}

fn run(scenario: &Scenario, binary: &Path, floors: &mut Floors) {
    let runtime = Runtime::new().unwrap();
    let generated =
        GeneratorSettings { conversations: scenario.conversations, ..GeneratorSettings::default() };
    let mut agent = Agent::new(scenario.vendor, AGENT, KEY, Dataset::generated(scenario.vendor, generated));
    agent.generation = scenario.generation;
    let into = Agent::new(Vendor::ConvocoreV3, TARGET_AGENT, KEY, Dataset::default());
    let mut world = World::of(vec![agent, into]);
    world.latency = Some(scenario.latency).filter(|latency| !latency.is_zero());
    world.limits = Limits {
        chatbase_requests: scenario.limit,
        convocore_requests_per_hour: NO_LIMIT,
        convocore_included_quota: 100_000_000,
        ..Limits::default()
    };
    let has_latency = world.latency.is_some();
    let sandbox = runtime.block_on(Sandbox::start(world)).unwrap();
    let base = sandbox.base_url(scenario.vendor);
    (floors.download, floors.parse) = (0.0, 0.0);
    if !has_latency && scenario.conversations < 1_000_000 {
        floors.download = runtime.block_on(download(&base, scenario, false)).as_secs_f64();
        floors.parse = runtime.block_on(download(&base, scenario, true)).as_secs_f64();
    }
    floors.limit = scenario.conversations.div_ceil(20) as f64 / scenario.limit as f64 * 10.0;
    let folder = tempfile::tempdir().unwrap();
    write_config(folder.path(), &sandbox, scenario);
    let (figures, result) = row(&sandbox, binary, folder.path(), scenario.arguments);
    let pull = if scenario.arguments[0] == "export" { &result["pull"] } else { &result };
    let source = &pull["sources"][0];
    assert_eq!(source["added"], scenario.conversations, "{}: incomplete", scenario.name);
    assert_eq!(source["repeated"], 0, "{}: something came twice", scenario.name);
    print(scenario.name, &figures, floors, scenario.goals);
    (floors.sent, floors.wall_before, floors.peak_before) = (figures.sent, figures.wall, figures.peak);
    for (arguments, goals) in scenario.then {
        let (figures, result) = row(&sandbox, binary, folder.path(), arguments);
        if arguments[0] == "migrate" {
            let found = &result["carried"][0]["read_back"]["found"];
            assert_eq!(*found, scenario.conversations, "{}: incomplete", scenario.name);
        }
        let after = Floors { sent: floors.sent, ..Floors::default() };
        print(
            &format!("    then: {}", arguments[..arguments.len().min(4)].join(" ")),
            &figures,
            &after,
            goals,
        );
    }
    runtime.block_on(sandbox.stop());
}

/// Runs one command, and returns its figures and its JSON output.
fn row(sandbox: &Sandbox, binary: &Path, folder: &Path, arguments: &[&str]) -> (Figures, Value) {
    let asked = || sandbox.request_count(AGENT) + sandbox.request_count(TARGET_AGENT);
    let (before, sent) = (asked(), sandbox.bytes_sent());
    let refused = || sandbox.requests().iter().filter(|seen| seen.status == Some(429)).count() as u64;
    let refused_before = refused();
    let measured = measure(binary, folder, arguments);
    let files = std::fs::read_dir(folder.join("export"));
    let output: u64 = files.into_iter().flatten().map(|file| file.unwrap().metadata().unwrap().len()).sum();
    let figures = Figures {
        wall: measured.wall.as_secs_f64(),
        cpu: measured.cpu.as_secs_f64(),
        peak: measured.peak_kibibytes as f64 / 1024.0,
        sent: sandbox.bytes_sent().saturating_sub(sent) as f64 / 1e6,
        output: output as f64 / 1e6,
        requests: asked() - before,
        refused: refused() - refused_before,
    };
    (figures, measured.result)
}

fn print(name: &str, figures: &Figures, floors: &Floors, goals: &[Goal]) {
    let Figures { wall, cpu, peak, sent, requests, refused, .. } = figures;
    let goals: Vec<_> = goals.iter().map(|goal| goal.compare_with(figures, floors)).collect();
    let floor = |floor: f64| if floor > 0.0 { format!("{floor:.2}") } else { "-".to_owned() };
    let (download, parse) = (floor(floors.download), floor(floors.parse));
    let goals = goals.join("; ");
    println!(
        "{name:<48} {wall:>7.2} {cpu:>7.2} {peak:>6.1} {sent:>7.1} {download:>8} {parse:>7} {requests:>8} {refused:>7}  {goals}"
    );
}

impl Goal {
    /// Returns a figure, its goal, and whether the goal is met.
    fn compare_with(self, figures: &Figures, floors: &Floors) -> String {
        let (found, limit, unit) = match self {
            Self::Seconds(limit) => (figures.wall, limit, " s"),
            Self::TimesDownload(limit) => (figures.wall / floors.download, limit, " × download"),
            Self::TimesDownloadAndParse(limit) => {
                (figures.wall / (floors.download + floors.parse), limit, " × download and parse")
            }
            Self::TimesLimit(limit) => (figures.wall / floors.limit, limit, " × the rate limit"),
            Self::SecondsMore(limit) => (figures.wall - floors.wall_before, limit, " s more"),
            Self::PeakMebibytes(limit) => (figures.peak, limit, " MiB"),
            Self::ShareOfBytes(limit) => (figures.sent / floors.sent, limit, " of the bytes"),
            Self::ShareRefused(limit) => {
                (figures.refused as f64 / figures.requests as f64, limit, " refused")
            }
            Self::PeakAsBefore(limit) => {
                ((figures.peak / floors.peak_before - 1.0).abs(), limit, " off the peak before")
            }
            Self::MegabytesOfOutput(limit) => {
                let rate = figures.output / figures.wall;
                let verdict = if rate >= limit { "met" } else { "MISSED" };
                return format!("{rate:.0} MB/s (at least {limit}): {verdict}");
            }
        };
        let verdict = if found <= limit { "met" } else { "MISSED" };
        format!("{found:.2}{unit} (at most {limit}): {verdict}")
    }
}

/// Measures a floor: how long it takes to download the same responses one after another and discard them, or to parse
/// them once.
async fn download(base: &str, scenario: &Scenario, parses: bool) -> Duration {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let started = Instant::now();
    let (mut parsing, mut cursor, mut page) = (Duration::ZERO, None::<String>, 1);
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
        let (mut length, mut head, mut tail, mut body) = (0, Vec::new(), Vec::new(), Vec::new());
        while let Some(chunk) = response.chunk().await.unwrap() {
            length += chunk.len();
            head.extend_from_slice(&chunk[..chunk.len().min(1_000_usize.saturating_sub(head.len()))]);
            tail.extend_from_slice(&chunk[chunk.len().saturating_sub(1_000)..]);
            let surplus = tail.len().saturating_sub(1_000);
            tail.drain(..surplus);
            if parses {
                body.extend_from_slice(&chunk);
            }
        }
        if parses {
            let began = Instant::now();
            let document: Value = serde_json::from_slice(&body).unwrap();
            parsing += began.elapsed();
            assert!(document.is_object());
        }
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
            return if parses { parsing } else { started.elapsed() };
        }
    }
}

fn write_config(folder: &Path, sandbox: &Sandbox, scenario: &Scenario) {
    let provider = |vendor| match vendor {
        Vendor::ChatbaseV1 => "chatbase-v1",
        Vendor::ChatbaseV2 => "chatbase-v2",
        Vendor::ConvocoreV3 => "convocore-v3",
    };
    let section = |name: &str, vendor, agent: &str| {
        format!(
            "[[source]]\nname = \"{name}\"\nprovider = \"{}\"\nagent_id = \"{agent}\"\nbase_url = \"{}\"\napi_key = {{ env = \"BENCH_KEY\" }}\n",
            provider(vendor),
            sandbox.base_url(vendor),
        )
    };
    let is_migrated = scenario.then.iter().any(|(arguments, _)| arguments[0] == "migrate");
    let mut text = section("bench", scenario.vendor, AGENT);
    if is_migrated {
        text += &section("into", Vendor::ConvocoreV3, TARGET_AGENT);
    }
    std::fs::write(folder.join("config.toml"), text).unwrap();
}

/// Runs the binary and measures its peak memory and CPU time.
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
        cpu = cpu_time(child.id()).unwrap_or(cpu);
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

/// Linux counts CPU time in hundredths of a second.
fn cpu_time(pid: u32) -> Option<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    Some(Duration::from_millis(ticks * 10))
}

/// Returns the binary that `CHATARK_BINARY` names, or builds the release binary.
fn release_binary() -> PathBuf {
    if let Some(binary) = std::env::var_os("CHATARK_BINARY") {
        return std::path::absolute(binary).unwrap();
    }
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let built = Command::new(cargo)
        .args(["build", "--release", "--quiet", "-p", "chatark-cli", "--bin", "chatark"])
        .status()
        .unwrap();
    assert!(built.success(), "the release binary could not be built");
    let here = std::env::current_exe().unwrap();
    here.ancestors().nth(2).unwrap().join("chatark")
}
