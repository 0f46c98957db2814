//! Payment gateways as operators see them: what keeps calls away from each, and for how long.

use crate::{
    auth::{Address, Caller},
    problem::Problem,
    query::StrictPath,
    state::ApiState,
    strict_json::StrictJson,
    text,
    wire::{self, Time},
};
use axum::{Json, extract::State};
use chrono::{DateTime, Utc};
use orchestrator::catalog::Author;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;
use workflows::{
    breakers::{
        Operation,
        modes::{self, Forced, Mode, ModeChange, ModeError},
        parked_reason,
    },
    gateways::Gateway,
    payments::{OrderChange, OrderError},
};

/// All gateways.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct GatewaysShown {
    /// In order of preference.
    items: Vec<GatewayShown>,
}

/// A gateway.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct GatewayShown {
    name: String,
    protocol: &'static str,
    /// Whether what is said of its breakers is what all processes know. Without Redis it is what this one knows.
    shared: bool,
    operations: Vec<OperationShown>,
}

/// What keeps calls for one operation away.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OperationShown {
    /// `charge`, `refund`, `void`, `probe`.
    operation: &'static str,
    /// `closed`, `open`, `halfOpen`: what holds, whoever has decided it.
    breaker: &'static str,
    /// `auto`, or what a person has decided: `open`, `closed`.
    mode: &'static str,
    /// Since when the breaker stands so.
    since: Time,
    /// When it is its own again.
    until: Option<Time>,
    /// Why a person has decided so; null where it is kept from the caller.
    reason: Option<String>,
    /// Who.
    by: Option<String>,
    /// How many sagas wait for it. Of `probe` it is not known.
    parked: Option<i64>,
    /// How many calls ended lately.
    calls: u32,
    /// How many of them failed, by `timeout`, `noConnection`, `connectionLost`, `serverError`, `unreadable`,
    /// `rateLimited`.
    errors: BTreeMap<String, u32>,
    /// The reason and the person are left out.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    redacted: bool,
}

/// What a person wants of a gateway's breakers.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"mode": "open", "operation": "charge", "until": "2026-12-31T19:00:00Z", "reason": "they told us"}))]
pub(crate) struct BreakerBody {
    mode: ModeWanted,
    /// Without one, all.
    operation: Option<OperationWanted>,
    /// Until when. Without it, until somebody says otherwise.
    #[serde(default, deserialize_with = "wire::time")]
    until: Option<DateTime<Utc>>,
    /// Why, in the person's words.
    reason: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
enum ModeWanted {
    /// The breaker decides itself.
    Auto,
    /// No call is made.
    Open,
    /// All calls are made.
    Closed,
}

#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
enum OperationWanted {
    Charge,
    Refund,
    Void,
    Probe,
}

impl From<ModeWanted> for Mode {
    fn from(wanted: ModeWanted) -> Self {
        match wanted {
            ModeWanted::Auto => Self::Auto,
            ModeWanted::Open => Self::Open,
            ModeWanted::Closed => Self::Closed,
        }
    }
}

impl From<OperationWanted> for Operation {
    fn from(wanted: OperationWanted) -> Self {
        match wanted {
            OperationWanted::Charge => Self::Charge,
            OperationWanted::Refund => Self::Refund,
            OperationWanted::Void => Self::Void,
            OperationWanted::Probe => Self::Probe,
        }
    }
}

/// In which order gateways are to be asked.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"names": ["backup", "primary"], "reason": "cheaper this month"}))]
pub(crate) struct OrderBody {
    /// All gateways, each once; the first is asked first.
    names: Vec<String>,
    /// Why, in the person's words.
    reason: String,
}

/// All gateways, with what keeps calls away from them.
#[utoipa::path(get, path = "/gateways", tag = "gateways", operation_id = "listGateways",
    responses((status = 200, body = GatewaysShown)))]
pub(crate) async fn list(State(state): State<ApiState>, caller: Caller) -> Result<Json<GatewaysShown>, Problem> {
    show(&state, &caller).await
}

/// Opens or closes a gateway's breakers whatever the gateway does, or leaves them to themselves. Every process keeps to
/// it within about a second.
#[utoipa::path(post, path = "/gateways/{name}/breaker", tag = "gateways", operation_id = "setBreaker",
    params(("name" = String, Path)), request_body = BreakerBody, responses((status = 200, body = GatewaysShown)))]
