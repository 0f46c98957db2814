//! A ticket's code: a payload that our Ed25519 key has signed, so that a gate can tell a real ticket without
//! asking anybody. `SR1.<key id>.<payload>.<signature>`, the last two in base64url.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey, pkcs8::DecodePrivateKey};
use orchestrator::ids::Uuid;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
};

/// The format, so that another may follow.
const FORMAT: &str = "SR1";
/// The longest code that is looked at.
const CODE_BYTES_MAX: usize = 1_024;
/// What the development key is made of: known to everybody, so refused in production.
const DEVELOPMENT_SEED: &[u8] = b"showrunner development ticket key";

/// What a code says. Members are short because a QR code carries it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payload {
    /// The ticket.
    #[serde(rename = "t")]
    pub ticket: Uuid,
    /// The event.
    #[serde(rename = "e")]
    pub event: Uuid,
    /// The seat.
    #[serde(rename = "s")]
    pub seat: String,
}

/// Why a code was not signed by us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CodeError {
    /// Not of our form.
    #[error("this is not a ticket's code")]
    Malformed,
    /// Signed by a key that we do not have.
    #[error("the code's key is not known")]
    UnknownKey,
    /// Changed, or made by somebody else.
    #[error("the code's signature is not right")]
    BadSignature,
}

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
    /// No key in it.
    #[error("{} holds no private key in PEM form", .0.display())]
    Empty(PathBuf),
    /// A block that is not a key.
    #[error("private key {number} of {} is not an Ed25519 key in PKCS#8 form", path.display())]
    NotAKey {
        /// Where.
        path: PathBuf,
        /// Which block, from 1.
        number: usize,
        /// Why.
        #[source]
        source: ed25519_dalek::pkcs8::Error,
    },
}

/// The key that signs, and those whose codes are still good.
#[derive(Clone)]
pub struct TicketKeys {
    signing: SigningKey,
    signing_id: String,
    verifying: BTreeMap<String, VerifyingKey>,
}

impl fmt::Debug for TicketKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TicketKeys").field("signing_id", &self.signing_id).finish_non_exhaustive()
    }
}

impl TicketKeys {
    /// The key that everybody knows.
    #[must_use]
    pub fn development() -> Self {
        Self::of(SigningKey::from_bytes(&Sha256::digest(DEVELOPMENT_SEED).into()), [])
    }

    /// From a file with one or more private keys in PEM form: the first signs, all verify.
    ///
    /// # Errors
    /// See [`TicketKeysError`].
    pub fn load(path: &Path) -> Result<Self, TicketKeysError> {
        let text =
            std::fs::read_to_string(path).map_err(|source| TicketKeysError::Read { path: path.to_owned(), source })?;
        let mut keys = Vec::new();
        for (index, block) in text.split_inclusive("-----END PRIVATE KEY-----").enumerate() {
            let Some(begin) = block.find("-----BEGIN PRIVATE KEY-----") else { continue };
            let key = SigningKey::from_pkcs8_pem(&block[begin..]).map_err(|source| TicketKeysError::NotAKey {
                path: path.to_owned(),
                number: index + 1,
                source,
            })?;
            keys.push(key);
        }
        let mut keys = keys.into_iter();
        let signing = keys.next().ok_or_else(|| TicketKeysError::Empty(path.to_owned()))?;
        Ok(Self::of(signing, keys))
    }

    fn of(signing: SigningKey, older: impl IntoIterator<Item = SigningKey>) -> Self {
        let signing_id = key_id(&signing.verifying_key());
        let verifying = older
            .into_iter()
            .chain([signing.clone()])
            .map(|key| (key_id(&key.verifying_key()), key.verifying_key()))
            .collect();
        Self { signing, signing_id, verifying }
    }

