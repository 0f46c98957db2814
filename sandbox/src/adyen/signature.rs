//! What Adyen signs its notifications with: each item carries an HMAC of some of its members, under a
//! key that is written in hexadecimal.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// Nothing goes beside the body: its items are signed one by one.
pub(crate) fn seal(_: &str, _: i64, _: &str) -> Option<(&'static str, String)> {
    None
}

/// The signature of an item with these members, in Adyen's order: `pspReference`,
/// `originalReference`, `merchantAccountCode`, `merchantReference`, the amount's value and currency,
/// `eventCode` and `success`.
pub(super) fn sign(key: &str, members: [&str; 8]) -> String {
    let key = hex::decode(key).expect("a gateway does not start with another key");
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("HMAC takes a key of any length");
    mac.update(members.join(":").as_bytes());
    BASE64.encode(mac.finalize().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_those_that_adyen_publishes() {
        let key = "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056";
        let members = [
            "7914073381342284",
            "",
            "TestMerchant",
            "TestPayment-1407325143704",
            "1130",
            "EUR",
            "AUTHORISATION",
            "true",
        ];
        assert_eq!(sign(key, members), "coqCmt/IZ4E3CzPvMY8zTjQVL5hYJUiBRg8UU+iCWo0=");

        let key = "9064450A8892A093D9E97EFCC9639DE31B74F3A7803135555A3C96F5A57915D6";
        let members =
            ["test_REPORT_AVAILABLE", "", "Magento2Rik", "testMerchantRef1", "0", "EUR", "REPORT_AVAILABLE", "true"];
        assert_eq!(sign(key, members), "NuEkADFmlCC6VgX+wcoPAegIWxVPNBPCuKlM4Hzo5qc=");
    }
}
