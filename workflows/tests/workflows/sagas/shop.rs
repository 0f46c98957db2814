//! A venue that sells, with everything behind it.

use super::{
    faults::{Knobs, Place},
    gateways::{GATEWAY_TIMEOUT_MS, SECRET, Sandbox},
};
use async_trait::async_trait;
use orchestrator::{
    Claimed, Engine, EngineSettings, LOCAL_STEPS_MAX, Report, SagaId, Settled,
    action::Lane,
    acts::{Act, ActRequest},
    outbox::{Deliver, Destination},
    view::SagaView,
};
use private_servers::TestServers;
use sandbox::Protocol;
use secrecy::SecretString;
use serde_json::Value;
use sqlx::PgPool;
use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use workflows::{
    access::{Principal, Role},
    definitions::documents,
    events::{self, NewEvent, NewSection},
    gateways::Gateway,
    holds::{Hold, Holds, Reserve, Wish},
    ids::{EventId, OrderId},
    invariants::violations,
    orders::{Order, OrderStatus, PaymentMethod, PlaceError, PlaceOrder, Placed, Placement, Places, find},
    payments::{ConfiguredGateway, Gateways, Webhooks},
    projection::BookingProjection,
    registry::{Needs, registry},
    seat_cache::SeatCache,
    seats::{SeatStatus, seat_map},
    settings::BookingSettings,
    tickets::TicketKeys,
};

/// How long anything may take before a test calls it broken.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);
/// For how long a call may still arrive at a gateway.
const LATE_WINDOW: Duration = Duration::from_millis(50);
pub(super) const VISA: &str = "pm_card_visa";
pub(super) const PRICE: i64 = 4_500;

pub(super) struct Shop {
    pub(super) pool: PgPool,
    pub(super) engine: Engine,
    pub(super) knobs: Knobs,
    pub(super) places: Places,
    pub(super) holds: Holds,
    pub(super) webhooks: Webhooks,
    pub(super) event: EventId,
    pub(super) seats: Vec<String>,
    next_seat: AtomicUsize,
    needs: Needs,
    pub(super) client: reqwest::Client,
    /// Behind its gateways, primary first.
    pub(super) sandboxes: Vec<Sandbox>,
}

/// Where a worker dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Death {
    /// Before it begins the step.
    Before,
    /// Between the call and its record.
    BeforeRecord,
    /// After the record.
    AfterRecord,
}

/// A worker that was thought dead, with what it was about to do.
pub(super) enum Zombie {
    Executes(Box<Claimed>),
    Settles(Box<(Claimed, Report)>),
    Rests,
}

pub(super) fn anybody() -> Principal {
    Principal { token_id: orchestrator::ids::Uuid::nil(), name: "shop".to_owned(), role: Role::Client, user: None }
}

/// The order, new or not.
pub(super) fn placement(placed: Placed) -> Placement {
    match placed {
        Placed::New(placement) | Placed::Replayed(placement) => placement,
    }
}

pub(super) fn only(user: &str) -> Principal {
    Principal { user: Some(user.to_owned()), ..anybody() }
}

impl Shop {
    pub(super) async fn open() -> Self {
        Self::with(BookingSettings::default(), |gateway| gateway).await
    }

    /// With holds that last so long, and a gateway of the test's own making in front of the sandbox.
    pub(super) async fn with(
        settings: BookingSettings,
        front: impl FnOnce(Arc<dyn Gateway>) -> Arc<dyn Gateway>,
    ) -> Self {
        let sandbox = Sandbox::start(Protocol::Stripe).await;
        let gateway = front(workflows::gateways::build(&sandbox.settings("primary", "stripe")).unwrap());
        Self::on(settings, vec![gateway], vec![sandbox]).await
    }

    /// With one gateway that speaks Adyen's protocol.
    pub(super) async fn at_adyen() -> Self {
        let sandbox = Sandbox::start(Protocol::Adyen).await;
        let gateway = workflows::gateways::build(&sandbox.settings("primary", "adyen")).unwrap();
        Self::on(BookingSettings::default(), vec![gateway], vec![sandbox]).await
    }

    /// With a second gateway of this protocol.
    pub(super) async fn with_backup(protocol: &str) -> Self {
        Self::between("stripe", protocol).await
    }

