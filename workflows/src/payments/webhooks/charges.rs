//! Which charge a webhook is about, and which saga is to know.

use super::{NewsError, settle};
use crate::{
    gateways::{Gateway, IdempotencyKey, Reference},
    ids::{OrderId, PaymentId},
    ledger::{self, CapturedCharge},
    money::{Money, currency_from_code},
    orders::impossible,
    payments::{Gateways, Told, settle_key},
};
use orchestrator::{CHILD_OWNER, ids::SagaId, started_with};
use sqlx::PgConnection;

/// How many sagas one after the other may settle one charge.
const SETTLED_TIMES_MAX: usize = 100;

/// By what a webhook names a charge.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Names {
    /// The gateway's name for it.
    pub(super) theirs: Option<Reference>,
    /// Our own name for it, given back.
    pub(super) ours: Option<Reference>,
    /// Whoever signed it vouches for the order: a charge of another one is not meant, and of this one the only open
    /// one whose name at the gateway is not known yet, or when money was taken the only one that has none.
    pub(super) of_order: Option<OrderId>,
}

/// What a webhook says of a charge.
#[derive(Debug, Clone)]
pub(super) struct ChargeNews {
    pub(super) names: Names,
    pub(super) told: Told,
}

/// A charge as it is written down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ChargeRow {
    pub(super) payment_id: PaymentId,
    pub(super) order_id: OrderId,
    /// The saga that made it.
    pub(super) saga_id: SagaId,
    pub(super) key: IdempotencyKey,
    pub(super) reference: Option<Reference>,
    pub(super) status: String,
    /// What was to be charged; once it was captured, what was.
    pub(super) amount: Money,
}

impl ChargeRow {
    /// Money was taken; that is stronger than anything that a late webhook says.
    pub(super) fn is_captured(&self) -> bool {
        matches!(self.status.as_str(), "captured" | "refunded")
    }

    /// All of it is back.
    pub(super) fn is_refunded(&self) -> bool {
        self.status == "refunded"
    }

    fn is_open(&self) -> bool {
        matches!(self.status.as_str(), "pending" | "inDoubt")
    }
}

impl Names {
    /// All that a charge may be known by.
    pub(super) fn texts(&self) -> Vec<String> {
        self.theirs.iter().chain(&self.ours).map(|reference| reference.as_str().to_owned()).collect()
    }
}

impl ChargeNews {
    /// The one that is meant, of charges at one gateway that may be. `own_name` is what the gateway gives back for one.
    fn choose(&self, charges: Vec<ChargeRow>, own_name: impl Fn(&ChargeRow) -> Option<Reference>) -> Option<ChargeRow> {
        let names = &self.names;
        let may_be = |charge: &ChargeRow| names.of_order.is_none_or(|order| charge.order_id == order);
        let charges: Vec<_> = charges.into_iter().filter(may_be).collect();
        let by = |name: &Option<Reference>| {
            name.as_ref().and_then(|name| {
                charges
                    .iter()
                    .find(|charge| charge.reference.as_ref() == Some(name) || own_name(charge).as_ref() == Some(name))
            })
        };
        if let Some(named) = by(&names.theirs).or_else(|| by(&names.ours)) {
            return Some(named.clone());
        }
        names.of_order?;
        let is_unnamed = |charge: &&ChargeRow| charge.reference.is_none() || charge.reference == own_name(charge);
        let unnamed = || charges.iter().filter(is_unnamed);
        let open = only(unnamed().filter(|charge| charge.is_open()));
        // money may be taken by a charge that was given up
        let is_capture = matches!(self.told, Told::Captured { .. });
        open.or_else(|| only(unnamed().filter(|charge| is_capture && !charge.is_captured()))).cloned()
    }
}

fn only<T>(mut items: impl Iterator<Item = T>) -> Option<T> {
    let first = items.next();
    first.filter(|_| items.next().is_none())
}

/// The charge with the saga that is to know of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Concerned {
    pub(super) charge: ChargeRow,
    pub(super) saga_id: SagaId,
    /// Our own name for the charge, where its gateway gives one back.
    pub(super) own_name: Option<Reference>,
}

impl Concerned {
    /// Whether this is another name of the gateway's than the one under which the charge is known here.
    pub(super) fn has_other_name(&self, theirs: &Reference) -> bool {
        let known = self.charge.reference.as_ref();
        known.is_some() && known != Some(theirs) && known != self.own_name.as_ref()
    }
}

