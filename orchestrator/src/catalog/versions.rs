//! Adding versions, choosing the active one, looking at them.

use super::{ActivateError, Applied, ApplyError, Catalog, Known};
use crate::{
    acts::{DoneAct, record_in_tx},
    definition::{Definition, Mistake},
    saga::State,
};
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::json;
use sqlx::PgConnection;
use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    sync::Arc,
};

/// Who brought what no person has applied.
const BINARY: &str = "showrunner";

/// Who changes the catalogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Author<'a> {
    /// The person.
    pub name: &'a str,
    /// From where, if over a network.
    pub address: Option<IpAddr>,
}

impl<'a> From<&'a str> for Author<'a> {
    fn from(name: &'a str) -> Self {
        Self { name, address: None }
    }
}

/// A definition and its versions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// What new sagas use, if anything yet.
    pub active: Option<ActiveVersion>,
    /// All versions, oldest first.
    pub versions: Vec<Version>,
}

/// The version that new sagas use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ActiveVersion {
    /// The version.
    pub version: i32,
    /// The person who chose it; nobody when a binary brought it along.
    pub chosen_by: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// Since when.
    pub activated_at: DateTime<Utc>,
}

/// One version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Version {
    /// Its number.
    pub version: i32,
    /// See [`Definition::digest`].
    pub digest: String,
    /// When it came here.
    pub created_at: DateTime<Utc>,
    /// Who or what brought it.
    pub created_by: String,
    /// How many sagas that are not finished run on it, by state; those that have none are left out.
    pub live: BTreeMap<String, i64>,
}

impl Catalog {
    /// Makes a document a version, unless one says the same already. It becomes active by
    /// [`Catalog::activate`] alone.
    ///
    /// # Errors
    /// [`ApplyError::Invalid`] with every mistake.
    pub async fn apply(&self, yaml: &str, by: impl Into<Author<'_>>) -> Result<Applied, ApplyError> {
        let by = by.into();
        let definition = Definition::read(yaml, self.registry()).map_err(ApplyError::Invalid)?;
        let mut tx = self.0.store.pool().begin().await?;
        let applied = add(&mut tx, &definition, yaml, by.name).await?;
        if applied.new {
            let reason = format!("digest {}", applied.digest);
            record_act(&mut tx, by, "definition.apply", &applied.name, applied.version, &reason).await?;
        }
        tx.commit().await?;
        Ok(applied)
    }

    /// As [`Catalog::apply`], for a document that must be called `name`.
    ///
    /// # Errors
    /// [`ApplyError::Invalid`], also when it is called otherwise.
    pub async fn apply_as(&self, name: &str, yaml: &str, by: impl Into<Author<'_>>) -> Result<Applied, ApplyError> {
        let definition = Definition::read(yaml, self.registry()).map_err(ApplyError::Invalid)?;
        if definition.saga != name {
            let line = yaml.lines().position(|line| line.trim_start().starts_with("saga")).map_or(1, |index| index + 1);
            let message = format!("the saga is called `{}`, but `{name}` was to be changed", definition.saga);
            return Err(ApplyError::Invalid(vec![Mistake { line, message }]));
        }
        self.apply(yaml, by).await
    }

    /// Adds the documents (file and text) that a binary brings along, and makes what is newer than the active
    /// version active unless a person has chosen that one. All are read before anything is written.
    ///
    /// # Errors
    /// [`ApplyError::InvalidFile`] for the first document with mistakes.
    pub async fn bring_along(&self, documents: &[(&str, &str)]) -> Result<(), ApplyError> {
        let mut definitions = Vec::with_capacity(documents.len());
        for (file, yaml) in documents {
            let definition = Definition::read(yaml, self.registry())
                .map_err(|mistakes| ApplyError::InvalidFile { file: (*file).to_owned(), mistakes })?;
            definitions.push((definition, *yaml));
        }
        for (definition, yaml) in &definitions {
            let mut tx = self.0.store.pool().begin().await?;
            let applied = add(&mut tx, definition, yaml, BINARY).await?;
            let activated = activate_brought(&mut tx, &applied).await?;
            tx.commit().await?;
            self.forget_active(&applied.name);
            if activated {
                tracing::info!(
                    definition.name = applied.name,
                    definition.version = applied.version,
                    "definition {} is now at version {}",
                    applied.name,
                    applied.version
                );
            }
        }
        Ok(())
    }

