//! Events, as a merchant receives them.

use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::support::{Gateway, assert_has};

/// Takes one POST, answers it with `status`, and returns its signature and body.
async fn receive(listener: &TcpListener, status: u16) -> (String, String) {
    let received = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut bytes = Vec::new();
        loop {
            stream.read_buf(&mut bytes).await.unwrap();
            let text = String::from_utf8_lossy(&bytes);
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let header = |name: &str| {
                let line = head.lines().find(|line| line.to_lowercase().starts_with(name));
                line.and_then(|line| line.split_once(": ")).map(|(_, value)| value.to_owned())
            };
            let length: usize = header("content-length:").unwrap().parse().unwrap();
            if body.len() == length {
                let (signature, body) = (header("stripe-signature:").unwrap(), body.to_owned());
                let answer = format!("HTTP/1.1 {status} x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                stream.write_all(answer.as_bytes()).await.unwrap();
                return (signature, body);
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), received).await.unwrap()
}

fn verify(signature: &str, body: &str) -> Value {
    let (time, digest) = signature.strip_prefix("t=").unwrap().split_once(",v1=").unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(b"whsec_1").unwrap();
    mac.update(format!("{time}.{body}").as_bytes());
    assert_eq!(hex::encode(mac.finalize().into_bytes()), digest);
    serde_json::from_str(body).unwrap()
}

#[tokio::test]
async fn events_are_signed_and_sent_again_until_they_are_taken() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let gateway = Gateway::start_with(|settings| {
        settings.webhook_url = Some(url);
        settings.webhook_secret = "whsec_1".to_owned();
    })
    .await;

    let id = gateway.paid().await;
    let (signature, refused) = receive(&listener, 500).await;
    let first = verify(&signature, &refused);
    let (signature, taken) = receive(&listener, 200).await;
    assert_eq!(verify(&signature, &taken)["id"], first["id"]);
    assert_has(&first, json!({"object": "event", "type": "payment_intent.succeeded", "livemode": false}));
    assert_has(&first["data"]["object"], json!({"id": id, "status": "succeeded"}));

    let form = [("payment_intent", id.as_str())];
    gateway.post_with_key("/v1/refunds", &form, "refund-1").await.ok();
    let mut kinds = Vec::new();
    for _ in 0..2 {
        let (signature, body) = receive(&listener, 200).await;
        let event = verify(&signature, &body);
        assert_eq!(event["request"]["idempotency_key"], "refund-1");
        kinds.push(event["type"].as_str().unwrap().to_owned());
    }
    kinds.sort();
    assert_eq!(kinds, ["charge.refunded", "refund.updated"]);
}
