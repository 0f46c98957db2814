//! A PostgreSQL server on a Unix socket, without TCP.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::{
    DataDir, Error, SmallDisk,
    account::Account,
    data_dir::{remove, tail},
    error::OnFile,
    keeper::{Keeper, LOOK_EVERY, Orders},
    programs,
};

/// How long a start may take; recovery after a crash is part of it.
const START_SECS_MAX: u64 = 60;
/// How long a server that nobody keeps may take to stop.
const STOP_SECS_MAX: u64 = 20;
pub(crate) const PORT: &str = "5432";

/// Whether what has been committed must survive a crash of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// It must.
    Durable,
    /// It need not: for tests, which are faster so.
    Throwaway,
}

/// A PostgreSQL server that stops when this value is dropped or the program dies.
#[derive(Debug)]
pub struct PrivatePostgres {
    bin: PathBuf,
    sockets: PathBuf,
    keeper: Keeper,
}

/// Where its data is, and who may touch it.
struct Place<'a> {
    account: Account,
    parent: PathBuf,
    /// Only those see it who have entered.
    disk: Option<&'a SmallDisk>,
}

impl PrivatePostgres {
    /// Starts a server on the data in `home`, which is made if it isn't there, and waits until it
    /// answers.
    pub fn start(home: &DataDir, durability: Durability) -> Result<Self, Error> {
        Self::start_at(home, None, durability)
    }

    /// The same, with its data on a small disk that was mounted for this home.
    pub fn start_on(disk: &SmallDisk, home: &DataDir, durability: Durability) -> Result<Self, Error> {
        Self::start_at(home, Some(disk), durability)
    }

    fn start_at(home: &DataDir, disk: Option<&SmallDisk>, durability: Durability) -> Result<Self, Error> {
        let bin = programs::postgres_bin()?;
        let account = Account::for_postgres()?;
        let server_dir = home.server_dir("postgres", account)?;
        let sockets = home.socket_dir(&server_dir, account)?;
        let place = Place { account, parent: disk.map_or(server_dir, |disk| disk.path().to_owned()), disk };
        let data = place.data_from_outside();
        let (log_path, log) = home.log("postgres")?;
        stop_unkept(&data)?;
        if !data.join("PG_VERSION").exists() {
            place.initdb(&bin)?;
        }
        remove(&data.join("postmaster.pid"))?;
        let mut keeper = Keeper::start(Orders {
            server: place.server_command(&bin, &sockets, durability),
            account,
            signal: match durability {
                Durability::Durable => "INT",
                Durability::Throwaway => "QUIT",
            },
            log,
            lock: home.shared_lock()?,
            sockets: sockets.clone(),
            remove: home.to_remove(account)?,
        })
        .on("start PostgreSQL in", &data)?;
        wait_until_ready(&mut keeper, &data, &log_path)?;
        Ok(Self { bin, sockets, keeper })
    }

    /// Stops it as `pg_ctl stop -m immediate` does: as if the machine had lost its power, but for what the kernel
    /// has in hand. The next start recovers.
    pub fn crash(self) -> Result<(), Error> {
        self.keeper.stop_with("QUIT").on("stop the PostgreSQL on", &self.sockets)
    }

    /// Whether it has stopped by itself.
    pub fn has_ended(&mut self) -> Result<bool, Error> {
        Ok(self.keeper.ended().on("look after the PostgreSQL on", &self.sockets)?.is_some())
    }

    /// The URL of a database on this server, for sqlx and for `psql`.
    #[must_use]
    pub fn database_url(&self, database: &str) -> String {
        let host = percent_encoded(&self.sockets);
        format!("postgres://postgres@localhost/{database}?host={host}&port={PORT}")
    }

    /// Makes an empty database, unless there is one of this name.
    pub fn ensure_database(&self, database: &str) -> Result<(), Error> {
        let found =
            self.psql("postgres", &["-c", &format!("select 1 from pg_database where datname = '{database}'")])?;
        if found.trim().is_empty() {
            self.psql("postgres", &["-c", &format!("create database \"{database}\"")])?;
        }
        Ok(())
    }

    /// Runs `psql` on a database; the answer is unaligned and without headers.
    pub fn psql(&self, database: &str, arguments: &[&str]) -> Result<String, Error> {
        let output = Command::new(self.bin.join("psql"))
            .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"])
            .args(["-d", &self.database_url(database)])
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .on("run", &self.bin.join("psql"))?;
        succeeded("psql", output)
    }
}

