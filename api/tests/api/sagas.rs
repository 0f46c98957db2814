//! Sagas and definitions, as operators see them.

use crate::support::App;
use api::ApiSettings;
use axum::{
    body::Body,
    http::{Method, Request, header},
};
use futures::StreamExt;
use serde_json::{Value, json};
use std::time::Duration;
use tower::ServiceExt;

fn start(key: &str) -> Value {
    json!({"definition": "demo-greeting", "input": {"name": "anna"}, "idempotencyKey": key,
        "tags": {"user": "anna", "colour": "red"}})
}

#[tokio::test]
async fn a_saga_is_started_once_per_key() {
    let app = App::new().await;
    let started = app.post("client", "/sagas", &start("k")).await.expect(202);
    let saga = started.text("/sagaId");
    assert_eq!(started.headers[header::LOCATION].to_str().unwrap(), format!("/sagas/{saga}"));
    let again = app.post("client", "/sagas", &start("k")).await.expect(202);
    assert_eq!(again.headers["idempotent-replayed"], "true");
    assert_eq!(again.text("/sagaId"), saga);
    let mut other = start("k");
    other["tags"] = json!({});
    app.post("client", "/sagas", &other).await.expect_problem(409, "idempotency-conflict");
    assert_ne!(app.post("operator", "/sagas", &start("k")).await.expect(202).text("/sagaId"), saga);
    let unknown = json!({"definition": "nothing", "input": {}, "idempotencyKey": "u"});
    app.post("client", "/sagas", &unknown).await.expect_problem(400, "unknown-definition");
    let wrong = json!({"definition": "book-tickets", "input": {"orderId": 5}, "idempotencyKey": "w"});
    let refused = app.post("client", "/sagas", &wrong).await.expect_problem(400, "invalid-input");
    let mistakes = refused.body["mistakes"].as_array().unwrap();
    assert!(mistakes.iter().any(|mistake| mistake["pointer"] == "/orderId"), "{mistakes:?}");
    let empty = json!({"definition": "demo-greeting", "input": {}, "idempotencyKey": "e"});
    let refused = app.post("client", "/sagas", &empty).await.expect_problem(400, "invalid-input");
    assert!(!refused.text("/detail").starts_with(':'), "{}", refused.body);
}

#[tokio::test]
async fn a_start_that_cannot_be_is_refused_with_what_would_be_right() {
    let app = App::new().await;
    let by_position = json!(["demo-greeting", 1, {"name": "x"}, "k", {}, null, 0]);
    let refused = app.post("operator", "/sagas", &by_position).await.expect_problem(400, "invalid-value");
    assert_eq!(refused.text("/detail"), "must be an object, not a list");
    for (member, value, right) in [
        ("startAt", json!("2035-06-01"), "must be a time in RFC 3339, such as"),
        ("startAt", json!("9999-12-31T23:59:59Z"), "must be before the year 9998"),
        ("startAt", json!("9999-12-31T23:59:59-01:00"), "must be before the year 9998"),
        ("priority", json!(70_000), "must be a whole number from -32768 to 32767, not 70000"),
        ("tags", json!([]), ""),
    ] {
        let mut body = start("k");
        body[member] = value;
        let refused = app.post("operator", "/sagas", &body).await.expect_problem(400, "invalid-value");
        assert_eq!(refused.text("/pointer"), format!("/{member}"));
        assert!(refused.text("/detail").contains(right), "{}", refused.body);
    }
    let mut last = start("last");
    last["startAt"] = json!("9997-12-31T23:59:59Z");
    let saga = app.post("operator", "/sagas", &last).await.expect(202).text("/sagaId");
    let seen = app.get("operator", &format!("/sagas/{saga}")).await.expect(200);
    assert_eq!(seen.text("/deadlineAt"), "9998-01-01T00:00:59Z");
    let refused = app.get("viewer", "/sagas?from=2035-06-01").await.expect_problem(400, "invalid-parameter");
    assert!(refused.text("/detail").starts_with("from: must be a time in RFC 3339, such as"), "{}", refused.body);
}

