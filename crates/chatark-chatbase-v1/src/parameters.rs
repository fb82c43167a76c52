//! The parameters that narrow the list of conversations, and whether a deployment takes them.

use chatark_core::{Channel, Features, ReadRequest, Timestamp, Window, Zone, fields, time};
use chatark_http::Call;

use crate::wire;

/// The feature of a deployment that takes `startDate` and `endDate`.
pub(crate) const DATES: &str = "dates";
/// The feature of a deployment that takes `filteredSources`.
pub(crate) const CHANNEL_FILTER: &str = "sources";
const DAY_SECONDS: i64 = 86_400;

/// Which conversations the vendor is asked for. The caller filters what arrives once more.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Parameters {
    /// The first and the last day, each `YYYY-MM-DD`.
    pub(crate) days: (Option<String>, Option<String>),
    /// The vendor's names of a channel, with commas between them.
    pub(crate) sources: Option<String>,
}

impl Parameters {
    /// Returns what to ask for, without what the deployment is known to refuse.
    pub(crate) fn of(request: &ReadRequest) -> Self {
        let features: &Features = &request.features;
        Self {
            days: if features.lacks(DATES) { (None, None) } else { days(request.window) },
            sources: request.channel.filter(|_| !features.lacks(CHANNEL_FILTER)).and_then(sources),
        }
    }

    /// Asks for the days around an instant.
    pub(crate) fn around(at: Timestamp) -> Self {
        let until = at.shifted(DAY_SECONDS);
        Self { days: days(Window { since: Some(at), until }), sources: None }
    }

    /// Asks for one day, by its name.
    pub(crate) fn on(day: &str) -> Self {
        Self { days: (Some(day.to_owned()), Some(day.to_owned())), sources: None }
    }

    /// Asks for a day on which no conversation began.
    pub(crate) fn nothing() -> Self {
        Self::on("2000-01-01")
    }

    pub(crate) fn has_days(&self) -> bool {
        self.days != (None, None)
    }

    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Adds them to a request.
    pub(crate) fn add_to(&self, call: Call) -> Call {
        call.optional_query("startDate", self.days.0.as_ref())
            .optional_query("endDate", self.days.1.as_ref())
            .optional_query("filteredSources", self.sources.as_ref())
    }
}

/// Returns when the conversation of a row began, if it says.
pub(crate) fn began(row: &[u8]) -> Option<Timestamp> {
    let [at] = fields::peek(row, ["created_at"]);
    Some(time::read(&at, Zone::UTC).ok()?.0)
}

/// Returns the days to request. The vendor documents neither the time zone of its days nor whether the first and the
/// last one are included, so two days are added on both sides and the caller drops what lies outside the window.
fn days(window: Window) -> (Option<String>, Option<String>) {
    let day = |bound: Option<Timestamp>, shift| Some(bound?.shifted(shift)?.day());
    (day(window.since, -2 * DAY_SECONDS), day(window.until, 2 * DAY_SECONDS))
}

/// Returns the vendor's names of a channel, for a filter.
///
/// For websites and playgrounds, the documents list only some of the names that conversations have. A filter would
/// leave the others out, so the caller filters instead.
fn sources(channel: Channel) -> Option<String> {
    let is_listed_whole = !matches!(channel, Channel::Website | Channel::Playground);
    is_listed_whole.then(|| channel.vendor_words(wire::CHANNEL_NAMES)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_widened_by_two_days_on_both_sides() {
        let at = |seconds| Timestamp::from_epoch(seconds).ok();
        // 2024-12-01T10:30:00Z to 2024-12-02T00:00:00Z.
        let window = Window { since: at(1_733_049_000), until: at(1_733_097_600) };
        assert_eq!(days(window), (Some("2024-11-29".to_owned()), Some("2024-12-04".to_owned())));
        assert_eq!(days(Window::default()), (None, None));
    }

    #[test]
    fn a_channel_is_filtered_by_the_vendors_names_if_all_are_known() {
        assert_eq!(sources(Channel::WhatsApp).as_deref(), Some("WhatsApp"));
        // `Iframe` and others are websites too, and `Qna preview` is a playground.
        for channel in [Channel::Website, Channel::Playground, Channel::Phone] {
            assert_eq!(sources(channel), None, "{channel:?}");
        }
    }
}
