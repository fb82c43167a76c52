//! One pass over the statistics of conversations: everything that metrics need, by group.

use std::collections::{BTreeMap, HashMap};

use chatark_archive::{Archive, Filter, StatsRow};
use chatark_core::{Channel, Origin, Result, Zone};

use crate::counts::{Counts, Evidence, Volume};
use crate::distribution::{Distributions, Measure, Totals};
use crate::group::{Calendar, Granularity, GroupKey, Labels, ReportSource, channel_name};
use crate::metric::{Group, Metric, MetricValue};
use crate::tally::{Count, NumberMap, Tally};

/// Everything that the metrics of a report need.
#[derive(Debug)]
pub(crate) struct Gathered {
    /// The requested sources, by name.
    pub(crate) sources: Vec<ReportSource>,
    /// Which data each source provides.
    pub(crate) evidence: Vec<Evidence>,
    /// The counts of each source.
    pub(crate) of_sources: Vec<Counts>,
    /// The same, without conversations that are counted as their twin.
    pub(crate) in_totals: Vec<Counts>,
    /// The counts of each period, source and channel.
    pub(crate) of_periods: BTreeMap<GroupKey, Counts>,
    /// What is distributed in each group.
    pub(crate) distributions: HashMap<GroupKey, Distributions>,
    pub(crate) volume: Vec<(Place, Volume)>,
    /// Conversations of all sources by the day on which they began, each once.
    pub(crate) days: BTreeMap<Option<i32>, u64>,
    pub(crate) calendar: Calendar,
}

/// A source, channel and local day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) source: usize,
    pub(crate) channel: &'static str,
    pub(crate) day: Option<i32>,
}

/// The pass.
struct Gatherer {
    sources: Vec<ReportSource>,
    places: NumberMap<i64, usize>,
    granularity: Granularity,
    calendar: Calendar,
    evidence: Vec<Evidence>,
    of_sources: Vec<Counts>,
    in_totals: Vec<Counts>,
    volume: NumberMap<(u32, u32, i32), (Place, Volume)>,
    days: BTreeMap<Option<i32>, u64>,
    groups: Groups,
    of_periods: Vec<Counts>,
    tally: Tally,
    /// How many values each group has.
    totals: Vec<Totals>,
}

/// Groups by number: everything, then the sources, then periods.
#[derive(Debug)]
struct Groups {
    keys: Vec<GroupKey>,
    by_key: HashMap<GroupKey, usize>,
    /// The number of the group of each place.
    by_place: HashMap<Place, usize>,
}

/// Gathers what metrics need from the conversations that a filter selects, in periods of a time zone.
pub(crate) fn gather(
    archive: &Archive,
    filter: &Filter,
    zone: Zone,
    granularity: Granularity,
) -> Result<Gathered> {
    let mut gatherer = Gatherer::new(archive, filter, zone, granularity)?;
    archive.each_stats(filter, |row| gatherer.add(row))?;
    gatherer.finish(archive)
}

impl Gathered {
    /// Returns the numbers of a metric over all sources, in which each conversation counts once.
    pub(crate) fn all(&self, metric: &Metric) -> Vec<MetricValue> {
        let counts: Vec<_> = self.in_totals.iter().zip(self.evidence.iter().copied()).collect();
        let distributions = &self.distributions[&GroupKey::All];
        metric.of(&Group { counts: &counts, distributions, is_all: true })
    }

    /// Returns the numbers of a metric for a source.
    pub(crate) fn of_source(&self, source: usize, metric: &Metric) -> Vec<MetricValue> {
        let counts = [(&self.of_sources[source], self.evidence[source])];
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
        Self { keys, by_key: HashMap::new(), by_place: HashMap::new() }
    }

    /// Returns the number of the group that a place belongs to.
    fn of_place(&mut self, place: Place, calendar: &Calendar, granularity: Granularity) -> usize {
        if let Some(group) = self.by_place.get(&place) {
            return *group;
        }
        let period = calendar.period(place.day, granularity).to_owned();
        let key = GroupKey::Period(period, place.source, place.channel);
        let group = *self.by_key.entry(key.clone()).or_insert_with(|| {
            self.keys.push(key);
            self.keys.len() - 1
        });
        self.by_place.insert(place, group);
        group
    }
}

impl Gatherer {
    fn new(archive: &Archive, filter: &Filter, zone: Zone, granularity: Granularity) -> Result<Self> {
        let mut sources: Vec<ReportSource> = Vec::new();
        for (key, Origin { source, provider, .. }) in archive.sources_named(&filter.sources)? {
            let same = sources.iter().find(|other| other.provider == provider);
            let provider_number = same.map_or(key.number(), |other| other.provider_number);
            sources.push(ReportSource { key, name: source.as_str().to_owned(), provider, provider_number });
        }
        let number = sources.len();
        Ok(Self {
            places: sources.iter().enumerate().map(|(place, source)| (source.key.number(), place)).collect(),
            sources,
            granularity,
            calendar: Calendar::new(zone),
            evidence: vec![Evidence::default(); number],
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
        let Some(&source) = self.places.get(&row.source.number()) else { return Ok(()) };
        let began = row.created_at.map(|created_at| self.calendar.local_hour(created_at));
        let hour = began.map(|began| (began.weekday, began.hour));
        let day = began.map(|began| began.day);
        self.evidence[source].add(row);
        self.of_sources[source].add(row, hour);
        if row.is_in_totals {
            self.in_totals[source].add(row, hour);
            *self.days.entry(day).or_default() += 1;
        }
        self.add_volume(row, source, day);
        let place = Place { source, channel: channel_name(row.channel), day };
        let group = self.groups.of_place(place, &self.calendar, self.granularity);
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
        let mut elsewhere = 0;
        for (quarter, number) in &row.stats.quarters {
            let day = self.calendar.local_hour(quarter.begin()).day;
            self.volume(source, row.channel, Some(day)).messages += u64::from(*number);
            elsewhere += number;
        }
        let volume = self.volume(source, row.channel, day);
        volume.add_conversation(row.status);
        volume.messages += u64::from(row.stats.messages.saturating_sub(elsewhere));
    }

    fn volume(&mut self, source: usize, channel: Option<Channel>, day: Option<i32>) -> &mut Volume {
        let number = |place: usize| u32::try_from(place).unwrap_or(u32::MAX);
        let key = (number(source), channel.map_or(0, |channel| channel as u32 + 1), day.unwrap_or(i32::MIN));
        let place = Place { source, channel: channel_name(channel), day };
        &mut self.volume.entry(key).or_insert_with(|| (place, Volume::default())).1
    }

    /// Counts what is distributed, in a group that the conversation belongs to.
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

    fn finish(mut self, archive: &Archive) -> Result<Gathered> {
        let keys = self.groups.keys;
        self.totals.resize(keys.len(), Totals::default());
        let distributions = Distributions::read(self.tally, &self.totals, archive)?;
        let periods = keys.iter().skip(1 + self.sources.len()).cloned();
        Ok(Gathered {
            of_periods: periods.zip(self.of_periods).collect(),
            distributions: keys.into_iter().zip(distributions).collect(),
            sources: self.sources,
            evidence: self.evidence,
            of_sources: self.of_sources,
            in_totals: self.in_totals,
            volume: self.volume.into_values().collect(),
            days: self.days,
            calendar: self.calendar,
        })
    }
}
