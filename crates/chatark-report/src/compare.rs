//! Compares two sources, such as an old and a new bot that run in parallel.
//!
//! Each difference has a 95 % confidence interval. For rates, it is Newcombe's (1998, method 10, based on the two
//! Wilson intervals). For means, it is Welch's with the quantile of the normal distribution, which needs at least
//! thirty values of each source.

use std::collections::HashMap;

use chatark_archive::{Archive, Filter};
use chatark_core::{Result, Zone};
use serde::Serialize;

use crate::aggregate::{Aggregates, aggregate};
use crate::group::{Granularity, GroupKey};
use crate::metric::METRIC_FILES;

/// The quantile of the standard normal distribution for a two-sided interval of 95 %.
const Z: f64 = 1.959_963_984_540_054;
/// The minimum number of values of a source for the normal approximation.
const MIN_SAMPLE_SIZE: u64 = 30;

/// One metric, compared between two sources.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// What is measured.
    pub metric: &'static str,
    /// The first source's value; `None` if its data does not support the metric.
    pub a: Option<f64>,
    /// The number of values from which it is computed.
    pub a_basis: u64,
    /// The second source's value; `None` if its data does not support the metric.
    pub b: Option<f64>,
    /// The number of values from which it is computed.
    pub b_basis: u64,
    /// The second value minus the first.
    pub difference: Option<f64>,
    /// The lower end of the interval of the difference.
    pub low: Option<f64>,
    /// The upper end of the interval of the difference.
    pub high: Option<f64>,
    /// The verdict on the second source.
    pub verdict: ComparisonVerdict,
}

/// The verdict on the second source, compared with the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ComparisonVerdict {
    /// The whole interval is on the better side of zero.
    Better,
    /// The whole interval is on the worse side of zero.
    Worse,
    /// The whole interval is on one side of zero, and neither side is better.
    Different,
    /// The interval contains zero.
    NoDifferenceShown,
    /// There are too few values for an interval.
    TooFew,
    /// The metric is not available for at least one of the sources.
    NotAvailable,
}

/// Which values of a metric are better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BetterWhen {
    Higher,
    Lower,
    Neither,
}

/// The compared metrics, in the order of the result.
const COMPARED_METRICS: [(&str, BetterWhen); 10] = [
    ("contained_rate", BetterWhen::Higher),
    ("ended_rate", BetterWhen::Neither),
    ("unanswered_rate", BetterWhen::Lower),
    ("single_message_rate", BetterWhen::Neither),
    ("feedback_positive_rate", BetterWhen::Higher),
    ("low_confidence_rate", BetterWhen::Lower),
    ("first_response_seconds", BetterWhen::Lower),
    ("response_seconds", BetterWhen::Lower),
    ("messages_per_conversation", BetterWhen::Neither),
    ("duration_seconds", BetterWhen::Neither),
];

/// The values of one metric of one source: their number, their sum, and for means the sum of their squares.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Sample {
    count: u64,
    sum: f64,
    sum_of_squares: Option<f64>,
}

impl Sample {
    /// Returns the number of values, for formulas.
    fn n(&self) -> f64 {
        self.count as f64
    }

    fn mean(&self) -> f64 {
        self.sum / self.n()
    }
}

impl ComparisonVerdict {
    /// Returns the text of the verdict.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Better => "better",
            Self::Worse => "worse",
            Self::Different => "different",
            Self::NoDifferenceShown => "no difference shown",
            Self::TooFew => "too few to tell",
            Self::NotAvailable => "not available",
        }
    }
}

