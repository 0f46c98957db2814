//! Definitions: looking at them, adding versions, choosing the one that new sagas use.

pub(crate) mod diff;
pub(crate) mod mock_run;

use crate::{
    auth::{Address, Caller},
    card_data,
    page::{self, Page},
    problem::{Problem, kinds},
    query::{StrictPath, StrictQuery},
    sagas::acts::{self, ActAsked},
    state::ApiState,
    strict_json::{JSON_BYTES_MAX, StrictJson, read_body},
    text,
    wire::Time,
};
use axum::{
    Json,
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use orchestrator::{
    catalog::{self, ActivateError, ApplyError, Author, Known, Listed},
    definition::Mistake,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use utoipa::{IntoParams, ToSchema};
use workflows::approvals::Activation;

/// The name of this list in cursors.
const LIST: &str = "definitions";

/// A definition and its versions.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DefinitionListed {
    name: String,
    /// The version that new sagas use; the newest, where none is active.
    version: i32,
    digest: String,
    /// Whether new sagas use that version.
    active: bool,
    /// The person who chose it; null when a release brought it along.
    chosen_by: Option<String>,
    /// Why they chose it.
    reason: Option<String>,
    activated_at: Option<Time>,
    /// All versions, oldest first.
    versions: Vec<Version>,
}

/// One version.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Version {
    version: i32,
    digest: String,
    active: bool,
    created_at: Time,
    created_by: String,
    /// How many sagas that are not finished run on it, by state; those that have none are left out.
    live: BTreeMap<String, i64>,
}

/// What one version says.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DefinitionVersion {
    name: String,
    version: i32,
    digest: String,
    /// As it is stored and run.
    document: Value,
    /// As it was written.
    source: String,
    created_at: Time,
    created_by: String,
}

impl From<Listed> for DefinitionListed {
    fn from(listed: Listed) -> Self {
        let chosen = listed.active.as_ref().map(|active| active.version);
        let version = chosen.or(listed.versions.last().map(|newest| newest.version)).unwrap_or_default();
        let of_version = listed.versions.iter().find(|one| one.version == version);
        let digest = of_version.map(|one| one.digest.clone()).unwrap_or_default();
        let show = |one: catalog::Version| Version {
            version: one.version,
            digest: one.digest,
            active: chosen == Some(one.version),
            created_at: one.created_at.into(),
            created_by: one.created_by,
            live: one.live,
        };
        let activated_at = listed.active.as_ref().map(|active| Time(active.activated_at));
        let (chosen_by, reason) = listed.active.map(|active| (active.chosen_by, active.reason)).unwrap_or_default();
        Self {
            name: listed.name,
            version,
            digest,
            active: chosen.is_some(),
            chosen_by,
            reason,
            activated_at,
            versions: listed.versions.into_iter().map(show).collect(),
        }
    }
}

impl TryFrom<&Known> for DefinitionVersion {
    type Error = Problem;
    fn try_from(known: &Known) -> Result<Self, Problem> {
        Ok(Self {
            name: known.name.clone(),
            version: known.version,
            digest: known.digest.clone(),
            document: serde_json::to_value(&known.definition).map_err(Problem::internal)?,
            source: known.source.clone(),
            created_at: known.created_at.into(),
            created_by: known.created_by.clone(),
        })
    }
}

/// How many, and from where on.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct DefinitionsQuery {
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
    cursor: Option<String>,
}

/// Every definition with its versions, by name.
#[utoipa::path(get, path = "/definitions", tag = "definitions", operation_id = "listDefinitions",
    params(DefinitionsQuery), responses((status = 200, body = Page<DefinitionListed>)))]
pub(crate) async fn list(
    State(state): State<ApiState>,
    StrictQuery(query): StrictQuery<DefinitionsQuery>,
) -> Result<Json<Page<DefinitionListed>>, Problem> {
    let limit = page::limit(query.limit)?;
    let after: Option<String> = page::decode(LIST, query.cursor.as_deref())?;
    let mut rows = state.engine.catalog().list().await?;
    rows.sort_unstable_by(|one, other| one.name.cmp(&other.name));
    rows.retain(|one| after.as_ref().is_none_or(|after| one.name > *after));
    Ok(Json(Page::from_rows(LIST, rows, limit, |last| last.name.clone(), DefinitionListed::from)))
}

/// A definition with its versions, and what the version says that new sagas use.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DefinitionShown {
    #[serde(flatten)]
    listed: DefinitionListed,
    /// As it is stored and run.
    document: Value,
    /// As it was written.
    source: String,
}

/// One definition: the active version, or the newest where none is active.
#[utoipa::path(get, path = "/definitions/{name}", tag = "definitions", operation_id = "getDefinition",
    params(("name" = String, Path)), responses((status = 200, body = DefinitionShown)))]
pub(crate) async fn show(
    State(state): State<ApiState>,
    StrictPath(name): StrictPath<String>,
) -> Result<Json<DefinitionShown>, Problem> {
    let catalog = state.engine.catalog();
    let known = catalog.show(&name, None).await?.ok_or_else(|| Problem::not_found("definition"))?;
    let listed = catalog.versions(&name).await?.ok_or_else(|| Problem::not_found("definition"))?;
    let DefinitionVersion { document, source, .. } = known.as_ref().try_into()?;
    Ok(Json(DefinitionShown { listed: listed.into(), document, source }))
}

