//! Signatures of the form `t=<unix>,v1=<hex hmac-sha256 of "t.body">`: Stripe's webhooks, and our own
//! `/orders/{id}/capture`. The time is part of what is signed, and is refused when it is too far off in either
//! direction.

use super::webhooks::WebhookError;
use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

/// How far a signature's time may be off, in both directions.
pub const TOLERANCE_SECS: u64 = 300;
/// How many signatures of one header are compared.
const SIGNATURES_MAX: usize = 16;

/// Checks the header's value against the raw body. Any of the secrets may have signed it, and any of the header's
/// signatures may be the right one: both while secrets are being changed. Compares in constant time.
///
/// # Errors
/// See [`WebhookError`].
pub fn verify<'a>(
    header: &str,
    body: &[u8],
    secrets: impl IntoIterator<Item = &'a SecretString>,
    now: DateTime<Utc>,
) -> Result<(), WebhookError> {
    let mut time = None;
    let mut signatures = Vec::new();
    for (name, value) in header.split(',').filter_map(|part| part.trim().split_once('=')) {
        match name {
            "t" if time.is_none() => time = Some(value),
            "v1" if signatures.len() < SIGNATURES_MAX => signatures.extend(hex::decode(value)),
            _ => {}
        }
    }
    let time = time.ok_or(WebhookError::NotSigned)?;
    let signed_at: i64 = time.parse().map_err(|_| WebhookError::NotSigned)?;
    if signatures.is_empty() {
        return Err(WebhookError::NotSigned);
    }
    let macs: Vec<_> = secrets.into_iter().map(|secret| mac_of(secret, time, body)).collect();
    let is_right = signatures.iter().any(|given| macs.iter().any(|mac| mac.clone().verify_slice(given).is_ok()));
    if !is_right {
        return Err(WebhookError::WrongSignature);
    }
    if now.timestamp().abs_diff(signed_at) > TOLERANCE_SECS {
        return Err(WebhookError::Stale);
    }
    Ok(())
}

/// The header's value for a body signed at a time.
#[must_use]
pub fn sign(body: &[u8], secret: &SecretString, at: DateTime<Utc>) -> String {
    let time = at.timestamp().to_string();
    let signature = mac_of(secret, &time, body).finalize().into_bytes();
    format!("t={time},v1={}", hex::encode(signature))
}

fn mac_of(secret: &SecretString, time: &str, body: &[u8]) -> Hmac<Sha256> {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes()).expect("HMAC takes a key of any length");
    mac.update(time.as_bytes());
    mac.update(b".");
    mac.update(body);
    mac
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;

    const BODY: &[u8] = br#"{"id": "evt_1"}"#;

    fn secret(text: &str) -> SecretString {
        SecretString::from(text)
    }

    fn at(unix: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(unix, 0).unwrap()
    }

    #[test]
    fn the_signature_is_the_documented_one() {
        // Worked out with `printf '1700000000.{"id": "evt_1"}' | openssl dgst -sha256 -hmac whsec_test`.
        let expected = "a0c091828640f0b68061abc7c03981ad1100ff7160c5dba6b656239494a2b537";
        assert_eq!(sign(BODY, &secret("whsec_test"), at(1_700_000_000)), format!("t=1700000000,v1={expected}"));
    }

    #[test]
    fn both_secrets_are_right_while_they_are_changed() {
        let (new, old, other) = (secret("new"), secret("old"), secret("other"));
        let now = at(1_700_000_000);
        for signer in [&new, &old] {
            assert_eq!(verify(&sign(BODY, signer, now), BODY, [&new, &old], now), Ok(()));
        }
        let header = sign(BODY, &other, now);
        assert_eq!(verify(&header, BODY, [&new, &old], now), Err(WebhookError::WrongSignature));
        // The gateway signs with both of its secrets, other schemes beside it.
        let right = sign(BODY, &old, now);
        let both = format!("{header}, v0=00, {}", right.split_once(',').unwrap().1);
        assert_eq!(verify(&both, BODY, [&old], now), Ok(()));
    }

    #[test]
    fn a_time_too_far_off_is_refused_in_both_directions() {
        let key = secret("whsec_test");
        let signed_at = at(1_700_000_000);
        let header = sign(BODY, &key, signed_at);
        for seconds in [-300, 0, 300] {
            assert_eq!(verify(&header, BODY, [&key], signed_at + TimeDelta::seconds(seconds)), Ok(()));
        }
        for seconds in [-301, 301] {
            let now = signed_at + TimeDelta::seconds(seconds);
            assert_eq!(verify(&header, BODY, [&key], now), Err(WebhookError::Stale));
        }
    }

    #[test]
    fn whatever_is_changed_is_noticed() {
        let key = secret("whsec_test");
        let now = at(1_700_000_000);
        let header = sign(BODY, &key, now);
        assert_eq!(verify(&header, br#"{"id":"evt_1"}"#, [&key], now), Err(WebhookError::WrongSignature));
        let later = header.replace("1700000000", "1700000001");
        assert_eq!(verify(&later, BODY, [&key], now), Err(WebhookError::WrongSignature));
        let twice = format!("t=1700000001,{header}");
        assert_eq!(verify(&twice, BODY, [&key], now), Err(WebhookError::WrongSignature));
        for unsigned in ["", "t=1700000000", "v1=00", "t=x,v1=00", "t=1700000000,v1=zz", "t=1700000000,v0=00"] {
            assert_eq!(verify(unsigned, BODY, [&key], now), Err(WebhookError::NotSigned), "{unsigned}");
        }
        let half = &header[..header.len() - 2];
        assert_eq!(verify(half, BODY, [&key], now), Err(WebhookError::WrongSignature));
    }
}
