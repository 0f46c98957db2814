//! CSV (RFC 4180) that a spreadsheet takes for what it is: a cell that it would take for a formula begins with an
//! apostrophe.

use axum::{
    body::Body,
    http::{
        HeaderMap,
        header::{ACCEPT, CONTENT_TYPE},
    },
    response::{IntoResponse, Response},
};
use futures::{StreamExt, future, stream};

/// What begins a formula; the wide ones do where wide letters are typed.
const FORMULAS: [char; 8] = ['=', '+', '-', '@', '＝', '＋', '－', '＠'];
/// How many rows are read at once.
pub(crate) const ROWS_PER_READ: u16 = 1_000;

/// Whether the caller asks for it.
pub(crate) fn is_wanted(headers: &HeaderMap) -> bool {
    let accepts = headers.get_all(ACCEPT).into_iter().filter_map(|value| value.to_str().ok());
    let mut kinds = accepts.flat_map(|value| value.split(',')).filter_map(|kind| kind.split(';').next());
    kinds.any(|kind| kind.trim().eq_ignore_ascii_case("text/csv"))
}

/// A document with these columns and whatever `read` finds: called with where to begin, it gives lines, and where to go on
/// if there are more. It is called as the caller takes what it gave before. When it fails the answer breaks off, so that
/// nobody takes a part for the whole.
pub(crate) fn document<P, R, F>(columns: &[&str], begin: P, read: R) -> Response
where
    P: Send + 'static,
    R: Fn(P) -> F + Send + 'static,
    F: Future<Output = Result<(String, Option<P>), sqlx::Error>> + Send + 'static,
{
    let mut heading = String::new();
    add_line(&mut heading, columns.iter().copied());
    let lines = stream::try_unfold(Some(begin), move |place| {
        let reading = place.map(&read);
        async move {
            match reading {
                Some(reading) => reading.await.map(Some),
                None => Ok(None),
            }
        }
    });
    let body = Body::from_stream(stream::once(future::ok(heading)).chain(lines));
    ([(CONTENT_TYPE, "text/csv; charset=utf-8")], body).into_response()
}

/// Adds a line of these cells.
pub(crate) fn add_line<'a>(text: &mut String, cells: impl IntoIterator<Item = &'a str>) {
    for (index, cell) in cells.into_iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        add_cell(text, cell);
    }
    text.push_str("\r\n");
}

fn add_cell(text: &mut String, cell: &str) {
    // a spreadsheet strips what stands before
    let is_formula = cell.trim_start().starts_with(FORMULAS) || cell.starts_with(['\t', '\r', '\n']);
    let shield = if is_formula { "'" } else { "" };
    if cell.contains(['"', ',', '\r', '\n']) {
        text.push('"');
        text.push_str(shield);
        text.push_str(&cell.replace('"', "\"\""));
        text.push('"');
    } else {
        text.push_str(shield);
        text.push_str(cell);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(cells: &[&str]) -> String {
        let mut text = String::new();
        add_line(&mut text, cells.iter().copied());
        text
    }

    #[test]
    fn what_would_be_a_formula_is_none() {
        let cells = ["=1+1", "+1", "-1", "@SUM(A1)", " =1", "\t=1", "＝1", "4500", "a-b", ""];
        assert_eq!(line(&cells), "'=1+1,'+1,'-1,'@SUM(A1),' =1,'\t=1,'＝1,4500,a-b,\r\n");
    }

    #[test]
    fn what_has_commas_quotes_or_lines_is_quoted() {
        assert_eq!(
            line(&["a,b", "say \"x\"", "two\nlines", "=A1,\"b\""]),
            "\"a,b\",\"say \"\"x\"\"\",\"two\nlines\",\"'=A1,\"\"b\"\"\"\r\n"
        );
    }

    #[test]
    fn it_is_asked_for_by_accept() {
        let asks = |value: &str| is_wanted(&HeaderMap::from_iter([(ACCEPT, value.parse().unwrap())]));
        assert!(asks("text/csv") && asks("application/json;q=0.5, Text/CSV;q=0.9"));
        assert!(!asks("application/json") && !asks("*/*") && !is_wanted(&HeaderMap::new()));
    }
}