    /// With two gateways of these protocols.
    pub(super) async fn between(first: &str, second: &str) -> Self {
        let speaking = |protocol| if protocol == "adyen" { Protocol::Adyen } else { Protocol::Stripe };
        let primary = Sandbox::start(speaking(first)).await;
        let backup = Sandbox::start(speaking(second)).await;
        let settings = [primary.settings("primary", first), backup.settings("backup", second)];
        let gateways = settings.iter().map(|settings| workflows::gateways::build(settings).unwrap()).collect();
        Self::on(BookingSettings::default(), gateways, vec![primary, backup]).await
    }

    pub(super) async fn on(
        settings: BookingSettings,
        gateways: Vec<Arc<dyn Gateway>>,
        sandboxes: Vec<Sandbox>,
    ) -> Self {
        let migrations = Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations");
        let url = TestServers::shared().database(&migrations).unwrap();
        let pool = orchestrator::db::connect(&url, 12).await.unwrap();
        // what is sold runs as processes do; what only tests do is the owner's
        let process = orchestrator::db::connect_as_process(&url, 12).await.unwrap();
        let configured = |gateway| ConfiguredGateway {
            gateway,
            webhook_secrets: vec![SecretString::from(SECRET)],
            timeout: Duration::from_millis(GATEWAY_TIMEOUT_MS.into()),
            late_window: LATE_WINDOW,
        };
        let needs = Needs {
            gateways: Arc::new(Gateways::new(gateways.into_iter().map(configured).collect()).unwrap()),
            ticket_keys: TicketKeys::development(),
            settings,
            demo_actions: true,
        };
        let knobs = Knobs::default();
        let engine = engine(&process, &needs, &knobs, LOCAL_STEPS_MAX);
        engine.catalog().bring_along(&documents(true)).await.unwrap();
        let event = events::create(&pool, &new_event(), "a test".into()).await.unwrap().event_id;
        let seats = seat_map(&pool, event, None).await.unwrap().items.into_iter().map(|seat| seat.seat_id).collect();
        Self {
            webhooks: Webhooks::new(engine.clone(), Arc::clone(&needs.gateways)),
            places: Places::new(engine.clone(), needs.settings.order_hold()),
            holds: Holds::new(process, SeatCache::absent(), needs.settings.hold_ttl()),
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
            next_seat: AtomicUsize::new(0),
            sandboxes,
            pool,
            engine,
            knobs,
            event,
            seats,
            needs,
        }
    }

    pub(super) fn gateways(&self) -> &Gateways {
        &self.needs.gateways
    }

    /// That of a worker that dies at a step: it does one at a time, so that it comes to each.
    fn mortal_engine(&self) -> Engine {
        engine(&self.pool, &self.needs, &self.knobs, 1)
    }

    /// The next seats that nobody has asked for.
    pub(super) async fn hold(&self, user: &str, count: usize) -> Hold {
        let first = self.next_seat.fetch_add(count, Ordering::Relaxed);
        self.hold_seats(user, &self.seats[first..first + count]).await
    }

    pub(super) async fn hold_seats(&self, user: &str, seats: &[String]) -> Hold {
        let wish = Wish::Seats(seats.to_vec());
        let reserve = Reserve { event_id: self.event, user_id: user.to_owned(), wish, hold_token: None };
        self.holds.reserve(reserve).await.unwrap().hold().clone()
    }

    pub(super) async fn place(&self, hold: &Hold, method: &str, key: &str) -> Result<Placed, PlaceError> {
        self.place_with(hold, PaymentMethod::Token(method.to_owned()), key).await
    }

    pub(super) async fn place_with(
        &self,
        hold: &Hold,
        payment_method: PaymentMethod,
        key: &str,
    ) -> Result<Placed, PlaceError> {
        let request = PlaceOrder {
            hold_id: hold.hold_id,
            payment_method,
            idempotency_key: key.to_owned(),
            email: Some("buyer@example.org".to_owned()),
        };
        self.places.place(&anybody(), request).await
    }

    /// An order for one seat.
    pub(super) async fn order(&self, method: &str) -> Placement {
        let hold = self.hold("ann", 1).await;
        match self.place(&hold, method, &hold.hold_id.to_string()).await.unwrap() {
            Placed::New(placement) => placement,
            Placed::Replayed(other) => panic!("{other:?}"),
        }
    }

