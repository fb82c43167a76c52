//! One seed: a world, what the user does in it, and whether every promise held.
//!
//! Everything above the transport is the real thing: retries, pacing, walkers, engine and archive.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::slice;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use chatark_archive::{Archive, Subset, SyncMode};
use chatark_core::{Clock, Origin, Provider, Result, SourceName, Timestamp, Window};
use chatark_engine::{
    CancellationToken, DriftPolicy, Environment, Event, MappedSource, Observer, Outcome, PullParameters,
    RefreshPolicy, Source, Workers, plan, pull, verify,
};
use chatark_http::{Budget, BudgetLimits, Connector, Jitter, Policy, SecretString, SizeLimits};
use rusqlite::Connection;
use tokio::sync::Notify;

use crate::faults::{Fault, FaultCount, Faults};
use crate::invariants::{Checker, Violation};
use crate::population::{MAX_RECORD_BYTES, Population};
use crate::pull::{FinishedPull, PullEnd};
use crate::random::Random;
use crate::schedule::{Action, Schedule, Scope};
use crate::time::{DAY, Instant, MINUTE, SECOND, Span};
use crate::transport::{
    LONGEST_PULL, PlanResult, PullConditions, PullCounts, REQUESTS_PER_CONVERSATION, SimulatedTransport,
    World, client_clock, lock,
};
use crate::vendor::{AGENT, KEY, RequestKind, VendorApi};

/// The most lines of a trace that a report shows.
const MAX_TRACE_LINES: usize = 20_000;

/// Counts over one seed, or the sum over many.
#[derive(Debug, Clone, Default)]
pub struct Statistics {
    /// How many pulls there were.
    pub pulls: u64,
    /// How many requests.
    pub requests: u64,
    /// How many conversations.
    pub conversations: u64,
    /// How often each verdict was given; `killed` and `time-over` for pulls without one.
    pub verdicts: BTreeMap<String, u64>,
    /// How often each fault was drawn, and how often it fired, for each kind of request.
    pub faults: BTreeMap<(Fault, RequestKind), FaultCount>,
    /// In how many worlds each kind of request was made while faults could happen.
    pub request_kinds: BTreeMap<RequestKind, u64>,
    /// How often each other event happened: stops, kills, clock jumps, budgets, dead records.
    pub happened: BTreeMap<&'static str, u64>,
    /// The trace of one seed, where it was asked for.
    pub trace: Vec<String>,
}

/// A seed with at least one broken promise.
#[derive(Debug, Clone)]
pub struct FailedSeed {
    /// The vendor.
    pub api: VendorApi,
    /// The seed.
    pub seed: u64,
    /// Whether the deployment does what the newest documents say.
    pub is_documented: bool,
    /// The predicates that did not hold.
    pub predicates: Vec<&'static str>,
    /// What was found.
    pub what: String,
    /// The world, the actions and the requests.
    pub report: String,
}

/// Returns the bytes of an archive without sources. To create one takes as long as several pulls.
///
/// It has small pages: worlds are small, and each page that changes is written whole.
fn empty_archive(folder: &Path) -> &'static [u8] {
    static EMPTY: OnceLock<Vec<u8>> = OnceLock::new();
    EMPTY.get_or_init(|| {
        let path = folder.join("empty.db");
        let closed = Archive::open(&path, Timestamp::EARLIEST).and_then(Archive::close);
        let _ = closed.map(|()| with_small_pages(&path));
        fs::read(&path).unwrap_or_default()
    })
}

fn with_small_pages(path: &Path) -> rusqlite::Result<()> {
    let connection = Connection::open(path)?;
    connection.pragma_update(None, "journal_mode", "DELETE")?;
    connection.execute_batch("PRAGMA page_size = 4096; VACUUM")?;
    connection.pragma_update(None, "journal_mode", "WAL")
}

#[derive(Default)]
struct PullEvents {
    notes: Mutex<Vec<String>>,
    /// Whether the pull resumes a sweep, and since when it looks back, once it has begun.
    started: Mutex<Option<(bool, Option<Instant>)>>,
}

impl Observer for PullEvents {
    fn on_event(&self, _source: &SourceName, event: &Event<'_>) {
        match event {
            Event::Note(note) => {
                self.notes.lock().unwrap_or_else(PoisonError::into_inner).push((*note).to_owned());
            }
            Event::Started { resumed_from, recent_since } => {
                *self.started.lock().unwrap_or_else(PoisonError::into_inner) =
                    Some((resumed_from.is_some(), recent_since.map(Timestamp::microseconds)));
            }
            _ => {}
        }
    }
}

