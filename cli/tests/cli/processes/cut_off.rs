//! Row 19: breakers differ between workers.

use super::{
    line::Line,
    shop::Placed,
    until,
    world::{LONG_LEASE, World},
};
use crate::cli::client::Api;
use private_servers::{Fault, Proxy, Spot};
use reqwest::Method;
use serde_json::json;

/// So many calls that fail open a breaker that is not shared.
const FEW_CALLS: (&str, &str) = ("SHOWRUNNER_GATEWAYS__PRIMARY__BREAKER__MINIMUM_CALLS", "3");
const NO_REDIS: (&str, &str) = ("REDIS_URL", "");
/// For how long the gateway keeps the answer back while the line is cut.
const HELD_MS: u64 = 600_000;
/// How many orders come at a time, until both workers have had some.
const FEW_ORDERS: usize = 4;
/// The places of the gateways in the books.
const PRIMARY: usize = 0;
const BACKUP: usize = 1;

/// One worker is cut off from one gateway, and its breaker is open where the other's is closed. Which gateway
/// an order is charged at stands in its journal, whoever looks after it.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_cut_off_from_a_gateway_goes_to_the_next_and_charges_nobody_twice() {
    let world = World::new().await;
    let (_program, api) = world.api(&[]).await;
    let event = api.event(100).await;
    let doubtful = dies_cut_off(&world, &api, &event).await;
    let well = world.worker("well", &[LONG_LEASE, FEW_CALLS]).await;
    api.confirmed(&doubtful).await;
    assert_eq!(world.books().await.asked(&doubtful.order), 1, "once, and nowhere else");

    let line = Line::to(world.gateways.primary.address().to_owned()).await;
    line.cut();
    let url = ("SHOWRUNNER_GATEWAYS__PRIMARY__BASE_URL", line.url.as_str());
    let mut cut_off = world.worker("cut-off", &[LONG_LEASE, FEW_CALLS, NO_REDIS, url]).await;
    let opened = "The breaker of primary for charge was closed and is open";
    let mut placed = Vec::new();
    // both have orders, until its breaker is open and there are some that go past it
    until("the one goes past it and the other to it", async || {
        let began = if cut_off.log().contains(opened) { placed.len() } else { usize::MAX };
        for _ in 0..FEW_ORDERS {
            placed.push(api.order(&event, &format!("{}", placed.len())).await);
        }
        for placed in &placed {
            api.confirmed(placed).await;
        }
        let books = world.books().await;
        let charged_by = |gateway: usize| {
            placed.iter().skip(began).filter(|placed| books.kept_by(gateway, &placed.order) != 0).count()
        };
        (charged_by(PRIMARY) > 0 && charged_by(BACKUP) > 0).then_some(())
    })
    .await;
    assert!(!well.log().contains(opened), "it has learned from the one that is cut off");
    let (_, gateways) = api.ask(Method::GET, "/gateways", None).await;
    let charge = &gateways["items"][PRIMARY]["operations"][0];
    assert_eq!((&charge["operation"], &charge["breaker"]), (&json!("charge"), &json!("closed")), "{gateways:#}");
    cut_off.kill();
    world.is_sound(&api).await;
}

/// An order whose charge is executed and not answered when the line of its worker is cut, and the worker is killed.
async fn dies_cut_off(world: &World, api: &Api, event: &str) -> Placed {
    let line = Line::to(world.gateways.primary.address().to_owned()).await;
    let url = ("SHOWRUNNER_GATEWAYS__PRIMARY__BASE_URL", line.url.as_str());
    let database = Proxy::before(&world.database_url()).unwrap();
    let mut worker = world.worker("dies", &[LONG_LEASE, NO_REDIS, url, ("DATABASE_URL", &database.url())]).await;
    // it goes no further than that
    database.trap(Spot::CommitOf("\"doubted\""), Fault::HoldAnswer, 1);
    world.fault(json!({ "fault": "slow", "operation": "charge", "count": 1, "delayMs": HELD_MS })).await;
    let placed = api.order(event, "doubtful").await;
    until("its money is taken", async || (world.books().await.kept(&placed.order) != 0).then_some(())).await;
    line.cut();
    until("its worker is in doubt", async || (database.sprung() == 1).then_some(())).await;
    worker.kill();
    placed
}
