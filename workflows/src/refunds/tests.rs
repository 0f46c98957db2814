//! Generations, parts, and what is definite.

use super::{
    RefundEnd, RefundNews,
    scripted::{AMOUNT, Answers, Desk, REFUND, Script, eur, reference},
};
use crate::gateways::{
    Doubt, DoubtReason, NotExecuted, NotExecutedReason, RefundFailure, RefundOutcome, RefundProbeOutcome,
    RefundRequest, Refunded, Refusal, RefusalClass,
};
use orchestrator::action::{Answer, Failure, Halt, Probed};
use proptest::prelude::*;
use serde_json::json;
use std::collections::BTreeMap;

fn refunded(amount: i64) -> Refunded {
    Refunded { reference: reference("re_1"), amount: eur(amount) }
}

fn failed(code: &str, is_final: bool) -> RefundOutcome {
    let (code, message) = (code.to_owned(), "no".to_owned());
    RefundOutcome::Failed(RefundFailure { reference: None, code, message, is_final })
}

fn unknown(reason: DoubtReason) -> RefundOutcome {
    RefundOutcome::Unknown(Doubt { reason, detail: "who knows".to_owned(), retry_after: None })
}

fn refused() -> RefundOutcome {
    let (code, message) = ("401".to_owned(), "the key is wrong".to_owned());
    RefundOutcome::Refused(Refusal { class: RefusalClass::Credentials, code, message })
}

fn desk(refunds: impl IntoIterator<Item = RefundOutcome>, probes: Vec<RefundProbeOutcome>) -> Desk<Answers> {
    Desk::new(Answers { refunds: refunds.into_iter().collect(), probes: probes.into() }, true)
}

/// Of a gateway that cannot be asked.
fn mute(refunds: impl IntoIterator<Item = RefundOutcome>) -> Desk<Answers> {
    Desk::new(Answers { refunds: refunds.into_iter().collect(), probes: [].into() }, false)
}

fn told(generation: i32, name: &str, amount: i64, state: RefundEnd) -> RefundNews {
    RefundNews {
        event_id: format!("{name}:{state:?}"),
        gateway: "primary".to_owned(),
        refund_id: REFUND,
        generation,
        reference: reference(name),
        amount: eur(amount),
        state,
        reason: None,
        is_final: false,
    }
}

fn pending(name: &str) -> RefundOutcome {
    RefundOutcome::Pending(Refunded { reference: reference(name), amount: eur(AMOUNT) })
}

/// It is tried again by itself.
fn again<T: std::fmt::Debug>(answer: Answer<T>) -> Failure {
    match answer {
        Err(Halt::Transient { failure, after: None }) => failure,
        other => panic!("{other:?}"),
    }
}

/// It stops for a person.
fn given_up<T: std::fmt::Debug>(answer: Answer<T>) -> Failure {
    match answer {
        Err(Halt::Permanent(failure)) => failure,
        other => panic!("{other:?}"),
    }
}

fn keys(asked: &[(&str, i64)]) -> Vec<(String, i64)> {
    asked.iter().map(|(generation, amount)| ((*generation).to_owned(), *amount)).collect()
}

#[tokio::test]
async fn a_definite_failure_is_followed_by_the_next_generation() {
    let mut desk = desk([failed("declined", false), RefundOutcome::Succeeded(refunded(AMOUNT))], vec![]);
    let failure = again(desk.attempt().await);
    assert_eq!(
        (failure.code.as_str(), failure.message.as_str()),
        ("refund-failed:declined", "no; 45.00 EUR is outstanding")
    );
    assert_eq!(desk.attempt().await.unwrap().amount, eur(AMOUNT));
    assert_eq!(desk.asked(), keys(&[("1", AMOUNT), ("2", AMOUNT)]));
    assert_eq!(desk.notes[2]["generation"], 2, "its intent comes first");
}

#[tokio::test]
async fn three_tries_are_enough_until_a_person_asks_for_three_more() {
    let mut desk = desk((0..6).map(|_| failed("declined", false)), vec![]);
    for _ in 0..2 {
        for _ in 0..2 {
            again(desk.attempt().await);
        }
        let failure = given_up(desk.attempt().await);
        assert_eq!(failure.message, "no; 45.00 EUR is outstanding");
    }
    assert_eq!(desk.asked().last(), keys(&[("6", AMOUNT)]).first());
}

#[tokio::test]
async fn what_cannot_end_otherwise_is_not_tried_again() {
    let mut desk = desk([failed("expired_or_canceled_card", true)], vec![]);
    given_up(desk.attempt().await);
}

