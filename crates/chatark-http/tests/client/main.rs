//! The client against a vendor on loopback or in process: what it sends, repeats, waits for and reads.

#[cfg(test)]
mod bodies;
#[cfg(test)]
mod budget;
#[cfg(test)]
mod errors;
#[cfg(test)]
mod in_process;
#[cfg(test)]
mod requests;
#[cfg(test)]
mod support;
#[cfg(test)]
mod waits;
#[cfg(test)]
mod writes;
