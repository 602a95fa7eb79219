//! The commands as a person or a script meets them: exit codes, what is said where, and what is never said.

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Output},
    sync::Arc,
    time::Duration,
};

use data_encoding::BASE64URL_NOPAD;
use rustls::{
    RootCertStore,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier},
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
    sign::CertifiedKey,
};
use serde_json::Value;

use crate::Site;

/// Runs the program in a folder, with these variables and none of the caller's.
fn wardroom(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wardroom"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("WARDROOM__") {
            command.env_remove(name);
        }
    }
    command
        .current_dir(folder)
        .args(arguments)
        .envs(variables.iter().copied())
        .output()
        .expect("the program runs")
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("UTF-8")
}

#[test]
fn what_serve_refuses_check_refuses_too_and_both_end_with_78() {
    let site = Site::new();
    site.write(
        "bad.toml",
        "[limits]\nconections_max = 5\n[log]\nengine = \"redis\"\n",
        0o644,
    );
    let folder = site.folder.path();
    let checked = wardroom(folder, &["check", "--config", "bad.toml"], &[]);
    let served = wardroom(folder, &["serve", "--config", "bad.toml"], &[]);
    let text = [("WARDROOM__TELEMETRY__LOG_FORMAT", "text")];
    let said = wardroom(folder, &["serve", "--config", "bad.toml"], &text);
    let keys = [
        "limits.conections_max",
        "log.engine",
        "tls.cert_file",
        "auth.issuers",
        "admission.allowed_origins",
    ];
    for output in [&checked, &served, &said] {
        assert_eq!(output.status.code(), Some(78));
        assert_eq!(out(output), "");
        for key in keys {
            assert!(err(output).contains(key), "{key}: {}", err(output));
        }
    }
    // log_format is "json" unless somebody says otherwise, and then every line is an object.
    let named: Vec<String> = err(&served)
        .lines()
        .map(|line| {
            let line: Value = serde_json::from_str(line).expect("JSON");
            assert_eq!(line["level"], "ERROR");
            line["key"].as_str().expect("a key").to_owned()
        })
        .collect();
    for key in keys {
        assert!(named.iter().any(|it| it == key), "{key}: {named:?}");
    }
    assert!(
        err(&said).contains("limits.conections_max (line 2): there is no such key; did you mean")
    );
    assert_eq!(
        wardroom(folder, &["serve", "--config", "nowhere.toml"], &[])
            .status
            .code(),
        Some(78)
    );
}

#[test]
fn dev_away_from_loopback_ends_with_78() {
    let site = Site::new();
    for variable in ["WARDROOM__LISTEN__PUBLIC", "WARDROOM__LISTEN__ADMIN"] {
        let output = wardroom(site.folder.path(), &["dev"], &[(variable, "0.0.0.0:0")]);
        assert_eq!(output.status.code(), Some(78));
        assert!(err(&output).contains("not loopback"), "{}", err(&output));
    }
    assert!(!site.path("certs").exists(), "nothing is made for nothing");
}

