//! Every instant at which a worker can die around a charge, with everything that can become of the charge: in the end
//! the gateways' books have one charge for an order with tickets, and none for an order without.
//!
//! One order for each outcome is brought to the instant, as its journal and the books show; then their worker is
//! killed, or sleeps until another one has done everything (row 11). With either protocol first.

mod scene;

use super::{
    gate::{Held, Kind},
    gateways::{ADYEN, Protocol, STRIPE},
    until,
};
use private_servers::{Fault, Spot};
use scene::{Actor, Outcome, Scene};

async fn dies_before_the_intent(protocol: Protocol) {
    let scene = Scene::set(protocol).await;
    let around = scene.around().await;
    around.database.trap(Spot::CommitOf("\"intended\""), Fault::HoldRequest, 1);
    let victim = scene.victim(around).await;
    until("an intent is about to be committed", async || (victim.database().sprung() == 1).then_some(())).await;
    let claimed = "select count(*) from engine.ready where lease_until > now()";
    let all = i64::try_from(scene.orders.len()).unwrap();
    scene.world.number_is("all are claimed", claimed, |claimed| claimed == all).await;
    scene.have_noted(|_| vec![]).await;
    let successor = scene.successor().await;
    scene.outlives(victim, successor).await;
}

async fn dies_after_the_intent(protocol: Protocol) {
    let scene = Scene::set(protocol).await;
    let around = scene.around().await;
    let first_calls = Held::Requests(scene.first_call());
    around.primary.hold(first_calls.clone());
    let victim = scene.victim(around).await;
    victim.has_waiting(&first_calls, scene.orders.len()).await;
    scene.have_noted(|_| vec!["intended"]).await;
    scene.were_asked(|_| 0).await;
    let successor = scene.successor().await;
    scene.outlives(victim, successor).await;
}

/// A worker that is about to ask for the money of every order.
async fn about_to_call(scene: &Scene) -> Actor {
    let around = scene.around().await;
    around.primary.hold(Held::Requests(Kind::Charges));
    let victim = scene.victim(around).await;
    victim.has_waiting(&Held::Requests(Kind::Charges), scene.orders.len()).await;
    scene.have_noted(|_| scene.noted_before_the_call()).await;
    scene.were_asked(|_| 0).await;
    victim
}

/// Where the charge has a name before it moves money.
async fn dies_before_the_call(protocol: Protocol) {
    let scene = Scene::set(protocol).await;
    let victim = about_to_call(&scene).await;
    let successor = scene.successor().await;
    scene.outlives(victim, successor).await;
}

/// A worker with all calls sent, and carried out as far as they are to be; it has no answer to any.
async fn waiting_for_answers(scene: &Scene) -> Actor {
    let around = scene.around().await;
    scene.destine(&around.primary);
    let answers = Held::Answers(Kind::Charges);
    around.primary.hold(answers.clone());
    let victim = scene.victim(around).await;
    let told = scene.count(Outcome::is_told);
    victim.has_waiting(&answers, told).await;
    let untold = scene.orders.len() - told;
    until("all others hear nothing", async || (victim.primary().unanswered() == untold).then_some(())).await;
    scene.have_noted(|_| scene.noted_before_the_call()).await;
    scene.were_asked(|outcome| u64::from(outcome.has_arrived())).await;
    victim
}

async fn dies_after_the_call(protocol: Protocol) {
    let scene = Scene::set(protocol).await;
    let victim = waiting_for_answers(&scene).await;
    let successor = scene.lucky_successor().await;
    scene.outlives(victim, successor).await;
}

async fn dies_after_the_answer(protocol: Protocol) {
    let scene = Scene::set(protocol).await;
    let victim = waiting_for_answers(&scene).await;
    for record in ["\"completed\"", "\"declined\"", "\"doubted\""] {
        victim.database().trap(Spot::CommitOf(record), Fault::HoldRequest, 1);
    }
    victim.hears();
    until("all have heard", async || (victim.primary().heard() == scene.orders.len()).then_some(())).await;
    until("a record is about to be committed", async || (victim.database().sprung() == 1).then_some(())).await;
    scene.have_noted(|_| scene.noted_before_the_call()).await;
    let successor = scene.lucky_successor().await;
    scene.outlives(victim, successor).await;
}

/// What follows each record is held: the question what became of it, the next gateway's charge, the compensation.
async fn dies_after_the_record(protocol: Protocol) {
    let scene = Scene::set(protocol).await;
    let victim = waiting_for_answers(&scene).await;
    let (questions, charges) = (Held::Requests(scene.question()), Held::Requests(Kind::Charges));
    let declined = Held::AnswersTo(scene.saga_of(Outcome::Declined).to_owned());
    victim.primary().hold(questions);
    victim.backup().hold(charges);
    victim.primary().hold(declined.clone());
    victim.hears();
    for (outcome, _) in scene.orders.iter().filter(|(outcome, _)| *outcome != Outcome::Declined) {
        scene.is_recorded(*outcome).await;
    }
    // nothing is committed any more once this is sprung
    victim.database().trap(Spot::CommitOf("\"compensating\""), Fault::HoldRequest, 1);
    victim.primary().open(&declined);
    until("it is about to compensate", async || (victim.database().sprung() == 1).then_some(())).await;
    scene.is_recorded(Outcome::Declined).await;
    let successor = scene.lucky_successor().await;
    scene.outlives(victim, successor).await;
}

async fn sleeps_before_the_call(protocol: Protocol) {
    let scene = Scene::set(protocol).await;
    let victim = about_to_call(&scene).await;
    let successor = scene.successor().await;
    victim.worker.stop();
    scene.is_done().await;
    victim.primary().open(&Held::Requests(Kind::Charges));
    until("its calls arrive", async || (victim.primary().arrived() == scene.orders.len()).then_some(())).await;
    scene.wakes(victim, successor).await;
}

async fn sleeps_after_the_call(protocol: Protocol) {
    let scene = Scene::set(protocol).await;
    let victim = waiting_for_answers(&scene).await;
    let successor = scene.lucky_successor().await;
    victim.worker.stop();
    scene.is_done().await;
    victim.hears();
    scene.wakes(victim, successor).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_before_the_intent() {
    tokio::join!(dies_before_the_intent(STRIPE), dies_before_the_intent(ADYEN));
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_after_the_intent() {
    tokio::join!(dies_after_the_intent(STRIPE), dies_after_the_intent(ADYEN));
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_before_the_call() {
    dies_before_the_call(STRIPE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_after_the_call() {
    tokio::join!(dies_after_the_call(STRIPE), dies_after_the_call(ADYEN));
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_after_the_answer() {
    tokio::join!(dies_after_the_answer(STRIPE), dies_after_the_answer(ADYEN));
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_after_the_record() {
    tokio::join!(dies_after_the_record(STRIPE), dies_after_the_record(ADYEN));
}

/// It wakes when everything is done, with its calls on their way.
#[tokio::test(flavor = "multi_thread")]
async fn asleep_before_the_call() {
    tokio::join!(sleeps_before_the_call(STRIPE), sleeps_before_the_call(ADYEN));
}

/// It wakes when everything is done, with the answers on their way.
#[tokio::test(flavor = "multi_thread")]
async fn asleep_after_the_call() {
    tokio::join!(sleeps_after_the_call(STRIPE), sleeps_after_the_call(ADYEN));
}
