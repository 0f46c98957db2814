//! Telling a saga, in the transaction that keeps the news.

use super::{News, NewsError, Tx, Webhooks};
use crate::gateways::WebhookError;
use orchestrator::{
    Engine,
    acts::{ActError, PreparedSignal, Signalled},
    ids::SagaId,
    saga::State,
};
use serde::Serialize;

impl Webhooks {
    /// The signal to a saga; none when its history is gone.
    pub(super) async fn prepare(
        &self,
        news: &News,
        saga: SagaId,
        name: String,
        payload: &impl Serialize,
    ) -> Result<Option<PreparedSignal>, NewsError> {
        let payload = serde_json::to_value(payload).map_err(|error| WebhookError::Unreadable(error.to_string()))?;
        match self.engine.prepare_signal(saga, name, payload, format!("gateway {}", news.gateway)).await {
            Ok(signal) => Ok(Some(signal)),
            Err(ActError::NotFound) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// Whether a saga could be told.
pub(super) enum Heard {
    /// It has it.
    Told,
    /// It is over, with this end, where that is still known.
    Over(Option<State>),
}

pub(super) async fn tell(engine: &Engine, tx: &mut Tx, signal: Option<&PreparedSignal>) -> Result<Heard, NewsError> {
    let Some(signal) = signal else { return Ok(Heard::Over(None)) };
    Ok(match engine.signal_in_tx(tx, signal).await? {
        // one that has ended has heard it before
        Signalled::Kept { run, .. } if !run.state.is_finished() => Heard::Told,
        Signalled::Kept { run, .. } | Signalled::Finished(run) => Heard::Over(Some(run.state)),
    })
}
