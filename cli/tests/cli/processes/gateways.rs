//! The gateways of a world: sandboxes that are programs of their own, primary and backup.

use super::{
    super::{client::Api, dev::showrunner},
    program::Program,
};
use reqwest::Method;
use serde_json::Value;
use std::{path::Path, sync::Arc};
use tokio::sync::Mutex;

/// What a gateway speaks, and what it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Protocol {
    pub(super) name: &'static str,
    api_key: &'static str,
    webhook_secret: &'static str,
}

/// Can be asked what became of a charge, and end it.
pub(super) const STRIPE: Protocol =
    Protocol { name: "stripe", api_key: "sk_test_sandbox", webhook_secret: "whsec_sandbox" };
/// Can do neither.
pub(super) const ADYEN: Protocol = Protocol {
    name: "adyen",
    api_key: "AQE_sandbox",
    webhook_secret: "5348F7A1D2C04E6B9A3D817C6E0B52F49D17A6E38C05B4F2716D9E8A30C4B5D6",
};

/// A gateway.
pub(super) struct Sandbox {
    name: &'static str,
    protocol: Protocol,
    address: String,
    /// Whoever has it lets one charge in at a time, so that a fault meets the one that it is meant for.
    pub(super) door: Arc<Mutex<()>>,
    pub(super) program: Program,
}

/// All that a world has.
pub(super) struct Gateways {
    /// The one that is asked first.
    pub(super) primary: Sandbox,
    /// The one that is asked where the first cannot.
    pub(super) backup: Sandbox,
}

impl Gateways {
    /// What they tell goes to the API at this address.
    pub(super) async fn start(
        protocols: [Protocol; 2],
        addresses: [String; 2],
        api_address: &str,
        directory: &Path,
    ) -> Self {
        let ([first, second], [primary, backup]) = (protocols, addresses);
        Self {
            primary: Sandbox::start("primary", first, primary, api_address, directory).await,
            backup: Sandbox::start("backup", second, backup, api_address, directory).await,
        }
    }

    /// The `[[gateways]]` of a configuration.
    pub(super) fn configuration(&self) -> String {
        [&self.primary, &self.backup].map(Sandbox::configuration).concat()
    }
}

impl Api {
    /// From now on, something goes wrong at this sandbox.
    pub(super) async fn fault(&self, fault: Value) {
        let (status, answer) = self.ask(Method::POST, "/_sandbox/faults", Some(fault)).await;
        assert!(status.is_success(), "{answer}");
    }
}

impl Sandbox {
    async fn start(
        name: &'static str,
        protocol: Protocol,
        address: String,
        api_address: &str,
        directory: &Path,
    ) -> Self {
        let webhook_url = format!("http://{api_address}/webhooks/{name}");
        let program = run(name, protocol, &address, &webhook_url, directory);
        let sandbox = Self { name, protocol, address, door: Arc::default(), program };
        sandbox.program.says(&sandbox.url()).await;
        sandbox
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it is asked and told from outside.
    pub(super) fn control(&self) -> Api {
        Api::new(&self.url(), "")
    }

    /// From now on, something goes wrong here.
    pub(super) async fn fault(&self, fault: Value) {
        self.control().fault(fault).await;
    }

    pub(super) async fn no_more_faults(&self) {
        assert!(self.control().ask(Method::DELETE, "/_sandbox/faults", None).await.0.is_success());
    }

    fn configuration(&self) -> String {
        let Protocol { name: protocol, api_key, webhook_secret } = self.protocol;
        let (name, url) = (self.name, self.url());
        format!(
            r#"
[[gateways]]
name = "{name}"
protocol = "{protocol}"
base_url = "{url}"
api_key = "{api_key}"
webhook_secret = "{webhook_secret}"
merchant_account = "ShowrunnerTest"
return_url = "https://tickets.example/back"
"#
        )
    }
}

fn run(name: &str, protocol: Protocol, address: &str, webhook_url: &str, directory: &Path) -> Program {
    let name = format!("sandbox-{name}");
    let mut command = showrunner();
    command.args(["sandbox", "--protocol", protocol.name, "--api-key", protocol.api_key, "--listen", address]);
    command.args(["--webhook-secret", protocol.webhook_secret, "--webhook-url", webhook_url]);
    command.arg("--books").arg(directory.join(format!("{name}.jsonl")));
    Program::start(&name, command, directory.join(format!("{name}.log")))
}
