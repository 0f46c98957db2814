//! Where refunds stand, by our books, by their sagas, and where nobody knows by what their gateways say.

use super::{
    super::replay::waits_for_its_turn,
    verdict::{Told, Verdict},
};
use crate::{
    breakers::Operation,
    gateways::{Gateway, Reference, RefundProbeOutcome, RefundRequest},
    ids::{OrderId, RefundId},
    money::{Money, currency_from_code},
    orders::impossible,
    payments::Gateways,
};
use futures::{StreamExt, stream};
use orchestrator::{
    Engine, ReadError,
    ids::{SagaId, Uuid},
};
use sqlx::PgPool;
use std::{collections::HashMap, sync::Arc, time::Duration};

/// How many gateways or sagas are asked at once.
const ASKED_AT_ONCE: usize = 16;
/// How long all gateways together are asked. What is not known then is found out when it is carried out.
const ASKING_MAX: Duration = Duration::from_secs(15);

/// A refund, and what would become of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) saga_id: SagaId,
    /// Where its saga stands; 0 when it is forgotten.
    pub(super) seq: i64,
    pub(super) step: Option<String>,
    pub(super) outstanding: Money,
    pub(super) verdict: Verdict,
}

/// Looks at all of these that there are.
pub(super) async fn look(
    engine: &Engine,
    gateways: &Gateways,
    refunds: &[RefundId],
) -> Result<HashMap<RefundId, Found>, sqlx::Error> {
    // what a person has decided about a breaker a moment ago
    gateways.read_breaker_modes(engine.pool()).await?;
    let rows = rows(engine.pool(), refunds).await?;
    let going: Vec<_> = rows.iter().filter(|row| row.goes_on()).map(|row| row.saga_id).collect();
    let waiting = waiting(engine, going).await?;
    let may_be_replayed = |row: &Row| row.refused().is_none() && (!row.goes_on() || waiting.contains(&row.saga_id));
    let in_doubt = rows.iter().filter(|row| may_be_replayed(row)).filter_map(|row| row.question(gateways));
    let told = ask(in_doubt.collect()).await;
    let found = rows.iter().map(|row| {
        let verdict = match row.refused() {
            Some(refused) => refused,
            None if !may_be_replayed(row) => Verdict::UnderWay,
            None => row.verdict(gateways, told.get(&row.refund_id).unwrap_or(&Told::Nothing)),
        };
        let Row { refund_id, saga_id, seq, outstanding, .. } = *row;
        (refund_id, Found { saga_id, seq, step: row.step.clone(), outstanding, verdict })
    });
    Ok(found.collect())
}

/// A refund as it is written down.
struct Row {
    refund_id: RefundId,
    order_id: OrderId,
    saga_id: SagaId,
    gateway: String,
    /// The gateway's names for the charge and for the refund.
    payment: Option<Reference>,
    reference: Option<Reference>,
    state: String,
    generation: i32,
    attempts: i32,
    outstanding: Money,
    /// What the try asks for that is under way, or was the last.
    asked: Money,
    seq: i64,
    step: Option<String>,
    /// The saga's, where it is not finished.
    saga_state: Option<String>,
}

impl Row {
    /// Why it is not tried again, whatever its saga does.
    fn refused(&self) -> Option<Verdict> {
        match self.state.as_str() {
            "succeeded" => Some(Verdict::Succeeded),
            "requested" => Some(Verdict::SecondPerson),
            "rejected" => Some(Verdict::Rejected),
            _ => None,
        }
    }

    /// Its saga has something to do yet, and needs no person.
    fn goes_on(&self) -> bool {
        self.saga_state.as_deref().is_some_and(|state| state != "stuck")
    }

    /// Nobody knows what became of its last try.
    fn is_in_doubt(&self) -> bool {
        self.state != "failed" && self.attempts > 0
    }

    /// What its gateway is asked, where nobody knows and it can be asked.
    fn question(&self, gateways: &Gateways) -> Option<Question> {
        let gateway = &gateways.get(&self.gateway)?.gateway;
        if !self.is_in_doubt() || !gateway.capabilities().probes_refunds {
            return None;
        }
        let request = RefundRequest {
            order_id: self.order_id,
            refund_id: self.refund_id,
            generation: u32::try_from(self.generation).ok()?,
            payment: self.payment.clone()?,
            amount: self.asked,
        };
        Some(Question { gateway: Arc::clone(gateway), request, reference: self.reference.clone() })
    }

