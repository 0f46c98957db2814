//! Row 12: clocks differ. What is due, whose lease has ended and which hold is over is decided by the database's.

use super::{
    program::Program,
    shop::kinds_of,
    until,
    world::{LEASE, World},
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::path::PathBuf;

/// How far a clock must be off at least, in seconds, for the test to mean anything.
const OFF_SECS_MIN: i64 = 3_000;

/// The library that gives a process another clock.
fn faketime() -> PathBuf {
    const DIRECTORIES: [&str; 3] = ["/usr/lib/faketime", "/usr/lib64/faketime", "/usr/local/lib/faketime"];
    let multiarch =
        std::fs::read_dir("/usr/lib").unwrap().map_while(Result::ok).map(|entry| entry.path().join("faketime"));
    multiarch
        .chain(DIRECTORIES.map(PathBuf::from))
        .map(|directory| directory.join("libfaketimeMT.so.1"))
        .find(|library| library.exists())
        .expect("libfaketime is not installed; `scripts/setup` installs it")
}

/// What sets a process's clock so far off. Its steady clock stays.
fn clock<'a>(library: &'a str, off: &'a str) -> [(&'a str, &'a str); 4] {
    [("LD_PRELOAD", library), ("FAKETIME", off), ("FAKETIME_DONT_FAKE_MONOTONIC", "1"), ("DONT_FAKE_MONOTONIC", "1")]
}

/// How many seconds its log is off from the database's time.
async fn is_off_by(world: &World, program: &Program) -> i64 {
    let line: Value = serde_json::from_str(&program.says("\"timestamp\"").await).unwrap();
    let query = format!(
        "select extract(epoch from '{}'::timestamptz - clock_timestamp())::int8",
        line["timestamp"].as_str().unwrap()
    );
    world.number(&query).await
}

#[tokio::test(flavor = "multi_thread")]
async fn clocks_that_differ_by_an_hour_change_nothing() {
    let library = faketime().display().to_string();
    let world = World::new().await;
    let (_program, api) = world.api(&[]).await;
    let (ahead, behind) = (clock(&library, "+3600"), clock(&library, "-3600"));
    let (late_program, late_api) = world.another_api("api-behind", &behind).await;
    let mut fast = world.worker("ahead", &[&ahead[..], &[LEASE]].concat()).await;
    assert!(is_off_by(&world, &fast).await > OFF_SECS_MIN);
    let event = api.event(100).await;

    // a hold of ten minutes is not swept by somebody for whom it ended long ago
    let held = late_api.reserve(&event, "patient").await;
    let sweeps = "select count(*) from engine.schedules where name = 'sweep-holds' and last_finished_at > clock_timestamp() - interval '1 second'";
    for _ in 0..2 {
        world.number_is("holds are swept", sweeps, |number| number == 1).await;
    }
    let placed = late_api.place(&held, "patient").await;
    api.confirmed(&placed).await;

    // a timer of a second, a retry's pause, a signal
    let flaky = late_api.start("demo-flaky", "flaky", json!({ "times": 2, "kind": "transient" })).await;
    api.saga_is(&flaky, "completed").await;

    // a lease is nobody else's while it is kept, however late it is for him
    let slow = world.worker("behind", &[&behind[..], &[LEASE]].concat()).await;
    assert!(is_off_by(&world, &slow).await < -OFF_SECS_MIN);
    world.fault(json!({ "fault": "slow", "operation": "charge", "delayMs": 5_000 })).await;
    let mut long = Vec::new();
    for buyer in 0..6 {
        long.push(api.order(&event, &format!("long-{buyer}")).await);
    }
    for placed in &long {
        api.confirmed(placed).await;
        let saga = api.saga(&placed.saga).await;
        assert_eq!(kinds_of(&saga, "pay"), ["intended", "noted", "succeeded"], "somebody took it over: {saga:#}");
    }

    // and is somebody else's when its worker is dead, whoever of the two that is
    taken_over(&world, &api, &event, &mut fast, "from-ahead").await;
    let mut slow = slow;
    let _fast = world.worker("ahead-again", &[&ahead[..], &[LEASE]].concat()).await;
    taken_over(&world, &api, &event, &mut slow, "from-behind").await;
    assert!(late_program.log().contains("serving"));
    world.is_sound(&api).await;
}

/// One of two workers dies in the middle of its calls, and the other takes its sagas over.
async fn taken_over(world: &World, api: &super::super::client::Api, event: &str, dies: &mut Program, buyer: &str) {
    let mut placed = Vec::new();
    let held_by_it = format!("select count(*) from engine.ready where worker = '{}'", dies.worker_name().await);
    // until it has one, for the other claims as well
    until("it is in the middle of a call", async || {
        placed.push(api.order(event, &format!("{buyer}-{}", placed.len())).await);
        (world.number(&held_by_it).await > 0).then_some(())
    })
    .await;
    dies.kill();
    world.number_is("others have what it had", &held_by_it, |number| number == 0).await;
    for placed in &placed {
        api.confirmed(placed).await;
    }
    let (status, _) = api.ask(Method::GET, "/readyz", None).await;
    assert_eq!(status, StatusCode::OK);
}
