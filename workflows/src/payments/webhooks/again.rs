//! Captures that their charges do not show: taken again until they do, or until a saga of their own gives the money back.
//! They were told to a saga that listened no more, or came before their charge was written down.

use super::{News, Webhooks, inbox};
use crate::orders::impossible;

impl Webhooks {
    /// Takes captures again that are due, at most `limit`.
    ///
    /// # Errors
    /// The database's. What cannot be taken now is logged, and left for the next time.
    pub async fn take_again(&self, limit: i64) -> Result<(), sqlx::Error> {
        for kept in inbox::due_again(self.engine.pool(), limit).await? {
            let (gateway, webhook_id) = (kept.gateway.clone(), kept.webhook_id.clone());
            let taken = match News::again(kept) {
                Some(news) => self.take(news).await,
                None => Err(impossible("booking.webhook_inbox", "detail", &webhook_id, "not that of a capture").into()),
            };
            if let Err(error) = taken {
                tracing::warn!(
                    gateway.name = gateway, webhook.id = webhook_id, error = %error,
                    "Webhook {webhook_id} of {gateway} could not be taken again: {error}"
                );
            }
        }
        Ok(())
    }
}
