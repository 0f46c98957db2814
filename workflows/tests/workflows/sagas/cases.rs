//! What needs a person, with the money and the people that it holds, and who is told of it.

use super::{
    faults::Place,
    news::{capture, now, stripe_event, succeeded},
    postbox::Postbox,
    shop::{Death, PRICE, Shop, VISA},
};
use mailparse::{MailHeaderMap, parse_mail};
use orchestrator::{
    SagaId,
    action::Lane,
    acts::{Act, ActRequest},
    cases::Patience,
    outbox::{Deliver as _, Destination},
};
use private_servers::MailServer;
use secrecy::SecretString;
use serde_json::{Value, json};
use std::slice;
use workflows::{
    cases::{Case, CaseWebhook, Notified, check_invariants, close_killed, give_up_webhooks, list, tell_of_new},
    delivery::Deliver,
    gateways::signature,
    mail::Mailer,
    money::{Currency, Money},
    orders::Placement,
    seat_cache::SeatCache,
};

/// Asks a person at once where money is in doubt, and otherwise never.
const IN_DOUBT: Patience = Patience { in_doubt_secs: 0, past_deadline_secs: 9_999, no_progress_secs: 9_999 };

async fn cases(shop: &Shop) -> Vec<Case> {
    list(&shop.engine, None).await.unwrap()
}

/// An order of which nobody can tell whether it was paid, and that no worker has asked about yet.
async fn doubt(shop: &Shop) -> Placement {
    shop.gateway_fault(json!({"fault": "timeout_after", "operation": "charge", "count": 1})).await;
    let placed = shop.order(VISA).await;
    shop.run_and_die(placed.saga_id, &place("pay"), Death::AfterRecord).await;
    assert_eq!(shop.engine.look_for_trouble(IN_DOUBT).await.unwrap(), 1);
    placed
}

