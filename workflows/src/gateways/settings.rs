//! What every protocol makes of its settings.

use super::{BuildError, GatewaySettings, http};
use reqwest::{Client, Url};
use secrecy::SecretString;
use std::time::Duration;

impl GatewaySettings {
    /// A setting that cannot be.
    pub(super) fn wrong(&self, setting: &'static str, problem: &str) -> BuildError {
        BuildError::Setting { gateway: self.name.clone(), setting, problem: problem.to_owned() }
    }

    /// The address that paths are put behind, without a slash at its end.
    pub(super) fn checked_base_url(&self) -> Result<String, BuildError> {
        let base = Url::parse(&self.base_url).map_err(|_| self.wrong("base_url", "is not a URL"))?;
        if !matches!(base.scheme(), "http" | "https") || base.query().is_some() || base.fragment().is_some() {
            return Err(self.wrong("base_url", "must be an http or https URL without query and fragment"));
        }
        Ok(base.as_str().trim_end_matches('/').to_owned())
    }

    /// What the calls are made with.
    pub(super) fn client(&self) -> Result<Client, BuildError> {
        if self.timeout_ms == 0 {
            return Err(self.wrong("timeout_ms", "must be at least 1"));
        }
        http::client(Duration::from_millis(self.timeout_ms))
            .map_err(|source| BuildError::Client { gateway: self.name.clone(), source })
    }

    /// The present webhook secret, and the one before while they are being changed.
    pub(super) fn webhook_secrets(&self) -> impl Iterator<Item = &SecretString> {
        [Some(&self.webhook_secret), self.webhook_secret_previous.as_ref()].into_iter().flatten()
    }

    /// Where a buyer comes back to, where that is set.
    pub(super) fn set_return_url(&self) -> Option<String> {
        self.return_url.clone().filter(|url| !url.is_empty())
    }
}
