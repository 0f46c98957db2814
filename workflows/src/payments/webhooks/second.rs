//! Money that was taken a second time under one name of ours. It gets a charge of its own, which is nobody's, and a saga
//! that gives it back.

use super::{
    News, NewsError, Webhooks,
    charges::{self, ChargeRow, Concerned},
    inbox::{self, Outcome, SECOND_CAPTURE},
    settle,
};
use crate::{
    gateways::{IdempotencyKey, Reference},
    ids::PaymentId,
    money::Money,
};
use orchestrator::{Started, ids::Uuid, start_in_tx};

impl Webhooks {
    /// Gives it back, once the gateway itself has told of both: what somebody who vouches for the order calls a charge
    /// need not be the gateway's name for it. None: somebody else has begun meanwhile.
    pub(super) async fn take_second(
        &self,
        news: &News,
        found: &Concerned,
        (reference, amount): (&Reference, Money),
    ) -> Result<Option<Outcome>, NewsError> {
        let unmatched = Outcome::Unmatched(SECOND_CAPTURE);
        let is_sure = inbox::has_told(self.engine.pool(), &news.gateway, found).await?;
        let Some(second) = second_of(news, &found.charge, reference, amount).filter(|_| is_sure) else {
            return self.keep(self.engine.pool().begin().await?, news, unmatched).await.map(Some);
        };
        let saga_id = second.saga_id;
        let concerned = Concerned { charge: second, saga_id, own_name: found.own_name.clone() };
        let settling = settle::prepare(&self.engine, news, &concerned, (reference, amount)).await?;
        let mut tx = self.engine.pool().begin().await?;
        let Some(settling) = settling else { return self.keep(tx, news, unmatched).await.map(Some) };
        let is_first = charges::insert_left_behind(&mut tx, &news.gateway, &concerned.charge).await?;
        if !is_first || !matches!(start_in_tx(&mut tx, &settling).await?, Started::New(_)) {
            return Ok(None);
        }
        self.keep(tx, news, Outcome::Settling).await.map(Some)
    }
}

/// A charge of its own, in the words of the first; nothing where there cannot be one.
fn second_of(news: &News, first: &ChargeRow, reference: &Reference, amount: Money) -> Option<ChargeRow> {
    let key = IdempotencyKey::new(format!("{}:{reference}", first.key)).ok()?;
    let id = Uuid::new_v5(&first.saga_id.0, format!("{}:{key}", news.gateway).as_bytes());
    let second = ChargeRow {
        payment_id: PaymentId(id),
        key,
        reference: Some(reference.clone()),
        status: "inDoubt".to_owned(),
        amount,
        ..first.clone()
    };
    (amount.amount_minor > 0).then_some(second)
}
