//! A Redis server on a Unix socket, without TCP. It keeps nothing on disk: what is in our Redis can
//! always be made again from PostgreSQL.

use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use crate::{
    DataDir, Error,
    account::Account,
    data_dir::{remove, tail},
    error::OnFile,
    keeper::{Keeper, LOOK_EVERY, Orders},
    postgres::percent_encoded,
    programs,
};

const START_SECS_MAX: u64 = 20;
/// Enough for a database per test.
const DATABASES: u32 = 4096;

/// A Redis server that stops when this value is dropped or the program dies.
#[derive(Debug)]
pub struct PrivateRedis {
    socket: PathBuf,
    _keeper: Keeper,
}

impl PrivateRedis {
    /// Starts a server and waits until it answers.
    pub fn start(home: &DataDir) -> Result<Self, Error> {
        let program = programs::redis_server()?;
        let account = Account::ourselves()?;
        let server_dir = home.server_dir("redis", account)?;
        let sockets = home.socket_dir(&server_dir, account)?;
        let socket = sockets.join("redis.sock");
        let (log_path, log) = home.log("redis")?;
        stop_unkept(&socket);
        remove(&socket)?;
        let mut keeper = Keeper::start(Orders {
            server: server_command(&program, &server_dir, &socket),
            account,
            signal: "TERM",
            log,
            lock: home.shared_lock()?,
            sockets,
            remove: home.to_remove(account)?,
        })
        .on("start", &program)?;
        wait_until_ready(&mut keeper, &socket, &log_path)?;
        Ok(Self { socket, _keeper: keeper })
    }

    /// The URL of database 0.
    #[must_use]
    pub fn url(&self) -> String {
        self.database_url(0)
    }

    /// The URL of one of its numbered databases.
    #[must_use]
    pub fn database_url(&self, number: u32) -> String {
        let path = percent_encoded(&self.socket);
        format!("redis+unix://{path}?db={}", number % DATABASES)
    }
}

fn server_command(program: &Path, server_dir: &Path, socket: &Path) -> Vec<String> {
    let paths = [program, server_dir, socket].map(|path| path.display().to_string());
    let [program, server_dir, socket] = paths;
    let settings = [
        ("--port", "0"),
        ("--unixsocket", &socket),
        ("--unixsocketperm", "700"),
        ("--dir", &server_dir),
        ("--databases", &DATABASES.to_string()),
        ("--save", ""),
        ("--appendonly", "no"),
        ("--maxclients", "1000"),
    ];
    std::iter::once(program)
        .chain(settings.into_iter().flat_map(|(name, value)| [name.to_owned(), value.to_owned()]))
        .collect()
}

fn wait_until_ready(keeper: &mut Keeper, socket: &Path, log: &Path) -> Result<(), Error> {
    let begun = Instant::now();
    while ask(socket, "PING").as_deref() != Some("+PONG\r\n") {
        if let Some(status) = keeper.ended().on("wait for Redis on", socket)? {
            return Err(Error::Failed { program: "redis-server", status: status.to_string(), output: tail(log) });
        }
        if begun.elapsed() > Duration::from_secs(START_SECS_MAX) {
            return Err(Error::NotReady { program: "redis-server", waited_secs: START_SECS_MAX, output: tail(log) });
        }
        thread::sleep(LOOK_EVERY);
    }
    Ok(())
}

/// Stops a server that answers on our socket though nobody keeps it, and waits until it is gone:
/// it removes the socket's file when it stops, which must not be its successor's.
fn stop_unkept(socket: &Path) {
    if ask(socket, "SHUTDOWN NOSAVE").is_none() {
        return;
    }
    let begun = Instant::now();
    while socket.exists() && begun.elapsed() < Duration::from_secs(START_SECS_MAX) {
        thread::sleep(LOOK_EVERY);
    }
}

/// The answer to one command; empty when the server hangs up instead, none when there is none.
fn ask(socket: &Path, command: &str) -> Option<String> {
    let mut stream = UnixStream::connect(socket).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(1))).ok()?;
    stream.write_all(format!("{command}\r\n").as_bytes()).ok()?;
    let mut answer = [0; 64];
    let length = stream.read(&mut answer).ok()?;
    Some(String::from_utf8_lossy(&answer[..length]).into_owned())
}