#[tokio::test]
async fn after_a_part_only_the_rest_is_asked_for() {
    let part = || RefundOutcome::Succeeded(refunded(1_000));
    let mut desk = desk([part(), part(), RefundOutcome::Succeeded(refunded(2_500))], vec![]).beginning_with(4);
    for outstanding in ["35.00 EUR", "25.00 EUR"] {
        let failure = again(desk.attempt().await);
        assert_eq!(failure.message, format!("only 10.00 EUR went back; {outstanding} is outstanding"));
    }
    assert_eq!(desk.attempt().await.unwrap().amount, eur(2_500));
    assert_eq!(desk.asked(), keys(&[("4", 4_500), ("5", 3_500), ("6", 2_500)]));
}

#[tokio::test]
async fn more_than_was_asked_for_is_for_a_person() {
    let mut desk = desk([RefundOutcome::Succeeded(refunded(AMOUNT + 1))], vec![]);
    assert_eq!(given_up(desk.attempt().await).code, "amount-mismatch");
}

#[tokio::test]
async fn while_nobody_knows_the_same_is_asked_for_by_the_same_key() {
    let not_executed =
        NotExecuted { reason: NotExecutedReason::RateLimited, detail: "later".to_owned(), retry_after: None };
    let calls = [
        unknown(DoubtReason::Timeout),
        unknown(DoubtReason::ServerError),
        RefundOutcome::NotExecuted(not_executed),
        refused(),
        RefundOutcome::Succeeded(refunded(AMOUNT)),
    ];
    let mut desk = desk(calls, vec![RefundProbeOutcome::NotFound; 2]);
    for _ in 0..2 {
        assert!(matches!(desk.attempt().await, Err(Halt::InDoubt(_))));
        assert_eq!(desk.probe().await, Ok(Probed::NotExecuted));
    }
    again(desk.attempt().await);
    // of the calls before, it says nothing
    assert_eq!(given_up(desk.attempt().await).code, "gateway-refused:401");
    desk.attempt().await.unwrap();
    assert_eq!(desk.asked(), vec![("1".to_owned(), AMOUNT); 5]);
}

#[tokio::test]
async fn a_refusal_of_the_only_call_is_definite() {
    let mut desk = desk([refused(), RefundOutcome::Succeeded(refunded(AMOUNT))], vec![]);
    assert_eq!(given_up(desk.attempt().await).code, "gateway-refused:401");
    desk.attempt().await.unwrap();
    assert_eq!(desk.asked(), keys(&[("1", AMOUNT), ("2", AMOUNT)]));
}

#[tokio::test]
async fn an_error_that_the_gateway_keeps_is_asked_about() {
    let calls = [unknown(DoubtReason::ServerError), unknown(DoubtReason::KeptError)];
    let done = RefundOutcome::Succeeded(refunded(AMOUNT));
    let mut nothing = desk(calls.clone().into_iter().chain([done]), vec![RefundProbeOutcome::NotFound; 2]);
    assert!(matches!(nothing.attempt().await, Err(Halt::InDoubt(_))));
    assert_eq!(nothing.probe().await, Ok(Probed::NotExecuted));
    assert_eq!(again(nothing.attempt().await).code, "refund-failed:server-error");
    nothing.attempt().await.unwrap();
    assert_eq!(nothing.asked(), keys(&[("1", AMOUNT), ("1", AMOUNT), ("2", AMOUNT)]));

    let late = RefundProbeOutcome::Succeeded(refunded(AMOUNT));
    let mut something = desk(calls.clone(), vec![RefundProbeOutcome::NotFound, late]);
    assert!(matches!(something.attempt().await, Err(Halt::InDoubt(_))));
    assert_eq!(something.probe().await, Ok(Probed::NotExecuted));
    something.attempt().await.unwrap();

    let mut mute = mute(calls);
    for _ in 0..2 {
        assert!(matches!(mute.attempt().await, Err(Halt::InDoubt(_))), "nobody can be asked");
    }
}

#[tokio::test]
async fn nothing_left_is_asked_about_and_never_tried_again() {
    let mut found = desk([RefundOutcome::NothingLeft], vec![RefundProbeOutcome::Succeeded(refunded(AMOUNT))]);
    found.attempt().await.unwrap();
    let mut foreign = desk([RefundOutcome::NothingLeft], vec![RefundProbeOutcome::NotFound]);
    assert_eq!(given_up(foreign.attempt().await).code, "refunded-elsewhere");
}

#[tokio::test]
async fn a_worker_that_dies_after_an_end_leaves_the_end() {
    let mut desk = desk((0..3).map(|_| failed("declined", false)), vec![]);
    for _ in 0..2 {
        again(desk.attempt().await);
        // nothing is asked of anybody, and nothing is noted
        let before = desk.notes.len();
        assert_eq!(desk.probe().await, Ok(Probed::NotExecuted));
        assert_eq!(desk.notes.len(), before);
    }
    given_up(desk.attempt().await);
    assert!(matches!(desk.probe().await, Ok(Probed::Refused(failure)) if failure.message.contains("45.00 EUR")));
}

