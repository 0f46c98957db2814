//! An API with servers of its own.

use api::{ApiParts, ApiSettings, ApiState};
use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    http::{HeaderMap, Method, Request, StatusCode, header},
};
use orchestrator::{Engine, EngineSettings, db};
use private_servers::TestServers;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use std::{collections::HashMap, path::Path, sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use workflows::{
    access::{AccessTokens, Role, create_token},
    approvals::Asks,
    breakers::BreakerSettings,
    gateways::GatewaySettings,
    holds::Holds,
    orders::{OrderWaits, Places},
    payments::{Gateways, Webhooks},
    projection::BookingProjection,
    redis_link::RedisLink,
    refunds::Refunds,
    registry::{Needs, registry},
    seat_cache::SeatCache,
    settings::BookingSettings,
    tickets::TicketKeys,
};

/// What the only gateway's webhooks are signed with.
pub(crate) const WEBHOOK_SECRET: &str = "whsec_test";

/// An API, and a token for each role.
pub(crate) struct App {
    pub(crate) router: Router,
    pub(crate) state: ApiState,
    pub(crate) engine: Engine,
    pub(crate) waits: OrderWaits,
    pub(crate) gateways: Arc<Gateways>,
    database_url: String,
    tokens: HashMap<&'static str, String>,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    /// The answer, if it has this status.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{:?}", self.body);
        self
    }

    /// The answer, if it is this problem.
    #[track_caller]
    pub(crate) fn expect_problem(self, status: u16, slug: &str) -> Self {
        let answer = self.expect(status);
        assert_eq!(answer.body["type"], format!("/problems/{slug}"), "{:?}", answer.body);
        assert_eq!(answer.headers[header::CONTENT_TYPE], "application/problem+json");
        answer
    }

    /// A text in the body.
    #[track_caller]
    pub(crate) fn text(&self, pointer: &str) -> String {
        let found = self.body.pointer(pointer).and_then(Value::as_str);
        found.unwrap_or_else(|| panic!("{pointer} is not in {}", self.body)).to_owned()
    }
}

/// On so many sagas one person may act at once.
pub(crate) const BATCH_ALONE_MAX: u32 = 4;

/// The URL of a database with the schema, and of an empty Redis.
async fn servers() -> (String, String) {
    let made = tokio::task::spawn_blocking(|| {
        let servers = TestServers::shared();
        let migrations = Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations");
        (servers.database(&migrations).unwrap(), servers.redis_url())
    });
    made.await.unwrap()
}

impl App {
    pub(crate) async fn new() -> Self {
        Self::with(ApiSettings::default()).await
    }

    pub(crate) async fn with(settings: ApiSettings) -> Self {
        let (database_url, redis_url) = servers().await;
        Self::on(&database_url, SeatCache::on(RedisLink::new(&redis_url).unwrap()), settings, None).await
    }

    /// Another process on the same database.
    pub(crate) async fn another(&self) -> Self {
        Self::on(&self.database_url, SeatCache::absent(), ApiSettings::default(), None).await
    }

    /// On servers of the caller's.
    pub(crate) async fn on(
        database_url: &str,
        cache: SeatCache,
        settings: ApiSettings,
        migrations: Option<&'static sqlx::migrate::Migrator>,
    ) -> Self {
        // The second test of the process finds it installed.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let pool = db::connect(database_url, 8).await.unwrap();
        let gateways = Arc::new(Gateways::build(&["primary", "backup"].map(gateway), &RedisLink::absent()).unwrap());
        let ticket_keys = TicketKeys::development();
        let booking = BookingSettings { batch_approval_above: BATCH_ALONE_MAX, ..BookingSettings::default() };
        let needs = Needs {
            gateways: Arc::clone(&gateways),
            ticket_keys: ticket_keys.clone(),
            settings: booking.clone(),
            demo_actions: true,
        };
        let registry = Arc::new(registry(&needs).unwrap());
        let engine = Engine::new(EngineSettings::default(), pool.clone(), registry, Arc::new(BookingProjection));
        engine.catalog().bring_along(&workflows::definitions::documents(true)).await.unwrap();
        let mut tokens = HashMap::new();
        for role in Role::ALL {
            let secret = create_token(&pool, role, role.as_str(), None, "a test").await.unwrap();
            tokens.insert(role.as_str(), secret.expose_secret().to_owned());
        }
        let waits = OrderWaits::new(pool.clone());
        let state = ApiState::new(ApiParts {
            engine: engine.clone(),
            holds: Holds::new(pool.clone(), cache, booking.hold_ttl()),
            places: Places::new(engine.clone(), booking.order_hold()),
            waits: waits.clone(),
            webhooks: Webhooks::new(engine.clone(), Arc::clone(&gateways)),
            refunds: Refunds::new(engine.clone(), &booking),
            asks: Asks::new(engine.clone(), &booking),
            gateways: Arc::clone(&gateways),
            ticket_keys,
            audit_head: None,
            tokens: AccessTokens::new(pool),
            migrations,
            metrics: None,
            draining: CancellationToken::new(),
            settings,
        });
        let database_url = database_url.to_owned();
        Self { router: api::router(state.clone()), state, engine, waits, gateways, database_url, tokens }
    }

