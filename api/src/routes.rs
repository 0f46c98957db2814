//! The list of routes: who may use each, and what can be wrong with it. The address, the method and the shapes
//! stand at the handler.

use crate::{
    audit,
    auth::Access,
    batches,
    booking::{
        cancel, capture, events, orders, place, reservations, reserve, seats, ticket_keys, ticket_revocations, tickets,
        webhooks,
    },
    cases, definitions,
    finance::{approvals, ask, ledger, refunds, replay, replays},
    gateways, machines, outbox,
    problem::kinds::{self, Kind},
    sagas::{acts, follow, follow_all, list, show, start},
    settlements,
    state::ApiState,
};
use axum::routing::MethodRouter;
use utoipa::openapi::{Paths, RefOr, schema::Schema};
use utoipa_axum::{router::UtoipaMethodRouter, routes};
use workflows::access::Role;

const OPEN: Access = Access::Open;
const ADMIN: Access = Access::Roles(&[Role::Admin]);
const CLIENT: Access = Access::Roles(&[Role::Client]);
const VIEWER: Access = Access::Roles(&[Role::Viewer]);
const OPERATOR: Access = Access::Roles(&[Role::Operator]);
const FINANCE: Access = Access::Roles(&[Role::Finance]);
/// Who may consent to what others ask for and hold batches up (which of them, the act says), and looks after what could not
/// be delivered.
const OPERATOR_OR_FINANCE: Access = Access::Roles(&[Role::Operator, Role::Finance]);
/// Who may start sagas, and check tickets.
pub(crate) const CLIENT_OR_OPERATOR: Access = Access::Roles(&[Role::Client, Role::Operator]);

/// One route.
pub(crate) struct Route {
    /// Who may use it.
    pub(crate) access: Access,
    /// What can be wrong with a request beside what can be wrong with any.
    pub(crate) problems: &'static [&'static Kind],
    /// Its address and method, with what its handler says about it.
    pub(crate) paths: Paths,
    pub(crate) schemas: Vec<(String, RefOr<Schema>)>,
    pub(crate) handler: MethodRouter<ApiState>,
}

fn route(access: Access, handler: UtoipaMethodRouter<ApiState>, problems: &'static [&'static Kind]) -> Route {
    let (schemas, paths, handler) = handler;
    Route { access, problems, paths, schemas, handler }
}

/// Every route there is.
pub(crate) fn all() -> Vec<Route> {
    [booking(), sagas(), cases(), batches(), definitions(), gateways(), finance(), settlements(), outbox(), machines()]
        .into_iter()
        .flatten()
        .collect()
}

fn booking() -> Vec<Route> {
    vec![
        route(ADMIN, routes!(events::create), &[&kinds::INVALID_EVENT]),
        route(CLIENT, routes!(events::list), &[&kinds::INVALID_CURSOR]),
        route(CLIENT, routes!(events::show), &[&kinds::NOT_FOUND]),
        route(CLIENT, routes!(seats::list), &[&kinds::NOT_FOUND]),
        route(
            CLIENT,
            routes!(reserve::reserve),
            &[&kinds::NOT_FOUND, &kinds::SEATS_UNAVAILABLE, &kinds::NOT_ON_SALE, &kinds::ORDER_EXISTS],
        ),
        route(CLIENT, routes!(reservations::release), &[&kinds::NOT_FOUND, &kinds::ORDER_EXISTS]),
        route(
            CLIENT,
            routes!(place::place),
            &[&kinds::NOT_FOUND, &kinds::ORDER_EXISTS, &kinds::HOLD_EXPIRED, &kinds::IDEMPOTENCY_CONFLICT],
        ),
        route(CLIENT, routes!(orders::list), &[&kinds::INVALID_CURSOR]),
        route(CLIENT, routes!(orders::show), &[&kinds::NOT_FOUND]),
        route(OPEN, routes!(capture::capture), &[&kinds::INVALID_SIGNATURE, &kinds::NOT_FOUND]),
        route(OPEN, routes!(webhooks::receive), &[&kinds::INVALID_SIGNATURE, &kinds::NOT_FOUND]),
        route(
            CLIENT,
            routes!(cancel::cancel),
            &[&kinds::NOT_FOUND, &kinds::NOT_CANCELLABLE, &kinds::IDEMPOTENCY_CONFLICT],
        ),
        route(CLIENT, routes!(tickets::show), &[&kinds::NOT_FOUND]),
        route(CLIENT, routes!(tickets::pdf), &[&kinds::NOT_FOUND, &kinds::TICKET_REVOKED]),
        route(CLIENT_OR_OPERATOR, routes!(tickets::verify), &[]),
    ]
}

