//! Lists of sagas, as consistent as the sagas themselves.

use crate::{
    auth::Caller,
    page::{self, Page},
    problem::{Problem, kinds},
    query,
    state::ApiState,
    wire::{self, Time},
};
use axum::{Json, extract::State, http::Uri};
use chrono::{DateTime, Utc};
use orchestrator::{
    ids::{CaseId, SagaId},
    saga,
    view::{Filter, Listed},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::{IntoParams, ToSchema};
use workflows::{
    access::Role,
    search::{self, PERSONAL_TAGS, Scope},
};

/// The name of this list in cursors.
const LIST: &str = "sagas";
/// What a parameter that asks for a tag begins with.
const TAG_PREFIX: &str = "tag.";

/// Which sagas. Beside these, `tag.<name>=<value>` for any number of tags.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct SagasQuery {
    definition: Option<String>,
    /// `running`, `waiting`, `paused`, `compensating`, `completed`, `compensated`, `stuck`, `killed`.
    state: Option<String>,
    /// The step that they stand at.
    step: Option<String>,
    /// Started then or later.
    #[serde(default, deserialize_with = "wire::time")]
    from: Option<DateTime<Utc>>,
    /// Started before.
    #[serde(default, deserialize_with = "wire::time")]
    to: Option<DateTime<Utc>>,
    /// A saga's or an order's id, the reference of a payment or a refund, a seat, an event, and, save for viewers,
    /// a user or an e-mail address.
    q: Option<String>,
    /// In this case now.
    #[param(value_type = Option<String>)]
    case_id: Option<CaseId>,
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
    cursor: Option<String>,
}

/// A saga in a list.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SagaListed {
    #[schema(value_type = String)]
    saga_id: SagaId,
    definition: String,
    version: i32,
    state: &'static str,
    /// Where it stands; null when it is finished.
    step: Option<String>,
    seq: i64,
    /// `worker`, `gateway`, `timer`, `signal`, `person`, `nothing`.
    waiting_on: String,
    /// The code of what made it stuck or compensate.
    failure_code: Option<String>,
    tags: BTreeMap<String, Option<String>>,
    created_at: Time,
    updated_at: Time,
    finished_at: Option<Time>,
    /// Personal data is left out.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    redacted: bool,
}

impl SagaListed {
    fn of(listed: Listed, redacted: bool) -> Self {
        Self {
            saga_id: listed.saga_id,
            definition: listed.definition,
            version: listed.version,
            state: listed.state.as_str(),
            step: listed.step,
            seq: listed.seq,
            waiting_on: listed.waiting_on,
            failure_code: listed.failure_code,
            tags: shown_tags(listed.tags, redacted),
            created_at: listed.created_at.into(),
            updated_at: listed.updated_at.into(),
            finished_at: listed.finished_at.map(Time),
            redacted,
        }
    }
}

/// Tags; those that say who somebody is are null where they are kept from the caller.
pub(super) fn shown_tags(tags: BTreeMap<String, String>, redacted: bool) -> BTreeMap<String, Option<String>> {
    let shown = |(name, value): (String, String)| {
        let kept = redacted && PERSONAL_TAGS.contains(&name.as_str());
        (name, (!kept).then_some(value))
    };
    tags.into_iter().map(shown).collect()
}

/// Sagas, the newest first.
#[utoipa::path(get, path = "/sagas", tag = "sagas", operation_id = "listSagas", params(SagasQuery),
    responses((status = 200, body = Page<SagaListed>)))]
pub(crate) async fn list(
    State(state): State<ApiState>,
    caller: Caller,
    uri: Uri,
) -> Result<Json<Page<SagaListed>>, Problem> {
    let redacted = caller.sees_redacted();
    let asked = Asked::read(&uri, redacted)?;
    let mut filter = asked.filter;
    if let Some(text) = asked.text {
        let scope = if redacted { Scope::NothingPersonal } else { Scope::Everything };
        filter.search = Some(search::sagas(state.engine.pool(), &text, scope).await?);
    }
    let found = state.engine.sagas(&filter, asked.after, asked.limit).await?;
    Ok(Json(Page {
        items: found.items.into_iter().map(|listed| SagaListed::of(listed, redacted)).collect(),
        next: found.next.map(|next| page::encode(LIST, &next)),
    }))
}

