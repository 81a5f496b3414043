//! The cluster's certificates and keys: what is missing is made, what grows old is renewed, what is broken is said.
//!
//! Invariant: a private key is in a file that only its owner reads, and never in a log.

mod authority;
mod files;
mod inspect;
mod kubeconfig;
mod profile;
mod serving;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base::{CancellationToken, Clock};
use ipnet::IpNet;
use jiff::Timestamp;
use rcgen::{KeyPair, PKCS_RSA_SHA256};

pub use authority::{Authority, Pair};
pub use files::write_private;
pub use inspect::Facts;
pub use kubeconfig::kubeconfig;
pub use profile::Profile;
pub use serving::Serving;

use crate::authentication::{SigningKey, VerifyingKey};

/// How often files that somebody else renews are read again.
const SUPPLIED_CHECK: Duration = Duration::from_secs(3600);
/// How soon a failed renewal is tried again.
const RETRY: Duration = Duration::from_secs(60);

/// Why the certificates cannot be used; each a sentence for whoever starts the server.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read.
    #[error("{file} cannot be read: {1}", file = .0.display())]
    Read(PathBuf, #[source] std::io::Error),
    /// A file cannot be written.
    #[error("{file} cannot be written: {1}", file = .0.display())]
    Write(PathBuf, #[source] std::io::Error),
    /// A file is not what it should be.
    #[error("{file} cannot be used: {1}", file = .0.display())]
    Broken(PathBuf, String),
}

/// Files that the operator supplies instead of ours.
#[derive(Debug, Clone, Default)]
pub struct Supplied {
    /// `--tls-cert-file` and `--tls-private-key-file`.
    pub serving: Option<(PathBuf, PathBuf)>,
    /// `--client-ca-file`.
    pub client_ca: Option<PathBuf>,
    /// `--service-account-signing-key-file`.
    pub signing_key: Option<PathBuf>,
    /// `--service-account-key-file`, each.
    pub verifying_keys: Vec<PathBuf>,
}

/// All certificates and keys of a server.
#[derive(Debug)]
pub struct Certificates {
    folder: PathBuf,
    supplied: Supplied,
    authority: Authority,
    serving_profile: Profile,
    serving: Arc<Serving>,
}

impl Certificates {
    /// Opens the folder `pki` in `data_dir`, making what is missing and renewing what is old. The serving certificate
    /// is good for `names` at least.
    ///
    /// # Errors
    /// When a file is broken or the disk says no.
    pub fn open(data_dir: &Path, supplied: Supplied, names: Vec<String>, now: Timestamp) -> Result<Self, Error> {
        let folder = data_dir.join("pki");
        let authority = open_authority(&folder, now)?;
        let serving_profile = Profile::serving(&names);
        let (pair, from) = serving_pair(&folder, &supplied, &authority, &serving_profile, now)?;
        let serving = Serving::new(&pair).map_err(|why| Error::Broken(from, why))?;
        Ok(Self { folder, supplied, authority, serving_profile, serving: Arc::new(serving) })
    }

    /// What the TLS listener shows.
    #[must_use]
    pub fn serving(&self) -> Arc<Serving> {
        Arc::clone(&self.serving)
    }

    /// The certificate that clients trust the server by.
    #[must_use]
    pub fn authority_pem(&self) -> &str {
        self.authority.certificate_pem()
    }

    /// The cluster's authority, which also signs requests for certificates.
    #[must_use]
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// The certificates that client certificates are checked against: the supplied ones, and our own, which our
    /// components show.
    ///
    /// # Errors
    /// When the supplied file cannot be read or holds none.
    pub fn client_ca_pem(&self) -> Result<String, Error> {
        let own = self.authority.certificate_pem();
        let Some(path) = &self.supplied.client_ca else { return Ok(own.to_owned()) };
        let supplied = must_read(path)?;
        Facts::read(&supplied).map_err(|why| Error::Broken(path.clone(), why))?;
        Ok(format!("{}\n{own}", supplied.trim_end()))
    }

    /// The pair of files for `profile`: the kept one, or a new one when that is missing, old or does not fit.
    ///
    /// # Errors
    /// When the kept files are broken or the disk says no.
    pub fn pair(&self, profile: &Profile, now: Timestamp) -> Result<Pair, Error> {
        ensure_pair(&self.folder, &self.authority, profile, now)
    }

    /// Writes a kubeconfig for `profile` to `path`.
    ///
    /// # Errors
    /// As [`Certificates::pair`].
    pub fn write_kubeconfig(&self, path: &Path, server: &str, profile: &Profile, now: Timestamp) -> Result<(), Error> {
        let pair = self.pair(profile, now)?;
        write_private(path, &kubeconfig(server, self.authority_pem(), &profile.common_name, &pair))
    }

    /// The key that signs tokens, and all keys whose tokens count.
    ///
    /// # Errors
    /// When a file is broken or the disk says no.
    pub fn token_keys(&self) -> Result<(SigningKey, Vec<VerifyingKey>), Error> {
        let signing_path = self.supplied.signing_key.clone().unwrap_or_else(|| self.folder.join("sa.key"));
        let pem = match files::read(&signing_path)? {
            Some(pem) => pem,
            None if self.supplied.signing_key.is_none() => self.make_signing_key(&signing_path)?,
            None => must_read(&signing_path)?,
        };
        let broken = |path: &Path, why: &dyn std::fmt::Display| Error::Broken(path.to_owned(), why.to_string());
        let signing = SigningKey::from_pem(pem.as_bytes()).map_err(|why| broken(&signing_path, &why))?;
        let mut verifying = vec![signing.public().clone()];
        for path in &self.supplied.verifying_keys {
            let key = VerifyingKey::from_pem(must_read(path)?.as_bytes()).map_err(|why| broken(path, &why))?;
            if !verifying.contains(&key) {
                verifying.push(key);
            }
        }
        Ok((signing, verifying))
    }

    /// Keeps the serving certificate fresh until `stop`: ours is renewed in time, a supplied one is read again.
    pub async fn keep_fresh(&self, clock: Clock, stop: CancellationToken) {
        loop {
            let next = self.refresh(clock.now());
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = clock.sleep_until_wall(next) => {}
            }
        }
    }

    /// Renews or reads again; says when to look next.
    fn refresh(&self, now: Timestamp) -> Timestamp {
        match self.try_refresh(now) {
            Ok(next) => next,
            Err(error) => {
                tracing::error!(%error, "the serving certificate cannot be renewed; trying again");
                now + RETRY
            }
        }
    }

    fn try_refresh(&self, now: Timestamp) -> Result<Timestamp, Error> {
        let (pair, from) = serving_pair(&self.folder, &self.supplied, &self.authority, &self.serving_profile, now)?;
        self.serving.exchange(&pair).map_err(|why| Error::Broken(from.clone(), why))?;
        if self.supplied.serving.is_some() {
            return Ok(now + SUPPLIED_CHECK);
        }
        let facts = Facts::read(&pair.certificate_pem).map_err(|why| Error::Broken(from, why))?;
        Ok(facts.renew_at().max(now + RETRY))
    }

    /// Makes an RSA key, which every checker of tokens understands.
    fn make_signing_key(&self, path: &Path) -> Result<String, Error> {
        let key =
            KeyPair::generate_for(&PKCS_RSA_SHA256).map_err(|why| Error::Broken(path.to_owned(), why.to_string()))?;
        write_private(path, &key.serialize_pem())?;
        write_private(&self.folder.join("sa.pub"), &key.public_key_pem())?;
        Ok(key.serialize_pem())
    }
}

