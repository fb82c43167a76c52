//! The end of a run: what its sweep no longer saw, its verdict, and its row in the ledger.

use chatark_archive::{Archive, Gone, Run, RunEnd, SyncMode, Verdict};
use chatark_core::{Error, ErrorKind, Result};

use crate::clock::now;
use crate::drift::Judgement;
use crate::pull::Source;

/// A run at its end, before the ledger has it.
#[derive(Debug)]
pub(crate) struct Ending {
    pub(crate) run: Run,
    pub(crate) verdict: Verdict,
    pub(crate) error: Option<Error>,
    /// Whether a later run goes on where this one stopped.
    pub(crate) resumable: bool,
    /// What the user should know.
    pub(crate) note: Option<String>,
}

impl Ending {
    /// Marks what a sweep of everything did not see, looks for drift, and closes the run in the ledger.
    pub(crate) fn settle(
        &mut self,
        archive: &mut Archive,
        source: &Source,
        is_whole: bool,
        accept_missing: bool,
    ) -> Result<()> {
        if self.run.progress.facts.everything {
            self.run.has_read_everything();
        }
        archive.welcome_back(&mut self.run)?;
        if is_whole && self.verdict.is_good() && self.run.effort() != SyncMode::Recent {
            self.mark_missing(archive, accept_missing)?;
        }
        match source.drift.judge(archive, &self.run, &source.origin.source)? {
            Judgement::Silent => {}
            Judgement::Note(note) => self.note = Some(note),
            Judgement::Failure(error) => {
                self.error.get_or_insert(error);
            }
        }
        let error = self.error.as_ref().map(ToString::to_string);
        archive.end_run(&self.run, &RunEnd { verdict: self.verdict, error, at: now() })?;
        self.resumable = archive.resume(self.run.source(), self.run.scope())?.is_some();
        Ok(())
    }

    fn mark_missing(&mut self, archive: &mut Archive, accept: bool) -> Result<()> {
        let Gone::Refused { gone, held } = archive.mark_missing(&mut self.run, accept, now())? else {
            return Ok(());
        };
        let message = format!(
            "the vendor no longer shows {gone} of {held} archived conversations, more than a tenth: none was marked as missing"
        );
        let hint = "nothing was removed; if they were deleted at the vendor's, run the same command with `--accept-missing`";
        self.verdict = Verdict::Short;
        self.error = Some(Error::new(ErrorKind::Incomplete, "pull", message).hint(hint));
        Ok(())
    }
}
