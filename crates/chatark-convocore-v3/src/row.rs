//! A row of the list of conversations, and whether it shows that the conversation has changed.

use bytes::Bytes;
use chatark_core::{HeldSummary, ListRow, ReadRequest, RecordId, Timestamp, Window, fields};
use serde_json::Value;

use crate::wire::instant;

/// A row of the list. Each field may be left out, and most rows leave some out.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    /// The vendor's JSON.
    pub(crate) bytes: Bytes,
    pub(crate) id: Option<RecordId>,
    pub(crate) change_fields: ChangeFields,
}

/// The fields of a row that show changes. Times are truncated to seconds: the vendor writes the same time in seconds or
/// in milliseconds.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct ChangeFields {
    /// When the conversation began.
    pub(crate) start: Option<Timestamp>,
    last_message: Option<Timestamp>,
    last_modified: Option<Timestamp>,
    pub(crate) messages: Option<u64>,
    state: Option<String>,
    feedback: Option<Value>,
}

/// The times from which on something counts as changed.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Since {
    /// A change from then on is fetched again: there may have been another one in the second of the last sweep.
    pub(crate) changed: Option<Timestamp>,
    /// A conversation that began from then on counts as changed if its row shows nothing about changes.
    pub(crate) recent: Option<Timestamp>,
    /// A later time comes from a wrong clock.
    pub(crate) plausible_until: Option<Timestamp>,
}

/// The result of comparing a row with what the archive holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RowState {
    /// It is to be fetched: it is new, or it has changed.
    Changed,
    /// The archive holds it as it is.
    Unchanged {
        /// Whether the row is to be kept: it shows more than the one that was kept, or none was kept.
        keep: bool,
    },
    /// The archive does not hold it, and the vendor does not export it, because it has no message.
    NotExported,
}

impl Since {
    /// Returns the times of a request.
    pub(crate) fn of(request: &ReadRequest) -> Self {
        Self {
            changed: request.reread_since,
            recent: request.recent_since,
            plausible_until: request.plausible_until,
        }
    }
}

impl Row {
    /// Reads a row.
    pub(crate) fn read(bytes: Bytes) -> Self {
        let names = ["ID", "id", "ts", "lastMessageTS", "lastModified", "messagesNum", "state", "feedback"];
        let [id, other_id, start, last_message, last_modified, messages, state, feedback] =
            fields::peek(&bytes, names);
        let second = |value: &Value| instant(Some(value)).map(to_second);
        let change_fields = ChangeFields {
            start: second(&start),
            last_message: second(&last_message),
            last_modified: second(&last_modified),
            messages: messages.as_u64(),
            state: state.as_str().map(str::to_owned),
            feedback: Some(feedback).filter(|feedback| !feedback.is_null()),
        };
        let id = [id, other_id].iter().find_map(RecordId::from_json);
        Self { bytes, id, change_fields }
    }

    /// Returns the row as the archive keeps it.
    pub(crate) fn to_list_row(&self, id: RecordId) -> ListRow {
        ListRow { id, row: self.bytes.clone() }
    }

    /// Returns whether the conversation may have begun in a window.
    pub(crate) fn is_in(&self, window: &Window) -> bool {
        window.contains(self.change_fields.start)
    }

    /// Compares the row with what is held.
    pub(crate) fn compare(&self, held: Option<&HeldSummary>, since: Since) -> RowState {
        let Some(held) = held else {
            return if self.change_fields.messages == Some(0) {
                RowState::NotExported
            } else {
                RowState::Changed
            };
        };
        let kept = held.list_row.as_ref().map(|row| Self::read(Bytes::from(row.clone())).change_fields);
        if self.change_fields.is_changed(kept.as_ref(), held, since) {
            return RowState::Changed;
        }
        let shows_more = |kept: &ChangeFields| {
            self.change_fields.shows_more_than(kept) || self.change_fields.was_read_by_sweep(kept, held)
        };
        RowState::Unchanged { keep: kept.is_none_or(|kept| shows_more(&kept)) }
    }
}

impl ChangeFields {
    /// Returns the latest time of the row.
    pub(crate) fn newest(&self) -> Option<Timestamp> {
        [self.start, self.last_message, self.last_modified].into_iter().max().flatten()
    }

    fn is_changed(&self, kept: Option<&Self>, held: &HeldSummary, since: Since) -> bool {
        let newest = self.newest().filter(|at| since.plausible_until.is_none_or(|until| *at <= until));
        let is_late = since.changed.is_some_and(|since| newest >= Some(to_second(since)));
        if is_late {
            return true;
        }
        match kept.filter(|kept| !self.was_read_by_sweep(kept, held)).and_then(|kept| self.differs_from(kept))
        {
            Some(differ) => differ || self.shows_later_message(kept, held),
            None => self.differs_from_held(held).unwrap_or_else(|| self.is_recent(held, since)),
        }
    }

