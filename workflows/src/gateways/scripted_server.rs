//! A server that answers from a script, one connection per call, and keeps what it was asked.

use serde_json::Value;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What the server does with a call.
pub(super) enum Script {
    /// Answers.
    Json(u16, Value),
    /// Answers with something, and these headers.
    Raw(u16, &'static str, String),
    /// Begins to answer, and closes the connection.
    Cut(u16),
    /// Closes the connection without an answer.
    HangUp,
    /// Never answers.
    Silence,
}

/// What the server was asked.
#[derive(Clone, Default)]
pub(super) struct Asked {
    /// `POST /v1/refunds`.
    pub(super) line: String,
    head: String,
    /// As it was sent, the escapes undone.
    pub(super) body: String,
}

impl Asked {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let wanted = |line: &&str| line.split_once(':').is_some_and(|(found, _)| found.eq_ignore_ascii_case(name));
        self.head.lines().find(wanted).and_then(|line| line.split_once(':')).map(|(_, value)| value.trim())
    }
}

pub(super) struct Server {
    pub(super) url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    pub(super) async fn start(script: impl IntoIterator<Item = Script>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let mut script: VecDeque<Script> = script.into_iter().collect();
        let record = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Some(next) = script.pop_front() {
                let (mut stream, _) = listener.accept().await.unwrap();
                let request = read(&mut stream).await;
                record.lock().unwrap().push(request);
                match next {
                    // Kept open until the test ends.
                    Script::Silence => std::mem::forget(stream),
                    next => answer(&mut stream, next).await,
                }
            }
        });
        Self { url, asked }
    }

    pub(super) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

async fn read(stream: &mut TcpStream) -> Asked {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let (line, head) = head.split_once("\r\n").unwrap();
            let mut asked =
                Asked { line: line.trim_end_matches(" HTTP/1.1").into(), head: head.into(), body: String::new() };
            let length: usize = asked.header("content-length").map_or(0, |length| length.parse().unwrap());
            if body.len() >= length {
                asked.body = body.replace("%5B", "[").replace("%5D", "]");
                return asked;
            }
        }
        let count = stream.read_buf(&mut bytes).await.unwrap();
        assert!(count > 0, "the client hung up");
    }
}

async fn answer(stream: &mut TcpStream, script: Script) {
    let (status, headers, body) = match script {
        Script::Json(status, body) => (status, "", body.to_string()),
        Script::Raw(status, headers, body) => (status, headers, body),
        Script::Cut(status) => {
            let head = format!("HTTP/1.1 {status} X\r\ncontent-length: 500\r\n\r\n{{\"id\": \"pi_1\",");
            stream.write_all(head.as_bytes()).await.unwrap();
            return;
        }
        Script::HangUp | Script::Silence => return,
    };
    let head = format!(
        "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\nconnection: close\r\n{headers}content-length: {}\r\n\r\n",
        body.len()
    );
    // A client that has read enough may have hung up.
    let _ = stream.write_all(head.as_bytes()).await;
    let _ = stream.write_all(body.as_bytes()).await;
}
