//! What Stripe signs its events with: a header that names the time.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// The header that goes with `body`.
#[expect(clippy::unnecessary_wraps, reason = "other protocols have no such header")]
pub(crate) fn seal(secret: &str, at_secs: i64, body: &str) -> Option<(&'static str, String)> {
    Some(("stripe-signature", sign(secret, at_secs, body)))
}

/// `t=<unix>,v1=<hex hmac-sha256 of "t.body">`
fn sign(secret: &str, at_secs: i64, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes a key of any length");
    mac.update(format!("{at_secs}.{body}").as_bytes());
    format!("t={at_secs},v1={}", hex::encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    #[test]
    fn signatures_are_the_documented_hmac() {
        // echo -n '1.{}' | openssl dgst -sha256 -hmac whsec_test
        assert_eq!(super::sign("whsec_test", 1, "{}"), EXPECTED);
    }

    const EXPECTED: &str = "t=1,v1=7500d5d4be4b3ef07af1fe56f7d522d135cdaa7530de557e67cc1049c52de094";
}