    /// Returns whether a row differs from an earlier one, or `None` if they share no field that changes with messages.
    fn differs_from(&self, kept: &Self) -> Option<bool> {
        let of_messages = [
            differ(self.last_message, kept.last_message),
            differ(self.last_modified, kept.last_modified),
            differ(self.messages, kept.messages),
        ];
        let others = [
            differ(self.start, kept.start),
            differ(self.state.as_ref(), kept.state.as_ref()),
            differ(self.feedback.as_ref(), kept.feedback.as_ref()),
        ];
        if of_messages.iter().chain(&others).any(|differs| *differs == Some(true)) {
            return Some(true);
        }
        of_messages.iter().flatten().next().copied()
    }

    /// Returns whether a sweep, which reads no rows, has read the latest message after the earlier row was kept.
    fn was_read_by_sweep(&self, kept: &Self, held: &HeldSummary) -> bool {
        // If no row has the time of the last message, that of the last modification stands for it.
        let shows_message = self.last_message.or(kept.last_message).is_some();
        let latest = |change_fields: &Self| {
            if shows_message { change_fields.last_message } else { change_fields.last_modified }
        };
        latest(kept).is_some()
            && latest(self) > latest(kept)
            && latest(self) == held.updated_at.map(to_second)
    }

    /// Returns whether the row has the time of the last message, the earlier row did not, and it is later than what is
    /// held.
    fn shows_later_message(&self, kept: Option<&Self>, held: &HeldSummary) -> bool {
        let was_shown = kept.is_some_and(|kept| kept.last_message.is_some());
        !was_shown && self.last_message.is_some() && self.last_message > held.updated_at.map(to_second)
    }

    /// Returns whether the row differs from the archived conversation, or `None` if it has no time of a change.
    ///
    /// `lastModified` moves without a message too, such as when a summary is written, so the time of the last message
    /// decides where it is shown.
    fn differs_from_held(&self, held: &HeldSummary) -> Option<bool> {
        let shown = self.last_message.or(self.last_modified)?;
        let updated_at = held.updated_at.map(to_second)?;
        let has_other_state = differ(self.state.as_deref(), held.status_raw.as_deref()) == Some(true);
        Some(shown > updated_at || has_other_state)
    }

    fn is_recent(&self, held: &HeldSummary, since: Since) -> bool {
        let Some(recent) = since.recent.map(to_second) else { return true };
        self.start >= Some(recent) || held.created_at >= Some(recent)
    }

    /// Returns whether the row has a field that an earlier one did not.
    fn shows_more_than(&self, kept: &Self) -> bool {
        (self.last_message.is_some() && kept.last_message.is_none())
            || (self.last_modified.is_some() && kept.last_modified.is_none())
            || (self.messages.is_some() && kept.messages.is_none())
            || (self.state.is_some() && kept.state.is_none())
            || (self.feedback.is_some() && kept.feedback.is_none())
    }
}

/// Returns whether two values differ, or `None` if one is missing.
fn differ<T: PartialEq>(one: Option<T>, other: Option<T>) -> Option<bool> {
    Some(one? != other?)
}

