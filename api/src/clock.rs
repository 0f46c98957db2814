//! The time at the edge: when a signature or an act arrives.

use chrono::{DateTime, Utc};

/// Now.
#[expect(clippy::disallowed_methods, reason = "the one place where this crate asks for the time")]
pub(crate) fn now() -> DateTime<Utc> {
    Utc::now()
}
