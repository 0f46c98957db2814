//! Refunds that finance asks for, and the second person's consent.

use crate::support::{Answer, App};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use workflows::access::{Role, create_token};

/// An order of so many seats at 45.00 EUR that was paid long ago: no worker runs here.
pub(crate) async fn paid(app: &App, seats: u32) -> (String, Vec<String>) {
    let event = app.event(seats).await;
    let wish = json!({"userId": "anna", "bestAvailable": {"count": seats}});
    let hold = app.post("client", &format!("/events/{event}/reserve"), &wish).await.expect(201).text("/reserveId");
    let body = json!({"reserveId": hold, "paymentMethod": "pm_card_visa", "idempotencyKey": hold});
    let order = app.post("client", "/orders", &body).await.expect(202);
    let uuid = |pointer: &str| order.text(pointer).split_once('_').unwrap().1.to_owned();
    let (order_id, saga) = (uuid("/orderId"), uuid("/sagaId"));
    for statement in [
        format!("update engine.sagas set state = 'completed', finished_at = now() where saga_id = '{saga}'"),
        format!("delete from engine.ready where saga_id = '{saga}'"),
        format!("update booking.orders set status = 'confirmed', confirmed_at = now() where order_id = '{order_id}'"),
        format!(
            "insert into booking.payments (payment_id, order_id, saga_id, gateway, key, reference, status, amount_minor,
                 currency, captured_minor)
             select gen_random_uuid(), order_id, saga_id, 'primary', 'k' || order_id, 'pi_' || order_id, 'captured',
                 total_minor, currency, total_minor
             from booking.orders where order_id = '{order_id}'"
        ),
    ] {
        sqlx::query(AssertSqlSafe(statement)).execute(app.engine.pool()).await.unwrap();
    }
    (order.text("/orderId"), app.seats(&event).await)
}

pub(crate) async fn person(app: &App, role: Role, name: &str) -> String {
    create_token(app.engine.pool(), role, name, None, "a test").await.unwrap().expose_secret().to_owned()
}

async fn ask(app: &App, who: &str, order: &str, body: Value) -> Answer {
    app.post(who, &format!("/orders/{order}/refunds"), &body).await
}

#[tokio::test]
async fn a_refund_is_asked_for_once_and_found_again() {
    let app = App::new().await;
    let (order, seats) = paid(&app, 3).await;
    let body = json!({"seatIds": [seats[1]], "reason": "blocked view", "idempotencyKey": "k"});
    let asked = ask(&app, "finance", &order, body.clone()).await.expect(202);
    assert_eq!((asked.text("/state").as_str(), asked.body.get("approvalId")), ("approved", None));
    assert_eq!(asked.headers["location"], format!("/refunds/{}", asked.text("/refundId")));
    let again = ask(&app, "finance", &order, body).await.expect(202);
    assert_eq!((&again.body, &again.headers["idempotent-replayed"]), (&asked.body, &"true".parse().unwrap()));
    let other = json!({"reason": "blocked view", "idempotencyKey": "k"});
    ask(&app, "finance", &order, other).await.expect_problem(409, "idempotency-conflict");

    let path = format!("/refunds/{}", asked.text("/refundId"));
    let shown = app.get("finance", &path).await.expect(200);
    let expected = json!({
        "refundId": asked.body["refundId"], "orderId": order, "sagaId": asked.body["sagaId"], "gateway": "primary",
        "reference": null, "amount": {"amount": 4500, "currency": "EUR"},
        "outstanding": {"amount": 4500, "currency": "EUR"}, "seatIds": [seats[1]], "state": "approved", "attempts": 0,
        "reason": "blocked view", "requestedAt": shown.body["requestedAt"], "requestedBy": "finance",
        "approvalId": null, "finishedAt": null,
    });
    assert_eq!(shown.body, expected);
    for query in ["", "state=approved", &format!("q={order}"), &format!("q={}", asked.text("/refundId"))] {
        let listed = app.get("finance", &format!("/refunds?{query}")).await.expect(200);
        assert_eq!(listed.body["items"], json!([expected]), "{query}");
    }
    for query in ["state=failed", "q=nothing", "from=2035-01-01T00:00:00Z", "to=2020-01-01T00:00:00Z"] {
        let listed = app.get("finance", &format!("/refunds?{query}")).await.expect(200);
        assert_eq!(listed.body["items"], json!([]), "{query}");
    }
    app.get("finance", "/refunds?state=happy").await.expect_problem(400, "invalid-parameter");
    let acts = app.get("admin", &format!("/audit?object={}", asked.text("/refundId"))).await.expect(200);
    assert_eq!(
        (&acts.body["items"][0]["act"], &acts.body["items"][0]["actor"]),
        (&json!("refund.request"), &json!("finance"))
    );
}

