//! When a person is asked, and the periodic work that sees to it.

use std::time::Duration;

use orchestrator::{Engine, cases::Patience};
use workers::Chore;

use crate::config;

/// See the module.
#[derive(Clone)]
pub(super) struct Asking {
    /// When a person is asked about who does nothing wrong but gets nowhere.
    patience: Patience,
}

impl Asking {
    /// As it is configured.
    pub(super) fn read(config: &config::Cases) -> Self {
        let patience = Patience {
            in_doubt_secs: config.in_doubt_secs,
            past_deadline_secs: config.past_deadline_secs,
            no_progress_secs: config.no_progress_secs,
        };
        Self { patience }
    }

    /// What puts before a person what no move of a saga does.
    pub(super) fn chores(&self, engine: &Engine) -> [Chore; 1] {
        let patience = self.patience;
        let watched = engine.clone();
        [Chore::new("look-for-trouble", Duration::from_secs(10), move || {
            let engine = watched.clone();
            async move { Ok(engine.look_for_trouble(patience).await.map(drop)?) }
        })]
    }
}
