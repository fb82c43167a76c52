//! What the user does: the pulls, the conditions under which each runs, and the time between them.

use std::time::Duration;

use chatark_core::Channel;
use chatark_http::BudgetLimits;

use crate::random::Random;
use crate::time::{DAY, HOUR, Instant, MINUTE, SECOND, Span};
use crate::transport::PullConditions;

/// What a pull asks for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Scope {
    /// Only conversations that began at or after this instant.
    pub since: Option<Instant>,
    /// Whether only conversations of WhatsApp are requested.
    pub is_of_channel: bool,
}

/// A pull, and the time before it.
#[derive(Debug, Clone)]
pub struct Action {
    /// How much time passes before it.
    pub pause: Span,
    /// How often something happens to a conversation in this time.
    pub changes: u64,
    /// What it asks for.
    pub scope: Scope,
    /// Whether it reads everything again.
    pub full: bool,
    /// Whether more than a tenth may be marked as missing.
    pub accept_missing: bool,
    /// Whether what cannot be read may stay unread.
    pub accept_gaps: bool,
    /// Whether the user asks for its plan first.
    pub asks_for_plan: bool,
    /// Its budget.
    pub budget: BudgetLimits,
    /// The conditions under which it runs.
    pub conditions: PullConditions,
}

/// Everything that the user does.
#[derive(Debug, Clone)]
pub struct Schedule {
    /// The pulls while faults and changes happen.
    pub actions: Vec<Action>,
    /// What the pulls ask for once the world is quiet.
    pub quiet: Scope,
    /// Whether more than a tenth may be marked as missing once the world is quiet.
    pub accepts_missing: bool,
    /// Whether what cannot be read may stay unread once the world is quiet.
    pub accepts_gaps: bool,
    /// Whether plans are asked for once the world is quiet.
    pub asks_for_plan: bool,
    /// After how many days everything is read again.
    pub full_sweep_days: u32,
    /// How many days a pull looks back.
    pub look_back_days: u32,
    /// How often a request is tried.
    pub attempts: u32,
}

impl Scope {
    /// Returns the channel that is asked for.
    pub fn channel(self) -> Option<Channel> {
        self.is_of_channel.then_some(Channel::WhatsApp)
    }

    /// Returns whether everything is asked for.
    pub fn is_whole(self) -> bool {
        self == Self::default()
    }
}

impl Schedule {
    /// Draws what the user does.
    pub fn draw(random: &mut Random, now: Instant, is_metered: bool) -> Self {
        let midnight = now - now.rem_euclid(DAY);
        let since = Some(random.pick(&[
            midnight - 900 * DAY,
            midnight - 60 * DAY,
            midnight - 3 * DAY,
            midnight + HOUR,
        ]));
        let windowed = Scope { since, is_of_channel: false };
        let of_channel = Scope { since: None, is_of_channel: true };
        let usual_scope = random.weighted(&[
            (60, None),
            (15, Some(Scope::default())),
            (12, Some(windowed)),
            (10, Some(of_channel)),
            (3, Some(Scope { since, is_of_channel: true })),
        ]);
        let pulls = random.weighted(&[(3, 1), (4, 2), (3, 3), (1, 5)]);
        let actions = (0..pulls)
            .map(|number| {
                let mixed = random.weighted(&[(8, Scope::default()), (1, windowed), (1, of_channel)]);
                Action::draw(random, number, usual_scope.unwrap_or(mixed), is_metered)
            })
            .collect();
        Self {
            actions,
            quiet: usual_scope.unwrap_or_default(),
            accepts_missing: random.percent(60),
            accepts_gaps: false,
            asks_for_plan: false,
            full_sweep_days: random.pick(&[0, 1, 7, 30]),
            look_back_days: random.pick(&[1, 7, 30]),
            attempts: random.pick(&[2_u32, 4, 6, 6]),
        }
    }
}

impl Schedule {
    /// Draws what the user accepts, whether plans are asked for, and whether a process begins with a wrong clock.
    pub fn draw_options(&mut self, random: &mut Random, is_metered: bool) {
        for action in &mut self.actions {
            action.accept_gaps = random.percent(10);
            action.asks_for_plan = is_metered && random.percent(15);
            if random.percent(4) {
                action.conditions.jump_at = Some((0, random.pick(&[3_653 * DAY, 3_653 * DAY, -400 * DAY])));
            }
        }
        self.accepts_gaps = random.percent(15);
        self.asks_for_plan = is_metered && random.percent(40);
    }
}

impl Action {
    fn draw(random: &mut Random, number: usize, scope: Scope, is_metered: bool) -> Self {
        let gaps = [0, SECOND, 30 * SECOND, 10 * MINUTE, 6 * HOUR, 2 * DAY, 10 * DAY, 45 * DAY];
        let draw_request = |random: &mut Random| random.pick(&[1, 1, 2, 3, 5, 8, 13, 30, 80]);
        let some = |is: bool, at: u64| is.then_some(at);
        let conditions = PullConditions {
            stop_at: some(random.percent(8), draw_request(random)),
            kill_at: some(random.percent(12), draw_request(random)),
            jump_at: random
                .percent(6)
                .then(|| (draw_request(random), random.pick(&[3_653 * DAY, -400 * DAY, 40 * DAY, -HOUR]))),
            changes_per_mille: random.pick(&[0, 0, 0, 20, 100, 500]),
            max_requests: u64::MAX,
        };
        let budget = BudgetLimits {
            requests: some(random.percent(8), draw_request(random)),
            quota: some(is_metered && random.percent(15), random.pick(&[1, 5, 20, 100])),
            duration: random.percent(4).then(|| Duration::from_secs(random.pick(&[1, 10, 300]))),
        };
        Self {
            pause: if number == 0 { 0 } else { random.pick(&gaps) },
            changes: if number == 0 { 0 } else { random.pick(&[0, 0, 1, 3, 12]) },
            scope,
            full: random.percent(12),
            accept_missing: random.percent(20),
            accept_gaps: false,
            asks_for_plan: false,
            budget,
            conditions,
        }
    }

    /// Returns a pull of a quiet world.
    pub fn quiet(schedule: &Schedule, pause: Span, max_requests: u64) -> Self {
        Self {
            pause,
            changes: 0,
            scope: schedule.quiet,
            full: false,
            accept_missing: schedule.accepts_missing,
            accept_gaps: schedule.accepts_gaps,
            asks_for_plan: schedule.asks_for_plan,
            budget: BudgetLimits::default(),
            conditions: PullConditions { max_requests, ..PullConditions::default() },
        }
    }
}