    /// An order with its ticket.
    pub(super) async fn confirmed(&self) -> Placement {
        let placement = self.order(VISA).await;
        self.run_until(placement.saga_id, "completed").await;
        placement
    }

    pub(super) async fn view(&self, saga: SagaId) -> SagaView {
        self.engine.saga(saga).await.unwrap().unwrap()
    }

    pub(super) async fn see(&self, order: OrderId) -> Order {
        find(&self.pool, &anybody(), order).await.unwrap().unwrap()
    }

    /// Runs all sagas until this one is in `state`.
    pub(super) async fn run_until(&self, saga: SagaId, state: &str) -> SagaView {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            let view = self.view(saga).await;
            if view.run.state.as_str() == state {
                return view;
            }
            assert!(!view.run.state.is_finished(), "{:#?}", view.journal);
            self.turn().await;
        }
        panic!("{saga} never was {state}: {:#?}", self.view(saga).await.journal);
    }

    /// Takes what has come by post to all gateways, as the API would.
    pub(super) async fn take_post(&self) {
        for (gateway, sandbox) in self.needs.gateways.iter().zip(&self.sandboxes) {
            while let Some(letter) = sandbox.postbox.waiting().await {
                let now = std::time::SystemTime::now().into();
                let name = gateway.gateway.name();
                self.webhooks.gateway_news(name, &letter.headers, &letter.body, now).await.unwrap();
            }
        }
    }

    /// Runs all sagas until none of this definition is left, taking what comes by post; how they ended.
    pub(super) async fn run_all(&self, definition: &str) -> Vec<String> {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            let states: Vec<String> = sqlx::query_scalar("select state from engine.sagas where definition = $1")
                .bind(definition)
                .fetch_all(&self.pool)
                .await
                .unwrap();
            if states.iter().all(|state| matches!(state.as_str(), "completed" | "compensated" | "stuck")) {
                return states;
            }
            self.take_post().await;
            self.turn().await;
        }
        panic!("sagas of {definition} went on for ever");
    }

    /// Everything that is due now, and what follows at once.
    pub(super) async fn turn(&self) {
        let claimed = self.engine.claim("test", 64).await.unwrap();
        let running = claimed.into_iter().map(|claimed| tokio::spawn(run(self.engine.clone(), claimed)));
        for one in running.collect::<Vec<_>>() {
            one.await.unwrap();
        }
        self.engine.dispatch_outbox(&Nobody, Destination::Inside, 100).await.unwrap();
        tokio::time::sleep(Duration::from_millis(2)).await;
    }

    /// Runs this saga, by a worker that dies at this place. Others find its lease ended at once.
    pub(super) async fn run_and_die(&self, saga: SagaId, place: &Place, death: Death) -> Zombie {
        let engine = self.mortal_engine();
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            self.engine.dispatch_outbox(&Nobody, Destination::Inside, 100).await.unwrap();
            for claimed in engine.claim("mortal", 64).await.unwrap() {
                if claimed.saga_id() != saga {
                    run(engine.clone(), claimed).await;
                } else if let Some(zombie) = self.die(&engine, claimed, place, death).await {
                    self.end_lease(saga).await;
                    return zombie;
                }
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        panic!("{saga} never came to {place:?}: {:#?}", self.view(saga).await.journal);
    }

    async fn die(&self, engine: &Engine, mut claimed: Claimed, place: &Place, death: Death) -> Option<Zombie> {
        loop {
            let lane =
                if self.view(claimed.saga_id()).await.run.compensating { Lane::Compensation } else { Lane::Forward };
            let there = claimed.step().as_deref() == Some(&place.step) && lane == place.lane;
            if there && death == Death::Before {
                return Some(Zombie::Executes(Box::new(claimed)));
            }
            let (executed, report) = engine.execute(claimed).await;
            if there && death == Death::BeforeRecord {
                return Some(Zombie::Settles(Box::new((executed, report))));
            }
            match engine.settle(executed, report).await {
                _ if there => return Some(Zombie::Rests),
                Settled::Continue(next) => claimed = next,
                Settled::Released | Settled::Superseded => return None,
            }
        }
    }

    /// It wakes, and does what it was about to do: nothing of that may be written.
    pub(super) async fn wake(&self, zombie: Zombie) {
        let (claimed, report) = match zombie {
            Zombie::Executes(claimed) => self.engine.execute(*claimed).await,
            Zombie::Settles(both) => *both,
            Zombie::Rests => return,
        };
        assert!(matches!(self.engine.settle(claimed, report).await, Settled::Superseded));
    }

    /// A person has it tried again.
    pub(super) async fn retry(&self, saga: SagaId) {
        let request = ActRequest {
            saga_id: saga,
            act: Act::Retry,
            reason: "healed".to_owned(),
            seq: self.view(saga).await.run.seq,
            by: "operator".to_owned(),
            address: None,
        };
        self.engine.act(request).await.unwrap();
    }

    async fn end_lease(&self, saga: SagaId) {
        sqlx::query("update engine.ready set lease_until = '-infinity' where saga_id = $1")
            .bind(saga.0)
            .execute(&self.pool)
            .await
            .unwrap();
    }

    /// The order's hold is over, a second ago.
    pub(super) async fn end_hold(&self, order: OrderId) {
        sqlx::query(
            "with hold as (
                 update booking.holds set expires_at = now() - interval '1 second'
                 where order_id = $1 returning hold_id, expires_at)
             update booking.seats s set held_until = hold.expires_at
             from hold where s.hold_id = hold.hold_id and s.order_id is null",
        )
        .bind(order.0)
        .execute(&self.pool)
        .await
        .unwrap();
    }

    pub(super) async fn seat_status(&self, seat: &str) -> SeatStatus {
        let items = seat_map(&self.pool, self.event, None).await.unwrap().items;
        items.iter().find(|item| item.seat_id == seat).unwrap().status
    }

    /// An order that ended, with its seat and its money where they belong.
    pub(super) async fn assert_ended(&self, order: OrderId, status: OrderStatus) -> Order {
        let seen = self.see(order).await;
        assert_eq!(seen.status, status, "{seen:#?}");
        let sold = status == OrderStatus::Confirmed;
        assert_eq!(self.kept(order).await, if sold { seen.total.amount_minor } else { 0 }, "{seen:#?}");
        assert_eq!(
            seen.tickets.iter().filter(|ticket| ticket.valid).count(),
            if sold { seen.seat_ids.len() } else { 0 }
        );
        for seat in &seen.seat_ids {
            let expected = if sold { SeatStatus::Sold } else { SeatStatus::Available };
            assert_eq!(self.seat_status(seat).await, expected);
        }
        seen
    }

    /// Every test ends with this.
    pub(super) async fn assert_well(&self) {
        self.assert_sound().await;
        self.assert_same_books().await;
    }

    /// The same where a gateway tells us something else than its books have.
    pub(super) async fn assert_sound(&self) {
        assert_eq!(self.engine.violations().await.unwrap(), []);
        assert_eq!(violations(&self.pool).await.unwrap(), []);
    }
}

