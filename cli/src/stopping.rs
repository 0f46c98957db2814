//! When to stop: at SIGTERM, at Ctrl-C, and, for a child of `showrunner dev`, when its parent is gone.

use tokio::{
    io::AsyncReadExt,
    signal::unix::{SignalKind, signal},
};
use tokio_util::sync::CancellationToken;

/// Cancelled when the process is asked to stop.
pub(crate) fn on_signals() -> anyhow::Result<CancellationToken> {
    let stopping = CancellationToken::new();
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let told = stopping.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        told.cancel();
    });
    Ok(stopping)
}

/// Cancels `stopping` as well when standard input ends: the other end of the pipe is our parent's, and closes
/// however the parent dies.
pub(crate) fn with_parent(stopping: &CancellationToken) {
    let told = stopping.clone();
    tokio::spawn(async move {
        let mut nothing = [0_u8; 64];
        let mut stdin = tokio::io::stdin();
        while stdin.read(&mut nothing).await.is_ok_and(|read| read > 0) {}
        told.cancel();
    });
}
