//! The ledger beside the gateways' own books: what either has, the other has too.

use super::{
    doubts::go_dark,
    news::cancelled,
    orders::cancellation,
    refunds::ask,
    shop::{PATIENCE, PRICE, Shop, VISA, anybody},
};
use serde_json::{Value, json};
use std::{collections::BTreeSet, time::Instant};
use workflows::{
    ids::OrderId,
    orders::{CancelError, REFUND_ORDER, cancel},
    refunds::{AskError, Wanted},
};

/// What the shop's gateways are called.
const NAMES: [&str; 2] = ["primary", "backup"];

impl Shop {
    /// What only one of the two knows of money that came or went: which of them, the gateway, its name for it, how much.
    async fn differences(&self) -> Vec<String> {
        let (ours, theirs) = (self.by_the_ledger().await, self.by_the_gateways().await);
        let only = |whose: &str, one: &BTreeSet<String>, other: &BTreeSet<String>| -> Vec<String> {
            one.difference(other).map(|line| format!("only {whose}: {line}")).collect()
        };
        [only("ours", &ours, &theirs), only("theirs", &theirs, &ours)].concat()
    }

    async fn by_the_ledger(&self) -> BTreeSet<String> {
        let lines: Vec<String> = sqlx::query_scalar(
            "select concat_ws(' ', p.gateway, b.what, p.reference, sum(b.sign * e.amount_minor), e.currency)
             from booking.ledger_postings p
             join (values ('capture', 'charge', 1), ('lateCapture', 'charge', 1), ('refundSucceeded', 'refund', -1),
                          ('refundReversed', 'refund', -1)) b (kind, what, sign) using (kind)
             join booking.ledger_entries e using (posting_id)
             join booking.ledger_accounts a using (account_id)
             where a.name = format('gateway:%s:clearing', p.gateway)
             group by p.gateway, b.what, p.reference, e.currency
             having sum(e.amount_minor) <> 0",
        )
        .fetch_all(&self.pool)
        .await
        .unwrap();
        lines.into_iter().collect()
    }

    async fn by_the_gateways(&self) -> BTreeSet<String> {
        let mut lines = BTreeSet::new();
        for (name, sandbox) in NAMES.iter().zip(&self.sandboxes) {
            let url = format!("{}/_sandbox/books", sandbox.running.url);
            let books: Value = self.client.get(url).send().await.unwrap().json().await.unwrap();
            let mut add = |what: &str, entry: &Value, amount: &Value| {
                let (reference, currency) = (entry["reference"].as_str().unwrap(), entry["currency"].as_str().unwrap());
                assert!(lines.insert(format!("{name} {what} {reference} {amount} {currency}")), "twice: {entry}");
            };
            for charge in books["charges"].as_array().unwrap().iter().filter(|charge| charge["captured"] != 0) {
                add("charge", charge, &charge["captured"]);
            }
            for refund in books["refunds"].as_array().unwrap().iter().filter(|refund| refund["status"] == "succeeded") {
                add("refund", refund, &refund["amount"]);
            }
        }
        lines
    }

    /// The charges that disputes were posted of, and how much was posted last.
    async fn disputed(&self) -> Vec<(String, String, i64)> {
        sqlx::query_as(
            "select p.kind, c.reference, max(e.amount_minor)
             from booking.ledger_postings p
             join booking.payments c using (payment_id)
             join booking.ledger_entries e using (posting_id)
             where p.kind like 'dispute%' and p.gateway = c.gateway
             group by p.kind, p.at, c.reference order by p.at",
        )
        .fetch_all(&self.pool)
        .await
        .unwrap()
    }

    /// Where nothing is under way, the ledger and the gateways' books say the same.
    pub(super) async fn assert_same_books(&self) {
        let under_way: i64 = sqlx::query_scalar(
            "select (select count(*) from booking.payments where status in ('pending', 'inDoubt'))
                  + (select count(*) from booking.refunds where state not in ('succeeded', 'failed', 'rejected'))",
        )
        .fetch_one(&self.pool)
        .await
        .unwrap();
        if under_way == 0 {
            assert_eq!(self.differences().await, [""; 0]);
        }
    }

    /// Takes what comes by post until so many postings of this kind are there.
    pub(super) async fn until_posted(&self, kind: &str, wanted: i64) {
        let began = Instant::now();
        loop {
            self.take_post().await;
            self.turn().await;
            let posted: i64 = sqlx::query_scalar("select count(*) from booking.ledger_postings where kind = $1")
                .bind(kind)
                .fetch_one(&self.pool)
                .await
                .unwrap();
            if posted == wanted {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "{posted} of {kind}");
        }
    }

