//! Stands between a program and its PostgreSQL, and does to it what networks do: loses an answer, loses a request,
//! brings one late. For tests.
//!
//! It reads what the program says message by message, so that it knows a COMMIT from a text that has the word in it.

mod conversation;
mod traps;

use std::{
    fs,
    net::Shutdown,
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    process,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    thread,
};

use crate::{
    Error,
    data_dir::{remove, temporary_parent},
    error::OnFile,
    postgres::{PORT, percent_encoded},
};
use conversation::Conversation;
use traps::Traps;
pub use traps::{Fault, Spot};

/// A socket like PostgreSQL's that leads to one. Its connections end with this value.
#[derive(Debug)]
pub struct Proxy {
    dir: PathBuf,
    /// What follows the host in the URL's path: the database.
    database: String,
    traps: Arc<Traps>,
}

impl Proxy {
    /// A proxy before the database of this URL, which must be one of [`crate::PrivatePostgres`].
    ///
    /// # Errors
    /// When its socket cannot be made.
    pub fn before(url: &str) -> Result<Self, Error> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("showrunner-proxy-{}-{}", process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let dir = temporary_parent()?.join(name);
        // nobody alive has our process id
        remove(&dir)?;
        fs::create_dir(&dir).on("make", &dir)?;
        let (database, host) = taken_apart(url);
        let server = Path::new(&host).join(socket_name());
        let listener = UnixListener::bind(dir.join(socket_name())).on("listen in", &dir)?;
        let traps = Arc::new(Traps::default());
        let proxy = Self { dir, database, traps: Arc::clone(&traps) };
        thread::spawn(move || accept(&listener, &server, &traps));
        Ok(proxy)
    }

    /// The database's URL through this proxy.
    #[must_use]
    pub fn url(&self) -> String {
        let host = percent_encoded(&self.dir);
        format!("postgres://postgres@localhost/{}?host={host}&port={PORT}", self.database)
    }

    /// The next `times` messages at this spot meet this fault.
    pub fn trap(&self, spot: Spot, fault: Fault, times: usize) {
        self.traps.set(spot, fault, times);
    }

    /// Nothing more happens to what is said from now on.
    pub fn disarm(&self) {
        self.traps.disarm();
    }

    /// How many messages have met a fault.
    #[must_use]
    pub fn sprung(&self) -> usize {
        self.traps.sprung()
    }

    /// Lets go on what is held or late.
    pub fn release(&self) {
        self.traps.release();
    }

    /// Cuts every connection.
    pub fn cut(&self) {
        self.traps.cut();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.traps.close();
        // wakes up whoever accepts
        drop(UnixStream::connect(self.dir.join(socket_name())));
        drop(fs::remove_dir_all(&self.dir));
    }
}

fn socket_name() -> String {
    format!(".s.PGSQL.{PORT}")
}

/// The database, and the directory of the server's socket.
fn taken_apart(url: &str) -> (String, String) {
    let (path, query) = url.split_once('?').unwrap_or((url, ""));
    let database = path.rsplit('/').next().unwrap_or_default().to_owned();
    let host = query.split('&').find_map(|pair| pair.strip_prefix("host=")).unwrap_or_default();
    (database, percent_decoded(host))
}

fn percent_decoded(text: &str) -> String {
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let (code, rest) = part.split_at_checked(2).unwrap_or(("", part));
        bytes.extend(u8::from_str_radix(code, 16).ok());
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn accept(listener: &UnixListener, server: &Path, traps: &Arc<Traps>) {
    for client in listener.incoming() {
        let Ok(client) = client else { return };
        if traps.is_closed() {
            return;
        }
        match UnixStream::connect(server) {
            Ok(server) => converse(client, server, traps),
            // as if nobody listened here either
            Err(_) => drop(client.shutdown(Shutdown::Both)),
        }
    }
}

fn converse(client: UnixStream, server: UnixStream, traps: &Arc<Traps>) {
    let conversation = Conversation::new(client, server, Arc::clone(traps));
    let answers = conversation.clone();
    thread::spawn(move || answers.pass_answers());
    thread::spawn(move || conversation.pass_requests());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart() {
        let url = format!("postgres://postgres@localhost/db_1?host={}&port=5432", percent_encoded(Path::new("/a b/c")));
        assert_eq!(taken_apart(&url), ("db_1".to_owned(), "/a b/c".to_owned()));
    }
}
