//! The end of a run: missing records, gaps, the verdict, and the row in the ledger.

use chatark_archive::{Archive, Run, RunEnd, SyncMode, Unseen, Verdict};
use chatark_core::{ChangeDetection, Clock, Error, ErrorKind, RecordId, Result, UnseenRecord};

use crate::drift::DriftReport;
use crate::pull::Source;

/// A run that has ended, before it is closed in the ledger.
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

/// What decides how a sweep ends.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MissingRule {
    /// Whether the whole stream was requested.
    pub(crate) is_whole: bool,
    /// How changes are detected.
    pub(crate) changes: ChangeDetection,
    /// Whether more than a tenth may be marked as missing.
    pub(crate) accept_missing: bool,
    /// Whether gaps may stay.
    pub(crate) accept_gaps: bool,
}

impl MissingRule {
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

impl EndedRun {
    /// Notes what a sweep of everything did not see, and returns what the sweep before it did not see either.
    ///
    /// A sweep that had to leave a gap proves nothing about what it did not see.
    pub(crate) fn find_unseen(
        &mut self,
        archive: &mut Archive,
        missing_rule: MissingRule,
        clock: &Clock,
    ) -> Result<Vec<UnseenRecord>> {
        if self.run.progress.page.covers_everything {
            self.run.record_full_read();
        }
        archive.unmark_returned(&mut self.run)?;
        let is_proof = self.verdict.is_good() && missing_rule.listed_everything(self.run.mode());
        if !is_proof || self.run.progress.gaps > 0 {
            return Ok(Vec::new());
        }
        match archive.note_unseen(&self.run, missing_rule.accept_missing, clock.now())? {
            Unseen::Twice(unseen) => Ok(unseen),
            Unseen::Unknown => Ok(Vec::new()),
            Unseen::Refused { gone, held } => {
                self.refuse_missing(gone, held);
                Ok(Vec::new())
            }
        }
    }

    /// Marks what is missing, checks for gaps and drift, and closes the run in the ledger.
    pub(crate) fn close(
        &mut self,
        archive: &mut Archive,
        source: &Source,
        missing_rule: MissingRule,
        missing: Option<(Vec<UnseenRecord>, Vec<RecordId>)>,
        clock: &Clock,
    ) -> Result<()> {
        let now = clock.now();
        if let Some((unseen, still_there)) = missing {
            archive.mark_missing(&mut self.run, &unseen, &still_there, now)?;
        }
        if missing_rule.accept_gaps {
            archive.accept_gaps(self.run.source(), now)?;
        }
        let has_passed = self.reached_end && self.run.mode() == SyncMode::Full;
        let gaps = archive.pass_gaps(&self.run, has_passed, now)?;
        if gaps > 0 && self.verdict.is_good() {
            self.leave_gaps(gaps);
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

    fn refuse_missing(&mut self, gone: u64, held: u64) {
        let message = format!(
            "the vendor no longer shows {gone} of {held} archived {}, more than a tenth: none was marked as missing",
            self.run.stream().as_str()
        );
        let hint = "nothing was removed; if they were really deleted at the vendor, run the same command with `--accept-missing`";
        self.verdict = Verdict::Short;
        self.error = Some(Error::new(ErrorKind::Incomplete, "pull", message).hint(hint));
    }

    fn leave_gaps(&mut self, gaps: u64) {
        let places = if gaps == 1 { "1 place".to_owned() } else { format!("{gaps} places") };
        let message = format!("{places} of the vendor's {} cannot be read", self.run.stream().as_str());
        let hint = "everything around is archived, and later pulls try again; `chatark status` shows where, `--accept-gap` accepts it";
        self.verdict = Verdict::Short;
        self.error.get_or_insert(Error::new(ErrorKind::Incomplete, "pull", message).hint(hint));
    }
}
