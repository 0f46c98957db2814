//! Lists of sagas: each filter by itself, and what it costs where the history is long.

use crate::{
    acts::done,
    world::{World, start},
};
use chrono::{DateTime, TimeDelta, Utc};
use orchestrator::{
    SagaId, Start,
    acts::Act,
    saga::State,
    view::{Filter, Search},
};
use serde_json::json;
use sqlx::{Connection, PgConnection};
use std::collections::BTreeMap;

async fn found(world: &World, filter: Filter) -> Vec<SagaId> {
    world.engine.sagas(&filter, None, 500).await.unwrap().items.into_iter().map(|listed| listed.saga_id).collect()
}

fn tags(name: &str, value: &str) -> BTreeMap<String, String> {
    BTreeMap::from([(name.to_owned(), value.to_owned())])
}

#[tokio::test(flavor = "multi_thread")]
async fn each_filter_lets_through_what_it_names() {
    let world = World::new().await;
    let tagged = Start { tags: tags("order", "ord_1"), ..start("one-step", "tagged", json!({})) };
    let tagged = world.engine.start(tagged).await.unwrap().saga_id();
    let waiting = world.start("waiter").await;
    let killed = world.start("waiter").await;
    world.run_until(tagged, "completed").await;
    world.run_until(waiting, "waiting").await;
    world.run_until(killed, "waiting").await;
    done(&world, killed, Act::Kill).await;

    let all = || Filter::default();
    assert_eq!(found(&world, all()).await, [killed, waiting, tagged], "newest first");
    let waiters = Filter { definition: Some("waiter".into()), ..all() };
    assert_eq!(found(&world, waiters.clone()).await, [killed, waiting]);
    for (state, expected) in
        [(State::Completed, vec![tagged]), (State::Waiting, vec![waiting]), (State::Killed, vec![killed])]
    {
        assert_eq!(found(&world, Filter { state: Some(state), ..all() }).await, expected, "{state}");
    }
    assert_eq!(found(&world, Filter { state: Some(State::Completed), ..waiters }).await, []);
    assert!(found(&world, Filter { step: Some("wait".into()), ..all() }).await.contains(&waiting));
    assert_eq!(found(&world, Filter { step: Some("only".into()), ..all() }).await, []);
    assert_eq!(found(&world, Filter { tags: tags("order", "ord_1"), ..all() }).await, [tagged]);
    assert_eq!(found(&world, Filter { tags: tags("order", "ord_2"), ..all() }).await, []);
    let search = Search { sagas: vec![waiting], tags: vec![("order".into(), "ord_1".into())] };
    assert_eq!(found(&world, Filter { search: Some(search), ..all() }).await, [waiting, tagged]);

    let now: DateTime<Utc> = sqlx::query_scalar("select now()").fetch_one(&world.pool).await.unwrap();
    let hour = TimeDelta::hours(1);
    let at = |text: &str| Some(text.parse().unwrap());
    for (from, to, count) in [
        (Some(now - hour), Some(now + hour), 3),
        (Some(now + hour), None, 0),
        (None, Some(now - hour), 0),
        // further than any id
        (at("0001-01-01T00:00:00Z"), at("9999-12-31T23:59:59Z"), 3),
        (None, at("1960-01-01T00:00:00Z"), 0),
    ] {
        assert_eq!(found(&world, Filter { from, to, ..all() }).await.len(), count, "{from:?} to {to:?}");
    }

    let first = world.engine.sagas(&all(), None, 2).await.unwrap();
    let second = world.engine.sagas(&all(), first.next, 2).await.unwrap();
    assert_eq!((first.items.len(), second.items.len(), second.next), (2, 1, None));
}

/// How many rows of sagas this server has read, as its connections have told.
async fn rows_read(world: &World, teller: &mut PgConnection) -> i64 {
    // told at the end of the command, before its answer
    sqlx::query("select pg_stat_force_next_flush()").execute(&world.pool).await.unwrap();
    let read = "select (sum(seq_tup_read) + sum(coalesce(idx_tup_fetch, 0)))::int8 from pg_stat_user_tables
                where relname ~ '^sagas_[0-9]+$'";
    sqlx::query_scalar(read).fetch_one(teller).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_rare_is_found_without_reading_the_history() {
    let world = World::new().await.with_one_connection().await;
    let waiting = world.start("waiter").await;
    world.run_until(waiting, "waiting").await;
    sqlx::raw_sql(
        "insert into engine.sagas (saga_id, definition, version, state, seq, waiting_on, priority, starts_at,
                                   created_at, updated_at, finished_at)
         select overlay(engine.uuid_at(now() + n * interval '1 ms')::text placing '7' from 15)::uuid, 'one-step', 1,
                'completed', 3, 'nothing', 0, now(), now(), now(), now()
         from generate_series(1, 5000) n;
         analyze engine.sagas",
    )
    .execute(&world.pool)
    .await
    .unwrap();
    let mut teller = PgConnection::connect_with(&world.pool.connect_options()).await.unwrap();
    for filter in [
        Filter { state: Some(State::Waiting), ..Filter::default() },
        Filter { definition: Some("waiter".into()), ..Filter::default() },
        Filter { step: Some("wait".into()), ..Filter::default() },
    ] {
        let before = rows_read(&world, &mut teller).await;
        assert_eq!(found(&world, filter.clone()).await, [waiting]);
        let read = rows_read(&world, &mut teller).await - before;
        assert!((1..50).contains(&read), "{read} rows for {filter:?}");
    }
}
