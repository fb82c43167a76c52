//! The promises, each a predicate that compares the archive and the result of a pull with the world.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use chatark_archive::{SyncMode, Verdict};
use chatark_core::{Channel, Error, ErrorKind, GapBounds};
use chatark_engine::Verification;
use chatark_http::BudgetLimits;
use sha2::{Digest, Sha256};

use crate::held::{ArchivedConversation, GapCounts, Hash, Reader};
use crate::population::{Change, Conversation, MARKER, Version};
use crate::pull::{FinishedPull, PullEnd};
use crate::schedule::Scope;

use crate::time::{DAY, HOUR, Instant, MINUTE, SECOND, Span};
use crate::transport::World;
use crate::vendor::{Paging, Properties, RequestKind};

/// A promise that does not hold.
#[derive(Debug, Clone)]
pub struct Violation {
    /// The predicate.
    pub predicate: &'static str,
    /// What was found.
    pub what: String,
}

impl Violation {
    /// Creates a violation.
    pub fn new(predicate: &'static str, what: impl Into<String>) -> Self {
        Self { predicate, what: what.into() }
    }

    /// Returns whether later pulls of this seed prove nothing, so that it ends here.
    pub fn is_fatal(&self) -> bool {
        matches!(self.predicate, "ends-within-its-requests" | "ends-in-time" | "pull-runs")
    }
}

/// What a pull claims of a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RowClaim {
    /// It is archived as it was.
    Everything,
    /// It is archived, with all messages: other changes need not show in a row.
    Messages,
    /// It is archived in some state.
    Exists,
    /// Nothing: the pull has not seen it.
    Nothing,
}

/// A conversation that changed so shortly before a sweep may be read once more by the next.
const REREAD_MARGIN: Span = 3_600 * SECOND;

/// The most units that one conversation costs.
const MAX_CONVERSATION_PRICE: u64 = 2;

/// Checks every pull of a world.
#[derive(Debug, Default)]
pub struct Checker {
    reader: Reader,
    hashes: BTreeMap<(usize, usize), Hash>,
    /// For each conversation, the number of the latest pull in which it arrived or was listed.
    last_seen_in: BTreeMap<usize, usize>,
    /// The numbers of the pulls that listed everything.
    full_sweeps: Vec<usize>,
    pulls: usize,
    latest: Option<FinishedPull>,
    /// How long the sweep of the pull before the latest one took.
    previous_sweep_time: Span,
    /// Whether the vendor answered the latest sweep of everything as if it had no conversations.
    seemed_empty: bool,
    /// When each uninterrupted sweep of everything began that left no gap.
    whole_sweeps: Vec<Instant>,
    /// The gaps after the latest pull.
    gaps: GapCounts,
    gap_bounds: Vec<GapBounds>,
    /// Whether the pull before the latest convergence check read everything to its end.
    was_full: bool,
    /// The latest start of a pull, by the client's clock, which may have been ahead.
    latest_start: Option<Instant>,
    /// What the archive held after the pull before.
    held_before: BTreeMap<String, ArchivedConversation>,
    /// When the latest good sweep of each scope began.
    swept: BTreeMap<Scope, Instant>,
    /// What did not hold so far.
    pub violations: Vec<Violation>,
}

impl Checker {
    fn hash(&mut self, world: &mut World, index: usize, version: usize) -> Hash {
        if let Some(hash) = self.hashes.get(&(index, version)) {
            return *hash;
        }
        let record = world.vendor.record(&world.population, index, version);
        let hash = Sha256::digest(&record).into();
        self.hashes.insert((index, version), hash);
        hash
    }

    /// Returns the number of the latest state whose bytes have this hash.
    fn version(&mut self, world: &mut World, index: usize, wanted: Hash) -> Option<usize> {
        let versions = world.population.conversations[index].versions.len();
        (0..versions).rev().find(|version| self.hash(world, index, *version) == wanted)
    }

    fn fail(&mut self, predicate: &'static str, what: String) {
        let is_known = self.violations.iter().any(|violation| violation.predicate == predicate);
        if !is_known {
            self.violations.push(Violation::new(predicate, what));
        }
    }

    /// Checks everything that can be said after a pull.
    pub fn after_pull(&mut self, world: &mut World, archive: &Path, pull: FinishedPull) {
        self.pulls += 1;
        self.ends(&pull);
        self.says_nothing_private(&pull);
        let held = match self.reader.held(archive) {
            Ok(held) => held,
            Err(error) => {
                self.fail("archive-opens", error.to_string());
                return;
            }
        };
        let gaps_before = self.gaps;
        self.gaps = self.reader.count_gaps(archive).unwrap_or_default();
        self.gap_bounds = self.reader.gap_bounds(archive).unwrap_or_default();
        for index in pull.counts.delivered.keys().chain(&pull.counts.listed) {
            self.last_seen_in.insert(*index, self.pulls);
        }
        // A sweep whose missing marks were refused has listed everything, too.
        let was_refused = self.gaps.total() == 0
            && matches!(&pull.end, PullEnd::Verdict(Verdict::Short, Some((ErrorKind::Incomplete, _))));
        if (pull.is_good() || was_refused) && pull.mode != SyncMode::Recent && pull.action.scope.is_whole() {
            self.full_sweeps.push(self.pulls);
        }
        let is_whole = pull.mode == SyncMode::Full && pull.action.scope.is_whole() && !pull.is_resumed;
        if pull.is_good() && is_whole && self.gaps.total() == 0 {
            self.whole_sweeps.push(pull.sweep_start);
        }
        self.keeps_what_it_had(&held);
        self.keeps_what_arrived(world, &held, &pull);
        self.holds_nothing_else(world, &held, &pull);
        self.marks_only_what_is_gone(world, &held, &pull);
        if pull.is_good() {
            self.has_a_count_where_it_claims_one(world, &pull);
            self.holds_what_it_claims(world, &held, &pull);
        }
        self.is_good_where_nothing_went_wrong(world, &pull);
        self.waits_as_asked(world, &pull);
        self.takes_few_requests(world, gaps_before, &pull);
        self.keeps_its_budget(&pull);
        self.bills_what_the_plan_said(world, &pull);
        self.notes_no_gap_while_the_vendor_is_down(world, gaps_before, &pull);
        self.keeps_accepted_gaps_out_of_the_verdict(world, &pull);
        self.reads_around_what_is_dead(world, &held, &pull);
        self.finds_late_messages(world, &held, &pull);
        self.seemed_empty &=
            may_read_recent_only(world.vendor.properties(), &pull) || pull.verdict().is_none();
        self.seemed_empty |= pull.vendor_seemed_empty && pull.is_good();
        if pull.is_good() && !pull.vendor_seemed_empty {
            self.swept.insert(pull.action.scope, pull.sweep_start);
        }
        let ahead = pull.action.conditions.jump_at.map_or(0, |(_, ahead)| ahead.max(0));
        self.latest_start = self.latest_start.max(Some(pull.started + ahead));
        self.previous_sweep_time = self.latest.as_ref().map_or(0, |before| before.ended - before.sweep_start);
        self.held_before = held;
        self.latest = Some(pull);
    }

