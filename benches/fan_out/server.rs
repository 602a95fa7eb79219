//! The two contenders as child processes, and the files that both need. A child dies with its value.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::{Ipv4Addr, TcpListener},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, bail};
use tokio::time::Instant;

use crate::machine::{Half, pinned};

/// The gateway that was built beside this benchmark.
pub(crate) const GATEWAY: &str = env!("CARGO_BIN_EXE_wardroom");
/// The issuer of the generator's tokens.
pub(crate) const ISSUER: &str = "https://idp.example";

/// For a child to be ready.
const START_LIMIT: Duration = Duration::from_secs(20);

/// Certificate and keys of one run, in a directory that goes with it.
pub(crate) struct Keys {
    directory: tempfile::TempDir,
}

impl Keys {
    /// Makes them: a P-256 certificate for `localhost` and an ES256 key for tokens.
    pub(crate) fn new() -> anyhow::Result<Self> {
        let keys = Self {
            directory: tempfile::tempdir()?,
        };
        let tls = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
        fs::write(keys.certificate(), tls.cert.pem())?;
        write_secret(&keys.tls_key(), &tls.signing_key.serialize_pem())?;
        let token = rcgen::KeyPair::generate()?;
        fs::write(keys.path("token.pub"), token.public_key_pem())?;
        write_secret(&keys.token_key(), &token.serialize_pem())?;
        Ok(keys)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn certificate(&self) -> PathBuf {
        self.path("tls.crt")
    }

    fn tls_key(&self) -> PathBuf {
        self.path("tls.key")
    }

    pub(crate) fn token_key(&self) -> PathBuf {
        self.path("token.key")
    }
}

fn write_secret(path: &Path, content: &str) -> anyhow::Result<()> {
    let mut options = fs::OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.set_permissions(fs::Permissions::from_mode(0o600))?;
    Ok(std::io::Write::write_all(&mut file, content.as_bytes())?)
}

/// How bytes travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    Tls,
    Plain,
}

/// A contender.
pub(crate) struct Server {
    child: Child,
    /// What the generator connects to.
    pub(crate) url: String,
}

impl Server {
    /// Starts the gateway with limits that one address full of clients needs.
    pub(crate) fn gateway(keys: &Keys, wire: Wire) -> anyhow::Result<Self> {
        let (public, admin) = (free_port()?, free_port()?);
        let file = keys.path(&format!("wardroom-{public}.toml"));
        fs::write(&file, configuration(keys, wire, public, admin))?;
        let mut command = pinned(Half::Server, Path::new(GATEWAY));
        command
            .args(["serve", "--config"])
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        let child = command.spawn().context("the gateway does not start")?;
        let scheme = if wire == Wire::Tls { "wss" } else { "ws" };
        let mut server = Self {
            child,
            url: format!("{scheme}://localhost:{public}/ws/chat"),
        };
        server.wait_until_ready(&format!("http://127.0.0.1:{admin}/readyz"))?;
        Ok(server)
    }

    /// Starts the baseline: this program, called with another word.
    pub(crate) fn baseline(keys: &Keys, wire: Wire) -> anyhow::Result<Self> {
        let mut command = pinned(Half::Server, &std::env::current_exe()?);
        command
            .arg("baseline")
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        if wire == Wire::Tls {
            command
                .arg("--certificate")
                .arg(keys.certificate())
                .arg("--key")
                .arg(keys.tls_key());
        }
        let mut child = command.spawn().context("the baseline does not start")?;
        let out = child.stdout.take().context("the baseline has no output")?;
        let mut address = String::new();
        BufReader::new(out).read_line(&mut address)?;
        let port = address
            .trim()
            .rsplit_once(':')
            .map(|(_, port)| port.to_owned());
        let scheme = if wire == Wire::Tls { "wss" } else { "ws" };
        let mut server = Self {
            child,
            url: String::new(),
        };
        server.url = format!(
            "{scheme}://localhost:{}/ws/chat",
            port.context("the baseline names no port")?
        );
        Ok(server)
    }

    fn wait_until_ready(&mut self, url: &str) -> anyhow::Result<()> {
        let deadline = Instant::now() + START_LIMIT;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                bail!("the gateway ended at once: {status}");
            }
            let asked = Command::new(GATEWAY)
                .args(["healthcheck", "--url", url])
                .stderr(Stdio::null())
                .status()?;
            if asked.success() {
                return Ok(());
            }
            pause(Duration::from_millis(100));
        }
        bail!("the gateway was not ready in time")
    }

    /// The process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself; either way nothing of it is left.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Waits; the benchmark has nothing to do meanwhile.
#[expect(
    clippy::disallowed_methods,
    reason = "a benchmark measures real time and has no clock to move"
)]
pub(crate) fn pause(duration: Duration) {
    std::thread::sleep(duration);
}

fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
        .local_addr()?
        .port())
}

/// What differs from the defaults: addresses, keys, and the limits that hold for one address and one room.
fn configuration(keys: &Keys, wire: Wire, public: u16, admin: u16) -> String {
    let path = |path: PathBuf| path.display().to_string();
    format!(
        r#"[listen]
public = "127.0.0.1:{public}"
admin = "127.0.0.1:{admin}"
[tls]
mode = "{mode}"
cert_file = "{certificate}"
key_file = "{tls_key}"
[[auth.issuers]]
issuer = "{ISSUER}"
audience = ["wardroom"]
algorithms = ["ES256"]
public_key_file = "{token_key}"
[page]
enabled = false
[log]
engine = "sqlite"
path = "{log}"
[telemetry]
log_level = "warn"
[limits]
connections_max = 15000
connections_per_ip_max = 15000
connects_per_ip_per_s = 10000
connects_per_ip_burst = 100000
requests_per_ip_per_s = 10000
requests_per_ip_burst = 100000
tls_handshakes_per_ip_max = 256
messages_per_s = 1000
messages_burst = 10000
messages_per_user_per_s = 1000
messages_per_user_burst = 10000
messages_per_room_per_s = 100000
messages_per_room_burst = 100000
frames_per_s = 10000
frames_burst = 100000
bytes_in_per_s = 104857600
bytes_in_burst = 104857600
"#,
        mode = if wire == Wire::Tls { "files" } else { "off" },
        certificate = path(keys.certificate()),
        tls_key = path(keys.tls_key()),
        token_key = path(keys.path("token.pub")),
        log = path(keys.path(&format!("log-{public}.db"))),
    )
}
