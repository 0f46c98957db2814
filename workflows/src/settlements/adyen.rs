//! Adyen's Settlement details report.
//! <https://docs.adyen.com/reporting/settlement-reconciliation/transaction-level/settlement-details-report>
//!
//! What a line comes to is in the net currency, together with all that it cost; the gross columns say the same in the
//! currency of the payment. Where both are one currency they must agree.

use super::{
    amounts::{currency, whole_units},
    file::{Format, Line, Movement},
    rows::Row,
    times,
};
use crate::{
    gateways::{Reference, adyen::PROTOCOL},
    money::{Currency, Money},
};

pub(super) const FORMAT: Format = Format {
    protocol: PROTOCOL,
    columns: &[
        "Merchant Account",
        "Psp Reference",
        "Creation Date",
        "TimeZone",
        "Type",
        "Modification Reference",
        "Gross Currency",
        "Gross Debit (GC)",
        "Gross Credit (GC)",
        "Net Currency",
        "Net Debit (NC)",
        "Net Credit (NC)",
        "Commission (NC)",
        "Markup (NC)",
        "Scheme Fees (NC)",
        "Interchange (NC)",
    ],
    read,
};

/// What a line cost; one contract has the first, another the others.
const COSTS: [&str; 4] = ["Commission (NC)", "Markup (NC)", "Scheme Fees (NC)", "Interchange (NC)"];

fn read(row: &Row<'_>) -> Result<Line, String> {
    let category = row.text("Type")?;
    let movement = movement(category);
    let net_currency = currency(row.text("Net Currency")?)?;
    let net = debit_credit(row, ["Net Debit (NC)", "Net Credit (NC)"], net_currency)?;
    let net = net.ok_or("`Net Debit (NC)` and `Net Credit (NC)` are empty")?;
    let costs = COSTS.iter().filter_map(|column| amount(row, column, net_currency).transpose());
    let fee = Money::sum(net_currency, costs.collect::<Result<Vec<_>, _>>()?).map_err(|error| error.to_string())?;
    let gross = net.checked_add(fee).map_err(|error| error.to_string())?;
    if let Some(code) = row.optional("Gross Currency")?
        && currency(code)? == net_currency
        && let Some(said) = debit_credit(row, ["Gross Debit (GC)", "Gross Credit (GC)"], net_currency)?
        && said != gross
    {
        return Err(format!("net {net} and costs {fee} do not make gross {said}"));
    }
    let (payment, reference) = names(row, movement)?;
    Ok(Line {
        number: row.number(),
        movement,
        category: category.to_owned(),
        identity: identity(row, category)?,
        payment,
        // of a charge that we have not heard of under Adyen's name
        own: row.optional("Merchant Reference")?.and_then(|text| Reference::new(text).ok()),
        reference,
        gross,
        fee,
        net,
        at: times::local(row.text("Creation Date")?, row.text("TimeZone")?)?,
    })
}

/// Lines have no name of their own: what they are of tells them apart.
fn identity(row: &Row<'_>, category: &str) -> Result<String, String> {
    let cell = |column| row.optional(column).map(Option::unwrap_or_default);
    let (payment, modification) = (cell("Psp Reference")?, cell("Modification Reference")?);
    if payment.is_empty() {
        let (account, batch) = (cell("Merchant Account")?, cell("Batch Number")?);
        let (currency, at) = (cell("Net Currency")?, cell("Creation Date")?);
        return Ok(format!("{category}:{account}:{batch}:{modification}:{currency}:{at}"));
    }
    Ok(format!("{category}:{payment}:{modification}"))
}

/// The charge, and the refund or dispute of it.
fn names(row: &Row<'_>, movement: Movement) -> Result<(Option<Reference>, Option<Reference>), String> {
    let name = |column| {
        let text = row.optional(column)?;
        text.map(|text| Reference::new(text).map_err(|error| format!("`{column}`: {error}"))).transpose()
    };
    Ok(match movement {
        // there `Modification Reference` is a sentence
        Movement::Fee | Movement::Payout | Movement::Other => (None, None),
        _ => (name("Psp Reference")?, name("Modification Reference")?),
    })
}

/// What is in one of two columns: a debit is what we lose.
fn debit_credit(row: &Row<'_>, columns: [&str; 2], currency: Currency) -> Result<Option<Money>, String> {
    let [debit, credit] = columns;
    match (amount(row, debit, currency)?, amount(row, credit, currency)?) {
        (Some(lost), Some(won)) => won.checked_sub(lost).map(Some),
        (Some(lost), None) => Money::zero(currency).checked_sub(lost).map(Some),
        (None, won) => Ok(won),
    }
    .map_err(|error| error.to_string())
}

fn amount(row: &Row<'_>, column: &str, currency: Currency) -> Result<Option<Money>, String> {
    row.optional(column)?.map(|text| whole_units(text, currency)).transpose()
}

