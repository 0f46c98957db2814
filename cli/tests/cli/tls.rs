//! The API with a certificate, as its clients meet it.

use super::dev::{Scratch, showrunner};
use private_servers::TestServers;
use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use reqwest::{Certificate, Client, StatusCode, Version};
use serde_json::{Value, json};
use std::{
    fs::{self, File},
    io::Write,
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command},
    time::Duration,
};

/// How long anything may take before a test calls it broken.
const PATIENCE: Duration = Duration::from_secs(60);

/// A certificate of `localhost`, and the key of another one.
struct Files {
    dir: Scratch,
    pem: String,
}

impl Files {
    fn new() -> Self {
        let dir = Scratch::new("tls");
        fs::create_dir_all(&dir.0).unwrap();
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let files = Self { dir, pem: cert.pem() };
        fs::write(files.path("cert.pem"), cert.pem()).unwrap();
        fs::write(files.path("key.pem"), signing_key.serialize_pem()).unwrap();
        fs::write(files.path("other.pem"), KeyPair::generate().unwrap().serialize_pem()).unwrap();
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.0.join(name)
    }

    /// The binary with these two configured.
    fn configured(&self, cert: &str, key: &str) -> Command {
        let mut command = showrunner();
        for (variable, file) in
            [("SHOWRUNNER_SECURITY__TLS_CERT_FILE", cert), ("SHOWRUNNER_SECURITY__TLS_KEY_FILE", key)]
        {
            if !file.is_empty() {
                command.env(variable, self.path(file));
            }
        }
        command.env("SHOWRUNNER_HTTP__LISTEN", "127.0.0.1:0").current_dir(&self.dir.0);
        command
    }
}

/// A running `showrunner api`.
struct Api {
    process: Child,
    /// Where it serves, as it says.
    address: String,
}

impl Api {
    fn start(files: &Files, database_url: &str) -> Self {
        let log = files.path("stderr");
        let mut process = files
            .configured("cert.pem", "key.pem")
            .arg("api")
            .env("DATABASE_URL", database_url)
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let address = eventually("the API serves", || {
            let said = fs::read_to_string(&log).unwrap();
            assert!(process.try_wait().unwrap().is_none(), "the API ended: {said}");
            said.lines().find_map(|line| line.strip_prefix("serving https://").map(str::to_owned))
        });
        Self { process, address }
    }

    fn port(&self) -> &str {
        self.address.rsplit_once(':').unwrap().1
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// Waits until there is an answer.
fn eventually<T>(what: &str, mut answer: impl FnMut() -> Option<T>) -> T {
    let began = std::time::Instant::now();
    while began.elapsed() < PATIENCE {
        if let Some(found) = answer() {
            return found;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("it did not happen that {what}");
}

fn run(command: &mut Command, database_url: &str) -> String {
    let output = command.env("DATABASE_URL", database_url).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_speaks_https_and_nothing_else() {
    drop(rustls::crypto::ring::default_provider().install_default());
    let database_url = tokio::task::spawn_blocking(|| TestServers::shared().empty_database().unwrap()).await.unwrap();
    let files = Files::new();
    run(showrunner().arg("migrate"), &database_url);
    let token = run(showrunner().args(["token", "create", "--role", "admin", "--name", "anna"]), &database_url);
    let mut api = Api::start(&files, &database_url);
    let base = format!("https://localhost:{}", api.port());

    let trusting = |version: fn(reqwest::ClientBuilder) -> reqwest::ClientBuilder| {
        let root = Certificate::from_pem(files.pem.as_bytes()).unwrap();
        version(Client::builder().tls_certs_only([root]).timeout(PATIENCE)).build().unwrap()
    };
    let (both, old) = (trusting(|builder| builder), trusting(reqwest::ClientBuilder::http1_only));
    for (client, version) in [(&both, Version::HTTP_2), (&old, Version::HTTP_11)] {
        let answer = client.get(format!("{base}/readyz")).send().await.unwrap();
        assert_eq!((answer.status(), answer.version()), (StatusCode::OK, version));
    }

    // where a request comes from is known as without TLS
    let path = format!("{base}/definitions/book-tickets/1/activate");
    let chosen = old.post(path).bearer_auth(&token).json(&json!({ "reason": "a test" })).send().await.unwrap();
    assert_eq!(chosen.status(), StatusCode::ACCEPTED);
    let acts: Value = old.get(format!("{base}/audit")).bearer_auth(&token).send().await.unwrap().json().await.unwrap();
    assert_eq!(acts["items"][0]["address"], "127.0.0.1", "{acts}");

    // whoever does not trust it, or does not speak it, has no answer
    assert!(Client::builder().build().unwrap().get(format!("{base}/healthz")).send().await.is_err());
    assert!(both.get(format!("http://localhost:{}/healthz", api.port())).send().await.is_err());

    // our own command line is a client like others
    let cli = showrunner()
        .args(["saga", "list", "--url", &base, "--token", &token])
        .env("SSL_CERT_FILE", files.path("cert.pem"))
        .output()
        .unwrap();
    assert!(cli.status.success(), "{}", String::from_utf8_lossy(&cli.stderr));

    // it stops in order, whoever is connected
    let mut silent = TcpStream::connect(("127.0.0.1", api.port().parse::<u16>().unwrap())).unwrap();
    silent.write_all(&[22, 3, 1]).unwrap();
    let pid = api.process.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    let status = eventually("the API stops", || api.process.try_wait().unwrap());
    assert!(status.success(), "{status}");
}

/// What the API says instead of starting.
fn refusal(mut command: Command) -> String {
    // it is refused before anything is asked of the database
    let output = command.arg("api").env("DATABASE_URL", "postgres://nobody@127.0.0.1:1/none").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn what_cannot_be_served_is_refused_by_its_key() {
    let files = Files::new();
    fs::write(files.path("empty.pem"), "").unwrap();
    let (cert_key, key_key) = ("security.tls_cert_file", "security.tls_key_file");
    for (cert, key, named, not_named) in [
        ("cert.pem", "", key_key, ""),
        ("", "key.pem", cert_key, ""),
        ("none.pem", "key.pem", cert_key, key_key),
        ("cert.pem", "none.pem", key_key, cert_key),
        ("empty.pem", "key.pem", cert_key, key_key),
        ("cert.pem", "cert.pem", key_key, cert_key),
        ("key.pem", "key.pem", cert_key, key_key),
        ("cert.pem", "other.pem", "security.tls_cert_file and security.tls_key_file", ""),
    ] {
        let said = refusal(files.configured(cert, key));
        assert!(said.contains(named), "{cert:?}, {key:?}: {said}");
        assert!(not_named.is_empty() || !said.contains(not_named), "{cert:?}, {key:?}: {said}");
    }
}

#[test]
fn dev_says_that_it_speaks_plain_http() {
    let files = Files::new();
    let data: &Path = &files.path("data");
    let output = files.configured("cert.pem", "key.pem").args(["dev", "--data-dir"]).arg(data).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("security.tls_cert_file"), "{said}");
}
