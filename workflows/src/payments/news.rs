//! What a gateway tells of a charge of its own accord, as the saga that the charge belongs to is told it. Of a
//! gateway that can be asked it is a reason to ask; of one that cannot it is the truth.

use super::charges::Attempted;
use crate::{
    gateways::{DeclineCategory, IdempotencyKey, Reference, WebhookKind},
    money::Money,
};
use orchestrator::action::Call;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// News of a charge: the payload of the signal [`payment_signal`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PaymentNews {
    /// The gateway's id of the news: the same id again is the same news.
    pub event_id: String,
    /// Which gateway tells.
    pub gateway: String,
    /// The charge, by the key under which it was asked for.
    pub key: IdempotencyKey,
    /// The gateway's name for the charge, where the news has it.
    pub reference: Option<Reference>,
    /// What happened to it.
    #[serde(flatten)]
    pub told: Told,
}

/// What happened to a charge, as the gateway tells.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Told {
    /// It has taken money.
    Captured {
        /// How much; compare it with what was asked for.
        amount: Money,
    },
    /// It was declined, and takes no money.
    Declined {
        /// The gateway's code.
        code: String,
        /// What it means for us.
        category: DeclineCategory,
        /// The gateway's sentence.
        message: String,
    },
    /// It was ended before it took money.
    Voided,
    /// It could not be ended: it has taken money, or does not exist.
    VoidFailed,
    /// It is being worked on.
    Processing,
    /// The buyer must do something first.
    ActionRequired {
        /// What, in the gateway's words.
        next_action: Value,
    },
}

impl Told {
    /// News come late and out of order: the strongest holds, and of equal ones the last.
    fn strength(&self) -> u8 {
        match self {
            Self::Captured { .. } => 3,
            Self::Declined { .. } | Self::Voided => 2,
            Self::VoidFailed => 1,
            Self::Processing | Self::ActionRequired { .. } => 0,
        }
    }

    /// What a webhook tells of a charge, with the gateway's name for the charge; nothing when it is not about one.
    #[must_use]
    pub fn of(kind: &WebhookKind) -> Option<(Self, Option<&Reference>)> {
        Some(match kind {
            WebhookKind::PaymentCaptured(captured) => {
                (Self::Captured { amount: captured.amount }, Some(&captured.reference))
            }
            WebhookKind::PaymentDeclined(decline) => {
                let (code, message) = (decline.code.clone(), decline.message.clone());
                (Self::Declined { code, category: decline.category, message }, decline.reference.as_ref())
            }
            WebhookKind::PaymentVoided { reference } => (Self::Voided, Some(reference)),
            WebhookKind::PaymentVoidFailed { reference } => (Self::VoidFailed, reference.as_ref()),
            WebhookKind::PaymentProcessing { reference } => (Self::Processing, Some(reference)),
            WebhookKind::PaymentActionRequired { reference, next_action } => {
                (Self::ActionRequired { next_action: next_action.clone() }, Some(reference))
            }
            WebhookKind::Refund { .. }
            | WebhookKind::Dispute { .. }
            | WebhookKind::Other(_)
            | WebhookKind::Unreadable(_) => return None,
        })
    }
}

/// The strongest news of a charge, with the gateway's name for it where the news has it: money that was taken above
/// all, then that none will be.
pub(super) fn told(call: &Call, charge: &Attempted) -> Option<(Told, Option<Reference>)> {
    let name = payment_signal(&charge.key);
    let told = call.told(&name).filter_map(|signal| PaymentNews::deserialize(&signal.payload).ok());
    let of_it = told.filter(|news| news.gateway == charge.gateway && news.key == charge.key);
    of_it.max_by_key(|news| news.told.strength()).map(|news| (news.told, news.reference))
}

/// The signal that something happened to a charge.
#[must_use]
pub fn payment_signal(key: &IdempotencyKey) -> String {
    format!("payment:{key}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payments::notes::tests::{eur, key, reference};
    use serde_json::json;

    fn news(told: Told) -> PaymentNews {
        PaymentNews {
            event_id: "evt_1".to_owned(),
            gateway: "primary".to_owned(),
            key: key("sag_1:pay:primary"),
            reference: Some(reference("pi_1")),
            told,
        }
    }

    #[test]
    fn news_are_written_as_journals_keep_them() {
        let declined =
            Told::Declined { code: "lost_card".into(), category: DeclineCategory::Final, message: "No.".into() };
        for (told, written) in [
            (
                Told::Captured { amount: eur(4500) },
                json!({"kind": "captured", "amount": {"amount": 4500, "currency": "EUR"}}),
            ),
            (declined, json!({"kind": "declined", "code": "lost_card", "category": "final", "message": "No."})),
            (Told::Voided, json!({"kind": "voided"})),
            (Told::VoidFailed, json!({"kind": "voidFailed"})),
            (Told::Processing, json!({"kind": "processing"})),
            (
                Told::ActionRequired { next_action: json!({"type": "redirect"}) },
                json!({"kind": "actionRequired", "nextAction": {"type": "redirect"}}),
            ),
        ] {
            let mut expected = json!({
                "eventId": "evt_1", "gateway": "primary", "key": "sag_1:pay:primary", "reference": "pi_1",
            });
            expected.as_object_mut().unwrap().extend(written.as_object().unwrap().clone());
            let news = news(told);
            assert_eq!(serde_json::to_value(&news).unwrap(), expected);
            assert_eq!(PaymentNews::deserialize(&expected).unwrap(), news);
        }
    }

    #[test]
    fn the_gateway_s_name_may_be_missing() {
        let unnamed = json!({"eventId": "1", "gateway": "a", "key": "k", "reference": null, "kind": "voided"});
        assert_eq!(PaymentNews::deserialize(&unnamed).unwrap().reference, None);
        let left_out = json!({"eventId": "1", "gateway": "a", "key": "k", "kind": "voided"});
        assert_eq!(PaymentNews::deserialize(&left_out).unwrap().reference, None);
        assert!(PaymentNews::deserialize(&json!({"eventId": "1", "gateway": "a", "key": "k", "kind": "x"})).is_err());
    }

    #[test]
    fn the_signal_has_the_charge_s_key() {
        assert_eq!(payment_signal(&key("sag_1:pay:primary")), "payment:sag_1:pay:primary");
    }
}
