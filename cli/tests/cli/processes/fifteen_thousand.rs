//! What an operator meets after a gateway's bad night: fifteen thousand sagas that have stopped for one reason, mended by
//! batches, while a worker dies.

use super::{
    super::client::Api,
    until,
    world::{LEASE, World},
};
use futures::{StreamExt, stream};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

/// Is refused as often as its input says, past its pivot.
pub(super) const JAMMED: &str = "
saga: jammed
input: { type: object, properties: { times: { type: integer } }, required: [times] }
steps:
  - step: begin
    action: demo.echo
    pivot: true
  - step: jam
    action: demo.fail
    input: { times: $.input.times, kind: permanent, code: jammed }
    probe: demo.probe
    retry: { attempts: forever, backoff: 100ms..1s }
";
const SAGAS: usize = 15_000;
/// These are refused once more when they are tried again.
const STUBBORN: usize = 20;
/// As many starts are on their way at once.
const STARTS: usize = 64;

impl Api {
    async fn start_jammed(&self) {
        let start = async |saga: usize| {
            let times = if saga < STUBBORN { 2 } else { 1 };
            self.start("jammed", &format!("jam-{saga}"), json!({ "times": times })).await;
        };
        stream::iter(0..SAGAS).for_each_concurrent(STARTS, start).await;
    }

    /// The one case that there is, once this many are in it.
    async fn case_of(&self, sagas: usize) -> Value {
        until(&format!("{sagas} are in one case"), async || {
            let (_, cases) = self.ask(Method::GET, "/cases", None).await;
            let cases = cases["items"].as_array().unwrap().clone();
            cases.into_iter().next().filter(|case| case["count"] == sagas)
        })
        .await
    }

    /// What would be done: how many acts.
    async fn plan(&self, plan: Value) -> (String, u64) {
        let (status, plan) = self.ask(Method::POST, "/batches", Some(plan)).await;
        assert_eq!(status, StatusCode::OK, "{plan}");
        let counts = plan["groups"].as_array().unwrap().iter().map(|group| group["count"].as_u64().unwrap());
        (plan["planId"].as_str().unwrap().to_owned(), counts.sum())
    }

    /// Begins it, with a second person where it takes one.
    async fn begin(&self, plan: &str) -> String {
        let (status, begun) = self.ask(Method::POST, "/batches", Some(json!({ "planId": plan }))).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{begun}");
        if let Some(approval) = begun["approvalId"].as_str() {
            let other = Self { token: self.second.clone(), ..self.clone() };
            let consent = json!({ "reason": "seen" });
            let (status, answer) =
                other.ask(Method::POST, &format!("/approvals/{approval}/approve"), Some(consent)).await;
            assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
        }
        plan.to_owned()
    }

    async fn batch(&self, batch: &str) -> Value {
        let (status, shown) = self.ask(Method::GET, &format!("/batches/{batch}?limit=1"), None).await;
        assert_eq!(status, StatusCode::OK, "{shown}");
        shown
    }

    /// The batch, once it does nothing more and nothing of it is on its way. It is waited for as long as it gets on.
    async fn batch_at_rest(&self, batch: &str) -> Value {
        let is_at_rest = |shown: &Value| {
            shown["state"] != "running" && ["waiting", "stillRunning"].map(|name| result(shown, name)) == [0, 0]
        };
        let mut before = Value::Null;
        loop {
            let shown = until(&format!("{batch} gets on"), async || {
                Some(self.batch(batch).await).filter(|shown| shown["counts"] != before || is_at_rest(shown))
            })
            .await;
            if is_at_rest(&shown) {
                return shown;
            }
            before = shown["counts"].clone();
        }
    }

    async fn aborts(&self, batch: &str) {
        let reason = json!({ "reason": "not so fast" });
        let (status, answer) = self.ask(Method::POST, &format!("/batches/{batch}/abort"), Some(reason)).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
    }
}

fn result(batch: &Value, name: &str) -> usize {
    usize::try_from(batch["counts"][name].as_u64().unwrap_or_default()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn fifteen_thousand_that_one_cause_has_stopped_are_mended_by_batches() {
    let world = World::new().await;
    let (_api, api) = world.api(&[]).await;
    let _worker = world.worker("worker", &[LEASE]).await;
    let mut other = world.worker("other", &[LEASE]).await;
    api.define("jammed", JAMMED).await;
    api.start_jammed().await;
    let case = api.case_of(SAGAS).await;

    // the first is ended in the middle, while a worker dies
    let limits = json!({ "ratePerSecond": 1_000, "concurrency": 2_000, "abortAtFailureRate": 0.5 });
    let retry = |filter: Value| {
        let mut plan = json!({ "act": "retry", "dryRun": true, "filter": filter, "reason": "the gateway is back" });
        plan.as_object_mut().unwrap().extend(limits.as_object().unwrap().clone());
        plan
    };
    let (plan, acts) = api.plan(retry(json!({ "caseId": case["caseId"] }))).await;
    assert_eq!(acts, SAGAS as u64);
    let first = api.begin(&plan).await;
    until("a part is mended", async || (result(&api.batch(&first).await, "fixed") > SAGAS / 10).then_some(())).await;
    other.kill();
    until("more is mended", async || (result(&api.batch(&first).await, "fixed") > SAGAS / 5).then_some(())).await;
    api.aborts(&first).await;
    let ended = api.batch_at_rest(&first).await;
    assert_eq!(ended["state"], "aborted");
    let (fixed, again) = (result(&ended, "fixed"), result(&ended, "failedAgain"));
    assert_eq!(fixed + again + result(&ended, "notAttempted"), SAGAS, "one result for each: {ended}");
    assert!(fixed < SAGAS, "it was ended in the middle: {ended}");

    // what is left in the case is the next one, those that have failed again included
    let left = SAGAS - fixed;
    let case = api.case_of(left).await;
    let (plan, acts) = api.plan(retry(json!({ "caseId": case["caseId"] }))).await;
    assert_eq!(acts, left as u64);
    let second = api.begin(&plan).await;
    let done = api.batch_at_rest(&second).await;
    assert_eq!(
        (done["state"].as_str(), result(&done, "fixed") + result(&done, "failedAgain")),
        (Some("completed"), left)
    );

    // and then those that have failed again in it
    let stubborn = result(&done, "failedAgain");
    assert_eq!(again + stubborn, STUBBORN, "each that is refused once more is named once: {done}");
    if stubborn > 0 {
        let (plan, acts) = api.plan(retry(json!({ "failedAgainIn": second }))).await;
        assert_eq!(acts, stubborn as u64);
        let third = api.begin(&plan).await;
        assert_eq!(result(&api.batch_at_rest(&third).await, "fixed"), stubborn);
    }

    let completed = "select count(*) from engine.sagas where definition = 'jammed' and state = 'completed'";
    assert_eq!(world.number(completed).await, i64::try_from(SAGAS).unwrap());
    let odd = "select count(*) from (
                   select saga_id from engine.journal where kind = 'succeeded' and entry ->> 'step' = 'jam'
                   group by saga_id having count(*) <> 1) as odd";
    assert_eq!(world.number(odd).await, 0, "nothing is done twice");
    let acted = "select count(*) from engine.journal where kind = 'acted'";
    // one for each time that it was refused: none of what the dead worker had begun was acted on again
    assert_eq!(world.number(acted).await, i64::try_from(SAGAS + STUBBORN).unwrap());
    let (_, cases) = api.ask(Method::GET, "/cases", None).await;
    assert_eq!(cases["items"], json!([]));
    world.is_sound(&api).await;
}
