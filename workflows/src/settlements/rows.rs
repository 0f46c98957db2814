//! CSV, row by row, within bounds: no more of it is in memory than one row.

use super::file::Mistake;
use csv::{ByteRecord, Reader, ReaderBuilder, Terminator};
use std::{
    cell::Cell,
    io::{self, ErrorKind, Read},
    rc::Rc,
};

/// The longest row.
const ROW_BYTES_MAX: u64 = 64 * 1024;
/// The longest cell that we look at; what we do not look at may be as long as its row.
const CELL_BYTES_MAX: usize = 1_000;
/// How much is read from the source at once.
const BUFFER_BYTES: usize = 8 * 1024;

/// Why there is no row.
#[derive(Debug)]
pub(crate) enum RowsError {
    /// This one cannot be read. The next one may be.
    Row(Mistake),
    /// The file is longer than it may be.
    TooLarge,
    /// The source's.
    Io(io::Error),
}

/// The rows below a heading.
pub(crate) struct Rows<Source> {
    reader: Reader<Bounded<Source>>,
    allowed: Rc<Cell<u64>>,
    record: ByteRecord,
    /// The heading's cells.
    columns: Vec<String>,
}

/// One row.
pub(crate) struct Row<'a> {
    record: &'a ByteRecord,
    columns: &'a [String],
    number: u64,
}

impl<Source: Read> Rows<Source> {
    pub(crate) fn new(source: Source, bytes_max: u64) -> Self {
        let allowed = Rc::new(Cell::new(0));
        let source = Bounded { source, left: bytes_max, allowed: Rc::clone(&allowed) };
        let reader = ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            // only so are lines counted that end with two characters
            .terminator(Terminator::Any(b'\n'))
            .buffer_capacity(BUFFER_BYTES)
            .from_reader(source);
        Self { reader, allowed, record: ByteRecord::new(), columns: Vec::new() }
    }

    /// Reads the heading, in which `columns` must be.
    pub(crate) fn read_heading(&mut self, columns: &[&str]) -> Result<(), RowsError> {
        if !self.advance()? {
            return Err(mistake(1, "the file is empty"));
        }
        let heading = self.record.iter().map(|cell| std::str::from_utf8(without_return(cell)).map(str::to_owned));
        let heading = heading.collect::<Result<Vec<_>, _>>().map_err(|_| mistake(1, "the heading is not UTF-8"))?;
        let missing: Vec<_> = columns.iter().filter(|column| !heading.iter().any(|cell| cell == **column)).collect();
        if !missing.is_empty() {
            let names = missing.iter().map(|column| format!("`{column}`")).collect::<Vec<_>>().join(", ");
            return Err(mistake(1, &format!("the heading has no {names}")));
        }
        let is_twice = |column: &&&str| heading.iter().filter(|cell| cell == *column).count() > 1;
        if let Some(column) = columns.iter().find(is_twice) {
            return Err(mistake(1, &format!("the heading has `{column}` twice")));
        }
        self.columns = heading;
        Ok(())
    }

    /// The heading's cells, once it was read.
    pub(crate) fn columns(&self) -> &[String] {
        &self.columns
    }

    /// The next row; none at the end.
    pub(crate) fn read_row(&mut self) -> Result<Option<Row<'_>>, RowsError> {
        if !self.advance()? {
            return Ok(None);
        }
        let number = self.record.position().map_or(0, csv::Position::line);
        let (cells, columns) = (self.record.len(), self.columns.len());
        if cells != columns {
            return Err(mistake(number, &format!("the row has {cells} cells, the heading {columns}")));
        }
        Ok(Some(Row { record: &self.record, columns: &self.columns, number }))
    }

    fn advance(&mut self) -> Result<bool, RowsError> {
        // what is read ahead belongs to the rows behind
        self.allowed.set(ROW_BYTES_MAX + u64::try_from(BUFFER_BYTES).unwrap_or_default());
        let begun_at = self.reader.position().line();
        self.reader.read_byte_record(&mut self.record).map_err(|error| match error.into_kind() {
            csv::ErrorKind::Io(error) => match error.get_ref().and_then(|error| error.downcast_ref::<Bound>()) {
                Some(Bound::File) => RowsError::TooLarge,
                Some(Bound::Row) => {
                    // nothing says where it ends: what follows cannot be read either
                    mistake(begun_at, &format!("a row may have at most {ROW_BYTES_MAX} bytes"))
                }
                None => RowsError::Io(error),
            },
            other => RowsError::Io(io::Error::new(ErrorKind::InvalidData, format!("{other:?}"))),
        })
    }
}

fn mistake(line: u64, message: &str) -> RowsError {
    RowsError::Row(Mistake { line, message: message.to_owned() })
}

