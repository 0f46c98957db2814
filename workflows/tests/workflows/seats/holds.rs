//! What a buyer sees of holds, whatever Redis is like.

use super::world::{HOLD_TTL, Redis, World, new_event};
use sqlx::postgres::PgPoolOptions;
use std::{collections::BTreeSet, time::Duration};
use workflows::{
    holds::{Holds, ReleaseError, ReserveError, Reserved, SEATS_PER_HOLD_MAX, Wish, sweep_expired},
    ids::EventId,
    seat_cache::SeatCache,
    seats::SeatStatus::{Available, Held},
};

#[tokio::test(flavor = "multi_thread")]
async fn all_seats_or_none() {
    for redis in Redis::ALL {
        let world = World::new(redis).await;
        let hold = world.held("ann", &[1, 0]).await;
        assert_eq!(hold.seat_ids, world.seats[..2]);
        assert_eq!(hold.total.to_string(), "90.00 GBP");
        match world.reserve("bob", &[1, 2], None).await {
            Err(ReserveError::SeatsUnavailable(seats)) => assert_eq!(seats, [world.seats[1].clone()], "{redis:?}"),
            other => panic!("{redis:?}: {other:?}"),
        }
        assert_eq!(world.status(&[0, 1, 2]).await, [Held, Held, Available], "{redis:?}");
        world.held("bob", &[2]).await;
        world.assert_well().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_finds_the_hold_again() {
    for redis in Redis::ALL {
        let world = World::new(redis).await;
        let reserve = |user: &'static str, seats: &'static [usize]| world.reserve(user, seats, Some("mine"));
        let Ok(Reserved::New(first)) = reserve("ann", &[0, 1]).await else { panic!("{redis:?}") };
        assert_eq!(first.hold_token, "mine");
        // the same seats, in any order: the same hold
        assert_eq!(reserve("ann", &[1, 0]).await.unwrap(), Reserved::Same(first.clone()));
        // other seats: changed, all or none
        world.held("bob", &[5]).await;
        assert!(matches!(reserve("ann", &[1, 5]).await, Err(ReserveError::SeatsUnavailable(_))));
        assert_eq!(world.status(&[0, 1, 5]).await, [Held, Held, Held]);
        let Ok(Reserved::Changed(changed)) = reserve("ann", &[1, 2, 3]).await else { panic!("{redis:?}") };
        assert_eq!((changed.hold_id, changed.expires_at), (first.hold_id, first.expires_at));
        assert_eq!(changed.total.amount_minor, 13_500);
        assert_eq!(world.status(&[0, 1, 2, 3]).await, [Available, Held, Held, Held]);
        world.held("cy", &[0]).await;
        // another user's
        assert!(matches!(reserve("bob", &[1, 2, 3]).await, Err(ReserveError::NotFound)));
        assert!(matches!(reserve("bob", &[9]).await, Err(ReserveError::NotFound)));
        // an order was placed
        let order = world.order(&changed).await;
        for seats in [&[1, 2, 3][..], &[9]] {
            match reserve("ann", seats).await {
                Err(ReserveError::OrderExists(found)) => assert_eq!(found, order),
                other => panic!("{redis:?}: {other:?}"),
            }
        }
        world.assert_well().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_token_many_times_at_once_makes_one_hold() {
    let world = World::new(Redis::Well).await;
    let requests = (0..20).map(|_| world.reserve("ann", &[3, 4], Some("twice")));
    let holds: BTreeSet<_> = futures::future::join_all(requests)
        .await
        .into_iter()
        .filter_map(|reserved| reserved.ok().map(|reserved| reserved.hold().hold_id))
        .collect();
    assert_eq!(holds.len(), 1);
    assert_eq!(world.count(Held).await, 2);
    world.assert_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_that_is_over_is_anybody_s_without_a_sweeper() {
    let world = World::new(Redis::Absent).await;
    let Ok(Reserved::New(old)) = world.reserve("ann", &[0, 1, 2], Some("t")).await else { panic!() };
    world.pass_time_of(old.hold_id).await;
    assert_eq!(world.status(&[0, 1, 2]).await, [Available, Available, Available]);
    world.held("bob", &[1]).await;
    // its token is free again, and what nobody took can be had with it
    assert!(matches!(world.reserve("ann", &[0, 1], Some("t")).await, Err(ReserveError::SeatsUnavailable(_))));
    let Ok(Reserved::New(new)) = world.reserve("ann", &[0, 2], Some("t")).await else { panic!() };
    assert_ne!(new.hold_id, old.hold_id);
    assert_eq!(sweep_expired(&world.pool, 100).await.unwrap(), 0, "the old one was expired already");
    assert_eq!(world.status(&[0, 1, 2]).await, [Held, Held, Held]);
    world.assert_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sweeper_frees_what_nobody_took_and_tells_redis() {
    let world = World::new(Redis::Well).await;
    let over = world.held("ann", &[0, 1]).await;
    world.held("bob", &[2]).await;
    world.pass_time_of(over.hold_id).await;
    assert_eq!(sweep_expired(&world.pool, 1).await.unwrap(), 1);
    assert_eq!(sweep_expired(&world.pool, 1).await.unwrap(), 0);
    assert_eq!(world.dispatch().await, 1);
    assert_eq!(world.status(&[0, 1, 2]).await, [Available, Available, Held]);
    world.held("cy", &[0, 1]).await;
    world.assert_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn releasing_twice_is_releasing_once() {
    for redis in Redis::ALL {
        let world = World::new(redis).await;
        let hold = world.held("ann", &[0]).await;
        assert!(matches!(world.holds.release(hold.hold_id, Some("bob")).await, Err(ReleaseError::NotFound)));
        world.holds.release(hold.hold_id, Some("ann")).await.unwrap();
        let second = world.held("bob", &[0]).await;
        world.holds.release(hold.hold_id, None).await.unwrap();
        assert_eq!(world.status(&[0]).await, [Held], "{redis:?}: bob's");
        let order = world.order(&second).await;
        match world.holds.release(second.hold_id, None).await {
            Err(ReleaseError::OrderExists(found)) => assert_eq!(found, order),
            other => panic!("{other:?}"),
        }
        world.assert_well().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_is_refused_with_its_name() {
    let world = World::new(Redis::Well).await;
    let reserve = |user: &str, wish| world.holds.reserve(world.wish(user, wish, None));
    let unknown = Wish::Seats(vec![world.seats[0].clone(), "00000000-stalls-1-1".into()]);
    match reserve("ann", unknown).await {
        Err(ReserveError::UnknownSeats(seats)) => assert_eq!(seats, ["00000000-stalls-1-1"]),
        other => panic!("{other:?}"),
    }
    for wish in [
        Wish::Seats(Vec::new()),
        Wish::Seats((0..=SEATS_PER_HOLD_MAX).map(|at| at.to_string()).collect()),
        Wish::BestAvailable { count: 0, section: None },
        Wish::BestAvailable { count: SEATS_PER_HOLD_MAX + 1, section: None },
    ] {
        match reserve("", wish).await {
            Err(ReserveError::Invalid(mistakes)) => assert_eq!(mistakes.len(), 2, "{mistakes:?}"),
            other => panic!("{other:?}"),
        }
    }
    let section = Wish::BestAvailable { count: 1, section: Some("Moon".into()) };
    assert!(matches!(reserve("ann", section).await, Err(ReserveError::NoSuchSection(_))));
    for wish in [Wish::Seats(vec!["x".into()]), Wish::BestAvailable { count: 1, section: None }] {
        let mut request = world.wish("ann", wish, None);
        request.event_id = EventId::fresh();
        assert!(matches!(world.holds.reserve(request).await, Err(ReserveError::NoSuchEvent(_))));
    }
    assert_eq!(world.count(Available).await, 20);
    // what was taken in Redis only was let go
    world.held("ann", &[0]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn outside_of_the_sale_there_is_nothing_to_have() {
    for (start, end) in [(Some("2036-01-01T00:00"), None), (None, Some("2020-01-01T00:00"))] {
        let event = |start: Option<&str>, end: Option<&str>| workflows::events::NewEvent {
            sales_start: start.map(Into::into),
            sales_end: end.map(Into::into),
            ..new_event()
        };
        let world = World::of(Redis::Well, event(start, end)).await;
        assert!(matches!(world.reserve("ann", &[0], None).await, Err(ReserveError::NotOnSale)));
        assert!(matches!(world.best("ann", 1).await, Err(ReserveError::NotOnSale)));
        assert!(matches!(world.best("ann", 21).await, Err(ReserveError::NotOnSale)), "not: too few");
        assert_eq!(world.count(Available).await, 20);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_best_are_together_and_a_repeat_keeps_them() {
    let world = World::new(Redis::Well).await;
    let wish = || world.wish("ann", Wish::BestAvailable { count: 4, section: Some("stalls".into()) }, Some("t"));
    let Ok(Reserved::New(hold)) = world.holds.reserve(wish()).await else { panic!() };
    assert_eq!(hold.seat_ids, world.seats[3..7]);
    assert_eq!(world.holds.reserve(wish()).await.unwrap(), Reserved::Same(hold.clone()));
    let other = world.wish("ann", Wish::BestAvailable { count: 2, section: None }, Some("t"));
    let Ok(Reserved::Changed(changed)) = world.holds.reserve(other).await else { panic!() };
    assert_eq!((changed.hold_id, changed.seat_ids.len()), (hold.hold_id, 2));
    match world.best("bob", 19).await {
        Err(ReserveError::SeatsUnavailable(named)) => assert!(named.is_empty()),
        other => panic!("{other:?}"),
    }
    assert_eq!(world.best("bob", 18).await.unwrap().hold().seat_ids.len(), 18, "apart, but there");
    assert_eq!(world.count(Held).await, 20);
    world.assert_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_buyer_who_hangs_up_leaves_nothing_behind() {
    let world = World::new(Redis::Well).await;
    for round in 0..100_u64 {
        let seat = [usize::try_from(round % 19).unwrap()];
        let request = world.reserve("ann", &seat, None);
        // at any of its waits
        drop(tokio::time::timeout(Duration::from_micros(30 * round), request).await);
    }
    // every connection of the pool is as it was: what is acknowledged now stays
    let hold = world.held("bob", &[19]).await;
    world.pool.close().await;
    let pool = sqlx::PgPool::connect(&world.database_url).await.unwrap();
    let held: Vec<String> = sqlx::query_scalar("select seat_id from booking.seats where hold_id = $1")
        .bind(hold.hold_id.0)
        .fetch_all(&pool)
        .await
        .unwrap();
    assert_eq!(held, hold.seat_ids);
    World { pool, ..world }.assert_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_connection_is_enough() {
    let world = World::new(Redis::Absent).await;
    let pool = PgPoolOptions::new().max_connections(1).connect(&world.database_url).await.unwrap();
    let world = World { holds: Holds::new(pool.clone(), SeatCache::absent(), HOLD_TTL), ..world };
    let all = futures::future::join_all((0..10).map(|_| world.best("ann", 2)));
    let all = tokio::time::timeout(Duration::from_secs(20), all).await.unwrap();
    assert_eq!(all.into_iter().filter(Result::is_ok).count(), 10);
    world.assert_well().await;
}