    /// What was archived stays archived, with each of its versions.
    fn keeps_what_it_had(&mut self, held: &BTreeMap<String, ArchivedConversation>) {
        let lost = self.held_before.iter().find(|(id, before)| {
            !held.get(*id).is_some_and(|now| now.versions.starts_with(&before.versions))
        });
        if let Some(id) = lost.map(|(id, _)| id.clone()) {
            self.fail("keeps-what-it-had", format!("{id:?} was archived, and is not as it was"));
        }
    }

    /// What arrived is archived, in that state or another one, whatever ended the pull but the user.
    fn keeps_what_arrived(
        &mut self,
        world: &World,
        held: &BTreeMap<String, ArchivedConversation>,
        pull: &FinishedPull,
    ) {
        if !matches!(pull.end, PullEnd::Verdict(..))
            || pull.action.asks_for_plan
            || pull.action.conditions.stop_at.is_some()
        {
            return;
        }
        // What Chatbase v1 has read to find something out when it ends is read again by the next pull, which costs nothing.
        if world.vendor.properties().searches_by_day && !pull.is_good() {
            return;
        }
        let lost = pull.counts.delivered.keys().find_map(|index| {
            let conversation = &world.population.conversations[*index];
            let is_wanted = is_in_scope(world.vendor.properties(), conversation, pull.action.scope);
            (is_wanted && !held.contains_key(&conversation.id)).then_some(&conversation.id)
        });
        if let Some(id) = lost {
            self.fail("keeps-what-arrived", format!("{id:?} arrived: {}", pull.describe()));
        }
    }

    /// `complete` and `grew-during-run` compare with the vendor's count: where it gives none, nothing is known of it.
    fn has_a_count_where_it_claims_one(&mut self, world: &World, pull: &FinishedPull) {
        let claims = matches!(pull.verdict(), Some(Verdict::Complete | Verdict::GrewDuringRun));
        if claims && !world.vendor.properties().sends_count {
            self.fail("complete-needs-a-count", pull.describe());
        }
    }

    /// Each pull ends within its requests and its time, and never with a bug.
    fn ends(&mut self, pull: &FinishedPull) {
        let seen = pull.describe();
        if pull.counts.is_runaway {
            self.fail("ends-within-its-requests", seen);
            return;
        }
        match &pull.end {
            PullEnd::TimeOver => self.fail("ends-in-time", seen),
            PullEnd::Broken(_) => self.fail("pull-runs", seen),
            PullEnd::Verdict(_, Some((ErrorKind::Unexpected, _))) => self.fail("no-bug", seen),
            PullEnd::Verdict(_, Some((ErrorKind::Damaged | ErrorKind::Storage | ErrorKind::Locked, _))) => {
                self.fail("archive-is-sound", seen);
            }
            _ => {}
        }
    }

    /// No key and nothing that people wrote is in an error or a note; no telephone number either.
    fn says_nothing_private(&mut self, pull: &FinishedPull) {
        let error =
            if let PullEnd::Verdict(_, Some((_, text))) = &pull.end { Some(text.as_str()) } else { None };
        for text in pull.notes.iter().map(String::as_str).chain(error) {
            for (private, predicate) in [
                ("sk-sim", "no-key-in-messages"),
                (MARKER, "no-text-in-messages"),
                ("1555000", "no-telephone-number-in-messages"),
            ] {
                if text.contains(private) {
                    self.fail(predicate, text.to_owned());
                }
            }
        }
    }

    /// Every version in the archive is what the vendor had at some instant.
    fn holds_nothing_else(
        &mut self,
        world: &mut World,
        held: &BTreeMap<String, ArchivedConversation>,
        pull: &FinishedPull,
    ) {
        for (id, held) in held {
            let Some(index) = world.population.index_of(id) else {
                self.fail("holds-only-what-was", format!("{id:?} never existed"));
                continue;
            };
            for hash in held.versions.iter().copied().collect::<BTreeSet<_>>() {
                let version = self.version(world, index, hash);
                let is_past = version.is_some_and(|version| {
                    world.population.conversations[index].versions[version].from <= pull.ended
                });
                if !is_past {
                    self.fail("holds-only-what-was", format!("{id:?} has bytes that the vendor never had"));
                }
            }
            if held.shown.is_none() {
                self.fail("holds-only-what-was", format!("no version of {id:?} is shown"));
            }
        }
    }

    /// Nothing that exists is marked as missing. Where rows change places under an offset, two sweeps that did not see
    /// a conversation are all that anybody can know; a ceiling that looks like the end hides it for good.
    fn marks_only_what_is_gone(
        &mut self,
        world: &World,
        held: &BTreeMap<String, ArchivedConversation>,
        pull: &FinishedPull,
    ) {
        let properties = world.vendor.properties();
        for (id, _) in held.iter().filter(|(_, held)| held.is_missing) {
            let Some(index) = world.population.index_of(id) else { continue };
            let conversation = &world.population.conversations[index];
            if !conversation.exists(pull.ended) || conversation.appeared > pull.ended - properties.lag {
                continue;
            }
            let before_last = self.full_sweeps.iter().rev().nth(1).copied();
            let seen = self.last_seen_in.get(&index).copied().unwrap_or(0);
            // It is looked for on its day, unless the vendor answers that too as if there were nothing.
            let is_askable = properties.searches_by_day && conversation.is_dated;
            let seemed_empty = pull.vendor_seemed_empty || self.seemed_empty;
            let is_excused = (rows_can_shift(properties) || properties.sorts_by_activity)
                && before_last.is_some_and(|sweep| seen < sweep)
                && (!is_askable || seemed_empty);
            let is_hidden = properties.hides_the_rest && is_cut_short(world, pull);
            if !is_excused && !is_hidden && shows(properties, conversation, pull.ended) {
                self.fail("marks-only-what-is-gone", format!("{id:?} exists: {}", pull.describe()));
            }
        }
    }

