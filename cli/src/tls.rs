//! The API's certificate, from the files that the configuration names.

use std::{fs, path::Path};

use anyhow::Context;
use api::{Tls, TlsError};

use crate::config::Security;

const CERT_KEY: &str = "security.tls_cert_file";
const KEY_KEY: &str = "security.tls_key_file";

/// The certificate and its key, where they are configured; the configuration has one only with the other.
pub(crate) fn load(security: &Security) -> anyhow::Result<Option<Tls>> {
    let (Some(cert_file), Some(key_file)) = (&security.tls_cert_file, &security.tls_key_file) else {
        return Ok(None);
    };
    let (certificates, key) = (read(CERT_KEY, cert_file)?, read(KEY_KEY, key_file)?);
    let tls = Tls::from_pem(&certificates, &key).map_err(|error| {
        let keys = match error {
            TlsError::Certificates(_) | TlsError::NoCertificate => CERT_KEY.to_owned(),
            TlsError::Key(_) => KEY_KEY.to_owned(),
            TlsError::Mismatch(_) => format!("{CERT_KEY} and {KEY_KEY}"),
        };
        anyhow::Error::new(error).context(keys)
    })?;
    Ok(Some(tls))
}

fn read(key: &str, file: &Path) -> anyhow::Result<Vec<u8>> {
    fs::read(file).with_context(|| format!("{key}: reading {}", file.display()))
}
