//! Our business on real parts.

#[path = "workflows/gateways_conformance.rs"]
mod gateways_conformance;