    /// A good verdict: everything of the scope that existed from the beginning of the sweep to its end is archived, as
    /// it was at the beginning or later.
    ///
    /// - Where a pull reads what a summary shows as changed, what no summary shows is not claimed.
    /// - Where it reads a list that is apart from the export, and the rest of it in turn, only what this list tells is
    ///   claimed, of conversations on its newest page or in the look-back; there, one of which it tells nothing is read.
    /// - Where it looks back, only what began in that window is claimed.
    /// - Where it reads the newest rows of a list and others in rotation, only what these rows show is claimed; everything
    ///   else waits for the next full sweep, whose date is promised.
    /// - Where rows change places while the walk runs, what did not arrive is not claimed; what arrived is.
    /// - Where gaps were accepted, what may be in one of them and did not arrive is not claimed either.
    /// - Where the only response broke off, the rest is known from the list, which leaves out what has no message.
    /// - Where a vendor answers as if there were nothing, nobody can tell; nor where its last page looks like the end.
    fn holds_what_it_claims(
        &mut self,
        world: &mut World,
        held: &BTreeMap<String, ArchivedConversation>,
        pull: &FinishedPull,
    ) {
        let properties = world.vendor.properties();
        if pull.vendor_seemed_empty {
            return;
        }
        let is_hidden = properties.hides_the_rest && is_cut_short(world, pull);
        let is_by_list = pull.mode == SyncMode::Changes && properties.finds_changes_by_list;
        let swept = self.swept.get(&pull.action.scope).copied().unwrap_or(Instant::MAX);
        let recent =
            swept.saturating_sub(i64::from(pull.look_back_days) * DAY).saturating_add(properties.margin);
        for index in 0..world.population.conversations.len() {
            let row_claim = self.row_claim(world, index, pull);
            if row_claim == RowClaim::Nothing {
                continue;
            }
            let conversation = &world.population.conversations[index];
            let begin = pull.sweep_start - properties.lag;
            if !conversation.exists_throughout(begin, pull.ended)
                || !is_in_scope(properties, conversation, pull.action.scope)
                || !shows(properties, conversation, begin)
                || pull.recent_since.is_some_and(|since| {
                    pull.mode == SyncMode::Recent
                        && (!conversation.is_dated || conversation.created < since + properties.margin)
                })
            {
                continue;
            }
            let is_recent = conversation.is_dated && conversation.created >= recent;
            // The list leaves out what has no message.
            let is_listed = !conversation.at(begin).content.messages.is_empty();
            if is_by_list && !(is_listed && (is_recent || fits_list(world, begin))) {
                continue;
            }
            let id = conversation.id.clone();
            let first = conversation.version_at(begin);
            let last = conversation.version_at(pull.ended);
            let has_moved = first != last;
            let arrived = pull.counts.delivered.get(&index).copied();
            let excused = arrived.is_none()
                && ((properties.paging == Paging::Offset && pull.changes > 0)
                    || (properties.is_unstable && rows_can_shift(properties))
                    || (self.gaps.accepted > 0
                        && self.gap_bounds.iter().any(|gap| may_be_in(gap, conversation, properties)))
                    || is_hidden
                    || (properties.paging == Paging::Whole
                        && properties.finds_changes_by_list
                        && pull.counts.broken_first_pages > 0
                        && !is_listed)
                    || (properties.sorts_by_activity && has_moved && properties.paging != Paging::Snapshot));
            let Some(hash) = held.get(&id).and_then(|held| held.shown) else {
                if !excused {
                    self.fail("holds-what-it-claims", format!("{id:?} is not archived: {}", pull.describe()));
                }
                continue;
            };
            let Some(version) = self.version(world, index, hash) else { continue };
            let conversation = &world.population.conversations[index];
            let is_current = version >= first || arrived.is_some_and(|arrived| version >= arrived);
            let is_as_summarised = pull.mode == SyncMode::Changes
                && properties.has_summaries
                && looks_current(conversation, version, first, last);
            let vendor = &world.vendor;
            let is_not_shown_by_list = |version: &Version| !vendor.list_shows(index, version.cause);
            let is_as_listed = is_by_list
                && !(is_recent && vendor.list_shows_nothing(index))
                && conversation
                    .versions
                    .get(version + 1..=first)
                    .is_some_and(|later| later.iter().all(is_not_shown_by_list));
            if !(is_current || is_as_summarised || is_as_listed || excused) {
                let missed: Vec<_> =
                    conversation.versions[version + 1..=first].iter().map(|version| version.cause).collect();
                let is_of_rows = match row_claim {
                    RowClaim::Exists => true,
                    RowClaim::Messages => !missed.contains(&Change::Reply),
                    RowClaim::Everything | RowClaim::Nothing => false,
                };
                if is_of_rows {
                    continue;
                }
                let predicate = if missed.iter().all(|cause| !cause.is_summarised()) {
                    "holds-what-it-claims-without-summaries"
                } else if pull.mode == SyncMode::Changes {
                    "finds-every-change"
                } else {
                    "holds-current-bytes"
                };
                self.fail(predicate, format!("{id:?} lacks {missed:?}: {}", pull.describe()));
            }
        }
    }

    /// Returns what a pull claims of a conversation.
    fn row_claim(&self, world: &World, index: usize, pull: &FinishedPull) -> RowClaim {
        if pull.mode != SyncMode::Changes || !world.vendor.properties().finds_changes_by_list {
            return RowClaim::Everything;
        }
        let conversation = &world.population.conversations[index];
        // The pull looks back from an earlier sweep, which began when the latest pull did or before.
        let since = self.latest_start.unwrap_or(pull.started) - i64::from(pull.look_back_days) * DAY;
        let is_recent =
            conversation.is_dated && conversation.created >= since + world.vendor.properties().margin;
        let may_read_recent_only = pull.notes.iter().any(|note| note.contains("recent"))
            || lacks_list(world.vendor.properties(), pull);
        match (pull.counts.listed.contains(&index), may_read_recent_only) {
            (_, true) if is_recent => RowClaim::Everything,
            // A row without any sign of a change counts as changed in the look-back.
            (true, _) if is_recent || world.vendor.list_shows(index, Change::Reply) => RowClaim::Messages,
            (true, _) => RowClaim::Exists,
            (false, _) => RowClaim::Nothing,
        }
    }

    /// Where nothing went wrong and nobody interfered, a pull ends well. It may say `short` only where the vendor counts
    /// more than there is, or shows less.
    fn is_good_where_nothing_went_wrong(&mut self, world: &World, pull: &FinishedPull) {
        let properties = world.vendor.properties();
        let conditions = pull.action.conditions;
        let survives =
            pull.fired == 0 || (!pull.is_heavy && pull.attempts >= 4 && properties.has_readable_clock);
        let is_undisturbed = survives
            && !world.faults.has_unreadable()
            && conditions.stop_at.is_none()
            && conditions.kill_at.is_none()
            && conditions.jump_at.is_none()
            && pull.action.budget == BudgetLimits::default();
        // A rate limit or a quota of the vendor may end any pull.
        if !is_undisturbed || pull.is_good() || pull.counts.limits > 0 {
            return;
        }
        let may_be_short = properties.overcounts
            || (pull.changes > 0 && rows_can_shift(properties))
            || (properties.is_unstable && rows_can_shift(properties))
            || (properties.sorts_by_activity && pull.changes > 0)
            || pull.vendor_seemed_empty
            || (!pull.action.accept_missing && has_lost(world, pull))
            || fills_what_is_shown(world, pull);
        // Deletions while the walk runs make the vendor's first count too large for what can be seen.
        let has_deletions = world.population.changes.iter().any(|(at, _, change)| {
            *change == Change::Deleted && *at >= pull.sweep_start && *at <= pull.ended
        });
        // A fault of an earlier pull may have left a gap that is not due yet, or was accepted: the vendor counts what is in
        // it, and nobody knows how much that is.
        let has_gaps = self.gaps.total() > 0;
        let is_short = pull.verdict() == Some(Verdict::Short);
        if !(is_short && (may_be_short || has_deletions || has_gaps)) {
            let predicate =
                if pull.fired == 0 { "is-good-where-nothing-went-wrong" } else { "survives-short-faults" };
            self.fail(predicate, pull.describe());
        }
    }

