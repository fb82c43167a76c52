//! Which conversations are migrated.

use chatark_archive::{Archive, Filter};
use chatark_core::{ArchivedConversation, Feedback, ListedContact, Origin, Result, Status, Stream};

/// Selects conversations of the archive. The default is all of them.
#[derive(Debug, Clone, Default)]
pub struct MigrationSelection {
    /// Sources, dates and channel.
    pub filter: Filter,
    /// Only conversations with this status.
    pub status: Option<Status>,
    /// Only conversations with this feedback: on the whole, or else on their messages, where one negative message
    /// decides.
    pub feedback: Option<Feedback>,
    /// Only conversations with at least this many messages.
    pub min_messages: usize,
    /// Only conversations with this tag, such as one for consent.
    pub tag: Option<String>,
    /// At most this many conversations, spread evenly over the order of the archive.
    pub sample: Option<u64>,
}

impl MigrationSelection {
    /// Passes every selected conversation to `take`, in the order of the archive, from one snapshot of it.
    ///
    /// A sample needs two passes over the archive: one to count, one to select.
    pub(crate) fn each(
        &self,
        archive: &Archive,
        mut take: impl FnMut(&ArchivedConversation) -> Result<()>,
    ) -> Result<()> {
        let mut is_selected = self.selector(archive)?;
        archive.each_conversation(
            &self.filter,
            |archived| if is_selected(archived) { take(archived) } else { Ok(()) },
        )
    }

    /// Like [`Self::each`], with a transaction for each conversation, so that a slow `take` does not keep one open.
    pub(crate) fn each_in_short_transactions(
        &self,
        archive: &Archive,
        mut take: impl FnMut(&ArchivedConversation) -> Result<()>,
    ) -> Result<()> {
        let mut is_selected = self.selector(archive)?;
        archive.each_conversation_in_short_transactions(&self.filter, |archived| {
            if is_selected(archived) { take(archived) } else { Ok(()) }
        })
    }

    /// Returns a function that decides whether a conversation is selected. It must be called for every conversation
    /// of the filter, in order.
    fn selector(&self, archive: &Archive) -> Result<impl FnMut(&ArchivedConversation) -> bool> {
        let mut matching = 0_u64;
        if self.sample.is_some() {
            archive.each_conversation(&self.filter, |archived| {
                matching += u64::from(self.matches(archived));
                Ok(())
            })?;
        }
        let mut at = 0_u64;
        Ok(move |archived: &ArchivedConversation| {
            let is_match = self.matches(archived);
            at += u64::from(is_match);
            is_match && self.sample.is_none_or(|sample| is_sampled(at, matching, sample))
        })
    }

    /// Passes every contact of the vendors' lists to `take`. Passes none if the selection has filters other than
    /// sources and dates, which apply only to conversations.
    pub(crate) fn each_listed(
        &self,
        archive: &Archive,
        mut take: impl FnMut(&Origin, Stream, &ListedContact) -> Result<()>,
    ) -> Result<()> {
        let has_other_filters = self.filter.channel.is_some()
            || self.status.is_some()
            || self.feedback.is_some()
            || self.min_messages > 0
            || self.tag.is_some()
            || self.sample.is_some();
        if has_other_filters {
            return Ok(());
        }
        archive.each_contact(&self.filter.sources, |origin, list, listed| {
            if self.filter.window.contains(listed.created_at) { take(origin, list, listed) } else { Ok(()) }
        })
    }

    fn matches(&self, archived: &ArchivedConversation) -> bool {
        let conversation = &archived.conversation;
        self.status.is_none_or(|status| conversation.status == Some(status))
            && self.feedback.is_none_or(|feedback| self::feedback(archived) == Some(feedback))
            && conversation.messages.len() >= self.min_messages
            && self.tag.as_ref().is_none_or(|tag| conversation.tags.contains(tag))
    }
}

/// Returns whether the position `at`, counted from 1, is one of `sample` positions evenly spread over `matching`.
fn is_sampled(at: u64, matching: u64, sample: u64) -> bool {
    let sampled_up_to = |at: u64| u128::from(at) * u128::from(sample) / u128::from(matching.max(1));
    sample >= matching || sampled_up_to(at) > sampled_up_to(at - 1)
}

/// Returns the feedback on a conversation: on the whole, or else on its messages, where a negative one decides.
fn feedback(archived: &ArchivedConversation) -> Option<Feedback> {
    let conversation = &archived.conversation;
    let on_messages = || conversation.messages.iter().filter_map(|message| message.feedback);
    let worst =
        || on_messages().find(|feedback| *feedback == Feedback::Negative).or_else(|| on_messages().next());
    conversation.feedback.or_else(worst)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_has_the_right_size_and_is_evenly_spread() {
        let sampled = |matching, sample| -> Vec<u64> {
            (1..=matching).filter(|at| is_sampled(*at, matching, sample)).collect()
        };
        assert_eq!(sampled(10, 5), [2, 4, 6, 8, 10]);
        assert_eq!(sampled(3, 5), [1, 2, 3]);
        assert_eq!(sampled(7, 2), [4, 7]);
        assert!(sampled(5, 0).is_empty() && sampled(0, 3).is_empty());
    }
}
