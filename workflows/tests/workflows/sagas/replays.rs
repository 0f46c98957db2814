//! Replays of many refunds: exactly those that were planned, with a second person's consent, each paid back once by the
//! gateway's own books.

use super::{
    faults::Place,
    news::cancelled,
    shop::{Death, PRICE, Shop, anybody},
};
use orchestrator::{
    SagaId,
    action::Lane,
    acts::{Act, ActRequest},
    catalog::Author,
    journal::{ActKind, Entry},
};
use serde_json::{Value, json};
use workflows::{
    access::{Principal, Role},
    approvals::{AskError, Asked, Asks, Begun, DecideError, Decision, decide},
    batches::{
        BatchEvent, BatchState, ChangeError, Changed, Counts, ItemFilter, Limits, carry_out, change, find, items, start,
    },
    ids::{ApprovalId, BatchId, OrderId, RefundId},
    orders::OrderStatus,
    refunds::{
        AskRefund, Refunds, ReplayError, ReplayRefund, Wanted, replay,
        replays::{PlanReplays, PlanReplaysError, PlannedReplays, Selection, plan, read},
    },
    settings::BookingSettings,
};

const FAST: Limits = Limits { rate_per_second: 1_000, concurrency: 1_000, abort_at_failure_permille: None };
const REASON: &str = "the bank is well again";
const SENT: &str = "will be sent to primary";

fn finance(name: &str) -> Principal {
    Principal { role: Role::Finance, name: name.to_owned(), ..anybody() }
}

fn by(name: &str) -> Author<'_> {
    Author { name, address: None }
}

/// A refund that was asked for, of an order of one seat.
#[derive(Debug, Clone, Copy)]
struct Owed {
    order: OrderId,
    saga: SagaId,
    refund: RefundId,
}

async fn refund_of(shop: &Shop, order: OrderId) -> RefundId {
    let refund = sqlx::query_scalar("select refund_id from booking.refunds where order_id = $1").bind(order.0);
    RefundId(refund.fetch_one(&shop.pool).await.unwrap())
}

async fn cancelled_order(shop: &Shop) -> Owed {
    let order = shop.confirmed().await.order_id;
    let saga = cancelled(shop, order).await;
    Owed { order, saga, refund: refund_of(shop, order).await }
}

/// Refunds that the gateway has refused until they needed a person; it would not any more.
async fn refused(shop: &Shop, count: usize) -> Vec<Owed> {
    shop.gateway_fault(json!({"fault": "decline", "operation": "refund"})).await;
    let mut all = Vec::new();
    for _ in 0..count {
        let owed = cancelled_order(shop).await;
        shop.run_until(owed.saga, "stuck").await;
        all.push(owed);
    }
    shop.heal_gateway().await;
    all
}

/// A refund that the gateway has carried out and nobody has heard of, whose saga was killed.
async fn unheard(shop: &Shop) -> Owed {
    shop.gateway_fault(json!({"fault": "timeout_after", "operation": "refund", "count": 1})).await;
    let owed = cancelled_order(shop).await;
    let submit = Place { definition: "refund-order".to_owned(), step: "submit".to_owned(), lane: Lane::Forward };
    shop.run_and_die(owed.saga, &submit, Death::AfterRecord).await;
    let kill = ActRequest {
        saga_id: owed.saga,
        act: Act::Kill,
        reason: "a mistake".to_owned(),
        seq: shop.view(owed.saga).await.run.seq,
        by: "operator".to_owned(),
        address: None,
    };
    shop.engine.act(kill).await.unwrap();
    shop.heal_gateway().await;
    owed
}

/// A refund that waits for a second person.
async fn unapproved(shop: &Shop) -> RefundId {
    let order_id = shop.confirmed().await.order_id;
    let request = AskRefund {
        order_id,
        wanted: Wanted { amount_minor: None, seat_ids: None },
        reason: "late doors".to_owned(),
        idempotency_key: "k".to_owned(),
        address: None,
    };
    let settings = BookingSettings { refund_approval_above: 1, ..BookingSettings::default() };
    Refunds::new(shop.engine.clone(), &settings).ask(&finance("dora"), request).await.unwrap();
    refund_of(shop, order_id).await
}

