//! The files that a configuration names: certificates, keys, secrets. Each is looked at before anything starts, so that a
//! wrong path is a finding with its key and not a surprise in the first handshake. What a file says is never repeated.

use std::{
    fs::{self, File, Metadata},
    io::{self, Read},
    path::Path,
};

use secrecy::{ExposeSecret, SecretSlice, SecretString};

/// No certificate chain, key set or secret is near this; a log file named by mistake is beyond it.
const BYTES_MAX: u64 = 1024 * 1024;

/// The fewest bytes of a shared secret: the strength of HMAC-SHA-256 itself.
const SECRET_BYTES_MIN: usize = 32;

/// Secrets that documentation shows, ours and others'. Somebody who copies one has none.
const EXAMPLE_SECRETS: &[&str] = &[
    "an-example-secret-that-everybody-can-read",
    "a-string-secret-at-least-256-bits-long",
    "your-256-bit-secret-your-256-bit-secret",
    "a-valid-string-secret-that-is-at-least-512-bits-long-which-is-very-long",
];

/// A file that can be used, and what is worth a word about it.
#[derive(Debug)]
pub(super) struct Usable<T> {
    pub(super) content: T,
    pub(super) warning: Option<String>,
}

/// Looks at a PEM certificate chain.
pub(super) fn certificates(path: &Path) -> Result<(), String> {
    let text = read_text(path, "PEM")?;
    let pem = text.expose_secret();
    let what = if pem.contains("-----BEGIN CERTIFICATE-----") {
        return Ok(());
    } else if pem.contains("PRIVATE KEY-----") {
        "holds a private key and no certificate"
    } else {
        "holds no certificate: a PEM file has a line -----BEGIN CERTIFICATE-----"
    };
    Err(about(path, what))
}

/// Looks at a PEM private key, and at who may read it.
pub(super) fn private_key(path: &Path) -> Result<Usable<()>, String> {
    private_key_text(path).map(|usable| Usable {
        content: (),
        warning: usable.warning,
    })
}

/// Reads a PEM private key from a file that not everybody may read.
pub fn read_private_key(path: &Path) -> Result<SecretString, String> {
    private_key_text(path).map(|usable| usable.content)
}

fn private_key_text(path: &Path) -> Result<Usable<SecretString>, String> {
    let warning = guarded(path)?;
    let text = read_text(path, "PEM")?;
    let pem = text.expose_secret();
    let what = if pem.contains("-----BEGIN ENCRYPTED PRIVATE KEY-----") {
        "is encrypted, and nobody is there to type the passphrase: decrypt it with openssl pkey"
    } else if pem.contains("PRIVATE KEY-----") {
        return Ok(Usable {
            content: text,
            warning,
        });
    } else if pem.contains("-----BEGIN CERTIFICATE-----") {
        "holds a certificate and no private key"
    } else {
        "holds no private key: a PEM file has a line -----BEGIN PRIVATE KEY-----"
    };
    Err(about(path, what))
}

/// Looks at a PEM public key.
pub(super) fn public_key(path: &Path) -> Result<(), String> {
    read_public_key(path).map(drop)
}

/// Reads a PEM public key. It is no secret: who may read it does not matter.
pub fn read_public_key(path: &Path) -> Result<String, String> {
    let text = read_text(path, "PEM")?;
    let pem = text.expose_secret();
    let what = if pem.contains("PRIVATE KEY-----") {
        "holds a private key: this key is for checking tokens only, give its public half (openssl pkey -pubout)"
    } else if pem.contains("PUBLIC KEY-----") {
        return Ok(pem.to_owned());
    } else {
        "holds no public key: a PEM file has a line -----BEGIN PUBLIC KEY-----"
    };
    Err(about(path, what))
}

/// Reads a shared secret: text of 32 bytes or more on one line. The end of that line is not part of it.
pub fn read_secret(path: &Path) -> Result<SecretString, String> {
    secret(path).map(|usable| usable.content)
}

