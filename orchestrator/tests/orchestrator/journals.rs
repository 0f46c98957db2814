//! Releases meet: the journals of every release, kept in `tests/journals/`, come to the same in this one. Each was
//! written by real runs; what is said of it was true for the release that wrote it. `docs/journal.md` says what may
//! change and how.

#[path = "journals/shapes.rs"]
mod shapes;
#[path = "journals/summary.rs"]
mod summary;

use orchestrator::{
    SagaId,
    definition::Definition,
    journal::{ActKind, Entry, Moment, Recorded, StuckCause},
    plan::plan,
    run::Run,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// A journal of some release, with what it came to there.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Kept {
    /// By which release.
    release: String,
    /// What happened, for people.
    about: String,
    saga_id: SagaId,
    /// As `engine.definitions.document` has it.
    definition: Value,
    journal: Vec<KeptEntry>,
    /// What the whole journal comes to: see [`summary::run`].
    run: Value,
}

/// A row of `engine.journal`.
#[derive(Serialize, Deserialize)]
struct KeptEntry {
    seq: i64,
    at: Moment,
    entry: Value,
    /// What came next when the journal ended here: see [`summary::next`]. A worker may die at any of these places, and
    /// another release go on.
    next: Value,
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/journals")
}

fn kept() -> Vec<(String, Kept)> {
    let mut found: Vec<_> = fs::read_dir(directory())
        .unwrap()
        .map(|file| file.unwrap().path())
        .map(|path| {
            let kept = serde_json::from_str(&fs::read_to_string(&path).unwrap());
            (path.display().to_string(), kept.unwrap_or_else(|error| panic!("{}: {error}", path.display())))
        })
        .collect();
    found.sort_by(|one: &(String, Kept), other| one.0.cmp(&other.0));
    found
}

/// The variants that can be stored, by their names in the journal: serde says them all.
fn variants<T: DeserializeOwned>(unknown: Value) -> BTreeSet<String> {
    let Err(refused) = serde_json::from_value::<T>(unknown) else { panic!("`?` is no variant of ours") };
    let refused = refused.to_string();
    let (_, expected) = refused.split_once(", expected one of ").unwrap();
    expected.split(", ").map(|name| name.trim_matches('`').to_owned()).collect()
}

#[test]
fn what_every_release_has_written_comes_to_the_same_in_this_one() {
    for (path, Kept { saga_id, definition, journal, run: expected, .. }) in kept() {
        let definition: Definition = serde_json::from_value(definition).unwrap();
        let mut read: Vec<Recorded> = Vec::new();
        for KeptEntry { seq, at, entry, next } in journal {
            let place = format!("{path}, seq {seq}");
            let understood: Entry =
                serde_json::from_value(entry.clone()).unwrap_or_else(|error| panic!("{place}: {error}"));
            let written = json!(understood);
            for (member, value) in entry.as_object().unwrap() {
                assert_eq!(&written[member], value, "{place}: `{member}` was not understood");
            }
            read.push(Recorded { seq, at, entry: understood });
            let run = Run::replay(saga_id, &read).unwrap_or_else(|corrupt| panic!("{place}: {corrupt}"));
            assert_eq!(summary::next(&definition, &plan(&definition, &run, at)), next, "{place}");
        }
        let run = Run::replay(saga_id, &read).unwrap();
        assert_eq!(summary::run(&run), expected, "{path}");
    }
}

#[test]
fn whatever_can_be_written_is_in_a_journal_that_is_kept() {
    let mut kinds = variants::<Entry>(json!({ "kind": "?" }));
    let mut acts = variants::<ActKind>(json!("?"));
    let mut causes = variants::<StuckCause>(json!("?"));
    assert!(kinds.len() >= 15 && acts.len() >= 3 && causes.len() >= 4, "{kinds:?} {acts:?} {causes:?}");
    let documented = fs::read_to_string(directory().join("../../../docs/journal.md")).unwrap();
    for kind in &kinds {
        assert!(documented.contains(&format!("`{kind}`")), "docs/journal.md says nothing of `{kind}`");
    }
    for entry in kept().into_iter().flat_map(|(_, kept)| kept.journal).map(|kept| kept.entry) {
        let word = |member: &str| entry[member].as_str().unwrap_or_default();
        kinds.remove(word("kind"));
        match word("kind") {
            "acted" => drop(acts.remove(word("act"))),
            "stuck" => drop(causes.remove(word("cause"))),
            _ => {}
        }
    }
    assert!(
        kinds.is_empty() && acts.is_empty() && causes.is_empty(),
        "no journal has {kinds:?} {acts:?} {causes:?}: add a saga that writes it to journals/shapes.rs, \
         and run `cargo test -p orchestrator --test orchestrator write_journals -- --ignored`"
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "writes the journals that are missing; those that are there belong to their release and stay as they are"]
async fn write_journals() {
    for (name, about, saga, world) in shapes::all().await {
        let release = env!("CARGO_PKG_VERSION");
        let path = directory().join(format!("{release}-{name}.json"));
        if path.exists() {
            continue;
        }
        let view = world.view(saga).await;
        let stored: Value =
            sqlx::query_scalar("select document from engine.definitions where name = $1 and version = $2")
                .bind(&view.run.definition)
                .bind(view.run.version)
                .fetch_one(&world.pool)
                .await
                .unwrap();
        let definition: Definition = serde_json::from_value(stored.clone()).unwrap();
        let entries = view.journal.iter().enumerate().map(|(index, recorded)| {
            let run = Run::replay(saga, &view.journal[..=index]).unwrap();
            KeptEntry {
                seq: recorded.seq,
                at: recorded.at,
                entry: json!(recorded.entry),
                next: summary::next(&definition, &plan(&definition, &run, recorded.at)),
            }
        });
        let kept = Kept {
            release: release.to_owned(),
            about: about.to_owned(),
            saga_id: saga,
            definition: stored,
            journal: entries.collect(),
            run: summary::run(&view.run),
        };
        fs::write(path, serde_json::to_string_pretty(&kept).unwrap() + "\n").unwrap();
    }
}
