//! Refunds that somebody in finance asks for: the request, its reservation, the second person's approval where it
//! needs one, and the start of its saga are one transaction.

use super::{
    approve::{ApproveRefund, Awaited, content_in_tx, withdraw_awaited_in_tx},
    disputed,
    part::{NotRefundable, Part, Wanted},
    request::{Charge, NewRefund, Owed, owed_in_tx, reserve_in_tx},
};
use crate::{
    access::Principal,
    approvals::{self, ApprovedAct, NewApproval},
    ids::{ApprovalId, OrderId, RefundId},
    money::Money,
    orders::{
        self, REFUND_ORDER,
        keys::{KeyUsed, use_once},
    },
    settings::BookingSettings,
    spawned,
};
use orchestrator::{
    CHILD_OWNER, Engine, Start, StartError,
    action::LocalAction,
    acts::{DoneAct, record_in_tx},
    catalog::Author,
    ids::{SagaId, Uuid},
    start_in_tx,
};
use serde_json::json;
use sqlx::PgConnection;
use std::{net::IpAddr, time::Duration};

/// Takes requests for refunds.
#[derive(Clone)]
pub struct Refunds {
    engine: Engine,
    approval_above: i64,
    approval_expires: Duration,
}

/// What somebody asks for.
#[derive(Debug, Clone)]
pub struct AskRefund {
    /// Of which order.
    pub order_id: OrderId,
    /// How much, and of which seats.
    pub wanted: Wanted,
    /// Why.
    pub reason: String,
    /// The same key may only come with the same request again.
    pub idempotency_key: String,
    /// From where.
    pub address: Option<IpAddr>,
}

/// A refund that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefundAsked {
    /// The refund.
    pub refund_id: RefundId,
    /// The saga that carries it out.
    pub saga_id: SagaId,
    /// How far it has come.
    pub state: String,
    /// The second person's approval, where it needs one.
    pub approval_id: Option<ApprovalId>,
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// It is begun.
    New(RefundAsked),
    /// It was begun by an earlier request with the same key.
    Replayed(RefundAsked),
}

