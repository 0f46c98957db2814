//! Row 29: the database's disk is full, and then has room again.

use super::{
    servers::OwnPostgres,
    shop::{Placed, order_for},
    until,
    world::{LEASE, World},
};
use crate::cli::client::Api;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::io::Write;

/// A new cluster and its write-ahead log take about seventy.
const DISK_BYTES: u64 = 128 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_acknowledges_nothing_and_everything_goes_on_when_there_is_room() {
    let postgres = match OwnPostgres::start_on_small_disk(DISK_BYTES) {
        Ok(postgres) => postgres,
        Err(error) => {
            // past the test program's capture: nobody may take this for a success
            let why = format!("\nNOT TESTED: a full disk, because this machine lets us mount none: {error}\n\n");
            std::io::stderr().write_all(why.as_bytes()).unwrap();
            return;
        }
    };
    let mut world = World::on_own(postgres).await;
    let (_program, api) = world.api(&[]).await;
    let _worker = world.worker("worker", &[LEASE]).await;
    let event = api.event(500).await;
    let before = api.order(&event, "before").await;
    api.confirmed(&before).await;

    // tables cannot grow any more
    world.servers.own().disk().fill().unwrap();
    let (mut acknowledged, waiting) = buy_until_refused(&api, &event, "tables").await;
    world.servers.own().disk().make_room().unwrap();
    acknowledged.push(api.place(&waiting, "tables-last").await);
    for placed in &acknowledged {
        api.confirmed(placed).await;
    }

    // nor can the write-ahead log: the database gives up, perhaps for good, and goes on when there is room
    world.servers.own().disk().fill().unwrap();
    use_up_the_log(&mut world).await;
    let held = tokio::spawn({
        let (api, event) = (api.clone(), event.clone());
        async move { api.order(&event, "log").await }
    });
    world.servers.own().disk().make_room().unwrap();
    if world.servers.own().has_ended() {
        world.servers.own().start_again();
    }
    acknowledged.push(held.await.unwrap());
    for placed in &acknowledged {
        api.confirmed(placed).await;
    }
    world.is_sound(&api).await;
}

/// Buys until there is no room for one more order: those that were acknowledged, and the seat of the one that was not.
async fn buy_until_refused(api: &Api, event: &str, buyer: &str) -> (Vec<Placed>, Value) {
    let mut acknowledged = Vec::new();
    let held = api.reserve(event, &format!("{buyer}-last")).await;
    loop {
        let buyer = format!("{buyer}-{}", acknowledged.len());
        let wish = json!({ "userId": buyer, "bestAvailable": { "count": 1 } });
        let (status, seat) = api.ask(Method::POST, &format!("/events/{event}/reserve"), Some(wish)).await;
        if status == StatusCode::SERVICE_UNAVAILABLE {
            return (acknowledged, held);
        }
        let (status, placed) = api.ask(Method::POST, "/orders", Some(order_for(&seat, &buyer))).await;
        if status == StatusCode::SERVICE_UNAVAILABLE {
            return (acknowledged, held);
        }
        assert_eq!(status, StatusCode::ACCEPTED, "{placed}");
        let text = |name: &str| placed[name].as_str().unwrap().to_owned();
        acknowledged.push(Placed { order: text("orderId"), saga: text("sagaId") });
    }
}

/// Writes to the log until it would need another file.
async fn use_up_the_log(world: &mut World) {
    let url = world.database_url();
    until("the database gives up", async || {
        let written = async {
            let mut connection = <sqlx::PgConnection as sqlx::Connection>::connect(&url).await?;
            sqlx::query("select pg_logical_emit_message(true, 'a', repeat('a', 1000000))")
                .execute(&mut connection)
                .await
        };
        let written: Result<_, sqlx::Error> = written.await;
        written.is_err().then_some(())
    })
    .await;
}
