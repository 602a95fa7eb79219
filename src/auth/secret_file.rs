//! Secrets from files: read whole, bounded, judged by who else may read them, and kept in a type without a readable `Debug`.
//! A file that everybody may read is refused if it is ours to protect, and warned about if somebody mounted it for us.

use std::{
    fs::{File, Metadata},
    io::{ErrorKind, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use secrecy::SecretString;

/// No key and no secret comes near this; a file beyond it is a mistake. (RSA 16384 in PEM has 13 KiB.)
const BYTES_MAX: u64 = 64 * 1024;
/// Read or write for others.
const MODE_OTHERS: u32 = 0o006;
/// Secrets that stand in documentation somewhere and therefore keep no secret.
const EXAMPLES: [&str; 3] = [
    "a-string-secret-at-least-256-bits-long",
    "your-256-bit-secret-your-256-bit-secret",
    "change-me-change-me-change-me-change-me",
];

/// Why a file's content is not used. Names the path, never the content.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {problem}", path.display())]
pub struct SecretFileError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub problem: SecretFileProblem,
}

/// What can be wrong with a file that holds a key or a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretFileProblem {
    /// The system would not give it.
    #[error("cannot be read ({0})")]
    Unreadable(ErrorKind),
    /// A directory, a socket, a device.
    #[error("is not a file")]
    NotAFile,
    /// Nothing in it.
    #[error("is empty")]
    Empty,
    /// Larger than any key.
    #[error("is larger than 64 KiB")]
    TooLarge,
    /// Others may read or write it, and it belongs to the user that runs this process.
    #[error("can be read or written by everybody; `chmod 600` it")]
    OpenToAll,
    /// DER, or another binary form.
    #[error("is not text; keys are PEM, secrets one line (`openssl rand -base64 48`)")]
    NotText,
    /// A secret with a second line, or blanks around it.
    #[error("is not one line without blanks at its ends")]
    NotOneLine,
    /// A PEM file where a shared secret belongs. Anybody could sign with a public key used as a secret.
    #[error("holds PEM; a shared secret is one line of text")]
    Pem,
    /// A secret that everybody knows.
    #[error("holds an example from the documentation; make one with `openssl rand -base64 48`")]
    Example,
}

/// The text of a secret file, a private key in PEM for instance.
pub fn read_text(path: &Path) -> Result<SecretString, SecretFileError> {
    text(path, Guard::Secret)
        .map(SecretString::from)
        .map_err(|problem| at(path, problem))
}

/// The one line of a secret file, without its newline.
pub fn read_line(path: &Path) -> Result<SecretString, SecretFileError> {
    text(path, Guard::Secret)
        .and_then(|text| line(&text).map(SecretString::from))
        .map_err(|problem| at(path, problem))
}

/// The text of a file that holds nothing secret, within the same bounds.
pub(super) fn read_public(path: &Path) -> Result<String, SecretFileError> {
    text(path, Guard::Public).map_err(|problem| at(path, problem))
}

fn at(path: &Path, problem: SecretFileProblem) -> SecretFileError {
    SecretFileError {
        path: path.to_owned(),
        problem,
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Guard {
    Public,
    Secret,
}

fn text(path: &Path, guard: Guard) -> Result<String, SecretFileProblem> {
    let unreadable = |error: std::io::Error| SecretFileProblem::Unreadable(error.kind());
    // Asked before the file is opened too: opening a FIFO would wait for a writer.
    if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(SecretFileProblem::NotAFile);
    }
    let file = File::open(path).map_err(unreadable)?;
    // Of the open file: what is judged is what is read.
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(SecretFileProblem::NotAFile);
    }
    if guard == Guard::Secret {
        check_mode(path, &metadata, effective_user())?;
    }
    if metadata.len() > BYTES_MAX {
        return Err(SecretFileProblem::TooLarge);
    }
    let mut bytes = Vec::new();
    file.take(BYTES_MAX.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    match bytes.len() as u64 {
        0 => Err(SecretFileProblem::Empty),
        1..=BYTES_MAX => String::from_utf8(bytes).map_err(|_| SecretFileProblem::NotText),
        _ => Err(SecretFileProblem::TooLarge),
    }
}

fn check_mode(
    path: &Path,
    metadata: &Metadata,
    user: Option<u32>,
) -> Result<(), SecretFileProblem> {
    if metadata.mode() & MODE_OTHERS == 0 {
        return Ok(());
    }
    // Unknown who we are: taken as ours, the stricter answer.
    if user.is_none_or(|user| user == metadata.uid()) {
        return Err(SecretFileProblem::OpenToAll);
    }
    tracing::warn!(path = %path.display(), "everybody on this machine may read this secret; it is mounted by another user");
    Ok(())
}

/// The user that this process acts as. Read from `/proc`, because the call would need `unsafe`; where there is no `/proc` it
/// stays unknown.
fn effective_user() -> Option<u32> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let ids = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    ids.split_ascii_whitespace().nth(1)?.parse().ok()
}

