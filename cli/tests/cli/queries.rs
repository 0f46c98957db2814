//! `.sqlx/` has what PostgreSQL said about every query. A migration can make that untrue without any
//! compiler noticing; PostgreSQL notices here.

use std::fs;

use private_servers::TestServers;
use serde_json::Value;

use super::sources::root;

/// What a query says that is asked for often, or of tables that grow: it reads no table from end to end.
const BY_INDEXES: &str = "-- by indexes alone";

/// Every prepared query.
fn queries() -> Vec<String> {
    let Ok(files) = fs::read_dir(root().join(".sqlx")) else { return Vec::new() };
    let query = |file: fs::DirEntry| {
        let data: Value = serde_json::from_str(&fs::read_to_string(file.path()).unwrap()).unwrap();
        data["query"].as_str().unwrap().to_owned()
    };
    files.map(|file| query(file.unwrap())).collect()
}

/// What a database of our schema says to these statements.
fn said_to(script: &str, name: &str) -> Result<String, private_servers::Error> {
    let path = std::env::temp_dir().join(format!("showrunner-{name}-{}.sql", std::process::id()));
    fs::write(&path, script).unwrap();
    let servers = TestServers::shared();
    let url = servers.database(&root().join("migrations")).unwrap();
    let database = url.split('?').next().and_then(|url| url.rsplit('/').next()).unwrap();
    let said = servers.postgres().psql(database, &["-f", &path.display().to_string()]);
    fs::remove_file(&path).unwrap();
    said
}

#[test]
fn every_prepared_query_still_fits_the_schema() {
    let prepare = |(index, query): (usize, String)| format!("prepare query_{index} as {query}\n;\n");
    let script: String = queries().into_iter().enumerate().map(prepare).collect();
    said_to(&script, "queries").expect("a migration changed what a query needs: run `make sqlx`");
}

#[test]
fn hot_queries_read_no_table_from_end_to_end() {
    let hot: Vec<_> = queries().into_iter().filter(|query| query.contains(BY_INDEXES)).collect();
    assert!(hot.len() >= 3, "{hot:?}");
    for query in hot {
        let parameters = (1..=20).take_while(|number| query.contains(&format!("${number}"))).count();
        let nulls = if parameters == 0 { String::new() } else { format!("({})", vec!["null"; parameters].join(", ")) };
        let script = format!(
            "set enable_seqscan = off; set plan_cache_mode = force_generic_plan;\n\
             prepare hot as {query}\n;\nexplain execute hot{nulls};"
        );
        let plan = said_to(&script, "hot").unwrap();
        assert!(plan.contains("Index"), "{plan}");
        assert!(!plan.contains("Seq Scan"), "{query}\n\n{plan}");
    }
}
