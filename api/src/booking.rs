//! What programs that sell use: events, holds, orders, tickets.

pub(crate) mod cancel;
pub(crate) mod capture;
pub(crate) mod events;
mod order_view;
pub(crate) mod orders;
pub(crate) mod place;
pub(crate) mod reservations;
pub(crate) mod reserve;
pub(crate) mod seats;
pub(crate) mod ticket_keys;
pub(crate) mod ticket_revocations;
pub(crate) mod tickets;
pub(crate) mod webhooks;
