//! Puts routes, guards and what is around them together, and serves them.

use crate::{
    auth,
    problem::{Problem, kinds},
    request, routes,
    state::ApiState,
    tls::Tls,
};
use axum::{
    Router,
    extract::{Request, State},
    http::{Method, StatusCode},
    middleware::{from_fn_with_state, map_response},
    response::{IntoResponse, Response},
};
use axum_server::{Handle, accept::NoDelayAcceptor};
use std::{io, net::SocketAddr, time::Duration};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use utoipa_swagger_ui::{Config, SwaggerUi};

/// How often a client with an open HTTP/2 connection is asked whether it is still there.
const PING_EVERY: Duration = Duration::from_secs(30);
/// How long it may take to say so.
const PONG_WITHIN: Duration = Duration::from_secs(10);

/// Everything under one roof.
pub fn router(state: ApiState) -> Router {
    let mut router = Router::new();
    for route in routes::all() {
        let guard = from_fn_with_state((route.access, state.clone()), auth::guard);
        let handler = route.handler.route_layer(guard);
        for path in route.paths.paths.keys() {
            router = router.route(path, handler.clone());
        }
    }
    let docs: Router<ApiState> = SwaggerUi::new("/docs").config(Config::from("/openapi.json")).into();
    router
        .merge(docs.layer(map_response(as_problem)))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(from_fn_with_state(state.clone(), request::around))
        .with_state(state)
}

/// Serves until `shutdown`; then what has begun is answered, and nothing new is taken. A client that does not take
/// its answer in the time that a request may have is left alone, and so is one that does not say what it wants.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Tls>,
    state: ApiState,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let (draining, answered_within) = (state.draining.clone(), state.request_timeout);
    let handle = Handle::new();
    let mut server = axum_server::from_tcp(listener.into_std()?)?
        .handle(handle.clone())
        .first_request_timeout(state.first_request_within)
        .accept_error_handler(not_accepted);
    server.http_builder().http1().header_read_timeout(state.next_request_within);
    server.http_builder().http2().keep_alive_interval(PING_EVERY).keep_alive_timeout(PONG_WITHIN);

    let service = router(state).into_make_service_with_connect_info::<SocketAddr>();
    let serving = async {
        match tls {
            Some(tls) => server.acceptor(tls.acceptor()).serve(service).await,
            None => server.acceptor(NoDelayAcceptor).serve(service).await,
        }
    };
    tokio::pin!(serving);
    tokio::select! {
        ended = &mut serving => return ended,
        () = shutdown.cancelled() => {}
    }
    // Waiting answers end when the process drains.
    draining.cancel();
    handle.graceful_shutdown(Some(answered_within));
    serving.await?;
    if handle.connection_count() > 0 {
        tracing::warn!("Some clients have not taken their answers; they are not waited for");
    }
    Ok(())
}

/// A handshake that failed is the client's affair; a listener that fails is ours.
fn not_accepted(client: Option<&SocketAddr>, error: &io::Error) {
    match client {
        Some(_) => tracing::debug!(error = %error, "A connection was not accepted: {error}"),
        None => tracing::warn!(error = %error, "No connection can be accepted: {error}"),
    }
}

/// Nothing is here. Whoever looks for addresses without a token is counted.
async fn not_found(State(state): State<ApiState>, auth::Address(address): auth::Address, request: Request) -> Problem {
    match auth::bearer(request.headers()) {
        Some(_) => Problem::no_such_address(),
        None => state.limits.count_address(address).err().unwrap_or_else(Problem::no_such_address),
    }
}

/// Another method is. axum adds which, in `Allow`.
async fn method_not_allowed(method: Method) -> Response {
    if method == Method::OPTIONS {
        return StatusCode::NO_CONTENT.into_response();
    }
    Problem::new(&kinds::METHOD_NOT_ALLOWED, "The Allow header lists the methods of this address.").into_response()
}

/// What the documentation's own files answer, in our form.
async fn as_problem(response: Response) -> Response {
    if response.status() == StatusCode::NOT_FOUND { Problem::no_such_address().into_response() } else { response }
}
