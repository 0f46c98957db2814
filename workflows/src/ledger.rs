//! The ledger: double entry, append-only. Whatever moves money writes a posting in the transaction of its move; a posting
//! that does not balance is refused by its constructor and by the database. `docs/ledger.md` lists accounts and postings.

mod account;
mod books;
mod charges;
mod disputes;
mod post;
mod posting;
mod refunds;

pub use account::Account;
pub use books::{Balance, Balances, Posted, PostingFilter, balances, postings, roll_up};
pub(crate) use charges::{CapturedCharge, captured_in_tx, left_behind_in_tx};
pub(crate) use disputes::{Dispute, dispute_in_tx};
pub use post::post_in_tx;
pub use posting::{About, Entry, Posting, PostingKind, Unbalanced};
pub use refunds::{RefundMove, Round, refund_in_tx};
