//! The program itself, as an operator runs it: in a folder of its own, as a process of its own.

use std::{
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use parking_lot::Mutex;
use rustls::pki_types::{CertificateDer, pem::PemObject};
use serde_json::Value;

use super::{
    eventually,
    gateway::{Door, ORIGIN, crypto, write_secret},
    identity::{AUDIENCE, ISSUER, Provider},
};

/// A folder with a pair made by `wardroom cert` and the keys of a provider.
pub struct Site {
    pub folder: tempfile::TempDir,
    pub provider: Provider,
}

impl Site {
    pub fn new() -> Self {
        crypto();
        let site = Self {
            folder: tempfile::tempdir().expect("a folder"),
            provider: Provider::new(),
        };
        let made = site.run(&["cert", "--out", "certs"], &[]);
        assert_eq!(made.status.code(), Some(0), "{made:?}");
        std::fs::write(site.path("issuer.pem"), site.provider.public_pem()).expect("written");
        write_secret(&site.path("issuer.key"), site.provider.private_pem());
        site
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A configuration that `serve` accepts, with more lines for sections of their own.
    pub fn configuration(&self, more: &str) -> String {
        format!(
            "[listen]\npublic = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n\
             [tls]\ncert_file = \"certs/tls.crt\"\nkey_file = \"certs/tls.key\"\n\
             [admission]\nallowed_origins = [\"{ORIGIN}\"]\n\
             [[auth.issuers]]\nissuer = \"{ISSUER}\"\naudience = [\"{AUDIENCE}\"]\nalgorithms = [\"ES256\"]\n\
             public_key_file = \"issuer.pem\"\n{more}"
        )
    }

    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).expect("written");
    }

    fn command(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Command {
        program(self.folder.path(), arguments, variables)
    }

    /// Runs a command to its end.
    pub fn run(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
        self.command(arguments, variables)
            .output()
            .expect("the program runs")
    }

    /// Starts `serve` with more lines of configuration, and waits until it listens.
    pub async fn serve(&self, more: &str) -> Node {
        self.serve_text(&self.configuration(more)).await
    }

    /// Starts `serve` with this configuration.
    pub async fn serve_text(&self, text: &str) -> Node {
        self.write("wardroom.toml", text);
        self.start(self.command(&["serve", "--config", "wardroom.toml"], &[]))
            .await
    }

    /// Starts `serve` with more lines of configuration, and with so few files as it may have open.
    pub async fn serve_with_files(&self, files: usize, more: &str) -> Node {
        self.write("wardroom.toml", &self.configuration(more));
        let mut command = Command::new("sh");
        command
            .current_dir(self.folder.path())
            .arg("-c")
            .arg(format!(
                "ulimit -n {files} && exec {} serve --config wardroom.toml",
                env!("CARGO_BIN_EXE_wardroom")
            ));
        self.start(command).await
    }

    async fn start(&self, mut command: Command) -> Node {
        let process = Process::start(&mut command);
        let (public, admin) = process.addresses().await;
        let door = door(public, admin, &self.path("certs/ca.crt"));
        Node { process, door }
    }
}

/// The program with these variables and none of the caller's.
pub fn program(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wardroom"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("WARDROOM__") {
            command.env_remove(name);
        }
    }
    command
        .current_dir(folder)
        .args(arguments)
        .envs(variables.iter().copied());
    command
}

/// The way to a node whose authority is in a file.
pub fn door(public: SocketAddr, admin: SocketAddr, ca: &Path) -> Door {
    let mut root = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(ca).expect("the authority") {
        root.add(certificate.expect("PEM")).expect("a root");
    }
    Door::new(public, admin, root)
}

/// A running process; dropped, it is killed.
pub struct Process {
    child: Child,
    written: Arc<Mutex<String>>,
    deaf: Arc<AtomicBool>,
}

impl Process {
    pub fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let written = Arc::new(Mutex::new(String::new()));
        let deaf = Arc::new(AtomicBool::new(false));
        let out: Box<dyn Read + Send> = Box::new(child.stdout.take().expect("a pipe"));
        let err: Box<dyn Read + Send> = Box::new(child.stderr.take().expect("a pipe"));
        for pipe in [out, err] {
            let (written, deaf) = (Arc::clone(&written), Arc::clone(&deaf));
            std::thread::spawn(move || {
                let mut lines = BufReader::new(pipe);
                let mut line = Vec::new();
                while lines
                    .read_until(b'\n', &mut line)
                    .is_ok_and(|bytes| bytes > 0)
                {
                    written
                        .lock()
                        .push_str(std::str::from_utf8(&line).expect("UTF-8"));
                    line.clear();
                    while deaf.load(Ordering::Relaxed) {
                        std::thread::park();
                    }
                }
            });
        }
        Self {
            child,
            written,
            deaf,
        }
    }

    /// From the next line on nobody reads what it writes; its pipes stay open.
    pub fn stop_listening(&self) {
        self.deaf.store(true, Ordering::Relaxed);
    }

    /// Everything that was written so far.
    pub fn written(&self) -> String {
        self.written.lock().clone()
    }

    /// Waits for the line that says where it listens.
    pub async fn addresses(&self) -> (SocketAddr, SocketAddr) {
        eventually("it listens", async || {
            let written = self.written();
            let line = written.lines().find_map(|line| {
                let line: Value = serde_json::from_str(line).ok()?;
                (line["message"] == "listening").then_some(line)
            });
            let address =
                |line: &Value, key: &str| line[key].as_str().and_then(|raw| raw.parse().ok());
            line.and_then(|line| Some((address(&line, "public")?, address(&line, "admin")?)))
                .ok_or(written)
        })
        .await
    }

    /// A number that the kernel tells of it in a file of `/proc`, by its name: kilobytes, or a count.
    pub fn told(&self, file: &str, name: &str) -> u64 {
        let path = format!("/proc/{}/{file}", self.child.id());
        let text = std::fs::read_to_string(path).expect("it runs");
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let value = line.and_then(|rest| rest.trim_start_matches(':').split_whitespace().next());
        value.and_then(|raw| raw.parse().ok()).expect("a number")
    }

    /// Everything in one file of `/proc`.
    pub fn proc_file(&self, file: &str) -> Vec<u8> {
        std::fs::read(format!("/proc/{}/{file}", self.child.id())).expect("it runs")
    }

    /// Sends it a signal by name.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args(["-s", name, &self.child.id().to_string()])
            .status()
            .expect("kill is there");
        assert!(sent.success());
    }

    /// Waits for the end, and its code.
    pub async fn ended(&mut self) -> Option<i32> {
        eventually("the process ends", async || match self.child.try_wait() {
            Ok(Some(status)) => Ok(status.code()),
            other => Err(format!("{other:?}: {}", self.written.lock())),
        })
        .await
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// A node in a process of its own.
pub struct Node {
    pub process: Process,
    pub door: Door,
}
