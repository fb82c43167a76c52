//! The one place that asks what time it is.

use std::time::SystemTime;

use chatark_core::Timestamp;

/// Returns the present instant, or the first instant of 2000 where this machine's clock is far off.
pub fn now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let microseconds = i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX);
    Timestamp::from_microseconds(microseconds).unwrap_or(Timestamp::EARLIEST)
}