    /// Where nothing but short faults happened, no time is lost with waits that nobody asked for.
    fn waits_as_asked(&mut self, world: &World, pull: &FinishedPull) {
        let properties = world.vendor.properties();
        let is_timed = properties.has_readable_clock
            && pull.action.conditions.jump_at.is_none()
            && pull.counts.limits == 0;
        let bound = 3 * MINUTE + i64::try_from(pull.counts.requests).unwrap_or(0) * 2 * SECOND;
        if !pull.is_heavy && is_timed && pull.ended - pull.started > bound {
            self.fail(
                "waits-as-asked",
                format!("{} s: {}", (pull.ended - pull.started) / SECOND, pull.describe()),
            );
        }
    }

    /// The archive proves itself.
    pub fn archive_is_sound(&mut self, verified: Result<Verification, Error>) {
        let problem = match verified {
            Ok(verification) => {
                let is_sound = verification.structure.is_empty()
                    && verification.sources.iter().all(|source| {
                        (source.damaged, source.outdated) == (0, 0) && source.counts.is_empty()
                    });
                (!is_sound).then(|| format!("{verification:?}"))
            }
            Err(error) => Some(error.to_string()),
        };
        if let Some(problem) = problem {
            self.fail("archive-is-sound", problem);
        }
    }

    /// A walk over conversations that stand still takes at most a quarter more requests than there are pages, and 40;
    /// one that reads what changed, one more for each of these.
    fn takes_few_requests(&mut self, world: &World, gaps_before: GapCounts, pull: &FinishedPull) {
        let properties = world.vendor.properties();
        if pull.fired > 0 || pull.changes > 0 || world.faults.has_unreadable() || pull.counts.is_runaway {
            return;
        }
        // What is beyond a ceiling is read in smaller windows.
        if is_cut_short(world, pull) {
            return;
        }
        let planning = pull.counts.plan_result.as_ref().map_or(0, |plan| plan.requests);
        let population = &world.population;
        let shown_by_vendor: Vec<usize> = population.existing(pull.ended).collect();
        let swept = self.swept.get(&pull.action.scope).copied().unwrap_or(Instant::MIN);
        let changed = shown_by_vendor
            .iter()
            .filter(|index| {
                population.conversations[**index].current().from > swept.saturating_sub(REREAD_MARGIN)
            })
            .count();
        let list = properties.list_page.map_or(0, |page| shown_by_vendor.len().div_ceil(page));
        let pages = (shown_by_vendor.len().div_ceil(properties.page_size) + list) as u64;
        // What a list tells nothing of counts as changed within the look-back.
        let recent = swept.saturating_sub(i64::from(pull.look_back_days) * DAY);
        let is_not_shown_by_list = |index: &&usize| {
            let conversation = &population.conversations[**index];
            properties.finds_changes_by_list
                && world.vendor.list_shows_nothing(**index)
                && !(conversation.is_dated && conversation.created < recent)
        };
        let not_shown_by_list = shown_by_vendor.iter().filter(is_not_shown_by_list).count();
        let singles = if pull.mode == SyncMode::Changes { (changed + not_shown_by_list) as u64 } else { 0 };
        let short = if properties.has_short_pages { 3 } else { 1 };
        // What is gone may be looked for by itself.
        let gone = population.conversations.len() - shown_by_vendor.len();
        // What the vendor does not show in a response at all can be asked for by its id alone.
        let hidden =
            properties.shows_at_most.map_or(0, |most| shown_by_vendor.len().saturating_sub(most)) as u64;
        // Without a request for a single one, it is looked for among those of its day, and of the days around, forwards
        // and backwards.
        // Where rows change places, what exists may have slipped past a walk, and is looked for too.
        let is_looked_for = gone > 0 || properties.is_unstable;
        let days = if properties.searches_by_day && is_looked_for { 4 * pages } else { 0 };
        // Where none can be asked for, those that two sweeps did not list are looked for in one more walk, or in seconds
        // that may hold all of it.
        let may_lack = gone > 0 || rows_can_shift(properties);
        let again = if may_lack && !properties.finds_one { pages * short } else { 0 };
        // Each gap that an earlier fault has left is tried by itself.
        let tried = gaps_before.total();
        let bound = (pages * 5 / 4) * short
            + 40
            + tried
            + singles
            + 2 * gone as u64
            + planning
            + hidden
            + days
            + again;
        let requests = pull.counts.requests;
        if requests > bound {
            let what = format!("{requests} requests where {bound} do ({pages} pages, {singles} changed)");
            self.fail("takes-few-requests", format!("{what}: {}", pull.describe()));
        }
    }

    /// Nothing is billed beyond the budget plus one response, apart from responses that
    /// broke off: their price is unknown.
    fn keeps_its_budget(&mut self, pull: &FinishedPull) {
        let budget = pull.action.budget;
        let planning = pull.counts.plan_result.as_ref().map_or(0, |plan| plan.billed);
        if let Some(quota) = budget.quota
            && pull.counts.billed - planning > quota + pull.counts.max_billed + pull.counts.billed_unseen
        {
            self.fail("keeps-its-quota", format!("{} units billed: {}", pull.counts.billed, pull.describe()));
        }
        if let Some(requests) = budget.requests
            && pull.counts.requests > requests
        {
            self.fail("keeps-its-requests", pull.describe());
        }
    }