#[tokio::test(flavor = "multi_thread")]
async fn money_in_doubt_is_a_case_until_it_is_definite() {
    let shop = Shop::open().await;
    let placed = doubt(&shop).await;
    let case = &cases(&shop).await[0];
    assert_eq!((&*case.of.cause, case.of.gateway.as_deref(), case.of.count), ("in-doubt", Some("primary"), 1));
    assert_eq!((case.buyers, &case.money_at_risk[..]), (1, &[Money::new(PRICE, Currency::GBP)][..]));
    assert_eq!(list(&shop.engine, Some(case.of.case_id)).await.unwrap(), slice::from_ref(case));
    shop.run_until(placed.saga_id, "completed").await;
    assert_eq!(cases(&shop).await, []);
    shop.assert_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_nothing_matches_is_a_case_for_a_month() {
    let shop = Shop::open().await;
    stripe_event(&shop, "e1", "payment_intent.succeeded", 1, succeeded("pi_nobody", 100)).await;
    stripe_event(&shop, "e1", "payment_intent.succeeded", 1, succeeded("pi_nobody", 100)).await;
    stripe_event(&shop, "e2", "payment_intent.succeeded", 1, succeeded("pi_somebody", 200)).await;
    let found = cases(&shop).await;
    let (of, money) = (&found[0].of, &found[0].money_at_risk);
    assert_eq!((found.len(), &*of.cause, of.count, of.sagas.len()), (1, "webhook-unmatched", 2, 0));
    assert_eq!(of.code.as_deref(), Some("paymentCaptured: unknown-charge"));
    assert_eq!((of.gateway.as_deref(), &money[..]), (Some("primary"), &[Money::new(300, Currency::GBP)][..]));
    give_up_webhooks(&shop.pool).await.unwrap();
    assert_eq!(cases(&shop).await.len(), 1);
    shop.sql("update engine.cases set opened_at = opened_at - interval '31 days'").await;
    give_up_webhooks(&shop.pool).await.unwrap();
    assert_eq!(cases(&shop).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_is_matched_later_is_a_case_until_then() {
    let shop = Shop::at_adyen().await;
    let placed = shop.order(VISA).await;
    capture(&shop, placed.order_id, "8836", PRICE, "e1").await;
    let found = cases(&shop).await;
    assert_eq!((found.len(), &*found[0].of.cause, found[0].of.suggested_act()), (1, "webhook-unmatched", "look"));
    // the call is made, and its answer is not written down
    shop.run_and_die(placed.saga_id, &place("pay"), Death::BeforeRecord).await;
    shop.look_again().await;
    assert_eq!(shop.inbox().await, ["paymentCaptured told"]);
    assert_eq!(cases(&shop).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_never_be_is_a_case_until_it_is_no_more() {
    let shop = Shop::open().await;
    let placed = shop.confirmed().await;
    assert_eq!(check_invariants(&shop.engine).await.unwrap(), 0);
    shop.sql("update booking.orders set status = 'rejected', reason = 'a mistake'").await;
    for _ in 0..2 {
        assert!(check_invariants(&shop.engine).await.unwrap() > 0);
    }
    let found = cases(&shop).await;
    assert_eq!((&*found[0].of.cause, &found[0].of.sagas[..]), ("invariant", &[placed.saga_id][..]), "{found:?}");
    shop.sql("update booking.orders set status = 'confirmed', reason = null").await;
    assert_eq!(check_invariants(&shop.engine).await.unwrap(), 0);
    assert_eq!(cases(&shop).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_could_not_be_looked_at_in_time_is_said_and_keeps_what_it_has_told() {
    let shop = Shop::open().await;
    shop.confirmed().await;
    shop.sql("update booking.orders set status = 'rejected', reason = 'a mistake'").await;
    let found = check_invariants(&shop.engine).await.unwrap();
    shop.sql(
        "create function booking.takes_too_long() returns text language plpgsql as
         $$ begin raise exception 'too long' using errcode = 'query_canceled'; end $$;
         alter view booking.order_violations rename to looked_at;
         create view booking.order_violations as
             select invariant, subject, booking.takes_too_long() as detail from booking.looked_at;
         select engine.grant_to_processes()",
    )
    .await;
    assert_eq!(check_invariants(&shop.engine).await.unwrap(), 1);
    let count = |found: &[Case], code: &str| -> i64 {
        found.iter().filter(|case| case.of.code.as_deref() == Some(code)).map(|case| case.of.count).sum()
    };
    let shown = cases(&shop).await;
    assert_eq!(
        (count(&shown, "unchecked"), count(&shown, "invariant-2")),
        (1, i64::try_from(found).unwrap()),
        "{shown:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_order_is_a_case_for_as_long_as_anything_of_it_is_left() {
    let shop = Shop::open().await;
    let placed = doubt(&shop).await;
    kill(&shop, placed.saga_id).await;
    close_killed(&shop.pool).await.unwrap();
    let case = &cases(&shop).await[0];
    assert_eq!((&*case.of.cause, &case.of.sagas[..]), ("killed", &[placed.saga_id][..]));
    shop.end_hold(placed.order_id).await;
    close_killed(&shop.pool).await.unwrap();
    assert_eq!(cases(&shop).await.len(), 1, "money may have been taken");
    shop.sql("update booking.payments set status = 'voided'").await;
    assert_eq!(close_killed(&shop.pool).await.unwrap(), 1);
    assert_eq!(cases(&shop).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_order_with_its_money_is_a_case_until_the_money_is_back() {
    let shop = Shop::open().await;
    let placed = shop.order(VISA).await;
    shop.run_and_die(placed.saga_id, &place("issue"), Death::Before).await;
    kill(&shop, placed.saga_id).await;
    close_killed(&shop.pool).await.unwrap();
    assert_eq!(cases(&shop).await[0].money_at_risk, [Money::new(PRICE, Currency::GBP)]);
    shop.sql(
        "update booking.payments set status = 'refunded', refund_asked_minor = captured_minor,
             refunded_minor = captured_minor",
    )
    .await;
    close_killed(&shop.pool).await.unwrap();
    assert_eq!(cases(&shop).await.len(), 1, "its seat is sold, and nobody has a ticket for it");
    shop.sql("update booking.holds set returned_seat_ids = seat_ids").await;
    assert_eq!(close_killed(&shop.pool).await.unwrap(), 1);
}

async fn kill(shop: &Shop, saga_id: SagaId) {
    let seq = shop.view(saga_id).await.run.seq;
    let (by, reason) = ("olga".to_owned(), "a test".to_owned());
    shop.engine.act(ActRequest { saga_id, act: Act::Kill, reason, seq, by, address: None }).await.unwrap();
}

fn place(step: &str) -> Place {
    Place { definition: "book-tickets".to_owned(), step: step.to_owned(), lane: Lane::Forward }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_case_is_told_once_by_webhook_and_by_mail() {
    let shop = Shop::open().await;
    let (postbox, server, secret) = (Postbox::open().await, MailServer::start().unwrap(), SecretString::from("s3cret"));
    let notified = Notified {
        webhook: Some(CaseWebhook::new(&postbox.url, secret.clone()).unwrap()),
        mailbox: Some(Notified::mailbox("ops@example.org").unwrap()),
    };
    doubt(&shop).await;
    assert_eq!(tell_of_new(&shop.engine, &notified).await.unwrap(), 0, "it may be over at once");
    shop.sql("update engine.cases set opened_at = opened_at - interval '1 minute'").await;
    assert_eq!(tell_of_new(&shop.engine, &Notified::default()).await.unwrap(), 0, "nobody wants to know");
    assert_eq!(tell_of_new(&shop.engine, &notified).await.unwrap(), 1);
    assert_eq!(tell_of_new(&shop.engine, &notified).await.unwrap(), 0);

    let mailer = Some(Mailer::new(&server.url(), "tickets@example.org").unwrap());
    let deliver = Deliver { pool: shop.pool.clone(), cache: SeatCache::absent(), mailer, notified: notified.clone() };
    assert!(Destination::ALL.into_iter().all(|destination| deliver.reaches(destination)));
    for destination in [Destination::Operators, Destination::Outside] {
        assert_eq!(shop.engine.dispatch_outbox(&deliver, destination, 10).await.unwrap(), 1);
    }
    let letter = postbox.next().await;
    signature::verify(letter.headers["x-signature"].to_str().unwrap(), &letter.body, [&secret], now()).unwrap();
    let told: Value = serde_json::from_slice(&letter.body).unwrap();
    let case = &cases(&shop).await[0];
    assert_eq!((&told["caseId"], &told["count"]), (&json!(case.of.case_id), &json!(1)), "{told}");
    assert_eq!(told["moneyAtRisk"], json!([{"amount": PRICE, "currency": "GBP"}]));
    let mail = server.taken();
    assert_eq!((mail.len(), &mail[0].to), (1, &vec!["ops@example.org".to_owned()]));
    let mail = parse_mail(&mail[0].bytes).unwrap();
    assert_eq!(mail.headers.get_first_value("Subject").unwrap(), "Case: in-doubt book-tickets / pay / primary");
    assert!(mail.get_body().unwrap().contains(&case.of.case_id.to_string()));

    // one that comes back soon is the same news; after an hour of quiet it is told of again
    shop.sql("update engine.cases set closed_at = now()").await;
    assert_eq!(tell_of_new(&shop.engine, &notified).await.unwrap(), 0);
    shop.sql("update engine.cases set closed_at = null").await;
    assert_eq!(tell_of_new(&shop.engine, &notified).await.unwrap(), 0);
    shop.sql("update engine.cases set closed_at = now()").await;
    assert_eq!(tell_of_new(&shop.engine, &notified).await.unwrap(), 0);
    shop.sql("update engine.case_notices set empty_since = now() - interval '2 hours'").await;
    assert_eq!(tell_of_new(&shop.engine, &notified).await.unwrap(), 0);
    shop.sql("update engine.cases set closed_at = null").await;
    assert_eq!(tell_of_new(&shop.engine, &notified).await.unwrap(), 1);
}

impl Shop {
    async fn sql(&self, statement: &'static str) {
        sqlx::raw_sql(statement).execute(&self.pool).await.unwrap();
    }
}
