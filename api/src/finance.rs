//! What people in finance do: refunds, and the consent of a second person.

pub(crate) mod approvals;
pub(crate) mod ask;
pub(crate) mod refunds;
pub(crate) mod replay;
