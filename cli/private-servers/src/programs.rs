//! Finds the servers' programs.

use std::{
    env,
    path::{Path, PathBuf},
};

use crate::Error;

/// Where Debian keeps one directory per major version.
const DEBIAN_POSTGRES: &str = "/usr/lib/postgresql";

/// The directory with `initdb` and `postgres`: Debian's newest, or the one on the `PATH`.
pub(crate) fn postgres_bin() -> Result<PathBuf, Error> {
    debian_postgres()
        .or_else(postgres_on_path)
        .ok_or(Error::Missing { program: "PostgreSQL", looked_in: "/usr/lib/postgresql/*/bin and PATH" })
}

/// `redis-server`, from the `PATH`.
pub(crate) fn redis_server() -> Result<PathBuf, Error> {
    on_path("redis-server").ok_or(Error::Missing { program: "redis-server", looked_in: "PATH" })
}

fn debian_postgres() -> Option<PathBuf> {
    let versions = std::fs::read_dir(DEBIAN_POSTGRES).ok()?;
    versions
        .filter_map(Result::ok)
        .filter_map(|version| {
            let major: u32 = version.file_name().to_str()?.parse().ok()?;
            let bin = version.path().join("bin");
            has_postgres(&bin).then_some((major, bin))
        })
        .max()
        .map(|(_, bin)| bin)
}

/// Follows links, since `initdb` looks for `postgres` beside itself.
fn postgres_on_path() -> Option<PathBuf> {
    let bin = on_path("initdb")?.canonicalize().ok()?.parent()?.to_owned();
    has_postgres(&bin).then_some(bin)
}

fn has_postgres(bin: &Path) -> bool {
    bin.join("initdb").is_file() && bin.join("postgres").is_file()
}

fn on_path(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|directory| directory.join(program)).find(|candidate| candidate.is_file())
}
