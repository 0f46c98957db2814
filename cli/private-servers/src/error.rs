//! What can go wrong with private servers, in the words of whoever has to put it right.

use std::{io, path::PathBuf};

/// Why a private server could not be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A program is not on this machine.
    #[error("{program} is not installed (looked in {looked_in}); `scripts/setup` installs it")]
    Missing {
        /// The program.
        program: &'static str,
        /// Where it was looked for.
        looked_in: &'static str,
    },
    /// PostgreSQL refuses to run as root, and there is nobody else to run it as.
    #[error("PostgreSQL does not run as root, and neither of the users postgres and nobody exists")]
    NoAccount,
    /// The data directory belongs to a running program.
    #[error("{} is in use by another showrunner (process {process}); stop it, or choose another --data-dir", path.display())]
    InUse {
        /// The data directory.
        path: PathBuf,
        /// Who uses it.
        process: String,
    },
    /// The data directory has files in it that are not ours.
    #[error("{} is not empty and was not made by showrunner: choose another --data-dir", path.display())]
    NotOurs {
        /// The directory.
        path: PathBuf,
    },
    /// A directory that another user could have prepared.
    #[error("{} belongs to another user: remove it", path.display())]
    Foreign {
        /// The directory.
        path: PathBuf,
    },
    /// No directory for temporary files is short enough for a socket and reachable by the server.
    #[error("no usable directory for temporary files: tried {tried}")]
    NoTemporaryDirectory {
        /// The candidates.
        tried: String,
    },
    /// A program ran and failed.
    #[error("{program} failed ({status}):\n{output}")]
    Failed {
        /// The program.
        program: &'static str,
        /// Its exit status.
        status: String,
        /// The end of what it said.
        output: String,
    },
    /// A server did not answer in time.
    #[error("{program} was not ready within {waited_secs} s:\n{output}")]
    NotReady {
        /// The program.
        program: &'static str,
        /// How long we waited.
        waited_secs: u64,
        /// The end of its log.
        output: String,
    },
    /// A file or directory could not be used.
    #[error("cannot {what} {}", path.display())]
    File {
        /// What we wanted of it.
        what: &'static str,
        /// Which one.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

/// Says which of our file operations failed.
pub(crate) trait OnFile<T> {
    /// Wraps an [`io::Error`] with what was done to which file.
    fn on(self, what: &'static str, path: &std::path::Path) -> Result<T, Error>;
}

impl<T> OnFile<T> for io::Result<T> {
    fn on(self, what: &'static str, path: &std::path::Path) -> Result<T, Error> {
        self.map_err(|source| Error::File { what, path: path.to_owned(), source })
    }
}
