//! The file that holds the ticket keys, in PEM form. The first private key signs. Every other key, private or public,
//! is one whose codes are good as well: an older one, or the next one, which gates learn of before it signs.

use super::TicketKeys;
use ed25519_dalek::{
    SigningKey, VerifyingKey,
    pkcs8::{DecodePrivateKey, DecodePublicKey, Error, spki},
};
use std::path::{Path, PathBuf};

const PRIVATE: &str = "PRIVATE KEY";
const PUBLIC: &str = "PUBLIC KEY";

/// The keys could not be had.
#[derive(Debug, thiserror::Error)]
pub enum TicketKeysError {
    /// No file.
    #[error("reading the ticket keys from {}", path.display())]
    Read {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// No key that could sign.
    #[error("{} holds no private key in PEM form", .0.display())]
    Empty(PathBuf),
    /// A block that is not a key.
    #[error("block {number} of {} is not an Ed25519 key in PKCS#8 or SPKI form", path.display())]
    NotAKey {
        /// Where.
        path: PathBuf,
        /// Which block, from 1.
        number: usize,
        /// Why.
        #[source]
        source: Unreadable,
    },
}

/// Why a block does not read.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// A private key that is none.
    #[error(transparent)]
    Private(#[from] Error),
    /// A public key that is none.
    #[error(transparent)]
    Public(#[from] spki::Error),
    /// It is something else.
    #[error("it is neither a private nor a public key")]
    SomethingElse,
}

impl TicketKeys {
    /// From a file with one or more keys in PEM form: the first private one signs, all verify.
    ///
    /// # Errors
    /// See [`TicketKeysError`].
    pub fn load(path: &Path) -> Result<Self, TicketKeysError> {
        let text =
            std::fs::read_to_string(path).map_err(|source| TicketKeysError::Read { path: path.to_owned(), source })?;
        let mut signing = None;
        let mut others = Vec::new();
        for (number, block) in text.split("-----BEGIN ").skip(1).enumerate() {
            let key = read(block).map_err(|source| {
                let number = number + 1;
                TicketKeysError::NotAKey { path: path.to_owned(), number, source }
            })?;
            match key {
                Key::Private(key) if signing.is_none() => signing = Some(key),
                Key::Private(key) => others.push(key.verifying_key()),
                Key::Public(key) => others.push(key),
            }
        }
        let signing = signing.ok_or_else(|| TicketKeysError::Empty(path.to_owned()))?;
        Ok(Self::of(signing, others))
    }
}

enum Key {
    Private(SigningKey),
    Public(VerifyingKey),
}

/// Reads a block behind its `-----BEGIN `. What stands between blocks is for people.
fn read(block: &str) -> Result<Key, Unreadable> {
    let (label, _) = block.split_once("-----").ok_or(Unreadable::SomethingElse)?;
    let end = format!("-----END {label}-----");
    let (inside, _) = block.split_once(&end).ok_or(Unreadable::SomethingElse)?;
    let pem = format!("-----BEGIN {inside}{end}\n");
    match label {
        PRIVATE => Ok(Key::Private(SigningKey::from_pkcs8_pem(&pem)?)),
        PUBLIC => Ok(Key::Public(VerifyingKey::from_public_key_pem(&pem)?)),
        _ => Err(Unreadable::SomethingElse),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tickets::{CodeError, Payload};
    use ed25519_dalek::pkcs8::{EncodePrivateKey, EncodePublicKey, spki::der::pem::LineEnding};
    use orchestrator::ids::Uuid;

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_bytes(&[seed; 32])
    }

    fn private(seed: u8) -> String {
        key(seed).to_pkcs8_pem(LineEnding::LF).unwrap().to_string()
    }

    fn public(seed: u8) -> String {
        key(seed).verifying_key().to_public_key_pem(LineEnding::LF).unwrap()
    }

    fn load(name: &str, text: &str) -> Result<TicketKeys, TicketKeysError> {
        let path = std::env::temp_dir().join(format!("ticket-keys-{name}-{}.pem", std::process::id()));
        std::fs::write(&path, text).unwrap();
        let loaded = TicketKeys::load(&path);
        std::fs::remove_file(&path).unwrap();
        loaded
    }

    fn payload() -> Payload {
        Payload { ticket: Uuid::from_u128(1), event: Uuid::from_u128(2), seat: "A-1-1".to_owned() }
    }

    #[test]
    fn keys_are_rotated_in_one_file() {
        let code = |seed: u8| TicketKeys::of(key(seed), []).sign(&payload()).unwrap();
        let good = |keys: &TicketKeys, seed: u8| keys.open(&code(seed)).is_ok();

        let next_is_told = load("told", &format!("{}next\n{}", private(7), public(8))).unwrap();
        assert_eq!(next_is_told.sign(&payload()).unwrap(), code(7));
        assert!(good(&next_is_told, 8), "who has not been started anew yet knows what others sign");

        let rotated = load("rotated", &format!("new\n{}old\n{}", private(8), public(7))).unwrap();
        assert_eq!(rotated.sign(&payload()).unwrap(), code(8));
        assert!(good(&rotated, 7), "an old ticket is good without the key that signed it");

        let both_private = load("both", &format!("{}{}", private(8), private(7))).unwrap();
        assert_eq!(both_private.sign(&payload()).unwrap(), code(8), "the first signs");
        assert!(good(&both_private, 7));

        let retired = load("retired", &private(8)).unwrap();
        assert_eq!(retired.open(&code(7)), Err(CodeError::UnknownKey));
    }

    #[test]
    fn a_file_without_a_key_that_signs_is_refused() {
        assert!(matches!(load("nothing", "nothing"), Err(TicketKeysError::Empty(_))));
        assert!(matches!(load("public", &public(7)), Err(TicketKeysError::Empty(_))));
        let bad = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        assert!(matches!(load("bad", bad), Err(TicketKeysError::NotAKey { number: 1, .. })));
        let cut = format!("{}-----BEGIN PUBLIC KEY-----\nAAAA\n", private(7));
        assert!(matches!(load("cut", &cut), Err(TicketKeysError::NotAKey { number: 2, .. })));
        let other = format!("{}-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", private(7));
        assert!(matches!(load("other", &other), Err(TicketKeysError::NotAKey { number: 2, .. })));
        assert!(matches!(TicketKeys::load(Path::new("/nowhere/keys.pem")), Err(TicketKeysError::Read { .. })));
    }
}
