//! Approvals: one mechanism for every act that needs a second person. What is to be done is frozen when it is asked
//! for; consent is to exactly that, is never given by the one who asked, and ends after a time. A saga waits for it and does it
//! then, or it is done by the consent itself, in the same transaction.
//!
//! Who asks writes an approval in the transaction of the asking ([`request_in_tx`]). [`decide`] looks once more at what
//! would be done, and whoever does it looks again ([`consent_in_tx`]).

mod ask;
mod decide;
mod list;
mod state;

pub use ask::{Activation, AskError, Asked, Asks, Begun, expire};
pub use decide::{DecideError, Decided, Decision, decide};
pub(crate) use list::find_in_tx;
pub use list::{Approval, ApprovalFilter, find, list};
pub use state::{ApprovalEvent, ApprovalState, IllegalApprovalTransition, NotAnApprovalState};

use crate::{access::Role, ids::ApprovalId, orders::impossible};
use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgConnection;
use std::time::Duration;

/// The acts that need a second person. An act has a name, and says where what it is about is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApprovedAct {
    /// Money goes back to a buyer because somebody in finance wants that.
    Refund,
    /// A saga is stopped for good, and nothing is taken back.
    Kill,
    /// One act is done to many sagas.
    Batch,
    /// New sagas use another version of their definition.
    Activate,
    /// What a settlement says otherwise than the ledger is given up.
    WriteOff,
    /// Several refunds are tried again.
    Replays,
}

impl ApprovedAct {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Refund, Self::Kill, Self::Batch, Self::Activate, Self::WriteOff, Self::Replays];

    /// As it is stored and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Refund => "refund",
            Self::Kill => "kill",
            Self::Batch => "batch",
            Self::Activate => "activate",
            Self::WriteOff => "write-off",
            Self::Replays => "replays",
        }
    }

    /// Whether a saga waits for the decision and does the rest. Other acts are done in the decision's own transaction.
    pub(super) fn is_awaited(self) -> bool {
        self == Self::Refund
    }

    /// Who may consent.
    #[must_use]
    pub fn role(self) -> Role {
        match self {
            Self::Refund | Self::WriteOff | Self::Replays => Role::Finance,
            Self::Kill | Self::Batch | Self::Activate => Role::Operator,
        }
    }

    /// The name of asking for it, in the record of acts.
    fn requested(self) -> &'static str {
        match self {
            Self::Refund => "refund.request",
            Self::Kill => "kill.request",
            Self::Batch => "batch.request",
            Self::Activate => "definition.request",
            Self::WriteOff => "settlement.write-off",
            Self::Replays => "replays.request",
        }
    }

    /// The name of a decision about it, in the record of acts.
    fn decided(self, consents: bool) -> &'static str {
        match (self, consents) {
            (Self::Refund, true) => "refund.approve",
            (Self::Refund, false) => "refund.reject",
            (Self::Kill, true) => "kill.approve",
            (Self::Kill, false) => "kill.reject",
            (Self::Batch, true) => "batch.approve",
            (Self::Batch, false) => "batch.reject",
            (Self::Activate, true) => "definition.approve",
            (Self::Activate, false) => "definition.reject",
            (Self::WriteOff, true) => "settlement.write-off.approve",
            (Self::WriteOff, false) => "settlement.write-off.reject",
            (Self::Replays, true) => "replays.approve",
            (Self::Replays, false) => "replays.reject",
        }
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|act| act.as_str() == name)
    }
}

/// The signal that an approval is decided; whoever waits for it looks at the approval itself.
#[must_use]
pub fn approval_signal(approval: ApprovalId) -> String {
    format!("approval:{approval}")
}

/// What somebody asks for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NewApproval<'a> {
    pub(crate) approval_id: ApprovalId,
    pub(crate) act: ApprovedAct,
    /// What it is done to.
    pub(crate) object: &'a str,
    /// All that matters of what is to be done.
    pub(crate) content: &'a Value,
    pub(crate) requested_by: &'a str,
    pub(crate) reason: &'a str,
    pub(crate) expires_in: Duration,
}

