//! The conversations of one agent, newest first.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::HashMap;
use std::ops::Range;

use bytes::Bytes;

use crate::generated::{Generator, GeneratorSettings};
use crate::sample;
use crate::truth::{Channel, Conversation, Vendor};

/// The conversations of one agent, newest first.
///
/// Listed conversations are held in memory. Generated ones are computed on demand, so that
/// millions of them need no memory; they come after the listed ones.
#[derive(Debug, Clone, Default)]
pub struct Dataset {
    listed: Vec<Conversation>,
    generated: Option<Generator>,
    raw_overrides: HashMap<String, Bytes>,
}

/// The sort key of a conversation: time, then id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SortKey<'a> {
    pub(crate) created_at: i64,
    pub(crate) id: Cow<'a, str>,
}

impl Dataset {
    /// Returns the sample conversations of this vendor.
    pub fn sample(vendor: Vendor) -> Self {
        Self::of(sample::conversations(vendor))
    }

    /// Returns generated conversations, which need no memory.
    pub fn generated(vendor: Vendor, generated: GeneratorSettings) -> Self {
        Self { generated: Some(Generator::new(vendor, generated)), ..Self::default() }
    }

    /// Returns a dataset of these conversations.
    pub fn of(mut conversations: Vec<Conversation>) -> Self {
        conversations.sort_by(newest_first);
        Self { listed: conversations, ..Self::default() }
    }

    /// Returns how many conversations there are.
    pub fn len(&self) -> usize {
        self.listed.len() + self.generated.as_ref().map_or(0, Generator::len)
    }

    /// Returns whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the conversation at an index, 0 being the newest.
    ///
    /// An index past the end gives an empty conversation.
    pub fn conversation(&self, index: usize) -> Conversation {
        self.at(index).into_owned()
    }

    /// Returns the index of a conversation.
    pub fn index_of(&self, id: &str) -> Option<usize> {
        let listed = self.listed.iter().position(|listed| listed.id == id);
        listed.or_else(|| {
            let index = self.generated.as_ref()?.index_of(id)?;
            Some(self.listed.len() + index)
        })
    }

    /// Iterates over all conversations, newest first.
    pub fn iter(&self) -> impl Iterator<Item = Conversation> + '_ {
        (0..self.len()).map(|index| self.conversation(index))
    }

    /// Inserts a conversation in order of time.
    ///
    /// It must be newer than all generated conversations; an older one becomes one second newer
    /// than the newest of them.
    pub fn insert(&mut self, mut conversation: Conversation) {
        if let Some(generated) = self.generated.as_ref().filter(|held| held.len() > 0) {
            conversation.created_at = conversation.created_at.max(generated.created_at(0) + 1);
            conversation.updated_at = conversation.updated_at.max(conversation.created_at);
        }
        self.listed.push(conversation);
        self.listed.sort_by(newest_first);
    }

    /// Removes a listed conversation and returns it; generated ones cannot be removed.
    pub fn remove(&mut self, id: &str) -> Option<Conversation> {
        let index = self.listed.iter().position(|listed| listed.id == id)?;
        Some(self.listed.remove(index))
    }

    /// Changes a listed conversation, and returns whether it was there.
    pub fn change(&mut self, id: &str, change: impl FnOnce(&mut Conversation)) -> bool {
        let found = self.listed.iter_mut().find(|listed| listed.id == id);
        let was_there = found.is_some();
        if let Some(conversation) = found {
            change(conversation);
        }
        self.listed.sort_by(newest_first);
        was_there
    }

    /// Replaces a rendered conversation by these bytes.
    ///
    /// Lists without messages still show the real conversation.
    pub fn override_raw(&mut self, id: impl Into<String>, raw: impl Into<Bytes>) {
        self.raw_overrides.insert(id.into(), raw.into());
    }

    /// Returns the bytes that replace a conversation.
    pub(crate) fn raw_override(&self, id: &str) -> Option<&Bytes> {
        // Most datasets have none: they must not pay for a lookup per conversation.
        if self.raw_overrides.is_empty() {
            return None;
        }
        self.raw_overrides.get(id)
    }

    /// Returns the conversation at an index, borrowed if it is listed.
    pub(crate) fn at(&self, index: usize) -> Cow<'_, Conversation> {
        match (self.listed.get(index), &self.generated) {
            (Some(listed), _) => Cow::Borrowed(listed),
            (None, Some(generated)) => Cow::Owned(generated.conversation(index - self.listed.len())),
            (None, None) => Cow::Owned(Conversation::default()),
        }
    }

    /// Returns the key of the conversation at an index, without computing the conversation.
    pub(crate) fn key(&self, index: usize) -> SortKey<'_> {
        match (self.listed.get(index), &self.generated) {
            (Some(listed), _) => SortKey { created_at: listed.created_at, id: Cow::Borrowed(&listed.id) },
            (None, Some(generated)) => {
                let index = index - self.listed.len();
                SortKey { created_at: generated.created_at(index), id: Cow::Owned(generated.id(index)) }
            }
            (None, None) => SortKey { created_at: i64::MIN, id: Cow::Borrowed("") },
        }
    }

    fn created_at(&self, index: usize) -> i64 {
        match (self.listed.get(index), &self.generated) {
            (Some(listed), _) => listed.created_at,
            (None, Some(generated)) => generated.created_at(index - self.listed.len()),
            (None, None) => i64::MIN,
        }
    }

    fn channel(&self, index: usize) -> Channel {
        match (self.listed.get(index), &self.generated) {
            (Some(listed), _) => listed.channel,
            (None, Some(generated)) => generated.channel(index - self.listed.len()),
            (None, None) => Channel::Missing,
        }
    }

    /// Returns the indices of the conversations that began within a window, both ends included.
    pub(crate) fn window(&self, from: Option<i64>, to: Option<i64>) -> Range<usize> {
        let start = to.map_or(0, |to| self.first_index_where(|index| self.created_at(index) <= to));
        let end =
            from.map_or(self.len(), |from| self.first_index_where(|index| self.created_at(index) < from));
        start..end.max(start)
    }

    /// Returns the first index whose conversation is older than a key.
    pub(crate) fn first_older_than(&self, key: &SortKey<'_>) -> usize {
        self.first_index_where(|index| self.key(index) < *key)
    }

    /// Returns the first index whose conversation is not newer than a key.
    pub(crate) fn first_not_newer_than(&self, key: &SortKey<'_>) -> usize {
        self.first_index_where(|index| self.key(index) <= *key)
    }

    /// Returns up to `limit` indices of a range whose channel passes.
    pub(crate) fn pick(
        &self,
        range: Range<usize>,
        limit: usize,
        passes: impl Fn(Channel) -> bool,
    ) -> Vec<usize> {
        // Counting is cheap, because generated channels repeat: it avoids a scan that would match nothing.
        if self.count(range.clone(), &passes) == 0 {
            return Vec::new();
        }
        range.filter(|&index| passes(self.channel(index))).take(limit).collect()
    }

    /// Returns how many conversations of a range have a channel that passes.
    pub(crate) fn count(&self, range: Range<usize>, passes: impl Fn(Channel) -> bool) -> usize {
        let listed_end = range.end.min(self.listed.len());
        let listed =
            (range.start.min(listed_end)..listed_end).filter(|&index| passes(self.channel(index))).count();
        let generated = self.generated.as_ref().map_or(0, |generated| {
            let start = range.start.max(self.listed.len()) - self.listed.len();
            let end = range.end.max(self.listed.len()) - self.listed.len();
            generated.count(start..end, &passes)
        });
        listed + generated
    }

    /// Returns the indices of a user's API conversations.
    pub(crate) fn api_conversations_of(&self, user: &str) -> Vec<usize> {
        let mut indices: Vec<usize> = self
            .listed
            .iter()
            .enumerate()
            .filter(|(_, listed)| {
                listed.channel == Channel::Api && listed.contact.id.as_deref() == Some(user)
            })
            .map(|(index, _)| index)
            .collect();
        if let Some(generated) = &self.generated {
            let of_user = generated.api_conversations_of(user).into_iter();
            indices.extend(of_user.map(|index| self.listed.len() + index));
        }
        indices
    }

    /// Returns the first index for which a monotone condition holds.
    fn first_index_where(&self, holds: impl Fn(usize) -> bool) -> usize {
        let mut range = 0..self.len();
        while !range.is_empty() {
            let middle = range.start + range.len() / 2;
            if holds(middle) {
                range.end = middle;
            } else {
                range.start = middle + 1;
            }
        }
        range.start
    }
}

