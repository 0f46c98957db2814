//! `.sqlx/` has what PostgreSQL said about every query. A migration can make that untrue without any
//! compiler noticing; PostgreSQL notices here.

use std::fs;

use private_servers::TestServers;
use serde_json::Value;

use super::sources::root;

#[test]
fn every_prepared_query_still_fits_the_schema() {
    let directory = root().join(".sqlx");
    let Ok(files) = fs::read_dir(&directory) else {
        return;
    };
    let mut script = String::new();
    for (index, file) in files.map(Result::unwrap).enumerate() {
        let data: Value = serde_json::from_str(&fs::read_to_string(file.path()).unwrap()).unwrap();
        let query = data["query"].as_str().unwrap();
        script.push_str(&format!("prepare query_{index} as {query}\n;\n"));
    }
    let path = std::env::temp_dir().join(format!("showrunner-queries-{}.sql", std::process::id()));
    fs::write(&path, script).unwrap();
    let servers = TestServers::shared();
    let url = servers.database(&root().join("migrations")).unwrap();
    let name = url.split('?').next().and_then(|url| url.rsplit('/').next()).unwrap();
    let result = servers.postgres().psql(name, &["-f", &path.display().to_string()]);
    fs::remove_file(&path).unwrap();
    result.expect("a migration changed what a query needs: run `make sqlx`");
}
