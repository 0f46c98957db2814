//! A figure and how far its rounds lie apart.

use serde_json::{Value, json};

/// One figure, taken once per round.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Spread(Vec<f64>);

impl Spread {
    /// Of at least one round.
    pub(crate) fn of(rounds: impl IntoIterator<Item = f64>) -> Self {
        Self(rounds.into_iter().collect())
    }

    /// What stands for all of them.
    pub(crate) fn median(&self) -> f64 {
        percentile(&self.0, 0.5)
    }

    pub(crate) fn min(&self) -> f64 {
        percentile(&self.0, 0.0)
    }

    pub(crate) fn max(&self) -> f64 {
        percentile(&self.0, 1.0)
    }

    /// With so many decimals.
    pub(crate) fn json(&self, decimals: usize) -> Value {
        let rounds: Vec<_> = self.0.iter().map(|value| rounded(*value, decimals)).collect();
        json!({ "min": rounded(self.min(), decimals), "max": rounded(self.max(), decimals), "rounds": rounds })
    }
}

/// The value below which `share` of all values lie; between two values, in proportion. Not a number where there are
/// none.
pub(crate) fn percentile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let place = share * last as f64;
    let (below, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    below + (above - below) * place.fract()
}

/// With so many decimals.
pub(crate) fn rounded(value: f64, decimals: usize) -> f64 {
    let scale = 10_f64.powi(i32::try_from(decimals).unwrap_or(0));
    (value * scale).round() / scale
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_in_the_middle_of_what_lies_apart() {
        let spread = Spread::of([30.0, 10.0, 20.0]);
        assert_eq!((spread.median(), spread.min(), spread.max()), (20.0, 10.0, 30.0));
        assert_eq!(Spread::of([1.0, 2.0]).median(), 1.5);
    }

    #[test]
    fn percentiles_lie_between_their_neighbours() {
        let values: Vec<_> = (0..=100).map(f64::from).collect();
        assert_eq!(percentile(&values, 0.99), 99.0);
        assert_eq!(percentile(&[1.0], 0.99), 1.0);
        assert!(percentile(&[], 0.5).is_nan());
    }
}
