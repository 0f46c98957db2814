//! What buyers find, and when what they have of it is old.

use super::world::{Redis, World, database, new_event, section};
use workflows::{
    events::{self, CreateEventError, EventFilter, ListError, NewEvent},
    ids::EventId,
    seats::{SeatMapError, SeatStatus, seat_map, seat_map_version},
};

fn named(name: &str, venue: &str, start_time: &str, time_zone: &str) -> NewEvent {
    NewEvent {
        name: name.into(),
        venue: venue.into(),
        start_time: start_time.into(),
        time_zone: Some(time_zone.into()),
        ..new_event()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_found_by_day_words_and_almost_those_words() {
    let pool = database().await;
    for event in [
        // still the 31st in New York, the 1st in UTC
        named("Macbeth", "Harlem Stage", "2036-12-31T22:00", "America/New_York"),
        named("Hamlet", "Globe", "2036-12-31T20:00", "Europe/London"),
        // the 1st in Tokyo, still the 31st in UTC
        named("New Year", "Kabuki-za", "2037-01-01T07:00", "Asia/Tokyo"),
        named("The Magic Flute", "State Opera", "2037-02-01T19:00", "Europe/Vienna"),
    ] {
        events::create(&pool, &event, "a test".into()).await.unwrap();
    }
    let found = async |filter: EventFilter| -> Vec<String> {
        let page = events::list(&pool, &filter, 50, None).await.unwrap();
        page.items.into_iter().map(|event| event.name).collect()
    };
    let day = |text: &str| EventFilter { date: Some(text.parse().unwrap()), ..EventFilter::default() };
    assert_eq!(found(day("2036-12-31")).await, ["Hamlet", "Macbeth"]);
    assert_eq!(found(day("2037-01-01")).await, ["New Year"]);
    let words = |text: &str| EventFilter { q: Some(text.into()), ..EventFilter::default() };
    for (q, names) in [
        ("hamlet", &["Hamlet"][..]),
        ("HAM", &["Hamlet"]),
        ("flute opera", &["The Magic Flute"]),
        ("flute globe", &[]),
        // typing errors
        ("hamelt", &["Hamlet"]),
        ("macbet", &["Macbeth"]),
        ("magik flutte", &["The Magic Flute"]),
        ("nothing like it", &[]),
        ("zz", &[]),
        ("&|!()", &[]),
    ] {
        assert_eq!(found(words(q)).await, names, "{q}");
    }
    let all = EventFilter::default;
    assert_eq!(found(EventFilter { venue: Some("opera".into()), ..all() }).await, ["The Magic Flute"]);
    let from = Some("2036-12-31T23:00:00Z".parse().unwrap());
    let to = Some("2037-02-01T18:00:00Z".parse().unwrap());
    assert_eq!(found(EventFilter { from, to, ..all() }).await, ["Macbeth"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_follow_each_other() {
    let pool = database().await;
    for _ in 0..5 {
        events::create(&pool, &new_event(), "a test".into()).await.unwrap();
    }
    for q in [None, Some("hamlet".to_owned()), Some("hamelt".to_owned())] {
        let filter = EventFilter { q, ..EventFilter::default() };
        let (mut seen, mut cursor, mut versions) = (Vec::new(), None, Vec::new());
        loop {
            let page = events::list(&pool, &filter, 2, cursor.as_deref()).await.unwrap();
            assert!(page.items.len() <= 2);
            seen.extend(page.items.into_iter().map(|event| event.event_id));
            versions.push(page.version);
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!((seen.len(), versions.len()), (5, 3));
        seen.dedup();
        versions.dedup();
        assert_eq!((seen.len(), versions.len()), (5, 3), "each once");
        let bad = events::list(&pool, &filter, 2, Some("nonsense")).await;
        assert!(matches!(bad, Err(ListError::Cursor)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_made_with_all_its_seats() {
    let event = NewEvent { sections: vec![section("Stalls", 2, 3), section("Box 1", 1, 2)], ..new_event() };
    let world = World::of(Redis::Absent, event.clone()).await;
    let found = events::get(&world.pool, world.event).await.unwrap().unwrap();
    assert_eq!((found.seat_count, found.sections.len()), (8, 2));
    assert_eq!(events::get(&world.pool, EventId::fresh()).await.unwrap(), None);
    let hex = world.event.0.simple().to_string();
    assert_eq!(world.seats[0], format!("{}-stalls-1-1", &hex[24..]));
    assert_eq!(world.seats[7], format!("{}-box-1-1-2", &hex[24..]));
    let boxes = seat_map(&world.pool, world.event, Some("Box 1")).await.unwrap();
    assert_eq!(boxes.items.iter().map(|seat| (seat.row, seat.number)).collect::<Vec<_>>(), [(1, 1), (1, 2)]);
    let missing = seat_map(&world.pool, world.event, Some("Moon")).await;
    assert!(matches!(missing, Err(SeatMapError::NoSuchSection(_))));
    let missing = seat_map_version(&world.pool, EventId::fresh(), None).await;
    assert!(matches!(missing, Err(SeatMapError::NoSuchEvent(_))));
    let bad = NewEvent { currency: "XXX".into(), ..event };
    match events::create(&world.pool, &bad, "a test".into()).await {
        Err(CreateEventError::Invalid(mistakes)) => assert_eq!(mistakes[0].pointer, "/currency"),
        other => panic!("{other:?}"),
    }
    world.assert_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_map_s_version_changes_with_every_seat_and_with_time() {
    let world = World::new(Redis::Absent).await;
    let version = async || {
        let map = seat_map(&world.pool, world.event, None).await.unwrap();
        assert_eq!(map.version, seat_map_version(&world.pool, world.event, None).await.unwrap());
        map.version
    };
    let mut seen = vec![version().await];
    assert_eq!(version().await, seen[0], "nothing changed");
    let hold = world.held("ann", &[0]).await;
    seen.push(version().await);
    world.pass_time_of(hold.hold_id).await;
    seen.push(version().await);
    assert_eq!(world.count(SeatStatus::Held).await, 0);
    let hold = world.held("bob", &[0]).await;
    seen.push(version().await);
    world.holds.release(hold.hold_id, None).await.unwrap();
    seen.push(version().await);
    let order = world.order(&world.held("cy", &[1]).await).await;
    seen.push(version().await);
    let mut tx = world.pool.begin().await.unwrap();
    workflows::holds::commit_in_tx(&mut tx, order).await.unwrap();
    tx.commit().await.unwrap();
    seen.push(version().await);
    let count = seen.len();
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), count, "each is new");
}
