//! One act on many sagas: exactly those that were planned, at most once each, and one result for each.

use super::shop::Shop;
use orchestrator::{
    SagaId, Start,
    acts::{Act, ActRequest},
    catalog::Author,
    journal::{ActKind, Entry},
    view::Filter,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use workflows::{
    batches::{
        BatchAct, BatchEvent, BatchState, ChangeError, Changed, Counts, ItemFilter, Limits, PlanBatch, PlanError,
        Selection, carry_out, change, find, items, plan, start,
    },
    ids::BatchId,
};

/// A saga that stops for a person as often as its input says.
const STUMBLES: &str = "
saga: stumbles
input: { type: object }
steps:
  - step: begin
    action: demo.echo
    pivot: true
  - step: stumble
    action: demo.fail
    probe: demo.probe
";
const BY: Author<'_> = Author { name: "olga", address: None };
const FAST: Limits = Limits { rate_per_second: 1_000, concurrency: 1_000, abort_at_failure_permille: None };

/// Sagas that stumble so often, and stand where that has brought them.
async fn stumbled(shop: &Shop, times: &[u32]) -> Vec<SagaId> {
    shop.engine.catalog().apply(STUMBLES, "test").await.unwrap();
    shop.engine.catalog().activate("stumbles", 1, "test", "for a test").await.unwrap();
    let mut sagas = Vec::new();
    for times in times {
        let start = Start {
            definition: "stumbles".to_owned(),
            version: None,
            input: json!({ "times": times }),
            owner: "test".to_owned(),
            key: SagaId::fresh().to_string(),
            tags: BTreeMap::new(),
            starts_at: None,
            priority: 0,
            parent: None,
            by: "test".to_owned(),
        };
        let saga = shop.engine.start(start).await.unwrap().saga_id();
        shop.run_until(saga, if *times == 0 { "completed" } else { "stuck" }).await;
        sagas.push(saga);
    }
    sagas
}

async fn planned(shop: &Shop, selection: Selection, limits: Limits) -> BatchId {
    let wanted = PlanBatch {
        act: BatchAct::Retry,
        selection,
        filter: Value::Null,
        limits,
        reason: "the gateway is back".to_owned(),
        by: BY.name.to_owned(),
    };
    plan(&shop.engine, &wanted).await.unwrap().batch_id
}

/// Gives the batch turns, and its sagas too, until nothing is waiting or on its way.
async fn run(shop: &Shop, batch: BatchId) -> Counts {
    loop {
        carry_out(&shop.engine).await.unwrap();
        shop.turn().await;
        let counts = find(&shop.pool, batch).await.unwrap().unwrap().counts;
        if counts.waiting + counts.still_running == 0 {
            return counts;
        }
    }
}

async fn retries(shop: &Shop, saga: SagaId) -> usize {
    let journal = shop.view(saga).await.journal;
    let retried = |entry: &Entry| matches!(entry, Entry::Acted { act: ActKind::Retry, .. });
    journal.iter().filter(|recorded| retried(&recorded.entry)).count()
}

#[tokio::test]
async fn each_saga_of_a_batch_has_its_result_and_what_failed_again_is_a_batch_of_its_own() {
    let shop = Shop::open().await;
    let sagas = stumbled(&shop, &[1, 2, 0, 1, 2]).await;
    let all = Filter { definition: Some("stumbles".to_owned()), ..Filter::default() };
    let batch = planned(&shop, Selection::Matching(all), FAST).await;
    assert_eq!(retries(&shop, sagas[0]).await, 0, "a plan does nothing");
    assert_eq!(start(&shop.pool, batch, BY).await.unwrap(), Changed::Now(BatchState::Running));
    let counts = run(&shop, batch).await;
    assert_eq!(counts, Counts { fixed: 2, failed_again: 2, not_attempted: 1, ..Counts::default() });
    assert_eq!(find(&shop.pool, batch).await.unwrap().unwrap().state, BatchState::Completed);
    let left = items(&shop.pool, batch, ItemFilter { result: Some("notAttempted"), after: None }, 10).await.unwrap();
    assert_eq!(left.iter().map(|item| item.saga_id).collect::<Vec<_>>(), [Some(sagas[2])]);
    assert_eq!(left[0].verdict, "not done: it is completed already");

    let again = planned(&shop, Selection::FailedAgainIn(batch), FAST).await;
    start(&shop.pool, again, BY).await.unwrap();
    assert_eq!(run(&shop, again).await, Counts { fixed: 2, ..Counts::default() });
    for saga in sagas {
        shop.run_until(saga, "completed").await;
    }
}

#[tokio::test]
async fn what_has_moved_since_the_plan_is_left_alone() {
    let shop = Shop::open().await;
    let sagas = stumbled(&shop, &[1, 1]).await;
    let batch = planned(&shop, Selection::Sagas(sagas.clone()), FAST).await;
    shop.retry(sagas[0]).await;
    start(&shop.pool, batch, BY).await.unwrap();
    assert_eq!(run(&shop, batch).await, Counts { fixed: 1, not_attempted: 1, ..Counts::default() });
    let left = items(&shop.pool, batch, ItemFilter { result: Some("notAttempted"), after: None }, 10).await.unwrap();
    assert_eq!(left[0].saga_id, Some(sagas[0]));
    assert!(left[0].detail.as_deref().unwrap().contains("moved on"), "{left:?}");
}

#[tokio::test]
async fn a_batch_that_fails_too_often_ends_itself() {
    let shop = Shop::open().await;
    let sagas = stumbled(&shop, &[9; 30]).await;
    let careful = Limits { concurrency: 10, abort_at_failure_permille: Some(500), ..FAST };
    let batch = planned(&shop, Selection::Sagas(sagas.clone()), careful).await;
    start(&shop.pool, batch, BY).await.unwrap();
    let Counts { failed_again, not_attempted, .. } = run(&shop, batch).await;
    // ten results, and no more than ten on their way when they were there
    assert!((10..20).contains(&failed_again) && failed_again + not_attempted == 30, "{failed_again} {not_attempted}");
    let ended = find(&shop.pool, batch).await.unwrap().unwrap();
    assert_eq!(ended.state, BatchState::Aborted);
    assert!(ended.end_reason.unwrap().contains("failed again"));
    assert_eq!(retries(&shop, sagas[29]).await, 0);
}

#[tokio::test]
async fn whoever_dies_in_the_middle_of_a_turn_leaves_no_act_to_be_done_twice() {
    let shop = Shop::open().await;
    let sagas = stumbled(&shop, &[1, 1]).await;
    let batch = planned(&shop, Selection::Sagas(sagas.clone()), Limits { concurrency: 2, ..FAST }).await;
    start(&shop.pool, batch, BY).await.unwrap();
    // a process took as many as it may, acted on one, and died before it wrote that down
    let taken = "update booking.batch_items set state = 'acting', acting_since = now() - interval '2 minutes'";
    sqlx::query(taken).execute(&shop.pool).await.unwrap();
    let seq = shop.view(sagas[0]).await.run.seq;
    let acted = ActRequest {
        saga_id: sagas[0],
        act: Act::Retry,
        reason: "the gateway is back".to_owned(),
        seq,
        by: BY.name.to_owned(),
        address: None,
    };
    shop.engine.act(acted).await.unwrap();
    assert_eq!(run(&shop, batch).await, Counts { fixed: 2, ..Counts::default() });
    assert_eq!((retries(&shop, sagas[0]).await, retries(&shop, sagas[1]).await), (1, 1));
}

#[tokio::test]
async fn what_a_process_died_with_has_a_result_also_where_its_batch_is_ended() {
    let shop = Shop::open().await;
    let sagas = stumbled(&shop, &[1, 1]).await;
    let batch = planned(&shop, Selection::Sagas(sagas.clone()), FAST).await;
    start(&shop.pool, batch, BY).await.unwrap();
    let taken = "update booking.batch_items set state = 'acting', acting_since = now() - interval '2 minutes'";
    sqlx::query(taken).execute(&shop.pool).await.unwrap();
    let seq = shop.view(sagas[0]).await.run.seq;
    let (act, reason, by) = (Act::Retry, "the gateway is back".to_owned(), BY.name.to_owned());
    shop.engine.act(ActRequest { saga_id: sagas[0], act, reason, seq, by, address: None }).await.unwrap();
    change(&shop.pool, batch, BatchEvent::Aborted, "enough", BY).await.unwrap();
    assert_eq!(run(&shop, batch).await, Counts { fixed: 1, not_attempted: 1, ..Counts::default() });
    assert_eq!((retries(&shop, sagas[0]).await, retries(&shop, sagas[1]).await), (1, 0));
}

#[tokio::test]
async fn many_processes_act_once_on_each() {
    let shop = Shop::open().await;
    let sagas = stumbled(&shop, &[1; 20]).await;
    let batch = planned(&shop, Selection::Sagas(sagas.clone()), FAST).await;
    start(&shop.pool, batch, BY).await.unwrap();
    while find(&shop.pool, batch).await.unwrap().unwrap().counts.waiting > 0 {
        let turns = (0..4).map(|_| carry_out(&shop.engine));
        futures::future::try_join_all(turns).await.unwrap();
    }
    assert_eq!(run(&shop, batch).await, Counts { fixed: 20, ..Counts::default() });
    for saga in sagas {
        assert_eq!(retries(&shop, saga).await, 1);
    }
}

#[tokio::test]
async fn a_batch_that_is_held_up_does_nothing_and_one_that_was_ended_never_again() {
    let shop = Shop::open().await;
    let sagas = stumbled(&shop, &[1, 1]).await;
    let one_at_a_time = Limits { concurrency: 1, ..FAST };
    let batch = planned(&shop, Selection::Sagas(sagas.clone()), one_at_a_time).await;
    start(&shop.pool, batch, BY).await.unwrap();
    let tell = async |event| change(&shop.pool, batch, event, "because", BY).await;
    assert_eq!(tell(BatchEvent::Paused).await.unwrap(), Changed::Now(BatchState::Paused));
    assert_eq!(tell(BatchEvent::Paused).await.unwrap(), Changed::Already(BatchState::Paused));
    carry_out(&shop.engine).await.unwrap();
    assert_eq!(find(&shop.pool, batch).await.unwrap().unwrap().counts.waiting, 2);
    assert_eq!(tell(BatchEvent::Resumed).await.unwrap(), Changed::Now(BatchState::Running));
    while find(&shop.pool, batch).await.unwrap().unwrap().counts.waiting == 2 {
        carry_out(&shop.engine).await.unwrap();
    }
    assert_eq!(tell(BatchEvent::Aborted).await.unwrap(), Changed::Now(BatchState::Aborted));
    assert_eq!(run(&shop, batch).await, Counts { fixed: 1, not_attempted: 1, ..Counts::default() });
    tell(BatchEvent::Resumed).await.unwrap_err();
    assert_eq!(start(&shop.pool, batch, BY).await.unwrap(), Changed::Already(BatchState::Aborted));
}

#[tokio::test]
async fn a_plan_is_about_somebody_and_its_makers() {
    let shop = Shop::open().await;
    let nobody = PlanBatch {
        act: BatchAct::Retry,
        selection: Selection::Sagas(Vec::new()),
        filter: Value::Null,
        limits: FAST,
        reason: "why not".to_owned(),
        by: BY.name.to_owned(),
    };
    assert!(matches!(plan(&shop.engine, &nobody).await, Err(PlanError::Nothing)));
    let stranger = SagaId::fresh();
    let batch = planned(&shop, Selection::Sagas(vec![stranger, stranger]), FAST).await;
    let found = items(&shop.pool, batch, ItemFilter::default(), 10).await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].verdict, "not done: there is no such saga");
    start(&shop.pool, batch, Author { name: "otto", address: None }).await.unwrap_err();
    assert!(matches!(start(&shop.pool, batch, BY).await, Err(ChangeError::NothingToDo)));
    let kept = find(&shop.pool, batch).await.unwrap().unwrap();
    assert_eq!((kept.state, kept.counts), (BatchState::Planned, Counts { not_attempted: 1, ..Counts::default() }));
}