/// Asks for a second person.
pub(crate) async fn request_in_tx(tx: &mut PgConnection, new: &NewApproval<'_>) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into booking.approvals
             (approval_id, act, object, role, content, requested_by, reason, expires_at)
         values ($1, $2, $3, $4, $5, $6, $7, now() + make_interval(secs => $8))",
        new.approval_id.0,
        new.act.as_str(),
        new.object,
        new.act.role().as_str(),
        new.content,
        new.requested_by,
        new.reason,
        new.expires_in.as_secs_f64(),
    )
    .execute(tx)
    .await
    .map(drop)
}

/// Whether something may be done.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Consent {
    /// By whom.
    Given(String),
    /// Nobody has decided, and there is time until then.
    Awaited(DateTime<Utc>),
    /// It may not: a code for programs, and a sentence for people.
    Refused(&'static str, String),
}

/// The code of what a second person has refused.
const REJECTED: &str = "approval-rejected";
/// The code of what nobody has decided in time.
const EXPIRED: &str = "approval-expired";
/// The code of what has changed since it was asked for.
const VOID: &str = "approval-void";

/// Whether something failed because a second person did not consent to it.
pub(crate) fn is_without_consent(code: &str) -> bool {
    [REJECTED, EXPIRED, VOID].contains(&code)
}

/// Whether what would be done now (`present`) may be done. Nobody decides until the transaction is over.
pub(crate) async fn consent_in_tx(
    tx: &mut PgConnection,
    approval: ApprovalId,
    present: &Value,
) -> Result<Consent, sqlx::Error> {
    let row = sqlx::query!(
        r#"select state, content, decided_by, decision_reason, expires_at,
               expires_at <= clock_timestamp() as "is_over!"
           from booking.approvals where approval_id = $1 for update"#,
        approval.0
    )
    .fetch_one(tx)
    .await?;
    let changed = || Consent::Refused(VOID, format!("what {approval} is about is not what was asked for"));
    Ok(match read_state(&row.state, approval)? {
        ApprovalState::Approved if row.content != *present => changed(),
        ApprovalState::Approved => Consent::Given(row.decided_by.unwrap_or_default()),
        ApprovalState::Requested if row.is_over => {
            Consent::Refused(EXPIRED, format!("nobody has decided {approval} in time"))
        }
        ApprovalState::Requested => Consent::Awaited(row.expires_at),
        ApprovalState::Rejected => {
            let (by, why) = (row.decided_by.unwrap_or_default(), row.decision_reason.unwrap_or_default());
            Consent::Refused(REJECTED, format!("{by} has refused: {why}"))
        }
        ApprovalState::Expired => Consent::Refused(EXPIRED, format!("nobody has decided {approval} in time")),
        ApprovalState::Void => changed(),
    })
}

/// What an approval was for is not done: where it is open it is over, and where there was consent it is void.
pub(crate) async fn close_in_tx(tx: &mut PgConnection, approval: ApprovalId) -> Result<(), sqlx::Error> {
    let row = sqlx::query!(
        r#"select state, expires_at <= clock_timestamp() as "is_over!"
           from booking.approvals where approval_id = $1 for update"#,
        approval.0
    )
    .fetch_one(&mut *tx)
    .await?;
    let event = if row.is_over { ApprovalEvent::Expired } else { ApprovalEvent::Changed };
    let state = read_state(&row.state, approval)?;
    let event = if state == ApprovalState::Approved { ApprovalEvent::Changed } else { event };
    match state.on(event) {
        Ok(next) => end(tx, approval, next).await,
        // it has been refused, or is over already
        Err(_) => Ok(()),
    }
}

/// Writes an end that nobody has decided.
async fn end(tx: &mut PgConnection, approval: ApprovalId, state: ApprovalState) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update booking.approvals set state = $2, ended_at = coalesce(ended_at, now()) where approval_id = $1",
        approval.0,
        state.as_str()
    )
    .execute(tx)
    .await
    .map(drop)
}

fn read_state(text: &str, approval: ApprovalId) -> Result<ApprovalState, sqlx::Error> {
    text.parse().map_err(|error| impossible("booking.approvals", "state", approval, error))
}
