//! Choosing seats for a buyer who leaves it to us: together in one row, and so that nobody is left with a seat
//! on its own between them and others. Where that cannot be had, as near to each other as possible.
//!
//! Better sections and rows come first; in a row, what is nearer to its middle.

use std::collections::BTreeMap;

/// A seat that can be had.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FreeSeat {
    /// Its section's place in the event: the first is the best.
    pub section: i16,
    /// Its row: the first is the best.
    pub row: i32,
    /// Its place in the row.
    pub number: i32,
    /// How many seats the row has, taken ones included.
    pub row_width: i32,
    /// Its id.
    pub seat_id: String,
}

/// Seats that were chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picked {
    /// The seats.
    pub seat_ids: Vec<String>,
    /// They are together in one row, and no seat is left on its own beside them.
    pub clean: bool,
}

/// Free seats side by side, as long as it goes: indices into the sorted seats.
#[derive(Debug, Clone, Copy)]
struct Run {
    start: usize,
    length: usize,
}

/// Chooses `count` of the free seats. `nth` asks for the best but so many (where there are so many that are as
/// good), for buyers who all choose at the same time. None: there are not so many.
#[must_use]
pub fn pick(free: &[FreeSeat], count: usize, nth: usize) -> Option<Picked> {
    if count == 0 || free.len() < count {
        return None;
    }
    let mut seats: Vec<&FreeSeat> = free.iter().collect();
    seats.sort();
    let runs = runs(&seats);
    let (chosen, clean) = match together(&seats, &runs, count, nth) {
        Some((start, clean)) => ((start..start + count).collect(), clean),
        None => (apart(&seats, &runs, count), false),
    };
    let chosen: Vec<usize> = chosen;
    Some(Picked { seat_ids: chosen.into_iter().map(|at| seats[at].seat_id.clone()).collect(), clean })
}

fn runs(seats: &[&FreeSeat]) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for (at, seat) in seats.iter().enumerate() {
        let beside = at.checked_sub(1).map(|before| seats[before]).is_some_and(|before| {
            (before.section, before.row, before.number + 1) == (seat.section, seat.row, seat.number)
        });
        match runs.last_mut() {
            Some(run) if beside => run.length += 1,
            _ => runs.push(Run { start: at, length: 1 }),
        }
    }
    runs
}

/// Where the best seats side by side begin, and whether they leave no seat on its own.
fn together(seats: &[&FreeSeat], runs: &[Run], count: usize, nth: usize) -> Option<(usize, bool)> {
    let mut places: Vec<_> = runs
        .iter()
        .filter(|run| run.length >= count)
        .flat_map(|run| (0..=run.length - count).map(move |left| (run, left)))
        .map(|(run, left)| {
            let orphans = left == 1 || run.length - count - left == 1;
            let first = seats[run.start + left];
            let last = seats[run.start + left + count - 1];
            // twice the distance between the middles of these seats and of the row: an integer
            let off_centre = (first.number + last.number - first.row_width - 1).abs();
            (orphans, first.section, first.row, off_centre, first.number, run.start + left)
        })
        .collect();
    places.sort_unstable();
    let as_good = places.iter().take_while(|place| place.0 == places[0].0).count();
    let (orphans, .., start) = *places.get(nth.min(as_good.checked_sub(1)?))?;
    Some((start, !orphans))
}

/// As near as possible: in one section if it has enough, in the fewest rows that follow each other, from the
/// longest runs. There are enough seats.
fn apart(seats: &[&FreeSeat], runs: &[Run], count: usize) -> Vec<usize> {
    let mut sections: BTreeMap<i16, Vec<Run>> = BTreeMap::new();
    for run in runs {
        sections.entry(seats[run.start].section).or_default().push(*run);
    }
    let nearest = sections.values().filter_map(|runs| fewest_rows(seats, runs, count)).min_by_key(|found| {
        let (first, last) = (seats[found[0].start], seats[found[found.len() - 1].start]);
        (last.row - first.row, found.len(), first.section)
    });
    match nearest {
        Some(runs) => longest_first(&runs, count),
        None => {
            let mut runs: Vec<Vec<Run>> = sections.into_values().collect();
            runs.sort_by_key(|runs| std::cmp::Reverse(total(runs)));
            let mut chosen = Vec::new();
            for runs in runs {
                let wanted = (count - chosen.len()).min(total(&runs));
                chosen.extend(longest_first(&runs, wanted));
            }
            chosen
        }
    }
}

