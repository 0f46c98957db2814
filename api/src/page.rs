//! Pages of lists: `?limit=` and `?cursor=` in, `{"items": [...], "next": ...}` out.

use crate::problem::{Problem, kinds};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

/// How many items a page has when nobody says.
pub(crate) const LIMIT_DEFAULT: u32 = 50;
/// How many items a page has at most.
pub(crate) const LIMIT_MAX: u32 = 500;
/// The longest cursor.
const CURSOR_BYTES_MAX: usize = 1024;
/// How much of a cursor's digest it carries.
const CHECK_BYTES: usize = 8;

/// One page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Page<T> {
    /// What is on it.
    pub items: Vec<T>,
    /// The `cursor` of the next page; null on the last.
    pub next: Option<String>,
}

impl<T> Page<T> {
    /// A page from at most `limit + 1` rows in order: the one too many only tells that there is a next page, whose
    /// cursor is made from the last row that is shown.
    pub(crate) fn from_rows<R, C: Serialize>(
        list: &str,
        mut rows: Vec<R>,
        limit: u32,
        position: impl FnOnce(&R) -> C,
        show: impl FnMut(R) -> T,
    ) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next = rows.last().filter(|_| more).map(|last| encode(list, &position(last)));
        Self { items: rows.into_iter().map(show).collect(), next }
    }
}

/// The number of items asked for.
///
/// # Errors
/// 400 when it is not 1 to 500.
pub(crate) fn limit(asked: Option<u32>) -> Result<u32, Problem> {
    let limit = asked.unwrap_or(LIMIT_DEFAULT);
    if (1..=LIMIT_MAX).contains(&limit) {
        return Ok(limit);
    }
    Err(Problem::new(&kinds::INVALID_PARAMETER, format!("limit must be 1 to {LIMIT_MAX}.")).with("parameter", "limit"))
}

/// An opaque cursor of `list` for this position.
pub(crate) fn encode(list: &str, position: &impl Serialize) -> String {
    let payload = serde_json::to_vec(position).unwrap_or_default();
    let mut bytes = check(list, &payload).to_vec();
    bytes.extend_from_slice(&payload);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The position in a cursor of `list`.
///
/// # Errors
/// 400 when it is not one that [`encode`] made for this list.
pub(crate) fn decode<T: DeserializeOwned>(list: &str, cursor: Option<&str>) -> Result<Option<T>, Problem> {
    let Some(cursor) = cursor else { return Ok(None) };
    let position = Some(cursor)
        .filter(|cursor| cursor.len() <= CURSOR_BYTES_MAX)
        .and_then(|cursor| URL_SAFE_NO_PAD.decode(cursor).ok())
        .and_then(|bytes| {
            let (said, payload) = bytes.split_at_checked(CHECK_BYTES)?;
            (said == check(list, payload)).then(|| serde_json::from_slice(payload).ok())?
        });
    position.map(Some).ok_or_else(|| {
        Problem::new(&kinds::INVALID_CURSOR, "Use the `next` of an earlier answer of this list, unchanged.")
    })
}

/// Not a secret: it only tells a cursor of this list from a damaged one and from another list's.
fn check(list: &str, payload: &[u8]) -> [u8; CHECK_BYTES] {
    let digest = Sha256::new().chain_update(list).chain_update([0]).chain_update(payload).finalize();
    let mut check = [0; CHECK_BYTES];
    check.copy_from_slice(digest.get(..CHECK_BYTES).unwrap_or(&[0; CHECK_BYTES]));
    check
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_as_it_was() {
        let cursor = encode("orders", &("ord_1", 5));
        assert_eq!(decode("orders", Some(&cursor)).unwrap(), Some(("ord_1".to_owned(), 5)));
        assert_eq!(decode::<(String, i32)>("orders", None).unwrap(), None);
    }

    #[test]
    fn a_damaged_cursor_is_refused() {
        let cursor = encode("orders", &("ord_1", 5));
        let refused = |cursor: &str| decode::<(String, i32)>("orders", Some(cursor)).unwrap_err().kind().slug;
        for at in 0..cursor.len() {
            let mut bytes = cursor.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            assert_eq!(refused(&String::from_utf8(bytes).unwrap()), "invalid-cursor", "at {at}");
        }
        for bad in ["", "x", "💥", &"A".repeat(2000), &encode("events", &("ord_1", 5))] {
            assert_eq!(refused(bad), "invalid-cursor", "{bad}");
        }
    }

    #[test]
    fn limits_are_bounded() {
        assert_eq!(limit(None).unwrap(), 50);
        assert_eq!(limit(Some(500)).unwrap(), 500);
        assert_eq!(limit(Some(0)).unwrap_err().kind(), &kinds::INVALID_PARAMETER);
        assert_eq!(limit(Some(501)).unwrap_err().kind(), &kinds::INVALID_PARAMETER);
    }

    #[test]
    fn only_a_full_page_has_a_next() {
        let page = |rows: Vec<i32>| Page::from_rows("n", rows, 2, |last| *last, |row| row);
        assert_eq!(page(vec![1, 2]).next, None);
        let full = page(vec![1, 2, 3]);
        assert_eq!(full.items, vec![1, 2]);
        assert_eq!(decode::<i32>("n", full.next.as_deref()).unwrap(), Some(2));
    }
}