/// A run of one seed: its world, its schedule, its archive, and the checker of the promises.
pub struct Simulation {
    api: VendorApi,
    seed: u64,
    world: Arc<Mutex<World>>,
    schedule: Schedule,
    archive: PathBuf,
    folder: PathBuf,
    files: usize,
    pulls: u64,
    /// When the unfinished sweep of each scope began.
    unfinished: BTreeMap<Scope, Instant>,
    /// The scopes whose unfinished sweep met a vendor that answered as if it had no conversations.
    seemed_empty: BTreeSet<Scope>,
    checker: Checker,
    statistics: Statistics,
}

/// Runs one seed in a folder of its own, and returns its statistics, and the broken promises if there are any.
pub fn run(api: VendorApi, seed: u64, folder: &Path, traced: bool) -> (Statistics, Option<FailedSeed>) {
    let mut simulation = Simulation::draw(api, seed, folder, traced);
    simulation.run_schedule();
    simulation.verify_archive();
    let failure = simulation.failure();
    (simulation.into_statistics(), failure)
}

/// Draws one seed without running it, and returns which faults were drawn.
pub fn drawn_faults(api: VendorApi, seed: u64) -> BTreeMap<(Fault, RequestKind), FaultCount> {
    DrawnWorld::draw(api, seed).faults.counts
}

/// What is drawn for a world.
struct DrawnWorld {
    now: Instant,
    population: Population,
    schedule: Schedule,
    faults: Faults,
}

impl DrawnWorld {
    fn draw(api: VendorApi, seed: u64) -> Self {
        let mut random = Random::of(seed, "world");
        let now = 1_780_000_000 * SECOND + random.between(0, 400 * DAY);
        let population = Population::draw(&mut Random::of(seed, "population"), api.profile(), now);
        let mut schedule = Schedule::draw(&mut Random::of(seed, "schedule"), now, api.is_metered());
        schedule.draw_options(&mut Random::of(seed, "options"), api.is_metered());
        let pulls = schedule.actions.len();
        let mut faults = Faults::draw(&mut Random::of(seed, "faults"), api, &population, pulls);
        faults.draw_empty_pull(&mut Random::of(seed, "emptiness"), pulls);
        Self { now, population, schedule, faults }
    }
}

impl Simulation {
    fn draw(api: VendorApi, seed: u64, folder: &Path, traced: bool) -> Self {
        let DrawnWorld { now, population, schedule, faults } = DrawnWorld::draw(api, seed);
        let vendor = api.draw(&mut Random::of(seed, "deployment"));
        let world = World {
            population,
            profile: api.profile(),
            vendor,
            faults,
            conditions: PullConditions::default(),
            base: now,
            started: None,
            client_ahead: 0,
            changes_random: Random::of(seed, "life"),
            trace: traced.then(Vec::new),
            pull: PullCounts::default(),
            recently_served: Vec::new(),
            conversations_before: 0,
        };
        let _ = fs::remove_dir_all(folder);
        let _ = fs::create_dir_all(folder);
        let _ = fs::write(folder.join("0.db"), empty_archive(folder));
        Self {
            api,
            seed,
            world: Arc::new(Mutex::new(world)),
            schedule,
            archive: folder.join("0.db"),
            folder: folder.to_owned(),
            files: 0,
            pulls: 0,
            unfinished: BTreeMap::new(),
            seemed_empty: BTreeSet::new(),
            checker: Checker::default(),
            statistics: Statistics::default(),
        }
    }

    /// Does everything that the schedule says, then lets the world be quiet.
    fn run_schedule(&mut self) {
        for (number, action) in self.schedule.actions.clone().iter().enumerate() {
            self.pass_time(action.pause, action.changes);
            lock(&self.world).faults.begin_pull(number);
            if !self.pull(action, false) {
                return;
            }
        }
        lock(&self.world).faults.end();
        let due = i64::from(self.schedule.full_sweep_days) * DAY + 10 * MINUTE;
        // The first finishes what is unfinished; the second is a full sweep that begins after the last change.
        if !self.quiet_pull(10 * MINUTE, 100) || !self.quiet_pull(due, 101) {
            return;
        }
        self.check(Checker::convergence);
        if self.seed % 4 < 2 && self.schedule.full_sweep_days > 0 {
            if !self.quiet_pull(10 * MINUTE, 102) {
                return;
            }
            self.check(Checker::does_not_sweep_again);
        }
        if self.seed.is_multiple_of(4) && self.quiet_pull(due, 103) && self.quiet_pull(due, 104) {
            self.check(Checker::convergence);
            self.check(Checker::gaps_close);
            if self.schedule.accepts_missing {
                self.check(Checker::deleted_are_missing);
            }
        }
    }

