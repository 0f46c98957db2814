//! Stripe's itemised report of what has changed the balance (`balance_change_from_activity.itemized.3`), or of what payouts
//! were made of (`payout_reconciliation.itemized.5`): their columns that matter here have the same names.
//! <https://docs.stripe.com/reports/report-types/balance>
//!
//! `payment_intent_id` is not among the columns that the Dashboard chooses by itself; without it no line could be matched.

use super::{
    amounts::{currency, whole_units},
    file::{Format, Line, Movement},
    rows::Row,
    times,
};
use crate::gateways::{Reference, stripe::PROTOCOL};

pub(super) const FORMAT: Format = Format {
    protocol: PROTOCOL,
    columns: &[
        "balance_transaction_id",
        "created_utc",
        "currency",
        "gross",
        "fee",
        "net",
        "reporting_category",
        "source_id",
        "payment_intent_id",
    ],
    read,
};

fn read(row: &Row<'_>) -> Result<Line, String> {
    let category = row.text("reporting_category")?;
    let movement = movement(category);
    let currency = currency(row.text("currency")?)?;
    let amount = |column| whole_units(row.text(column)?, currency);
    let (gross, fee, net) = (amount("gross")?, amount("fee")?, amount("net")?);
    if gross.checked_sub(fee) != Ok(net) {
        return Err(format!("`gross` {gross} less `fee` {fee} is not `net` {net}"));
    }
    let reference = |column: &str| {
        let text = row.optional(column)?;
        text.map(|text| Reference::new(text).map_err(|error| format!("`{column}`: {error}"))).transpose()
    };
    Ok(Line {
        number: row.number(),
        movement,
        category: category.to_owned(),
        identity: row.text("balance_transaction_id")?.to_owned(),
        payment: reference("payment_intent_id")?,
        own: None,
        reference: if movement == Movement::Other { None } else { reference("source_id")? },
        gross,
        fee,
        net,
        at: times::local(row.text("created_utc")?, "UTC")?,
    })
}

/// <https://docs.stripe.com/reports/reporting-categories>
fn movement(category: &str) -> Movement {
    match category {
        "charge" => Movement::Capture,
        "refund" => Movement::Refund,
        "refund_failure" => Movement::RefundReturned,
        "dispute" => Movement::Dispute,
        "dispute_reversal" => Movement::DisputeReturned,
        "fee" | "network_cost" | "tax" => Movement::Fee,
        "payout" => Movement::Payout,
        _ => Movement::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settlements::{FileError, Mistake, read};

    const HEADING: &str = "balance_transaction_id,created_utc,currency,gross,fee,net,reporting_category,source_id,\
                           description,charge_id,payment_intent_id";

    fn file(rows: &str) -> Result<Vec<Line>, Vec<Mistake>> {
        match read(PROTOCOL, format!("{HEADING}\n{rows}\n").as_bytes()) {
            Ok(file) => Ok(file.lines),
            Err(FileError::Mistakes(mistakes)) => Err(mistakes),
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn lines_are_what_stripe_means() {
        let lines = file(
            "txn_1,2026-11-26 10:00:00,eur,45.00,0.93,44.07,charge,ch_1,\"Two, please\",ch_1,pi_1\n\
             txn_2,2026-11-26 11:00:00,eur,-10.00,0.00,-10.00,refund,re_1,,ch_1,pi_1\n\
             txn_3,2026-11-26 12:00:00,eur,10.00,0.00,10.00,refund_failure,re_1,,ch_1,pi_1\n\
             txn_4,2026-11-26 13:00:00,eur,-45.00,15.00,-60.00,dispute,dp_1,,ch_1,pi_1\n\
             txn_5,2026-11-26 14:00:00,jpy,-200,0,-200,fee,,,,\n\
             txn_6,2026-11-26 15:00:00,eur,5.00,0.00,5.00,connect_reserved_funds,x y,,,",
        )
        .unwrap();
        let told: Vec<_> = lines
            .iter()
            .map(|line| {
                let name = line.name().map_or("", Reference::as_str);
                format!("{} {} {name} {} {} {}", line.number, line.movement, line.gross, line.fee, line.net)
            })
            .collect();
        assert_eq!(
            told,
            [
                "2 capture pi_1 45.00 EUR 0.93 EUR 44.07 EUR",
                "3 refund re_1 -10.00 EUR 0.00 EUR -10.00 EUR",
                "4 refundReturned re_1 10.00 EUR 0.00 EUR 10.00 EUR",
                "5 dispute dp_1 -45.00 EUR 15.00 EUR -60.00 EUR",
                "6 fee  -200 JPY 0 JPY -200 JPY",
                "7 other  5.00 EUR 0.00 EUR 5.00 EUR",
            ]
        );
        assert_eq!(lines[0].identity, "txn_1");
        assert_eq!(lines[0].at.to_rfc3339(), "2026-11-26T10:00:00+00:00");
    }

    #[test]
    fn all_mistakes_are_told_with_their_lines() {
        let mistakes = file(
            "txn_1,2026-11-26 10:00:00,eur,45.00,0.93,44.08,charge,ch_1,,ch_1,pi_1\n\
             txn_2,2026-11-26 10:00:00,eur,45.00,0.00,45.00,charge,ch_1,,ch_1,pi_1\n\
             txn_3,2026-11-26,eur,45.00,0.00,45.00,charge,ch_1,,ch_1,pi_1\n\
             txn_4,2026-11-26 10:00:00,eur,\"45,00\",0.00,45.00,charge,ch_1,,ch_1,pi_1\n\
             txn_5,2026-11-26 10:00:00,zzz,45.00,0.00,45.00,charge,ch_1,,ch_1,pi_1\n\
             txn_6,2026-11-26 10:00:00,eur,45.00,0.00,45.00,charge,ch_1,,ch_1,pi/1\n\
             ,2026-11-26 10:00:00,eur,45.00,0.00,45.00,charge,ch_1,,ch_1,pi_1",
        )
        .unwrap_err();
        let told: Vec<_> = mistakes.iter().map(|mistake| format!("{}: {}", mistake.line, mistake.message)).collect();
        assert_eq!(
            told,
            [
                "2: `gross` 45.00 EUR less `fee` 0.93 EUR is not `net` 44.08 EUR",
                "4: `2026-11-26` is not a time like 2026-11-26 10:00:00",
                "5: `45,00` is not an amount of EUR",
                "6: `ZZZ` is not a currency to pay with",
                "7: `payment_intent_id`: a reference has 1 to 255 letters, digits, `_` or `-`",
                "8: `balance_transaction_id` is empty",
            ]
        );
    }
}
