//! Gateways, and what keeps calls away from them.

use crate::support::{Answer, App, until};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use workflows::breakers::{End, Failing, GatewayBreakers, Operation};

fn charge(answer: &Answer) -> Value {
    answer.body["items"][0]["operations"][0].clone()
}

async fn set(app: &App, body: Value) -> Answer {
    app.post("operator", "/gateways/primary/breaker", &body).await
}

fn breakers(app: &App) -> GatewayBreakers {
    app.gateways.get("primary").unwrap().gateway.breakers().unwrap().clone()
}

#[tokio::test]
async fn gateways_are_listed_with_how_their_breakers_stand() {
    let app = App::new().await;
    let answer = app.get("viewer", "/gateways").await.expect(200);
    let gateway = &answer.body["items"][0];
    assert_eq!((&gateway["name"], &gateway["protocol"]), (&json!("primary"), &json!("stripe")));
    let operations: Vec<_> = gateway["operations"].as_array().unwrap().iter().map(|one| &one["operation"]).collect();
    assert_eq!(operations, ["charge", "refund", "void", "probe"]);
    let charge = charge(&answer);
    assert_eq!((&charge["breaker"], &charge["mode"], &charge["parked"]), (&json!("closed"), &json!("auto"), &json!(0)));
    assert_eq!((&charge["calls"], &charge["errors"]), (&json!(0), &json!({})));
    assert!(charge["since"].as_str().unwrap().starts_with("20"), "{charge}");

    let breakers = breakers(&app);
    while breakers.standing(Operation::Charge).breaker == "closed" {
        let pass = breakers.admit(Operation::Charge, None).await.unwrap();
        breakers.settle(pass, End::Failed(Failing::Timeout)).await;
    }
    let open = app.get("viewer", "/gateways").await.expect(200);
    let open = self::charge(&open);
    assert_eq!((&open["breaker"], &open["mode"], &open["calls"]), (&json!("open"), &json!("auto"), &json!(10)));
    assert_eq!(open["errors"], json!({"timeout": 10}));
    assert!(open["since"].as_str() > charge["since"].as_str());
}

#[tokio::test]
async fn a_person_opens_and_closes_and_it_is_written_down() {
    let app = App::new().await;
    let opened = set(&app, json!({"mode": "open", "reason": "they told us"})).await.expect(200);
    let all = opened.body["items"][0]["operations"].as_array().unwrap().clone();
    assert!(all.iter().all(|one| one["breaker"] == "open" && one["mode"] == "open"), "{all:?}");
    assert_eq!((&all[0]["reason"], &all[0]["by"]), (&json!("they told us"), &json!("operator")));
    let held_back = breakers(&app).admit(Operation::Charge, None).await;
    assert!(held_back.is_err(), "no call is made");

    let closed = json!({"mode": "closed", "operation": "charge", "until": "2035-01-01T00:00:00Z", "reason": "try"});
    let closed = set(&app, closed).await.expect(200);
    let charge = charge(&closed);
    assert_eq!((&charge["breaker"], &charge["mode"]), (&json!("closed"), &json!("closed")));
    assert_eq!(charge["until"], "2035-01-01T00:00:00Z");
    assert_eq!(closed.body["items"][0]["operations"][1]["mode"], "open", "of one operation alone");
    for _ in 0..50 {
        let pass = breakers(&app).admit(Operation::Charge, None).await.expect("whatever becomes of them");
        breakers(&app).settle(pass, End::Failed(Failing::Timeout)).await;
    }

    let viewer = app.get("viewer", "/gateways").await.expect(200);
    let seen = self::charge(&viewer);
    assert_eq!((&seen["reason"], &seen["by"], &seen["redacted"]), (&Value::Null, &Value::Null, &json!(true)));
    let auto = set(&app, json!({"mode": "auto", "reason": "well again"})).await.expect(200);
    assert!(auto.body["items"][0]["operations"].as_array().unwrap().iter().all(|one| one["mode"] == "auto"));
    let audit = app.get("admin", "/audit?object=primary").await.expect(200);
    let acts: Vec<_> = audit.body["items"].as_array().unwrap().iter().map(|act| act["act"].clone()).collect();
    assert_eq!(acts, ["gateway.auto", "gateway.closed", "gateway.open"]);
}

#[tokio::test]
async fn what_a_person_opened_comes_back_by_one_call_that_tries() {
    let app = App::new().await;
    set(&app, json!({"mode": "open", "operation": "charge", "reason": "x"})).await.expect(200);
    set(&app, json!({"mode": "auto", "operation": "charge", "reason": "x"})).await.expect(200);
    let breakers = breakers(&app);
    let probe = breakers.admit(Operation::Charge, None).await.unwrap();
    assert!(breakers.admit(Operation::Charge, None).await.is_err());
    breakers.settle(probe, End::Answered).await;
    assert_eq!(breakers.standing(Operation::Charge).breaker, "halfOpen");
}