#[tokio::test]
async fn a_viewer_sees_neither_payloads_nor_persons() {
    let app = App::new().await;
    let saga = app.post("client", "/sagas", &start("k")).await.expect(202).text("/sagaId");
    let seen = app.get("viewer", &format!("/sagas/{saga}")).await.expect(200).body;
    assert_eq!((&seen["redacted"], &seen["input"], &seen["outputs"]), (&json!(true), &Value::Null, &Value::Null));
    assert_eq!(seen["journal"][0]["detail"], Value::Null);
    assert_eq!(seen["tags"], json!({"user": null, "colour": "red"}));
    assert!(!seen.to_string().contains("anna"));
    let whole = app.get("operator", &format!("/sagas/{saga}")).await.expect(200).body;
    assert_eq!(whole["input"], json!({"name": "anna"}));
    assert_eq!(whole["journal"][0]["kind"], "started");
    assert_eq!(whole["journal"][0]["detail"]["input"], json!({"name": "anna"}));
    assert_eq!(whole["tags"]["user"], "anna");
    assert_eq!(whole.get("redacted"), None);
    assert_eq!((&whole["state"], &whole["seq"]), (&json!("running"), &json!(1)));
    let found = app.get("operator", "/sagas?tag.user=anna&state=running&definition=demo-greeting").await.expect(200);
    assert_eq!(found.body["items"][0]["sagaId"], saga);
    assert_eq!(app.get("operator", &format!("/sagas?q={saga}")).await.expect(200).body["items"][0]["sagaId"], saga);
    app.get("viewer", "/sagas?tag.user=anna").await.expect(403);
}

#[tokio::test]
async fn why_says_whose_turn_it_is() {
    let app = App::new().await;
    let saga = app.post("client", "/sagas", &start("k")).await.expect(202).text("/sagaId");
    let why = app.get("viewer", &format!("/sagas/{saga}/why")).await.expect(200).body;
    assert_eq!(why["waitingOn"], "worker");
    assert!(why["sentence"].as_str().unwrap().len() > 10);
    let acts = why["acts"].as_array().unwrap();
    assert!(acts.iter().any(|act| act["act"] == "cancel" && act["allowed"] == true), "{acts:?}");
    let nobody = app.get("viewer", "/sagas/sag_00000000000000000000000000000000/why").await;
    assert_eq!(nobody.expect_problem(404, "not-found").text("/detail"), "There is no such saga.");
    assert_eq!(why["redacted"], true);
    assert_eq!(app.get("operator", &format!("/sagas/{saga}/why")).await.expect(200).body.get("redacted"), None);
}

#[tokio::test]
async fn an_act_is_done_once_on_what_was_seen() {
    let app = App::new().await;
    let saga = app.post("client", "/sagas", &start("k")).await.expect(202).text("/sagaId");
    let act = |name: &str| format!("/sagas/{saga}/{name}");
    let dry = app.post("operator", &act("kill"), &json!({"reason": "r", "seq": 1, "dryRun": true})).await.expect(200);
    assert!(dry.body["summary"].is_string() && dry.body["steps"].is_array(), "{}", dry.body);
    let retry = app.post("operator", &act("retry"), &json!({"reason": "r", "seq": 1})).await;
    retry.expect_problem(409, "not-allowed");
    let signal = json!({"name": "go", "payload": {"x": 1}, "reason": "r", "seq": 1});
    assert_eq!(app.post("operator", &act("signal"), &signal).await.expect(202).body["seq"], 2);
    let cancel = json!({"reason": "r", "seq": 1});
    let moved = app.post("operator", &act("cancel"), &cancel).await.expect_problem(409, "moved-on");
    assert_eq!(moved.body["currentSeq"], 2);
    let cancel = json!({"reason": "a mistake", "seq": 2});
    let done = app.post("operator", &act("cancel"), &cancel).await.expect(202);
    let again = app.post("operator", &act("cancel"), &cancel).await.expect(202);
    assert_eq!(again.body, done.body);
    assert_eq!(again.headers["idempotent-replayed"], "true");
    app.post("admin", &act("cancel"), &cancel).await.expect_problem(409, "moved-on");
    app.post("operator", &act("cancel"), &json!({"seq": 2})).await.expect_problem(400, "invalid-value");
    app.post("operator", &act("cancel"), &json!({"seq": 2, "reason": ""})).await.expect_problem(400, "invalid-value");
}