fn sagas() -> Vec<Route> {
    const ACT: &[&Kind] = &[&kinds::NOT_FOUND, &kinds::MOVED_ON, &kinds::NOT_ALLOWED];
    const GIVEN: &[&Kind] = &[&kinds::NOT_FOUND, &kinds::MOVED_ON, &kinds::NOT_ALLOWED, &kinds::INVALID_INPUT];
    vec![
        route(
            CLIENT_OR_OPERATOR,
            routes!(start::start),
            &[&kinds::INVALID_INPUT, &kinds::UNKNOWN_DEFINITION, &kinds::NOT_BY_HAND, &kinds::IDEMPOTENCY_CONFLICT],
        ),
        route(VIEWER, routes!(list::list), &[&kinds::INVALID_CURSOR]),
        route(VIEWER, routes!(show::show), &[&kinds::NOT_FOUND]),
        route(VIEWER, routes!(show::why), &[&kinds::NOT_FOUND]),
        route(VIEWER, routes!(follow::follow), &[&kinds::NOT_FOUND]),
        route(VIEWER, routes!(follow_all::follow_all), &[&kinds::INVALID_CURSOR]),
        route(OPERATOR, routes!(acts::retry), ACT),
        route(OPERATOR, routes!(acts::cancel), ACT),
        route(OPERATOR, routes!(acts::kill), ACT),
        route(OPERATOR, routes!(acts::signal), ACT),
        route(OPERATOR, routes!(acts::probe), ACT),
        route(OPERATOR, routes!(acts::pause), ACT),
        route(OPERATOR, routes!(acts::resume), ACT),
        route(OPERATOR, routes!(acts::skip), GIVEN),
        route(OPERATOR, routes!(acts::complete), GIVEN),
        route(OPERATOR, routes!(acts::edit_input), GIVEN),
        route(OPERATOR, routes!(acts::fork), GIVEN),
        route(VIEWER, routes!(audit::list), &[&kinds::INVALID_CURSOR]),
    ]
}

fn cases() -> Vec<Route> {
    vec![route(VIEWER, routes!(cases::list), &[]), route(VIEWER, routes!(cases::show), &[&kinds::NOT_FOUND])]
}

fn batches() -> Vec<Route> {
    const CHANGE: &[&Kind] = &[&kinds::NOT_FOUND, &kinds::NOT_ALLOWED];
    vec![
        route(OPERATOR, routes!(batches::create), CHANGE),
        route(VIEWER, routes!(batches::list), &[&kinds::INVALID_CURSOR]),
        route(VIEWER, routes!(batches::show), &[&kinds::NOT_FOUND, &kinds::INVALID_CURSOR]),
        route(OPERATOR_OR_FINANCE, routes!(batches::pause), CHANGE),
        route(OPERATOR_OR_FINANCE, routes!(batches::resume), CHANGE),
        route(OPERATOR_OR_FINANCE, routes!(batches::abort), CHANGE),
    ]
}

fn definitions() -> Vec<Route> {
    vec![
        route(VIEWER, routes!(definitions::list), &[&kinds::INVALID_CURSOR]),
        route(VIEWER, routes!(definitions::show), &[&kinds::NOT_FOUND]),
        route(VIEWER, routes!(definitions::show_version), &[&kinds::NOT_FOUND]),
        route(VIEWER, routes!(definitions::diff::diff), &[&kinds::NOT_FOUND]),
        route(OPERATOR, routes!(definitions::mock_run::run), &[&kinds::NOT_FOUND, &kinds::INVALID_INPUT]),
        route(OPERATOR, routes!(definitions::put), &[&kinds::INVALID_DEFINITION]),
        route(OPERATOR, routes!(definitions::activate), &[&kinds::NOT_FOUND]),
    ]
}

