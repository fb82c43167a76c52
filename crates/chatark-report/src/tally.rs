//! Counts keys in bounded memory, as an external merge sort: keys that do not fit are sorted and written to temporary
//! files, which are merged when the counts are read.

use std::collections::HashMap;
use std::fs::File;
use std::hash::{BuildHasherDefault, Hasher};
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};
use std::iter::Peekable;
use std::vec;

use chatark_core::{Error, ErrorKind, Result};

/// The maximum number of distinct keys in memory.
const MAX_KEYS_IN_MEMORY: usize = 100_000;
/// The size of an entry in a file.
const ENTRY_BYTES: usize = 48;

/// A hash map whose keys are numbers.
pub(crate) type NumberMap<K, V> = HashMap<K, V, BuildHasherDefault<NumberHasher>>;

/// Hashes numbers by multiplication. It is fast, but keys can be chosen to collide, which costs only time.
#[derive(Debug, Default)]
pub(crate) struct NumberHasher(u64);

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct TallyKey {
    /// What the value belongs to, such as the response times of one group.
    pub(crate) namespace: u64,
    /// The value, as a number.
    pub(crate) value: u64,
}

/// How often a key occurs, with the range of the attributes of its occurrences.
///
/// For a person, the attribute is the provider, and a flag marks the person's first conversation. For a question, the
/// attribute is a conversation in which it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) times: u64,
    pub(crate) min_attribute: i64,
    pub(crate) max_attribute: i64,
    /// Whether any occurrence was flagged.
    pub(crate) is_flagged: bool,
}

/// Counts keys.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    in_memory: NumberMap<TallyKey, Count>,
    files: Vec<File>,
}

/// Sorted entries, in memory or in a file.
enum SortedRun {
    Memory(Peekable<vec::IntoIter<(TallyKey, Count)>>),
    File(Peekable<FileEntries>),
}

/// The entries of a file.
struct FileEntries(BufReader<File>);

