//! Row 15: clients hang up while what they asked for waits in the middle of a transaction's beginning. What others
//! write afterwards over the same connections must not vanish.

use super::{
    shop::order_for,
    until,
    world::{LEASE, World},
};
use crate::cli::client::Api;
use private_servers::{Fault, Proxy, Spot};
use reqwest::Method;
use serde_json::{Value, json};

/// How many clients hang up at the same time.
const CLIENTS: usize = 8;
const ROUNDS: usize = 3;

/// Asks, and hangs up when the answers to so many BEGINs are waited for.
async fn hang_up(proxy: &Proxy, api: &Api, requests: Vec<(String, Value)>, transactions: usize) {
    let expected = proxy.sprung() + transactions;
    // all of them: another's, for an event of the gateway, must not take the place of one of these
    proxy.trap(Spot::Begin, Fault::HoldAnswer, usize::MAX);
    let asking: Vec<_> = requests
        .into_iter()
        .map(|(path, body)| {
            // a connection of its own, which closes with it
            let api = Api::new(&api.base, &api.token);
            tokio::spawn(async move { api.try_ask(Method::POST, &path, Some(&body)).await })
        })
        .collect();
    until("all are in the middle of it", async || (proxy.sprung() >= expected).then_some(())).await;
    for request in asking {
        request.abort();
        assert!(request.await.unwrap_err().is_cancelled(), "it was answered before it could hang up");
    }
    proxy.disarm();
    proxy.release();
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_hang_up_take_nobody_elses_writes_along() {
    let world = World::new().await;
    let proxy = Proxy::before(&world.database_url()).unwrap();
    let (_program, api) = world.api(&[("DATABASE_URL", &proxy.url())]).await;
    let _worker = world.worker("worker", &[LEASE]).await;
    let event = api.event(500).await;
    let mut placed = Vec::new();
    for round in 0..ROUNDS {
        let name = |what: &str, client: usize| format!("{what}-{round}-{client}");
        let mut held = Vec::new();
        for client in 0..CLIENTS {
            held.push(api.reserve(&event, &name("gone", client)).await);
        }
        // some place orders, some reserve, some act on a saga
        let orders: Vec<_> = held
            .iter()
            .enumerate()
            .map(|(client, held)| ("/orders".to_owned(), order_for(held, &name("gone", client))))
            .collect();
        // all that come at the same time share a transaction, and the others wait for their turn
        hang_up(&proxy, &api, orders, 1).await;
        let wish = |client| json!({ "userId": name("idle", client), "bestAvailable": { "count": 1 } });
        let reservations = (0..CLIENTS).map(|client| (format!("/events/{event}/reserve"), wish(client))).collect();
        hang_up(&proxy, &api, reservations, CLIENTS).await;
        let mut acts = Vec::new();
        for client in 0..CLIENTS {
            let saga = api.start("demo-wait", &name("saga", client), json!({})).await;
            let seq = api.saga_is(&saga, "waiting").await["seq"].clone();
            acts.push((format!("/sagas/{saga}/cancel"), json!({ "reason": "a test", "seq": seq })));
        }
        hang_up(&proxy, &api, acts, CLIENTS).await;

        // plain writes of others, over the connections that these have left
        for client in 0..CLIENTS {
            placed.push(api.order(&event, &name("stayed", client)).await);
        }
        // and those who come back find what became of their order
        for (client, held) in held.iter().enumerate() {
            placed.push(api.place(held, &name("gone", client)).await);
        }
    }
    for placed in &placed {
        api.confirmed(placed).await;
    }
    let orders = world.number("select count(*) from booking.orders").await;
    assert_eq!(orders, i64::try_from(placed.len()).unwrap(), "an acknowledged order has vanished");
    let open = "select count(*) from pg_stat_activity where state like 'idle in transaction%'";
    world.number_is("no transaction is left open", open, |number| number == 0).await;
    cancel_the_rest(&world, &api).await;
    world.is_sound(&api).await;
}

/// Sagas whose cancellation went with its client are waiting still.
async fn cancel_the_rest(world: &World, api: &Api) {
    let waiting = "select count(*) from engine.sagas where definition = 'demo-wait' and state = 'waiting'";
    until("nobody waits any more", async || {
        let (_, sagas) = api.ask(Method::GET, "/sagas?definition=demo-wait&state=waiting&limit=500", None).await;
        for saga in sagas["items"].as_array().unwrap() {
            let id = saga["sagaId"].as_str().unwrap();
            let seq = api.saga(id).await["seq"].clone();
            let body = json!({ "reason": "the end", "seq": seq });
            api.ask(Method::POST, &format!("/sagas/{id}/cancel"), Some(body)).await;
        }
        (world.number(waiting).await == 0).then_some(())
    })
    .await;
}