    /// The token of a role.
    pub(crate) fn token(&self, role: &str) -> &str {
        &self.tokens[role]
    }

    /// A client's token that acts for one user.
    pub(crate) async fn token_of(&self, user: &str) -> String {
        let made = create_token(self.engine.pool(), Role::Client, user, Some(user), "a test").await.unwrap();
        made.expose_secret().to_owned()
    }

    /// Sends a request as it is.
    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        // A stream has no end.
        let streamed = parts.headers.get(header::CONTENT_TYPE).is_some_and(|media| media == "text/event-stream");
        let bytes = if streamed { Bytes::new() } else { to_bytes(body, 1 << 24).await.unwrap() };
        assert!(parts.headers.contains_key("x-request-id"));
        Answer {
            status: parts.status,
            headers: parts.headers,
            body: serde_json::from_slice(&bytes).unwrap_or(Value::Null),
        }
    }

    /// With the token of a role, or a token.
    pub(crate) async fn call(&self, who: &str, method: Method, path: &str, body: Option<&Value>) -> Answer {
        let token = self.tokens.get(who).map_or(who, String::as_str);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .header(header::CONTENT_TYPE, "application/json");
        let body = body.map(Value::to_string).unwrap_or_default();
        self.send(request.body(Body::from(body)).unwrap()).await
    }

    pub(crate) async fn get(&self, who: &str, path: &str) -> Answer {
        self.call(who, Method::GET, path, None).await
    }

    /// A CSV document, line by line.
    pub(crate) async fn csv(&self, who: &str, path: &str) -> Vec<String> {
        let request = Request::builder()
            .uri(path)
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token(who)))
            .header(header::ACCEPT, "text/csv");
        let response = self.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()[header::CONTENT_TYPE], "text/csv; charset=utf-8");
        let text = to_bytes(response.into_body(), 1 << 24).await.unwrap();
        String::from_utf8(text.to_vec()).unwrap().split_terminator("\r\n").map(str::to_owned).collect()
    }

    pub(crate) async fn post(&self, who: &str, path: &str, body: &Value) -> Answer {
        self.call(who, Method::POST, path, Some(body)).await
    }

    pub(crate) async fn put(&self, who: &str, path: &str, body: &Value) -> Answer {
        self.call(who, Method::PUT, path, Some(body)).await
    }

    pub(crate) async fn put_yaml(&self, who: &str, path: &str, yaml: &str) -> Answer {
        let request = Request::put(path)
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token(who)))
            .header(header::CONTENT_TYPE, "application/yaml");
        self.send(request.body(Body::from(yaml.to_owned())).unwrap()).await
    }

    /// Has one person stop a saga, and another one consent.
    pub(crate) async fn kill(&self, saga: &str, seq: i64) {
        let kill = json!({"reason": "r", "seq": seq});
        let approval =
            self.post("operator", &format!("/sagas/{saga}/kill"), &kill).await.expect(202).text("/approvalId");
        let consent = json!({"reason": "seen"});
        self.post("admin", &format!("/approvals/{approval}/approve"), &consent).await.expect(202);
    }

    /// An event with one row of seats that cost 45.00 EUR each.
    pub(crate) async fn event(&self, seats: u32) -> String {
        let body = json!({
            "name": "Nabucco", "venue": "Arena", "startTime": "2035-06-01T20:00", "timeZone": "Europe/Rome",
            "currency": "EUR", "sections": [{"name": "Parterre", "rows": 1, "seatsPerRow": seats, "price": 4500}],
        });
        self.post("admin", "/events", &body).await.expect(201).text("/eventId")
    }

    /// The ids of an event's seats.
    pub(crate) async fn seats(&self, event: &str) -> Vec<String> {
        let seats = self.get("client", &format!("/events/{event}/seats")).await.expect(200);
        let items = seats.body["items"].as_array().unwrap();
        items.iter().map(|seat| seat["seatId"].as_str().unwrap().to_owned()).collect()
    }

    /// An order of one new event's only seat; the order's answer.
    pub(crate) async fn order(&self, user: &str) -> Answer {
        let event = self.event(1).await;
        let wish = json!({"userId": user, "bestAvailable": {"count": 1}});
        let hold = self.post("client", &format!("/events/{event}/reserve"), &wish).await.expect(201).text("/reserveId");
        let body = json!({"reserveId": hold, "paymentMethod": "pm_card_visa", "idempotencyKey": hold});
        self.post("client", "/orders", &body).await.expect(202)
    }
}

fn gateway(name: &str) -> GatewaySettings {
    GatewaySettings {
        name: name.to_owned(),
        protocol: "stripe".to_owned(),
        base_url: "http://127.0.0.1:9".to_owned(),
        api_key: SecretString::from("sk_test"),
        webhook_secret: SecretString::from(WEBHOOK_SECRET),
        webhook_secret_previous: None,
        return_url: None,
        timeout_ms: 1000,
        late_window_secs: 1,
        breaker: BreakerSettings::default(),
        merchant_account: None,
    }
}

/// Waits for a condition.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    for _ in 0..500 {
        if condition().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{what} did not happen");
}