fn wanted(selection: Selection, who: &str) -> PlanReplays {
    PlanReplays { selection, filter: json!({}), limits: FAST, reason: REASON.to_owned(), by: who.to_owned() }
}

async fn planned(shop: &Shop, refunds: impl IntoIterator<Item = RefundId>, who: &str) -> PlannedReplays {
    let selection = Selection::Refunds(refunds.into_iter().collect());
    plan(&shop.engine, shop.gateways(), wanted(selection, who)).await.unwrap()
}

/// What the plan says of how many, with what is outstanding of them.
fn said(planned: &PlannedReplays) -> Vec<(&str, i64, i64)> {
    let of = |group: &workflows::refunds::replays::ReplayGroup| group.amounts.iter().map(|sum| sum.amount_minor).sum();
    let mut said: Vec<_> =
        planned.groups.iter().map(|group| (group.verdict.as_str(), group.count, of(group))).collect();
    said.sort_unstable();
    said
}

async fn begin(shop: &Shop, batch: BatchId, who: &str) -> Begun {
    let asks = Asks::new(shop.engine.clone(), &BookingSettings::default());
    asks.start_replays(batch, by(who)).await.unwrap()
}

async fn consent(shop: &Shop, approval_id: ApprovalId, who: &str) -> Result<(), DecideError> {
    let decision = Decision { approval_id, consents: true, reason: "looked at it".to_owned(), address: None };
    decide(&shop.engine, &finance(who), decision).await.map(drop)
}

/// Begins it, by one person and with the consent of another.
async fn begin_together(shop: &Shop, batch: BatchId, who: &str) -> ApprovalId {
    let Begun::Asked(Asked::New(approval)) = begin(shop, batch, who).await else { panic!("one person was enough") };
    consent(shop, approval, "zoe").await.unwrap();
    approval
}

/// Gives the batches turns, and the sagas too, until nothing waits or is on its way; how it stands then.
async fn run(shop: &Shop, batch: BatchId) -> Counts {
    loop {
        carry_out(&shop.engine).await.unwrap();
        shop.turn().await;
        let counts = find(&shop.pool, batch).await.unwrap().unwrap().counts;
        if counts.waiting + counts.still_running == 0 {
            return counts;
        }
    }
}

/// Each of these orders has its money back, once, by the gateway's own books.
async fn is_back(shop: &Shop, all: &[Owed]) {
    let books = shop.refunds_at_primary().await;
    for owed in all {
        shop.assert_ended(owed.order, OrderStatus::Cancelled).await;
        let own = |refund: &&Value| refund.to_string().contains(&owed.refund.to_string());
        let paid: Vec<_> = books.iter().filter(own).filter(|refund| refund["status"] == "succeeded").collect();
        assert_eq!(paid.iter().map(|refund| refund["amount"].as_i64().unwrap()).sum::<i64>(), PRICE, "{books:#?}");
        assert_eq!(paid.len(), 1, "{paid:#?}");
    }
}

