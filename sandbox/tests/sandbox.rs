//! The sandbox gateway over HTTP, asked by clients that know Stripe's and Adyen's API and nothing of ours.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may stop where it stands, its helpers as well")]

#[path = "sandbox/inbox.rs"]
mod inbox;
#[path = "sandbox/support.rs"]
mod support;

#[path = "sandbox/adyen.rs"]
mod adyen;
#[path = "sandbox/books.rs"]
mod books;
#[path = "sandbox/challenges.rs"]
mod challenges;
#[path = "sandbox/faults.rs"]
mod faults;
#[path = "sandbox/idempotency.rs"]
mod idempotency;
#[path = "sandbox/later.rs"]
mod later;
#[path = "sandbox/payments.rs"]
mod payments;
#[path = "sandbox/refunds.rs"]
mod refunds;
#[path = "sandbox/settlement.rs"]
mod settlement;
#[path = "sandbox/strictness.rs"]
mod strictness;
#[path = "sandbox/webhooks.rs"]
mod webhooks;
