//! What the sandbox sends of its own accord is believed, and nothing else is.

use super::bench::{Bench, eur, key};
use chrono::{DateTime, Utc};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use std::time::{Duration, SystemTime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use workflows::gateways::{WebhookError, WebhookKind};

const PATIENCE: Duration = Duration::from_secs(20);

fn now() -> DateTime<Utc> {
    SystemTime::now().into()
}

/// The next delivery, answered with 200.
async fn delivery(listener: &TcpListener) -> (HeaderMap, Vec<u8>) {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut bytes = Vec::new();
    loop {
        stream.read_buf(&mut bytes).await.unwrap();
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let headers: HeaderMap = head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap()))
            .collect();
        let length: usize = headers["content-length"].to_str().unwrap().parse().unwrap();
        if bytes.len() >= end + 4 + length {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await.unwrap();
            return (headers, bytes.split_off(end + 4));
        }
    }
}

pub(super) async fn news_is_signed_and_says_what_happened(bench: Bench) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/webhooks/primary", listener.local_addr().unwrap());
    let bench = Bench::start_with_webhooks(&bench.settings.protocol, Some(url)).await;
    let (key, charge) = (key("pay"), bench.charge());
    let reference = bench.prepared(&key, &charge).await;
    bench.gateway.charge(&key, &charge, reference.as_ref()).await;

    let told = tokio::time::timeout(PATIENCE, async {
        loop {
            let (headers, body) = delivery(&listener).await;
            let events = bench.gateway.verify_webhook(&headers, &body, now()).unwrap();
            let captured = events.iter().find(|event| matches!(event.kind, WebhookKind::PaymentCaptured(_))).cloned();
            if let Some(event) = captured {
                return (headers, body, event);
            }
        }
    });
    let (headers, body, event) = told.await.expect("the capture is told");
    assert_eq!(event.order_id, Some(charge.order_id));
    let WebhookKind::PaymentCaptured(captured) = event.kind else { unreachable!() };
    assert_eq!(captured.amount, eur(4500));

    let verify = |headers: &HeaderMap, body: &[u8]| bench.gateway.verify_webhook(headers, body, now());
    // The amount is what every protocol signs, be it all of the body or a part.
    let changed = String::from_utf8(body).unwrap().replace("4500", "9900");
    assert_eq!(verify(&headers, changed.as_bytes()), Err(WebhookError::WrongSignature));
    // Wherever a protocol has its signature, here is none.
    assert_eq!(verify(&HeaderMap::new(), b"{}"), Err(WebhookError::NotSigned));
}
