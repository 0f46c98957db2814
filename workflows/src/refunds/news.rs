//! What a gateway tells of a refund of its own accord, as the saga of the refund is told it. Of a gateway that can be
//! asked it is a reason to ask; of one that cannot it is the truth.

use crate::{
    gateways::{Reference, RefundState},
    ids::RefundId,
    money::Money,
};
use serde::{Deserialize, Serialize};

/// News of a refund: the payload of the signal [`super::refund_signal`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RefundNews {
    /// The gateway's id of the news: the same id again is the same news.
    pub event_id: String,
    /// Which gateway tells.
    pub gateway: String,
    /// The refund.
    pub refund_id: RefundId,
    /// Which try at the gateway it is about.
    pub generation: i32,
    /// The gateway's name for it.
    pub reference: Reference,
    /// How much, as the gateway says.
    pub amount: Money,
    /// What came of it.
    pub state: RefundEnd,
    /// Why it failed, in the gateway's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// It failed, and asking again cannot end otherwise.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_final: bool,
}

/// How far a refund has come at its gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RefundEnd {
    /// It is being worked on.
    Pending,
    /// The money is back.
    Succeeded,
    /// The money is with us, perhaps again: a gateway says so after it has said that it was back, never before.
    Failed,
}

impl RefundEnd {
    /// As a gateway tells it.
    #[must_use]
    pub fn of(state: &RefundState) -> Self {
        match state {
            RefundState::Pending => Self::Pending,
            RefundState::Succeeded => Self::Succeeded,
            RefundState::Failed { .. } => Self::Failed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::money::Currency;
    use orchestrator::ids::Uuid;
    use serde_json::json;

    #[test]
    fn news_are_written_as_journals_keep_them() {
        let news = RefundNews {
            event_id: "evt_1".to_owned(),
            gateway: "backup".to_owned(),
            refund_id: RefundId(Uuid::from_u128(1)),
            generation: 2,
            reference: Reference::new("psp-1").unwrap(),
            amount: Money::new(4500, Currency::EUR),
            state: RefundEnd::Failed,
            reason: Some("closed".to_owned()),
            is_final: true,
        };
        let written = json!({
            "eventId": "evt_1", "gateway": "backup", "refundId": "ref_00000000000000000000000000000001",
            "generation": 2, "reference": "psp-1", "amount": {"amount": 4500, "currency": "EUR"}, "state": "failed",
            "reason": "closed", "isFinal": true,
        });
        assert_eq!(serde_json::to_value(&news).unwrap(), written);
        assert_eq!(RefundNews::deserialize(&written).unwrap(), news);
    }

    #[test]
    fn what_comes_later_at_a_gateway_is_stronger_whenever_it_arrives() {
        assert!(RefundEnd::Pending < RefundEnd::Succeeded && RefundEnd::Succeeded < RefundEnd::Failed);
    }
}
