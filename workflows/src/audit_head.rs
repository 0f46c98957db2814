//! The head of the chain over people's acts, signed and kept in a file: outside the database, so that a tail which is
//! cut off there shows. Each process that keeps one is a witness of its own: it goes along the chain from the head that
//! it has kept, and signs a new one only where everything from there on fits.

use crate::tickets::{CodeError, TicketKeys};
use orchestrator::{
    Engine,
    acts::{ChainError, ChainHead},
};
use serde::{Deserialize, Serialize};
use std::{
    fs::File,
    io::{self, Write},
    path::{Path, PathBuf},
};

/// The format of a signed head.
const FORMAT: &str = "SRA1";

/// The head could not be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum HeadError {
    /// The chain does not go on from the head that was kept, or could not be read.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The file is not to be had.
    #[error("the head of the audit log in {}", path.display())]
    File {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file holds something that our keys have not signed.
    #[error("the head of the audit log in {} is not one that our keys have signed", path.display())]
    Signature {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: CodeError,
    },
    /// The file holds a digest that is none.
    #[error("the head of the audit log in {} has no digest", .0.display())]
    Digest(PathBuf),
    /// It could not be written down.
    #[error("writing down the head of the audit log")]
    Json(#[from] serde_json::Error),
}

/// What is signed. Members are short, as in a ticket's code.
#[derive(Debug, Serialize, Deserialize)]
struct Said {
    /// The number of the last seal.
    n: i64,
    /// Its digest, in hex.
    d: String,
}

/// Where the head is kept, and by which keys.
#[derive(Debug, Clone)]
pub struct HeadFile {
    path: PathBuf,
    keys: TicketKeys,
}

impl HeadFile {
    /// The head in this file. The first of the keys signs it, any of them is good.
    #[must_use]
    pub fn new(path: &Path, keys: TicketKeys) -> Self {
        Self { path: path.to_owned(), keys }
    }

    /// The head that is kept; none where there is no file yet.
    ///
    /// # Errors
    /// Those of the file and of its signature.
    pub fn read(&self) -> Result<Option<ChainHead>, HeadError> {
        let text = match std::fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(self.file_error(source)),
        };
        let path = || self.path.clone();
        let said: Said =
            self.keys.open_as(FORMAT, text.trim()).map_err(|source| HeadError::Signature { path: path(), source })?;
        let mut digest = [0; 32];
        hex::decode_to_slice(&said.d, &mut digest).map_err(|_| HeadError::Digest(path()))?;
        Ok(Some(ChainHead { number: said.n, digest }))
    }

    /// Signs and keeps the chain's head, where the chain goes on from the one that is kept.
    ///
    /// # Errors
    /// Where it does not; those of the file and the database.
    pub async fn keep(&self, engine: &Engine) -> Result<ChainHead, HeadError> {
        let kept = self.read()?;
        let head = engine.follow_acts(kept.unwrap_or(ChainHead::START)).await?;
        if kept.is_none() && head != ChainHead::START {
            let path = self.path.display();
            tracing::warn!(
                "No head of the audit log was kept in {path}: what is in the database is taken for the whole"
            );
        }
        if kept != Some(head) || !self.is_signed_by_the_first()? {
            self.write(head)?;
        }
        Ok(head)
    }

    /// A head that an older key has signed is signed anew, so that this key can go.
    fn is_signed_by_the_first(&self) -> Result<bool, HeadError> {
        let text = std::fs::read_to_string(&self.path).map_err(|source| self.file_error(source))?;
        let key = text.split('.').nth(1);
        Ok(self.keys.published().next().map(|first| first.key_id) == key)
    }

    /// Whole or not at all, and on disk before the old one is gone.
    fn write(&self, head: ChainHead) -> Result<(), HeadError> {
        let said = Said { n: head.number, d: head.digest_in_hex() };
        let signed = self.keys.sign_as(FORMAT, &said)?;
        let mut new = self.path.clone().into_os_string();
        // several workers of a machine may keep the same file
        new.push(format!(".{}.new", std::process::id()));
        let write = || {
            let mut file = File::create(&new)?;
            writeln!(file, "{signed}")?;
            file.sync_all()?;
            std::fs::rename(&new, &self.path)
        };
        write().map_err(|source| self.file_error(source))
    }

    fn file_error(&self, source: io::Error) -> HeadError {
        HeadError::File { path: self.path.clone(), source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tickets::Payload;
    use orchestrator::ids::Uuid;

    const HEAD: ChainHead = ChainHead { number: 17, digest: [7; 32] };

    /// A file in a directory of its own, which is gone when the test is.
    struct Scratch(HeadFile);

    impl Scratch {
        fn new(name: &str) -> Self {
            let directory = std::env::temp_dir().join(format!("audit-head-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&directory).unwrap();
            Self(HeadFile::new(&directory.join("head"), TicketKeys::development()))
        }

        fn directory(&self) -> &Path {
            self.0.path.parent().unwrap()
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            std::fs::remove_dir_all(self.directory()).unwrap();
        }
    }

    #[test]
    fn a_head_comes_back_as_it_was_kept() {
        let scratch = Scratch::new("kept");
        let file = &scratch.0;
        assert_eq!(file.read().unwrap(), None);
        file.write(HEAD).unwrap();
        assert_eq!(file.read().unwrap(), Some(HEAD));
        let next = ChainHead { number: 18, digest: [8; 32] };
        file.write(next).unwrap();
        assert_eq!(file.read().unwrap(), Some(next));
        assert_eq!(std::fs::read_dir(scratch.directory()).unwrap().count(), 1, "nothing else is left");
    }

    #[test]
    fn a_head_says_which_key_has_signed_it() {
        let scratch = Scratch::new("rotated");
        scratch.0.write(HEAD).unwrap();
        assert!(scratch.0.is_signed_by_the_first().unwrap());
        let text = std::fs::read_to_string(&scratch.0.path).unwrap();
        let key = text.split('.').nth(1).unwrap();
        std::fs::write(&scratch.0.path, text.replacen(key, "0000aaaa", 1)).unwrap();
        assert!(!scratch.0.is_signed_by_the_first().unwrap());
    }

    #[test]
    fn a_head_that_we_have_not_signed_is_none() {
        let scratch = Scratch::new("signed");
        let file = &scratch.0;
        file.write(HEAD).unwrap();
        let good = std::fs::read_to_string(&file.path).unwrap();
        let other_payload = {
            let parts: Vec<_> = good.split('.').collect();
            format!("{}.{}.eyJuIjoxOCwiZCI6IjAwIn0.{}", parts[0], parts[1], parts[3])
        };
        let ticket = {
            let (ticket, event) = (Uuid::nil(), Uuid::nil());
            file.keys.sign(&Payload { ticket, event, seat: String::new() }).unwrap()
        };
        for bad in ["", "nothing", &other_payload, &ticket] {
            std::fs::write(&file.path, bad).unwrap();
            assert!(matches!(file.read(), Err(HeadError::Signature { .. })), "{bad}");
        }
        std::fs::write(&file.path, good).unwrap();
        assert_eq!(file.read().unwrap(), Some(HEAD));
    }
}
