//! A merchant's endpoint for webhooks.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// One webhook, as it came.
#[derive(Debug)]
pub(crate) struct Post {
    head: String,
    pub(crate) body: String,
}

impl Post {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// Takes webhooks until it is dropped with its test.
pub(crate) struct Inbox {
    pub(crate) url: String,
    posts: mpsc::UnboundedReceiver<Post>,
    /// What the next ones are answered with; then 200.
    statuses: Arc<Mutex<VecDeque<u16>>>,
}

impl Inbox {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let (sender, posts) = mpsc::unbounded_channel();
        let statuses = Arc::new(Mutex::new(VecDeque::new()));
        let answers = Arc::clone(&statuses);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(take(stream, sender.clone(), Arc::clone(&answers)));
            }
        });
        Self { url, posts, statuses }
    }

    /// The next `count` webhooks are refused.
    pub(crate) fn refuse(&self, count: usize) {
        self.statuses.lock().unwrap().extend(std::iter::repeat_n(500, count));
    }

    pub(crate) fn accept(&self) {
        self.statuses.lock().unwrap().clear();
    }

    pub(crate) async fn next(&mut self) -> Post {
        tokio::time::timeout(Duration::from_secs(20), self.posts.recv()).await.unwrap().unwrap()
    }
}

async fn take(mut stream: TcpStream, sender: mpsc::UnboundedSender<Post>, statuses: Arc<Mutex<VecDeque<u16>>>) {
    let mut bytes = Vec::new();
    while stream.read_buf(&mut bytes).await.is_ok_and(|count| count > 0) {
        let text = String::from_utf8_lossy(&bytes);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let post = Post { head: head.to_owned(), body: body.to_owned() };
        let length: usize = post.header("content-length").unwrap().parse().unwrap();
        if body.len() < length {
            continue;
        }
        let status = statuses.lock().unwrap().pop_front().unwrap_or(200);
        let _ = sender.send(post);
        let answer = format!("HTTP/1.1 {status} x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        let _ = stream.write_all(answer.as_bytes()).await;
        return;
    }
}
