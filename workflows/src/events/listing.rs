//! Looking through the catalogue: by the day at the venue, by words, by what is almost those words.
//!
//! Words are looked for exactly (from their beginning) first. Only when nothing has them are typing errors
//! forgiven, so that a good search has no noise.

use super::{Event, Section};
use crate::ids::EventId;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, NaiveDate, Utc};
use sha2::{Digest, Sha256};
use sqlx::{PgConnection, PgPool, types::Uuid};

/// Words of a search that count.
const WORDS_MAX: usize = 8;
/// Letters of a word that count.
const WORD_CHARS_MAX: usize = 40;
/// Shorter words are like too many others.
const FORGIVEN_CHARS_MIN: usize = 4;
/// How like a word must be, of 1: low enough for two letters that changed places in a word of six.
const LIKENESS_MIN: &str = "0.4";

/// What of the catalogue is wanted. All that is given must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// The day it is at the venue.
    pub date: Option<NaiveDate>,
    /// Words in name, venue or description.
    pub q: Option<String>,
    /// A part of the venue's name, in any case.
    pub venue: Option<String>,
    /// Begins then or later.
    pub from: Option<DateTime<Utc>>,
    /// Begins before then.
    pub to: Option<DateTime<Utc>>,
}

/// A part of the catalogue, soonest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventPage {
    /// The events.
    pub items: Vec<Event>,
    /// What to ask for what follows with.
    pub next: Option<String>,
    /// Changes when the answer does; for an entity tag.
    pub version: String,
}

/// Why the catalogue could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// The cursor is not one of ours.
    #[error("this cursor is not one that a list has given")]
    Cursor,
    /// The database failed.
    #[error("the catalogue could not be read")]
    Database(#[from] sqlx::Error),
}

/// A page of the catalogue.
///
/// # Errors
/// [`ListError`].
pub async fn list(
    pool: &PgPool,
    filter: &EventFilter,
    limit: usize,
    cursor: Option<&str>,
) -> Result<EventPage, ListError> {
    let after = cursor.map(|text| Place::read(text).ok_or(ListError::Cursor)).transpose()?;
    let one_more = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
    let mut forgiving = after.as_ref().is_some_and(|place| place.forgiving);
    let mut found = match (&filter.q, forgiving) {
        (None, _) => any(pool, filter, after.as_ref(), one_more).await?,
        (Some(q), false) => with_words(pool, q, filter, after.as_ref(), one_more).await?,
        (Some(q), true) => almost_with_words(pool, q, filter, after.as_ref(), one_more).await?,
    };
    if let (Some(q), true, None) = (&filter.q, found.is_empty(), &after) {
        forgiving = true;
        found = almost_with_words(pool, q, filter, None, one_more).await?;
    }
    let more = found.len() > limit;
    found.truncate(limit);
    let items = with_ids(pool, &found).await?;
    let next = items.last().filter(|_| more).map(|last| Place::at(last, forgiving).write());
    let mut digest = Sha256::new();
    for event in &items {
        digest.update(&event.version);
    }
    digest.update(next.as_deref().unwrap_or_default());
    let version = hex::encode(&digest.finalize()[..16]);
    Ok(EventPage { items, next, version })
}

/// Where a page ended.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    start_time: DateTime<Utc>,
    event_id: Uuid,
    forgiving: bool,
}

impl Place {
    fn at(event: &Event, forgiving: bool) -> Self {
        Self { start_time: event.start_time, event_id: event.event_id.0, forgiving }
    }

    fn write(&self) -> String {
        let mode = if self.forgiving { 'f' } else { 'e' };
        let text = format!("{mode}{}.{}", self.start_time.timestamp_micros(), self.event_id.simple());
        URL_SAFE_NO_PAD.encode(text)
    }

    fn read(cursor: &str) -> Option<Self> {
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?;
        let forgiving = match text.chars().next()? {
            'f' => true,
            'e' => false,
            _ => return None,
        };
        let (micros, event_id) = text[1..].split_once('.')?;
        Some(Self {
            start_time: DateTime::from_timestamp_micros(micros.parse().ok()?)?,
            event_id: Uuid::try_parse(event_id).ok()?,
            forgiving,
        })
    }
}

// Three statements, and not one whose conditions fall away where they are null: connections plan a statement once for
// all values, and a condition that may fall away finds nothing by its index.

async fn any(pool: &PgPool, filter: &EventFilter, after: Option<&Place>, limit: i64) -> Result<Vec<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        "select event_id from booking.events
         where ($1::date is null or local_date = $1)
             and ($2::text is null or position(lower($2) in lower(venue)) > 0)
             and ($3::timestamptz is null or start_time >= $3)
             and ($4::timestamptz is null or start_time < $4)
             and ($5::timestamptz is null or (start_time, event_id) > ($5, $6::uuid))
         order by start_time, event_id
         limit $7",
        filter.date,
        filter.venue,
        filter.from,
        filter.to,
        after.map(|place| place.start_time),
        after.map(|place| place.event_id),
        limit,
    )
    .fetch_all(pool)
    .await
}

