//! A gateway's report, as far as it matters here, whatever its columns are called.

use super::{
    adyen,
    rows::{Row, Rows, RowsError},
    stripe,
};
use crate::{gateways::Reference, money::Money};
use chrono::{DateTime, Utc};
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::{
    fmt,
    io::{self, Read},
};

/// The largest file.
pub const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// The longest file, in lines without the heading.
pub const LINES_MAX: usize = 100_000;
/// How many mistakes are told at most.
const MISTAKES_MAX: usize = 100;

/// What moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Movement {
    /// The money of a charge came to us.
    Capture,
    /// Money went back to a buyer.
    Refund,
    /// And came back to us.
    RefundReturned,
    /// A buyer's bank took money back.
    Dispute,
    /// And gave it back.
    DisputeReturned,
    /// What the gateway asks for its services, where it belongs to no other movement.
    Fee,
    /// The gateway paid out what was left: the sum of other lines.
    Payout,
    /// Something else, that we know nothing of.
    Other,
}

impl Movement {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Capture,
        Self::Refund,
        Self::RefundReturned,
        Self::Dispute,
        Self::DisputeReturned,
        Self::Fee,
        Self::Payout,
        Self::Other,
    ];

    /// As it is stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Capture => "capture",
            Self::Refund => "refund",
            Self::RefundReturned => "refundReturned",
            Self::Dispute => "dispute",
            Self::DisputeReturned => "disputeReturned",
            Self::Fee => "fee",
            Self::Payout => "payout",
            Self::Other => "other",
        }
    }
}

impl fmt::Display for Movement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One line. What comes to us is positive: `gross` less `fee` is `net`, in one currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Its place in the file: 1 is the heading.
    pub number: u64,
    /// What moved.
    pub movement: Movement,
    /// What the gateway calls that.
    pub category: String,
    /// By which the same movement is recognised in another file.
    pub identity: String,
    /// The gateway's name for the charge.
    pub payment: Option<Reference>,
    /// Our own name for it, where the gateway gives it back.
    pub own: Option<Reference>,
    /// The gateway's name for the refund or the dispute.
    pub reference: Option<Reference>,
    /// Before fees.
    pub gross: Money,
    /// What the gateway has kept.
    pub fee: Money,
    /// What is left.
    pub net: Money,
    /// When it happened there.
    pub at: DateTime<Utc>,
}

impl Line {
    /// The name by which its counterpart is found in our books.
    #[must_use]
    pub fn name(&self) -> Option<&Reference> {
        match self.movement {
            Movement::Capture => self.payment.as_ref(),
            Movement::Refund | Movement::RefundReturned | Movement::Dispute | Movement::DisputeReturned => {
                self.reference.as_ref()
            }
            Movement::Fee | Movement::Payout | Movement::Other => None,
        }
    }
}

/// A file that could be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettlementFile {
    /// SHA-256 of its bytes: the same file again is the same settlement.
    pub digest: [u8; 32],
    /// Its lines, in order.
    pub lines: Vec<Line>,
}

/// What is wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mistake {
    /// Which; 1 is the heading.
    pub line: u64,
    /// What.
    pub message: String,
}

/// Why a file was not taken.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// Its gateway speaks a protocol whose report nobody reads.
    #[error("the report of the protocol `{0}` cannot be read")]
    UnknownProtocol(String),
    /// These lines, and at most as many as are worth telling.
    #[error("{} lines are wrong", .0.len())]
    Mistakes(Vec<Mistake>),
    /// More than [`FILE_BYTES_MAX`] bytes, or [`LINES_MAX`] lines.
    #[error("the file is too large")]
    TooLarge,
    /// It did not arrive whole.
    #[error("the file did not arrive whole")]
    Incomplete(#[from] io::Error),
}

/// How a protocol's report is read.
pub(super) struct Format {
    pub(super) protocol: &'static str,
    /// The columns that must be there.
    pub(super) columns: &'static [&'static str],
    /// What a line says; a sentence about it where it says nothing that can be.
    pub(super) read: fn(&Row<'_>) -> Result<Line, String>,
}

