//! One piece of news, as far as it matters here.

use super::{
    CaptureNews, CaptureStatus,
    charges::{ChargeNews, Names},
    disputes::DisputeNews,
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
use serde_json::{Value, json};

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
}

/// What it is about.
#[derive(Debug, Clone)]
pub(super) enum About {
    Charge(ChargeNews),
    Refund(RefundTold),
    Dispute(DisputeNews),
    Nothing,
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
        }
    }

    /// What `POST /orders/{id}/capture` says.
    pub(super) fn of_capture(order: OrderId, news: &CaptureNews, amount: Money, now: DateTime<Utc>) -> Self {
        let (kind, told) = match news.status {
            CaptureStatus::Captured => ("paymentCaptured", Told::Captured { amount }),
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
        }
    }

    /// The gateway's name for what it is about.
    pub(super) fn reference(&self) -> Option<&Reference> {
        match &self.about {
            About::Charge(charge) => charge.names.theirs.as_ref().or(charge.names.ours.as_ref()),
            About::Refund(refund) => Some(&refund.reference),
            About::Dispute(dispute) => Some(&dispute.reference),
            About::Nothing => None,
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
                json!({ "ownReference": names.ours, "amount": amount, "code": code })
            }
            About::Refund(refund) => json!({
                "payment": refund.names.theirs, "refundId": refund.refund_id, "generation": refund.generation,
                "amount": refund.amount, "state": RefundEnd::of(&refund.state).0,
            }),
            About::Dispute(dispute) => json!({
                "payment": dispute.names.theirs, "amount": dispute.amount, "status": dispute.status,
            }),
            About::Nothing => json!({}),
        }
    }
}

fn kind_of(kind: &WebhookKind) -> &'static str {
    match kind {
        WebhookKind::PaymentCaptured(_) => "paymentCaptured",
        WebhookKind::PaymentDeclined(_) => "paymentDeclined",
        WebhookKind::PaymentVoided { .. } => "paymentVoided",
        WebhookKind::PaymentVoidFailed { .. } => "paymentVoidFailed",
        WebhookKind::PaymentProcessing { .. } => "paymentProcessing",
        WebhookKind::PaymentActionRequired { .. } => "paymentActionRequired",
        WebhookKind::Refund { .. } => "refund",
        WebhookKind::Dispute { .. } => "dispute",
        WebhookKind::Other(_) => "other",
    }
}
