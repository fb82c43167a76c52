//! Distributions over the conversations of a group: values, people and questions.

use std::cmp::Reverse;
use std::mem;

use chatark_archive::{Archive, Question};
use chatark_core::{Result, question};

use crate::tally::{Count, Key, Tally};

/// The maximum number of questions shown for a group.
const MAX_SHOWN: usize = 20;
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

/// How many values of the first four measures a group has.
pub(crate) type Totals = [u64; 4];

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

/// Values that are not negative.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Distribution {
    /// How many there are.
    pub(crate) number: u64,
    pub(crate) sum: f64,
    pub(crate) sum_of_squares: f64,
    /// The smallest values that 50, 90 and 99 of a hundred do not exceed.
    pub(crate) percentiles: [f64; 3],
}

/// The people of a group.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct People {
    pub(crate) conversations: u64,
    pub(crate) all: u64,
    pub(crate) new: u64,
    pub(crate) returning: u64,
    pub(crate) across_vendors: u64,
}

/// The most frequent questions of a group.
#[derive(Debug, Default)]
pub(crate) struct Questions {
    /// How often any question was asked.
    pub(crate) asked: u64,
    /// The most frequent ones, and how often each was asked.
    pub(crate) most_frequent: Vec<(String, u64)>,
    candidates: Vec<Candidate>,
    /// Questions that were asked less often than this have been dropped.
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

    /// Returns the key of a number in a group. For values that are not negative, their bits sort in the same order.
    pub(crate) fn key(self, group: usize, number: u64) -> Key {
        Key { table: (group as u64) << 8 | self as u64, number }
    }

    /// Returns the group and the measure of a key.
    fn of(key: Key) -> (usize, Self) {
        let group = usize::try_from(key.table >> 8).unwrap_or(usize::MAX);
        let measure = usize::try_from(key.table & 0xff).ok().and_then(|at| Self::ALL.get(at));
        (group, measure.copied().unwrap_or(Self::Messages))
    }
}

impl Distribution {
    fn add(&mut self, value: f64, times: u64, total: u64) {
        let before = self.number;
        self.number += times;
        self.sum += value * times as f64;
        self.sum_of_squares += value * value * times as f64;
        for (percent, percentile) in [50, 90, 99].into_iter().zip(&mut self.percentiles) {
            let rank = (total * percent).div_ceil(100);
            if before < rank && rank <= self.number {
                *percentile = value;
            }
        }
    }

    /// Returns the mean.
    pub(crate) fn mean(&self) -> f64 {
        self.sum / self.number as f64
    }
}

impl Distributions {
    /// Returns the distributions of each group. The texts of questions are read from the archive only when needed.
    pub(crate) fn read(tally: Tally, totals: &[Totals], archive: &Archive) -> Result<Vec<Self>> {
        let mut groups: Vec<Self> = Vec::new();
        groups.resize_with(totals.len(), Self::default);
        tally.read(|key, count| {
            let (group, measure) = Measure::of(key);
            groups[group].add(measure, key.number, count, &totals[group], archive)
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
        number: u64,
        count: Count,
        totals: &Totals,
        archive: &Archive,
    ) -> Result<()> {
        let value = f64::from_bits(number);
        match measure {
            Measure::Messages => self.messages.add(value, count.times, totals[0]),
            Measure::Duration => self.duration.add(value, count.times, totals[1]),
            Measure::FirstResponse => self.first_response.add(value, count.times, totals[2]),
            Measure::Response => self.response.add(value, count.times, totals[3]),
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

    /// Keeps the most frequent ones; among equally frequent ones, the first by text.
    fn keep_most_frequent(&mut self, archive: &Archive, which: Question) -> Result<()> {
        self.candidates.sort_by_key(|candidate| Reverse(candidate.times));
        let Some(last) = self.candidates.get(MAX_SHOWN - 1).map(|candidate| candidate.times) else {
            return self.candidates.iter_mut().try_for_each(|candidate| candidate.read(archive, which));
        };
        self.min_times = last;
        self.candidates.retain(|candidate| candidate.times >= last);
        self.candidates.iter_mut().try_for_each(|candidate| candidate.read(archive, which))?;
        self.candidates
            .sort_by(|one, other| other.times.cmp(&one.times).then_with(|| one.text.cmp(&other.text)));
        self.candidates.truncate(MAX_SHOWN);
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

    /// By the nearest rank: of ten values, the fifth is the median and the ninth is not exceeded by nine.
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
        assert_eq!((uneven.mean(), uneven.sum_of_squares, uneven.number), (2.0, 18.0, 3));
    }
}
