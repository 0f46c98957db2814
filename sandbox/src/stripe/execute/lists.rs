//! Lists: newest first, by page.

use serde_json::Value;

use crate::shelf::Object;
use crate::stripe::call::{Page, RefundFilter};
use crate::stripe::error::ApiError;
use crate::stripe::objects::Refund;
use crate::stripe::render;
use crate::stripe::store::Store;

/// `GET /v1/payment_intents`
pub(super) fn intents(store: &Store, page: &Page) -> Result<Value, ApiError> {
    let all = store.intents.iter().rev().collect();
    let (items, has_more) = cut(all, page, "payment_intent")?;
    let data: Vec<_> = items.into_iter().map(render::intent).collect();
    Ok(render::list("/v1/payment_intents", &data, has_more))
}

/// `GET /v1/refunds`
pub(super) fn refunds(store: &Store, filter: &RefundFilter, page: &Page) -> Result<Value, ApiError> {
    let all = matching(store, filter)?;
    let (items, has_more) = cut(all, page, "refund")?;
    let data: Vec<_> = items.into_iter().map(render::refund).collect();
    Ok(render::list("/v1/refunds", &data, has_more))
}

/// The refunds that `filter` means, found through what they belong to where it says so.
fn matching<'a>(store: &'a Store, filter: &RefundFilter) -> Result<Vec<&'a Refund>, ApiError> {
    let charges = match (&filter.intent, &filter.charge) {
        (None, None) => return Ok(store.refunds.iter().rev().collect()),
        (Some(id), charge) => {
            let intent = store.intents.get(id);
            let intent = intent.ok_or_else(|| ApiError::missing(404, "payment_intent", id, "payment_intent"))?;
            let mut charges = intent.charges.clone();
            charges.retain(|id| charge.as_ref().is_none_or(|wanted| wanted == id));
            charges
        }
        (None, Some(id)) => vec![id.clone()],
    };
    let charges = charges.iter().rev().map(|id| {
        let charge = store.charges.get(id);
        charge.ok_or_else(|| ApiError::missing(404, "charge", id, "charge"))
    });
    let mut refunds = Vec::new();
    for charge in charges {
        let ids = charge?.refunds.iter().rev();
        refunds.extend(ids.filter_map(|id| store.refunds.get(id)));
    }
    Ok(refunds)
}

/// The part of `items` that `page` means, and whether there is more in its direction.
fn cut<'a, T: Object>(mut items: Vec<&'a T>, page: &Page, what: &str) -> Result<(Vec<&'a T>, bool), ApiError> {
    let place = |items: &[&T], id: &str, param| {
        let place = items.iter().position(|item| item.id() == id);
        place.ok_or_else(|| ApiError::missing(400, what, id, param))
    };
    if let Some(id) = &page.starting_after {
        let start = place(&items, id, "starting_after")? + 1;
        items.drain(..start);
    }
    if let Some(id) = &page.ending_before {
        let end = place(&items, id, "ending_before")?;
        items.truncate(end);
        let has_more = items.len() > page.limit;
        items.drain(..items.len().saturating_sub(page.limit));
        return Ok((items, has_more));
    }
    let has_more = items.len() > page.limit;
    items.truncate(page.limit);
    Ok((items, has_more))
}
