//! One database, one Redis, two gateways, and as many of our processes on them as a test wants, each set as it wants.

use super::{
    super::{
        client::Api,
        dev::{Scratch, showrunner},
    },
    gateways::{ADYEN, Gateways, Protocol, STRIPE},
    program::Program,
    servers::{OwnPostgres, Servers},
    shop::Books,
    until,
};
use private_servers::TestServers;
use sqlx::{Connection, PgConnection};
use std::{net::TcpListener, path::PathBuf, process::Command};

/// How long claims last here, and therefore how long the sagas of a dead worker wait.
pub(super) const LEASE: (&str, &str) = ("SHOWRUNNER_WORKER__LEASE_SECS", "2");
/// Long enough that a worker that lives does not lose it on a busy machine: its orders would have another story.
pub(super) const LONG_LEASE: (&str, &str) = ("SHOWRUNNER_WORKER__LEASE_SECS", "5");
/// Nothing that waits for a lease of this length is seen to go on by any test.
pub(super) const LEASE_FOR_EVER: (&str, &str) = ("SHOWRUNNER_WORKER__LEASE_SECS", "86400");

/// See the module. What it has started ends with it.
pub(super) struct World {
    pub(super) servers: Servers,
    redis_url: String,
    pub(super) gateways: Gateways,
    /// Where the first API listens, and the gateways send their events.
    api_address: String,
    token: String,
    /// Who consents to what the first one asks for.
    second: String,
    scratch: Scratch,
}

impl World {
    pub(super) async fn new() -> Self {
        Self::on(Servers::shared(), [STRIPE, ADYEN]).await
    }

    /// With gateways that speak these, the first one first.
    pub(super) async fn with_gateways(protocols: [Protocol; 2]) -> Self {
        Self::on(Servers::shared(), protocols).await
    }

    /// With a PostgreSQL of its own.
    pub(super) async fn on_own(postgres: OwnPostgres) -> Self {
        Self::on(Servers::Own(Box::new(postgres)), [STRIPE, ADYEN]).await
    }

    async fn on(servers: Servers, protocols: [Protocol; 2]) -> Self {
        let scratch = Scratch::new("world");
        std::fs::create_dir(&scratch.0).unwrap();
        let [api_address, primary, backup] = free_addresses();
        let gateways = Gateways::start(protocols, [primary, backup], &api_address, &scratch.0).await;
        let configuration = format!("{CONFIGURATION}{}", gateways.configuration());
        std::fs::write(scratch.0.join("showrunner.toml"), configuration).unwrap();
        let redis_url = TestServers::shared().redis_url();
        let (token, second) = (String::new(), String::new());
        let mut world = Self { servers, redis_url, gateways, api_address, token, second, scratch };
        world.run(&["migrate"]);
        world.token = world.new_token("admin", "admin");
        world.second = world.new_token("admin", "second");
        world
    }

    /// Where the gateways send their events.
    pub(super) fn webhook_address(&self) -> &str {
        &self.api_address
    }

    pub(super) fn database_url(&self) -> String {
        self.servers.url().to_owned()
    }

    /// A token for somebody.
    pub(super) fn new_token(&self, role: &str, name: &str) -> String {
        self.run(&["token", "create", "--role", role, "--name", name]).trim().to_owned()
    }

    /// What a command that must succeed prints.
    pub(super) fn run(&self, arguments: &[&str]) -> String {
        let output = self.command(&[]).args(arguments).output().unwrap();
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{arguments:?}: {out}\n{err}");
        out.into_owned()
    }

    pub(super) fn command(&self, variables: &[(&str, &str)]) -> Command {
        let mut command = showrunner();
        command.arg("--config").arg(self.scratch.0.join("showrunner.toml"));
        command.env("DATABASE_URL", self.servers.url()).env("REDIS_URL", &self.redis_url);
        command.envs(variables.iter().copied());
        command
    }

