//! The file behind the books: one JSON document a line, appended and synced before anything that
//! depends on it is answered.
//!
//! One thread writes. While a sync is on its way, lines gather; then they share the next one, so a
//! lone request pays for one sync and a thousand concurrent ones do not pay a thousand times.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::watch;

/// How many bytes share one sync at most.
const BATCH_BYTES_MAX: usize = 4 * 1024 * 1024;
/// How long to wait before a write that failed is tried again.
const RETRY_MS: u64 = 200;
/// How long to wait for a predecessor that still has the file.
const LOCK_WAIT_MS: u64 = 5_000;
/// How long between two looks at the lock.
const LOCK_POLL_MS: u64 = 20;

/// Why the books could not be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JournalError {
    /// The file could not be made, read or cut.
    #[error("cannot use the books at {path}")]
    Io {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// Another process writes to it.
    #[error("the books at {path} are in use by another sandbox")]
    InUse { path: PathBuf },
    /// A line that is not the last cannot be read.
    #[error("line {line} of the books at {path} is damaged")]
    Damaged {
        path: PathBuf,
        line: usize,
        #[source]
        source: serde_json::Error,
    },
}

/// The end of the file, for appending. Whoever calls `append` decides the order.
pub(crate) struct Journal {
    lines: mpsc::Sender<Vec<u8>>,
    appended: u64,
}

/// Tells when what was appended is on disk.
#[derive(Clone)]
pub(crate) struct Durable(watch::Receiver<u64>);

impl Journal {
    /// Opens the file at `path`, reads what it has and starts its writer. A last line that is torn
    /// was never answered for, and is cut off.
    pub(crate) async fn open<T: DeserializeOwned>(path: &Path) -> Result<(Self, Durable, Vec<T>), JournalError> {
        let io = |source| JournalError::Io { path: path.to_owned(), source };
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(io)?;
        }
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(io)?;
        lock(&file, path).await?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(io)?;
        let (entries, length) = read_entries(&bytes, path)?;
        file.set_len(length).map_err(io)?;
        file.sync_all().map_err(io)?;

        let (lines, incoming) = mpsc::channel();
        let (written, durable) = watch::channel(0);
        std::thread::Builder::new()
            .name("sandbox-books".to_owned())
            .spawn(move || write_all(file, length, &incoming, &written))
            .map_err(io)?;
        let journal = Self { lines, appended: 0 };
        Ok((journal, Durable(durable), entries))
    }

    /// Appends `entry` and returns its position, for `Durable::until`.
    pub(crate) fn append(&mut self, entry: &impl Serialize) -> u64 {
        let mut line = serde_json::to_vec(entry).expect("entries have string keys and no failing parts");
        line.push(b'\n');
        // The writer ends only when nobody waits for it any more, so a closed channel loses nothing.
        let _ = self.lines.send(line);
        self.appended += 1;
        self.appended
    }

    /// The position of what was appended last.
    pub(crate) fn position(&self) -> u64 {
        self.appended
    }
}

impl Durable {
    /// Waits until everything up to `position` is on disk. False when the writer has ended before.
    pub(crate) async fn until(&self, position: u64) -> bool {
        let mut written = self.0.clone();
        written.wait_for(|at| *at >= position).await.is_ok()
    }
}

async fn lock(file: &File, path: &Path) -> Result<(), JournalError> {
    for _ in 0..=LOCK_WAIT_MS / LOCK_POLL_MS {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) => {
                tokio::time::sleep(Duration::from_millis(LOCK_POLL_MS)).await;
            }
            Err(TryLockError::Error(source)) => {
                return Err(JournalError::Io { path: path.to_owned(), source });
            }
        }
    }
    Err(JournalError::InUse { path: path.to_owned() })
}

/// The entries in `bytes`, and the length of the part that is whole.
fn read_entries<T: DeserializeOwned>(bytes: &[u8], path: &Path) -> Result<(Vec<T>, u64), JournalError> {
    let mut entries = Vec::new();
    let mut whole = 0;
    for (index, line) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
        let is_last = whole + line.len() == bytes.len();
        if !line.ends_with(b"\n") {
            break;
        }
        match serde_json::from_slice(line) {
            Ok(entry) => entries.push(entry),
            Err(_) if is_last => break,
            Err(source) => {
                return Err(JournalError::Damaged { path: path.to_owned(), line: index + 1, source });
            }
        }
        whole += line.len();
    }
    Ok((entries, whole as u64))
}

fn write_all(mut file: File, mut length: u64, incoming: &mpsc::Receiver<Vec<u8>>, written: &watch::Sender<u64>) {
    let mut position = 0;
    while let Ok(mut batch) = incoming.recv() {
        let mut count = 1;
        while batch.len() < BATCH_BYTES_MAX {
            let Ok(line) = incoming.try_recv() else { break };
            batch.extend(line);
            count += 1;
        }
        while let Err(error) = write_durably(&mut file, length, &batch) {
            tracing::error!(error = %error, "cannot write to the sandbox's books; trying again");
            if written.is_closed() {
                return;
            }
            std::thread::sleep(Duration::from_millis(RETRY_MS));
        }
        length += batch.len() as u64;
        position += count;
        written.send_replace(position);
    }
}

/// Writes `batch` at `length`, over whatever an attempt that failed has left there.
fn write_durably(file: &mut File, length: u64, batch: &[u8]) -> std::io::Result<()> {
    file.set_len(length)?;
    file.seek(SeekFrom::Start(length))?;
    file.write_all(batch)?;
    file.sync_data()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_last_line_is_cut_off() {
        for torn in ["{\"a\":", "{\"a\":\n", "\0\0\0\n"] {
            let bytes = format!("1\n2\n{torn}");
            let (entries, length) = read_entries::<serde_json::Value>(bytes.as_bytes(), Path::new("books")).unwrap();
            assert_eq!(entries, [1, 2], "{torn:?}");
            assert_eq!(length, 4, "{torn:?}");
        }
    }

    #[test]
    fn damage_in_the_middle_is_an_error_that_names_the_line() {
        let error = read_entries::<u64>(b"1\nx\n3\n", Path::new("books")).unwrap_err();
        assert_eq!(error.to_string(), "line 2 of the books at books is damaged");
    }
}
