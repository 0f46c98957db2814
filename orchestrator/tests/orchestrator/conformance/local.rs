//! Local actions: they commit with their entries, and those of one saga that follow each other together.

use crate::{
    ground::Ground,
    world::{World, words},
};
use orchestrator::{Settled, Store, action::Halt};
use serde_json::json;
use std::collections::HashSet;

pub(crate) async fn a_local_action_commits_with_its_entry_or_not_at_all<G: Ground>() {
    let world = World::<G>::on_new_ground().await;
    world.script.answer(Err(Halt::transient("later", "later")));
    world.script.answer(Err(Halt::permanent("panic!", "")));
    let saga = world.start("one-step").await;
    world.run_until(saga, "completed").await;
    assert_eq!(world.script.calls().len(), 3);
    assert_eq!(world.effects(saga).await, 1);

    world.script.answer(Err(Halt::permanent("error!", "")));
    let saga = world.start("one-step").await;
    world.run_until(saga, "completed").await;
    assert_eq!(world.effects(saga).await, 1);
    world.all_is_well().await;
}

pub(crate) async fn local_steps_that_follow_each_other_share_a_commit<G: Ground>() {
    let world = World::<G>::on_new_ground().await;
    let saga = world.start("local").await;
    let claimed = world.claim(&world.engine, saga).await;
    let (claimed, report) = world.engine.execute(claimed).await;
    assert!(matches!(world.engine.settle(claimed, report).await, Settled::Released));
    let view = world.view(saga).await;
    assert_eq!(words(&view), ["started", "succeeded one", "succeeded two", "succeeded three", "completed"]);
    let (mut journals, _) = world.store().journals(&[saga]).await.unwrap();
    let moves: HashSet<_> = journals.remove(&saga).unwrap().unwrap().into_iter().map(|(_, of)| of).collect();
    assert_eq!(moves.len(), 2, "its start, and one move");
    assert_eq!((world.effects(saga).await, world.script.calls().len()), (3, 3));
    world.all_is_well().await;
}

pub(crate) async fn what_one_of_them_comes_to_is_its_own<G: Ground>() {
    let world = World::<G>::on_new_ground().await;
    world.script.answer(Ok(json!({})));
    world.script.answer(Err(Halt::transient("later", "later")));
    world.script.answer(Ok(json!({})));
    world.script.answer(Err(Halt::permanent("never", "never")));
    let saga = world.start("local").await;
    let view = world.run_until(saga, "compensated").await;
    let forward = ["started", "succeeded one", "failed two", "succeeded two", "failed three", "compensating"];
    assert_eq!(words(&view)[..6], forward, "{:?}", words(&view));
    // what failed has left nothing behind, what succeeded is there
    assert_eq!((world.effects(saga).await, world.script.calls().len()), (2, 4));
    world.all_is_well().await;
}

pub(crate) async fn what_is_refused_of_one_does_not_take_those_before_along<G: Ground>() {
    let world = World::<G>::on_new_ground().await;
    world.refuse("poison").await;
    let saga = world.start("spoiled").await;
    let view = world.run_until(saga, "compensated").await;
    let forward = ["started", "succeeded one", "failed two", "failed two", "failed two", "compensating"];
    assert_eq!(words(&view)[..6], forward, "{:?}", words(&view));
    assert_eq!(world.effects(saga).await, 1);
    world.all_is_well().await;
}
