//! Stands between a process and its database, and loses what it is told to.

use super::Loss;
use sqlx::{PgPool, postgres::PgPoolOptions};
use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
};

/// What is still to be lost. Clones share it.
#[derive(Clone, Default)]
pub(super) struct Losses(Arc<Mutex<Option<(Loss, usize)>>>);

impl Losses {
    pub(super) fn order(&self, loss: Loss, times: usize) {
        *self.0.lock().unwrap() = Some((loss, times));
    }

    pub(super) fn left(&self) -> usize {
        self.0.lock().unwrap().map_or(0, |(_, left)| left)
    }

    /// What happens to this message of the client.
    fn strike(&self, asked: &[u8]) -> Option<Loss> {
        let mut order = self.0.lock().unwrap();
        let (loss, left) = order.as_mut().filter(|(_, left)| *left > 0)?;
        let meant = match loss {
            // Bind: a prepared statement is about to be executed
            Loss::Answer => asked[0] == b'B',
            _ => asked.windows(6).any(|text| text == b"COMMIT"),
        };
        meant.then(|| *left -= 1)?;
        Some(*loss)
    }
}

/// See the module.
pub(super) struct Proxy {
    pub(super) pool: PgPool,
    dir: PathBuf,
}

impl Proxy {
    pub(super) async fn before(database: &PgPool, losses: Losses) -> Self {
        let options = database.connect_options().as_ref().clone();
        let socket = options.get_socket().unwrap().join(format!(".s.PGSQL.{}", options.get_port()));
        let dir = std::env::temp_dir().join(orchestrator::SagaId::fresh().to_string());
        std::fs::create_dir(&dir).unwrap();
        let listener = UnixListener::bind(dir.join(format!(".s.PGSQL.{}", options.get_port()))).unwrap();
        let database = database.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = UnixStream::connect(&socket).await.unwrap();
                tokio::spawn(pass(client, server, losses.clone(), database.clone()));
            }
        });
        let pool = PgPoolOptions::new().max_connections(4).connect_with(options.socket(&dir)).await.unwrap();
        Self { pool, dir }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.dir));
    }
}

/// Passes bytes both ways until one side ends, or something is to be lost.
async fn pass(mut client: UnixStream, mut server: UnixStream, losses: Losses, database: PgPool) {
    let (mut asked, mut answered) = (vec![0; 65_536], vec![0; 65_536]);
    let mut losing = false;
    loop {
        tokio::select! {
            read = client.read(&mut asked) => {
                let Ok(size @ 1..) = read else { return };
                match losses.strike(&asked[..size]) {
                    None => {}
                    Some(Loss::CommitBefore) => return,
                    Some(Loss::CommitAfter | Loss::Answer) => losing = true,
                    Some(Loss::CommitOnItsWay) => {
                        drop(client);
                        super::postgres::somebody_waits(&database).await;
                        server.write_all(&asked[..size]).await.unwrap();
                        // done, and nobody is told
                        drop(server.read(&mut answered).await);
                        return;
                    }
                }
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
