//! Talks to a house over HTTP.

use anyhow::{Context, ensure};
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use std::time::Duration;

/// How long any answer may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// An API, and whom it knows us as.
pub(crate) struct Api {
    base: String,
    token: String,
    client: Client,
}

impl Api {
    pub(crate) fn new(base: &str, token: String) -> anyhow::Result<Self> {
        Ok(Self { base: base.to_owned(), token, client: client()? })
    }

    /// The answer, which must have the status `wanted`.
    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        wanted: StatusCode,
    ) -> anyhow::Result<Value> {
        let mut request = self.client.request(method, format!("{}{path}", self.base));
        if let Some(body) = body {
            request = request.json(body);
        }
        self.send(path, request, wanted).await
    }

    /// Has a definition run from now on, which another person must consent to.
    pub(crate) async fn define(&self, second: &Self, name: &str, yaml: &'static str) -> anyhow::Result<()> {
        let path = format!("/definitions/{name}");
        let put = self.client.put(format!("{}{path}", self.base)).header("content-type", "application/yaml").body(yaml);
        let applied = self.send(&path, put, StatusCode::CREATED).await?;
        let path = format!("{path}/{}/activate", applied["version"]);
        let reason = json!({ "reason": "to be measured" });
        let asked = self.ask(Method::POST, &path, Some(&reason), StatusCode::ACCEPTED).await?;
        second.consent(&asked).await
    }

    /// Consents to what somebody else has asked for, if that takes anybody's consent.
    pub(crate) async fn consent(&self, asked: &Value) -> anyhow::Result<()> {
        let Some(approval) = asked["approvalId"].as_str() else { return Ok(()) };
        let path = format!("/approvals/{approval}/approve");
        self.ask(Method::POST, &path, Some(&json!({ "reason": "seen" })), StatusCode::ACCEPTED).await.map(drop)
    }

    async fn send(&self, path: &str, request: RequestBuilder, wanted: StatusCode) -> anyhow::Result<Value> {
        let answer = request.bearer_auth(&self.token).send().await.with_context(|| format!("asking {path}"))?;
        let status = answer.status();
        let body = answer.text().await?;
        ensure!(status == wanted, "{path} is answered {status}: {body}");
        Ok(serde_json::from_str(&body)?)
    }
}

/// Asks anybody.
pub(crate) fn client() -> anyhow::Result<Client> {
    // another one may have been first
    drop(rustls::crypto::ring::default_provider().install_default());
    Ok(Client::builder().no_proxy().timeout(PATIENCE).build()?)
}

/// A member that must be there.
pub(crate) fn text(value: &Value, name: &str) -> anyhow::Result<String> {
    value[name].as_str().map(str::to_owned).with_context(|| format!("no {name} in {value}"))
}
