//! Chatbase API v1, as any deployment that its documents allow.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::{Value, json};

use super::{AGENT, Answer, ErrorText, Paging, Place, Request, Truth, Vendor};
use crate::population::{Conversation, Habits, Population};
use crate::random::Random;
use crate::time::{Bound, DAY, HOUR, Instant, MINUTE, SECOND, bound, written};
use crate::transport::KEY;

/// What conversations of Chatbase v1 are like.
pub const HABITS: Habits = Habits {
    channels: &[
        None,
        Some("API"),
        Some("WhatsApp"),
        Some("WhatsApp"),
        Some("Widget or Iframe"),
        Some("Widget or Iframe"),
        Some("Unspecified"),
        Some("Carrier pigeon"),
    ],
    statuses: &["-"],
    telephone_ids: 1,
    undated: 10,
    truncates: false,
    has_title_and_status: false,
};

/// A deployment.
#[derive(Debug)]
pub struct ChatbaseV1 {
    facts: Facts,
    served: u64,
    elements: BTreeMap<(usize, usize), Bytes>,
}

/// What was drawn of a deployment.
#[derive(Debug, Clone)]
struct Facts {
    order: Order,
    is_unstable: bool,
    /// The largest page, and whether more is refused or cut to it.
    largest: usize,
    refuses_larger: bool,
    past_the_end: PastTheEnd,
    start_inclusive: bool,
    end_inclusive: bool,
    /// How far the vendor's days are behind those of UTC.
    days_behind: Instant,
    filters_sources: bool,
    has_lower_case: bool,
    format: Format,
    has_mixed_formats: bool,
    has_updated_at: bool,
    has_last_message_at: bool,
    says_when: bool,
    /// The most conversations that pages reach, and whether more is refused; it looks like the end otherwise.
    ceiling: Option<(usize, bool)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Newest,
    Latest,
    Oldest,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PastTheEnd {
    Empty,
    NotFound,
    LastPage,
}

/// How times are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Milliseconds,
    Microseconds,
    Seconds,
    EpochSeconds,
    EpochMilliseconds,
    Postgres,
    MinutesInUtc,
    Minutes,
    Date,
    Rfc2822,
    JavaScript,
    Firestore,
}

impl Format {
    const ALL: [Self; 12] = [
        Self::Milliseconds,
        Self::Microseconds,
        Self::Seconds,
        Self::EpochSeconds,
        Self::EpochMilliseconds,
        Self::Postgres,
        Self::MinutesInUtc,
        Self::Minutes,
        Self::Date,
        Self::Rfc2822,
        Self::JavaScript,
        Self::Firestore,
    ];

    fn write(self, at: Instant) -> Value {
        let text = |format: &str| Value::from(written(at, format));
        match self {
            Self::Milliseconds => text("%Y-%m-%dT%H:%M:%S%.3fZ"),
            Self::Microseconds => text("%Y-%m-%dT%H:%M:%S%.6f+00:00"),
            Self::Seconds => text("%Y-%m-%dT%H:%M:%SZ"),
            Self::EpochSeconds => json!(at.div_euclid(SECOND)),
            Self::EpochMilliseconds => json!(at.div_euclid(1_000)),
            Self::Postgres => text("%Y-%m-%d %H:%M:%S+00"),
            Self::MinutesInUtc => text("%Y-%m-%dT%H:%MZ"),
            Self::Minutes => text("%Y-%m-%dT%H:%M"),
            Self::Date => text("%Y-%m-%d"),
            Self::Rfc2822 => text("%a, %d %b %Y %H:%M:%S +0000"),
            Self::JavaScript => text("%a %b %d %Y %H:%M:%S GMT+0000 (Coordinated Universal Time)"),
            Self::Firestore => {
                json!({"_seconds": at.div_euclid(SECOND), "_nanoseconds": at.rem_euclid(SECOND) * 1_000})
            }
        }
    }
}

impl ChatbaseV1 {
    /// Draws a deployment.
    pub fn draw(random: &mut Random) -> Self {
        let largest = random.weighted(&[(90, 100), (6, 50), (4, 10)]);
        let facts = Facts {
            order: random.weighted(&[(55, Order::Newest), (30, Order::Latest), (15, Order::Oldest)]),
            is_unstable: random.percent(25),
            largest,
            // A hundred is documented; less can only be a page that is cut.
            refuses_larger: largest == 100 && random.percent(50),
            past_the_end: random.weighted(&[
                (60, PastTheEnd::Empty),
                (20, PastTheEnd::NotFound),
                (20, PastTheEnd::LastPage),
            ]),
            start_inclusive: random.percent(85),
            end_inclusive: random.percent(60),
            days_behind: random.pick(&[0, 0, 0, 5 * HOUR, 8 * HOUR, -2 * HOUR, -9 * HOUR]),
            filters_sources: random.percent(75),
            has_lower_case: random.percent(25),
            format: if random.percent(50) { Format::Milliseconds } else { random.pick(&Format::ALL) },
            has_mixed_formats: random.percent(15),
            has_updated_at: random.percent(60),
            has_last_message_at: random.percent(60),
            says_when: random.percent(50),
            ceiling: random.percent(6).then(|| (random.pick(&[100, 200, 300]), random.percent(50))),
        };
        Self { facts, served: 0, elements: BTreeMap::new() }
    }

