//! PostgreSQL and Redis servers that live and die with the program that started them: for
//! `showrunner dev`, and for the tests of every crate; and a mail server, for tests alone. Knows nothing else of ours.
//!
//! A server is not our child but that of a *keeper*, a small shell that holds the other end of a
//! pipe to us. When the pipe closes, because we are done or because somebody killed us, the keeper
//! stops the server. Nothing is left to clean up by hand; what a killed keeper leaves behind is
//! cleaned up at the next start.
//!
//! Everything here blocks: call it before a runtime starts, or from a blocking thread.

#![forbid(unsafe_code)]

mod account;
mod data_dir;
mod error;
mod keeper;
mod mail_server;
mod postgres;
mod programs;
mod proxy;
mod redis;
mod small_disk;
mod test_servers;

pub use data_dir::{DataDir, Existing};
pub use error::Error;
pub use mail_server::{MailOnce, MailSaid, MailServer, TakenMail};
pub use postgres::{Durability, PrivatePostgres};
pub use proxy::{Fault, Proxy, Spot};
pub use redis::PrivateRedis;
pub use small_disk::SmallDisk;
pub use test_servers::TestServers;
