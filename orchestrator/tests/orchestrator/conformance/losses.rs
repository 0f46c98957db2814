//! Answers that get lost, asked of the store itself: what was done is done, whoever hears of it.

use super::bench::{Bench, LEASE_SECS, message, moves, noted, passes, soon, then};
use crate::ground::{Ground, Loss};
use orchestrator::{
    Store,
    outbox::Destination,
    saga::State,
    store::{Append, Schedule, Stored, Tx},
};
use serde_json::json;

/// Writes a move on a connection that suffers `loss` at its COMMIT.
async fn written<G: Ground>(bench: &Bench<G>, append: &Append, loss: Loss) -> Stored<()> {
    let store = bench.frail().await;
    let mut tx = store.begin().await.unwrap();
    tx.lock_claims(&[append.run.saga_id]).await.unwrap();
    tx.append(std::slice::from_ref(append), LEASE_SECS).await.unwrap();
    bench.lose(loss, 1);
    let committed = store.commit(tx).await;
    assert_eq!(bench.left_to_lose(), 0);
    committed
}

async fn lost<G: Ground>(loss: Loss, is_done: bool) {
    let bench = Bench::<G>::new().await;
    let start = bench.begun().await;
    let append = then(&start, State::Running, vec![noted(json!(1))], Schedule::Nudge);
    let committed = written(&bench, &append, loss).await;
    assert!(passes(&committed), "{committed:?}");
    // whoever writes it again finds out
    let mut tx = bench.begin().await;
    soon(tx.lock_claims(&[append.run.saga_id])).await.unwrap();
    let news = tx.news(&[(append.run.saga_id, 1)]).await.unwrap().0.remove(&append.run.saga_id);
    let found = news.map_or_else(Vec::new, |journal| moves(&journal.unwrap()));
    assert_eq!(found, if is_done { vec![append.move_id] } else { vec![] });
    if !is_done {
        tx.append(&[append], LEASE_SECS).await.unwrap();
    }
    bench.commit(tx).await;
    assert_eq!(bench.journal(start.run.saga_id).await.len(), 2);
    assert_eq!(bench.violations().await, [""; 0]);
}

pub(crate) async fn a_commit_that_never_arrived_is_not_done<G: Ground>() {
    lost::<G>(Loss::CommitBefore, false).await;
}

pub(crate) async fn a_commit_whose_answer_is_lost_is_done<G: Ground>() {
    lost::<G>(Loss::CommitAfter, true).await;
}

pub(crate) async fn a_commit_on_its_way_is_waited_for<G: Ground>() {
    lost::<G>(Loss::CommitOnItsWay, true).await;
}

pub(crate) async fn a_claim_whose_answer_is_lost_is_free_when_its_lease_ends<G: Ground>() {
    let bench = Bench::<G>::new().await;
    let saga = bench.begun().await.run.saga_id;
    let frail = bench.frail().await;
    bench.lose(Loss::Answer, 1);
    let claimed = frail.claim("test", 1, LEASE_SECS).await;
    assert!(passes(&claimed), "{claimed:?}");
    assert_eq!(bench.left_to_lose(), 0);
    assert_eq!(bench.wake_up(saga).await.unwrap().claims, 1);
    assert_eq!(bench.claim().await, None);
    bench.let_pass(LEASE_SECS + 1).await;
    let claim = bench.claim().await.unwrap();
    assert_eq!(claim.claims, 2);

    // a renewal or a return that was done is no mistake to repeat
    bench.lose(Loss::Answer, 1);
    assert!(passes(&frail.renew(&[(saga, claim.token)], 2 * LEASE_SECS).await));
    bench.let_pass(LEASE_SECS + 1).await;
    assert_eq!(bench.claim().await, None);
    assert_eq!(frail.renew(&[(saga, claim.token)], LEASE_SECS).await.unwrap(), [saga]);
    bench.lose(Loss::Answer, 1);
    assert!(passes(&frail.hand_back(&[(saga, claim.token)]).await));
    frail.hand_back(&[(saga, claim.token)]).await.unwrap();
    assert_eq!(bench.claim().await.unwrap().claims, 2);
}

pub(crate) async fn a_message_whose_taker_heard_nothing_is_taken_again<G: Ground>() {
    let bench = Bench::<G>::new().await;
    let mut tx = bench.begin().await;
    tx.enqueue(&[message(json!(1))]).await.unwrap();
    bench.commit(tx).await;
    let frail = bench.frail().await;
    bench.lose(Loss::Answer, 1);
    assert!(passes(&frail.due_messages(Destination::Inside, 1).await));
    assert_eq!(bench.left_to_lose(), 0);
    assert_eq!(bench.messages().await[0].attempts, 1);
    bench.let_pass(31).await;
    let due = frail.due_messages(Destination::Inside, 1).await.unwrap();
    assert_eq!(due[0].attempts, 2);
    bench.lose(Loss::Answer, 1);
    assert!(passes(&frail.delivered(&[due[0].message_id]).await));
    frail.delivered(&[due[0].message_id]).await.unwrap();
    assert_eq!(bench.messages().await, []);
}