#[tokio::test]
async fn more_than_was_taken_is_refused_and_so_is_what_makes_no_sense() {
    let app = App::new().await;
    let (order, seats) = paid(&app, 2).await;
    let too_much = json!({"amount": 9001, "reason": "x", "idempotencyKey": "k"});
    let refused = ask(&app, "finance", &order, too_much).await.expect_problem(409, "exceeds-captured");
    assert_eq!(refused.body["left"], json!({"amount": 9000, "currency": "EUR"}));
    // the key of what was refused is free
    let seat = json!({"seatIds": [seats[0]], "reason": "x", "idempotencyKey": "k"});
    ask(&app, "finance", &order, seat).await.expect(202);
    let twice = json!({"seatIds": [seats[0]], "reason": "x", "idempotencyKey": "k2"});
    ask(&app, "finance", &order, twice).await.expect_problem(409, "exceeds-captured");
    let rest = json!({"reason": "x", "idempotencyKey": "k3"});
    ask(&app, "finance", &order, rest).await.expect(202);
    let nothing = json!({"reason": "x", "idempotencyKey": "k4"});
    ask(&app, "finance", &order, nothing).await.expect_problem(409, "exceeds-captured");
    for (member, value) in
        [("amount", json!(0)), ("amount", json!(1.5)), ("seatIds", json!([])), ("seatIds", json!(["x"]))]
    {
        let mut body = json!({"reason": "x", "idempotencyKey": "k5"});
        body[member] = value;
        let (fresh, _) = paid(&app, 1).await;
        ask(&app, "finance", &fresh, body).await.expect_problem(400, "invalid-value");
    }
    let pending = app.order("anna").await.text("/orderId");
    let body = json!({"reason": "x", "idempotencyKey": "k6"});
    ask(&app, "finance", &pending, body.clone()).await.expect_problem(409, "not-refundable");
    ask(&app, "finance", "ord_00000000000000000000000000000000", body.clone()).await.expect_problem(404, "not-found");
    ask(&app, "operator", &order, body).await.expect_problem(403, "wrong-role");
}

