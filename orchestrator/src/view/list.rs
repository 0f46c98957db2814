//! Lists of sagas, from the projection that is written with every move.

use crate::{
    engine::Engine,
    ids::{CaseId, SagaId, Uuid},
    journal::Moment,
    saga::State,
};
use chrono::TimeDelta;
use serde_json::{Value, json};
use sqlx::{PgConnection, Postgres, QueryBuilder};
use std::{collections::BTreeMap, time::Duration};

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
    /// Only what is in this case, or shows it.
    pub case: Option<CaseId>,
}

/// What a search box asks for.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Search {
    /// These sagas: found elsewhere, by what only others know of them.
    pub sagas: Vec<SagaId>,
    /// And those that have any of these tags.
    pub tags: Vec<(String, String)>,
}

/// By how much the clock that made an id may differ from the database's.
const CLOCKS_DIFFER: TimeDelta = TimeDelta::days(1);

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
#[derive(sqlx::FromRow)]
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
        let mut query = select(filter, after, i64::from(limit) + 1);
        let rows: Vec<Row> = query.build_query_as().fetch_all(self.pool()).await?;
        let mut items = rows.into_iter().map(Listed::try_from).collect::<Result<Vec<_>, _>>()?;
        let more = items.len() > usize::from(limit);
        items.truncate(usize::from(limit));
        let next = if more { items.last().map(|last| last.saga_id) } else { None };
        Ok(Page { items, next })
    }

    /// Invariants that do not hold: the name, what it is about, and what is wrong. Empty when all is well.
    ///
    /// # Errors
    /// The database's.
    pub async fn violations(&self) -> Result<Vec<(String, String, String)>, sqlx::Error> {
        self.violated(None).await
    }

    /// Those of all live sagas, and of the history of sagas that were started within `age`: what it costs does not grow
    /// with the history.
    ///
    /// # Errors
    /// The database's.
    pub async fn recent_violations(&self, age: Duration) -> Result<Vec<(String, String, String)>, sqlx::Error> {
        self.violated(Some(age)).await
    }

    async fn violated(&self, age: Option<Duration>) -> Result<Vec<(String, String, String)>, sqlx::Error> {
        let rows = sqlx::query!(
            r#"select invariant as "invariant!", subject as "subject!", detail as "detail!"
               from engine.violations_since(coalesce(engine.uuid_at(now() - make_interval(secs => $1)),
                                                     '00000000-0000-0000-0000-000000000000')) limit 1000"#,
            age.map(|age| age.as_secs_f64()) as Option<f64>
        )
        .fetch_all(self.pool())
        .await?;
        // of a day, or of a saga, by the name that everybody knows it by
        let named = |subject: String| Uuid::try_parse(&subject).map_or(subject, |saga| SagaId(saga).to_string());
        Ok(rows.into_iter().map(|row| (row.invariant, named(row.subject), row.detail)).collect())
    }
}

/// The list of sagas with the conditions that were asked for, and no others: a plan that is made for all of them at once
/// cannot use the index of one.
fn select(filter: &Filter, after: Option<Cursor>, limit: i64) -> QueryBuilder<Postgres> {
    let mut query = QueryBuilder::new(
        "select saga_id, definition, version, state, step, seq, waiting_on, wait_reason, failure_code, tags,
                created_at, updated_at, finished_at, deadline_at
         from engine.sagas where true",
    );
    if let Some(search) = &filter.search {
        // by the indexes, whatever the planner expects: what is searched for is rare, and the history is long
        query.push(" and saga_id = any(array(select unnest(");
        query.push_bind(search.sagas.iter().map(|saga_id| saga_id.0).collect::<Vec<_>>());
        query.push("::uuid[]) union all select tagged.saga_id from unnest(");
        query.push_bind(search.tags.iter().map(|(name, value)| json!({ name: value })).collect::<Vec<_>>());
        query.push(
            "::jsonb[]) as wanted (tag)
             cross join lateral (select saga_id from engine.sagas where tags @> wanted.tag) tagged))",
        );
    }
    if let Some(CaseId(case)) = filter.case {
        // as an array: the planner cannot know that a case is small beside the history
        query.push(" and saga_id = any(array(select coalesce(saga_id, shown_by) from engine.cases where group_id = ");
        query.push_bind(case);
        query.push(" and closed_at is null and coalesce(saga_id, shown_by) is not null))");
    }
    if let Some(definition) = &filter.definition {
        query.push(" and definition = ").push_bind(definition.clone());
    }
    if let Some(state) = filter.state {
        query.push(" and state = ").push_bind(state.as_str());
    }
    if let Some(step) = &filter.step {
        query.push(" and step = ").push_bind(step.clone());
    }
    if filter.step.is_some() || filter.state.is_some_and(|state| state != State::Completed) {
        // nearly all sagas are, and `sagas_by_rare_state` leaves them out; one that is stands at no step
        query.push(" and state <> 'completed'");
    }
    if !filter.tags.is_empty() {
        query.push(" and tags @> ").push_bind(json!(filter.tags));
    }
    // an id says when, as another clock has it, and so in which weeks
    if let Some(from) = filter.from {
        query.push(" and created_at >= ").push_bind(from);
        query.push(" and saga_id >= engine.uuid_at(").push_bind(id_time(from, -CLOCKS_DIFFER)).push(")");
    }
    if let Some(to) = filter.to {
        query.push(" and created_at < ").push_bind(to);
        query.push(" and saga_id < engine.uuid_at(").push_bind(id_time(to, CLOCKS_DIFFER)).push(")");
    }
    if let Some(SagaId(after)) = after {
        query.push(" and saga_id < ").push_bind(after);
    }
    query.push(" order by saga_id desc limit ").push_bind(limit);
    query
}

/// A moment that ids can have.
fn id_time(moment: Moment, later: TimeDelta) -> Moment {
    moment.checked_add_signed(later).unwrap_or(moment).max(Moment::UNIX_EPOCH)
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
