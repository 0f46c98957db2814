//! What a buyer gets for the money: tickets, on paper and by mail.

#[path = "tickets/reader.rs"]
mod reader;

use super::shop::{Shop, VISA, anybody, placement};
use mailparse::{MailHeaderMap, ParsedMail, parse_mail};
use orchestrator::{
    SagaId,
    action::{Call, Lane, LocalAction},
    acts::RecordFilter,
    catalog::Author,
    ids::MessageId,
    outbox::{Deliver as _, Destination, KeptMessage, KeptState},
};
use private_servers::{MailOnce, MailSaid, MailServer};
use serde_json::json;
use std::collections::BTreeMap;
use workflows::{
    cases::Notified,
    delivery::Deliver,
    ids::{EventId, OrderId, TicketId},
    mail::Mailer,
    orders::{CancelOrder, cancel, find},
    seat_cache::SeatCache,
    tickets::{IssueTickets, Paper, TicketKeys, papers, pdf, revocations, revoke_in_tx, verify},
};

const FROM: &str = "Box office <tickets@example.org>";
const PERSON: Author<'_> = Author { name: "olga", address: None };

fn post(shop: &Shop, url: &str) -> Deliver {
    let mailer = Some(Mailer::new(url, FROM).unwrap());
    Deliver { pool: shop.pool.clone(), cache: SeatCache::absent(), mailer, notified: Notified::default() }
}

/// Delivers all mail that is due, and tells how much there was.
async fn send(shop: &Shop, post: &Deliver) -> usize {
    shop.engine.dispatch_outbox(post, Destination::Outside, 10).await.unwrap()
}

/// The mail that has not been delivered.
async fn kept(shop: &Shop) -> Vec<KeptMessage> {
    let all = shop.engine.kept_messages(None, None, 100).await.unwrap();
    all.into_iter().filter(|kept| kept.topic == "tickets.mail").collect()
}

/// As if the pause of what failed were over.
async fn pass_the_pause(shop: &Shop) {
    sqlx::query("update engine.outbox set due_at = now() where state = 'waiting'").execute(&shop.pool).await.unwrap();
}

/// The document that a mail brings.
fn attached(mail: &ParsedMail<'_>) -> Vec<u8> {
    let part = mail.subparts.iter().find(|part| part.ctype.mimetype == "application/pdf").unwrap();
    part.get_body_raw().unwrap()
}

#[tokio::test]
async fn the_tickets_of_an_order_come_by_mail_and_open_the_gate() {
    let shop = Shop::open().await;
    let hold = shop.hold("ann", 3).await;
    let placed = placement(shop.place(&hold, VISA, "k").await.unwrap());
    shop.run_until(placed.saga_id, "completed").await;
    let server = MailServer::start().unwrap();
    assert_eq!(send(&shop, &post(&shop, &server.url())).await, 1, "one message for the whole order");
    assert_eq!(kept(&shop).await, []);

    let taken = server.taken();
    assert_eq!((taken.len(), &taken[0].to), (1, &vec!["buyer@example.org".to_owned()]));
    let mail = parse_mail(&taken[0].bytes).unwrap();
    let header = |name: &str| mail.headers.get_first_value(name).unwrap();
    assert_eq!(header("From"), "\"Box office\" <tickets@example.org>");
    assert_eq!(header("Message-ID"), format!("<{}.tickets@example.org>", placed.order_id));
    let pages = reader::read(&attached(&mail));
    let order = find(&shop.pool, &anybody(), placed.order_id).await.unwrap().unwrap();
    let shown: Vec<_> = pages.iter().flat_map(|page| page.codes.clone()).collect();
    let codes: Vec<_> = order.tickets.iter().map(|ticket| ticket.code.clone()).collect();
    assert_eq!((pages.len(), shown.len()), (3, 3), "{pages:?}");
    for code in &codes {
        assert!(shown.contains(code), "{code} is not in {shown:?}");
        assert!(verify(&shop.pool, &TicketKeys::development(), code).await.unwrap().valid);
    }
}

#[tokio::test]
async fn issuing_twice_gives_the_same_tickets_and_one_message() {
    let shop = Shop::open().await;
    let placement = shop.confirmed().await;
    let before = shop.see(placement.order_id).await.tickets;
    assert_eq!(kept(&shop).await.len(), 1);
    let again = issue_again(&shop, placement.order_id, placement.saga_id).await;
    assert_eq!(again, before.iter().map(|ticket| ticket.ticket_id).collect::<Vec<_>>());
    assert_eq!(shop.see(placement.order_id).await.tickets, before);
    assert_eq!(kept(&shop).await.len(), 1);
}

