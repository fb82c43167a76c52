//! How long to wait before asking again.

use std::time::{Duration, SystemTime};

use rand::RngExt;
use reqwest::header::{HeaderMap, RETRY_AFTER};

/// Numbers below this are a distance in seconds, not an instant: as an instant they would lie in 1973.
const FIRST_INSTANT_SECONDS: f64 = 1e8;
/// Numbers from here on are milliseconds: as seconds they would lie in the year 5138.
const FIRST_MILLISECONDS: f64 = 1e11;

/// Returns the wait before attempt `attempt + 1`: exponential, with jitter over its upper half.
pub(crate) fn exponential(attempt: u32, base: Duration, longest: Duration) -> Duration {
    let full = base.saturating_mul(2_u32.saturating_pow(attempt.saturating_sub(1))).min(longest);
    full.mul_f64(rand::rng().random_range(0.5..=1.0))
}

/// Returns how long the vendor asks to wait by `Retry-After`, in seconds or as an HTTP date.
pub(crate) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let at = httpdate::parse_http_date(text).ok()?;
    Some(at.duration_since(now).unwrap_or_default())
}

/// Returns how long it is until a rate limit's reset: epoch seconds, epoch milliseconds or a distance in
/// seconds, told apart by magnitude, since vendors document one and send another.
pub(crate) fn until_reset(headers: &HeaderMap, name: &str, now: SystemTime) -> Option<Duration> {
    let number = headers.get(name)?.to_str().ok()?.trim().parse::<f64>().ok()?;
    if number < FIRST_INSTANT_SECONDS {
        return Duration::try_from_secs_f64(number).ok();
    }
    let seconds = if number < FIRST_MILLISECONDS { number } else { number / 1_000.0 };
    let at = SystemTime::UNIX_EPOCH.checked_add(Duration::try_from_secs_f64(seconds).ok()?)?;
    Some(at.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().unwrap());
        headers
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = at(1_790_000_000);
        assert_eq!(retry_after(&headers("retry-after", "3"), now), Some(Duration::from_secs(3)));
        let date = httpdate::fmt_http_date(at(1_790_000_042));
        assert_eq!(retry_after(&headers("retry-after", &date), now), Some(Duration::from_secs(42)));
        let past = httpdate::fmt_http_date(at(1_780_000_000));
        assert_eq!(retry_after(&headers("retry-after", &past), now), Some(Duration::ZERO));
        for bad in ["soon", "-1", "NaN", "1e300"] {
            assert_eq!(retry_after(&headers("retry-after", bad), now), None, "{bad}");
        }
    }

    #[test]
    fn a_reset_is_read_by_magnitude() {
        let now = at(1_790_000_000);
        for value in ["1790000013", "1790000013000", "13"] {
            let found = until_reset(&headers("x-ratelimit-reset", value), "x-ratelimit-reset", now);
            assert_eq!(found, Some(Duration::from_secs(13)), "{value}");
        }
        assert_eq!(until_reset(&headers("x-ratelimit-reset", "?"), "x-ratelimit-reset", now), None);
        assert_eq!(until_reset(&HeaderMap::new(), "x-ratelimit-reset", now), None);
    }

    #[test]
    fn backoff_doubles_with_jitter_up_to_its_limit() {
        let (base, longest) = (Duration::from_millis(500), Duration::from_secs(30));
        for (attempt, full) in [(1, 500), (2, 1_000), (3, 2_000), (7, 30_000), (200, 30_000)] {
            let wait = exponential(attempt, base, longest);
            let full = Duration::from_millis(full);
            assert!(wait >= full / 2 && wait <= full, "{attempt}: {wait:?}");
        }
    }
}