    /// Makes a version the one that new sagas use, by a person's choice.
    ///
    /// # Errors
    /// [`ActivateError`] when there is no such version, or what it names is not registered here.
    pub async fn activate(
        &self,
        name: &str,
        version: i32,
        by: impl Into<Author<'_>>,
        reason: &str,
    ) -> Result<(), ActivateError> {
        self.can_activate(name, version).await?;
        let mut tx = self.0.store.pool().begin().await?;
        activate_in_tx(&mut tx, name, version, by.into(), reason).await?;
        tx.commit().await?;
        self.forget_active(name);
        Ok(())
    }

    /// Whether this version could be the one that new sagas use here.
    ///
    /// # Errors
    /// As [`Catalog::activate`].
    pub async fn can_activate(&self, name: &str, version: i32) -> Result<Arc<Known>, ActivateError> {
        let unknown = || ActivateError::Unknown { name: name.to_owned(), version };
        let known = self.get(name, version).await?.ok_or_else(unknown)?;
        match Definition::read(&known.source, self.registry()) {
            Ok(_) => Ok(known),
            Err(mistakes) => Err(ActivateError::Invalid { name: name.to_owned(), version, mistakes }),
        }
    }

    /// The version that new sagas use, and the one that they used before it.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn active_and_before(&self, name: &str) -> Result<(Option<i32>, Option<i32>), sqlx::Error> {
        let row = sqlx::query!("select version, version_before from engine.active_definitions where name = $1", name)
            .fetch_optional(self.0.store.pool())
            .await?;
        Ok(row.map_or((None, None), |row| (Some(row.version), row.version_before)))
    }

    /// Every definition with its versions, by name.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list(&self) -> Result<Vec<Listed>, sqlx::Error> {
        let mut live = self.live().await?;
        let rows = sqlx::query!(
            r#"select d.name, d.version, d.digest, d.created_at, d.created_by,
                      a.version as "active?", a.chosen_by, a.reason, a.activated_at as "activated_at?"
               from engine.definitions d left join engine.active_definitions a using (name)
               order by d.name, d.version"#
        )
        .fetch_all(self.0.store.pool())
        .await?;
        let mut listed: Vec<Listed> = Vec::new();
        for row in rows {
            let version = Version {
                live: live.remove(&(row.name.clone(), row.version)).unwrap_or_default(),
                version: row.version,
                digest: row.digest,
                created_at: row.created_at,
                created_by: row.created_by,
            };
            match listed.last_mut().filter(|last| last.name == row.name) {
                Some(last) => last.versions.push(version),
                None => {
                    let active = row.active.zip(row.activated_at).map(|(version, activated_at)| ActiveVersion {
                        version,
                        chosen_by: row.chosen_by,
                        reason: row.reason,
                        activated_at,
                    });
                    listed.push(Listed { name: row.name, active, versions: vec![version] });
                }
            }
        }
        Ok(listed)
    }

    /// A definition with its versions.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn versions(&self, name: &str) -> Result<Option<Listed>, sqlx::Error> {
        Ok(self.list().await?.into_iter().find(|listed| listed.name == name))
    }

    /// How many sagas that are not finished run on each version, by state.
    async fn live(&self) -> Result<HashMap<(String, i32), BTreeMap<String, i64>>, sqlx::Error> {
        let live = State::ALL.into_iter().filter(|state| !state.is_finished()).map(|state| state.as_str().to_owned());
        let rows = sqlx::query!(
            r#"select definition, version, state, count(*) as "sagas!" from engine.sagas
               where state = any($1) and state <> 'completed' group by definition, version, state"#,
            &live.collect::<Vec<_>>()
        )
        .fetch_all(self.0.store.pool())
        .await?;
        let mut counts = HashMap::<_, BTreeMap<_, _>>::new();
        for row in rows {
            counts.entry((row.definition, row.version)).or_default().insert(row.state, row.sagas);
        }
        Ok(counts)
    }

    /// A version; without a number the active one, or the newest where none is active yet.
    ///
    /// # Errors
    /// As [`Catalog::get`].
    pub async fn show(&self, name: &str, version: Option<i32>) -> Result<Option<Arc<Known>>, sqlx::Error> {
        if let Some(version) = version {
            return self.get(name, version).await;
        }
        let chosen = sqlx::query_scalar!(
            r#"select coalesce((select version from engine.active_definitions where name = $1),
                               (select max(version) from engine.definitions where name = $1)) as version"#,
            name
        )
        .fetch_one(self.0.store.pool())
        .await?;
        match chosen {
            Some(version) => self.get(name, version).await,
            None => Ok(None),
        }
    }

    /// What changed from one version to another, as a unified diff of what people wrote; nothing when there is
    /// no such version.
    ///
    /// # Errors
    /// As [`Catalog::get`].
    pub async fn diff(&self, name: &str, from: i32, to: i32) -> Result<Option<String>, sqlx::Error> {
        let (Some(old), Some(new)) = (self.get(name, from).await?, self.get(name, to).await?) else { return Ok(None) };
        let diff = similar::TextDiff::from_lines(&old.source, &new.source);
        let header = |version: i32| format!("{name}/{version}");
        Ok(Some(diff.unified_diff().header(&header(from), &header(to)).to_string()))
    }
}

