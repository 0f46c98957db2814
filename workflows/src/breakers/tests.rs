//! One process's breakers, with the clock in the hand.

use super::*;
use proptest::prelude::*;
use rules::RAMP_ANSWERS;

const TIMEOUT: Duration = Duration::from_secs(8);
const FAILED: End = End::Failed(Failing::Timeout);

struct Bench {
    clock: Arc<AtomicI64>,
    breakers: GatewayBreakers,
}

impl Bench {
    fn new() -> Self {
        let clock = Arc::new(AtomicI64::new(1_000_000));
        let hands = Arc::clone(&clock);
        let surroundings = Surroundings::given(move || hands.load(Ordering::SeqCst), |_| 0);
        let breakers = GatewayBreakers::alone("primary", TIMEOUT, BreakerSettings::default(), surroundings);
        Self { clock, breakers }
    }

    fn later(&self, millis: i64) {
        self.clock.fetch_add(millis, Ordering::SeqCst);
    }

    async fn admit(&self) -> Result<Pass, HeldBack> {
        self.breakers.admit(Operation::Charge, None).await
    }

    async fn call(&self, end: End) {
        self.breakers.settle(self.admit().await.unwrap(), end).await;
    }

    async fn opened() -> Self {
        let bench = Self::new();
        for _ in 0..10 {
            bench.call(FAILED).await;
        }
        assert_eq!(bench.name(), "open");
        bench
    }

    fn name(&self) -> &'static str {
        self.breakers.standing(Operation::Charge).breaker
    }
}

#[tokio::test]
async fn half_of_enough_calls_open_it_and_no_fewer() {
    let bench = Bench::new();
    for end in [FAILED; 4] {
        bench.call(end).await;
    }
    for _ in 0..5 {
        bench.call(End::Answered).await;
    }
    assert_eq!(bench.name(), "closed", "nine are not enough");
    bench.call(FAILED).await;
    assert_eq!(bench.name(), "open");
    let errors = bench.breakers.standing(Operation::Charge).errors;
    assert_eq!(errors, BTreeMap::from([("timeout".to_owned(), 5)]));
    assert_eq!(bench.breakers.standing(Operation::Refund).breaker, "closed", "each operation has its own");
}

#[tokio::test]
async fn what_is_older_than_the_window_is_forgotten() {
    let bench = Bench::new();
    for _ in 0..9 {
        bench.call(FAILED).await;
    }
    bench.later(10_000);
    bench.call(FAILED).await;
    assert_eq!(bench.name(), "closed");
}

#[tokio::test]
async fn an_open_one_lets_nothing_through_and_says_for_how_long() {
    let bench = Bench::opened().await;
    bench.later(1_500);
    let held_back = bench.admit().await.unwrap_err();
    assert_eq!((held_back.why, held_back.after), (Why::Open, Duration::from_millis(3_500)));
    assert_eq!(held_back.detail, "the breaker of primary for charge to let calls through");
    assert_eq!(bench.breakers.closed_for(Operation::Charge), Some(Duration::from_millis(3_500)));
    assert_eq!(bench.breakers.closed_for(Operation::Refund), None);
}

#[tokio::test]
async fn one_call_tries_and_the_others_wait_for_it() {
    let bench = Bench::opened().await;
    bench.later(5_000);
    assert_eq!(bench.breakers.closed_for(Operation::Charge), None);
    let probe = bench.admit().await.unwrap();
    assert_eq!(bench.admit().await.unwrap_err().why, Why::Open);
    bench.breakers.settle(probe, FAILED).await;
    assert_eq!(bench.name(), "open");
    assert_eq!(bench.admit().await.unwrap_err().after, Duration::from_secs(5));
}

#[tokio::test]
async fn a_probe_that_is_never_heard_of_is_lost() {
    let bench = Bench::opened().await;
    bench.later(5_000);
    let lost = bench.admit().await.unwrap();
    bench.later(9_999);
    assert!(bench.admit().await.is_err());
    bench.later(1);
    let probe = bench.admit().await.unwrap();
    assert!(bench.admit().await.is_err());
    bench.breakers.settle(probe, End::Answered).await;
    assert_eq!(bench.name(), "halfOpen");
    bench.breakers.settle(lost, FAILED).await;
    assert_eq!(bench.name(), "halfOpen", "it says nothing about what did not let it through");
}

