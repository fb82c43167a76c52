//! Aggregates the statistics of conversations by group, in one pass over the archive.

use std::collections::{BTreeMap, HashMap};

use chatark_archive::{Archive, Filter, StatsRow};
use chatark_core::{Channel, Origin, Result, Zone};

use crate::counts::{AvailableData, Counts, Volume};
use crate::distribution::{Distributions, Measure, ValueCounts};
use crate::group::{Calendar, Granularity, GroupKey, Labels, SourceInfo, channel_name};
use crate::metric::{GroupData, MetricFile, MetricValue};
use crate::tally::{Count, NumberMap, Tally};

/// Everything that the metrics of a report are computed from.
#[derive(Debug)]
pub(crate) struct Aggregates {
    /// The requested sources, by name.
    pub(crate) sources: Vec<SourceInfo>,
    /// Which data each source provides.
    pub(crate) available_data: Vec<AvailableData>,
    /// The counts of each source.
    pub(crate) by_source: Vec<Counts>,
    /// The same, without conversations that totals count as their twin.
    pub(crate) by_source_in_totals: Vec<Counts>,
    /// The counts of each period, source and channel.
    pub(crate) by_period: BTreeMap<GroupKey, Counts>,
    /// The distributions of each group.
    pub(crate) distributions: HashMap<GroupKey, Distributions>,
    /// The volume of each source, channel and local day.
    pub(crate) volume: Vec<(DayKey, Volume)>,
    /// The number of conversations in totals by the local day on which they began.
    pub(crate) conversations_by_day: BTreeMap<Option<i32>, u64>,
    pub(crate) calendar: Calendar,
}

/// What the volume is counted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct DayKey {
    /// The index of the source in the report.
    pub(crate) source: usize,
    pub(crate) channel: &'static str,
    /// The local day; `None` without a time.
    pub(crate) day: Option<i32>,
}

/// The state of the pass.
struct Aggregator {
    sources: Vec<SourceInfo>,
    /// The index of each source in `sources`, by its key.
    source_indices: NumberMap<i64, usize>,
    granularity: Granularity,
    calendar: Calendar,
    available_data: Vec<AvailableData>,
    by_source: Vec<Counts>,
    by_source_in_totals: Vec<Counts>,
    volume: NumberMap<(u32, u32, i32), (DayKey, Volume)>,
    conversations_by_day: BTreeMap<Option<i32>, u64>,
    groups: GroupIndex,
    by_period: Vec<Counts>,
    tally: Tally,
    /// The number of values of each group.
    value_counts: Vec<ValueCounts>,
}

/// The groups, with an index for each: first all sources together, then each source, then each period.
#[derive(Debug)]
struct GroupIndex {
    /// The keys of the groups, by index.
    keys: Vec<GroupKey>,
    by_key: HashMap<GroupKey, usize>,
    /// The index of the group of each source, channel and day.
    by_day: HashMap<DayKey, usize>,
}

/// Aggregates the conversations that a filter selects, by periods in a time zone.
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
    /// Returns the values of a metric file for all sources together, in which each conversation counts once.
    pub(crate) fn values_of_all(&self, file: &MetricFile) -> Vec<MetricValue> {
        let counts: Vec<_> =
            self.by_source_in_totals.iter().zip(self.available_data.iter().copied()).collect();
        let distributions = &self.distributions[&GroupKey::All];
        file.values(&GroupData { counts: &counts, distributions, is_all: true })
    }

    /// Returns the values of a metric file for a source.
    pub(crate) fn values_of_source(&self, source: usize, file: &MetricFile) -> Vec<MetricValue> {
        let counts = [(&self.by_source[source], self.available_data[source])];
        let distributions = &self.distributions[&GroupKey::Source(source)];
        file.values(&GroupData { counts: &counts, distributions, is_all: false })
    }

    /// Returns the first cells of a row of a source.
    pub(crate) fn labels<'a>(&'a self, period: &'a str, source: usize, channel: &'a str) -> Labels<'a> {
        let SourceInfo { name, provider, .. } = &self.sources[source];
        Labels { period, source: name, provider, channel }
    }
}

impl GroupIndex {
    fn new(sources: usize) -> Self {
        let keys = [GroupKey::All].into_iter().chain((0..sources).map(GroupKey::Source)).collect();
        Self { keys, by_key: HashMap::new(), by_day: HashMap::new() }
    }

