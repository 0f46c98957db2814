//! Finds what looks like a card number, so that it is refused, never stored and never logged.
//!
//! A card number has 13 to 19 decimal digits of any script, an issuer's prefix and the right Luhn digit; spaces
//! and dashes between its digits do not count. Its digits come in groups. It begins where a group begins and ends
//! where one ends, and no letter touches it; so a longer number, an id (`ord_…`, 32 hexadecimal digits) or a
//! serial like `A4242…` is not one, nor are the groups of a UUID or the fraction of a decimal number.
//!
//! When a number is followed by others (`4242 4242 4242 4242 12/30`), a part of the row of groups may be the card
//! number; then the groups must be of a size that people write cards in, or every list of row numbers would look
//! like one sooner or later.

mod unicode;

use std::borrow::Cow;
use std::ops::Range;
use unicode::{digit_value, is_separator, is_word_char};

const DIGITS_MIN: usize = 13;
const DIGITS_MAX: usize = 19;
/// The sizes of the groups that people write card numbers in: 4-4-4-4, 4-6-5, 4-6-4, 4-4-4-4-3, 6-13.
const WRITTEN_GROUP: Range<usize> = 3..7;
/// What stands in a text where a card number was.
const REDACTED: &str = "[card number]";

/// Whether a card number is somewhere in the text.
#[must_use]
pub fn contains_card_number(text: &str) -> bool {
    !find_card_numbers(text).is_empty()
}

/// The text with every card number replaced; the text itself when there is none.
#[must_use]
pub fn redact_card_numbers(text: &str) -> Cow<'_, str> {
    let found = find_card_numbers(text);
    if found.is_empty() {
        return Cow::Borrowed(text);
    }
    let mut redacted = String::with_capacity(text.len());
    let mut copied_to = 0;
    for span in found {
        redacted.push_str(&text[copied_to..span.start]);
        redacted.push_str(REDACTED);
        copied_to = span.end;
    }
    redacted.push_str(&text[copied_to..]);
    Cow::Owned(redacted)
}

/// Digits that stand together.
struct Group {
    /// Where it is in the text.
    span: Range<usize>,
    digits: Vec<u8>,
    /// A letter touches it, or it is the fraction of a decimal number.
    inside_a_word: bool,
}

/// Where the card numbers are, in order. Each place of the text is looked at a bounded number of times.
fn find_card_numbers(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    // Groups with nothing but spaces and dashes between them.
    let mut row: Vec<Group> = Vec::new();
    let mut open: Option<Group> = None;
    let mut before: Option<char> = None;
    for (at, c) in text.char_indices() {
        if let Some(digit) = digit_value(c) {
            let group = open.get_or_insert_with(|| Group {
                span: at..at,
                digits: Vec::new(),
                inside_a_word: before.is_some_and(is_word_char) || is_fraction(&text[..at]),
            });
            group.digits.push(digit);
            group.span.end = at + c.len_utf8();
        } else {
            if let Some(group) = open.take() {
                close(text, group, is_word_char(c), &mut row, &mut found);
            }
            if !is_separator(c) {
                search_row(text, &mut row, &mut found);
            }
        }
        before = Some(c);
    }
    if let Some(group) = open.take() {
        close(text, group, false, &mut row, &mut found);
    }
    search_row(text, &mut row, &mut found);
    found
}

/// A group has ended: it joins the row, or, inside a word, ends it.
fn close(text: &str, group: Group, word_follows: bool, row: &mut Vec<Group>, found: &mut Vec<Range<usize>>) {
    if group.inside_a_word || word_follows {
        search_row(text, row, found);
    } else {
        row.push(group);
    }
}

/// Looks for card numbers in a row of groups, and empties it.
fn search_row(text: &str, row: &mut Vec<Group>, found: &mut Vec<Range<usize>>) {
    let mut first = 0;
    while first < row.len() {
        match card_from(&row[first..], first == 0) {
            Some(count) => {
                let span = row[first].span.start..row[first + count - 1].span.end;
                if !is_inside_uuid(text, &span) {
                    found.push(span);
                }
                first += count;
            }
            None => first += 1,
        }
    }
    row.clear();
}

/// How many groups, from the first, are a card number: as many as possible.
fn card_from(groups: &[Group], is_start_of_row: bool) -> Option<usize> {
    let mut digits: Vec<u8> = Vec::with_capacity(DIGITS_MAX);
    let mut longest = None;
    let mut is_written_so = true;
    for (index, group) in groups.iter().enumerate() {
        if digits.len() + group.digits.len() > DIGITS_MAX {
            break;
        }
        digits.extend(&group.digits);
        is_written_so = is_written_so && WRITTEN_GROUP.contains(&group.digits.len());
        let is_whole_row = is_start_of_row && index + 1 == groups.len();
        if (index == 0 || is_written_so || is_whole_row) && is_card_number(&digits) {
            longest = Some(index + 1);
        }
    }
    longest
}

fn is_card_number(digits: &[u8]) -> bool {
    (DIGITS_MIN..=DIGITS_MAX).contains(&digits.len()) && has_issuer_prefix(digits) && has_luhn_digit(digits)
}

/// Visa 4; Mastercard 51–55, 2221–2720; American Express 34, 37; Diners 300–305, 36, 38; JCB 3528–3589;
/// Maestro 50, 56–69, among which are Discover (6011, 644–649, 65) and UnionPay (62).
fn has_issuer_prefix(digits: &[u8]) -> bool {
    let prefix = digits.iter().take(4).fold(0_u32, |number, digit| number * 10 + u32::from(*digit));
    matches!(
        prefix,
        4000..=4999 | 5000..=6999 | 2221..=2720 | 3400..=3499 | 3700..=3799 | 3000..=3059 | 3600..=3699
            | 3800..=3899 | 3528..=3589
    )
}

fn has_luhn_digit(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(index, digit)| match (index % 2, u32::from(*digit)) {
            (0, digit) => digit,
            (_, digit) if digit > 4 => digit * 2 - 9,
            (_, digit) => digit * 2,
        })
        .sum();
    sum.is_multiple_of(10)
}

/// Whether what follows is the fraction of a decimal number: `0.`, `48.`, up to three digits before the point.
fn is_fraction(before: &str) -> bool {
    let Some(whole) = before.strip_suffix('.') else { return false };
    let digits = whole.bytes().rev().take(4).take_while(u8::is_ascii_digit).count();
    (1..=3).contains(&digits)
}

/// Whether the place lies inside a UUID as it is written with dashes, which no letter touches.
fn is_inside_uuid(text: &str, span: &Range<usize>) -> bool {
    const GROUPS: [usize; 5] = [8, 4, 4, 4, 12];
    const LENGTH: usize = 36;
    let belongs = |byte: &u8| byte.is_ascii_hexdigit() || *byte == b'-';
    let bytes = text.as_bytes();
    let start = span.start - bytes[..span.start].iter().rev().take(LENGTH).take_while(|byte| belongs(byte)).count();
    let length = bytes[start..].iter().take(LENGTH + 1).take_while(|byte| belongs(byte)).count();
    length == LENGTH && bytes[start..start + LENGTH].split(|byte| *byte == b'-').map(<[u8]>::len).eq(GROUPS)
}

#[cfg(test)]
mod tests;
