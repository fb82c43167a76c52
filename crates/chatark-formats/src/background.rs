//! Hashes and writes a file on a thread of its own, while the caller produces the next bytes.

use std::fmt::{self, Write as _};
use std::io::{self, Write};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread::{self, JoinHandle};

use sha2::{Digest, Sha256};

/// The size of a buffer. Each file has two: one is filled while the other is written.
const BUFFER_BYTES: usize = 128 << 10;

/// A writer that passes full buffers to its thread.
pub(crate) struct BackgroundWriter<W> {
    buffer: Vec<u8>,
    /// `None` once the thread has ended.
    thread: Option<WriterThread<W>>,
}

/// The thread, and the channels that carry full buffers to it and empty ones back.
struct WriterThread<W> {
    full: SyncSender<Vec<u8>>,
    empty: Receiver<Vec<u8>>,
    handle: JoinHandle<io::Result<HashingWriter<W>>>,
}

/// A writer that counts and hashes what it writes.
#[derive(Debug)]
pub(crate) struct HashingWriter<W> {
    pub(crate) inner: W,
    pub(crate) sha256: Sha256,
    pub(crate) bytes: u64,
}

impl<W: Write + Send + 'static> BackgroundWriter<W> {
    /// Starts the thread.
    pub(crate) fn start(inner: W) -> io::Result<Self> {
        let (full, received) = mpsc::sync_channel::<Vec<u8>>(1);
        let (back, empty) = mpsc::sync_channel(2);
        let mut hashed = HashingWriter { inner, sha256: Sha256::new(), bytes: 0 };
        let handle = thread::Builder::new().name("write".to_owned()).spawn(move || {
            // The second buffer is added with the first full one, so that a small file needs only one.
            let mut second = Some(Vec::new());
            for mut buffer in received {
                if let Some(second) = second.take() {
                    let _ = back.send(second);
                }
                hashed.write_all(&buffer)?;
                buffer.clear();
                let _ = back.send(buffer);
            }
            Ok(hashed)
        })?;
        Ok(Self { buffer: Vec::new(), thread: Some(WriterThread { full, empty, handle }) })
    }

    /// Passes the buffer to the thread, and waits for an empty one.
    fn pass_buffer(&mut self) -> io::Result<()> {
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

    /// Waits until everything is written, and returns the inner writer with the number of bytes and their hash.
    pub(crate) fn finish(mut self) -> io::Result<HashingWriter<W>> {
        self.pass_buffer()?;
        self.end()
    }

    /// Ends the thread, and returns its result.
    fn end(&mut self) -> io::Result<HashingWriter<W>> {
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
            self.pass_buffer()?;
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
    /// Waits for the thread, which owns the inner writer: a temporary file is removed before this returns.
    fn drop(&mut self) {
        if let Some(WriterThread { full, empty, handle }) = self.thread.take() {
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

impl<W: Write> Write for HashingWriter<W> {
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

/// Returns bytes in lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes at most `max_bytes` with each write, and fails when its space is used up.
    struct LimitedWriter {
        written: Vec<u8>,
        max_bytes: usize,
        space: usize,
    }

    impl Write for LimitedWriter {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let count = bytes.len().min(self.max_bytes).min(self.space - self.written.len());
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

    fn limited_writer(max_bytes: usize, space: usize) -> BackgroundWriter<LimitedWriter> {
        BackgroundWriter::start(LimitedWriter { written: Vec::new(), max_bytes, space }).unwrap()
    }

    #[test]
    fn hashes_only_what_was_written() {
        let mut writer = limited_writer(3, 100);
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
    fn bytes_arrive_in_order_whatever_the_sizes_of_writes() {
        for size in [1, 1_000, BUFFER_BYTES - 1, BUFFER_BYTES, BUFFER_BYTES + 1, 3 * BUFFER_BYTES + 7] {
            let bytes: Vec<u8> = (0..=250).cycle().take(size.max(50_000) * 3).collect();
            let mut writer = limited_writer(usize::MAX, usize::MAX);
            bytes.chunks(size).for_each(|chunk| writer.write_all(chunk).unwrap());
            let hashed = writer.finish().unwrap();
            assert_eq!(hashed.bytes, bytes.len() as u64);
            assert!(hashed.inner.written == bytes, "writes of {size} bytes");
        }
    }

    #[test]
    fn a_full_disk_fails_a_write_or_finish_and_everything_after_it() {
        let mut late = limited_writer(usize::MAX, 10);
        late.write_all(&[0; 11]).unwrap();
        assert_eq!(late.finish().err().unwrap().kind(), io::ErrorKind::StorageFull);

        let mut early = limited_writer(usize::MAX, 10);
        let buffer = vec![0; BUFFER_BYTES];
        let error = (0..4).find_map(|_| early.write_all(&buffer).err()).unwrap();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert!(early.write_all(&buffer).is_err());
        assert!(early.finish().is_err());
    }
}
