//! The wall clock as a value, so that a simulation can set it.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use crate::time::Timestamp;

/// A source of the current time.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Clock {
    /// Creates a clock that reads the time from a function.
    pub fn new(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// Returns this machine's clock. A time outside the years 2000 to 2100 becomes the first instant of 2000.
    pub fn system() -> Self {
        Self::new(|| {
            let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            let microseconds = i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX);
            Timestamp::from_microseconds(microseconds).unwrap_or(Timestamp::EARLIEST)
        })
    }

    /// Returns the current time.
    pub fn now(&self) -> Timestamp {
        (self.0)()
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::system()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Clock").field(&self.now()).finish()
    }
}
