//! One cause, many sagas: one case, told of once, and gone when a batch has mended them.

use super::{
    fifteen_thousand::JAMMED,
    until,
    world::{LEASE, World},
};
use futures::future::join_all;
use private_servers::MailServer;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

const SAGAS: usize = 200;
/// As many of a case's sagas are named.
const NAMED: usize = 100;

/// A server that is told of cases.
struct Told {
    url: String,
    bodies: Arc<Mutex<Vec<Value>>>,
}

impl Told {
    async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/cases", listener.local_addr().unwrap());
        let bodies = Arc::<Mutex<Vec<_>>>::default();
        let taken = Arc::clone(&bodies);
        // ends with the test's runtime
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                if let Some(body) = take(stream).await {
                    taken.lock().unwrap().push(body);
                }
            }
        });
        Self { url, bodies }
    }

    fn bodies(&self) -> Vec<Value> {
        self.bodies.lock().unwrap().clone()
    }
}

/// What is told, once all of it has come.
async fn take(mut stream: TcpStream) -> Option<Value> {
    let mut bytes = Vec::new();
    loop {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
        let text = String::from_utf8_lossy(&bytes);
        let Some((_, body)) = text.split_once("\r\n\r\n") else { continue };
        if let Ok(told) = serde_json::from_str(body) {
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            stream.write_all(answer).await.ok()?;
            return Some(told);
        }
    }
}

impl World {
    /// What a command of an operator's prints.
    fn operate(&self, base: &str, token: &str, arguments: &[&str]) -> Value {
        let remote = ["--url", base, "--token", token, "--json"];
        serde_json::from_str(&self.run(&[arguments, &remote].concat())).unwrap()
    }

    /// Waits until the periodic work that tells of cases has begun anew, twice: once may have been in the middle.
    async fn was_told_anew(&self) {
        for _ in 0..2 {
            let began = "select coalesce(max((extract(epoch from last_started_at) * 1000)::bigint), 0)
                         from engine.schedules where name = 'tell-of-cases'";
            let before = self.number(began).await;
            self.number_is("cases are told of anew", began, |at| at > before).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_cause_on_many_sagas_is_one_case_with_one_notice_until_a_batch_has_mended_it() {
    let world = World::new().await;
    let (told, mail) = (Told::open().await, MailServer::start().unwrap());
    let mail_url = mail.url();
    let variables = [
        LEASE,
        ("SHOWRUNNER_CASES__WEBHOOK_URL", told.url.as_str()),
        ("SHOWRUNNER_CASES__WEBHOOK_SECRET", "s3cret"),
        ("SHOWRUNNER_CASES__MAIL_TO", "ops@example.org"),
        ("SHOWRUNNER_MAIL__SMTP_URL", mail_url.as_str()),
    ];
    let (_api, api) = world.api(&[]).await;
    let _worker = world.worker("worker", &variables).await;
    api.define("jammed", JAMMED).await;
    let keys: Vec<_> = (0..SAGAS).map(|saga| format!("jam-{saga}")).collect();
    let sagas = join_all(keys.iter().map(|key| api.start("jammed", key, json!({ "times": 1 })))).await;

    let olga = world.new_token("operator", "olga");
    let list = || world.operate(&api.base, &olga, &["case", "list"])["items"].as_array().unwrap().clone();
    let case = until("all are in it", async || list().pop().filter(|case| case["count"] == SAGAS)).await;
    assert_eq!(list().len(), 1);
    let of = ["cause", "definition", "step", "code"].map(|member| case[member].as_str().unwrap());
    assert_eq!(of, ["refused", "jammed", "jam", "jammed"]);
    assert_eq!(case["sagaIds"].as_array().unwrap().len(), NAMED);
    let case_id = case["caseId"].as_str().unwrap();
    assert_eq!(world.operate(&api.base, &olga, &["case", "show", case_id])["count"], SAGAS);
    let listed = world.operate(&api.base, &olga, &["saga", "list", "--case", case_id]);
    assert!(sagas.iter().any(|saga| listed["items"][0]["sagaId"] == **saga), "{listed}");

    let notice = until("it is told of", async || told.bodies().pop()).await;
    assert_eq!((&notice["caseId"], &notice["cause"]), (&case["caseId"], &case["cause"]));
    until("a mail has come", async || Some(mail.taken().len()).filter(|count| *count > 0)).await;

    let plan = json!({ "act": "retry", "filter": { "caseId": case_id }, "dryRun": true, "reason": "no jam any more" });
    let (status, plan) = api.ask(Method::POST, "/batches", Some(plan)).await;
    assert_eq!((status, &plan["groups"][0]["count"]), (StatusCode::OK, &json!(SAGAS)), "{plan}");
    let (status, batch) = api.ask(Method::POST, "/batches", Some(json!({ "planId": plan["planId"] }))).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{batch}");
    until("its last saga has left it", async || list().is_empty().then_some(())).await;
    for saga in &sagas {
        api.saga_is(saga, "completed").await;
    }
    world.was_told_anew().await;
    assert_eq!((told.bodies().len(), mail.taken().len()), (1, 1), "{:?}", told.bodies());
    world.is_sound(&api).await;
}