    fn refused(status: u16, message: &str) -> Answer {
        Answer::json(status, json!({"message": message}).to_string())
    }

    fn conversations(&mut self, request: &Request, population: &Population, now: Instant) -> Answer {
        let facts = self.facts.clone();
        let invalid = || Self::refused(400, "Invalid request data");
        let number = |name: &str, otherwise: usize| {
            request
                .parameter(name)
                .map_or(Some(otherwise), |text| text.parse().ok().filter(|number| *number > 0))
        };
        let (Some(page), Some(size)) = (number("page", 1), number("size", 10)) else { return invalid() };
        if size > facts.largest && facts.refuses_larger {
            return invalid();
        }
        let size = size.min(facts.largest);
        // An open question of the documents: whether `page` times `size` has a ceiling.
        let is_beyond = facts.ceiling.is_some_and(|(most, _)| page * size > most.max(size));
        if is_beyond && facts.ceiling.is_some_and(|(_, refuses)| refuses) {
            return invalid();
        }
        let day = |name: &str| match request.parameter(name).map(bound) {
            None => Ok(None),
            Some(Some(Bound::Day(day))) => Ok(Some(day + facts.days_behind)),
            Some(_) => Err(()),
        };
        let (Ok(since), Ok(until)) = (day("startDate"), day("endDate")) else { return invalid() };
        let since = since.map(|day| if facts.start_inclusive { day } else { day + DAY });
        let until = until.map(|day| if facts.end_inclusive { day + DAY } else { day });
        let sources = request.parameter("filteredSources").filter(|_| facts.filters_sources);
        let is_asked = |place: &usize| {
            let conversation = &population.conversations[*place];
            let is_dated = conversation.is_dated || (since.is_none() && until.is_none());
            is_dated
                && since.is_none_or(|since| conversation.created >= since)
                && until.is_none_or(|until| conversation.created < until)
                && sources.is_none_or(|sources| {
                    let word = conversation.at(now).content.channel.as_deref();
                    word.is_some_and(|word| {
                        sources.split(',').any(|source| source.eq_ignore_ascii_case(word))
                    })
                })
        };
        let mut rows: Vec<_> = population.existing(now).filter(is_asked).collect();
        self.order(population, &mut rows, now);
        let pages = rows.len().div_ceil(size).max(1);
        let page = match facts.past_the_end {
            PastTheEnd::NotFound if page > pages => return Self::refused(404, "Resource not found"),
            PastTheEnd::LastPage => page.min(pages),
            _ => page,
        };
        let start = if is_beyond { rows.len() } else { ((page - 1) * size).min(rows.len()) };
        let end = (start + size).min(rows.len());
        let mut answer = Answer::default();
        let mut body = String::from("{\"data\":[");
        for (at, place) in rows[start..end].iter().enumerate() {
            if at > 0 {
                body.push(',');
            }
            let version = population.conversations[*place].version_at(now);
            body.push_str(&String::from_utf8_lossy(&self.element(population, *place, version)));
            answer.delivered.push((*place, version));
        }
        body.push_str("]}");
        Answer { delivered: answer.delivered, matching: rows.len(), ..Answer::json(200, body) }
    }

    fn order(&self, population: &Population, rows: &mut Vec<usize>, now: Instant) {
        let mut keyed: Vec<_> = rows
            .iter()
            .map(|place| {
                let conversation = &population.conversations[*place];
                let at = match self.facts.order {
                    Order::Latest => conversation.at(now).content.updated,
                    Order::Newest | Order::Oldest => conversation.created,
                };
                let tie = if self.facts.is_unstable {
                    Random::new(self.served ^ ((*place as u64) << 20)).bits()
                } else {
                    0
                };
                let at = if self.facts.is_unstable { at.div_euclid(SECOND) } else { at };
                ((at, tie), conversation.id.as_str(), *place)
            })
            .collect();
        keyed.sort_unstable();
        if self.facts.order != Order::Oldest {
            keyed.reverse();
        }
        *rows = keyed.into_iter().map(|(.., place)| place).collect();
    }

    fn time(&self, place: usize, at: Instant) -> Value {
        let format = if self.facts.has_mixed_formats { Format::ALL[place % 12] } else { self.facts.format };
        format.write(at)
    }
}

fn word(channel: &str, is_lower_case: bool) -> String {
    if !is_lower_case {
        return channel.to_owned();
    }
    if channel == "Widget or Iframe" { "website".to_owned() } else { channel.to_lowercase() }
}