async fn with_words(
    pool: &PgPool,
    q: &str,
    filter: &EventFilter,
    after: Option<&Place>,
    limit: i64,
) -> Result<Vec<Uuid>, sqlx::Error> {
    let beginnings: Vec<String> = words(q).into_iter().map(|word| format!("{word}:*")).collect();
    if beginnings.is_empty() {
        return Ok(Vec::new());
    }
    sqlx::query_scalar!(
        "select event_id from booking.events
         where search_words @@ to_tsquery('simple', $8)
             and ($1::date is null or local_date = $1)
             and ($2::text is null or position(lower($2) in lower(venue)) > 0)
             and ($3::timestamptz is null or start_time >= $3)
             and ($4::timestamptz is null or start_time < $4)
             and ($5::timestamptz is null or (start_time, event_id) > ($5, $6::uuid))
         order by start_time, event_id
         limit $7",
        filter.date,
        filter.venue,
        filter.from,
        filter.to,
        after.map(|place| place.start_time),
        after.map(|place| place.event_id),
        limit,
        beginnings.join(" & "),
    )
    .fetch_all(pool)
    .await
}

/// In a task of its own, because it opens a transaction: the likeness is a setting of one.
async fn almost_with_words(
    pool: &PgPool,
    q: &str,
    filter: &EventFilter,
    after: Option<&Place>,
    limit: i64,
) -> Result<Vec<Uuid>, sqlx::Error> {
    let words: Vec<String> = words(q).into_iter().filter(|word| word.chars().count() >= FORGIVEN_CHARS_MIN).collect();
    // the longest finds candidates by the index, then all of them must be there
    let Some(longest) = words.iter().max_by_key(|word| word.chars().count()).cloned() else {
        return Ok(Vec::new());
    };
    let (pool, filter, after) = (pool.clone(), filter.clone(), after.cloned());
    let read = async move {
        let mut tx = pool.begin().await?;
        let found = almost_in_tx(&mut tx, (&longest, &words), &filter, after.as_ref(), limit).await?;
        tx.commit().await?;
        Ok(found)
    };
    crate::spawned::run(read).await
}

async fn almost_in_tx(
    tx: &mut PgConnection,
    (longest, words): (&str, &[String]),
    filter: &EventFilter,
    after: Option<&Place>,
    limit: i64,
) -> Result<Vec<Uuid>, sqlx::Error> {
    sqlx::query!("select set_config('pg_trgm.word_similarity_threshold', $1, true)", LIKENESS_MIN)
        .fetch_one(&mut *tx)
        .await?;
    sqlx::query_scalar!(
        "select event_id from booking.events
         where $8::text <% search_text
             and (select bool_and(word <% search_text) from unnest($9::text[]) as word)
             and ($1::date is null or local_date = $1)
             and ($2::text is null or position(lower($2) in lower(venue)) > 0)
             and ($3::timestamptz is null or start_time >= $3)
             and ($4::timestamptz is null or start_time < $4)
             and ($5::timestamptz is null or (start_time, event_id) > ($5, $6::uuid))
         order by start_time, event_id
         limit $7",
        filter.date,
        filter.venue,
        filter.from,
        filter.to,
        after.map(|place| place.start_time),
        after.map(|place| place.event_id),
        limit,
        longest,
        words,
    )
    .fetch_all(tx)
    .await
}

/// The words of a search: letters and digits alone, so that nothing of it is an operator.
fn words(q: &str) -> Vec<String> {
    q.split(|letter: char| !letter.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .take(WORDS_MAX)
        .map(|word| word.chars().take(WORD_CHARS_MAX).collect::<String>().to_lowercase())
        .collect()
}

/// Events with their sections, soonest first.
pub(super) async fn with_ids(pool: &PgPool, ids: &[Uuid]) -> Result<Vec<Event>, sqlx::Error> {
    let rows = sqlx::query!(
        "select event_id, name, venue, description, start_time, time_zone, sales_start, sales_end, currency,
             seat_count, updated_at
         from booking.events where event_id = any($1)
         order by start_time, event_id",
        ids,
    )
    .fetch_all(pool)
    .await?;
    let sections = sqlx::query!(
        "select event_id, name, row_count, seats_per_row, price_minor
         from booking.sections where event_id = any($1)
         order by event_id, position",
        ids,
    )
    .fetch_all(pool)
    .await?;
    let sections_of = |event_id: Uuid| {
        let own = sections.iter().filter(|section| section.event_id == event_id);
        own.map(|section| Section {
            name: section.name.clone(),
            rows: section.row_count,
            seats_per_row: section.seats_per_row,
            price_minor: section.price_minor,
        })
        .collect()
    };
    Ok(rows
        .into_iter()
        .map(|row| Event {
            sections: sections_of(row.event_id),
            version: format!("{}-{}", row.event_id.simple(), row.updated_at.timestamp_micros()),
            event_id: EventId(row.event_id),
            name: row.name,
            venue: row.venue,
            description: row.description,
            start_time: row.start_time,
            time_zone: row.time_zone,
            sales_start: row.sales_start,
            sales_end: row.sales_end,
            currency: row.currency,
            seat_count: row.seat_count,
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_letters_and_digits() {
        assert_eq!(words("Rock & Roll: 'Élan' | (2026)"), ["rock", "roll", "élan", "2026"]);
        assert_eq!(words("&|!:*()'"), Vec::<String>::new());
        assert_eq!(words(&"a ".repeat(100)).len(), WORDS_MAX);
    }

    #[test]
    fn a_cursor_comes_back_as_it_went_and_others_are_refused() {
        let place = Place {
            start_time: "2026-12-31T20:00:00.123456Z".parse().unwrap(),
            event_id: Uuid::from_u128(7),
            forgiving: true,
        };
        assert_eq!(Place::read(&place.write()), Some(place));
        for bad in ["", "x", "ZTE", "äö", &URL_SAFE_NO_PAD.encode("é1.2")] {
            assert_eq!(Place::read(bad), None, "{bad}");
        }
    }
}
