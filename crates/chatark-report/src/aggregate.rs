//! Aggregates the statistics of conversations in one pass: everything that metrics need, by group.

use std::collections::{BTreeMap, HashMap};

use chatark_archive::{Archive, Filter, StatsRow};
use chatark_core::{Channel, Origin, Result, Zone};

use crate::counts::{AvailableData, Counts, Volume};
use crate::distribution::{Distributions, Measure, Totals};
use crate::group::{Calendar, Granularity, GroupKey, Labels, ReportSource, channel_name};
use crate::metric::{Group, Metric, MetricValue};
use crate::tally::{Count, NumberMap, Tally};

/// Everything that the metrics of a report need.
#[derive(Debug)]
pub(crate) struct Aggregates {
    /// The requested sources, by name.
    pub(crate) sources: Vec<ReportSource>,
    /// Which data each source provides.
    pub(crate) available_data: Vec<AvailableData>,
    /// The counts of each source.
    pub(crate) of_sources: Vec<Counts>,
    /// The same, without conversations that are counted as their twin.
    pub(crate) in_totals: Vec<Counts>,
    /// The counts of each period, source and channel.
    pub(crate) of_periods: BTreeMap<GroupKey, Counts>,
    /// The distributions of each group.
    pub(crate) distributions: HashMap<GroupKey, Distributions>,
    pub(crate) volume: Vec<(DayKey, Volume)>,
    /// Conversations of all sources by the day on which they began, each once.
    pub(crate) days: BTreeMap<Option<i32>, u64>,
    pub(crate) calendar: Calendar,
}

/// What volume is counted by: source, channel and local day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct DayKey {
    pub(crate) source: usize,
    pub(crate) channel: &'static str,
    pub(crate) day: Option<i32>,
}

/// The state of the pass.
struct Aggregator {
    sources: Vec<ReportSource>,
    /// The index of each source in `sources`, by its key.
    source_indices: NumberMap<i64, usize>,
    granularity: Granularity,
    calendar: Calendar,
    available_data: Vec<AvailableData>,
    of_sources: Vec<Counts>,
    in_totals: Vec<Counts>,
    volume: NumberMap<(u32, u32, i32), (DayKey, Volume)>,
    days: BTreeMap<Option<i32>, u64>,
    groups: Groups,
    of_periods: Vec<Counts>,
    tally: Tally,
    /// How many values each group has.
    totals: Vec<Totals>,
}

/// The groups and their numbers: first all sources together, then each source, then each period.
#[derive(Debug)]
struct Groups {
    keys: Vec<GroupKey>,
    by_key: HashMap<GroupKey, usize>,
    /// The number of the group that each day belongs to.
    by_day: HashMap<DayKey, usize>,
}

/// Aggregates the conversations that a filter selects, by periods of a time zone.
pub(crate) fn aggregate(
    archive: &Archive,
    filter: &Filter,
    zone: Zone,
    granularity: Granularity,
) -> Result<Aggregates> {
    let mut aggregator = Aggregator::new(archive, filter, zone, granularity)?;
    archive.each_stats(filter, |row| aggregator.add(row))?;
    aggregator.finish(archive)
}

impl Aggregates {
    /// Returns the numbers of a metric over all sources, in which each conversation counts once.
    pub(crate) fn all(&self, metric: &Metric) -> Vec<MetricValue> {
        let counts: Vec<_> = self.in_totals.iter().zip(self.available_data.iter().copied()).collect();
        let distributions = &self.distributions[&GroupKey::All];
        metric.of(&Group { counts: &counts, distributions, is_all: true })
    }

    /// Returns the numbers of a metric for a source.
    pub(crate) fn of_source(&self, source: usize, metric: &Metric) -> Vec<MetricValue> {
        let counts = [(&self.of_sources[source], self.available_data[source])];
        let distributions = &self.distributions[&GroupKey::Source(source)];
        metric.of(&Group { counts: &counts, distributions, is_all: false })
    }

    /// Returns the first cells of the rows of a source.
    pub(crate) fn labels<'a>(&'a self, period: &'a str, source: usize, channel: &'a str) -> Labels<'a> {
        let ReportSource { name, provider, .. } = &self.sources[source];
        Labels { period, source: name, provider, channel }
    }
}

impl Groups {
    fn new(sources: usize) -> Self {
        let keys = [GroupKey::All].into_iter().chain((0..sources).map(GroupKey::Source)).collect();
        Self { keys, by_key: HashMap::new(), by_day: HashMap::new() }
    }

    /// Returns the number of the group that a day belongs to.
    fn of_day(&mut self, day_key: DayKey, calendar: &Calendar, granularity: Granularity) -> usize {
        if let Some(group) = self.by_day.get(&day_key) {
            return *group;
        }
        let period = calendar.period(day_key.day, granularity).to_owned();
        let key = GroupKey::Period(period, day_key.source, day_key.channel);
        let group = *self.by_key.entry(key.clone()).or_insert_with(|| {
            self.keys.push(key);
            self.keys.len() - 1
        });
        self.by_day.insert(day_key, group);
        group
    }
}

