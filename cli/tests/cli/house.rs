//! The rules of the house that no compiler knows. Each says in its message what to do and why.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use toml::{Table, Value};

use super::sources::{Source, root, with_extensions};

/// Who may use whom. Whatever stands in no line may use nothing of ours.
const MAY_USE: [(&str, &[&str]); 6] = [
    ("cli", &["api", "dashboards", "workers", "sandbox", "workflows", "orchestrator", "private-servers"]),
    ("api", &["workflows", "orchestrator"]),
    ("dashboards", &["workflows", "orchestrator"]),
    ("workers", &["workflows", "orchestrator"]),
    ("workflows", &["orchestrator"]),
    ("bench", &["api", "workers", "sandbox", "workflows", "orchestrator", "private-servers"]),
];
/// What tests may use beside that: it depends on nothing of ours.
const TESTS_MAY_USE: [&str; 2] = ["sandbox", "private-servers"];

/// What only some crates may name, so that it stays at one border.
const BORDERS: [(&str, &[&str], &str); 3] = [
    ("apalis", &["workers"], "what runs the engine is the concern of workers/ alone"),
    ("axum", &["api", "dashboards", "sandbox", "workers", "cli"], "orchestrator/ and workflows/ know no HTTP server"),
    ("redis", &["workflows", "cli"], "the engine stands on Postgres; workflows/ says what Redis is for"),
];

/// Whose tables are whose.
const SCHEMAS: [(&str, &str); 2] = [("engine", "orchestrator/"), ("booking", "workflows/")];

const LINES_MAX: usize = 500;
/// Files that are longer all the same. May it stay empty.
const LONGER: [(&str, usize); 0] = [];

/// Fails with all that is wrong, a line each, and why it is.
fn assert_none(wrong: &[String], why: &str) {
    assert!(wrong.is_empty(), "\n{why}:\n  {}\n", wrong.join("\n  "));
}

/// The workspace's own manifests, by package name.
fn manifests() -> BTreeMap<String, Table> {
    let parsed = with_extensions(&["toml"]).into_iter().filter(|file| file.path.ends_with("/Cargo.toml"));
    let named = parsed.filter_map(|file| {
        let table: Table = file.text.parse().unwrap();
        // A workspace of its own may do as it likes.
        let name = table.get("package")?.get("name")?.as_str()?.to_owned();
        (!table.contains_key("workspace")).then_some((name, table))
    });
    named.collect()
}

fn keys(table: &Table, section: &str) -> BTreeSet<String> {
    table.get(section).and_then(Value::as_table).into_iter().flat_map(Table::keys).cloned().collect()
}

#[test]
fn dependencies_point_one_way() {
    let manifests = manifests();
    let ours: BTreeSet<_> = manifests.keys().cloned().collect();
    let mut wrong = Vec::new();
    for (name, manifest) in &manifests {
        let allowed = MAY_USE.iter().find(|(user, _)| user == name).map_or(&[][..], |(_, used)| used);
        for (section, more) in [("dependencies", &[][..]), ("dev-dependencies", &TESTS_MAY_USE[..])] {
            for used in keys(manifest, section).intersection(&ours) {
                // its own tests may switch its features on
                let itself = section == "dev-dependencies" && used == name;
                if !itself && !allowed.contains(&used.as_str()) && !more.contains(&used.as_str()) {
                    wrong.push(format!("{name} uses {used} ({section})"));
                }
            }
        }
    }
    assert_none(
        &wrong,
        "cli → api, dashboards, workers → workflows → orchestrator; nothing points back, api and workers \
         never meet, sandbox and private-servers know nothing of ours",
    );
}

#[test]
fn what_belongs_at_a_border_stays_there() {
    let mut wrong = Vec::new();
    for (name, manifest) in manifests() {
        for used in keys(&manifest, "dependencies") {
            for (border, allowed, why) in BORDERS {
                let same = used == border || used.starts_with(&format!("{border}-"));
                if same && !allowed.contains(&name.as_str()) {
                    wrong.push(format!("{name} uses {used}, but {why}"));
                }
            }
        }
    }
    assert_none(&wrong, "a dependency is where it should not be");
}

#[test]
fn versions_stand_in_one_place() {
    let mut wrong = Vec::new();
    for (name, manifest) in manifests() {
        for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
            for (used, how) in manifest.get(section).and_then(Value::as_table).into_iter().flatten() {
                if how.get("workspace") != Some(&Value::Boolean(true)) {
                    wrong.push(format!("{name}: {used}"));
                }
            }
        }
        if manifest.get("lints").and_then(|lints| lints.get("workspace")) != Some(&Value::Boolean(true)) {
            wrong.push(format!("{name}: [lints] workspace = true"));
        }
    }
    assert_none(&wrong, "versions and lints stand once, in the root Cargo.toml: write `workspace = true`");
}

/// The views that a schema's owner lets others read.
fn published_views() -> BTreeSet<String> {
    let migrations = with_extensions(&["sql"]);
    let words = migrations.iter().flat_map(|file| file.text.split_whitespace()).collect::<Vec<_>>();
    words.windows(2).filter(|pair| pair[0] == "view").map(|pair| pair[1].to_owned()).collect()
}

