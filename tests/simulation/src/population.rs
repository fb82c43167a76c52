//! The conversations of an agent and what happens to them, whatever vendor shows them.
//!
//! Every earlier state is kept, so that the state of a conversation at any instant can be looked up.

use std::collections::BTreeMap;

use crate::random::Random;
use crate::time::{DAY, HOUR, Instant, MINUTE, SECOND};

/// A word in everything that people wrote. It must be in no error and in no note.
pub const MARKER: &str = "zqxtext";

/// The largest conversation in bytes that the client of a simulation takes.
pub const MAX_RECORD_BYTES: usize = 40_000;

/// All conversations of an agent.
#[derive(Debug, Default)]
pub struct Population {
    /// The conversations, those that were deleted included.
    pub conversations: Vec<Conversation>,
    index_by_id: BTreeMap<String, usize>,
    serial: u64,
    /// The conversations that are larger than a client takes.
    pub huge: Vec<usize>,
    /// Every change so far: when it happened, to which conversation, and what it was.
    pub changes: Vec<(Instant, usize, Change)>,
}

/// One conversation through time.
#[derive(Debug)]
pub struct Conversation {
    /// The vendor's id.
    pub id: String,
    /// When it began.
    pub created: Instant,
    /// Whether the vendor shows when it began.
    pub is_dated: bool,
    /// When the vendor first showed it.
    pub appeared: Instant,
    /// When it was deleted.
    pub deleted: Option<Instant>,
    /// Its states, the oldest first.
    pub versions: Vec<Version>,
}

/// A state of a conversation, and since when it lasts.
#[derive(Debug, Clone)]
pub struct Version {
    /// Its first instant.
    pub from: Instant,
    /// What led to it.
    pub cause: Change,
    /// What the conversation is.
    pub content: Content,
}

/// What a conversation is at some instant.
#[derive(Debug, Clone, Default)]
pub struct Content {
    /// The title.
    pub title: Option<String>,
    /// The vendor's word for its status.
    pub status: String,
    /// The vendor's word for its channel.
    pub channel: Option<String>,
    /// The vendor's id of the customer.
    pub user: Option<String>,
    /// The customer's name.
    pub name: Option<String>,
    /// When something last happened that the vendor counts as activity.
    pub updated: Instant,
    /// Feedback on the whole conversation.
    pub rating: Option<bool>,
    /// What was said.
    pub messages: Vec<Message>,
}

/// One message.
#[derive(Debug, Clone)]
pub struct Message {
    /// The vendor's id.
    pub id: String,
    /// Whether the customer wrote it.
    pub is_customers: bool,
    /// What was said.
    pub text: String,
    /// When.
    pub at: Instant,
    /// The customer's feedback on it.
    pub feedback: Option<bool>,
    /// The vendor's score of it, in thousandths.
    pub score: Option<u32>,
    /// Whether it is the work of a tool.
    pub is_tool: bool,
}

/// What can happen to a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// It began.
    Created,
    /// Somebody wrote. Counts as activity.
    Reply,
    /// The vendor dropped the last messages, because a reply was regenerated. Counts as activity.
    Truncated,
    /// It got another title.
    Title,
    /// It got another status.
    Status,
    /// A message got feedback; the vendor does not count this as activity.
    Feedback,
    /// A message got a score; the vendor does not count this as activity.
    Score,
    /// It was deleted.
    Deleted,
}

impl Change {
    /// Returns whether the vendor counts it as activity, so that the time of the last one moves.
    pub fn is_activity(self) -> bool {
        matches!(self, Self::Created | Self::Reply | Self::Truncated)
    }

    /// Returns whether a summary of the conversation shows it.
    pub fn is_summarised(self) -> bool {
        !matches!(self, Self::Feedback | Self::Score)
    }
}

/// What the conversations of a vendor look like: words, ids and possible changes.
#[derive(Debug, Clone, Copy)]
pub struct Profile {
    /// The vendor's words for channels, in and out of every list.
    pub channels: &'static [Option<&'static str>],
    /// The vendor's words for a status.
    pub statuses: &'static [&'static str],
    /// How many of a hundred conversations have a telephone number as id.
    pub telephone_ids: u64,
    /// How many of a hundred conversations have no date, in a world that has such.
    pub undated: u64,
    /// Whether messages can be cut off when a reply is regenerated.
    pub truncates: bool,
    /// Whether a status and a title can change.
    pub has_title_and_status: bool,
}

