//! The step that closes the books on a refund whose money is back.

use super::{RefundEnd, RefundNews, books, order, refund_signal};
use crate::{
    gateways::Reference,
    ids::{OrderId, RefundId},
};
use async_trait::async_trait;
use orchestrator::action::{Answer, Call, LocalAction};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;

/// `refunds.settle`: the refund has succeeded, the payment says so, and an order that was confirmed is cancelled when
/// nothing of its money is left.
#[derive(Debug, Clone, Copy)]
pub struct SettleRefund;

/// What [`SettleRefund`] needs.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SettleInput {
    /// The order.
    pub order_id: OrderId,
    /// The refund.
    pub refund_id: RefundId,
    /// The gateway's name for it.
    pub reference: Reference,
}

/// What [`SettleRefund`] gives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Settled {
    /// Nothing of the order's money is left with us.
    pub in_full: bool,
}

#[async_trait]
impl LocalAction for SettleRefund {
    const NAME: &'static str = "refunds.settle";
    type Input = SettleInput;
    type Output = Settled;

    async fn run(&self, tx: &mut PgConnection, call: &Call, input: SettleInput) -> Answer<Settled> {
        let SettleInput { order_id, refund_id, reference } = input;
        order::lock_in_tx(tx, order_id).await?;
        books::returned_in_tx(tx, refund_id, &reference).await?;
        let mut in_full = order::refunded_in_tx(tx, order_id, refund_id).await?;
        // what was told since it was back
        for news in failures(call, refund_id) {
            in_full &= !order::reversed_in_tx(tx, (order_id, refund_id), news.generation, news.amount).await?;
        }
        Ok(Settled { in_full })
    }
}

fn failures(call: &Call, refund: RefundId) -> Vec<RefundNews> {
    let name = refund_signal(refund);
    let told = call.told(&name).filter_map(|signal| RefundNews::deserialize(&signal.payload).ok());
    told.filter(|news| news.refund_id == refund && news.state == RefundEnd::Failed).collect()
}
