//! Fails, repeats and crashes each step of each definition there is, by walking the list: a new definition is tested
//! by being there, and needs a line in [`begin`].

use super::{
    faults::{Fault, INJECTED, Place},
    shop::{Death, Shop, anybody},
};
use orchestrator::{SagaId, Start, action::Lane, definition::Definition, journal::Entry, view::SagaView};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use workflows::{
    definitions::documents,
    ids::OrderId,
    orders::{CancelOrder, OrderStatus, cancel},
};

const FAULTS: [Fault; 3] = [Fault::Stumble, Fault::LoseAnswer, Fault::Repeat];
const DEATHS: [Death; 3] = [Death::Before, Death::BeforeRecord, Death::AfterRecord];

/// A saga that was just started.
struct Begun {
    saga: SagaId,
    /// The order that it is about.
    order: Option<OrderId>,
}

/// Starts a saga with this definition, such that it completes when nothing goes wrong.
async fn begin(shop: &Shop, definition: &str) -> Begun {
    match definition {
        "book-tickets" => {
            let placement = shop.order(super::shop::VISA).await;
            Begun { saga: placement.saga_id, order: Some(placement.order_id) }
        }
        "refund-order" => {
            let order = shop.confirmed().await.order_id;
            let request = CancelOrder {
                order_id: order,
                reason: "ill".to_owned(),
                seat_ids: None,
                idempotency_key: None,
                address: None,
            };
            let cancellation = cancel(&shop.engine, &anybody(), request).await.unwrap().cancellation();
            Begun { saga: cancellation.saga_id, order: Some(order) }
        }
        "settle-doubt" => {
            let placement = shop.order("pm_card_chargeDeclined").await;
            shop.run_until(placement.saga_id, "compensated").await;
            let (order, key) = (placement.order_id, format!("{}:pay:primary", placement.saga_id));
            let amount = json!({ "amount": super::shop::PRICE, "currency": "GBP" });
            let input = json!({ "orderId": order, "gateway": "primary", "key": key, "amount": amount });
            Begun { order: Some(order), ..started(shop, definition, input).await }
        }
        "demo-greeting" => started(shop, definition, json!({ "name": "Ann" })).await,
        "demo-flaky" => started(shop, definition, json!({ "times": 0 })).await,
        "demo-wait" => {
            let begun = started(shop, definition, json!({})).await;
            shop.engine.signal(begun.saga, "continue", Value::Null, "test").await.unwrap();
            begun
        }
        unknown => panic!("say here how a saga with the definition `{unknown}` is begun"),
    }
}

async fn started(shop: &Shop, definition: &str, input: Value) -> Begun {
    let start = Start {
        definition: definition.to_owned(),
        version: None,
        input,
        owner: "test".to_owned(),
        key: SagaId::fresh().to_string(),
        tags: BTreeMap::new(),
        starts_at: None,
        priority: 0,
        parent: None,
        by: "test".to_owned(),
    };
    Begun { saga: shop.engine.start(start).await.unwrap().saga_id(), order: None }
}

/// What a clean slate means for what a saga with this definition is about.
async fn assert_clean(shop: &Shop, definition: &str, begun: &Begun, state: &str) {
    shop.assert_well().await;
    let Some(order) = begun.order else { return };
    let expected = match (definition, state) {
        ("book-tickets", "completed") => OrderStatus::Confirmed,
        ("book-tickets", "compensated") => OrderStatus::Rejected,
        ("refund-order", "completed") => OrderStatus::Cancelled,
        // it is no part of the order any more
        ("settle-doubt", _) => OrderStatus::Rejected,
        (_, _) => {
            assert_eq!(shop.see(order).await.status, OrderStatus::Attention);
            return;
        }
    };
    shop.assert_ended(order, expected).await;
}

fn failed_at(view: &SagaView, place: &Place) -> bool {
    view.journal.iter().any(|recorded| match &recorded.entry {
        Entry::Failed { step, lane, failure, .. } | Entry::InDoubt { step, lane, failure, .. } => {
            *step == place.step && *lane == place.lane && failure.code == INJECTED
        }
        _ => false,
    })
}

/// The step fails for good: everything is taken back, or, past the pivot, a person is called and it goes on.
async fn refuse(shop: &Shop, definition: &Definition, index: usize) {
    let name = definition.saga.as_str();
    let place = forward(definition, index);
    shop.knobs.reset();
    let begun = begin(shop, name).await;
    shop.knobs.turn(&place, Fault::Refuse);
    let reversible = definition.pivot().is_none_or(|pivot| index <= pivot);
    let state = if reversible { "compensated" } else { "stuck" };
    let view = shop.run_until(begun.saga, state).await;
    assert!(failed_at(&view, &place), "{place:?}: {:#?}", view.journal);
    assert_eq!(shop.knobs.hits(&place), 1, "{place:?}");
    assert_clean(shop, name, &begun, state).await;
    if !reversible {
        shop.knobs.reset();
        shop.retry(begun.saga).await;
        shop.run_until(begun.saga, "completed").await;
        assert_clean(shop, name, &begun, "completed").await;
    }
}