fn gateways() -> Vec<Route> {
    vec![
        route(VIEWER, routes!(gateways::list), &[]),
        route(OPERATOR, routes!(gateways::set_breaker), &[&kinds::NOT_FOUND]),
        route(OPERATOR, routes!(gateways::set_order), &[]),
    ]
}

fn finance() -> Vec<Route> {
    const DECISION: &[&Kind] = &[&kinds::NOT_FOUND, &kinds::FOUR_EYES, &kinds::APPROVAL_VOID, &kinds::ALREADY_DECIDED];
    vec![
        route(
            FINANCE,
            routes!(ask::ask),
            &[&kinds::NOT_FOUND, &kinds::EXCEEDS_CAPTURED, &kinds::NOT_REFUNDABLE, &kinds::IDEMPOTENCY_CONFLICT],
        ),
        route(FINANCE, routes!(refunds::list), &[&kinds::INVALID_CURSOR]),
        route(FINANCE, routes!(refunds::show), &[&kinds::NOT_FOUND]),
        route(FINANCE, routes!(refunds::approve), DECISION),
        route(FINANCE, routes!(refunds::reject), DECISION),
        route(
            FINANCE,
            routes!(replay::replay),
            &[&kinds::NOT_FOUND, &kinds::ALREADY_REFUNDED, &kinds::REFUND_UNDER_WAY, &kinds::NOT_REFUNDABLE],
        ),
        route(FINANCE, routes!(replays::create), &[&kinds::NOT_FOUND, &kinds::NOT_ALLOWED, &kinds::INVALID_REPLAYS]),
        route(VIEWER, routes!(approvals::list), &[&kinds::INVALID_CURSOR]),
        route(OPERATOR_OR_FINANCE, routes!(approvals::approve), DECISION),
        route(OPERATOR_OR_FINANCE, routes!(approvals::reject), DECISION),
        route(FINANCE, routes!(ledger::accounts), &[&kinds::INVALID_CURSOR]),
        route(FINANCE, routes!(ledger::postings), &[&kinds::INVALID_CURSOR]),
    ]
}

fn outbox() -> Vec<Route> {
    vec![
        route(OPERATOR_OR_FINANCE, routes!(outbox::list), &[&kinds::INVALID_CURSOR]),
        route(OPERATOR_OR_FINANCE, routes!(outbox::retry), &[&kinds::NOT_FOUND]),
    ]
}

fn settlements() -> Vec<Route> {
    vec![
        route(FINANCE, routes!(settlements::import), &[&kinds::NOT_FOUND, &kinds::INVALID_SETTLEMENT]),
        route(FINANCE, routes!(settlements::show), &[&kinds::NOT_FOUND, &kinds::INVALID_CURSOR]),
        route(FINANCE, routes!(settlements::act_on_line), &[&kinds::NOT_FOUND, &kinds::NOT_ALLOWED]),
        route(FINANCE, routes!(settlements::close_day), &[&kinds::NOT_ALLOWED]),
        route(FINANCE, routes!(settlements::show_day), &[]),
    ]
}

fn machines() -> Vec<Route> {
    vec![
        route(OPEN, routes!(machines::healthz), &[]),
        route(OPEN, routes!(machines::readyz), &[]),
        route(OPEN, routes!(machines::metrics), &[]),
        route(OPEN, routes!(machines::openapi), &[]),
        route(OPEN, routes!(machines::problem), &[&kinds::NOT_FOUND]),
        route(OPEN, routes!(ticket_keys::list), &[]),
        route(OPEN, routes!(ticket_revocations::list), &[&kinds::NOT_FOUND, &kinds::INVALID_CURSOR]),
    ]
}
