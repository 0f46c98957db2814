//! What people do, at most once, and only on what they have seen: asked of the store itself, and of the engine.

use super::bench::{Bench, lasts};
use crate::{
    acts::{done, request},
    ground::Ground,
    world::World,
};
use orchestrator::{
    SagaId, Store,
    action::Halt,
    acts::{Act, ActAnswer, ActError},
    store::{ActRow, Tx},
};
use serde_json::json;

pub(crate) async fn an_act_is_found_by_all_that_it_was<G: Ground>() {
    let bench = Bench::<G>::new().await;
    let (saga_id, other) = (SagaId::fresh(), SagaId::fresh());
    let act = ActRow { actor: "olga", act: "retry", saga_id, seq: 3, digest: "d", reason: "because", address: None };
    let mut tx = bench.begin().await;
    assert_eq!(tx.act_done(&act).await.unwrap(), None);
    // refused as often as it is tried
    for _ in 0..2 {
        tx.record_acts(&[(act, json!({ "why": "no", "seq": 8 }))], "refused").await.unwrap();
    }
    assert_eq!(tx.act_done(&act).await.unwrap(), None);
    tx.record_acts(&[(act, json!({ "seq": 4 }))], "done").await.unwrap();
    bench.commit(tx).await;
    assert_eq!((bench.acts("done").await, bench.acts("refused").await), (1, 2));

    let mut tx = bench.begin().await;
    // in which words and from where it is asked for again is no matter
    let again = ActRow { reason: "again", address: Some("::1"), ..act };
    assert_eq!(tx.act_done(&again).await.unwrap(), Some(4));
    for another in [
        ActRow { actor: "oleg", ..act },
        ActRow { act: "kill", ..act },
        ActRow { saga_id: other, ..act },
        ActRow { seq: 4, ..act },
        ActRow { digest: "e", ..act },
    ] {
        assert_eq!(tx.act_done(&another).await.unwrap(), None, "{another:?}");
        tx.record_acts(&[(another, json!({ "seq": 9 }))], "done").await.unwrap();
    }
    bench.commit(tx).await;
    assert_eq!(bench.acts("done").await, 6);
}

pub(crate) async fn an_act_is_done_once<G: Ground>() {
    let bench = Bench::<G>::new().await;
    let saga_id = SagaId::fresh();
    let act = ActRow { actor: "olga", act: "retry", saga_id, seq: 3, digest: "d", reason: "because", address: None };
    let mut tx = bench.begin().await;
    tx.record_acts(&[(act, json!({ "seq": 4 }))], "done").await.unwrap();
    bench.commit(tx).await;
    let mut tx = bench.begin().await;
    assert!(lasts(&tx.record_acts(&[(act, json!({ "seq": 5 }))], "done").await));
    drop(bench.store.commit(tx).await);
    assert_eq!(bench.acts("done").await, 1);
    assert_eq!(bench.begin().await.act_done(&act).await.unwrap(), Some(4));
}

pub(crate) async fn twenty_clicks_are_one_act_with_one_answer<G: Ground>() {
    let world = World::<G>::on_new_ground().await;
    let saga = world.start("waiter").await;
    let seq = world.run_until(saga, "waiting").await.run.seq;
    let clicks = (0..20).map(|_| world.engine.act(request(saga, seq, Act::Cancel)));
    let answers = futures::future::join_all(clicks).await;
    let done = answers.iter().filter(|answer| matches!(answer, Ok(ActAnswer::Done { .. }))).count();
    let again = answers.iter().filter(|answer| matches!(answer, Ok(ActAnswer::Replayed { .. }))).count();
    assert_eq!((done, again), (1, 19), "{answers:?}");
    assert_eq!(world.acts("done").await, 1);
    world.run_until(saga, "compensated").await;
    world.all_is_well().await;
}

pub(crate) async fn of_two_different_acts_one_is_told_that_the_saga_has_moved<G: Ground>() {
    let world = World::<G>::on_new_ground().await;
    for _ in 0..100 {
        let saga = world.start("waiter").await;
        let seq = world.view(saga).await.run.seq;
        let signal = Act::Signal { name: "x".to_owned(), payload: json!(1) };
        let (signalled, cancelled) = tokio::join!(
            world.engine.act(request(saga, seq, signal)),
            world.engine.act(request(saga, seq, Act::Cancel))
        );
        let refused =
            [&signalled, &cancelled].into_iter().filter(|a| matches!(a, Err(ActError::MovedOn { .. }))).count();
        assert_eq!(refused, 1, "{signalled:?} {cancelled:?}");
    }
    assert_eq!((world.acts("done").await, world.acts("refused").await), (100, 100));
    world.all_is_well().await;
}

pub(crate) async fn of_a_retry_and_a_cancel_one_is_done<G: Ground>() {
    let world = World::<G>::on_new_ground().await;
    for _ in 0..100 {
        world.script.answer(Err(Halt::transient("later", "later")));
        let saga = world.start("slow").await;
        let seq = world.run_until(saga, "waiting").await.run.seq;
        let (retry, cancel) = tokio::join!(
            world.engine.act(request(saga, seq, Act::Retry)),
            world.engine.act(request(saga, seq, Act::Cancel))
        );
        match (&retry, &cancel) {
            (Ok(ActAnswer::Done { .. }), Err(ActError::MovedOn { .. })) => {
                world.run_until(saga, "completed").await;
            }
            (Err(ActError::MovedOn { .. }), Ok(ActAnswer::Done { .. })) => {
                world.run_until(saga, "compensated").await;
            }
            both => panic!("{both:?}"),
        }
    }
    assert_eq!((world.acts("done").await, world.acts("refused").await), (100, 100));
    world.all_is_well().await;
}

pub(crate) async fn what_was_done_is_answered_again_although_the_saga_has_gone_on<G: Ground>() {
    let world = World::<G>::on_new_ground().await;
    let saga = world.start("waiter").await;
    let seq = world.run_until(saga, "waiting").await.run.seq;
    let signal = Act::Signal { name: "x".to_owned(), payload: json!(1) };
    let first = world.engine.act(request(saga, seq, signal.clone())).await.unwrap();
    assert_eq!(first, ActAnswer::Done { seq: seq + 1 });
    let again = ActAnswer::Replayed { seq: seq + 1 };
    assert_eq!(world.engine.act(request(saga, seq, signal.clone())).await.unwrap(), again);
    done(&world, saga, Act::Cancel).await;
    world.run_until(saga, "compensated").await;
    assert_eq!(world.engine.act(request(saga, seq, signal)).await.unwrap(), again);
    // another body is another act, on a saga that has moved on
    let other = Act::Signal { name: "x".to_owned(), payload: json!(2) };
    let refused = world.engine.act(request(saga, seq, other)).await;
    assert!(matches!(refused, Err(ActError::MovedOn { .. })), "{refused:?}");
    world.all_is_well().await;
}

pub(crate) async fn a_kill_stops_without_taking_back_and_leaves_a_case<G: Ground>() {
    let world = World::<G>::on_new_ground().await;
    let saga = world.start("waiter").await;
    world.run_until(saga, "waiting").await;
    done(&world, saga, Act::Kill).await;
    assert_eq!(world.view(saga).await.run.state.as_str(), "killed");
    assert_eq!(world.open_case(saga).await.as_deref(), Some("killed"));
    world.all_is_well().await;
}
