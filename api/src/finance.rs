//! What people in finance do: refunds, the consent of a second person, and the ledger.

pub(crate) mod approvals;
pub(crate) mod ask;
pub(crate) mod ledger;
pub(crate) mod refunds;
pub(crate) mod replay;
pub(crate) mod replays;
