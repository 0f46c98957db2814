//! The catalogue.

use crate::{
    auth::{Address, Caller},
    cached, page,
    problem::{Problem, kinds},
    query::{StrictPath, StrictQuery},
    state::ApiState,
    strict_json::StrictJson,
    wire::{self, Amount, Time},
};
use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use chrono::{DateTime, NaiveDate, Utc};
use orchestrator::catalog::Author;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use workflows::{
    events::{self, CreateEventError, EventFilter, ListError, NewEvent, NewSection},
    ids::EventId,
    money::{Money, currency_from_code},
};

/// How long a catalogue answer may be kept.
const CACHE_CONTROL: &str = "public, max-age=30";
/// The name of this list in cursors.
const LIST: &str = "events";

/// An event to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({"name": "Nabucco", "venue": "Arena", "startTime": "2026-12-31T20:00",
    "timeZone": "Europe/Rome", "currency": "EUR",
    "sections": [{"name": "Parterre", "rows": 10, "seatsPerRow": 20, "price": 4500}]}))]
pub(crate) struct CreateEvent {
    name: String,
    venue: String,
    description: Option<String>,
    /// RFC 3339 with any offset, or local in `timeZone`.
    start_time: String,
    /// An IANA time zone; UTC when it is left out.
    time_zone: Option<String>,
    sales_start: Option<String>,
    sales_end: Option<String>,
    /// ISO 4217.
    currency: String,
    sections: Vec<CreateSection>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct CreateSection {
    name: String,
    rows: i64,
    seats_per_row: i64,
    /// Minor units of the event's currency.
    price: i64,
}

impl From<CreateEvent> for NewEvent {
    fn from(event: CreateEvent) -> Self {
        let section = |section: CreateSection| NewSection {
            name: section.name,
            rows: section.rows,
            seats_per_row: section.seats_per_row,
            price: section.price,
        };
        Self {
            name: event.name,
            venue: event.venue,
            description: event.description,
            start_time: event.start_time,
            time_zone: event.time_zone,
            sales_start: event.sales_start,
            sales_end: event.sales_end,
            currency: event.currency,
            sections: event.sections.into_iter().map(section).collect(),
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EventCreated {
    #[schema(value_type = String)]
    event_id: EventId,
    seat_count: i32,
}

/// Makes an event with all its seats.
#[utoipa::path(post, path = "/events", tag = "booking", operation_id = "createEvent", request_body = CreateEvent,
    responses((status = 201, body = EventCreated)))]
pub(crate) async fn create(
    State(state): State<ApiState>,
    Caller(caller): Caller,
    Address(address): Address,
    StrictJson(body): StrictJson<CreateEvent>,
) -> Result<Response, Problem> {
    let by = Author { name: &caller.name, address: Some(address) };
    let created = events::create(state.engine.pool(), &body.into(), by).await.map_err(|error| match error {
        CreateEventError::Invalid(mistakes) => {
            Problem::mistakes(&kinds::INVALID_EVENT, &mistakes, |one| (&one.pointer, &one.message))
        }
        CreateEventError::Database(error) => error.into(),
    })?;
    let location = [(header::LOCATION, format!("/events/{}", created.event_id))];
    let body = EventCreated { event_id: created.event_id, seat_count: created.seat_count };
    Ok((StatusCode::CREATED, location, Json(body)).into_response())
}

/// An event.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Event {
    #[schema(value_type = String)]
    event_id: EventId,
    name: String,
    venue: String,
    description: String,
    start_time: Time,
    time_zone: String,
    sales_start: Option<Time>,
    sales_end: Option<Time>,
    currency: String,
    seat_count: i32,
    sections: Vec<Section>,
}

/// A part of a venue whose seats have one price.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Section {
    name: String,
    rows: i32,
    seats_per_row: i32,
    price: Amount,
}

impl TryFrom<events::Event> for Event {
    type Error = Problem;
    fn try_from(event: events::Event) -> Result<Self, Problem> {
        let currency = currency_from_code(&event.currency).map_err(Problem::internal)?;
        let section = |section: events::Section| Section {
            name: section.name,
            rows: section.rows,
            seats_per_row: section.seats_per_row,
            price: Money::new(section.price_minor, currency).into(),
        };
        Ok(Self {
            event_id: event.event_id,
            name: event.name,
            venue: event.venue,
            description: event.description,
            start_time: event.start_time.into(),
            time_zone: event.time_zone,
            sales_start: event.sales_start.map(Time),
            sales_end: event.sales_end.map(Time),
            currency: event.currency,
            seat_count: event.seat_count,
            sections: event.sections.into_iter().map(section).collect(),
        })
    }
}

/// Which events.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct EventsQuery {
    /// The day at the venue.
    #[serde(default, deserialize_with = "wire::date")]
    date: Option<NaiveDate>,
    /// Words of name, venue or description; typing errors are forgiven.
    q: Option<String>,
    /// A part of the venue's name.
    venue: Option<String>,
    /// Begins then or later.
    #[serde(default, deserialize_with = "wire::time")]
    from: Option<DateTime<Utc>>,
    /// Begins before.
    #[serde(default, deserialize_with = "wire::time")]
    to: Option<DateTime<Utc>>,
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
    cursor: Option<String>,
}

/// Looks through the catalogue, soonest first.
#[utoipa::path(get, path = "/events", tag = "booking", operation_id = "listEvents", params(EventsQuery),
    responses((status = 200, body = page::Page<Event>), (status = 304, description = "As named by If-None-Match")))]
pub(crate) async fn list(
    State(state): State<ApiState>,
    StrictQuery(query): StrictQuery<EventsQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let limit = usize::try_from(page::limit(query.limit)?).map_err(Problem::internal)?;
    let cursor: Option<String> = page::decode(LIST, query.cursor.as_deref())?;
    let filter = EventFilter { date: query.date, q: query.q, venue: query.venue, from: query.from, to: query.to };
    let found = events::list(state.engine.pool(), &filter, limit, cursor.as_deref()).await;
    let found = found.map_err(|error| match error {
        ListError::Cursor => Problem::new(&kinds::INVALID_CURSOR, "Use the `next` of an earlier answer."),
        ListError::Database(error) => error.into(),
    })?;
    let version = found.version;
    let items = found.items.into_iter().map(Event::try_from).collect::<Result<Vec<_>, _>>()?;
    let next = found.next.map(|next| page::encode(LIST, &next));
    cached::answer_if_new(&headers, CACHE_CONTROL, &version, &page::Page { items, next })
}

/// One event.
#[utoipa::path(get, path = "/events/{id}", tag = "booking", operation_id = "getEvent",
    params(("id" = String, Path)),
    responses((status = 200, body = Event), (status = 304, description = "As named by If-None-Match")))]
pub(crate) async fn show(
    State(state): State<ApiState>,
    StrictPath(id): StrictPath<EventId>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let event = events::get(state.engine.pool(), id).await?.ok_or_else(|| Problem::not_found("event"))?;
    let version = event.version.clone();
    cached::answer_if_new(&headers, CACHE_CONTROL, &version, &Event::try_from(event)?)
}