#[tokio::test]
async fn a_journal_is_followed_from_where_one_was() {
    let app = App::new().await;
    let saga = app.post("client", "/sagas", &start("k")).await.expect(202).text("/sagaId");
    app.kill(&saga, 1).await;
    let events = async |last: &str| {
        let request = Request::get(format!("/sagas/{saga}/events"))
            .header(header::AUTHORIZATION, format!("Bearer {}", app.token("operator")))
            .header("last-event-id", last);
        let response = app.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(response.headers()[header::CONTENT_TYPE], "text/event-stream");
        // The saga is finished, so the stream ends.
        let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        String::from_utf8(body.to_vec()).unwrap()
    };
    let all = events("").await;
    assert!(all.contains("id: 1\n") && all.contains("\"kind\":\"killed\""), "{all}");
    let rest = events("1").await;
    assert!(!rest.contains("id: 1\n") && rest.contains("id: 2\n"), "{rest}");
}

/// Reads a stream of events.
struct Events {
    body: axum::body::BodyDataStream,
    read: String,
}

impl Events {
    async fn open(app: &App, path: &str, last: &str) -> Self {
        let request = Request::get(path)
            .header(header::AUTHORIZATION, format!("Bearer {}", app.token("operator")))
            .header("last-event-id", last);
        let response = app.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(response.headers()[header::CONTENT_TYPE], "text/event-stream");
        Self { body: response.into_body().into_data_stream(), read: String::new() }
    }

    /// The id and the data of the next event.
    async fn next(&mut self) -> (String, Value) {
        loop {
            if let Some(end) = self.read.find("\n\n") {
                let event: String = self.read.drain(..end + 2).collect();
                let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name).map(str::to_owned));
                let Some(id) = field("id: ") else { continue };
                return (id, serde_json::from_str(&field("data: ").unwrap()).unwrap());
            }
            let more = tokio::time::timeout(Duration::from_secs(10), self.body.next()).await;
            self.read.push_str(std::str::from_utf8(&more.expect("nothing happens").unwrap().unwrap()).unwrap());
        }
    }
}

#[tokio::test]
async fn all_sagas_are_followed_from_now_or_from_where_one_was() {
    let app = App::new().await;
    app.post("client", "/sagas", &start("before")).await.expect(202);
    let mut live = Events::open(&app, "/sagas/events", "").await;
    let first = app.post("client", "/sagas", &start("1")).await.expect(202).text("/sagaId");
    let (id, data) = live.next().await;
    assert_eq!((&data["sagaId"], &data["kind"], &data["seq"]), (&json!(first), &json!("started"), &json!(1)));
    let second = app.post("client", "/sagas", &start("2")).await.expect(202).text("/sagaId");
    assert_eq!(live.next().await.1["sagaId"], second);
    app.kill(&first, 1).await;
    let mut again = Events::open(&app, "/sagas/events", &id).await;
    for stream in [&mut live, &mut again] {
        let mut told = Vec::new();
        while told.last() != Some(&(first.clone(), "killed".to_owned())) {
            let (_, data) = stream.next().await;
            told.push((data["sagaId"].as_str().unwrap().to_owned(), data["kind"].as_str().unwrap().to_owned()));
        }
        told.retain(|(_, kind)| kind != "started");
        assert_eq!(told.len(), 2, "{told:?}");
    }
    let request = Request::get("/sagas/events")
        .header(header::AUTHORIZATION, format!("Bearer {}", app.token("viewer")))
        .header("last-event-id", "17");
    app.send(request.body(Body::empty()).unwrap()).await.expect_problem(400, "invalid-cursor");
}