    fn quiet_pull(&mut self, pause: Span, number: usize) -> bool {
        self.pass_time(pause, 0);
        lock(&self.world).faults.begin_pull(number);
        self.pull(&Action::quiet(&self.schedule, pause, self.max_requests()), true)
    }

    fn check(&mut self, predicate: impl FnOnce(&mut Checker, &mut World, &Path, Scope)) {
        predicate(&mut self.checker, &mut lock(&self.world), &self.archive, self.schedule.quiet);
    }

    /// Proves the archive: its structure, its bytes, its rows and its counts, after all stops and kills.
    fn verify_archive(&mut self) {
        if !self.seed.is_multiple_of(8) {
            return;
        }
        let verified = Archive::open(&self.archive, Timestamp::EARLIEST).and_then(|archive| {
            let source = SourceName::new("shop")?;
            let agent_id = AGENT.to_owned();
            let origin = Arc::new(Origin { source, provider: self.api.name().to_owned(), agent_id });
            let mapped = [MappedSource { origin, mapper: self.api.mapper() }];
            let verified = verify(&archive, &[], &mapped, Subset::WHOLE, &CancellationToken::new());
            archive.close()?;
            verified
        });
        self.checker.archive_is_sound(verified);
    }

    /// The most requests that a pull may take, whatever goes wrong.
    fn max_requests(&self) -> u64 {
        let world = lock(&self.world);
        let conversations = world.population.conversations.len() as u64;
        600 + REQUESTS_PER_CONVERSATION * conversations
    }

    fn pass_time(&mut self, pause: Span, changes: u64) {
        let mut world = lock(&self.world);
        let world = &mut *world;
        let begin = world.base;
        for number in 0..changes {
            let at = begin + pause / (changes.cast_signed() + 1) * (number.cast_signed() + 1);
            let (live, profile, recently_served) =
                (&mut world.changes_random, world.profile, world.recently_served.clone());
            world.population.draw_change(live, profile, &recently_served, at, usize::MAX);
        }
        world.base = begin + pause + SECOND / 7;
        let what = world.population.changes.len();
        world.note(|| format!("{} s pass, {changes} changes, {what} in all", pause / SECOND));
    }

    /// Runs a pull in a process of its own, checks what it came to, and returns whether there is a point in going on.
    fn pull(&mut self, action: &Action, is_quiet: bool) -> bool {
        self.pulls += 1;
        let max_requests = action.conditions.max_requests.min(self.max_requests());
        let action =
            Action { conditions: PullConditions { max_requests, ..action.conditions }, ..action.clone() };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let Ok(runtime) = runtime else { return false };
        let notes = Arc::new(PullEvents::default());
        let (started, end, mode) = runtime.block_on(self.run_process(&action, &notes));
        drop(runtime);
        let has_begun = *notes.started.lock().unwrap_or_else(PoisonError::into_inner);
        let (is_resumed, recent_since) = has_begun.unwrap_or_default();
        let begun = self.unfinished.get(&action.scope).copied();
        let sweep_start = begun.filter(|_| is_resumed).unwrap_or(started);
        let notes = notes.notes.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let action_scope = action.scope;
        let mut world = lock(&self.world);
        let ended = world.base;
        let changes =
            world.population.changes.iter().filter(|(at, ..)| *at >= sweep_start && *at <= ended).count();
        let finished = FinishedPull {
            action,
            is_quiet,
            started,
            sweep_start,
            ended,
            end,
            mode,
            is_resumed,
            recent_since,
            notes,
            counts: world.pull.clone(),
            fired: world.faults.fired,
            is_heavy: world.faults.is_heavy,
            fired_down: world.faults.fired_down,
            is_down: world.faults.is_down(ended),
            vendor_seemed_empty: world.faults.vendor_seems_empty()
                || (is_resumed && self.seemed_empty.contains(&action_scope)),
            attempts: self.schedule.attempts,
            look_back_days: self.schedule.look_back_days,
            changes,
        };
        world.note(|| format!("ended: {}", finished.describe()));
        if finished.is_good() {
            self.unfinished.remove(&finished.action.scope);
        } else if has_begun.is_some() {
            // One that was killed while it was planned leaves an earlier sweep to be resumed.
            self.unfinished.insert(finished.action.scope, sweep_start);
        }
        if finished.vendor_seemed_empty && !finished.is_good() {
            self.seemed_empty.insert(action_scope);
        } else {
            self.seemed_empty.remove(&action_scope);
        }
        self.statistics.count(&finished);
        self.checker.after_pull(&mut world, &self.archive, finished);
        !self.checker.violations.iter().any(Violation::is_fatal)
    }