    /// A plan is billed for one conversation at most, since no document says which request certainly costs nothing; and in
    /// a world that stands still nothing is billed beyond what it said. The client cannot read the price of
    /// a response that breaks
    /// off, and it is asked for again. The price is that of the pull before, which had not yet tried the gap that it has
    /// left: where even a window of another century holds conversations, the proof that the vendor answers costs something.
    fn bills_what_the_plan_said(&mut self, world: &World, pull: &FinishedPull) {
        let Some(plan) = &pull.counts.plan_result else { return };
        if plan.billed - plan.billed_unseen > MAX_CONVERSATION_PRICE {
            self.fail("plan-bills-next-to-nothing", format!("{} units: {}", plan.billed, pull.describe()));
        }
        let stands_still = |pull: &FinishedPull| {
            pull.is_quiet
                && pull.is_good()
                && pull.mode == SyncMode::Full
                && pull.fired == 0
                && pull.changes == 0
        };
        let stood_still =
            self.latest.as_ref().is_some_and(|before| stands_still(before) && !before.is_resumed);
        let unseen = pull.counts.billed_unseen - plan.billed_unseen;
        let billed = pull.counts.billed - pull.counts.billed_by_list - plan.billed - unseen;
        // A deployment that does not tell what it bills is not known to bill anything.
        let Some(price) = plan.price.filter(|price| *price > 0 && plan.mode == SyncMode::Full) else {
            return;
        };
        let tries_in_vain = world.faults.has_unreadable() && world.vendor.properties().windows_hold_undated;
        if stands_still(pull) && stood_still && !tries_in_vain && billed > price {
            self.fail(
                "bills-what-the-plan-said",
                format!("{billed} units where {price} were said: {}", pull.describe()),
            );
        }
    }

    /// Where the vendor answers nothing from some request to the last one, it is down, and the pull records no gap.
    fn notes_no_gap_while_the_vendor_is_down(
        &mut self,
        world: &World,
        before: GapCounts,
        pull: &FinishedPull,
    ) {
        let is_nothing_else = pull.fired == pull.fired_down && !world.faults.has_unreadable();
        if pull.is_down && pull.fired_down > 0 && is_nothing_else && self.gaps.total() > before.total() {
            self.fail("no-gap-while-down", format!("{:?} after {before:?}: {}", self.gaps, pull.describe()));
        }
    }

    /// Where gaps may stay, those that a pull leaves are accepted, and they alone make no pull short.
    fn keeps_accepted_gaps_out_of_the_verdict(&mut self, world: &World, pull: &FinishedPull) {
        let is_short =
            matches!(&pull.end, PullEnd::Verdict(Verdict::Short, Some((ErrorKind::Incomplete, _))));
        if !pull.action.accept_gaps || !(pull.is_good() || is_short) {
            return;
        }
        if self.gaps.open > 0 {
            self.fail("accepts-gaps", format!("{:?}: {}", self.gaps, pull.describe()));
        }
        let properties = world.vendor.properties();
        let is_exact =
            !properties.overcounts && !rows_can_shift(properties) && properties.shows_at_most.is_none();
        let may_mark = pull.action.accept_missing;
        if is_short && self.gaps.accepted > 0 && pull.is_quiet && pull.changes == 0 && is_exact && may_mark {
            self.fail("accepted-gaps-are-out-of-the-verdict", pull.describe());
        }
    }

    /// Where some records cannot be shown, every other one is archived, and the pull does not claim to be good.
    fn reads_around_what_is_dead(
        &mut self,
        world: &mut World,
        held: &BTreeMap<String, ArchivedConversation>,
        pull: &FinishedPull,
    ) {
        if !pull.is_quiet || !world.faults.has_unreadable() || pull.changes > 0 || pull.counts.limits > 0 {
            return;
        }
        let properties = world.vendor.properties();
        // Nobody looks for what a vendor has hidden, be it for one sweep, until the next one.
        if (self.seemed_empty && may_read_recent_only(properties, pull))
            || pull.vendor_seemed_empty
            || (properties.hides_the_rest && is_cut_short(world, pull))
        {
            return;
        }
        let lacks: Vec<_> = world
            .population
            .existing(pull.ended)
            .filter(|index| !world.faults.is_unreadable(*index))
            .filter(|index| {
                let conversation = &world.population.conversations[*index];
                is_in_scope(properties, conversation, pull.action.scope)
                    && shows(properties, conversation, pull.ended)
                    && !held.contains_key(&conversation.id)
                    // What was not shown yet when an earlier pull passed its position waits for the next sweep.
                    && (!pull.is_resumed || is_shown_throughout(properties, conversation, pull))
                    && !is_between_unreadable(world, *index, pull.ended)
                    && !is_out_of_reach(world, *index, pull.ended)
                    // What an earlier fault has left as a gap is tried again when it is due.
                    && !self.gap_bounds.iter().any(|gap| is_within(gap, conversation, properties, pull))
                    && self.row_claim(world, *index, pull) != RowClaim::Nothing
                    && is_in_look_back_window(properties, conversation, pull)
            })
            .collect();
        // Without dates or single records to ask for, a page is the smallest unit that can be left out.
        if !lacks.is_empty() && can_narrow(world) && !(rows_can_shift(properties) && properties.is_unstable) {
            let what = format!("{} others are not archived, such as {}", lacks.len(), lacks[0]);
            self.fail("reads-around-what-is-dead", format!("{what}: {}", pull.describe()));
            return;
        }
        let unread = world.population.existing(pull.ended).find(|index| {
            let conversation = &world.population.conversations[*index];
            world.faults.is_unreadable(*index)
                && is_in_scope(properties, conversation, pull.action.scope)
                && shows(properties, conversation, pull.ended)
                && !held.contains_key(&conversation.id)
                // What began earlier than a look-back was not asked for, unless a page with it failed.
                && (is_in_look_back_window(properties, conversation, pull) || pull.fired > 0)
        });
        if let Some(index) = unread
            && can_narrow(world)
            && self.gaps.accepted == 0
            && pull.verdict() != Some(Verdict::Short)
            // A vendor that answers nothing else is down, which is an error and no gap.
            && pull.counts.fine > 0
            // What slipped past the walk is not known to be dead, nor to exist.
            && (pull.counts.listed.contains(&index) || !(rows_can_shift(properties) && properties.is_unstable))
        {
            self.fail(
                "is-short-where-something-is-dead",
                format!("{index} cannot be read: {}", pull.describe()),
            );
        }
    }

    /// Once everything can be read again, no gap is open; while something cannot, one is.
    pub fn gaps_close(&mut self, world: &mut World, archive: &Path, scope: Scope) {
        let Some(pull) = self.latest.take() else { return };
        let properties = world.vendor.properties();
        let gaps = self.gaps.total();
        let held = self.reader.held(archive).unwrap_or_default();
        let unread = world.population.existing(pull.ended).any(|index| {
            let conversation = &world.population.conversations[index];
            world.faults.is_unreadable(index)
                && is_in_scope(properties, conversation, scope)
                && shows(properties, conversation, pull.ended)
                && !held.contains_key(&conversation.id)
        });
        if pull.counts.limits == 0 && can_narrow(world) {
            // A vendor that refuses pages from a ceiling on goes on refusing them; nobody can tell whether rows follow.
            // One that shows nothing of what is archived may hide the gap too: unless the user says that all of it may be
            // marked as missing, nobody can tell.
            let shows_nothing =
                pull.counts.delivered.is_empty() && !held.is_empty() && !pull.action.accept_missing;
            let may_stay = fills_what_is_shown(world, &pull) || shows_nothing;
            if gaps > 0 && !world.faults.has_unreadable() && !may_stay {
                self.fail("gaps-close", format!("{gaps} are open: {}", pull.describe()));
            }
            // Where rows change places, what was a gap may slip past the walk, and is not known to be there any longer;
            // nor is it known beyond a ceiling that looks like the end.
            let may_slip = rows_can_shift(properties) && properties.is_unstable;
            let is_hidden = properties.hides_the_rest && is_cut_short(world, &pull);
            if gaps == 0 && unread && pull.counts.fine > 0 && !may_slip && !is_hidden {
                self.fail("gaps-are-noted", pull.describe());
            }
        }
        self.latest = Some(pull);
    }