impl Hasher for NumberHasher {
    fn finish(&self) -> u64 {
        self.0 ^ self.0 >> 29
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u32(&mut self, number: u32) {
        self.write_u64(u64::from(number));
    }

    fn write_i32(&mut self, number: i32) {
        self.write_u64(u64::from(number.cast_unsigned()));
    }

    fn write_i64(&mut self, number: i64) {
        self.write_u64(number.cast_unsigned());
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0.rotate_left(26) ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

impl Count {
    /// Returns the count of one occurrence.
    pub(crate) fn once(attribute: i64, is_flagged: bool) -> Self {
        Self { times: 1, min_attribute: attribute, max_attribute: attribute, is_flagged }
    }

    fn add(&mut self, other: Self) {
        self.times += other.times;
        self.min_attribute = self.min_attribute.min(other.min_attribute);
        self.max_attribute = self.max_attribute.max(other.max_attribute);
        self.is_flagged |= other.is_flagged;
    }
}

impl Tally {
    /// Adds a count to a key.
    pub(crate) fn add(&mut self, key: TallyKey, count: Count) -> Result<()> {
        self.in_memory.entry(key).and_modify(|held| held.add(count)).or_insert(count);
        if self.in_memory.len() < MAX_KEYS_IN_MEMORY { Ok(()) } else { self.spill().map_err(storage_error) }
    }

    /// Takes the keys in memory, sorted.
    fn sorted(&mut self) -> Vec<(TallyKey, Count)> {
        let mut entries: Vec<_> = self.in_memory.drain().collect();
        entries.sort_unstable_by_key(|(key, _)| *key);
        entries
    }

    /// Moves the keys in memory to a file.
    fn spill(&mut self) -> io::Result<()> {
        let mut file = BufWriter::new(tempfile::tempfile()?);
        for (key, count) in self.sorted() {
            file.write_all(&encode(key, count))?;
        }
        let mut file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.rewind()?;
        self.files.push(file);
        Ok(())
    }

    /// Passes every key with its count to `take`, sorted by namespace and value.
    pub(crate) fn read(mut self, mut take: impl FnMut(TallyKey, Count) -> Result<()>) -> Result<()> {
        let in_memory = self.sorted();
        let files =
            self.files.into_iter().map(|file| SortedRun::File(FileEntries(BufReader::new(file)).peekable()));
        let mut runs: Vec<_> = files.chain([SortedRun::Memory(in_memory.into_iter().peekable())]).collect();
        let mut current: Option<(TallyKey, Count)> = None;
        while let Some((key, count)) = next_entry(&mut runs)? {
            match &mut current {
                Some((last, sum)) if *last == key => sum.add(count),
                _ => {
                    if let Some((key, count)) = current.replace((key, count)) {
                        take(key, count)?;
                    }
                }
            }
        }
        current.map_or(Ok(()), |(key, count)| take(key, count))
    }
}

/// Returns the smallest entry of all sorted runs. A linear search is enough: each of them holds many keys, so there are few.
fn next_entry(runs: &mut [SortedRun]) -> Result<Option<(TallyKey, Count)>> {
    let first = runs.iter_mut().filter_map(|run| run.key().map(|key| (key, run)));
    let Some((_, run)) = first.min_by_key(|(key, _)| *key) else { return Ok(None) };
    match run {
        SortedRun::Memory(entries) => Ok(entries.next()),
        SortedRun::File(entries) => entries.next().transpose().map_err(storage_error),
    }
}

impl SortedRun {
    /// Returns its next key. An entry that cannot be read has the smallest key, so that its error is returned first.
    fn key(&mut self) -> Option<TallyKey> {
        match self {
            Self::Memory(entries) => entries.peek().map(|(key, _)| *key),
            Self::File(entries) => entries
                .peek()
                .map(|entry| entry.as_ref().map_or(TallyKey { namespace: 0, value: 0 }, |(key, _)| *key)),
        }
    }
}

impl Iterator for FileEntries {
    type Item = io::Result<(TallyKey, Count)>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut entry = [0; ENTRY_BYTES];
        match self.0.read_exact(&mut entry) {
            Ok(()) => Some(Ok(decode(&entry))),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => None,
            Err(error) => Some(Err(error)),
        }
    }
}

fn encode(key: TallyKey, count: Count) -> [u8; ENTRY_BYTES] {
    let numbers = [
        key.namespace,
        key.value,
        count.times,
        count.min_attribute.cast_unsigned(),
        count.max_attribute.cast_unsigned(),
        u64::from(count.is_flagged),
    ];
    let mut entry = [0; ENTRY_BYTES];
    for (place, number) in entry.chunks_exact_mut(8).zip(numbers) {
        place.copy_from_slice(&number.to_le_bytes());
    }
    entry
}

fn decode(entry: &[u8; ENTRY_BYTES]) -> (TallyKey, Count) {
    let number = |at: usize| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&entry[at * 8..at * 8 + 8]);
        u64::from_le_bytes(bytes)
    };
    let key = TallyKey { namespace: number(0), value: number(1) };
    let count = Count {
        times: number(2),
        min_attribute: number(3).cast_signed(),
        max_attribute: number(4).cast_signed(),
        is_flagged: number(5) != 0,
    };
    (key, count)
}

#[expect(clippy::needless_pass_by_value, reason = "`map_err` gives it away")]
fn storage_error(error: io::Error) -> Error {
    Error::new(ErrorKind::Storage, "compute a report", &error)
        .hint("free some space in the folder for temporary files, or set `TMPDIR` to another one")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Counts more keys than fit into memory, each once per round.
    #[test]
    fn keys_that_do_not_fit_into_memory_are_counted() {
        let keys = MAX_KEYS_IN_MEMORY as u64 * 5 / 2;
        let mut tally = Tally::default();
        let mut expected = BTreeMap::new();
        for round in 0..2_i64 {
            for at in 0..keys {
                let key = TallyKey { namespace: at % 3, value: at.wrapping_mul(0x9e37_79b9_7f4a_7c15) };
                tally.add(key, Count::once(round * 7, round == 1 && at % 2 == 0)).unwrap();
                expected.insert(
                    key,
                    Count { times: 2, min_attribute: 0, max_attribute: 7, is_flagged: at % 2 == 0 },
                );
            }
        }
        assert!(tally.files.len() > 1, "nothing was written to files");
        let mut found = Vec::new();
        tally
            .read(|key, count| {
                found.push((key, count));
                Ok(())
            })
            .unwrap();
        assert!(found.iter().copied().eq(expected), "the counts differ");
    }
}