impl<'a> Row<'a> {
    /// Which line of the file it is.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// A cell that has something in it.
    pub(crate) fn text(&self, column: &str) -> Result<&'a str, String> {
        let text = self.optional(column)?;
        text.ok_or_else(|| format!("`{column}` is empty"))
    }

    /// A cell, where there is something in it.
    pub(crate) fn optional(&self, column: &str) -> Result<Option<&'a str>, String> {
        let place = self.columns.iter().position(|cell| cell == column);
        let cell = without_return(place.and_then(|place| self.record.get(place)).unwrap_or_default());
        if cell.len() > CELL_BYTES_MAX {
            return Err(format!("`{column}` has more than {CELL_BYTES_MAX} bytes"));
        }
        let text = std::str::from_utf8(cell).map_err(|_| format!("`{column}` is not UTF-8"))?;
        if text.chars().any(char::is_control) {
            return Err(format!("`{column}` has control characters"));
        }
        Ok(Some(text.trim()).filter(|text| !text.is_empty()))
    }
}

/// The last cell of a row without the first of the two characters that lines may end with.
fn without_return(cell: &[u8]) -> &[u8] {
    cell.strip_suffix(b"\r").unwrap_or(cell)
}

/// Which bound was met.
#[derive(Debug, thiserror::Error)]
enum Bound {
    #[error("the file is too large")]
    File,
    #[error("the row is too long")]
    Row,
}

/// Gives out no more than the file may have, and no more at a time than a row may.
struct Bounded<Source> {
    source: Source,
    left: u64,
    allowed: Rc<Cell<u64>>,
}

impl<Source: Read> Read for Bounded<Source> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.source.read(buffer)?;
        let bytes = u64::try_from(length).unwrap_or(u64::MAX);
        self.left = self.left.checked_sub(bytes).ok_or_else(|| io::Error::other(Bound::File))?;
        let allowed = self.allowed.get().checked_sub(bytes).ok_or_else(|| io::Error::other(Bound::Row))?;
        self.allowed.set(allowed);
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first column of every row, and what was refused.
    fn read(text: &[u8], bytes_max: u64) -> (Vec<String>, Vec<String>) {
        let mut rows = Rows::new(text, bytes_max);
        let (mut read, mut refused) = (Vec::new(), Vec::new());
        if let Err(error) = rows.read_heading(&["a", "b"]) {
            return (read, vec![told(error)]);
        }
        loop {
            match rows.read_row() {
                Ok(Some(row)) => match row.text("a") {
                    Ok(text) => read.push(format!("{}: {text}", row.number())),
                    Err(message) => refused.push(format!("{}: {message}", row.number())),
                },
                Ok(None) => return (read, refused),
                Err(RowsError::Row(Mistake { line, message })) if !message.contains("at most") => {
                    refused.push(format!("{line}: {message}"));
                }
                Err(error) => {
                    refused.push(told(error));
                    return (read, refused);
                }
            }
        }
    }

    fn told(error: RowsError) -> String {
        match error {
            RowsError::Row(Mistake { line, message }) => format!("{line}: {message}"),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn rows_know_their_lines() {
        let (read, refused) =
            read(b"\xef\xbb\xbfa,x,\"b\"\r\n1,,2\r\n\"3\n3\",,4\r\n5\r\n6,,7,8\r\n\"7 \"\"7\"\"\",,\r\n,,\r\n", 1_000);
        assert_eq!(read, ["2: 1", "7: 7 \"7\""]);
        let cells = |line: u64, count: usize| format!("{line}: the row has {count} cells, the heading 3");
        let expected =
            ["3: `a` has control characters".to_owned(), cells(5, 1), cells(6, 4), "8: `a` is empty".to_owned()];
        assert_eq!(refused, expected);
    }

    #[test]
    fn a_heading_has_its_columns_once() {
        assert_eq!(read(b"", 1_000).1, ["1: the file is empty"]);
        assert_eq!(read(b"a,c\n1,2\n", 1_000).1, ["1: the heading has no `b`"]);
        assert_eq!(read(b"a,b,a\n1,2,3\n", 1_000).1, ["1: the heading has `a` twice"]);
        assert_eq!(read(b"a,\xff\n", 1_000).1, ["1: the heading is not UTF-8"]);
    }

    #[test]
    fn cells_rows_and_files_are_bounded() {
        let row = |length: usize| [b"a,b\n1,2\n", "x".repeat(length).as_bytes(), b",2\n"].concat();
        let bytes_max = 10 * ROW_BYTES_MAX;
        assert_eq!(read(&row(CELL_BYTES_MAX), bytes_max).0.len(), 2);
        assert_eq!(read(&row(CELL_BYTES_MAX + 1), bytes_max).1, ["3: `a` has more than 1000 bytes"]);
        // a quote that never ends
        let endless = [&b"a,b\n1,2\n\""[..], &vec![b'\n'; 2 * usize::try_from(ROW_BYTES_MAX).unwrap()]].concat();
        assert_eq!(read(&endless, bytes_max).1, ["3: a row may have at most 65536 bytes"]);
        let long = [&b"a,b\n"[..], &b"1,2\n".repeat(100)].concat();
        assert_eq!(read(&long, 404).0.len(), 100);
        assert_eq!(read(&long, 403).1, ["TooLarge"]);
        assert_eq!(read(b"a,b\n\xff,2\n", bytes_max).1, ["2: `a` is not UTF-8"]);
    }
}
