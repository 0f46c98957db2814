//! An order for each outcome, and workers whose database and gateways are behind things that can be held.

use super::super::{
    gate::{Fate, Gate, Held, Kind},
    gateways::{ADYEN, Protocol, STRIPE},
    program::Program,
    shop::{Placed, notes_of},
    until,
    world::{LONG_LEASE, World},
};
use crate::cli::client::Api;
use private_servers::Proxy;
use serde_json::{Value, json};

/// Longer than a test waits for anything: the worker gives up when its line is cut.
const PATIENT_MS: &str = "180000";
/// The worker gives up by itself. One that gives up too soon, on a slow machine, has another story with the same end.
const HASTY_MS: &str = "2000";

/// For how long a charge that was left behind may still arrive; what arrives after that is given back as well.
const LATE_WINDOW_SECS: &str = "5";
/// The gateway fails more often than any breaker bears, and all orders are to meet it.
const NO_BREAKER: &str = "1000000";

/// What becomes of a charge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Ok,
    /// No gateway would do better.
    Declined,
    /// The next gateway does better.
    DeclinedHere,
    TimedOutBefore,
    TimedOutAfter,
    DecidedLate,
    ArrivesLate,
    /// No charge arrives, however often it is tried.
    Unreachable,
    /// None arrives before the order is at its end; then all do.
    UnreachableThenLate,
}

const OUTCOMES: [Outcome; 9] = [
    Outcome::Ok,
    Outcome::Declined,
    Outcome::DeclinedHere,
    Outcome::TimedOutBefore,
    Outcome::TimedOutAfter,
    Outcome::DecidedLate,
    Outcome::ArrivesLate,
    Outcome::Unreachable,
    Outcome::UnreachableThenLate,
];

impl Outcome {
    fn payment_method(self) -> Value {
        match self {
            Self::Declined => json!("pm_card_chargeDeclinedLostCard"),
            Self::DeclinedHere => {
                json!({ "primary": "pm_card_chargeDeclinedProcessingError", "backup": "pm_card_visa" })
            }
            _ => json!("pm_card_visa"),
        }
    }

    fn fate(self) -> Fate {
        match self {
            Self::Ok | Self::Declined | Self::DeclinedHere => Fate::Answered,
            Self::TimedOutBefore | Self::Unreachable => Fate::RequestLost,
            Self::TimedOutAfter => Fate::AnswerLost,
            Self::DecidedLate => Fate::DecidedLate,
            Self::ArrivesLate | Self::UnreachableThenLate => Fate::ArrivesLate,
        }
    }

    /// Whether it comes to that whoever asks, and however often.
    fn lasts(self) -> bool {
        matches!(self, Self::Unreachable | Self::UnreachableThenLate)
    }

    /// Whether the worker is told what became of it.
    pub(super) fn is_told(self) -> bool {
        self.fate() == Fate::Answered
    }

    /// Whether its call arrives before anybody gives up on it.
    pub(super) fn has_arrived(self) -> bool {
        !matches!(self.fate(), Fate::RequestLost | Fate::ArrivesLate)
    }

    /// How its order ends, whoever dies.
    fn end(self) -> &'static str {
        if self == Self::Declined { "rejected" } else { "confirmed" }
    }
}

/// What stands around a worker.
pub(super) struct Surroundings {
    pub(super) database: Proxy,
    pub(super) primary: Gate,
    backup: Gate,
}

/// A worker and what stands around it.
pub(super) struct Actor {
    pub(super) worker: Program,
    around: Surroundings,
}

impl Actor {
    pub(super) fn database(&self) -> &Proxy {
        &self.around.database
    }

    pub(super) fn primary(&self) -> &Gate {
        &self.around.primary
    }

    pub(super) fn backup(&self) -> &Gate {
        &self.around.backup
    }

    /// Waits until so many wait at the primary.
    pub(super) async fn has_waiting(&self, held: &Held, count: usize) {
        until(&format!("{count} wait: {held:?}"), async || (self.primary().waiting(held) == count).then_some(())).await;
    }

    /// The answers come, and the end of the lines over which none does.
    pub(super) fn hears(&self) {
        self.primary().open(&Held::Answers(Kind::Charges));
        self.primary().cut();
    }

