//! A disk that fills: a small tmpfs in a mount namespace of its own. Only those see it who have entered, and it is
//! gone when the last of them is.

use std::{
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use crate::{DataDir, Error, account::Account, error::OnFile};

/// A namespace of users as well, in which nobody needs to be root in order to mount.
const UNSHARE: [&str; 4] = ["--user", "--map-current-user", "--keep-caps", "--mount"];
/// Arguments: how many bytes, where. Holds the disk until the pipe to us closes.
const HOLD: &str = r#"mount -t tmpfs -o "size=$1,mode=700" tmpfs "$2" && echo mounted && read -r gone"#;
/// What fills it.
const BALLAST: &str = "ballast";

/// A disk with little room, for as long as this value or a server on it lives.
#[derive(Debug)]
pub struct SmallDisk {
    account: Account,
    mounted_at: PathBuf,
    holder: Child,
}

impl SmallDisk {
    /// Mounts one, for a server whose home is `home`.
    ///
    /// # Errors
    /// [`Error::Failed`] where this machine does not let us mount.
    pub fn mount(home: &DataDir, bytes: u64) -> Result<Self, Error> {
        let account = Account::for_postgres()?;
        let mounted_at = home.server_dir("disk", account)?;
        let mut command = Command::new("unshare");
        command.args(UNSHARE).args(["/bin/sh", "-c", HOLD, "hold", &bytes.to_string()]).arg(&mounted_at);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).current_dir("/");
        account.run(&mut command);
        let program = Path::new("unshare");
        let mut holder = command.spawn().on("run", program)?;
        let mut said = String::new();
        if let Some(output) = holder.stdout.take() {
            BufReader::new(output).read_line(&mut said).on("listen to", program)?;
        }
        if said.trim() == "mounted" {
            return Ok(Self { account, mounted_at, holder });
        }
        if let Some(mut errors) = holder.stderr.take() {
            errors.read_to_string(&mut said).on("listen to", program)?;
        }
        let status = holder.wait().on("wait for", program)?.to_string();
        Err(Error::Failed { program: "unshare", status, output: said.trim().to_owned() })
    }

    /// Fills it to the last byte.
    ///
    /// # Errors
    /// When nobody can enter any more.
    pub fn fill(&self) -> Result<(), Error> {
        // ends with an error when there is no room left
        self.run("cat /dev/zero >>\"$1\" 2>/dev/null", &self.mounted_at.join(BALLAST)).map(drop)
    }

    /// Makes room again.
    ///
    /// # Errors
    /// When nobody can enter any more.
    pub fn make_room(&self) -> Result<(), Error> {
        self.run("rm -f \"$1\"", &self.mounted_at.join(BALLAST)).map(drop)
    }

    fn run(&self, script: &str, path: &Path) -> Result<Output, Error> {
        let mut command = Command::new("nsenter");
        command.args(&self.entering()[1..]).args(["/bin/sh", "-c", script, "sh"]).arg(path).stdin(Stdio::null());
        command.current_dir("/");
        self.account.run(&mut command);
        command.output().on("run", Path::new("nsenter"))
    }

    /// Where it is, for those who have entered.
    pub(crate) fn path(&self) -> &Path {
        &self.mounted_at
    }

    /// What runs a command in there.
    pub(crate) fn entering(&self) -> Vec<String> {
        let target = self.holder.id().to_string();
        ["nsenter", "--user", "--mount", "--preserve-credentials", "--target", &target].map(str::to_owned).to_vec()
    }

    /// A path in there, for those who have not entered.
    pub(crate) fn seen_from_outside(&self, path: &Path) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.holder.id()));
        root.join(path.strip_prefix("/").unwrap_or(path))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(self.holder.stdin.take());
        // one that has ended by itself is fine too
        drop(self.holder.wait());
    }
}
