//! Times in the headers of responses, compared with a wall clock that the caller passes in.

use std::time::{Duration, SystemTime};

use chatark_core::Timestamp;
use reqwest::header::{DATE, HeaderMap, HeaderName, RETRY_AFTER};

/// Smaller numbers are seconds from now, not an instant: as an instant they would lie before 1973.
const FIRST_INSTANT_SECONDS: f64 = 1e8;
/// Numbers from here on are milliseconds: as seconds they would be in the year 5138.
const FIRST_MILLISECONDS: f64 = 1e11;
/// Numbers from here on are microseconds: as milliseconds they would be in the year 5138.
const FIRST_MICROSECONDS: f64 = 1e14;
/// A clock skew up to this is ignored, because the `Date` header has only whole seconds.
const TOLERATED_SKEW_SECONDS: i64 = 2;

/// Returns how long the vendor asks to wait by `Retry-After`, in seconds or as an HTTP date.
pub(crate) fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = text(headers, &RETRY_AFTER)?;
    if let Ok(seconds) = text.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    Some(http_date(text)?.saturating_sub(since_epoch(now)))
}

/// Returns the time until a rate limit resets.
///
/// The header holds seconds from now, or seconds, milliseconds or microseconds since 1970. They are distinguished by
/// magnitude, because vendors document one and send another.
pub(crate) fn until_reset(headers: &HeaderMap, name: &HeaderName, now: Timestamp) -> Option<Duration> {
    let number = text(headers, name)?.parse::<f64>().ok()?;
    if number < FIRST_INSTANT_SECONDS {
        return Duration::try_from_secs_f64(number).ok();
    }
    let seconds = match number {
        number if number >= FIRST_MICROSECONDS => number / 1_000_000.0,
        number if number >= FIRST_MILLISECONDS => number / 1_000.0,
        number => number,
    };
    Some(Duration::try_from_secs_f64(seconds).ok()?.saturating_sub(since_epoch(now)))
}

/// Returns the vendor's current time from the `Date` header, because its clock also writes the other headers. Returns
/// our own time if the clocks agree.
pub(crate) fn vendor_time(headers: &HeaderMap, now: Timestamp) -> Timestamp {
    let skew = clock_skew_seconds(headers, now).filter(|skew| skew.abs() > TOLERATED_SKEW_SECONDS);
    skew.and_then(|skew| now.shifted(skew)).unwrap_or(now)
}

/// Returns the seconds by which the vendor's clock is ahead of ours, from the `Date` header.
pub(crate) fn clock_skew_seconds(headers: &HeaderMap, now: Timestamp) -> Option<i64> {
    let vendor_time = http_date(text(headers, &DATE)?)?;
    Some(i64::try_from(vendor_time.as_secs()).ok()? - i64::try_from(since_epoch(now).as_secs()).ok()?)
}

/// Returns the value of a header as text without surrounding space.
pub(crate) fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

fn http_date(text: &str) -> Option<Duration> {
    httpdate::parse_http_date(text).ok()?.duration_since(SystemTime::UNIX_EPOCH).ok()
}

fn since_epoch(now: Timestamp) -> Duration {
    Duration::from_micros(now.microseconds().unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_790_000_000;
    const RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

    fn now() -> Timestamp {
        Timestamp::from_epoch(NOW).unwrap()
    }

    fn date(offset: i64) -> String {
        let seconds = u64::try_from(NOW + offset).unwrap();
        httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
    }

    fn headers(name: HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, value.parse().unwrap())])
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        for (value, seconds) in [("3", 3), (" 0 ", 0), (&date(42), 42), (&date(-10_000), 0)] {
            let found = retry_after(&headers(RETRY_AFTER, value), now());
            assert_eq!(found, Some(Duration::from_secs(seconds)), "{value}");
        }
        for bad in ["soon", "-1", "NaN", "1e300"] {
            assert_eq!(retry_after(&headers(RETRY_AFTER, bad), now()), None, "{bad}");
        }
    }

    #[test]
    fn the_unit_of_a_reset_follows_from_its_size() {
        for value in ["1790000013", "1790000013000", "1790000013000000", "13"] {
            let found = until_reset(&headers(RESET, value), &RESET, now());
            assert_eq!(found, Some(Duration::from_secs(13)), "{value}");
        }
        assert_eq!(until_reset(&headers(RESET, "1780000000"), &RESET, now()), Some(Duration::ZERO));
        assert_eq!(until_reset(&headers(RESET, "?"), &RESET, now()), None);
        assert_eq!(until_reset(&HeaderMap::new(), &RESET, now()), None);
    }

    #[test]
    fn a_reset_is_relative_to_the_vendors_clock() {
        let mut vendor = headers(DATE, &date(1_200));
        vendor.insert(RESET, (NOW + 1_203).to_string().parse().unwrap());
        let there = vendor_time(&vendor, now());
        assert_eq!(until_reset(&vendor, &RESET, there), Some(Duration::from_secs(3)));
        assert_eq!(vendor_time(&headers(DATE, &date(1)), now()), now());
        assert_eq!(vendor_time(&HeaderMap::new(), now()), now());
    }

    #[test]
    fn clock_skew_is_positive_if_the_vendor_is_ahead() {
        for offset in [-90, 0, 3_600] {
            assert_eq!(clock_skew_seconds(&headers(DATE, &date(offset)), now()), Some(offset));
        }
        assert_eq!(clock_skew_seconds(&headers(DATE, "today"), now()), None);
    }
}