#[tokio::test]
async fn a_mode_ends_by_itself_and_other_processes_keep_to_it() {
    let app = App::new().await;
    let other = app.another().await;
    let keeping = tokio::spawn({
        let (gateways, pool) = (other.gateways.clone(), other.engine.pool().clone());
        async move { gateways.keep_breakers(&pool).await }
    });
    let opened = json!({"mode": "open", "operation": "refund", "reason": "x"});
    set(&app, opened.clone()).await.expect(200);
    until("it is kept to", async || breakers(&other).admit(Operation::Refund, None).await.is_err()).await;
    let mut soon = opened;
    soon["until"] = json!(in_a_second(&app).await);
    set(&app, soon).await.expect(200);
    let mode = async |app: &App| app.get("viewer", "/gateways").await.body["items"][0]["operations"][1]["mode"].clone();
    until("it is over", async || mode(&app).await == "auto").await;
    until("and there as well", async || breakers(&other).admit(Operation::Refund, None).await.is_ok()).await;
    keeping.abort();
}

/// By the database's clock.
async fn in_a_second(app: &App) -> DateTime<Utc> {
    sqlx::query_scalar("select now() + interval '1 second'").fetch_one(app.engine.pool()).await.unwrap()
}

#[tokio::test]
async fn what_cannot_be_is_refused() {
    let app = App::new().await;
    let wrong = async |body: Value, pointer: &str| {
        let answer = set(&app, body).await.expect_problem(400, "invalid-value");
        assert_eq!(answer.body["pointer"], pointer, "{:?}", answer.body);
    };
    wrong(json!({"mode": "ajar", "reason": "x"}), "/mode").await;
    wrong(json!({"mode": "open", "operation": "capture", "reason": "x"}), "/operation").await;
    wrong(json!({"mode": "open", "reason": " "}), "/reason").await;
    wrong(json!({"mode": "open", "until": "2020-01-01T00:00:00Z", "reason": "x"}), "/until").await;
    wrong(json!({"mode": "auto", "until": "2035-01-01T00:00:00Z", "reason": "x"}), "/until").await;
    set(&app, json!({"mode": "open", "reason": "x", "why": "y"})).await.expect_problem(400, "unknown-member");
    let nobody = app.post("operator", "/gateways/nobody/breaker", &json!({"mode": "open", "reason": "x"})).await;
    nobody.expect_problem(404, "not-found");
    let answer = app.get("viewer", "/gateways").await;
    assert_eq!(charge(&answer)["mode"], "auto", "nothing was changed");
}

async fn in_order(app: &App) -> Vec<String> {
    let answer = app.get("viewer", "/gateways").await.expect(200);
    answer.body["items"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_person_changes_the_order_and_every_process_keeps_to_it() {
    let app = App::new().await;
    let other = app.another().await;
    let keeping = tokio::spawn({
        let (gateways, pool) = (other.gateways.clone(), other.engine.pool().clone());
        async move { gateways.keep_breakers(&pool).await }
    });
    assert_eq!(in_order(&app).await, ["primary", "backup"]);
    let wanted = json!({"names": ["backup", "primary"], "reason": "cheaper this month"});
    app.put("viewer", "/gateways/order", &wanted).await.expect_problem(403, "wrong-role");
    let changed = app.put("operator", "/gateways/order", &wanted).await.expect(200);
    assert_eq!(changed.body["items"][0]["name"], "backup");
    let first = |app: &App| app.gateways.iter().next().unwrap().gateway.name() == "backup";
    assert!(first(&app));
    until("it is kept to elsewhere", async || first(&other)).await;
    assert_eq!(in_order(&app).await, ["backup", "primary"]);
    let audit = app.get("admin", "/audit?act=gateway.order").await.expect(200);
    assert_eq!(
        (&audit.body["items"][0]["actor"], &audit.body["items"][0]["reason"]),
        (&json!("operator"), &json!("cheaper this month"))
    );
    keeping.abort();
}

#[tokio::test]
async fn an_order_that_is_none_is_refused() {
    let app = App::new().await;
    for names in [json!([]), json!(["primary"]), json!(["backup", "primary", "nobody"]), json!(["backup", "backup"])] {
        let body = json!({"names": names, "reason": "x"});
        let answer = app.put("operator", "/gateways/order", &body).await.expect_problem(400, "invalid-value");
        assert_eq!(answer.body["pointer"], "/names", "{:?}", answer.body);
    }
    let body = json!({"names": ["backup", "primary"], "reason": " "});
    app.put("operator", "/gateways/order", &body).await.expect_problem(400, "invalid-value");
    assert_eq!(in_order(&app).await, ["primary", "backup"], "nothing was changed");
}
