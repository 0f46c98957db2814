//! Payments: the steps that charge an order and take the charge back. They talk to gateways only and touch no
//! database; the rows that people see follow from what these steps intend, note and answer
//! (see [`crate::projection`]).
//!
//! The order is always: intent committed, charge prepared, its reference committed, charge confirmed. So whoever
//! comes later, after whatever crash, knows whom to ask about what.

#[cfg(test)]
pub(crate) mod bench;
mod charge;
mod charges;
mod charging;
mod gateways;
mod news;
mod notes;
mod preference;
mod probe;
mod route;
mod settle;
mod take_back;
mod unwanted;
mod webhooks;

pub use charge::{Charge, ChargeInput, ChargeOutput};
pub use gateways::{ConfiguredGateway, Gateways, GatewaysError, OrderError};
pub use news::{PaymentNews, Told, payment_signal};
pub use notes::PaymentNote;
pub use preference::{NoOrder, OrderChange};
pub use probe::ProbeCharge;
use settle::settle_key;
pub use settle::{Adopt, Adopted, LeftBehind, SETTLE_DOUBT, Settle, SettledDoubt};
pub use take_back::{TakeBack, TakenBack};
pub use webhooks::{CaptureNews, CaptureStatus, NewsError, Webhooks, expire_news};

use crate::gateways::{Decline, Doubt, NotExecuted, Refusal};
use orchestrator::action::{Failure, Halt};
use std::time::Duration;

/// A charge in an amount or currency that the order does not have: never a ticket, always a person.
pub const AMOUNT_MISMATCH: &str = "amount-mismatch";
/// The seats are not kept any longer.
pub const HOLD_EXPIRED: &str = "hold-expired";
/// The code of a payment that no gateway could be asked for in time.
pub const GATEWAYS_AWAY: &str = "gateways-away";

/// How many calls one attempt makes one after another, each of which may take its time: what is asked about first, what
/// is done then, and what that came to where its answer does not say.
pub const CALLS_MAX: u32 = 3;
/// How long one call may take at most, so that a step which pays has the time for all that it makes.
pub const CALL_TAKES_MAX: Duration = Duration::from_secs(8);

/// The failure that a decline is.
fn declined(decline: &Decline) -> Failure {
    let code = match decline.code.as_str() {
        "" | "card_declined" | "generic_decline" => "card-declined".to_owned(),
        specific => format!("card-declined:{specific}"),
    };
    Failure::new(code, format!("the payment was declined: {}", decline.message))
}

/// How long a call waits that we hold back ourselves, where nothing better is known.
const HELD_BACK: Duration = Duration::from_secs(1);

/// It was we who did not ask: no attempt is used up.
pub(crate) fn held_back(after: Option<Duration>, reason: String) -> Halt {
    Halt::Parked { after: after.unwrap_or(HELD_BACK), reason }
}

/// A call that was not made, and may be made again.
pub(crate) fn not_executed(not_executed: NotExecuted) -> Halt {
    if not_executed.is_held_back() {
        return held_back(not_executed.retry_after, not_executed.detail);
    }
    Halt::Transient {
        failure: Failure::new("gateway-unavailable", not_executed.detail),
        after: not_executed.retry_after,
    }
}

/// A call that leaves us in doubt, or as much in doubt as before.
pub(crate) fn doubtful(doubt: Doubt) -> Halt {
    if doubt.is_held_back() {
        return held_back(doubt.retry_after, doubt.detail);
    }
    Halt::in_doubt("gateway-doubt", doubt.detail)
}

/// A call that the gateway will never take.
pub(crate) fn refused(refusal: Refusal) -> Failure {
    Failure::new(format!("gateway-refused:{}", refusal.code), refusal.message)
}