    /// A place for a file of a test's own.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.scratch.0.join(name)
    }

    fn log_of(&self, name: &str) -> PathBuf {
        self.scratch.0.join(format!("{name}.log"))
    }

    /// A worker that is there, set by these variables.
    pub(super) async fn worker(&self, name: &str, variables: &[(&str, &str)]) -> Program {
        let worker = self.start_worker(name, variables);
        worker.says("has started").await;
        worker
    }

    /// A worker that may take its time.
    pub(super) fn start_worker(&self, name: &str, variables: &[(&str, &str)]) -> Program {
        let mut command = self.command(variables);
        command.arg("worker");
        Program::start(name, command, self.log_of(name))
    }

    /// The API that the gateway sends its events to.
    pub(super) async fn api(&self, variables: &[(&str, &str)]) -> (Program, Api) {
        let listen = ("SHOWRUNNER_HTTP__LISTEN", self.api_address.as_str());
        self.another_api("api", &[&[listen], variables].concat()).await
    }

    /// Another one.
    pub(super) async fn another_api(&self, name: &str, variables: &[(&str, &str)]) -> (Program, Api) {
        let mut command = self.command(variables);
        let program = Program::start(
            name,
            {
                command.arg("api");
                command
            },
            self.log_of(name),
        );
        let serving = program.says("serving http://").await;
        let mut api = Api::new(serving.trim_start_matches("serving "), &self.token);
        api.second.clone_from(&self.second);
        (program, api)
    }

    /// From now on, something goes wrong at the primary gateway.
    pub(super) async fn fault(&self, fault: serde_json::Value) {
        self.gateways.primary.fault(fault).await;
    }

    pub(super) async fn no_more_faults(&self) {
        self.gateways.primary.no_more_faults().await;
    }

    /// The gateways' own truth.
    pub(super) async fn books(&self) -> Books {
        let Gateways { primary, backup } = &self.gateways;
        Books::read(&[&primary.control(), &backup.control()]).await
    }

    /// The one number that a query gives, straight from the database.
    pub(super) async fn number(&self, query: &str) -> i64 {
        let mut connection = PgConnection::connect(self.servers.url()).await.unwrap();
        sqlx::query_scalar(sqlx::AssertSqlSafe(query.to_owned())).fetch_one(&mut connection).await.unwrap()
    }

    /// Waits until a query's number is as wanted.
    pub(super) async fn number_is(&self, what: &str, query: &str, wanted: impl Fn(i64) -> bool) -> i64 {
        until(what, async || Some(self.number(query).await).filter(|number| wanted(*number))).await
    }

    /// Waits until every saga has come to its end or is in front of a person, and asks whether all is as it has to
    /// be: the invariants, the gateways' books against the orders, and no panic in any log.
    pub(super) async fn is_sound(&self, api: &Api) {
        let moving = "select count(*) from engine.sagas where state in ('running', 'waiting', 'compensating')";
        self.number_is("every saga is at rest", moving, |number| number == 0).await;
        self.run(&["check"]);
        self.books().await.agree_with(api).await;
        for (path, log) in self.logs() {
            let panic = log.lines().find(|line| line.contains("panicked at"));
            assert_eq!(panic, None, "in {}", path.display());
        }
    }

    /// What all programs have said.
    fn logs(&self) -> Vec<(PathBuf, String)> {
        let paths = std::fs::read_dir(&self.scratch.0).into_iter().flatten().map_while(Result::ok);
        let logs = paths.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|end| end == "log"));
        logs.map(|path| (path.clone(), std::fs::read_to_string(path).unwrap_or_default())).collect()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        const LINES_SHOWN_MAX: usize = 60;
        if !std::thread::panicking() {
            return;
        }
        for (path, log) in self.logs() {
            let lines: Vec<_> = log.lines().collect();
            let last = lines[lines.len().saturating_sub(LINES_SHOWN_MAX)..].join("\n");
            println!("--- the end of {}:\n{last}", path.display());
        }
    }
}

/// Addresses that nobody listens at.
fn free_addresses<const COUNT: usize>() -> [String; COUNT] {
    // kept until all are chosen, so that they differ
    let listeners = [(); COUNT].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().to_string())
}

const CONFIGURATION: &str = r#"
[http]
listen = "127.0.0.1:0"
[worker]
lease_secs = 2
drain_secs = 20
demo_actions = true
[limits]
address_per_minute = 60000
"#;
