//! What goes wrong between the walker and the vendor: by time, by kind of request, and by record.

use std::collections::{BTreeMap, BTreeSet};

use crate::population::Population;
use crate::random::Random;
use crate::time::{HOUR, Instant, MINUTE, SECOND, Span};
use crate::vendor::{RequestKind, VendorApi};

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// The vendor fails with 500.
    Error500,
    /// A gateway fails with 502.
    Error502,
    /// The vendor is under maintenance.
    Error503,
    /// There were too many requests.
    TooMany,
    /// The vendor wants a wait of half an hour.
    LongWait,
    /// The connection breaks in the body.
    Cut,
    /// The body ends early, and the connection is closed as if all were well.
    CutQuietly,
    /// There is no connection.
    Refused,
    /// The connection breaks before the response.
    Broken,
    /// A gateway answers 200 with a page of HTML.
    Html,
    /// The body arrives slowly.
    Slow,
    /// The body stops arriving.
    Stalled,
    /// The vendor refuses a cursor with 400, 404, 410 or 422.
    CursorRefused,
}

impl Fault {
    /// All kinds.
    pub const ALL: [Self; 13] = [
        Self::Error500,
        Self::Error502,
        Self::Error503,
        Self::TooMany,
        Self::LongWait,
        Self::Cut,
        Self::CutQuietly,
        Self::Refused,
        Self::Broken,
        Self::Html,
        Self::Slow,
        Self::Stalled,
        Self::CursorRefused,
    ];

    /// Returns whether it can happen to a kind of request of a vendor.
    pub fn fits(self, api: VendorApi, kind: RequestKind) -> bool {
        self != Self::CursorRefused
            || (api.has_cursors() && matches!(kind, RequestKind::LaterPage | RequestKind::List))
    }
}

/// How long a fault lasts once it has begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FaultDuration {
    Requests(u64),
    For(Span),
}

/// A fault that was drawn.
#[derive(Debug, Clone)]
struct DrawnFault {
    fault: Fault,
    kind: RequestKind,
    /// In which pull, and from which request of its kind on.
    pull: usize,
    nth: u64,
    lasts: FaultDuration,
    status: u16,
    began: Option<Instant>,
    left: u64,
}

/// A time in which the vendor is down, or rejects every key.
#[derive(Debug, Clone, Copy)]
struct Outage {
    pull: usize,
    nth: u64,
    lasts: Span,
    is_key: bool,
    began: Option<Instant>,
}

/// What fires at a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fired {
    /// A fault, and the status with which a cursor is refused.
    Fault(Fault, u16),
    /// The vendor is down.
    Down,
    /// The key has expired.
    KeyExpired,
}

/// Everything that goes wrong in a world.
#[derive(Debug, Default)]
pub struct Faults {
    drawn: Vec<DrawnFault>,
    outage: Option<Outage>,
    /// In which pull the vendor answers as if it had no conversations.
    empty_in_pull: Option<usize>,
    /// The conversations that the vendor cannot show with their messages.
    pub dead: BTreeSet<usize>,
    /// The conversations that are larger than a client takes.
    pub huge: BTreeSet<usize>,
    /// Whether dead ones stay so until the end.
    pub stays_dead: bool,
    /// Whether they fail a page of summaries as well.
    pub dead_fail_summaries: bool,
    pull: usize,
    requests_by_kind: BTreeMap<RequestKind, u64>,
    requests: u64,
    /// How often each fault was drawn and fired, for each kind of request.
    pub counts: BTreeMap<(Fault, RequestKind), FaultCount>,
    /// How often something fired in the present pull.
    pub fired: u64,
    /// Whether it was more than a client must survive that tries at least four times.
    pub is_heavy: bool,
    /// How often the vendor was down in the present pull.
    pub fired_down: u64,
    /// How many cursors were refused in the present pull.
    cursors_refused: u64,
    is_over: bool,
}

