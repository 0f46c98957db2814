//! What gateways tell of their own accord, and whom it concerns: a small stand-in for `payments/webhooks.rs`, which
//! routes the same way on PostgreSQL. News come late, twice and out of order, and again until they are taken.

use super::{
    books::State as ChargeState,
    business::{Payment, Standing},
    protocol::own_reference,
    world::{LATE_WINDOW, World},
};
use chrono::TimeDelta;
use orchestrator::{
    CHILD_OWNER, SagaId, Start, Started, Store,
    acts::{ActError, Signalled},
    saga::State,
};
use serde_json::json;
use std::{
    sync::{Arc, Weak},
    time::Duration,
};
use tokio::{sync::mpsc, time::sleep};
use workflows::{
    gateways::{IdempotencyKey, Reference},
    money::Money,
    payments::{LeftBehind, PaymentNews, SETTLE_DOUBT, Told, payment_signal},
    refunds::{RefundNews, refund_signal},
};

/// How soon a capture that its charge does not show is taken again.
const AGAIN_AFTER: Duration = Duration::from_secs(5);

/// What is to happen at a gateway's own time, or to be told.
pub(super) enum Letter {
    /// A charge that was challenged or is worked on is taken.
    Settle { gateway: &'static str, key: IdempotencyKey, from: ChargeState, after: Duration },
    /// Something became of a charge.
    Charge(ChargeNews),
    /// Something became of a refund.
    Refund(RefundNews),
}

/// Something became of a charge, by the names that its gateway has for it.
#[derive(Debug, Clone)]
pub(super) struct ChargeNews {
    pub(super) id: String,
    pub(super) gateway: &'static str,
    /// The gateway's name for it.
    pub(super) theirs: Option<Reference>,
    /// Our own name for it, given back.
    pub(super) ours: Option<Reference>,
    pub(super) told: Told,
}

/// Where gateways leave letters.
#[derive(Clone)]
pub(super) struct Post {
    letters: mpsc::UnboundedSender<(Letter, Weak<()>)>,
    /// Each letter and each call has a weak one while it is under way.
    under_way: Arc<()>,
}

/// Where letters come out.
pub(super) type Letters = mpsc::UnboundedReceiver<(Letter, Weak<()>)>;

impl Post {
    pub(super) fn new() -> (Self, Letters) {
        let (letters, box_) = mpsc::unbounded_channel();
        (Self { letters, under_way: Arc::default() }, box_)
    }

    /// As long as this lives, something is under way.
    pub(super) fn under_way(&self) -> Weak<()> {
        Arc::downgrade(&self.under_way)
    }

    /// Nothing arrives any more, and nothing is told.
    pub(super) fn is_empty(&self) -> bool {
        Arc::weak_count(&self.under_way) == 0
    }

    fn leave(&self, letter: Letter) {
        drop(self.letters.send((letter, self.under_way())));
    }

    pub(super) fn settle(&self, gateway: &'static str, key: IdempotencyKey, from: ChargeState, after: Duration) {
        self.leave(Letter::Settle { gateway, key, from, after });
    }

    pub(super) fn tell(&self, news: ChargeNews) {
        self.leave(Letter::Charge(news));
    }

    pub(super) fn tell_refund(&self, news: RefundNews) {
        self.leave(Letter::Refund(news));
    }
}

/// A charge that news are about, with the saga that is to know.
#[derive(PartialEq, Eq)]
struct Concerned {
    key: IdempotencyKey,
    payment: Payment,
    saga: SagaId,
}

impl World {
    /// Carries letters out.
    pub(super) async fn deliver(self, mut letters: Letters) {
        while let Some((letter, under_way)) = letters.recv().await {
            let this = self.clone();
            tokio::spawn(async move {
                this.carry_out(letter).await;
                drop(under_way);
            });
        }
    }

    async fn carry_out(&self, letter: Letter) {
        if let Letter::Settle { gateway, key, from, after } = letter {
            sleep(after).await;
            return self.gateway(gateway).settle(&key, from);
        }
        let copies = 1 + u32::from(self.luck.strikes(200));
        let patience = if self.luck.strikes(100) { Duration::from_secs(60) } else { Duration::from_secs(10) };
        for _ in 0..copies {
            sleep(self.luck.time(patience)).await;
            match &letter {
                Letter::Charge(news) => self.tell_of_charge(news).await,
                Letter::Refund(news) => self.tell_of_refund(news).await,
                Letter::Settle { .. } => {}
            }
        }
    }

    /// Until it is taken; a copy of what was taken before says nothing. A capture that its charge does not show is taken
    /// again.
    async fn tell_of_charge(&self, news: &ChargeNews) {
        let inbox_key = (news.gateway.to_owned(), news.id.clone());
        if self.store.committed().business.inbox.contains(&inbox_key) {
            return;
        }
        loop {
            while !self.take_news_of_charge(news).await.unwrap_or(false) {
                sleep(self.luck.time(Duration::from_secs(1))).await;
            }
            sleep(AGAIN_AFTER).await;
            if !self.is_to_be_taken_again(news) {
                return;
            }
        }
    }

