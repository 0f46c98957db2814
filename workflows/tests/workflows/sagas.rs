//! Whole sagas: the engine, our actions, Postgres, and a gateway's sandbox. What is missing is apalis: a loop of
//! the test's own runs the steps, so that a test can let a worker die wherever it wants.

#[path = "sagas/batches.rs"]
mod batches;
#[path = "sagas/books.rs"]
mod books;
#[path = "sagas/breakers.rs"]
mod breakers;
#[path = "sagas/cancellations.rs"]
mod cancellations;
#[path = "sagas/cases.rs"]
mod cases;
#[path = "sagas/doubts.rs"]
mod doubts;
#[path = "every_saga.rs"]
mod every_saga;
#[path = "sagas/failover.rs"]
mod failover;
#[path = "sagas/failures.rs"]
mod failures;
#[path = "sagas/faults.rs"]
mod faults;
#[path = "sagas/forks.rs"]
mod forks;
#[path = "sagas/front.rs"]
mod front;
#[path = "sagas/gateways.rs"]
mod gateways;
#[path = "sagas/history.rs"]
mod history;
#[path = "sagas/journals.rs"]
mod journals;
#[path = "sagas/late_news.rs"]
mod late_news;
#[path = "sagas/ledger.rs"]
mod ledger;
#[path = "sagas/news.rs"]
mod news;
#[path = "sagas/orders.rs"]
mod orders;
#[path = "sagas/postbox.rs"]
mod postbox;
#[path = "sagas/refund_news.rs"]
mod refund_news;
#[path = "sagas/refund_tries.rs"]
mod refund_tries;
#[path = "sagas/refunds.rs"]
mod refunds;
#[path = "sagas/replays.rs"]
mod replays;
#[path = "sagas/settlements.rs"]
mod settlements;
#[path = "sagas/shop.rs"]
mod shop;
#[path = "sagas/tickets.rs"]
mod tickets;