/// The names that the API server answers to in every cluster, then the given addresses and names, each once.
#[must_use]
pub fn serving_names(addresses: &[IpAddr], service_range: IpNet, host: &str) -> Vec<String> {
    let fixed = [
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
        "localhost",
        "127.0.0.1",
        "::1",
        host,
    ];
    let addresses = addresses.iter().filter(|address| !address.is_unspecified());
    let addresses = addresses.copied().chain([crate::bootstrap::first_address(service_range)]);
    let names = fixed.iter().map(|name| (*name).to_owned()).chain(addresses.map(|address| address.to_string()));
    let mut seen = BTreeSet::new();
    names.filter(|name| !name.is_empty() && seen.insert(name.clone())).collect()
}

fn open_authority(folder: &Path, now: Timestamp) -> Result<Authority, Error> {
    let (certificate, key) = files::paths(folder, "ca");
    if let Some(pair) = files::read_pair(&certificate, &key)? {
        return Authority::read(pair).map_err(|why| Error::Broken(certificate, why));
    }
    let authority = Authority::make(now);
    files::write_pair(&certificate, &key, authority.pair())?;
    Ok(authority)
}

/// The serving pair and the file to name when it is broken.
fn serving_pair(
    folder: &Path,
    supplied: &Supplied,
    authority: &Authority,
    profile: &Profile,
    now: Timestamp,
) -> Result<(Pair, PathBuf), Error> {
    if let Some((certificate, key)) = &supplied.serving {
        let pair = Pair { certificate_pem: must_read(certificate)?, key_pem: must_read(key)? };
        return Ok((pair, certificate.clone()));
    }
    let (certificate, _) = files::paths(folder, &profile.file);
    Ok((ensure_pair(folder, authority, profile, now)?, certificate))
}

