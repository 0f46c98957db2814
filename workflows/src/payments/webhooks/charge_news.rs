//! What news does to a charge: it is told to the saga that looks after the charge, or does what is left to do when that
//! saga is over.

use super::{
    News, NewsError, Tx, Webhooks,
    charges::{self, ChargeNews, Concerned},
    inbox::{LATE_CAPTURE, Outcome, UNKNOWN_CHARGE},
    settle,
    signals::{Heard, tell},
};
use crate::{
    gateways::Reference,
    money::Money,
    payments::{AMOUNT_MISMATCH, PaymentNews, Told, payment_signal},
};
use orchestrator::{Prepared, acts::PreparedSignal, saga::State, start_in_tx};

impl Webhooks {
    /// None: what it is about has moved meanwhile.
    pub(super) async fn take_charge(&self, news: &News, told: &ChargeNews) -> Result<Option<Outcome>, NewsError> {
        let Some(found) = self.concerned(&mut *self.engine.pool().acquire().await?, news, told).await? else {
            let tx = self.engine.pool().begin().await?;
            return self.keep(tx, news, Outcome::Unmatched(UNKNOWN_CHARGE)).await.map(Some);
        };
        let payment = PaymentNews {
            event_id: news.id.clone(),
            gateway: news.gateway.clone(),
            key: found.charge.key.clone(),
            reference: told.names.theirs.clone(),
            told: told.told.clone(),
        };
        let signal = self.prepare(news, found.saga_id, payment_signal(&found.charge.key), &payment).await?;
        let is_over = signal.as_ref().is_none_or(PreparedSignal::is_for_a_finished_saga);
        let settling = if is_over && let Some(capture) = late_capture(&found, told) {
            settle::prepare(&self.engine, news, &found, capture).await?
        } else {
            None
        };

        let mut tx = self.engine.pool().begin().await?;
        if says_nothing_new(&found, told) {
            return self.keep(tx, news, Outcome::Known).await.map(Some);
        }
        let heard = tell(&self.engine, &mut tx, signal.as_ref()).await?;
        // from here on the saga does not move: was it the right one?
        if self.concerned(&mut tx, news, told).await?.as_ref() != Some(&found) {
            return Ok(None);
        }
        let outcome = match heard {
            Heard::Told(_) => Outcome::Told,
            Heard::Over(_) if !is_over => return Ok(None),
            Heard::Over(state) => too_late(&mut tx, &found, told, state, settling.as_ref()).await?,
        };
        self.keep(tx, news, outcome).await.map(Some)
    }

    async fn concerned(
        &self,
        connection: &mut sqlx::PgConnection,
        news: &News,
        told: &ChargeNews,
    ) -> Result<Option<Concerned>, NewsError> {
        charges::find(connection, &self.gateways, &news.gateway, &told.names, news.order).await
    }
}

/// What was captured is stronger than whatever else is told late; another amount is news all the same.
fn says_nothing_new(found: &Concerned, told: &ChargeNews) -> bool {
    let same = match told.told {
        Told::Captured { amount } => amount == found.charge.amount,
        _ => true,
    };
    found.charge.is_captured() && same
}

/// The capture that nobody has reckoned with: by which name, and of how much.
fn late_capture<'a>(found: &Concerned, told: &'a ChargeNews) -> Option<(&'a Reference, Money)> {
    match (&told.told, &told.names.theirs) {
        (Told::Captured { amount }, Some(reference)) if !found.charge.is_captured() => Some((reference, *amount)),
        _ => None,
    }
}

/// The saga that it concerns is over: money that was taken all the same is given back by a saga of its own, but for
/// one that a person has killed: there it is written down for a person.
async fn too_late(
    tx: &mut Tx,
    found: &Concerned,
    told: &ChargeNews,
    state: Option<State>,
    settling: Option<&Prepared>,
) -> Result<Outcome, NewsError> {
    let mismatch = matches!(told.told, Told::Captured { amount } if amount != found.charge.amount);
    let Some((reference, amount)) = late_capture(found, told) else {
        return Ok(if mismatch { Outcome::Unmatched(AMOUNT_MISMATCH) } else { Outcome::Known });
    };
    if state == Some(State::Killed) {
        charges::record_capture(tx, &found.charge, reference, amount).await?;
        return Ok(Outcome::Recorded);
    }
    let Some(settling) = settling else { return Ok(Outcome::Unmatched(LATE_CAPTURE)) };
    start_in_tx(tx, settling).await?;
    Ok(Outcome::Settling)
}
