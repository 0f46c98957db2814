//! One PostgreSQL and one Redis per test program, and a database of its own for each test.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{
        Mutex, OnceLock, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};

use crate::{DataDir, Durability, Error, PrivatePostgres, PrivateRedis, error::OnFile};

/// Throw-away servers that the tests of one program share. They stop, and their data goes, when the
/// program ends, however it ends.
#[derive(Debug)]
pub struct TestServers {
    postgres: PrivatePostgres,
    redis: PrivateRedis,
    /// Databases to copy, by the directory of the migrations that they have.
    templates: Mutex<HashMap<PathBuf, String>>,
    databases: AtomicU32,
    redis_databases: AtomicU32,
}

impl TestServers {
    /// The servers of this test program, started when first asked for.
    ///
    /// # Panics
    /// When they cannot be started: no test that asks can go on.
    #[expect(clippy::panic, reason = "only tests ask, and the message says what to do")]
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<TestServers> = OnceLock::new();
        SHARED.get_or_init(|| Self::start().unwrap_or_else(|error| panic!("{error}")))
    }

    /// Servers of one's own, for a test that stops them.
    pub fn start() -> Result<Self, Error> {
        Ok(Self {
            postgres: PrivatePostgres::start(&DataDir::temporary()?, Durability::Throwaway)?,
            redis: PrivateRedis::start(&DataDir::temporary()?)?,
            templates: Mutex::default(),
            databases: AtomicU32::new(0),
            redis_databases: AtomicU32::new(0),
        })
    }

    /// The URL of a new database that has the migrations of a directory (`*.sql`, in the order of
    /// their names). They run once for all tests of a program; each gets a copy.
    pub fn database(&self, migrations: &Path) -> Result<String, Error> {
        let template = self.template(migrations)?;
        self.copy(&template)
    }

    /// The URL of a new, empty database.
    pub fn empty_database(&self) -> Result<String, Error> {
        self.copy("template0")
    }

    /// The URL of a new copy of a database, to which nobody may be connected.
    pub fn copy_of(&self, database_url: &str) -> Result<String, Error> {
        let name = database_url.split('?').next().and_then(|url| url.rsplit('/').next()).unwrap_or_default();
        self.copy(name)
    }

    /// The URL of a Redis database that no other test has (until thousands have asked): empty, and
    /// safe to `FLUSHDB`.
    pub fn redis_url(&self) -> String {
        let number = self.redis_databases.fetch_add(1, Ordering::Relaxed);
        self.redis.database_url(number)
    }

    /// The PostgreSQL server.
    pub fn postgres(&self) -> &PrivatePostgres {
        &self.postgres
    }

    /// The Redis server.
    pub fn redis(&self) -> &PrivateRedis {
        &self.redis
    }

    fn copy(&self, template: &str) -> Result<String, Error> {
        let number = self.databases.fetch_add(1, Ordering::Relaxed);
        let name = format!("test_{number}");
        let statement = format!("create database {name} template {template}");
        self.postgres.psql("postgres", &["-c", &statement])?;
        Ok(self.postgres.database_url(&name))
    }

    fn template(&self, migrations: &Path) -> Result<String, Error> {
        // Held while the migrations run: whoever else asks for them waits.
        let mut templates = self.templates.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(name) = templates.get(migrations) {
            return Ok(name.clone());
        }
        let name = format!("template_{}", templates.len());
        let statement = format!("create database {name}");
        self.postgres.psql("postgres", &["-c", &statement])?;
        let files = sql_files(migrations)?;
        let mut arguments = Vec::new();
        for file in &files {
            arguments.extend(["-1", "-f", file.as_str()]);
        }
        if !files.is_empty() {
            self.postgres.psql(&name, &arguments)?;
        }
        templates.insert(migrations.to_owned(), name.clone());
        Ok(name)
    }
}

fn sql_files(directory: &Path) -> Result<Vec<String>, Error> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).on("list", directory)? {
        let path = entry.on("list", directory)?.path();
        if path.extension().is_some_and(|extension| extension == "sql") {
            files.push(path.display().to_string());
        }
    }
    files.sort();
    Ok(files)
}
