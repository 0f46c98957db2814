//! What is tried, and what is right then.

mod failover;
mod finance;
mod orders;
mod workers;

use serde_json::Value;

use super::shop::{Shop, text};
use crate::house::House;

const GOOD_CARD: &str = "pm_card_visa";
/// One thing to try.
#[derive(Clone, Copy)]
pub(super) enum Scene {
    Confirmed,
    Declined,
    HoldLost,
    WorkerKilled,
    PrimaryFails,
    AnswerLost,
    LeftBehind,
    BreakerOpens,
    Replayed,
    FourEyes,
    Settled,
    Race,
}

/// What became of it.
pub(super) struct Outcome {
    pub(super) title: String,
    pub(super) order: String,
    pub(super) steps: Vec<String>,
    pub(super) links: Vec<String>,
    /// What was not as it should be.
    pub(super) wrong: Vec<String>,
}

impl Outcome {
    /// It could not even be tried to its end.
    pub(super) fn broken(title: &str, error: &anyhow::Error) -> Self {
        Self {
            title: title.to_owned(),
            order: "?".to_owned(),
            steps: Vec::new(),
            links: Vec::new(),
            wrong: vec![format!("{error:#}")],
        }
    }

    /// What was not as it should be, with where.
    pub(super) fn complaints(&self) -> Vec<String> {
        self.wrong.iter().map(|wrong| format!("{}: {wrong}", self.title)).collect()
    }

    fn should(&mut self, holds: bool, otherwise: impl FnOnce() -> String) {
        if !holds {
            self.wrong.push(otherwise());
        }
    }
}

/// All scenes, in order.
pub(super) fn all() -> [Scene; 12] {
    use Scene::{
        AnswerLost, BreakerOpens, Confirmed, Declined, FourEyes, HoldLost, LeftBehind, PrimaryFails, Race, Replayed,
        Settled, WorkerKilled,
    };
    [
        Confirmed,
        Declined,
        HoldLost,
        WorkerKilled,
        PrimaryFails,
        AnswerLost,
        LeftBehind,
        BreakerOpens,
        Replayed,
        FourEyes,
        Race,
        Settled,
    ]
}

impl Scene {
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Confirmed => "A good card",
            Self::Declined => "A declined card",
            Self::HoldLost => "The worker freezes while it pays, and the hold is lost",
            Self::WorkerKilled => "The worker is killed in the middle of the payment",
            Self::PrimaryFails => "The primary answers 500, and the backup takes over",
            Self::AnswerLost => "The primary charges, and its answer is lost",
            Self::LeftBehind => "The primary charges in the dark, and the late capture is refunded",
            Self::BreakerOpens => "The primary is away, and 12 orders that only it can take wait for it",
            Self::Replayed => "A refund that the gateway refuses, until finance replays it",
            Self::FourEyes => "A large refund, which waits for a second person",
            Self::Settled => "A settlement file with one line missing and one too large",
            Self::Race => "200 buyers race for 20 seats",
        }
    }

    pub(super) async fn play(self, house: &House, shop: &Shop) -> anyhow::Result<Outcome> {
        match self {
            Self::Confirmed => orders::confirmed(shop).await,
            Self::Declined => orders::declined(shop).await,
            Self::HoldLost => workers::hold_lost(house, shop).await,
            Self::WorkerKilled => workers::worker_killed(house, shop).await,
            Self::PrimaryFails => failover::primary_fails(house, shop).await,
            Self::AnswerLost => failover::answer_lost(house, shop).await,
            Self::LeftBehind => failover::left_behind(house, shop).await,
            Self::BreakerOpens => failover::breaker_opens(house, shop).await,
            Self::Replayed => finance::replayed(house, shop).await,
            Self::FourEyes => finance::four_eyes(house, shop).await,
            Self::Settled => finance::settled(house, shop).await,
            Self::Race => orders::race(shop).await,
        }
    }
}

