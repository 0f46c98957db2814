//! What somebody wants to sell, and what is wrong with it: every mistake, with where it is.

use super::local_time::read_time;
use crate::money::{Currency, currency_from_code};
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The largest venue.
pub const SEATS_PER_EVENT_MAX: i64 = 200_000;
/// The most sections of one event.
const SECTIONS_MAX: usize = 500;
/// The longest name of an event, a venue or a section, in characters.
const NAME_CHARS_MAX: usize = 200;
/// The longest description, in characters.
const DESCRIPTION_CHARS_MAX: usize = 10_000;
/// The highest price of a seat, in minor units: far from where sums overflow.
const PRICE_MINOR_MAX: i64 = 1_000_000_000_000;
/// The longest part of a seat's id that comes from its section's name.
const SLUG_CHARS_MAX: usize = 40;

/// An event to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewEvent {
    /// What it is called.
    pub name: String,
    /// Where it is.
    pub venue: String,
    /// More about it.
    #[serde(default)]
    pub description: Option<String>,
    /// When it begins: RFC 3339, or local in `timeZone`.
    pub start_time: String,
    /// IANA; UTC if not given.
    #[serde(default)]
    pub time_zone: Option<String>,
    /// When its sale begins.
    #[serde(default)]
    pub sales_start: Option<String>,
    /// When its sale ends.
    #[serde(default)]
    pub sales_end: Option<String>,
    /// ISO 4217.
    pub currency: String,
    /// Its parts.
    pub sections: Vec<NewSection>,
}

/// A part of a venue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewSection {
    /// What it is called.
    pub name: String,
    /// How many rows, from 1.
    pub rows: i64,
    /// How many seats in each row, from 1.
    pub seats_per_row: i64,
    /// Minor units of the event's currency.
    pub price: i64,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Mistake {
    /// A JSON pointer to it.
    pub pointer: String,
    /// What is wrong, in a sentence.
    pub message: String,
}

impl Mistake {
    /// A mistake, with where it is.
    pub fn new(pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), message: message.into() }
    }
}

/// An event that can be sold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedEvent {
    pub(super) name: String,
    pub(super) venue: String,
    pub(super) description: String,
    pub(super) start_time: DateTime<Utc>,
    pub(super) time_zone: Tz,
    pub(super) sales_start: Option<DateTime<Utc>>,
    pub(super) sales_end: Option<DateTime<Utc>>,
    pub(super) currency: Currency,
    pub(super) sections: Vec<CheckedSection>,
}

/// A part of an event that can be sold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedSection {
    pub(super) name: String,
    pub(super) slug: String,
    pub(super) rows: i32,
    pub(super) seats_per_row: i32,
    pub(super) price_minor: i64,
}

impl CheckedEvent {
    /// How many seats it has: at most [`SEATS_PER_EVENT_MAX`].
    #[must_use]
    pub fn seat_count(&self) -> i32 {
        self.sections.iter().map(|section| section.rows * section.seats_per_row).sum()
    }
}

