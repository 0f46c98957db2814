//! The record of acts: what is in it, and whether it is what was sealed.

use crate::support::App;
use serde_json::{Value, json};

fn event() -> Value {
    json!({"name": "Nabucco", "venue": "Arena", "startTime": "2035-06-01T20:00", "currency": "EUR",
           "sections": [{"name": "Parterre", "rows": 1, "seatsPerRow": 4, "price": 4500}]})
}

#[tokio::test(flavor = "multi_thread")]
async fn what_programs_and_people_begin_is_in_the_record() {
    let app = App::new().await;
    let event = app.post("admin", "/events", &event()).await.expect(201).text("/eventId");
    let greeting =
        json!({"definition": "demo-greeting", "input": {"name": "Anna"}, "idempotencyKey": "a", "tags": {"shop": "x"}});
    let saga = app.post("operator", "/sagas", &greeting).await.expect(202).text("/sagaId");
    app.post("operator", "/sagas", &greeting).await.expect(202);

    let of = async |object: &str| app.get("operator", &format!("/audit?object={object}")).await.expect(200).body;
    let made = of(&event).await;
    assert_eq!(made["items"][0]["act"], "event.create");
    assert_eq!(made["items"][0]["actor"], "admin");
    assert!(made["items"][0]["address"].is_string());
    let started = of(&saga).await;
    assert_eq!(started["items"].as_array().unwrap().len(), 1, "a repeat is no other act: {started}");
    assert_eq!(started["items"][0]["act"], "start");
    assert_eq!(started["items"][0]["outcome"], "done");
    let token = of("operator").await;
    assert_eq!(token["items"][0]["act"], "token.create");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_record_says_where_it_is_not_what_was_sealed() {
    let app = App::new().await;
    let chain = async || app.get("viewer", "/audit?limit=1").await.expect(200).body["chain"].clone();
    let sealed = app.engine.seal_acts().await.unwrap();
    assert_eq!(chain().await, json!({ "intact": true, "sealed": sealed }));

    let mut tx = app.engine.pool().begin().await.unwrap();
    sqlx::query("set local session_replication_role = replica").execute(&mut *tx).await.unwrap();
    let edit = "update engine.acts set actor = 'mallory'
                where act_id = (select act_id from engine.act_seals where number = 2)";
    sqlx::query(edit).execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    // who asked a moment ago has the answer of that moment
    let broken = loop {
        let chain = chain().await;
        if chain["intact"] == false {
            break chain;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!((&broken["brokenAt"], &broken["sealed"]), (&json!(2), &json!(1)), "{broken}");
    assert!(broken["detail"].as_str().unwrap().ends_with("is not what seal 2 was made of"), "{broken}");
}
