//! A second person decides: once, knowing what it is about, and never about what they have asked for themselves.

use super::{
    Approval, ApprovalEvent, ApprovalState, ApprovedAct, approval_signal,
    ask::{activation, seq_of, version_of},
    end, find, read_state,
};
use crate::{
    access::{Principal, Role},
    batches::{self, ChangeError, Changed},
    ids::{ApprovalId, BatchId},
    orders::impossible,
    refunds, settlements, spawned,
};
use chrono::{DateTime, Utc};
use orchestrator::{
    Engine,
    acts::{
        Act, ActError, ActRequest, DoneAct, PreparedAct, PreparedSignal, Signalled, record_in_tx, record_refused_in_tx,
    },
    catalog::{ActivateError, Author, Known, activate_in_tx, active_in_tx},
};
use serde_json::{Value, json};
use sqlx::{PgConnection, Postgres, Transaction};
use std::{fmt, net::IpAddr, str::FromStr, sync::Arc};

type Tx = Transaction<'static, Postgres>;

/// What a second person says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// About what.
    pub approval_id: ApprovalId,
    /// Whether it is to be done.
    pub consents: bool,
    /// Why.
    pub reason: String,
    /// From where.
    pub address: Option<IpAddr>,
}

impl Decision {
    fn event(&self) -> ApprovalEvent {
        if self.consents { ApprovalEvent::Approved } else { ApprovalEvent::Rejected }
    }
}

/// What became of it.
#[derive(Debug, Clone, PartialEq)]
pub enum Decided {
    /// It is decided.
    New(Approval),
    /// The same person has decided the same before.
    Replayed(Approval),
}

/// Why nothing was decided.
#[derive(Debug, thiserror::Error)]
pub enum DecideError {
    /// There is no such approval.
    #[error("there is no such approval")]
    NotFound,
    /// It is for another role.
    #[error("this is for the role {0} to decide")]
    WrongRole(Role),
    /// The one who asked.
    #[error("{0} has asked for it: somebody else has to decide")]
    FourEyes(String),
    /// What was asked for has changed, or the time is over.
    #[error("{0}")]
    Void(String),
    /// Somebody was faster.
    #[error("{by} has decided already: it is {state}")]
    AlreadyDecided {
        /// Who.
        by: String,
        /// What.
        state: ApprovalState,
    },
    /// The saga that it is about could not be told.
    #[error("telling the saga")]
    Saga(#[from] ActError),
    /// The database.
    #[error("deciding")]
    Database(#[from] sqlx::Error),
}

/// Decides. What follows is told in the same transaction to whoever waits; it goes on to its end when the caller goes
/// away.
///
/// # Errors
/// See [`DecideError`].
pub async fn decide(engine: &Engine, principal: &Principal, decision: Decision) -> Result<Decided, DecideError> {
    let (engine, principal) = (engine.clone(), principal.clone());
    spawned::run(async move { decide_now(&engine, &principal, &decision).await }).await
}

async fn decide_now(engine: &Engine, principal: &Principal, decision: &Decision) -> Result<Decided, DecideError> {
    let approval = find(engine.pool(), decision.approval_id).await?.ok_or(DecideError::NotFound)?;
    let act = ApprovedAct::named(&approval.act).ok_or_else(|| {
        impossible("booking.approvals", "act", decision.approval_id, format!("`{}` is unknown", approval.act))
    })?;
    if !principal.role.includes(act.role()) {
        return Err(DecideError::WrongRole(act.role()));
    }
    let deciding = Deciding { engine, by: &principal.name, decision, approval, act };
    let follows = deciding.prepare().await?;
    let mut tx = engine.pool().begin().await?;
    // the saga that waits, or the line, before the approval, as whoever has it takes them
    let is_awaited = match &follows {
        Follows::Told(Some(signal)) => match engine.signal_in_tx(&mut tx, signal).await? {
            Signalled::Kept { run, .. } => !run.compensating && !run.state.is_finished(),
            Signalled::Finished(_) => false,
        },
        Follows::WrittenOff => {
            settlements::lock_in_tx(&mut tx, &deciding.approval.object).await?;
            false
        }
        _ => false,
    };
    let standing = lock(&mut tx, decision.approval_id).await?;
    let Ok(state) = standing.state.on(decision.event()) else { return deciding.again(tx, standing).await };
    if deciding.by == deciding.approval.requested_by {
        return deciding.refuse(tx).await;
    }
    if standing.is_over {
        let why = format!("nobody had decided by {}", standing.expires_at);
        return deciding.void(tx, ApprovalEvent::Expired, why).await;
    }
    match deciding.obstacle(&mut tx, &follows, is_awaited).await? {
        Some(why) => deciding.void(tx, ApprovalEvent::Changed, why).await,
        None => deciding.write(tx, state).await,
    }
}

/// What follows from a decision.
enum Follows {
    /// The saga that waits for it is told, if there is one.
    Told(Option<PreparedSignal>),
    /// A saga is stopped, if there is one.
    Killed(Option<PreparedAct>),
    /// A batch is begun.
    Begun(BatchId),
    /// New sagas use this version, if they still can.
    Activated(Option<Arc<Known>>),
    /// What a settlement's line leaves over is given up.
    WrittenOff,
}

/// A decision in the hand.
struct Deciding<'a> {
    engine: &'a Engine,
    by: &'a str,
    decision: &'a Decision,
    approval: Approval,
    act: ApprovedAct,
}

/// Where an approval stands when nobody else can decide.
struct Standing {
    state: ApprovalState,
    decided_by: Option<String>,
    expires_at: DateTime<Utc>,
    is_over: bool,
}

impl Deciding<'_> {
    /// What would follow, with all that is read before the transaction.
    async fn prepare(&self) -> Result<Follows, DecideError> {
        Ok(match self.act {
            ApprovedAct::Refund => Follows::Told(self.signal().await?),
            ApprovedAct::Kill => Follows::Killed(self.kill().await?),
            ApprovedAct::Batch | ApprovedAct::Replays => Follows::Begun(self.object()?),
            ApprovedAct::Activate => Follows::Activated(self.version().await?),
            ApprovedAct::WriteOff => Follows::WrittenOff,
        })
    }

