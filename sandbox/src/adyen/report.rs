//! The Settlement details report of one batch: what was settled and refunded, what it cost, and what
//! was paid out.

use std::collections::BTreeMap;

use super::currencies;
use super::objects::{Act, Modification, Outcome, Payment};
use super::store::Store;
use crate::edge;
use crate::settlement::{Mistakes, Moved, Movement, decimal, line, thousandths};

/// The report's columns, in the order of Adyen's documentation.
const COLUMNS: [&str; 23] = [
    "Company Account",
    "Merchant Account",
    "Psp Reference",
    "Merchant Reference",
    "Payment Method",
    "Creation Date",
    "TimeZone",
    "Type",
    "Modification Reference",
    "Gross Currency",
    "Gross Debit (GC)",
    "Gross Credit (GC)",
    "Exchange Rate",
    "Net Currency",
    "Net Debit (NC)",
    "Net Credit (NC)",
    "Commission (NC)",
    "Markup (NC)",
    "Scheme Fees (NC)",
    "Interchange (NC)",
    "Payment Method Variant",
    "Modification Merchant Reference",
    "Batch Number",
];

const COMPANY: &str = "Showrunner";
const ACCOUNT: &str = "ShowrunnerECOM";
const BATCH: &str = "1";
/// What a payment costs, in thousandths: Adyen's part, the card scheme's, the issuer's.
const MARKUP_THOUSANDTHS: i64 = 6;
const SCHEME_THOUSANDTHS: i64 = 1;
const INTERCHANGE_THOUSANDTHS: i64 = 2;
/// What Adyen asks for processing one movement, in minor units; of a batch in one line.
const PROCESSING_FEE: i64 = 10;

/// The report as it is now, with these mistakes.
pub(super) fn csv(store: &Store, mistakes: &Mistakes) -> String {
    let captures = store.payments.iter().filter(|payment| payment.captured > 0).map(|it| capture(store, it));
    let refunds = store.modifications.iter().flat_map(|modification| refund(store, modification));
    let mut movements: Vec<_> = captures.chain(refunds).collect();
    movements.sort_by_key(|movement| movement.at_ms);

    let mut text = line(&COLUMNS);
    let mut totals = BTreeMap::<String, Total>::new();
    for movement in mistakes.spoil(movements) {
        let total = totals.entry(movement.currency.clone()).or_default();
        total.movements += 1;
        text.push_str(&row(&movement, total));
    }
    for (currency, total) in &totals {
        text.push_str(&closing_rows(currency, total));
    }
    text
}

/// What a batch has of one currency.
#[derive(Default)]
struct Total {
    movements: i64,
    net: i64,
    last_at_ms: i64,
}

fn capture(store: &Store, payment: &Payment) -> Movement {
    let is_its_capture = |it: &&Modification| {
        it.outcome == Outcome::Captured && it.payment.as_deref() == Some(payment.psp_reference.as_str())
    };
    let by = store.modifications.iter().find(is_its_capture);
    Movement {
        moved: Moved::Capture,
        // The payment is what a merchant knows, and what mistakes are asked for by.
        reference: payment.psp_reference.clone(),
        payment: payment.psp_reference.clone(),
        charge: by.map(|it| it.psp_reference.clone()),
        merchant_reference: payment.reference.clone(),
        own_reference: by.and_then(|it| it.reference.clone()).unwrap_or_default(),
        amount: payment.captured,
        currency: payment.amount.currency.clone(),
        at_ms: payment.created_at_ms,
    }
}

/// A refund, and its coming back where it has.
fn refund(store: &Store, modification: &Modification) -> impl Iterator<Item = Movement> {
    let is_done = matches!(modification.outcome, Outcome::Refunded | Outcome::Reversed);
    let payment = modification.payment.as_ref().and_then(|id| store.payments.get(id));
    let gives_back = matches!(modification.act, Act::Refund | Act::Reverse);
    let went = payment.filter(|_| is_done && gives_back).map(|payment| {
        let amount = modification.amount.as_ref().unwrap_or(&payment.amount);
        Movement {
            moved: Moved::Refund,
            reference: modification.psp_reference.clone(),
            payment: payment.psp_reference.clone(),
            charge: None,
            merchant_reference: payment.reference.clone(),
            own_reference: modification.reference.clone().unwrap_or_default(),
            amount: amount.value,
            currency: amount.currency.clone(),
            at_ms: modification.created_at_ms,
        }
    });
    let is_back = modification.outcome == Outcome::Reversed;
    let returned = went.clone().filter(|_| is_back).map(|went| Movement { moved: Moved::RefundReturned, ..went });
    [went, returned].into_iter().flatten()
}

fn row(movement: &Movement, total: &mut Total) -> String {
    let Movement { amount, currency, at_ms, .. } = movement;
    let exponent = currencies::exponent(currency).unwrap_or(2);
    let (kind, is_credit) = match movement.moved {
        Moved::Capture => ("Settled", true),
        Moved::Refund => ("Refunded", false),
        Moved::RefundReturned => ("RefundedReversed", true),
    };
    let [markup, scheme, interchange] = match movement.moved {
        Moved::Capture => [MARKUP_THOUSANDTHS, SCHEME_THOUSANDTHS, INTERCHANGE_THOUSANDTHS],
        Moved::Refund | Moved::RefundReturned => [0; 3],
    }
    .map(|part| thousandths(*amount, part));
    let net = if is_credit { *amount } else { -amount } - markup - scheme - interchange;
    total.net += net;
    total.last_at_ms = total.last_at_ms.max(*at_ms);

    let [gross_debit, gross_credit] = debit_credit(if is_credit { *amount } else { -amount }, exponent);
    let [net_debit, net_credit] = debit_credit(net, exponent);
    let [markup, scheme, interchange] = [markup, scheme, interchange].map(|part| decimal(part, exponent));
    let modification = movement.charge.as_ref().unwrap_or(&movement.reference);
    line(&[
        COMPANY,
        ACCOUNT,
        &movement.payment,
        &movement.merchant_reference,
        "visa",
        &edge::utc_seconds(*at_ms),
        "UTC",
        kind,
        modification,
        currency,
        &gross_debit,
        &gross_credit,
        "1",
        currency,
        &net_debit,
        &net_credit,
        "",
        &markup,
        &scheme,
        &interchange,
        "visa",
        &movement.own_reference,
        BATCH,
    ])
}

/// What processing cost, and what is paid out.
fn closing_rows(currency: &str, total: &Total) -> String {
    let exponent = currencies::exponent(currency).unwrap_or(2);
    let fee = PROCESSING_FEE * total.movements;
    let at = edge::utc_seconds(total.last_at_ms);
    let closing = |kind: &str, about: &str, net: i64| {
        let [debit, credit] = debit_credit(net, exponent);
        line(&[
            COMPANY, ACCOUNT, "", "", "", &at, "UTC", kind, about, currency, "", "", "", currency, &debit, &credit, "",
            "", "", "", "", "", BATCH,
        ])
    };
    let paid_out = total.net - fee;
    closing("Fee", "Transaction Fees", -fee) + &closing("MerchantPayout", "batch 1", -paid_out)
}

/// An amount in the column that it belongs to; the other one is empty.
fn debit_credit(amount: i64, exponent: u32) -> [String; 2] {
    let text = decimal(amount.saturating_abs(), exponent);
    if amount < 0 { [text, String::new()] } else { [String::new(), text] }
}
