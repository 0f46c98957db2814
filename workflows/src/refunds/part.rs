//! How much of an order's money goes back for what is asked: pure, from what was taken and what the seats cost.

use crate::money::Money;
use std::collections::BTreeSet;

/// What somebody wants back. Neither amount nor seats: all that is left.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// So much, in minor units. Without seats, the tickets stay valid.
    pub amount_minor: Option<i64>,
    /// These seats: their shares, where no amount is given.
    pub seat_ids: Option<Vec<String>>,
}

/// What there is to give back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refundable {
    /// What is neither back nor on its way.
    pub(crate) left: Money,
    /// The seats of the order, each with its share of what was taken.
    pub(crate) seats: Vec<SeatShare>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SeatShare {
    pub(crate) seat_id: String,
    pub(crate) share: Money,
    /// Another refund has it, or asks for it.
    pub(crate) is_given_back: bool,
}

/// What goes back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) amount: Money,
    /// Whose tickets are taken back.
    pub(crate) seat_ids: Vec<String>,
    /// What these seats cost.
    pub(crate) seats_minor: i64,
}

/// Why nothing goes back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotRefundable {
    /// Not a seat of this order.
    #[error("seat {0} is not one of the order's")]
    UnknownSeat(String),
    /// The seat is back, or on its way.
    #[error("another refund gives seat {seat_id} back, or has")]
    GivenBack {
        /// The seat.
        seat_id: String,
        /// What is neither back nor on its way.
        left: Money,
    },
    /// More than there is.
    #[error("{asked} is more than {left}, which is all that is left")]
    ExceedsCaptured {
        /// What was asked for.
        asked: Money,
        /// What is neither back nor on its way.
        left: Money,
    },
    /// Nothing is left.
    #[error("nothing of the order's money is left to refund")]
    NothingLeft,
}

impl Refundable {
    /// From what was taken, and for each seat its name, its price, and whether it is given back already.
    pub(crate) fn new(captured: Money, left: Money, seats: Vec<(String, u64, bool)>) -> Self {
        let shares = captured.split_by(&seats.iter().map(|(_, price, _)| *price).collect::<Vec<_>>());
        let seats = seats.into_iter().zip(shares);
        let seats = seats.map(|((seat_id, _, is_given_back), share)| SeatShare { seat_id, share, is_given_back });
        Self { left, seats: seats.collect() }
    }

    /// What goes back for this wish.
    pub(crate) fn part(&self, wanted: &Wanted) -> Result<Part, NotRefundable> {
        let seats = match wanted {
            Wanted { seat_ids: Some(seat_ids), .. } => self.named(seat_ids)?,
            Wanted { amount_minor: None, .. } => self.seats_left(),
            Wanted { amount_minor: Some(_), .. } => Vec::new(),
        };
        let shares: i64 = seats.iter().map(|seat| seat.share.amount_minor).sum();
        let left = self.left.amount_minor;
        if left <= 0 {
            return Err(NotRefundable::NothingLeft);
        }
        let asked = match (wanted.amount_minor, &wanted.seat_ids) {
            (Some(amount), _) => amount,
            (None, None) => left,
            // something went back by amount before
            (None, Some(_)) if seats.len() == self.seats_left().len() => shares.min(left),
            (None, Some(_)) => shares,
        };
        let amount = Money::new(asked, self.left.currency);
        if asked > left || asked <= 0 {
            return Err(NotRefundable::ExceedsCaptured { asked: amount, left: self.left });
        }
        let seat_ids = seats.into_iter().map(|seat| seat.seat_id.clone()).collect();
        Ok(Part { amount, seat_ids, seats_minor: shares })
    }

    fn seats_left(&self) -> Vec<&SeatShare> {
        self.seats.iter().filter(|seat| !seat.is_given_back).collect()
    }