/// When a conversation comes into the world.
#[derive(Clone, Copy)]
struct Arrival {
    created: Instant,
    /// From when on the vendor shows it: always, if it is [`Instant::MIN`].
    appeared: Instant,
    now: Instant,
}

impl Population {
    /// Draws the conversations that an agent has at the beginning.
    pub fn draw(random: &mut Random, profile: &Profile, now: Instant) -> Self {
        let mut population = Self::default();
        let size = random.weighted(&[
            (4, (0, 0)),
            (6, (1, 1)),
            (34, (2, 20)),
            (30, (21, 60)),
            (15, (61, 200)),
            (10, (201, 420)),
            (1, (600, 1_100)),
        ]);
        let size = random.between(size.0, size.1).unsigned_abs();
        let odd_ids = random.pick(&[0, 0, 5, 40]);
        let undated = if random.percent(30) { profile.undated } else { 0 };
        for created in beginnings(random, size, now) {
            population.add(
                random,
                profile,
                Arrival { created, appeared: Instant::MIN, now },
                odd_ids,
                undated,
            );
        }
        if random.percent(4) && !population.conversations.is_empty() {
            let index = random.index(population.conversations.len());
            let content = &mut population.conversations[index].versions[0].content;
            let text = format!("{MARKER} {}", "long ".repeat(MAX_RECORD_BYTES / 5));
            content.messages.push(Message {
                id: "msg_huge".to_owned(),
                is_customers: true,
                text,
                at: content.updated,
                feedback: None,
                score: None,
                is_tool: false,
            });
            population.huge.push(index);
        }
        if random.per_mille(3) {
            // Two thousand in one second, as an import makes them.
            let at = now - random.between(1, 700) * DAY;
            for _ in 0..random.between(1_800, 2_300) {
                let created = at + random.between(0, SECOND - 1);
                population.add(random, profile, Arrival { created, appeared: Instant::MIN, now }, 0, 0);
            }
        }
        population
    }

    /// Adds a conversation.
    fn add(
        &mut self,
        random: &mut Random,
        profile: &Profile,
        arrival: Arrival,
        odd_ids: u64,
        undated: u64,
    ) -> usize {
        let Arrival { created, appeared, now } = arrival;
        self.serial += 1;
        let id = id(random, profile, self.serial, created, odd_ids);
        let mut content = Content {
            title: random.percent(70).then(|| format!("Order {} {MARKER}", self.serial)),
            status: random.pick(profile.statuses).to_owned(),
            channel: random.pick(profile.channels).map(str::to_owned),
            user: random.percent(20).then(|| format!("user_{}", self.serial % 7)),
            name: random.percent(30).then(|| format!("Ada {MARKER} {}", self.serial)),
            updated: created,
            rating: None,
            messages: Vec::new(),
        };
        // Nobody has written yet what comes later than now.
        let latest = if appeared == Instant::MIN { (created + 2 * DAY).min(now) } else { created };
        for _ in 0..random.weighted(&[(1, 0), (3, 1), (4, 2), (2, 4), (1, 9)]) {
            let step = random.pick(&[0, 0, SECOND / 3, 9 * SECOND, 4 * MINUTE, 3 * HOUR]);
            let at = (content.updated + step).min(latest);
            self.add_message(random, &mut content, at);
        }
        let version = Version { from: appeared, cause: Change::Created, content };
        let is_dated = !random.percent(undated);
        let index = self.conversations.len();
        self.index_by_id.insert(id.clone(), index);
        let versions = vec![version];
        self.conversations.push(Conversation { id, created, is_dated, appeared, deleted: None, versions });
        index
    }

    /// Adds a message to a conversation.
    fn add_message(&mut self, random: &mut Random, content: &mut Content, at: Instant) {
        self.serial += 1;
        let is_customers =
            content.messages.last().is_some_and(|last| !last.is_customers) || random.percent(30);
        let texts = ["Hello", "Wo bleibt 📦?", "a\\\"b\n</p>", "", "مرحبا", "null"];
        content.messages.push(Message {
            id: format!("msg_{}", self.serial),
            is_customers,
            text: format!("{MARKER} {}{}", random.pick(&texts), self.serial),
            at,
            feedback: None,
            score: None,
            is_tool: !is_customers && random.percent(10),
        });
        content.updated = content.updated.max(at);
    }

    /// Returns the index of the conversation with an id.
    pub fn index_of(&self, id: &str) -> Option<usize> {
        self.index_by_id.get(id).copied()
    }

