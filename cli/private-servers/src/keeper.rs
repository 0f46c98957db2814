//! The keeper: a shell that starts a server, and stops it when the pipe to us closes.

use std::{
    fs::File,
    io::{self, Write},
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::account::Account;

/// How long a server may take to stop before we go on without it.
const STOP_SECS_MAX: u64 = 20;
/// How often we look whether something has happened to a server.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Arguments: the signal that stops the server unless the pipe brings the name of another, two directories to remove afterwards (the second may
/// be empty: none), the server. Standard input is the pipe to us. Standard output is the data directory's lock, which
/// is thus held for as long as the server runs, even when we are gone. Standard error is the log.
const SCRIPT: &str = r#"
signal=$1 sockets=$2 home=$3
shift 3
exec 3<&0
"$@" </dev/null >&2 3<&- &
server=$!
trap '' INT TERM HUP QUIT
( read -r other <&3; kill -s "${other:-$signal}" "$server" ) &
watch=$!
wait "$server"
status=$?
kill -s KILL "$watch" 2>/dev/null
rm -rf -- "$sockets"
[ -z "$home" ] || rm -rf -- "$home"
exit "$status"
"#;

/// What a keeper needs to know.
#[derive(Debug)]
pub(crate) struct Orders {
    /// The server with its arguments.
    pub(crate) server: Vec<String>,
    /// Whom it runs as.
    pub(crate) account: Account,
    /// The signal that stops it.
    pub(crate) signal: &'static str,
    /// Where what it says goes.
    pub(crate) log: File,
    /// Held for as long as the server runs.
    pub(crate) lock: File,
    /// The directory of its sockets, removed once it has stopped.
    pub(crate) sockets: PathBuf,
    /// The data directory, if that goes as well.
    pub(crate) remove: Option<PathBuf>,
}

/// A server that runs for as long as this value lives.
#[derive(Debug)]
pub(crate) struct Keeper {
    shell: Child,
    pipe: Option<ChildStdin>,
}

impl Keeper {
    /// Starts a keeper, which starts the server.
    pub(crate) fn start(orders: Orders) -> io::Result<Self> {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", SCRIPT, "keeper", orders.signal]);
        command.arg(orders.sockets).arg(orders.remove.unwrap_or_default()).args(orders.server);
        command
            .stdin(Stdio::piped())
            .stdout(orders.lock)
            .stderr(orders.log)
            .current_dir("/")
            // A group of its own: Ctrl-C is meant for us, who stop the server when we are done.
            .process_group(0);
        orders.account.run(&mut command);
        let mut shell = command.spawn()?;
        let pipe = shell.stdin.take();
        Ok(Self { shell, pipe })
    }

    /// The server's exit status, if it has stopped.
    pub(crate) fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.shell.try_wait()
    }
}

impl Keeper {
    /// Stops the server with another signal than it is stopped with as a rule, and waits until it is gone.
    pub(crate) fn stop_with(mut self, signal: &str) -> io::Result<()> {
        self.pipe.take().map_or(Ok(()), |mut pipe| writeln!(pipe, "{signal}"))
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        drop(self.pipe.take());
        let begun = Instant::now();
        while let Ok(None) = self.shell.try_wait() {
            if begun.elapsed() > Duration::from_secs(STOP_SECS_MAX) {
                return;
            }
            thread::sleep(LOOK_EVERY);
        }
    }
}
