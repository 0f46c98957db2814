//! Asking a second person for what is carried out as soon as there is consent: acts that no saga waits for.

use super::{ApprovalEvent, ApprovalState, ApprovedAct, NewApproval, end, read_state, request_in_tx};
use crate::{
    batches::{self, BatchState, ChangeError, Changed, Work},
    ids::{ApprovalId, BatchId},
    settings::BookingSettings,
};
use orchestrator::{
    Engine,
    acts::{Act, ActError, ActRequest, DoneAct, record_in_tx},
    catalog::{ActivateError, Author, Known},
};
use serde_json::{Value, json};
use sqlx::{PgConnection, PgExecutor};
use std::time::Duration;

/// So many refunds one person has tried again alone.
const REPLAYS_ALONE_MAX: i64 = 1;

/// What became of asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// A second person is asked.
    New(ApprovalId),
    /// The same person has asked for the same before.
    Replayed(ApprovalId),
}

/// Why a second person is not asked.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Somebody has asked for it already, or for something else to be done with it.
    #[error("{by} has asked for it already, and a second person has yet to decide about {approval_id}")]
    AskedAlready {
        /// Who.
        by: String,
        /// What waits.
        approval_id: ApprovalId,
    },
    /// The saga's state forbids it.
    #[error(transparent)]
    Act(#[from] ActError),
    /// The version cannot be used.
    #[error(transparent)]
    Definition(#[from] ActivateError),
    /// The batch cannot be begun.
    #[error(transparent)]
    Batch(#[from] ChangeError),
    /// The database's.
    #[error("asking a second person")]
    Database(#[from] sqlx::Error),
}

/// What became of a plan that somebody wants to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begun {
    /// It is small enough for one person.
    Now(Changed),
    /// A second person has to consent.
    Asked(Asked),
}

/// What became of a version that somebody wants new sagas to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// They use it: they did before.
    Now,
    /// A second person has to consent.
    Asked(Asked),
}

/// Asks second persons, as the installation decides.
#[derive(Clone)]
pub struct Asks {
    engine: Engine,
    /// One act on more sagas than that needs a second person.
    batch_above: i64,
    /// How long somebody can decide.
    expires_in: Duration,
}

impl Asks {
    /// As the installation decides.
    #[must_use]
    pub fn new(engine: Engine, settings: &BookingSettings) -> Self {
        let expires_in = Duration::from_secs(settings.approval_expires_secs);
        Self { engine, batch_above: settings.batch_approval_above.into(), expires_in }
    }

    /// How long somebody can decide.
    #[must_use]
    pub fn expires_in(&self) -> Duration {
        self.expires_in
    }

    /// Asks for a saga to be stopped for good, whatever the act in `request` is.
    ///
    /// # Errors
    /// See [`AskError`].
    pub async fn kill(&self, request: ActRequest, by: Author<'_>) -> Result<Asked, AskError> {
        let kill = ActRequest { act: Act::Kill, ..request };
        let (object, content) = (kill.saga_id.to_string(), json!({ "seq": kill.seq }));
        let new = self.new_approval(ApprovedAct::Kill, &object, &content, &kill.reason, by);
        if let Some(before) = asked_before(self.engine.pool(), &new).await? {
            return Ok(Asked::Replayed(before));
        }
        self.engine.dry_run(&kill).await?;
        ask(&self.engine, &new, by).await
    }

    /// Begins a plan of an act on sagas, once: again is the same batch. Above the limit a second person is asked to
    /// consent.
    ///
    /// # Errors
    /// See [`AskError`].
    pub async fn start(&self, batch: BatchId, by: Author<'_>) -> Result<Begun, AskError> {
        self.start_of(batch, by, |work| match work {
            Work::Acts(_) => Some((ApprovedAct::Batch, self.batch_above)),
            Work::Replays => None,
        })
        .await
    }

    /// The same of a plan to have refunds tried again: of more than one, with the consent of a second person.
    ///
    /// # Errors
    /// See [`AskError`].
    pub async fn start_replays(&self, batch: BatchId, by: Author<'_>) -> Result<Begun, AskError> {
        self.start_of(batch, by, |work| match work {
            Work::Acts(_) => None,
            Work::Replays => Some((ApprovedAct::Replays, REPLAYS_ALONE_MAX)),
        })
        .await
    }

    /// Begins a plan. `needs` says to which act of how many at most one person is enough; none: it is not to be had here.
    async fn start_of(
        &self,
        batch: BatchId,
        by: Author<'_>,
        needs: impl Fn(Work) -> Option<(ApprovedAct, i64)>,
    ) -> Result<Begun, AskError> {
        let plan = batches::to_start(self.engine.pool(), batch, by).await?;
        let (act, alone_max) = needs(plan.work).ok_or(ChangeError::NotFound)?;
        if plan.count <= alone_max {
            return Ok(Begun::Now(batches::start(self.engine.pool(), batch, by).await?));
        }
        let object = batch.to_string();
        let new = self.new_approval(act, &object, &plan.content, &plan.reason, by);
        if let Some(before) = asked_before(self.engine.pool(), &new).await? {
            return Ok(Begun::Asked(Asked::Replayed(before)));
        }
        if plan.state != BatchState::Planned {
            return Ok(Begun::Now(Changed::Already(plan.state)));
        }
        ask(&self.engine, &new, by).await.map(Begun::Asked)
    }

    /// Asks for a version to become the one that new sagas use. Whoever goes back to the version before needs nobody's
    /// consent.
    ///
    /// # Errors
    /// See [`AskError`].
    pub async fn activate(
        &self,
        name: &str,
        version: i32,
        reason: &str,
        by: Author<'_>,
    ) -> Result<Activation, AskError> {
        let catalog = self.engine.catalog();
        let known = catalog.can_activate(name, version).await?;
        let (active, before) = catalog.active_and_before(name).await?;
        if before == Some(version) {
            catalog.activate(name, version, by, reason).await?;
            return Ok(Activation::Now);
        }
        let object = version_object(name, version);
        let content = activation(&known, active);
        let new = self.new_approval(ApprovedAct::Activate, &object, &content, reason, by);
        if let Some(before) = asked_before(self.engine.pool(), &new).await? {
            return Ok(Activation::Asked(Asked::Replayed(before)));
        }
        ask(&self.engine, &new, by).await.map(Activation::Asked)
    }

    fn new_approval<'a>(
        &self,
        act: ApprovedAct,
        object: &'a str,
        content: &'a Value,
        reason: &'a str,
        by: Author<'a>,
    ) -> NewApproval<'a> {
        let (approval_id, expires_in) = (ApprovalId::fresh(), self.expires_in);
        NewApproval { approval_id, act, object, content, requested_by: by.name, reason, expires_in }
    }
}

