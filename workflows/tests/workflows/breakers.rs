//! Breakers that several processes share, on a real Redis. A process is here what has breakers of its own.

use futures::future::join_all;
use private_servers::{DataDir, Existing, PrivateRedis, TestServers};
use std::time::{Duration, Instant};
use workflows::{
    breakers::{BreakerSettings, End, Failing, GatewayBreakers, Operation, Pass},
    redis_link::RedisLink,
};

const PATIENCE: Duration = Duration::from_secs(60);
const FAILED: End = End::Failed(Failing::ServerError);
/// Nothing that was counted is forgotten while a test runs.
const SETTINGS: BreakerSettings =
    BreakerSettings { failure_permille: 500, window_secs: 600, minimum_calls: 10, open_secs: 1 };

fn process(redis_url: &str, settings: BreakerSettings) -> GatewayBreakers {
    // on a busy machine it may take its time
    let link = RedisLink::patient(redis_url, PATIENCE).unwrap();
    GatewayBreakers::shared("primary", PATIENCE, settings, &link)
}

/// So many processes with one Redis.
fn processes(count: usize, settings: BreakerSettings) -> Vec<GatewayBreakers> {
    let url = TestServers::shared().redis_url();
    (0..count).map(|_| process(&url, settings)).collect()
}

fn stands(breakers: &GatewayBreakers) -> &'static str {
    breakers.standing(Operation::Charge).breaker
}

async fn fails(breakers: &GatewayBreakers) {
    let pass = breakers.admit(Operation::Charge, None).await.unwrap();
    breakers.settle(pass, FAILED).await;
}

async fn trip(breakers: &GatewayBreakers) {
    while stands(breakers) == "closed" {
        fails(breakers).await;
    }
}

/// Exchanges until it holds of all.
async fn exchange_until(processes: &[GatewayBreakers], what: &str, holds: impl Fn(&GatewayBreakers) -> bool) {
    let began = Instant::now();
    while !processes.iter().all(&holds) {
        assert!(began.elapsed() < PATIENCE, "{what} never was");
        for process in processes {
            process.exchange().await;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Everybody asks at once, many times each; those that are let through, with whom they are of.
async fn crowd(processes: &[GatewayBreakers]) -> Vec<(usize, Pass)> {
    let asks = (0..processes.len() * 20).map(async |number| {
        let of = number % processes.len();
        Some((of, processes[of].admit(Operation::Charge, None).await.ok()?))
    });
    join_all(asks).await.into_iter().flatten().collect()
}

/// The first that are let through after a while.
async fn first_of(processes: &[GatewayBreakers]) -> Vec<(usize, Pass)> {
    let began = Instant::now();
    loop {
        let passes = crowd(processes).await;
        if !passes.is_empty() {
            return passes;
        }
        assert!(began.elapsed() < PATIENCE, "nobody tries");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_each_has_counted_adds_up() {
    let processes = processes(4, SETTINGS);
    for process in &processes {
        for _ in 0..3 {
            fails(process).await;
        }
        assert_eq!(stands(process), "closed", "three are not enough");
    }
    exchange_until(&processes, "the sum", |process| process.standing(Operation::Charge).calls == 12).await;
    fails(&processes[3]).await;
    assert_eq!(stands(&processes[3]), "open");
    exchange_until(&processes, "the same everywhere", |process| stands(process) == "open").await;
    let standing = processes[0].standing(Operation::Charge);
    assert_eq!(standing.errors.get("serverError"), Some(&13), "each is counted once: {standing:?}");
    assert_eq!(processes[0].standing(Operation::Refund).breaker, "closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_all_processes_tries_and_then_all_come_back_as_one_ramp() {
    let processes = processes(4, SETTINGS);
    trip(&processes[0]).await;
    exchange_until(&processes, "the same everywhere", |process| stands(process) == "open").await;
    for _ in 0..3 {
        let mut probes = first_of(&processes).await;
        assert_eq!(probes.len(), 1, "one tries");
        let (of, probe) = probes.remove(0);
        assert!(crowd(&processes).await.is_empty(), "and the others wait for it");
        processes[of].settle(probe, FAILED).await;
        assert!(crowd(&processes).await.is_empty(), "in vain: it is open again, for all");
    }
    let (of, probe) = first_of(&processes).await.remove(0);
    processes[of].settle(probe, End::Answered).await;
    let mut rounds = Vec::new();
    while processes.iter().any(|process| stands(process) != "closed") {
        let passes = first_of(&processes).await;
        if rounds.iter().sum::<usize>() < 63 {
            rounds.push(passes.len());
        }
        for (of, pass) in passes {
            processes[of].settle(pass, End::Answered).await;
        }
        for process in &processes {
            process.exchange().await;
        }
    }
    assert_eq!(rounds, [1, 2, 4, 8, 16, 32], "as many as were answered, over all of them");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_forgets_is_told_again() {
    let url = TestServers::shared().redis_url();
    let first = process(&url, BreakerSettings { open_secs: 3_600, ..SETTINGS });
    trip(&first).await;
    let client = redis::Client::open(url.as_str()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let () = redis::cmd("FLUSHDB").query_async(&mut connection).await.unwrap();
    let processes = [first, process(&url, SETTINGS)];
    exchange_until(&processes, "told", |process| stands(process) == "open").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_each_has_its_own_and_with_it_all_are_one_again() {
    let home = std::env::temp_dir().join(format!("breakers-{}", std::process::id()));
    let start = async || {
        let home = home.clone();
        let start = move || PrivateRedis::start(&DataDir::open(&home, Existing::Keep).unwrap()).unwrap();
        tokio::task::spawn_blocking(start).await.unwrap()
    };
    let server = start().await;
    let for_good = BreakerSettings { open_secs: 3_600, ..SETTINGS };
    let processes: Vec<_> = (0..2).map(|_| process(&server.url(), for_good)).collect();
    exchange_until(&processes, "together", |process| process.standing(Operation::Charge).calls == 0).await;
    tokio::task::spawn_blocking(move || drop(server)).await.unwrap();
    trip(&processes[0]).await;
    processes[1].exchange().await;
    assert_eq!((stands(&processes[0]), stands(&processes[1])), ("open", "closed"), "each its own");
    let server = start().await;
    exchange_until(&processes, "all open", |process| stands(process) == "open").await;
    tokio::task::spawn_blocking(move || drop(server)).await.unwrap();
    std::fs::remove_dir_all(home).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_hangs_holds_no_call_up() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let hanging = tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            open.push(stream);
        }
    });
    let link = RedisLink::new(&format!("redis://{address}")).unwrap();
    let breakers = GatewayBreakers::shared("primary", PATIENCE, SETTINGS, &link);
    trip(&breakers).await;
    let mut probes = first_of(std::slice::from_ref(&breakers)).await;
    assert_eq!(probes.len(), 1, "one tries of this process");
    breakers.settle(probes.remove(0).1, End::Answered).await;
    assert_eq!(stands(&breakers), "halfOpen");
    hanging.abort();
}