    /// `kill -9`; what it has sent and nobody has taken is gone with it.
    fn kill(&mut self) {
        self.worker.kill();
        self.database().cut();
    }
}

/// See the module.
pub(super) struct Scene {
    protocol: Protocol,
    pub(super) world: World,
    _program: Program,
    pub(super) api: Api,
    pub(super) orders: Vec<(Outcome, Placed)>,
}

impl Scene {
    /// With a primary gateway that speaks this, and nobody yet who carries the orders out.
    pub(super) async fn set(protocol: Protocol) -> Self {
        let backup = if protocol == STRIPE { ADYEN } else { STRIPE };
        let world = World::with_gateways([protocol, backup]).await;
        let (program, api) = world.api(&[]).await;
        api.let_payments_take_their_time().await;
        let event = api.event(100).await;
        let mut orders = Vec::new();
        for outcome in OUTCOMES {
            let buyer = format!("{outcome:?}");
            let held = api.reserve(&event, &buyer).await;
            orders.push((outcome, api.place_paid_by(&held, &buyer, outcome.payment_method()).await));
        }
        Self { protocol, world, _program: program, api, orders }
    }

    pub(super) fn saga_of(&self, wanted: Outcome) -> &str {
        let (_, placed) = self.orders.iter().find(|(outcome, _)| *outcome == wanted).unwrap();
        &placed.saga
    }

    pub(super) fn count(&self, of: impl Fn(Outcome) -> bool) -> usize {
        self.orders.iter().filter(|(outcome, _)| of(*outcome)).count()
    }

    /// The call that comes first of a charge.
    pub(super) fn first_call(&self) -> Kind {
        if self.protocol == STRIPE { Kind::Announces } else { Kind::Charges }
    }

    /// How it is asked what became of a charge: where nobody can be asked, by the same call again.
    pub(super) fn question(&self) -> Kind {
        if self.protocol == STRIPE { Kind::Asks } else { Kind::Charges }
    }

