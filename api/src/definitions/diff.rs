//! What two versions say otherwise.

use super::VERSION;
use crate::{
    problem::Problem,
    query::{StrictPath, StrictQuery},
    state::ApiState,
};
use axum::{Json, extract::State};
use orchestrator::definition::{self, differences};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

/// With which.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct DiffQuery {
    /// The version it is held against. Without it the active one; for the active one itself, the one before.
    against: Option<i32>,
}

/// What one version says otherwise than another.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DefinitionDiff {
    name: String,
    version: i32,
    against: i32,
    /// By path; none where both have the same digest.
    differences: Vec<Difference>,
    /// What people wrote, as a unified diff.
    source: String,
}

/// Something that is said otherwise.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Difference {
    /// `deadline`, `steps.pay.retry.attempts`; `steps` alone is their order.
    path: String,
    /// What the other version says; null where it says nothing.
    before: Option<Value>,
    /// What this one says; null where it says nothing.
    after: Option<Value>,
}

impl From<definition::Difference> for Difference {
    fn from(difference: definition::Difference) -> Self {
        let definition::Difference { path, before, after } = difference;
        Self { path, before, after }
    }
}

/// What a version says otherwise than the active one, or than another.
#[utoipa::path(get, path = "/definitions/{name}/{version}/diff", tag = "definitions", operation_id = "diffDefinition",
    params(("name" = String, Path), ("version" = i32, Path), DiffQuery),
    responses((status = 200, body = DefinitionDiff)))]
pub(crate) async fn diff(
    State(state): State<ApiState>,
    StrictPath((name, version)): StrictPath<(String, i32)>,
    StrictQuery(query): StrictQuery<DiffQuery>,
) -> Result<Json<DefinitionDiff>, Problem> {
    let catalog = state.engine.catalog();
    let not_found = || Problem::not_found(VERSION);
    let against = match query.against {
        Some(against) => against,
        None => {
            let listed = catalog.versions(&name).await?.ok_or_else(not_found)?;
            let active = listed.active.map(|active| active.version).filter(|active| *active != version);
            let before = || listed.versions.iter().rev().map(|one| one.version).find(|one| *one < version);
            active.or_else(before).unwrap_or(version)
        }
    };
    let other = catalog.get(&name, against).await?.ok_or_else(not_found)?;
    let this = catalog.get(&name, version).await?.ok_or_else(not_found)?;
    let found = differences(&other.definition, &this.definition).map_err(Problem::internal)?;
    let source = catalog.diff(&name, against, version).await?.ok_or_else(not_found)?;
    let differences = found.into_iter().map(Difference::from).collect();
    Ok(Json(DefinitionDiff { name, version, against, differences, source }))
}
