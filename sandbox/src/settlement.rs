//! The settlement file: every movement of money that the books have, one a line, whatever protocol
//! the gateway speaks.

use std::fmt::Write as _;

use crate::books::Books;

/// The file's first line. `amount` is in minor units, as the gateway counts them, and negative where
/// money goes back to the buyer.
const HEADING: &str = "type,reference,paymentReference,merchantReference,amount,currency,at\n";

/// The books as a settlement file.
pub(crate) fn csv(books: &Books) -> String {
    let mut lines = HEADING.to_owned();
    for charge in books.charges.iter().filter(|charge| charge.captured > 0) {
        let merchant = charge.merchant_reference.as_deref().unwrap_or_default();
        let (reference, amount) = (&charge.reference, charge.captured);
        line(&mut lines, "capture", [reference, reference, merchant, &charge.currency, &charge.updated_at], amount);
    }
    for refund in books.refunds.iter().filter(|refund| refund.status == "succeeded") {
        let merchant = refund.merchant_reference.as_deref().unwrap_or_default();
        let references = [&refund.reference, &refund.payment, merchant, &refund.currency, &refund.created_at];
        line(&mut lines, "refund", references, -refund.amount);
    }
    lines
}

fn line(lines: &mut String, kind: &str, texts: [&str; 5], amount: i64) {
    let [reference, payment, merchant, currency, at] = texts.map(quoted);
    // Writing to a string cannot fail.
    let _ = writeln!(lines, "{kind},{reference},{payment},{merchant},{amount},{currency},{at}");
}

/// As RFC 4180 has it.
fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn only_what_must_be_quoted_is() {
        assert_eq!(quoted("ord_1"), "ord_1");
        assert_eq!(quoted("a,\"b\""), "\"a,\"\"b\"\"\"");
    }
}
