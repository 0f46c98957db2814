//! What an installation decides about selling: the `[booking]` section of the configuration.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The longest that any hold may be configured to last: a day.
const HOLD_SECS_MAX: u64 = 86_400;

/// A value that cannot be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BookingSettingsError {
    /// A hold that ends at once, or never.
    #[error("booking.{key} is {value}: it must be between 1 and {HOLD_SECS_MAX} seconds")]
    HoldSecs {
        /// The key.
        key: &'static str,
        /// What was given.
        value: u64,
    },
}

/// The `[booking]` section.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BookingSettings {
    /// How long seats are kept for a buyer who has not ordered yet.
    pub hold_ttl_secs: u64,
    /// How long they are kept once the order is placed.
    pub order_hold_secs: u64,
    /// Minor units; a refund above it needs a second person.
    pub refund_approval_above: i64,
    /// Sagas; a batch above it needs a second person.
    pub batch_approval_above: u32,
    /// How long a second person may take.
    pub approval_expires_secs: u64,
    /// After how many days a missing settlement line becomes a case.
    pub settlement_missing_days: u32,
}

impl Default for BookingSettings {
    fn default() -> Self {
        Self {
            hold_ttl_secs: 600,
            order_hold_secs: 900,
            refund_approval_above: 50_000,
            batch_approval_above: 1_000,
            approval_expires_secs: 86_400,
            settlement_missing_days: 5,
        }
    }
}

impl BookingSettings {
    /// Refuses what cannot be right.
    ///
    /// # Errors
    /// [`BookingSettingsError`] with the key.
    pub fn check(&self) -> Result<(), BookingSettingsError> {
        for (key, value) in [("hold_ttl_secs", self.hold_ttl_secs), ("order_hold_secs", self.order_hold_secs)] {
            if value == 0 || value > HOLD_SECS_MAX {
                return Err(BookingSettingsError::HoldSecs { key, value });
            }
        }
        Ok(())
    }

    /// [`Self::hold_ttl_secs`].
    #[must_use]
    pub fn hold_ttl(&self) -> Duration {
        Duration::from_secs(self.hold_ttl_secs)
    }

    /// [`Self::order_hold_secs`].
    #[must_use]
    pub fn order_hold(&self) -> Duration {
        Duration::from_secs(self.order_hold_secs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_right_and_zero_is_not() {
        assert_eq!(BookingSettings::default().check(), Ok(()));
        let never = BookingSettings { order_hold_secs: 0, ..BookingSettings::default() };
        assert_eq!(never.check(), Err(BookingSettingsError::HoldSecs { key: "order_hold_secs", value: 0 }));
    }
}
