//! Keeps charges in step with the journals, as the production projection does (`projection/money.rs`).

use super::{
    actions::{Store, Tx},
    business::{ChargeName, Payment, Standing},
};
use async_trait::async_trait;
use orchestrator::{
    Moved, Projection,
    action::Lane,
    journal::{Entry, Moment},
};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use workflows::payments::{ChargeOutput, PaymentNote};

/// See the module.
pub(super) struct Payments;

#[async_trait]
impl Projection<Store> for Payments {
    async fn apply(&self, tx: &mut Tx, moves: &[Moved]) -> Result<(), sqlx::Error> {
        let now = tx.time();
        let payments = &mut tx.business().payments;
        for moved in moves {
            for entry in moved.entries.iter() {
                hear(payments, moved, entry, now);
            }
        }
        Ok(())
    }
}

fn hear(payments: &mut BTreeMap<ChargeName, Payment>, moved: &Moved, entry: &Entry, now: Moment) {
    match entry {
        Entry::Intended { intent: note, .. } | Entry::Noted { note, .. } => {
            if let Ok(note) = PaymentNote::deserialize(note) {
                noted(payments, moved, note, now);
            }
        }
        Entry::Succeeded { step, lane: Lane::Forward, output, .. } if is_charge(moved, step) => {
            if let Ok(ChargeOutput { gateway, key, reference, amount }) = ChargeOutput::deserialize(output) {
                let note = PaymentNote::Captured { gateway, key, reference, amount };
                noted(payments, moved, note, now);
            }
        }
        Entry::InDoubt { step, lane: Lane::Forward, .. } if is_charge(moved, step) => {
            let of_it = payments.values_mut().filter(|payment| payment.saga == moved.saga_id);
            of_it.filter(|payment| payment.standing == Standing::Pending).for_each(|payment| {
                payment.standing = Standing::InDoubt;
            });
        }
        _ => {}
    }
}

fn is_charge(moved: &Moved, step: &str) -> bool {
    moved.action_of(step) == Some("payments.charge")
}

fn noted(payments: &mut BTreeMap<ChargeName, Payment>, moved: &Moved, note: PaymentNote, now: Moment) {
    let (gateway, key) = note.charge();
    let name = (gateway.to_owned(), key.to_string());
    if let PaymentNote::Intended { amount, .. } = &note
        && let Some(order) = moved.run.input.get("orderId").and_then(Value::as_str).and_then(|id| id.parse().ok())
    {
        let fresh = Payment {
            order,
            saga: moved.saga_id,
            amount: *amount,
            intended_at: now,
            reference: None,
            standing: Standing::Pending,
            left_behind: false,
            refund_asked: false,
        };
        payments.entry(name.clone()).or_insert(fresh);
    }
    let Some(payment) = payments.get_mut(&name) else { return };
    let is_taken = matches!(payment.standing, Standing::Captured(_) | Standing::Refunded);
    let is_open = matches!(payment.standing, Standing::Pending | Standing::InDoubt);
    match note {
        PaymentNote::Intended { .. } if matches!(payment.standing, Standing::InDoubt | Standing::Voided) => {
            payment.standing = Standing::Pending;
        }
        PaymentNote::Prepared { reference, .. } | PaymentNote::ActionRequired { reference, .. } => {
            payment.reference = Some(reference);
        }
        PaymentNote::Captured { reference, amount, .. } if !is_taken => {
            payment.standing = Standing::Captured(amount);
            payment.reference = Some(reference);
        }
        PaymentNote::Declined { .. } if is_open => payment.standing = Standing::Declined,
        PaymentNote::Voided { .. } | PaymentNote::NotExecuted { .. } if is_open => payment.standing = Standing::Voided,
        PaymentNote::LeftBehind { .. } if is_open => payment.standing = Standing::InDoubt,
        _ => {}
    }
}
