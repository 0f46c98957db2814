//! What the measured sagas do: four steps whose actions answer at once with a few hundred bytes.

use async_trait::async_trait;
use orchestrator::{
    Start,
    action::{Answer, Call, ExternalAction, LocalAction, Notebook, Probe, Probed, Registry, RegistryError},
    ids::fresh_uuid,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::PgConnection;
use std::{collections::BTreeMap, time::Duration};

/// Four local actions.
pub(crate) const LOCAL: &str = "four-local";
/// Four external actions: each commits an intent first.
pub(crate) const EXTERNAL: &str = "four-external";
/// Four external actions that take their time.
pub(crate) const SLOW: &str = "four-slow";

/// How many bytes an action's answer has beside its reference.
const DETAIL_BYTES: usize = 256;

/// The definitions, as a binary brings them along.
pub(crate) const DOCUMENTS: [(&str, &str); 3] = [
    (
        "four-local.yaml",
        r"saga: four-local
input: { type: object, required: [orderId], properties: { orderId: { type: string } } }
steps:
  - { step: hold, action: bench.local, input: { orderId: $.input.orderId }, compensation: bench.undo }
  - { step: pay, action: bench.local, input: { orderId: $.input.orderId }, compensation: bench.undo }
  - { step: commit, action: bench.local, input: { orderId: $.input.orderId }, pivot: true }
  - { step: issue, action: bench.local, input: { orderId: $.input.orderId } }
",
    ),
    (
        "four-external.yaml",
        r"saga: four-external
input: { type: object, required: [orderId], properties: { orderId: { type: string } } }
steps:
  - { step: hold, action: bench.external, input: { orderId: $.input.orderId }, compensation: bench.undo }
  - { step: pay, action: bench.external, input: { orderId: $.input.orderId }, compensation: bench.undo }
  - { step: commit, action: bench.external, input: { orderId: $.input.orderId }, pivot: true }
  - { step: issue, action: bench.external, input: { orderId: $.input.orderId } }
",
    ),
    (
        "four-slow.yaml",
        r"saga: four-slow
input: { type: object, required: [ms] }
steps:
  - { step: hold, action: bench.slow, probe: bench.ask, timeout: 1m, compensation: bench.undo }
  - { step: pay, action: bench.slow, probe: bench.ask, timeout: 1m, compensation: bench.undo }
  - { step: commit, action: bench.slow, probe: bench.ask, timeout: 1m, pivot: true }
  - { step: issue, action: bench.slow, probe: bench.ask, timeout: 1m }
",
    ),
];

/// Everything that these definitions name.
pub(crate) fn registry() -> Result<Registry, RegistryError> {
    let mut registry = Registry::new();
    registry.local(Local)?.local(Undo)?.external(External)?.external(Slow)?.probe(Ask)?;
    Ok(registry)
}

/// A saga to be started, as an order would start it.
pub(crate) fn start(definition: &str) -> Start {
    start_with(definition, json!({ "orderId": fresh_uuid(), "note": "a buyer wrote this beside the order" }))
}

/// The same with an input of its own.
pub(crate) fn start_with(definition: &str, input: Value) -> Start {
    Start {
        definition: definition.to_owned(),
        version: None,
        input,
        owner: "bench".to_owned(),
        key: fresh_uuid().to_string(),
        tags: BTreeMap::new(),
        starts_at: None,
        priority: 0,
        parent: None,
        by: "bench".to_owned(),
    }
}

/// What a step's action gets.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Order {
    #[expect(dead_code, reason = "read from the saga's input, as a real action would")]
    order_id: String,
}

/// What it answers.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Receipt {
    reference: String,
    detail: String,
}

impl Receipt {
    /// What a call is answered with.
    pub(crate) fn of(reference: String) -> Self {
        Self { reference, detail: "0123456789abcdef".repeat(DETAIL_BYTES / 16) }
    }
}

struct Local;

#[async_trait]
impl LocalAction for Local {
    const NAME: &'static str = "bench.local";
    const SET_BASED: bool = true;
    type Input = Order;
    type Output = Receipt;

    async fn run(&self, _tx: &mut PgConnection, call: &Call, _input: Order) -> Answer<Receipt> {
        Ok(Receipt::of(call.idempotency_key()))
    }
}

struct External;

#[async_trait]
impl ExternalAction for External {
    const NAME: &'static str = "bench.external";
    type Input = Order;
    type Output = Receipt;

    async fn run(&self, call: &Call, _: &dyn Notebook, _: &Value, _: Order) -> Answer<Receipt> {
        Ok(Receipt::of(call.idempotency_key()))
    }
}

struct Undo;

#[async_trait]
impl LocalAction for Undo {
    const NAME: &'static str = "bench.undo";
    const SET_BASED: bool = true;
    type Input = Value;
    type Output = Value;

    async fn run(&self, _tx: &mut PgConnection, _call: &Call, _input: Value) -> Answer<Value> {
        Ok(Value::Null)
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
struct Patience {
    ms: u64,
}

struct Slow;

#[async_trait]
impl ExternalAction for Slow {
    const NAME: &'static str = "bench.slow";
    type Input = Patience;
    type Output = Receipt;

    async fn run(&self, call: &Call, _: &dyn Notebook, _: &Value, input: Patience) -> Answer<Receipt> {
        tokio::time::sleep(Duration::from_millis(input.ms)).await;
        Ok(Receipt::of(call.idempotency_key()))
    }
}

/// Finds every call that was broken off done.
struct Ask;

#[async_trait]
impl Probe for Ask {
    const NAME: &'static str = "bench.ask";
    type Input = Patience;
    type Output = Receipt;

    async fn probe(&self, call: &Call, _: &dyn Notebook, _: Patience) -> Answer<Probed<Receipt>> {
        Ok(Probed::Executed(Receipt::of(call.idempotency_key())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use orchestrator::definition::Definition;

    #[test]
    fn the_definitions_are_valid() {
        let registry = registry().unwrap();
        for (file, document) in DOCUMENTS {
            assert!(Definition::read(document, &registry).is_ok(), "{file}");
        }
    }
}
