//! One refund in the hand of its step: the try that is under way, or the next one.

use super::{
    RefundEnd, RefundNews, RefundNote, SubmitInput, Submitted, refund_key, refund_signal,
    tries::{SERVER_ERROR, Tries},
};
use crate::{
    gateways::{
        DoubtReason, Gateway, IdempotencyKey, Reference, RefundFailure, RefundOutcome, RefundProbeOutcome,
        RefundRequest, Refunded,
    },
    payments::{AMOUNT_MISMATCH, Gateways, doubtful, not_executed, refused},
};
use chrono::TimeDelta;
use orchestrator::action::{Answer, Call, Failure, Halt, Notebook, Wait};
use serde::Deserialize;
use std::sync::Arc;

/// How long a gateway that works on a refund is left alone before it is asked again; its webhook comes sooner.
const PENDING_SECS: i64 = 30;
/// How long the webhook of a gateway that cannot be asked is waited for before the log says that it is missing.
const WEBHOOK_SECS: i64 = 24 * 60 * 60;

pub(super) struct Refunding<'a> {
    gateway: Arc<dyn Gateway>,
    call: &'a Call,
    notebook: &'a dyn Notebook,
    input: &'a SubmitInput,
    /// As the notes told before this attempt.
    tries: Tries,
    request: RefundRequest,
}

impl<'a> Refunding<'a> {
    pub(super) fn new(
        gateways: &Gateways,
        call: &'a Call,
        notebook: &'a dyn Notebook,
        input: &'a SubmitInput,
    ) -> Answer<Self> {
        let gateway = gateways.get(&input.gateway).ok_or_else(|| {
            Halt::transient("gateway-unknown", format!("the gateway {} is not configured here", input.gateway))
        })?;
        let tries = Tries::of(&call.notes, input.generation, input.amount);
        let request = RefundRequest {
            order_id: input.order_id,
            refund_id: input.refund_id,
            generation: u32::try_from(tries.generation).unwrap_or(1),
            payment: input.payment.clone(),
            amount: tries.outstanding,
        };
        Ok(Self { gateway: Arc::clone(&gateway.gateway), call, notebook, input, tries, request })
    }

    /// An earlier attempt was accepted, or the gateway has told of one, or another saga may have made one.
    pub(super) fn may_be_known(&self) -> bool {
        let asked_before = self.call.saga_input["asked"] == true && self.tries.calls + self.tries.ended == 0;
        asked_before
            || self.tries.reference.is_some()
            || self.call.told(&refund_signal(self.input.refund_id)).next().is_some()
    }

    pub(super) async fn submit(&self) -> Answer<Submitted> {
        let key = key_of(self.input, &self.tries)?;
        match self.gateway.refund(&key, &self.request).await {
            RefundOutcome::Succeeded(refunded) => self.returned(refunded).await,
            RefundOutcome::Pending(refunded) => Err(self.wait(refunded.reference).await?),
            RefundOutcome::Failed(failure) => Err(self.failed(failure).await?),
            RefundOutcome::NothingLeft => match self.ask().await? {
                Some(done) => Ok(done),
                None => {
                    let elsewhere = "the gateway has nothing left to refund, and does not know this refund";
                    Err(self.ended_without(None, Failure::new("refunded-elsewhere", elsewhere), true).await?)
                }
            },
            RefundOutcome::NotExecuted(reason) => Err(not_executed(reason)),
            // no call came before this one, so that nothing of this generation is on its way
            RefundOutcome::Refused(refusal) if !self.tries.is_open() => {
                Err(self.ended_without(None, refused(refusal), true).await?)
            }
            RefundOutcome::Refused(refusal) => Err(Halt::Permanent(refused(refusal))),
            RefundOutcome::Unknown(doubt)
                if doubt.reason == DoubtReason::KeptError && self.gateway.capabilities().probes_refunds =>
            {
                match self.ask().await? {
                    Some(done) => Ok(done),
                    None => {
                        let kept = Failure::new(SERVER_ERROR, "the gateway has failed, and refunded nothing");
                        Err(self.ended_without(None, kept, false).await?)
                    }
                }
            }
            RefundOutcome::Unknown(doubt) => Err(doubtful(doubt)),
        }
    }

    /// What became of the try that is under way, or how the last one has ended; nothing when the same call may be made.
    pub(super) async fn look(&self) -> Answer<Option<Submitted>> {
        if self.tries.is_open() {
            return self.learn().await;
        }
        after_end(&self.tries).map_or(Ok(None), Err)
    }

    /// What became of it, by asking, or where nobody can be asked by what was told; nothing when the same call may be
    /// made again.
    pub(super) async fn learn(&self) -> Answer<Option<Submitted>> {
        if self.gateway.capabilities().probes_refunds {
            return self.ask().await;
        }
        match (self.told(), &self.tries.reference) {
            (Some(news), _) if news.state == RefundEnd::Succeeded => {
                self.returned(Refunded { reference: news.reference, amount: news.amount }).await.map(Some)
            }
            (Some(news), _) if news.state == RefundEnd::Failed => {
                let message = news.reason.unwrap_or_else(|| "the gateway has not said why".to_owned());
                let (reference, code) = (Some(news.reference), "refused".to_owned());
                Err(self.failed(RefundFailure { reference, code, message, is_final: news.is_final }).await?)
            }
            (Some(RefundNews { reference, .. }), None) => Err(self.wait(reference).await?),
            (_, Some(reference)) => Err(self.wait(reference.clone()).await?),
            (None, None) => Ok(None),
        }
    }

