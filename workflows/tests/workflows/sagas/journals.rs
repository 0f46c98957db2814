//! Releases meet, our side of it: the journals that every release has written of our sagas, kept in `tests/journals/`.
//! What those sagas still have to do is done by this release, with the inputs, outputs and notes of that one. The
//! engine's side is `orchestrator/tests/orchestrator/journals.rs`.

use super::shop::{Death, Shop, VISA, anybody};
use crate::sagas::faults::Place;
use orchestrator::{
    SagaId,
    action::Lane,
    definition::{Definition, Step, mapping::step_input},
    journal::{Entry, Recorded},
    run::Run,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};
use workflows::{
    orders::{CancelOrder, cancel},
    payments::PaymentNote,
    refunds::RefundNote,
    registry::{Needs, registry},
    settings::BookingSettings,
    tickets::TicketKeys,
};

/// A journal of some release.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Kept {
    /// By which release.
    release: String,
    /// What happened, for people.
    about: String,
    saga_id: SagaId,
    /// As it was stored.
    definition: Value,
    journal: Vec<Recorded>,
    /// What it came to.
    state: String,
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/journals")
}

fn kept() -> Vec<(String, Kept)> {
    let read = |path: PathBuf| {
        let kept = serde_json::from_str(&fs::read_to_string(&path).unwrap());
        (path.display().to_string(), kept.unwrap_or_else(|error| panic!("{}: {error}", path.display())))
    };
    fs::read_dir(directory()).unwrap().map(|file| read(file.unwrap().path())).collect()
}

fn assert_fits(schema: &Value, value: &Value, place: &str) {
    let validator = jsonschema::options().offline().build(schema).unwrap();
    let mistakes: Vec<_> = validator.iter_errors(value).map(|error| error.to_string()).collect();
    assert!(mistakes.is_empty(), "{place}: {mistakes:?} in {value}");
}

/// A note of a step that moves money is one of ours, with all that it says.
fn assert_is_ours(note: &Value, place: &str) {
    let payment = serde_json::from_value::<PaymentNote>(note.clone()).map(|note| json!(note));
    let refund = serde_json::from_value::<RefundNote>(note.clone()).map(|note| json!(note));
    assert!(
        payment.as_ref().is_ok_and(|read| read == note) || refund.as_ref().is_ok_and(|read| read == note),
        "{place}: {note} reads neither as a payment's ({payment:?}) nor as a refund's ({refund:?})"
    );
}

#[test]
fn what_every_release_has_begun_this_one_can_go_on_with() {
    let registry = registry(&Needs {
        gateways: Arc::default(),
        ticket_keys: TicketKeys::development(),
        settings: BookingSettings::default(),
        demo_actions: false,
    })
    .unwrap();
    let mut seen = Vec::new();
    for (path, Kept { saga_id, definition, journal, state, .. }) in kept() {
        let definition: Definition = serde_json::from_value(definition).unwrap();
        let run = Run::replay(saga_id, &journal).unwrap();
        assert_eq!(run.state.as_str(), state, "{path}");
        let touched = |step: &&Step| run.steps.contains_key(&step.step);
        for step in definition.steps.iter().filter(touched) {
            let place = format!("{path}, step {}", step.step);
            let registered = |name: &str| registry.get(name).unwrap_or_else(|| panic!("{place}: no action {name}"));
            let input = step_input(step, &run.input, &run.outputs()).unwrap();
            let compensation = step.compensation.as_ref().map(|compensation| compensation.action.as_str());
            for name in [Some(step.action.as_str()), compensation, step.probe.as_deref()].into_iter().flatten() {
                assert_fits(&registered(name).input, &input, &format!("{place}, input of {name}"));
            }
            let at = run.step(&step.step);
            for (lane, name) in [(&at.forward, Some(step.action.as_str())), (&at.compensation, compensation)] {
                let Some(name) = name else { continue };
                if let Some(output) = &lane.output {
                    assert_fits(&registered(name).output, output, &format!("{place}, output of {name}"));
                }
                lane.notes.iter().for_each(|note| assert_is_ours(note, &place));
                seen.extend(lane.notes.iter().map(note_kind));
            }
        }
    }
    for kind in ["intended", "prepared", "actionRequired", "declined", "voided", "doubted", "notExecuted"] {
        assert!(seen.iter().any(|seen| seen.ends_with(kind)), "no journal has a note `{kind}`: {seen:?}");
    }
}

fn note_kind(note: &Value) -> String {
    let kind = |of: &str| note[of].as_str().map(|kind| format!("{of} {kind}"));
    kind("payment").or_else(|| kind("refund")).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "writes the journals that are missing; those that are there belong to their release and stay as they are"]