#[tokio::test]
async fn a_worker_that_dies_before_its_call_is_asked_about() {
    let mut desk = desk(
        [failed("declined", false), RefundOutcome::Succeeded(refunded(AMOUNT))],
        vec![RefundProbeOutcome::NotFound],
    );
    again(desk.attempt().await);
    desk.intend().await;
    assert_eq!(desk.probe().await, Ok(Probed::NotExecuted));
    desk.attempt().await.unwrap();
    assert_eq!(desk.asked(), keys(&[("1", AMOUNT), ("2", AMOUNT)]));
}

#[tokio::test]
async fn what_is_told_of_one_generation_says_nothing_of_the_next() {
    let mut desk = mute([pending("a"), pending("b")]);
    assert!(matches!(desk.attempt().await, Err(Halt::Wait(_))));
    desk.told.push(told(1, "a", AMOUNT, RefundEnd::Failed));
    assert_eq!(again(desk.attempt().await).code, "refund-failed:refused");
    desk.told.push(told(1, "a", AMOUNT, RefundEnd::Succeeded));
    assert!(matches!(desk.attempt().await, Err(Halt::Wait(_))));
    assert!(matches!(desk.attempt().await, Err(Halt::Wait(_))));
    desk.told.push(told(2, "b", AMOUNT, RefundEnd::Succeeded));
    assert_eq!(desk.attempt().await.unwrap().reference, reference("b"));
    assert_eq!(desk.asked(), keys(&[("1", AMOUNT), ("2", AMOUNT)]));
}

#[tokio::test]
async fn a_part_may_be_told() {
    let mut desk = mute([pending("a"), pending("b")]);
    assert!(matches!(desk.attempt().await, Err(Halt::Wait(_))));
    desk.told.push(told(1, "a", 500, RefundEnd::Succeeded));
    again(desk.attempt().await);
    assert!(matches!(desk.attempt().await, Err(Halt::Wait(_))));
    assert_eq!(desk.asked(), keys(&[("1", AMOUNT), ("2", 4_000)]));
}

#[tokio::test]
async fn a_failure_that_is_told_for_good_is_not_tried_again() {
    let mut desk = mute([pending("a")]);
    assert!(matches!(desk.attempt().await, Err(Halt::Wait(_))));
    desk.told.push(RefundNews { is_final: true, ..told(1, "a", AMOUNT, RefundEnd::Failed) });
    given_up(desk.attempt().await);
}

#[tokio::test]
async fn a_journal_of_the_release_before_goes_on_with_the_second_generation() {
    let mut desk = desk([RefundOutcome::Succeeded(refunded(AMOUNT))], vec![]);
    let intended = json!({
        "refund": "intended", "refundId": REFUND, "gateway": "primary", "key": format!("refund:{REFUND}:1"),
        "payment": "pi_1", "amount": { "amount": AMOUNT, "currency": "EUR" },
    });
    let failed = json!({ "refund": "failed", "refundId": REFUND, "reference": null });
    // a person had it tried again, and it did the same
    desk.notes = vec![intended.clone(), failed.clone(), intended, failed];
    assert_eq!(desk.probe().await, Ok(Probed::NotExecuted));
    desk.attempt().await.unwrap();
    assert_eq!(desk.asked(), keys(&[("2", AMOUNT)]));
}

/// What becomes of a call at a gateway with books of its own.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Done,
    Part,
    Failed,
    /// It is done, and nobody hears of it.
    DoneUnheard,
    PartUnheard,
    FailedUnheard,
    /// It never arrives.
    Lost,
    NotExecuted,
    Refused,
    /// It arrives when the next call has.
    Late,
    Error,
}

/// A gateway with books, where the same key is the same refund.
struct Books {
    fates: Vec<Fate>,
    /// What became of each key, with how much was asked for by it.
    keys: BTreeMap<String, (RefundRequest, RefundProbeOutcome)>,
    late: Vec<(String, RefundRequest)>,
    errors: Vec<String>,
    captured: i64,
}

impl Books {
    fn paid_back(&self) -> i64 {
        let amount = |(_, outcome): &(RefundRequest, RefundProbeOutcome)| match outcome {
            RefundProbeOutcome::Succeeded(refunded) => refunded.amount.amount_minor,
            _ => 0,
        };
        self.keys.values().map(amount).sum()
    }