/// Compares two sources, named `a` and `b`, by metrics that do not depend on their size: rates and means.
pub fn compare_sources(archive: &Archive, filter: &Filter, a: &str, b: &str) -> Result<Vec<Comparison>> {
    let aggregates = aggregate(archive, filter, Zone::UTC, Granularity::Month)?;
    let samples = |name: &str| {
        aggregates
            .sources
            .iter()
            .position(|source| source.name == name)
            .map(|source| samples(&aggregates, source))
    };
    let (a, b) = (samples(a).unwrap_or_default(), samples(b).unwrap_or_default());
    let of = |samples: &HashMap<String, Sample>, metric: &&str| {
        samples.get(*metric).copied().filter(|sample| sample.count > 0)
    };
    Ok(COMPARED_METRICS
        .iter()
        .map(|(metric, better_when)| compare_metric(metric, *better_when, of(&a, metric), of(&b, metric)))
        .collect())
}

/// Returns the samples of a source by metric: its rates, as in the report, and its means.
fn samples(aggregates: &Aggregates, source: usize) -> HashMap<String, Sample> {
    let rates = METRIC_FILES.iter().flat_map(|file| aggregates.values_of_source(source, file));
    let rates = rates.filter(|row| row.metric.ends_with("_rate")).map(|row| {
        let sum = (row.value * row.basis as f64).round();
        (row.metric, Sample { count: row.basis, sum, sum_of_squares: None })
    });
    let distributions = &aggregates.distributions[&GroupKey::Source(source)];
    let means = [
        ("first_response_seconds", &distributions.first_response),
        ("response_seconds", &distributions.response),
        ("messages_per_conversation", &distributions.messages),
        ("duration_seconds", &distributions.duration),
    ];
    let means = means.into_iter().map(|(metric, found)| {
        let sum_of_squares = Some(found.sum_of_squares);
        (metric.to_owned(), Sample { count: found.count, sum: found.sum, sum_of_squares })
    });
    rates.chain(means).collect()
}

fn compare_metric(
    metric: &'static str,
    better_when: BetterWhen,
    a: Option<Sample>,
    b: Option<Sample>,
) -> Comparison {
    let basis = |sample: Option<Sample>| sample.map_or(0, |sample| sample.count);
    let both = a.zip(b);
    let difference = both.map(|(a, b)| b.mean() - a.mean());
    let interval = both.and_then(|(a, b)| interval(a, b));
    let verdict = match (both, interval) {
        (None, _) => ComparisonVerdict::NotAvailable,
        (Some(_), None) => ComparisonVerdict::TooFew,
        (Some(_), Some((low, high))) => verdict_of(better_when, low, high),
    };
    Comparison {
        metric,
        a: a.map(|sample| sample.mean()),
        a_basis: basis(a),
        b: b.map(|sample| sample.mean()),
        b_basis: basis(b),
        difference,
        low: interval.map(|(low, _)| low),
        high: interval.map(|(_, high)| high),
        verdict,
    }
}

/// Returns the verdict for an interval of the difference.
fn verdict_of(better_when: BetterWhen, low: f64, high: f64) -> ComparisonVerdict {
    match (better_when, low > 0.0, high < 0.0) {
        (_, false, false) => ComparisonVerdict::NoDifferenceShown,
        (BetterWhen::Higher, true, _) | (BetterWhen::Lower, _, true) => ComparisonVerdict::Better,
        (BetterWhen::Higher | BetterWhen::Lower, ..) => ComparisonVerdict::Worse,
        (BetterWhen::Neither, ..) => ComparisonVerdict::Different,
    }
}

/// Returns the interval of the second mean minus the first.
fn interval(a: Sample, b: Sample) -> Option<(f64, f64)> {
    match (a.sum_of_squares, b.sum_of_squares) {
        (None, None) => Some(newcombe(a, b)),
        (Some(a_squares), Some(b_squares)) if a.count >= MIN_SAMPLE_SIZE && b.count >= MIN_SAMPLE_SIZE => {
            let difference = b.mean() - a.mean();
            let error = (error_squared(a, a_squares) + error_squared(b, b_squares)).sqrt();
            Some((difference - Z * error, difference + Z * error))
        }
        _ => None,
    }
}

/// Returns the squared standard error of a mean.
fn error_squared(sample: Sample, sum_of_squares: f64) -> f64 {
    let number = sample.n();
    let variance = (sum_of_squares - sample.sum * sample.sum / number) / (number - 1.0);
    variance.max(0.0) / number
}

