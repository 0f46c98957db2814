//! The itemised report of what has changed the balance (`balance_change_from_activity.itemized.3`),
//! with the columns that say which payment a line is about.

use super::currencies::{decimals, smallest};
use super::objects::{Charge, Refund, RefundStatus};
use super::store::Store;
use crate::edge;
use crate::settlement::{Mistakes, Moved, Movement, decimal, line, thousandths};

/// The report's columns, in the order of Stripe's documentation.
const COLUMNS: [&str; 21] = [
    "balance_transaction_id",
    "created_utc",
    "created",
    "available_on_utc",
    "available_on",
    "currency",
    "gross",
    "fee",
    "net",
    "reporting_category",
    "source_id",
    "description",
    "customer_facing_amount",
    "customer_facing_currency",
    "automatic_payout_id",
    "automatic_payout_effective_at_utc",
    "automatic_payout_effective_at",
    "charge_id",
    "payment_intent_id",
    "payment_method_type",
    "payment_metadata[order_id]",
];

/// What Stripe keeps of a payment: so many thousandths, and so many minor units.
const FEE_THOUSANDTHS: i64 = 15;
const FEE_FIXED: i64 = 25;
/// How long it takes until money is available, and paid out.
const AVAILABLE_AFTER_MS: i64 = 2 * 24 * 60 * 60 * 1000;

/// The report as it is now, with these mistakes.
pub(super) fn csv(store: &Store, mistakes: &Mistakes) -> String {
    let captures = store.charges.iter().filter(|charge| charge.amount_captured > 0).map(capture);
    let refunds = store.refunds.iter().filter(|refund| refund.status != RefundStatus::Pending).flat_map(refund);
    let mut movements: Vec<_> = captures.chain(refunds).collect();
    movements.sort_by_key(|movement| movement.at_ms);
    let movements = mistakes.spoil(movements);
    line(&COLUMNS) + &movements.iter().map(|movement| row(store, movement)).collect::<String>()
}

fn capture(charge: &Charge) -> Movement {
    Movement {
        moved: Moved::Capture,
        // The payment intent is what a merchant knows, and what mistakes are asked for by.
        reference: charge.intent.clone(),
        payment: charge.intent.clone(),
        charge: Some(charge.id.clone()),
        merchant_reference: String::new(),
        own_reference: String::new(),
        amount: charge.amount_captured,
        currency: charge.currency.to_uppercase(),
        at_ms: charge.created_at_ms,
    }
}

/// A refund, and its coming back where it has.
fn refund(refund: &Refund) -> impl Iterator<Item = Movement> {
    let went = Movement {
        moved: Moved::Refund,
        reference: refund.id.clone(),
        payment: refund.intent.clone(),
        charge: Some(refund.charge.clone()),
        merchant_reference: String::new(),
        own_reference: String::new(),
        amount: refund.amount,
        currency: refund.currency.to_uppercase(),
        at_ms: refund.created_at_ms,
    };
    let returned = Movement { moved: Moved::RefundReturned, ..went.clone() };
    [Some(went), (refund.status == RefundStatus::Failed).then_some(returned)].into_iter().flatten()
}

/// What is kept of a payment, in what there is of its currency.
fn fee(amount: i64, currency: &str) -> i64 {
    let smallest = smallest(currency);
    let exact = thousandths(amount, FEE_THOUSANDTHS) + FEE_FIXED;
    (exact + smallest - 1) / smallest * smallest
}

fn row(store: &Store, movement: &Movement) -> String {
    let charge = movement.charge.as_deref().unwrap_or("ch_unknown");
    let (category, id, source, gross, fee) = match movement.moved {
        Moved::Capture => {
            let fee = fee(movement.amount, &movement.currency);
            ("charge", format!("txn_{}", tail(&movement.payment)), charge, movement.amount, fee)
        }
        Moved::Refund => {
            ("refund", format!("txn_{}", tail(&movement.reference)), movement.reference.as_str(), -movement.amount, 0)
        }
        Moved::RefundReturned => {
            let id = format!("txn_{}r", tail(&movement.reference));
            ("refund_failure", id, movement.reference.as_str(), movement.amount, 0)
        }
    };
    let exponent = decimals(&movement.currency);
    let [gross, fee, net] = [gross, fee, gross - fee].map(|amount| decimal(amount, exponent));
    let currency = movement.currency.to_lowercase();
    let [at, available] = [0, AVAILABLE_AFTER_MS].map(|later| edge::utc_seconds(movement.at_ms + later));
    let payout = format!("po_{}", available.get(..10).unwrap_or_default().replace('-', ""));
    let intent = store.intents.get(&movement.payment);
    let order = intent.and_then(|intent| intent.metadata.get("order_id")).map_or("", String::as_str);
    let [at, available] = [at.as_str(), available.as_str()];
    line(&[
        &id,
        at,
        at,
        available,
        available,
        &currency,
        &gross,
        &fee,
        &net,
        category,
        source,
        "",
        &gross,
        &currency,
        &payout,
        available,
        available,
        charge,
        &movement.payment,
        "card",
        order,
    ])
}

/// The part of an id that is its own.
fn tail(id: &str) -> &str {
    id.split_once('_').map_or(id, |(_, tail)| tail)
}

#[cfg(test)]
mod tests {
    use super::fee;

    #[test]
    fn a_fee_is_an_amount_that_there_is() {
        let fees = [("EUR", 10_000), ("JPY", 10_000), ("BHD", 10_010), ("ISK", 990_000)];
        assert_eq!(fees.map(|(currency, amount)| fee(amount, currency)), [175, 175, 180, 14_900]);
    }
}