impl Vendor for ChatbaseV1 {
    fn answer(&mut self, request: &Request, population: &Population, now: Instant) -> Answer {
        self.served += 1;
        let path: Vec<_> = request.path.iter().map(String::as_str).collect();
        match path.as_slice() {
            ["get-conversations"] => match request.parameter("chatbotId") {
                Some(agent) if agent == AGENT => self.conversations(request, population, now),
                _ => Answer::json(200, r#"{"data":[]}"#.to_owned()),
            },
            ["get-chatbots"] => {
                let body = json!({"chatbots": {"data": [{"chatbot_id": AGENT, "name": "Shop"}]}});
                Answer::json(200, body.to_string())
            }
            _ => Self::refused(404, "Resource not found"),
        }
    }

    fn too_many(&mut self, _now: Instant) -> Answer {
        let mut answer = Self::refused(429, "Too many requests");
        if self.facts.says_when {
            answer.headers.push(("Retry-After", "7".to_owned()));
        }
        answer
    }

    fn error(&self, status: u16, kind: ErrorText) -> Answer {
        match kind {
            ErrorText::Key => Self::refused(status, &format!("No API key provided: {KEY}")),
            _ => Self::refused(status, "Internal server error"),
        }
    }

    fn place(&self, request: &Request) -> Place {
        if request.path.last().is_none_or(|last| last != "get-conversations") {
            Place::Other
        } else if request.parameter("page").is_none_or(|page| page == "1") {
            Place::FirstPage
        } else {
            Place::LaterPage
        }
    }

    fn element(&mut self, population: &Population, place: usize, version: usize) -> Bytes {
        if let Some(element) = self.elements.get(&(place, version)) {
            return element.clone();
        }
        let conversation: &Conversation = &population.conversations[place];
        let content = &conversation.versions[version].content;
        let messages: Vec<Value> = content
            .messages
            .iter()
            .map(|message| {
                let role = if message.is_customers { "user" } else { "assistant" };
                let mut value =
                    json!({"role": role, "content": message.text, "id": message.id, "type": "text"});
                if message.text.len().is_multiple_of(4) {
                    value = json!({"role": role, "content": message.text});
                }
                if let Some(score) = message.score {
                    value["score"] = json!(f64::from(score) / 1_000.0);
                }
                value
            })
            .collect();
        let scores = content.messages.iter().filter_map(|message| message.score).min();
        let mut value = json!({
            "id": conversation.id,
            "chatbot_id": AGENT,
            "source": content.channel.as_deref().map(|channel| word(channel, self.facts.has_lower_case)),
            "country": Value::Null,
            "customer": content.user,
            "min_score": scores.map(|score| f64::from(score) / 1_000.0),
            "form_submission": content.name.as_ref().map(|name| json!({"name": name})),
            "messages": messages,
        });
        if conversation.is_dated {
            value["created_at"] = self.time(place, conversation.created);
            if self.facts.has_updated_at {
                value["updated_at"] = self.time(place, content.updated);
            }
            if self.facts.has_last_message_at {
                value["last_message_at"] = self.time(place, content.updated);
            }
        }
        let element = Bytes::from(value.to_string());
        self.elements.insert((place, version), element.clone());
        element
    }

    fn truth(&self) -> Truth {
        let facts = &self.facts;
        let is_coarse = matches!(facts.format, Format::Date) || facts.has_mixed_formats;
        Truth {
            page: facts.largest,
            paging: Paging::Offset,
            is_by_activity: facts.order == Order::Latest,
            is_unstable: facts.is_unstable,
            counts: false,
            sends_count: false,
            overcounts: false,
            has_summaries: false,
            is_read_by_list: false,
            can_read_less: true,
            can_narrow: true,
            narrows_by_time_alone: false,
            narrows_by_time: false,
            is_documented: facts.largest == 100
                && facts.past_the_end == PastTheEnd::Empty
                && facts.format == Format::Milliseconds
                && !facts.has_mixed_formats
                && !facts.is_unstable
                && facts.ceiling.is_none(),
            has_short_pages: false,
            shows_at_most: facts
                .ceiling
                .map(|(most, _)| most / facts.largest.min(most) * facts.largest.min(most)),
            hides_the_rest: facts.ceiling.is_some_and(|(_, refuses)| !refuses),
            skips_silent: false,
            lag: 0,
            quota: None,
            list_page: None,
            windows_hold_undated: false,
            list_is_billed: false,
            has_known_clock: true,
            asks_by_day: true,
            finds_one: true,
            margin: if is_coarse { 2 * DAY } else { 2 * MINUTE },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_in_many_ways() {
        let at = 1_704_110_400 * SECOND;
        assert_eq!(Format::Postgres.write(at), "2024-01-01 12:00:00+00");
        assert_eq!(Format::Rfc2822.write(at), "Mon, 01 Jan 2024 12:00:00 +0000");
        assert_eq!(
            Format::JavaScript.write(at),
            "Mon Jan 01 2024 12:00:00 GMT+0000 (Coordinated Universal Time)"
        );
    }
}