/// As if the step were run once more.
async fn issue_again(shop: &Shop, order: OrderId, saga: SagaId) -> Vec<TicketId> {
    let call = Call {
        saga_id: saga,
        keys_of: saga,
        definition: "book-tickets".to_owned(),
        tags: BTreeMap::new(),
        saga_input: json!({}),
        step: "issue".to_owned(),
        lane: Lane::Forward,
        attempt: 2,
        now: chrono::DateTime::UNIX_EPOCH,
        deadline: None,
        notes: Vec::new(),
        output: None,
        cause: None,
        failure: None,
        attempts_left: None,
        signal: None,
        signals: Vec::new(),
        wait_elapsed: false,
    };
    let input = serde_json::from_value(json!({ "orderId": order })).unwrap();
    let mut tx = shop.pool.begin().await.unwrap();
    let issued = IssueTickets { keys: TicketKeys::development() }.run(&mut tx, &call, input).await.unwrap();
    tx.commit().await.unwrap();
    issued.ticket_ids
}

#[tokio::test]
async fn a_server_that_says_later_is_asked_again_with_the_same_mail() {
    let shop = Shop::open().await;
    shop.confirmed().await;
    let server = MailServer::start().unwrap();
    let post = post(&shop, &server.url());
    server.once(MailSaid::Recipient, MailOnce::Says("450 4.2.1 buyer@example.org is busy, come again"));
    server.once(MailSaid::Message, MailOnce::KeepsAndIsGone);
    for attempt in 1..=2 {
        assert_eq!(send(&shop, &post).await, 1);
        let waiting = kept(&shop).await.remove(0);
        assert_eq!((waiting.state, waiting.attempts), (KeptState::Waiting, attempt));
        let error = waiting.last_error.unwrap();
        assert!(!error.contains("example.org"), "no address is kept: {error}");
        assert_eq!(error.contains("is busy, come again"), attempt == 1, "{error}");
        assert_eq!(send(&shop, &post).await, 0, "it rests");
        pass_the_pause(&shop).await;
    }
    assert_eq!(send(&shop, &post).await, 1);
    assert_eq!(kept(&shop).await, []);
    let taken = server.taken();
    assert_eq!(taken.len(), 2, "the first was taken, but nobody heard of it");
    assert_eq!(taken[0], taken[1], "the same mail, under one Message-ID");
}

#[tokio::test]
async fn what_a_server_refuses_is_dead_until_a_person_says_so() {
    let shop = Shop::open().await;
    let placement = shop.confirmed().await;
    let server = MailServer::start().unwrap();
    let post = post(&shop, &server.url());
    server.once(MailSaid::Recipient, MailOnce::Says("550 5.1.1 <buyer@example.org> is nobody here"));
    assert_eq!(send(&shop, &post).await, 1);
    pass_the_pause(&shop).await;
    assert_eq!(send(&shop, &post).await, 0, "nobody tries by itself");
    let dead = shop.engine.kept_messages(Some(KeptState::Dead), None, 10).await.unwrap().remove(0);
    assert_eq!((dead.attempts, &dead.payload["orderId"]), (1, &json!(placement.order_id)));
    assert_eq!(dead.last_error.as_deref(), Some("permanent error (550): 5.1.1 (address) is nobody here"));

    let retry = async |message| shop.engine.retry_message(message, PERSON, "the mailbox is there now").await.unwrap();
    let retried = retry(dead.message_id).await.unwrap();
    assert_eq!((retried.state, retried.attempts), (KeptState::Waiting, 0));
    assert_eq!(retry(dead.message_id).await, Some(retried), "a second click does nothing more");
    let of_person = RecordFilter { actor: Some(PERSON.name.to_owned()), ..RecordFilter::default() };
    let acts = shop.engine.recorded_acts(&of_person, None, 10).await.unwrap();
    let acts: Vec<_> = acts.into_iter().map(|act| (act.actor, act.act, act.object)).collect();
    assert_eq!(acts, [("olga".to_owned(), "outbox.retry".to_owned(), dead.message_id.to_string())]);
    assert_eq!(send(&shop, &post).await, 1);
    assert_eq!(server.taken().len(), 1);
    assert_eq!(retry(dead.message_id).await, None, "what has arrived is forgotten");
    assert_eq!(retry(MessageId::fresh()).await, None);
}

