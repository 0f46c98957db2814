//! Replay of one refund: a person has it tried again. Where its saga needs a person, that saga goes on; where its saga is
//! over, another one carries out what is outstanding, by the next generation of the key.
//!
//! A try whose outcome nobody knows is asked about before anything else, and is made again by the same key if at all:
//! that is the step's business ([`super::SubmitRefund`]), whoever has it tried.

use super::{
    books::{self, Seen},
    disputed,
};
use crate::{
    ids::{OrderId, PaymentId, RefundId},
    orders::REFUND_ORDER,
    spawned,
};
use orchestrator::{
    CHILD_OWNER, Engine, Started,
    acts::{Act, ActAnswer, ActError, ActRequest, DoneAct, RecordFilter, record_in_tx},
    catalog::Author,
    ids::SagaId,
    journal::{ActKind, Entry},
    run::Phase,
    saga::State,
    start::{Start, StartError, start_in_tx},
    view::SagaView,
};
use serde_json::json;
use std::net::IpAddr;

/// How often a replay looks again when the refund moves under it.
const TRIES_MAX: u32 = 20;
/// Before a saga's first entry.
const BEGINNING: i64 = 0;
/// The act, as the record has it.
const ACT: &str = "refund.replay";

/// What a person asks for.
#[derive(Debug, Clone)]
pub struct ReplayRefund {
    /// The refund.
    pub refund_id: RefundId,
    /// Why, in the person's words.
    pub reason: String,
    /// Who.
    pub by: String,
    /// From where.
    pub address: Option<IpAddr>,
}

/// Which saga carries it out from here on, and behind which of its entries stands what comes of that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replayed {
    /// Because of this.
    New(SagaId, i64),
    /// The same person has asked for the same before, and it is under way.
    Before(SagaId, i64),
}