/// The same, asked for by the same person, where it was not in vain.
async fn asked_before(executor: impl PgExecutor<'_>, new: &NewApproval<'_>) -> Result<Option<ApprovalId>, sqlx::Error> {
    let known = sqlx::query_scalar!(
        "select approval_id from booking.approvals
         where act = $1 and object = $2 and content = $3 and requested_by = $4 and reason = $5
             and (state = 'approved' or (state = 'requested' and expires_at > now()))
         order by approval_id desc limit 1",
        new.act.as_str(),
        new.object,
        new.content,
        new.requested_by,
        new.reason
    )
    .fetch_optional(executor)
    .await?;
    Ok(known.map(ApprovalId))
}

async fn ask(engine: &Engine, new: &NewApproval<'_>, by: Author<'_>) -> Result<Asked, AskError> {
    let mut tx = engine.pool().begin().await?;
    // two that ask at the same time ask one after the other
    sqlx::query!("select pg_advisory_xact_lock(hashtextextended($1, 0))", new.object).execute(&mut *tx).await?;
    if let Some(before) = asked_before(&mut *tx, new).await? {
        return Ok(Asked::Replayed(before));
    }
    if let Some((by, approval_id)) = in_the_way(&mut tx, new).await? {
        return Err(AskError::AskedAlready { by, approval_id });
    }
    request_in_tx(&mut tx, new).await?;
    let detail = json!({ "approvalId": new.approval_id, "content": new.content });
    let (act, object, reason) = (new.act.requested(), new.object, new.reason);
    record_in_tx(&mut tx, &DoneAct { by, act, object, reason, detail }).await?;
    tx.commit().await?;
    Ok(Asked::New(new.approval_id))
}

/// Who has asked for it, where somebody can still decide about that. What is over, or was asked for on what is not so any
/// more, is ended.
async fn in_the_way(tx: &mut PgConnection, new: &NewApproval<'_>) -> Result<Option<(String, ApprovalId)>, sqlx::Error> {
    let open = sqlx::query!(
        r#"select approval_id, requested_by, content, state, expires_at <= clock_timestamp() as "is_over!"
           from booking.approvals where act = $1 and object = $2 and state = 'requested' for update"#,
        new.act.as_str(),
        new.object
    )
    .fetch_optional(&mut *tx)
    .await?;
    let Some(open) = open else { return Ok(None) };
    let approval_id = ApprovalId(open.approval_id);
    let event = match (open.is_over, open.content == *new.content) {
        (true, _) => ApprovalEvent::Expired,
        (false, false) => ApprovalEvent::Changed,
        (false, true) => return Ok(Some((open.requested_by, approval_id))),
    };
    if let Ok(state) = read_state(&open.state, approval_id)?.on(event) {
        end(tx, approval_id, state).await?;
    }
    Ok(None)
}

/// Ends what nobody has decided in time and no saga waits for.
///
/// # Errors
/// The database's.
pub async fn expire(engine: &Engine) -> Result<u64, sqlx::Error> {
    let acts: Vec<_> =
        ApprovedAct::ALL.into_iter().filter(|act| !act.is_awaited()).map(|act| act.as_str().to_owned()).collect();
    let expired = sqlx::query!(
        "update booking.approvals set state = $2, ended_at = now()
         where state = 'requested' and act = any($1) and expires_at <= now()",
        &acts,
        ApprovalState::Expired.as_str()
    )
    .execute(engine.pool())
    .await?;
    Ok(expired.rows_affected())
}

/// What is frozen of an activation: what new sagas would do, and in the place of which version.
pub(super) fn activation(known: &Known, active: Option<i32>) -> Value {
    json!({ "digest": known.digest, "activeNow": active })
}

/// How a version is named in an approval.
fn version_object(name: &str, version: i32) -> String {
    format!("{name}/{version}")
}

/// The version that is named so.
pub(super) fn version_of(object: &str) -> Option<(&str, i32)> {
    let (name, version) = object.rsplit_once('/')?;
    Some((name, version.parse().ok()?))
}

/// What is frozen of a kill.
pub(super) fn seq_of(content: &Value) -> Option<i64> {
    content["seq"].as_i64()
}
