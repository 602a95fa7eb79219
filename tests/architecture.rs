//! The arrows of the house and its other rules that text can show. A rule that fails names the file and the line.
#![expect(clippy::panic, reason = "a file that cannot be read ends the test")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

const FOUNDATIONS: [&str; 5] = ["protocol", "domain", "config", "telemetry", "clock"];

/// Who may import whom.
fn allowed(module: &str) -> Vec<&'static str> {
    let stations: &[&str] = match module {
        "cli" => &[
            "server",
            "admission",
            "auth",
            "session",
            "inbound",
            "hub",
            "log",
            "outbound",
        ],
        "server" => &[
            "admission",
            "auth",
            "session",
            "inbound",
            "hub",
            "outbound",
            "log",
        ],
        "session" => &["auth", "inbound", "hub", "outbound", "log"],
        "hub" => &["auth", "log", "outbound"],
        "inbound" | "log" | "outbound" | "admission" | "auth" => &[],
        "telemetry" => return vec!["config", "protocol", "domain", "clock"],
        "protocol" | "config" => return vec!["domain"],
        "domain" | "clock" => return vec![],
        other => panic!("src/{other} is not in the table of arrows"),
    };
    stations.iter().copied().chain(FOUNDATIONS).collect()
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn files(under: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(under).unwrap_or_else(|error| panic!("{}: {error}", under.display()))
    {
        let path = entry.expect("a folder entry").path();
        if path.is_dir() {
            found.extend(files(&path, extension));
        } else if extension.is_empty() || path.extension().is_some_and(|one| one == extension) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// A source file without its unit tests and without comments, with line numbers.
fn code(path: &Path) -> Vec<(usize, String)> {
    let text = fs::read_to_string(path).expect("a source file is text");
    let text = text
        .split("#[cfg(test)]\nmod ")
        .next()
        .unwrap_or_default()
        .to_owned();
    text.lines()
        .enumerate()
        .map(|(number, line)| (number + 1, line.to_owned()))
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
        .collect()
}

/// `src/hub/room.rs` → `hub`; `src/clock.rs` → `clock`.
fn module_of(path: &Path) -> String {
    let inside = path.strip_prefix(root().join("src")).expect("below src");
    let first = inside
        .components()
        .next()
        .expect("not empty")
        .as_os_str()
        .to_string_lossy()
        .into_owned();
    first.trim_end_matches(".rs").to_owned()
}

fn sources() -> Vec<PathBuf> {
    files(&root().join("src"), "rs")
}

#[test]
fn imports_follow_the_arrows() {
    let mut wrong = Vec::new();
    for path in sources() {
        let module = module_of(&path);
        if module == "main" || module == "lib" {
            continue;
        }
        let allowed = allowed(&module);
        // An import may span lines: the file is read as one text, its first path segment behind `crate::` decides.
        let text: String = code(&path)
            .into_iter()
            .map(|(_, line)| line + "\n")
            .collect();
        let mut named = BTreeSet::new();
        for piece in text.split("crate::").skip(1) {
            match piece.strip_prefix('{') {
                Some(group) => named.extend(group_heads(group)),
                None => named.extend(head(piece)),
            }
        }
        for target in named {
            if target != module && !allowed.contains(&target.as_str()) {
                wrong.push(format!("{} imports {target}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The first segment of each path in `{a::b, c::{d, e}, f}`.
fn group_heads(group: &str) -> Vec<String> {
    let mut depth = 1;
    let mut heads = Vec::new();
    let mut current = String::new();
    for c in group.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 || (depth == 1 && c == ',') {
            heads.extend(head(current.trim()));
            current.clear();
        } else {
            current.push(c);
        }
        if depth == 0 {
            break;
        }
    }
    heads
}

fn head(path: &str) -> Option<String> {
    let name: String = path
        .chars()
        .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
        .collect();
    (!name.is_empty()
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'))
    .then_some(name)
}

#[test]
fn one_library_has_one_home() {
    let homes: [(&str, &[&str]); 13] = [
        ("axum", &["src/server/"]),
        ("axum_server", &["src/server/"]),
        ("hyper", &["src/server/"]),
        ("hyper_util", &["src/server/"]),
        ("tower", &["src/server/"]),
        ("tower_http", &["src/server/"]),
        ("rustls", &["src/server/", "src/cli/load", "src/main.rs"]),
        ("tokio_rustls", &["src/server/", "src/cli/load"]),
        ("jsonwebtoken", &["src/auth/"]),
        ("ammonia", &["src/outbound/html.rs"]),
        (
            "governor",
            &["src/inbound/rate.rs", "src/admission/rates.rs"],
        ),
        ("rcgen", &["src/cli/", "src/auth/mint.rs"]),
        ("rusqlite", &["src/log/sqlite/"]),
    ];
    let mut wrong = Vec::new();
    for path in sources() {
        let inside = path
            .strip_prefix(root())
            .expect("below the root")
            .to_string_lossy()
            .into_owned();
        for (number, line) in code(&path) {
            for (library, homes) in homes {
                let names = |prefix: &str| line.contains(&format!("{prefix}{library}::"));
                let used = [" ", "(", "<", "&", "!", "{", "[", ":"]
                    .iter()
                    .any(|before| names(before))
                    || line.starts_with(&format!("{library}::"));
                let ours = line.contains(&format!("::{library}::"));
                if used && !ours && !homes.iter().any(|home| inside.starts_with(home)) {
                    wrong.push(format!("{inside}:{number} names {library}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn protocol_and_domain_do_nothing_but_hold_values() {
    let mut wrong = Vec::new();
    for path in sources()
        .into_iter()
        .filter(|path| ["protocol", "domain"].contains(&module_of(path).as_str()))
    {
        for (number, line) in code(&path) {
            for banned in [
                "tokio::",
                "std::fs",
                "std::net::Tcp",
                "std::io",
                "std::thread",
                "Instant",
                "SystemTime",
                "async fn",
            ] {
                if line.contains(banned) {
                    wrong.push(format!("{}:{number} names {banned}", path.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_file_says_first_what_lies_in_it() {
    for path in sources() {
        let text = fs::read_to_string(&path).expect("text");
        assert!(
            text.starts_with("//! "),
            "{} does not begin with //!",
            path.display()
        );
    }
}

#[test]
fn no_file_is_named_after_nothing() {
    for path in sources() {
        let stem = path
            .file_stem()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        for empty in [
            "util", "utils", "common", "helper", "helpers", "misc", "manager",
        ] {
            assert_ne!(stem, empty, "{}", path.display());
        }
    }
}

#[test]
fn there_are_no_cargo_features() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).expect("the manifest");
    assert!(
        !manifest.lines().any(|line| line.trim() == "[features]"),
        "what is tested is what ships"
    );
    assert!(!manifest.contains("optional = true"));
}

#[test]
fn every_file_of_the_page_is_embedded() {
    let table = fs::read_to_string(root().join("src/server/page.rs")).expect("the asset table");
    let folder = root().join("static");
    for path in files(&folder, "") {
        let inside = path
            .strip_prefix(&folder)
            .expect("below static")
            .to_string_lossy()
            .replace('\\', "/");
        assert!(
            table.contains(&format!("\"{inside}\"")),
            "static/{inside} is not in the table of src/server/page.rs"
        );
    }
}

#[test]
fn ring_is_never_built_and_heavy_crates_are_single() {
    let lock = fs::read_to_string(root().join("Cargo.lock")).expect("the lock");
    for single in [
        "axum",
        "hyper",
        "rustls",
        "tokio",
        "tower-http",
        "tungstenite",
        "aws-lc-rs",
    ] {
        let count = lock
            .lines()
            .filter(|line| *line == format!("name = \"{single}\""))
            .count();
        assert_eq!(count, 1, "{single} is locked {count} times");
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let tree = std::process::Command::new(cargo)
        .args([
            "tree",
            "--locked",
            "--offline",
            "--edges",
            "normal,build",
            "--invert",
            "ring",
        ])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(
        tree.stdout.is_empty(),
        "ring is built: {}",
        String::from_utf8_lossy(&tree.stdout)
    );
}

/// Floors below which a published flaw is open (`RustSec`, September 2026).
#[test]
fn no_locked_version_lies_below_its_floor() {
    let floors = [
        ("ammonia", [4, 2, 5]),
        ("jsonwebtoken", [10, 3, 0]),
        ("rustls", [0, 23, 45]),
        ("rustls-webpki", [0, 103, 13]),
        ("aws-lc-sys", [0, 39, 0]),
        ("h2", [0, 4, 16]),
        ("bytes", [1, 11, 1]),
        ("time", [0, 3, 47]),
        ("tokio", [1, 44, 2]),
        ("tracing-subscriber", [0, 3, 20]),
        ("anyhow", [1, 0, 103]),
        ("tungstenite", [0, 20, 1]),
    ];
    let lock = fs::read_to_string(root().join("Cargo.lock")).expect("the lock");
    let mut lines = lock.lines();
    while let Some(line) = lines.next() {
        let Some(name) = line
            .strip_prefix("name = \"")
            .and_then(|rest| rest.strip_suffix('"'))
        else {
            continue;
        };
        let version = lines
            .next()
            .and_then(|line| line.strip_prefix("version = \""))
            .and_then(|rest| rest.strip_suffix('"'));
        let version = version.unwrap_or_else(|| panic!("{name} has no version"));
        if let Some((_, floor)) = floors.iter().find(|(floored, _)| *floored == name) {
            let parts: Vec<u64> = version
                .split(['.', '-', '+'])
                .take(3)
                .map(|part| part.parse().unwrap_or(0))
                .collect();
            assert!(
                parts.as_slice() >= floor.as_slice(),
                "{name} {version} lies below {floor:?}"
            );
        }
    }
}
