//! Serving: one gateway on one listener, until it is told to stop.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use crate::control;
use crate::gateway::Gateway;
use crate::settings::{Protocol, Settings};
use crate::webhooks::{Courier, Seal};
use crate::wire::{Wire, Wires};
use crate::{adyen, stripe};

/// How long connections that are still busy get when the gateway stops.
const DRAIN_MS: u64 = 5_000;

/// Serves one gateway on `listener` until `shutdown` is ready. Calls that a fault holds open end
/// then, without an answer.
///
/// # Errors
///
/// When the books cannot be opened or are damaged, when another sandbox uses them, or when the
/// listener fails.
pub async fn serve(
    listener: TcpListener,
    settings: Settings,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> anyhow::Result<()> {
    Prepared::new(&settings).await?.run(listener, shutdown).await
}

/// A gateway whose books are open.
struct Prepared {
    app: Router,
    stop: watch::Sender<bool>,
}

impl Prepared {
    async fn new(settings: &Settings) -> anyhow::Result<Self> {
        anyhow::ensure!(
            settings.protocol.can_sign_with(&settings.webhook_secret),
            "the webhook secret is not one that the protocol can sign with"
        );
        let (stop, stopping) = watch::channel(false);
        let app = match settings.protocol {
            Protocol::Stripe => {
                let courier = courier(settings, stripe::signature::seal)?;
                let gateway = Gateway::open(settings, courier, stopping).await?;
                control::router(Arc::clone(&gateway), stripe::challenge::router(Arc::clone(&gateway)))
                    .fallback_service(axum::routing::any(stripe::http::handle).with_state(gateway))
            }
            Protocol::Adyen => {
                let courier = courier(settings, adyen::signature::seal)?;
                let gateway = Gateway::open(settings, courier, stopping).await?;
                control::router(Arc::clone(&gateway), adyen::challenge::router(Arc::clone(&gateway)))
                    .fallback_service(axum::routing::any(adyen::http::handle).with_state(gateway))
            }
        };
        Ok(Self { app, stop })
    }

    async fn run(
        self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> anyhow::Result<()> {
        let mut stopping = self.stop.subscribe();
        let service = self.app.into_make_service_with_connect_info::<Wire>();
        let server = axum::serve(Wires(listener), service).with_graceful_shutdown(async move {
            shutdown.await;
            self.stop.send_replace(true);
        });
        let too_long = async move {
            // An error means that the server has ended, which the other branch sees.
            let _ = stopping.wait_for(|is_stopping| *is_stopping).await;
            tokio::time::sleep(Duration::from_millis(DRAIN_MS)).await;
        };
        tokio::select! {
            served = server => served.context("the sandbox cannot serve"),
            () = too_long => Ok(()),
        }
    }
}

fn courier(settings: &Settings, seal: Seal) -> anyhow::Result<Option<Courier>> {
    let to = |url: String| Courier::new(url, settings.webhook_secret.clone(), seal);
    settings.webhook_url.clone().map(to).transpose().context("cannot make the client for webhooks")
}

/// A gateway that runs in the background, for tests. It stops when this is dropped.
pub struct Running {
    /// Where it is, without a slash at the end.
    pub url: String,
    /// The same as an address.
    pub address: SocketAddr,
    /// Its end is what stops the gateway.
    stop: oneshot::Sender<()>,
    served: JoinHandle<anyhow::Result<()>>,
}

impl Running {
    /// Starts a gateway on a free port of 127.0.0.1.
    ///
    /// # Errors
    ///
    /// When there is no port or the books cannot be opened.
    pub async fn start(settings: Settings) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        Self::start_on(listener, settings).await
    }

    /// Starts a gateway on `listener`, for one that comes back where it was.
    ///
    /// # Errors
    ///
    /// When the books cannot be opened.
    pub async fn start_on(listener: TcpListener, settings: Settings) -> anyhow::Result<Self> {
        let address = listener.local_addr()?;
        let prepared = Prepared::new(&settings).await?;
        let (stop, stopped) = oneshot::channel();
        let served = tokio::spawn(prepared.run(listener, async { drop(stopped.await) }));
        Ok(Self { url: format!("http://{address}"), address, stop, served })
    }

    /// Stops it and waits until it has let go of its port and its books.
    ///
    /// # Errors
    ///
    /// When it had failed.
    pub async fn stop(self) -> anyhow::Result<()> {
        drop(self.stop);
        self.served.await?
    }
}
