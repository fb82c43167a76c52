//! The end of a run: missing records, the verdict, and the row in the ledger.

use chatark_archive::{Archive, Gone, Run, RunEnd, SyncMode, Verdict};
use chatark_core::{ChangeDetection, Clock, Error, ErrorKind, Result};

use crate::drift::DriftReport;
use crate::pull::Source;

/// A run that has ended, before it is closed in the ledger.
#[derive(Debug)]
pub(crate) struct Ending {
    pub(crate) run: Run,
    pub(crate) verdict: Verdict,
    pub(crate) error: Option<Error>,
    /// Whether a later run can resume where this one stopped.
    pub(crate) resumable: bool,
    /// What the user should know.
    pub(crate) note: Option<String>,
}

/// What decides whether a sweep may mark records as missing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SweepEnd {
    /// Whether the whole stream was requested.
    pub(crate) is_whole: bool,
    /// How changes are detected.
    pub(crate) changes: ChangeDetection,
    /// Whether more than a tenth may be marked as missing.
    pub(crate) accept_missing: bool,
}

impl SweepEnd {
    /// Returns whether every record that the vendor has was listed: in full, or in a list of summaries.
    fn showed_everything(self, mode: SyncMode) -> bool {
        let listed = match mode {
            SyncMode::Full => true,
            SyncMode::Changes => self.changes == ChangeDetection::Summaries,
            SyncMode::Recent => false,
        };
        self.is_whole && listed
    }
}

impl Ending {
    /// Marks what a full sweep did not see, checks for drift, and closes the run in the ledger.
    pub(crate) fn close(
        &mut self,
        archive: &mut Archive,
        source: &Source,
        sweep: SweepEnd,
        clock: &Clock,
    ) -> Result<()> {
        if self.run.progress.page.everything {
            self.run.has_read_everything();
        }
        archive.unmark_returned(&mut self.run)?;
        if self.verdict.is_good() && sweep.showed_everything(self.run.mode()) {
            self.mark_missing(archive, sweep.accept_missing, clock)?;
        }
        match source.drift.report(archive, &self.run, &source.origin.source)? {
            DriftReport::Silent => {}
            DriftReport::Note(note) => self.note = Some(note),
            DriftReport::Failure(error) => {
                self.error.get_or_insert(error);
            }
        }
        let error = self.error.as_ref().map(ToString::to_string);
        archive.end_run(&self.run, &RunEnd { verdict: self.verdict, error, at: clock.now() })?;
        self.resumable = archive.resume(self.run.source(), self.run.stream(), self.run.scope())?.is_some();
        Ok(())
    }

    fn mark_missing(&mut self, archive: &mut Archive, accept: bool, clock: &Clock) -> Result<()> {
        let marked = archive.mark_missing(&mut self.run, accept, clock.now())?;
        let Gone::Refused { gone, held } = marked else {
            return Ok(());
        };
        let message = format!(
            "the vendor no longer shows {gone} of {held} archived {}, more than a tenth: none was marked as missing",
            self.run.stream().as_str()
        );
        let hint = "nothing was removed; if they were really deleted at the vendor, run the same command with `--accept-missing`";
        self.verdict = Verdict::Short;
        self.error = Some(Error::new(ErrorKind::Incomplete, "pull", message).hint(hint));
        Ok(())
    }
}
