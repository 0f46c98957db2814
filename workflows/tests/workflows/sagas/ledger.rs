//! What sagas and news post.

use super::{
    doubts::go_dark,
    news::{cancelled, stripe_event},
    refund_tries::{person_wants, reversed, run_until_taken, saga_of},
    shop::{PRICE, Shop, VISA},
};
use serde_json::json;
use std::collections::BTreeMap;

impl Shop {
    /// What every account comes to, less those that come to nothing; one organiser and one currency.
    pub(super) async fn balances(&self) -> BTreeMap<String, i64> {
        let rows: Vec<(String, i64)> = sqlx::query_as(
            "select regexp_replace(a.name, 'evt_[0-9a-f]+', 'event'), sum(e.amount_minor)::bigint
             from booking.ledger_entries e join booking.ledger_accounts a using (account_id)
             group by 1 having sum(e.amount_minor) <> 0",
        )
        .fetch_all(&self.pool)
        .await
        .unwrap();
        rows.into_iter().collect()
    }

    async fn assert_balances<const N: usize>(&self, wanted: [(&str, i64); N]) {
        assert_eq!(self.balances().await, wanted.map(|(account, amount)| (account.to_owned(), amount)).into());
    }

    async fn posted(&self) -> Vec<String> {
        sqlx::query_scalar("select kind from booking.ledger_postings order by at, posting_id")
            .fetch_all(&self.pool)
            .await
            .unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sold_is_owed_to_who_organises_it_until_it_is_back() {
    let shop = Shop::at_adyen().await;
    let placed = shop.confirmed().await;
    shop.assert_balances([("gateway:primary:clearing", PRICE), ("organiser:event:payable", -PRICE)]).await;
    let saga = cancelled(&shop, placed.order_id).await;
    shop.run_until(saga, "waiting").await;
    shop.assert_balances([("gateway:primary:clearing", PRICE), ("refunds:inFlight", -PRICE)]).await;
    shop.assert_well().await;
    let letter = shop.letter("\"REFUND\",\"eventDate").await;
    shop.receive(&letter).await.unwrap();
    shop.run_until(saga, "completed").await;
    shop.assert_balances([]).await;
    assert_eq!(shop.posted().await, ["capture", "refundRequested", "refundSucceeded"]);
    shop.assert_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_gateway_refuses_to_give_back_is_finance_s() {
    let shop = Shop::open().await;
    let placed = shop.confirmed().await;
    shop.gateway_fault(json!({"fault": "decline", "operation": "refund"})).await;
    let saga = cancelled(&shop, placed.order_id).await;
    shop.run_until(saga, "stuck").await;
    // not by each try: by the last
    assert_eq!(shop.posted().await, ["capture", "refundRequested", "refundFailed"]);
    shop.assert_balances([("gateway:primary:clearing", PRICE), ("refunds:failed", -PRICE)]).await;
    shop.assert_well().await;
    shop.heal_gateway().await;
    shop.retry(saga).await;
    shop.run_until(saga, "completed").await;
    let posted = shop.posted().await;
    assert_eq!(posted, ["capture", "refundRequested", "refundFailed", "refundReplayed", "refundSucceeded"]);
    shop.assert_balances([]).await;
    shop.assert_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_back_from_the_buyer_s_bank_is_finance_s_until_it_is_replayed() {
    for shop in [Shop::open().await, Shop::at_adyen().await] {
        let (order, _) = reversed(&shop).await;
        let first = ["capture", "refundRequested", "refundSucceeded", "refundReversed"];
        assert_eq!(shop.posted().await, first);
        shop.assert_balances([("gateway:primary:clearing", PRICE), ("refunds:failed", -PRICE)]).await;
        let saga = saga_of(person_wants(&shop, order, "fin").await.unwrap());
        shop.assert_balances([("gateway:primary:clearing", PRICE), ("refunds:inFlight", -PRICE)]).await;
        shop.assert_well().await;
        run_until_taken(&shop, saga, "completed").await;
        assert_eq!(shop.posted().await, [&first[..], &["refundReplayed", "refundSucceeded"]].concat());
        shop.assert_balances([]).await;
        shop.assert_well().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn money_that_no_order_owns_is_in_doubt_until_it_is_back() {
    let shop = Shop::with_backup("stripe").await;
    go_dark(&shop, "timeout_after").await;
    let placed = shop.order(VISA).await;
    shop.run_until(placed.saga_id, "completed").await;
    shop.heal_gateway().await;
    assert_eq!(shop.run_all("settle-doubt").await, ["completed"]);
    shop.assert_balances([("gateway:backup:clearing", PRICE), ("organiser:event:payable", -PRICE)]).await;
    assert_eq!(shop.posted().await, ["capture", "lateCapture", "refundRequested", "refundSucceeded"]);
    let doubted: i64 = sqlx::query_scalar(
        "select count(*) from booking.ledger_entries e join booking.ledger_accounts a using (account_id)
         where a.name = 'doubt'",
    )
    .fetch_one(&shop.pool)
    .await
    .unwrap();
    assert_eq!(doubted, 2, "in and out");
    shop.assert_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_bank_disputes_is_held_and_then_gone_or_ours() {
    let shop = Shop::open().await;
    let placed = shop.confirmed().await;
    let charge = shop.see(placed.order_id).await.payments[0].reference.clone().unwrap().to_string();
    let dispute = |id: &str, status: &str| {
        json!({"id": id, "object": "dispute", "amount": PRICE, "currency": "gbp", "status": status,
               "payment_intent": charge})
    };
    let payable = ("organiser:event:payable", -PRICE);
    stripe_event(&shop, "e1", "charge.dispute.created", 10, dispute("dp_1", "warning_needs_response")).await;
    shop.assert_balances([("gateway:primary:clearing", PRICE), payable]).await;
    stripe_event(&shop, "e2", "charge.dispute.updated", 20, dispute("dp_1", "needs_response")).await;
    stripe_event(&shop, "e2", "charge.dispute.updated", 20, dispute("dp_1", "needs_response")).await;
    shop.assert_balances([("gateway:primary:disputes", PRICE), payable]).await;
    stripe_event(&shop, "e4", "charge.dispute.closed", 40, dispute("dp_1", "won")).await;
    stripe_event(&shop, "e3", "charge.dispute.updated", 30, dispute("dp_1", "under_review")).await;
    shop.assert_balances([("gateway:primary:clearing", PRICE), payable]).await;
    stripe_event(&shop, "e5", "charge.dispute.closed", 50, dispute("dp_2", "lost")).await;
    shop.assert_balances([("disputes:lost", PRICE), payable]).await;
    assert_eq!(shop.posted().await, ["capture", "disputeOpened", "disputeWon", "disputeOpened", "disputeLost"]);
    shop.assert_well().await;
}