    /// These seats, in the order's order.
    fn named(&self, seat_ids: &[String]) -> Result<Vec<&SeatShare>, NotRefundable> {
        let wanted: BTreeSet<&str> = seat_ids.iter().map(String::as_str).collect();
        let named: Vec<_> = self.seats.iter().filter(|seat| wanted.contains(seat.seat_id.as_str())).collect();
        if let Some(seat) = wanted.iter().find(|seat| named.iter().all(|named| named.seat_id != **seat)) {
            return Err(NotRefundable::UnknownSeat((*seat).to_owned()));
        }
        match named.iter().find(|seat| seat.is_given_back) {
            Some(seat) => Err(NotRefundable::GivenBack { seat_id: seat.seat_id.clone(), left: self.left }),
            None => Ok(named),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::money::Currency;
    use proptest::prelude::*;

    fn eur(amount: i64) -> Money {
        Money::new(amount, Currency::EUR)
    }

    /// An order of these prices, of whose seats some are given back, and of whose money so much is.
    fn order(captured: i64, gone: i64, seats: &[(&str, u64, bool)]) -> Refundable {
        let seats = seats.iter().map(|(seat, price, gone)| ((*seat).to_owned(), *price, *gone)).collect();
        Refundable::new(eur(captured), eur(captured - gone), seats)
    }

    fn wanted(amount_minor: Option<i64>, seats: Option<&[&str]>) -> Wanted {
        Wanted { amount_minor, seat_ids: seats.map(|seats| seats.iter().map(|seat| (*seat).to_owned()).collect()) }
    }

    fn part(amount: i64, seats: &[&str], seats_minor: i64) -> Result<Part, NotRefundable> {
        let seat_ids = seats.iter().map(|seat| (*seat).to_owned()).collect();
        Ok(Part { amount: eur(amount), seat_ids, seats_minor })
    }

    const THREE: [(&str, u64, bool); 3] = [("a", 1, false), ("b", 1, false), ("c", 1, false)];

    #[test]
    fn a_seat_of_three_gives_back_its_share_of_a_hundred() {
        let order = order(10_000, 0, &THREE);
        assert_eq!(order.part(&wanted(None, Some(&["a"]))), part(3_334, &["a"], 3_334));
        assert_eq!(order.part(&wanted(None, Some(&["c", "b", "c"]))), part(6_666, &["b", "c"], 6_666));
        assert_eq!(order.part(&wanted(None, None)), part(10_000, &["a", "b", "c"], 10_000));
        assert_eq!(order.part(&wanted(Some(10_000), None)), part(10_000, &[], 0));
        assert_eq!(order.part(&wanted(Some(3_000), Some(&["a"]))), part(3_000, &["a"], 3_334));
    }

    #[test]
    fn the_last_seats_give_back_what_is_left_of_them() {
        let order = order(10_000, 4_334, &[("a", 1, true), ("b", 1, false), ("c", 1, false)]);
        assert_eq!(order.part(&wanted(None, Some(&["b", "c"]))), part(5_666, &["b", "c"], 6_666));
        assert_eq!(order.part(&wanted(None, Some(&["b"]))), part(3_333, &["b"], 3_333));
        assert_eq!(order.part(&wanted(None, None)), part(5_666, &["b", "c"], 6_666));
        let given_back = NotRefundable::GivenBack { seat_id: "a".to_owned(), left: eur(5_666) };
        assert_eq!(order.part(&wanted(None, Some(&["b", "a"]))), Err(given_back));
    }

    #[test]
    fn nothing_goes_back_twice_and_no_more_than_there_is() {
        let exceeds = |asked, left| Err(NotRefundable::ExceedsCaptured { asked: eur(asked), left: eur(left) });
        let some = order(10_000, 9_000, &THREE);
        assert_eq!(some.part(&wanted(Some(1_001), None)), exceeds(1_001, 1_000));
        assert_eq!(some.part(&wanted(None, Some(&["a"]))), exceeds(3_334, 1_000));
        assert_eq!(some.part(&wanted(Some(1_001), Some(&["a"]))), exceeds(1_001, 1_000));
        assert_eq!(some.part(&wanted(Some(0), None)), exceeds(0, 1_000));
        let none = order(10_000, 10_000, &THREE);
        assert_eq!(none.part(&wanted(None, None)), Err(NotRefundable::NothingLeft));
        assert_eq!(none.part(&wanted(Some(1), None)), Err(NotRefundable::NothingLeft));
        let unknown = Err(NotRefundable::UnknownSeat("x".to_owned()));
        assert_eq!(some.part(&wanted(None, Some(&["a", "x"]))), unknown);
    }

    proptest! {
        /// Seat by seat, in any order, the money goes back to the last cent and not one more.
        #[test]
        fn seat_by_seat_all_goes_back(
            captured in 1_000_i64..100_000_000,
            prices in proptest::collection::vec(1_u64..1_000_000, 1..20),
            by_amount in 0_i64..900,
        ) {
            let mut gone = by_amount;
            let mut back = vec![false; prices.len()];
            for last in 0..prices.len() {
                let seats: Vec<_> = prices.iter().zip(&back).enumerate()
                    .map(|(index, (price, back))| (index.to_string(), *price, *back)).collect();
                let order = Refundable::new(eur(captured), eur(captured - gone), seats);
                match order.part(&Wanted { amount_minor: None, seat_ids: Some(vec![last.to_string()]) }) {
                    Ok(part) => {
                        prop_assert!(part.amount.amount_minor <= captured - gone);
                        gone += part.amount.amount_minor;
                        back[last] = true;
                    }
                    // a seat that costs next to nothing, or more than what went back by amount has left
                    Err(NotRefundable::ExceedsCaptured { .. } | NotRefundable::NothingLeft) => {}
                    Err(other) => prop_assert!(false, "{other}"),
                }
            }
            prop_assert!(gone <= captured);
            if by_amount == 0 && back.iter().all(|back| *back) {
                prop_assert_eq!(gone, captured);
            }
        }
    }
}
