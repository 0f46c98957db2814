//! Sagas: starting, looking into and repairing them.

pub(crate) mod acts;
pub(crate) mod follow;
pub(crate) mod follow_all;
pub(crate) mod list;
pub(crate) mod show;
pub(crate) mod start;
mod streams;
