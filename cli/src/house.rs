//! Everything that `showrunner dev` runs: private servers, the API in this process, a worker and two sandbox
//! gateways as children that are started again when they die, and that die with us.

mod child;
mod sandboxes;
mod tokens;

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

use anyhow::Context;
use private_servers::{DataDir, Durability, Existing, PrivatePostgres, PrivateRedis};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use workflows::{
    events::{self, NewEvent, NewSection},
    settings::BookingSettings,
};

use crate::{
    commands::{api, migrate},
    config::{self, Config, Environment},
    listening, measuring,
    stack::{self, Stack},
};
pub(crate) use child::Child;
pub(crate) use sandboxes::Sandboxes;
pub(crate) use tokens::Tokens;

/// The database in the private PostgreSQL.
const DATABASE: &str = "showrunner";

/// Where and on what.
#[derive(Debug, Clone)]
pub(crate) struct Site {
    /// Where the API listens; none: 127.0.0.1:8080, or a free port where that is taken.
    pub(crate) listen: Option<SocketAddr>,
    /// Where all data is.
    pub(crate) data_dir: PathBuf,
    /// Begin without any.
    pub(crate) fresh: bool,
}

/// A running house. Dropping it stops everything at once; [`House::stop`] lets it end in order.
pub(crate) struct House {
    pub(crate) config: Config,
    pub(crate) stack: Stack,
    pub(crate) url: String,
    pub(crate) sandboxes: Sandboxes,
    pub(crate) tokens: Tokens,
    pub(crate) worker: Child,
    stopping: CancellationToken,
    api: JoinHandle<anyhow::Result<()>>,
    keeping: [AbortOnDropHandle<()>; 2],
    /// The last to go.
    servers: Servers,
}

/// The servers that were not given.
struct Servers {
    database_url: String,
    redis_url: String,
    _postgres: Option<PrivatePostgres>,
    _redis: Option<PrivateRedis>,
    _dir: DataDir,
}

impl House {
    /// Starts everything, and waits until the API answers.
    pub(crate) async fn start(site: &Site) -> anyhow::Result<Self> {
        let servers = {
            let site = site.clone();
            tokio::task::spawn_blocking(move || Servers::start(&site)).await??
        };
        let dir = site.data_dir.as_path();
        let listener = listen(site.listen)?;
        let url = format!("http://{}", listener.local_addr()?);
        let sandboxes = Sandboxes::start(dir, &url).await?;
        let config_file = dir.join("dev.toml");
        tokio::fs::write(
            &config_file,
            configuration(servers.has_database_of_its_own().then_some(dir), &sandboxes, &url),
        )
        .await
        .context("writing dev.toml")?;
        let config = config::load(Some(&config_file), &servers.environment())?.config;
        // its own parts find each other by plain addresses
        anyhow::ensure!(
            config.security.tls_cert_file.is_none(),
            "security.tls_cert_file: only `showrunner api` uses it"
        );

        let pool = stack::connect_as_owner(&config).await?;
        migrate::schema(&pool).await?;
        drop(pool);
        let stack = Stack::build(&config).await?;
        migrate::definitions(&stack.engine, config.worker.demo_actions).await?;
        seed(&stack).await?;
        let tokens = Tokens::in_dir(dir, stack.engine.pool()).await?;

        let stopping = CancellationToken::new();
        let metrics = measuring::install()?;
        let keeping = [measuring::keep(metrics.clone(), &stack), stack.keep_breakers()];
        let state = api::state(&stack, &config, Some(metrics), &stopping);
        let serving = ::api::serve(listener, None, state, stopping.clone());
        let api = tokio::spawn(async move { serving.await.context("serving the API") });
        let worker = Child::new("worker".to_owned(), dir, servers.variables(), {
            vec!["--config".into(), config_file.into(), "worker".into(), "--with-parent".into()]
        })?;
        Ok(Self { config, stack, url, sandboxes, tokens, worker, stopping, api, keeping, servers })
    }

    /// A second API on the same house, with other settings of bookings.
    pub(crate) async fn second_api(&self, change: impl FnOnce(&mut BookingSettings)) -> anyhow::Result<String> {
        let mut stack = self.stack.clone();
        change(&mut stack.booking);
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let state = api::state(&stack, &self.config, None, &self.stopping);
        let stopping = self.stopping.clone();
        tokio::spawn(async move { ::api::serve(listener, None, state, stopping).await });
        Ok(url)
    }

