//! What charges post.

use super::{About, Account, Posting, PostingKind, post_in_tx};
use crate::{
    gateways::{IdempotencyKey, Reference},
    ids::{EventId, OrderId, PaymentId},
    money::{Money, currency_from_code},
    orders::impossible,
};
use orchestrator::ids::Uuid;
use sqlx::PgConnection;

/// A charge that has taken money, as its row says.
#[derive(Debug, Clone)]
pub(crate) struct CapturedCharge {
    pub(crate) payment_id: Uuid,
    pub(crate) order_id: Uuid,
    pub(crate) gateway: String,
    pub(crate) reference: Option<String>,
    pub(crate) amount_minor: i64,
    pub(crate) currency: String,
    pub(crate) event_id: Uuid,
    /// Whether the money is its order's.
    pub(crate) is_the_orders: bool,
}

impl CapturedCharge {
    /// Whom the money is owed to.
    pub(super) fn owed_to(&self) -> Account {
        if self.is_the_orders { Account::Payable(EventId(self.event_id)) } else { Account::Doubt }
    }

    /// What the gateway has of it.
    pub(super) fn clearing(&self) -> Account {
        Account::Clearing(self.gateway.clone())
    }

    pub(super) fn about(&self) -> Result<About, sqlx::Error> {
        let id = PaymentId(self.payment_id);
        let reference = self.reference.clone().map(Reference::new).transpose();
        Ok(About {
            order_id: Some(OrderId(self.order_id)),
            payment_id: Some(id),
            gateway: Some(self.gateway.clone()),
            reference: reference.map_err(|error| impossible("booking.payments", "reference", id, error))?,
            ..About::default()
        })
    }

    fn amount(&self) -> Result<Money, sqlx::Error> {
        let wrong = |error| impossible("booking.payments", "currency", PaymentId(self.payment_id), error);
        Ok(Money::new(self.amount_minor, currency_from_code(&self.currency).map_err(wrong)?))
    }

    fn captured(&self) -> Result<Posting, sqlx::Error> {
        let kind = if self.is_the_orders { PostingKind::Capture } else { PostingKind::LateCapture };
        let key = format!("capture:{}", PaymentId(self.payment_id));
        Ok(Posting::of_two(kind, key, self.about()?, (self.clearing(), self.owed_to()), self.amount()?)?)
    }
}

/// Posts that these charges have taken money just now.
pub(crate) async fn captured_in_tx(tx: &mut PgConnection, charges: &[CapturedCharge]) -> Result<(), sqlx::Error> {
    let postings = charges.iter().map(CapturedCharge::captured).collect::<Result<Vec<_>, _>>()?;
    post_in_tx(tx, &postings).await
}

/// Posts that what a charge had taken for its order, and is not on its way back, is its order's no longer. Called in the
/// transaction that leaves it behind, before it does.
pub(crate) async fn left_behind_in_tx(
    tx: &mut PgConnection,
    gateway: &str,
    key: &IdempotencyKey,
) -> Result<(), sqlx::Error> {
    let charge = sqlx::query_as!(
        CapturedCharge,
        r#"select p.payment_id, p.order_id, p.gateway, p.reference, p.currency, o.event_id,
                  p.captured_minor - p.refund_asked_minor as "amount_minor!", true as "is_the_orders!"
           from booking.payments p join booking.orders o using (order_id)
           where p.gateway = $1 and p.key = $2 and p.captured_minor > p.refund_asked_minor
             and booking.is_the_orders(p, o.currency)
           for update of p"#,
        gateway,
        key.as_str()
    )
    .fetch_optional(&mut *tx)
    .await?;
    let Some(charge) = charge else { return Ok(()) };
    let key = format!("leftBehind:{}", PaymentId(charge.payment_id));
    let accounts = (charge.owed_to(), Account::Doubt);
    let posting = Posting::of_two(PostingKind::LeftBehind, key, charge.about()?, accounts, charge.amount()?)?;
    post_in_tx(tx, &[posting]).await
}