/// <https://docs.adyen.com/reporting/settlement-reconciliation/transaction-level/settlement-details-report#journal-types>
fn movement(category: &str) -> Movement {
    match category {
        "Settled" => Movement::Capture,
        "Refunded" => Movement::Refund,
        "RefundedReversed" => Movement::RefundReturned,
        "Chargeback" | "SecondChargeback" => Movement::Dispute,
        "ChargebackReversed" => Movement::DisputeReturned,
        "Fee" | "MiscCosts" | "PaymentCost" | "InvoiceDeduction" => Movement::Fee,
        "MerchantPayout" => Movement::Payout,
        _ => Movement::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settlements::{FileError, Mistake, read};

    const HEADING: &str = "Company Account,Merchant Account,Psp Reference,Merchant Reference,Payment Method,Creation Date,\
                           TimeZone,Type,Modification Reference,Gross Currency,Gross Debit (GC),Gross Credit (GC),\
                           Exchange Rate,Net Currency,Net Debit (NC),Net Credit (NC),Commission (NC),Markup (NC),\
                           Scheme Fees (NC),Interchange (NC),Batch Number";

    fn file(rows: &str) -> Result<Vec<Line>, Vec<Mistake>> {
        match read(PROTOCOL, format!("{HEADING}\n{rows}\n").as_bytes()) {
            Ok(file) => Ok(file.lines),
            Err(FileError::Mistakes(mistakes)) => Err(mistakes),
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn lines_are_what_adyen_means() {
        let lines = file(
            "Co,Shop,PSP1,ord_1,visa,2026-11-26 10:00:00,CET,Settled,MOD1,EUR,,45.00,1,EUR,,44.59,,0.27,0.05,0.09,7\n\
             Co,Shop,PSP1,ord_1,visa,2026-11-26 10:00:00,CET,Refunded,MOD2,EUR,10.00,,1,EUR,10.00,,,0.00,0.00,0.00,7\n\
             Co,Shop,PSP2,ord_2,visa,2026-11-26 10:00:00,CET,Settled,MOD3,USD,,50.00,0.9,EUR,,44.00,1.00,,,,7\n\
             Co,Shop,PSP3,ord_3,visa,2026-11-26 10:00:00,CET,Chargeback,DIS1,EUR,45.00,,1,EUR,52.50,,7.50,,,,7\n\
             Co,Shop,,,,2026-11-26 10:00:00,CET,Fee,Transaction Fees,EUR,,,,EUR,0.30,,,,,,7\n\
             Co,Shop,,,,2026-11-26 10:00:00,CET,MerchantPayout,\"TX1, batch 7\",EUR,,,,EUR,25.79,,,,,,7\n\
             Co,Shop,,,,2026-11-26 10:00:00,CET,DepositCorrection,,EUR,,,,EUR,,5.00,,,,,7",
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
                "2 capture PSP1 45.00 EUR 0.41 EUR 44.59 EUR",
                "3 refund MOD2 -10.00 EUR 0.00 EUR -10.00 EUR",
                "4 capture PSP2 45.00 EUR 1.00 EUR 44.00 EUR",
                "5 dispute DIS1 -45.00 EUR 7.50 EUR -52.50 EUR",
                "6 fee  -0.30 EUR 0.00 EUR -0.30 EUR",
                "7 payout  -25.79 EUR 0.00 EUR -25.79 EUR",
                "8 other  5.00 EUR 0.00 EUR 5.00 EUR",
            ]
        );
        assert_eq!(lines[0].identity, "Settled:PSP1:MOD1");
        assert_eq!(lines[0].at.to_rfc3339(), "2026-11-26T09:00:00+00:00");
    }

    #[test]
    fn what_does_not_add_up_is_refused() {
        let mistakes = file(
            "Co,Shop,PSP1,ord_1,visa,2026-11-26 10:00:00,CET,Settled,MOD1,EUR,,45.00,1,EUR,,44.60,,0.27,0.05,0.09,7\n\
             Co,Shop,PSP1,ord_1,visa,2026-11-26 10:00:00,CET,Settled,MOD1,EUR,,45.00,1,EUR,,,,0.27,0.05,0.09,7\n\
             Co,Shop,PSP1,ord_1,visa,2026-11-26 10:00:00,XYZT,Settled,MOD1,EUR,,45.00,1,EUR,,45.00,,,,,7",
        )
        .unwrap_err();
        let told: Vec<_> = mistakes.iter().map(|mistake| format!("{}: {}", mistake.line, mistake.message)).collect();
        assert_eq!(
            told,
            [
                "2: net 44.60 EUR and costs 0.41 EUR do not make gross 45.00 EUR",
                "3: `Net Debit (NC)` and `Net Credit (NC)` are empty",
                "4: `XYZT` is not a time zone that is known here",
            ]
        );
    }
}
