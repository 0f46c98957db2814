//! Lists of sagas, from the projection that is written with every move.

use crate::{engine::Engine, ids::SagaId, journal::Moment, saga::State};
use serde_json::{Value, json};
use sqlx::PgConnection;
use std::collections::BTreeMap;

/// What lists show of a saga.
#[derive(Debug, Clone, PartialEq)]
pub struct Listed {
    /// Which.
    pub saga_id: SagaId,
    /// What it runs.
    pub definition: String,
    /// At which version.
    pub version: i32,
    /// Where it stands.
    pub state: State,
    /// The step it stands at.
    pub step: Option<String>,
    /// Its last entry.
    pub seq: i64,
    /// Whose turn it is: worker, gateway, timer, signal, person, nothing.
    pub waiting_on: String,
    /// For what, in words.
    pub wait_reason: Option<String>,
    /// The code of the failure that made it stuck or compensate.
    pub failure_code: Option<String>,
    /// What lists filter by.
    pub tags: BTreeMap<String, String>,
    /// When it was started.
    pub created_at: Moment,
    /// When it last moved.
    pub updated_at: Moment,
    /// When it ended.
    pub finished_at: Option<Moment>,
    /// Until when its pivot must be done.
    pub deadline_at: Option<Moment>,
}

/// Which sagas to list. Members that are none let all through.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Filter {
    /// By definition.
    pub definition: Option<String>,
    /// By state.
    pub state: Option<State>,
    /// By the step they stand at.
    pub step: Option<String>,
    /// By tags, all of them.
    pub tags: BTreeMap<String, String>,
    /// Started at or after.
    pub from: Option<Moment>,
    /// Started before.
    pub to: Option<Moment>,
    /// Only what a search has found.
    pub search: Option<Search>,
}

/// What a search box asks for.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Search {
    /// These sagas: found elsewhere, by what only others know of them.
    pub sagas: Vec<SagaId>,
    /// And those that have any of these tags.
    pub tags: Vec<(String, String)>,
}

/// Where the next page begins: behind this saga.
pub type Cursor = SagaId;

/// A page, newest first.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// The sagas.
    pub items: Vec<Listed>,
    /// Behind which saga the next page begins, if there is one.
    pub next: Option<Cursor>,
}

/// A row of `engine.sagas`.
struct Row {
    saga_id: uuid::Uuid,
    definition: String,
    version: i32,
    state: String,
    step: Option<String>,
    seq: i64,
    waiting_on: String,
    wait_reason: Option<String>,
    failure_code: Option<String>,
    tags: Value,
    created_at: Moment,
    updated_at: Moment,
    finished_at: Option<Moment>,
    deadline_at: Option<Moment>,
}

impl TryFrom<Row> for Listed {
    type Error = sqlx::Error;

    fn try_from(row: Row) -> Result<Self, sqlx::Error> {
        let impossible = |column: &str| {
            sqlx::Error::Decode(format!("engine.sagas {}: column {column} does not read", row.saga_id).into())
        };
        let state = State::from_name(&row.state).ok_or_else(|| impossible("state"))?;
        let tags = serde_json::from_value(row.tags).map_err(|_| impossible("tags"))?;
        Ok(Self {
            saga_id: SagaId(row.saga_id),
            definition: row.definition,
            version: row.version,
            state,
            step: row.step,
            seq: row.seq,
            waiting_on: row.waiting_on,
            wait_reason: row.wait_reason,
            failure_code: row.failure_code,
            tags,
            created_at: row.created_at,
            updated_at: row.updated_at,
            finished_at: row.finished_at,
            deadline_at: row.deadline_at,
        })
    }
}

impl Engine {
    /// Sagas by filter, newest first.
    ///
    /// # Errors
    /// The database's.
    pub async fn sagas(&self, filter: &Filter, after: Option<Cursor>, limit: u16) -> Result<Page, sqlx::Error> {
        let one_more = i64::from(limit) + 1;
        let rows = match &filter.search {
            None => self.all(filter, after, one_more).await?,
            Some(search) => self.found(search, filter, after, one_more).await?,
        };
        let mut items = rows.into_iter().map(Listed::try_from).collect::<Result<Vec<_>, _>>()?;
        let more = items.len() > usize::from(limit);
        items.truncate(usize::from(limit));
        let next = if more { items.last().map(|last| last.saga_id) } else { None };
        Ok(Page { items, next })
    }