impl Place<'_> {
    fn data(&self) -> PathBuf {
        self.parent.join("data")
    }

    /// As we see it.
    fn data_from_outside(&self) -> PathBuf {
        self.disk.map_or_else(|| self.data(), |disk| disk.seen_from_outside(&self.data()))
    }

    /// What runs a program where its data is.
    fn entering(&self) -> Vec<String> {
        self.disk.map(SmallDisk::entering).unwrap_or_default()
    }

    fn server_command(&self, bin: &Path, sockets: &Path, durability: Durability) -> Vec<String> {
        let mut settings = vec![
            "listen_addresses=".to_owned(),
            format!("unix_socket_directories={}", sockets.display()),
            format!("port={PORT}"),
            "max_connections=300".to_owned(),
            "shared_buffers=256MB".to_owned(),
            "max_wal_size=2GB".to_owned(),
            "log_min_messages=warning".to_owned(),
            "log_line_prefix=%m [%p] %d ".to_owned(),
            "timezone=UTC".to_owned(),
        ];
        if durability == Durability::Throwaway {
            settings.extend(["fsync=off", "synchronous_commit=off", "full_page_writes=off"].map(str::to_owned));
        }
        if self.disk.is_some() {
            settings.extend(["max_wal_size=32MB", "min_wal_size=32MB"].map(str::to_owned));
        }
        let program = bin.join("postgres").display().to_string();
        let mut command = self.entering();
        command.extend([program, "-D".to_owned(), self.data().display().to_string()]);
        for setting in settings {
            command.extend(["-c".to_owned(), setting]);
        }
        command
    }

    /// Makes the data directory under another name first, so that it is either whole or not there.
    fn initdb(&self, bin: &Path) -> Result<(), Error> {
        /// Arguments: another name, the name, the program.
        const SCRIPT: &str = r#"
            rm -rf -- "$1" "$2" && "$3" -D "$1" --auth=trust --username=postgres --encoding=UTF8 \
                --locale=C.UTF-8 --no-sync && mv -- "$1" "$2""#;
        let mut words = self.entering();
        words.extend(["/bin/sh", "-c", SCRIPT, "initdb"].map(str::to_owned));
        let mut command = Command::new(&words[0]);
        command
            .args(&words[1..])
            .args([self.parent.join("unfinished"), self.data(), bin.join("initdb")])
            .env("LC_ALL", "C")
            .current_dir("/")
            .stdin(Stdio::null());
        self.account.run(&mut command);
        let output = command.output().on("run", &bin.join("initdb"))?;
        succeeded("initdb", output).map(drop)
    }
}

fn wait_until_ready(keeper: &mut Keeper, data: &Path, log: &Path) -> Result<(), Error> {
    let begun = Instant::now();
    while !is_ready(data) {
        if let Some(status) = keeper.ended().on("wait for PostgreSQL in", data)? {
            return Err(Error::Failed { program: "postgres", status: status.to_string(), output: tail(log) });
        }
        if begun.elapsed() > Duration::from_secs(START_SECS_MAX) {
            return Err(Error::NotReady { program: "postgres", waited_secs: START_SECS_MAX, output: tail(log) });
        }
        thread::sleep(LOOK_EVERY);
    }
    Ok(())
}

/// The eighth line of the pid file is the server's own word on its state.
fn is_ready(data: &Path) -> bool {
    fs::read_to_string(data.join("postmaster.pid"))
        .is_ok_and(|text| text.lines().nth(7).is_some_and(|line| line.trim() == "ready"))
}

/// Stops a server that runs on this data though nobody keeps it: somebody killed its keeper. It is
/// ours if it works in this very directory; a process id alone may have been given to another.
fn stop_unkept(data: &Path) -> Result<(), Error> {
    let Ok(text) = fs::read_to_string(data.join("postmaster.pid")) else {
        return Ok(());
    };
    let process = text.lines().next().unwrap_or_default().to_owned();
    let works_here = || fs::read_link(Path::new("/proc").join(&process).join("cwd")).is_ok_and(|cwd| cwd == data);
    for signal in ["INT", "QUIT", "KILL"] {
        let begun = Instant::now();
        while works_here() {
            if begun.elapsed() > Duration::from_secs(STOP_SECS_MAX) {
                break;
            }
            // Asked again and again: a server that has just begun does not listen yet.
            let program = Path::new("kill");
            let asked = Command::new("/bin/sh")
                .args(["-c", r#"kill -s "$1" "$2""#, "kill", signal, &process])
                .stderr(Stdio::null())
                .status();
            asked.on("run", program)?;
            thread::sleep(LOOK_EVERY * 10);
        }
    }
    Ok(())
}

fn succeeded(program: &'static str, output: Output) -> Result<String, Error> {
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = [output.stdout, output.stderr].concat();
    Err(Error::Failed {
        program,
        status: output.status.to_string(),
        output: String::from_utf8_lossy(&said).trim().to_owned(),
    })
}

/// As it may stand in a URL's query.
pub(crate) fn percent_encoded(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    let mut encoded = String::new();
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' => {
                encoded.push(char::from(*byte));
            }
            other => encoded.push_str(&format!("%{other:02X}")),
        }
    }
    encoded
}
