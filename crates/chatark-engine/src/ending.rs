//! The end of a run: missing records, gaps, the verdict, and the row in the run log.

use chatark_archive::{Archive, Run, RunEnd, SyncMode, Unseen, Verdict};
use chatark_core::{
    ChangeDetection, Checkpoint, Clock, Descriptor, Error, ErrorKind, RecordId, Result, UnseenRecord, Window,
};

use crate::drift::DriftReport;
use crate::prepare::ReadyBatch;
use crate::pull::Source;

/// The setting of a source for the time zone of times that name none.
const ZONE_SETTING: &str = "timezone";

/// A run that has ended, before it is closed in the run log.
#[derive(Debug)]
pub(crate) struct EndedRun {
    pub(crate) run: Run,
    pub(crate) verdict: Verdict,
    pub(crate) error: Option<Error>,
    /// Whether the end of what was requested was reached.
    pub(crate) reached_end: bool,
    /// Whether a later run can resume where this one stopped.
    pub(crate) resumable: bool,
    /// What the user should know.
    pub(crate) notes: Vec<String>,
}

/// How the end of a run is judged.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EndPolicy {
    /// Whether the whole stream was requested.
    pub(crate) is_whole: bool,
    /// How changes are detected.
    pub(crate) changes: ChangeDetection,
    /// Whether more than a tenth may be marked as missing.
    pub(crate) accept_missing: bool,
    /// Whether gaps are accepted.
    pub(crate) accept_gaps: bool,
}

/// Records that two sweeps of everything did not list, and what the vendor returned when they were looked for.
pub(crate) struct UnseenLookup {
    pub(crate) unseen: Vec<UnseenRecord>,
    pub(crate) found: FoundRecords,
}

/// Records that the vendor has although a sweep did not list them.
pub(crate) struct FoundRecords {
    /// The records that the vendor returned, ready to be written.
    pub(crate) ready: ReadyBatch,
    /// The ids of records that exist, or of which the vendor tells nothing.
    pub(crate) still_there: Vec<RecordId>,
}

impl EndPolicy {
    /// Returns whether every record that the vendor has was listed: in full, or in a list of summaries.
    fn listed_everything(self, mode: SyncMode) -> bool {
        let listed = match mode {
            SyncMode::Full => true,
            SyncMode::Changes => self.changes == ChangeDetection::Summaries,
            SyncMode::Recent => false,
        };
        self.is_whole && listed
    }
}

/// Returns a note about what a pull left out by its dates, if the time zone of the vendor's times is an assumption.
pub(crate) fn zone_note(descriptor: &Descriptor, window: Window, outside: u64) -> Option<String> {
    if !descriptor.dates_are_zoneless || window == Window::default() || outside == 0 {
        return None;
    }
    let left_out =
        if outside == 1 { "1 was left out".to_owned() } else { format!("{outside} were left out") };
    let has_setting = descriptor.settings.iter().any(|setting| setting.key == ZONE_SETTING);
    let zone = if has_setting {
        format!("in the zone of the setting `{ZONE_SETTING}` (UTC unless set)")
    } else {
        "in UTC".to_owned()
    };
    Some(format!(
        "by the dates and the selection, {left_out}; times that the vendor writes without a zone were read {zone}, which is an assumption"
    ))
}

impl EndedRun {
    /// Notes what a sweep of everything did not see, and returns the records that the previous one did not see either.
    ///
    /// A sweep that left a gap proves nothing about what it did not see.
    pub(crate) fn note_and_list_unseen(
        &mut self,
        archive: &mut Archive,
        end_policy: EndPolicy,
        clock: &Clock,
    ) -> Result<Vec<UnseenRecord>> {
        if self.run.counts.page.covers_everything {
            self.run.set_full_mode();
        }
        archive.unmark_returned(&mut self.run)?;
        let is_proof = self.verdict.is_good() && end_policy.listed_everything(self.run.mode());
        if !is_proof || self.run.counts.gaps > 0 {
            return Ok(Vec::new());
        }
        match archive.note_unseen(&self.run, end_policy.accept_missing, clock.now())? {
            Unseen::Twice(unseen) => Ok(unseen),
            Unseen::Unknown => Ok(Vec::new()),
            Unseen::TooMany { unseen, held } => {
                self.report_too_many_missing(unseen, held);
                // If the vendor showed nothing and the next pull would only look back, the sweep does not count as
                // finished: it closes no gap, and the next pull reads everything again.
                let looks_back = end_policy.changes == ChangeDetection::LookBack;
                self.reached_end &= !looks_back || self.run.counts.seen > 0;
                Ok(Vec::new())
            }
        }
    }

