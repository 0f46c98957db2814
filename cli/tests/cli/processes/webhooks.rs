//! Rows 5, 6 and 33: webhooks come five times at once to two processes one of which dies, before the answer to the call
//! that they are about, or after the one that follows them; and a dispute comes when all is over.

use super::{
    gate::{Gate, Held, Kind},
    gateways::{ADYEN, Protocol, STRIPE},
    line::Line,
    program::Program,
    shop::{Placed, kinds_of},
    until,
    world::{LONG_LEASE, World},
};
use crate::cli::client::Api;
use private_servers::{Fault, Proxy, Spot};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

/// How often a gateway tells what it tells several times.
const COPIES: usize = 5;
/// As long as a webhook can wait for the one that follows it.
const REORDERED_MS: u64 = 600_000;

/// An API, with what stands between it and the database.
struct Desk {
    program: Program,
    api: Api,
    database: Proxy,
}

impl Desk {
    async fn open(world: &World, name: &str) -> Self {
        let database = Proxy::before(&world.database_url()).unwrap();
        let (program, api) = world.another_api(name, &[("DATABASE_URL", &database.url())]).await;
        Self { program, api, database }
    }

    fn address(&self) -> String {
        self.api.base.trim_start_matches("http://").to_owned()
    }
}

/// Two APIs that take turns with what the gateways send.
struct House {
    world: World,
    line: Line,
    desks: [Desk; 2],
    event: String,
}

impl House {
    async fn open(protocols: [Protocol; 2]) -> Self {
        let world = World::with_gateways(protocols).await;
        let desks = [Desk::open(&world, "api-one").await, Desk::open(&world, "api-two").await];
        let line = Line::between(world.webhook_address(), desks.iter().map(Desk::address).collect()).await;
        let event = desks[0].api.event(100).await;
        Self { world, line, desks, event }
    }

    /// The API whose process lives to the end.
    fn api(&self) -> &Api {
        &self.desks[1].api
    }

    /// A worker that gets no answer to the calls that move money, until its gate is opened.
    async fn deaf_worker(&self, name: &str) -> (Program, Gate) {
        let gate = Gate::before(&self.world.gateways.primary).await;
        gate.hold(ANSWERS);
        let url = ("SHOWRUNNER_GATEWAYS__PRIMARY__BASE_URL", gate.url.as_str());
        let patient = ("SHOWRUNNER_GATEWAYS__PRIMARY__TIMEOUT_MS", "180000");
        (self.world.worker(name, &[LONG_LEASE, patient, url]).await, gate)
    }

    /// The primary's next webhook waits until the one that follows it is taken.
    async fn the_next_waits(&self) {
        self.world.no_more_faults().await;
        let late = json!({ "fault": "webhook_reordered", "operation": "charge", "count": 1, "delayMs": REORDERED_MS });
        self.world.fault(late).await;
    }

    /// What is told of an order: so many rows of a kind are in the inbox.
    async fn hears(&self, placed: &Placed, kind: &str, times: i64) {
        let rows = format!(
            "select count(*) from booking.webhook_inbox where kind = '{kind}' and order_id = '{}'",
            uuid_of(&placed.order)
        );
        self.world.number_is(&format!("{kind} of {placed:?} is heard"), &rows, |number| number == times).await;
    }

    /// How often a saga was told something.
    async fn told(&self, placed: &Placed) -> usize {
        let saga = self.api().saga(&placed.saga).await;
        saga["journal"].as_array().unwrap().iter().filter(|entry| entry["kind"] == "signalled").count()
    }

    /// A confirmed order's charge, by the gateway's name for it.
    async fn charge_of(&self, placed: &Placed) -> String {
        let order = self.api().at_rest(placed).await;
        order["payments"][0]["reference"].as_str().unwrap().to_owned()
    }

    /// The primary's money was asked for once, in one charge, and so much is with it now.
    async fn was_asked_once(&self, placed: &Placed, kept: i64) {
        let books = self.world.books().await;
        let charges: Vec<&Value> = books.of(&placed.order).collect();
        assert_eq!((charges.len(), books.asked(&placed.order)), (1, 1), "{charges:#?}");
        assert_eq!(books.kept(&placed.order), kept, "{charges:#?}");
    }
}

const ANSWERS: Held = Held::Answers(Kind::Charges);

/// As the database has it.
fn uuid_of(id: &str) -> &str {
    id.split_once('_').unwrap().1
}

/// Row 5, and row 6 with it: five copies at once reach two processes before the answer to their call does, and the
/// worker that waits for that is killed.
async fn copies_come_at_once_and_before_the_answer(house: &House) {
    let (mut victim, gate) = house.deaf_worker("victim").await;
    house.world.fault(json!({ "fault": "webhook_duplicate" })).await;
    house.line.hold();
    let placed = house.desks[0].api.order(&house.event, "copies").await;
    until("all copies are on their way", async || (house.line.held() == COPIES).then_some(())).await;
    until("so is the answer", async || (gate.waiting(&ANSWERS) == 1).then_some(())).await;
    house.line.open();
    house.hears(&placed, "paymentCaptured", 1).await;
    until("the saga is told", async || (house.told(&placed).await == 1).then_some(())).await;
    assert_eq!(house.api().saga(&placed.saga).await["state"], "running", "nobody has heard the answer");
    victim.kill();
    let _successor = house.world.worker("successor", &[LONG_LEASE]).await;
    house.api().confirmed(&placed).await;
    assert_eq!(house.told(&placed).await, 1);
    house.was_asked_once(&placed, 5_000).await;
}

