//! A simulated gateway's own truth: what it has taken, ended and paid back, whatever anybody else believes.

use super::protocol::SHORT;
use orchestrator::store::simulated::Luck;
use std::collections::BTreeMap;
use workflows::{
    gateways::{ChargeOutcome, ChargeRequest, IdempotencyKey, Reference, RefundRequest},
    ids::OrderId,
    money::Money,
};

/// What became of a charge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Made,
    Challenged,
    Processing,
    Captured,
    Declined,
    Voided,
}

#[derive(Debug, Clone)]
pub(super) struct ChargeRow {
    pub(super) order: OrderId,
    pub(super) amount: Money,
    pub(super) state: State,
    pub(super) key: IdempotencyKey,
    pub(super) reference: Reference,
    pub(super) method: String,
    /// How often it has taken money: the same key again is the same charge.
    pub(super) captures: u32,
    /// Somebody wanted it ended when it had taken money.
    pub(super) void_came_too_late: bool,
    /// What the first call with its key was answered.
    pub(super) first_answer: Option<ChargeOutcome>,
}

impl ChargeRow {
    /// What it takes when it takes money.
    pub(super) fn taken(&self) -> Money {
        let short_by = i64::from(self.method == SHORT);
        Money::new(self.amount.amount_minor - short_by, self.amount.currency)
    }
}

#[derive(Debug, Clone)]
pub(super) struct RefundRow {
    pub(super) payment: Reference,
    pub(super) amount: Money,
    pub(super) refund: RefundRequest,
    pub(super) reference: Reference,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Books {
    /// By key.
    pub(super) charges: BTreeMap<String, ChargeRow>,
    /// By key.
    pub(super) refunds: BTreeMap<String, RefundRow>,
    pub(super) late: u64,
    pub(super) late_refused: u64,
    /// Calls that a half-open breaker let through, and that were answered.
    pub(super) came_back: u64,
    /// What must never be asked.
    pub(super) broken: Vec<String>,
    names: u64,
}

impl Books {
    pub(super) fn name(&mut self, prefix: &str) -> Reference {
        self.names += 1;
        Reference::new(format!("{prefix}_{}", self.names)).unwrap()
    }

    pub(super) fn named(&mut self, reference: &Reference) -> Option<&mut ChargeRow> {
        self.charges.values_mut().find(|charge| charge.reference == *reference)
    }

    /// The charge with this key, made if there is none.
    pub(super) fn charge(&mut self, key: &IdempotencyKey, request: &ChargeRequest) -> &mut ChargeRow {
        let reference = self.name("pi");
        let row = self.charges.entry(key.as_str().to_owned()).or_insert_with(|| ChargeRow {
            order: request.order_id,
            amount: request.amount,
            state: State::Made,
            key: key.clone(),
            reference,
            method: request.payment_method.clone(),
            captures: 0,
            void_came_too_late: false,
            first_answer: None,
        });
        if (row.order, row.amount) != (request.order_id, request.amount) {
            self.broken.push(format!("{key} was used for another charge as well"));
        }
        row
    }

    pub(super) fn refunded(&self, payment: &Reference) -> i64 {
        let of_it = self.refunds.values().filter(|refund| refund.payment == *payment);
        of_it.map(|refund| refund.amount.amount_minor).sum()
    }

    /// The charges of an order.
    pub(super) fn charges_of(&self, order: OrderId) -> impl Iterator<Item = &ChargeRow> {
        self.charges.values().filter(move |charge| charge.order == order)
    }

    /// What the gateway has of an order's money.
    pub(super) fn net(&self, order: OrderId) -> i64 {
        let captured = self.charges_of(order).filter(|charge| charge.state == State::Captured);
        captured.map(|charge| charge.taken().amount_minor - self.refunded(&charge.reference)).sum()
    }
}

/// How often what goes wrong, in a thousand calls.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Faults {
    pub(super) refused: u32,
    pub(super) lost_before: u32,
    pub(super) lost_after: u32,
    pub(super) late: u32,
    pub(super) slow: u32,
    pub(super) processing: u32,
    /// Nothing but the making of a charge is answered, whether or not it is done.
    pub(super) dark: bool,
    /// Charges with the payment method `pm_deadly` are.
    pub(super) deadly: bool,
}

impl Faults {
    /// What is usual for a while: sometimes little, sometimes much, sometimes no answers.
    pub(super) fn drawn(luck: &Luck) -> Self {
        let (bad, dark) = (luck.strikes(600), luck.strikes(150));
        let often = |per_mille: u32| if bad { per_mille } else { per_mille / 8 };
        Self {
            refused: often(100),
            lost_before: often(150),
            lost_after: often(150),
            late: if dark { 400 } else { often(120) },
            slow: often(150),
            processing: often(150),
            dark,
            deadly: true,
        }
    }
}
