//! Stands between an engine and its database, and loses answers.

use sqlx::{PgPool, postgres::PgPoolOptions};
use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
};

/// See the module.
pub(crate) struct Proxy {
    pub(crate) pool: PgPool,
    /// The answers to so many COMMITs will be lost, each with its connection.
    pub(crate) commits_to_lose: Arc<AtomicUsize>,
    dir: PathBuf,
}

impl Proxy {
    pub(crate) async fn before(database: &PgPool) -> Self {
        let options = database.connect_options().as_ref().clone();
        let socket = options.get_socket().unwrap().join(format!(".s.PGSQL.{}", options.get_port()));
        let dir = std::env::temp_dir().join(orchestrator::SagaId::fresh().to_string());
        std::fs::create_dir(&dir).unwrap();
        let listener = UnixListener::bind(dir.join(format!(".s.PGSQL.{}", options.get_port()))).unwrap();
        let commits_to_lose = Arc::new(AtomicUsize::new(0));
        let lose = Arc::clone(&commits_to_lose);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = UnixStream::connect(&socket).await.unwrap();
                tokio::spawn(pass(client, server, Arc::clone(&lose)));
            }
        });
        let pool = PgPoolOptions::new().max_connections(4).connect_with(options.socket(&dir)).await.unwrap();
        Self { pool, commits_to_lose, dir }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.dir));
    }
}

/// Passes bytes both ways until one side ends, or the answer to a COMMIT is to be lost.
async fn pass(mut client: UnixStream, mut server: UnixStream, lose: Arc<AtomicUsize>) {
    let (mut asked, mut answered) = (vec![0; 65_536], vec![0; 65_536]);
    let mut losing = false;
    loop {
        tokio::select! {
            read = client.read(&mut asked) => {
                let Ok(size @ 1..) = read else { return };
                let commit = asked[..size].windows(6).any(|text| text == b"COMMIT");
                losing |= commit && lose.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
                if server.write_all(&asked[..size]).await.is_err() {
                    return;
                }
            }
            read = server.read(&mut answered) => {
                let Ok(size @ 1..) = read else { return };
                // the server has done it, and nobody is told
                if losing || client.write_all(&answered[..size]).await.is_err() {
                    return;
                }
            }
        }
    }
}
