//! Definitions in the database.

use crate::database::database;
use orchestrator::{
    Postgres,
    action::Registry,
    catalog::{ActivateError, ApplyError, Catalog},
    demo,
};
use serde_json::json;
use sqlx::PgPool;
use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

fn catalog(pool: &PgPool) -> Catalog {
    let mut registry = Registry::new();
    demo::register(&mut registry).unwrap();
    Catalog::new(Postgres::new(pool.clone()), Arc::new(registry))
}

/// A document that differs from others by its deadline.
fn document(minutes: usize) -> String {
    format!(
        "saga: hello\ninput:\n  type: object\n  required: [name]\n  additionalProperties: false\n  properties:\n    \
         name: {{ type: string }}\n    age: {{ type: integer }}\ndeadline: {minutes}m\nsteps:\n  - step: greet\n    \
         action: demo.echo\n"
    )
}

async fn active_version(catalog: &Catalog) -> Option<i32> {
    catalog.active("hello").await.unwrap().map(|known| known.version)
}

#[tokio::test]
async fn a_changed_document_is_a_new_version_and_one_that_looks_different_is_not() {
    let pool = database().await;
    let catalog = catalog(&pool);
    let first = catalog.apply(&document(1), "ada").await.unwrap();
    assert_eq!((first.version, first.new), (1, true));
    let same = catalog.apply(&document(1).replace("1m", "60s  # a minute"), "bob").await.unwrap();
    assert_eq!((same.version, same.new, &same.digest), (1, false, &first.digest));
    let second = catalog.apply(&document(2), "bob").await.unwrap();
    assert_eq!((second.version, second.new), (2, true));

    let known = catalog.get("hello", 1).await.unwrap().unwrap();
    assert_eq!((known.created_by.as_str(), known.source.as_str()), ("ada", document(1).as_str()));
    assert_eq!(known.definition.digest().unwrap(), known.digest);
    assert!(catalog.get("hello", 3).await.unwrap().is_none());
    // Nobody has chosen: nothing is active, and the newest is shown.
    assert_eq!(active_version(&catalog).await, None);
    assert_eq!(catalog.show("hello", None).await.unwrap().unwrap().version, 2);
    let diff = catalog.diff("hello", 1, 2).await.unwrap().unwrap();
    assert!(
        diff.starts_with("--- hello/1\n+++ hello/2\n") && diff.contains("-deadline: 1m\n+deadline: 2m\n"),
        "{diff}"
    );
    assert!(catalog.diff("hello", 1, 3).await.unwrap().is_none());
    let acts =
        sqlx::query_scalar::<_, String>("select act || ' ' || object || ' ' || actor from engine.acts order by at");
    assert_eq!(acts.fetch_all(&pool).await.unwrap(), ["definition.apply hello/1 ada", "definition.apply hello/2 bob"]);
}

#[tokio::test]
async fn what_breaks_the_rules_is_refused_and_leaves_nothing_behind() {
    let pool = database().await;
    let catalog = catalog(&pool);
    let refused = catalog.apply("saga: hello\nsteps: [{ step: a, action: nothing }]\n", "ada").await;
    assert!(matches!(&refused, Err(ApplyError::Invalid(mistakes)) if mistakes[0].line == 2), "{refused:?}");
    let other_name = catalog.apply_as("other", &document(1), "ada").await;
    assert!(matches!(&other_name, Err(ApplyError::Invalid(mistakes)) if mistakes[0].line == 1), "{other_name:?}");
    let broken = [("good.yaml", document(1)), ("bad.yaml", "saga: [".to_owned())];
    let broken: Vec<_> = broken.iter().map(|(file, yaml)| (*file, yaml.as_str())).collect();
    let brought = catalog.bring_along(&broken).await;
    assert!(matches!(&brought, Err(ApplyError::InvalidFile { file, .. }) if file == "bad.yaml"), "{brought:?}");
    assert_eq!(catalog.list().await.unwrap(), []);
}

#[tokio::test]
async fn versions_are_numbered_without_gaps_when_many_come_at_once() {
    let pool = database().await;
    let applied = (1..=12).map(|number| {
        // Two of each, from catalogs that know nothing of each other.
        let (catalog, yaml) = (catalog(&pool), document(1 + number / 2));
        tokio::spawn(async move { catalog.apply(&yaml, "ada").await.unwrap() })
    });
    let mut new = BTreeSet::new();
    for one in applied.collect::<Vec<_>>() {
        let one = one.await.unwrap();
        assert!(!one.new || new.insert(one.version), "version {} twice", one.version);
    }
    assert_eq!(new, (1..=7).collect());
}