#[tokio::test]
async fn a_second_person_decides_and_never_the_one_who_asked() {
    let app = App::new().await;
    let (anna, bert) = (person(&app, Role::Finance, "anna").await, person(&app, Role::Finance, "bert").await);
    // another token of the same person is the same person
    let anna_too = person(&app, Role::Admin, "anna").await;
    let (order, _) = paid(&app, 12).await;
    let body = json!({"reason": "cancelled show", "idempotencyKey": "k"});
    let asked = ask(&app, &anna, &order, body).await.expect(202);
    assert_eq!(asked.text("/state"), "requested");
    let approval = asked.text("/approvalId");

    let listed = app.get("viewer", "/approvals?state=requested").await.expect(200).body["items"][0].clone();
    assert_eq!(
        (&listed["approvalId"], &listed["content"], &listed["redacted"]),
        (&json!(approval), &Value::Null, &json!(true))
    );
    let listed = app.get("finance", "/approvals?state=requested").await.expect(200).body["items"][0].clone();
    assert_eq!(listed["content"]["amount"], json!({"amount": 54000, "currency": "EUR"}));
    assert_eq!(
        (&listed["act"], &listed["role"], &listed["requestedBy"]),
        (&json!("refund"), &json!("finance"), &json!("anna"))
    );

    let why = json!({"reason": "it is right"});
    let by_approval = format!("/approvals/{approval}/approve");
    let by_refund = format!("/refunds/{}/approve", asked.text("/refundId"));
    for (who, path) in [(&anna, &by_approval), (&anna, &by_refund), (&anna_too, &by_approval)] {
        app.post(who, path, &why).await.expect_problem(403, "four-eyes");
    }
    app.post("operator", &by_approval, &why).await.expect_problem(403, "wrong-role");
    app.post("operator", &by_refund, &why).await.expect_problem(403, "wrong-role");
    let approved = app.post(&bert, &by_refund, &why).await.expect(202);
    assert_eq!((&approved.body["state"], &approved.body["decidedBy"]), (&json!("approved"), &json!("bert")));
    let again = app.post(&bert, &by_approval, &why).await.expect(202);
    assert_eq!(again.headers["idempotent-replayed"], "true");
    app.post("finance", &format!("/approvals/{approval}/reject"), &why).await.expect_problem(409, "already-decided");
    let acts = app.get("admin", &format!("/audit?object={}", asked.text("/refundId"))).await.expect(200);
    let told: Vec<_> = acts.body["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|act| (act["act"].as_str().unwrap(), act["actor"].as_str().unwrap(), act["outcome"].as_str().unwrap()))
        .collect();
    let refused = ("refund.approve", "anna", "refused");
    assert_eq!(
        told,
        [("refund.approve", "bert", "done"), refused, refused, refused, ("refund.request", "anna", "done")]
    );
}

#[tokio::test]
async fn what_has_changed_is_void() {
    let app = App::new().await;
    let (order, _) = paid(&app, 12).await;
    let asked = ask(&app, "finance", &order, json!({"reason": "x", "idempotencyKey": "k"})).await.expect(202);
    sqlx::query("update booking.refunds set reason = 'y'").execute(app.engine.pool()).await.unwrap();
    let path = format!("/approvals/{}/approve", asked.text("/approvalId"));
    for _ in 0..2 {
        app.post("admin", &path, &json!({"reason": "x"})).await.expect_problem(409, "approval-void");
    }
    let listed = app.get("finance", "/approvals").await.expect(200);
    assert_eq!(listed.body["items"][0]["state"], "void");
    let unknown = "/approvals/apr_00000000000000000000000000000000/approve";
    app.post("admin", unknown, &json!({"reason": "x"})).await.expect_problem(404, "not-found");
}

#[tokio::test]
async fn nobody_goes_around_a_second_person() {
    let app = App::new().await;
    for definition in ["refund-order", "settle-doubt"] {
        let start = json!({"definition": definition, "input": {}, "idempotencyKey": "k"});
        for who in ["client", "operator", "admin"] {
            app.post(who, "/sagas", &start).await.expect_problem(403, "not-by-hand");
        }
    }
}

#[tokio::test]
async fn a_csv_document_has_exactly_what_matches_and_no_formulas() {
    let app = App::new().await;
    let (order, seats) = paid(&app, 3).await;
    let formula = json!({"seatIds": seats[..2], "reason": "=HYPERLINK(\"x\")", "idempotencyKey": "k"});
    let asked = ask(&app, "finance", &order, formula).await.expect(202);
    let (other, _) = paid(&app, 1).await;
    ask(&app, "finance", &other, json!({"reason": "-1", "idempotencyKey": "k2"})).await.expect(202);
    let heading = "refundId,orderId,sagaId,gateway,reference,amountMinor,outstandingMinor,currency,seatIds,state,\
                   attempts,reason,requestedAt,requestedBy,approvalId,finishedAt";
    let shown = app.get("finance", &format!("/refunds/{}", asked.text("/refundId"))).await.expect(200);
    let of_order = [
        heading.to_owned(),
        format!(
            "{},{order},{},primary,,9000,9000,EUR,{} {},approved,0,\"'=HYPERLINK(\"\"x\"\")\",{},finance,,",
            asked.text("/refundId"),
            asked.text("/sagaId"),
            seats[0],
            seats[1],
            shown.text("/requestedAt")
        ),
    ];
    assert_eq!(app.csv("finance", &format!("/refunds?q={order}")).await, of_order);
    assert_eq!(app.csv("finance", "/refunds?state=failed").await, [heading]);

    // more than one read, and many of one moment
    let many =
        "insert into booking.refunds (refund_id, order_id, payment_id, saga_id, amount_minor, currency, seat_ids,
                    state, reason, requested_by, requested_at, released_at)
                select gen_random_uuid(), order_id, payment_id, gen_random_uuid(), amount_minor, currency, seat_ids,
                    'submitted', reason, requested_by, requested_at, released_at
                from booking.refunds, generate_series(1, 1100) where reason = '-1'";
    sqlx::raw_sql(many).execute(app.engine.pool()).await.unwrap();
    let lines = app.csv("finance", "/refunds?state=submitted&limit=3").await;
    let ids: std::collections::HashSet<_> = lines.iter().skip(1).map(|line| line.split(',').next()).collect();
    assert_eq!((lines.len(), ids.len()), (1_101, 1_100));
    assert!(lines.iter().skip(1).all(|line| line.contains(",submitted,") && line.contains(",'-1,")));
    assert_eq!(app.csv("finance", "/refunds").await.len(), 1_103);
}
