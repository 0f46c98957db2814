//! The names of this crate's metrics.

/// Requests by `method`, `route` (the template) and `status`.
pub const REQUESTS: &str = "http_requests_total";
/// How long they took, in seconds, by the same.
pub const REQUEST_SECONDS: &str = "http_request_seconds";
/// Requests that were refused because too many were in flight.
pub const REQUESTS_SHED: &str = "http_requests_shed_total";
