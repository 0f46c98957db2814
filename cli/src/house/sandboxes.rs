//! The house's gateways: sandboxes, in order of preference. Each is a child of its own with its own books, key and
//! secret.

use std::{
    net::{SocketAddr, TcpListener},
    path::Path,
    time::Duration,
};

use anyhow::Context;
use tokio::{
    net::TcpStream,
    time::{sleep, timeout},
};

use super::Child;

/// The one that is asked first.
static PRIMARY: Part = Part {
    name: "primary",
    protocol: "stripe",
    api_key: "sk_test_sandbox",
    webhook_secret: "whsec_sandbox",
    account: "",
};
/// The one that is asked where the first cannot.
static BACKUP: Part = Part {
    name: "backup",
    protocol: "adyen",
    api_key: "AQE_sandbox",
    webhook_secret: "5348F7A1D2C04E6B9A3D817C6E0B52F49D17A6E38C05B4F2716D9E8A30C4B5D6",
    account: "ShowrunnerDemo",
};
/// How long one call may take: a charge of two calls then ends within the ten seconds of its step, and nobody watches
/// a hanging gateway for longer.
const TIMEOUT_MS: u32 = 4_000;
/// How long a sandbox may take to be there.
const START_SECS_MAX: u64 = 30;
/// Between two looks whether it is.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What is fixed about one of them.
struct Part {
    name: &'static str,
    protocol: &'static str,
    api_key: &'static str,
    webhook_secret: &'static str,
    /// Its name for us, where its protocol has one.
    account: &'static str,
}

/// A gateway that the house plays itself.
pub(crate) struct Sandbox {
    part: &'static Part,
    /// Where it is.
    pub(crate) url: String,
    child: Child,
}

/// All of them.
pub(crate) struct Sandboxes {
    pub(crate) primary: Sandbox,
    pub(crate) backup: Sandbox,
}

impl Sandboxes {
    /// Starts them, and waits until they answer. What they tell goes to the API at `api_url`.
    pub(super) async fn start(dir: &Path, api_url: &str) -> anyhow::Result<Self> {
        // Chosen once, so that a sandbox that is started again is where it was; kept until both are, so that they differ.
        let (one, other) = (TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?);
        let addresses = (one.local_addr()?, other.local_addr()?);
        drop((one, other));
        let primary = Sandbox::start(&PRIMARY, addresses.0, dir, api_url)?;
        let backup = Sandbox::start(&BACKUP, addresses.1, dir, api_url)?;
        answers(PRIMARY.name, addresses.0).await?;
        answers(BACKUP.name, addresses.1).await?;
        Ok(Self { primary, backup })
    }

    /// In order of preference.
    pub(crate) fn in_order(&self) -> [&Sandbox; 2] {
        [&self.primary, &self.backup]
    }

    /// The `[[gateways]]` of the house's configuration. Buyers come back from a challenge to the API at `api_url`.
    pub(super) fn configuration(&self, api_url: &str) -> String {
        self.in_order().map(|sandbox| sandbox.configuration(api_url)).concat()
    }

    /// Ends them.
    pub(super) async fn stop(self) {
        self.primary.child.stop().await;
        self.backup.child.stop().await;
    }
}

impl Sandbox {
    fn start(part: &'static Part, address: SocketAddr, dir: &Path, api_url: &str) -> anyhow::Result<Self> {
        let Part { name, protocol, api_key, webhook_secret, .. } = part;
        let arguments = ["sandbox", "--with-parent", "--protocol", protocol, "--api-key", api_key];
        let mut arguments: Vec<std::ffi::OsString> = arguments.into_iter().map(Into::into).collect();
        arguments.extend(["--listen".into(), address.to_string().into()]);
        arguments.extend(["--webhook-secret".into(), webhook_secret.into()]);
        arguments.extend(["--webhook-url".into(), format!("{api_url}/webhooks/{name}").into()]);
        arguments.extend(["--books".into(), dir.join(format!("sandbox-{name}.jsonl")).into()]);
        let child = Child::new(format!("sandbox-{name}"), dir, Vec::new(), arguments)?;
        Ok(Self { part, url: format!("http://{address}"), child })
    }

    /// As the configuration calls it.
    pub(crate) fn name(&self) -> &'static str {
        self.part.name
    }

    /// What it speaks.
    pub(crate) fn protocol(&self) -> &'static str {
        self.part.protocol
    }

    fn configuration(&self, api_url: &str) -> String {
        let Self { part: Part { name, protocol, api_key, webhook_secret, account }, url, .. } = self;
        format!(
            r#"[[gateways]]
name = "{name}"
protocol = "{protocol}"
base_url = "{url}"
api_key = "{api_key}"
webhook_secret = "{webhook_secret}"
merchant_account = "{account}"
return_url = "{api_url}/docs"
timeout_ms = {TIMEOUT_MS}
"#
        )
    }
}

/// Waits until somebody listens.
async fn answers(name: &str, address: SocketAddr) -> anyhow::Result<()> {
    let listens = async {
        while TcpStream::connect(address).await.is_err() {
            sleep(LOOK_EVERY).await;
        }
    };
    let listening = timeout(Duration::from_secs(START_SECS_MAX), listens).await;
    listening.with_context(|| format!("the sandbox {name} did not start: see sandbox-{name}.log"))
}
