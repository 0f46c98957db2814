//! Weeks of history that are old enough to go, and those that somebody still needs.

use super::{
    acts,
    world::{World, start},
};
use orchestrator::{
    SagaId, Started,
    action::Halt,
    acts::Act,
    history::{OldHistory, WEEKS_PER_RUN},
    start_in_tx,
};
use serde_json::json;
use sqlx::PgPool;
use uuid::Uuid;

const RETENTION_DAYS: i32 = 400;
/// A week that began so long ago has been over for more than the retention.
const OLD_DAYS: i32 = 420;

/// Makes the week of so many days ago.
async fn make_week(pool: &PgPool, days_ago: i32) {
    let make = "select engine.make_partitions(now() - make_interval(days => $1), now() - make_interval(days => $1))";
    sqlx::query(make).bind(days_ago).execute(pool).await.unwrap();
}

/// An id that a saga would have got so many days ago.
async fn old_id(pool: &PgPool, days_ago: i32) -> SagaId {
    let first: Uuid = sqlx::query_scalar("select engine.uuid_at(now() - make_interval(days => $1))")
        .bind(days_ago)
        .fetch_one(pool)
        .await
        .unwrap();
    let chance = SagaId::fresh().0.as_u128() & u128::from(u64::MAX);
    SagaId(Uuid::from_u128(first.as_u128() | chance))
}

/// Starts a saga as if so many days ago.
async fn start_old(world: &World, definition: &str, days_ago: i32) -> SagaId {
    make_week(&world.pool, days_ago).await;
    let saga = old_id(&world.pool, days_ago).await;
    let prepared = world.engine.prepare(saga, start(definition, &saga.to_string(), json!({}))).await.unwrap();
    let mut tx = world.pool.begin().await.unwrap();
    assert_eq!(start_in_tx(&mut tx, &prepared).await.unwrap(), Started::New(saga));
    tx.commit().await.unwrap();
    saga
}

async fn tables(world: &World) -> Vec<String> {
    sqlx::query_scalar("select partition::regclass::text from engine.partitions order by 1")
        .fetch_all(&world.pool)
        .await
        .unwrap()
}

async fn drop_old(world: &World) -> OldHistory {
    world.engine.drop_old_history(RETENTION_DAYS).await.unwrap()
}

/// The sagas that keep their week, and why.
fn kept(found: &OldHistory) -> Vec<(SagaId, &str)> {
    found.kept.iter().map(|week| (week.saga_id, week.why.as_str())).collect()
}