/// What is not there where a version is not.
const VERSION: &str = "version of a definition";

/// One version of a definition.
#[utoipa::path(get, path = "/definitions/{name}/{version}", tag = "definitions", operation_id = "getDefinitionVersion",
    params(("name" = String, Path), ("version" = i32, Path)),
    responses((status = 200, body = DefinitionVersion)))]
pub(crate) async fn show_version(
    State(state): State<ApiState>,
    StrictPath((name, version)): StrictPath<(String, i32)>,
) -> Result<Json<DefinitionVersion>, Problem> {
    let known = state.engine.catalog().get(&name, version).await?;
    let known = known.ok_or_else(|| Problem::not_found(VERSION))?;
    Ok(Json(DefinitionVersion::try_from(known.as_ref())?))
}

/// What became of a document.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DefinitionApplied {
    name: String,
    version: i32,
    digest: String,
}

/// Adds a version, unless one says the same already. New sagas use it once it is activated.
#[utoipa::path(put, path = "/definitions/{name}", tag = "definitions", operation_id = "putDefinition",
    params(("name" = String, Path)), request_body(content = String, content_type = "application/yaml"),
    responses((status = 201, body = DefinitionApplied), (status = 200, body = DefinitionApplied,
        description = "A version says the same already")))]
pub(crate) async fn put(
    State(state): State<ApiState>,
    Caller(caller): Caller,
    Address(address): Address,
    StrictPath(name): StrictPath<String>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    if !is_yaml(&parts.headers) {
        return Err(Problem::new(&kinds::UNSUPPORTED_MEDIA_TYPE, "Send the definition as application/yaml."));
    }
    let bytes = read_body(&parts.headers, body, JSON_BYTES_MAX).await?;
    let yaml = std::str::from_utf8(&bytes)
        .ok()
        .filter(|text| !text.contains('\0'))
        .ok_or_else(|| invalid(&[Mistake { line: 1, message: "the document is not UTF-8 text".to_owned() }]))?;
    if card_data::in_text(yaml) {
        return Err(Problem::card_data());
    }
    let by = Author { name: &caller.name, address: Some(address) };
    let applied = state.engine.catalog().apply_as(&name, yaml, by).await.map_err(|error| match error {
        ApplyError::Invalid(mistakes) | ApplyError::InvalidFile { mistakes, .. } => invalid(&mistakes),
        ApplyError::Database(error) => error.into(),
    })?;
    let status = if applied.new { StatusCode::CREATED } else { StatusCode::OK };
    let location = [(header::LOCATION, format!("/definitions/{}/{}", applied.name, applied.version))];
    let body = DefinitionApplied { name: applied.name, version: applied.version, digest: applied.digest };
    Ok((status, location, Json(body)).into_response())
}

fn invalid(mistakes: &[Mistake]) -> Problem {
    let first = mistakes.first().map(|first| format!("Line {}: {}", first.line, first.message)).unwrap_or_default();
    Problem::new(&kinds::INVALID_DEFINITION, first).with("mistakes", serde_json::to_value(mistakes).unwrap_or_default())
}

/// There is only one kind of body here; a tool that names none means it.
fn is_yaml(headers: &HeaderMap) -> bool {
    let Some(said) = headers.get(header::CONTENT_TYPE) else { return true };
    let said = said.to_str().unwrap_or_default().to_ascii_lowercase();
    let media_type = said.split(';').next().unwrap_or_default().trim();
    ["application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml", "text/plain"].contains(&media_type)
}

/// Why a version is made active.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Activate {
    reason: String,
}

/// The version that new sagas use now.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Activated {
    name: String,
    version: i32,
}

/// What became of an activation.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum ActivationAnswer {
    /// A second person has to consent.
    Asked(ActAsked),
    /// New sagas use it.
    Now(Activated),
}

/// Makes new sagas use this version, once a second person has consented (`POST /approvals/{id}/approve`); at once where it
/// is the version that they used before the present one. Those that run stay on theirs.
#[utoipa::path(post, path = "/definitions/{name}/{version}/activate", tag = "definitions",
    operation_id = "activateDefinition", params(("name" = String, Path), ("version" = i32, Path)),
    request_body = Activate,
    responses((status = 202, body = ActivationAnswer)))]
pub(crate) async fn activate(
    State(state): State<ApiState>,
    Caller(caller): Caller,
    Address(address): Address,
    StrictPath((name, version)): StrictPath<(String, i32)>,
    StrictJson(body): StrictJson<Activate>,
) -> Result<Response, Problem> {
    let reason = text::reason(&body.reason)?;
    let by = Author { name: &caller.name, address: Some(address) };
    match state.asks.activate(&name, version, reason, by).await? {
        Activation::Now => {
            let answer = ActivationAnswer::Now(Activated { name, version });
            Ok((StatusCode::ACCEPTED, Json(answer)).into_response())
        }
        Activation::Asked(asked) => Ok(acts::asked_for(asked, ActivationAnswer::Asked)),
    }
}

impl From<ActivateError> for Problem {
    fn from(error: ActivateError) -> Self {
        match error {
            ActivateError::Unknown { .. } => Self::not_found(VERSION),
            ActivateError::Invalid { mistakes, .. } => invalid(&mistakes),
            ActivateError::Database(error) => error.into(),
        }
    }
}
