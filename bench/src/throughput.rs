//! Sagas per second and what each costs, beside the references, in rounds that take turns: whatever the machine does
//! meanwhile happens to all of them.

use crate::{
    actions,
    cluster::{Cluster, Cost, Meter},
    load,
    options::Measure,
    output::progress,
    reference::{Reference, Script},
    report::Report,
    site::Site,
    spread::Spread,
};

/// From how many concurrent starters.
const STARTERS: [usize; 2] = [64, 256];

/// What one round of ours came to.
pub(crate) struct Round {
    /// For each number of starters.
    runs: Vec<Cost>,
    sagas_per_run: f64,
    commits_per_saga: f64,
    syncs_per_saga: f64,
}

impl Round {
    /// One round on a site of its own, whose database is dropped afterwards.
    pub(crate) async fn fresh(
        cluster: &Cluster,
        site: Site,
        definition: &'static str,
        measure: &Measure,
    ) -> anyhow::Result<Self> {
        let database = site.database.clone();
        let round = Self::on(cluster, site, definition, measure).await?;
        cluster.drop_database(&database)?;
        Ok(round)
    }

    /// One round on a site, which is closed afterwards.
    pub(crate) async fn on(
        cluster: &Cluster,
        site: Site,
        definition: &'static str,
        measure: &Measure,
    ) -> anyhow::Result<Self> {
        let database = site.database.clone();
        let since = chrono::DateTime::from(std::time::SystemTime::now());
        let before = cluster.commits_and_syncs(&database).await?;
        let mut sagas = load::warm_up(&site, definition).await?;
        let mut runs = Vec::new();
        for starters in STARTERS {
            let meter = Meter::begin(cluster, site.processes()).await?;
            runs.push(load::run(meter, &site, definition, starters, measure.sagas()).await?);
            sagas += measure.sagas();
        }
        load::check(site.engine.pool(), since, sagas).await?;
        site.close().await?;
        let after = cluster.commits_and_syncs(&database).await?;
        let per_saga = |before: i64, after: i64| (after - before) as f64 / sagas as f64;
        Ok(Self {
            runs,
            sagas_per_run: measure.sagas() as f64,
            commits_per_saga: per_saga(before.0, after.0),
            syncs_per_saga: per_saga(before.1, after.1),
        })
    }

    fn all(&self) -> (f64, Cost) {
        let cost = self.runs.iter().fold(Cost::default(), |sum, run| sum + *run);
        (self.sagas_per_run * self.runs.len() as f64, cost)
    }

    /// Over all its runs.
    pub(crate) fn sagas_per_second(&self) -> f64 {
        let (sagas, cost) = self.all();
        sagas / cost.seconds
    }

    fn per_saga(&self, of: impl Fn(&Cost) -> f64) -> f64 {
        let (sagas, cost) = self.all();
        of(&cost) / sagas
    }

    /// Ours and PostgreSQL's, in milliseconds.
    pub(crate) fn cpu_per_saga(&self) -> f64 {
        self.per_saga(|cost| cost.ours_ms + cost.postgres_ms)
    }
}

/// What the references came to in one round.
struct Compared {
    commit_per_step: f64,
    statement_per_step: f64,
    batched: f64,
}