#[tokio::test]
async fn calls_come_back_twice_as_many_each_round() {
    let bench = Bench::opened().await;
    bench.later(5_000);
    bench.call(End::Answered).await;
    let mut rounds = Vec::new();
    while bench.name() == "halfOpen" {
        let mut passes = Vec::new();
        while let Ok(pass) = bench.admit().await {
            passes.push(pass);
        }
        rounds.push(passes.len());
        for pass in passes {
            bench.breakers.settle(pass, End::Answered).await;
        }
    }
    assert_eq!(rounds, [1, 2, 4, 8, 16, 32]);
    assert_eq!(bench.name(), "closed");
}

#[tokio::test]
async fn a_ramp_survives_calls_that_are_never_heard_of() {
    let bench = Bench::opened().await;
    bench.later(5_000);
    bench.call(End::Answered).await;
    drop(bench.admit().await.unwrap());
    assert!(bench.admit().await.is_err());
    bench.later(10_000);
    bench.call(End::Answered).await;
    assert_eq!(bench.name(), "halfOpen");
}

#[tokio::test]
async fn a_ramp_whose_calls_fail_opens_again() {
    let bench = Bench::opened().await;
    bench.later(5_000);
    bench.call(End::Answered).await;
    bench.call(FAILED).await;
    assert_eq!(bench.name(), "open");
}

#[tokio::test]
async fn a_gateway_that_asks_to_be_left_alone_is_left_alone_but_not_for_ever() {
    for (asked, kept) in [(7, 7_000), (86_400, 300_000)] {
        let bench = Bench::new();
        bench.call(End::Throttled(Some(Duration::from_secs(asked)))).await;
        assert_eq!(bench.admit().await.unwrap_err().after, Duration::from_millis(kept));
    }
    let bench = Bench::new();
    bench.call(End::Throttled(None)).await;
    assert_eq!(bench.name(), "closed", "without a time it is a failure like others");
}

#[tokio::test]
async fn a_call_that_was_not_made_says_nothing() {
    let bench = Bench::opened().await;
    bench.later(5_000);
    bench.call(End::NotMade).await;
    assert_eq!(bench.name(), "open");
    assert_eq!(bench.breakers.closed_for(Operation::Charge), None, "the next one tries");
}

#[tokio::test]
async fn repeated_calls_are_held_back_when_there_are_too_many() {
    let bench = Bench::new();
    let call = async |name: &str| {
        let call = Repeatable { name: name.to_owned(), is_repeated: false };
        bench.breakers.admit(Operation::Refund, Some(&call)).await
    };
    for _ in 0..11 {
        // dropped: nobody hears of it
        drop(call("refund:a").await.unwrap());
    }
    let held_back = call("refund:a").await.unwrap_err();
    assert_eq!(held_back.why, Why::RetryBudget);
    assert_eq!(held_back.detail, "the retry budget of primary to have enough for another refund", "no breaker is open");
    assert!(call("refund:b").await.is_ok(), "first calls are not");
}

proptest! {
    /// Whatever happens: never two probes at once, never more on their way in a ramp than were answered, and with a
    /// gateway that is well again it closes.
    #[test]
    fn it_holds_whatever_happens(steps in proptest::collection::vec((0_u8..6, 0_i64..6_000), 1..200)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let bench = Bench::new();
            let mut passes = Vec::new();
            for (step, millis) in steps {
                let before = bench.breakers.kept().record(Operation::Charge);
                match step {
                    0 | 1 => {
                        let pass = bench.admit().await.ok();
                        let now = bench.clock.load(Ordering::SeqCst);
                        if let state::State::Probing { until } = before.state {
                            assert!(pass.is_none() || until <= now, "two probes at once");
                        }
                        passes.extend(pass);
                    }
                    2 => bench.later(millis),
                    _ => if let Some(pass) = passes.pop() {
                        let end = [FAILED, End::Answered, End::NotMade][usize::from(step) - 3];
                        bench.breakers.settle(pass, end).await;
                    },
                }
                let after = bench.breakers.kept().record(Operation::Charge);
                assert!(after.version >= before.version && after.epoch >= before.epoch);
                if let state::State::Ramping(ramp) = after.state {
                    assert!(ramp.in_flight() <= ramp.answered);
                }
            }
            for _ in 0..(RAMP_ANSWERS * 4) {
                bench.later(10_001);
                if let Ok(pass) = bench.admit().await {
                    bench.breakers.settle(pass, End::Answered).await;
                }
            }
            assert_eq!(bench.name(), "closed");
        });
    }
}
