//! Bearer tokens: who calls, and as what. Only a token's hash is stored; its secret is shown once.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use orchestrator::{
    acts::{DoneAct, record_in_tx},
    ids::{Uuid, fresh_uuid},
};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};
use sqlx::PgPool;
use std::{
    collections::HashMap,
    fmt,
    str::FromStr,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// What a secret begins with, so that people and scanners recognise one.
const SECRET_PREFIX: &str = "srt_";
/// How long a found token is believed without asking again: the longest that a revoked one still works.
const CACHE_SECS: u64 = 3;
/// How many tokens are remembered at most.
const CACHED_MAX: usize = 10_000;
/// The longest text that is looked at as a secret.
const SECRET_BYTES_MAX: usize = 128;

/// What the holder of a token may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Books.
    Client,
    /// Reads sagas, without payloads.
    Viewer,
    /// Repairs sagas.
    Operator,
    /// Refunds and reconciles.
    Finance,
    /// Everything.
    Admin,
}

/// A text that names no role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a role: client, viewer, operator, finance, admin")]
pub struct NotARole(pub String);

impl Role {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Client, Self::Viewer, Self::Operator, Self::Finance, Self::Admin];

    /// Whether a holder of this role may do what `wanted` may.
    #[must_use]
    pub fn includes(self, wanted: Self) -> bool {
        match self {
            Self::Admin => true,
            Self::Operator | Self::Finance => wanted == self || wanted == Self::Viewer,
            Self::Client | Self::Viewer => wanted == self,
        }
    }

    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Finance => "finance",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = NotARole;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|role| role.as_str() == text).ok_or_else(|| NotARole(text.to_owned()))
    }
}

/// Who calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The token that proves it.
    pub token_id: Uuid,
    /// The person or program that the token was made for.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// The one user that it acts for; none: a trusted back end that acts for any.
    pub user: Option<String>,
}

impl Principal {
    /// Whose idempotency keys these are: the user's, or the trusted token's own.
    #[must_use]
    pub fn key_owner(&self) -> String {
        match &self.user {
            Some(user) => format!("user:{user}"),
            None => format!("token:{}", self.token_id.simple()),
        }
    }

    /// Whether it may see and touch what belongs to `user`.
    #[must_use]
    pub fn acts_for(&self, user: &str) -> bool {
        self.user.as_deref().is_none_or(|own| own == user)
    }
}

/// A token could not be made.
#[derive(Debug, thiserror::Error)]
pub enum CreateTokenError {
    /// Only clients act for one user.
    #[error("only a token with the role client can be bound to a user, not {0}")]
    UserWithoutClient(Role),
    /// A name is what the record of acts shows.
    #[error("a token needs a name, at most 200 characters long")]
    Name,
    /// The database.
    #[error("storing the access token `{name}`")]
    Database {
        /// The token's name.
        name: String,
        /// Why.
        #[source]
        source: sqlx::Error,
    },
}

/// Makes a token and answers its secret, which is stored nowhere.
///
/// # Errors
/// See [`CreateTokenError`].
pub async fn create_token(
    pool: &PgPool,
    role: Role,
    name: &str,
    user: Option<&str>,
    by: &str,
) -> Result<SecretString, CreateTokenError> {
    if user.is_some() && role != Role::Client {
        return Err(CreateTokenError::UserWithoutClient(role));
    }
    if name.trim().is_empty() || name.chars().count() > 200 {
        return Err(CreateTokenError::Name);
    }
    let secret = format!("{SECRET_PREFIX}{}", URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>()));
    let token_hash = hash(&secret);
    let database = |source| CreateTokenError::Database { name: name.to_owned(), source };
    let token_id = fresh_uuid();
    let mut tx = pool.begin().await.map_err(database)?;
    sqlx::query!(
        "insert into booking.access_tokens (token_id, token_hash, role, name, user_id) values ($1, $2, $3, $4, $5)",
        token_id,
        token_hash.as_slice(),
        role.as_str(),
        name,
        user,
    )
    .execute(&mut *tx)
    .await
    .map_err(database)?;
    let detail = json!({ "tokenId": token_id, "role": role, "user": user });
    record_in_tx(&mut tx, &DoneAct { by: by.into(), act: "token.create", object: name, reason: "", detail })
        .await
        .map_err(database)?;
    tx.commit().await.map_err(database)?;
    Ok(SecretString::from(secret))
}