    pub(super) async fn dispute(&self, charge: &str, state: &str) {
        let url = format!("{}/_sandbox/disputes", self.sandboxes[0].running.url);
        let told = json!({"payment": charge, "state": state});
        assert_eq!(self.client.post(url).json(&told).send().await.unwrap().status(), 204);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_ledger_has_the_gateways_have_and_the_other_way_round() {
    for (first, second) in [("stripe", "adyen"), ("adyen", "stripe")] {
        let shop = Shop::between(first, second).await;
        // kept, given back, and refused by the gateway when it was to be given back
        let kept = shop.confirmed().await;
        cancelled(&shop, shop.confirmed().await.order_id).await;
        assert_eq!(shop.run_all(REFUND_ORDER).await, ["completed"]);
        let refused = shop.confirmed().await;
        shop.gateway_fault(json!({"fault": "decline", "operation": "refund"})).await;
        cancelled(&shop, refused.order_id).await;
        shop.until_posted("refundFailed", 1).await;
        shop.heal_gateway().await;
        // taken in the dark and given back, while the second gateway has taken the order's money; of which some goes back
        go_dark(&shop, "timeout_after").await;
        let elsewhere = shop.order(VISA).await;
        shop.run_until(elsewhere.saga_id, "completed").await;
        shop.heal_gateway().await;
        assert_eq!(shop.run_all("settle-doubt").await, ["completed"]);
        cancelled(&shop, elsewhere.order_id).await;
        shop.until_posted("refundSucceeded", 3).await;
        // lost to the buyer's bank
        let charge = shop.see(kept.order_id).await.payments[0].reference.clone().unwrap().to_string();
        shop.dispute(&charge, "opened").await;
        shop.until_posted("disputeOpened", 1).await;
        shop.gives_nothing_back_twice(kept.order_id).await;
        shop.dispute(&charge, "lost").await;
        shop.until_posted("disputeLost", 1).await;
        shop.gives_nothing_back_twice(kept.order_id).await;

        assert_eq!(shop.differences().await, [""; 0]);
        assert_eq!(shop.by_the_ledger().await.len(), 5 + 3, "{:?}", shop.by_the_ledger().await);
        let disputed = shop.disputed().await;
        assert_eq!(
            disputed,
            ["disputeOpened", "disputeLost"].map(|kind| (kind.to_owned(), charge.clone(), PRICE)),
            "of a charge that the books have"
        );
        shop.only_one_of_them_knows(&charge).await;
    }
}

impl Shop {
    /// What the buyer's bank takes back is not refunded as well, whoever asks.
    async fn gives_nothing_back_twice(&self, order: OrderId) {
        let asked = ask(self, order, Wanted::default(), "disputed").await;
        assert!(matches!(asked, Err(AskError::Disputed { .. })), "{asked:?}");
        let cancelled = cancel(&self.engine, &anybody(), cancellation(order)).await;
        assert!(
            matches!(&cancelled, Err(CancelError::NotCancellable(why)) if why.contains("disputed")),
            "{cancelled:?}"
        );
    }

    /// A posting of what never was, and a refund that somebody has made at the gateway by hand, are found.
    async fn only_one_of_them_knows(&self, charge: &str) {
        let posting = "with p as (
                insert into booking.ledger_postings (posting_id, key, kind, gateway, reference)
                values (gen_random_uuid(), 'capture:x', 'capture', 'primary', 'x') returning posting_id)
            insert into booking.ledger_entries (posting_id, account_id, amount_minor, currency)
            select posting_id, account_id, case name when 'doubt' then -1 else 1 end, 'GBP'
            from p, booking.ledger_accounts where name in ('doubt', 'gateway:primary:clearing')";
        sqlx::raw_sql(posting).execute(&self.pool).await.unwrap();
        assert_eq!(self.differences().await, ["only ours: primary charge x 1 GBP"]);
        let url = &self.sandboxes[0].running.url;
        if !charge.starts_with("pi_") {
            return;
        }
        let refund = self.client.post(format!("{url}/v1/refunds")).bearer_auth("sk_test");
        let answer = refund.form(&[("payment_intent", charge), ("amount", "5")]).send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
        let found = self.differences().await;
        assert!(found[1].starts_with("only theirs: primary refund re_") && found[1].ends_with(" 5 GBP"), "{found:?}");
    }
}
