//! Row 18: many wait for a gateway when it comes back, and many want to ask one again that fails. By what the gateway
//! has seen.

use super::{
    calls::Seen,
    gateways::{ADYEN, Protocol, STRIPE},
    program::Program,
    shop::Placed,
    until,
    world::{LONG_LEASE, World},
};
use crate::cli::client::Api;
use serde_json::json;
use std::{
    collections::BTreeSet,
    time::{Duration, SystemTime},
};

/// How long a call may take; a call that tries is given up two seconds later.
const TIMEOUT_MS: i64 = 6_000;
const TIMEOUT: (&str, &str) = ("SHOWRUNNER_GATEWAYS__PRIMARY__TIMEOUT_MS", "6000");
/// Without another wish a breaker would try again so soon.
const IMPATIENT: (&str, &str) = ("SHOWRUNNER_GATEWAYS__PRIMARY__BREAKER__OPEN_SECS", "1");
/// For how long the gateway asks to be left alone.
const RETRY_AFTER_SECS: i64 = 6;
/// At most so long a gateway is left alone, and at most so much longer those wait who were kept away from it.
const LEFT_ALONE_SECS_MAX: i64 = 300;
const SPREAD_SECS: i64 = 2;
/// How far the times may be apart that two processes and a gateway tell.
const SKEW_MS: i64 = 1_000;
/// Longer than those who wait are spread over, so that all of them ask for their turn meanwhile.
const PROBE_MS: u64 = 3_000;
/// So that calls overlap that are let through together.
const CALL_MS: u64 = 200;
/// A breaker that has heard so many answers is closed.
const RAMP_ANSWERS: usize = 64;

const WAITERS: usize = 40;

/// A house whose orders only the primary can be paid for by.
struct House {
    world: World,
    _program: Program,
    api: Api,
    event: String,
}

impl House {
    async fn open(protocols: [Protocol; 2]) -> Self {
        let world = World::with_gateways(protocols).await;
        let (program, api) = world.api(&[]).await;
        let event = api.event(100).await;
        Self { world, _program: program, api, event }
    }

    async fn order(&self, buyer: &str) -> Placed {
        let held = self.api.reserve(&self.event, buyer).await;
        self.api.place_paid_by(&held, buyer, json!({ "primary": "pm_card_visa" })).await
    }

    /// So many orders that wait for the primary, which has turned the first of them away for so long.
    async fn wait_behind(&self, round: &str, count: usize, retry_after: &str) -> Vec<Placed> {
        self.world.fault(json!({ "fault": "rate_limited", "retryAfter": retry_after })).await;
        let mut placed = vec![self.order(&format!("{round}-first")).await];
        self.api.saga_is(&placed[0].saga, "waiting").await;
        for number in 1..count {
            placed.push(self.order(&format!("{round}-{number}")).await);
        }
        let waiting = "select count(*) from engine.sagas where state = 'waiting'";
        self.world.number_is("all wait", waiting, |number| number == i64::try_from(count).unwrap()).await;
        placed
    }

    /// The gateway takes calls again, and the first one takes so long.
    async fn heals(&self, first_ms: u64) {
        self.world.fault(json!({ "fault": "slow", "count": 1, "delayMs": first_ms })).await;
        self.world.fault(json!({ "fault": "rate_limited", "rate": 0 })).await;
    }

    /// The first call that the gateway has taken of these.
    async fn one_tries(&self, placed: &[Placed]) -> Seen {
        let probe = until("one tries", async || self.taken(placed).await.into_iter().next()).await;
        self.world.fault(json!({ "fault": "slow", "delayMs": CALL_MS })).await;
        probe
    }

    async fn all_are_confirmed(&self, placed: &[Placed]) {
        for placed in placed {
            self.api.confirmed(placed).await;
        }
        self.world.no_more_faults().await;
    }

    /// What the gateway has seen of these, and has not turned away.
    async fn taken(&self, placed: &[Placed]) -> Vec<Seen> {
        let mut calls = self.seen(placed).await;
        calls.retain(|call| call.status != Some(TOO_MANY));
        calls
    }