async fn write_journals() {
    let (shop, two_gateways) = (Shop::open().await, Shop::with_backup("stripe").await);
    let of = |shop, shapes: Vec<_>| shapes.into_iter().map(move |shape| (shop, shape));
    let shapes = of(&shop, shapes(&shop).await).chain(of(&two_gateways, failed_over(&two_gateways).await));
    for (shop, (name, about, saga)) in shapes {
        let release = env!("CARGO_PKG_VERSION");
        let path = directory().join(format!("{release}-{name}.json"));
        if path.exists() {
            continue;
        }
        let view = shop.view(saga).await;
        let stored = sqlx::query_scalar("select document from engine.definitions where name = $1 and version = $2")
            .bind(&view.run.definition)
            .bind(view.run.version);
        let kept = Kept {
            release: release.to_owned(),
            about: about.to_owned(),
            saga_id: saga,
            definition: stored.fetch_one(&shop.pool).await.unwrap(),
            state: view.run.state.to_string(),
            journal: view.journal,
        };
        fs::write(path, serde_json::to_string_pretty(&kept).unwrap() + "\n").unwrap();
    }
}

async fn shapes(shop: &Shop) -> Vec<(&'static str, &'static str, SagaId)> {
    let mut shapes = Vec::new();
    let confirmed = shop.confirmed().await;
    shapes.push(("confirmed", "Paid and issued at once.", confirmed.saga_id));
    let request = CancelOrder {
        order_id: confirmed.order_id,
        reason: "ill".to_owned(),
        seat_ids: None,
        idempotency_key: None,
        address: None,
    };
    let refund = cancel(&shop.engine, &anybody(), request).await.unwrap().cancellation().saga_id;
    shop.run_until(refund, "completed").await;
    shapes.push(("refunded", "A buyer's cancellation of a confirmed order.", refund));

    let declined = shop.order("pm_card_chargeDeclined").await.saga_id;
    shop.run_until(declined, "compensated").await;
    shapes.push(("declined", "The card is declined.", declined));

    shop.gateway_fault(json!({ "fault": "timeout_after", "operation": "charge", "count": 1 })).await;
    let doubted = shop.confirmed().await.saga_id;
    shapes.push(("doubt", "The answer to the charge is lost; the probe finds it.", doubted));

    shop.gateway_fault(json!({ "fault": "reset", "operation": "charge" })).await;
    let voided = shop.order(VISA).await.saga_id;
    shop.run_until(voided, "compensated").await;
    shop.heal_gateway().await;
    shapes.push(("voided", "No charge ever arrives, and it is ended.", voided));

    let lost = shop.order(VISA).await;
    let pay = Place { definition: "book-tickets".to_owned(), step: "pay".to_owned(), lane: Lane::Forward };
    shop.run_and_die(lost.saga_id, &pay, Death::BeforeRecord).await;
    shop.end_hold(lost.order_id).await;
    let seats = shop.see(lost.order_id).await.seat_ids;
    shop.hold_seats("bob", &seats).await;
    shop.run_until(lost.saga_id, "compensated").await;
    shapes.push(("hold-lost", "Paid, but a rival has the seat: it is paid back.", lost.saga_id));

    let challenged = shop.order("pm_card_authenticationRequired").await;
    shop.run_until(challenged.saga_id, "waiting").await;
    shapes.push(("challenged", "The buyer's bank wants something; it waits.", challenged.saga_id));
    shapes
}

async fn failed_over(shop: &Shop) -> Vec<(&'static str, &'static str, SagaId)> {
    shop.gateway_fault(json!({ "fault": "rate_limited", "operation": "all", "count": 1 })).await;
    let turned_away = shop.confirmed().await.saga_id;
    shop.gateway_fault(json!({ "fault": "error_500", "operation": "charge", "count": 1 })).await;
    let ended = shop.confirmed().await.saga_id;
    vec![
        ("turned-away", "The primary gateway turns it away, and the backup takes it.", turned_away),
        ("ended", "The primary gateway leaves it in doubt; it is ended there, and the backup takes it.", ended),
    ]
}

/// What is kept is readable as it stands.
#[test]
fn notes_and_intents_are_where_they_are_looked_for() {
    for (path, kept) in kept() {
        let intents = kept.journal.iter().filter(|recorded| {
            matches!(&recorded.entry, Entry::Intended { step, lane: Lane::Forward, .. } if step == "pay" || step == "submit")
        });
        for recorded in intents {
            let Entry::Intended { intent, .. } = &recorded.entry else { continue };
            assert_is_ours(intent, &path);
        }
    }
}