/// Finds the version that says the same, or adds one. Whoever else adds one of this name waits for the
/// transaction's end.
async fn add(tx: &mut PgConnection, definition: &Definition, source: &str, by: &str) -> Result<Applied, sqlx::Error> {
    let encode = |error: serde_json::Error| sqlx::Error::Encode(Box::new(error));
    let digest = definition.digest().map_err(encode)?;
    let document = serde_json::to_value(definition).map_err(encode)?;
    let name = &definition.saga;
    sqlx::query!("select pg_advisory_xact_lock(hashtextextended('engine.definitions:' || $1, 0))", name)
        .execute(&mut *tx)
        .await?;
    let known =
        sqlx::query_scalar!("select version from engine.definitions where name = $1 and digest = $2", name, digest)
            .fetch_optional(&mut *tx)
            .await?;
    if let Some(version) = known {
        return Ok(Applied { name: name.clone(), version, digest, new: false });
    }
    let version = sqlx::query_scalar!(
        "insert into engine.definitions (name, version, document, source, digest, created_by)
         select $1, coalesce(max(version), 0) + 1, $2, $3, $4, $5 from engine.definitions where name = $1
         returning version",
        name,
        document,
        source,
        digest,
        by
    )
    .fetch_one(&mut *tx)
    .await?;
    Ok(Applied { name: name.clone(), version, digest, new: true })
}

/// The version that new sagas use; nobody changes it until the transaction is over.
///
/// # Errors
/// The database's.
pub async fn active_in_tx(tx: &mut PgConnection, name: &str) -> Result<Option<i32>, sqlx::Error> {
    sqlx::query_scalar!("select version from engine.active_definitions where name = $1 for update", name)
        .fetch_optional(tx)
        .await
}

/// As [`Catalog::activate`], in the caller's transaction, of what [`Catalog::can_activate`]. A caller that has committed
/// calls [`Catalog::forget_active`].
///
/// # Errors
/// The database's.
pub async fn activate_in_tx(
    tx: &mut PgConnection,
    name: &str,
    version: i32,
    by: Author<'_>,
    reason: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into engine.active_definitions as active (name, version, chosen_by, reason) values ($1, $2, $3, $4)
         on conflict (name) do update
         set version = excluded.version, chosen_by = excluded.chosen_by, reason = excluded.reason, activated_at = now(),
             version_before =
                 case when active.version = excluded.version then active.version_before else active.version end",
        name,
        version,
        by.name,
        reason
    )
    .execute(&mut *tx)
    .await?;
    record_act(tx, by, "definition.activate", name, version, reason).await
}

/// Only a version that is newer becomes active: where two releases run side by side, the one that starts last
/// does not take the other's definition away.
async fn activate_brought(tx: &mut PgConnection, applied: &Applied) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "insert into engine.active_definitions as active (name, version) values ($1, $2)
         on conflict (name) do update
         set version = excluded.version, activated_at = now(), version_before = active.version
         where active.chosen_by is null and active.version < excluded.version",
        applied.name,
        applied.version
    )
    .execute(&mut *tx)
    .await?;
    Ok(done.rows_affected() > 0)
}

async fn record_act(
    tx: &mut PgConnection,
    by: Author<'_>,
    act: &str,
    name: &str,
    version: i32,
    reason: &str,
) -> Result<(), sqlx::Error> {
    let object = format!("{name}/{version}");
    let detail = json!({ "definition": name, "version": version });
    record_in_tx(tx, &DoneAct { by, act, object: &object, reason, detail }).await
}
