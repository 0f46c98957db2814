//! What orders do with holds, and sagas with seats.

use super::world::{ORDER_TTL, Redis, World};
use chrono::{DateTime, Utc};
use orchestrator::{
    action::{Answer, Call, Halt, Lane, LocalAction},
    ids::SagaId,
};
use serde_json::{Value, json};
use std::time::Duration;
use workflows::{
    holds::{BindError, ReserveError, return_seats_in_tx, sweep_expired},
    ids::{HoldId, OrderId},
    seats::{
        SeatStatus::{Available, Held, Sold},
        actions::{CommitSeats, HoldSeats, ReleaseSeats},
    },
};

fn call(saga_id: SagaId, lane: Lane) -> Call {
    Call {
        saga_id,
        keys_of: saga_id,
        definition: "book-tickets".into(),
        tags: Default::default(),
        saga_input: Value::Null,
        step: "seats".into(),
        lane,
        attempt: 1,
        now: DateTime::<Utc>::UNIX_EPOCH,
        deadline: None,
        notes: Vec::new(),
        output: None,
        cause: None,
        failure: None,
        attempts_left: None,
        signal: None,
        signals: Vec::new(),
        wait_elapsed: false,
    }
}

/// Runs an action as the engine does: what it wrote is rolled back when it halts.
async fn run<A: LocalAction>(world: &World, action: A, saga: SagaId, input: &Value) -> Answer<Value> {
    let mut tx = world.pool.begin().await.unwrap();
    let input = serde_json::from_value(input.clone()).unwrap();
    let output = action.run(&mut tx, &call(saga, Lane::Forward), input).await?;
    tx.commit().await.unwrap();
    Ok(serde_json::to_value(output).unwrap())
}

const HOLD: HoldSeats = HoldSeats { lasts: ORDER_TTL, to_pay: Duration::ZERO };

