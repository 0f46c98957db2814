//! `openapi.json`, from the list of routes: what the handlers say about themselves, who may use them, and what
//! can be wrong with a request.

use crate::{
    auth::Access,
    problem::{
        ProblemBody,
        kinds::{self, Kind},
    },
    routes::{self, Route},
};
use axum::http::StatusCode;
use std::collections::BTreeMap;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        Components, Content, InfoBuilder, OpenApi, OpenApiBuilder, Ref, Response, ResponseBuilder, Tag,
        extensions::Extensions,
        path::{Operation, PathItem},
        security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme},
    },
};

/// The name of the one way to prove who calls.
const BEARER: &str = "bearer";
/// The extension that lists the roles of which one is needed.
const ROLES: &str = "x-roles";
/// What every route behind a token may answer.
const BEHIND_A_TOKEN: [&Kind; 3] = [&kinds::UNAUTHENTICATED, &kinds::WRONG_ROLE, &kinds::RATE_LIMITED];
/// What every route with a JSON body may answer.
const WITH_A_BODY: [&Kind; 6] = [
    &kinds::MALFORMED_JSON,
    &kinds::UNKNOWN_MEMBER,
    &kinds::INVALID_VALUE,
    &kinds::CARD_DATA_REFUSED,
    &kinds::BODY_TOO_LARGE,
    &kinds::UNSUPPORTED_MEDIA_TYPE,
];
/// What every route with a query may answer.
const WITH_A_QUERY: [&Kind; 3] = [&kinds::UNKNOWN_PARAMETER, &kinds::INVALID_PARAMETER, &kinds::CARD_DATA_REFUSED];
/// What every route may answer when something of ours is wrong.
const ANY: [&Kind; 4] = [&kinds::INTERNAL, &kinds::OVERLOADED, &kinds::UNAVAILABLE, &kinds::TIMED_OUT];

/// The document.
#[must_use]
pub fn document() -> OpenApi {
    let mut document = OpenApiBuilder::new()
        .info(
            InfoBuilder::new()
                .title("Showrunner")
                .version(env!("CARGO_PKG_VERSION"))
                .description(Some(include_str!("openapi/description.md")))
                .build(),
        )
        .tags(Some([
            tag("booking", "Events, holds, orders, tickets: for programs that sell."),
            tag("sagas", "Looking into sagas and repairing them: for operators."),
            tag("cases", "What needs a person, by cause."),
            tag("batches", "One act on many sagas: planned, begun, watched."),
            tag("definitions", "What sagas do."),
            tag("gateways", "Whom payments talk to, and what keeps calls away from them."),
            tag("finance", "Money that goes back, the consent of a second person, and the ledger."),
            tag("outbox", "What could not be delivered: for operators and finance."),
            tag("settlements", "What gateways have paid out, held against our books."),
            tag("machines", "For load balancers, monitoring and tools."),
        ]))
        .build();
    let mut components = Components::default();
    components.add_security_scheme(BEARER, SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
    components.schemas.insert(ProblemBody::name().into_owned(), ProblemBody::schema());
    for mut route in routes::all() {
        components.schemas.extend(std::mem::take(&mut route.schemas));
        describe(&mut route);
        document.paths.merge(route.paths);
    }
    document.components = Some(components);
    document
}

fn tag(name: &str, description: &str) -> Tag {
    let mut tag = Tag::new(name);
    tag.description = Some(description.to_owned());
    tag
}

/// The operations of an address.
fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.put, &mut item.post, &mut item.delete].into_iter().flatten()
}

/// Adds to a route's operations what its place in the list says.
fn describe(route: &mut Route) {
    let (access, problems) = (route.access, route.problems);
    for item in route.paths.paths.values_mut() {
        for operation in operations(item) {
            let mut kinds: Vec<&Kind> = problems.to_vec();
            if let Access::Roles(roles) = access {
                let names: Vec<String> = roles.iter().map(|role| format!("`{role}`")).collect();
                let line = format!("Role: {}.", names.join(" or "));
                let description = operation.description.get_or_insert_default();
                *description = if description.is_empty() { line } else { format!("{description}\n\n{line}") };
                let names: Vec<&str> = roles.iter().map(|role| role.as_str()).collect();
                operation.extensions = Some(Extensions::builder().add(ROLES, names).build());
                operation.security = Some(vec![SecurityRequirement::new(BEARER, Vec::<String>::new())]);
                kinds.extend(BEHIND_A_TOKEN);
            }
            if operation.request_body.is_some() && access != Access::Open {
                kinds.extend(WITH_A_BODY);
            }
            if operation.parameters.as_ref().is_some_and(|parameters| !parameters.is_empty()) {
                kinds.extend(WITH_A_QUERY);
            }
            kinds.extend(ANY);
            for (status, response) in problem_responses(&kinds) {
                operation.responses.responses.entry(status.as_str().to_owned()).or_insert(response.into());
            }
        }
    }
}

fn problem_responses(kinds: &[&Kind]) -> BTreeMap<StatusCode, Response> {
    let mut slugs: BTreeMap<StatusCode, Vec<&str>> = BTreeMap::new();
    for kind in kinds {
        let known = slugs.entry(kind.status).or_default();
        if !known.contains(&kind.slug) {
            known.push(kind.slug);
        }
    }
    let respond = |slugs: Vec<&str>| {
        let names: Vec<String> = slugs.iter().map(|slug| format!("`{slug}`")).collect();
        ResponseBuilder::new()
            .description(names.join(", "))
            .content("application/problem+json", Content::new(Some(Ref::from_schema_name(ProblemBody::name()))))
            .build()
    };
    slugs.into_iter().map(|(status, slugs)| (status, respond(slugs))).collect()
}

/// The document as it is served and committed.
#[must_use]
pub fn text() -> String {
    let mut text = document().to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What can rot is compared: `UPDATE_DOCS=1 cargo test -p api docs` writes it anew.
    fn compare(file: &str, text: &str) {
        let path = format!("{}/../docs/{file}", env!("CARGO_MANIFEST_DIR"));
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(&path, text).unwrap();
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(committed == text, "docs/{file} is not what the code says: run with UPDATE_DOCS=1 and look at it");
    }

    #[test]
    fn the_docs_have_every_route() {
        compare("openapi.json", &text());
    }

    #[test]
    fn the_docs_have_every_problem() {
        compare("problems.md", &kinds::document());
    }

    #[test]
    fn every_operation_says_what_it_is() {
        let mut ids = std::collections::BTreeSet::new();
        for (path, item) in &mut document().paths.paths {
            for operation in operations(item) {
                assert!(operation.summary.is_some() && operation.tags.is_some(), "{path}");
                assert!(ids.insert(operation.operation_id.clone()), "{path}: {:?}", operation.operation_id);
            }
        }
    }
}