#[tokio::test]
async fn streams_are_bounded_and_a_finished_one_is_not_asked_for_again() {
    let app = App::with(ApiSettings { streams_max: 1, ..ApiSettings::default() }).await;
    let open = Events::open(&app, "/sagas/events", "").await;
    app.get("viewer", "/sagas/events").await.expect_problem(503, "overloaded");
    drop(open);
    app.get("viewer", "/sagas/events").await.expect(200);
    let saga = app.post("client", "/sagas", &start("k")).await.expect(202).text("/sagaId");
    app.kill(&saga, 1).await;
    let request = Request::get(format!("/sagas/{saga}/events"))
        .header(header::AUTHORIZATION, format!("Bearer {}", app.token("viewer")))
        .header("last-event-id", "3");
    app.send(request.body(Body::empty()).unwrap()).await.expect(204);
}

#[tokio::test]
async fn acts_and_refusals_are_recorded() {
    let app = App::new().await;
    let saga = app.post("client", "/sagas", &start("k")).await.expect(202).text("/sagaId");
    let act = json!({"reason": "too early", "seq": 1});
    app.post("operator", &format!("/sagas/{saga}/retry"), &act).await.expect(409);
    app.post("admin", &format!("/sagas/{saga}/cancel"), &act).await.expect(202);
    let acts = app.get("operator", &format!("/audit?object={saga}")).await.expect(200).body;
    assert_eq!(acts["items"].as_array().unwrap().len(), 3);
    assert_eq!((&acts["items"][2]["act"], &acts["items"][2]["actor"]), (&json!("start"), &json!("client")));
    assert_eq!((&acts["items"][0]["act"], &acts["items"][0]["outcome"]), (&json!("cancel"), &json!("done")));
    assert_eq!((&acts["items"][1]["actor"], &acts["items"][1]["outcome"]), (&json!("operator"), &json!("refused")));
    assert_eq!(acts["items"][1]["reason"], "too early");
    let page = app.get("operator", &format!("/audit?object={saga}&limit=1")).await.expect(200);
    let rest = format!("/audit?object={saga}&limit=1&cursor={}", page.text("/next"));
    let rest = app.get("operator", &rest).await.expect(200).body;
    assert_eq!(rest["items"][0], acts["items"][1]);
    let last = format!("/audit?object={saga}&limit=1&cursor={}", rest["next"].as_str().unwrap());
    let last = app.get("operator", &last).await.expect(200).body;
    assert_eq!((&last["items"][0], &last["next"]), (&acts["items"][2], &Value::Null));
    let seen = app.get("viewer", "/audit?actor=admin&act=cancel").await.expect(200).body;
    assert_eq!((&seen["items"][0]["reason"], &seen["items"][0]["redacted"]), (&Value::Null, &json!(true)));
}

