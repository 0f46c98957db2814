//! What the ledger says.

use crate::support::App;
use orchestrator::ids::Uuid;
use serde_json::{Value, json};
use workflows::{
    gateways::Reference,
    ids::OrderId,
    ledger::{About, Account, Posting, PostingKind, post_in_tx, roll_up},
    money::{Currency, Money},
};

const CLEARING: &str = "gateway:primary:clearing";

fn order(number: u128) -> OrderId {
    OrderId(Uuid::from_u128(number))
}

/// A charge that took so much for an order, and what it is called.
fn capture(number: u128, reference: &str, amount: Money) -> Posting {
    let about = About {
        order_id: Some(order(number)),
        gateway: Some("primary".to_owned()),
        reference: Some(Reference::new(reference).unwrap()),
        ..About::default()
    };
    let accounts = (Account::Clearing("primary".to_owned()), Account::Doubt);
    Posting::of_two(PostingKind::LateCapture, format!("capture:{number}"), about, accounts, amount).unwrap()
}

/// Each in a transaction of its own, and so at a time of its own.
async fn post(app: &App, postings: &[Posting]) {
    for posting in postings {
        let mut tx = app.engine.pool().begin().await.unwrap();
        post_in_tx(&mut tx, std::slice::from_ref(posting)).await.unwrap();
        tx.commit().await.unwrap();
    }
}

fn eur(amount: i64) -> Money {
    Money::new(amount, Currency::EUR)
}

fn balance(account: &str, amount: i64, currency: &str) -> Value {
    json!({"account": account, "balance": {"amount": amount, "currency": currency}})
}

