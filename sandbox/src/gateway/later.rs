//! What comes after an answer: what happens at a time of its own, and what is told.
//!
//! Both are in the books before anybody hears of them, so a gateway that was killed goes on with
//! them. Nothing here keeps the gateway alive: its books are free as soon as it stops.

use std::sync::{Arc, Weak};
use std::time::Duration;

use super::{Context, Gateway, Protocol, Told};
use crate::edge;
use crate::faults::{Fault, Stage};
use crate::store::{Message, Store};

/// How many copies of a webhook come when they come several times.
const COPIES: usize = 5;

impl<P: Protocol> Gateway<P> {
    /// Goes on with what its predecessor owed, and with what comes.
    pub(super) fn go_on(self: &Arc<Self>) {
        let (messages, position) = {
            let store = self.lock();
            (store.messages(), store.position())
        };
        for message in messages {
            self.send(message, position);
        }
        tokio::spawn(keep_time(Arc::downgrade(self)));
    }

    /// Commits what `context` leaves: what is told, and what happens later.
    pub(super) fn finish(
        self: &Arc<Self>,
        store: &mut Store<P::Objects>,
        context: Context<'_, P>,
        request_id: &str,
    ) -> u64 {
        let is_late_added = !context.late.is_empty();
        for (at_ms, kind, effect) in context.late {
            store.put_late(at_ms, kind, effect);
        }
        let mut messages = Vec::new();
        if self.courier.is_some() {
            let (at_ms, key) = (context.now_ms, context.key);
            let told = Told { at_ms, request_id, key, secret: &self.webhook_secret };
            for event in context.events {
                let mut message = Message {
                    id: 0,
                    body: P::body(event, &told),
                    not_before_ms: context.now_ms,
                    copies: 1,
                    overtaken_within_ms: None,
                };
                if let Some(hit) = self.faults.pick(Stage::Webhook, context.kind, |_| true) {
                    match hit.fault {
                        Fault::WebhookDuplicate => message.copies = COPIES,
                        Fault::WebhookLate => message.not_before_ms += hit.delay_ms(),
                        _ => message.overtaken_within_ms = u64::try_from(hit.delay_ms()).ok(),
                    }
                }
                messages.push(store.put_message(message));
            }
        }
        let position = store.commit();
        for message in messages {
            self.send(message, position);
        }
        if is_late_added {
            self.late_added.notify_one();
        }
        position
    }

    /// Sends a message in the background, once what it tells of is on disk, until it is taken.
    fn send(self: &Arc<Self>, message: Message, position: u64) {
        let Some(courier) = self.courier.clone() else { return };
        let (gateway, durable) = (Arc::downgrade(self), self.durable.clone());
        let mut stopping = self.stopping.clone();
        tokio::spawn(async move {
            let id = message.id;
            let delivered = async { durable.until(position).await && courier.deliver(message).await };
            let is_taken = tokio::select! {
                is_taken = delivered => is_taken,
                _ = stopping.wait_for(|is_stopping| *is_stopping) => false,
            };
            if let Some(gateway) = gateway.upgrade().filter(|_| is_taken) {
                let mut store = gateway.lock();
                store.message_taken(id);
                store.commit();
            }
        });
    }

    /// Lets happen what is due, each in a commit of its own.
    fn let_happen(self: &Arc<Self>) {
        loop {
            let mut store = self.lock();
            let now_ms = edge::now_ms();
            let Some(late) = store.take_late(now_ms) else { return };
            let mut context = Context::new(now_ms, late.kind);
            P::happen(&mut store.objects, late.effect, &mut context);
            self.finish(&mut store, context, &P::new_request_id());
        }
    }
}

/// Waits for the next thing that is to happen, for as long as the gateway lives.
async fn keep_time<P: Protocol>(gateway: Weak<Gateway<P>>) {
    loop {
        let Some(alive) = gateway.upgrade() else { return };
        alive.let_happen();
        let next_ms = alive.lock().next_late_ms();
        let (late_added, mut stopping) = (Arc::clone(&alive.late_added), alive.stopping.clone());
        drop(alive);
        let next = async {
            match next_ms {
                Some(at_ms) => {
                    let wait_ms = u64::try_from(at_ms - edge::now_ms()).unwrap_or(0);
                    tokio::time::sleep(Duration::from_millis(wait_ms)).await;
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = next => {}
            () = late_added.notified() => {}
            _ = stopping.wait_for(|is_stopping| *is_stopping) => return,
        }
    }
}
