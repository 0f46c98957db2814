//! Money that was taken when nobody waited for it any more: a saga gives it back.

use super::{News, NewsError, charges::Concerned};
use crate::{
    gateways::{Reference, WebhookError},
    money::Money,
    payments::{LeftBehind, SETTLE_DOUBT},
};
use orchestrator::{CHILD_OWNER, Engine, Prepared, SagaId, Start, StartError};

/// The key of the one saga that may look after a charge once this one is over, which was started under `first` or later.
pub(super) fn key_after(first: &str, ended: SagaId) -> String {
    format!("{first}:{ended}")
}

/// The saga that looks after the charge, ready to be started; nothing where it cannot be started here.
pub(super) async fn prepare(
    engine: &Engine,
    news: &News,
    found: &Concerned,
    (reference, taken): (&Reference, Money),
) -> Result<Option<Prepared>, NewsError> {
    let Concerned { charge, saga_id, .. } = found;
    let left_behind = LeftBehind {
        order_id: charge.order_id,
        gateway: news.gateway.clone(),
        key: charge.key.clone(),
        amount: charge.amount,
        reference: Some(reference.clone()),
        taken: Some(taken),
    };
    let first = left_behind.saga_key();
    // one that has looked after it is over as well, and its key is used up
    let key = if *saga_id == charge.saga_id { first } else { key_after(&first, *saga_id) };
    let start = Start {
        definition: SETTLE_DOUBT.to_owned(),
        version: None,
        input: serde_json::to_value(&left_behind).map_err(|error| WebhookError::Unreadable(error.to_string()))?,
        owner: CHILD_OWNER.to_owned(),
        key,
        tags: left_behind.tags(),
        starts_at: None,
        priority: 0,
        parent: Some(charge.saga_id),
        by: format!("gateway {}", news.gateway),
    };
    match engine.prepare(SagaId::fresh(), start).await {
        Ok(prepared) => Ok(Some(prepared)),
        Err(error @ StartError::Database(_)) => Err(NewsError::Start(error)),
        // kept for a person: the gateway telling it again would change nothing
        Err(error) => {
            tracing::warn!(
                gateway.name = news.gateway, webhook.id = news.id, error = %error,
                "What {} has taken late cannot be given back by {SETTLE_DOUBT}: {error}", news.gateway
            );
            Ok(None)
        }
    }
}