/// The runs of the fewest rows of a section, following each other, that have enough seats; better rows first.
fn fewest_rows(seats: &[&FreeSeat], runs: &[Run], count: usize) -> Option<Vec<Run>> {
    let row = |at: usize| seats[runs[at].start].row;
    let mut best: Option<(i32, usize, usize)> = None;
    let (mut end, mut sum) = (0, 0);
    for start in 0..runs.len() {
        while end < runs.len() && sum < count {
            sum += runs[end].length;
            end += 1;
        }
        if sum < count {
            break;
        }
        let span = row(end - 1) - row(start);
        if best.is_none_or(|(smallest, ..)| span < smallest) {
            best = Some((span, start, end));
        }
        sum -= runs[start].length;
    }
    let (_, start, end) = best?;
    // whole rows: a longer run of the last or first one may be better than those that were counted
    let (first_row, last_row) = (row(start), row(end - 1));
    let inside = |run: &&Run| (first_row..=last_row).contains(&seats[run.start].row);
    Some(runs.iter().filter(inside).copied().collect())
}

/// So many seats from the longest of these runs; of the last one, those at its beginning.
fn longest_first(runs: &[Run], count: usize) -> Vec<usize> {
    let mut runs = runs.to_vec();
    runs.sort_by_key(|run| (std::cmp::Reverse(run.length), run.start));
    let seats = runs.iter().flat_map(|run| run.start..run.start + run.length);
    seats.take(count).collect()
}