    /// The strongest news of this try at the gateway, under the gateway's name for it where that is known.
    fn told(&self) -> Option<RefundNews> {
        let is_ours = |news: &RefundNews| {
            news.refund_id == self.input.refund_id
                && news.gateway == self.input.gateway
                && news.generation == self.tries.generation
                && self.tries.reference.as_ref().is_none_or(|known| *known == news.reference)
        };
        let name = refund_signal(self.input.refund_id);
        let told = self.call.told(&name).filter_map(|signal| RefundNews::deserialize(&signal.payload).ok());
        told.filter(is_ours).max_by_key(|news| news.state)
    }

    /// Asks what became of it; nothing when the same call may be made again.
    async fn ask(&self) -> Answer<Option<Submitted>> {
        match self.gateway.probe_refund(&self.request, self.tries.reference.as_ref()).await {
            RefundProbeOutcome::Succeeded(refunded) => self.returned(refunded).await.map(Some),
            RefundProbeOutcome::Pending(refunded) => Err(self.wait(refunded.reference).await?),
            RefundProbeOutcome::Failed(failure) => Err(self.failed(failure).await?),
            RefundProbeOutcome::NotFound | RefundProbeOutcome::CannotAsk => Ok(None),
            RefundProbeOutcome::Unknown(doubt) => Err(doubtful(doubt)),
        }
    }

    /// Money went back: all that is outstanding, or a part of it, after which the rest is asked for.
    async fn returned(&self, Refunded { reference, amount }: Refunded) -> Answer<Submitted> {
        let asked = self.tries.outstanding;
        if amount == asked {
            return Ok(Submitted { refund_id: self.input.refund_id, reference, amount });
        }
        if amount.currency == asked.currency && (1..asked.amount_minor).contains(&amount.amount_minor) {
            let (refund_id, generation) = (self.input.refund_id, self.tries.generation);
            return Err(self.ended(RefundNote::Part { refund_id, generation, reference, amount }).await?);
        }
        Err(Halt::permanent(AMOUNT_MISMATCH, format!("the gateway has refunded {amount} instead of {asked}")))
    }

    async fn wait(&self, reference: Reference) -> Answer<Halt> {
        // also where it is known: each attempt has said before that it was about to ask
        RefundNote::Pending { refund_id: self.input.refund_id, reference }.write(self.notebook).await?;
        let can_be_asked = self.gateway.capabilities().probes_refunds;
        if self.call.wait_elapsed && !can_be_asked {
            let (gateway, refund_id) = (self.gateway.name(), self.input.refund_id);
            tracing::warn!(
                gateway.name = gateway, refund.id = %refund_id,
                "{gateway} has not told the end of refund {refund_id} for {WEBHOOK_SECS} seconds"
            );
        }
        let patience_secs = if can_be_asked { PENDING_SECS } else { WEBHOOK_SECS };
        Ok(Halt::Wait(Wait {
            signal: Some(refund_signal(self.input.refund_id)),
            until: Some(self.call.now + TimeDelta::seconds(patience_secs)),
            reason: format!("{} to finish the refund", self.gateway.name()),
            ..Wait::default()
        }))
    }

    async fn failed(&self, failure: RefundFailure) -> Answer<Halt> {
        let RefundFailure { reference, code, message, is_final } = failure;
        self.ended_without(reference, Failure::new(format!("refund-failed:{code}"), message), is_final).await
    }

    async fn ended_without(&self, reference: Option<Reference>, failure: Failure, is_final: bool) -> Answer<Halt> {
        let refund_id = self.input.refund_id;
        self.ended(RefundNote::Failed { refund_id, reference, failure: Some(failure), is_final }).await
    }

    /// The try is over, which is written down before anything else: the next generation of the key may come.
    async fn ended(&self, note: RefundNote) -> Answer<Halt> {
        note.write(self.notebook).await?;
        let mut tries = self.tries.clone();
        // this attempt's own intent is not among the notes that it was given
        tries.calls = tries.calls.max(1);
        tries.hear(note);
        after_end(&tries).ok_or_else(|| Halt::permanent("refund-note", "an end that ends nothing"))
    }
}

/// What follows when a try has ended without all of the money, if one has.
fn after_end(tries: &Tries) -> Option<Halt> {
    let (failure, _) = tries.last_end.clone()?;
    let outstanding = format!("{} is outstanding", tries.outstanding);
    let message = if failure.message.is_empty() { outstanding } else { format!("{}; {outstanding}", failure.message) };
    let failure = Failure::new(failure.code, message);
    Some(if tries.is_given_up() { Halt::Permanent(failure) } else { Halt::Transient { failure, after: None } })
}

/// By which the gateway knows the try that is under way, or the next one.
pub(super) fn key_of(input: &SubmitInput, tries: &Tries) -> Answer<IdempotencyKey> {
    refund_key(input.refund_id, tries.generation).map_err(|error| Halt::permanent("idempotency-key", error.to_string()))
}