    async fn seen(&self, placed: &[Placed]) -> Vec<Seen> {
        let mut calls = self.world.gateways.primary.charging_calls().await;
        calls.retain(|call| placed.iter().any(|placed| placed.saga == call.saga()));
        calls
    }

    /// When the first of these was turned away.
    async fn turned_away_at_ms(&self, placed: &[Placed]) -> i64 {
        let calls = self.seen(placed).await;
        let first = calls.iter().find(|call| call.status == Some(TOO_MANY));
        first.and_then(|call| call.ended_at_ms).expect("nobody was turned away")
    }

    /// The one of these workers that has a saga.
    async fn has(&self, worker: &Program, saga: &str) -> bool {
        let (saga, name) = (saga.trim_start_matches("sag_"), worker.worker_name().await);
        let has = format!("select count(*) from engine.ready where saga_id = '{saga}' and worker = '{name}'");
        self.world.number(&has).await == 1
    }
}

const TOO_MANY: u16 = 429;

fn now_ms() -> i64 {
    millis(SystemTime::now())
}

fn millis(time: SystemTime) -> i64 {
    i64::try_from(time.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// No other call came before the first one had its answer.
fn one_at_first(calls: &[Seen]) {
    let [probe, second, ..] = calls else { panic!("too few calls: {calls:#?}") };
    assert!(probe.ended.is_some_and(|ended| ended < second.began), "two at once: {probe:#?}, {second:#?}");
}

/// As many calls are on their way at most as have been answered, until enough are.
fn come_as_a_ramp(calls: &[Seen]) {
    for call in &calls[1..] {
        let answered = calls.iter().filter(|other| other.ended.is_some_and(|ended| ended < call.began)).count();
        let begun = calls.iter().filter(|other| other.began <= call.began).count();
        if answered >= RAMP_ANSWERS {
            return;
        }
        assert!(begun - answered <= answered, "{begun} had begun and {answered} were answered: {call:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_all_who_wait_for_a_gateway_one_tries_and_the_others_come_as_a_ramp() {
    let house = House::open([STRIPE, ADYEN]).await;
    let variables = [LONG_LEASE, TIMEOUT, IMPATIENT];
    let workers = [house.world.worker("first", &variables).await, house.world.worker("second", &variables).await];
    after_so_many_seconds(&house).await;
    let _survivor = at_a_date_and_who_tries_dies(&house, workers).await;
    not_for_ever(&house).await;
    house.world.is_sound(&house.api).await;
}

async fn after_so_many_seconds(house: &House) {
    let placed = house.wait_behind("seconds", WAITERS, &RETRY_AFTER_SECS.to_string()).await;
    house.heals(PROBE_MS).await;
    let probe = house.one_tries(&placed).await;
    house.all_are_confirmed(&placed).await;
    let left_alone_ms = probe.began_at_ms - house.turned_away_at_ms(&placed).await;
    assert!(left_alone_ms >= RETRY_AFTER_SECS * 1_000 - SKEW_MS, "asked again after {left_alone_ms} ms");
    let calls = house.taken(&placed).await;
    one_at_first(&calls);
    come_as_a_ramp(&calls);
}

/// `kill -9` while its call is on its way: when nothing is heard of it, it is lost, and another one tries.
async fn at_a_date_and_who_tries_dies(house: &House, workers: [Program; 2]) -> Program {
    let date = SystemTime::now() + Duration::from_secs(RETRY_AFTER_SECS.unsigned_abs());
    let placed = house.wait_behind("date", WAITERS / 4, &httpdate::fmt_http_date(date)).await;
    house.heals(PROBE_MS * 100).await;
    let probe = house.one_tries(&placed).await;
    let [first, second] = workers;
    let (mut victim, survivor) = if house.has(&first, probe.saga()).await { (first, second) } else { (second, first) };
    assert!(house.has(&victim, probe.saga()).await, "nobody has it");
    victim.kill();
    house.all_are_confirmed(&placed).await;

    let whole_second_ms = 1_000;
    let date_ms = millis(date);
    assert!(probe.began_at_ms >= date_ms - whole_second_ms - SKEW_MS, "it did not wait for the date: {probe:#?}");
    let calls = house.taken(&placed).await;
    assert_eq!((calls[0].began, calls[0].ended), (probe.began, None), "it was answered: {calls:#?}");
    let given_up_after_ms = calls[1].began_at_ms - probe.began_at_ms;
    assert!(given_up_after_ms >= TIMEOUT_MS - SKEW_MS, "given up after {given_up_after_ms} ms");
    one_at_first(&calls[1..]);
    come_as_a_ramp(&calls[1..]);
    survivor
}

/// A day is asked for; whoever was turned away and whoever is kept away come again sooner.
async fn not_for_ever(house: &House) {
    let placed = house.wait_behind("day", 2, "86400").await;
    for placed in &placed {
        let saga = placed.saga.trim_start_matches("sag_");
        let wait = format!(
            "select ceil(extract(epoch from wake_at - clock_timestamp()))::int8 from engine.ready where saga_id = '{saga}'"
        );
        let wait = house.world.number(&wait).await;
        assert!((LEFT_ALONE_SECS_MAX / 2..=LEFT_ALONE_SECS_MAX + SPREAD_SECS).contains(&wait), "{wait} s: {placed:?}");
        house.api.cancel(placed).await;
        house.api.order_is(placed, "cancelled").await;
    }
}

/// What a process may repeat at a gateway from the beginning, and how much more with every second.
const REPEATED_FROM_THE_BEGINNING: i64 = 10;
const REPEATED_A_SECOND: i64 = 1;
/// Of what was asked for the first time, a fifth may be repeated.
const FIRST_CALLS_FOR_A_REPEATED_ONE: i64 = 5;

/// Enough that they would exceed it by far.
const INSISTENT: usize = 20;
/// Who has had no answer so often is rejected.
const ATTEMPTS: usize = 6;

/// A gateway that fails is not asked by everybody again and again, also where no breaker opens.
async fn is_asked_little_more(protocols: [Protocol; 2], fault: serde_json::Value) {
    let house = House::open(protocols).await;
    let began_at_ms = now_ms();
    let no_breaker = ("SHOWRUNNER_GATEWAYS__PRIMARY__BREAKER__MINIMUM_CALLS", "1000000");
    let workers = [
        house.world.worker("first", &[LONG_LEASE, no_breaker]).await,
        house.world.worker("second", &[LONG_LEASE, no_breaker]).await,
    ];
    house.world.fault(fault).await;
    let mut placed = Vec::new();
    for number in 0..INSISTENT {
        placed.push(house.order(&format!("{number}")).await);
    }
    let held_back = "select count(distinct saga_id) from engine.journal where kind = 'parked'";
    let (first, more, may) = until("they are held back", async || {
        let calls = house.seen(&placed).await;
        let secs = (calls.last()?.began_at_ms - began_at_ms) / 1_000 + 1;
        let firsts: BTreeSet<_> = calls.iter().map(|call| (call.saga(), call.operation.as_str())).collect();
        let (first, all) = (i64::try_from(firsts.len()).unwrap(), i64::try_from(calls.len()).unwrap());
        let processes = i64::try_from(workers.len()).unwrap();
        let may = first / FIRST_CALLS_FOR_A_REPEATED_ONE
            + processes * (REPEATED_FROM_THE_BEGINNING + REPEATED_A_SECOND * secs);
        let parked = house.world.number(held_back).await;
        (parked > i64::try_from(INSISTENT / 2).unwrap() || all - first > may).then_some((first, all - first, may))
    })
    .await;
    println!("measured: {first} calls, {more} more, of {may} that may be");
    assert!(more <= may, "of {first} calls {more} were made again, and {may} may be");
    house.world.no_more_faults().await;
    let mut rejected = 0;
    for placed in &placed {
        rejected += usize::from(house.api.at_rest(placed).await["status"] == "rejected");
    }
    let repeated = house.seen(&placed).await.len() - INSISTENT;
    assert!(rejected <= repeated / (ATTEMPTS - 1), "{rejected} were rejected after {repeated} more calls");
    house.world.is_sound(&house.api).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_gateway_is_asked_little_more_than_once() {
    tokio::join!(
        is_asked_little_more([STRIPE, ADYEN], json!({ "fault": "reset" })),
        is_asked_little_more([ADYEN, STRIPE], json!({ "fault": "reset", "operation": "charge" })),
    );
}