    fn is_to_be_taken_again(&self, news: &ChargeNews) -> bool {
        let Some(found) = self.concerned(news) else { return false };
        let is_killed = self.store.committed().sagas.get(&found.saga).is_some_and(|row| row.state == State::Killed);
        let is_shown = matches!(found.payment.standing, Standing::Captured(_) | Standing::Refunded);
        matches!(news.told, Told::Captured { .. }) && !is_shown && !is_killed
    }

    /// Its row in the inbox and what it does are one transaction. False when what it is about moves meanwhile.
    async fn take_news_of_charge(&self, news: &ChargeNews) -> Result<bool, ActError> {
        let Some(found) = self.concerned(news) else {
            self.is_wrong(format!("nobody knows what {} tells of: {news:?}", news.gateway));
            return Ok(true);
        };
        let told = PaymentNews {
            event_id: news.id.clone(),
            gateway: news.gateway.to_owned(),
            key: found.key.clone(),
            reference: news.theirs.clone(),
            told: news.told.clone(),
        };
        let signal = payment_signal(&found.key);
        let signal = self.api.prepare_signal(found.saga, signal, json!(told), "gateway".to_owned()).await?;
        let mut tx = self.store.begin().await?;
        if !matches!(found.payment.standing, Standing::Captured(_) | Standing::Refunded) {
            let heard = self.api.signal_in_tx(&mut *tx, &signal).await?;
            // from here on the saga does not move: was it the right one?
            if self.concerned(news).as_ref() != Some(&found) {
                return Ok(false);
            }
            // one that has ended may have heard it before
            let (Signalled::Kept { run, .. } | Signalled::Finished(run)) = heard;
            if run.state.is_finished()
                && let Some(start) = self.too_late(news, &found, run.state)
            {
                drop(tx);
                // by key: once, however often it is told
                if let Started::Conflict(other) = self.place(start).await {
                    self.is_wrong(format!("{other} is not about {}", found.key));
                }
                tx = self.store.begin().await?;
            }
        }
        tx.business().inbox.insert((news.gateway.to_owned(), news.id.clone()));
        self.store.commit(tx).await?;
        self.api.hint();
        Ok(true)
    }

    fn concerned(&self, news: &ChargeNews) -> Option<Concerned> {
        let data = self.store.committed();
        let at_gateway = data.business.payments.iter().filter(|((gateway, _), _)| gateway == news.gateway);
        let mut named = at_gateway.map(|((_, key), payment)| (IdempotencyKey::new(key.clone()).unwrap(), payment));
        let by_name = |(key, payment): &(IdempotencyKey, &Payment)| {
            let is_theirs = news.theirs.is_some() && payment.reference == news.theirs;
            is_theirs || news.ours.as_ref() == Some(&own_reference(key))
        };
        let (key, payment) = named.find(by_name)?;
        let settling = data.keys.get(&(CHILD_OWNER.to_owned(), settle_key(news.gateway, &key)));
        let saga = settling.map_or(payment.saga, |holder| holder.saga_id);
        Some(Concerned { payment: payment.clone(), saga, key })
    }

    /// The saga that it concerns is over: money that was taken all the same is given back by a saga of its own, but
    /// for one that a person has killed.
    fn too_late(&self, news: &ChargeNews, found: &Concerned, state: State) -> Option<Start> {
        let (Told::Captured { amount }, Some(reference)) = (&news.told, &news.theirs) else { return None };
        if state == State::Killed {
            return None;
        }
        let since = self.store.time() - found.payment.intended_at;
        if self.gateway(news.gateway).prepares || since < TimeDelta::from_std(LATE_WINDOW).unwrap() {
            self.is_wrong(format!("{} was given up {since} after its intent, and was taken", found.key));
        }
        Some(settle(news, found, reference, *amount))
    }

    async fn tell_of_refund(&self, news: &RefundNews) {
        let saga = self.store.committed().business.refunds.get(&news.refund_id).map(|refund| refund.saga);
        let Some(saga) = saga else { return self.is_wrong(format!("nobody knows the refund {}", news.refund_id)) };
        let (signal, payload) = (refund_signal(news.refund_id), json!(news));
        while let Err(ActError::Database(_)) = self.api.signal(saga, &signal, payload.clone(), "gateway").await {
            sleep(Duration::from_secs(1)).await;
        }
    }

    fn is_wrong(&self, what: String) {
        self.wrong.lock().unwrap().push(what);
    }
}

fn settle_key(gateway: &str, key: &IdempotencyKey) -> String {
    format!("settle:{gateway}:{key}")
}

/// The saga that looks after a charge that was taken when nobody waited for it any more.
fn settle(news: &ChargeNews, found: &Concerned, reference: &Reference, taken: Money) -> Start {
    let left_behind = LeftBehind {
        order_id: found.payment.order,
        gateway: news.gateway.to_owned(),
        key: found.key.clone(),
        amount: found.payment.amount,
        reference: Some(reference.clone()),
        taken: Some(taken),
    };
    let first = settle_key(news.gateway, &found.key);
    // one that has looked after it is over as well, and its key is used up
    let key = if found.saga == found.payment.saga { first } else { format!("{first}:{}", news.id) };
    super::people::start(SETTLE_DOUBT, CHILD_OWNER, key, json!(left_behind))
}