fn code(answer: Answer<Value>) -> String {
    match answer {
        Err(Halt::Permanent(failure)) => failure.code,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_takes_the_hold_over_and_extends_it() {
    let world = World::new(Redis::Well).await;
    let hold = world.held("ann", &[0, 1]).await;
    let order = OrderId::fresh();
    assert!(matches!(world.bind(hold.hold_id, Some("bob"), order).await, Err(BindError::NotFound)));
    world.bind(hold.hold_id, Some("ann"), order).await.unwrap();
    assert!(world.ends_at(hold.hold_id).await > hold.expires_at);
    match world.bind(hold.hold_id, None, OrderId::fresh()).await {
        Err(BindError::OrderExists(found)) => assert_eq!(found, order),
        other => panic!("{other:?}"),
    }
    world.assert_well().await;
    let over = world.held("bob", &[5]).await;
    world.pass_time_of(over.hold_id).await;
    assert!(matches!(world.bind(over.hold_id, None, OrderId::fresh()).await, Err(BindError::Expired)));
    assert!(matches!(world.bind(HoldId::fresh(), None, OrderId::fresh()).await, Err(BindError::NotFound)));
}

#[tokio::test(flavor = "multi_thread")]
async fn hold_and_commit_sell_the_seats_once() {
    let world = World::new(Redis::Well).await;
    let hold = world.held("ann", &[0, 1]).await;
    let (order, saga) = (world.order(&hold).await, SagaId::fresh());
    let input = json!({ "orderId": order, "holdId": hold.hold_id, "paymentMethod": "pm_card_visa" });
    for _ in 0..2 {
        let held = run(&world, HOLD, saga, &input).await.unwrap();
        assert_eq!(held["holdId"], json!(hold.hold_id));
        assert_eq!(held["total"], json!({ "amount": 9_000, "currency": "GBP" }));
    }
    for _ in 0..2 {
        let sold = run(&world, CommitSeats, saga, &input).await.unwrap();
        assert_eq!(sold["seatIds"], json!(world.seats[..2]));
    }
    assert_eq!(world.status(&[0, 1, 2]).await, [Sold, Sold, Available]);
    world.dispatch().await;
    assert!(matches!(world.reserve("bob", &[0], None).await, Err(ReserveError::SeatsUnavailable(_))));
    assert_eq!(sweep_expired(&world.pool, 100).await.unwrap(), 0);
    world.assert_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_that_is_over_commits_only_while_nobody_has_a_seat_of_it() {
    for swept in [false, true] {
        let world = World::new(Redis::Absent).await;
        let (lucky, unlucky) = (world.held("ann", &[0, 1]).await, world.held("bob", &[5, 6]).await);
        let (lucky_order, unlucky_order) = (world.order(&lucky).await, world.order(&unlucky).await);
        world.pass_time_of(lucky.hold_id).await;
        world.pass_time_of(unlucky.hold_id).await;
        if swept {
            assert_eq!(sweep_expired(&world.pool, 100).await.unwrap(), 2);
        }
        let rival = world.held("cy", &[6, 7]).await;
        let saga = SagaId::fresh();
        run(&world, CommitSeats, saga, &json!({ "orderId": lucky_order })).await.unwrap();
        let lost = json!({ "orderId": unlucky_order });
        assert_eq!(code(run(&world, CommitSeats, saga, &lost).await), "hold-lost");
        assert_eq!(code(run(&world, HOLD, saga, &lost).await), "hold-lost");
        run(&world, ReleaseSeats, saga, &lost).await.unwrap();
        assert_eq!(world.status(&[0, 1, 5, 6, 7]).await, [Sold, Sold, Available, Held, Held]);
        // the rival's is untouched
        let rival = world.order(&rival).await;
        run(&world, CommitSeats, saga, &json!({ "orderId": rival })).await.unwrap();
        world.assert_well().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_that_ends_too_soon_to_be_paid_is_extended() {
    let world = World::new(Redis::Well).await;
    let (hold, saga) = (world.held("ann", &[0, 1]).await, SagaId::fresh());
    let input = json!({ "orderId": world.order(&hold).await });
    let placed = world.ends_at(hold.hold_id).await;
    run(&world, HOLD, saga, &input).await.unwrap();
    assert_eq!(world.ends_at(hold.hold_id).await, placed, "it lasts long enough");
    // the calls of these tests are planned at the epoch
    let needed = placed + Duration::from_secs(60);
    let to_pay = (needed - DateTime::<Utc>::UNIX_EPOCH).to_std().unwrap();
    let held = run(&world, HoldSeats { to_pay, ..HOLD }, saga, &input).await.unwrap();
    assert_eq!(world.ends_at(hold.hold_id).await, needed);
    assert_eq!(held["expiresAt"], json!(needed));
    let seats = "select count(*) from booking.seats where hold_id = $1 and held_until = $2";
    let count: i64 = sqlx::query_scalar(seats).bind(hold.hold_id.0).bind(needed).fetch_one(&world.pool).await.unwrap();
    assert_eq!(count, 2);
    world.assert_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_that_is_over_is_held_again_if_it_can_be() {
    let world = World::new(Redis::Absent).await;
    let hold = world.held("ann", &[0, 1]).await;
    let input = json!({ "orderId": world.order(&hold).await });
    world.pass_time_of(hold.hold_id).await;
    sweep_expired(&world.pool, 100).await.unwrap();
    assert_eq!(world.count(Held).await, 0);
    run(&world, HOLD, SagaId::fresh(), &input).await.unwrap();
    assert_eq!(world.status(&[0, 1]).await, [Held, Held]);
    world.assert_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_bars_what_comes_late() {
    let world = World::new(Redis::Well).await;
    let hold = world.held("ann", &[0]).await;
    let saga = SagaId::fresh();
    let input = json!({ "orderId": world.order(&hold).await });
    let released = run(&world, ReleaseSeats, saga, &input).await.unwrap();
    assert_eq!(released["released"], json!([world.seats[0]]));
    assert_eq!(run(&world, ReleaseSeats, saga, &input).await.unwrap()["released"], json!([]), "again");
    assert_eq!(code(run(&world, HOLD, saga, &input).await), "hold-lost");
    assert_eq!(code(run(&world, CommitSeats, saga, &input).await), "hold-lost");
    assert_eq!(world.count(Held).await, 0);
    world.dispatch().await;
    world.held("bob", &[0]).await;
    world.assert_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_saga_may_come_with_seats_instead_of_a_hold() {
    let world = World::new(Redis::Absent).await;
    let with_seats = |order: OrderId, seats: &[usize]| {
        let seats: Vec<_> = seats.iter().map(|at| &world.seats[*at]).collect();
        json!({ "orderId": order, "eventId": world.event, "userId": "ann", "seatIds": seats })
    };
    let saga = SagaId::fresh();
    let input = with_seats(OrderId::fresh(), &[3, 2]);
    let first = run(&world, HOLD, saga, &input).await.unwrap();
    assert_eq!(first["total"]["amount"], 9_000);
    assert_eq!(run(&world, HOLD, saga, &input).await.unwrap(), first, "again");
    assert_eq!(world.status(&[2, 3]).await, [Held, Held]);
    run(&world, CommitSeats, saga, &input).await.unwrap();
    // taken, unknown
    let other = SagaId::fresh();
    assert_eq!(code(run(&world, HOLD, other, &with_seats(OrderId::fresh(), &[3, 4])).await), "hold-lost");
    let mut unknown = with_seats(OrderId::fresh(), &[4]);
    unknown["seatIds"] = json!(["moon"]);
    assert_eq!(code(run(&world, HOLD, other, &unknown).await), "no-such-seats");
    // its compensation came first
    let barred = with_seats(OrderId::fresh(), &[5]);
    for _ in 0..2 {
        assert_eq!(run(&world, ReleaseSeats, other, &barred).await.unwrap()["released"], json!([]));
    }
    assert_eq!(code(run(&world, HOLD, other, &barred).await), "hold-lost");
    assert_eq!(code(run(&world, CommitSeats, other, &barred).await), "hold-lost");
    assert_eq!(world.status(&[2, 3, 4, 5]).await, [Sold, Sold, Available, Available]);
    world.assert_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refunded_seats_can_be_sold_again() {
    let world = World::new(Redis::Well).await;
    let hold = world.held("ann", &[0, 1]).await;
    let order = world.order(&hold).await;
    run(&world, CommitSeats, SagaId::fresh(), &json!({ "orderId": order })).await.unwrap();
    world.dispatch().await;
    let give_back = |seats: Vec<String>| {
        let world = &world;
        async move {
            let mut tx = world.pool.begin().await.unwrap();
            let returned = return_seats_in_tx(&mut tx, order, &seats).await.unwrap();
            tx.commit().await.unwrap();
            returned
        }
    };
    let seat = |at: usize| vec![world.seats[at].clone()];
    assert_eq!(give_back(seat(5)).await, Vec::<String>::new(), "not its own");
    assert_eq!(give_back(seat(0)).await, seat(0));
    assert_eq!(give_back(seat(0)).await, Vec::<String>::new(), "again");
    assert_eq!(world.status(&[0, 1]).await, [Available, Sold]);
    world.assert_well().await;
    world.dispatch().await;
    world.held("bob", &[0]).await;
    assert_eq!(give_back(world.seats[..2].to_vec()).await, seat(1), "bob's stays his");
    assert_eq!(world.status(&[0, 1]).await, [Held, Available]);
    world.assert_well().await;
}
