//! One event on sale, with what sells it.

use chrono::{DateTime, Utc};
use orchestrator::{
    Postgres,
    outbox::{Deliver, Destination, dispatch_due},
};
use private_servers::TestServers;
use serde_json::Value;
use sqlx::{PgPool, postgres::PgPoolOptions};
use std::{path::Path, time::Duration};
use workflows::{
    events::{self, NewEvent, NewSection},
    holds::{BindError, Hold, Holds, Reserve, ReserveError, Reserved, Wish, bind_in_tx, lock_bindable_in_tx},
    ids::{EventId, HoldId, OrderId},
    redis_link::RedisLink,
    seat_cache::SeatCache,
    seats::{SEATS_CHANGED, SeatStatus, deliver_seats_changed, seat_map},
};

pub(super) const HOLD_TTL: Duration = Duration::from_secs(600);
pub(super) const ORDER_TTL: Duration = Duration::from_secs(900);

#[derive(Clone)]
pub(super) struct World {
    pub(super) pool: PgPool,
    pub(super) holds: Holds,
    pub(super) event: EventId,
    /// All seats, in order.
    pub(super) seats: Vec<String>,
    pub(super) redis_url: String,
    pub(super) database_url: String,
}

/// What Redis is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Redis {
    Well,
    Down,
    Absent,
}

impl Redis {
    pub(super) const ALL: [Self; 3] = [Self::Well, Self::Down, Self::Absent];
}

pub(super) async fn database() -> PgPool {
    connect(&database_url()).await
}

fn database_url() -> String {
    let migrations = Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations");
    TestServers::shared().database(&migrations).unwrap()
}

async fn connect(database_url: &str) -> PgPool {
    PgPoolOptions::new().max_connections(12).connect(database_url).await.unwrap()
}

pub(super) fn new_event() -> NewEvent {
    NewEvent {
        name: "Hamlet".into(),
        venue: "Globe".into(),
        description: None,
        start_time: "2036-12-31T20:00".into(),
        time_zone: Some("Europe/London".into()),
        sales_start: None,
        sales_end: None,
        currency: "GBP".into(),
        sections: vec![section("Stalls", 2, 10)],
    }
}

pub(super) fn section(name: &str, rows: i64, seats_per_row: i64) -> NewSection {
    NewSection { name: name.into(), rows, seats_per_row, price: 4_500 }
}

impl World {
    /// Two rows of ten seats.
    pub(super) async fn new(redis: Redis) -> Self {
        Self::of(redis, new_event()).await
    }

    pub(super) async fn of(redis: Redis, event: NewEvent) -> Self {
        let database_url = database_url();
        let pool = connect(&database_url).await;
        let event = events::create(&pool, &event, "a test".into()).await.unwrap().event_id;
        let redis_url = TestServers::shared().redis_url();
        let cache = match redis {
            Redis::Well => SeatCache::on(RedisLink::new(&redis_url).unwrap()),
            Redis::Down => SeatCache::on(RedisLink::new("unix:///nowhere/redis.sock").unwrap()),
            Redis::Absent => SeatCache::absent(),
        };
        let seats = seat_map(&pool, event, None).await.unwrap().items.into_iter().map(|seat| seat.seat_id).collect();
        let holds = Holds::new(pool.clone(), cache, HOLD_TTL);
        Self { pool, holds, event, seats, redis_url, database_url }
    }

    pub(super) fn wish(&self, user: &str, wish: Wish, token: Option<&str>) -> Reserve {
        Reserve { event_id: self.event, user_id: user.into(), wish, hold_token: token.map(Into::into) }
    }

    /// Asks for seats by their numbers from 0.
    pub(super) async fn reserve(
        &self,
        user: &str,
        seats: &[usize],
        token: Option<&str>,
    ) -> Result<Reserved, ReserveError> {
        let seats = seats.iter().map(|at| self.seats[*at].clone()).collect();
        self.holds.reserve(self.wish(user, Wish::Seats(seats), token)).await
    }