/// How often a fault was drawn, and how often it fired.
#[derive(Debug, Clone, Copy, Default)]
pub struct FaultCount {
    /// In how many worlds it was drawn.
    pub drawn: u64,
    /// How often it fired.
    pub fired: u64,
}

impl Faults {
    /// Draws the faults of a world with so many pulls.
    pub fn draw(random: &mut Random, api: VendorApi, population: &Population, pulls: usize) -> Self {
        let mut faults = Self::default();
        let number = if random.percent(25) { 0 } else { random.between(1, 5) };
        for _ in 0..number {
            let fault = random.pick(&Fault::ALL);
            let kind = random.pick(api.request_kinds());
            if !fault.fits(api, kind) {
                continue;
            }
            let lasts = random.weighted(&[
                (6, FaultDuration::Requests(1)),
                (3, FaultDuration::Requests(2)),
                (2, FaultDuration::Requests(5)),
                (2, FaultDuration::Requests(40)),
                (1, FaultDuration::For(5 * SECOND)),
                (1, FaultDuration::For(2 * MINUTE)),
                (1, FaultDuration::For(2 * HOUR)),
            ]);
            let (pull, nth) = (random.index(pulls), random.pick(&[1, 1, 1, 2, 2, 3, 5, 9]));
            let status = random.pick(&[400, 404, 410, 422]);
            faults.drawn.push(DrawnFault { fault, kind, pull, nth, lasts, status, began: None, left: 0 });
            faults.counts.entry((fault, kind)).or_default().drawn += 1;
        }
        if random.percent(12) {
            let lasts = random.pick(&[10 * SECOND, 10 * MINUTE, 5 * HOUR]);
            let (pull, nth) = (random.index(pulls), random.between(1, 12).unsigned_abs());
            faults.outage = Some(Outage { pull, nth, lasts, is_key: random.percent(25), began: None });
        }
        if random.percent(15) && !population.conversations.is_empty() {
            for _ in 0..random.pick(&[1, 1, 1, 2, 4]) {
                faults.dead.insert(random.index(population.conversations.len()));
            }
            faults.stays_dead = random.percent(60);
            // It follows from what was drawn, so that worlds which once failed stay as they were in all else.
            faults.dead_fail_summaries = faults.dead.iter().sum::<usize>().is_multiple_of(3);
        }
        faults.huge = population.huge.iter().copied().collect();
        faults
    }

    /// Draws whether there is a pull in which the vendor answers with status 200 as if it had no conversations.
    pub fn draw_empty_pull(&mut self, random: &mut Random, pulls: usize) {
        self.empty_in_pull = random.percent(4).then(|| random.index(pulls));
    }

    /// Returns whether the vendor answers as if it had no conversations in the present pull.
    pub fn vendor_seems_empty(&self) -> bool {
        !self.is_over && self.empty_in_pull == Some(self.pull)
    }

    /// Returns whether the vendor is down at an instant of the present pull.
    pub fn is_down(&self, now: Instant) -> bool {
        let lasts = |outage: &Outage| outage.began.is_some_and(|began| now < began + outage.lasts);
        !self.is_over && self.outage.is_some_and(|outage| !outage.is_key && lasts(&outage))
    }

    /// Returns whether a conversation cannot be read.
    pub fn is_unreadable(&self, index: usize) -> bool {
        self.dead.contains(&index) || self.huge.contains(&index)
    }

    /// Returns whether anything cannot be read.
    pub fn has_unreadable(&self) -> bool {
        !(self.dead.is_empty() && self.huge.is_empty())
    }

    /// Notes that a pull begins.
    pub fn begin_pull(&mut self, pull: usize) {
        (self.pull, self.requests, self.fired) = (pull, 0, 0);
        (self.is_heavy, self.cursors_refused, self.fired_down) = (false, 0, 0);
        self.requests_by_kind.clear();
        if self.vendor_seems_empty() {
            (self.fired, self.is_heavy) = (1, true);
        }
    }