    fn verdict(&self, gateways: &Gateways, told: &Told) -> Verdict {
        let Some(configured) = gateways.get(&self.gateway) else {
            return Verdict::UnknownGateway(self.gateway.clone());
        };
        let breakers = configured.gateway.breakers();
        let is_open = breakers.is_some_and(|breakers| breakers.closed_for(Operation::Refund).is_some());
        Verdict::of(&self.gateway, told, self.asked, is_open)
    }
}

async fn rows(pool: &PgPool, refunds: &[RefundId]) -> Result<Vec<Row>, sqlx::Error> {
    let ids: Vec<Uuid> = refunds.iter().map(|refund| refund.0).collect();
    let rows = sqlx::query!(
        r#"select r.refund_id as "refund_id!", r.order_id as "order_id!", r.saga_id as "saga_id!",
               p.gateway as "gateway!", p.reference as payment, r.reference, r.state as "state!",
               r.generation as "generation!", r.attempts as "attempts!", r.outstanding_minor as "outstanding_minor!",
               r.asked_minor, r.currency as "currency!",
               s.seq as "seq?", s.step as "step?",
               case when s.finished_at is null then s.state end as saga_state
           from booking.refunds r
           join booking.payments p on p.payment_id = r.payment_id
           left join engine.saga_states s on s.saga_id = r.saga_id
           where r.refund_id = any($1)"#,
        &ids
    )
    .fetch_all(pool)
    .await?;
    let read = rows.into_iter().map(|row| {
        let refund_id = RefundId(row.refund_id);
        let currency = currency_from_code(&row.currency)
            .map_err(|error| impossible("booking.refunds", "currency", refund_id, error))?;
        Ok(Row {
            refund_id,
            order_id: OrderId(row.order_id),
            saga_id: SagaId(row.saga_id),
            gateway: row.gateway,
            payment: row.payment.and_then(|name| Reference::new(name).ok()),
            reference: row.reference.and_then(|name| Reference::new(name).ok()),
            state: row.state,
            generation: row.generation,
            attempts: row.attempts,
            outstanding: Money::new(row.outstanding_minor, currency),
            asked: Money::new(row.asked_minor.unwrap_or(row.outstanding_minor), currency),
            seq: row.seq.unwrap_or_default(),
            step: row.step,
            saga_state: row.saga_state,
        })
    });
    read.collect()
}

/// Those of these sagas that would only try or ask later, which a person may have them do at once.
async fn waiting(engine: &Engine, sagas: Vec<SagaId>) -> Result<Vec<SagaId>, sqlx::Error> {
    let views = stream::iter(sagas).map(|saga| engine.saga(saga)).buffer_unordered(ASKED_AT_ONCE);
    let views: Vec<_> = views.collect().await;
    let mut waiting = Vec::new();
    for view in views {
        match view {
            Ok(Some(view)) if waits_for_its_turn(&view) => waiting.push(view.run.saga_id),
            Err(ReadError::Database(error)) => return Err(error),
            // what does not read is not tried again
            Ok(_) | Err(_) => {}
        }
    }
    Ok(waiting)
}

/// What a gateway is asked.
struct Question {
    gateway: Arc<dyn Gateway>,
    request: RefundRequest,
    reference: Option<Reference>,
}

/// What the gateways say, as far as they do in time.
async fn ask(questions: Vec<Question>) -> HashMap<RefundId, Told> {
    let mut told: HashMap<_, _> =
        questions.iter().map(|question| (question.request.refund_id, Told::NoAnswer)).collect();
    let answers = stream::iter(questions)
        .map(async |Question { gateway, request, reference }| {
            (request.refund_id, gateway.probe_refund(&request, reference.as_ref()).await)
        })
        .buffer_unordered(ASKED_AT_ONCE)
        .take_until(Box::pin(tokio::time::sleep(ASKING_MAX)));
    let answers: Vec<_> = answers.collect().await;
    for (refund, outcome) in answers {
        let answer = match outcome {
            RefundProbeOutcome::CannotAsk => Told::Nothing,
            outcome => Told::Answer(outcome),
        };
        told.insert(refund, answer);
    }
    told
}