#[test]
fn check_prints_what_holds_and_warns_aside() {
    let site = Site::new();
    let text = site
        .good()
        .replace("https://idp.example/keys", "https://127.0.0.1:1/keys");
    site.write("good.toml", text, 0o644);
    let folder = site.folder.path();
    let output = wardroom(
        folder,
        &["check", "--config", "good.toml"],
        &[("WARDROOM__AUTH__QUERY_TOKEN", "on")],
    );
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    let said = err(&output);
    for part in [
        "warning: auth.query_token (environment WARDROOM__AUTH__QUERY_TOKEN):",
        "warning: auth.issuers[0] (line 9): its keys cannot be read from here",
        "this configuration can be used, with 2 warnings",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    site.write("again.toml", out(&output), 0o644);
    let again = wardroom(folder, &["check", "--config", "again.toml"], &[]);
    assert_eq!(again.status.code(), Some(0), "{}", err(&again));
    let values = |text: &str| text.parse::<toml::Table>().expect("TOML");
    assert_eq!(values(&out(&output)), values(&out(&again)));
}

#[test]
fn an_expired_security_txt_is_a_warning() {
    let site = Site::new();
    site.write("good.toml", site.good(), 0o644);
    let check = |expires: &str| {
        let text = format!("Contact: mailto:a@b.example\nExpires: {expires}\n");
        let file = site.write("old.txt", text, 0o644);
        let file = file.to_str().expect("a path");
        let variables = [("WARDROOM__LISTEN__SECURITY_TXT_FILE", file)];
        err(&wardroom(
            site.folder.path(),
            &["check", "--config", "good.toml"],
            &variables,
        ))
    };
    assert!(check("2020-01-01T00:00:00Z").contains("is over"));
    assert!(check("tomorrow").contains("is no date"));
    assert!(!check("2999-01-01T00:00:00Z").contains("security_txt_file:"));
}

#[test]
fn no_secret_reaches_the_output_or_the_command_line() {
    let site = Site::new();
    let secret = "Zq".repeat(20);
    let short = "Zq".repeat(10);
    for (content, code) in [(&secret, 0), (&short, 78)] {
        let file = site.write("secret", content, 0o600);
        let block = format!(
            "{}[[auth.issuers]]\nissuer = \"i\"\naudience = [\"w\"]\nalgorithms = [\"HS256\"]\nsecret_file = {file:?}\n",
            site.head()
        );
        site.write("shared.toml", block, 0o644);
        let output = wardroom(
            site.folder.path(),
            &["check", "--config", "shared.toml"],
            &[],
        );
        assert_eq!(output.status.code(), Some(code), "{}", err(&output));
        let all = out(&output) + &err(&output);
        assert!(all.contains(file.to_str().expect("a path")));
        assert!(!all.contains("ZqZq"), "{all}");
    }
    // No command takes a secret as an argument, where every user of the machine could read it.
    for command in [
        "dev",
        "serve",
        "check",
        "token",
        "cert",
        "export",
        "verify",
        "backup",
        "healthcheck",
        "completions",
    ] {
        let help = out(&wardroom(site.folder.path(), &[command, "--help"], &[]));
        for option in ["--secret", "--password", "--token"] {
            assert!(!help.contains(option), "{command}: {help}");
        }
    }
}

#[test]
fn usage_help_and_version_are_as_people_expect() {
    let site = Site::new();
    let folder = site.folder.path();
    for wrong in [
        &["frobnicate"][..],
        &["serve", "--confg", "x"],
        &["token", "--sub", "alice"],
    ] {
        assert_eq!(
            wardroom(folder, wrong, &[]).status.code(),
            Some(2),
            "{wrong:?}"
        );
    }
    let help = wardroom(folder, &["--help"], &[]);
    assert_eq!(help.status.code(), Some(0));
    for word in [
        "dev",
        "serve",
        "check",
        "token",
        "cert",
        "export",
        "verify",
        "backup",
        "healthcheck",
        "completions",
        "78 configuration",
    ] {
        assert!(out(&help).contains(word), "{word}");
    }
    let version = wardroom(folder, &["--version"], &[]);
    assert_eq!(
        out(&version),
        format!("wardroom {}\n", env!("CARGO_PKG_VERSION"))
    );
    for shell in ["bash", "zsh", "fish"] {
        let script = wardroom(folder, &["completions", shell], &[]);
        assert_eq!(script.status.code(), Some(0));
        for command in ["healthcheck", "export", "verify", "backup"] {
            assert!(out(&script).contains(command), "{shell}: {command}");
        }
    }
}

#[test]
fn cert_makes_a_pair_that_verifies_and_never_overwrites_one() {
    let site = Site::new();
    let folder = site.folder.path();
    let arguments = [
        "cert",
        "--out",
        "made",
        "--host",
        "chat.test",
        "--host",
        "192.0.2.7",
    ];
    let made = wardroom(folder, &arguments, &[]);
    assert_eq!(made.status.code(), Some(0), "{}", err(&made));
    let file = |name: &str| folder.join("made").join(name);
    let permissions = |name: &str| {
        std::fs::metadata(file(name))
            .expect("there")
            .permissions()
            .mode()
            & 0o777
    };
    assert_eq!(permissions("tls.key"), 0o600);
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(file("ca.crt")).expect("PEM"))
        .expect("an authority");
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier =
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .build()
            .expect("a verifier");
    let leaf = CertificateDer::from_pem_file(file("tls.crt")).expect("PEM");
    let good = |name: &str, after: Duration| {
        let now =
            UnixTime::since_unix_epoch(Duration::from_secs(UnixTime::now().as_secs()) + after);
        let name = ServerName::try_from(name).expect("a name");
        verifier
            .verify_server_cert(&leaf, &[], &name, &[], now)
            .is_ok()
    };
    for name in ["localhost", "127.0.0.1", "::1", "chat.test", "192.0.2.7"] {
        assert!(good(name, Duration::ZERO), "{name}");
        assert!(good(name, Duration::from_hours(29 * 24)), "{name}");
        assert!(!good(name, Duration::from_hours(31 * 24)), "{name}");
    }
    assert!(!good("chat.example", Duration::ZERO));
    let key = PrivateKeyDer::from_pem_file(file("tls.key")).expect("PEM");
    CertifiedKey::from_der(vec![leaf], key, &provider).expect("they belong together");

    let before = std::fs::read(file("tls.key")).expect("there");
    let again = wardroom(folder, &arguments, &[]);
    assert_eq!(again.status.code(), Some(1));
    assert!(err(&again).contains("never overwritten"), "{}", err(&again));
    assert_eq!(std::fs::read(file("tls.key")).expect("there"), before);
}

