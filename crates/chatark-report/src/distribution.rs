//! Distributions over the conversations of a group: of values, people and questions.

use std::cmp::Reverse;
use std::mem;

use chatark_archive::{Archive, Question};
use chatark_core::{Result, question};

use crate::tally::{Count, Tally, TallyKey};

/// The number of most frequent questions kept for a group.
const MAX_QUESTIONS: usize = 20;
/// The number of candidates in memory at which those that cannot be among the most frequent are dropped.
const MAX_CANDIDATES: usize = 2_000;

/// What a tally counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Measure {
    Messages,
    Duration,
    FirstResponse,
    Response,
    Person,
    FirstQuestion,
    UnansweredQuestion,
}

/// The number of values that a group has of each of the first four measures.
pub(crate) type ValueCounts = [u64; 4];

/// The distributions of one group.
#[derive(Debug, Default)]
pub(crate) struct Distributions {
    pub(crate) messages: Distribution,
    pub(crate) duration: Distribution,
    pub(crate) first_response: Distribution,
    pub(crate) response: Distribution,
    pub(crate) people: People,
    pub(crate) first_questions: Questions,
    pub(crate) unanswered_questions: Questions,
}

/// A distribution of values, none of which is negative.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Distribution {
    /// The number of values.
    pub(crate) count: u64,
    pub(crate) sum: f64,
    pub(crate) sum_of_squares: f64,
    /// The 50th, 90th and 99th percentile, by the nearest rank.
    pub(crate) percentiles: [f64; 3],
}

/// The numbers of people in a group.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct People {
    /// The number of conversations whose person is known.
    pub(crate) conversations: u64,
    pub(crate) all: u64,
    /// People whose first conversation is in the group.
    pub(crate) new: u64,
    /// People with several conversations in the group.
    pub(crate) returning: u64,
    /// People in conversations of several providers.
    pub(crate) across_vendors: u64,
}

/// The most frequent questions of a group.
#[derive(Debug, Default)]
pub(crate) struct Questions {
    /// The number of times that any question was asked.
    pub(crate) asked: u64,
    /// The most frequent questions, with the number of times that each was asked.
    pub(crate) most_frequent: Vec<(String, u64)>,
    candidates: Vec<Candidate>,
    /// Questions that were asked less often than this are dropped.
    min_times: u64,
}

#[derive(Debug)]
struct Candidate {
    times: u64,
    /// A conversation in which it was asked.
    conversation: i64,
    /// Its normalized text, once it has been read.
    text: Option<String>,
}

impl Measure {
    const ALL: [Self; 7] = [
        Self::Messages,
        Self::Duration,
        Self::FirstResponse,
        Self::Response,
        Self::Person,
        Self::FirstQuestion,
        Self::UnansweredQuestion,
    ];

    /// Returns the tally's key for a value of a group. Keys sort like their values: the bits of a number that is not
    /// negative sort like the number.
    pub(crate) fn key(self, group: usize, value: u64) -> TallyKey {
        TallyKey { namespace: (group as u64) << 8 | self as u64, value }
    }

    /// Returns the group and the measure of a key.
    fn of(key: TallyKey) -> (usize, Self) {
        let group = usize::try_from(key.namespace >> 8).unwrap_or(usize::MAX);
        let measure = usize::try_from(key.namespace & 0xff).ok().and_then(|at| Self::ALL.get(at));
        (group, measure.copied().unwrap_or(Self::Messages))
    }
}

impl Distribution {
    /// Adds a value that occurs `times` times among `total` values. Must be called in ascending order of values.
    fn add(&mut self, value: f64, times: u64, total: u64) {
        let before = self.count;
        self.count += times;
        self.sum += value * times as f64;
        self.sum_of_squares += value * value * times as f64;
        for (percent, percentile) in [50, 90, 99].into_iter().zip(&mut self.percentiles) {
            let rank = (total * percent).div_ceil(100);
            if before < rank && rank <= self.count {
                *percentile = value;
            }
        }
    }

    /// Returns the mean.
    pub(crate) fn mean(&self) -> f64 {
        self.sum / self.count as f64
    }
}

