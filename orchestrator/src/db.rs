//! Connections, and what an error of the database means.

use sqlx::{
    ConnectOptions, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use std::{str::FromStr, time::Duration};

/// The role that processes have in the database (migration 21): it cannot change history.
pub const PROCESS_ROLE: &str = "showrunner_process";
/// How long a pool waits for a connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);
/// Rolls back what a connection may be in the middle of. Where that is nothing, as a rule, a rollback alone would put
/// a warning into the server's log each time; one that is just begun is quiet.
const ROLL_BACK: &str = "start transaction; rollback";

/// A pool for a process: each connection has [`PROCESS_ROLE`] from its start, at the price of no statement, and so has
/// every other that is made with the pool's options.
///
/// # Errors
/// As [`connect`]'s, and when the login may not take the role, or nobody has made it.
pub async fn connect_as_process(url: &str, connections_max: u32) -> Result<PgPool, sqlx::Error> {
    let options = PgConnectOptions::from_str(url)?.options([("role", PROCESS_ROLE)]);
    open(options, connections_max).await
}

/// A pool for whom the schema belongs to.
///
/// # Errors
/// When the URL does not read or nobody answers there, with why.
pub async fn connect(url: &str, connections_max: u32) -> Result<PgPool, sqlx::Error> {
    open(PgConnectOptions::from_str(url)?, connections_max).await
}

/// Gives [`PROCESS_ROLE`] what it needs of all tables there are, and makes the role when nobody has.
///
/// # Errors
/// The database's: it says what an administrator must run when this login may not make roles.
pub async fn grant_to_processes(pool: &PgPool) -> Result<(), sqlx::Error> {
    sqlx::raw_sql("select engine.grant_to_processes()").execute(pool).await.map(drop)
}

/// A pool that is safe to drop futures around.
///
/// A future that is dropped while it waits for BEGIN returns its connection inside a transaction (measured with
/// sqlx 0.8.6 and 0.9.0), and the next borrower's writes vanish. Hence the rollback on every release; a connection that
/// refuses it is closed.
async fn open(options: PgConnectOptions, connections_max: u32) -> Result<PgPool, sqlx::Error> {
    let options = options.options([
        ("idle_in_transaction_session_timeout", "30s"),
        ("statement_timeout", "30s"),
        ("lock_timeout", "10s"),
        // what is begun twice on purpose, or is there already, need not be said
        ("client_min_messages", "error"),
        // A queue's statistics are always stale; a plan made for today's values is a bad one a second later.
        ("plan_cache_mode", "force_generic_plan"),
    ]);
    let pool = PgPoolOptions::new().max_connections(connections_max).acquire_timeout(ACQUIRE_TIMEOUT).after_release(
        |connection, _| {
            Box::pin(async move {
                sqlx::raw_sql(ROLL_BACK).execute(connection).await?;
                Ok(true)
            })
        },
    );
    match pool.connect_with(options.clone()).await {
        Err(sqlx::Error::PoolTimedOut) => Err(why_not(&options).await),
        connected => connected,
    }
}

/// Why nobody can connect: a pool that has tried until its time was over does not say.
async fn why_not(options: &PgConnectOptions) -> sqlx::Error {
    match tokio::time::timeout(ACQUIRE_TIMEOUT, options.connect()).await {
        Ok(Err(why)) => why,
        Ok(Ok(_)) | Err(_) => sqlx::Error::PoolTimedOut,
    }
}

/// What to do about an error of the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// The same again, soon: the server or the connection was away, or two transactions met.
    Passing,
    /// The statement or its data is at fault: the same again fails again.
    Lasting,
}

/// Which kind of trouble `error` is.
#[must_use]
pub fn trouble(error: &sqlx::Error) -> Trouble {
    let sqlx::Error::Database(database) = error else {
        return match error {
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::BeginFailed => Trouble::Passing,
            _ => Trouble::Lasting,
        };
    };
    // Classes of appendix A of PostgreSQL's manual: 08 connection, 25P03 idle transaction, 40 rollback, 53
    // resources, 55P03 lock, 57 intervention, 58 system.
    match database.code().as_deref() {
        Some("25P03" | "55P03") => Trouble::Passing,
        Some(code) if ["08", "40", "53", "57", "58"].iter().any(|class| code.starts_with(class)) => Trouble::Passing,
        _ => Trouble::Lasting,
    }
}

/// Whether the database answers now.
pub async fn answers(pool: &PgPool) -> bool {
    sqlx::query_scalar!(r#"select 1 as "one!""#).fetch_one(pool).await.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_cannot_connect_is_told_why() {
        let nobody = connect("postgres://nobody@127.0.0.1:1/nothing", 1).await.unwrap_err();
        assert!(
            matches!(&nobody, sqlx::Error::Io(why) if why.kind() == std::io::ErrorKind::ConnectionRefused),
            "{nobody}"
        );
    }
}