#[test]
fn token_mints_what_was_asked_for() {
    let site = Site::new();
    let folder = site.folder.path();
    let minted = wardroom(
        folder,
        &[
            "token",
            "--sub",
            "alice",
            "--nick",
            "Alice",
            "--rooms",
            "lobby,support:*",
            "--scope",
            "chat",
            "--ttl",
            "5m",
            "--key",
            "tls.key",
            "--iss",
            "https://idp.example",
            "--aud",
            "wardroom",
        ],
        &[],
    );
    assert_eq!(minted.status.code(), Some(0), "{}", err(&minted));
    let token = out(&minted);
    let parts: Vec<&str> = token.trim_end().split('.').collect();
    assert_eq!(parts.len(), 3);
    let claims = BASE64URL_NOPAD
        .decode(parts[1].as_bytes())
        .expect("base64url");
    let claims: Value = serde_json::from_slice(&claims).expect("JSON");
    assert_eq!(claims["iss"], "https://idp.example");
    assert_eq!(claims["aud"], "wardroom");
    assert_eq!(claims["sub"], "alice");
    assert_eq!(claims["nickname"], "Alice");
    assert_eq!(claims["rooms"], serde_json::json!(["lobby", "support:*"]));
    assert_eq!(claims["scope"], "chat");
    let at = |claim: &str| claims[claim].as_u64().expect(claim);
    assert_eq!(at("exp") - at("iat"), 300);

    let shared = wardroom(folder, &["token", "--sub", "alice", "--key", "secret"], &[]);
    assert_eq!(shared.status.code(), Some(0), "{}", err(&shared));
    site.write(
        "open.key",
        std::fs::read(site.path("tls.key")).expect("there"),
        0o644,
    );
    for (file, says) in [
        ("missing", "missing"),
        ("open.key", "chmod 600"),
        ("tls.crt", ""),
    ] {
        let refused = wardroom(folder, &["token", "--sub", "alice", "--key", file], &[]);
        assert_eq!(refused.status.code(), Some(1), "{file}");
        assert!(
            err(&refused).contains(says) && out(&refused).is_empty(),
            "{}",
            err(&refused)
        );
    }
}

#[test]
fn healthcheck_is_done_when_the_node_is_ready() {
    let site = Site::new();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let answers = [
        "HTTP/1.1 200 OK",
        "HTTP/1.1 503 Service Unavailable",
        "nonsense",
        "HTTP/1.1 200 OK",
    ];
    let node = std::thread::spawn(move || {
        answers.map(|answer| {
            let (mut stream, _) = listener.accept().expect("a probe");
            let mut line = String::new();
            BufReader::new(&stream)
                .read_line(&mut line)
                .expect("a request");
            write!(stream, "{answer}\r\ncontent-length: 0\r\n\r\n").expect("an answer");
            line
        })
    });
    let url = format!("http://{address}/readyz");
    let probe = |arguments: &[&str], variables: &[(&str, &str)]| {
        wardroom(site.folder.path(), arguments, variables)
            .status
            .code()
    };
    assert_eq!(probe(&["healthcheck", "--url", &url], &[]), Some(0));
    assert_eq!(probe(&["healthcheck", "--url", &url], &[]), Some(1));
    assert_eq!(probe(&["healthcheck", "--url", &url], &[]), Some(1));
    let everywhere = format!("0.0.0.0:{}", address.port());
    let variables = [("WARDROOM__LISTEN__ADMIN", everywhere.as_str())];
    assert_eq!(probe(&["healthcheck"], &variables), Some(0));
    let asked = node.join().expect("the node answered");
    assert!(
        asked.iter().all(|line| line == "GET /readyz HTTP/1.1\r\n"),
        "{asked:?}"
    );
    // The listener has gone with its thread.
    assert_eq!(probe(&["healthcheck", "--url", &url], &[]), Some(1));
    assert_eq!(
        probe(&["healthcheck", "--url", "https://localhost/"], &[]),
        Some(1)
    );
}

#[test]
fn check_finds_what_only_building_the_parts_can_find() {
    let site = Site::new();
    site.write("good.toml", site.good(), 0o644);
    let variables = [("WARDROOM__AUTH__CLAIMS__ROOMS", "realm..rooms")];
    let output = wardroom(
        site.folder.path(),
        &["check", "--config", "good.toml"],
        &variables,
    );
    assert_eq!(output.status.code(), Some(78));
    let said = err(&output);
    assert!(
        said.contains("auth.claims.rooms (environment WARDROOM__AUTH__CLAIMS__ROOMS):"),
        "{said}"
    );
}
