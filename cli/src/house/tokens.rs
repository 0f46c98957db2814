//! One token per role, kept beside the data so that the next start prints the same ones.

use std::{collections::BTreeMap, io::Write, os::unix::fs::OpenOptionsExt, path::Path};

use anyhow::Context;
use secrecy::{ExposeSecret, SecretString};
use sqlx::PgPool;
use workflows::access::{AccessTokens, Role, create_token};

/// The file in the data directory.
const FILE: &str = "dev-tokens.json";

/// A token for every role.
pub(crate) struct Tokens(BTreeMap<&'static str, SecretString>);

impl Tokens {
    /// Those that were made before, as far as the database knows them; new ones for the others.
    pub(crate) async fn in_dir(dir: &Path, pool: &PgPool) -> anyhow::Result<Self> {
        let file = dir.join(FILE);
        let known: BTreeMap<String, String> = match std::fs::read(&file) {
            Ok(text) => serde_json::from_slice(&text).unwrap_or_default(),
            Err(_) => BTreeMap::new(),
        };
        let access = AccessTokens::new(pool.clone());
        let mut tokens = BTreeMap::new();
        for role in Role::ALL {
            let name = role.as_str();
            let token = match known.get(name) {
                Some(secret) if access.find(secret).await?.is_some() => SecretString::from(secret.as_str()),
                _ => create_token(pool, role, &format!("dev-{name}"), None, "showrunner dev").await?,
            };
            tokens.insert(name, token);
        }
        let tokens = Self(tokens);
        tokens.keep(&file).with_context(|| format!("writing {}", file.display()))?;
        Ok(tokens)
    }

    /// For nobody else's eyes.
    fn keep(&self, file: &Path) -> anyhow::Result<()> {
        let plain: BTreeMap<_, _> = self.iter().map(|(role, token)| (role, token.expose_secret())).collect();
        let text = serde_json::to_vec_pretty(&plain)?;
        let mut opened = std::fs::OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(file)?;
        Ok(opened.write_all(&text)?)
    }

    /// The token of a role.
    pub(crate) fn of(&self, role: Role) -> anyhow::Result<&SecretString> {
        self.0.get(role.as_str()).with_context(|| format!("there is no token for {role}"))
    }

    /// All of them, by role.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'static str, &SecretString)> {
        self.0.iter().map(|(role, token)| (*role, token))
    }
}
