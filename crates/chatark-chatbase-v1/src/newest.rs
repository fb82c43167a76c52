//! The latest change that rows show.

use bytes::Bytes;
use chatark_core::{Timestamp, Zone, fields, time};

/// How much of a row is looked at: its times come before its messages, and more would cost too much.
const HEAD_BYTES: usize = 2_048;

/// Returns the latest time of a change that the rows show.
pub(crate) fn newest_change(rows: &[Bytes]) -> Option<Timestamp> {
    rows.iter().filter_map(|row| changed(row)).max()
}

fn changed(row: &[u8]) -> Option<Timestamp> {
    let head = &row[..row.len().min(HEAD_BYTES)];
    let times = fields::peek(head, ["updated_at", "last_message_at"]);
    times.iter().filter_map(|value| Some(time::read(value, Zone::UTC).ok()?.0)).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_later_of_both_times_counts() {
        let rows = [
            r#"{"id":"a","updated_at":"2024-12-01T10:30:00Z","last_message_at":"2024-12-01T10:31:00+00:00"}"#,
            r#"{"id":"b","last_message_at":1733049000,"messages":[]}"#,
            r#"{"id":"c","updated_at":null}"#,
            "17",
        ];
        let rows = rows.map(|row| Bytes::from_static(row.as_bytes()));
        assert_eq!(newest_change(&rows).unwrap().to_string(), "2024-12-01T10:31:00Z");
        assert_eq!(newest_change(&rows[1..]).unwrap().to_string(), "2024-12-01T10:30:00Z");
        assert_eq!(newest_change(&rows[2..]), None);
    }

    #[test]
    fn times_are_found_in_front_of_any_number_of_messages() {
        let content = "x".repeat(1 << 20);
        let row =
            format!(r#"{{"updated_at":"2024-12-01T10:30:00Z","messages":[{{"content":"{content}"}}]}}"#);
        assert!(newest_change(&[Bytes::from(row)]).is_some());
    }
}
