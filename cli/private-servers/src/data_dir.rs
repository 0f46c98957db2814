//! A directory for servers' files: made, marked and locked by us, and wiped only if the mark is there.

use std::{
    env,
    fs::{self, File, OpenOptions, Permissions},
    hash::{DefaultHasher, Hash, Hasher},
    io::{Read, Seek, Write},
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use crate::{Error, account::Account, error::OnFile, keeper::LOOK_EVERY};

const MARKER: &str = "made-by-showrunner";
const MARKER_TEXT: &str = "showrunner keeps its private servers' data here. `--fresh` wipes it.\n";
/// A socket's path may have 107 bytes; this is what the longest name of ours takes of them.
const SOCKET_DIR_BYTES_MAX: usize = 107 - "/.s.PGSQL.5432".len();
/// How long the servers of a program that was killed may take to stop.
const STOPPING_SECS_MAX: u64 = 30;

/// What to do with data that is already there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// Go on with it.
    Keep,
    /// Begin anew.
    Wipe,
}

/// A directory that nobody else uses as long as this value, or a server in it, lives.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    lock: File,
    temporary: bool,
}

impl DataDir {
    /// Opens or makes a directory. Waits for the servers of a program that was killed just now;
    /// refuses a directory that is in use, or that has other people's files in it.
    pub fn open(path: &Path, existing: Existing) -> Result<Self, Error> {
        make_marked(path)?;
        let path = path.canonicalize().on("find", path)?;
        let lock = lock(&path)?;
        let opened = Self { path, lock, temporary: false };
        if existing == Existing::Wipe {
            opened.wipe()?;
        }
        Ok(opened)
    }

    /// A new directory for throw-away data, which the server that is started in it removes.
    pub fn temporary() -> Result<Self, Error> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("showrunner-{}-{count}", process::id());
        let path = temporary_parent()?.join(name);
        // Nobody alive has our process id, so this is what a predecessor left.
        remove(&path)?;
        let mut made = Self::open(&path, Existing::Keep)?;
        made.temporary = true;
        Ok(made)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A directory of this name for a server that runs as `account`. When that user cannot reach
    /// ours (root's home is closed to others), it lies elsewhere and ours has a link to it.
    pub(crate) fn server_dir(&self, name: &str, account: Account) -> Result<PathBuf, Error> {
        let inside = self.path.join(name);
        if account.reaches(&self.path) {
            make_private(&inside, account)?;
            return Ok(inside);
        }
        let elsewhere = Path::new("/var/tmp").join(format!("{}-{name}", self.short_name()));
        if !inside.exists() {
            // Without the link, that data belongs to a directory that has been removed.
            remove(&elsewhere)?;
            remove(&inside)?;
            symlink(&elsewhere, &inside).on("link", &inside)?;
        }
        make_private(&elsewhere, account)?;
        Ok(elsewhere)
    }

    /// A directory for sockets, short enough for their paths: in `server_dir` if it can be.
    pub(crate) fn socket_dir(&self, server_dir: &Path, account: Account) -> Result<PathBuf, Error> {
        let inside = server_dir.join("run");
        let short = if inside.as_os_str().len() <= SOCKET_DIR_BYTES_MAX {
            inside
        } else {
            let name = server_dir.file_name().unwrap_or_default().to_string_lossy();
            socket_parent(account)?.join(format!("{}-{name}", self.short_name()))
        };
        make_private(&short, account)?;
        Ok(short)
    }

    /// The lock, for a keeper to hold.
    pub(crate) fn shared_lock(&self) -> Result<File, Error> {
        self.lock.try_clone().on("share the lock of", &self.path)
    }

    /// Opens a server's log for appending.
    pub(crate) fn log(&self, name: &str) -> Result<(PathBuf, File), Error> {
        let path = self.path.join(format!("{name}.log"));
        let file = OpenOptions::new().create(true).append(true).open(&path).on("open", &path)?;
        Ok((path, file))
    }

    /// What the keeper of its server shall remove in the end, as `account`: nothing unless the
    /// directory is a temporary one.
    pub(crate) fn to_remove(&self, account: Account) -> Result<Option<PathBuf>, Error> {
        if self.temporary {
            account.own(&self.path)?;
        }
        Ok(self.temporary.then(|| self.path.clone()))
    }

    fn short_name(&self) -> String {
        let mut hasher = DefaultHasher::new();
        self.path.hash(&mut hasher);
        format!("showrunner-{:016x}", hasher.finish())
    }