fn dropped(weeks: usize) -> OldHistory {
    OldHistory { dropped: weeks, ..OldHistory::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_week_of_finished_sagas_goes_and_no_other() {
    let world = World::new().await;
    let before = tables(&world).await;
    let old = start_old(&world, "one-step", OLD_DAYS).await;
    world.script.answer(Ok(json!({})));
    world.script.answer(Err(Halt::permanent("no", "no")));
    let undone = start_old(&world, "three-steps", OLD_DAYS).await;
    let young = start_old(&world, "one-step", RETENTION_DAYS - 10).await;
    let new = world.start("one-step").await;
    for saga in [old, young, new] {
        world.run_until(saga, "completed").await;
    }
    world.run_until(undone, "compensated").await;
    assert_eq!(tables(&world).await.len(), before.len() + 4);

    assert_eq!(drop_old(&world).await, dropped(1));
    for gone in [old, undone] {
        assert!(world.engine.saga(gone).await.unwrap().is_none());
        let known: bool =
            sqlx::query_scalar("select engine.was_dropped($1)").bind(gone.0).fetch_one(&world.pool).await.unwrap();
        assert!(known);
    }
    for here in [young, new] {
        assert_eq!(world.view(here).await.journal.len(), 3);
    }
    assert_eq!(drop_old(&world).await, dropped(0), "twice does nothing");
    // whatever is asked for, what may still be written to stays
    assert_eq!(world.engine.drop_old_history(0).await.unwrap(), dropped(1));
    assert_eq!(tables(&world).await, before);
    assert_eq!(world.engine.drop_old_history(i32::MIN).await.unwrap(), dropped(0));
    world.all_is_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_week_is_kept_until_its_last_saga_is_finished() {
    let world = World::new().await;
    let waiting = start_old(&world, "waiter", OLD_DAYS).await;
    world.run_until(waiting, "waiting").await;
    let stuck = start_old(&world, "patient", OLD_DAYS + 7).await;
    world.script.answer(Err(Halt::permanent("no", "no")));
    world.run_until(stuck, "stuck").await;
    let paused = start_old(&world, "waiter", OLD_DAYS + 14).await;
    world.run_until(paused, "waiting").await;
    sqlx::query("update engine.sagas set state = 'paused' where saga_id = $1")
        .bind(paused.0)
        .execute(&world.pool)
        .await
        .unwrap();
    let asleep = start_old(&world, "one-step", OLD_DAYS + 21).await;
    let why = "is not finished";
    let expected = [(asleep, why), (paused, why), (stuck, why), (waiting, why)];
    assert_eq!(kept(&drop_old(&world).await), expected);

    world.engine.signal(waiting, "go", json!({}), "test").await.unwrap();
    world.run_until(waiting, "completed").await;
    let found = drop_old(&world).await;
    assert_eq!((found.dropped, kept(&found)), (2, expected[1..3].to_vec()), "what slept has run as well");
    acts::done(&world, stuck, Act::Retry).await;
    world.run_until(stuck, "completed").await;
    sqlx::query("update engine.sagas set state = 'waiting' where saga_id = $1")
        .bind(paused.0)
        .execute(&world.pool)
        .await
        .unwrap();
    world.engine.signal(paused, "go", json!({}), "test").await.unwrap();
    world.run_until(paused, "completed").await;
    assert_eq!(drop_old(&world).await, dropped(2));
    world.all_is_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_week_goes_on_the_day_when_its_last_id_is_old_enough() {
    let world = World::new().await;
    // made by a person, with another name: what counts is what the bounds say
    sqlx::query(
        "do $$ declare parent text; begin
             foreach parent in array array['sagas', 'journal'] loop
                 execute format('create table engine.%s_by_hand partition of engine.%1$s for values from (%L) to (%L)',
                     parent, engine.uuid_at(now() - interval '9700 hours'), engine.uuid_at(now() - interval '9612 hours'));
             end loop;
         end $$",
    )
    .execute(&world.pool)
    .await
    .unwrap();
    // it has been over for 400 days and a half
    assert_eq!(world.engine.drop_old_history(i32::MAX).await.unwrap(), dropped(0));
    assert_eq!(world.engine.drop_old_history(401).await.unwrap(), dropped(0));
    assert_eq!(world.engine.drop_old_history(400).await.unwrap(), dropped(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_or_a_repeated_start_still_needs_is_kept() {
    let world = World::new().await;
    let killed = start_old(&world, "waiter", OLD_DAYS).await;
    world.run_until(killed, "waiting").await;
    acts::done(&world, killed, Act::Kill).await;
    let started = start_old(&world, "one-step", OLD_DAYS + 7).await;
    let forgotten = start_old(&world, "one-step", OLD_DAYS + 14).await;
    for saga in [started, forgotten] {
        world.run_until(saga, "completed").await;
    }
    // the key of one is as old as it is; the other's was used again, or has expired
    sqlx::query("update engine.start_keys set created_at = now() - make_interval(days => $2) where saga_id = $1")
        .bind(started.0)
        .bind(OLD_DAYS + 7)
        .execute(&world.pool)
        .await
        .unwrap();
    let found = drop_old(&world).await;
    assert_eq!((found.dropped, kept(&found)), (1, vec![(started, "has a start key"), (killed, "has an open case")]));
    let again = world.engine.start(start("one-step", &started.to_string(), json!({}))).await.unwrap();
    assert_eq!(again, Started::Known(started));

    orchestrator::start::expire_keys(&world.pool, std::time::Duration::from_secs(86_400), 100).await.unwrap();
    sqlx::query("update engine.cases set closed_at = now() where saga_id = $1")
        .bind(killed.0)
        .execute(&world.pool)
        .await
        .unwrap();
    assert_eq!(drop_old(&world).await, dropped(2));
    world.all_is_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_saga_that_waits_for_one_that_is_history_is_told_that_it_is_gone() {
    let world = World::new().await;
    let child = start_old(&world, "one-step", OLD_DAYS).await;
    world.run_until(child, "completed").await;
    // its key is of today all the same, and outlives it
    sqlx::query("update engine.start_keys set owner = 'saga', key = 'k', digest = 'another' where saga_id = $1")
        .bind(child.0)
        .execute(&world.pool)
        .await
        .unwrap();
    assert_eq!(drop_old(&world).await, dropped(1));
    let parent = world.start_with("parent", json!({ "key": "k" })).await;
    let parent = world.run_until(parent, "completed").await;
    assert_eq!(parent.outputs()["wait"], json!({ "sagaId": child }));
    world.all_is_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_writes_goes_first_and_nobody_waits_for_the_one_who_drops() {
    let world = World::new().await;
    let old = start_old(&world, "one-step", OLD_DAYS).await;
    world.run_until(old, "completed").await;
    let mut writing = world.pool.begin().await.unwrap();
    let prepared = world.engine.prepare(SagaId::fresh(), start("one-step", "in the middle", json!({}))).await.unwrap();
    start_in_tx(&mut writing, &prepared).await.unwrap();

    // while it writes, nothing is dropped; and whoever comes behind the one who would drop gets through
    let (found, others) = tokio::join!(drop_old(&world), async {
        let mut others = Vec::new();
        for _ in 0..20 {
            let saga = world.start("one-step").await;
            world.run_until(saga, "completed").await;
            others.push(saga);
        }
        others
    });
    assert_eq!(found, OldHistory { busy: true, ..OldHistory::default() });
    assert_eq!(world.view(old).await.journal.len(), 3);
    assert_eq!(others.len(), 20);
    // to make a week stops nobody, and nobody stops it
    make_week(&world.pool, OLD_DAYS + 30).await;

    writing.commit().await.unwrap();
    assert_eq!(drop_old(&world).await, dropped(2));
    world.run_until(prepared.saga_id, "completed").await;
    world.all_is_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_while_the_one_who_drops_waits_is_not_lost() {
    let world = World::new().await;
    make_week(&world.pool, OLD_DAYS).await;
    let saga = old_id(&world.pool, OLD_DAYS).await;
    let prepared = world.engine.prepare(saga, start("one-step", "late", json!({}))).await.unwrap();
    let mut writing = world.pool.begin().await.unwrap();
    start_in_tx(&mut writing, &prepared).await.unwrap();
    let waits = "select exists (select from pg_locks where not granted and database =
                     (select oid from pg_database where datname = current_database()))";
    let (found, ()) = tokio::join!(drop_old(&world), async {
        while !sqlx::query_scalar::<_, bool>(waits).fetch_one(&world.pool).await.unwrap() {
            tokio::task::yield_now().await;
        }
        writing.commit().await.unwrap();
    });
    // it has seen the saga, or it was not ready to wait for so long
    assert!(found.busy || kept(&found) == [(saga, "is not finished")], "{found:?}");
    world.run_until(saga, "completed").await;
    assert_eq!(drop_old(&world).await, dropped(1));
    world.all_is_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_drop_together_and_in_bounded_portions() {
    let world = World::new().await;
    let weeks = i32::try_from(WEEKS_PER_RUN).unwrap() + 3;
    for week in 0..weeks {
        make_week(&world.pool, OLD_DAYS + 7 * week).await;
    }
    assert_eq!(drop_old(&world).await, dropped(WEEKS_PER_RUN));
    let other = world.another();
    let runs = futures::future::join_all([
        world.engine.drop_old_history(RETENTION_DAYS),
        other.drop_old_history(RETENTION_DAYS),
        world.engine.drop_old_history(RETENTION_DAYS),
    ])
    .await;
    assert!(runs.iter().all(Result::is_ok), "{runs:?}");
    // whoever found the other at it for too long has left the rest
    drop_old(&world).await;
    assert_eq!(drop_old(&world).await, dropped(0));
    let gone: i64 =
        sqlx::query_scalar("select count(*) from engine.dropped_weeks").fetch_one(&world.pool).await.unwrap();
    assert_eq!(gone, i64::from(weeks));
    world.all_is_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_week_that_will_be_missing_is_told_of() {
    let world = World::new().await;
    assert_eq!(world.engine.make_partitions().await.unwrap(), 0);
    sqlx::query(
        "do $$ begin
             execute 'drop table ' || (
                 select partition::regclass from engine.partitions
                 where parent = 'journal' and engine.uuid_at(now() + interval '8 days') between first_id and after_id);
         end $$",
    )
    .execute(&world.pool)
    .await
    .unwrap();
    let violated = world.engine.violations().await.unwrap();
    assert!(violated.len() >= 6 && violated.iter().all(|(name, ..)| name == "history-has-room"), "{violated:?}");
    // the projection's week without the journal's is not taken for a week that may go
    assert_eq!(world.engine.make_partitions().await.unwrap(), 0);
    world.all_is_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_planner_is_told_of_the_history_as_a_whole() {
    let world = World::new().await;
    for _ in 0..20 {
        let saga = world.start("one-step").await;
        world.run_until(saga, "completed").await;
    }
    world.engine.analyze_history().await.unwrap();
    let known: Vec<String> = sqlx::query_scalar(
        "select distinct tablename::text from pg_stats
         where schemaname = 'engine' and inherited and tablename in ('sagas', 'journal') order by 1",
    )
    .fetch_all(&world.pool)
    .await
    .unwrap();
    assert_eq!(known, ["journal", "sagas"]);
}