    /// Ends all faults, apart from records that stay unreadable.
    pub fn end(&mut self) {
        self.is_over = true;
        if !self.stays_dead {
            self.dead.clear();
        }
    }

    /// Counts a request, and returns what goes wrong with it.
    pub fn fault_at(&mut self, kind: RequestKind, has_cursor: bool, now: Instant) -> Option<Fired> {
        self.requests += 1;
        let nth = self.requests_by_kind.entry(kind).or_default();
        *nth += 1;
        if self.is_over {
            return None;
        }
        if let Some(outage) = &mut self.outage {
            if outage.began.is_none() && outage.pull == self.pull && outage.nth <= self.requests {
                outage.began = Some(now);
            }
            if outage.began.is_some_and(|began| now < began + outage.lasts) {
                self.fired += 1;
                self.is_heavy = true;
                self.fired_down += u64::from(!outage.is_key);
                return Some(if outage.is_key { Fired::KeyExpired } else { Fired::Down });
            }
        }
        let (pull, nth) = (self.pull, *nth);
        for drawn in &mut self.drawn {
            if drawn.kind != kind || (drawn.fault == Fault::CursorRefused && !has_cursor) {
                continue;
            }
            if drawn.began.is_none() && drawn.pull == pull && drawn.nth <= nth {
                drawn.began = Some(now);
                drawn.left = if let FaultDuration::Requests(number) = drawn.lasts { number } else { 0 };
            }
            let Some(began) = drawn.began else { continue };
            let fires = match drawn.lasts {
                FaultDuration::Requests(_) => {
                    let fires = drawn.left > 0;
                    drawn.left = drawn.left.saturating_sub(1);
                    fires
                }
                FaultDuration::For(span) => now < began + span,
            };
            if fires {
                self.fired += 1;
                self.cursors_refused += u64::from(drawn.fault == Fault::CursorRefused);
                let lasts_shortly = match drawn.lasts {
                    FaultDuration::Requests(number) => number <= 2,
                    FaultDuration::For(_) => false,
                };
                let is_light = lasts_shortly && !matches!(drawn.fault, Fault::LongWait | Fault::Stalled);
                self.is_heavy |= !is_light || self.cursors_refused > 1 || self.fired > 3;
                self.counts.entry((drawn.fault, kind)).or_default().fired += 1;
                return Some(Fired::Fault(drawn.fault, drawn.status));
            }
        }
        None
    }

    /// Returns whether a response would show a record that the vendor cannot show, and counts that as a fault.
    pub fn fail_if_dead(&mut self, delivered: &[(usize, usize)], summaries: &[usize]) -> bool {
        let is_dead = delivered.iter().any(|(index, _)| self.dead.contains(index))
            || (self.dead_fail_summaries && summaries.iter().any(|index| self.dead.contains(index)));
        self.fired += u64::from(is_dead);
        self.is_heavy |= is_dead;
        is_dead
    }

    /// Returns whether there is a time in which the vendor answers nothing, or no key.
    pub fn has_outage(&self) -> bool {
        self.outage.is_some()
    }

    /// Writes what was drawn, for a report.
    pub fn describe(&self, population: &Population) -> String {
        let mut lines: Vec<String> = self
            .drawn
            .iter()
            .map(|drawn| {
                let DrawnFault { fault, kind, pull, nth, lasts, status, .. } = drawn;
                format!("{fault:?} at {kind:?}, pull {pull}, request {nth}, {lasts:?}, status {status}")
            })
            .collect();
        lines.extend(self.outage.map(|outage| format!("{outage:?}")));
        lines.extend(self.empty_in_pull.map(|pull| format!("nothing is shown in pull {pull}")));
        lines.extend(self.huge.iter().map(|index| format!("huge record {index}")));
        for index in &self.dead {
            let id = &population.conversations[*index].id;
            lines.push(format!("dead record {index} {id:?}, stays: {}", self.stays_dead));
        }
        lines.join("\n    ")
    }
}
