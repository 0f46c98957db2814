//! The line to a program, or to several of which each connection gets the next one that lives: counts the connections,
//! can hold back what is sent until it is opened again, and can be cut.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};
use tokio::{
    io::{self, AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{JoinHandle, JoinSet},
};

/// See the module. It is cut with this value.
pub(super) struct Line {
    pub(super) url: String,
    connections: Arc<AtomicUsize>,
    held: Arc<AtomicUsize>,
    open: watch::Sender<bool>,
    accepting: JoinHandle<()>,
}

impl Line {
    pub(super) async fn to(address: String) -> Self {
        Self::between("127.0.0.1:0", vec![address]).await
    }

    /// From one address to others.
    pub(super) async fn between(here: &str, there: Vec<String>) -> Self {
        let listener = TcpListener::bind(here).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (connections, held) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (open, is_open) = watch::channel(true);
        let (count, holding) = (Arc::clone(&connections), Arc::clone(&held));
        let accepting = tokio::spawn(async move {
            // they end with this, when it is aborted
            let mut passing = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let number = count.fetch_add(1, Ordering::SeqCst);
                if let Some(server) = connect(&there, number).await {
                    passing.spawn(pass(client, server, is_open.clone(), Arc::clone(&holding)));
                }
            }
        });
        Self { url, connections, held, open, accepting }
    }

    /// How many connections were made over it.
    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// How many requests it has held back.
    pub(super) fn held(&self) -> usize {
        self.held.load(Ordering::SeqCst)
    }

    /// Nothing passes any more, and nobody listens.
    pub(super) fn cut(&self) {
        self.accepting.abort();
    }

    /// What is sent from now on waits.
    pub(super) fn hold(&self) {
        self.open.send_replace(false);
    }

    /// What waits arrives.
    pub(super) fn open(&self) {
        self.open.send_replace(true);
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// The first that lives, beginning with the one whose turn it is.
async fn connect(there: &[String], number: usize) -> Option<TcpStream> {
    for turn in 0..there.len() {
        if let Ok(server) = TcpStream::connect(&there[(number + turn) % there.len()]).await {
            return Some(server);
        }
    }
    None
}

async fn pass(client: TcpStream, server: TcpStream, mut open: watch::Receiver<bool>, held: Arc<AtomicUsize>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    // what was sent is still answered
    let answers = async move { io::copy(&mut from_server, &mut to_client).await };
    let requests = async move {
        let mut bytes = vec![0; 65_536];
        while let Ok(size @ 1..) = from_client.read(&mut bytes).await {
            if !*open.borrow() {
                held.fetch_add(1, Ordering::SeqCst);
            }
            if open.wait_for(|open| *open).await.is_err() || to_server.write_all(&bytes[..size]).await.is_err() {
                break;
            }
        }
    };
    drop(tokio::join!(answers, requests));
}