async fn retries(shop: &Shop, saga: SagaId) -> usize {
    let journal = shop.view(saga).await.journal;
    let retried = |entry: &Entry| matches!(entry, Entry::Acted { act: ActKind::Retry, .. });
    journal.iter().filter(|recorded| retried(&recorded.entry)).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_refused_is_mended_by_one_run_with_a_second_person() {
    let shop = Shop::open().await;
    let done = unheard(&shop).await;
    let owed = refused(&shop, 3).await;
    let (back, under_way) = (cancelled_order(&shop).await, unapproved(&shop).await);
    shop.run_until(back.saga, "completed").await;
    let asked_before = shop.refunds_at_primary().await.len();
    let named = owed.iter().chain([&done, &back, &done]).map(|owed| owed.refund);
    let planned = planned(&shop, named.chain([under_way, RefundId::fresh()]), "ann").await;
    let expected = [
        ("already refunded at the gateway: will only be recorded", 1, PRICE),
        ("needs a second person", 1, PRICE),
        ("not done: all of it has gone back", 1, 0),
        ("not done: there is no such refund", 1, 0),
        (SENT, 3, 3 * PRICE),
    ];
    assert_eq!(said(&planned), expected);
    assert!(planned.needs_second_person());
    assert_eq!(shop.refunds_at_primary().await.len(), asked_before, "a plan pays nothing");

    let batch = planned.batch_id.unwrap();
    let Begun::Asked(Asked::New(approval)) = begin(&shop, batch, "ann").await else { panic!("one was enough") };
    assert_eq!(begin(&shop, batch, "ann").await, Begun::Asked(Asked::Replayed(approval)));
    assert!(matches!(consent(&shop, approval, "ann").await, Err(DecideError::FourEyes(_))));
    let operator = Principal { role: Role::Operator, ..finance("olga") };
    let decision = Decision { approval_id: approval, consents: true, reason: "x".to_owned(), address: None };
    let other = decide(&shop.engine, &operator, decision).await;
    assert!(matches!(other, Err(DecideError::WrongRole(Role::Finance))), "{other:?}");
    carry_out(&shop.engine).await.unwrap();
    assert_eq!(find(&shop.pool, batch).await.unwrap().unwrap().state, BatchState::Planned);
    consent(&shop, approval, "bert").await.unwrap();

    let counts = run(&shop, batch).await;
    assert_eq!(counts, Counts { fixed: 4, not_attempted: 3, ..Counts::default() });
    is_back(&shop, &owed).await;
    is_back(&shop, &[done, back]).await;
    let of_done = shop.refunds_at_primary().await;
    let of_done = of_done.iter().find(|refund| refund.to_string().contains(&done.refund.to_string())).unwrap();
    assert_eq!(of_done["asked"], 1, "it was only recorded: {of_done:#}");
    assert_eq!(begin(&shop, batch, "ann").await, Begun::Asked(Asked::Replayed(approval)), "the same answer");
    let results = items(&shop.pool, batch, ItemFilter { result: Some("fixed"), after: None }, 10).await.unwrap();
    let mut mended: Vec<_> = results.iter().filter_map(|item| item.refund_id).collect();
    mended.sort_unstable_by_key(|refund| refund.0);
    let mut expected: Vec<_> = owed.iter().chain([&done]).map(|owed| owed.refund).collect();
    expected.sort_unstable_by_key(|refund| refund.0);
    assert_eq!(mended, expected);
    assert_ne!(results.iter().find(|item| item.refund_id == Some(done.refund)).unwrap().saga_id, Some(done.saga));
    shop.assert_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_alone_needs_nobody_and_what_fails_again_is_a_run_of_its_own() {
    let shop = Shop::open().await;
    let owed = refused(&shop, 2).await;
    shop.gateway_fault(json!({"fault": "decline", "operation": "refund"})).await;
    let one = planned(&shop, [owed[0].refund], "ann").await;
    assert!(!one.needs_second_person());
    assert_eq!(begin(&shop, one.batch_id.unwrap(), "ann").await, Begun::Now(Changed::Now(BatchState::Running)));
    assert_eq!(run(&shop, one.batch_id.unwrap()).await, Counts { failed_again: 1, ..Counts::default() });
    shop.heal_gateway().await;

    let selection = Selection::FailedAgainIn(one.batch_id.unwrap());
    let again = plan(&shop.engine, shop.gateways(), wanted(selection, "ann")).await.unwrap();
    assert_eq!(said(&again), [(SENT, 1, PRICE)]);
    let stranger = start(&shop.pool, again.batch_id.unwrap(), by("bert")).await;
    stranger.unwrap_err();
    let asks = Asks::new(shop.engine.clone(), &BookingSettings::default());
    asks.start(again.batch_id.unwrap(), by("ann")).await.unwrap_err();
    begin(&shop, again.batch_id.unwrap(), "ann").await;
    assert_eq!(run(&shop, again.batch_id.unwrap()).await, Counts { fixed: 1, ..Counts::default() });
    is_back(&shop, &owed[..1]).await;

    let nobody = plan(&shop.engine, shop.gateways(), wanted(Selection::Refunds(Vec::new()), "ann")).await;
    assert!(matches!(nobody, Err(PlanReplaysError::Nothing)));
    let failed = workflows::refunds::RefundFilter { state: Some("failed".to_owned()), ..Default::default() };
    let rest = plan(&shop.engine, shop.gateways(), wanted(Selection::Matching(failed), "ann")).await.unwrap();
    assert_eq!(rest.groups[0].refunds, [owed[1].refund]);
    shop.assert_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_people_at_once_have_each_refund_tried_again_once() {
    let shop = Shop::open().await;
    let owed = refused(&shop, 4).await;
    let refunds = || owed.iter().map(|owed| owed.refund);
    let (anns, berts) = (planned(&shop, refunds(), "ann").await, planned(&shop, refunds(), "bert").await);
    let batches = [anns.batch_id.unwrap(), berts.batch_id.unwrap()];
    begin_together(&shop, batches[0], "ann").await;
    begin_together(&shop, batches[1], "bert").await;
    let mut waiting = 8;
    while waiting > 0 {
        futures::future::try_join_all((0..4).map(|_| carry_out(&shop.engine))).await.unwrap();
        waiting = 0;
        for batch in batches {
            waiting += find(&shop.pool, batch).await.unwrap().unwrap().counts.waiting;
        }
    }
    let (first, second) = (run(&shop, batches[0]).await, run(&shop, batches[1]).await);
    assert_eq!(
        (first.fixed + second.fixed, first.not_attempted + second.not_attempted),
        (4, 4),
        "{first:?} {second:?}"
    );
    for owed in &owed {
        assert_eq!(retries(&shop, owed.saga).await, 1);
    }
    is_back(&shop, &owed).await;
    shop.assert_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_dies_in_the_middle_of_a_turn_leaves_no_refund_to_be_tried_twice() {
    let shop = Shop::open().await;
    let owed = refused(&shop, 3).await;
    let planned = planned(&shop, owed.iter().map(|owed| owed.refund), "ann").await;
    let batch = planned.batch_id.unwrap();
    begin_together(&shop, batch, "ann").await;
    // a process took all, had two tried again, of which one is back, and died before it wrote that down
    let taken = "update booking.batch_items set state = 'acting', acting_since = now() - interval '2 minutes'";
    sqlx::query(taken).execute(&shop.pool).await.unwrap();
    for (index, owed) in owed[..2].iter().enumerate() {
        let wanted =
            ReplayRefund { refund_id: owed.refund, reason: REASON.to_owned(), by: "ann".to_owned(), address: None };
        replay(&shop.engine, wanted).await.unwrap();
        if index == 0 {
            shop.run_until(owed.saga, "completed").await;
        }
    }
    assert_eq!(run(&shop, batch).await, Counts { fixed: 3, ..Counts::default() });
    for owed in &owed {
        assert_eq!(retries(&shop, owed.saga).await, 1);
    }
    is_back(&shop, &owed).await;
    shop.assert_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_process_had_begun_anew_is_heard_also_where_its_run_is_ended() {
    let shop = Shop::open().await;
    let (unheard, refused) = (unheard(&shop).await, refused(&shop, 1).await.remove(0));
    let batch = planned(&shop, [unheard.refund, refused.refund], "ann").await.batch_id.unwrap();
    begin_together(&shop, batch, "ann").await;
    // a process took both, began a saga anew for the first, and died
    let taken = "update booking.batch_items set state = 'acting', acting_since = now() - interval '2 minutes'";
    sqlx::query(taken).execute(&shop.pool).await.unwrap();
    let (reason, by_whom) = (REASON.to_owned(), "ann".to_owned());
    let wanted = ReplayRefund { refund_id: unheard.refund, reason, by: by_whom, address: None };
    replay(&shop.engine, wanted).await.unwrap();
    change(&shop.pool, batch, BatchEvent::Aborted, "enough", by("ann")).await.unwrap();
    assert_eq!(run(&shop, batch).await, Counts { fixed: 1, not_attempted: 1, ..Counts::default() });
    assert_eq!(retries(&shop, refused.saga).await, 0);
    shop.assert_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_disputed_meanwhile_is_not_tried_again() {
    let shop = Shop::open().await;
    let owed = refused(&shop, 1).await.remove(0);
    shop.dispute(&shop.charge_of(owed.order).await, "opened").await;
    shop.until_posted("disputeOpened", 1).await;
    let wanted =
        ReplayRefund { refund_id: owed.refund, reason: REASON.to_owned(), by: "ann".to_owned(), address: None };
    let refused = replay(&shop.engine, wanted).await;
    assert!(matches!(&refused, Err(ReplayError::NotReplayable(why)) if why.contains("disputed")), "{refused:?}");
    assert_eq!(retries(&shop, owed.saga).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_held_up_and_ended_and_fails_no_more_than_it_may() {
    let shop = Shop::open().await;
    let owed = refused(&shop, 2).await;
    let slow = PlanReplays {
        limits: Limits { concurrency: 1, ..FAST },
        ..wanted(Selection::Refunds(owed.iter().map(|owed| owed.refund).collect()), "ann")
    };
    let batch = plan(&shop.engine, shop.gateways(), slow).await.unwrap().batch_id.unwrap();
    begin_together(&shop, batch, "ann").await;
    let tell = async |event| change(&shop.pool, batch, event, "because", by("ann")).await.unwrap();
    assert_eq!(tell(BatchEvent::Paused).await, Changed::Now(BatchState::Paused));
    carry_out(&shop.engine).await.unwrap();
    assert_eq!(find(&shop.pool, batch).await.unwrap().unwrap().counts.waiting, 2);
    tell(BatchEvent::Resumed).await;
    while find(&shop.pool, batch).await.unwrap().unwrap().counts.waiting == 2 {
        carry_out(&shop.engine).await.unwrap();
    }
    tell(BatchEvent::Aborted).await;
    assert_eq!(run(&shop, batch).await, Counts { fixed: 1, not_attempted: 1, ..Counts::default() });
    assert_eq!(retries(&shop, owed[1].saga).await, 0);
    shop.assert_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_fails_too_often_ends_itself_and_names_what_it_has_not_tried() {
    // no run is judged by fewer than ten
    const TRIED: usize = 10;
    let shop = Shop::open().await;
    let owed = refused(&shop, TRIED + 3).await;
    shop.gateway_fault(json!({"fault": "decline", "operation": "refund"})).await;
    let wary = PlanReplays {
        limits: Limits { concurrency: 1, abort_at_failure_permille: Some(500), ..FAST },
        ..wanted(Selection::Refunds(owed.iter().map(|owed| owed.refund).collect()), "ann")
    };
    let batch = plan(&shop.engine, shop.gateways(), wary).await.unwrap().batch_id.unwrap();
    begin_together(&shop, batch, "ann").await;
    assert_eq!(run(&shop, batch).await, Counts { failed_again: 10, not_attempted: 3, ..Counts::default() });
    let ended = find(&shop.pool, batch).await.unwrap().unwrap();
    assert_eq!((ended.state, ended.end_reason.as_deref()), (BatchState::Aborted, Some("10 of 10 failed again")));

    let results = items(&shop.pool, batch, ItemFilter::default(), 100).await.unwrap();
    let told: Vec<_> =
        results.iter().map(|item| (item.refund_id.unwrap(), item.result, item.detail.as_deref())).collect();
    let failed = |owed: &Owed| (owed.refund, "failedAgain", Some("refund-failed:generic_decline"));
    let left = |owed: &Owed| (owed.refund, "notAttempted", Some("the batch was aborted"));
    let (tried, untried) = owed.split_at(TRIED);
    assert_eq!(told, tried.iter().map(failed).chain(untried.iter().map(left)).collect::<Vec<_>>());
    for owed in &owed {
        let tried = usize::from(tried.iter().any(|one| one.refund == owed.refund));
        assert_eq!(retries(&shop, owed.saga).await, tried);
    }
    shop.heal_gateway().await;
    let again = wanted(Selection::FailedAgainIn(batch), "ann");
    let again = plan(&shop.engine, shop.gateways(), again).await.unwrap().batch_id.unwrap();
    begin_together(&shop, again, "ann").await;
    assert_eq!(run(&shop, again).await, Counts { fixed: 10, ..Counts::default() });
    is_back(&shop, tried).await;
    shop.assert_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_would_do_nothing_is_not_begun() {
    let shop = Shop::open().await;
    let back = cancelled_order(&shop).await;
    shop.run_until(back.saga, "completed").await;
    let text = format!("refundId\n{}\n", back.refund);
    let bring = async || {
        let selection = Selection::File(read(text.as_bytes()).unwrap());
        plan(&shop.engine, shop.gateways(), wanted(selection, "ann")).await.unwrap()
    };
    let (first, again) = (bring().await, bring().await);
    for planned in [&first, &again] {
        assert_eq!(said(planned), [("not done: all of it has gone back", 1, 0)]);
        let asks = Asks::new(shop.engine.clone(), &BookingSettings::default());
        let begun = asks.start_replays(planned.batch_id.unwrap(), by("ann")).await;
        assert!(matches!(begun, Err(AskError::Batch(ChangeError::NothingToDo))), "{begun:?}");
    }
    // what it says may be otherwise tomorrow
    assert_ne!(first.batch_id, again.batch_id);
    shop.assert_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_gateway_works_on_makes_no_room_for_others_wait() {
    let shop = Shop::at_adyen().await;
    shop.gateway_fault(json!({"fault": "decline", "operation": "refund"})).await;
    let mut owed = Vec::new();
    for _ in 0..2 {
        let one = cancelled_order(&shop).await;
        super::refund_tries::run_until_taken(&shop, one.saga, "stuck").await;
        owed.push(one);
    }
    shop.heal_gateway().await;
    let slow = PlanReplays {
        limits: Limits { concurrency: 1, ..FAST },
        ..wanted(Selection::Refunds(owed.iter().map(|owed| owed.refund).collect()), "ann")
    };
    let planned = plan(&shop.engine, shop.gateways(), slow).await.unwrap();
    assert_eq!(said(&planned), [(SENT, 2, 2 * PRICE)]);
    let batch = planned.batch_id.unwrap();
    begin_together(&shop, batch, "ann").await;
    // nobody takes the gateway's post: both are pending
    while find(&shop.pool, batch).await.unwrap().unwrap().counts.waiting > 0 {
        carry_out(&shop.engine).await.unwrap();
        shop.turn().await;
    }
    assert_eq!(find(&shop.pool, batch).await.unwrap().unwrap().counts.still_running, 2);
    while find(&shop.pool, batch).await.unwrap().unwrap().counts.fixed < 2 {
        shop.take_post().await;
        shop.turn().await;
        carry_out(&shop.engine).await.unwrap();
    }
    shop.assert_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_one_plan_however_often_it_comes() {
    let shop = Shop::open().await;
    let owed = refused(&shop, 2).await;
    let text = format!(
        "refundId,orderId,amount\n{},,{PRICE}\n,{},\n{},,1\nref_1,,\n,{},\n",
        owed[0].refund,
        owed[1].order,
        owed[0].refund,
        OrderId::fresh(),
    );
    let bring = async |who: &str| {
        let selection = Selection::File(read(text.as_bytes()).unwrap());
        plan(&shop.engine, shop.gateways(), wanted(selection, who)).await.unwrap()
    };
    let at_once = futures::future::join_all((0..4).map(|_| bring("ann"))).await;
    assert_eq!(at_once.iter().filter(|planned| planned.is_new).count(), 1, "{at_once:#?}");
    let first = &at_once[0];
    assert!(at_once.iter().all(|planned| planned.batch_id == first.batch_id && planned.groups == first.groups));
    assert_eq!(said(first), [(SENT, 2, 2 * PRICE)]);
    let bad: Vec<_> = first.bad_lines.iter().map(|bad| (bad.line, bad.reason.as_str())).collect();
    let expected = [
        (4, "not that amount is outstanding, but 4500"),
        (5, "`refundId` is not the id of a refund"),
        (6, "the order has no refund"),
    ];
    assert_eq!(bad, expected);
    let batch = first.batch_id.unwrap();
    begin_together(&shop, batch, "ann").await;
    assert_eq!(run(&shop, batch).await, Counts { fixed: 2, ..Counts::default() });
    let again = bring("bert").await;
    assert_eq!((again.batch_id, again.is_new, again.by.as_str()), (Some(batch), false, "ann"));
    assert_eq!((again.groups, again.bad_lines), (first.groups.clone(), first.bad_lines.clone()), "as it was");
    assert!(matches!(begin(&shop, batch, "ann").await, Begun::Asked(Asked::Replayed(_))));
    is_back(&shop, &owed).await;
    shop.assert_well().await;

    let nothing = Selection::File(read(b"refundId\nref_1\n").unwrap());
    let nothing = plan(&shop.engine, shop.gateways(), wanted(nothing, "ann")).await.unwrap();
    assert_eq!((nothing.batch_id, nothing.bad_lines.len()), (None, 1));
}
