//! One piece of news, as far as it matters here.

use super::{
    CaptureNews, CaptureStatus,
    charges::{ChargeNews, Names},
    disputes::DisputeNews,
    inbox::{Before, Kept},
    refunds::RefundTold,
};
use crate::{
    gateways::{DeclineCategory, Reference, WebhookEvent, WebhookKind},
    ids::OrderId,
    money::Money,
    payments::Told,
    refunds::RefundEnd,
};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::{Value, json};

/// The kind of news that says that money was taken.
pub(super) const CAPTURED: &str = "paymentCaptured";

/// One piece of news.
#[derive(Debug, Clone)]
pub(super) struct News {
    pub(super) gateway: String,
    /// The gateway's id of it: the same again is the same news.
    pub(super) id: String,
    pub(super) kind: &'static str,
    pub(super) occurred_at: DateTime<Utc>,
    pub(super) order: Option<OrderId>,
    pub(super) about: About,
    /// What became of it before, when it is taken again.
    pub(super) before: Option<Before>,
}

/// What is written down of a capture beside its name.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct CaptureDetail {
    own_reference: Option<Reference>,
    amount: Money,
    #[serde(default)]
    of_order: Option<OrderId>,
}

/// What it is about.
#[derive(Debug, Clone)]
pub(super) enum About {
    Charge(ChargeNews),
    Refund(RefundTold),
    Dispute(DisputeNews),
    Nothing,
    /// Nobody knows: why it cannot be read.
    Unreadable(String),
}

impl News {
    /// What a gateway's webhook says.
    pub(super) fn of(gateway: &str, event: WebhookEvent) -> Self {
        let names = |theirs: Option<&Reference>| Names {
            theirs: theirs.cloned(),
            ours: event.own_reference.clone(),
            of_order: None,
        };
        let about = match &event.kind {
            WebhookKind::Refund { reference, payment, refund_id, generation, amount, state } => {
                About::Refund(RefundTold {
                    reference: reference.clone(),
                    names: names(payment.as_ref()),
                    refund_id: *refund_id,
                    generation: *generation,
                    amount: *amount,
                    state: state.clone(),
                })
            }
            WebhookKind::Dispute { reference, payment, amount, status } => About::Dispute(DisputeNews {
                reference: reference.clone(),
                names: names(payment.as_ref()),
                amount: *amount,
                status: status.clone(),
            }),
            WebhookKind::Unreadable(why) => About::Unreadable(why.clone()),
            kind => Told::of(kind)
                .map_or(About::Nothing, |(told, theirs)| About::Charge(ChargeNews { names: names(theirs), told })),
        };
        Self {
            gateway: gateway.to_owned(),
            kind: kind_of(&event.kind),
            id: event.id,
            occurred_at: event.occurred_at,
            order: event.order_id,
            about,
            before: None,
        }
    }

    /// What `POST /orders/{id}/capture` says.
    pub(super) fn of_capture(order: OrderId, news: &CaptureNews, amount: Money, now: DateTime<Utc>) -> Self {
        let (kind, told) = match news.status {
            CaptureStatus::Captured => (CAPTURED, Told::Captured { amount }),
            CaptureStatus::Declined => {
                let (code, message) = ("card_declined".to_owned(), "The payment was declined.".to_owned());
                ("paymentDeclined", Told::Declined { code, category: DeclineCategory::Final, message })
            }
        };
        let theirs = Reference::new(news.reference.clone()).ok();
        let names = Names { theirs, ours: None, of_order: Some(order) };
        Self {
            gateway: news.gateway.clone(),
            id: news.event_id.clone(),
            kind,
            occurred_at: now,
            order: Some(order),
            about: About::Charge(ChargeNews { names, told }),
            before: None,
        }
    }

    /// A capture that was kept; nothing where it does not read.
    pub(super) fn again(kept: Kept) -> Option<Self> {
        let detail = CaptureDetail::deserialize(&kept.detail).ok()?;
        let theirs = kept.reference.and_then(|reference| Reference::new(reference).ok());
        let names = Names { theirs, ours: detail.own_reference, of_order: detail.of_order };
        Some(Self {
            gateway: kept.gateway,
            id: kept.webhook_id,
            kind: CAPTURED,
            occurred_at: kept.occurred_at,
            order: kept.order_id.map(OrderId),
            about: About::Charge(ChargeNews { names, told: Told::Captured { amount: detail.amount } }),
            before: Some(kept.before),
        })
    }

    /// The gateway's name for what it is about.
    pub(super) fn reference(&self) -> Option<&Reference> {
        match &self.about {
            About::Charge(charge) => charge.names.theirs.as_ref().or(charge.names.ours.as_ref()),
            About::Refund(refund) => Some(&refund.reference),
            About::Dispute(dispute) => Some(&dispute.reference),
            About::Nothing | About::Unreadable(_) => None,
        }
    }

    /// What it says of money: no sentences of the gateway's, and nothing that is meant for the buyer.
    pub(super) fn detail(&self) -> Value {
        match &self.about {
            About::Charge(ChargeNews { names, told }) => {
                let (amount, code) = match told {
                    Told::Captured { amount } => (Some(amount), None),
                    Told::Declined { code, .. } => (None, Some(code)),
                    _ => (None, None),
                };
                json!({ "ownReference": names.ours, "ofOrder": names.of_order, "amount": amount, "code": code })
            }
            About::Refund(refund) => json!({
                "payment": refund.names.theirs, "refundId": refund.refund_id, "generation": refund.generation,
                "amount": refund.amount, "state": RefundEnd::of(&refund.state),
            }),
            About::Dispute(dispute) => json!({
                "payment": dispute.names.theirs, "amount": dispute.amount, "status": dispute.status,
            }),
            About::Nothing => json!({}),
            About::Unreadable(why) => json!({ "why": why }),
        }
    }
}

fn kind_of(kind: &WebhookKind) -> &'static str {
    match kind {
        WebhookKind::PaymentCaptured(_) => CAPTURED,
        WebhookKind::PaymentDeclined(_) => "paymentDeclined",
        WebhookKind::PaymentVoided { .. } => "paymentVoided",
        WebhookKind::PaymentVoidFailed { .. } => "paymentVoidFailed",
        WebhookKind::PaymentProcessing { .. } => "paymentProcessing",
        WebhookKind::PaymentActionRequired { .. } => "paymentActionRequired",
        WebhookKind::Refund { .. } => "refund",
        WebhookKind::Dispute { .. } => "dispute",
        WebhookKind::Other(_) => "other",
        WebhookKind::Unreadable(_) => "unreadable",
    }
}
