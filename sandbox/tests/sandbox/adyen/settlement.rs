//! The Settlement details report that an Adyen gateway writes.

use super::shop::{Shop, amount};

/// The columns that tell movements apart, of every line.
fn told(report: &str) -> Vec<String> {
    let wanted = [
        "Type",
        "Psp Reference",
        "Modification Reference",
        "Gross Debit (GC)",
        "Gross Credit (GC)",
        "Net Debit (NC)",
        "Net Credit (NC)",
        "Net Currency",
    ];
    let mut lines = report.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let header = lines.next().unwrap();
    let places = wanted.map(|name| header.iter().position(|column| *column == name).unwrap());
    lines.map(|line| places.map(|place| line[place]).join("|")).collect()
}

#[tokio::test]
async fn what_moved_is_in_it_with_its_costs_and_what_was_paid_out() {
    let mut shop = Shop::open().await;
    let paid = shop.paid().await;
    shop.authorised().await;
    let refund = shop.modify(&paid, "refunds", &amount(1000)).await;
    shop.told_of("REFUND").await;
    assert_eq!(
        told(&shop.settlement("").await),
        [
            // 27 + 5 + 9 cents of 45.00
            format!("Settled|{paid}|{paid}||45.00||44.59|EUR"),
            format!("Refunded|{paid}|{refund}|10.00||10.00||EUR"),
            "Fee||Transaction Fees|||0.20||EUR".to_owned(),
            "MerchantPayout||batch 1|||34.39||EUR".to_owned(),
        ]
    );
    let over = shop.settlement(&format!("?over={refund}&missing={paid}")).await;
    assert_eq!(told(&over)[0], format!("Refunded|{paid}|{refund}|11.00||11.00||EUR"));
}