#[tokio::test]
async fn definitions_become_versions_and_active_by_choice() {
    let app = App::new().await;
    let put = async |name: &str, yaml: &str| app.put_yaml("operator", &format!("/definitions/{name}"), yaml).await;
    let bad =
        put("mine", "saga: mine\ninput: { type: object }\nsteps:\n  - step: a\n    action: no.such\n    colour: red\n")
            .await;
    let mistakes = bad.expect_problem(422, "invalid-definition").body["mistakes"].clone();
    assert!(mistakes.as_array().unwrap().len() >= 2 && mistakes[0]["line"].is_number(), "{mistakes}");
    let yaml = "saga: mine\ninput: { type: object }\nsteps:\n  - step: a\n    action: demo.echo\n    pivot: true\n";
    let first = put("mine", yaml).await.expect(201);
    assert_eq!(first.body["version"], 1);
    assert_eq!(put("mine", yaml).await.expect(200).body["version"], 1);
    put("other", yaml).await.expect_problem(422, "invalid-definition");
    app.post("client", "/sagas", &json!({"definition": "mine", "input": {}, "idempotencyKey": "1"}))
        .await
        .expect_problem(400, "unknown-definition");
    let asked = app.post("operator", "/definitions/mine/1/activate", &json!({"reason": "first"})).await.expect(202);
    let approve = format!("/approvals/{}/approve", asked.text("/approvalId"));
    app.post("operator", &approve, &json!({"reason": "mine"})).await.expect_problem(403, "four-eyes");
    app.post("admin", &approve, &json!({"reason": "seen"})).await.expect(202);
    app.post("operator", "/definitions/mine/2/activate", &json!({"reason": "no"}))
        .await
        .expect_problem(404, "not-found");
    // of two that somebody has asked for, one after the other was consented to is not what it was
    let second = yaml.replace("step: a", "step: b");
    put("mine", &second).await.expect(201);
    let third = yaml.replace("step: a", "step: c");
    put("mine", &third).await.expect(201);
    let mut asked = Vec::new();
    for version in [2, 3] {
        let path = format!("/definitions/mine/{version}/activate");
        let answer = app.post("operator", &path, &json!({"reason": "newer"})).await.expect(202);
        asked.push(format!("/approvals/{}/approve", answer.text("/approvalId")));
    }
    app.post("admin", &asked[0], &json!({"reason": "seen"})).await.expect(202);
    app.post("admin", &asked[1], &json!({"reason": "seen"})).await.expect_problem(409, "approval-void");
    // back at once, by one person
    let back = app.post("operator", "/definitions/mine/1/activate", &json!({"reason": "worse"})).await.expect(202);
    assert_eq!(back.body["version"], 1);
    let acts = app.get("operator", "/audit?object=mine/1").await.expect(200).body["items"].clone();
    let recorded: Vec<_> =
        acts.as_array().unwrap().iter().map(|act| (&act["act"], act["address"].is_string())).collect();
    let told = [
        ("definition.activate", true),
        ("definition.approve", true),
        ("definition.activate", false),
        ("definition.approve", true),
        ("definition.request", true),
        ("definition.apply", true),
    ];
    assert_eq!(
        recorded,
        told.map(|(act, address)| (json!(act), address)).each_ref().map(|(act, address)| (act, *address))
    );
    app.post("client", "/sagas", &json!({"definition": "mine", "input": {}, "idempotencyKey": "1"})).await.expect(202);
    let shown = app.get("viewer", "/definitions/mine").await.expect(200).body;
    assert_eq!((&shown["version"], &shown["active"]), (&json!(1), &json!(true)));
    assert_eq!(shown["source"], yaml);
    app.get("viewer", "/definitions/mine/1").await.expect(200);
    app.call("viewer", Method::GET, "/definitions/mine/x", None).await.expect_problem(404, "not-found");
    let listed = app.get("viewer", "/definitions").await.expect(200).body;
    let items = listed["items"].as_array().unwrap();
    assert!(items.iter().any(|item| item["name"] == "book-tickets" && item["active"] == true));
}

