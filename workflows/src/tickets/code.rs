//! A ticket's code: a payload that our Ed25519 key has signed, so that a gate can tell a real ticket without
//! asking anybody. `SR1.<key id>.<payload>.<signature>`, the last two in base64url.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use orchestrator::ids::Uuid;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};
use std::{collections::BTreeMap, fmt};

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

/// What everybody may know of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublishedKey<'a> {
    /// What codes name it by.
    pub key_id: &'a str,
    /// The key.
    pub public: &'a VerifyingKey,
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

    /// One key that signs, and others whose codes are good as well.
    pub(super) fn of(signing: SigningKey, others: impl IntoIterator<Item = VerifyingKey>) -> Self {
        let signing_id = key_id(&signing.verifying_key());
        let all = others.into_iter().chain([signing.verifying_key()]);
        let verifying = all.map(|key| (key_id(&key), key)).collect();
        Self { signing, signing_id, verifying }
    }

    /// All keys by which codes are checked, the one that signs first.
    pub fn published(&self) -> impl Iterator<Item = PublishedKey<'_>> {
        let (signing, others): (Vec<_>, Vec<_>) = self.verifying.iter().partition(|(id, _)| **id == self.signing_id);
        signing.into_iter().chain(others).map(|(key_id, public)| PublishedKey { key_id, public })
    }

    /// Signs. The same payload gives the same code: Ed25519 needs no chance.
    ///
    /// # Errors
    /// Never for a [`Payload`]; what its serializer says.
    pub fn sign(&self, payload: &Payload) -> Result<String, serde_json::Error> {
        self.sign_as(FORMAT, payload)
    }

    /// Signs something that is no ticket. Its format tells the two apart: neither can be taken for the other.
    ///
    /// # Errors
    /// What the serializer of what is signed says.
    pub fn sign_as(&self, format: &str, said: &impl Serialize) -> Result<String, serde_json::Error> {
        let signed = format!("{format}.{}.{}", self.signing_id, URL_SAFE_NO_PAD.encode(serde_json::to_vec(said)?));
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
        self.open_as(FORMAT, code)
    }

    /// Reads what one of our keys has signed in this format.
    ///
    /// # Errors
    /// See [`CodeError`].
    pub fn open_as<T: DeserializeOwned>(&self, format: &str, text: &str) -> Result<T, CodeError> {
        let (signed, signature) = text.rsplit_once('.').ok_or(CodeError::Malformed)?;
        let mut parts = signed.split('.');
        let (Some(said), Some(key), Some(payload), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(CodeError::Malformed);
        };
        if said != format {
            return Err(CodeError::Malformed);
        }
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
        let rotated = TicketKeys::of(SigningKey::from_bytes(&[8; 32]), [old.verifying_key()]);
        assert_eq!(rotated.open(&code), Ok(payload("A-1-1")));
    }

    #[test]
    fn the_key_that_signs_is_published_first() {
        let old = SigningKey::from_bytes(&[7; 32]);
        for seed in 0..6 {
            let signing = SigningKey::from_bytes(&[seed; 32]);
            let keys = TicketKeys::of(signing.clone(), [old.verifying_key()]);
            let published: Vec<_> = keys.published().map(|key| *key.public).collect();
            assert_eq!(published, [signing.verifying_key(), old.verifying_key()]);
        }
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
