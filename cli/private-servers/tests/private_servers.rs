//! The private servers as their users see them: started, stopped, killed, started again.
#![cfg(test)]

use std::{
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use private_servers::{DataDir, Durability, Error, Existing, PrivatePostgres, PrivateRedis, TestServers};

/// Names the directory in which the child of a test, this very program, starts its servers.
const CHILD_DIR: &str = "PRIVATE_SERVERS_TEST_DIR";

/// A directory that goes when the test ends.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("showrunner-test-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        Self(path)
    }

    fn data(&self) -> PathBuf {
        self.0.join("data")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < Duration::from_secs(30), "waited in vain until {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

fn shell(script: &str, argument: &str) -> String {
    let output = Command::new("sh").args(["-c", script, "sh", argument]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn keeps_data_from_one_start_to_the_next_and_wipes_it_when_asked() {
    let scratch = Scratch::new("keep");
    let psql = |existing, statement: &str| {
        let home = DataDir::open(&scratch.data(), existing).unwrap();
        let postgres = PrivatePostgres::start(&home, Durability::Durable).unwrap();
        postgres.ensure_database("showrunner").unwrap();
        postgres.psql("showrunner", &["-c", statement]).unwrap()
    };
    psql(Existing::Keep, "create table seat as select 'A1' as name");
    let begun = Instant::now();
    assert_eq!(psql(Existing::Keep, "select name from seat").trim(), "A1");
    assert!(begun.elapsed() < Duration::from_secs(5), "took {:?}", begun.elapsed());
    let left = psql(Existing::Wipe, "select count(*) from pg_tables where tablename = 'seat'");
    assert_eq!(left.trim(), "0");
}

#[test]
fn commits_are_durable_unless_thrown_away() {
    let scratch = Scratch::new("durable");
    let home = DataDir::open(&scratch.data(), Existing::Keep).unwrap();
    let durable = PrivatePostgres::start(&home, Durability::Durable).unwrap();
    assert_eq!(durable.psql("postgres", &["-c", "show fsync"]).unwrap().trim(), "on");
    let thrown_away = TestServers::shared().postgres();
    assert_eq!(thrown_away.psql("postgres", &["-c", "show fsync"]).unwrap().trim(), "off");
}

#[test]
fn refuses_a_directory_in_use_and_one_that_is_not_ours() {
    let scratch = Scratch::new("refuse");
    let _held = DataDir::open(&scratch.data(), Existing::Keep).unwrap();
    let again = DataDir::open(&scratch.data(), Existing::Wipe).unwrap_err();
    assert!(matches!(again, Error::InUse { .. }), "{again}");
    let foreign = DataDir::open(&scratch.0, Existing::Wipe).unwrap_err();
    assert!(matches!(foreign, Error::NotOurs { .. }), "{foreign}");
}

#[test]
fn a_path_too_long_for_a_socket_is_no_obstacle() {
    let scratch = Scratch::new("long");
    let home = DataDir::open(&scratch.0.join("l".repeat(120)), Existing::Keep).unwrap();
    let postgres = PrivatePostgres::start(&home, Durability::Throwaway).unwrap();
    let redis = PrivateRedis::start(&home).unwrap();
    assert_eq!(postgres.psql("postgres", &["-c", "select 1"]).unwrap().trim(), "1");
    assert!(!redis.url().contains("llll"));
    for url in [postgres.database_url("postgres"), redis.url()] {
        assert!(url.contains("/showrunner-"), "{url}");
    }
}

#[test]
fn a_directory_closed_to_others_is_no_obstacle() {
    let scratch = Scratch::new("closed");
    let closed = scratch.0.join("home");
    std::fs::create_dir(&closed).unwrap();
    std::fs::set_permissions(&closed, PermissionsExt::from_mode(0o700)).unwrap();
    let start = |existing| {
        let home = DataDir::open(&closed.join("data"), existing).unwrap();
        PrivatePostgres::start(&home, Durability::Durable).unwrap()
    };
    start(Existing::Keep).psql("postgres", &["-c", "create table kept ()"]).unwrap();
    start(Existing::Keep).psql("postgres", &["-c", "table kept"]).unwrap();
    start(Existing::Wipe).psql("postgres", &["-c", "table kept"]).unwrap_err();
    if let Ok(elsewhere) = std::fs::read_link(closed.join("data/postgres")) {
        std::fs::remove_dir_all(elsewhere).unwrap();
    }
}

/// Not a test of its own: what [`killed`] runs in another process, and kills.
#[test]
fn child_that_serves_until_killed() {
    let Ok(directory) = std::env::var(CHILD_DIR) else {
        return;
    };
    let home = DataDir::open(Path::new(&directory), Existing::Keep).unwrap();
    let _postgres = PrivatePostgres::start(&home, Durability::Durable).unwrap();
    let _redis = PrivateRedis::start(&home).unwrap();
    std::fs::write(Path::new(&directory).join("up"), "").unwrap();
    loop {
        thread::park();
    }
}

/// Starts servers in a child and kills it, after what `before` does to it.
fn killed(data: &Path, before: impl Fn(u32)) {
    let up = data.join("up");
    let _ = std::fs::remove_file(&up);
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_that_serves_until_killed"])
        .env(CHILD_DIR, data)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    wait_until("the child's servers are up", || up.exists());
    before(child.id());
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn servers_stop_when_their_program_is_killed() {
    let scratch = Scratch::new("killed");
    killed(&scratch.data(), |_| ());
    wait_until("both servers are gone", || {
        !scratch.data().join("postgres/data/postmaster.pid").exists()
            && !scratch.data().join("redis/run/redis.sock").exists()
    });
}

#[test]
fn starts_again_at_once_after_the_program_and_its_keepers_were_killed() {
    let scratch = Scratch::new("unkept");
    killed(&scratch.data(), |_| ());
    DataDir::open(&scratch.data(), Existing::Keep).expect("waits for the servers to stop");
    killed(&scratch.data(), |process| {
        shell("kill -9 $(pgrep -P $1 -x sh)", &process.to_string());
    });
    let home = DataDir::open(&scratch.data(), Existing::Keep).unwrap();
    let postgres = PrivatePostgres::start(&home, Durability::Durable).unwrap();
    let _redis = PrivateRedis::start(&home).unwrap();
    assert_eq!(postgres.psql("postgres", &["-c", "select 1"]).unwrap().trim(), "1");
}

#[test]
fn every_test_has_a_database_of_its_own_with_the_migrations() {
    let scratch = Scratch::new("template");
    std::fs::write(scratch.0.join("0002_b.sql"), "insert into a values (1);").unwrap();
    std::fs::write(scratch.0.join("0001_a.sql"), "create table a (n int);").unwrap();
    let servers = TestServers::shared();
    let urls: Vec<_> = (0..3).map(|_| servers.database(&scratch.0).unwrap()).collect();
    let psql = |url: &str, statement: &str| shell(&format!("psql -qAtX \"$1\" -c '{statement}'"), url);
    psql(&urls[0], "insert into a values (2)");
    assert_eq!(psql(&urls[0], "select count(*) from a"), "2");
    assert_eq!(psql(&urls[1], "select count(*) from a"), "1");
    let copy = servers.copy_of(&urls[0]).unwrap();
    assert_eq!(psql(&copy, "select count(*) from a"), "2");
    assert_ne!(servers.redis_url(), servers.redis_url());
}

#[test]
fn temporary_data_goes_with_its_servers() {
    let home = DataDir::temporary().unwrap();
    let path = home.path().to_owned();
    let postgres = PrivatePostgres::start(&home, Durability::Throwaway).unwrap();
    drop((home, postgres));
    assert!(!path.exists());
}