impl NewEvent {
    /// The event, if it can be sold.
    ///
    /// # Errors
    /// Every mistake.
    pub fn check(&self) -> Result<CheckedEvent, Vec<Mistake>> {
        let mut mistakes = Vec::new();
        check_text(&mut mistakes, "/name", &self.name, NAME_CHARS_MAX);
        check_text(&mut mistakes, "/venue", &self.venue, NAME_CHARS_MAX);
        let description = self.description.clone().unwrap_or_default();
        if !description.is_empty() {
            check_text(&mut mistakes, "/description", &description, DESCRIPTION_CHARS_MAX);
        }
        let time_zone = self.time_zone.as_deref().unwrap_or("UTC").parse::<Tz>().ok();
        if time_zone.is_none() {
            mistakes.push(Mistake::new("/timeZone", "not an IANA time zone, like `Europe/Berlin`"));
        }
        // an unknown zone is one mistake, not four
        let zone = time_zone.unwrap_or(Tz::UTC);
        let start_time = check_time(&mut mistakes, "/startTime", Some(&self.start_time), zone);
        let sales_start = check_time(&mut mistakes, "/salesStart", self.sales_start.as_ref(), zone);
        let sales_end = check_time(&mut mistakes, "/salesEnd", self.sales_end.as_ref(), zone);
        if let (Some(start), Some(end)) = (sales_start, sales_end)
            && end <= start
        {
            mistakes.push(Mistake::new("/salesEnd", "the sale ends before it begins"));
        }
        let currency = currency_from_code(&self.currency).ok();
        if currency.is_none() {
            mistakes.push(Mistake::new("/currency", "not an ISO 4217 currency, like `EUR`"));
        }
        let sections = check_sections(&mut mistakes, &self.sections);
        match (start_time, currency) {
            (Some(start_time), Some(currency)) if mistakes.is_empty() => Ok(CheckedEvent {
                name: self.name.trim().to_owned(),
                venue: self.venue.trim().to_owned(),
                description,
                start_time,
                time_zone: zone,
                sales_start,
                sales_end,
                currency,
                sections,
            }),
            _ => Err(mistakes),
        }
    }
}

fn check_text(mistakes: &mut Vec<Mistake>, pointer: &str, text: &str, chars_max: usize) {
    if text.trim().is_empty() {
        mistakes.push(Mistake::new(pointer, "empty"));
    } else if text.chars().count() > chars_max {
        mistakes.push(Mistake::new(pointer, format!("longer than {chars_max} characters")));
    } else if text.contains('\0') {
        mistakes.push(Mistake::new(pointer, "has a NUL character"));
    }
}

fn check_time(mistakes: &mut Vec<Mistake>, pointer: &str, text: Option<&String>, zone: Tz) -> Option<DateTime<Utc>> {
    match read_time(text?, zone) {
        Ok(time) => Some(time),
        Err(error) => {
            mistakes.push(Mistake::new(pointer, error.to_string()));
            None
        }
    }
}

fn check_sections(mistakes: &mut Vec<Mistake>, sections: &[NewSection]) -> Vec<CheckedSection> {
    if sections.is_empty() || sections.len() > SECTIONS_MAX {
        mistakes.push(Mistake::new("/sections", format!("between 1 and {SECTIONS_MAX} sections")));
        return Vec::new();
    }
    let mut slugs = BTreeMap::new();
    let mut checked = Vec::new();
    let mut seats: i64 = 0;
    for (at, section) in sections.iter().enumerate() {
        let pointer = |member: &str| format!("/sections/{at}/{member}");
        check_text(mistakes, &pointer("name"), &section.name, NAME_CHARS_MAX);
        for (member, count) in [("rows", section.rows), ("seatsPerRow", section.seats_per_row)] {
            if !(1..=SEATS_PER_EVENT_MAX).contains(&count) {
                mistakes.push(Mistake::new(pointer(member), format!("between 1 and {SEATS_PER_EVENT_MAX}")));
            }
        }
        if !(1..=PRICE_MINOR_MAX).contains(&section.price) {
            let message = format!("between 1 and {PRICE_MINOR_MAX}, in minor units");
            mistakes.push(Mistake::new(pointer("price"), message));
        }
        seats = seats.saturating_add(section.rows.saturating_mul(section.seats_per_row));
        let slug = slug(&section.name).unwrap_or_else(|| format!("s{}", at + 1));
        if let Some(other) = slugs.insert(slug.clone(), at) {
            let message = format!("too like the name of section {other}: both become `{slug}` in seat ids");
            mistakes.push(Mistake::new(pointer("name"), message));
        }
        checked.push(CheckedSection {
            name: section.name.trim().to_owned(),
            slug,
            // out of range is a mistake already, and then nobody sees these
            rows: i32::try_from(section.rows).unwrap_or(0),
            seats_per_row: i32::try_from(section.seats_per_row).unwrap_or(0),
            price_minor: section.price,
        });
    }
    if seats > SEATS_PER_EVENT_MAX {
        mistakes.push(Mistake::new("/sections", format!("{seats} seats: at most {SEATS_PER_EVENT_MAX}")));
    }
    checked
}

