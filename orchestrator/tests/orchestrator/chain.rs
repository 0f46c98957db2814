//! The chain over the record of acts: what somebody who owns the database changes, shows.

use super::{ground::OnPostgres, world::World};
use orchestrator::{
    acts::{ChainBreak, ChainError, ChainHead, ChainReport, DoneAct, record_in_tx},
    catalog::Author,
};
use serde_json::json;
use sqlx::{AssertSqlSafe, PgPool};

/// An engine with this many acts in its record.
async fn with_acts(count: usize) -> World<OnPostgres> {
    let world = World::new().await;
    for number in 0..count {
        act(&world, &format!("thing {number}")).await;
    }
    world
}

async fn act(world: &World<OnPostgres>, object: &str) {
    let by = Author { name: "olga", address: None };
    let detail = json!({ "before": 1.50, "after": [object, 12345678901234567890u64] });
    let done = DoneAct { by, act: "thing.change", object, reason: "a \"test\"", detail };
    record_in_tx(&mut world.engine.pool().acquire().await.unwrap(), &done).await.unwrap();
}

async fn sealed(count: usize) -> World<OnPostgres> {
    let world = with_acts(count).await;
    assert_eq!(world.engine.seal_acts().await.unwrap(), count);
    world
}

/// Does what only the owner of a database can.
async fn tamper(pool: &PgPool, statements: &[&str]) {
    let mut tx = pool.begin().await.unwrap();
    sqlx::query("set local session_replication_role = replica").execute(&mut *tx).await.unwrap();
    for statement in statements {
        let done = sqlx::query(AssertSqlSafe(*statement)).execute(&mut *tx).await.unwrap();
        assert!(done.rows_affected() > 0, "{statement}");
    }
    tx.commit().await.unwrap();
}

async fn found(world: &World<OnPostgres>, kept: Option<&ChainHead>) -> Option<ChainBreak> {
    world.engine.verify_acts(kept).await.unwrap().broken
}

/// Of the `number`th act, counted as the seals count.
macro_rules! sealed_as {
    ($number:literal) => {
        concat!("(select act_id from engine.act_seals where number = ", $number, ")")
    };
}

