//! What a buyer gets for the money: tickets on paper.

#[path = "tickets/reader.rs"]
mod reader;

use workflows::{
    ids::{OrderId, TicketId},
    tickets::{Paper, pdf},
};

fn paper(event: &str) -> Paper {
    let order = OrderId::fresh();
    Paper {
        ticket_id: TicketId::of(order, "a-1-1"),
        order_id: order,
        event: event.to_owned(),
        venue: "Ταύρος, Αθήνα".to_owned(),
        starts: "Friday, 1 June 2035, 20:00 (Europe/Athens)".to_owned(),
        section: "Партер".to_owned(),
        row: 12,
        number: 7,
        code: format!("SR1.0a1b2c3d.{}.{}", "p".repeat(160), "s".repeat(86)),
        issued_at: "2035-01-01T00:00:00Z".parse().unwrap(),
    }
}

#[test]
fn a_page_says_what_it_is_for_and_its_code_is_read_by_a_scanner() {
    let papers = [paper("Nabucco"), paper("Čajkovskij: Лебединое озеро")];
    let document = pdf::document(&papers).unwrap();
    assert_eq!(document, pdf::document(&papers).unwrap(), "the same tickets, the same bytes");
    assert!(document.len() < 100_000, "{} bytes", document.len());
    let pages = reader::read(&document);
    for (page, paper) in pages.iter().zip(&papers) {
        assert_eq!(page.codes, [paper.code.as_str()]);
        for text in [&*paper.event, &*paper.venue, &*paper.starts, &*paper.section, "Row 12, seat 7"] {
            assert!(page.text.contains(text), "{text} is not in {}", page.text);
        }
        assert!(page.text.contains(&paper.order_id.to_string()));
    }
    assert_eq!(pages.len(), papers.len());
}

#[test]
fn no_name_breaks_a_page() {
    let long = "An evening of everything that anybody has ever wanted to hear ".repeat(20);
    let names = ["", "  ", "東京公演", "مهرجان الموسيقى", "🎭🎭🎭", "\u{0}\u{7}\u{202e}", &"W".repeat(500), &long];
    for name in names {
        let paper = paper(name);
        let pages = reader::read(&pdf::document(std::slice::from_ref(&paper)).unwrap());
        assert_eq!((pages.len(), &pages[0].codes), (1, &vec![paper.code]), "{name:?}");
        assert!(pages[0].text.contains("Row 12, seat 7"), "{name:?} {}", pages[0].text);
    }
    let cut = reader::read(&pdf::document(&[paper(&long)]).unwrap()).remove(0).text;
    assert!(cut.lines().nth(2).unwrap().ends_with('…'), "{cut}");
}