/// From now on the primary's sandbox does this.
async fn fault(house: &House, shop: &Shop, fault: &Value) -> anyhow::Result<()> {
    let sandbox = shop.at(&house.sandboxes.primary.url);
    let answer = sandbox.ask(reqwest::Method::POST, "/_sandbox/faults", Some(fault)).await?;
    anyhow::ensure!(answer.status.is_success(), "the sandbox refused the fault: {}", answer.body);
    Ok(())
}

/// What there is to see of an order.
async fn shown(shop: &Shop, title: &str, order: &Value) -> anyhow::Result<Outcome> {
    let (order_id, saga_id) = (text(order, "/orderId")?, text(order, "/sagaId")?);
    let saga = shop.get(&format!("/sagas/{saga_id}")).await?;
    let entries = saga["journal"].as_array().map(Vec::as_slice).unwrap_or_default();
    let status = text(order, "/status")?;
    let reason = order["reason"].as_str().map(|reason| format!("\n{reason}")).unwrap_or_default();
    Ok(Outcome {
        title: title.to_owned(),
        order: format!("{status}{reason}{}", payments(order)),
        steps: steps(entries),
        links: vec![shop.link(&format!("/orders/{order_id}")), shop.link(&format!("/sagas/{saga_id}"))],
        wrong: Vec::new(),
    })
}

/// Where an order was charged, and what became of that, where there is more to tell than one charge.
fn payments(order: &Value) -> String {
    let payments = order["payments"].as_array().map(Vec::as_slice).unwrap_or_default();
    let line = |payment: &Value| {
        let word = |member: &str| payment[member].as_str().unwrap_or("?").to_owned();
        format!("\n{}: {}", word("gateway"), word("status"))
    };
    if payments.len() < 2 { String::new() } else { payments.iter().map(line).collect() }
}

/// A journal in short: one line for what happened to each step, in order.
fn steps(entries: &[Value]) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for entry in entries {
        let step = entry["step"].as_str().unwrap_or_default();
        let backward = entry.pointer("/detail/lane").and_then(Value::as_str) == Some("compensation");
        let step = match backward {
            true if had_effect(entries, step) => format!("{step}, taken back"),
            true => format!("{step}, nothing to take back"),
            false => step.to_owned(),
        };
        let code = entry.pointer("/detail/failure/code").and_then(Value::as_str).unwrap_or_default();
        let line = match entry["kind"].as_str().unwrap_or_default() {
            "succeeded" if entry.pointer("/detail/probed") == Some(&Value::Bool(true)) => {
                format!("✓ {step} (the gateway was asked)")
            }
            "succeeded" => format!("✓ {step}"),
            "failed" => format!("✗ {step}: {code}"),
            "inDoubt" => format!("? {step}: {code}"),
            "waits" => format!("… {step}"),
            "parked" => format!("‖ {step}: parked"),
            "compensating" => {
                format!("← because of {}", entry.pointer("/detail/cause/code").and_then(Value::as_str).unwrap_or("?"))
            }
            "completed" => "completed".to_owned(),
            "compensated" => "compensated".to_owned(),
            "stuck" => format!("stuck: {code}"),
            _ => continue,
        };
        lines.push(line);
    }
    lines
}

/// Whether a step has done something, or may have.
fn had_effect(entries: &[Value], step: &str) -> bool {
    entries.iter().any(|entry| {
        let forward = entry.pointer("/detail/lane").and_then(Value::as_str) == Some("forward");
        forward && entry["step"] == step && ["succeeded", "inDoubt"].iter().any(|kind| entry["kind"] == **kind)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_never_happened_is_not_taken_back() {
        let entry =
            |kind: &str, step: &str, lane: &str| json!({ "kind": kind, "step": step, "detail": { "lane": lane } });
        let entries = [
            entry("succeeded", "hold", "forward"),
            entry("failed", "pay", "forward"),
            entry("succeeded", "pay", "compensation"),
            entry("succeeded", "hold", "compensation"),
        ];
        let lines = ["✓ hold", "✗ pay: ", "✓ pay, nothing to take back", "✓ hold, taken back"];
        assert_eq!(steps(&entries), lines);
    }
}
