//! In which order people want gateways to be asked. It is kept in the database, and every process reads it once a second.

use orchestrator::{
    acts::{DoneAct, record_in_tx},
    catalog::Author,
};
use serde_json::json;
use sqlx::PgPool;
use std::collections::BTreeSet;

/// What a person wants the order to be.
#[derive(Debug, Clone, Copy)]
pub struct OrderChange<'a> {
    /// All gateways, each once; the first is asked first.
    pub names: &'a [String],
    /// Why, in the person's words.
    pub reason: &'a str,
    /// The person.
    pub by: Author<'a>,
}

/// Why an order is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoOrder {
    /// There is no such gateway.
    #[error("there is no gateway `{0}`")]
    Unknown(String),
    /// It stands there more than once.
    #[error("`{0}` stands there twice")]
    Twice(String),
    /// It does not stand there.
    #[error("`{0}` is missing: all gateways are named, also those that are asked last")]
    Missing(String),
}

/// Whether these are all of `known`, each once.
///
/// # Errors
/// See [`NoOrder`].
pub(super) fn check(names: &[String], known: &[&str]) -> Result<(), NoOrder> {
    let mut named = BTreeSet::new();
    for name in names {
        if !known.contains(&name.as_str()) {
            return Err(NoOrder::Unknown(name.clone()));
        }
        if !named.insert(name.as_str()) {
            return Err(NoOrder::Twice(name.clone()));
        }
    }
    let missing = known.iter().find(|name| !named.contains(*name));
    missing.map_or(Ok(()), |name| Err(NoOrder::Missing((*name).to_owned())))
}

/// The places of `known` in the order that is wanted. Who is not named there comes behind, as configured: another release
/// may know gateways that this one does not, and this one others.
pub(super) fn places(known: &[&str], wanted: &[String]) -> Vec<usize> {
    let mut places: Vec<_> = (0..known.len()).collect();
    let rank = |place: &usize| wanted.iter().position(|name| name == known[*place]).unwrap_or(wanted.len());
    places.sort_by_key(rank);
    places
}

/// Makes it so, and writes down who wanted it.
///
/// # Errors
/// The database's.
pub(super) async fn change(pool: &PgPool, wanted: &OrderChange<'_>) -> Result<(), sqlx::Error> {
    let OrderChange { names, reason, by } = *wanted;
    let mut tx = pool.begin().await?;
    // two at once are written down one after the other, each with what was before
    sqlx::query!("select pg_advisory_xact_lock(hashtextextended('booking.gateway_order', 0))")
        .execute(&mut *tx)
        .await?;
    let before = sqlx::query_scalar!("select names from booking.gateway_order").fetch_optional(&mut *tx).await?;
    sqlx::query!(
        "insert into booking.gateway_order (names, reason, set_by) values ($1, $2, $3)
         on conflict (one) do update
         set names = excluded.names, reason = excluded.reason, set_by = excluded.set_by, set_at = now()",
        names,
        reason,
        by.name
    )
    .execute(&mut *tx)
    .await?;
    let detail = json!({ "names": names, "before": before });
    record_in_tx(&mut tx, &DoneAct { by, act: "gateway.order", object: "gateways", reason, detail }).await?;
    tx.commit().await
}

/// The order that people want; none where nobody has said anything.
///
/// # Errors
/// The database's.
pub(super) async fn wanted(pool: &PgPool) -> Result<Vec<String>, sqlx::Error> {
    let names = sqlx::query_scalar!("select names from booking.gateway_order").fetch_optional(pool).await?;
    Ok(names.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &[&str] = &["a", "b", "c"];

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().copied().map(str::to_owned).collect()
    }

    #[test]
    fn an_order_names_each_gateway_once() {
        assert_eq!(check(&names(&["c", "a", "b"]), KNOWN), Ok(()));
        assert_eq!(check(&names(&["c", "d"]), KNOWN), Err(NoOrder::Unknown("d".to_owned())));
        assert_eq!(check(&names(&["c", "a", "c"]), KNOWN), Err(NoOrder::Twice("c".to_owned())));
        assert_eq!(check(&names(&["c", "a"]), KNOWN), Err(NoOrder::Missing("b".to_owned())));
        assert_eq!(check(&[], KNOWN), Err(NoOrder::Missing("a".to_owned())));
    }

    #[test]
    fn who_is_not_named_comes_behind() {
        assert_eq!(places(KNOWN, &[]), [0, 1, 2]);
        assert_eq!(places(KNOWN, &names(&["c", "a", "b"])), [2, 0, 1]);
        assert_eq!(places(KNOWN, &names(&["unknown", "b"])), [1, 0, 2]);
    }
}
