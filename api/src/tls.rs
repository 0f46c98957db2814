//! The certificate that the API shows to its clients.

use axum_server::{
    accept::NoDelayAcceptor,
    tls_rustls::{RustlsAcceptor, RustlsConfig},
};
use rustls::{
    ServerConfig,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject},
    },
};
use std::{fmt, sync::Arc, time::Duration};

/// How long a client may take over the handshake.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);
/// What is spoken over it, best first.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Why a certificate cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// Something in the certificates' file does not read.
    #[error("the certificates are not PEM")]
    Certificates(#[source] pem::Error),
    /// Nothing in the certificates' file is one.
    #[error("there is no certificate in PEM")]
    NoCertificate,
    /// The key's file does not have one.
    #[error("there is no private key in PEM")]
    Key(#[source] pem::Error),
    /// The key is another certificate's, or neither can be used.
    #[error("the certificate and the key do not go together")]
    Mismatch(#[source] rustls::Error),
}

/// A certificate with its key.
#[derive(Clone)]
pub struct Tls(Arc<ServerConfig>);

impl Tls {
    /// From a chain of certificates, the API's own first, and the key of that one. The process must have a
    /// cryptography provider.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub fn from_pem(certificates: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        let chain = CertificateDer::pem_slice_iter(certificates)
            .collect::<Result<Vec<_>, _>>()
            .map_err(TlsError::Certificates)?;
        if chain.is_empty() {
            return Err(TlsError::NoCertificate);
        }
        let key = PrivateKeyDer::from_pem_slice(key).map_err(TlsError::Key)?;
        let mut config =
            ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).map_err(TlsError::Mismatch)?;
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).into();
        Ok(Self(Arc::new(config)))
    }

    pub(crate) fn acceptor(self) -> RustlsAcceptor<NoDelayAcceptor> {
        RustlsAcceptor::new(RustlsConfig::from_config(self.0))
            .handshake_timeout(HANDSHAKE_WITHIN)
            .acceptor(NoDelayAcceptor)
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}
