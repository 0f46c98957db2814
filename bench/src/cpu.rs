//! How much processor time processes have used, by `/proc`.

use anyhow::Context;
use std::{fs, path::Path};

/// `USER_HZ`: the unit of `/proc/<pid>/stat` on every Linux.
const TICKS_PER_SECOND: f64 = 100.0;

/// What `/proc/<pid>/stat` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stat {
    parent: u32,
    /// Its own time, of all its threads.
    own: u64,
    /// The time of the children that it has waited for.
    reaped: u64,
}

/// The processor time of one process, in milliseconds.
pub(crate) fn process_ms(process: u32) -> anyhow::Result<f64> {
    Ok(milliseconds(stat(process)?.own))
}

/// The processor time of a PostgreSQL server, in milliseconds: the postmaster, its children, and those that have ended.
pub(crate) fn server_ms(postmaster: u32) -> anyhow::Result<f64> {
    let own = stat(postmaster)?;
    let mut ticks = own.own + own.reaped;
    for entry in fs::read_dir("/proc").context("listing /proc")? {
        let name = entry?.file_name();
        let Some(process) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
        // one that has ended since is the postmaster's to count, at the next look
        if let Ok(found) = stat(process)
            && found.parent == postmaster
        {
            ticks += found.own;
        }
    }
    Ok(milliseconds(ticks))
}

/// The parent of a process.
pub(crate) fn parent(process: u32) -> anyhow::Result<u32> {
    Ok(stat(process)?.parent)
}

fn milliseconds(ticks: u64) -> f64 {
    ticks as f64 * 1_000.0 / TICKS_PER_SECOND
}

fn stat(process: u32) -> anyhow::Result<Stat> {
    let path = Path::new("/proc").join(process.to_string()).join("stat");
    let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    parse(&text).with_context(|| format!("{} does not read", path.display()))
}

/// The second field is the program's name in parentheses, which may contain anything.
fn parse(text: &str) -> Option<Stat> {
    let (_, rest) = text.rsplit_once(')')?;
    let fields: Vec<_> = rest.split_whitespace().collect();
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    Some(Stat { parent: u32::try_from(field(4)?).ok()?, own: field(14)? + field(15)?, reaped: field(16)? + field(17)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_line_of_proc_whatever_the_program_is_called() {
        let line = "77 (a) b (c) S 12 77 77 0 -1 4194304 1 2 3 4 100 20 30 4 20 0 1 0 99 1 2";
        assert_eq!(parse(line), Some(Stat { parent: 12, own: 120, reaped: 34 }));
        assert_eq!(parse("77 (short) S 12"), None);
    }

    #[test]
    fn finds_this_process() {
        let ours = stat(std::process::id()).unwrap();
        assert!(ours.parent > 0);
    }
}
