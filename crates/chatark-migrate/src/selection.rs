//! Which conversations go.

use chatark_archive::{Archive, Filter};
use chatark_core::{ArchivedConversation, Feedback, ListedContact, Origin, Result, Status, Stream};

/// Which conversations of the archive are carried over. The default is all of them.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Sources, dates and channel.
    pub filter: Filter,
    /// Conversations in this state alone.
    pub status: Option<Status>,
    /// Conversations that were archived so, as a whole or by one of their answers; negative where one of them is.
    pub feedback: Option<Feedback>,
    /// Conversations with at least so many messages.
    pub min_messages: usize,
    /// Conversations that carry this tag alone, such as one that stands for consent.
    pub tag: Option<String>,
    /// So many of them at most, spread evenly over their order.
    pub sample: Option<u64>,
}

impl Selection {
    /// Gives every chosen conversation to `take`, in the order of the archive, all of one state of it.
    ///
    /// A sample is drawn by reading the archive twice: once to count, once to take.
    pub(crate) fn each(
        &self,
        archive: &Archive,
        mut take: impl FnMut(&ArchivedConversation) -> Result<()>,
    ) -> Result<()> {
        let mut choose = self.chooser(archive)?;
        archive.each(&self.filter, |archived| if choose(archived) { take(archived) } else { Ok(()) })
    }

    /// Does the same for a slow taker, each conversation in a state of its own.
    pub(crate) fn each_by_itself(
        &self,
        archive: &Archive,
        mut take: impl FnMut(&ArchivedConversation) -> Result<()>,
    ) -> Result<()> {
        let mut choose = self.chooser(archive)?;
        archive
            .each_by_itself(&self.filter, |archived| if choose(archived) { take(archived) } else { Ok(()) })
    }

    /// Returns what says of one conversation after another whether it is chosen.
    fn chooser(&self, archive: &Archive) -> Result<impl FnMut(&ArchivedConversation) -> bool> {
        let mut matching = 0_u64;
        if self.sample.is_some() {
            archive.each(&self.filter, |archived| {
                matching += u64::from(self.has(archived));
                Ok(())
            })?;
        }
        let mut at = 0_u64;
        Ok(move |archived: &ArchivedConversation| {
            let has = self.has(archived);
            at += u64::from(has);
            has && self.sample.is_none_or(|sample| is_drawn(at, matching, sample))
        })
    }

    /// Gives every person to `take` whom a vendor lists apart from conversations, where sources and dates alone choose:
    /// what is asked of conversations cannot be said of them.
    pub(crate) fn each_listed(
        &self,
        archive: &Archive,
        mut take: impl FnMut(&Origin, Stream, &ListedContact),
    ) -> Result<()> {
        let asks_more = self.filter.channel.is_some()
            || self.status.is_some()
            || self.feedback.is_some()
            || self.min_messages > 0
            || self.tag.is_some()
            || self.sample.is_some();
        if asks_more {
            return Ok(());
        }
        archive.each_contact(&self.filter.sources, |origin, list, entry| {
            if self.filter.window.contains(entry.created_at) {
                take(origin, list, entry);
            }
            Ok(())
        })
    }

    fn has(&self, archived: &ArchivedConversation) -> bool {
        let conversation = &archived.conversation;
        self.status.is_none_or(|status| conversation.status == Some(status))
            && self.feedback.is_none_or(|feedback| self::feedback(archived) == Some(feedback))
            && conversation.messages.len() >= self.min_messages
            && self.tag.as_ref().is_none_or(|tag| conversation.tags.contains(tag))
    }
}

/// Returns whether the place `at`, counted from 1, is one of `sample` that are spread evenly over `matching`.
fn is_drawn(at: u64, matching: u64, sample: u64) -> bool {
    let drawn_by = |at: u64| u128::from(at) * u128::from(sample) / u128::from(matching.max(1));
    sample >= matching || drawn_by(at) > drawn_by(at - 1)
}

/// Returns what was thought of a conversation: of itself, or else of its answers.
fn feedback(archived: &ArchivedConversation) -> Option<Feedback> {
    let conversation = &archived.conversation;
    let answers = || conversation.messages.iter().filter_map(|message| message.feedback);
    let worst = || answers().find(|feedback| *feedback == Feedback::Negative).or_else(|| answers().next());
    conversation.feedback.or_else(worst)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_has_its_size_and_is_spread() {
        let drawn = |matching, sample| -> Vec<u64> {
            (1..=matching).filter(|at| is_drawn(*at, matching, sample)).collect()
        };
        assert_eq!(drawn(10, 5), [2, 4, 6, 8, 10]);
        assert_eq!(drawn(3, 5), [1, 2, 3]);
        assert_eq!(drawn(7, 2), [4, 7]);
        assert!(drawn(5, 0).is_empty() && drawn(0, 3).is_empty());
    }
}
