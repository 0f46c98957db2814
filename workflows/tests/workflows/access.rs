//! Tokens in a database.

use private_servers::TestServers;
use secrecy::ExposeSecret;
use sqlx::PgPool;
use std::{
    path::Path,
    time::{Duration, Instant},
};
use workflows::access::{AccessTokens, CreateTokenError, Role, create_token, revoke_tokens};

async fn database() -> PgPool {
    let migrations = Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations");
    orchestrator::db::connect(&TestServers::shared().database(&migrations).unwrap(), 4).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_found_by_its_secret_until_it_is_revoked() {
    let pool = database().await;
    let tokens = AccessTokens::new(pool.clone());
    let secret = create_token(&pool, Role::Client, "shop", Some("ann"), "a test").await.unwrap();
    let found = tokens.find(secret.expose_secret()).await.unwrap().unwrap();
    assert_eq!((found.name.as_str(), found.role, found.user.as_deref()), ("shop", Role::Client, Some("ann")));
    for wrong in ["", "srt_", "srt_nothing", &secret.expose_secret()[4..], &"srt_x".repeat(1_000)] {
        assert_eq!(tokens.find(wrong).await.unwrap(), None);
    }
    assert_eq!(revoke_tokens(&pool, "shop", "a test").await.unwrap(), 1);
    assert_eq!(AccessTokens::new(pool).find(secret.expose_secret()).await.unwrap(), None);
    let began = Instant::now();
    while tokens.find(secret.expose_secret()).await.unwrap().is_some() {
        assert!(began.elapsed() < Duration::from_secs(20), "it works for ever");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_clients_act_for_one_user_and_nothing_is_stored_of_the_secret() {
    let pool = database().await;
    let bound = create_token(&pool, Role::Operator, "eve", Some("ann"), "a test").await;
    assert!(matches!(bound, Err(CreateTokenError::UserWithoutClient(Role::Operator))));
    assert!(matches!(create_token(&pool, Role::Viewer, " ", None, "a test").await, Err(CreateTokenError::Name)));
    let secret = create_token(&pool, Role::Admin, "root", None, "a test").await.unwrap();
    let stored: String =
        sqlx::query_scalar("select access_tokens::text from booking.access_tokens").fetch_one(&pool).await.unwrap();
    assert!(!stored.contains(&secret.expose_secret()[4..]));
}