fn newest_first(left: &Conversation, right: &Conversation) -> Ordering {
    (right.created_at, &right.id).cmp(&(left.created_at, &left.id))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conversation(id: &str, created_at: i64) -> Conversation {
        Conversation { id: id.to_owned(), created_at, updated_at: created_at, ..Conversation::default() }
    }

    #[test]
    fn windows_include_both_ends() {
        let dataset = Dataset::of((1..=9).map(|at| conversation("x", at * 10)).collect());
        assert_eq!(dataset.window(Some(30), Some(50)), 4..7);
        assert_eq!(dataset.window(Some(31), Some(49)), 5..6);
        assert_eq!(dataset.window(None, None), 0..9);
        assert_eq!(dataset.window(Some(91), None), 0..0);
    }

    #[test]
    fn equal_times_are_ordered_by_id() {
        let dataset = Dataset::of(vec![conversation("a", 1), conversation("c", 1), conversation("b", 1)]);
        let ids: Vec<String> = dataset.iter().map(|held| held.id).collect();
        assert_eq!(ids, ["c", "b", "a"]);
        let key = SortKey { created_at: 1, id: "b".into() };
        assert_eq!(dataset.first_older_than(&key), 2);
        assert_eq!(dataset.first_not_newer_than(&key), 1);
    }

    #[test]
    fn generated_data_agrees_with_a_scan() {
        let settings = GeneratorSettings { conversations: 500, ..GeneratorSettings::default() };
        let mut dataset = Dataset::generated(Vendor::ChatbaseV2, settings);
        dataset.insert(conversation("late", 0));
        let all: Vec<Conversation> = dataset.iter().collect();
        assert_eq!(all[0].id, "late");
        assert!(all.is_sorted_by(|left, right| left.created_at > right.created_at));
        for (index, held) in all.iter().enumerate() {
            assert_eq!(dataset.index_of(&held.id), Some(index));
            assert_eq!(dataset.channel(index), held.channel);
        }
        for channel in [Channel::Api, Channel::Website, Channel::WhatsApp] {
            let passes = |other| other == channel;
            let scanned = all[3..411].iter().filter(|held| held.channel == channel).count();
            assert_eq!(dataset.count(3..411, passes), scanned);
            assert_eq!(dataset.pick(3..411, 1000, passes).len(), scanned);
        }
        let user = all
            .iter()
            .find(|held| held.channel == Channel::Api && held.contact.id.is_some())
            .and_then(|held| held.contact.id.clone())
            .expect("some conversation came through the API");
        let scanned: Vec<usize> = (0..all.len())
            .filter(|&index| all[index].contact.id.as_deref() == Some(&user))
            .filter(|&index| all[index].channel == Channel::Api)
            .collect();
        assert_eq!(dataset.api_conversations_of(&user), scanned);
    }
}
