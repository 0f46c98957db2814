//! The settlement file: every movement of money that the books have, in the format of the gateway's
//! own report. Which lines are wrong can be said, since a right one proves little.

use serde::Deserialize;

use crate::edge;

/// By how much a line that is over or under differs, in minor units.
const DIFFERENCE: i64 = 100;
/// What a line of a payment that nobody knows is about.
const UNEXPECTED_AMOUNT: i64 = 1_000;

/// What moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moved {
    /// The money of a payment was taken.
    Capture,
    /// Money went back to the buyer.
    Refund,
    /// And came back from there.
    RefundReturned,
}

/// A movement of money.
#[derive(Clone, Debug)]
pub(crate) struct Movement {
    pub(crate) moved: Moved,
    /// The gateway's name for the movement, and for the payment that it belongs to.
    pub(crate) reference: String,
    pub(crate) payment: String,
    /// The protocol's name for what the money was taken by, where that is not the payment.
    pub(crate) charge: Option<String>,
    /// The merchant's names for the payment and for the movement, where there are any.
    pub(crate) merchant_reference: String,
    pub(crate) own_reference: String,
    /// In minor units as the gateway counts them; never negative.
    pub(crate) amount: i64,
    /// In capital letters.
    pub(crate) currency: String,
    pub(crate) at_ms: i64,
}

/// Which lines are wrong: names of movements, several with commas.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Mistakes {
    /// Not there.
    missing: String,
    /// More than was moved, and less.
    over: String,
    under: String,
    /// There twice.
    duplicate: String,
    /// In another currency.
    wrong_currency: String,
    /// Captures that nobody has made, under these names.
    unexpected: String,
}

impl Mistakes {
    /// The movements as the file has them.
    pub(crate) fn spoil(&self, movements: Vec<Movement>) -> Vec<Movement> {
        let mut spoiled = Vec::with_capacity(movements.len());
        for mut movement in movements {
            let is = |names: &str| names.split(',').any(|name| name == movement.reference);
            if is(&self.missing) {
                continue;
            }
            let (is_over, is_under) = (is(&self.over), is(&self.under));
            let (is_other_currency, is_duplicate) = (is(&self.wrong_currency), is(&self.duplicate));
            movement.amount += if is_over { DIFFERENCE } else { 0 } - if is_under { DIFFERENCE } else { 0 };
            if is_other_currency {
                movement.currency = if movement.currency == "USD" { "EUR" } else { "USD" }.to_owned();
            }
            if is_duplicate {
                spoiled.push(movement.clone());
            }
            spoiled.push(movement);
        }
        let unexpected = self.unexpected.split(',').filter(|name| !name.is_empty());
        spoiled.extend(unexpected.map(stray));
        spoiled
    }
}

/// The capture of a payment that is in nobody's books.
fn stray(name: &str) -> Movement {
    Movement {
        moved: Moved::Capture,
        reference: name.to_owned(),
        payment: name.to_owned(),
        charge: None,
        merchant_reference: String::new(),
        own_reference: String::new(),
        amount: UNEXPECTED_AMOUNT,
        currency: "EUR".to_owned(),
        at_ms: edge::now_ms(),
    }
}

/// So many thousandths of an amount, the half of a unit rounded up.
pub(crate) fn thousandths(amount: i64, thousandths: i64) -> i64 {
    (amount * thousandths + 500) / 1000
}

/// An amount in whole units of its currency: `45.00`, `-0.05`, `4500`.
pub(crate) fn decimal(amount: i64, exponent: u32) -> String {
    let sign = if amount < 0 { "-" } else { "" };
    let unit = 10_u64.pow(exponent);
    let (whole, part) = (amount.unsigned_abs() / unit, amount.unsigned_abs() % unit);
    match exponent {
        0 => format!("{sign}{whole}"),
        1 => format!("{sign}{whole}.{part}"),
        2 => format!("{sign}{whole}.{part:02}"),
        _ => format!("{sign}{whole}.{part:03}"),
    }
}

/// A line of the file, as RFC 4180 has it.
pub(crate) fn line(cells: &[&str]) -> String {
    let cells: Vec<_> = cells.iter().map(|cell| quoted(cell)).collect();
    cells.join(",") + "\n"
}

fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_must_be_quoted_is() {
        assert_eq!(line(&["ord_1", "", "a,\"b\""]), "ord_1,,\"a,\"\"b\"\"\"\n");
    }

    #[test]
    fn amounts_are_in_whole_units() {
        let amounts = [decimal(4500, 2), decimal(-5, 2), decimal(4500, 0), decimal(-4501, 3)];
        assert_eq!(amounts, ["45.00", "-0.05", "4500", "-4.501"]);
    }

    #[test]
    fn every_mistake_is_made_where_it_was_asked_for() {
        let movement = |name: &str| Movement { amount: 4500, ..stray(name) };
        let movements = || ["a", "b", "c", "d", "e", "f"].map(movement).to_vec();
        let mistakes = Mistakes {
            missing: "a".into(),
            over: "b".into(),
            under: "c".into(),
            duplicate: "d".into(),
            wrong_currency: "e".into(),
            unexpected: "x,y".into(),
        };
        let shown = |movements: Vec<Movement>| -> Vec<_> {
            movements.into_iter().map(|it| format!("{} {} {}", it.reference, it.amount, it.currency)).collect()
        };
        assert_eq!(
            shown(mistakes.spoil(movements())),
            [
                "b 4600 EUR",
                "c 4400 EUR",
                "d 4500 EUR",
                "d 4500 EUR",
                "e 4500 USD",
                "f 4500 EUR",
                "x 1000 EUR",
                "y 1000 EUR"
            ]
        );
        assert_eq!(shown(Mistakes::default().spoil(movements())), shown(movements()));
    }
}
