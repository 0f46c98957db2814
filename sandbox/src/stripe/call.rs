//! Requests as typed calls: which endpoint, with which parameters.

mod read;

use self::read::{PAGE, cancel, capture, confirm, create_intent, create_refund, list_refunds, page};
use super::error::ApiError;
use super::form::Fields;
use super::objects::{
    CancellationReason, CaptureMethod, ConfirmationMethod, FutureUsage, Metadata, Redirects, RefundReason,
};
use super::params::Params;
use crate::faults::Kind;

const INTENT_EXPANDS: [&str; 3] = ["latest_charge", "latest_charge.payment_intent", "payment_method"];

const CHARGE_EXPANDS: [&str; 3] = ["payment_intent", "payment_intent.latest_charge", "payment_intent.payment_method"];

const REFUND_EXPANDS: [&str; 4] = ["charge", "charge.payment_intent", "payment_intent", "payment_intent.latest_charge"];

/// A call and what is to be expanded in its answer.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) call: Call,
    pub(crate) expand: Vec<String>,
}

/// What can be asked of the gateway.
#[derive(Debug)]
pub(crate) enum Call {
    CreateIntent(Box<NewIntent>),
    RetrieveIntent(String),
    ListIntents(Page),
    ConfirmIntent(String, Confirmation),
    CancelIntent(String, Option<CancellationReason>),
    CaptureIntent(String, Capture),
    RetrieveCharge(String),
    CreateRefund(NewRefund),
    RetrieveRefund(String),
    ListRefunds(RefundFilter, Page),
}

/// A payment intent to be made.
#[derive(Debug)]
pub(crate) struct NewIntent {
    pub(crate) amount: i64,
    pub(crate) currency: String,
    pub(crate) capture_method: CaptureMethod,
    pub(crate) confirmation_method: ConfirmationMethod,
    pub(crate) automatic: Option<Redirects>,
    pub(crate) payment_method_types: Vec<String>,
    pub(crate) payment_method: Option<String>,
    pub(crate) customer: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) receipt_email: Option<String>,
    pub(crate) setup_future_usage: Option<FutureUsage>,
    pub(crate) statement_descriptor: Option<String>,
    pub(crate) statement_descriptor_suffix: Option<String>,
    pub(crate) metadata: Metadata,
    /// Set when it is to be confirmed at once.
    pub(crate) confirmation: Option<Confirmation>,
}

/// How a payment intent is confirmed.
#[derive(Debug, Default)]
pub(crate) struct Confirmation {
    pub(crate) payment_method: Option<String>,
    pub(crate) return_url: Option<String>,
    pub(crate) is_off_session: bool,
    pub(crate) fails_on_action: bool,
    pub(crate) capture_method: Option<CaptureMethod>,
    pub(crate) receipt_email: Option<String>,
    pub(crate) setup_future_usage: Option<FutureUsage>,
}

/// How a payment intent is captured.
#[derive(Debug)]
pub(crate) struct Capture {
    pub(crate) amount: Option<i64>,
    pub(crate) metadata: Metadata,
}

/// A refund to be made.
#[derive(Debug)]
pub(crate) struct NewRefund {
    pub(crate) target: RefundTarget,
    pub(crate) amount: Option<i64>,
    pub(crate) reason: Option<RefundReason>,
    pub(crate) metadata: Metadata,
}

/// What is refunded.
#[derive(Debug)]
pub(crate) enum RefundTarget {
    Intent(String),
    Charge(String),
}

/// Which refunds are listed.
#[derive(Debug)]
pub(crate) struct RefundFilter {
    pub(crate) intent: Option<String>,
    pub(crate) charge: Option<String>,
}

/// Which part of a list is wanted.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) limit: usize,
    pub(crate) starting_after: Option<String>,
    pub(crate) ending_before: Option<String>,
}

impl Request {
    /// The call that `method` and `path` (what follows `/v1/`) stand for.
    pub(crate) fn parse(method: &str, path: &str, fields: Fields) -> Result<Self, ApiError> {
        let segments: Vec<_> = path.split('/').collect();
        let id = |id: &&str| (*id).to_owned();
        let (call, mut params) = match (method, segments.as_slice()) {
            ("POST", ["payment_intents"]) => create_intent(fields)?,
            ("GET", ["payment_intents"]) => {
                let mut params = Params::new(fields, &PAGE)?;
                (Call::ListIntents(page(&mut params)?), params)
            }
            ("GET", ["payment_intents", intent]) => {
                (Call::RetrieveIntent(id(intent)), Params::new(fields, &["expand"])?)
            }
            ("POST", ["payment_intents", intent, "confirm"]) => confirm(id(intent), fields)?,
            ("POST", ["payment_intents", intent, "cancel"]) => cancel(id(intent), fields)?,
            ("POST", ["payment_intents", intent, "capture"]) => capture(id(intent), fields)?,
            ("GET", ["charges", charge]) => (Call::RetrieveCharge(id(charge)), Params::new(fields, &["expand"])?),
            ("POST", ["refunds"]) => create_refund(fields)?,
            ("GET", ["refunds"]) => list_refunds(fields)?,
            ("GET", ["refunds", refund]) => (Call::RetrieveRefund(id(refund)), Params::new(fields, &["expand"])?),
            _ => return Err(ApiError::unknown_path(method, &format!("/v1/{path}"))),
        };
        let expand = params.list("expand")?.unwrap_or_default();
        let refused = expand.iter().find(|path| !call.can_expand(path));
        if let Some(path) = refused {
            let message = format!("This property cannot be expanded ({path}).");
            return Err(ApiError::invalid(message).param("expand"));
        }
        Ok(Self { call, expand })
    }
}

impl Call {
    /// What it is about.
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::CreateIntent(new) if new.confirmation.is_none() => Kind::Create,
            Self::CreateIntent(_) | Self::ConfirmIntent(..) => Kind::Charge,
            Self::CancelIntent(..) => Kind::Void,
            Self::CaptureIntent(..) => Kind::Capture,
            Self::CreateRefund(_) => Kind::Refund,
            Self::RetrieveIntent(_)
            | Self::ListIntents(_)
            | Self::RetrieveCharge(_)
            | Self::RetrieveRefund(_)
            | Self::ListRefunds(..) => Kind::Probe,
        }
    }

    /// Whether `path` leads to an object in the answer that is otherwise an id.
    fn can_expand(&self, path: &str) -> bool {
        let (prefix, allowed): (_, &[_]) = match self {
            Self::CreateIntent(_)
            | Self::RetrieveIntent(_)
            | Self::ConfirmIntent(..)
            | Self::CancelIntent(..)
            | Self::CaptureIntent(..) => ("", &INTENT_EXPANDS),
            Self::ListIntents(_) => ("data.", &INTENT_EXPANDS),
            Self::RetrieveCharge(_) => ("", &CHARGE_EXPANDS),
            Self::CreateRefund(_) | Self::RetrieveRefund(_) => ("", &REFUND_EXPANDS),
            Self::ListRefunds(..) => ("data.", &REFUND_EXPANDS),
        };
        path.strip_prefix(prefix).is_some_and(|rest| allowed.contains(&rest))
    }

    /// The payment intent that it changes, where its path names one.
    pub(crate) fn intent(&self) -> Option<&str> {
        match self {
            Self::ConfirmIntent(id, _) | Self::CancelIntent(id, _) | Self::CaptureIntent(id, _) => Some(id),
            _ => None,
        }
    }
}
