//! What Redis does for us, and what it cannot do to us.

use super::world::{HOLD_TTL, Redis, World, until};
use std::time::Duration;
use workflows::{
    holds::{Holds, ReserveError, commit_in_tx},
    ids::HoldId,
    redis_link::{LinkError, RedisLink},
    seat_cache::{SeatCache, SeatState, Standing, Taken},
    seats::{SeatStatus::Held, mirror_seats, warm_if_cold},
};

/// Asks until Redis answers in time: on a busy machine it may not, and that is no mistake.
async fn patiently<T, E: std::fmt::Debug, F: Future<Output = Result<T, E>>>(mut call: impl FnMut() -> F) -> T {
    for _ in 0..200 {
        match call().await {
            Ok(answer) => return answer,
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
    call().await.unwrap()
}

async fn is_absorbed(world: &World, seat: usize) -> bool {
    let (cache, seats) = (world.holds.cache(), [world.seats[seat].clone()]);
    let stranger = HoldId::fresh();
    match patiently(|| cache.take(world.event, stranger, &seats)).await.taken {
        Taken::Unavailable(_) => true,
        Taken::All => {
            patiently(|| cache.let_go(world.event, stranger, &seats)).await;
            false
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn losers_do_not_touch_postgres() {
    let world = World::new(Redis::Well).await;
    let hold = world.held("ann", &[0]).await;
    let order = world.order(&world.held("bob", &[1]).await).await;
    let mut tx = world.pool.begin().await.unwrap();
    commit_in_tx(&mut tx, order).await.unwrap();
    tx.commit().await.unwrap();
    world.dispatch().await;
    let closed = world.pool.clone();
    let without_postgres = World { holds: Holds::new(closed.clone(), world.holds.cache().clone(), HOLD_TTL), ..world };
    closed.close().await;
    for seat in [0, 1] {
        let taken = patiently(async || match without_postgres.reserve("cy", &[seat, 2], None).await {
            Err(ReserveError::SeatsUnavailable(seats)) => Ok(seats),
            other => Err(other),
        });
        assert_eq!(taken.await, [without_postgres.seats[seat].clone()]);
    }
    // who gets it in Redis still has to get it there, and gives it back when that fails
    assert!(matches!(without_postgres.reserve("cy", &[2], None).await, Err(ReserveError::Database(_))));
    assert!(!is_absorbed(&without_postgres, 2).await);
    assert_eq!(hold.seat_ids, [without_postgres.seats[0].clone()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_flush_redis_learns_again() {
    let world = World::new(Redis::Well).await;
    let warm =
        || until("the event is warm", || async { world.holds.cache().is_warm(world.event).await.unwrap_or(false) });
    world.held("ann", &[0]).await;
    assert!(is_absorbed(&world, 0).await);
    // what the first request began to tell must not arrive after the flush, with what was true before it
    warm().await;
    world.flush_redis().await;
    // somebody's request finds it cold, and the rest is told behind their back
    world.held("bob", &[1]).await;
    warm().await;
    assert!(is_absorbed(&world, 0).await);
    // or the periodic work does
    world.flush_redis().await;
    patiently(|| warm_if_cold(&world.pool, world.holds.cache())).await;
    assert_eq!(patiently(|| warm_if_cold(&world.pool, world.holds.cache())).await, 0, "warm by now");
    assert!(is_absorbed(&world, 0).await && is_absorbed(&world, 1).await && !is_absorbed(&world, 2).await);
    assert_eq!(world.count(Held).await, 2);
    world.assert_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_message_changes_nothing() {
    let world = World::new(Redis::Well).await;
    let cache = world.holds.cache();
    let (ann, bob, seat) = (HoldId::fresh(), HoldId::fresh(), world.seats[0].clone());
    let held =
        |by, version| SeatState { seat_id: seat.clone(), version, standing: Standing::Held { by, for_ms: 60_000 } };
    let free = |version| SeatState { seat_id: seat.clone(), version, standing: Standing::Free };
    let seats = std::slice::from_ref(&seat);
    let tell = async |state: SeatState| patiently(|| cache.mirror(world.event, std::slice::from_ref(&state))).await;
    let take = async || patiently(|| cache.take(world.event, bob, seats)).await;
    tell(held(ann, 7)).await;
    tell(free(6)).await;
    assert!(is_absorbed(&world, 0).await, "an older message does not free it");
    tell(free(8)).await;
    tell(held(ann, 7)).await;
    assert!(!is_absorbed(&world, 0).await, "nor hold it again");
    // a message about the past does not give away what somebody is taking
    assert_eq!(take().await.taken, Taken::All);
    tell(free(8)).await;
    assert!(is_absorbed(&world, 0).await);
    // of its own it may have more, and only what is not committed is let go
    assert_eq!(take().await.taken, Taken::All);
    tell(held(bob, 9)).await;
    patiently(|| cache.let_go(world.event, bob, seats)).await;
    assert!(is_absorbed(&world, 0).await);
    // what Postgres says now is newer than what it knows
    patiently(|| mirror_seats(&world.pool, cache, world.event, seats)).await;
    assert!(is_absorbed(&world, 0).await, "version 1 of the row is older than 9");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_hangs_costs_little_and_then_nothing() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let hanging = tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            open.push(stream);
        }
    });
    let world = World::new(Redis::Absent).await;
    let cache = SeatCache::on(RedisLink::new(&format!("redis://{address}")).unwrap());
    let world = World { holds: Holds::new(world.pool.clone(), cache.clone(), HOLD_TTL), ..world };
    for seat in 0..20 {
        world.held("ann", &[seat]).await;
    }
    assert!(!cache.answers().await);
    until("it is left alone", || async {
        let asked = cache.is_warm(world.event).await;
        matches!(asked, Err(LinkError::Away))
    })
    .await;
    assert_eq!(world.count(Held).await, 20);
    world.assert_well().await;
    hanging.abort();
}

#[tokio::test]
async fn an_address_that_is_none_is_refused_without_its_password() {
    let Err(error) = RedisLink::new("http://:secret@db/") else { panic!("accepted") };
    assert!(matches!(error, LinkError::Address { .. }));
    assert!(!format!("{error} {error:?}").contains("secret"));
    assert!(RedisLink::new("redis://a:1,redis://b:2").is_ok(), "a cluster");
}