/// When each posting was, as the API says it.
async fn times(app: &App) -> Vec<String> {
    let listed = app.get("finance", "/ledger/postings").await.expect(200);
    let items = listed.body["items"].as_array().unwrap();
    items.iter().map(|posting| posting["at"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn accounts_come_to_what_was_posted_now_and_then() {
    let app = App::new().await;
    let gbp = Money::new(700, Currency::GBP);
    post(&app, &[capture(1, "pi_1", eur(4500)), capture(2, "pi_2", gbp), capture(3, "pi_3", eur(5))]).await;
    let zero = |currency: &str| json!({"amount": 0, "currency": currency});
    let all = [
        balance("doubt", -4505, "EUR"),
        balance("doubt", -700, "GBP"),
        balance(CLEARING, 4505, "EUR"),
        balance(CLEARING, 700, "GBP"),
    ];
    let times = times(&app).await;
    // the same whether they are counted or not
    for _ in 0..2 {
        let now = app.get("finance", "/ledger/accounts").await.expect(200);
        assert_eq!(now.body, json!({"items": all, "next": null, "trialBalance": [zero("EUR"), zero("GBP")]}));
        let path = format!("/ledger/accounts?at={}", times[0]);
        let first = app.get("admin", &path).await.expect(200);
        let items = [balance("doubt", -4500, "EUR"), balance(CLEARING, 4500, "EUR")];
        assert_eq!(first.body, json!({"items": items, "next": null, "trialBalance": [zero("EUR")]}));
        roll_up(app.engine.pool()).await.unwrap();
    }
    let mut found = Vec::new();
    let mut path = "/ledger/accounts?limit=1".to_owned();
    loop {
        let page = app.get("finance", &path).await.expect(200);
        found.extend(page.body["items"].as_array().unwrap().clone());
        assert_eq!(page.body["trialBalance"], json!([zero("EUR"), zero("GBP")]), "of all accounts, on every page");
        let Some(next) = page.body["next"].as_str() else { break };
        path = format!("/ledger/accounts?limit=1&cursor={next}");
    }
    assert_eq!(found, all);
    let lines = [
        "account,debitMinor,creditMinor,currency",
        "doubt,,4505,EUR",
        "doubt,,700,GBP",
        "gateway:primary:clearing,4505,,EUR",
        "gateway:primary:clearing,700,,GBP",
    ];
    assert_eq!(app.csv("finance", "/ledger/accounts?limit=1").await, lines);
}

#[tokio::test]
async fn postings_are_found_by_order_account_and_time() {
    let app = App::new().await;
    post(&app, &[capture(1, "pi_1", eur(10)), capture(2, "pi_2", eur(20)), capture(3, "pi_3", eur(30))]).await;
    let listed = app.get("finance", "/ledger/postings").await.expect(200);
    let all = listed.body["items"].as_array().unwrap().clone();
    let expected = json!({
        "postingId": all[1]["postingId"], "at": all[1]["at"], "kind": "lateCapture", "orderId": order(2).to_string(),
        "paymentId": null, "refundId": null, "gateway": "primary", "reference": "pi_2", "reason": null,
        "entries": [
            {"account": CLEARING, "amount": {"amount": 20, "currency": "EUR"}},
            {"account": "doubt", "amount": {"amount": -20, "currency": "EUR"}},
        ],
    });
    assert_eq!((all.len(), &all[1]), (3, &expected));
    let times = times(&app).await;
    let of = |numbers: &[usize]| json!(numbers.iter().map(|number| all[*number].clone()).collect::<Vec<_>>());
    let (one, nobody) = (order(2), order(9));
    let (second, third) = (&times[1], &times[2]);
    for (query, found) in [
        (format!("order={one}"), of(&[1])),
        (format!("order={one}&account=doubt"), of(&[1])),
        (format!("order={one}&account=refunds:failed"), of(&[])),
        (format!("order={one}&from={third}"), of(&[])),
        (format!("order={nobody}"), of(&[])),
        ("account=doubt".to_owned(), of(&[0, 1, 2])),
        ("account=refunds:failed".to_owned(), of(&[])),
        ("account=nothing".to_owned(), of(&[])),
        (format!("account={CLEARING}&from={second}&to={third}"), of(&[1])),
        (format!("from={second}"), of(&[1, 2])),
        (format!("to={second}"), of(&[0])),
    ] {
        let listed = app.get("finance", &format!("/ledger/postings?{query}")).await.expect(200);
        assert_eq!(listed.body["items"], found, "{query}");
    }
    for filter in ["", "&account=doubt"] {
        let first = app.get("finance", &format!("/ledger/postings?limit=2{filter}")).await.expect(200);
        let next = format!("/ledger/postings?limit=2{filter}&cursor={}", first.text("/next"));
        let second = app.get("finance", &next).await.expect(200);
        assert_eq!((&first.body["items"], &second.body["items"]), (&of(&[0, 1]), &of(&[2])));
        assert_eq!(second.body["next"], Value::Null);
    }
    let about = format!("{},{second},lateCapture,{one},,,primary,pi_2,", all[1]["postingId"].as_str().unwrap());
    let lines = [
        "postingId,at,kind,orderId,paymentId,refundId,gateway,reference,reason,account,debitMinor,creditMinor,currency"
            .to_owned(),
        format!("{about},{CLEARING},20,,EUR"),
        format!("{about},doubt,,20,EUR"),
    ];
    assert_eq!(app.csv("finance", &format!("/ledger/postings?order={one}")).await, lines);
}

#[tokio::test]
async fn a_csv_document_has_more_than_fits_into_one_read() {
    let app = App::new().await;
    // many of one moment, so that a read ends among them
    let many = "with p as (
            insert into booking.ledger_postings (posting_id, key, kind)
            select gen_random_uuid(), n::text, 'settled' from generate_series(1, 2500) n returning posting_id)
        insert into booking.ledger_entries (posting_id, account_id, amount_minor, currency)
        select posting_id, account_id, case name when 'doubt' then 5 else -5 end, 'EUR'
        from p, booking.ledger_accounts where name in ('doubt', 'disputes:lost')";
    sqlx::raw_sql(many).execute(app.engine.pool()).await.unwrap();
    for path in ["/ledger/postings", "/ledger/postings?account=doubt", "/ledger/postings?limit=7"] {
        let lines = app.csv("finance", path).await;
        let ids: std::collections::HashSet<_> = lines.iter().skip(1).map(|line| line.split(',').next()).collect();
        assert_eq!((lines.len(), ids.len()), (5_001, 2_500), "{path}");
    }
}

#[tokio::test]
async fn it_is_for_finance() {
    let app = App::new().await;
    for path in ["/ledger/accounts", "/ledger/postings"] {
        for who in ["client", "viewer", "operator"] {
            app.get(who, path).await.expect_problem(403, "wrong-role");
        }
        app.get("finance", &format!("{path}?cursor=x")).await.expect_problem(400, "invalid-cursor");
        app.get("finance", &format!("{path}?nothing=x")).await.expect_problem(400, "unknown-parameter");
    }
    app.get("finance", "/ledger/accounts?at=yesterday").await.expect_problem(400, "invalid-parameter");
    app.get("finance", "/ledger/postings?order=x").await.expect_problem(400, "invalid-parameter");
}
