//! Settlements: what a gateway says that it has paid out, line by line, against what we have in our books.
//!
//! A gateway's report is read whole before anything is done with it ([`read`]): one line that cannot be read refuses the
//! file, with every mistake and its line. Then each line finds its counterpart in the ledger, is judged beside it, and
//! posts what it paid, what it cost and what it settles ([`import`]). `docs/settlement.md` says what becomes of which.

mod file;

mod adyen;
mod amounts;
pub(crate) mod rows;
mod stripe;
mod times;

mod acts;
mod again;
mod counterparts;
mod days;
mod import;
mod missing;
mod outcome;
mod state;
mod view;
mod write_off;

pub use acts::{ActOnLine, Acted, LineAct, LineActError, act};
pub use again::match_again;
pub use days::{CloseDay, Closed, ClosedDay, Day, close_day, day};
pub use file::{FILE_BYTES_MAX, FileError, LINES_MAX, Line, Mistake, Movement, SettlementFile, read};
pub use import::{ImportError, Imported, NewSettlement, import};
pub use outcome::{NotAnOutcome, Outcome};
pub use state::{IllegalLineTransition, LineEvent, LineState, NotALineState};
pub use view::{CurrencyTotal, LineFilter, LineRow, OutcomeCount, Settlement, find, lines};
pub(crate) use write_off::{lock_in_tx, write_off_in_tx};
