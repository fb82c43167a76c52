//! Reading a vendor that is simulated in this process, with everything that its documents leave open.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod arrays;
mod changes;
mod gaps;
mod vendor;
mod walks;
