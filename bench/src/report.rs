//! What was found: a table for people, a file for programs.

use crate::{
    cluster::{Cluster, file_system},
    options::Measure,
    output,
    spread::{Spread, rounded},
};
use anyhow::Context;
use comfy_table::{CellAlignment, Table, presets};
use serde_json::{Map, Value, json};
use std::path::Path;

/// All figures of a run, and on what they were taken.
pub(crate) struct Report {
    on: Map<String, Value>,
    figures: Vec<Figure>,
}

struct Figure {
    name: String,
    unit: &'static str,
    decimals: usize,
    spread: Spread,
}

impl Report {
    /// An empty one.
    pub(crate) async fn new(measure: &Measure, cluster: &Cluster) -> anyhow::Result<Self> {
        let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = cpu.lines().find_map(|line| Some(line.strip_prefix("model name")?.split_once(':')?.1.trim()));
        let settings: Map<_, _> =
            cluster.settings().await?.into_iter().map(|(name, value)| (name, Value::String(value))).collect();
        let on = json!({
            "cpus": std::thread::available_parallelism()?.get(),
            "cpu_model": model,
            "file_system": file_system(&measure.out.join("postgres/postgres")),
            "rounds": measure.rounds(),
            "postgres": settings,
        });
        let Value::Object(on) = on else { anyhow::bail!("an object was written above") };
        Ok(Self { on, figures: Vec::new() })
    }

    /// Notes something that the figures depend on.
    pub(crate) fn note(&mut self, name: &str, value: impl Into<Value>) {
        self.on.insert(name.to_owned(), value.into());
    }

    /// Adds a figure.
    pub(crate) fn add(&mut self, name: impl Into<String>, unit: &'static str, decimals: usize, spread: Spread) {
        self.figures.push(Figure { name: name.into(), unit, decimals, spread });
    }

    /// Prints the table and writes the file: each figure's median under its name, and its spread beside it.
    pub(crate) fn publish(self, file: &Path) -> anyhow::Result<()> {
        output::result(&self.table());
        let mut json = Map::new();
        for figure in &self.figures {
            json.insert(figure.name.clone(), json!(rounded(figure.spread.median(), figure.decimals)));
            json.insert(format!("{}_spread", figure.name), figure.spread.json(figure.decimals));
        }
        json.insert("measured_on".to_owned(), Value::Object(self.on));
        let text = format!("{:#}\n", Value::Object(json));
        std::fs::write(file, text).with_context(|| format!("writing {}", file.display()))?;
        output::progress(&format!("written to {}", file.display()));
        Ok(())
    }

    fn table(&self) -> String {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_header(["", "median", "min", "max", "unit"]);
        for Figure { name, unit, decimals, spread } in &self.figures {
            let number = |value: f64| format!("{value:.decimals$}");
            let numbers = [spread.median(), spread.min(), spread.max()].map(number);
            let [median, min, max] = numbers;
            table.add_row([name.clone(), median, min, max, (*unit).to_owned()]);
        }
        for column in table.column_iter_mut().skip(1).take(3) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        format!("{:#}\n\n{table}", Value::Object(self.on.clone()))
    }
}