    fn arrive(&mut self, key: &str, asked: &RefundRequest, fate: Fate) -> RefundProbeOutcome {
        let asks = asked.amount.amount_minor;
        let before = self.keys.get(key).map(|(before, _)| before.clone());
        assert!(before.is_none_or(|before| before == *asked), "{key} with other content");
        let left = self.captured - self.paid_back();
        let outcome = match fate {
            Fate::Part | Fate::PartUnheard if asks > 1 => RefundProbeOutcome::Succeeded(refunded(asks / 2)),
            Fate::Failed | Fate::FailedUnheard => RefundProbeOutcome::Failed(RefundFailure {
                reference: None,
                code: "declined".to_owned(),
                message: "no".to_owned(),
                is_final: false,
            }),
            _ => RefundProbeOutcome::Succeeded(refunded(asks)),
        };
        let fresh = || {
            assert!(asks <= left, "{key} asks for more than is left");
            (asked.clone(), outcome)
        };
        self.keys.entry(key.to_owned()).or_insert_with(fresh).1.clone()
    }
}

impl Script for Books {
    fn refund(&mut self, key: &str, asked: &RefundRequest) -> RefundOutcome {
        if self.errors.iter().any(|kept| kept == key) {
            return unknown(DoubtReason::KeptError);
        }
        let fate = self.fates.pop().unwrap_or(Fate::Done);
        for (key, asked) in std::mem::take(&mut self.late) {
            self.arrive(&key, &asked, Fate::Done);
        }
        match fate {
            Fate::Lost => unknown(DoubtReason::Timeout),
            Fate::Late => {
                self.late.push((key.to_owned(), asked.clone()));
                unknown(DoubtReason::Timeout)
            }
            Fate::NotExecuted => RefundOutcome::NotExecuted(NotExecuted {
                reason: NotExecutedReason::NoConnection,
                detail: "nobody there".to_owned(),
                retry_after: None,
            }),
            Fate::Refused => refused(),
            // kept with the key, unless an earlier call has arrived by it
            Fate::Error if !self.keys.contains_key(key) && self.late.is_empty() => {
                self.errors.push(key.to_owned());
                unknown(DoubtReason::ServerError)
            }
            Fate::DoneUnheard | Fate::PartUnheard | Fate::FailedUnheard => {
                self.arrive(key, asked, fate);
                unknown(DoubtReason::Timeout)
            }
            _ => match self.arrive(key, asked, fate) {
                RefundProbeOutcome::Succeeded(refunded) => RefundOutcome::Succeeded(refunded),
                RefundProbeOutcome::Failed(failure) => RefundOutcome::Failed(failure),
                _ => unreachable!(),
            },
        }
    }

    fn probe(&mut self, asked: &RefundRequest) -> RefundProbeOutcome {
        let of_it = |(known, _): &&(RefundRequest, RefundProbeOutcome)| known.generation == asked.generation;
        self.keys.values().find(of_it).map_or(RefundProbeOutcome::NotFound, |(_, outcome)| outcome.clone())
    }
}

fn fate() -> impl Strategy<Value = Fate> {
    use Fate::{Done, DoneUnheard, Error, Failed, FailedUnheard, Late, Lost, NotExecuted, Part, PartUnheard, Refused};
    prop::sample::select(vec![
        Done,
        Part,
        Failed,
        DoneUnheard,
        PartUnheard,
        FailedUnheard,
        Lost,
        NotExecuted,
        Refused,
        Late,
        Error,
    ])
}

proptest! {
    /// Whatever happens to its calls, and wherever its workers die, exactly what was captured goes back; `arrive` refuses
    /// more on the way, and another content of a key.
    #[test]
    fn exactly_what_was_captured_goes_back(fates in prop::collection::vec(fate(), 0..12), deaths: u32) {
        let books = Books { fates, keys: BTreeMap::new(), late: Vec::new(), errors: Vec::new(), captured: AMOUNT };
        let mut desk = Desk::new(books, true);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            for turn in 0..100 {
                let mut answer = desk.attempt().await;
                let dies = turn < 32 && deaths & (1 << turn) != 0;
                if dies || matches!(answer, Err(Halt::InDoubt(_))) {
                    match desk.probe().await {
                        Ok(Probed::Executed(done)) => answer = Ok(done),
                        Ok(Probed::NotExecuted | Probed::Refused(_)) => continue,
                        other => panic!("{other:?}"),
                    }
                }
                if answer.is_ok() {
                    break;
                }
            }
            // a call that was lost may arrive after all
            let mut books = desk.gateway.script.lock().unwrap();
            for (key, asked) in std::mem::take(&mut books.late) {
                books.arrive(&key, &asked, Fate::Done);
            }
            assert_eq!(books.paid_back(), AMOUNT, "{:?} {:#?}", books.keys, desk.notes);
        });
    }
}