    /// Returns the index of the group that a day belongs to, and adds the group if it is new.
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
        let mut sources: Vec<SourceInfo> = Vec::new();
        for (key, Origin { source, provider, .. }) in archive.sources(&filter.sources)? {
            let same = sources.iter().find(|other| other.provider == provider);
            let provider_number = same.map_or(key.number(), |other| other.provider_number);
            sources.push(SourceInfo { key, name: source.as_str().to_owned(), provider, provider_number });
        }
        let count = sources.len();
        Ok(Self {
            source_indices: sources
                .iter()
                .enumerate()
                .map(|(index, source)| (source.key.number(), index))
                .collect(),
            sources,
            granularity,
            calendar: Calendar::new(zone),
            available_data: vec![AvailableData::default(); count],
            by_source: vec![Counts::default(); count],
            by_source_in_totals: vec![Counts::default(); count],
            volume: NumberMap::default(),
            conversations_by_day: BTreeMap::new(),
            groups: GroupIndex::new(count),
            by_period: Vec::new(),
            tally: Tally::default(),
            value_counts: Vec::new(),
        })
    }

    fn add(&mut self, row: &StatsRow) -> Result<()> {
        let Some(&source) = self.source_indices.get(&row.source.number()) else { return Ok(()) };
        let began = row.created_at.map(|created_at| self.calendar.local_hour(created_at));
        let hour = began.map(|began| (began.weekday, began.hour));
        let day = began.map(|began| began.day);
        self.available_data[source].add(row);
        self.by_source[source].add(row, hour);
        if row.is_in_totals {
            self.by_source_in_totals[source].add(row, hour);
            *self.conversations_by_day.entry(day).or_default() += 1;
        }
        self.add_volume(row, source, day);
        let day_key = DayKey { source, channel: channel_name(row.channel), day };
        let group = self.groups.of_day(day_key, &self.calendar, self.granularity);
        let period = group - 1 - self.sources.len();
        if self.by_period.len() <= period {
            self.by_period.resize_with(period + 1, Counts::default);
        }
        self.by_period[period].add(row, hour);
        self.value_counts.resize(self.groups.keys.len(), ValueCounts::default());
        let groups = [row.is_in_totals.then_some(0), Some(source + 1), Some(group)];
        groups.into_iter().flatten().try_for_each(|group| self.add_to_distributions(row, source, group))
    }

    /// Counts a conversation on the day on which it began, and its messages on the days on which they were written.
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
    fn add_to_distributions(&mut self, row: &StatsRow, source: usize, group: usize) -> Result<()> {
        let stats = &row.stats;
        self.add_values(Measure::Messages, group, Some(f64::from(stats.messages)))?;
        self.add_values(Measure::Duration, group, stats.duration_seconds)?;
        self.add_values(Measure::FirstResponse, group, stats.first_response_seconds)?;
        self.add_values(Measure::Response, group, stats.bot_responses.iter().copied())?;
        if let Some(person) = row.person {
            let person = Measure::Person.key(group, person.cast_unsigned());
            let provider = self.sources[source].provider_number;
            self.tally.add(person, Count::once(provider, row.is_first_contact))?;
        }
        // Questions are ranked for each source and for all of them, but not for periods.
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

    fn add_values(
        &mut self,
        measure: Measure,
        group: usize,
        values: impl IntoIterator<Item = f64>,
    ) -> Result<()> {
        for value in values {
            self.value_counts[group][measure as usize] += 1;
            self.tally.add(measure.key(group, value.to_bits()), Count::once(0, false))?;
        }
        Ok(())
    }

    fn finish(mut self, archive: &Archive) -> Result<Aggregates> {
        let keys = self.groups.keys;
        self.value_counts.resize(keys.len(), ValueCounts::default());
        let distributions = Distributions::read(self.tally, &self.value_counts, archive)?;
        let periods = keys.iter().skip(1 + self.sources.len()).cloned();
        Ok(Aggregates {
            by_period: periods.zip(self.by_period).collect(),
            distributions: keys.into_iter().zip(distributions).collect(),
            sources: self.sources,
            available_data: self.available_data,
            by_source: self.by_source,
            by_source_in_totals: self.by_source_in_totals,
            volume: self.volume.into_values().collect(),
            conversations_by_day: self.conversations_by_day,
            calendar: self.calendar,
        })
    }
}