#[tokio::test]
async fn a_binary_activates_what_it_brings_until_a_person_chooses() {
    let pool = database().await;
    let (old, new) = (catalog(&pool), catalog(&pool));
    let bring = async |catalog: &Catalog, minutes| catalog.bring_along(&[("hello.yaml", &document(minutes))]).await;
    bring(&old, 1).await.unwrap();
    assert_eq!(active_version(&old).await, Some(1));
    bring(&new, 2).await.unwrap();
    assert_eq!(active_version(&new).await, Some(2));
    // The older binary starts again beside the newer one.
    bring(&old, 1).await.unwrap();
    assert_eq!(active_version(&catalog(&pool)).await, Some(2));

    new.activate("hello", 1, "ada", "two was wrong").await.unwrap();
    bring(&new, 3).await.unwrap();
    assert_eq!(active_version(&new).await, Some(1));
    let listed = new.versions("hello").await.unwrap().unwrap();
    assert_eq!(listed.versions.iter().map(|version| version.version).collect::<Vec<_>>(), [1, 2, 3]);
    let active = listed.active.unwrap();
    assert_eq!(
        (active.version, active.chosen_by.as_deref(), active.reason.as_deref()),
        (1, Some("ada"), Some("two was wrong"))
    );
    let unknown = new.activate("hello", 9, "ada", "why not").await;
    assert!(matches!(unknown, Err(ActivateError::Unknown { version: 9, .. })), "{unknown:?}");
}

#[tokio::test]
async fn another_process_s_choice_is_seen_within_a_moment() {
    let pool = database().await;
    let (here, there) = (catalog(&pool), catalog(&pool));
    here.bring_along(&[("hello.yaml", &document(1))]).await.unwrap();
    assert_eq!(active_version(&there).await, Some(1));
    here.apply(&document(2), "ada").await.unwrap();
    here.activate("hello", 2, "ada", "better").await.unwrap();
    assert_eq!(active_version(&here).await, Some(2));
    let begun = Instant::now();
    while active_version(&there).await != Some(2) {
        assert!(begun.elapsed() < Duration::from_secs(10), "never seen");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn what_names_unknown_actions_is_not_activated() {
    let pool = database().await;
    catalog(&pool).apply(&document(1), "ada").await.unwrap();
    let without_demo = Catalog::new(Postgres::new(pool), Arc::new(Registry::new()));
    let refused = without_demo.activate("hello", 1, "ada", "try").await;
    assert!(matches!(&refused, Err(ActivateError::Invalid { mistakes, .. }) if mistakes[0].line == 12), "{refused:?}");
    assert!(without_demo.get("hello", 1).await.unwrap().is_some());
}

#[tokio::test]
async fn every_mistake_of_an_input_has_its_pointer() {
    let pool = database().await;
    let catalog = catalog(&pool);
    catalog.apply(&document(1), "ada").await.unwrap();
    let known = catalog.get("hello", 1).await.unwrap().unwrap();
    assert_eq!(known.check_input(&json!({"name": "Ada"})), []);
    let mistakes = known.check_input(&json!({"age": "old", "shoe": 38}));
    let pointers: BTreeSet<_> = mistakes.iter().map(|mistake| mistake.pointer.as_str()).collect();
    assert_eq!((mistakes.len(), pointers), (3, BTreeSet::from(["", "/age"])), "{mistakes:?}");
}

#[tokio::test]
async fn a_stored_document_that_does_not_read_is_named() {
    let pool = database().await;
    let catalog = catalog(&pool);
    sqlx::query(
        "insert into engine.definitions (name, version, document, source, digest, created_by)
         values ('hello', 1, '{\"saga\": 5}', '', '', 'nobody')",
    )
    .execute(&pool)
    .await
    .unwrap();
    let error = catalog.get("hello", 1).await.unwrap_err();
    let sqlx::Error::Decode(cause) = error else { panic!("{error}") };
    assert_eq!(cause.to_string(), "engine.definitions.document of (hello, 1) is not a definition");
    assert!(cause.source().is_some());
}
