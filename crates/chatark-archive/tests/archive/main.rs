//! The archive as its users see it: what goes in comes out, all or nothing, and what the file reports about itself.

#[cfg(test)]
mod contacts;
#[cfg(test)]
mod files;
#[cfg(test)]
mod gaps;
#[cfg(test)]
mod parts;
#[cfg(test)]
mod persons;
#[cfg(test)]
mod reading;
#[cfg(test)]
mod rebuilding;
#[cfg(test)]
mod support;
#[cfg(test)]
mod sweeps;
#[cfg(test)]
mod transfers;
#[cfg(test)]
mod upgrading;
#[cfg(test)]
mod writing;
