//! What every gateway must keep to, whatever it speaks. Each check runs on each protocol of the list, against a
//! sandbox of its own whose books are the truth; a new protocol needs a line in [`bench::SUBJECTS`] and is checked.

#[path = "gateways_conformance/bench.rs"]
mod bench;
#[path = "gateways_conformance/charges.rs"]
mod charges;
#[path = "gateways_conformance/elsewhere.rs"]
mod elsewhere;
#[path = "gateways_conformance/refunds.rs"]
mod refunds;
#[path = "gateways_conformance/webhooks.rs"]
mod webhooks;

use bench::{Bench, SUBJECTS};
use futures::future::BoxFuture;
use workflows::gateways::PROTOCOLS;

/// One thing that every gateway must keep to.
type Check = (&'static str, fn(Bench) -> BoxFuture<'static, ()>);

macro_rules! checks {
    ($($module:ident :: $check:ident),* $(,)?) => {
        &[$((stringify!($check), |bench| Box::pin($module::$check(bench)))),*]
    };
}

const CHECKS: &[Check] = checks![
    charges::a_charge_is_taken_once_however_often_it_is_sent,
    charges::many_at_once_with_one_key_take_it_once,
    charges::a_decline_takes_nothing,
    charges::a_challenge_is_passed_on,
    charges::an_answer_that_is_lost_is_found_by_a_probe,
    charges::a_charge_that_never_arrived_is_dead_after_its_void,
    charges::a_server_error_is_not_a_decline,
    charges::a_slow_answer_is_an_answer,
    charges::a_call_turned_away_may_be_made_again,
    charges::a_void_that_is_too_late_says_so,
    charges::a_void_that_is_lost_may_be_sent_again,
    charges::a_probe_that_fails_says_nothing,
    charges::what_the_gateway_does_not_know_is_not_found,
    charges::a_key_stands_for_one_content,
    charges::a_wrong_credential_is_for_a_person,
    charges::a_gateway_that_is_away_has_done_nothing,
    charges::an_amount_below_the_minimum_is_not_sent,
    charges::our_own_name_says_its_order_and_its_key,
    refunds::parts_are_refunded_once_each,
    refunds::more_than_was_taken_is_not_given_back,
    refunds::a_refund_whose_answer_is_lost_is_found,
    refunds::a_refund_that_never_arrived_may_be_sent_again,
    refunds::a_refund_after_a_server_error_is_unknown,
    refunds::a_refund_that_is_declined_has_failed,
    refunds::each_generation_is_a_refund_of_its_own,
    webhooks::news_is_signed_and_says_what_happened,
];

#[test]
fn no_protocol_is_forgotten() {
    let mut known: Vec<_> = SUBJECTS.iter().map(|subject| subject.protocol).collect();
    known.sort_unstable();
    let mut there: Vec<_> = PROTOCOLS.iter().map(|(protocol, _)| *protocol).collect();
    there.sort_unstable();
    assert_eq!(known, there);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_protocol_passes_every_check() {
    let mut running = Vec::new();
    for protocol in SUBJECTS.iter().map(|subject| subject.protocol) {
        for (name, check) in CHECKS {
            let bench = Bench::start(protocol).await;
            running.push((format!("{protocol}: {name}"), tokio::spawn(check(bench))));
        }
    }
    let mut failed = Vec::new();
    for (name, check) in running {
        if check.await.is_err() {
            failed.push(name);
        }
    }
    assert!(failed.is_empty(), "failed, each with its message above:\n{}", failed.join("\n"));
}