    async fn all(&self, filter: &Filter, after: Option<Cursor>, limit: i64) -> Result<Vec<Row>, sqlx::Error> {
        sqlx::query_as!(
            Row,
            "select saga_id, definition, version, state, step, seq, waiting_on, wait_reason, failure_code, tags,
                    created_at, updated_at, finished_at, deadline_at
             from engine.sagas
             where ($1::text is null or definition = $1)
               and ($2::text is null or state = $2)
               and ($3::text is null or step = $3)
               and ($4::jsonb = '{}' or tags @> $4)
               and ($5::timestamptz is null or created_at >= $5)
               and ($6::timestamptz is null or created_at < $6)
               and ($7::uuid is null or saga_id < $7)
             order by saga_id desc
             limit $8",
            filter.definition,
            filter.state.map(State::as_str),
            filter.step,
            json!(filter.tags),
            filter.from,
            filter.to,
            after.map(|cursor| cursor.0),
            limit,
        )
        .fetch_all(self.pool())
        .await
    }

    async fn found(
        &self,
        search: &Search,
        filter: &Filter,
        after: Option<Cursor>,
        limit: i64,
    ) -> Result<Vec<Row>, sqlx::Error> {
        let sagas: Vec<_> = search.sagas.iter().map(|saga_id| saga_id.0).collect();
        let tags: Vec<_> = search.tags.iter().map(|(name, value)| json!({ name: value })).collect();
        sqlx::query_as!(
            Row,
            "select saga_id, definition, version, state, step, seq, waiting_on, wait_reason, failure_code, tags,
                    created_at, updated_at, finished_at, deadline_at
             from engine.sagas
             -- by the indexes, whatever the planner expects: what is searched for is rare, and the history is long
             where saga_id = any(array(
                     select unnest($8::uuid[])
                     union all
                     select tagged.saga_id
                     from unnest($9::jsonb[]) as wanted (tag)
                     cross join lateral (select saga_id from engine.sagas where tags @> wanted.tag) tagged))
               and ($1::text is null or definition = $1)
               and ($2::text is null or state = $2)
               and ($3::text is null or step = $3)
               and ($4::jsonb = '{}' or tags @> $4)
               and ($5::timestamptz is null or created_at >= $5)
               and ($6::timestamptz is null or created_at < $6)
               and ($7::uuid is null or saga_id < $7)
             order by saga_id desc
             limit $10",
            filter.definition,
            filter.state.map(State::as_str),
            filter.step,
            json!(filter.tags),
            filter.from,
            filter.to,
            after.map(|cursor| cursor.0),
            &sagas,
            &tags,
            limit,
        )
        .fetch_all(self.pool())
        .await
    }

    /// Invariants that do not hold: the name, what it is about, and what is wrong. Empty when all is well.
    ///
    /// # Errors
    /// The database's.
    pub async fn violations(&self) -> Result<Vec<(String, String, String)>, sqlx::Error> {
        let rows = sqlx::query!(
            r#"select invariant as "invariant!", subject as "subject!", detail as "detail!"
               from engine.violations limit 1000"#
        )
        .fetch_all(self.pool())
        .await?;
        Ok(rows.into_iter().map(|row| (row.invariant, row.subject, row.detail)).collect())
    }
}

/// One saga's row.
pub(super) async fn one(connection: &mut PgConnection, saga_id: SagaId) -> Result<Option<Listed>, sqlx::Error> {
    sqlx::query_as!(
        Row,
        "select saga_id, definition, version, state, step, seq, waiting_on, wait_reason, failure_code, tags,
                created_at, updated_at, finished_at, deadline_at
         from engine.sagas where saga_id = $1",
        saga_id.0
    )
    .fetch_optional(connection)
    .await?
    .map(Listed::try_from)
    .transpose()
}
