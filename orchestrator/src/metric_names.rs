//! The names of this crate's metrics.

/// Days of the coming two weeks for which a table of the history has no partition. More than none: act now.
pub const HISTORY_DAYS_MISSING: &str = "showrunner_history_days_missing";
/// Weeks that are older than the retention and are kept all the same, because somebody needs them.
pub const HISTORY_WEEKS_KEPT: &str = "showrunner_history_weeks_kept";
/// Weeks that were dropped.
pub const HISTORY_WEEKS_DROPPED: &str = "showrunner_history_weeks_dropped_total";