fn ensure_pair(folder: &Path, authority: &Authority, profile: &Profile, now: Timestamp) -> Result<Pair, Error> {
    let (certificate, key) = files::paths(folder, &profile.file);
    // Half a pair is what a crash between two writes leaves; it is ours to make whole.
    if let (Some(certificate_pem), Some(key_pem)) = (files::read(&certificate)?, files::read(&key)?) {
        let pair = Pair { certificate_pem, key_pem };
        let broken = |why| Error::Broken(certificate.clone(), why);
        let authority = Facts::read(authority.certificate_pem()).map_err(broken)?;
        if inspect::is_good(&pair, profile, &authority, now).map_err(broken)? {
            return Ok(pair);
        }
    }
    let pair = authority.issue(profile, now);
    files::write_pair(&certificate, &key, &pair)?;
    Ok(pair)
}

fn must_read(path: &Path) -> Result<String, Error> {
    files::read(path)?.ok_or_else(|| Error::Read(path.to_owned(), std::io::ErrorKind::NotFound.into()))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const START: &str = "2026-01-01T00:00:00Z";

    fn open(folder: &Path, names: &[&str], now: &str) -> Result<Certificates, Error> {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        Certificates::open(folder, Supplied::default(), names, now.parse().unwrap())
    }

    #[test]
    fn made_once_kept_private_and_renewed_in_time() {
        let folder = tempfile::tempdir().unwrap();
        let read = |name: &str| fs::read_to_string(folder.path().join("pki").join(name)).unwrap();
        open(folder.path(), &["localhost", "::1"], START).unwrap();
        let (authority, serving) = (read("ca.crt"), read("apiserver.crt"));
        open(folder.path(), &["localhost"], "2026-08-01T00:00:00Z").unwrap();
        assert_eq!((read("ca.crt"), read("apiserver.crt")), (authority.clone(), serving.clone()));
        open(folder.path(), &["localhost"], "2026-10-01T00:00:00Z").unwrap();
        let renewed = read("apiserver.crt");
        assert_ne!(renewed, serving);
        open(folder.path(), &["localhost", "10.0.0.1"], "2026-10-01T00:00:00Z").unwrap();
        assert_ne!(read("apiserver.crt"), renewed);
        assert_eq!(read("ca.crt"), authority);
        for file in fs::read_dir(folder.path().join("pki")).unwrap() {
            let file = file.unwrap();
            assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", file.path());
        }
    }

    #[test]
    fn broken_files_are_said() {
        let folder = tempfile::tempdir().unwrap();
        open(folder.path(), &["localhost"], START).unwrap();
        let pki = folder.path().join("pki");
        let complaint = |file: &str, text: &str| {
            let kept = fs::read(pki.join(file)).unwrap();
            fs::write(pki.join(file), text).unwrap();
            let error = open(folder.path(), &["localhost"], START).unwrap_err().to_string();
            fs::write(pki.join(file), kept).unwrap();
            error.replace(&folder.path().display().to_string(), "DIR")
        };
        let other = KeyPair::generate().unwrap().serialize_pem();
        let leaf = fs::read_to_string(pki.join("apiserver.crt")).unwrap();
        let shown = [
            complaint("ca.crt", "nonsense"),
            complaint("ca.key", "nonsense"),
            complaint("ca.key", &other),
            complaint("apiserver.crt", ""),
            complaint("apiserver.key", "nonsense"),
            complaint("ca.crt", &leaf),
        ];
        fs::remove_file(pki.join("ca.key")).unwrap();
        let missing = open(folder.path(), &[], START).unwrap_err().to_string();
        let missing = missing.replace(&folder.path().display().to_string(), "DIR");
        expect_test::expect![[r#"
            DIR/pki/ca.crt cannot be used: it holds no PEM certificate
            DIR/pki/ca.crt cannot be used: it holds no usable private key
            DIR/pki/ca.crt cannot be used: the key does not belong to the certificate
            DIR/pki/apiserver.crt cannot be used: it holds no PEM certificate
            DIR/pki/apiserver.crt cannot be used: it holds no usable private key
            DIR/pki/ca.crt cannot be used: the key does not belong to the certificate
            DIR/pki/ca.key cannot be used: it is missing, but its certificate is there"#]]
        .assert_eq(&format!("{}\n{missing}", shown.join("\n")));
    }

    #[test]
    fn what_a_crash_left_is_made_whole() {
        let folder = tempfile::tempdir().unwrap();
        open(folder.path(), &["localhost"], START).unwrap();
        let key = folder.path().join("pki/apiserver.key");
        for leftover in [Some(KeyPair::generate().unwrap().serialize_pem()), None] {
            match leftover {
                Some(text) => fs::write(&key, text).unwrap(),
                None => fs::remove_file(&key).unwrap(),
            }
            open(folder.path(), &["localhost"], START).unwrap();
            KeyPair::from_pem(&fs::read_to_string(&key).unwrap()).unwrap();
        }
    }

    #[test]
    fn keys_of_tokens_are_made_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let certificates = open(folder.path(), &["localhost"], START).unwrap();
        let (signing, verifying) = certificates.token_keys().unwrap();
        assert_eq!(certificates.token_keys().unwrap().1, verifying);
        assert_eq!(verifying, [signing.public().clone()]);
    }

    #[test]
    fn the_kubeconfig_reads_back() {
        let folder = tempfile::tempdir().unwrap();
        let now: Timestamp = START.parse().unwrap();
        let certificates = open(folder.path(), &["localhost"], START).unwrap();
        let path = folder.path().join("admin.kubeconfig");
        certificates.write_kubeconfig(&path, "https://127.0.0.1:6443", &Profile::admin(), now).unwrap();
        let read = machinery::yaml::parse(&fs::read_to_string(&path).unwrap()).unwrap();
        assert_eq!(read.str_at(&["current-context"]), Some("kubernetes-admin@coxswain"));
        let cluster = &read.items_at(&["clusters"])[0];
        assert_eq!(cluster.str_at(&["cluster", "server"]), Some("https://127.0.0.1:6443"));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[tokio::test(start_paused = true)]
    async fn a_running_server_renews_without_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::starting_at(START.parse().unwrap());
        let certificates = Arc::new(open(folder.path(), &["localhost"], START).unwrap());
        let read = || fs::read_to_string(folder.path().join("pki/apiserver.crt")).unwrap();
        let (first, stop) = (read(), CancellationToken::new());
        let keeping = base::spawn("certificates", {
            let (certificates, clock, stop) = (Arc::clone(&certificates), clock.clone(), stop.clone());
            async move { certificates.keep_fresh(clock, stop).await }
        });
        clock.sleep(Duration::from_secs(200 * 24 * 3600)).await;
        assert_eq!(read(), first);
        clock.sleep(Duration::from_secs(60 * 24 * 3600)).await;
        assert_ne!(read(), first);
        stop.cancel();
        keeping.await.unwrap();
    }

    #[test]
    fn names_of_the_server() {
        let addresses = ["0.0.0.0", "192.0.2.7", "127.0.0.1"].map(|address| address.parse().unwrap());
        let names = serving_names(&addresses, "10.96.0.0/16".parse().unwrap(), "host");
        assert_eq!(
            names.join(" "),
            "kubernetes kubernetes.default kubernetes.default.svc kubernetes.default.svc.cluster.local localhost 127.0.0.1 ::1 host 192.0.2.7 10.96.0.1"
        );
    }
}