/// The tables of `schema` that SQL in this text names: whatever follows a word that a table follows.
fn tables_named<'a>(text: &'a str, schema: &'a str) -> impl Iterator<Item = &'a str> {
    const BEFORE: [&str; 9] = ["from", "join", "into", "update", "table", "only", "truncate", "using", "exists"];
    let words: Vec<_> = text.split_whitespace().map(|word| word.trim_matches(['(', '"', '\''])).collect();
    let prefix = format!("{schema}.");
    let pairs: Vec<_> = words.windows(2).map(|pair| (pair[0], pair[1])).collect();
    pairs.into_iter().filter_map(move |(before, word)| {
        let table = word.split(['(', ')', ',', ';', '"', '\\']).next()?;
        let before = before.trim_matches(['"', '(']).to_lowercase();
        (table.starts_with(&prefix) && BEFORE.contains(&before.as_str())).then_some(table)
    })
}

#[test]
fn a_schema_has_one_owner() {
    let views = published_views();
    let mut wrong = Vec::new();
    // Tests and benchmarks look at everything, and make up pasts that never were.
    let looks_everywhere = |file: &&Source| file.path.contains("/tests/") || file.path.starts_with("bench/");
    for file in with_extensions(&["rs"]).iter().filter(|file| !looks_everywhere(file)) {
        for (schema, owner) in SCHEMAS.iter().filter(|(_, owner)| !file.path.starts_with(owner)) {
            for table in tables_named(&file.text, schema).filter(|table| !views.contains(*table)) {
                wrong.push(format!("{}: {table} is touched by {owner} alone", file.path));
            }
        }
    }
    assert_none(&wrong, "ask the schema's owner through a function, or read a view that it publishes");
}

#[test]
fn the_rule_about_schemas_sees_what_it_should() {
    let found: Vec<_> =
        tables_named("insert into engine.sagas (id); engine.start(x); \"update engine.ready\nset", "engine").collect();
    assert_eq!(found, ["engine.sagas", "engine.ready"]);
}

#[test]
fn modules_have_a_file_with_their_name() {
    let named_mod = |file: &&Source| file.path.ends_with("/mod.rs");
    let wrong: Vec<_> = with_extensions(&["rs"]).iter().filter(named_mod).map(|file| file.path.clone()).collect();
    assert_none(&wrong, "write foo.rs with foo/ beside it: ten tabs called mod.rs help nobody");
}

#[test]
fn every_file_says_what_it_is() {
    // Of a module's own tests, the module says it.
    let own_tests = |file: &Source| file.path.ends_with("/tests.rs");
    let silent = |file: &&Source| !own_tests(file) && !file.text.trim_start().starts_with("//!");
    let wrong: Vec<_> = with_extensions(&["rs"]).iter().filter(silent).map(|file| file.path.clone()).collect();
    assert_none(&wrong, "a file opens with `//!`: what it is, and if it isn't obvious, why it is shaped so");
}

#[test]
fn exceptions_are_expected_not_allowed() {
    // Written so that this file does not find itself.
    let refused = [concat!("#[", "allow("), concat!("#![", "allow(")];
    let has = |file: &&Source| refused.iter().any(|text| file.text.contains(text));
    let wrong: Vec<_> = with_extensions(&["rs"]).iter().filter(has).map(|file| file.path.clone()).collect();
    assert_none(&wrong, "write #[expect(lint, reason = \"…\")], which says when it is no longer needed");
}

#[test]
fn files_are_short_enough_to_be_known() {
    let longer: BTreeMap<_, _> = LONGER.into_iter().collect();
    let mut wrong = Vec::new();
    for file in with_extensions(&["rs"]) {
        let lines = file.text.lines().count();
        if lines > longer.get(file.path.as_str()).copied().unwrap_or(LINES_MAX) {
            wrong.push(format!("{} has {lines} lines", file.path));
        }
    }
    assert_none(&wrong, "a file past 500 lines is two: split it by what it knows");
}

#[test]
fn no_file_names_a_place_on_somebodys_machine() {
    let places = [concat!("/ro", "ot/"), concat!("/ho", "me/"), concat!("/Us", "ers/"), concat!("/wo", "rk/")];
    let mut wrong = Vec::new();
    for file in with_extensions(&["rs", "toml", "md", "sql", "yaml", "yml", "json", "sh"]) {
        for (number, line) in file.text.lines().enumerate() {
            let begins = |place: &str| {
                line.match_indices(place)
                    .any(|(at, _)| !line[..at].ends_with(|c: char| c.is_alphanumeric() || "._-/}".contains(c)))
            };
            if places.iter().any(|place| begins(place)) {
                wrong.push(format!("{}:{}: {}", file.path, number + 1, line.trim()));
            }
        }
    }
    assert_none(&wrong, "what works on one machine only is no use to the next: use a relative path");
}

#[test]
fn every_test_that_the_guarantees_name_is_there() {
    let text = fs::read_to_string(root().join("docs/guarantees.md")).unwrap();
    let sources = with_extensions(&["rs"]);
    let is_there = |name: &str| {
        sources
            .iter()
            .any(|file| file.text.contains(&format!("fn {name}")) || file.text.contains(&format!("mod {name};")))
    };
    let named = text.split('`').skip(1).step_by(2).filter(|quoted| quoted.contains("::"));
    let last = named.filter_map(|path| path.rsplit("::").next()).map(|name| name.trim_end_matches('…'));
    let wrong: Vec<_> = last.filter(|name| !is_there(name)).map(str::to_owned).collect();
    assert_none(&wrong, "docs/guarantees.md names tests that are not there");
}