/// Why nothing is given back.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// There is no such order.
    #[error("there is no such order")]
    NotFound,
    /// The order's own saga moves its money.
    #[error("the order is still being carried out: cancel it instead")]
    StillAtWork,
    /// More than one charge has money of it.
    #[error("several charges have money of the order: that is for a person to look into")]
    Several,
    /// There is not so much.
    #[error(transparent)]
    NotRefundable(#[from] NotRefundable),
    /// The buyer's bank takes it back.
    #[error(
        "{held} of it is disputed, which takes it back: of {left} that is left, nothing of that is given back as well"
    )]
    Disputed {
        /// What the gateway holds for it, or has lost.
        held: Money,
        /// What is neither back nor on its way.
        left: Money,
    },
    /// A person has made a version active that takes nothing back when a second person refuses.
    #[error("the active version of {REFUND_ORDER} has no step that waits for a second person")]
    AsksNobody,
    /// The key was used for something else.
    #[error("this idempotency key was used for another request")]
    IdempotencyConflict,
    /// The saga could not be started.
    #[error("starting the refund")]
    Start(#[from] StartError),
    /// The database.
    #[error("asking for the refund")]
    Database(#[from] sqlx::Error),
}

impl Refunds {
    /// As the installation decides.
    #[must_use]
    pub fn new(engine: Engine, settings: &BookingSettings) -> Self {
        Self {
            engine,
            approval_above: settings.refund_approval_above,
            approval_expires: Duration::from_secs(settings.approval_expires_secs),
        }
    }

    /// Asks for a refund. The same request again is answered as before. It goes on to its end when the caller goes away.
    ///
    /// # Errors
    /// See [`AskError`]; nothing is reserved then, and the key is free.
    pub async fn ask(&self, principal: &Principal, request: AskRefund) -> Result<Asked, AskError> {
        let (this, principal) = (self.clone(), principal.clone());
        spawned::run(async move { this.ask_now(&principal, &request).await }).await
    }

    async fn ask_now(&self, principal: &Principal, request: &AskRefund) -> Result<Asked, AskError> {
        let order_id = request.order_id;
        let order_saga = orders::saga_of(self.engine.pool(), order_id).await?.ok_or(AskError::NotFound)?;
        // beside the keys under which the same caller places and cancels orders
        let owner = format!("refund:{}", principal.key_owner());
        let refund_id = RefundId(Uuid::new_v5(&order_id.0, format!("{owner}:{}", request.idempotency_key).as_bytes()));
        let start = start_of(order_id, order_saga, refund_id, &request.reason, &principal.name);
        let prepared = self.engine.prepare(SagaId::fresh(), start).await?;
        let active = self.engine.catalog().active(REFUND_ORDER).await?;
        let asks =
            active.is_some_and(|known| known.definition.steps.iter().any(|step| step.action == ApproveRefund::NAME));
        let Wanted { amount_minor, seat_ids } = &request.wanted;
        let body = json!([order_id, amount_minor, seat_ids, request.reason]);
        let mut tx = self.engine.pool().begin().await?;
        let key = (owner.as_str(), request.idempotency_key.as_str());
        if use_once(&mut *tx, key, &body, order_id, prepared.saga_id).await? == KeyUsed::ForAnother {
            return Err(AskError::IdempotencyConflict);
        }
        if let Some(known) = known_in_tx(&mut tx, refund_id).await? {
            return Ok(Asked::Replayed(known));
        }
        let new = NewRefund {
            refund_id,
            order_id,
            saga_id: prepared.saga_id,
            approval_id: None,
            reason: &request.reason,
            requested_by: &principal.name,
        };
        let (asked, amount) = self.reserve(&mut tx, new, &request.wanted, asks).await?;
        start_in_tx(&mut tx, &prepared).await?;
        let detail = json!({
            "orderId": order_id, "sagaId": asked.saga_id, "amount": amount, "seatIds": seat_ids,
            "approvalId": asked.approval_id,
        });
        let by = Author { name: &principal.name, address: request.address };
        let object = refund_id.to_string();
        let act = DoneAct { by, act: "refund.request", object: &object, reason: &request.reason, detail };
        record_in_tx(&mut tx, &act).await?;
        tx.commit().await?;
        self.engine.hint();
        Ok(Asked::New(asked))
    }

    /// Decides how much goes back and reserves it; above the limit a second person is asked for.
    async fn reserve(
        &self,
        tx: &mut PgConnection,
        mut new: NewRefund<'_>,
        wanted: &Wanted,
        asks: bool,
    ) -> Result<(RefundAsked, Money), AskError> {
        at_rest(tx, new.order_id).await?;
        let (charge, part) = part_in_tx(tx, new.order_id, wanted).await?;
        new.approval_id = (part.amount.amount_minor > self.approval_above).then(ApprovalId::fresh);
        if new.approval_id.is_some() && !asks {
            return Err(AskError::AsksNobody);
        }
        reserve_in_tx(tx, &new, &charge, &part).await?;
        if let Some(approval_id) = new.approval_id {
            let frozen = content_in_tx(tx, new.order_id, new.refund_id).await?.ok_or(sqlx::Error::RowNotFound)?;
            let approval = NewApproval {
                approval_id,
                act: ApprovedAct::Refund,
                object: &new.refund_id.to_string(),
                content: &frozen,
                requested_by: new.requested_by,
                reason: new.reason,
                expires_in: self.approval_expires,
            };
            approvals::request_in_tx(tx, &approval).await?;
        }
        let state = if new.approval_id.is_some() { "requested" } else { "approved" };
        let NewRefund { refund_id, saga_id, approval_id, .. } = new;
        Ok((RefundAsked { refund_id, saga_id, state: state.to_owned(), approval_id }, part.amount))
    }
}

/// The saga of a refund, under the key by which it is started once.
pub(crate) fn start_of(order: OrderId, parent: SagaId, refund: RefundId, reason: &str, by: &str) -> Start {
    Start {
        definition: REFUND_ORDER.to_owned(),
        version: None,
        input: json!({ "orderId": order, "refundId": refund, "reason": reason, "requestedBy": by }),
        owner: CHILD_OWNER.to_owned(),
        key: format!("refund:{refund}"),
        tags: [("order".to_owned(), order.to_string()), ("refund".to_owned(), refund.to_string())].into(),
        starts_at: None,
        priority: 0,
        parent: Some(parent),
        by: by.to_owned(),
    }
}

/// Decides how much goes back of an order.
async fn part_in_tx(tx: &mut PgConnection, order: OrderId, wanted: &Wanted) -> Result<(Charge, Part), AskError> {
    let charge = match owed_in_tx(tx, order, None).await? {
        Owed::One(charge) => charge,
        Owed::Nothing => return Err(NotRefundable::NothingLeft.into()),
        Owed::Several => return Err(AskError::Several),
    };
    let part = charge.refundable.part(wanted)?;
    let left = charge.refundable.left;
    match disputed::in_the_way_in_tx(tx, charge.payment_id, part.amount.amount_minor).await? {
        Some(held) => Err(AskError::Disputed { held, left }),
        None => Ok((charge, part)),
    }
}

/// Reserves what a buyer's own cancellation gives back, of an order that the caller has locked. It needs nobody's
/// approval, and what still waits for somebody's is not in its way: that is withdrawn, and its sagas are to be told.
pub(crate) async fn reserve_cancelled_in_tx(
    tx: &mut PgConnection,
    new: &NewRefund<'_>,
    wanted: &Wanted,
) -> Result<Vec<Awaited>, AskError> {
    let is_all = *wanted == Wanted::default();
    let fits_beside = !is_all && part_in_tx(tx, new.order_id, wanted).await.is_ok();
    let withdrawn = if fits_beside { Vec::new() } else { withdraw_awaited_in_tx(tx, new.order_id).await? };
    let (charge, part) = part_in_tx(tx, new.order_id, wanted).await?;
    reserve_in_tx(tx, new, &charge, &part).await?;
    Ok(withdrawn)
}

/// Takes the order, whose own saga must have ended: until then that one moves its money and its seats.
async fn at_rest(tx: &mut PgConnection, order: OrderId) -> Result<(), AskError> {
    let is_at_rest = sqlx::query_scalar!(
        r#"select not exists (
               select from engine.saga_states s where s.saga_id = o.saga_id and s.finished_at is null
           ) as "at_rest!"
           from booking.orders o where o.order_id = $1 for update of o"#,
        order.0
    )
    .fetch_one(tx)
    .await?;
    if is_at_rest { Ok(()) } else { Err(AskError::StillAtWork) }
}

async fn known_in_tx(tx: &mut PgConnection, refund: RefundId) -> Result<Option<RefundAsked>, sqlx::Error> {
    let row = sqlx::query!("select saga_id, state, approval_id from booking.refunds where refund_id = $1", refund.0)
        .fetch_optional(tx)
        .await?;
    Ok(row.map(|row| RefundAsked {
        refund_id: refund,
        saga_id: SagaId(row.saga_id),
        state: row.state,
        approval_id: row.approval_id.map(ApprovalId),
    }))
}