pub(super) fn secret(path: &Path) -> Result<Usable<SecretString>, String> {
    let warning = guarded(path)?;
    let text = read_text(path, "text; make a secret with openssl rand -base64 48")?;
    let text = text.expose_secret();
    let line = text.strip_suffix('\n').unwrap_or(text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    let length = line.len();
    let what = if line.chars().any(char::is_control) || line.trim() != line {
        "must be one line without white space at its ends".to_owned()
    } else if length < SECRET_BYTES_MIN {
        format!("holds {length} bytes: a secret has at least {SECRET_BYTES_MIN}")
    } else if EXAMPLE_SECRETS.contains(&line) {
        "holds the example of a documentation, which everybody knows: make an own one with openssl rand -base64 48".to_owned()
    } else {
        return Ok(Usable {
            content: SecretString::from(line),
            warning,
        });
    };
    Err(about(path, &what))
}

/// Looks at a `security.txt`: the two lines without which it says nothing.
pub(super) fn security_txt(path: &Path) -> Result<(), String> {
    let text = read_text(path, "text")?;
    let text = text.expose_secret();
    let has = |field: &str| {
        text.lines().any(|line| {
            line.get(..field.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(field))
        })
    };
    if has("contact:") && has("expires:") {
        Ok(())
    } else {
        Err(about(path, "must have a Contact: and an Expires: line"))
    }
}

/// Who else may read or write a file that holds a secret. Ours and open to all is refused; another's, as a secret that an
/// orchestrator mounts, is only worth a word, for we could not change it.
fn guarded(path: &Path) -> Result<Option<String>, String> {
    let metadata = look(path)?;
    let Some(mode) = open_to_all(&metadata) else {
        return Ok(None);
    };
    if is_ours(&metadata) {
        Err(about(
            path,
            &format!("may be read or written by everybody (mode {mode:04o}): chmod 600"),
        ))
    } else {
        Ok(Some(about(
            path,
            &format!(
                "may be read or written by everybody (mode {mode:04o}), and belongs to another user"
            ),
        )))
    }
}

#[cfg(unix)]
fn open_to_all(metadata: &Metadata) -> Option<u32> {
    use std::os::unix::fs::PermissionsExt;

    let mode = metadata.permissions().mode() & 0o7777;
    (mode & 0o006 != 0).then_some(mode)
}

/// Whether we own it. Without unsafe code the one who knows our user is `/proc`; not by the owner of its folder, which is
/// root's for a binary with capabilities, but by the line with the real, the effective and the other users.
#[cfg(unix)]
fn is_ours(metadata: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;

    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status
        .lines()
        .find_map(|line| line.strip_prefix("Uid:"))
        .and_then(|users| users.split_ascii_whitespace().nth(1)?.parse().ok());
    effective.is_none_or(|user: u32| user == metadata.uid())
}

#[cfg(not(unix))]
fn open_to_all(_metadata: &Metadata) -> Option<u32> {
    None
}

#[cfg(not(unix))]
fn is_ours(_metadata: &Metadata) -> bool {
    true
}

fn look(path: &Path) -> Result<Metadata, String> {
    let metadata = fs::metadata(path).map_err(|error| cannot_be_read(path, &error))?;
    if metadata.is_dir() {
        Err(about(path, "is a directory"))
    } else if !metadata.is_file() {
        Err(about(path, "is not a regular file"))
    } else if metadata.len() > BYTES_MAX {
        Err(about(
            path,
            &format!("is larger than {BYTES_MAX} bytes: this is another file"),
        ))
    } else {
        Ok(metadata)
    }
}

/// Reads a file as text, wiped when it is dropped; `form` says what it should have been.
fn read_text(path: &Path, form: &str) -> Result<SecretString, String> {
    look(path)?;
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(BYTES_MAX).read_to_end(&mut bytes))
        .map_err(|error| cannot_be_read(path, &error))?;
    if bytes.is_empty() {
        return Err(about(path, "is empty"));
    }
    String::from_utf8(bytes)
        .map(SecretString::from)
        .map_err(|error| {
            // A key in another form is a secret too.
            drop(SecretSlice::from(error.into_bytes()));
            about(path, &format!("is not {form}"))
        })
}

fn cannot_be_read(path: &Path, error: &io::Error) -> String {
    let why = match error.kind() {
        io::ErrorKind::NotFound => "does not exist".to_owned(),
        io::ErrorKind::PermissionDenied => "may not be read by this user".to_owned(),
        _ => format!("cannot be read: {error}"),
    };
    about(path, &why)
}

fn about(path: &Path, what: &str) -> String {
    format!("the file {} {what}", path.display())
}
