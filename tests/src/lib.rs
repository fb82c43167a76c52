//! Helpers of the end-to-end tests: an environment with a sandbox, a config, and the real binary.
//!
//! The binary runs as a child process with a clean environment, in its own folder, with a time limit.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use chatark_sandbox::{Agent, Sandbox, Vendor, World};
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// The time limit of a child process, after which its test fails.
const TIME_LIMIT: Duration = Duration::from_mins(2);

/// A sandbox, a folder with a config for its agents, and the binary to run there.
#[derive(Debug)]
pub struct TestEnvironment {
    /// The folder of the config, the archive and the files.
    pub folder: TempDir,
    /// The sandbox; `None` after it was stopped.
    pub sandbox: Option<Sandbox>,
    /// The runtime that the sandbox lives in.
    pub runtime: Runtime,
    /// The names of the sources, in the order of the world's agents.
    pub sources: Vec<String>,
}

/// How a run of the binary ended, and what it wrote.
#[derive(Debug)]
pub struct Run {
    /// The exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// What it wrote to standard output.
    pub stdout: String,
    /// What it wrote to standard error.
    pub stderr: String,
}

impl TestEnvironment {
    /// Starts a sandbox of these agents, named `source-1`, `source-2`, ….
    ///
    /// # Panics
    ///
    /// If there is no free port or no temporary folder.
    pub fn of(agents: Vec<Agent>) -> Self {
        Self::of_world(World::of(agents))
    }

    /// Starts a sandbox of the three sample agents.
    pub fn sample() -> Self {
        Self::of_world(World::sample())
    }

    /// Starts a sandbox of a world and writes a config for it.
    ///
    /// # Panics
    ///
    /// If there is no free port or no temporary folder.
    pub fn of_world(world: World) -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let agents = world.agents.clone();
        let sandbox = runtime.block_on(Sandbox::start(world)).expect("a sandbox");
        let folder = tempfile::tempdir().expect("a temporary folder");
        let sources: Vec<_> = (1..=agents.len()).map(|at| format!("source-{at}")).collect();
        let mut env = Self { folder, sandbox: Some(sandbox), runtime, sources };
        env.write_config(&agents, "");
        env
    }

    /// Writes the config, with further lines at its start.
    ///
    /// # Panics
    ///
    /// If the folder cannot be written.
    pub fn write_config(&mut self, agents: &[Agent], beginning: &str) {
        let mut text = format!(
            "{beginning}\n[network]\nbackoff_milliseconds = 1\ntimeout_seconds = 5\nsettle_seconds = 0\n"
        );
        for (agent, name) in agents.iter().zip(&self.sources) {
            let base = self.sandbox().base_url(agent.vendor);
            let zone = match (agent.vendor, agent.zone) {
                (Vendor::ConvocoreV3, chatark_sandbox::Zone::Berlin) => "timezone = \"Europe/Berlin\"\n",
                _ => "",
            };
            let _ = write!(
                text,
                "\n[[source]]\nname = \"{name}\"\nprovider = \"{}\"\nagent_id = \"{}\"\nbase_url = \"{base}\"\n{zone}api_key = {{ env = \"KEY_{}\" }}\n",
                provider(agent.vendor),
                agent.id,
                key_variable(&agent.key),
            );
        }
        std::fs::write(self.path("config.toml"), text).expect("a config");
    }

    /// Returns the running sandbox.
    ///
    /// # Panics
    ///
    /// If it was stopped.
    pub fn sandbox(&self) -> &Sandbox {
        self.sandbox.as_ref().expect("the sandbox is running")
    }

    /// Stops the sandbox, so that nothing more can be fetched.
    pub fn stop_sandbox(&mut self) {
        if let Some(sandbox) = self.sandbox.take() {
            self.runtime.block_on(sandbox.stop());
        }
    }

    /// Returns a path in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs the binary to its end.
    ///
    /// # Panics
    ///
    /// If it does not end within the time limit.
    pub fn run<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Run {
        self.spawn(arguments).finish()
    }

    /// Runs the binary, checks its exit code, and returns the result.
    ///
    /// # Panics
    ///
    /// If the exit code differs.
    #[track_caller]
    pub fn expect<S: AsRef<OsStr> + std::fmt::Debug>(&self, code: i32, arguments: &[S]) -> Run {
        let run = self.run(arguments);
        assert_eq!(run.code, Some(code), "{arguments:?} ended with {run:#?}");
        assert!(!run.stderr.contains("panicked"), "{arguments:?} panicked: {}", run.stderr);
        run
    }

    /// Starts the binary.
    ///
    /// # Panics
    ///
    /// If it cannot be started.
    pub fn spawn<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Running {
        let mut command = self.command();
        command.args(arguments);
        Running::start(&mut command)
    }

    /// Returns the binary with a clean environment that has only the sandbox's keys, in its folder.
    pub fn command(&self) -> Command {
        let mut command = Command::new(binary());
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.folder.path())
            .current_dir(self.folder.path());
        if let Some(sandbox) = &self.sandbox {
            for id in [World::CHATBASE_V1_AGENT, World::CHATBASE_V2_AGENT, World::CONVOCORE_AGENT] {
                if let Some(agent) = sandbox.agent(id) {
                    command.env(format!("KEY_{}", key_variable(&agent.key)), &agent.key);
                }
            }
        }
        for key in [World::CHATBASE_KEY, World::CONVOCORE_KEY, KEY] {
            command.env(format!("KEY_{}", key_variable(key)), key);
        }
        command
    }
}

