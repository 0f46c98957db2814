//! In which order gateways are asked is changed while orders come.

use super::{until, world::World};
use reqwest::Method;
use serde_json::json;

/// The places of the gateways in the books.
const PRIMARY: usize = 0;
const BACKUP: usize = 1;

/// A worker that runs already hears of it.
#[tokio::test(flavor = "multi_thread")]
async fn orders_are_charged_at_the_gateway_that_is_wanted_first() {
    let world = World::new().await;
    let (_program, api) = world.api(&[]).await;
    let event = api.event(100).await;
    let _worker = world.worker("worker", &[]).await;
    let before = api.order(&event, "before").await;
    api.confirmed(&before).await;
    assert_ne!(world.books().await.kept_by(PRIMARY, &before.order), 0);

    for (place, names) in [(BACKUP, ["backup", "primary"]), (PRIMARY, ["primary", "backup"])] {
        let wanted = json!({ "names": names, "reason": "a test" });
        let (status, answer) = api.ask(Method::PUT, "/gateways/order", Some(wanted)).await;
        assert_eq!((status.as_u16(), &answer["items"][0]["name"]), (200, &json!(names[0])));
        let mut placed = 0;
        until("orders are charged there", async || {
            placed += 1;
            let order = api.order(&event, &format!("{}-{placed}", names[0])).await;
            api.confirmed(&order).await;
            (world.books().await.kept_by(place, &order.order) != 0).then_some(())
        })
        .await;
    }
    world.is_sound(&api).await;
}