    /// Where a look-back is helped by a list of everything that fits one page, a message in an old conversation is found.
    fn finds_late_messages(
        &mut self,
        world: &mut World,
        held: &BTreeMap<String, ArchivedConversation>,
        pull: &FinishedPull,
    ) {
        let properties = world.vendor.properties();
        let begin = pull.sweep_start - properties.lag;
        // What cannot be read stays as it was, once that is accepted.
        let fits = fits_list(world, begin) && self.gaps.accepted == 0 && !lacks_list(properties, pull);
        if !pull.is_good()
            || pull.mode == SyncMode::Full
            || !fits
            || pull.is_resumed
            || pull.vendor_seemed_empty
        {
            return;
        }
        for index in 0..world.population.conversations.len() {
            let conversation = &world.population.conversations[index];
            // One that did not arrive may be in a gap that was accepted.
            let may_be_gap = self.gaps.accepted > 0 && !pull.counts.delivered.contains_key(&index);
            if may_be_gap
                || !conversation.exists_throughout(begin, pull.ended)
                || !world.vendor.list_shows(index, Change::Reply)
                || !shows(properties, conversation, begin)
            {
                continue;
            }
            let (id, first) = (conversation.id.clone(), conversation.version_at(begin));
            let Some(version) =
                held.get(&id).and_then(|held| held.shown).and_then(|hash| self.version(world, index, hash))
            else {
                continue;
            };
            let later = world.population.conversations[index].versions.get(version + 1..=first);
            if later.is_some_and(|later| later.iter().any(|version| version.cause == Change::Reply)) {
                self.fail("finds-late-messages", format!("{id:?} lacks a message: {}", pull.describe()));
            }
        }
    }

    /// Shortly after a sweep of everything no other is due: not after one whose missing marks were refused, either.
    pub fn does_not_sweep_again(&mut self, world: &mut World, _archive: &Path, scope: Scope) {
        let Some(pull) = self.latest.take() else { return };
        let is_paged = world.vendor.properties().paging != Paging::Whole;
        let can_read_less = world.vendor.properties().can_read_less;
        // A page that is read again for one conversation costs nothing but a request; a metered vendor bills all of it.
        let is_metered = world.vendor.properties().quota.is_some();
        let may_not = is_metered || pull.mode == SyncMode::Full;
        // A ceiling may leave a gap, which is tried again.
        let is_quiet = self.was_full && !world.faults.has_unreadable() && !fills_what_is_shown(world, &pull);
        if scope.is_whole() && is_paged && can_read_less && is_quiet && may_not {
            let old = pull.started - (i64::from(pull.look_back_days) + 3) * DAY;
            // What changed within minutes of the latest change is looked at once more, and so is what changed as long before
            // that as the sweep took: nobody knows when in the sweep it was read. An export leaves out conversations in which
            // no customer wrote, and so shows no change of theirs.
            let conversation = |index: usize| &world.population.conversations[index];
            let existing = world.population.existing(pull.started).map(conversation);
            let visible = existing.filter(|one| shows(world.vendor.properties(), one, pull.started));
            let newest = visible.map(|one| one.current().content.updated).max().unwrap_or(pull.started);
            let old = old.min(newest - 10 * MINUTE - self.previous_sweep_time - 2 * SECOND);
            let again = pull.counts.delivered.keys().find(|index| {
                let conversation = &world.population.conversations[**index];
                // The export leaves out what no customer wrote in: it was not read before, and is free.
                conversation.is_dated
                    && shows(world.vendor.properties(), conversation, pull.started)
                    // Where a row shows when it was last modified, and the conversation shows when its last message came,
                    // a rating after that message looks like a change, once.
                    && (conversation.current().cause.is_activity() || !world.vendor.properties().finds_changes_by_list)
                    // Where the last messages came in one second, a row shows another number of them and the same time, and
                    // where it shows no time, another number alone: nobody can tell that a sweep has read the later ones, and
                    // they are read once more.
                    && !(world.vendor.properties().finds_changes_by_list && came_in_one_second(conversation))
                    && !(conversation.versions.len() > 1 && shows_number_alone(world, **index))
                    && conversation.created < old
                    && conversation.current().from < old
                    && conversation.current().content.updated < old
            });
            if let Some(index) = again {
                self.fail(
                    "does-not-sweep-again-at-once",
                    format!("reads {index} again: {}", pull.describe()),
                );
            }
        }
        self.latest = Some(pull);
    }

