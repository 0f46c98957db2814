//! The durable engine: runs sagas whose definitions are data, so that each ends, whatever happens to the
//! processes that run it. It knows no tickets, no HTTP, no apalis and no Redis.
//!
//! Read in this order: what a saga is made of ([`definition`], [`action`]), what happened to it ([`journal`]),
//! where it stands ([`saga`], [`run`]), what comes next ([`plan`]), and who carries it out.

pub mod action;
pub mod canonical;
pub mod catalog;
pub mod definition;
pub mod demo;
pub mod ids;