    /// Returns the indexes of all conversations that exist at an instant.
    pub fn existing(&self, at: Instant) -> impl Iterator<Item = usize> + '_ {
        (0..self.conversations.len()).filter(move |index| self.conversations[*index].exists(at))
    }

    /// Lets a new conversation begin.
    pub fn begin_conversation(&mut self, random: &mut Random, profile: &Profile, now: Instant) -> usize {
        let index =
            self.add(random, profile, Arrival { created: now, appeared: now, now }, 5, profile.undated);
        self.changes.push((now, index, Change::Created));
        index
    }

    /// Deletes a conversation.
    pub fn delete(&mut self, index: usize, now: Instant) {
        let conversation = &mut self.conversations[index];
        if conversation.deleted.is_none() {
            conversation.deleted = Some(now);
            self.changes.push((now, index, Change::Deleted));
        }
    }

    /// Lets something happen to a conversation.
    pub fn apply_change(
        &mut self,
        random: &mut Random,
        profile: &Profile,
        index: usize,
        change: Change,
        now: Instant,
    ) {
        let mut content = self.conversations[index].current().content.clone();
        let answers = |message: &&mut Message| !message.is_customers && !message.is_tool;
        match change {
            Change::Deleted => return self.delete(index, now),
            Change::Created => return,
            Change::Reply => {
                for _ in 0..random.between(1, 3) {
                    self.add_message(random, &mut content, now);
                }
            }
            Change::Truncated => {
                let length = content.messages.len();
                content.messages.truncate(length.saturating_sub(1));
                content.updated = now;
            }
            Change::Title => content.title = Some(format!("Renamed {} {MARKER}", random.below(9))),
            Change::Status => random.pick(profile.statuses).clone_into(&mut content.status),
            Change::Feedback => match content.messages.iter_mut().rfind(answers) {
                Some(answer) => answer.feedback = Some(!answer.feedback.unwrap_or(false)),
                None => content.rating = Some(!content.rating.unwrap_or(false)),
            },
            Change::Score => match content.messages.iter_mut().rfind(answers) {
                Some(answer) => answer.score = Some(random.below(1_001) as u32),
                None => content.rating = Some(!content.rating.unwrap_or(false)),
            },
        }
        self.conversations[index].versions.push(Version { from: now, cause: change, content });
        self.changes.push((now, index, change));
    }

    /// Draws a change and applies it. Conversations of the latest response are chosen often, and so are those
    /// with a message in the same second. At most `max_at_once` conversations begin at once.
    pub fn draw_change(
        &mut self,
        random: &mut Random,
        profile: &Profile,
        recently_served: &[usize],
        now: Instant,
        max_at_once: usize,
    ) {
        let just_wrote = |index: &&usize| {
            let conversation = &self.conversations[**index];
            let updated = conversation.current().content.updated;
            conversation.exists(now) && updated.div_euclid(SECOND) == now.div_euclid(SECOND)
        };
        let again = recently_served.iter().find(just_wrote).copied().filter(|_| random.percent(60));
        if let Some(index) = again {
            return self.apply_change(random, profile, index, Change::Reply, now);
        }
        let change = random.weighted(&[
            (25, Change::Created),
            (30, Change::Reply),
            (if profile.truncates { 5 } else { 0 }, Change::Truncated),
            (if profile.has_title_and_status { 5 } else { 0 }, Change::Title),
            (if profile.has_title_and_status { 5 } else { 0 }, Change::Status),
            (10, Change::Feedback),
            (5, Change::Score),
            (15, Change::Deleted),
        ]);
        if change == Change::Created {
            let burst: usize = random.weighted(&[(9, 1), (1, 30)]);
            for _ in 0..max_at_once.min(burst) {
                self.begin_conversation(random, profile, now);
            }
            return;
        }
        let index = if !recently_served.is_empty() && random.percent(60) {
            recently_served[random.index(recently_served.len())]
        } else {
            random.index(self.conversations.len())
        };
        if self.conversations.get(index).is_some_and(|conversation| conversation.exists(now)) {
            self.apply_change(random, profile, index, change, now);
        }
    }
}

impl Conversation {
    /// Returns whether it exists at an instant.
    pub fn exists(&self, at: Instant) -> bool {
        self.appeared <= at && self.deleted.is_none_or(|deleted| at < deleted)
    }

