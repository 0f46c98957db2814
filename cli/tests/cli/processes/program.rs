//! A child process with a log, that can be killed, stopped and asked to end.

use super::until;
use std::{
    fs::File,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
};

/// A running program. It ends with this value.
pub(super) struct Program {
    pub(super) name: String,
    child: Child,
    log: PathBuf,
}

impl Program {
    /// Starts it. What it says goes to `log`, behind what is there.
    pub(super) fn start(name: &str, mut command: Command, log: PathBuf) -> Self {
        let file = File::options().create(true).append(true).open(&log).unwrap();
        let child = command.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file).spawn().unwrap();
        Self { name: name.to_owned(), child, log }
    }

    pub(super) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// Waits until it has said something, and returns the first line that has it.
    pub(super) async fn says(&self, text: &str) -> String {
        let said = async || self.log().lines().find(|line| line.contains(text)).map(str::to_owned);
        until(&format!("{} says {text:?}", self.name), said).await
    }

    /// What a worker is known by to the database.
    pub(super) async fn worker_name(&self) -> String {
        let line = self.says("\"worker.name\":\"").await;
        let (_, rest) = line.split_once("\"worker.name\":\"").unwrap();
        rest.split('"').next().unwrap().to_owned()
    }

    /// `SIGSTOP`: it sleeps, with everything it has open.
    pub(super) fn stop(&self) {
        self.signal("STOP");
    }

    /// `SIGCONT`.
    pub(super) fn go_on(&self) {
        self.signal("CONT");
    }

    /// `SIGTERM`.
    pub(super) fn terminate(&self) {
        self.signal("TERM");
    }

    fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([&format!("-{signal}"), &pid]).status().unwrap().success());
    }

    /// `SIGKILL`.
    pub(super) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Its exit, if it has ended.
    pub(super) fn exit(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Waits for its end.
    pub(super) async fn ended(&mut self) -> ExitStatus {
        let name = self.name.clone();
        until(&format!("{name} ends"), async || self.exit()).await
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // a test that fails leaves nothing running
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