    /// The database that all of it stands on.
    pub(crate) fn database_url(&self) -> &str {
        &self.servers.database_url
    }

    /// Stops in order: the API answers what it has begun, the worker drains, the servers go last.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        self.stopping.cancel();
        self.worker.stop().await;
        self.sandboxes.stop().await;
        self.api.await??;
        drop(self.keeping);
        drop(self.stack);
        tokio::task::spawn_blocking(move || drop(self.servers)).await?;
        Ok(())
    }
}

impl Servers {
    /// Starts what `DATABASE_URL` and `REDIS_URL` do not name. Blocks.
    fn start(site: &Site) -> anyhow::Result<Self> {
        let existing = if site.fresh { Existing::Wipe } else { Existing::Keep };
        let dir = DataDir::open(&site.data_dir, existing)?;
        let given = |name: &str| std::env::var(name).ok().filter(|url| !url.is_empty());
        let (database_url, postgres) = match given("DATABASE_URL") {
            Some(url) => (url, None),
            None => {
                let postgres = PrivatePostgres::start(&dir, Durability::Durable)?;
                postgres.ensure_database(DATABASE)?;
                (postgres.database_url(DATABASE), Some(postgres))
            }
        };
        let (redis_url, redis) = match given("REDIS_URL") {
            Some(url) => (url, None),
            None => {
                let redis = PrivateRedis::start(&dir)?;
                (redis.url(), Some(redis))
            }
        };
        Ok(Self { database_url, redis_url, _postgres: postgres, _redis: redis, _dir: dir })
    }

    fn has_database_of_its_own(&self) -> bool {
        self._postgres.is_some()
    }

    fn variables(&self) -> Vec<(String, String)> {
        vec![("DATABASE_URL".to_owned(), self.database_url.clone()), ("REDIS_URL".to_owned(), self.redis_url.clone())]
    }

    fn environment(&self) -> Environment {
        let own =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        Environment::from_variables(own.chain(self.variables()))
    }
}

/// The address that was asked for, or the usual one, or a free one where that is taken.
fn listen(asked: Option<SocketAddr>) -> anyhow::Result<TcpListener> {
    if let Some(address) = asked {
        return listening::listen(address).with_context(|| format!("listening on {address} (--listen)"));
    }
    let usual = SocketAddr::from((Ipv4Addr::LOCALHOST, 8080));
    let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    listening::listen(usual).or_else(|_| listening::listen(free)).context("listening on a free port")
}

/// With the audit log's head in `kept_in`: there only one that goes with the database that is there as well.
fn configuration(kept_in: Option<&Path>, sandboxes: &Sandboxes, api_url: &str) -> String {
    let kept_in = kept_in.map(|dir| dir.join("audit-head").to_string_lossy().into_owned());
    let audit_head = toml::Value::String(kept_in.unwrap_or_default());
    let gateways = sandboxes.configuration(api_url);
    format!(
        "# Written by `showrunner dev` at every start.
[worker]
lease_secs = 5
drain_secs = 5
demo_actions = true
[limits]
address_per_minute = 6000
[security]
audit_head_file = {audit_head}
{gateways}"
    )
}

/// A demo venue, where there is nothing to sell yet.
async fn seed(stack: &Stack) -> anyhow::Result<()> {
    if !events::is_empty(stack.engine.pool()).await? {
        return Ok(());
    }
    let section =
        |name: &str, rows, seats_per_row, price| NewSection { name: name.to_owned(), rows, seats_per_row, price };
    let event = NewEvent {
        name: "Opening night".to_owned(),
        venue: "The Demo House".to_owned(),
        description: Some("What `showrunner dev` has to sell.".to_owned()),
        start_time: "2035-06-01T19:30:00".to_owned(),
        time_zone: Some("Europe/Berlin".to_owned()),
        sales_start: None,
        sales_end: None,
        currency: "EUR".to_owned(),
        sections: vec![section("Stalls", 10, 20, 6_500), section("Balcony", 5, 16, 4_500)],
    };
    events::create(stack.engine.pool(), &event, "showrunner dev".into()).await?;
    Ok(())
}
