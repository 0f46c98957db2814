//! The keys by which anybody can check a ticket's code without asking us.

use crate::{cached, problem::Problem, state::ApiState};
use axum::{extract::State, http::HeaderMap, response::Response};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Serialize;
use utoipa::ToSchema;
use workflows::tickets::PublishedKey;

/// A new key is told of long before it signs: gates need not ask more often than this.
const CACHE: &str = "public, max-age=300";

/// A JSON Web Key Set (RFC 7517).
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TicketKeySet {
    /// The one that signs new tickets first.
    keys: Vec<TicketKey>,
}

/// An Ed25519 key (RFC 8037).
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TicketKey {
    /// `OKP`
    kty: &'static str,
    /// `Ed25519`
    crv: &'static str,
    /// `EdDSA`
    alg: &'static str,
    /// `sig`
    #[serde(rename = "use")]
    used_for: &'static str,
    /// What codes name the key by: their second part.
    kid: String,
    /// The key's 32 bytes, in base64url.
    x: String,
}

impl From<PublishedKey<'_>> for TicketKey {
    fn from(key: PublishedKey<'_>) -> Self {
        Self {
            kty: "OKP",
            crv: "Ed25519",
            alg: "EdDSA",
            used_for: "sig",
            kid: key.key_id.to_owned(),
            x: URL_SAFE_NO_PAD.encode(key.public.as_bytes()),
        }
    }
}

/// The public keys of tickets, as a JSON Web Key Set: with them a code's signature is checked without asking us. Whether
/// a ticket has been taken back since, `/.well-known/ticket-revocations` and `POST /tickets/verify` tell.
#[utoipa::path(get, path = "/.well-known/ticket-keys", tag = "machines", operation_id = "getTicketKeys",
    responses((status = 200, body = TicketKeySet)))]
pub(crate) async fn list(State(state): State<ApiState>, headers: HeaderMap) -> Result<Response, Problem> {
    let keys: Vec<_> = state.ticket_keys.published().map(TicketKey::from).collect();
    let version = keys.iter().map(|key| key.kid.as_str()).collect::<Vec<_>>().join("-");
    cached::answer_if_new(&headers, CACHE, &version, &TicketKeySet { keys })
}
