//! The database that a world stands on: the test program's own where nothing is done to it, and otherwise one that
//! can be crashed.

use super::super::dev::Scratch;
use private_servers::{DataDir, Durability, Existing, PrivatePostgres, SmallDisk, TestServers};

const DATABASE: &str = "showrunner";

/// Where a world's data is.
pub(super) enum Servers {
    /// A database among others.
    Shared { url: String },
    /// A PostgreSQL of its own.
    Own(Box<OwnPostgres>),
}

/// A PostgreSQL that is durable as in production, and that can be crashed.
pub(super) struct OwnPostgres {
    // in this order they go
    running: Option<PrivatePostgres>,
    disk: Option<SmallDisk>,
    home: DataDir,
    scratch: Scratch,
    url: String,
}

impl Servers {
    pub(super) fn shared() -> Self {
        Self::Shared { url: TestServers::shared().empty_database().unwrap() }
    }

    pub(super) fn url(&self) -> &str {
        match self {
            Self::Shared { url } => url,
            Self::Own(own) => &own.url,
        }
    }

    /// The database server, where it is the world's own.
    pub(super) fn own(&mut self) -> &mut OwnPostgres {
        match self {
            Self::Own(own) => own,
            Self::Shared { .. } => panic!("nothing may be done to what others use as well"),
        }
    }
}

impl OwnPostgres {
    pub(super) fn start() -> Self {
        let scratch = Scratch::new("postgres");
        let home = DataDir::open(&scratch.0, Existing::Keep).unwrap();
        Self::start_in(scratch, home, None)
    }

    /// With so many bytes on its disk, or why this machine cannot have it.
    pub(super) fn start_on_small_disk(bytes: u64) -> Result<Self, private_servers::Error> {
        let scratch = Scratch::new("disk");
        let home = DataDir::open(&scratch.0, Existing::Keep)?;
        let disk = SmallDisk::mount(&home, bytes)?;
        Ok(Self::start_in(scratch, home, Some(disk)))
    }

    fn start_in(scratch: Scratch, home: DataDir, disk: Option<SmallDisk>) -> Self {
        let mut own = Self { running: None, disk, home, scratch, url: String::new() };
        own.start_again();
        let running = own.running.as_ref().unwrap();
        running.ensure_database(DATABASE).unwrap();
        own.url = running.database_url(DATABASE);
        own
    }

    /// What it has said.
    pub(super) fn log(&self) -> String {
        std::fs::read_to_string(self.scratch.0.join("postgres.log")).unwrap()
    }

    pub(super) fn disk(&self) -> &SmallDisk {
        self.disk.as_ref().unwrap()
    }

    /// As `pg_ctl stop -m immediate`.
    pub(super) fn crash(&mut self) {
        self.running.take().unwrap().crash().unwrap();
    }

    pub(super) fn start_again(&mut self) {
        drop(self.running.take());
        self.running = Some(match &self.disk {
            Some(disk) => PrivatePostgres::start_on(disk, &self.home, Durability::Durable).unwrap(),
            None => PrivatePostgres::start(&self.home, Durability::Durable).unwrap(),
        });
    }

    /// Whether it has given up by itself.
    pub(super) fn has_ended(&mut self) -> bool {
        self.running.as_mut().is_none_or(|running| running.has_ended().unwrap())
    }
}
