//! A house of real processes: `showrunner api`, `worker` and `sandbox`, on a database of their own.

use crate::{
    api::Api,
    cluster::{Cluster, signal},
};
use anyhow::{Context, ensure};
use private_servers::PrivateRedis;
use std::{
    fs::{File, OpenOptions},
    net::TcpListener,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};
use tokio::process::{Child, Command};

/// How long a process may take to begin or to end.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at what a process has said.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// What the gateway is asked with.
const API_KEY: &str = "sk_test_bench";

/// See the module.
pub(crate) struct House {
    pub(crate) database: String,
    /// Its API, with a token for everything there.
    pub(crate) api: Api,
    /// The same in another person's hands.
    pub(crate) second: Api,
    /// A gateway like the house's own that tells nobody what it does.
    pub(crate) bare_gateway: Process,
    gateway: Process,
    serving: Process,
    workers: Vec<Process>,
    setting: Setting,
}

/// What all its processes are started with.
struct Setting {
    showrunner: PathBuf,
    directory: PathBuf,
    config: PathBuf,
    database_url: String,
    redis_url: String,
}

impl House {
    /// On a fresh database, with so many workers and a gateway that answers so late.
    pub(crate) async fn open(
        cluster: &Cluster,
        redis: &PrivateRedis,
        showrunner: PathBuf,
        workers: usize,
        answer_after_ms: u32,
    ) -> anyhow::Result<Self> {
        let database = cluster.fresh_database()?;
        let directory = cluster.out().join("houses").join(&database);
        if directory.exists() {
            std::fs::remove_dir_all(&directory).context("removing an earlier run")?;
        }
        std::fs::create_dir_all(&directory).context("making a directory for logs")?;
        let (database_url, redis_url) = (cluster.url(&database)?, redis.url());
        let config = directory.join("showrunner.toml");
        let setting = Setting { showrunner, directory, config, database_url, redis_url };

        let addresses = free_addresses()?;
        let [api_address, gateway_address, bare_address] = &addresses;
        std::fs::write(&setting.config, configuration(api_address, gateway_address))?;
        let webhooks = format!("http://{api_address}/webhooks/primary");
        let gateway = setting.gateway("gateway", gateway_address, answer_after_ms, Some(&webhooks)).await?;
        let bare_gateway = setting.gateway("bare-gateway", bare_address, answer_after_ms, None).await?;
        setting.output(&["migrate"]).await?;
        let token = setting.output(&["token", "create", "--role", "admin", "--name", "bench"]).await?;
        let other = setting.output(&["token", "create", "--role", "admin", "--name", "second"]).await?;
        let serving = setting.process("api", &["api"], "serving http://").await?;
        let mut all = Vec::new();
        for number in 1..=workers {
            all.push(setting.process(&format!("worker-{number}"), &["worker"], "has started").await?);
        }
        let url = format!("http://{api_address}");
        let (api, second) = (Api::new(&url, token)?, Api::new(&url, other)?);
        Ok(Self { database, api, second, bare_gateway, gateway, serving, workers: all, setting })
    }

    /// Fails unless every order was paid once and every invariant holds: what is fast and wrong is not measured.
    pub(crate) async fn is_sound(&self, orders: usize) -> anyhow::Result<()> {
        self.setting.output(&["check"]).await?;
        let books = reqwest::get(format!("{}/_sandbox/books", self.gateway.url)).await?;
        let books: serde_json::Value = books.json().await?;
        let charges = books["charges"].as_array().context("books without charges")?;
        let captured = charges.iter().filter(|charge| charge["status"] == "captured").count();
        ensure!(captured == orders && charges.len() == orders, "{captured} of {orders} orders are paid");
        Ok(())
    }

    /// Ends all of it.
    pub(crate) async fn close(self) -> anyhow::Result<()> {
        for process in self.workers.into_iter().chain([self.serving, self.gateway, self.bare_gateway]) {
            process.end().await?;
        }
        Ok(())
    }
}

impl Setting {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.showrunner);
        command.arg("--config").arg(&self.config).args(arguments);
        command.env("DATABASE_URL", &self.database_url).env("REDIS_URL", &self.redis_url);
        command.env_remove("DATABASE_READ_URL").stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    /// What a command prints that ends by itself.
    async fn output(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let output = self.command(arguments).output().await;
        let output = output.with_context(|| format!("running {}", self.showrunner.display()))?;
        let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "showrunner {} has failed: {said}\n{errors}", arguments.join(" "));
        Ok(said)
    }

    async fn gateway(
        &self,
        name: &str,
        address: &str,
        answer_after_ms: u32,
        webhook_url: Option<&str>,
    ) -> anyhow::Result<Process> {
        let books = self.directory.join(format!("{name}.jsonl"));
        let (books, answer_after) = (books.display().to_string(), answer_after_ms.to_string());
        let mut arguments = vec!["sandbox", "--listen", address, "--books", &books, "--answer-after-ms", &answer_after];
        if let Some(url) = webhook_url {
            arguments.extend(["--api-key", API_KEY, "--webhook-url", url]);
        }
        let mut process = self.process(name, &arguments, "http://").await?;
        process.url = format!("http://{address}");
        Ok(process)
    }

    /// A process that goes on, once it has said this.
    async fn process(&self, name: &str, arguments: &[&str], says: &str) -> anyhow::Result<Process> {
        let log = self.directory.join(format!("{name}.log"));
        let file: File = OpenOptions::new().create(true).append(true).open(&log)?;
        let mut command = self.command(arguments);
        command.stdout(file.try_clone()?).stderr(file);
        let child = command.spawn().with_context(|| format!("starting {}", self.showrunner.display()))?;
        let mut process = Process { name: name.to_owned(), url: String::new(), child };
        process.says(&log, says).await?;
        Ok(process)
    }
}

/// A process that ends when this value does.
pub(crate) struct Process {
    name: String,
    /// Where it is, for a gateway.
    pub(crate) url: String,
    child: Child,
}

impl Process {
    async fn says(&mut self, log: &Path, text: &str) -> anyhow::Result<()> {
        let began = Instant::now();
        while !std::fs::read_to_string(log)?.contains(text) {
            let ended = self.child.try_wait()?;
            let waits = ended.is_none() && began.elapsed() < PATIENCE;
            ensure!(waits, "{} did not begin: see {}", self.name, log.display());
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    /// SIGTERM, and its end.
    async fn end(mut self) -> anyhow::Result<()> {
        let name = self.name;
        signal("TERM", self.child.id().with_context(|| format!("{name} has ended by itself"))?)?;
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        let status = ended.with_context(|| format!("{name} did not end"))??;
        ensure!(status.success(), "{name} ended with {status}");
        Ok(())
    }
}

/// Addresses that nobody listens at.
fn free_addresses() -> anyhow::Result<[String; 3]> {
    // kept until all are chosen, so that they differ
    let listeners =
        [TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?];
    let mut addresses = <[String; 3]>::default();
    for (address, listener) in addresses.iter_mut().zip(&listeners) {
        *address = listener.local_addr()?.to_string();
    }
    Ok(addresses)
}

/// As in production, but for the rate limit of one address, what is there to try things out, and a gateway whose calls
/// never hang.
fn configuration(api_address: &str, gateway_address: &str) -> String {
    format!(
        r#"[http]
listen = "{api_address}"
[limits]
address_per_minute = 1000000
[worker]
demo_actions = true
[[gateways]]
name = "primary"
protocol = "stripe"
base_url = "http://{gateway_address}"
api_key = "{API_KEY}"
webhook_secret = "whsec_sandbox"
"#
    )
}