#[tokio::test]
async fn a_server_that_wants_nothing_of_us_kills_no_message() {
    let shop = Shop::open().await;
    shop.confirmed().await;
    let server = MailServer::start().unwrap();
    let post = post(&shop, &server.url());
    // once for the message, and once for the look whether it is the message that is refused
    for _ in 0..2 {
        server.once(MailSaid::Connects, MailOnce::Says("554 5.7.1 your address is on a list"));
    }
    assert_eq!(send(&shop, &post).await, 1);
    let waiting = kept(&shop).await.remove(0);
    assert_eq!((waiting.state, waiting.attempts), (KeptState::Waiting, 1));
    assert!(waiting.last_error.unwrap().contains("is on a list"));
    assert_eq!(server.heard(MailSaid::Connects), 2);
    pass_the_pause(&shop).await;
    assert_eq!(send(&shop, &post).await, 1);
    assert_eq!(server.taken().len(), 1);
}

#[tokio::test]
async fn without_a_mail_server_mail_waits_and_holds_up_nothing() {
    let shop = Shop::open().await;
    shop.confirmed().await;
    let nowhere =
        Deliver { pool: shop.pool.clone(), cache: SeatCache::absent(), mailer: None, notified: Notified::default() };
    assert!(!nowhere.reaches(Destination::Outside));
    assert!(nowhere.reaches(Destination::Inside));
    let placement = shop.order("pm_card_chargeDeclined").await;
    shop.run_until(placement.saga_id, "compensated").await;
    assert_eq!(kept(&shop).await.len(), 1);
    assert_eq!(kept(&shop).await[0].attempts, 0);
}

#[tokio::test]
async fn tickets_that_let_nobody_in_are_mailed_to_nobody() {
    let shop = Shop::open().await;
    let hold = shop.hold("ann", 2).await;
    let placed = placement(shop.place(&hold, VISA, "k").await.unwrap());
    shop.run_until(placed.saga_id, "completed").await;
    let other = shop.confirmed().await;
    let server = MailServer::start().unwrap();
    let mut tx = shop.pool.begin().await.unwrap();
    revoke_in_tx(&mut tx, placed.order_id, &hold.seat_ids[..1], "refunded").await.unwrap();
    let all = shop.see(other.order_id).await.seat_ids;
    revoke_in_tx(&mut tx, other.order_id, &all, "refunded").await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(send(&shop, &post(&shop, &server.url())).await, 2);
    assert_eq!(kept(&shop).await, []);
    let taken = server.taken();
    assert_eq!(taken.len(), 1);
    let pages = reader::read(&attached(&parse_mail(&taken[0].bytes).unwrap()));
    let live = papers(&shop.pool, placed.order_id, None).await.unwrap();
    assert_eq!((pages.len(), live.len()), (1, 1));
    assert_eq!(pages[0].codes, [live[0].code.as_str()]);
}

#[tokio::test]
async fn gates_learn_which_tickets_were_taken_back_and_of_no_others() {
    let shop = Shop::open().await;
    let hold = shop.hold("ann", 3).await;
    let placed = placement(shop.place(&hold, VISA, "k").await.unwrap());
    shop.run_until(placed.saga_id, "completed").await;
    let list = async |after, limit| revocations(&shop.pool, shop.event, after, limit).await.unwrap().unwrap();
    assert_eq!(list(None, 10).await.tickets, []);
    let mut back = Vec::new();
    for seat in &hold.seat_ids[..2] {
        let request = CancelOrder {
            order_id: placed.order_id,
            reason: "ill".to_owned(),
            seat_ids: Some(vec![seat.clone()]),
            idempotency_key: Some(seat.clone()),
            address: None,
        };
        let refund = cancel(&shop.engine, &anybody(), request).await.unwrap().cancellation().saga_id;
        shop.run_until(refund, "completed").await;
        back.push(TicketId::of(placed.order_id, seat));
        back.sort_unstable();
        let whole = list(None, 10).await;
        assert_eq!((&whole.tickets, whole.after, whole.through), (&back, None, None));
    }
    let first = list(None, 1).await;
    assert_eq!((first.through, first.tickets), (Some(back[0]), vec![back[0]]));
    let rest = list(first.through, 1).await;
    assert_eq!((rest.after, rest.through, rest.tickets), (Some(back[0]), None, vec![back[1]]));
    assert_eq!(revocations(&shop.pool, EventId::fresh(), None, 10).await.unwrap(), None);
    shop.assert_well().await;
}

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