    /// In a quiet world everything that exists is archived as it is now, once a full sweep was due.
    pub fn convergence(&mut self, world: &mut World, archive: &Path, scope: Scope) {
        let Some(pull) = self.latest.take() else { return };
        let properties = world.vendor.properties();
        let Ok(held) = self.reader.held(archive) else {
            self.fail("archive-opens", "there is no archive after quiet pulls".to_owned());
            return;
        };
        let ended =
            matches!(pull.verdict(), Some(Verdict::Complete | Verdict::Unprovable | Verdict::GrewDuringRun));
        let is_refused =
            matches!(&pull.end, PullEnd::Verdict(Verdict::Short, Some((ErrorKind::Incomplete, _))));
        // One that was held up is due again as long after its beginning.
        self.was_full = pull.mode == SyncMode::Full && (ended || is_refused) && !pull.is_resumed;
        // The vendor's own limits end what could be read; an honest end of a part is no claim.
        let is_cut_short = is_cut_short(world, &pull);
        // A sweep that began earlier, and that the vendor's limits held up, is only now at its end.
        if pull.counts.limits > 0 || pull.is_resumed || (is_cut_short && !pull.is_good()) {
            self.latest = Some(pull);
            return;
        }
        // A gap that was tried twice in vain is left alone for an hour, and longer each time, so that what cannot be read
        // costs little. A full sweep that is due again within the hour comes before that.
        let waiting = match self.reader.bounds_tried_again(archive) {
            Ok(gaps) if pull.action.pause < HOUR => gaps,
            _ => Vec::new(),
        };
        let now = pull.ended;
        let indexes: Vec<usize> = world.population.existing(now).collect();
        for index in indexes {
            let conversation = &world.population.conversations[index];
            let cannot_be_read =
                world.faults.is_unreadable(index) || (world.faults.has_unreadable() && !can_narrow(world));
            let cannot_be_read = cannot_be_read || is_between_unreadable(world, index, now);
            if cannot_be_read
                || !is_in_scope(properties, conversation, scope)
                || !shows(properties, conversation, now)
            {
                continue;
            }
            let (id, current) = (conversation.id.clone(), conversation.versions.len() - 1);
            let was_read = pull.counts.delivered.contains_key(&index);
            let may_slip = rows_can_shift(properties) && properties.is_unstable;
            if !(was_read || may_slip || is_cut_short || world.faults.has_unreadable()) && pull.is_good() {
                self.fail("sweeps-fully-when-due", format!("{id:?} was not read: {}", pull.describe()));
            }
            // An accepted gap stays as it is, and where nobody can narrow it, so does what is around.
            let is_hidden = (is_cut_short && properties.hides_the_rest) || self.gaps.accepted > 0;
            let is_waiting =
                waiting.iter().any(|gap| matches!(gap, GapBounds::Record { id: of } if of.as_str() == id));
            let excused = (may_slip || is_hidden || is_waiting) && !was_read;
            let hash = self.hash(world, index, current);
            match held.get(&id) {
                _ if excused => {}
                None => self.fail("converges", format!("{id:?} is not archived: {}", pull.describe())),
                Some(held) if held.shown != Some(hash) => {
                    self.fail(
                        "converges",
                        format!("{id:?} is archived as it was earlier: {}", pull.describe()),
                    );
                }
                Some(held) if held.is_missing => {
                    self.fail(
                        "marks-only-what-is-gone",
                        format!("{id:?}, in a quiet world: {}", pull.describe()),
                    );
                }
                Some(_) => {}
            }
        }
        self.latest = Some(pull);
    }

    /// What was deleted is marked as missing after two more full sweeps that could have seen it. One that had to leave a
    /// gap, accepted or not, could not: what it did not see may be in the gap. The vendor's limits may have refused one.
    pub fn deleted_are_missing(&mut self, world: &mut World, archive: &Path, scope: Scope) {
        let Some(pull) = self.latest.take() else { return };
        let Ok(held) = self.reader.held(archive) else { return };
        let properties = world.vendor.properties();
        // A sweep that was held up may have seen what was deleted meanwhile.
        let is_whole =
            pull.is_good() && pull.mode == SyncMode::Full && !pull.is_resumed && self.gaps.total() == 0;
        if scope.is_whole() && is_whole {
            for (id, _) in held.iter().filter(|(_, held)| !held.is_missing) {
                let Some(index) = world.population.index_of(id) else { continue };
                let conversation = &world.population.conversations[index];
                // Where a conversation is looked for on its day, one without a date cannot be shown to be gone.
                // Where rows change places, one that is on no page of its days may have been on another one each time.
                let is_askable = !properties.searches_by_day
                    || (conversation.is_dated && !may_slip_in_its_days(world, index, &pull));
                let is_past = |began: &Instant| {
                    conversation.deleted.is_some_and(|deleted| deleted <= began - properties.lag)
                };
                let sweeps = self.whole_sweeps.iter().filter(|began| is_past(began)).count();
                if is_askable && sweeps >= 2 {
                    self.fail("deleted-are-missing", format!("{id:?} is not marked: {}", pull.describe()));
                }
            }
        }
        self.latest = Some(pull);
    }
}

/// Returns whether a list that is apart from the export shows everything on one page.
fn fits_list(world: &World, at: Instant) -> bool {
    let page = world.vendor.properties().list_page;
    page.is_some_and(|page| world.population.existing(at).count() <= page)
}

/// Returns whether a pull had to do without a list that is apart from the export: it was asked for, and each request went
/// wrong, or it costs units of the quota. What it would have told waits for a later pull.
fn lacks_list(properties: Properties, pull: &FinishedPull) -> bool {
    let has_failed = pull.fired > 0 && pull.counts.by_kind.contains_key(&RequestKind::List);
    pull.counts.listed.is_empty() && (has_failed || properties.list_is_billed)
}

/// Returns whether something that existed is gone, or is shown no longer.
fn has_lost(world: &World, pull: &FinishedPull) -> bool {
    let properties = world.vendor.properties();
    world.population.conversations.iter().any(|conversation| {
        let is_there = conversation.exists(pull.ended) && shows(properties, conversation, pull.ended);
        conversation.created <= pull.ended && !is_there
    })
}

/// Returns whether a list shows how many messages a conversation has, and no time of them.
fn shows_number_alone(world: &World, index: usize) -> bool {
    let is_listed =
        world.vendor.properties().finds_changes_by_list && !world.vendor.list_shows_nothing(index);
    is_listed && !world.vendor.list_shows(index, Change::Reply)
}

/// Returns whether a conversation changed last in the second of the change before.
fn came_in_one_second(conversation: &Conversation) -> bool {
    let mut seconds = conversation.versions.iter().rev().map(|version| version.from.div_euclid(SECOND));
    seconds.next() == seconds.next()
}

/// Returns whether there is more than the vendor shows at all.
fn is_cut_short(world: &World, pull: &FinishedPull) -> bool {
    let most = world.vendor.properties().shows_at_most;
    most.is_some_and(|most| world.population.existing(pull.ended).count() > most)
}

/// Returns whether there is as much as the vendor shows, or more.
fn fills_what_is_shown(world: &World, pull: &FinishedPull) -> bool {
    let most = world.vendor.properties().shows_at_most;
    most.is_some_and(|most| world.population.existing(pull.ended).count() >= most)
}