/// Why nothing is tried again.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// There is no such refund.
    #[error("there is no such refund")]
    NotFound,
    /// The money is back.
    #[error("all of it has gone back")]
    AlreadyRefunded,
    /// It is being carried out: what it waits for.
    #[error("{0}")]
    UnderWay(String),
    /// It never was to be carried out.
    #[error("{0}")]
    NotReplayable(String),
    /// Its saga could not be asked.
    #[error("having the refund's saga go on")]
    Act(#[source] ActError),
    /// Another saga could not be started.
    #[error("starting another saga for the refund")]
    Start(#[from] StartError),
    /// The database.
    #[error("replaying the refund")]
    Database(#[from] sqlx::Error),
}

/// A refund as it is written down.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    order_id: OrderId,
    payment_id: PaymentId,
    saga_id: SagaId,
    state: String,
    generation: i32,
    /// How often a gateway was about to be asked.
    attempts: i32,
}

/// Has a refund tried again, once, however often and by however many it is asked for. It goes on to its end when the
/// caller goes away.
///
/// # Errors
/// See [`ReplayError`].
pub async fn replay(engine: &Engine, wanted: ReplayRefund) -> Result<Replayed, ReplayError> {
    let engine = engine.clone();
    spawned::run(async move { decide(&engine, &wanted).await }).await
}

async fn decide(engine: &Engine, wanted: &ReplayRefund) -> Result<Replayed, ReplayError> {
    for _ in 0..TRIES_MAX {
        let row = find(engine, wanted.refund_id).await?.ok_or(ReplayError::NotFound)?;
        match row.state.as_str() {
            "succeeded" => return Err(ReplayError::AlreadyRefunded),
            "requested" => return Err(ReplayError::NotReplayable("it waits for a second person's consent".to_owned())),
            "rejected" => return Err(ReplayError::NotReplayable("it was never to be made".to_owned())),
            _ => {}
        }
        // where nobody knows, asking about it pays nothing
        if row.state == "failed"
            && let Some(held) =
                disputed::in_the_way_in_tx(&mut *engine.pool().acquire().await?, row.payment_id, 0).await?
        {
            let why = format!("{held} of its charge is disputed: the buyer's bank takes it back");
            return Err(ReplayError::NotReplayable(why));
        }
        let view = engine.saga(row.saga_id).await.map_err(|error| ReplayError::Act(error.into()))?;
        let tried = match view.filter(|view| !view.run.state.is_finished()) {
            Some(view) => carry_on(engine, wanted, &view).await?,
            None => begin_anew(engine, wanted, &row).await?,
        };
        if let Some(replayed) = tried {
            return Ok(replayed);
        }
        // it moved while we looked
        tokio::task::yield_now().await;
    }
    Err(ReplayError::UnderWay("it is being carried out at this moment; ask again".to_owned()))
}

async fn find(engine: &Engine, refund: RefundId) -> Result<Option<Row>, sqlx::Error> {
    let row = sqlx::query!(
        "select order_id, payment_id, saga_id, state, generation, attempts from booking.refunds where refund_id = $1",
        refund.0
    )
    .fetch_optional(engine.pool())
    .await?;
    Ok(row.map(|row| Row {
        order_id: OrderId(row.order_id),
        payment_id: PaymentId(row.payment_id),
        saga_id: SagaId(row.saga_id),
        state: row.state,
        generation: row.generation,
        attempts: row.attempts,
    }))
}

/// Has the refund's own saga go on at once. None: it moved meanwhile.
async fn carry_on(engine: &Engine, wanted: &ReplayRefund, view: &SagaView) -> Result<Option<Replayed>, ReplayError> {
    let saga_id = view.run.saga_id;
    if let Some(seq) = asked_at(engine, view, wanted).await? {
        return Ok(Some(Replayed::Before(saga_id, seq)));
    }
    if !waits_for_its_turn(view) {
        let why = engine.why(saga_id).await.map_err(ReplayError::Act)?;
        return Err(ReplayError::UnderWay(why.map_or_else(String::new, |why| why.sentence)));
    }
    let act = ActRequest {
        saga_id,
        act: Act::Retry,
        reason: wanted.reason.clone(),
        seq: view.run.seq,
        by: wanted.by.clone(),
        address: wanted.address.map(|address| address.to_string()),
    };
    match engine.act(act).await {
        Ok(ActAnswer::Done { seq }) => Ok(Some(Replayed::New(saga_id, seq))),
        Ok(ActAnswer::Replayed { seq }) => Ok(Some(Replayed::Before(saga_id, seq))),
        Err(ActError::MovedOn { .. }) => Ok(None),
        Err(ActError::NotAllowed(why)) => Err(ReplayError::UnderWay(why)),
        Err(error) => Err(ReplayError::Act(error)),
    }
}

/// It needs a person, or would only be tried or asked about later: nobody has had it done at once.
pub(super) fn waits_for_its_turn(view: &SagaView) -> bool {
    let last = view.journal.last().map(|recorded| &recorded.entry);
    let is_asked_for = matches!(last, Some(Entry::Acted { act: ActKind::Retry, .. }));
    let later = |phase: &Phase| matches!(phase, Phase::Retry(_) | Phase::Doubt(_));
    !is_asked_for && (view.run.state == State::Stuck || view.run.steps.values().any(|step| later(&step.forward.phase)))
}

/// Where the same person has asked for it before, if it has not stopped for a person since.
async fn asked_at(engine: &Engine, view: &SagaView, wanted: &ReplayRefund) -> Result<Option<i64>, sqlx::Error> {
    for recorded in view.journal.iter().rev() {
        match &recorded.entry {
            Entry::Stuck { .. } => return Ok(None),
            Entry::Acted { act: ActKind::Retry, reason, by, .. } => {
                return Ok(((reason, by) == (&wanted.reason, &wanted.by)).then_some(recorded.seq));
            }
            _ => {}
        }
    }
    let replays = RecordFilter { act: Some(ACT.to_owned()), object: Some(wanted.refund_id.to_string()), actor: None };
    let last = engine.recorded_acts(&replays, None, 1).await?.pop();
    let is_this = last.is_some_and(|last| (&last.reason, &last.actor) == (&wanted.reason, &wanted.by));
    Ok(is_this.then_some(BEGINNING))
}

/// Starts another saga for what is outstanding of the refund. None: it moved meanwhile.
async fn begin_anew(engine: &Engine, wanted: &ReplayRefund, row: &Row) -> Result<Option<Replayed>, ReplayError> {
    let refund = wanted.refund_id;
    // what was killed may still come to something under its key
    let is_over = row.state == "failed";
    let generation = row.generation + i32::from(is_over);
    let mut input = json!({
        "orderId": row.order_id, "refundId": refund, "reason": wanted.reason, "requestedBy": wanted.by,
    });
    if !is_over && row.attempts > 0 {
        input["asked"] = true.into();
    }
    let start = Start {
        definition: REFUND_ORDER.to_owned(),
        version: None,
        input,
        owner: CHILD_OWNER.to_owned(),
        key: format!("refund:{refund}:after:{}", row.saga_id),
        tags: [("order".to_owned(), row.order_id.to_string()), ("refund".to_owned(), refund.to_string())].into(),
        starts_at: None,
        priority: 0,
        parent: None,
        by: wanted.by.clone(),
    };
    let prepared = engine.prepare(SagaId::fresh(), start).await?;
    let mut tx = engine.pool().begin().await?;
    let seen = Seen { saga_id: row.saga_id, state: &row.state, generation: row.generation };
    if !books::taken_over_in_tx(&mut tx, refund, seen, (prepared.saga_id, generation)).await? {
        return Ok(None);
    }
    let Started::New(saga_id) = start_in_tx(&mut tx, &prepared).await? else { return Ok(None) };
    let act = DoneAct {
        by: Author { name: &wanted.by, address: wanted.address },
        act: ACT,
        object: &refund.to_string(),
        reason: &wanted.reason,
        detail: json!({
            "before": { "sagaId": row.saga_id, "state": row.state, "generation": row.generation },
            "sagaId": saga_id, "generation": generation,
        }),
    };
    record_in_tx(&mut tx, &act).await?;
    tx.commit().await?;
    engine.hint();
    Ok(Some(Replayed::New(saga_id, BEGINNING)))
}