    /// What the approval is about.
    fn object<T: FromStr<Err: fmt::Display>>(&self) -> Result<T, sqlx::Error> {
        let (id, object) = (self.approval.approval_id, &self.approval.object);
        object.parse().map_err(|error| impossible("booking.approvals", "object", id, error))
    }

    /// The signal to whoever waits for this approval, if anybody can still be told.
    async fn signal(&self) -> Result<Option<PreparedSignal>, DecideError> {
        let Some(saga) = refunds::saga_of(self.engine.pool(), &self.approval.object).await? else { return Ok(None) };
        let (id, by) = (self.approval.approval_id, self.by.to_owned());
        let payload = json!({ "approvalId": id, "consents": self.decision.consents });
        match self.engine.prepare_signal(saga, approval_signal(id), payload, by).await {
            Ok(signal) => Ok(Some(signal)),
            Err(ActError::NotFound) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The act in the name of the one who asked, on what that one saw.
    async fn kill(&self) -> Result<Option<PreparedAct>, DecideError> {
        let Approval { content, reason, requested_by, .. } = &self.approval;
        let (saga_id, seq) = (self.object()?, seq_of(content).unwrap_or_default());
        let (reason, by) = (reason.clone(), requested_by.clone());
        let request = ActRequest { saga_id, act: Act::Kill, reason, seq, by, address: None };
        match self.engine.prepare_act(request).await {
            Ok(act) => Ok(Some(act)),
            Err(ActError::NotFound) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The version that new sagas are to use, if they could.
    async fn version(&self) -> Result<Option<Arc<Known>>, DecideError> {
        let Some((name, version)) = version_of(&self.approval.object) else { return Ok(None) };
        match self.engine.catalog().can_activate(name, version).await {
            Ok(known) => Ok(Some(known)),
            Err(ActivateError::Database(error)) => Err(error.into()),
            Err(_) => Ok(None),
        }
    }

    /// Why it cannot be done any more. With consent to what no saga waits for, it is done here.
    async fn obstacle(&self, tx: &mut Tx, follows: &Follows, is_awaited: bool) -> Result<Option<String>, DecideError> {
        const OVER: &str = "what was asked for is over";
        const CHANGED: &str = "what was asked for has changed since";
        match follows {
            Follows::Told(_) if !is_awaited => Ok(Some(OVER.to_owned())),
            Follows::Told(_) => {
                let present = refunds::content_in_tx(tx, &self.approval.object).await?;
                Ok((present.as_ref() != Some(&self.approval.content)).then(|| CHANGED.to_owned()))
            }
            _ if !self.decision.consents => Ok(None),
            Follows::WrittenOff => {
                let is_done = settlements::write_off_in_tx(tx, &self.approval).await?;
                Ok((!is_done).then(|| CHANGED.to_owned()))
            }
            Follows::Killed(None) => Ok(Some(OVER.to_owned())),
            Follows::Activated(None) => Ok(Some(CHANGED.to_owned())),
            Follows::Activated(Some(known)) => {
                if activation(known, active_in_tx(tx, &known.name).await?) != self.approval.content {
                    return Ok(Some(CHANGED.to_owned()));
                }
                let by = Author { name: &self.approval.requested_by, address: None };
                activate_in_tx(tx, &known.name, known.version, by, &self.approval.reason).await?;
                Ok(None)
            }
            Follows::Killed(Some(kill)) => match self.engine.act_in_tx(tx, kill).await {
                Ok(_) => Ok(None),
                Err(refused @ (ActError::MovedOn { .. } | ActError::NotAllowed(_))) => Ok(Some(refused.to_string())),
                Err(error) => Err(error.into()),
            },
            Follows::Begun(batch) => {
                let by = Author { name: &self.approval.requested_by, address: None };
                match batches::start_in_tx(tx, *batch, by, Some(&self.approval.content)).await {
                    Ok(Changed::Now(_)) => Ok(None),
                    Ok(Changed::Already(state)) => Ok(Some(format!("the batch is {state} already"))),
                    Err(ChangeError::Database(error)) => Err(error.into()),
                    Err(refused) => Ok(Some(refused.to_string())),
                }
            }
        }
    }

    /// For the record.
    fn done(&self, detail: Value) -> DoneAct<'_> {
        DoneAct {
            by: Author { name: self.by, address: self.decision.address },
            act: self.act.decided(self.decision.consents),
            object: &self.approval.object,
            reason: &self.decision.reason,
            detail,
        }
    }

    /// It is decided, or over.
    async fn again(self, tx: Tx, standing: Standing) -> Result<Decided, DecideError> {
        tx.rollback().await?;
        let (state, by) = (standing.state, standing.decided_by.unwrap_or_default());
        let consented = match state {
            ApprovalState::Approved => true,
            ApprovalState::Rejected => false,
            ApprovalState::Requested | ApprovalState::Expired | ApprovalState::Void => {
                return Err(DecideError::Void(format!("it is {state}")));
            }
        };
        if by != self.by || consented != self.decision.consents {
            return Err(DecideError::AlreadyDecided { by, state });
        }
        let known = find(self.engine.pool(), self.decision.approval_id).await?;
        known.map(Decided::Replayed).ok_or(DecideError::NotFound)
    }

    /// The one who asked does not decide; that they tried is written down.
    async fn refuse(self, tx: Tx) -> Result<Decided, DecideError> {
        // without the signal
        tx.rollback().await?;
        let error = DecideError::FourEyes(self.by.to_owned());
        let detail = json!({ "approvalId": self.approval.approval_id, "why": error.to_string() });
        let mut tx = self.engine.pool().begin().await?;
        record_refused_in_tx(&mut tx, &self.done(detail)).await?;
        tx.commit().await?;
        Err(error)
    }

    /// Nobody can consent to it any more, and whoever waits for that is told.
    async fn void(self, mut tx: Tx, event: ApprovalEvent, why: String) -> Result<Decided, DecideError> {
        let state = ApprovalState::Requested.on(event).map_err(|error| DecideError::Void(error.to_string()))?;
        end(&mut tx, self.approval.approval_id, state).await?;
        let detail = json!({ "approvalId": self.approval.approval_id, "why": why });
        record_refused_in_tx(&mut tx, &self.done(detail)).await?;
        tx.commit().await?;
        self.engine.hint();
        Err(DecideError::Void(why))
    }

    async fn write(self, mut tx: Tx, state: ApprovalState) -> Result<Decided, DecideError> {
        let ended_at = sqlx::query_scalar!(
            r#"update booking.approvals
               set state = $2, decided_by = $3, decision_reason = $4, ended_at = now()
               where approval_id = $1
               returning ended_at as "ended_at!""#,
            self.approval.approval_id.0,
            state.as_str(),
            self.by,
            self.decision.reason,
        )
        .fetch_one(&mut *tx)
        .await?;
        let detail = json!({
            "approvalId": self.approval.approval_id, "before": ApprovalState::Requested, "after": state,
            "content": self.approval.content, "requestedBy": self.approval.requested_by,
        });
        record_in_tx(&mut tx, &self.done(detail)).await?;
        tx.commit().await?;
        if let (ApprovedAct::Activate, Some((name, _))) = (self.act, version_of(&self.approval.object)) {
            self.engine.catalog().forget_active(name);
        }
        self.engine.hint();
        let (decided_by, decision_reason) = (Some(self.by.to_owned()), Some(self.decision.reason.clone()));
        let ended_at = Some(ended_at);
        Ok(Decided::New(Approval { state, decided_by, decision_reason, ended_at, ..self.approval }))
    }
}

async fn lock(tx: &mut PgConnection, approval: ApprovalId) -> Result<Standing, sqlx::Error> {
    let row = sqlx::query!(
        r#"select state, decided_by, expires_at, expires_at <= clock_timestamp() as "is_over!"
           from booking.approvals where approval_id = $1 for update"#,
        approval.0
    )
    .fetch_one(tx)
    .await?;
    let state = read_state(&row.state, approval)?;
    Ok(Standing { state, decided_by: row.decided_by, expires_at: row.expires_at, is_over: row.is_over })
}
