//! The gateways of this installation, in order of preference: the configuration's, or the one that people want now.

use super::preference::{self, NoOrder, OrderChange};
use crate::{
    breakers::{
        GatewayBreakers, Operation,
        modes::{self, Forced},
    },
    gateways::{BuildError, Gateway, GatewaySettings, build, guarded},
    money::Money,
    orders::PaymentMethod,
    redis_link::RedisLink,
};
use orchestrator::action::{Answer, Halt};
use secrecy::SecretString;
use sqlx::PgPool;
use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};
use tokio::time::{Interval, MissedTickBehavior};

/// The gateways could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum GatewaysError {
    /// One of them.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// Two with one name: which of them has the money could not be told.
    #[error("two gateways are called `{0}`")]
    SameName(String),
}

/// A gateway with the secrets that its news are signed with.
#[derive(Clone)]
pub struct ConfiguredGateway {
    /// What speaks to it.
    pub gateway: Arc<dyn Gateway>,
    /// The present secret, and the one before while they are being changed.
    pub webhook_secrets: Vec<SecretString>,
    /// How long one call may take.
    pub timeout: Duration,
    /// For how long a call that nobody waits for any more may still arrive there.
    pub late_window: Duration,
}

/// How soon the other processes hear of what happens in one.
const EXCHANGE_EVERY: Duration = Duration::from_millis(250);
/// How soon a process hears of what people decide.
const DECISIONS_EVERY: Duration = Duration::from_secs(1);
/// How long it takes from the order's turn until its gateway is asked.
const UNTIL_ASKED: Duration = Duration::from_secs(1);

impl ConfiguredGateway {
    /// How long its breaker still keeps charges away, as far as this process knows; nothing when it lets them through.
    #[must_use]
    pub fn charges_closed_for(&self) -> Option<Duration> {
        self.gateway.breakers()?.closed_for(Operation::Charge)
    }
}