    /// Signs. The same payload gives the same code: Ed25519 needs no chance.
    ///
    /// # Errors
    /// Never for a [`Payload`]; what its serializer says.
    pub fn sign(&self, payload: &Payload) -> Result<String, serde_json::Error> {
        let signed = format!("{FORMAT}.{}.{}", self.signing_id, URL_SAFE_NO_PAD.encode(serde_json::to_vec(payload)?));
        let signature = self.signing.sign(signed.as_bytes());
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes())))
    }

    /// Reads a code that one of our keys has signed.
    ///
    /// # Errors
    /// See [`CodeError`].
    pub fn open(&self, code: &str) -> Result<Payload, CodeError> {
        let code = code.trim();
        if code.len() > CODE_BYTES_MAX {
            return Err(CodeError::Malformed);
        }
        let (signed, signature) = code.rsplit_once('.').ok_or(CodeError::Malformed)?;
        let mut parts = signed.split('.');
        let (Some(FORMAT), Some(key), Some(payload), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(CodeError::Malformed);
        };
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| CodeError::BadSignature)?;
        let signature = Signature::from_slice(&signature).map_err(|_| CodeError::BadSignature)?;
        let key = self.verifying.get(key).ok_or(CodeError::UnknownKey)?;
        key.verify_strict(signed.as_bytes(), &signature).map_err(|_| CodeError::BadSignature)?;
        let payload = URL_SAFE_NO_PAD.decode(payload).map_err(|_| CodeError::Malformed)?;
        serde_json::from_slice(&payload).map_err(|_| CodeError::Malformed)
    }
}

fn key_id(key: &VerifyingKey) -> String {
    let mut id = hex::encode(Sha256::digest(key.as_bytes()));
    id.truncate(8);
    id
}

#[cfg(test)]
mod tests {
    use super::*;
    use ed25519_dalek::pkcs8::{EncodePrivateKey, spki::der::pem::LineEnding};
    use proptest::prelude::*;

    fn payload(seat: &str) -> Payload {
        Payload { ticket: Uuid::from_u128(1), event: Uuid::from_u128(2), seat: seat.to_owned() }
    }

    #[test]
    fn the_same_ticket_has_the_same_code() {
        let keys = TicketKeys::development();
        let code = keys.sign(&payload("A-1-1")).unwrap();
        assert_eq!(code, TicketKeys::development().sign(&payload("A-1-1")).unwrap());
        assert_eq!(keys.open(&code), Ok(payload("A-1-1")));
    }

    #[test]
    fn another_key_is_unknown_until_it_is_kept() {
        let old = SigningKey::from_bytes(&[7; 32]);
        let code = TicketKeys::of(old.clone(), []).sign(&payload("A-1-1")).unwrap();
        assert_eq!(TicketKeys::development().open(&code), Err(CodeError::UnknownKey));
        let rotated = TicketKeys::of(SigningKey::from_bytes(&[8; 32]), [old]);
        assert_eq!(rotated.open(&code), Ok(payload("A-1-1")));
    }

    #[test]
    fn a_file_may_hold_several_keys_and_must_hold_one() {
        let pem = |seed: u8| SigningKey::from_bytes(&[seed; 32]).to_pkcs8_pem(LineEnding::LF).unwrap().to_string();
        let path = std::env::temp_dir().join(format!("ticket-keys-{}.pem", std::process::id()));
        std::fs::write(&path, format!("new\n{}old\n{}", pem(8), pem(7))).unwrap();
        let keys = TicketKeys::load(&path).unwrap();
        for seed in [7, 8] {
            let code = TicketKeys::of(SigningKey::from_bytes(&[seed; 32]), []).sign(&payload("A-1-1")).unwrap();
            assert_eq!(keys.open(&code), Ok(payload("A-1-1")));
            assert_eq!(keys.sign(&payload("A-1-1")).unwrap() == code, seed == 8, "the first signs");
        }
        std::fs::write(&path, "nothing").unwrap();
        assert!(matches!(TicketKeys::load(&path), Err(TicketKeysError::Empty(_))));
        std::fs::write(&path, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n").unwrap();
        assert!(matches!(TicketKeys::load(&path), Err(TicketKeysError::NotAKey { number: 1, .. })));
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(TicketKeys::load(&path), Err(TicketKeysError::Read { .. })));
    }

    proptest! {
        #[test]
        fn a_changed_code_is_never_good(at in 0_usize..400, with in "[A-Za-z0-9._-]") {
            let keys = TicketKeys::development();
            let code = keys.sign(&payload("A-1-1")).unwrap();
            let at = at % code.len();
            let mut changed = code.clone();
            changed.replace_range(at..=at, &with);
            prop_assume!(changed != code);
            prop_assert!(keys.open(&changed).is_err());
        }

        #[test]
        fn nothing_that_is_read_makes_it_panic(code in ".{0,200}") {
            prop_assert!(TicketKeys::development().open(&code).is_err());
        }
    }
}