    /// Returns whether it exists from one instant to another without a break.
    pub fn exists_throughout(&self, from: Instant, to: Instant) -> bool {
        self.exists(from) && self.exists(to)
    }

    /// Returns its latest state.
    pub fn current(&self) -> &Version {
        &self.versions[self.versions.len() - 1]
    }

    /// Returns the number of its state at an instant.
    pub fn version_at(&self, at: Instant) -> usize {
        self.versions.iter().rposition(|version| version.from <= at).unwrap_or(0)
    }

    /// Returns its state at an instant.
    pub fn at(&self, at: Instant) -> &Version {
        &self.versions[self.version_at(at)]
    }
}

/// Draws when conversations began: years of silence, and many in one second.
fn beginnings(random: &mut Random, size: u64, now: Instant) -> Vec<Instant> {
    let mut beginnings = Vec::new();
    while (beginnings.len() as u64) < size {
        let left = size - beginnings.len() as u64;
        let some = 1 + random.below(left);
        let until = now - random.pick(&[0, 0, HOUR, 3 * DAY, 40 * DAY, 400 * DAY, 1_000 * DAY]);
        let span =
            random.pick(&[1, SECOND / 2, SECOND, 40 * SECOND, HOUR, DAY, 30 * DAY, 700 * DAY, 1_500 * DAY]);
        // Whole seconds, so that an instant is often exactly the bound of a window.
        let round = if random.percent(40) { SECOND } else { 1 };
        let start = until - span - until.rem_euclid(if random.percent(50) { DAY } else { SECOND });
        for _ in 0..some {
            let at = start + random.between(0, span - 1);
            beginnings.push((at - at.rem_euclid(round)).min(now));
        }
    }
    if random.percent(50) {
        beginnings.sort_unstable();
    }
    beginnings
}

/// Draws an id.
fn id(random: &mut Random, profile: &Profile, serial: u64, created: Instant, odd: u64) -> String {
    let number = 15_550_000_000 + serial;
    if random.percent(profile.telephone_ids) {
        return format!("+{number}");
    }
    if random.percent(odd) {
        let plain = created / SECOND;
        return match random.below(12) {
            0 if serial < 40 => "..".repeat(serial as usize),
            1 => format!("a/{serial}"),
            2 => format!("ada{serial}@example.com"),
            3 => format!("with space {serial}"),
            4 => format!("ünï-📦-{serial}"),
            5 => format!("50%25{serial}"),
            6 => format!("?a=b&c={serial}#d"),
            7 => format!("../up/{serial}"),
            8 => format!("a,b{serial}"),
            9 => format!("plus+{serial}"),
            _ => format!("wa_{number}_{plain}"),
        };
    }
    if random.percent(10) {
        return format!("wa_{number}_{}", created / SECOND);
    }
    let bits = (random.bits(), random.bits());
    format!(
        "{:08x}-{:04x}-4{:03x}-9{:03x}-{:012x}",
        bits.0 >> 32,
        bits.0 & 0xFFFF,
        bits.1 >> 52,
        bits.1 & 0xFFF,
        serial
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROFILE: Profile = Profile {
        channels: &[None, Some("API")],
        statuses: &["ongoing"],
        telephone_ids: 5,
        undated: 0,
        truncates: true,
        has_title_and_status: true,
    };

    #[test]
    fn every_state_can_be_asked() {
        let mut random = Random::new(3);
        let mut population = Population::draw(&mut random, &PROFILE, 1_790_000_000 * SECOND);
        let now = 1_790_000_000 * SECOND;
        let index = population.begin_conversation(&mut random, &PROFILE, now);
        let before = population.conversations[index].at(now).content.messages.len();
        population.apply_change(&mut random, &PROFILE, index, Change::Reply, now + 5);
        population.delete(index, now + 9);
        let conversation = &population.conversations[index];
        assert_eq!(conversation.at(now + 4).content.messages.len(), before);
        assert!(conversation.at(now + 5).content.messages.len() > before);
        assert!(
            conversation.exists(now + 8) && !conversation.exists(now + 9) && !conversation.exists(now - 1)
        );
        assert_eq!(population.index_of(&conversation.id), Some(index));
    }

    #[test]
    fn ids_are_unique() {
        for seed in 0..200 {
            let population = Population::draw(&mut Random::new(seed), &PROFILE, 1_790_000_000 * SECOND);
            assert_eq!(population.index_by_id.len(), population.conversations.len(), "{seed}");
        }
    }
}
