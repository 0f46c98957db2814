//! Row 32: the buyer cancels while nobody knows whether the order's charge was executed. That is found out first.

use super::{
    gate::{Fate, Gate},
    gateways::{ADYEN, Protocol, STRIPE},
    shop::Placed,
    until,
    world::{LONG_LEASE, World},
};
use crate::cli::client::Api;

/// Longer than a test waits for anything: the worker gives up when its line is cut.
const PATIENT: (&str, &str) = ("SHOWRUNNER_GATEWAYS__PRIMARY__TIMEOUT_MS", "180000");
/// For how long a charge that was never heard of may still arrive.
const LATE_WINDOW: (&str, &str) = ("SHOWRUNNER_GATEWAYS__PRIMARY__LATE_WINDOW_SECS", "1");
const SEATS: usize = 100;

/// What becomes of the worker whose calls have no answer, once the buyer has cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    GivesUp,
    Dies,
    Sleeps,
}

/// One whose money was taken, and one whose call never arrived.
struct Doubtful {
    taken: Placed,
    not_taken: Placed,
}

impl Doubtful {
    fn both(&self) -> [&Placed; 2] {
        [&self.taken, &self.not_taken]
    }
}

async fn cancels(world: &World, api: &Api, event: &str, then: Then) {
    let doubtful = Doubtful {
        taken: api.order(event, &format!("{then:?}-taken")).await,
        not_taken: api.order(event, &format!("{then:?}-not-taken")).await,
    };
    let gate = Gate::before(&world.gateways.primary).await;
    gate.destine(&doubtful.taken.saga, Fate::AnswerLost);
    gate.destine(&doubtful.not_taken.saga, Fate::RequestLost);
    let url = ("SHOWRUNNER_GATEWAYS__PRIMARY__BASE_URL", gate.url.as_str());
    let mut worker = world.worker(&format!("{then:?}"), &[LONG_LEASE, LATE_WINDOW, PATIENT, url]).await;
    until("neither is answered", async || (gate.unanswered() == 2).then_some(())).await;
    for placed in doubtful.both() {
        api.cancel(placed).await;
        let (_, order) = api.persist(reqwest::Method::GET, &format!("/orders/{}", placed.order), None).await;
        assert_eq!(order["status"], "cancelling", "nobody knows yet: {order:#}");
    }
    let successor = match then {
        Then::GivesUp => {
            gate.cut();
            None
        }
        Then::Dies => {
            worker.kill();
            Some(world.worker("successor", &[LONG_LEASE, LATE_WINDOW]).await)
        }
        Then::Sleeps => {
            worker.stop();
            Some(world.worker("successor", &[LONG_LEASE, LATE_WINDOW]).await)
        }
    };
    for placed in doubtful.both() {
        api.order_is(placed, "cancelled").await;
    }
    if then == Then::Sleeps {
        gate.cut();
        worker.go_on();
        for placed in doubtful.both() {
            worker.says(&format!("The claim on saga {} was lost; nothing was written", placed.saga)).await;
        }
    }
    drop(successor);
    let books = world.books().await;
    for (placed, asked) in [(&doubtful.taken, 1), (&doubtful.not_taken, 0)] {
        assert_eq!(
            books.asked(&placed.order),
            asked,
            "{then:?}: {placed:?} is asked for once at most, and nowhere else"
        );
        assert_eq!(books.kept(&placed.order), 0, "{then:?}: {placed:?}");
    }
    let given_back = books.of(&doubtful.taken.order).filter(|charge| charge["captured"] == charge["refunded"]).count();
    assert_eq!(given_back, 1, "{then:?}: it was taken and given back");
}

async fn cancels_while_paying(protocols: [Protocol; 2]) {
    let world = World::with_gateways(protocols).await;
    let (_program, api) = world.api(&[]).await;
    api.let_payments_take_their_time().await;
    let event = api.event(SEATS).await;
    for then in [Then::GivesUp, Then::Dies, Then::Sleeps] {
        cancels(&world, &api, &event, then).await;
    }
    assert_eq!(api.seats_that_are(&event, "available").await, SEATS);
    world.is_sound(&api).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_cancelled_while_nobody_knows_whether_it_was_paid() {
    tokio::join!(cancels_while_paying([STRIPE, ADYEN]), cancels_while_paying([ADYEN, STRIPE]));
}
