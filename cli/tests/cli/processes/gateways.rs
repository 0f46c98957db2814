//! The gateways of a world: sandboxes that are programs of their own, primary and backup.

use super::{
    super::{client::Api, dev::showrunner},
    program::Program,
};
use reqwest::Method;
use serde_json::Value;
use std::path::Path;

/// The one that is asked first.
const PRIMARY: Part =
    Part { name: "primary", protocol: "stripe", api_key: "sk_test_sandbox", webhook_secret: "whsec_sandbox" };
/// The one that is asked where the first cannot.
const BACKUP: Part = Part {
    name: "backup",
    protocol: "adyen",
    api_key: "AQE_sandbox",
    webhook_secret: "5348F7A1D2C04E6B9A3D817C6E0B52F49D17A6E38C05B4F2716D9E8A30C4B5D6",
};

struct Part {
    name: &'static str,
    protocol: &'static str,
    api_key: &'static str,
    webhook_secret: &'static str,
}

/// A gateway.
pub(super) struct Sandbox {
    part: Part,
    address: String,
    pub(super) program: Program,
}

/// All that a world has.
pub(super) struct Gateways {
    pub(super) primary: Sandbox,
    pub(super) backup: Sandbox,
}

impl Gateways {
    /// What they tell goes to the API at this address.
    pub(super) async fn start(addresses: [String; 2], api_address: &str, directory: &Path) -> Self {
        let [primary, backup] = addresses;
        Self {
            primary: Sandbox::start(PRIMARY, primary, api_address, directory).await,
            backup: Sandbox::start(BACKUP, backup, api_address, directory).await,
        }
    }

    /// The `[[gateways]]` of a configuration.
    pub(super) fn configuration(&self) -> String {
        [&self.primary, &self.backup].map(Sandbox::configuration).concat()
    }
}

impl Sandbox {
    async fn start(part: Part, address: String, api_address: &str, directory: &Path) -> Self {
        let webhook_url = format!("http://{api_address}/webhooks/{}", part.name);
        let program = run(&part, &address, &webhook_url, directory);
        let sandbox = Self { part, address, program };
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
        let (status, answer) = self.control().ask(Method::POST, "/_sandbox/faults", Some(fault)).await;
        assert!(status.is_success(), "{answer}");
    }

    pub(super) async fn no_more_faults(&self) {
        assert!(self.control().ask(Method::DELETE, "/_sandbox/faults", None).await.0.is_success());
    }

    fn configuration(&self) -> String {
        let Part { name, protocol, api_key, webhook_secret } = &self.part;
        let url = self.url();
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

fn run(part: &Part, address: &str, webhook_url: &str, directory: &Path) -> Program {
    let name = format!("sandbox-{}", part.name);
    let mut command = showrunner();
    command.args(["sandbox", "--protocol", part.protocol, "--api-key", part.api_key, "--listen", address]);
    command.args(["--webhook-secret", part.webhook_secret, "--webhook-url", webhook_url]);
    command.arg("--books").arg(directory.join(format!("{name}.jsonl")));
    Program::start(&name, command, directory.join(format!("{name}.log")))
}
