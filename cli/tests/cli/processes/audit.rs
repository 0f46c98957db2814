//! The record of acts is sealed by workers, its head is kept outside the database, and `audit verify` says what is wrong.

use super::{until, world::World};
use serde_json::Value;
use sqlx::{Connection, PgConnection};

/// What `audit verify` says of the record: its exit status, and what it prints.
fn verify(world: &World, head: &str) -> (i32, Value, String) {
    let variables = [("SHOWRUNNER_SECURITY__AUDIT_HEAD_FILE", head)];
    let output = world.command(&variables).args(["audit", "verify", "--json"]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    (output.status.code().unwrap(), serde_json::from_slice(&output.stdout).unwrap_or_default(), said)
}

async fn sealed(world: &World, head: &str, number: i64) {
    until("acts are sealed and their head is kept", async || {
        let (status, found, said) = verify(world, head);
        // before the first head is written
        assert!(status == 0 || said.contains("no head is kept"), "{status} {found} {said}");
        (found["sealed"] == number && found["kept"] == number).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_whose_tail_is_cut_off_is_not_taken_for_the_whole() {
    let world = World::new().await;
    let head = world.file("audit-head").to_string_lossy().into_owned();
    let variables = [("SHOWRUNNER_SECURITY__AUDIT_HEAD_FILE", head.as_str())];
    let mut worker = world.worker("worker", &variables).await;
    // the tokens of the world, and the definitions that the worker has brought along
    let mut database = PgConnection::connect(&world.database_url()).await.unwrap();
    let acts: i64 = sqlx::query_scalar("select count(*) from engine.acts").fetch_one(&mut database).await.unwrap();
    assert!(acts >= 2);
    sealed(&world, &head, acts).await;
    world.new_token("viewer", "victor");
    sealed(&world, &head, acts + 1).await;

    // by somebody who owns the database
    let cut = format!(
        "begin; set local session_replication_role = replica;
         delete from engine.acts where object = 'victor'; delete from engine.act_seals where number > {acts}; commit"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(cut)).execute(&mut database).await.unwrap();
    worker.says("The head of the audit log is not kept any more").await;
    let (status, found, said) = verify(&world, &head);
    let shown = (&found["intact"], &found["sealed"], &found["brokenAt"], &found["kept"]);
    let whole = Value::from(acts + 1);
    assert_eq!((status, shown), (1, (&Value::Bool(false), &Value::from(acts), &whole, &whole)), "{said}");
    assert!(said.contains("its tail is cut off"), "{said}");

    // nor is the file believed that somebody else has written
    std::fs::write(&head, "SRA1.0000.e30.AAAA").unwrap();
    let (status, _, said) = verify(&world, &head);
    assert_eq!(status, 1);
    assert!(said.contains("is not one that our keys have signed"), "{said}");

    // nor is it enough that there is none; who keeps one begins anew then, and is away
    worker.kill();
    std::fs::remove_file(&head).unwrap();
    let (status, found, said) = verify(&world, &head);
    assert_eq!((status, &found["intact"]), (1, &Value::Bool(false)), "{said}");
    assert!(said.contains("no head is kept"), "{said}");
}
