//! End-to-end tests of the real binary against the sandbox, in one test binary.

mod architecture;
mod export;
