//! Chatbase API v1, as any deployment that its documents allow.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::{Value, json};

use super::{AGENT, ErrorCause, KEY, Paging, Properties, Request, RequestKind, Response, Vendor};
use crate::population::{Conversation, Population, Profile};
use crate::random::Random;
use crate::time::{Bound, DAY, HOUR, Instant, MINUTE, SECOND, Span, bound, written};

/// What conversations of Chatbase v1 are like.
pub const PROFILE: Profile = Profile {
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
    choices: Choices,
    served: u64,
    records: BTreeMap<(usize, usize), Bytes>,
}

/// The choices of a deployment where the documents are silent or contradict each other.
#[derive(Debug, Clone)]
struct Choices {
    order: Order,
    is_unstable: bool,
    /// The largest page, and whether more is refused or cut to it.
    max_page_size: usize,
    refuses_larger: bool,
    past_the_end: PastTheEnd,
    start_inclusive: bool,
    end_inclusive: bool,
    /// How far the vendor's days are behind those of UTC.
    days_behind: Span,
    filters_sources: bool,
    has_lower_case: bool,
    format: Format,
    has_mixed_formats: bool,
    has_updated_at: bool,
    has_last_message_at: bool,
    sends_retry_after: bool,
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
        let max_page_size = random.weighted(&[(90, 100), (6, 50), (4, 10)]);
        let choices = Choices {
            order: random.weighted(&[(55, Order::Newest), (30, Order::Latest), (15, Order::Oldest)]),
            is_unstable: random.percent(25),
            max_page_size,
            // A hundred is documented; less can only be a page that is cut.
            refuses_larger: max_page_size == 100 && random.percent(50),
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
            sends_retry_after: random.percent(50),
            ceiling: random.percent(6).then(|| (random.pick(&[100, 200, 300]), random.percent(50))),
        };
        Self { choices, served: 0, records: BTreeMap::new() }
    }

    fn refused(status: u16, message: &str) -> Response {
        Response::json(status, json!({"message": message}).to_string())
    }

    fn conversations(&mut self, request: &Request, population: &Population, now: Instant) -> Response {
        let choices = self.choices.clone();
        let invalid = || Self::refused(400, "Invalid request data");
        let number = |name: &str, otherwise: usize| {
            request
                .parameter(name)
                .map_or(Some(otherwise), |text| text.parse().ok().filter(|number| *number > 0))
        };
        let (Some(page), Some(size)) = (number("page", 1), number("size", 10)) else { return invalid() };
        if size > choices.max_page_size && choices.refuses_larger {
            return invalid();
        }
        let size = size.min(choices.max_page_size);
        // An open question of the documents: whether `page` times `size` has a ceiling.
        let is_beyond = choices.ceiling.is_some_and(|(most, _)| page * size > most.max(size));
        if is_beyond && choices.ceiling.is_some_and(|(_, refuses)| refuses) {
            return invalid();
        }
        let day = |name: &str| match request.parameter(name).map(bound) {
            None => Ok(None),
            Some(Some(Bound::Day(day))) => Ok(Some(day + choices.days_behind)),
            Some(_) => Err(()),
        };
        let (Ok(since), Ok(until)) = (day("startDate"), day("endDate")) else { return invalid() };
        let since = since.map(|day| if choices.start_inclusive { day } else { day + DAY });
        let until = until.map(|day| if choices.end_inclusive { day + DAY } else { day });
        let sources = request.parameter("filteredSources").filter(|_| choices.filters_sources);
        let is_asked = |index: &usize| {
            let conversation = &population.conversations[*index];
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
        let page = match choices.past_the_end {
            PastTheEnd::NotFound if page > pages => return Self::refused(404, "Resource not found"),
            PastTheEnd::LastPage => page.min(pages),
            _ => page,
        };
        let start = if is_beyond { rows.len() } else { ((page - 1) * size).min(rows.len()) };
        let end = (start + size).min(rows.len());
        let mut response = Response::default();
        let mut body = String::from("{\"data\":[");
        for (at, index) in rows[start..end].iter().enumerate() {
            if at > 0 {
                body.push(',');
            }
            let version = population.conversations[*index].version_at(now);
            body.push_str(&String::from_utf8_lossy(&self.record(population, *index, version)));
            response.delivered.push((*index, version));
        }
        body.push_str("]}");
        Response { delivered: response.delivered, ..Response::json(200, body) }
    }

    fn order(&self, population: &Population, rows: &mut Vec<usize>, now: Instant) {
        let mut keyed: Vec<_> = rows
            .iter()
            .map(|index| {
                let conversation = &population.conversations[*index];
                let at = match self.choices.order {
                    Order::Latest => conversation.at(now).content.updated,
                    Order::Newest | Order::Oldest => conversation.created,
                };
                let tie = if self.choices.is_unstable {
                    Random::new(self.served ^ ((*index as u64) << 20)).bits()
                } else {
                    0
                };
                let at = if self.choices.is_unstable { at.div_euclid(SECOND) } else { at };
                ((at, tie), conversation.id.as_str(), *index)
            })
            .collect();
        keyed.sort_unstable();
        if self.choices.order != Order::Oldest {
            keyed.reverse();
        }
        *rows = keyed.into_iter().map(|(.., index)| index).collect();
    }

    fn time(&self, index: usize, at: Instant) -> Value {
        let format =
            if self.choices.has_mixed_formats { Format::ALL[index % 12] } else { self.choices.format };
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
    fn response(&mut self, request: &Request, population: &Population, now: Instant) -> Response {
        self.served += 1;
        let path: Vec<_> = request.path.iter().map(String::as_str).collect();
        match path.as_slice() {
            ["get-conversations"] => match request.parameter("chatbotId") {
                Some(agent) if agent == AGENT => self.conversations(request, population, now),
                _ => Response::json(200, r#"{"data":[]}"#.to_owned()),
            },
            ["get-chatbots"] => {
                let body = json!({"chatbots": {"data": [{"chatbot_id": AGENT, "name": "Shop"}]}});
                Response::json(200, body.to_string())
            }
            _ => Self::refused(404, "Resource not found"),
        }
    }

    fn rate_limited(&mut self, _now: Instant) -> Response {
        let mut response = Self::refused(429, "Too many requests");
        if self.choices.sends_retry_after {
            response.headers.push(("Retry-After", "7".to_owned()));
        }
        response
    }

    fn error(&self, status: u16, cause: ErrorCause) -> Response {
        match cause {
            ErrorCause::Key => Self::refused(status, &format!("No API key provided: {KEY}")),
            _ => Self::refused(status, "Internal server error"),
        }
    }

    fn request_kind(&self, request: &Request) -> RequestKind {
        if request.path.last().is_none_or(|last| last != "get-conversations") {
            RequestKind::Other
        } else if request.parameter("page").is_none_or(|page| page == "1") {
            RequestKind::FirstPage
        } else {
            RequestKind::LaterPage
        }
    }

    fn record(&mut self, population: &Population, index: usize, version: usize) -> Bytes {
        if let Some(record) = self.records.get(&(index, version)) {
            return record.clone();
        }
        let conversation: &Conversation = &population.conversations[index];
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
            "source": content.channel.as_deref().map(|channel| word(channel, self.choices.has_lower_case)),
            "country": Value::Null,
            "customer": content.user,
            "min_score": scores.map(|score| f64::from(score) / 1_000.0),
            "form_submission": content.name.as_ref().map(|name| json!({"name": name})),
            "messages": messages,
        });
        if conversation.is_dated {
            value["created_at"] = self.time(index, conversation.created);
            if self.choices.has_updated_at {
                value["updated_at"] = self.time(index, content.updated);
            }
            if self.choices.has_last_message_at {
                value["last_message_at"] = self.time(index, content.updated);
            }
        }
        let record = Bytes::from(value.to_string());
        self.records.insert((index, version), record.clone());
        record
    }

    fn properties(&self) -> Properties {
        let choices = &self.choices;
        let is_coarse = matches!(choices.format, Format::Date) || choices.has_mixed_formats;
        Properties {
            page_size: choices.max_page_size,
            paging: Paging::Offset,
            sorts_by_activity: choices.order == Order::Latest,
            is_unstable: choices.is_unstable,
            sends_count: false,
            overcounts: false,
            has_summaries: false,
            finds_changes_by_list: false,
            can_read_less: true,
            can_narrow: true,
            narrows_by_time_alone: false,
            narrows_by_time: false,
            is_documented: choices.max_page_size == 100
                && choices.past_the_end == PastTheEnd::Empty
                && choices.format == Format::Milliseconds
                && !choices.has_mixed_formats
                && !choices.is_unstable
                && choices.ceiling.is_none(),
            has_short_pages: false,
            shows_at_most: choices
                .ceiling
                .map(|(most, _)| most / choices.max_page_size.min(most) * choices.max_page_size.min(most)),
            hides_the_rest: choices.ceiling.is_some_and(|(_, refuses)| !refuses),
            skips_silent: false,
            lag: 0,
            quota: None,
            list_page: None,
            windows_hold_undated: false,
            list_is_billed: false,
            has_readable_clock: true,
            searches_by_day: true,
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