impl Aggregator {
    fn new(archive: &Archive, filter: &Filter, zone: Zone, granularity: Granularity) -> Result<Self> {
        let mut sources: Vec<ReportSource> = Vec::new();
        for (key, Origin { source, provider, .. }) in archive.sources(&filter.sources)? {
            let same = sources.iter().find(|other| other.provider == provider);
            let provider_number = same.map_or(key.number(), |other| other.provider_number);
            sources.push(ReportSource { key, name: source.as_str().to_owned(), provider, provider_number });
        }
        let number = sources.len();
        Ok(Self {
            source_indices: sources
                .iter()
                .enumerate()
                .map(|(index, source)| (source.key.number(), index))
                .collect(),
            sources,
            granularity,
            calendar: Calendar::new(zone),
            available_data: vec![AvailableData::default(); number],
            of_sources: vec![Counts::default(); number],
            in_totals: vec![Counts::default(); number],
            volume: NumberMap::default(),
            days: BTreeMap::new(),
            groups: Groups::new(number),
            of_periods: Vec::new(),
            tally: Tally::default(),
            totals: Vec::new(),
        })
    }

    fn add(&mut self, row: &StatsRow) -> Result<()> {
        let Some(&source) = self.source_indices.get(&row.source.number()) else { return Ok(()) };
        let began = row.created_at.map(|created_at| self.calendar.local_hour(created_at));
        let hour = began.map(|began| (began.weekday, began.hour));
        let day = began.map(|began| began.day);
        self.available_data[source].add(row);
        self.of_sources[source].add(row, hour);
        if row.is_in_totals {
            self.in_totals[source].add(row, hour);
            *self.days.entry(day).or_default() += 1;
        }
        self.add_volume(row, source, day);
        let day_key = DayKey { source, channel: channel_name(row.channel), day };
        let group = self.groups.of_day(day_key, &self.calendar, self.granularity);
        let period = group - 1 - self.sources.len();
        if self.of_periods.len() <= period {
            self.of_periods.resize_with(period + 1, Counts::default);
        }
        self.of_periods[period].add(row, hour);
        self.totals.resize(self.groups.keys.len(), Totals::default());
        let groups = [row.is_in_totals.then_some(0), Some(source + 1), Some(group)];
        groups.into_iter().flatten().try_for_each(|group| self.distribute(row, source, group))
    }

    /// Counts a conversation where it began, and its messages where they were written.
    fn add_volume(&mut self, row: &StatsRow, source: usize, day: Option<i32>) {
        let mut in_other_quarters = 0;
        for (quarter, number) in &row.stats.quarters {
            let day = self.calendar.local_hour(quarter.begin()).day;
            self.volume(source, row.channel, Some(day)).messages += u64::from(*number);
            in_other_quarters += number;
        }
        let volume = self.volume(source, row.channel, day);
        volume.add_conversation(row.status);
        volume.messages += u64::from(row.stats.messages.saturating_sub(in_other_quarters));
    }

    fn volume(&mut self, source: usize, channel: Option<Channel>, day: Option<i32>) -> &mut Volume {
        let number = |index: usize| u32::try_from(index).unwrap_or(u32::MAX);
        let key = (number(source), channel.map_or(0, |channel| channel as u32 + 1), day.unwrap_or(i32::MIN));
        let day_key = DayKey { source, channel: channel_name(channel), day };
        &mut self.volume.entry(key).or_insert_with(|| (day_key, Volume::default())).1
    }

    /// Adds the values of a conversation to the distributions of a group that it belongs to.
    fn distribute(&mut self, row: &StatsRow, source: usize, group: usize) -> Result<()> {
        let stats = &row.stats;
        self.count_value(Measure::Messages, group, Some(f64::from(stats.messages)))?;
        self.count_value(Measure::Duration, group, stats.duration_seconds)?;
        self.count_value(Measure::FirstResponse, group, stats.first_response_seconds)?;
        self.count_value(Measure::Response, group, stats.bot_responses.iter().copied())?;
        if let Some(person) = row.person {
            let person = Measure::Person.key(group, person.cast_unsigned());
            let provider = self.sources[source].provider_number;
            self.tally.add(person, Count::once(provider, row.is_first_contact))?;
        }
        // Questions are ranked within sources and over all of them.
        if group <= self.sources.len() {
            let questions = [
                (Measure::FirstQuestion, stats.first_question),
                (Measure::UnansweredQuestion, stats.unanswered_question),
            ];
            for (measure, question) in questions {
                if let Some(question) = question {
                    let key = measure.key(group, question.cast_unsigned());
                    self.tally.add(key, Count::once(row.key, false))?;
                }
            }
        }
        Ok(())
    }

    fn count_value(
        &mut self,
        measure: Measure,
        group: usize,
        values: impl IntoIterator<Item = f64>,
    ) -> Result<()> {
        for value in values {
            self.totals[group][measure as usize] += 1;
            self.tally.add(measure.key(group, value.to_bits()), Count::once(0, false))?;
        }
        Ok(())
    }

    fn finish(mut self, archive: &Archive) -> Result<Aggregates> {
        let keys = self.groups.keys;
        self.totals.resize(keys.len(), Totals::default());
        let distributions = Distributions::read(self.tally, &self.totals, archive)?;
        let periods = keys.iter().skip(1 + self.sources.len()).cloned();
        Ok(Aggregates {
            of_periods: periods.zip(self.of_periods).collect(),
            distributions: keys.into_iter().zip(distributions).collect(),
            sources: self.sources,
            available_data: self.available_data,
            of_sources: self.of_sources,
            in_totals: self.in_totals,
            volume: self.volume.into_values().collect(),
            days: self.days,
            calendar: self.calendar,
        })
    }
}