/// Finds the charge that a webhook of `gateway` is about, and its saga.
pub(super) async fn find(
    connection: &mut PgConnection,
    gateways: &Gateways,
    gateway: &str,
    told: &ChargeNews,
    order: Option<OrderId>,
) -> Result<Option<Concerned>, NewsError> {
    let charges = candidates(connection, gateway, &told.names, order).await?;
    let speaks = gateways.get(gateway).map(|configured| configured.gateway.as_ref());
    let own_name =
        |charge: &ChargeRow| speaks.and_then(|one: &dyn Gateway| one.own_reference(charge.order_id, &charge.key));
    let Some(charge) = told.choose(charges, own_name) else { return Ok(None) };
    let saga_id = looked_after_by(connection, gateway, &charge).await?.unwrap_or(charge.saga_id);
    let own_name = own_name(&charge);
    Ok(Some(Concerned { charge, saga_id, own_name }))
}

/// The saga that settles a charge that its order has left behind; of several the newest, which was started when those
/// before it were over.
async fn looked_after_by(
    connection: &mut PgConnection,
    gateway: &str,
    charge: &ChargeRow,
) -> Result<Option<SagaId>, sqlx::Error> {
    let first = settle_key(gateway, &charge.key);
    let (mut key, mut newest) = (first.clone(), None);
    for _ in 0..SETTLED_TIMES_MAX {
        let Some(saga) = started_with(&mut *connection, CHILD_OWNER, &key).await? else { break };
        newest = Some(saga);
        key = settle::key_after(&first, saga);
    }
    Ok(newest)
}

/// Charges at `gateway` that have one of the names, and those of the order.
async fn candidates(
    connection: &mut PgConnection,
    gateway: &str,
    names: &Names,
    order: Option<OrderId>,
) -> Result<Vec<ChargeRow>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"-- by indexes alone
           select payment_id, order_id, saga_id, key, reference, status, currency,
                  case when captured_minor > 0 then captured_minor else amount_minor end as "amount_minor!"
           from booking.payments
           where gateway = $1 and (reference = any($2) or order_id = $3)
           order by payment_id"#,
        gateway,
        &names.texts(),
        order.map(|order| order.0)
    )
    .fetch_all(connection)
    .await?;
    let read = rows.into_iter().map(|row| {
        let payment_id = PaymentId(row.payment_id);
        let wrong = |column, error: String| impossible("booking.payments", column, payment_id, error);
        let currency = currency_from_code(&row.currency).map_err(|error| wrong("currency", error.to_string()))?;
        let reference = row.reference.map(Reference::new).transpose();
        Ok(ChargeRow {
            payment_id,
            order_id: OrderId(row.order_id),
            saga_id: SagaId(row.saga_id),
            key: IdempotencyKey::new(row.key).map_err(|error| wrong("key", error.to_string()))?,
            reference: reference.map_err(|error| wrong("reference", error.to_string()))?,
            status: row.status,
            amount: Money::new(row.amount_minor, currency),
        })
    });
    read.collect()
}

/// Writes down a charge that is no order's; false when it is there.
pub(super) async fn insert_left_behind(
    tx: &mut PgConnection,
    gateway: &str,
    charge: &ChargeRow,
) -> Result<bool, sqlx::Error> {
    let inserted = sqlx::query!(
        "insert into booking.payments (payment_id, order_id, saga_id, gateway, key, reference, status, amount_minor,
                                       currency, left_behind_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, now()) on conflict do nothing",
        charge.payment_id.0,
        charge.order_id.0,
        charge.saga_id.0,
        gateway,
        charge.key.as_str(),
        charge.reference.as_ref().map(Reference::as_str),
        charge.status,
        charge.amount.amount_minor,
        charge.amount.currency.code()
    )
    .execute(tx)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

