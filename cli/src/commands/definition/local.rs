//! What can be said of a document without asking anybody: whether this binary would run it.

use std::{fs, path::Path, sync::Arc};

use anyhow::Context;
use orchestrator::definition::{Definition, Mistake};
use serde_json::json;
use workflows::{
    payments::Gateways,
    registry::{self, Needs},
    settings::BookingSettings,
    tickets::TicketKeys,
};

use crate::output;

/// Says every mistake in a file, or that there is none.
pub(super) fn validate(file: &Path, json: bool) -> anyhow::Result<()> {
    let mistakes = read(file)?.err().unwrap_or_default();
    if json {
        output::json(&json!({ "mistakes": mistakes }));
    } else {
        tell(file, &mistakes);
    }
    anyhow::ensure!(mistakes.is_empty(), "{} is not valid: mistakes: {}", file.display(), mistakes.len());
    if !json {
        output::line(&format!("{} is valid", file.display()));
    }
    Ok(())
}

/// What a valid document says.
pub(super) fn document(file: &Path) -> anyhow::Result<Definition> {
    match read(file)? {
        Ok(definition) => Ok(definition),
        Err(mistakes) => {
            tell(file, &mistakes);
            anyhow::bail!("{} is not valid: mistakes: {}", file.display(), mistakes.len())
        }
    }
}

fn tell(file: &Path, mistakes: &[Mistake]) {
    for mistake in mistakes {
        output::remark(&format!("{}:{}: {}", file.display(), mistake.line, mistake.message));
    }
}

/// Reads a file against the actions that this binary has, those for tutorials included.
fn read(file: &Path) -> anyhow::Result<Result<Definition, Vec<Mistake>>> {
    let yaml = fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    let registry = registry::registry(&Needs {
        gateways: Arc::new(Gateways::default()),
        ticket_keys: TicketKeys::development(),
        settings: BookingSettings::default(),
        demo_actions: true,
    })?;
    Ok(Definition::read(&yaml, &registry))
}
