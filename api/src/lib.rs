//! The HTTP API: translates between HTTP and calls into `workflows` and `orchestrator`.
//!
//! Read in this order: the list of [`routes`], who may come in ([`auth`]), what is taken in ([`strict_json`],
//! [`query`]), what is answered when something is wrong ([`problem`]), and then the handlers.

mod routes;

mod auth;
mod card_data;
mod limits;
mod query;
mod request;
mod strict_json;
mod text;

mod cached;
mod csv;
mod page;
pub mod problem;
mod replay;
mod wire;

mod audit;
mod batches;
mod booking;
mod cases;
mod definitions;
mod finance;
mod gateways;
mod machines;
mod outbox;
mod sagas;
mod settlements;

mod clock;
pub mod openapi;
mod server;
mod state;
mod tls;

pub use limits::LimitSettings;
pub use server::{router, serve};
pub use state::{ApiParts, ApiSettings, ApiState};
pub use tls::{Tls, TlsError};
