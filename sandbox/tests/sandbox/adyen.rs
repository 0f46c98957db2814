//! A gateway that speaks Adyen's API.

#[path = "adyen/books.rs"]
mod books;
#[path = "adyen/faults.rs"]
mod faults;
#[path = "adyen/idempotency.rs"]
mod idempotency;
#[path = "adyen/modifications.rs"]
mod modifications;
#[path = "adyen/payments.rs"]
mod payments;
#[path = "adyen/settlement.rs"]
mod settlement;
#[path = "adyen/shop.rs"]
mod shop;
#[path = "adyen/strictness.rs"]
mod strictness;
#[path = "adyen/webhooks.rs"]
mod webhooks;