/// The part of a seat's id that comes from its section's name; none when nothing of it can be written so.
fn slug(name: &str) -> Option<String> {
    let mut slug = String::new();
    for letter in name.chars() {
        if slug.len() >= SLUG_CHARS_MAX {
            break;
        }
        if letter.is_ascii_alphanumeric() {
            slug.push(letter.to_ascii_lowercase());
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    let slug = slug.trim_end_matches('-');
    (!slug.is_empty()).then(|| slug.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> NewEvent {
        NewEvent {
            name: "Hamlet".into(),
            venue: "Globe".into(),
            description: None,
            start_time: "2026-12-31T20:00".into(),
            time_zone: Some("Europe/London".into()),
            sales_start: None,
            sales_end: None,
            currency: "GBP".into(),
            sections: vec![NewSection { name: "Main Floor".into(), rows: 2, seats_per_row: 3, price: 4_500 }],
        }
    }

    #[test]
    fn a_good_event_has_none() {
        let checked = event().check().unwrap();
        assert_eq!(checked.seat_count(), 6);
        assert_eq!(checked.sections[0].slug, "main-floor");
    }

    #[test]
    fn every_mistake_is_named() {
        let section = |name: &str, rows, price| NewSection { name: name.into(), rows, seats_per_row: 10, price };
        let bad = NewEvent {
            name: " ".into(),
            time_zone: Some("Europe/Atlantis".into()),
            start_time: "soon".into(),
            sales_start: Some("2026-10-02T00:00:00Z".into()),
            sales_end: Some("2026-10-01T00:00:00Z".into()),
            currency: "EURO".into(),
            sections: vec![
                section("Main Floor", 0, 100),
                section("main  floor!", 1, 0),
                section("Balcony", SEATS_PER_EVENT_MAX, 1),
            ],
            ..event()
        };
        let mistakes = bad.check().unwrap_err();
        let pointers: Vec<&str> = mistakes.iter().map(|mistake| mistake.pointer.as_str()).collect();
        assert_eq!(
            pointers,
            [
                "/name",
                "/timeZone",
                "/startTime",
                "/salesEnd",
                "/currency",
                "/sections/0/rows",
                "/sections/1/price",
                "/sections/1/name",
                "/sections",
            ]
        );
        let none = NewEvent { sections: Vec::new(), ..event() };
        assert_eq!(none.check().unwrap_err()[0].pointer, "/sections");
    }

    #[test]
    fn the_largest_venue_is_accepted_and_one_seat_more_is_not() {
        let with = |rows| NewEvent {
            sections: vec![NewSection { name: "Field".into(), rows, seats_per_row: 100, price: 1 }],
            ..event()
        };
        assert_eq!(i64::from(with(2_000).check().unwrap().seat_count()), SEATS_PER_EVENT_MAX);
        assert!(with(2_001).check().is_err());
        assert!(with(i64::MAX).check().is_err());
    }

    #[test]
    fn the_sale_is_in_the_venue_s_time() {
        let night = NewEvent {
            sales_start: Some("2026-10-25T01:30".into()),
            sales_end: Some("2026-10-25T01:30:00Z".into()),
            ..event()
        };
        let checked = night.check().unwrap();
        assert_eq!(checked.sales_start, Some("2026-10-25T00:30:00Z".parse().unwrap()));
    }

    #[test]
    fn slugs() {
        assert_eq!(slug("Stalls").as_deref(), Some("stalls"));
        assert_eq!(slug("  Loge 2 (left) ").as_deref(), Some("loge-2-left"));
        assert_eq!(slug("桟敷"), None);
        assert_eq!(slug(&"x".repeat(300)).map(|slug| slug.len()), Some(SLUG_CHARS_MAX));
    }
}
