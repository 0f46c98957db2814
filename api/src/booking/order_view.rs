//! An order in an answer.

use crate::wire::{Amount, Time};
use orchestrator::ids::SagaId;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use workflows::{
    ids::{EventId, OrderId, PaymentId, RefundId, TicketId},
    orders,
};

/// An order with all that belongs to it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Order {
    #[schema(value_type = String)]
    order_id: OrderId,
    #[schema(value_type = String)]
    saga_id: SagaId,
    #[schema(value_type = String)]
    event_id: EventId,
    user_id: String,
    seat_ids: Vec<String>,
    /// `pending`, `actionRequired`, `confirmed`, `rejected`, `cancelling`, `cancelled`, `attention`.
    status: &'static str,
    /// Why it was rejected or cancelled, or needs a person.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// What the buyer must do.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_action: Option<Value>,
    total: Amount,
    payments: Vec<Payment>,
    refunds: Vec<Refund>,
    tickets: Vec<OrderTicket>,
    created_at: Time,
}

/// A charge.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Payment {
    #[schema(value_type = String)]
    payment_id: PaymentId,
    gateway: String,
    reference: Option<String>,
    /// `pending`, `inDoubt`, `captured`, `declined`, `voided`, `refunded`.
    status: String,
    amount: Amount,
}

/// Money on its way back, or there.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Refund {
    #[schema(value_type = String)]
    refund_id: RefundId,
    /// `requested`, `approved`, `rejected`, `submitted`, `pending`, `inDoubt`, `succeeded`, `failed`.
    state: String,
    amount: Amount,
    seat_ids: Vec<String>,
    gateway: String,
    reference: Option<String>,
}

/// A ticket of an order.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OrderTicket {
    #[schema(value_type = String)]
    ticket_id: TicketId,
    seat_id: String,
    code: String,
    valid: bool,
}

impl From<orders::Order> for Order {
    fn from(order: orders::Order) -> Self {
        let payment = |payment: orders::OrderPayment| Payment {
            payment_id: payment.payment_id,
            gateway: payment.gateway,
            reference: payment.reference,
            status: payment.status,
            amount: payment.amount.into(),
        };
        let refund = |refund: orders::OrderRefund| Refund {
            refund_id: refund.refund_id,
            state: refund.state,
            amount: refund.amount.into(),
            seat_ids: refund.seat_ids,
            gateway: refund.gateway,
            reference: refund.reference,
        };
        let ticket = |ticket: orders::OrderTicket| OrderTicket {
            ticket_id: ticket.ticket_id,
            seat_id: ticket.seat_id,
            code: ticket.code,
            valid: ticket.valid,
        };
        Self {
            order_id: order.order_id,
            saga_id: order.saga_id,
            event_id: order.event_id,
            user_id: order.user_id,
            seat_ids: order.seat_ids,
            status: order.status.as_str(),
            reason: order.reason,
            next_action: order.next_action,
            total: order.total.into(),
            payments: order.payments.into_iter().map(payment).collect(),
            refunds: order.refunds.into_iter().map(refund).collect(),
            tickets: order.tickets.into_iter().map(ticket).collect(),
            created_at: order.created_at.into(),
        }
    }
}
