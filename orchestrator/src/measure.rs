//! What is measured of the engine as a whole, most of it as it stands in the tables: of that every process that looks
//! says the same, and of several one takes one, never the sum.

use crate::{engine::Engine, run::Run, saga::State};

impl Engine {
    /// Looks how many sagas live, how much is due, and what needs a person.
    ///
    /// # Errors
    /// The database's.
    pub async fn measure(&self) -> Result<(), sqlx::Error> {
        let pool = self.pool();
        let idle = u32::try_from(pool.num_idle()).unwrap_or(u32::MAX);
        metrics::gauge!("showrunner_database_connections", "state" => "idle").set(idle);
        metrics::gauge!("showrunner_database_connections", "state" => "busy").set(pool.size().saturating_sub(idle));

        let live = State::ALL.into_iter().filter(|state| !state.is_finished()).map(|state| state.as_str().to_owned());
        let sagas = sqlx::query!(
            r#"with live as (
                   select s.definition, s.state, count(*)::float8 as sagas
                   from engine.sagas s where s.state = any($1) and s.state <> 'completed'
                   group by s.definition, s.state)
               select known.name as "definition!", wanted.state as "state!", coalesce(live.sagas, 0) as "sagas!"
               from (select name from engine.active_definitions union select definition from live) as known
               cross join unnest($1::text[]) as wanted (state)
               left join live on live.definition = known.name and live.state = wanted.state"#,
            &live.collect::<Vec<_>>(),
        )
        .fetch_all(pool)
        .await?;
        for row in sagas {
            let labels = [("definition", row.definition), ("state", row.state)];
            metrics::gauge!("showrunner_sagas", &labels).set(row.sagas);
        }

        let found = sqlx::query!(
            r#"select cases.open as "cases!", coalesce(extract(epoch from now() - cases.since), 0)::float8 as "case_secs!",
                   due.wake_ups as "due!", coalesce(extract(epoch from now() - due.since), 0)::float8 as "due_secs!",
                   acts.unsealed_secs as "unsealed_secs!",
                      outbox.waiting as "waiting!", outbox.dead as "dead!", history.days_missing as "days_missing!"
               from (select count(*)::float8 as open, min(opened_at) as since
                     from engine.cases where closed_at is null) as cases,
                   (select count(*)::float8 as wake_ups, min(wake_at) as since
                    from engine.ready where wake_at <= now() and lease_until <= now()) as due,
                   (select count(*) filter (where state = 'waiting')::float8 as waiting,
                        count(*) filter (where state = 'dead')::float8 as dead
                    from engine.outbox) as outbox,
                   (select coalesce(extract(epoch from now() - min(at)), 0)::float8 as unsealed_secs
                    from engine.unsealed_acts join engine.acts using (act_id)) as acts,
                   (select count(*)::float8 as days_missing from engine.missing_partitions) as history"#
        )
        .fetch_one(pool)
        .await?;
        metrics::gauge!("showrunner_cases_open").set(found.cases);
        metrics::gauge!("showrunner_case_oldest_seconds").set(found.case_secs);
        metrics::gauge!("showrunner_wake_ups_due").set(found.due);
        metrics::gauge!("showrunner_wake_up_oldest_seconds").set(found.due_secs);
        metrics::gauge!("showrunner_act_unsealed_oldest_seconds").set(found.unsealed_secs);
        metrics::gauge!("showrunner_outbox_messages", "state" => "waiting").set(found.waiting);
        metrics::gauge!("showrunner_outbox_messages", "state" => "dead").set(found.dead);
        metrics::gauge!("showrunner_history_days_missing").set(found.days_missing);
        Ok(())
    }
}

impl Run {
    /// Counts this saga once it has come to its end.
    pub(crate) fn count_when_finished(&self) {
        if self.state.is_finished() {
            let labels = [("definition", self.definition.clone()), ("state", self.state.as_str().to_owned())];
            metrics::counter!("showrunner_sagas_finished_total", &labels).increment(1);
        }
    }
}