/// The order of preference was not changed.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    /// It is none.
    #[error(transparent)]
    NoOrder(#[from] NoOrder),
    /// The database's.
    #[error("the order could not be written")]
    Database(#[from] sqlx::Error),
}

/// All gateways. What clones of it hear of the order of preference, all of them know.
#[derive(Clone, Default)]
pub struct Gateways {
    configured: Vec<ConfiguredGateway>,
    /// Places in `configured`, the one first that is asked first.
    order: Arc<RwLock<Vec<usize>>>,
}

impl fmt::Debug for Gateways {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

impl Gateways {
    /// Those that the configuration names, in its order, behind breakers that all processes share on this Redis.
    ///
    /// # Errors
    /// See [`GatewaysError`].
    pub fn build(settings: &[GatewaySettings], redis: &RedisLink) -> Result<Self, GatewaysError> {
        let configured = settings.iter().map(|one| {
            let webhook_secrets = [Some(&one.webhook_secret), one.webhook_secret_previous.as_ref()]
                .into_iter()
                .flatten()
                .cloned()
                .collect();
            let timeout = Duration::from_millis(one.timeout_ms);
            let breakers = GatewayBreakers::shared(&one.name, timeout, one.breaker, redis);
            Ok(ConfiguredGateway {
                gateway: guarded(build(one)?, breakers),
                webhook_secrets,
                timeout,
                late_window: Duration::from_secs(one.late_window_secs),
            })
        });
        Self::new(configured.collect::<Result<_, GatewaysError>>()?)
    }

    /// These, in this order.
    ///
    /// # Errors
    /// [`GatewaysError::SameName`].
    pub fn new(configured: Vec<ConfiguredGateway>) -> Result<Self, GatewaysError> {
        for (index, one) in configured.iter().enumerate() {
            if configured[..index].iter().any(|other| other.gateway.name() == one.gateway.name()) {
                return Err(GatewaysError::SameName(one.gateway.name().to_owned()));
            }
        }
        let order = Arc::new(RwLock::new((0..configured.len()).collect()));
        Ok(Self { configured, order })
    }

    /// As configured.
    fn names(&self) -> Vec<&str> {
        self.configured.iter().map(|configured| configured.gateway.name()).collect()
    }

    /// The gateway with this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&ConfiguredGateway> {
        self.configured.iter().find(|configured| configured.gateway.name() == name)
    }

    /// Those that take the payment method and the amount, in order of preference.
    pub(super) fn takers(&self, method: &PaymentMethod, amount: Money) -> Answer<Vec<&str>> {
        let mut takers = Vec::new();
        let mut refusal = Halt::permanent("no-gateway", "no gateway takes this payment method");
        let gateways = self.iter().map(|configured| &configured.gateway);
        for gateway in gateways.filter(|gateway| method.token_for(gateway.name()).is_some()) {
            match gateway.check_amount(amount) {
                Ok(()) => takers.push(gateway.name()),
                Err(error) => refusal = Halt::permanent("gateway-refused:amount", error.to_string()),
            }
        }
        if takers.is_empty() { Err(refusal) } else { Ok(takers) }
    }

    /// How long this one's breaker still keeps charges away; nothing when it lets them through.
    pub(super) fn charges_closed_for(&self, name: &str) -> Option<Duration> {
        self.get(name)?.charges_closed_for()
    }

    /// How long a hold must last when its order comes to be paid, so that a charge can begin at any of them, however
    /// long it takes to be prepared.
    #[must_use]
    pub fn time_to_pay(&self) -> Duration {
        let takes = |configured: &ConfiguredGateway| {
            let calls = if configured.gateway.capabilities().prepares { 2 } else { 1 };
            configured.timeout * calls
        };
        self.configured.iter().map(takes).max().unwrap_or_default() + UNTIL_ASKED
    }

    /// Keeps what this process and the others know of breakers the same, and what people have decided about gateways, for as
    /// long as it is polled.
    pub async fn keep_breakers(&self, pool: &PgPool) {
        futures::future::join(self.exchange_breakers(), self.follow_decisions(pool)).await;
    }

    async fn exchange_breakers(&self) {
        let mut ticks = ticks(EXCHANGE_EVERY);
        loop {
            ticks.tick().await;
            for breakers in self.configured.iter().filter_map(|configured| configured.gateway.breakers()) {
                breakers.exchange().await;
            }
        }
    }

    async fn follow_decisions(&self, pool: &PgPool) {
        let mut ticks = ticks(DECISIONS_EVERY);
        loop {
            ticks.tick().await;
            // what was known goes on or ends by itself, and that the database is away is told elsewhere
            if let Err(error) = self.read_decisions(pool).await {
                tracing::debug!(error = %error, "What people have decided could not be read: {error}");
            }
        }
    }

    async fn read_decisions(&self, pool: &PgPool) -> Result<(), sqlx::Error> {
        self.read_breaker_modes(pool).await?;
        self.read_order(pool).await
    }

    /// What people have decided about breakers, taken in by this process.
    ///
    /// # Errors
    /// The database's.
    pub async fn read_breaker_modes(&self, pool: &PgPool) -> Result<Vec<Forced>, sqlx::Error> {
        let forced = modes::forced(pool).await?;
        for breakers in self.configured.iter().filter_map(|configured| configured.gateway.breakers()) {
            breakers.take_in(&forced).await;
        }
        Ok(forced)
    }

    /// Changes the order of preference for every process: it is kept to within about a second, by this one at once.
    ///
    /// # Errors
    /// See [`OrderError`].
    pub async fn change_order(&self, pool: &PgPool, wanted: &OrderChange<'_>) -> Result<(), OrderError> {
        preference::check(wanted.names, &self.names())?;
        preference::change(pool, wanted).await?;
        self.take_in_order(wanted.names);
        Ok(())
    }

    /// The order that people want, taken in by this process.
    ///
    /// # Errors
    /// The database's.
    pub async fn read_order(&self, pool: &PgPool) -> Result<(), sqlx::Error> {
        self.take_in_order(&preference::wanted(pool).await?);
        Ok(())
    }

    fn take_in_order(&self, wanted: &[String]) {
        let order = preference::places(&self.names(), wanted);
        *self.order.write().unwrap_or_else(PoisonError::into_inner) = order;
    }

    /// All of them, in order of preference.
    pub fn iter(&self) -> impl Iterator<Item = &ConfiguredGateway> {
        let order = self.order.read().unwrap_or_else(PoisonError::into_inner).clone();
        order.into_iter().map(|place| &self.configured[place])
    }
}

fn ticks(every: Duration) -> Interval {
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateways::fake::{Fake, PREPARES, TELLS};

    #[test]
    fn there_is_time_to_prepare_and_to_charge() {
        let gateways = |capabilities| {
            let gateway = ConfiguredGateway {
                gateway: Fake::new("primary", capabilities),
                webhook_secrets: Vec::new(),
                timeout: Duration::from_secs(8),
                late_window: Duration::ZERO,
            };
            Gateways::new(vec![gateway]).unwrap().time_to_pay().as_secs()
        };
        assert_eq!((gateways(TELLS), gateways(PREPARES)), (9, 17));
    }
}
