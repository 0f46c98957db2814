//! A merchant of an Adyen gateway, with an endpoint for its webhooks.

use std::ops::Deref;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sandbox::{Protocol, Settings};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::inbox::{Inbox, Post};
use crate::support::{Gateway, Reply};

pub(super) const HMAC_KEY: &str = "9064450A8892A093D9E97EFCC9639DE31B74F3A7803135555A3C96F5A57915D6";

/// The gateway, and what it tells.
pub(super) struct Shop {
    pub(super) gateway: Gateway,
    pub(super) inbox: Inbox,
}

impl Deref for Shop {
    type Target = Gateway;

    fn deref(&self) -> &Gateway {
        &self.gateway
    }
}

impl Shop {
    pub(super) async fn open() -> Self {
        Self::open_with(|_| {}).await
    }

    pub(super) async fn open_with(change: impl FnOnce(&mut Settings)) -> Self {
        let inbox = Inbox::start().await;
        let gateway = Gateway::start_with(|settings| {
            settings.protocol = Protocol::Adyen;
            settings.webhook_url = Some(inbox.url.clone());
            settings.webhook_secret = HMAC_KEY.to_owned();
            change(settings);
        })
        .await;
        Self { gateway, inbox }
    }

    pub(super) async fn restart(self) -> Self {
        Self { gateway: self.gateway.restart().await, ..self }
    }

    pub(super) async fn try_ask(&self, path: &str, body: &Value, key: Option<&str>) -> reqwest::Result<Reply> {
        let mut request = self.client.post(self.url(&format!("/v71{path}"))).json(body);
        if let Some(key) = key {
            request = request.header("Idempotency-Key", key);
        }
        Ok(Reply::read(request.send().await?).await)
    }

    pub(super) async fn ask(&self, path: &str, body: &Value) -> Reply {
        self.try_ask(path, body, None).await.unwrap()
    }

    pub(super) async fn ask_with_key(&self, path: &str, body: &Value, key: &str) -> Reply {
        self.try_ask(path, body, Some(key)).await.unwrap()
    }

    /// A payment of 4500 EUR cents that was authorised; its name.
    pub(super) async fn paid(&mut self) -> String {
        let answer = self.ask("/payments", &payment("M5N7TQ4TG5PFWR50")).await.ok();
        assert_eq!(answer["resultCode"], "Authorised");
        let psp_reference = answer["pspReference"].as_str().unwrap().to_owned();
        let item = self.told().await;
        assert_eq!(item["pspReference"], json!(psp_reference));
        psp_reference
    }

    /// The same without its money being taken.
    pub(super) async fn authorised(&mut self) -> String {
        let mut body = payment("M5N7TQ4TG5PFWR50");
        body["additionalData"] = json!({"manualCapture": "true"});
        let answer = self.ask("/payments", &body).await.ok();
        self.told().await;
        answer["pspReference"].as_str().unwrap().to_owned()
    }

    /// Asks for a modification; its name.
    pub(super) async fn modify(&self, payment: &str, act: &str, body: &Value) -> String {
        let reply = self.ask(&format!("/payments/{payment}/{act}"), body).await;
        assert_eq!(reply.status, 201, "{}", reply.text);
        let answer = reply.json();
        assert_eq!((&answer["status"], &answer["paymentPspReference"]), (&json!("received"), &json!(payment)));
        answer["pspReference"].as_str().unwrap().to_owned()
    }

    /// The next item that tells of this, whatever is told again before it.
    pub(super) async fn told_of(&mut self, event_code: &str) -> Value {
        loop {
            let item = self.told().await;
            if item["eventCode"] == event_code {
                return item;
            }
        }
    }

    /// The next item that is told, its signature checked.
    pub(super) async fn told(&mut self) -> Value {
        item(&self.inbox.next().await)
    }
}

pub(super) fn payment(method: &str) -> Value {
    json!({
        "amount": {"currency": "EUR", "value": 4500},
        "merchantAccount": "ShowrunnerECOM",
        "reference": "ord_1",
        "paymentMethod": {"type": "scheme", "storedPaymentMethodId": method},
        "shopperReference": "usr_1",
        "shopperInteraction": "ContAuth",
        "recurringProcessingModel": "CardOnFile",
        "returnUrl": "https://example.org/back?order=1",
        "metadata": {"order_id": "ord_1"},
    })
}

pub(super) fn account() -> Value {
    json!({"merchantAccount": "ShowrunnerECOM"})
}

pub(super) fn amount(value: i64) -> Value {
    json!({"merchantAccount": "ShowrunnerECOM", "amount": {"currency": "EUR", "value": value}, "reference": "ref_1"})
}

/// The only item of a webhook.
pub(super) fn item(post: &Post) -> Value {
    let webhook = post.json();
    assert_eq!(webhook["live"], "false");
    let items = webhook["notificationItems"].as_array().unwrap();
    assert_eq!(items.len(), 1);
    let item = &items[0]["NotificationRequestItem"];
    assert_eq!(item["additionalData"]["hmacSignature"], json!(hmac(HMAC_KEY, item)), "{item:#}");
    item.clone()
}

/// The signature of an item, computed from nothing but Adyen's description of it.
pub(super) fn hmac(key: &str, item: &Value) -> String {
    let member = |pointer: &str| match item.pointer(pointer) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    let signed = [
        "/pspReference",
        "/originalReference",
        "/merchantAccountCode",
        "/merchantReference",
        "/amount/value",
        "/amount/currency",
        "/eventCode",
        "/success",
    ];
    let signed: Vec<_> = signed.into_iter().map(member).collect();
    let mut mac = Hmac::<Sha256>::new_from_slice(&hex::decode(key).unwrap()).unwrap();
    mac.update(signed.join(":").as_bytes());
    BASE64.encode(mac.finalize().into_bytes())
}
