//! Which gateway is asked next: a pure function of the charges there were.

use super::charges::{Attempted, Known};
use crate::gateways::DeclineCategory;

/// Where the next charge is made, and as which there: another one after a charge that was ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Route<'a> {
    pub(super) gateway: &'a str,
    /// From 1.
    pub(super) generation: usize,
}

/// Where the next charge is made; nowhere while one may still take money, or when nobody would do better.
///
/// `takers` are the gateways that take the payment method and the amount, in order of preference. First comes who was
/// never asked, then who was asked longest ago: one that could not be reached is asked again when no other could be.
pub(super) fn next<'a>(charges: &[Attempted], takers: &[&'a str]) -> Option<Route<'a>> {
    let forbids_another = |charge: &Attempted| match charge.known {
        Known::Open | Known::Captured(_) => true,
        Known::Declined(category) => category != DeclineCategory::RetryElsewhere,
        Known::Idle | Known::Voided | Known::LeftBehind | Known::Settled => false,
    };
    if charges.iter().any(forbids_another) {
        return None;
    }
    let is_over_with = |gateway: &str| {
        let ends = |known| matches!(known, Known::Declined(_) | Known::LeftBehind);
        charges.iter().any(|charge| charge.gateway == gateway && ends(charge.known))
    };
    let asked_last_at = |gateway: &str| charges.iter().rposition(|charge| charge.gateway == gateway);
    let willing = takers.iter().copied().filter(|gateway| !is_over_with(gateway));
    let gateway = willing.min_by_key(|gateway| asked_last_at(gateway))?;
    let voided = charges.iter().filter(|charge| charge.gateway == gateway && charge.known == Known::Voided);
    Some(Route { gateway, generation: voided.count() + 1 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payments::notes::tests::{eur, key};

    const BOTH: &[&str] = &["primary", "backup"];
    const ONE: &[&str] = &["primary"];

    fn charge(gateway: &str, known: Known) -> Attempted {
        Attempted { known, ..Attempted::new(gateway.to_owned(), key(gateway), eur(100)) }
    }

    fn route(charges: &[(&str, Known)], takers: &[&'static str]) -> Option<(&'static str, usize)> {
        let charges: Vec<_> = charges.iter().map(|(gateway, known)| charge(gateway, *known)).collect();
        next(&charges, takers).map(|route| (route.gateway, route.generation))
    }

    #[test]
    fn the_primary_is_asked_first_and_then_the_backup() {
        assert_eq!(route(&[], BOTH), Some(("primary", 1)));
        assert_eq!(route(&[], &[]), None);
        let elsewhere = Known::Declined(DeclineCategory::RetryElsewhere);
        for ended in [Known::Idle, Known::Voided, elsewhere] {
            assert_eq!(route(&[("primary", ended)], BOTH), Some(("backup", 1)), "{ended:?}");
        }
    }

    #[test]
    fn nobody_is_asked_while_money_may_be_taken_or_a_decline_is_final() {
        let needs_action = Known::Declined(DeclineCategory::NeedsAction);
        let end = [Known::Open, Known::Captured(eur(1)), Known::Declined(DeclineCategory::Final), needs_action];
        for known in end {
            assert_eq!(route(&[("primary", known)], BOTH), None, "{known:?}");
            assert_eq!(route(&[("primary", known), ("backup", Known::Voided)], BOTH), None, "{known:?}");
        }
    }

    #[test]
    fn who_has_declined_is_not_asked_again() {
        let elsewhere = Known::Declined(DeclineCategory::RetryElsewhere);
        assert_eq!(route(&[("primary", elsewhere), ("backup", elsewhere)], BOTH), None);
        assert_eq!(route(&[("primary", elsewhere), ("backup", Known::Idle)], BOTH), Some(("backup", 1)));
        assert_eq!(route(&[("primary", elsewhere)], ONE), None);
    }

    #[test]
    fn who_has_left_a_doubt_behind_is_not_asked_again() {
        assert_eq!(route(&[("primary", Known::LeftBehind)], BOTH), Some(("backup", 1)));
        assert_eq!(route(&[("primary", Known::LeftBehind), ("backup", Known::Idle)], BOTH), Some(("backup", 1)));
        assert_eq!(route(&[("primary", Known::LeftBehind)], ONE), None);
    }

    #[test]
    fn who_was_asked_longest_ago_comes_again_by_the_same_key_unless_that_was_voided() {
        assert_eq!(route(&[("primary", Known::Idle)], ONE), Some(("primary", 1)));
        assert_eq!(route(&[("primary", Known::Voided)], ONE), Some(("primary", 2)));
        assert_eq!(route(&[("primary", Known::Idle), ("backup", Known::Idle)], BOTH), Some(("primary", 1)));
        assert_eq!(route(&[("backup", Known::Idle), ("primary", Known::Idle)], BOTH), Some(("backup", 1)));
        assert_eq!(route(&[("primary", Known::Voided), ("backup", Known::Voided)], BOTH), Some(("primary", 2)));
    }
}
