//! What would become of one refund if it were tried again.

use crate::{gateways::RefundProbeOutcome, money::Money};
use std::fmt;

/// What would become of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The gateway has paid it back, and nobody has heard.
    OnlyRecorded,
    /// The gateway works on it.
    AwaitedFrom(String),
    /// The gateway is asked to pay what is outstanding.
    SentTo(String),
    /// The same, unless it turns out that it is back already: nobody could ask.
    SentUnlessBack(String),
    /// It waits for the gateway's breaker.
    WaitsForBreaker,
    /// Nobody has consented to it yet, and a replay is no consent.
    SecondPerson,
    /// There is nothing to try again.
    NotFound,
    /// All of it has gone back.
    Succeeded,
    /// It was never to be made.
    Rejected,
    /// Its saga goes on by itself.
    UnderWay,
    /// Nobody here knows how to reach its gateway.
    UnknownGateway(String),
}

/// What its gateway says of the try that nobody knows the end of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Told {
    /// There is no such try, or this gateway cannot be asked.
    Nothing,
    /// It could not be asked now, or not in time.
    NoAnswer,
    /// This.
    Answer(RefundProbeOutcome),
}

impl Verdict {
    /// Of a refund that may be tried again at `gateway`.
    pub(super) fn of(gateway: &str, told: &Told, asked: Money, is_open: bool) -> Self {
        let name = || gateway.to_owned();
        match told {
            Told::Answer(RefundProbeOutcome::Succeeded(back)) if back.amount == asked => Self::OnlyRecorded,
            Told::Answer(RefundProbeOutcome::Pending(_)) => Self::AwaitedFrom(name()),
            _ if is_open => Self::WaitsForBreaker,
            Told::NoAnswer | Told::Answer(RefundProbeOutcome::Unknown(_)) => Self::SentUnlessBack(name()),
            Told::Nothing | Told::Answer(_) => Self::SentTo(name()),
        }
    }

    /// Whether anything would be done.
    pub(super) fn would_act(&self) -> bool {
        match self {
            Self::OnlyRecorded
            | Self::AwaitedFrom(_)
            | Self::SentTo(_)
            | Self::SentUnlessBack(_)
            | Self::WaitsForBreaker => true,
            Self::SecondPerson
            | Self::NotFound
            | Self::Succeeded
            | Self::Rejected
            | Self::UnderWay
            | Self::UnknownGateway(_) => false,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OnlyRecorded => f.write_str("already refunded at the gateway: will only be recorded"),
            Self::AwaitedFrom(gateway) => write!(f, "{gateway} works on it: will be waited for"),
            Self::SentTo(gateway) => write!(f, "will be sent to {gateway}"),
            Self::SentUnlessBack(gateway) => {
                write!(
                    f,
                    "will be sent to {gateway}, unless it says then that it has refunded it: it did not answer now"
                )
            }
            Self::WaitsForBreaker => f.write_str("breaker open: will wait"),
            Self::SecondPerson => f.write_str("needs a second person"),
            Self::NotFound => f.write_str("not done: there is no such refund"),
            Self::Succeeded => f.write_str("not done: all of it has gone back"),
            Self::Rejected => f.write_str("not done: it was never to be made"),
            Self::UnderWay => f.write_str("not done: it is being carried out already"),
            Self::UnknownGateway(gateway) => write!(f, "not done: the gateway {gateway} is not configured here"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        gateways::{Doubt, DoubtReason, Reference, RefundFailure, Refunded},
        money::currency_from_code,
    };

    fn verdict(told: &Told, is_open: bool) -> String {
        let asked = Money::new(4_500, currency_from_code("EUR").unwrap());
        Verdict::of("primary", told, asked, is_open).to_string()
    }

    fn back(amount: i64) -> Refunded {
        let amount = Money::new(amount, currency_from_code("EUR").unwrap());
        Refunded { reference: Reference::new("re_1").unwrap(), amount }
    }

    #[test]
    fn what_is_back_is_only_recorded_and_what_is_not_goes_where_it_can() {
        let answer = |outcome| Told::Answer(outcome);
        let failed =
            RefundFailure { reference: None, code: "declined".to_owned(), message: String::new(), is_final: false };
        let doubt = Doubt { reason: DoubtReason::Timeout, detail: String::new(), retry_after: None };
        let recorded = "already refunded at the gateway: will only be recorded";
        let awaited = "primary works on it: will be waited for";
        let sent = "will be sent to primary";
        let open = "breaker open: will wait";
        let unheard = "will be sent to primary, unless it says then that it has refunded it: it did not answer now";
        for (told, expected, behind_breaker) in [
            (answer(RefundProbeOutcome::Succeeded(back(4_500))), recorded, recorded),
            (answer(RefundProbeOutcome::Succeeded(back(1_000))), sent, open),
            (answer(RefundProbeOutcome::Pending(back(4_500))), awaited, awaited),
            (answer(RefundProbeOutcome::Failed(failed)), sent, open),
            (answer(RefundProbeOutcome::NotFound), sent, open),
            (answer(RefundProbeOutcome::Unknown(doubt)), unheard, open),
            (Told::Nothing, sent, open),
            (Told::NoAnswer, unheard, open),
        ] {
            assert_eq!((verdict(&told, false).as_str(), verdict(&told, true).as_str()), (expected, behind_breaker));
        }
    }
}
