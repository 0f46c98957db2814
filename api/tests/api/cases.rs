//! Cases, as operators see them.

use crate::support::App;
use serde_json::{Value, json};

async fn killed(app: &App, key: &str) -> String {
    let body = json!({"definition": "demo-greeting", "input": {"name": "anna"}, "idempotencyKey": key});
    let saga = app.post("client", "/sagas", &body).await.expect(202).text("/sagaId");
    let asked =
        app.post("operator", &format!("/sagas/{saga}/kill"), &json!({"reason": "r", "seq": 1})).await.expect(202);
    let consent = format!("/approvals/{}/approve", asked.text("/approvalId"));
    app.post("admin", &consent, &json!({"reason": "yes"})).await.expect(202);
    saga
}

#[tokio::test]
async fn what_needs_a_person_is_shown_by_cause_and_acted_on_as_one() {
    let app = App::new().await;
    assert_eq!(app.get("viewer", "/cases").await.expect(200).body, json!({"items": [], "next": null}));
    let sagas = [killed(&app, "1").await, killed(&app, "2").await];
    let listed = app.get("viewer", "/cases").await.expect(200).body;
    let case = &listed["items"][0];
    assert_eq!(listed["items"].as_array().unwrap().len(), 1, "{listed}");
    assert_eq!(
        (&case["cause"], &case["definition"], &case["step"], &case["gateway"], &case["count"]),
        (&json!("killed"), &json!("demo-greeting"), &Value::Null, &Value::Null, &json!(2))
    );
    assert_eq!((&case["sagaIds"], &case["suggestedAct"]), (&json!(sagas), &json!("look")));
    assert_eq!((&case["moneyAtRisk"], &case["buyers"]), (&json!([]), &json!(0)));
    assert_eq!(case["trend"], json!({"lastHour": 2, "hourBefore": 0}));
    let id = case["caseId"].as_str().unwrap();
    assert_eq!(&app.get("operator", &format!("/cases/{id}")).await.expect(200).body, case);

    let in_case = app.get("viewer", &format!("/sagas?caseId={id}")).await.expect(200).body;
    assert_eq!(in_case["items"].as_array().unwrap().len(), 2, "{in_case}");
    let plan = json!({"act": "retry", "filter": {"caseId": id}, "dryRun": true, "reason": "r"});
    let planned = app.post("operator", "/batches", &plan).await.expect(200).body;
    assert_eq!(planned["groups"][0]["count"], 2, "{planned}");
}

#[tokio::test]
async fn who_may_not_see_cases_and_what_is_none_is_refused() {
    let app = App::new().await;
    app.get("client", "/cases").await.expect_problem(403, "wrong-role");
    let none = "cas_00000000000000000000000000000000";
    app.get("operator", &format!("/cases/{none}")).await.expect_problem(404, "not-found");
    let nobody = app.get("viewer", &format!("/sagas?caseId={none}")).await.expect(200).body;
    assert_eq!(nobody["items"], json!([]));
    app.get("viewer", "/sagas?caseId=17").await.expect_problem(400, "invalid-parameter");
    let plan = json!({"act": "retry", "filter": {"caseId": none}, "dryRun": true, "reason": "r"});
    app.post("operator", "/batches", &plan).await.expect_problem(400, "invalid-value");
}
