use super::*;
use proptest::prelude::*;

/// Numbers that the schemes publish for testing.
const CARDS: [&str; 16] = [
    "4242424242424242",
    "4000056655665556",
    "4222222222222",
    "5555555555554444",
    "2223003122003222",
    "5200828282828210",
    "378282246310005",
    "371449635398431",
    "6011111111111117",
    "6011000990139424",
    "3056930009020004",
    "36227206271667",
    "3566002020360505",
    "6200000000000005",
    "6205500000000000004",
    "6759649826438453",
];

#[test]
fn every_scheme_is_found() {
    for card in CARDS {
        assert!(contains_card_number(card), "{card}");
        assert!(contains_card_number(&format!("card {card}, please")), "{card}");
        assert!(contains_card_number(&format!("{{\"number\":\"{card}\"}}")), "{card}");
    }
}

#[test]
fn spaces_and_dashes_of_any_kind_do_not_hide_it() {
    for text in [
        "4242 4242 4242 4242",
        "4242-4242-4242-4242",
        "4242 - 4242 - 4242 - 4242",
        "3782 822463 10005",
        "4 2 4 2 4 2 4 2 4 2 4 2 4 2 4 2",
        "4242\u{a0}4242\u{2009}4242\u{3000}4242",
        "4242\u{2013}4242\u{2212}4242\u{2010}4242",
        "4242\u{200b}4242\u{ad}4242\u{feff}4242",
        "4242\t4242\n4242\r\n4242",
    ] {
        assert!(contains_card_number(text), "{text:?}");
    }
}

#[test]
fn digits_of_any_script_do_not_hide_it() {
    for text in [
        "٤٢٤٢٤٢٤٢٤٢٤٢٤٢٤٢",
        "４２４２ ４２４２ ４２４２ ４２４２",
        "४२४२४२४२४२४२४२४२",
        "𝟜𝟚𝟜𝟚𝟜𝟚𝟜𝟚𝟜𝟚𝟜𝟚𝟜𝟚𝟜𝟚",
        "42٤٢4242４２４２4242",
        "我的卡号4242424242424242谢谢",
        "บัตร4242424242424242ครับ",
    ] {
        assert!(contains_card_number(text), "{text:?}");
    }
}

#[test]
fn it_is_found_among_other_numbers() {
    for text in [
        "4242 4242 4242 4242 12/30 123",
        "4242424242424242 123",
        "order 17, 4242 4242 4242 4242",
        "2 tickets 4242 4242 4242 4242",
        "12345 4242424242424242",
        "4242424242424242,5555555555554444",
        "card-4242424242424242",
        "4242424242424242.",
    ] {
        assert!(contains_card_number(text), "{text:?}");
    }
}

#[test]
fn what_is_something_else_is_left_alone() {
    for text in [
        "",
        "-",
        "4242424242424241",     // wrong Luhn digit
        "1242424242424248",     // nobody's prefix
        "424242424242",         // 12 digits
        "42424242424242424242", // 20 digits
        "94242424242424242424242424242",
        "x4242424242424242",
        "4242424242424242x",
        "é4242424242424242",
        "ord_4242424242424242",
        "4242424242424242_a",
        "0.4242424242424242",
        "48.4242424242424242",
        "4242.4242.4242.4242",
        "4242/4242/4242/4242",
        "018f4242-4242-7242-8242-424242424242",
        "42424242-4242-4242-8111-111111111111",
        "sag_42424242424242424242424242424242",
        "2026-10-25T02:30:00.123456789Z",
        "20261025023000123",
        "1792895400000",
        "1792895400000000000",
        "Rows 41, 42, 43, 44, 45, 46, 47, 48",
        "pm_card_visa",
    ] {
        assert!(!contains_card_number(text), "{text:?}");
    }
}

#[test]
fn redaction_replaces_the_number_alone() {
    assert_eq!(redact_card_numbers("my 4242-4242 4242 4242!"), "my [card number]!");
    assert_eq!(
        redact_card_numbers("4242424242424242 and ３７８２８２２４６３１０００５"),
        "[card number] and [card number]"
    );
    assert_eq!(redact_card_numbers("4242 4242 4242 4242 12/30"), "[card number] 12/30");
    assert!(matches!(redact_card_numbers("nothing here 42"), Cow::Borrowed("nothing here 42")));
}

#[test]
fn a_long_text_takes_time_in_proportion() {
    // Quadratic work on 8 MB would not end within the test's patience.
    for piece in ["4", "4 ", "42-", "4242 4242 4242 4241 ", "a", "0.", "4242424242424242 "] {
        let text = piece.repeat(8_000_000 / piece.len() / 8);
        let _ = redact_card_numbers(&text);
    }
}

/// A card number with one of the prefixes, its Luhn digit put right.
fn any_card() -> impl Strategy<Value = String> {
    let prefix = prop::sample::select(vec![
        "4", "51", "55", "2221", "2720", "34", "37", "6011", "644", "649", "65", "3528", "3589", "300", "305", "36",
        "38", "62", "50", "56", "69",
    ]);
    (prefix, prop::collection::vec(0_u8..10, 18), DIGITS_MIN..=DIGITS_MAX).prop_map(|(prefix, rest, length)| {
        let mut digits: Vec<u8> = prefix.bytes().map(|b| b - b'0').chain(rest).take(length - 1).collect();
        let check = (0..10).find(|check| {
            digits.push(*check);
            let right = has_luhn_digit(&digits);
            digits.pop();
            right
        });
        digits.push(check.unwrap());
        digits.iter().map(|digit| char::from(digit + b'0')).collect()
    })
}

proptest! {
    #[test]
    fn any_card_is_found_however_it_is_spaced(
        card in any_card(),
        gaps in prop::collection::vec(prop::sample::select(vec!["", "", "", " ", "-", "\u{a0}", " \u{2013} "]), 19),
    ) {
        let mut text = String::from("pay with ");
        for (index, digit) in card.chars().enumerate() {
            if index > 0 {
                text.push_str(gaps[index]);
            }
            text.push(digit);
        }
        prop_assert!(contains_card_number(&text), "{}", text);
        let redacted = redact_card_numbers(&text);
        prop_assert_eq!(redacted.as_ref(), "pay with [card number]");
    }

    #[test]
    fn a_wrong_check_digit_is_no_card(card in any_card(), by in 1_u8..10) {
        let (front, last) = card.split_at(card.len() - 1);
        let wrong = (last.as_bytes()[0] - b'0' + by) % 10;
        let text = format!("{front}{wrong}");
        prop_assert!(!contains_card_number(&text));
    }

    #[test]
    fn a_card_inside_a_longer_word_is_none(card in any_card(), letter in "[a-zA-Zéß_]") {
        let front = format!("{letter}{card}");
        let behind = format!("{card}{letter}");
        prop_assert!(!contains_card_number(&front) && !contains_card_number(&behind));
    }

    #[test]
    fn no_uuid_is_a_card(number: u128) {
        let uuid = uuid::Uuid::from_u128(number);
        let (dashed, simple) = (uuid.to_string(), format!("ord_{}", uuid.simple()));
        prop_assert!(!contains_card_number(&dashed) && !contains_card_number(&simple));
    }

    #[test]
    fn what_is_redacted_holds_none_and_any_text_is_taken(text in "\\PC{0,60}") {
        let redacted = redact_card_numbers(&text);
        prop_assert_eq!(contains_card_number(&text), matches!(redacted, Cow::Owned(_)));
        prop_assert!(!contains_card_number(&redacted));
    }
}
