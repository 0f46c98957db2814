//! The report that a Stripe gateway writes.

use serde_json::json;

use crate::support::Gateway;

/// The columns that tell movements apart, of every line.
fn told(report: &str) -> Vec<String> {
    let wanted = ["reporting_category", "gross", "fee", "net", "currency"];
    let mut lines = report.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let header = lines.next().unwrap();
    let places = wanted.map(|name| header.iter().position(|column| *column == name).unwrap());
    lines.map(|line| places.map(|place| line[place]).join(" ")).collect()
}

#[tokio::test]
async fn what_moved_is_in_it_with_its_fee() {
    let gateway = Gateway::start().await;
    let id = gateway.paid().await;
    gateway.intent("pm_card_visa").await;
    let form = [("payment_intent", id.as_str()), ("amount", "1000")];
    let refund = gateway.post("/v1/refunds", &form).await.ok();
    let report = gateway.settlement("").await;
    assert_eq!(told(&report), ["charge 45.00 0.93 44.07 eur", "refund -10.00 0.00 -10.00 eur"], "{report}");
    let refund = refund["id"].as_str().unwrap();
    let lines: Vec<_> = report.lines().collect();
    assert!(lines[1].contains(&format!(",{id},card,ord_1")), "{report}");
    assert!(lines[2].contains(&format!(",refund,{refund},")), "{report}");
}

#[tokio::test]
async fn a_refund_that_comes_back_is_in_it_twice() {
    let gateway = Gateway::start().await;
    let id = gateway.paid().await;
    gateway.fault(json!({"fault": "refund_fails_later", "delayMs": 1, "count": 1})).await.ok();
    gateway.post("/v1/refunds", &[("payment_intent", id.as_str())]).await.ok();
    gateway.books_when(|books| books["refunds"][0]["status"] == "failed").await;
    let report = gateway.settlement("").await;
    let moved = ["charge 45.00 0.93 44.07 eur", "refund -45.00 0.00 -45.00 eur", "refund_failure 45.00 0.00 45.00 eur"];
    assert_eq!(told(&report), moved);
}

#[tokio::test]
async fn its_mistakes_are_those_that_were_asked_for() {
    let gateway = Gateway::start().await;
    let (first, second, third) = (gateway.paid().await, gateway.paid().await, gateway.paid().await);
    let query = format!("?missing={first}&over={second}&wrongCurrency={third}&duplicate={third}&unexpected=pi_0");
    let moved = [
        "charge 46.00 0.94 45.06 eur",
        "charge 45.00 0.93 44.07 usd",
        "charge 45.00 0.93 44.07 usd",
        "charge 10.00 0.40 9.60 eur",
    ];
    assert_eq!(told(&gateway.settlement(&query).await), moved);
    let reply = gateway.get("/_sandbox/settlement.csv?wrong=1").await;
    assert_eq!(reply.status, 400, "{}", reply.text);
}