fn to_second(at: Timestamp) -> Timestamp {
    let second = at.microseconds().div_euclid(1_000_000) * 1_000_000;
    Timestamp::from_microseconds(second).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// 2026-08-02T17:14:29Z in seconds.
    const START: i64 = 1_785_690_869;

    fn row(value: &Value) -> Row {
        Row::read(Bytes::from(value.to_string()))
    }

    fn at(second: i64) -> Option<Timestamp> {
        Timestamp::from_epoch(START + second).ok()
    }

    fn held(kept: Option<Value>) -> HeldSummary {
        HeldSummary {
            updated_at: at(100),
            created_at: at(0),
            list_row: kept.map(|row| row.to_string()),
            ..HeldSummary::default()
        }
    }

    #[track_caller]
    fn check(shown: &Value, held: &HeldSummary, since: Since, expect: RowState) {
        assert_eq!(row(shown).compare(Some(held), since), expect, "{shown}");
    }

    const SAME: RowState = RowState::Unchanged { keep: false };
    const SAME_BUT_KEPT: RowState = RowState::Unchanged { keep: true };

    #[test]
    fn a_row_is_compared_with_the_one_that_was_kept() {
        let kept = json!({"ID": "a", "ts": START, "lastMessageTS": START + 100, "lastModified": (START + 150) * 1_000 + 753, "messagesNum": 8, "state": "ai-chatting", "feedback": "Unset"});
        let held = held(Some(kept.clone()));
        let with = |name: &str, value: Value| {
            let mut row = kept.clone();
            row[name] = value;
            row
        };
        check(&kept, &held, Since::default(), SAME);
        check(&with("lastModified", json!(START + 150)), &held, Since::default(), SAME);
        check(&with("summary", json!("new")), &held, Since::default(), SAME);
        check(&json!({"ID": "a", "messagesNum": 8}), &held, Since::default(), SAME);
        for (name, value) in [
            ("lastMessageTS", json!(START + 101)),
            ("lastModified", json!(START + 151)),
            ("messagesNum", json!(9)),
            ("state", json!("human-chatting")),
            ("feedback", json!("Positive")),
            ("ts", json!(START + 1)),
        ] {
            check(&with(name, value), &held, Since::default(), RowState::Changed);
        }
    }

    #[test]
    fn a_row_that_shows_a_later_message_is_no_change_once_a_sweep_has_read_that() {
        for name in ["lastMessageTS", "lastModified"] {
            let at =
                |second: i64| json!({"ID": "a", "ts": START, name: START + second, "messagesNum": second});
            check(&at(100), &held(Some(at(50))), Since::default(), SAME_BUT_KEPT);
            check(&at(101), &held(Some(at(50))), Since::default(), RowState::Changed);
        }
        let rated = json!({"ID": "a", "ts": START, "lastMessageTS": START + 50, "lastModified": START + 100});
        let kept = json!({"ID": "a", "ts": START, "lastMessageTS": START + 50, "lastModified": START + 50});
        check(&rated, &held(Some(kept)), Since::default(), RowState::Changed);
    }

    #[test]
    fn a_change_in_the_second_of_the_last_read_is_fetched_again() {
        let kept = json!({"ID": "a", "ts": START, "lastMessageTS": START + 100});
        let since = |second| Since { changed: at(second), ..Since::default() };
        check(&kept, &held(Some(kept.clone())), since(100), RowState::Changed);
        check(&kept, &held(Some(kept.clone())), since(101), SAME);
    }

    #[test]
    fn a_time_of_a_wrong_clock_is_no_sign_of_a_late_change() {
        let kept = json!({"ID": "a", "ts": START, "lastMessageTS": START + 999_999});
        let since = |until| Since { changed: at(100), plausible_until: at(until), ..Since::default() };
        check(&kept, &held(Some(kept.clone())), since(1_000_000), RowState::Changed);
        check(&kept, &held(Some(kept.clone())), since(1_000), SAME);
    }

    #[test]
    fn without_a_kept_row_the_conversation_itself_is_compared() {
        check(
            &json!({"ID": "a", "lastMessageTS": START + 100}),
            &held(None),
            Since::default(),
            SAME_BUT_KEPT,
        );
        check(
            &json!({"ID": "a", "lastMessageTS": START + 101}),
            &held(None),
            Since::default(),
            RowState::Changed,
        );
        check(
            &json!({"ID": "a", "lastModified": START + 101}),
            &held(None),
            Since::default(),
            RowState::Changed,
        );
        // A summary that was written later is no message.
        let summarized = json!({"ID": "a", "lastMessageTS": START + 100, "lastModified": START + 500});
        check(&summarized, &held(None), Since::default(), SAME_BUT_KEPT);
    }

    #[test]
    fn a_row_that_tells_nothing_counts_as_changed_within_the_look_back() {
        let thin = json!({"ID": "a", "ts": START, "userName": "Jane"});
        let since = |second| Since { recent: at(second), ..Since::default() };
        check(&thin, &held(Some(thin.clone())), since(0), RowState::Changed);
        check(&thin, &held(Some(thin.clone())), since(1), SAME);
        check(&thin, &held(None), since(1), SAME_BUT_KEPT);
        check(&json!({"ID": "a"}), &held(None), since(0), RowState::Changed);
        // The number of messages shows that nothing has changed.
        let counted = json!({"ID": "a", "ts": START, "messagesNum": 9});
        check(&counted, &held(Some(counted.clone())), since(0), SAME);
        check(&counted, &held(Some(thin)), since(1), SAME_BUT_KEPT);
    }

    #[test]
    fn what_is_not_held_is_fetched_unless_it_has_no_message() {
        let state = |value: &Value| row(value).compare(None, Since::default());
        assert_eq!(state(&json!({"ID": "a", "messagesNum": 0})), RowState::NotExported);
        assert_eq!(state(&json!({"ID": "a", "messagesNum": 1})), RowState::Changed);
        assert_eq!(state(&json!({"ID": 7})), RowState::Changed);
        assert_eq!(row(&json!({"ID": 7})).id, Some(RecordId::new("7")));
    }
}
