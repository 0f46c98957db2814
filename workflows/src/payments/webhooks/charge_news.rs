//! What news does to a charge: it is told to the saga that looks after the charge, or does what is left to do when that
//! saga is over.

use super::{
    News, NewsError, Tx, Webhooks,
    charges::{self, ChargeNews, ChargeRow, Concerned},
    inbox::{CONTRADICTS_CAPTURE, LATE_CAPTURE, Outcome, UNKNOWN_CHARGE},
    settle,
    signals::{Heard, tell},
};
use crate::{
    gateways::CAPTURE_FAILED,
    payments::{AMOUNT_MISMATCH, PaymentNews, Told, payment_signal},
};
use orchestrator::{Prepared, Started, acts::PreparedSignal, saga::State, start_in_tx};

impl Webhooks {
    /// None: what it is about has moved meanwhile.
    pub(super) async fn take_charge(&self, news: &News, told: &ChargeNews) -> Result<Option<Outcome>, NewsError> {
        let Some(found) = self.concerned(&mut *self.engine.pool().acquire().await?, news, told).await? else {
            let tx = self.engine.pool().begin().await?;
            return self.keep(tx, news, Outcome::Unmatched(UNKNOWN_CHARGE)).await.map(Some);
        };
        if found.charge.is_captured() {
            return self.take_of_captured(news, told, &found).await;
        }
        let signal = self.prepare_payment(news, told, &found).await?;
        let is_over = signal.as_ref().is_none_or(PreparedSignal::is_for_a_finished_saga);
        let settling = match (&told.told, &told.names.theirs) {
            (Told::Captured { amount }, Some(reference)) if is_over => {
                settle::prepare(&self.engine, news, &found, (reference, *amount)).await?
            }
            _ => None,
        };

        let mut tx = self.engine.pool().begin().await?;
        let heard = tell(&self.engine, &mut tx, signal.as_ref()).await?;
        // from here on the saga does not move: was it the right one?
        if self.concerned(&mut tx, news, told).await?.as_ref() != Some(&found) {
            return Ok(None);
        }
        let outcome = match heard {
            Heard::Told => Outcome::Told,
            Heard::Over(_) if !is_over => return Ok(None),
            Heard::Over(state) => match too_late(&mut tx, &found, told, state, settling.as_ref()).await? {
                Some(outcome) => outcome,
                None => return Ok(None),
            },
        };
        self.keep(tx, news, outcome).await.map(Some)
    }

    /// None: what it is about has moved meanwhile.
    async fn take_of_captured(
        &self,
        news: &News,
        told: &ChargeNews,
        found: &Concerned,
    ) -> Result<Option<Outcome>, NewsError> {
        let outcome = match (&told.names.theirs, &told.told) {
            (Some(reference), Told::Captured { amount }) if found.has_other_name(reference) => {
                return self.take_second(news, found, (reference, *amount)).await;
            }
            (Some(reference), _) if found.has_other_name(reference) => Outcome::Known,
            _ => of_captured(&found.charge, &told.told),
        };
        let signal = match outcome {
            Outcome::Unmatched(CONTRADICTS_CAPTURE) => self.prepare_payment(news, told, found).await?,
            _ => None,
        };
        let mut tx = self.engine.pool().begin().await?;
        tell(&self.engine, &mut tx, signal.as_ref()).await?;
        self.keep(tx, news, outcome).await.map(Some)
    }

    async fn prepare_payment(
        &self,
        news: &News,
        told: &ChargeNews,
        found: &Concerned,
    ) -> Result<Option<PreparedSignal>, NewsError> {
        let payment = PaymentNews {
            event_id: news.id.clone(),
            gateway: news.gateway.clone(),
            key: found.charge.key.clone(),
            reference: told.names.theirs.clone(),
            told: told.told.clone(),
        };
        self.prepare(news, found.saga_id, payment_signal(&found.charge.key), &payment).await
    }

    async fn concerned(
        &self,
        connection: &mut sqlx::PgConnection,
        news: &News,
        told: &ChargeNews,
    ) -> Result<Option<Concerned>, NewsError> {
        charges::find(connection, &self.gateways, &news.gateway, told, news.order).await
    }
}

/// What news says of a charge that has taken money: that is stronger than whatever is told late. What does not fit is for
/// a person.
fn of_captured(charge: &ChargeRow, told: &Told) -> Outcome {
    match told {
        Told::Captured { amount } if *amount != charge.amount => Outcome::Unmatched(AMOUNT_MISMATCH),
        Told::Voided if !charge.is_refunded() => Outcome::Unmatched(CONTRADICTS_CAPTURE),
        Told::Declined { code, .. } if code == CAPTURE_FAILED => Outcome::Unmatched(CONTRADICTS_CAPTURE),
        _ => Outcome::Known,
    }
}

/// The saga that it concerns is over: money that was taken all the same is given back by a saga of its own, but for
/// one that a person has killed: there it is written down for a person. None: it has been started by somebody else.
async fn too_late(
    tx: &mut Tx,
    found: &Concerned,
    told: &ChargeNews,
    state: Option<State>,
    settling: Option<&Prepared>,
) -> Result<Option<Outcome>, NewsError> {
    let Told::Captured { amount } = told.told else { return Ok(Some(Outcome::Known)) };
    let Some(reference) = told.names.theirs.as_ref().filter(|_| amount.amount_minor > 0) else {
        return Ok(Some(Outcome::Unmatched(LATE_CAPTURE)));
    };
    if state == Some(State::Killed) {
        charges::record_capture(tx, &found.charge, reference, amount).await?;
        return Ok(Some(Outcome::Recorded));
    }
    let Some(settling) = settling else { return Ok(Some(Outcome::Unmatched(LATE_CAPTURE))) };
    let is_new = matches!(start_in_tx(tx, settling).await?, Started::New(_));
    Ok(is_new.then_some(Outcome::Settling))
}