    /// Marks what is missing, checks for gaps and drift, and closes the run in the run log.
    pub(crate) fn close(
        &mut self,
        archive: &mut Archive,
        source: &Source,
        end_policy: EndPolicy,
        missing: Option<UnseenLookup>,
        clock: &Clock,
    ) -> Result<()> {
        let now = clock.now();
        if let Some(UnseenLookup { unseen, found }) = missing {
            let FoundRecords { ready, still_there } = found;
            let ReadyBatch { ops, page, .. } = ready;
            self.notes.extend(page.notes.iter().cloned());
            let mapper = &*source.mapper;
            archive.commit(&mut self.run, ops, &Checkpoint::End, &page, mapper, now)?;
            // Records that were not requested may have come with those that were looked for.
            archive.unmark_returned(&mut self.run)?;
            archive.mark_missing(&mut self.run, &unseen, &still_there, now)?;
        }
        if end_policy.accept_gaps {
            archive.accept_gaps(self.run.source(), now)?;
        }
        if self.reached_end && self.run.mode() == SyncMode::Full {
            archive.close_passed_gaps(&self.run, end_policy.is_whole, now)?;
        }
        let gaps = archive.count_open_gaps(&self.run)?;
        if gaps > 0 && self.reached_end {
            self.report_gaps(gaps);
        }
        if self.count_proves_nothing(archive)? {
            self.verdict = Verdict::Unprovable;
        }
        match source.drift.report(archive, &self.run, &source.origin.source)? {
            DriftReport::Silent => {}
            DriftReport::Note(note) => self.notes.push(note),
            DriftReport::Failure(error) => {
                self.error.get_or_insert(error);
            }
        }
        let error = self.error.as_ref().map(ToString::to_string);
        let (verdict, reached_end) = (self.verdict, self.reached_end);
        archive.end_run(&self.run, &RunEnd { verdict, reached_end, error, at: now })?;
        self.resumable =
            archive.resume_point(self.run.source(), self.run.stream(), self.run.scope())?.is_some();
        Ok(())
    }

    /// Returns whether the vendor's count proves nothing: an accepted gap may hide any number of records, and the count
    /// may leave them out.
    fn count_proves_nothing(&self, archive: &Archive) -> Result<bool> {
        let is_by_count = match self.verdict {
            Verdict::Short => self.error.is_none() && self.run.counts.gaps > 0,
            Verdict::Complete | Verdict::GrewDuringRun => true,
            _ => false,
        };
        Ok(is_by_count && archive.has_accepted_ranges(&self.run)?)
    }

    fn report_too_many_missing(&mut self, gone: u64, held: u64) {
        let message = format!(
            "the vendor no longer shows {gone} of {held} archived {}, more than a tenth: none was marked as missing",
            self.run.stream().as_str()
        );
        let hint = "nothing was removed; if they were really deleted at the vendor, run the same command with `--accept-missing`";
        self.verdict = Verdict::Short;
        self.error = Some(Error::new(ErrorKind::Incomplete, "pull", message).hint(hint));
    }

    fn report_gaps(&mut self, gaps: u64) {
        let places = if gaps == 1 { "1 place".to_owned() } else { format!("{gaps} places") };
        let message = format!("{places} of the vendor's {} cannot be read", self.run.stream().as_str());
        let hint = "everything around is archived, and later pulls try again; `chatark status` shows where, `--accept-gap` accepts it";
        self.verdict = Verdict::Short;
        self.error.get_or_insert(Error::new(ErrorKind::Incomplete, "pull", message).hint(hint));
    }
}

#[cfg(test)]
mod tests {
    use chatark_core::{Setting, SettingKind, Timestamp};

    use super::*;

    const fn descriptor(settings: &'static [Setting], dates_are_zoneless: bool) -> Descriptor {
        Descriptor {
            name: "v",
            title: "V",
            settings,
            streams: &[],
            selects_user: false,
            selects_conversations: false,
            full_sweep_days: 1,
            dates_are_zoneless,
        }
    }

    #[test]
    fn what_a_window_leaves_out_is_said_where_the_zone_is_an_assumption() {
        const ZONE: &[Setting] = &[Setting::optional("timezone", SettingKind::Zone, "the zone")];
        let since = Timestamp::from_epoch(1_733_049_000).ok();
        let window = Window { since, until: None };
        let note = zone_note(&descriptor(ZONE, true), window, 12).unwrap();
        assert!(note.contains("12 were left out") && note.contains("`timezone`"), "{note}");
        let note = zone_note(&descriptor(&[], true), window, 1).unwrap();
        assert!(note.contains("1 was left out") && note.contains("in UTC"), "{note}");
        assert_eq!(zone_note(&descriptor(ZONE, true), window, 0), None);
        assert_eq!(zone_note(&descriptor(ZONE, true), Window::default(), 12), None);
        assert_eq!(zone_note(&descriptor(ZONE, false), window, 12), None);
    }
}