fn total(runs: &[Run]) -> usize {
    runs.iter().map(|run| run.length).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Rows as pictures: `o` is free, `x` is not. One section.
    fn rows(pictures: &[&str]) -> Vec<FreeSeat> {
        section(0, pictures)
    }

    fn section(section: i16, pictures: &[&str]) -> Vec<FreeSeat> {
        let mut seats = Vec::new();
        for (row, picture) in (1..).zip(pictures) {
            let row_width = i32::try_from(picture.len()).unwrap();
            for (number, seat) in (1..).zip(picture.chars()) {
                if seat == 'o' {
                    let seat_id = format!("{section}-{row}-{number}");
                    seats.push(FreeSeat { section, row, number, row_width, seat_id });
                }
            }
        }
        seats
    }

    fn picked(free: &[FreeSeat], count: usize) -> Vec<String> {
        let mut seats = pick(free, count, 0).unwrap().seat_ids;
        seats.sort();
        seats
    }

    #[test]
    fn the_middle_of_the_first_row_that_has_room() {
        assert_eq!(picked(&rows(&["xxooxxx", "ooooooo"]), 3), ["0-2-3", "0-2-4", "0-2-5"]);
        assert_eq!(picked(&rows(&["ooooooo", "ooooooo"]), 3), ["0-1-3", "0-1-4", "0-1-5"]);
    }

    #[test]
    fn no_seat_is_left_on_its_own_where_it_can_be_avoided() {
        // the middle would leave one on each side
        assert_eq!(picked(&rows(&["oooo"]), 2), ["0-1-1", "0-1-2"]);
        // a worse row without an orphan is better than a better one with
        assert_eq!(picked(&rows(&["ooo", "oo"]), 2), ["0-2-1", "0-2-2"]);
        // it cannot be avoided
        let pick = pick(&rows(&["ooo"]), 2, 0).unwrap();
        assert!(!pick.clean);
    }

    #[test]
    fn without_room_side_by_side_they_are_near() {
        assert_eq!(picked(&rows(&["oxo", "xxx", "oox", "oxo"]), 4), ["0-3-1", "0-3-2", "0-4-1", "0-4-3"]);
        assert_eq!(picked(&rows(&["oxoo", "oxoo"]), 3), ["0-1-1", "0-1-3", "0-1-4"]);
        let two = [section(0, &["o"]), section(1, &["oxo"])].concat();
        assert_eq!(picked(&two, 2), ["1-1-1", "1-1-3"]);
        assert_eq!(picked(&two, 3), ["0-1-1", "1-1-1", "1-1-3"]);
        assert_eq!(pick(&two, 4, 0), None);
    }

    #[test]
    fn several_choose_different_seats() {
        let free = rows(&["oooooooo"]);
        let first = pick(&free, 2, 0).unwrap();
        let second = pick(&free, 2, 1).unwrap();
        assert_ne!(first, second);
        assert!(first.clean && second.clean);
        assert!(pick(&free, 2, 1_000).unwrap().clean, "never worse than needed");
    }

    fn halls() -> impl Strategy<Value = Vec<FreeSeat>> {
        let row = proptest::collection::vec(any::<bool>(), 1..12);
        let rows = proptest::collection::vec(row, 1..6);
        proptest::collection::vec(rows, 1..3).prop_map(|sections| {
            let picture = |row: &Vec<bool>| row.iter().map(|free| if *free { 'o' } else { 'x' }).collect::<String>();
            (0..)
                .zip(&sections)
                .flat_map(|(at, rows)| {
                    let pictures: Vec<String> = rows.iter().map(picture).collect();
                    section(at, &pictures.iter().map(String::as_str).collect::<Vec<_>>())
                })
                .collect()
        })
    }

    /// The lengths of what is left and right of a block in its run, for each place that it could have.
    fn places(free: &[FreeSeat], count: usize) -> Vec<(usize, usize)> {
        let mut seats: Vec<&FreeSeat> = free.iter().collect();
        seats.sort();
        let runs = runs(&seats).into_iter().filter(|run| run.length >= count);
        runs.flat_map(|run| (0..=run.length - count).map(move |left| (left, run.length - count - left))).collect()
    }

    proptest! {
        #[test]
        fn always_free_seats_and_together_if_possible(free in halls(), count in 1_usize..9, nth in 0_usize..4) {
            let picked = pick(&free, count, nth);
            prop_assert_eq!(picked.is_some(), free.len() >= count);
            let Some(picked) = picked else { return Ok(()) };
            let mut chosen: Vec<&FreeSeat> =
                free.iter().filter(|seat| picked.seat_ids.contains(&seat.seat_id)).collect();
            chosen.sort();
            prop_assert_eq!(chosen.len(), count, "distinct, and free");
            let together = chosen.windows(2).all(|pair| {
                (pair[0].section, pair[0].row, pair[0].number + 1) == (pair[1].section, pair[1].row, pair[1].number)
            });
            let places = places(&free, count);
            prop_assert_eq!(together, !places.is_empty(), "together where there is room");
            let clean = places.iter().any(|(left, right)| *left != 1 && *right != 1);
            prop_assert_eq!(picked.clean, clean, "no orphan where there need be none");
        }

        #[test]
        fn one_section_is_enough_if_it_has_enough(free in halls(), count in 1_usize..9) {
            let enough = (0..3).any(|section| free.iter().filter(|seat| seat.section == section).count() >= count);
            if let Some(picked) = pick(&free, count, 0) && enough {
                let mut sections: Vec<i16> =
                    free.iter().filter(|seat| picked.seat_ids.contains(&seat.seat_id)).map(|seat| seat.section).collect();
                sections.dedup();
                prop_assert_eq!(sections.len(), 1);
            }
        }
    }
}