#[tokio::test(flavor = "multi_thread")]
async fn acts_are_sealed_once_and_in_turn() {
    let world = with_acts(3).await;
    let ChainReport { head, waiting, broken, .. } = world.engine.verify_acts(None).await.unwrap();
    assert_eq!((head, waiting, broken), (ChainHead::START, 3, None), "what waits is no break");

    let (one, other) = tokio::join!(world.engine.seal_acts(), world.engine.seal_acts());
    assert_eq!(one.unwrap() + other.unwrap(), 3);
    assert_eq!(world.engine.seal_acts().await.unwrap(), 0);
    let first = world.engine.verify_acts(None).await.unwrap();
    assert_eq!((first.head.number, first.waiting, &first.broken), (3, 0, &None));

    act(&world, "another").await;
    assert_eq!(world.engine.seal_acts().await.unwrap(), 1);
    let second = world.engine.verify_acts(Some(&first.head)).await.unwrap();
    assert_eq!((second.head.number, &second.broken), (4, &None));
    assert_eq!(world.engine.follow_acts(first.head).await.unwrap(), second.head);
    assert_eq!(world.engine.follow_acts(ChainHead::START).await.unwrap(), second.head);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_act_of_a_transaction_that_is_undone_is_not_waited_for() {
    let world = World::new().await;
    let mut tx = world.engine.pool().begin().await.unwrap();
    let by = Author { name: "olga", address: None };
    let done = DoneAct { by, act: "thing.change", object: "a", reason: "a test", detail: json!({}) };
    record_in_tx(&mut tx, &done).await.unwrap();
    tx.rollback().await.unwrap();
    assert_eq!(world.engine.seal_acts().await.unwrap(), 0);
    assert_eq!(found(&world, None).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_column_is_sealed() {
    let columns = [
        "at = at + interval '1 microsecond'",
        "actor = 'mallory'",
        "act = 'thing.keep'",
        "object = 'another'",
        "seq = 7",
        "digest = 'x'",
        "outcome = 'refused'",
        "reason = 'a better one'",
        "detail = jsonb_set(detail, '{before}', '1.51')",
        // a number that is the same only to who rounds
        "detail = jsonb_set(detail, '{after,1}', '12345678901234567891.0000000001')",
        "address = '192.0.2.1'",
    ];
    let world = sealed(3).await;
    let pool = world.engine.pool();
    sqlx::query("create table kept_acts as table engine.acts").execute(pool).await.unwrap();
    for column in columns {
        tamper(pool, &[&format!("update engine.acts set {column} where act_id = {}", sealed_as!(2))]).await;
        let broken = found(&world, None).await;
        assert!(matches!(broken, Some(ChainBreak::Changed { number: 2, .. })), "{column}: {broken:?}");
        tamper(pool, &["delete from engine.acts", "insert into engine.acts select * from kept_acts"]).await;
        assert_eq!(found(&world, None).await, None, "{column}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_act_shows() {
    let world = sealed(3).await;
    tamper(world.engine.pool(), &[concat!("delete from engine.acts where act_id = ", sealed_as!(2))]).await;
    assert!(matches!(found(&world, None).await, Some(ChainBreak::ActMissing { number: 2, .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_act_that_is_removed_with_its_seal_shows() {
    let world = sealed(3).await;
    let act = concat!("delete from engine.acts where act_id = ", sealed_as!(2));
    tamper(world.engine.pool(), &[act, "delete from engine.act_seals where number = 2"]).await;
    assert_eq!(found(&world, None).await, Some(ChainBreak::SealMissing(2)));
    tamper(world.engine.pool(), &["update engine.act_seals set number = 2 where number = 3"]).await;
    assert!(matches!(found(&world, None).await, Some(ChainBreak::Changed { number: 2, .. })), "nor closed up");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_act_that_is_removed_before_it_is_sealed_shows() {
    let world = with_acts(2).await;
    tamper(world.engine.pool(), &["delete from engine.acts where object = 'thing 0'"]).await;
    assert_eq!(world.engine.seal_acts().await.unwrap(), 1);
    assert!(matches!(found(&world, None).await, Some(ChainBreak::WaitingActMissing(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_act_that_is_put_in_afterwards_shows() {
    let world = sealed(3).await;
    let put_in = "insert into engine.acts (act_id, actor, act, object, outcome, reason)
                  values (gen_random_uuid(), 'mallory', 'thing.change', 'x', 'done', 'y')";
    tamper(world.engine.pool(), &[put_in]).await;
    assert!(matches!(found(&world, None).await, Some(ChainBreak::Inserted(_))));
    let between = "insert into engine.act_seals (number, act_id, digest)
                   select 4, act_id, sha256('x') from engine.acts where actor = 'mallory'";
    tamper(world.engine.pool(), &[between]).await;
    assert!(matches!(found(&world, None).await, Some(ChainBreak::Changed { number: 4, .. })), "nor with a seal");
}

#[tokio::test(flavor = "multi_thread")]
async fn swapped_acts_show() {
    let world = sealed(3).await;
    let swap = "update engine.act_seals s set act_id = other.act_id from engine.act_seals other
                where s.number + other.number = 3";
    let free = "alter table engine.act_seals drop constraint act_seals_act_id_key";
    sqlx::query(free).execute(world.engine.pool()).await.unwrap();
    tamper(world.engine.pool(), &[swap]).await;
    assert!(matches!(found(&world, None).await, Some(ChainBreak::Changed { number: 1, .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tail_that_is_cut_off_shows_against_a_head_that_was_kept() {
    let world = sealed(3).await;
    let kept = world.engine.verify_acts(None).await.unwrap().head;
    let act = concat!("delete from engine.acts where act_id = ", sealed_as!(3));
    tamper(world.engine.pool(), &[act, "delete from engine.act_seals where number = 3"]).await;
    assert_eq!(found(&world, None).await, None, "the chain alone does not see it");
    assert_eq!(found(&world, Some(&kept)).await, Some(ChainBreak::Cut { end: 2, kept: 3 }));
    let followed = world.engine.follow_acts(kept).await;
    assert!(matches!(followed, Err(ChainError::Broken(ChainBreak::Cut { end: 2, kept: 3 }))), "{followed:?}");

    act_and_seal(&world).await;
    assert_eq!(found(&world, None).await, None);
    assert_eq!(found(&world, Some(&kept)).await, Some(ChainBreak::Rewritten(3)), "nor grown again");
    let followed = world.engine.follow_acts(kept).await;
    assert!(matches!(followed, Err(ChainError::Broken(ChainBreak::Rewritten(3)))), "{followed:?}");
}

async fn act_and_seal(world: &World<OnPostgres>) {
    act(world, "another").await;
    assert_eq!(world.engine.seal_acts().await.unwrap(), 1);
}