/// The key of agents that tests create.
pub const KEY: &str = "test-key";

/// A running child process.
#[derive(Debug)]
pub struct Running {
    child: Child,
    stdout: std::thread::JoinHandle<String>,
    stderr: std::thread::JoinHandle<String>,
}

impl Running {
    /// Starts a command. Both of its outputs are read in the background.
    ///
    /// # Panics
    ///
    /// If it cannot be started.
    pub fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        Self { child, stdout: read_all(stdout), stderr: read_all(stderr) }
    }

    /// Returns the process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by its name, such as `INT`.
    ///
    /// # Panics
    ///
    /// If the signal cannot be sent.
    pub fn signal(&self, name: &str) {
        // The shell's built-in `kill`: not every machine has the program.
        let pid = self.id().to_string();
        let sent = Command::new("sh").args(["-c", "kill -s \"$0\" \"$1\"", name, &pid]).status();
        assert!(sent.is_ok_and(|status| status.success()), "the signal {name} could not be sent");
    }

    /// Returns whether it has ended.
    ///
    /// # Panics
    ///
    /// If its status cannot be read.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("the child can be waited for").is_some()
    }

    /// Kills it, as a crash would. Does nothing if it has ended.
    pub fn kill(&self) {
        let pid = self.id().to_string();
        // The process id is not reused before the process is waited for.
        let _ = Command::new("sh").args(["-c", "kill -s KILL \"$0\" 2>/dev/null", &pid]).status();
    }

    /// Waits until it ends, and returns the result.
    ///
    /// # Panics
    ///
    /// If the child does not end within the time limit; it is killed then.
    pub fn finish(mut self) -> Run {
        let status = self.wait();
        let text = |reader: std::thread::JoinHandle<String>| reader.join().expect("the output is read");
        Run { code: status.code(), stdout: text(self.stdout), stderr: text(self.stderr) }
    }

    fn wait(&mut self) -> ExitStatus {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("the child can be waited for") {
                return status;
            }
            if started.elapsed() > TIME_LIMIT {
                let _ = self.child.kill();
                panic!("the binary did not end within {} s", TIME_LIMIT.as_secs());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Run {
    /// Returns standard output as JSON.
    ///
    /// # Panics
    ///
    /// If it is not JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("standard output is not JSON: {error}: {}", self.stdout))
    }
}

/// Waits until a condition holds, within the time limit.
///
/// # Panics
///
/// If it never does.
#[track_caller]
pub fn eventually(mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < TIME_LIMIT, "the condition never held");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Returns the name of the provider of a vendor's API.
pub fn provider(vendor: Vendor) -> &'static str {
    match vendor {
        Vendor::ChatbaseV1 => "chatbase-v1",
        Vendor::ChatbaseV2 => "chatbase-v2",
        Vendor::ConvocoreV3 => "convocore-v3",
    }
}

/// Returns the root of the repository.
///
/// # Panics
///
/// Never: this crate is in the repository.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests are in the repository")
}

/// Builds the binary once, in the profile of the tests, and returns where it is.
///
/// # Panics
///
/// If it cannot be built.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let here = std::env::current_exe().expect("the test has a path");
        let profile = here.ancestors().nth(2).expect("the test lies in the target folder");
        let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        build.args(["build", "--quiet", "-p", "chatark-cli", "--bin", "chatark"]).current_dir(repository());
        if profile.ends_with("release") {
            build.arg("--release");
        }
        build.arg("--target-dir").arg(profile.parent().expect("the target folder"));
        let status = build.status().expect("cargo runs");
        assert!(status.success(), "the binary could not be built");
        profile.join("chatark")
    })
}

fn key_variable(key: &str) -> String {
    key.to_ascii_uppercase().replace('-', "_")
}

fn read_all(stream: Option<impl Read + Send + 'static>) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut stream) = stream {
            let _ = stream.read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}
