//! What a gateway says of the calls that came to it, and in which order.

use super::gateways::Sandbox;
use reqwest::Method;
use serde::Deserialize;

/// One call, as the gateway has it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Seen {
    pub(super) operation: String,
    key: Option<String>,
    /// The places of its beginning and its end in the order of all of them.
    pub(super) began: u64,
    pub(super) ended: Option<u64>,
    pub(super) began_at_ms: i64,
    pub(super) ended_at_ms: Option<i64>,
    pub(super) status: Option<u16>,
}

impl Seen {
    /// Whose it is: a key begins with its saga.
    pub(super) fn saga(&self) -> &str {
        self.key.as_deref().and_then(|key| key.split(':').next()).unwrap_or_default()
    }
}

impl Sandbox {
    /// The calls that a breaker for charges lets through, as they came.
    pub(super) async fn charging_calls(&self) -> Vec<Seen> {
        let (_, mut listed) = self.control().ask(Method::GET, "/_sandbox/calls", None).await;
        let calls: Vec<Seen> = serde_json::from_value(listed["items"].take()).unwrap();
        calls.into_iter().filter(|call| ["create", "charge"].contains(&call.operation.as_str())).collect()
    }
}
