//! `showrunner dev` as somebody who tries it out meets it.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

/// How long anything may take before a test calls it broken.
pub(super) const PATIENCE: Duration = Duration::from_secs(120);

/// A directory that goes with the test.
pub(super) struct Scratch(pub(super) PathBuf);

impl Scratch {
    pub(super) fn new(name: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        Self(std::env::temp_dir().join(format!("showrunner-{name}-{}-{number}", std::process::id())))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // what is left lies among temporary files
        drop(std::fs::remove_dir_all(&self.0));
        drop(std::fs::remove_file(self.0.with_extension("stderr")));
    }
}

/// The binary, without what a developer has set.
pub(super) fn showrunner() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_showrunner"));
    for name in ["DATABASE_URL", "DATABASE_READ_URL", "REDIS_URL", "SHOWRUNNER_URL", "SHOWRUNNER_TOKEN"] {
        command.env_remove(name);
    }
    command
}

/// A running `showrunner dev`.
pub(super) struct Dev {
    process: Child,
    /// What it has printed: the first word of a line, and the rest.
    pub(super) printed: BTreeMap<String, String>,
    /// The same, as it stands.
    pub(super) lines: Vec<String>,
}

impl Dev {
    pub(super) fn start(data: &Path, variables: &[(&str, &str)]) -> Self {
        Self::start_as(&["dev"], data, variables)
    }

    /// By a command that goes on serving, as `dev` does.
    pub(super) fn start_as(command: &[&str], data: &Path, variables: &[(&str, &str)]) -> Self {
        // a file, not a pipe: nobody reads along, and a full pipe would stop the process
        let errors = data.with_extension("stderr");
        let mut process = showrunner()
            .args(command)
            .args(["--listen", "127.0.0.1:0", "--data-dir"])
            .arg(data)
            .envs(variables.iter().copied())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(&errors).unwrap())
            .spawn()
            .unwrap();
        let (mut printed, mut lines) = (BTreeMap::new(), Vec::new());
        for line in BufReader::new(process.stdout.take().unwrap()).lines().map_while(Result::ok) {
            if line.starts_with("Ctrl-C") {
                return Self { process, printed, lines };
            }
            if let Some((word, rest)) = line.split_once(' ') {
                printed.insert(word.to_owned(), rest.trim().to_owned());
            }
            lines.push(line);
        }
        process.wait().unwrap();
        panic!("{command:?} did not start: {lines:#?}\n{}", std::fs::read_to_string(&errors).unwrap());
    }

    /// Where one of its gateways is.
    pub(super) fn sandbox(&self, name: &str) -> &str {
        let named = |line: &&str| line.split_whitespace().any(|word| word.trim_end_matches(',') == name);
        let mut sandboxes = self.lines.iter().filter_map(|line| line.strip_prefix("Sandbox"));
        sandboxes.find(named).and_then(|line| line.split_whitespace().next()).unwrap()
    }

    pub(super) fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    pub(super) fn stop(mut self) {
        let pid = self.process.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            if let Some(status) = self.process.try_wait().unwrap() {
                assert!(status.success(), "dev ended with {status}");
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("dev did not stop");
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        // a test that fails leaves nothing running
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

#[test]
fn it_starts_again_where_it_was_also_after_a_kill() {
    let data = Scratch::new("dev");
    let first = Dev::start(&data.0, &[]);
    let roles = ["admin", "client", "finance", "operator", "viewer"];
    assert!(roles.iter().all(|role| first.printed[*role].starts_with("srt_")), "{:?}", first.printed.keys());
    let tokens: Vec<_> = roles.iter().map(|role| first.printed[*role].clone()).collect();

    // another one on the same data is refused, and says why
    let second = showrunner().args(["dev", "--data-dir"]).arg(&data.0).output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(said.contains("in use"), "{said}");

    first.kill();
    let again = Dev::start(&data.0, &[]);
    assert_eq!(roles.iter().map(|role| again.printed[*role].clone()).collect::<Vec<_>>(), tokens);
    again.stop();
    Dev::start(&data.0, &[]).stop();
}
