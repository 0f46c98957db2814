//! Settlements: what a gateway says that it has paid out, line by line, against what we have in our books.
//!
//! A gateway's report is read whole before anything is done with it ([`read`]): one line that cannot be read refuses the
//! file, with every mistake and its line.

mod adyen;
mod amounts;
mod file;
mod rows;
mod stripe;
mod times;

pub use file::{FILE_BYTES_MAX, FileError, LINES_MAX, Line, Mistake, Movement, SettlementFile, read};
