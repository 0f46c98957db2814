//! Many buyers, few seats.

use super::world::{Redis, World};
use futures::future::join_all;
use workflows::{
    holds::ReserveError,
    seats::SeatStatus::{Available, Held},
};

/// Fifty buyers at once, each for one of five seats, two of them for two. Answers how many seats were had.
async fn rush(world: &World) -> usize {
    let buyers = (0..50).map(|buyer| {
        let world = world.clone();
        tokio::spawn(async move {
            let user = format!("buyer-{buyer}");
            let seats = if buyer % 25 == 0 { vec![0, 4] } else { vec![buyer % 5] };
            match world.reserve(&user, &seats, None).await {
                Ok(reserved) => reserved.hold().seat_ids.len(),
                Err(ReserveError::SeatsUnavailable(_)) => 0,
                Err(error) => panic!("{error:?}"),
            }
        })
    });
    join_all(buyers).await.into_iter().map(Result::unwrap).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_seat_is_had_once() {
    for redis in Redis::ALL {
        let world = World::new(redis).await;
        assert_eq!(rush(&world).await, 5, "{redis:?}");
        assert_eq!((world.count(Held).await, world.count(Available).await), (5, 15));
        world.assert_well().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_seat_is_had_once_while_redis_is_flushed() {
    let world = World::new(Redis::Well).await;
    let flusher = {
        let world = world.clone();
        tokio::spawn(async move {
            loop {
                world.flush_redis().await;
            }
        })
    };
    let mut had = 0;
    for _ in 0..5 {
        had += rush(&world).await;
    }
    flusher.abort();
    assert_eq!(had, 5);
    assert_eq!(world.count(Held).await, 5);
    world.assert_well().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_best_are_sold_out_to_the_last_seat() {
    for redis in Redis::ALL {
        let world = World::new(redis).await;
        let buyers = (0..40).map(|buyer| {
            let world = world.clone();
            tokio::spawn(async move {
                match world.best(&format!("buyer-{buyer}"), 2).await {
                    Ok(_) => 1,
                    Err(ReserveError::SeatsUnavailable(_)) => 0,
                    Err(error) => panic!("{error:?}"),
                }
            })
        });
        let had: usize = join_all(buyers).await.into_iter().map(Result::unwrap).sum();
        assert_eq!(had, 10, "{redis:?}");
        assert_eq!(world.count(Held).await, 20, "{redis:?}");
        world.assert_well().await;
    }
}
