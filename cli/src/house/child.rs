//! A child process that is started again when it dies, and that ends when we do: its standard input is a pipe of
//! ours, which closes however we end.

use std::{ffi::OsString, fs::OpenOptions, path::Path, process::Stdio, time::Duration};

use anyhow::Context;
use tokio::{
    process::Command,
    sync::watch,
    task::JoinHandle,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

/// Between a death and the next start.
const PAUSE: Duration = Duration::from_millis(200);
/// How long it may take to end by itself.
const END_SECS_MAX: u64 = 15;

/// A child of this program, of the same binary.
pub(crate) struct Child {
    pid: watch::Receiver<Option<u32>>,
    stopping: CancellationToken,
    supervised: JoinHandle<()>,
}

impl Child {
    /// Starts it, and again whenever it ends. What it says goes to `<name>.log`.
    pub(crate) fn new(
        name: String,
        dir: &Path,
        variables: Vec<(String, String)>,
        arguments: Vec<OsString>,
    ) -> anyhow::Result<Self> {
        let binary = std::env::current_exe().context("finding our own binary")?;
        let log = dir.join(format!("{name}.log"));
        let (pids, pid) = watch::channel(None);
        let stopping = CancellationToken::new();
        let told = stopping.clone();
        let supervised = tokio::spawn(async move {
            while !told.is_cancelled() {
                let log = OpenOptions::new().create(true).append(true).open(&log);
                let errors = log.map_or_else(|_| Stdio::null(), Stdio::from);
                let mut command = Command::new(&binary);
                command.args(&arguments).envs(variables.iter().cloned());
                command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(errors).kill_on_drop(true);
                // Ctrl-C reaches a whole terminal; we tell the child ourselves when its turn is.
                command.process_group(0);
                if let Err(error) = run(command, &pids, &told).await {
                    tracing::error!(error = %error, "{name} could not be started: {error}");
                }
                if !told.is_cancelled() {
                    tracing::warn!("{name} has ended and is started again");
                    sleep(PAUSE).await;
                }
            }
        });
        Ok(Self { pid, stopping, supervised })
    }

    /// The process at this moment, once it is there.
    pub(crate) async fn pid(&self) -> anyhow::Result<u32> {
        let mut pid = self.pid.clone();
        let running = pid.wait_for(Option::is_some).await.context("the child is not supervised any more")?;
        running.context("the child is not running")
    }

    /// Ends it for good: first by closing its standard input, then by force.
    pub(crate) async fn stop(self) {
        self.stopping.cancel();
        // a panic in the supervisor has been printed already
        drop(self.supervised.await);
    }
}

/// Runs the child to its end, or until `stopping`.
async fn run(
    mut command: Command,
    pids: &watch::Sender<Option<u32>>,
    stopping: &CancellationToken,
) -> std::io::Result<()> {
    let mut child = command.spawn()?;
    let lifeline = child.stdin.take();
    pids.send_replace(child.id());
    tokio::select! {
        ended = child.wait() => drop(ended?),
        () = stopping.cancelled() => {
            drop(lifeline);
            if timeout(Duration::from_secs(END_SECS_MAX), child.wait()).await.is_err() {
                child.kill().await?;
            }
        }
    }
    pids.send_replace(None);
    Ok(())
}