/// Every report that can be read: one of each of [`PROTOCOLS`](crate::gateways::PROTOCOLS).
const FORMATS: [&Format; 2] = [&stripe::FORMAT, &adyen::FORMAT];

/// Reads a report of a gateway that speaks `protocol`, with all its mistakes at once.
///
/// # Errors
/// See [`FileError`]. It may block for as long as `source` does.
pub fn read(protocol: &str, source: impl Read) -> Result<SettlementFile, FileError> {
    let format = FORMATS.iter().find(|format| format.protocol == protocol);
    let format = format.ok_or_else(|| FileError::UnknownProtocol(protocol.to_owned()))?;
    let mut digest = Sha256::new();
    let mut rows = Rows::new(Digesting { source, digest: &mut digest }, FILE_BYTES_MAX);
    let (mut lines, mut mistakes) = (Vec::new(), Vec::new());
    let told = match rows.read_heading(format.columns) {
        Ok(()) => loop {
            match rows.read_row() {
                Ok(None) => break Ok(()),
                Ok(Some(_)) if lines.len() == LINES_MAX => break Err(RowsError::TooLarge),
                Ok(Some(row)) => match (format.read)(&row) {
                    Ok(line) => lines.push(line),
                    Err(message) => mistakes.push(Mistake { line: row.number(), message }),
                },
                Err(RowsError::Row(mistake)) => mistakes.push(mistake),
                Err(error) => break Err(error),
            }
            if mistakes.len() == MISTAKES_MAX {
                break Ok(());
            }
        },
        Err(error) => Err(error),
    };
    drop(rows);
    match told {
        Err(RowsError::TooLarge) => Err(FileError::TooLarge),
        Err(RowsError::Io(error)) => Err(FileError::Incomplete(error)),
        Err(RowsError::Row(mistake)) => Err(FileError::Mistakes(vec![mistake])),
        Ok(()) if !mistakes.is_empty() => Err(FileError::Mistakes(mistakes)),
        Ok(()) => Ok(SettlementFile { digest: digest.finalize().into(), lines }),
    }
}

/// Digests what is read through it.
struct Digesting<'a, Source> {
    source: Source,
    digest: &'a mut Sha256,
}

impl<Source: Read> Read for Digesting<'_, Source> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.source.read(buffer)?;
        self.digest.update(&buffer[..length]);
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_protocol_has_its_report() {
        let formats: Vec<_> = FORMATS.iter().map(|format| format.protocol).collect();
        let protocols: Vec<_> = crate::gateways::PROTOCOLS.iter().map(|(protocol, _)| *protocol).collect();
        assert_eq!(formats, protocols);
        assert!(matches!(read("paper", &b""[..]), Err(FileError::UnknownProtocol(_))));
    }

    #[test]
    fn what_does_not_arrive_is_not_taken_for_a_short_file() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::ErrorKind::ConnectionReset.into())
            }
        }
        let begun = Read::chain(&b"balance_transaction_id,created_utc"[..], Broken);
        assert!(matches!(read("stripe", begun), Err(FileError::Incomplete(_))));
    }

    proptest! {
        #[test]
        fn nothing_that_comes_is_more_than_refused(protocol in 0_usize..2, bytes: Vec<u8>) {
            let format = FORMATS[protocol];
            drop(read(format.protocol, &bytes[..]));
            // and not behind a heading either
            let heading = format.columns.join(",") + "\n";
            drop(read(format.protocol, heading.as_bytes().chain(&bytes[..])));
        }

        #[test]
        fn a_line_of_any_cells_is_read_or_refused_by_its_number(protocol in 0_usize..2, cells in proptest::collection::vec("\\PC{0,12}", 16)) {
            let format = FORMATS[protocol];
            let cells: Vec<_> = cells[..format.columns.len()].iter().map(|cell| format!("\"{}\"", cell.replace('"', "\"\""))).collect();
            let text = format!("{}\n{}\n", format.columns.join(","), cells.join(","));
            match read(format.protocol, text.as_bytes()) {
                Ok(file) => prop_assert_eq!(file.lines.len(), 1),
                Err(FileError::Mistakes(mistakes)) => prop_assert_eq!(mistakes[0].line, 2),
                Err(other) => prop_assert!(false, "{}", other),
            }
        }
    }
}
