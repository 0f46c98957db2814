//! When a breaker opens: `[gateways.breaker]` of the configuration.

/// `[gateways.breaker]`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerSettings {
    /// The share of failed calls that opens it, in thousandths.
    pub failure_permille: u32,
    /// Over how long.
    pub window_secs: u32,
    /// Of at least how many.
    pub minimum_calls: u32,
    /// How long it stays open before it tries.
    pub open_secs: u32,
}

impl Default for BreakerSettings {
    fn default() -> Self {
        Self { failure_permille: 500, window_secs: 10, minimum_calls: 10, open_secs: 5 }
    }
}