/// What is asked of a list of sagas.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) filter: Filter,
    /// What is searched for.
    pub(crate) text: Option<String>,
    after: Option<SagaId>,
    limit: u16,
}

impl Asked {
    fn read(uri: &Uri, redacted: bool) -> Result<Self, Problem> {
        Self::of(query::pairs(uri)?, redacted)
    }

    /// From a query's parameters.
    ///
    /// # Errors
    /// 400 for what is not understood; 403 for what is kept from the caller.
    pub(crate) fn of(pairs: Vec<(String, String)>, redacted: bool) -> Result<Self, Problem> {
        let (tags, others): (Vec<_>, Vec<_>) = pairs.into_iter().partition(|(name, _)| name.starts_with(TAG_PREFIX));
        let query: SagasQuery = query::read(&others)?;
        let tag = |(name, value): (String, String)| (name.trim_start_matches(TAG_PREFIX).to_owned(), value);
        let tags: BTreeMap<_, _> = tags.into_iter().map(tag).collect();
        let text = query.q.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        // A search by who somebody is would tell what is kept from the caller.
        let personal = tags.keys().any(|name| PERSONAL_TAGS.contains(&name.as_str()))
            || text.as_deref().is_some_and(|text| text.contains('@'));
        if redacted && personal {
            let detail = "A viewer sees no personal data, and does not search by it.";
            return Err(Problem::wrong_role(detail, |role| role.includes(Role::Viewer) && role != Role::Viewer));
        }
        let state = query.state.map(|name| {
            saga::State::from_name(&name).ok_or_else(|| {
                Problem::new(&kinds::INVALID_PARAMETER, "There is no such state.").with("parameter", "state")
            })
        });
        Ok(Self {
            filter: Filter {
                definition: query.definition,
                state: state.transpose()?,
                step: query.step,
                tags,
                from: query.from,
                to: query.to,
                search: None,
                case: query.case_id,
            },
            text,
            after: page::decode(LIST, query.cursor.as_deref())?,
            limit: u16::try_from(page::limit(query.limit)?).map_err(Problem::internal)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(query: &str) -> Result<Asked, Problem> {
        Asked::read(&format!("/sagas?{query}").parse().unwrap(), false)
    }

    #[test]
    fn filters_are_read() {
        let asked = asked("definition=x&state=stuck&tag.order=ord_1&tag.event=e&limit=7").unwrap();
        assert_eq!(asked.filter.definition.as_deref(), Some("x"));
        assert_eq!(asked.filter.state, Some(saga::State::Stuck));
        assert_eq!(asked.filter.tags.len(), 2);
        assert_eq!(asked.limit, 7);
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        assert_eq!(asked("tags.order=x").unwrap_err().kind(), &kinds::UNKNOWN_PARAMETER);
        assert_eq!(asked("state=happy").unwrap_err().kind(), &kinds::INVALID_PARAMETER);
        assert_eq!(asked("limit=501").unwrap_err().kind(), &kinds::INVALID_PARAMETER);
        assert_eq!(asked("cursor=x").unwrap_err().kind(), &kinds::INVALID_CURSOR);
    }

    #[test]
    fn a_viewer_learns_nothing_by_searching() {
        let uri = |query: &str| format!("/sagas?{query}").parse::<Uri>().unwrap();
        assert_eq!(Asked::read(&uri("tag.user=anna"), true).unwrap_err().kind(), &kinds::WRONG_ROLE);
        assert_eq!(Asked::read(&uri("q=anna@example.org"), true).unwrap_err().kind(), &kinds::WRONG_ROLE);
        Asked::read(&uri("tag.event=evt_1&q=stalls-1-2"), true).unwrap();
        let tags = BTreeMap::from([("user".to_owned(), "anna".to_owned())]);
        assert_eq!(shown_tags(tags, true)["user"], None);
    }
}