#[tokio::test]
async fn a_saga_is_held_up_and_given_what_its_step_needs() {
    let app = App::new().await;
    let saga = app.post("client", "/sagas", &start("k")).await.expect(202).text("/sagaId");
    let act = |name: &str| format!("/sagas/{saga}/{name}");
    let because = |seq: i64| json!({"reason": "r", "seq": seq});
    let with = |mut body: Value, seq: i64| {
        body["reason"] = json!("r");
        body["seq"] = json!(seq);
        body
    };
    app.post("operator", &act("resume"), &because(1)).await.expect_problem(409, "not-allowed");
    app.post("operator", &act("probe"), &because(1)).await.expect_problem(409, "not-allowed");
    let past = with(json!({"until": "2020-01-01T00:00:00Z"}), 1);
    app.post("operator", &act("pause"), &past).await.expect_problem(400, "invalid-value");
    let dry = app.post("operator", &act("pause"), &with(json!({"dryRun": true}), 1)).await.expect(200);
    assert!(dry.text("/summary").contains("holds run on"), "{}", dry.body);
    assert_eq!(dry.body["undo"], "possible");
    let paused = app.post("operator", &act("pause"), &because(1)).await.expect(202).body["seq"].as_i64().unwrap();
    assert_eq!(app.get("viewer", &format!("/sagas/{saga}")).await.expect(200).body["state"], "paused");
    let held = app.post("operator", &act("retry"), &because(paused)).await.expect_problem(409, "not-allowed");
    assert_eq!(held.text("/detail"), "it is paused: resume it");
    let resumed =
        app.post("operator", &act("resume"), &because(paused)).await.expect(202).body["seq"].as_i64().unwrap();
    let step = app.get("operator", &format!("/sagas/{saga}")).await.expect(200).text("/step");
    let elsewhere = with(json!({"step": "nowhere", "output": {}}), resumed);
    app.post("operator", &act("skip"), &elsewhere).await.expect_problem(409, "not-allowed");
    let blank = with(json!({"step": step, "output": {}, "evidence": " "}), resumed);
    let refused = app.post("operator", &act("complete"), &blank).await.expect_problem(400, "invalid-value");
    assert_eq!(refused.text("/pointer"), "/evidence");
    let wrong = with(json!({"step": step, "output": "a text", "evidence": "a letter"}), resumed);
    app.post("operator", &act("complete"), &wrong).await.expect_problem(400, "invalid-input");
    app.post("viewer", &act("pause"), &because(resumed)).await.expect_problem(403, "wrong-role");
}

#[tokio::test]
async fn a_saga_that_was_stopped_goes_on_in_another() {
    let app = App::new().await;
    let saga = app.post("client", "/sagas", &start("k")).await.expect(202).text("/sagaId");
    let (path, shown) = (format!("/sagas/{saga}/fork"), format!("/sagas/{saga}"));
    let first = app.get("operator", &shown).await.expect(200).text("/step");
    let body = |step: &str, seq: i64| json!({"step": step, "reason": "stopped by mistake", "seq": seq});
    let live = app.post("operator", &path, &body(&first, 1)).await.expect_problem(409, "not-allowed");
    assert!(live.text("/detail").contains("still goes on"), "{}", live.body);
    app.kill(&saga, 1).await;
    let seq = app.get("operator", &shown).await.expect(200).body["seq"].as_i64().unwrap();
    app.post("viewer", &path, &body(&first, seq)).await.expect_problem(403, "wrong-role");
    app.post("operator", &path, &body("nowhere", seq)).await.expect_problem(409, "not-allowed");
    app.post("operator", &path, &body(&first, 1)).await.expect_problem(409, "moved-on");
    let mut dry = body(&first, seq);
    dry["dryRun"] = json!(true);
    assert_eq!(app.post("operator", &path, &dry).await.expect(200).text("/steps/0/step"), first);
    let forked = app.post("operator", &path, &body(&first, seq)).await.expect(202);
    let again = app.post("operator", &path, &body(&first, seq)).await.expect(202);
    assert_eq!((&again.body, &again.headers["idempotent-replayed"]), (&forked.body, &"true".parse().unwrap()));
    let fork = app.get("operator", &format!("/sagas/{}", forked.text("/forkedInto"))).await.expect(200);
    assert_eq!((&fork.body["state"], &fork.body["journal"][1]["kind"]), (&json!("running"), &json!("forkedFrom")));
    let why = app.get("operator", &format!("{shown}/why")).await.expect(200);
    let option = why.body["acts"].as_array().unwrap().iter().find(|option| option["act"] == "fork").unwrap().clone();
    assert!(option["reason"].as_str().unwrap().contains(&forked.text("/forkedInto")), "{option}");
}