fn line(text: &str) -> Result<&str, SecretFileProblem> {
    if text.contains("-----BEGIN") {
        return Err(SecretFileProblem::Pem);
    }
    let line = text.strip_suffix('\n').unwrap_or(text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.is_empty() {
        return Err(SecretFileProblem::Empty);
    }
    if line.contains('\n') || line.trim() != line {
        return Err(SecretFileProblem::NotOneLine);
    }
    if line.contains(char::is_control) {
        return Err(SecretFileProblem::NotText);
    }
    if EXAMPLES.contains(&line) {
        return Err(SecretFileProblem::Example);
    }
    Ok(line)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf};

    use secrecy::ExposeSecret;

    use super::{SecretFileProblem as Problem, check_mode, effective_user, read_line, read_text};

    struct Files(tempfile::TempDir);

    impl Files {
        fn new() -> Self {
            Self(tempfile::tempdir().expect("a directory"))
        }

        fn write(&self, content: impl AsRef<[u8]>, mode: u32) -> PathBuf {
            let path = self.0.path().join("secret");
            fs::write(&path, content).expect("a file");
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("a mode");
            path
        }
    }

    fn line_of(content: impl AsRef<[u8]>) -> Result<String, Problem> {
        let files = Files::new();
        read_line(&files.write(content, 0o600))
            .map(|secret| secret.expose_secret().to_owned())
            .map_err(|error| error.problem)
    }

    #[test]
    fn one_trailing_newline_is_trimmed_and_anything_else_odd_is_refused() {
        assert_eq!(line_of("secret"), Ok("secret".to_owned()));
        assert_eq!(line_of("secret\n"), Ok("secret".to_owned()));
        assert_eq!(line_of("secret\r\n"), Ok("secret".to_owned()));
        for (content, problem) in [
            (&b""[..], Problem::Empty),
            (b"\n", Problem::Empty),
            (b"secret\n\n", Problem::NotOneLine),
            (b"a\nb\n", Problem::NotOneLine),
            (b" secret", Problem::NotOneLine),
            (b"secret \n", Problem::NotOneLine),
            (b"sec\0ret", Problem::NotText),
            (b"sec\x1bret", Problem::NotText),
            (b"\xff\xfe", Problem::NotText),
            (b"-----BEGIN PUBLIC KEY-----\nx\n", Problem::Pem),
            (
                b"a-string-secret-at-least-256-bits-long\n",
                Problem::Example,
            ),
        ] {
            assert_eq!(line_of(content), Err(problem), "{content:?}");
        }
    }

    #[test]
    fn sizes_and_kinds_are_checked_before_content() {
        let files = Files::new();
        let problem = |path: &PathBuf| read_text(path).err().map(|error| error.problem);
        assert_eq!(problem(&files.write("x".repeat(65536), 0o600)), None);
        assert_eq!(
            problem(&files.write("x".repeat(65537), 0o600)),
            Some(Problem::TooLarge)
        );
        assert_eq!(problem(&files.0.path().to_owned()), Some(Problem::NotAFile));
        assert_eq!(
            problem(&files.0.path().join("absent")),
            Some(Problem::Unreadable(std::io::ErrorKind::NotFound))
        );
    }

    #[test]
    fn a_secret_that_everybody_may_read_is_refused_if_it_is_ours() {
        let files = Files::new();
        for (mode, problem) in [
            (0o600, None),
            (0o400, None),
            (0o640, None),
            (0o644, Some(Problem::OpenToAll)),
            (0o604, Some(Problem::OpenToAll)),
            (0o602, Some(Problem::OpenToAll)),
        ] {
            let path = files.write("secret", mode);
            assert_eq!(
                read_text(&path).err().map(|error| error.problem),
                problem,
                "{mode:o}"
            );
        }
    }

    #[test]
    fn a_mounted_secret_of_another_user_is_used() {
        let files = Files::new();
        let path = files.write("secret", 0o644);
        let metadata = fs::metadata(&path).expect("metadata");
        let me = effective_user().expect("this test runs where there is /proc");
        assert_eq!(check_mode(&path, &metadata, Some(me + 1)), Ok(()));
        assert_eq!(
            check_mode(&path, &metadata, Some(me)),
            Err(Problem::OpenToAll)
        );
        assert_eq!(check_mode(&path, &metadata, None), Err(Problem::OpenToAll));
    }

    #[test]
    fn an_error_names_the_path_and_never_the_content() {
        let files = Files::new();
        let path = files.write("hunter2\nhunter2", 0o600);
        let error = read_line(&path).expect_err("two lines").to_string();
        assert!(error.contains(path.to_str().expect("text")), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}