pub(crate) async fn set_breaker(
    State(state): State<ApiState>,
    caller: Caller,
    Address(address): Address,
    StrictPath(name): StrictPath<String>,
    StrictJson(body): StrictJson<BreakerBody>,
) -> Result<Json<GatewaysShown>, Problem> {
    let reason = text::reason(&body.reason)?;
    if state.gateways.get(&name).is_none() {
        return Err(Problem::not_found("gateway"));
    }
    if body.mode == ModeWanted::Auto && body.until.is_some() {
        return Err(Problem::invalid_value("/until", "`auto` has no end"));
    }
    let wanted = ModeChange {
        gateway: &name,
        operation: body.operation.map(Operation::from),
        mode: body.mode.into(),
        until: body.until,
        reason,
        by: Author { name: &caller.0.name, address: Some(address) },
    };
    modes::change(state.engine.pool(), &wanted).await.map_err(|error| match error {
        ModeError::Over => Problem::invalid_value("/until", "must be in the future"),
        ModeError::Database(error) => error.into(),
    })?;
    show(&state, &caller).await
}

/// Changes the order in which gateways are asked. Every process keeps to it within about a second; a charge that has begun
/// stays where it is.
#[utoipa::path(put, path = "/gateways/order", tag = "gateways", operation_id = "setGatewayOrder",
    request_body = OrderBody, responses((status = 200, body = GatewaysShown)))]
pub(crate) async fn set_order(
    State(state): State<ApiState>,
    caller: Caller,
    Address(address): Address,
    StrictJson(body): StrictJson<OrderBody>,
) -> Result<Json<GatewaysShown>, Problem> {
    let by = Author { name: &caller.0.name, address: Some(address) };
    let wanted = OrderChange { names: &body.names, reason: text::reason(&body.reason)?, by };
    state.gateways.change_order(state.engine.pool(), &wanted).await.map_err(|error| match error {
        OrderError::NoOrder(mistake) => Problem::invalid_value("/names", mistake.to_string()),
        OrderError::Database(error) => error.into(),
    })?;
    show(&state, &caller).await
}

async fn show(state: &ApiState, caller: &Caller) -> Result<Json<GatewaysShown>, Problem> {
    let pool = state.engine.pool();
    let forced = state.gateways.read_breaker_modes(pool).await?;
    state.gateways.read_order(pool).await?;
    let gateways = || state.gateways.iter().map(|configured| configured.gateway.as_ref());
    let waits = gateways().flat_map(|gateway| Operation::ALL.map(|operation| parked_reason(gateway.name(), operation)));
    let parked = modes::parked(pool, &waits.collect::<Vec<_>>()).await?;
    let items = gateways().map(|gateway| GatewayShown {
        name: gateway.name().to_owned(),
        protocol: gateway.protocol(),
        shared: gateway.breakers().is_some_and(|breakers| breakers.is_shared()),
        operations: Operation::ALL
            .into_iter()
            .filter_map(|operation| operation_shown(gateway, operation, &forced, &parked, caller.sees_redacted()))
            .collect(),
    });
    Ok(Json(GatewaysShown { items: items.collect() }))
}

fn operation_shown(
    gateway: &dyn Gateway,
    operation: Operation,
    forced: &[Forced],
    parked: &BTreeMap<String, i64>,
    redacted: bool,
) -> Option<OperationShown> {
    let standing = gateway.breakers()?.standing(operation);
    let forced = forced.iter().find(|forced| forced.gateway == gateway.name() && forced.operation == operation);
    let waiting = parked.get(&parked_reason(gateway.name(), operation)).copied().unwrap_or_default();
    let told = forced.filter(|_| !redacted);
    Some(OperationShown {
        operation: operation.as_str(),
        breaker: forced.map_or(standing.breaker, |forced| forced.mode.as_str()),
        mode: forced.map_or(Mode::Auto, |forced| forced.mode).as_str(),
        since: forced.map_or(standing.since, |forced| forced.since).into(),
        until: forced.and_then(|forced| forced.until).map(Time),
        reason: told.map(|forced| forced.reason.clone()),
        by: told.map(|forced| forced.by.clone()),
        parked: (operation != Operation::Probe).then_some(waiting),
        calls: standing.calls,
        errors: standing.errors,
        redacted: redacted && forced.is_some(),
    })
}