#[tokio::test]
async fn a_saga_is_killed_when_a_second_person_consents() {
    let app = App::new().await;
    let saga = app.post("client", "/sagas", &start("k")).await.expect(202).text("/sagaId");
    let (path, kill) = (format!("/sagas/{saga}/kill"), json!({"reason": "nobody wants it", "seq": 1}));
    let asked = app.post("operator", &path, &kill).await.expect(202);
    let approval = asked.text("/approvalId");
    let again = app.post("operator", &path, &kill).await.expect(202);
    assert_eq!(
        (again.text("/approvalId"), &again.headers["idempotent-replayed"]),
        (approval.clone(), &"true".parse().unwrap())
    );
    let other = app.post("admin", &path, &kill).await.expect_problem(409, "not-allowed");
    assert_eq!(other.text("/approvalId"), approval);
    assert_eq!(app.get("operator", &format!("/sagas/{saga}")).await.expect(200).body["seq"], 1, "nothing was done");
    let (approve, consent) = (format!("/approvals/{approval}/approve"), json!({"reason": "seen"}));
    app.post("operator", &approve, &consent).await.expect_problem(403, "four-eyes");
    app.post("finance", &approve, &consent).await.expect_problem(403, "wrong-role");
    app.post("admin", &approve, &consent).await.expect(202);
    let killed = app.get("operator", &format!("/sagas/{saga}")).await.expect(200).body;
    assert_eq!(killed["state"], "killed");
    let acts = app.get("operator", &format!("/audit?object={saga}")).await.expect(200).body;
    let told: Vec<_> = acts["items"].as_array().unwrap().iter().map(|act| (&act["act"], &act["actor"])).collect();
    let (operator, admin) = (json!("operator"), json!("admin"));
    let (approved, done, asked) = (json!("kill.approve"), json!("kill"), json!("kill.request"));
    for expected in [(&approved, &admin), (&done, &operator), (&asked, &operator)] {
        assert!(told.contains(&expected), "{told:?}");
    }
    let again = app.post("operator", &path, &kill).await.expect(202);
    assert_eq!(again.text("/approvalId"), approval, "the first answer, also afterwards");
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_equal_clicks_ask_a_second_person_once() {
    let app = App::new().await;
    let saga = app.post("client", "/sagas", &start("k")).await.expect(202).text("/sagaId");
    let (path, kill) = (format!("/sagas/{saga}/kill"), json!({"reason": "nobody wants it", "seq": 1}));
    let clicks = futures::future::join_all((0..20).map(|_| app.post("operator", &path, &kill))).await;
    let answers: Vec<_> = clicks.into_iter().map(|answer| answer.expect(202)).collect();
    let replayed = answers.iter().filter(|answer| answer.headers.contains_key("idempotent-replayed")).count();
    assert_eq!(replayed, 19);
    assert!(answers.iter().all(|answer| answer.text("/approvalId") == answers[0].text("/approvalId")));
}

#[tokio::test]
async fn a_saga_that_has_moved_is_not_killed() {
    let app = App::new().await;
    let saga = app.post("client", "/sagas", &start("k")).await.expect(202).text("/sagaId");
    let kill = async |seq: i64| {
        app.post("operator", &format!("/sagas/{saga}/kill"), &json!({"reason": "r", "seq": seq})).await
    };
    kill(7).await.expect_problem(409, "moved-on");
    let first = kill(1).await.expect(202).text("/approvalId");
    let signal = json!({"name": "go", "payload": {}, "reason": "r", "seq": 1});
    app.post("operator", &format!("/sagas/{saga}/signal"), &signal).await.expect(202);
    let second = kill(2).await.expect(202).text("/approvalId");
    assert_ne!(first, second, "what was seen has changed");
    let decide = async |approval: &str, what: &str| {
        app.post("admin", &format!("/approvals/{approval}/{what}"), &json!({"reason": "r"})).await
    };
    decide(&first, "approve").await.expect_problem(409, "approval-void");
    let signal = json!({"name": "go", "payload": {"again": true}, "reason": "r", "seq": 2});
    app.post("operator", &format!("/sagas/{saga}/signal"), &signal).await.expect(202);
    decide(&second, "approve").await.expect_problem(409, "approval-void");
    let third = kill(3).await.expect(202).text("/approvalId");
    decide(&third, "reject").await.expect(202);
    decide(&third, "approve").await.expect_problem(409, "already-decided");
    assert_ne!(app.get("operator", &format!("/sagas/{saga}")).await.expect(200).body["state"], "killed");
}