    pub(super) async fn held(&self, user: &str, seats: &[usize]) -> Hold {
        match self.reserve(user, seats, None).await {
            Ok(Reserved::New(hold)) => hold,
            other => panic!("{other:?}"),
        }
    }

    pub(super) async fn best(&self, user: &str, count: usize) -> Result<Reserved, ReserveError> {
        self.holds.reserve(self.wish(user, Wish::BestAvailable { count, section: None }, None)).await
    }

    /// How seats stand, by their numbers from 0.
    pub(super) async fn status(&self, seats: &[usize]) -> Vec<SeatStatus> {
        let items = seat_map(&self.pool, self.event, None).await.unwrap().items;
        seats.iter().map(|at| items[*at].status).collect()
    }

    pub(super) async fn count(&self, status: SeatStatus) -> usize {
        let items = seat_map(&self.pool, self.event, None).await.unwrap().items;
        items.iter().filter(|seat| seat.status == status).count()
    }

    /// The hold's time is over, a second ago.
    pub(super) async fn pass_time_of(&self, hold: HoldId) {
        sqlx::query(
            "with hold as (
                 update booking.holds set expires_at = now() - interval '1 second'
                 where hold_id = $1 returning hold_id, expires_at)
             update booking.seats s set held_until = hold.expires_at
             from hold where s.hold_id = hold.hold_id and s.order_id is null",
        )
        .bind(hold.0)
        .execute(&self.pool)
        .await
        .unwrap();
    }

    /// An order for a hold, in a transaction of its own.
    pub(super) async fn order(&self, hold: &Hold) -> OrderId {
        let order = OrderId::fresh();
        self.bind(hold.hold_id, Some(&hold.user_id), order).await.unwrap();
        order
    }

    /// Gives a hold to an order, in a transaction of its own.
    pub(super) async fn bind(&self, hold: HoldId, user: Option<&str>, order: OrderId) -> Result<(), BindError> {
        let mut tx = self.pool.begin().await.unwrap();
        let mut found = lock_bindable_in_tx(&mut tx, &[hold]).await.unwrap();
        let bindable = found.get_mut(&hold).ok_or(BindError::NotFound)?;
        bindable.bind(order, user)?;
        bind_in_tx(&mut tx, &[&*bindable], ORDER_TTL).await.unwrap();
        tx.commit().await.unwrap();
        Ok(())
    }

    /// When a hold ends.
    pub(super) async fn ends_at(&self, hold: HoldId) -> DateTime<Utc> {
        sqlx::query_scalar("select expires_at from booking.holds where hold_id = $1")
            .bind(hold.0)
            .fetch_one(&self.pool)
            .await
            .unwrap()
    }

    /// Delivers what is in the outbox.
    pub(super) async fn dispatch(&self) -> usize {
        dispatch_due(&Postgres::new(self.pool.clone()), &Tell(self), Destination::Inside, 1_000).await.unwrap()
    }

    pub(super) async fn flush_redis(&self) {
        let client = redis::Client::open(self.redis_url.as_str()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        redis::cmd("FLUSHDB").query_async::<()>(&mut connection).await.unwrap();
    }

    pub(super) async fn assert_well(&self) {
        let violations: Vec<(String, String, String)> =
            sqlx::query_as("select kind, object, detail from booking.seat_violations")
                .fetch_all(&self.pool)
                .await
                .unwrap();
        assert_eq!(violations, []);
    }
}

struct Tell<'a>(&'a World);

#[async_trait::async_trait]
impl Deliver for Tell<'_> {
    async fn deliver(&self, topic: &str, payload: &Value) -> Result<(), anyhow::Error> {
        assert_eq!(topic, SEATS_CHANGED);
        deliver_seats_changed(&self.0.pool, self.0.holds.cache(), payload).await
    }
}

/// Waits for something to become true.
pub(super) async fn until<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let waited = tokio::time::timeout(Duration::from_secs(20), async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(waited.await.is_ok(), "never: {what}");
}
