//! A file that is hashed and written on a thread of its own, while its next bytes are made.

use std::fmt::{self, Write as _};
use std::io::{self, Write};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread::{self, JoinHandle};

use sha2::{Digest, Sha256};

/// Two buffers of this size belong to each file: one is filled while the other is written.
const BUFFER_BYTES: usize = 128 << 10;

/// A writer that hands whole buffers to its thread.
pub(crate) struct BackgroundWriter<W> {
    buffer: Vec<u8>,
    /// `None` once the thread has ended.
    thread: Option<Thread<W>>,
}

/// The thread, and the ways of the two buffers to it and back.
struct Thread<W> {
    full: SyncSender<Vec<u8>>,
    empty: Receiver<Vec<u8>>,
    handle: JoinHandle<io::Result<Hashed<W>>>,
}

/// A writer that counts and hashes what it writes.
#[derive(Debug)]
pub(crate) struct Hashed<W> {
    pub(crate) inner: W,
    pub(crate) sha256: Sha256,
    pub(crate) bytes: u64,
}

impl<W: Write + Send + 'static> BackgroundWriter<W> {
    /// Starts the thread.
    pub(crate) fn start(inner: W) -> io::Result<Self> {
        let (full, received) = mpsc::sync_channel::<Vec<u8>>(1);
        let (back, empty) = mpsc::sync_channel(2);
        let mut hashed = Hashed { inner, sha256: Sha256::new(), bytes: 0 };
        let handle = thread::Builder::new().name("write".to_owned()).spawn(move || {
            // The second buffer is made where it is first needed: a small file has one.
            let mut spare = Some(Vec::new());
            for mut buffer in received {
                if let Some(spare) = spare.take() {
                    let _ = back.send(spare);
                }
                hashed.write_all(&buffer)?;
                buffer.clear();
                let _ = back.send(buffer);
            }
            Ok(hashed)
        })?;
        Ok(Self { buffer: Vec::new(), thread: Some(Thread { full, empty, handle }) })
    }

    /// Hands the buffer to the thread, and waits for an empty one.
    fn hand_over(&mut self) -> io::Result<()> {
        let Some(thread) = &self.thread else { return Err(io::Error::other("an earlier write failed")) };
        let full = std::mem::take(&mut self.buffer);
        match thread.full.send(full).ok().and_then(|()| thread.empty.recv().ok()) {
            Some(empty) => {
                self.buffer = empty;
                Ok(())
            }
            // The thread has ended early: its result says why.
            None => self.end().and(Err(io::Error::other("the writer has stopped"))),
        }
    }

    /// Waits until all is written, and returns the inner writer with the number of bytes and their hash.
    pub(crate) fn finish(mut self) -> io::Result<Hashed<W>> {
        self.hand_over()?;
        self.end()
    }

    fn end(&mut self) -> io::Result<Hashed<W>> {
        let thread = self.thread.take().ok_or_else(|| io::Error::other("an earlier write failed"))?;
        drop(thread.full);
        thread.handle.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

impl<W: Write + Send + 'static> Write for BackgroundWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while self.buffer.len() + bytes.len() >= BUFFER_BYTES {
            let (now, later) = bytes.split_at(BUFFER_BYTES - self.buffer.len());
            self.buffer.extend_from_slice(now);
            bytes = later;
            self.hand_over()?;
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    /// Does nothing: what is in the buffer is written by [`BackgroundWriter::finish`].
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<W> Drop for BackgroundWriter<W> {
    /// Waits for the thread, so that an abandoned temporary file is gone when this is.
    fn drop(&mut self) {
        if let Some(Thread { full, empty, handle }) = self.thread.take() {
            drop((full, empty));
            let _ = handle.join();
        }
    }
}

impl<W> fmt::Debug for BackgroundWriter<W> {
    /// Leaves out the buffer, which holds what people wrote.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("BackgroundWriter").finish_non_exhaustive()
    }
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.sha256.update(&bytes[..count]);
        self.bytes += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Writes a hash as it stands in a manifest.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes at most so many bytes at a time, as a pipe may, and fails when it is full.
    struct Narrow {
        written: Vec<u8>,
        at_once: usize,
        space: usize,
    }

    impl Write for Narrow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let count = bytes.len().min(self.at_once).min(self.space - self.written.len());
            if count == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.written.extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn narrow(at_once: usize, space: usize) -> BackgroundWriter<Narrow> {
        BackgroundWriter::start(Narrow { written: Vec::new(), at_once, space }).unwrap()
    }

    #[test]
    fn hashes_only_what_was_written() {
        let mut writer = narrow(3, 100);
        writer.write_all(b"hello").unwrap();
        writer.write_all(b" world").unwrap();
        let hashed = writer.finish().unwrap();
        assert_eq!((hashed.bytes, hashed.inner.written.as_slice()), (11, b"hello world".as_slice()));
        // The digest is the one that `printf 'hello world' | sha256sum` prints.
        assert_eq!(
            hex(&hashed.sha256.finalize()),
            "b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9"
        );
    }

    #[test]
    fn bytes_arrive_in_order_whatever_their_portions() {
        for portion in [1, 1_000, BUFFER_BYTES - 1, BUFFER_BYTES, BUFFER_BYTES + 1, 3 * BUFFER_BYTES + 7] {
            let bytes: Vec<u8> = (0..=250).cycle().take(portion.max(50_000) * 3).collect();
            let mut writer = narrow(usize::MAX, usize::MAX);
            bytes.chunks(portion).for_each(|chunk| writer.write_all(chunk).unwrap());
            let hashed = writer.finish().unwrap();
            assert_eq!(hashed.bytes, bytes.len() as u64);
            assert!(hashed.inner.written == bytes, "portions of {portion}");
        }
    }

    #[test]
    fn a_full_disk_is_the_error_wherever_it_shows_and_the_writer_stays_closed() {
        let mut late = narrow(usize::MAX, 10);
        late.write_all(&[0; 11]).unwrap();
        assert_eq!(late.finish().err().unwrap().kind(), io::ErrorKind::StorageFull);

        let mut early = narrow(usize::MAX, 10);
        let buffer = vec![0; BUFFER_BYTES];
        let error = (0..4).find_map(|_| early.write_all(&buffer).err()).unwrap();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert!(early.write_all(&buffer).is_err());
        assert!(early.finish().is_err());
    }
}