/// The same where the worker lives and hears the answer after the webhook; and of the processes that take the copies
/// one is killed in the middle of it.
async fn one_of_those_who_take_the_copies_dies(house: &mut House) {
    let (_worker, gate) = house.deaf_worker("patient").await;
    for desk in &house.desks {
        desk.database.trap(Spot::CommitOf("paymentCaptured"), Fault::HoldRequest, 1);
    }
    house.line.hold();
    let held = house.line.held();
    let placed = house.api().order(&house.event, "dies").await;
    until("all copies are on their way", async || (house.line.held() == held + COPIES).then_some(())).await;
    house.line.open();
    let is_caught = |desk: &Desk| desk.database.sprung() > 0;
    let caught = until("one is in the middle of it", async || house.desks.iter().position(is_caught)).await;
    house.desks[1 - caught].database.disarm();
    house.hears(&placed, "paymentCaptured", 0).await;
    if caught == 1 {
        house.desks.swap(0, 1);
    }
    house.desks[0].program.kill();
    house.desks[0].database.cut();
    house.hears(&placed, "paymentCaptured", 1).await;
    until("the saga is told", async || (house.told(&placed).await == 1).then_some(())).await;
    gate.open(&ANSWERS);
    house.api().confirmed(&placed).await;
    assert_eq!(house.told(&placed).await, 1);
    house.was_asked_once(&placed, 5_000).await;
}

/// Row 6: what was taken is told after it was given back.
async fn the_first_comes_after_the_last(house: &House) {
    house.the_next_waits().await;
    let placed = house.api().order(&house.event, "reordered").await;
    house.api().confirmed(&placed).await;
    house.hears(&placed, "paymentCaptured", 0).await;
    let before = house.world.number("select count(*) from booking.webhook_inbox").await;
    house.api().cancel(&placed).await;
    house.hears(&placed, "paymentCaptured", 1).await;
    let order = house.api().order_is(&placed, "cancelled").await;
    let overtaken = format!(
        "select count(*) from booking.webhook_inbox captured join booking.webhook_inbox other
         on other.received_at < captured.received_at
         where captured.kind = 'paymentCaptured' and captured.order_id = '{}'",
        uuid_of(&placed.order)
    );
    assert!(house.world.number(&overtaken).await > before, "it came in its turn");
    assert_eq!(order["payments"][0]["status"], "refunded", "{order:#}");
    assert_eq!(order["refunds"].as_array().unwrap().len(), 1, "{order:#}");
    let settling = "select count(*) from engine.sagas where definition = 'settle-doubt'";
    assert_eq!(house.world.number(settling).await, 0, "it was taken for another capture");
    house.was_asked_once(&placed, 0).await;
}

/// Row 33: written down once, by its newest news, and no ticket is void for it.
async fn a_dispute_comes_when_all_is_over(house: &House) {
    let placed = house.api().order(&house.event, "disputed").await;
    house.api().confirmed(&placed).await;
    house.hears(&placed, "paymentCaptured", 1).await;
    let before = house.api().saga(&placed.saga).await;
    let charge = house.charge_of(&placed).await;
    let dispute = async |state: &str| {
        let told = json!({ "payment": charge, "state": state });
        let (status, answer) =
            house.world.gateways.primary.control().ask(Method::POST, "/_sandbox/disputes", Some(told)).await;
        assert_eq!(status, StatusCode::NO_CONTENT, "{answer}");
    };
    house.the_next_waits().await;
    dispute("opened").await;
    house.world.fault(json!({ "fault": "webhook_duplicate" })).await;
    dispute("lost").await;
    let news = "select count(*) from booking.webhook_inbox where kind = 'dispute'";
    house.world.number_is("both are heard", news, |number| number == 2).await;
    let lost = format!(
        "select count(*) from booking.disputes where order_id = '{}' and payment_reference = '{charge}'
         and amount_minor = 5000 and status in ('lost', 'PREARBITRATION_LOST')",
        uuid_of(&placed.order)
    );
    assert_eq!(house.world.number(&lost).await, 1, "it stands as its end says");
    assert_eq!(house.world.number("select count(*) from booking.disputes").await, 1);
    let order = house.api().at_rest(&placed).await;
    assert_eq!((order["status"].as_str(), &order["refunds"]), (Some("confirmed"), &json!([])), "{order:#}");
    assert!(order["tickets"].as_array().unwrap().iter().all(|ticket| ticket["valid"] == true), "{order:#}");
    let after = house.api().saga(&placed.saga).await;
    assert_eq!(kinds_of(&after, "pay"), kinds_of(&before, "pay"));
    house.was_asked_once(&placed, 5_000).await;
}

async fn webhooks_come_as_they_like(protocols: [Protocol; 2]) {
    let mut house = House::open(protocols).await;
    copies_come_at_once_and_before_the_answer(&house).await;
    one_of_those_who_take_the_copies_dies(&mut house).await;
    let _worker = house.world.worker("worker", &[LONG_LEASE]).await;
    the_first_comes_after_the_last(&house).await;
    a_dispute_comes_when_all_is_over(&house).await;
    let api = house.api().clone();
    house.world.is_sound(&api).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn webhooks_that_are_repeated_reordered_early_or_late_do_what_they_say_once() {
    tokio::join!(webhooks_come_as_they_like([STRIPE, ADYEN]), webhooks_come_as_they_like([ADYEN, STRIPE]));
}