impl Distributions {
    /// Returns the distributions of each group, in the order of `value_counts`. The texts of questions are read from
    /// the archive only when needed.
    pub(crate) fn read(tally: Tally, value_counts: &[ValueCounts], archive: &Archive) -> Result<Vec<Self>> {
        let mut groups: Vec<Self> = Vec::new();
        groups.resize_with(value_counts.len(), Self::default);
        tally.read(|key, count| {
            let (group, measure) = Measure::of(key);
            groups[group].add(measure, key.value, count, &value_counts[group], archive)
        })?;
        for group in &mut groups {
            group.first_questions.finish(archive, Question::First)?;
            group.unanswered_questions.finish(archive, Question::Last)?;
        }
        Ok(groups)
    }

    fn add(
        &mut self,
        measure: Measure,
        bits: u64,
        count: Count,
        value_counts: &ValueCounts,
        archive: &Archive,
    ) -> Result<()> {
        let value = f64::from_bits(bits);
        match measure {
            Measure::Messages => self.messages.add(value, count.times, value_counts[0]),
            Measure::Duration => self.duration.add(value, count.times, value_counts[1]),
            Measure::FirstResponse => self.first_response.add(value, count.times, value_counts[2]),
            Measure::Response => self.response.add(value, count.times, value_counts[3]),
            Measure::Person => self.people.add(count),
            Measure::FirstQuestion => self.first_questions.add(count, archive, Question::First)?,
            Measure::UnansweredQuestion => self.unanswered_questions.add(count, archive, Question::Last)?,
        }
        Ok(())
    }
}

impl People {
    fn add(&mut self, count: Count) {
        self.all += 1;
        self.conversations += count.times;
        self.new += u64::from(count.is_flagged);
        self.returning += u64::from(count.times > 1);
        self.across_vendors += u64::from(count.min_attribute != count.max_attribute);
    }
}

impl Questions {
    fn add(&mut self, count: Count, archive: &Archive, which: Question) -> Result<()> {
        self.asked += count.times;
        if count.times < self.min_times {
            return Ok(());
        }
        self.candidates.push(Candidate { times: count.times, conversation: count.min_attribute, text: None });
        if self.candidates.len() < MAX_CANDIDATES { Ok(()) } else { self.keep_most_frequent(archive, which) }
    }

    /// Keeps the most frequent questions; of equally frequent ones, the first in alphabetical order.
    fn keep_most_frequent(&mut self, archive: &Archive, which: Question) -> Result<()> {
        self.candidates.sort_by_key(|candidate| Reverse(candidate.times));
        let Some(last) = self.candidates.get(MAX_QUESTIONS - 1).map(|candidate| candidate.times) else {
            return self.candidates.iter_mut().try_for_each(|candidate| candidate.read(archive, which));
        };
        self.min_times = last;
        self.candidates.retain(|candidate| candidate.times >= last);
        self.candidates.iter_mut().try_for_each(|candidate| candidate.read(archive, which))?;
        self.candidates
            .sort_by(|one, other| other.times.cmp(&one.times).then_with(|| one.text.cmp(&other.text)));
        self.candidates.truncate(MAX_QUESTIONS);
        Ok(())
    }

    fn finish(&mut self, archive: &Archive, which: Question) -> Result<()> {
        self.keep_most_frequent(archive, which)?;
        let candidates = mem::take(&mut self.candidates);
        self.most_frequent =
            candidates.into_iter().map(|found| (found.text.unwrap_or_default(), found.times)).collect();
        Ok(())
    }
}

impl Candidate {
    fn read(&mut self, archive: &Archive, which: Question) -> Result<()> {
        if self.text.is_none() {
            let text = archive.question(self.conversation, which)?.unwrap_or_default();
            self.text = Some(question::normalize(&text));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of ten values, the fifth is the median and the ninth is the 90th percentile.
    #[test]
    fn percentiles_are_by_the_nearest_rank() {
        let of = |values: &[(f64, u64)]| {
            let total = values.iter().map(|(_, times)| times).sum();
            let mut found = Distribution::default();
            for (value, times) in values {
                found.add(*value, *times, total);
            }
            found
        };
        let ten: Vec<_> = (1..=10).map(|value| (f64::from(value), 1)).collect();
        let percentiles = |values: &[(f64, u64)]| of(values).percentiles.map(|value| value.to_string());
        assert_eq!(percentiles(&ten), ["5", "9", "10"]);
        assert_eq!(percentiles(&[(1.0, 9), (100.0, 1)]), ["1", "1", "100"]);
        assert_eq!(percentiles(&[(7.0, 1)]), ["7", "7", "7"]);
        let uneven = of(&[(1.0, 2), (4.0, 1)]);
        assert_eq!((uneven.mean(), uneven.sum_of_squares, uneven.count), (2.0, 18.0, 3));
    }
}
