//! The client against a vendor on loopback: what it sends, what it asks again, what it waits for, what it reads.

#[cfg(test)]
mod bodies;
#[cfg(test)]
mod budget;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod requests;
#[cfg(test)]
mod support;
#[cfg(test)]
mod waits;
#[cfg(test)]
mod writes;
