//! End-to-end tests of the real binary against the sandbox, in one test binary.

#[cfg(test)]
mod architecture;
#[cfg(test)]
mod archive;
#[cfg(test)]
mod budget;
#[cfg(test)]
mod cells;
#[cfg(test)]
mod cli;
#[cfg(test)]
mod contacts;
#[cfg(test)]
mod definition;
#[cfg(test)]
mod disk;
#[cfg(test)]
mod drift;
#[cfg(test)]
mod export;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod incremental;
#[cfg(test)]
mod kill;
#[cfg(test)]
mod migrate;
#[cfg(test)]
mod migrate_api;
#[cfg(test)]
mod plan;
#[cfg(test)]
mod privacy;
#[cfg(test)]
mod pull;
#[cfg(test)]
mod reliability;
#[cfg(test)]
mod report;
#[cfg(test)]
mod stop;
#[cfg(test)]
mod support;
#[cfg(test)]
mod upgrade;
#[cfg(test)]
mod verdict;
#[cfg(test)]
mod verify;