/// Runs what a claim gives.
async fn run(engine: Engine, mut claimed: Claimed) {
    loop {
        let (executed, report) = engine.execute(claimed).await;
        match engine.settle(executed, report).await {
            Settled::Continue(next) => claimed = next,
            Settled::Released | Settled::Superseded => return,
        }
    }
}

fn engine(pool: &PgPool, needs: &Needs, knobs: &Knobs, local_steps_max: u32) -> Engine {
    // no jitter: what is tried again is tried again at once
    let settings =
        EngineSettings { lease_secs: 600, chance: Arc::new(|_| 0), local_steps_max, ..EngineSettings::default() };
    let registry = knobs.wrap(&registry(needs).unwrap());
    Engine::new(settings, pool.clone(), Arc::new(registry), Arc::new(BookingProjection))
}

fn new_event() -> NewEvent {
    NewEvent {
        name: "Hamlet".into(),
        venue: "Globe".into(),
        description: None,
        start_time: "2036-12-31T20:00".into(),
        time_zone: Some("Europe/London".into()),
        sales_start: None,
        sales_end: None,
        currency: "GBP".into(),
        sections: vec![NewSection { name: "Stalls".into(), rows: 20, seats_per_row: 40, price: PRICE }],
    }
}

/// Seats are told to nobody.
struct Nobody;

#[async_trait]
impl Deliver for Nobody {
    async fn deliver(&self, _topic: &str, _payload: &Value) -> Result<(), anyhow::Error> {
        Ok(())
    }
}
