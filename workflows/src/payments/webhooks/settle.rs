//! Money that was taken when nobody waited for it any more: a saga gives it back.

use super::{News, NewsError, charges::Concerned};
use crate::gateways::{IdempotencyKey, Reference};
use orchestrator::{CHILD_OWNER, Engine, Prepared, SagaId, Start, StartError};
use serde_json::json;

/// The definition that looks after a charge that no order waits for.
const SETTLE_DOUBT: &str = "settle-doubt";

/// The key under which the saga is started that looks after a charge: whoever leaves it behind first starts it.
pub(super) fn settle_key(gateway: &str, key: &IdempotencyKey) -> String {
    format!("settle:{gateway}:{key}")
}

/// The saga that looks after the charge, ready to be started; nothing where this installation has no definition of it.
pub(super) async fn prepare(
    engine: &Engine,
    news: &News,
    found: &Concerned,
    reference: &Reference,
) -> Result<Option<Prepared>, NewsError> {
    let Concerned { charge, saga_id } = found;
    let first = settle_key(&news.gateway, &charge.key);
    // one that has looked after it is over as well, and its key is used up
    let key = if *saga_id == charge.saga_id { first } else { format!("{first}:{}", news.id) };
    let start = Start {
        definition: SETTLE_DOUBT.to_owned(),
        version: None,
        input: json!({
            "orderId": charge.order_id, "gateway": news.gateway, "key": charge.key, "amount": charge.amount,
            "reference": reference,
        }),
        owner: CHILD_OWNER.to_owned(),
        key,
        tags: [("order".to_owned(), charge.order_id.to_string())].into(),
        starts_at: None,
        priority: 0,
        parent: None,
        by: format!("gateway {}", news.gateway),
    };
    match engine.prepare(SagaId::fresh(), start).await {
        Ok(prepared) => Ok(Some(prepared)),
        Err(StartError::UnknownDefinition { .. }) => Ok(None),
        Err(error) => Err(NewsError::Start(error)),
    }
}
