//! Whom a server runs as. PostgreSQL refuses root, so root runs it as somebody else, and its files
//! must then lie where that somebody can reach them.

use std::{
    fs,
    os::unix::{
        fs::{MetadataExt, chown},
        process::CommandExt,
    },
    path::Path,
    process::Command,
};

use crate::{Error, error::OnFile};

/// A user of this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Account {
    uid: u32,
    gid: u32,
    /// Whether a program has to change to this user first.
    change: bool,
}

impl Account {
    /// The user that this program runs as.
    pub(crate) fn ourselves() -> Result<Self, Error> {
        let path = Path::new("/proc/self");
        let ours = fs::metadata(path).on("look at", path)?;
        Ok(Self { uid: ours.uid(), gid: ours.gid(), change: false })
    }

    /// Whoever PostgreSQL may run as: ourselves, or somebody else if we are root.
    pub(crate) fn for_postgres() -> Result<Self, Error> {
        let ours = Self::ourselves()?;
        if ours.uid != 0 {
            return Ok(ours);
        }
        let path = Path::new("/etc/passwd");
        let passwd = fs::read_to_string(path).on("read", path)?;
        ["postgres", "nobody"].into_iter().find_map(|name| in_passwd(&passwd, name)).ok_or(Error::NoAccount)
    }

    /// Makes a program run as this user.
    pub(crate) fn run(self, command: &mut Command) {
        if self.change {
            command.uid(self.uid).gid(self.gid);
        }
    }

    /// Gives a file or directory to this user.
    pub(crate) fn own(self, path: &Path) -> Result<(), Error> {
        if !self.change {
            return Ok(());
        }
        chown(path, Some(self.uid), Some(self.gid)).on("change the owner of", path)
    }

    /// Whether `path` is this user's.
    pub(crate) fn owns(self, path: &Path) -> bool {
        fs::metadata(path).is_ok_and(|found| found.uid() == self.uid)
    }

    /// Whether this user may pass through `directory` and all that lie above it.
    pub(crate) fn reaches(self, directory: &Path) -> bool {
        !self.change
            || directory.ancestors().all(|ancestor| {
                fs::metadata(ancestor).is_ok_and(|found| {
                    let needed = if found.uid() == self.uid { 0o100 } else { 0o001 };
                    found.mode() & needed != 0
                })
            })
    }
}

fn in_passwd(passwd: &str, name: &str) -> Option<Account> {
    let mut fields = passwd.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?.split(':').skip(1);
    Some(Account { uid: fields.next()?.parse().ok()?, gid: fields.next()?.parse().ok()?, change: true })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_a_user_by_its_whole_name() {
        let passwd = "postgres2:x:7:8::/:/bin/sh\npostgres:x:101:104::/var:/bin/bash\n";
        let found = in_passwd(passwd, "postgres").unwrap();
        assert_eq!((found.uid, found.gid), (101, 104));
        assert_eq!(in_passwd(passwd, "nobody"), None);
    }
}
