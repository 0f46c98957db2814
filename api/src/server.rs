//! Puts routes, guards and what is around them together, and serves them.

use crate::{
    auth,
    problem::{Problem, kinds},
    request, routes,
    state::ApiState,
};
use axum::{
    Router,
    extract::{Request, State},
    http::{Method, StatusCode},
    middleware::{from_fn_with_state, map_response},
    response::{IntoResponse, Response},
};
use std::{io, net::SocketAddr};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use utoipa_swagger_ui::{Config, SwaggerUi};

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
/// its answer in the time that a request may have is left alone.
///
/// # Errors
/// When the listener fails.
pub async fn serve(listener: TcpListener, state: ApiState, shutdown: CancellationToken) -> io::Result<()> {
    // Waiting answers end when the process drains.
    let (draining, answered_within) = (state.draining.clone(), state.request_timeout);
    let service = router(state).into_make_service_with_connect_info::<SocketAddr>();
    let stopping = shutdown.clone();
    let serving = axum::serve(listener, service).with_graceful_shutdown(async move {
        stopping.cancelled().await;
        draining.cancel();
    });
    tokio::select! {
        served = serving.into_future() => served,
        () = async {
            shutdown.cancelled().await;
            tokio::time::sleep(answered_within).await;
        } => {
            tracing::warn!("Some clients have not taken their answers; they are not waited for");
            Ok(())
        }
    }
}

/// Nothing is here. Whoever looks for addresses without a token is counted.
async fn not_found(State(state): State<ApiState>, auth::Address(address): auth::Address, request: Request) -> Problem {
    match auth::bearer(request.headers()) {
        Some(_) => Problem::not_found(),
        None => state.limits.count_address(address).err().unwrap_or_else(Problem::not_found),
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
    if response.status() == StatusCode::NOT_FOUND { Problem::not_found().into_response() } else { response }
}