/// Measures and reports.
pub(crate) async fn measure(cluster: &Cluster, measure: &Measure, report: &mut Report) -> anyhow::Result<()> {
    let mut reference = Reference::new(cluster).await?;
    if !measure.quick {
        progress("looking for the references' best numbers of clients");
        reference.tune().await?;
    }
    let (mut ours, mut compared) = (Vec::new(), Vec::new());
    let (mut step_by_step, mut external) = (Vec::new(), Vec::new());
    for round in 1..=measure.rounds() {
        let local = Round::fresh(cluster, Site::fresh(cluster).await?, actions::LOCAL, measure).await?;
        let other = Compared {
            commit_per_step: reference.by_pgbench(Script::CommitPerStep, measure).await?,
            statement_per_step: reference.by_pgbench(Script::StatementPerStep, measure).await?,
            batched: reference.batched(measure).await?,
        };
        let single = Round::fresh(cluster, Site::step_by_step(cluster).await?, actions::LOCAL, measure).await?;
        let far = Round::fresh(cluster, Site::fresh(cluster).await?, actions::EXTERNAL, measure).await?;
        progress(&format!(
            "round {round}: {:.0} sagas/s ({:.0} step by step, {:.0} with external actions); one commit per step \
             {:.0}, one statement per step {:.0}, batched {:.0}",
            local.sagas_per_second(),
            single.sagas_per_second(),
            far.sagas_per_second(),
            other.commit_per_step,
            other.statement_per_step,
            other.batched
        ));
        ours.push(local);
        step_by_step.push(single);
        external.push(far);
        compared.push(other);
    }
    let (clients, writers) = reference.chosen();
    report.note("pgbench_clients", clients);
    report.note("batch_writers", writers);
    add(report, &ours, &compared);
    add_beside(report, "step_by_step", &step_by_step, &compared);
    add_beside(report, "external", &external, &compared);
    Ok(())
}

fn add(report: &mut Report, ours: &[Round], compared: &[Compared]) {
    let of = |figure: fn(&Round) -> f64| Spread::of(ours.iter().map(figure));
    let against = |other: fn(&Compared) -> f64| {
        Spread::of(ours.iter().zip(compared).map(|(ours, compared)| ours.sagas_per_second() / other(compared)))
    };
    let reference = |other: fn(&Compared) -> f64| Spread::of(compared.iter().map(other));
    report.add("sagas_per_s", "/s", 0, of(Round::sagas_per_second));
    for (index, starters) in STARTERS.into_iter().enumerate() {
        let rates = ours.iter().map(|round| round.sagas_per_run / round.runs[index].seconds);
        report.add(format!("sagas_per_s_{starters}_starters"), "/s", 0, Spread::of(rates));
    }
    report.add("vs_one_commit_per_step", "×", 2, against(|compared| compared.commit_per_step));
    report.add("vs_one_statement_per_step", "×", 2, against(|compared| compared.statement_per_step));
    report.add("vs_batched", "×", 2, against(|compared| compared.batched));
    report.add("one_commit_per_step_per_s", "/s", 0, reference(|compared| compared.commit_per_step));
    report.add("one_statement_per_step_per_s", "/s", 0, reference(|compared| compared.statement_per_step));
    report.add("batched_per_s", "/s", 0, reference(|compared| compared.batched));
    report.add("cpu_ms_per_saga", "ms", 3, of(Round::cpu_per_saga));
    report.add("cpu_ours_ms_per_saga", "ms", 3, of(|round| round.per_saga(|cost| cost.ours_ms)));
    report.add("cpu_postgres_ms_per_saga", "ms", 3, of(|round| round.per_saga(|cost| cost.postgres_ms)));
    report.add("wal_bytes_per_saga", "B", 0, of(|round| round.per_saga(|cost| cost.wal_bytes)));
    report.add("commits_per_saga", "", 3, of(|round| round.commits_per_saga));
    report.add("syncs_per_saga", "", 3, of(|round| round.syncs_per_saga));
}

/// The same in another way: each local step with a transaction of its own, or external actions.
fn add_beside(report: &mut Report, way: &str, rounds: &[Round], compared: &[Compared]) {
    let of = |figure: fn(&Round) -> f64| Spread::of(rounds.iter().map(figure));
    let pairs = rounds.iter().zip(compared);
    let against = pairs.map(|(round, compared)| round.sagas_per_second() / compared.commit_per_step);
    report.add(format!("{way}_sagas_per_s"), "/s", 0, of(Round::sagas_per_second));
    report.add(format!("{way}_vs_one_commit_per_step"), "×", 2, Spread::of(against));
    report.add(format!("{way}_cpu_ms_per_saga"), "ms", 3, of(Round::cpu_per_saga));
    report.add(format!("{way}_wal_bytes_per_saga"), "B", 0, of(|round| round.per_saga(|cost| cost.wal_bytes)));
}
