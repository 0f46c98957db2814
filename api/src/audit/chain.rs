//! Whether the record is what was sealed. The whole chain is looked at, by one request for all that come meanwhile, and no
//! more often than costs a small share of a core.

use orchestrator::Engine;
use serde::Serialize;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;
use utoipa::ToSchema;
use workflows::audit_head::HeadFile;

/// For how many times as long as the last look took the next one waits.
const REST_FACTOR: u32 = 20;
/// For how long at least.
const REST_MIN: Duration = Duration::from_millis(200);

/// The chain over the record of acts, as it was a moment ago.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ChainStatus {
    /// Every act is what was sealed, and, where a head is kept outside the database, none of the last ones is missing.
    intact: bool,
    /// The number of the first seal that does not fit; null where it is an act that has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    broken_at: Option<i64>,
    /// What is wrong there.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    /// How many acts are sealed, as far as they fit.
    sealed: i64,
}

/// Looks at the chain for whoever asks.
pub(crate) struct AuditChain {
    head: Option<HeadFile>,
    last: Mutex<Option<Look>>,
}

struct Look {
    at: Instant,
    took: Duration,
    status: ChainStatus,
}

impl AuditChain {
    pub(crate) fn new(head: Option<HeadFile>) -> Self {
        Self { head, last: Mutex::default() }
    }

    /// How the chain is, or was a moment ago.
    pub(crate) async fn look(&self, engine: &Engine) -> Result<ChainStatus, sqlx::Error> {
        let mut last = self.last.lock().await;
        if let Some(look) = last.as_ref().filter(|look| look.at.elapsed() < REST_MIN.max(look.took * REST_FACTOR)) {
            return Ok(look.status.clone());
        }
        let began = Instant::now();
        let status = self.verify(engine).await?;
        *last = Some(Look { at: Instant::now(), took: began.elapsed(), status: status.clone() });
        Ok(status)
    }

    async fn verify(&self, engine: &Engine) -> Result<ChainStatus, sqlx::Error> {
        // read before the chain, which grows on
        let kept = self.head.as_ref().map(HeadFile::read).transpose();
        let (kept, unread) = match kept {
            Ok(kept) => (kept.flatten(), None),
            Err(error) => {
                tracing::error!(error = %error, "The head of the audit log cannot be read: {error}");
                (None, Some("the head that is kept outside the database cannot be read".to_owned()))
            }
        };
        let report = engine.verify_acts(kept.as_ref()).await?;
        let detail = report.broken.as_ref().map(ToString::to_string).or(unread);
        Ok(ChainStatus {
            intact: detail.is_none(),
            broken_at: report.broken.and_then(|broken| broken.number()),
            detail,
            sealed: report.head.number,
        })
    }
}