/// The step meets a fault that passes: the saga completes all the same.
async fn survive(shop: &Shop, definition: &Definition, index: usize, fault: Fault) {
    let name = definition.saga.as_str();
    let place = forward(definition, index);
    shop.knobs.reset();
    let begun = begin(shop, name).await;
    shop.knobs.turn(&place, fault);
    let view = shop.run_until(begun.saga, "completed").await;
    assert_eq!(shop.knobs.hits(&place), 1, "{place:?} {fault:?}");
    assert_eq!(failed_at(&view, &place), fault != Fault::Repeat, "{place:?} {fault:?}: {:#?}", view.journal);
    assert_clean(shop, name, &begun, "completed").await;
}

/// The worker dies at the step; another goes on; the first wakes up too late.
async fn outlive(shop: &Shop, definition: &Definition, index: usize, death: Death) {
    let name = definition.saga.as_str();
    shop.knobs.reset();
    let begun = begin(shop, name).await;
    let zombie = shop.run_and_die(begun.saga, &forward(definition, index), death).await;
    shop.run_until(begun.saga, "completed").await;
    shop.wake(zombie).await;
    assert_clean(shop, name, &begun, "completed").await;
}

fn forward(definition: &Definition, index: usize) -> Place {
    Place { definition: definition.saga.clone(), step: definition.steps[index].step.clone(), lane: Lane::Forward }
}

/// The place of a compensation, and that of a failure which makes it run after its action was done.
fn backward(definition: &Definition, index: usize) -> (Place, Place) {
    let cause = definition.pivot().filter(|pivot| *pivot > index).unwrap_or(index + 1);
    (Place { lane: Lane::Compensation, ..forward(definition, index) }, forward(definition, cause))
}

/// The compensation meets a fault: everything is taken back all the same, if need be with a person's help.
async fn undo_with(shop: &Shop, definition: &Definition, index: usize, fault: Fault) {
    let name = definition.saga.as_str();
    let (place, cause) = backward(definition, index);
    shop.knobs.reset();
    let begun = begin(shop, name).await;
    shop.knobs.turn(&cause, Fault::Refuse);
    shop.knobs.turn(&place, fault);
    if fault == Fault::Refuse {
        let view = shop.run_until(begun.saga, "stuck").await;
        assert!(failed_at(&view, &place), "{place:?}: {:#?}", view.journal);
        shop.assert_well().await;
        if let Some(order) = begun.order {
            assert_eq!(shop.see(order).await.status, OrderStatus::Attention);
        }
        shop.knobs.reset();
        shop.retry(begun.saga).await;
    }
    shop.run_until(begun.saga, "compensated").await;
    if fault != Fault::Refuse {
        assert_eq!(shop.knobs.hits(&place), 1, "{place:?} {fault:?}");
    }
    assert_clean(shop, name, &begun, "compensated").await;
}

/// The worker dies at the compensation.
async fn undo_and_die(shop: &Shop, definition: &Definition, index: usize, death: Death) {
    let name = definition.saga.as_str();
    let (place, cause) = backward(definition, index);
    shop.knobs.reset();
    let begun = begin(shop, name).await;
    shop.knobs.turn(&cause, Fault::Refuse);
    let zombie = shop.run_and_die(begun.saga, &place, death).await;
    shop.run_until(begun.saga, "compensated").await;
    shop.wake(zombie).await;
    assert_eq!(shop.knobs.hits(&cause), 1, "{cause:?}");
    assert_clean(shop, name, &begun, "compensated").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_step_of_every_saga_fails_repeats_and_crashes() {
    let shop = Shop::open().await;
    let mut walked = 0;
    for (file, _) in documents(true) {
        let name = file.strip_suffix(".yaml").unwrap();
        let known = shop.engine.catalog().active(name).await.unwrap().unwrap();
        let definition = &known.definition;
        for index in 0..definition.steps.len() {
            refuse(&shop, definition, index).await;
            for fault in FAULTS {
                survive(&shop, definition, index, fault).await;
            }
            for death in DEATHS {
                outlive(&shop, definition, index, death).await;
            }
            walked += 1;
            if definition.steps[index].compensation.is_none() || index + 1 == definition.steps.len() {
                continue;
            }
            for fault in FAULTS.into_iter().chain([Fault::Refuse]) {
                undo_with(&shop, definition, index, fault).await;
            }
            for death in DEATHS {
                undo_and_die(&shop, definition, index, death).await;
            }
        }
    }
    assert!(walked >= documents(true).len());
}
