//! What a gateway does with what reaches it, Stripe's way or Adyen's: `docs/gateways.md` has them side by side.

use super::{
    books::{Books, ChargeRow, Faults, RefundRow, State},
    news::{ChargeNews, Post},
};
use orchestrator::store::simulated::Luck;
use serde_json::json;
use std::{sync::Mutex, time::Duration};
use workflows::{
    gateways::{
        Captured, ChargeOutcome, Decline, DeclineCategory, Doubt, DoubtReason, IdempotencyKey, Reference,
        RefundOutcome, RefundRequest, Refunded, VoidOutcome,
    },
    payments::Told,
    refunds::{RefundEnd, RefundNews},
};

/// The payment method of a buyer whose bank says no.
pub(super) const DECLINED: &str = "pm_declined";
/// That of a buyer whose bank says no to what comes from [`PRIMARY`].
pub(super) const DECLINED_HERE: &str = "pm_declined_here";
/// That of a buyer whose bank wants to hear from them first.
pub(super) const CHALLENGED: &str = "pm_challenged";
/// The same, and then another amount is taken than the order costs.
pub(super) const SHORT: &str = "pm_short";
/// That of a buyer whose charge kills every process that makes it, until that is mended.
pub(super) const DEADLY: &str = "pm_deadly";

/// The gateway that is asked first.
pub(super) const PRIMARY: &str = "primary";
/// The other one.
pub(super) const BACKUP: &str = "backup";

/// What all processes share of one gateway.
pub(super) struct Shared {
    pub(super) name: &'static str,
    /// Stripe's way: it makes charges before it moves money, can be asked, and ends them for good. Or else Adyen's:
    /// none of that, and the end of a void or a refund is told, never answered.
    pub(super) prepares: bool,
    pub(super) books: Mutex<Books>,
    pub(super) faults: Mutex<Faults>,
    pub(super) luck: Luck,
    pub(super) post: Post,
}

/// Our own name for a charge, where the gateway gives it back.
pub(super) fn own_reference(key: &IdempotencyKey) -> Reference {
    Reference::new(format!("own-{}", key.as_str().replace(':', "-"))).unwrap()
}

pub(super) fn doubt(detail: &str) -> Doubt {
    Doubt { reason: DoubtReason::Timeout, detail: detail.to_owned(), retry_after: None }
}

impl Shared {
    /// Moves the money, unless something speaks against it.
    pub(super) fn confirm(&self, books: &mut Books, key: &IdempotencyKey, late: bool) -> ChargeOutcome {
        let Some(row) = books.charges.get_mut(key.as_str()) else { return ChargeOutcome::Unknown(doubt("no charge")) };
        // the same key again is answered as the first time, whatever has become of it since
        if let Some(first) = &row.first_answer {
            return first.clone();
        }
        let arrives = (row.state == State::Made, row.state == State::Voided);
        if row.state == State::Made {
            let next = match row.method.as_str() {
                DECLINED => State::Declined,
                DECLINED_HERE if self.name == PRIMARY => State::Declined,
                CHALLENGED | SHORT => State::Challenged,
                _ if self.luck.strikes(self.faults.lock().unwrap().processing) => State::Processing,
                _ => State::Captured,
            };
            self.change(row, next);
        }
        let answer = self.answer(row);
        row.first_answer.get_or_insert_with(|| answer.clone());
        books.late += u64::from(late && arrives.0);
        books.late_refused += u64::from(late && arrives.1);
        answer
    }

    fn answer(&self, row: &ChargeRow) -> ChargeOutcome {
        let reference = row.reference.clone();
        match row.state {
            State::Captured => ChargeOutcome::Captured(Captured { reference, amount: row.taken() }),
            State::Declined => ChargeOutcome::Declined(declined(row)),
            State::Challenged => {
                // who waits for the buyer has no name of theirs yet in Adyen's way
                let reference = if self.prepares { reference } else { own_reference(&row.key) };
                ChargeOutcome::ActionRequired { reference, next_action: json!({ "go": "there" }) }
            }
            State::Made | State::Processing => ChargeOutcome::Processing { reference },
            State::Voided => ChargeOutcome::Voided { reference },
        }
    }