/// Writes down that money was taken, for a person to see: nobody acts on it any more. What was captured or refunded
/// before stays.
pub(super) async fn record_capture(
    tx: &mut PgConnection,
    charge: &ChargeRow,
    reference: &Reference,
    amount: Money,
) -> Result<(), sqlx::Error> {
    let captured = sqlx::query_as!(
        CapturedCharge,
        r#"update booking.payments p
           set status = 'captured', captured_minor = $2, currency = $3, reference = $4, updated_at = now()
           from booking.orders o
           where p.payment_id = $1 and p.status not in ('captured', 'refunded') and o.order_id = p.order_id
           returning p.payment_id, p.order_id, p.gateway, p.reference, p.captured_minor as amount_minor, p.currency,
                     o.event_id, booking.is_the_orders(p, o.currency) as "is_the_orders!""#,
        charge.payment_id.0,
        amount.amount_minor,
        amount.currency.code(),
        reference.as_str()
    )
    .fetch_all(&mut *tx)
    .await?;
    ledger::captured_in_tx(tx, &captured).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payments::notes::tests::{eur, key, reference};
    use orchestrator::ids::Uuid;

    fn charge(number: u128, name: Option<&str>, status: &str) -> ChargeRow {
        ChargeRow {
            payment_id: PaymentId(Uuid::from_u128(number)),
            order_id: OrderId(Uuid::from_u128(7)),
            saga_id: SagaId(Uuid::from_u128(1)),
            key: key(&format!("key-{number}")),
            reference: name.map(reference),
            status: status.to_owned(),
            amount: eur(100),
        }
    }

    fn own_name(charge: &ChargeRow) -> Option<Reference> {
        Some(reference(&format!("own-{}", charge.key)))
    }

    fn told(names: &Names, told: Told) -> ChargeNews {
        ChargeNews { names: names.clone(), told }
    }

    fn chosen(names: &Names, charges: &[ChargeRow]) -> Option<u128> {
        told(names, Told::Processing).choose(charges.to_vec(), own_name).map(|charge| charge.payment_id.0.as_u128())
    }

    #[test]
    fn a_charge_is_found_by_either_name() {
        let charges =
            [charge(1, Some("psp-1"), "voided"), charge(2, None, "pending"), charge(3, Some("own-key-3"), "pending")];
        let by = |theirs: &str, ours: &str| Names {
            theirs: Reference::new(theirs).ok(),
            ours: Reference::new(ours).ok(),
            of_order: None,
        };
        assert_eq!(chosen(&by("psp-1", ""), &charges), Some(1));
        assert_eq!(chosen(&by("", "own-key-1"), &charges), Some(1), "although theirs has taken its place");
        assert_eq!(chosen(&by("psp-2", "own-key-2"), &charges), Some(2));
        assert_eq!(chosen(&by("psp-3", "own-key-3"), &charges), Some(3));
        assert_eq!(chosen(&by("psp-9", "own-key-9"), &charges), None);
        assert_eq!(chosen(&by("", ""), &charges), None);
    }

    #[test]
    fn who_vouches_for_the_order_means_its_only_open_charge() {
        let of = |order: u128, theirs: &str| Names {
            theirs: Some(reference(theirs)),
            ours: None,
            of_order: Some(OrderId(Uuid::from_u128(order))),
        };
        let ended = charge(1, Some("psp-1"), "voided");
        assert_eq!(chosen(&of(7, "psp-2"), &[ended.clone(), charge(2, None, "pending")]), Some(2));
        assert_eq!(chosen(&of(7, "psp-2"), &[charge(2, Some("own-key-2"), "inDoubt")]), Some(2));
        assert_eq!(chosen(&of(7, "psp-2"), &[charge(2, Some("psp-1"), "pending")]), None, "it has another name");
        assert_eq!(chosen(&of(7, "psp-2"), &[charge(2, None, "pending"), charge(3, None, "pending")]), None);
        assert_eq!(chosen(&of(7, "psp-2"), &[charge(2, None, "declined")]), None, "it has ended");
        let captured = |charges: &[ChargeRow]| {
            let told = told(&of(7, "psp-2"), Told::Captured { amount: eur(100) });
            told.choose(charges.to_vec(), own_name).map(|charge| charge.payment_id.0.as_u128())
        };
        let dead = charge(2, None, "voided");
        assert_eq!(captured(&[ended.clone(), dead.clone()]), Some(2), "and has taken money all the same");
        assert_eq!(captured(&[dead.clone(), charge(3, None, "pending")]), Some(3), "the open one first");
        assert_eq!(captured(&[dead, charge(3, None, "declined")]), None);
        assert_eq!(captured(&[charge(2, Some("own-key-2"), "captured")]), None);
        assert_eq!(chosen(&of(8, "psp-1"), &[ended]), None, "it is another order's");
    }
}