    fn wipe(&self) -> Result<(), Error> {
        for entry in fs::read_dir(&self.path).on("list", &self.path)? {
            let path = entry.on("list", &self.path)?.path();
            let name = path.file_name().unwrap_or_default();
            if name != MARKER && name != "lock" {
                if let Ok(elsewhere) = fs::read_link(&path) {
                    remove(&elsewhere)?;
                }
                remove(&path)?;
            }
        }
        Ok(())
    }
}

/// Makes the directory if it isn't there; refuses one with files in it and no mark.
fn make_marked(path: &Path) -> Result<(), Error> {
    let marker = path.join(MARKER);
    if marker.exists() {
        return Ok(());
    }
    let new = !path.exists();
    fs::create_dir_all(path).on("make", path)?;
    if fs::read_dir(path).on("list", path)?.next().is_some() {
        return Err(Error::NotOurs { path: path.to_owned() });
    }
    if new {
        // Whatever the umask: a server that is another user has to pass.
        fs::set_permissions(path, Permissions::from_mode(0o755)).on("open up", path)?;
    }
    fs::write(&marker, MARKER_TEXT).on("write", &marker)
}

/// Takes the lock, whose file names the process that holds it.
fn lock(directory: &Path) -> Result<File, Error> {
    let path = directory.join("lock");
    let mut file =
        OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&path).on("open", &path)?;
    let begun = Instant::now();
    while let Err(refusal) = file.try_lock() {
        if let fs::TryLockError::Error(cause) = refusal {
            return Err(cause).on("lock", &path);
        }
        let holder = fs::read_to_string(&path).on("read", &path)?;
        // While its keepers still stop the servers, the process itself is gone already.
        let gone = !holder.is_empty() && !Path::new("/proc").join(&holder).exists();
        if !gone || begun.elapsed() > Duration::from_secs(STOPPING_SECS_MAX) {
            return Err(Error::InUse { path: directory.to_owned(), process: holder });
        }
        thread::sleep(LOOK_EVERY);
    }
    file.set_len(0).on("write", &path)?;
    file.rewind().on("write", &path)?;
    write!(file, "{}", process::id()).on("write", &path)?;
    Ok(file)
}

/// Makes a directory that only `account` may enter; refuses one that is somebody else's.
fn make_private(path: &Path, account: Account) -> Result<(), Error> {
    if !path.exists() {
        fs::create_dir(path).on("make", path)?;
        account.own(path)?;
        fs::set_permissions(path, Permissions::from_mode(0o700)).on("close", path)?;
    }
    if !account.owns(path) {
        return Err(Error::Foreign { path: path.to_owned() });
    }
    Ok(())
}

/// Removes a file, a link or a directory, if it is there.
pub(crate) fn remove(path: &Path) -> Result<(), Error> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(cause) => return Err(cause).on("look at", path),
    };
    if found.is_dir() { fs::remove_dir_all(path).on("remove", path) } else { fs::remove_file(path).on("remove", path) }
}

/// Where throw-away data goes: the first place that PostgreSQL's user can reach.
pub(crate) fn temporary_parent() -> Result<PathBuf, Error> {
    let account = Account::for_postgres()?;
    first_usable(vec![env::temp_dir(), "/tmp".into(), "/var/tmp".into()], account)
}

/// Where sockets go whose own place has too long a path.
fn socket_parent(account: Account) -> Result<PathBuf, Error> {
    let candidates = env::var_os("XDG_RUNTIME_DIR")
        .map(PathBuf::from)
        .into_iter()
        .chain([env::temp_dir(), "/tmp".into()])
        // `/showrunner-<16 digits>-postgres`
        .filter(|path| path.as_os_str().len() + 36 <= SOCKET_DIR_BYTES_MAX)
        .collect();
    first_usable(candidates, account)
}

fn first_usable(candidates: Vec<PathBuf>, account: Account) -> Result<PathBuf, Error> {
    let tried = candidates.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ");
    candidates
        .into_iter()
        .find(|path| path.is_dir() && account.reaches(path))
        .ok_or(Error::NoTemporaryDirectory { tried })
}

/// The last lines of a log, for an error message.
pub(crate) fn tail(path: &Path) -> String {
    const LINES_MAX: usize = 20;
    let mut text = String::new();
    if let Ok(mut file) = File::open(path) {
        // A log that isn't UTF-8 is shown as far as it is.
        let _ = file.read_to_string(&mut text);
    }
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES_MAX)..].join("\n")
}
