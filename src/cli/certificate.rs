//! A development authority and a certificate that it signs. The authority's key is never written: whoever trusts it trusts the
//! one certificate that it signed, and nothing that could be signed later.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, date_time_ymd,
};

/// How long a certificate is good. Short, for what trusts it is somebody's browser.
const LIFE: Duration = Duration::from_hours(30 * 24);

/// A clock that is a little behind ours must not find it "not yet valid".
const BACKDATED: Duration = Duration::from_hours(1);

/// Names that every certificate is for.
const LOCAL_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// The three files, as PEM.
pub(super) struct Pair {
    ca: String,
    certificate: String,
    key: String,
    /// Seconds since 1970.
    not_after: u64,
}

impl Pair {
    /// Makes a pair for this machine's loopback names and `hosts`, from now on.
    pub(super) fn make(hosts: &[String], now_s: u64) -> anyhow::Result<Self> {
        let mut names: Vec<String> = LOCAL_NAMES.map(String::from).to_vec();
        names.extend(
            hosts
                .iter()
                .filter(|host| !LOCAL_NAMES.contains(&host.as_str()))
                .cloned(),
        );
        let not_after = now_s.saturating_add(LIFE.as_secs());

        let mut authority = CertificateParams::default();
        authority.distinguished_name = named("Wardroom development authority");
        authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        valid(&mut authority, now_s, not_after);
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;

        let mut leaf = CertificateParams::new(names).context("a --host is no name of a host")?;
        leaf.distinguished_name = named("Wardroom development");
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        leaf.use_authority_key_identifier_extension = true;
        valid(&mut leaf, now_s, not_after);
        let key = KeyPair::generate()?;
        let certificate = leaf.signed_by(&key, &authority)?;
        Ok(Self {
            ca: authority.pem(),
            certificate: certificate.pem(),
            key: key.serialize_pem(),
            not_after,
        })
    }
}

fn named(common: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common);
    name
}

fn valid(params: &mut CertificateParams, now_s: u64, not_after: u64) {
    let at = |seconds: u64| date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds);
    params.not_before = at(now_s.saturating_sub(BACKDATED.as_secs()));
    params.not_after = at(not_after);
}

/// Where a pair lies.
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// What to trust.
    pub(super) fn ca(&self) -> PathBuf {
        self.0.join("ca.crt")
    }

    /// What is served.
    pub(super) fn certificate(&self) -> PathBuf {
        self.0.join("tls.crt")
    }

    /// Its key, mode 0600.
    pub(super) fn key(&self) -> PathBuf {
        self.0.join("tls.key")
    }

    /// When the pair ends, in seconds since 1970: written last, so that it is only there beside a whole pair.
    fn end(&self) -> PathBuf {
        self.0.join("not-after")
    }

    /// The first of our files that is there already.
    pub(super) fn occupied(&self) -> Option<PathBuf> {
        [self.ca(), self.certificate(), self.key()]
            .into_iter()
            .find(|path| path.exists())
    }

    /// Whether a whole pair lies here that is good for longer than `left`.
    pub(super) fn is_good_for(&self, left: Duration, now_s: u64) -> bool {
        let end = fs::read_to_string(self.end())
            .ok()
            .and_then(|text| text.trim().parse::<u64>().ok());
        let whole = [self.ca(), self.certificate(), self.key()]
            .iter()
            .all(|path| path.is_file());
        whole && end.is_some_and(|end| end > now_s.saturating_add(left.as_secs()))
    }

    /// Writes a pair over what is there.
    pub(super) fn write(&self, pair: &Pair) -> anyhow::Result<()> {
        fs::create_dir_all(&self.0)
            .with_context(|| format!("{} cannot be made", self.0.display()))?;
        remove(&self.end())?;
        replace(&self.key(), &pair.key, 0o600)?;
        replace(&self.certificate(), &pair.certificate, 0o644)?;
        replace(&self.ca(), &pair.ca, 0o644)
    }

    /// Remembers when the pair ends, for [`Folder::is_good_for`].
    pub(super) fn remember_end(&self, pair: &Pair) -> anyhow::Result<()> {
        replace(&self.end(), &format!("{}\n", pair.not_after), 0o644)
    }
}

/// Writes a new file beside the old one and moves it into place, so that nobody reads half of it and nobody could have opened
/// it before its mode was right.
fn replace(path: &Path, content: &str, mode: u32) -> anyhow::Result<()> {
    let fresh = path.with_extension("new");
    remove(&fresh)?;
    let write = || -> io::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&fresh)?;
        file.write_all(content.as_bytes())?;
        file.sync_all()?;
        fs::rename(&fresh, path)
    };
    write().with_context(|| format!("{} cannot be written", path.display()))
}

fn remove(path: &Path) -> anyhow::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("{} cannot be removed", path.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt, time::Duration};

    use super::{Folder, LIFE, Pair};

    const DAY: Duration = Duration::from_hours(24);
    const NOW: u64 = 1_795_521_600;

    #[test]
    fn a_pair_is_used_again_until_its_last_day() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = Folder::new(folder.path().join("certs/dev"));
        assert!(!folder.is_good_for(DAY, NOW));
        let pair = Pair::make(&[], NOW).expect("a pair");
        folder.write(&pair).expect("written");
        assert!(!folder.is_good_for(DAY, NOW), "its end is not known");
        folder.remember_end(&pair).expect("written");
        assert!(folder.is_good_for(DAY, NOW));
        let last_day = NOW + LIFE.as_secs() - DAY.as_secs();
        assert!(folder.is_good_for(DAY, last_day - 1));
        assert!(!folder.is_good_for(DAY, last_day));
        fs::remove_file(folder.key()).expect("removed");
        assert!(!folder.is_good_for(DAY, NOW));
    }

    #[test]
    fn a_key_is_its_owner_s_alone_even_over_one_that_was_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = Folder::new(folder.path());
        fs::write(folder.key(), "an old key").expect("written");
        fs::set_permissions(folder.key(), fs::Permissions::from_mode(0o644)).expect("a mode");
        assert_eq!(folder.occupied(), Some(folder.key()));
        let pair = Pair::make(&["chat.test".to_owned()], NOW).expect("a pair");
        folder.write(&pair).expect("written");
        let mode = fs::metadata(folder.key())
            .expect("there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(
            fs::read_to_string(folder.key())
                .expect("there")
                .contains("PRIVATE KEY")
        );
        let certificate = fs::read_to_string(folder.certificate()).expect("there");
        assert_eq!(certificate.matches("BEGIN CERTIFICATE").count(), 1);
    }

    #[test]
    fn a_host_that_is_no_name_is_refused() {
        assert!(Pair::make(&["chat test é".to_owned()], NOW).is_err());
    }
}
