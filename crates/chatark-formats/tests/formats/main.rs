//! The files that an export writes, read back with independent parsers.

#[cfg(test)]
mod csv_files;
#[cfg(test)]
mod folder;
#[cfg(test)]
mod helpers;
#[cfg(test)]
mod json_files;
#[cfg(test)]
mod manifest;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod samples;
#[cfg(test)]
mod schema;
