//! Who may come in: the token and the role, looked at before anything else of a request is.

use crate::{
    problem::{Problem, kinds},
    state::ApiState,
};
use axum::{
    extract::{ConnectInfo, FromRequestParts, Request, State},
    http::{HeaderMap, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};
use std::{
    convert::Infallible,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};
use workflows::access::{Principal, Role};

/// Who may use a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Everybody; what is needed (a signature) is checked by the route itself.
    Open,
    /// Tokens whose role includes one of these.
    Roles(&'static [Role]),
}

impl Access {
    /// Whether a token of this role may.
    #[must_use]
    pub(crate) fn allows(self, role: Role) -> bool {
        match self {
            Self::Open => true,
            Self::Roles(wanted) => wanted.iter().any(|wanted| role.includes(*wanted)),
        }
    }
}

/// The guard of one route: the middleware between its address and its handler.
pub(crate) async fn guard(
    State((access, state)): State<(Access, ApiState)>,
    mut request: Request,
    next: Next,
) -> Response {
    if access == Access::Open {
        return next.run(request).await;
    }
    match admit(&state, request.headers(), address(request.extensions().get()), access).await {
        Ok(principal) => {
            tracing::Span::current().record("actor", principal.name.as_str());
            request.extensions_mut().insert(principal);
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    }
}

async fn admit(state: &ApiState, headers: &HeaderMap, address: IpAddr, access: Access) -> Result<Principal, Problem> {
    let found = match bearer(headers) {
        Some(secret) => state.tokens.find(secret).await?,
        None => None,
    };
    let Some(principal) = found else {
        state.limits.count_address(address)?;
        return Err(Problem::new(&kinds::UNAUTHENTICATED, "Send a valid token in the Authorization header."));
    };
    state.limits.count(&principal)?;
    if !access.allows(principal.role) {
        let detail = format!("A token with the role {} may not do this.", principal.role);
        return Err(Problem::wrong_role(detail, |role| access.allows(role)));
    }
    Ok(principal)
}

/// The token in `Authorization: Bearer <token>`, if there is exactly one.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (value, None) = (values.next()?, values.next()) else { return None };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn address(info: Option<&ConnectInfo<SocketAddr>>) -> IpAddr {
    info.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |ConnectInfo(address)| address.ip())
}

/// The caller that [`guard`] let in.
#[derive(Debug, Clone)]
pub(crate) struct Caller(pub Principal);

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        parts
            .extensions
            .get::<Principal>()
            .cloned()
            .map(Self)
            .ok_or_else(|| Problem::internal("a route that is open to everybody asks for its caller"))
    }
}

impl Caller {
    /// Refuses what belongs to another user as if it did not exist.
    ///
    /// # Errors
    /// 404.
    pub(crate) fn must_act_for(&self, user: &str) -> Result<(), Problem> {
        if self.0.acts_for(user) { Ok(()) } else { Err(Problem::not_found("user")) }
    }

    /// Whether payloads and personal data are kept from this caller.
    #[must_use]
    pub(crate) fn sees_redacted(&self) -> bool {
        self.0.role == Role::Viewer
    }
}

/// The address that a request came from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Address(pub IpAddr);

impl<S: Send + Sync> FromRequestParts<S> for Address {
    type Rejection = Infallible;
    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        Ok(Self(address(parts.extensions.get())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(values: &[&str]) -> HeaderMap {
        values.iter().map(|value| (header::AUTHORIZATION, value.parse().unwrap())).collect()
    }

    #[test]
    fn a_bearer_token_is_read() {
        assert_eq!(bearer(&headers(&["Bearer srt_x"])), Some("srt_x"));
        assert_eq!(bearer(&headers(&["bearer  srt_x "])), Some("srt_x"));
        assert_eq!(bearer(&headers(&["Basic srt_x"])), None);
        assert_eq!(bearer(&headers(&["srt_x"])), None);
        assert_eq!(bearer(&headers(&["Bearer a", "Bearer b"])), None);
        assert_eq!(bearer(&headers(&[])), None);
    }

    #[test]
    fn a_route_is_open_to_the_roles_that_include_its_own() {
        let read = Access::Roles(&[Role::Viewer]);
        assert!(read.allows(Role::Operator) && read.allows(Role::Admin) && !read.allows(Role::Client));
        let start = Access::Roles(&[Role::Client, Role::Operator]);
        assert!(start.allows(Role::Client) && start.allows(Role::Operator) && !start.allows(Role::Finance));
    }
}
