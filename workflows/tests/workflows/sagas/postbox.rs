//! Where a gateway's webhooks arrive, to be read when a test wants to.

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{Mutex, mpsc},
};

/// One webhook, as it came.
#[derive(Debug, Clone)]
pub(super) struct Letter {
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Letter {
    /// Whether its body has this text in it.
    pub(super) fn says(&self, text: &str) -> bool {
        String::from_utf8_lossy(&self.body).contains(text)
    }
}

/// Takes every webhook at once, and keeps it.
pub(super) struct Postbox {
    pub(super) url: String,
    letters: Mutex<mpsc::UnboundedReceiver<Letter>>,
}

impl Postbox {
    pub(super) async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/webhooks/primary", listener.local_addr().unwrap());
        let (sender, letters) = mpsc::unbounded_channel();
        // ends with the test's runtime
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                if let Some(letter) = read(stream).await {
                    drop(sender.send(letter));
                }
            }
        });
        Self { url, letters: Mutex::new(letters) }
    }

    /// One that has come; none waits for it.
    pub(super) async fn waiting(&self) -> Option<Letter> {
        self.letters.lock().await.try_recv().ok()
    }

    pub(super) async fn next(&self) -> Letter {
        self.letters.lock().await.recv().await.expect("the postman lives as long as the box")
    }
}

async fn read(mut stream: TcpStream) -> Option<Letter> {
    let mut bytes = Vec::new();
    loop {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let head = String::from_utf8(bytes[..end].to_vec()).ok()?;
        let header = |line: &str| {
            let (name, value) = line.split_once(": ")?;
            Some((name.parse::<HeaderName>().ok()?, HeaderValue::from_str(value).ok()?))
        };
        let headers: HeaderMap = head.lines().filter_map(header).collect();
        let length: usize = headers.get("content-length")?.to_str().ok()?.parse().ok()?;
        if bytes.len() >= end + 4 + length {
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            stream.write_all(answer).await.ok()?;
            return Some(Letter { headers, body: bytes.split_off(end + 4) });
        }
    }
}
