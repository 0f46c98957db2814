//! Definitions on paper: what two versions say otherwise, what a saga would do, and how many run on each.

use crate::support::App;
use axum::http::Method;
use serde_json::{Value, json};

const FIRST: &str = "saga: shop
input: { type: object, properties: { seat: { type: string } }, required: [seat] }
steps:
  - { step: hold, action: demo.echo, compensation: demo.undo }
  - { step: pay, action: demo.fail, input: { times: 0 }, compensation: demo.undo, probe: demo.probe, timeout: 5s, retry: { attempts: 2, backoff: 1s..4s } }
  - { step: commit, action: demo.echo, pivot: true }
";

async fn shop() -> App {
    let app = App::new().await;
    app.put_yaml("operator", "/definitions/shop", FIRST).await.expect(201);
    app
}

#[tokio::test]
async fn two_versions_differ_by_what_they_say() {
    let app = shop().await;
    app.put_yaml("operator", "/definitions/shop", &FIRST.replace("timeout: 5s", "timeout: 7s")).await.expect(201);
    let diff = app.get("viewer", "/definitions/shop/2/diff").await.expect(200).body;
    assert_eq!((&diff["version"], &diff["against"]), (&json!(2), &json!(1)), "without an active one, the one before");
    assert_eq!(diff["differences"], json!([{ "path": "steps.pay.timeout", "before": 5000, "after": 7000 }]));
    assert!(diff["source"].as_str().unwrap().contains("\n+  - { step: pay"), "{}", diff["source"]);
    let back = app.get("viewer", "/definitions/shop/1/diff?against=2").await.expect(200).body;
    assert_eq!(back["differences"][0]["after"], 5000);
    let same = app.get("viewer", "/definitions/shop/1/diff?against=1").await.expect(200).body;
    assert_eq!((&same["differences"], &same["source"]), (&json!([]), &json!("")));
    app.get("viewer", "/definitions/shop/3/diff").await.expect_problem(404, "not-found");
    app.get("viewer", "/definitions/shop/1/diff?against=9").await.expect_problem(404, "not-found");
}

#[tokio::test]
async fn a_mock_run_tells_the_path_and_changes_nothing() {
    let app = shop().await;
    let script = json!({
        "input": { "seat": "A-1" },
        "answers": {
            "pay": { "action": [{ "answer": "inDoubt", "code": "lost", "takesMs": 700 }], "probe": [{ "answer": "permanent", "code": "card-declined" }] },
        }
    });
    let run = app.post("operator", "/definitions/shop/1/mock-run", &script).await.expect(200).body;
    let path: Vec<_> = run["path"]
        .as_array()
        .unwrap()
        .iter()
        .map(|call| [&call["step"], &call["half"], &call["afterMs"], &call["answer"]])
        .collect();
    let wanted = json!([
        ["hold", "action", 0, "done"],
        ["pay", "action", 0, "inDoubt"],
        ["pay", "probe", 1_700, "permanent"],
        ["pay", "compensation", 1_700, "done"],
        ["hold", "compensation", 1_700, "done"],
    ]);
    assert_eq!(json!(path), wanted);
    assert_eq!(
        (&run["state"], &run["cause"]["code"], &run["tookMs"]),
        (&json!("compensated"), &json!("card-declined"), &json!(1_700))
    );
    assert_eq!(run["compensated"], json!(["pay", "hold"]));
    assert_eq!(run["path"][0]["input"], json!({ "seat": "A-1" }));
    assert_eq!(run["journal"][0]["kind"], "started");
    assert_eq!(app.get("operator", "/sagas").await.expect(200).body["items"], json!([]));
}

#[tokio::test]
async fn a_mock_run_that_cannot_be_says_why() {
    let app = shop().await;
    let refused = async |script: Value| {
        let answer = app.post("operator", "/definitions/shop/1/mock-run", &script).await;
        let mistakes = answer.expect_problem(400, "invalid-input").body["mistakes"].clone();
        mistakes.as_array().unwrap().iter().map(|one| one["pointer"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let answers = json!({ "nowhere": {}, "commit": { "probe": [{ "answer": "done" }] } });
    let found = refused(json!({ "input": { "seat": 1 }, "answers": answers })).await;
    assert_eq!(found, ["/input/seat", "/answers/commit/probe", "/answers/nowhere"]);
    let unknown = json!({ "input": { "seat": "A-1" }, "answers": { "pay": { "aktion": [] } } });
    let refused = app.post("operator", "/definitions/shop/1/mock-run", &unknown).await.expect(400);
    assert!(refused.text("/detail").contains("aktion"), "{}", refused.body);
    let script = json!({ "input": { "seat": "A-1" } });
    app.post("operator", "/definitions/shop/9/mock-run", &script).await.expect_problem(404, "not-found");
    app.post("viewer", "/definitions/shop/1/mock-run", &script).await.expect_problem(403, "wrong-role");
}

#[tokio::test]
async fn each_version_says_how_many_sagas_run_on_it() {
    let app = App::new().await;
    for key in ["a", "b"] {
        let body = json!({ "definition": "demo-greeting", "input": { "name": "Anna" }, "idempotencyKey": key });
        app.call("operator", Method::POST, "/sagas", Some(&body)).await.expect(202);
    }
    let shown = app.get("viewer", "/definitions/demo-greeting").await.expect(200).body;
    assert_eq!(shown["versions"][0]["live"], json!({ "running": 2 }));
    let listed = app.get("viewer", "/definitions").await.expect(200).body;
    let mut others = listed["items"].as_array().unwrap().iter().filter(|one| one["name"] != "demo-greeting");
    assert!(others.all(|one| one["versions"][0]["live"] == json!({})), "{listed}");
}