    /// A charge comes to another state, which is told.
    fn change(&self, row: &mut ChargeRow, state: State) {
        row.state = state;
        let told = match state {
            State::Made => return,
            State::Captured => {
                row.captures += 1;
                Told::Captured { amount: row.taken() }
            }
            State::Declined => {
                let Decline { code, category, message, .. } = declined(row);
                Told::Declined { code, category, message }
            }
            State::Voided => Told::Voided,
            State::Processing => {
                self.post.settle(self.name, row.key.clone(), state, self.luck.time(Duration::from_secs(30)));
                Told::Processing
            }
            State::Challenged => {
                // the buyer answers their bank, sooner or later or never
                if !self.luck.strikes(250) {
                    self.post.settle(self.name, row.key.clone(), state, self.luck.time(Duration::from_secs(40)));
                }
                Told::ActionRequired { next_action: json!({ "go": "there" }) }
            }
        };
        self.tell(row, format!("{state:?}:{}", row.reference), told);
    }

    /// Who can be asked may forget to tell.
    fn tell(&self, row: &ChargeRow, id: String, told: Told) {
        if self.prepares && self.luck.strikes(100) {
            return;
        }
        let ours = (!self.prepares).then(|| own_reference(&row.key));
        self.post.tell(ChargeNews { id, gateway: self.name, theirs: Some(row.reference.clone()), ours, told });
    }

    /// What was challenged or worked on is taken at last.
    pub(super) fn settle(&self, key: &IdempotencyKey, from: State) {
        let mut books = self.books.lock().unwrap();
        if let Some(row) = books.charges.get_mut(key.as_str()).filter(|row| row.state == from) {
            self.change(row, State::Captured);
        }
    }

    /// Stripe's way to end a charge: for good.
    pub(super) fn cancel(&self, row: Option<&mut ChargeRow>) -> VoidOutcome {
        let Some(row) = row else { return VoidOutcome::NotFound };
        let reference = row.reference.clone();
        match row.state {
            State::Captured => {
                row.void_came_too_late = true;
                VoidOutcome::AlreadyCaptured(Captured { reference, amount: row.taken() })
            }
            State::Processing => VoidOutcome::Processing { reference },
            State::Voided => VoidOutcome::Voided { reference },
            State::Made | State::Challenged | State::Declined => {
                self.change(row, State::Voided);
                VoidOutcome::Voided { reference }
            }
        }
    }

    /// Adyen's way: the wish is received, what becomes of it is told, and what arrives later is not ended.
    pub(super) fn wish_to_cancel(&self, books: &mut Books, key: &IdempotencyKey) -> VoidOutcome {
        let id = books.name("ca").to_string();
        match books.charges.get_mut(key.as_str()) {
            Some(row) if row.state == State::Challenged || row.state == State::Processing && self.luck.strikes(500) => {
                self.change(row, State::Voided);
            }
            row => {
                let theirs = row.map(|row| {
                    row.void_came_too_late |= row.state == State::Captured;
                    row.reference.clone()
                });
                let (gateway, told) = (self.name, Told::VoidFailed);
                self.post.tell(ChargeNews { id, gateway, theirs, ours: Some(own_reference(key)), told });
            }
        }
        VoidOutcome::Accepted
    }

    pub(super) fn pay_back(&self, books: &mut Books, key: &IdempotencyKey, refund: RefundRequest) -> RefundOutcome {
        let captured = books.named(&refund.payment).map_or(0, |charge| charge.taken().amount_minor);
        let left = captured - books.refunded(&refund.payment);
        let reference = books.name("re");
        let fresh = !books.refunds.contains_key(key.as_str());
        if fresh && left < refund.amount.amount_minor {
            return RefundOutcome::NothingLeft;
        }
        let row = RefundRow { payment: refund.payment.clone(), amount: refund.amount, refund, reference };
        let row = books.refunds.entry(key.as_str().to_owned()).or_insert(row);
        let refunded = Refunded { reference: row.reference.clone(), amount: row.amount };
        if self.prepares {
            return RefundOutcome::Succeeded(refunded);
        }
        if fresh {
            self.post.tell_refund(RefundNews {
                event_id: format!("refunded:{}", row.reference),
                gateway: self.name.to_owned(),
                refund_id: row.refund.refund_id,
                generation: i32::try_from(row.refund.generation).unwrap(),
                reference: row.reference.clone(),
                amount: row.amount,
                state: RefundEnd::Succeeded,
                reason: None,
                is_final: false,
            });
        }
        RefundOutcome::Pending(refunded)
    }
}

pub(super) fn declined(row: &ChargeRow) -> Decline {
    let elsewhere = row.method == DECLINED_HERE;
    Decline {
        reference: Some(row.reference.clone()),
        code: "card_declined".to_owned(),
        category: if elsewhere { DeclineCategory::RetryElsewhere } else { DeclineCategory::Final },
        message: "no".to_owned(),
    }
}