    /// The process of a pull, to its end or until it is killed.
    async fn run_process(
        &mut self,
        action: &Action,
        notes: &Arc<PullEvents>,
    ) -> (Instant, PullEnd, SyncMode) {
        let started = {
            let mut world = lock(&self.world);
            world.begin_process(action.conditions);
            world.note(|| format!("pull {action:?}"));
            world.now()
        };
        let kill = Arc::new(Notify::new());
        let outcome = tokio::select! {
            biased;
            () = kill.notified() => None,
            outcome = tokio::time::timeout(
                Duration::from_micros(LONGEST_PULL.unsigned_abs()),
                self.run_pull(action, Arc::clone(&kill), notes),
            ) => Some(outcome),
        };
        let (end, mode) = match outcome {
            Some(Ok(Ok(outcome))) => {
                let error = outcome.error.as_ref().map(|error| {
                    (error.kind(), format!("{error} {}", error.hint_text().unwrap_or_default()))
                });
                (PullEnd::Verdict(outcome.verdict, error), outcome.mode)
            }
            Some(Ok(Err(error))) => (PullEnd::Broken(error.to_string()), SyncMode::Full),
            Some(Err(_)) => (PullEnd::TimeOver, SyncMode::Full),
            None => (PullEnd::Killed, SyncMode::Full),
        };
        if matches!(end, PullEnd::Killed | PullEnd::TimeOver) {
            self.copy_archive();
        }
        lock(&self.world).end_process();
        (started, end, mode)
    }

    /// Leaves the archive as the process leaves it that is killed now: without its last words.
    fn copy_archive(&mut self) {
        self.files += 1;
        let next = self.folder.join(format!("{}.db", self.files));
        for suffix in ["", "-wal"] {
            let with = |path: &Path| PathBuf::from(format!("{}{suffix}", path.display()));
            let _ = fs::copy(with(&self.archive), with(&next));
        }
        self.archive = next;
    }

    async fn run_pull(&self, action: &Action, kill: Arc<Notify>, notes: &Arc<PullEvents>) -> Result<Outcome> {
        let stop = CancellationToken::new();
        let clock = client_clock(&self.world);
        let transport = SimulatedTransport::new(Arc::clone(&self.world), stop.clone(), kill, 1);
        let size_limits = SizeLimits { element: MAX_RECORD_BYTES, ..SizeLimits::default() };
        let connector = Connector {
            transport: Some(Arc::new(transport)),
            clock: clock.clone(),
            jitter: Arc::new(Jitter::seeded(self.seed ^ self.pulls)),
            budget: Arc::new(Budget::new(action.budget)),
            policy: Policy { max_attempts: self.schedule.attempts, size_limits, ..Policy::default() },
            ..Connector::new("shop", SecretString::from(KEY))
        };
        let provider: Arc<dyn Provider> = Arc::from(self.api.connect(connector)?);
        let origin = Origin {
            source: SourceName::new("shop")?,
            provider: self.api.name().to_owned(),
            agent_id: AGENT.to_owned(),
        };
        let source = Source {
            origin: Arc::new(origin),
            provider,
            mapper: self.api.mapper(),
            refresh: RefreshPolicy {
                full_sweep_days: self.schedule.full_sweep_days,
                look_back_days: self.schedule.look_back_days,
            },
            drift: DriftPolicy::Warn,
            contacts: false,
        };
        let since = action.scope.since.and_then(|since| Timestamp::from_microseconds(since).ok());
        let what = PullParameters {
            window: Window { since, until: None },
            channel: action.scope.channel(),
            full: action.full,
            accept_missing: action.accept_missing,
            accept_gaps: action.accept_gaps,
            ..PullParameters::default()
        };
        let archive = Archive::open(&self.archive, clock.now())?;
        if action.asks_for_plan {
            self.make_plan(&archive, &source, &what, &clock).await;
        }
        let environment = Environment { clock, workers: Workers::Inline };
        let observer: Arc<dyn Observer> = Arc::<PullEvents>::clone(notes);
        let (archive, mut outcomes) = pull(archive, vec![source], what, observer, environment, stop).await?;
        archive.close()?;
        Ok(outcomes.remove(0))
    }