/// Returns whether a conversation lies between two that cannot be shown and began in the same second; or, where it does not
/// say when it began and no window holds such, between any two. Where each window holds such, they come before all that began
/// in its seconds, and whether they can be shown or not, to read past them would bill all of them again with each try. Where
/// no list names it, nobody can ask for it: no window and no cursor leads between them. A list that bills each of its rows
/// is not read, since nobody knows what it would cost to come to the one that matters. Where there is nothing to ask for but
/// windows of time, which are bounded by whole seconds, one that cannot be shown hides what began in its second and comes
/// after it.
fn is_between_unreadable(world: &World, index: usize, at: Instant) -> bool {
    let properties = world.vendor.properties();
    let of = |index: usize| &world.population.conversations[index];
    let is_beside = |other: &usize| (of(*other).created - of(index).created).abs() < SECOND;
    if properties.narrows_by_time_alone || dead_fail_summaries(world) {
        let mut dead = world.population.existing(at).filter(|other| world.faults.is_unreadable(*other));
        return dead.any(|other| is_beside(&other));
    }
    let start = |index: usize| if of(index).is_dated { of(index).created } else { 0 };
    let key = |index: usize| (start(index), of(index).id.as_str());
    let is_in_no_window = !of(index).is_dated && !properties.windows_hold_undated;
    let second = |index: usize| of(index).is_dated.then(|| of(index).created.div_euclid(SECOND));
    let is_in_each = |other: usize| !of(other).is_dated && properties.windows_hold_undated;
    let is_near = |other: usize| is_in_no_window || second(other) == second(index) || is_in_each(other);
    let dead = |other: &usize| world.faults.is_unreadable(*other) && is_near(*other);
    let walls: Vec<usize> = world.population.existing(at).filter(dead).collect();
    let is_named =
        !properties.finds_changes_by_list || (properties.list_page.is_some() && !properties.list_is_billed);
    let is_behind_undated = of(index).is_dated && world.population.existing(at).any(is_in_each);
    !is_named
        && (is_behind_undated || walls.iter().any(|wall| key(*wall) < key(index)))
        && walls.iter().any(|wall| key(*wall) > key(index))
}

/// Returns whether all that can be shown can be asked for without what cannot.
fn can_narrow(world: &World) -> bool {
    let properties = world.vendor.properties();
    if dead_fail_summaries(world) { properties.narrows_by_time } else { properties.can_narrow }
}

/// Returns whether what cannot be shown hides the summaries beside it, too.
fn dead_fail_summaries(world: &World) -> bool {
    world.faults.dead_fail_summaries && world.vendor.properties().has_summaries
}

/// Returns whether a conversation may be beyond a ceiling in whatever way it is requested: the shortest window of days
/// that surely holds it has as many as the vendor shows, or it has no date. Neither the zone of the vendor's days nor
/// whether the last one is included is known, so such a window has three of them.
fn is_out_of_reach(world: &World, index: usize, at: Instant) -> bool {
    let properties = world.vendor.properties();
    let conversations = &world.population.conversations;
    let is_near =
        |other: &usize| (conversations[*other].created - conversations[index].created).abs() < 3 * DAY;
    properties.searches_by_day
        && properties.shows_at_most.is_some_and(|most| {
            world.population.existing(at).count() >= most
                && (!conversations[index].is_dated
                    || world.population.existing(at).filter(is_near).count() >= most)
        })
}

/// Returns whether a conversation may be within the bounds of a gap. Positions and the rest of a list excuse something only
/// where an earlier run of the same sweep left them to a fault, and this one resumes after them: a quiet walk from the
/// beginning reads around what is dead, and passes what earlier faults left there.
fn is_within(
    gap: &GapBounds,
    conversation: &Conversation,
    properties: Properties,
    pull: &FinishedPull,
) -> bool {
    match gap {
        GapBounds::Positions { .. } | GapBounds::Rest { .. } => pull.is_resumed,
        GapBounds::Record { .. } | GapBounds::Window { .. } => may_be_in(gap, conversation, properties),
    }
}

/// Returns whether a gap may have a conversation, by its bounds alone.
fn may_be_in(gap: &GapBounds, conversation: &Conversation, properties: Properties) -> bool {
    match gap {
        GapBounds::Record { id } => id.as_str() == conversation.id,
        GapBounds::Window { since, until } => {
            conversation.is_dated
                && since.is_none_or(|since| conversation.created >= since - properties.margin)
                && until.is_none_or(|until| conversation.created <= until + properties.margin)
        }
        GapBounds::Positions { .. } | GapBounds::Rest { .. } => true,
    }
}

/// Returns whether rows can slip through between two pages.
fn rows_can_shift(properties: Properties) -> bool {
    properties.paging == Paging::Offset
}

/// Returns whether the days around the beginning of a conversation have several pages whose rows change places.
fn may_slip_in_its_days(world: &World, index: usize, pull: &FinishedPull) -> bool {
    let properties = world.vendor.properties();
    let conversations = &world.population.conversations;
    let is_near =
        |other: &usize| (conversations[*other].created - conversations[index].created).abs() < 5 * DAY;
    rows_can_shift(properties)
        && properties.is_unstable
        && world.population.existing(pull.ended).filter(is_near).count() > properties.page_size
}

/// Returns whether the vendor shows a conversation at all.
fn shows(properties: Properties, conversation: &Conversation, at: Instant) -> bool {
    let messages = &conversation.at(at).content.messages;
    let is_silent = properties.skips_silent && !messages.iter().any(|message| message.is_customers);
    // What a response that is cut short leaves out is known from a list alone, which leaves out what has no message.
    let is_unlisted = properties.shows_at_most.is_some() && messages.is_empty();
    !(is_silent || is_unlisted)
}

/// Returns whether a pull surely asks for a conversation. One that looks back cannot know what slipped past an earlier one,
/// whose list changed while it was read.
fn is_in_look_back_window(properties: Properties, conversation: &Conversation, pull: &FinishedPull) -> bool {
    pull.mode != SyncMode::Recent
        || pull
            .recent_since
            .is_none_or(|since| conversation.is_dated && conversation.created >= since + properties.margin)
}

/// Returns whether a pull may read nothing but what began recently: one that reads a list does so where this is refused.
fn may_read_recent_only(properties: Properties, pull: &FinishedPull) -> bool {
    pull.mode == SyncMode::Recent || (pull.mode == SyncMode::Changes && properties.finds_changes_by_list)
}

/// Returns whether the vendor shows a conversation from the beginning of a sweep to its end.
fn is_shown_throughout(properties: Properties, conversation: &Conversation, pull: &FinishedPull) -> bool {
    let begin = pull.sweep_start - properties.lag;
    conversation.exists_throughout(begin, pull.ended) && shows(properties, conversation, begin)
}

/// Returns whether a conversation is surely in a scope.
fn is_in_scope(properties: Properties, conversation: &Conversation, scope: Scope) -> bool {
    let channel = || conversation.current().content.channel.as_deref().and_then(Channel::from_vendor_word);
    scope.since.is_none_or(|since| conversation.is_dated && conversation.created >= since + properties.margin)
        && scope.channel().is_none_or(|wanted| channel() == Some(wanted))
}

/// Returns whether no summary shows that a version is outdated: all activity before the sweep is in it, and title and
/// status are those of a state in the sweep.
fn looks_current(conversation: &Conversation, version: usize, first: usize, last: usize) -> bool {
    let versions = &conversation.versions;
    let lacks_activity = versions
        .get(version + 1..=first)
        .is_some_and(|later| later.iter().any(|version| version.cause.is_activity()));
    let summary = |version: usize| {
        let content = &versions[version].content;
        (&content.title, &content.status)
    };
    !lacks_activity && (first..=last).any(|later| summary(later) == summary(version))
}