    /// What is written down when money is asked for.
    pub(super) fn noted_before_the_call(&self) -> Vec<&'static str> {
        if self.protocol == STRIPE { vec!["intended", "prepared"] } else { vec!["intended"] }
    }

    /// Waits until it is written down what became of such a charge, or that this is not known.
    pub(super) async fn is_recorded(&self, outcome: Outcome) {
        let mut wanted = self.noted_before_the_call();
        match outcome {
            Outcome::Ok => {
                self.api.saga_is(self.saga_of(outcome), "completed").await;
            }
            Outcome::Declined | Outcome::DeclinedHere => wanted.push("declined"),
            _ => wanted.push("doubted"),
        }
        until(&format!("{wanted:?} of {outcome:?}"), async || {
            let saga = self.api.saga(self.saga_of(outcome)).await;
            notes_of(&saga, "primary").starts_with(&wanted).then_some(())
        })
        .await;
    }

    pub(super) async fn around(&self) -> Surroundings {
        let Self { world, .. } = self;
        let database = Proxy::before(&world.database_url()).unwrap();
        let (primary, backup) = (&world.gateways.primary, &world.gateways.backup);
        Surroundings { database, primary: Gate::before(primary).await, backup: Gate::before(backup).await }
    }

    async fn start(&self, name: &str, around: Surroundings, timeout_ms: &str) -> Actor {
        let variables = [
            LONG_LEASE,
            ("DATABASE_URL", &around.database.url()),
            ("SHOWRUNNER_GATEWAYS__PRIMARY__BASE_URL", &around.primary.url),
            ("SHOWRUNNER_GATEWAYS__PRIMARY__TIMEOUT_MS", timeout_ms),
            ("SHOWRUNNER_GATEWAYS__PRIMARY__LATE_WINDOW_SECS", LATE_WINDOW_SECS),
            ("SHOWRUNNER_GATEWAYS__PRIMARY__BREAKER__MINIMUM_CALLS", NO_BREAKER),
            ("SHOWRUNNER_GATEWAYS__BACKUP__BASE_URL", &around.backup.url),
        ];
        Actor { worker: self.world.worker(name, &variables).await, around }
    }

    /// A worker that will come so far and no further.
    pub(super) async fn victim(&self, around: Surroundings) -> Actor {
        self.start("victim", around, PATIENT_MS).await
    }

    /// A worker whose charges meet what is meant for them.
    pub(super) async fn successor(&self) -> Actor {
        let around = self.around().await;
        self.destine(&around.primary);
        self.start("successor", around, HASTY_MS).await
    }

    /// A worker whose gateways are well, but for those that nobody reaches.
    pub(super) async fn lucky_successor(&self) -> Actor {
        let around = self.around().await;
        self.destine_lasting(&around.primary);
        self.start("successor", around, HASTY_MS).await
    }

    /// From whoever stands there each order's charge gets what is meant for it.
    pub(super) fn destine(&self, gate: &Gate) {
        for (outcome, placed) in &self.orders {
            gate.destine(&placed.saga, outcome.fate());
        }
        self.destine_lasting(gate);
    }

    fn destine_lasting(&self, gate: &Gate) {
        for (outcome, placed) in self.orders.iter().filter(|(outcome, _)| outcome.lasts()) {
            gate.destine_all(&placed.saga, outcome.fate());
        }
    }

    /// What is written down of every order's charges at the primary.
    pub(super) async fn have_noted(&self, expected: impl Fn(Outcome) -> Vec<&'static str>) {
        for (outcome, placed) in &self.orders {
            let saga = self.api.saga(&placed.saga).await;
            assert_eq!(notes_of(&saga, "primary"), expected(*outcome), "{outcome:?}: {saga:#}");
        }
    }

    /// How often the gateways' books say that money was asked for, for every order.
    pub(super) async fn were_asked(&self, expected: impl Fn(Outcome) -> u64) {
        let books = self.world.books().await;
        for (outcome, placed) in &self.orders {
            assert_eq!(books.asked(&placed.order), expected(*outcome), "{outcome:?}");
        }
    }

    /// Waits until every order is at rest.
    pub(super) async fn is_done(&self) {
        for (_, placed) in &self.orders {
            self.api.at_rest(placed).await;
        }
    }

    /// A worker is killed while another one lives, and every order comes to its end.
    pub(super) async fn outlives(&self, mut victim: Actor, successor: Actor) {
        victim.kill();
        self.ends([victim, successor]).await;
    }

    /// A worker that was asleep goes on, and changes nothing.
    pub(super) async fn wakes(&self, victim: Actor, successor: Actor) {
        victim.worker.go_on();
        for (_, placed) in &self.orders {
            victim.worker.says(&format!("The claim on saga {} was lost; nothing was written", placed.saga)).await;
        }
        self.ends([victim, successor]).await;
    }

    /// Every order has come to the end that is meant for it; what was late arrives, and is given back where nobody
    /// waits for it any more; all is as it has to be.
    async fn ends(&self, actors: [Actor; 2]) {
        let mut owed = Vec::new();
        for (outcome, placed) in &self.orders {
            let order = self.api.at_rest(placed).await;
            assert_eq!(order["status"], outcome.end(), "{outcome:?}: {order:#}");
            let price = order["total"]["amount"].as_i64().unwrap();
            owed.push((&placed.order, if outcome.end() == "confirmed" { price } else { 0 }));
        }
        for actor in &actors {
            let primary = actor.primary();
            assert_eq!(primary.expected(), [], "they have not met what was meant for them");
            primary.let_late_arrive();
            until("what was late has arrived", async || (primary.late_underway() == 0).then_some(())).await;
        }
        until("what was late is given back", async || {
            let books = self.world.books().await;
            owed.iter().all(|(order, owed)| books.kept(order) == *owed).then_some(())
        })
        .await;
        self.world.is_sound(&self.api).await;
        self.was_left_behind().await;
    }

    /// Where nobody could ask about a charge or end it, its order went on without it, and a saga has looked after it.
    async fn was_left_behind(&self) {
        let books = self.world.books().await;
        let (_, placed) = self.orders.iter().find(|(outcome, _)| *outcome == Outcome::UnreachableThenLate).unwrap();
        let given_back = books.of(&placed.order).filter(|charge| charge["refunded"] != 0).count();
        assert_eq!(given_back, usize::from(self.protocol == ADYEN), "of {placed:?}");
        let settling = "select count(*) from engine.sagas where definition = 'settle-doubt' and state = 'completed'";
        assert_eq!(self.world.number(settling).await > 0, self.protocol == ADYEN);
    }
}