/// Ends every live token with this name and answers how many there were. They stop within seconds.
///
/// # Errors
/// The database's.
pub async fn revoke_tokens(pool: &PgPool, name: &str, by: &str) -> Result<u64, sqlx::Error> {
    let mut tx = pool.begin().await?;
    let done = sqlx::query!(
        "update booking.access_tokens set revoked_at = now() where name = $1 and revoked_at is null",
        name
    )
    .execute(&mut *tx)
    .await?;
    let ended = done.rows_affected();
    if ended > 0 {
        let detail = json!({ "ended": ended });
        record_in_tx(&mut tx, &DoneAct { by: by.into(), act: "token.revoke", object: name, reason: "", detail })
            .await?;
    }
    tx.commit().await?;
    Ok(ended)
}

/// Finds who a secret belongs to, and remembers it for a few seconds.
#[derive(Debug)]
pub struct AccessTokens {
    pool: PgPool,
    known: Mutex<HashMap<[u8; 32], Known>>,
}

#[derive(Debug, Clone)]
struct Known {
    principal: Principal,
    asked_at: Instant,
}

impl AccessTokens {
    /// Over this database.
    #[must_use]
    pub fn new(pool: PgPool) -> Self {
        Self { pool, known: Mutex::default() }
    }

    /// Who this secret belongs to; `None` when nobody, or not any more.
    ///
    /// # Errors
    /// The database's.
    pub async fn find(&self, secret: &str) -> Result<Option<Principal>, sqlx::Error> {
        if !secret.starts_with(SECRET_PREFIX) || secret.len() > SECRET_BYTES_MAX {
            return Ok(None);
        }
        let hash = hash(secret);
        if let Some(principal) = self.remembered(&hash) {
            return Ok(Some(principal));
        }
        let asked = self.ask(&hash).await;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        match &asked {
            Ok(Some(principal)) => {
                if known.len() >= CACHED_MAX {
                    known.clear();
                }
                known.insert(hash, Known { principal: principal.clone(), asked_at: Instant::now() });
            }
            Ok(None) | Err(_) => {
                known.remove(&hash);
            }
        }
        asked
    }

    /// What is remembered and young. The first who finds it old goes and asks, and lets the others believe it
    /// meanwhile: a thousand callers with one token ask once.
    fn remembered(&self, hash: &[u8; 32]) -> Option<Principal> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let found = known.get_mut(hash)?;
        if found.asked_at.elapsed() < Duration::from_secs(CACHE_SECS) {
            return Some(found.principal.clone());
        }
        found.asked_at = Instant::now();
        None
    }

    async fn ask(&self, hash: &[u8; 32]) -> Result<Option<Principal>, sqlx::Error> {
        let row = sqlx::query!(
            "select token_id, role, name, user_id from booking.access_tokens
             where token_hash = $1 and revoked_at is null",
            hash.as_slice()
        )
        .fetch_optional(&self.pool)
        .await?;
        row.map(|row| {
            let role = row.role.parse().map_err(|error: NotARole| sqlx::Error::Decode(error.into()))?;
            Ok(Principal { token_id: row.token_id, name: row.name, role, user: row.user_id })
        })
        .transpose()
    }
}

fn hash(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_include_what_the_contract_says() {
        for role in Role::ALL {
            assert!(role.includes(role));
            assert!(Role::Admin.includes(role));
            assert_eq!(role.as_str().parse(), Ok(role));
        }
        assert!(Role::Operator.includes(Role::Viewer) && Role::Finance.includes(Role::Viewer));
        assert!(!Role::Operator.includes(Role::Finance) && !Role::Finance.includes(Role::Operator));
        assert!(!Role::Viewer.includes(Role::Client) && !Role::Client.includes(Role::Viewer));
        assert!(!Role::Operator.includes(Role::Client));
    }

    #[test]
    fn a_bound_token_acts_for_its_user_alone() {
        let bound = Principal {
            token_id: Uuid::nil(),
            name: "shop".to_owned(),
            role: Role::Client,
            user: Some("u1".to_owned()),
        };
        assert!(bound.acts_for("u1") && !bound.acts_for("u2"));
        assert_eq!(bound.key_owner(), "user:u1");
        let trusted = Principal { user: None, ..bound };
        assert!(trusted.acts_for("u1") && trusted.acts_for("u2"));
        assert!(trusted.key_owner().starts_with("token:"));
    }
}