    /// Asks for the plan of a pull. What it says is kept; that it cannot say anything is no failure.
    async fn make_plan(&self, archive: &Archive, source: &Source, what: &PullParameters, clock: &Clock) {
        let planned = plan(Some(archive), slice::from_ref(source), what, clock).await;
        let Some(Ok(planned)) = planned.ok().and_then(|mut plans| plans.pop()) else { return };
        let counts = &mut lock(&self.world).pull;
        counts.plan_result = Some(PlanResult {
            mode: planned.mode,
            requests: counts.requests,
            billed: counts.billed - counts.billed_by_list,
            billed_unseen: counts.billed_unseen,
            price: planned.quota_used_before,
        });
    }

    fn into_statistics(self) -> Statistics {
        let mut world = lock(&self.world);
        let mut statistics = self.statistics;
        statistics.trace = world.trace.take().unwrap_or_default();
        statistics.conversations = world.population.conversations.len() as u64;
        statistics.faults.clone_from(&world.faults.counts);
        let mut count =
            |what, happened: bool| *statistics.happened.entry(what).or_default() += u64::from(happened);
        count("dead record", !world.faults.dead.is_empty());
        count("huge record", !world.faults.huge.is_empty());
        count("outage", world.faults.has_outage());
        statistics
    }

    fn failure(&self) -> Option<FailedSeed> {
        let violations = &self.checker.violations;
        violations.first()?;
        let predicates = violations.iter().map(|violation| violation.predicate).collect();
        let all: Vec<_> =
            violations.iter().map(|Violation { predicate, what }| format!("{predicate}: {what}")).collect();
        let what = all.join("\n");
        let world = lock(&self.world);
        let mut report = format!(
            "{} seed {}\n{what}\n\ndeployment: {:?}\nproperties: {:?}\nschedule: {:#?}\nfaults:\n    {}\n",
            self.api.name(),
            self.seed,
            world.vendor,
            world.vendor.properties(),
            self.schedule,
            world.faults.describe(&world.population),
        );
        if let Some(trace) = &world.trace {
            let first = trace.len().saturating_sub(MAX_TRACE_LINES);
            let _ = writeln!(report, "trace ({first} earlier lines left out):");
            for line in &trace[first..] {
                report.push_str(line);
                report.push('\n');
            }
        }
        let is_documented = world.vendor.properties().is_documented;
        Some(FailedSeed { is_documented, api: self.api, seed: self.seed, predicates, what, report })
    }
}

impl Statistics {
    fn count(&mut self, pull: &FinishedPull) {
        self.pulls += 1;
        self.requests += pull.counts.requests;
        let word = match &pull.end {
            PullEnd::Verdict(verdict, _) => verdict.as_str(),
            PullEnd::Killed => "killed",
            PullEnd::TimeOver => "time-over",
            PullEnd::Broken(_) => "broken",
        };
        *self.verdicts.entry(word.to_owned()).or_default() += 1;
        // Once the world is quiet, no fault happens.
        for kind in pull.counts.by_kind.keys().filter(|_| !pull.is_quiet) {
            self.request_kinds.insert(*kind, 1);
        }
        let Action { conditions, budget, .. } = &pull.action;
        let reached = |at: Option<u64>| at.is_some_and(|at| at <= pull.counts.requests);
        for (what, happened) in [
            ("stop", reached(conditions.stop_at)),
            ("kill", reached(conditions.kill_at)),
            ("clock jump", reached(conditions.jump_at.map(|(at, _)| at))),
            ("budget", *budget != BudgetLimits::default()),
            ("changes while running", pull.changes > 0),
            ("resumed", pull.is_resumed),
            ("empty run", pull.vendor_seemed_empty),
            ("down at the end", pull.is_down),
            ("plan", pull.counts.plan_result.is_some()),
            ("gaps are accepted", pull.action.accept_gaps),
        ] {
            *self.happened.entry(what).or_default() += u64::from(happened);
        }
    }

    /// Adds what another seed came to.
    pub fn add(&mut self, other: &Self) {
        self.pulls += other.pulls;
        self.requests += other.requests;
        self.conversations += other.conversations;
        for (word, count) in &other.verdicts {
            *self.verdicts.entry(word.clone()).or_default() += count;
        }
        for (key, count) in &other.faults {
            let sum = self.faults.entry(*key).or_default();
            sum.drawn += count.drawn.min(1);
            sum.fired += count.fired.min(1);
        }
        for (kind, count) in &other.request_kinds {
            *self.request_kinds.entry(*kind).or_default() += count;
        }
        for (what, count) in &other.happened {
            *self.happened.entry(what).or_default() += (*count).min(1);
        }
    }
}