/// Returns Newcombe's interval of the second rate minus the first.
fn newcombe(a: Sample, b: Sample) -> (f64, f64) {
    let (p_a, p_b) = (a.mean(), b.mean());
    let ((a_low, a_high), (b_low, b_high)) = (wilson(a), wilson(b));
    let low = ((p_b - b_low).powi(2) + (a_high - p_a).powi(2)).sqrt();
    let high = ((b_high - p_b).powi(2) + (p_a - a_low).powi(2)).sqrt();
    (p_b - p_a - low, p_b - p_a + high)
}

/// Returns Wilson's interval of a rate.
fn wilson(sample: Sample) -> (f64, f64) {
    let (number, share) = (sample.n(), sample.mean());
    let spread = (share * (1.0 - share) / number + Z * Z / (4.0 * number * number)).sqrt();
    let (middle, scale) = (share + Z * Z / (2.0 * number), 1.0 + Z * Z / number);
    (((middle - Z * spread) / scale).max(0.0), ((middle + Z * spread) / scale).min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(hits: f64, count: u64) -> Sample {
        Sample { count, sum: hits, sum_of_squares: None }
    }

    fn assert_near(found: (f64, f64), expect: (f64, f64)) {
        let is_close = |found: f64, expect: f64| (found - expect).abs() < 0.000_06;
        assert!(is_close(found.0, expect.0) && is_close(found.1, expect.1), "{found:?} is not {expect:?}");
    }

    /// The examples of Newcombe, Statistics in Medicine 17 (1998), 873–890, table II, method 10; its differences are
    /// the first share minus the second.
    #[test]
    fn differences_of_rates_match_newcombe() {
        assert_near(newcombe(rate(48.0, 80), rate(56.0, 70)), (0.0524, 0.3339));
        assert_near(newcombe(rate(3.0, 10), rate(9.0, 10)), (0.1705, 0.8090));
        assert_near(newcombe(rate(0.0, 20), rate(10.0, 10)), (0.6791, 1.0));
    }

    /// Thirty values of 0 and 2 in turn have the mean 1 and the variance 30/29; their error squared is 1/29.
    #[test]
    fn differences_of_means_match_welch() {
        let sample = |shift: f64| {
            let values: Vec<f64> = (0..30).map(|at| f64::from(at % 2) * 2.0 + shift).collect();
            let sum_of_squares = values.iter().map(|value| value * value).sum();
            Sample { count: 30, sum: values.iter().sum(), sum_of_squares: Some(sum_of_squares) }
        };
        let half = Z * (2.0_f64 / 29.0).sqrt();
        assert_near(interval(sample(0.0), sample(3.0)).unwrap(), (3.0 - half, 3.0 + half));
        assert_eq!(interval(Sample { count: 29, ..sample(0.0) }, sample(1.0)), None);
    }

    #[test]
    fn a_verdict_needs_an_interval_without_zero() {
        let verdict = |better_when, a, b| compare_metric("x", better_when, a, b).verdict;
        let (few, many) = (Some(rate(10.0, 100)), Some(rate(40.0, 100)));
        assert_eq!(verdict(BetterWhen::Higher, few, many), ComparisonVerdict::Better);
        assert_eq!(verdict(BetterWhen::Lower, few, many), ComparisonVerdict::Worse);
        assert_eq!(verdict(BetterWhen::Lower, many, few), ComparisonVerdict::Better);
        assert_eq!(verdict(BetterWhen::Higher, many, few), ComparisonVerdict::Worse);
        assert_eq!(verdict(BetterWhen::Neither, few, many), ComparisonVerdict::Different);
        assert_eq!(
            verdict(BetterWhen::Higher, few, Some(rate(12.0, 100))),
            ComparisonVerdict::NoDifferenceShown
        );
        assert_eq!(verdict(BetterWhen::Higher, few, None), ComparisonVerdict::NotAvailable);
    }
}
