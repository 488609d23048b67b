//! Who this device is: a key and a certificate of its own, made at first start and kept.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls::ServerConfig;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::durable;

const KEY: &str = "device.key";
const CERTIFICATE: &str = "device.crt";
/// Addresses that were given to this device by hand, one a line, the newest last.
const ADDRESSES: &str = "device.addresses";
/// The names that the certificate has, one a line.
const NAMES: &str = "device.names";
/// Most addresses that the certificate names.
const MOST_ADDRESSES: usize = 8;
/// A Pi has no battery clock and may believe that it is 1970: the certificate holds from then on …
const NOT_BEFORE: i64 = 0;
/// … and does not end by itself (RFC 5280 §4.1.2.5: 99991231235959Z, "no well-defined expiration").
const NOT_AFTER: i64 = 253_402_300_799;

/// The device's key and certificate. The key is never printed.
pub struct Identity {
    folder: PathBuf,
    names: Vec<String>,
    key_pem: String,
    shown: Arc<Shown>,
}

/// The certificate that new connections are shown.
struct Shown(RwLock<Arc<CertifiedKey>>);

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shown(…)")
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.get())
    }
}

impl Shown {
    fn get(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The identity cannot be made or read.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// Reading or writing failed.
    #[error("cannot read or write the device's key")]
    Io(#[source] io::Error),
    /// The key or certificate could not be made.
    #[error("cannot make the device's certificate")]
    Make(#[source] rcgen::Error),
    /// A file is not PEM.
    #[error("the device's key or certificate is damaged")]
    Pem(#[source] rustls::pki_types::pem::Error),
    /// Key and certificate do not work together.
    #[error("the device's key and certificate cannot be used")]
    Tls(#[source] rustls::Error),
}

impl Identity {
    /// Loads the identity, or makes one if there is none. `names` go into a new certificate.
    pub fn load_or_make(folder: &Path, names: &[String]) -> Result<Self, IdentityError> {
        let (key, certificate) = (folder.join(KEY), folder.join(CERTIFICATE));
        if !certificate.exists() || !key.exists() {
            let made = KeyPair::generate().map_err(IdentityError::Make)?;
            let shown = make(&made, names, &[])?;
            fs_err::create_dir_all(folder).map_err(IdentityError::Io)?;
            durable::write(&key, made.serialize_pem().as_bytes()).map_err(IdentityError::Io)?;
            durable::write(&certificate, shown.as_bytes()).map_err(IdentityError::Io)?;
            let list = folder.join(NAMES);
            durable::write(&list, lines(names).as_bytes()).map_err(IdentityError::Io)?;
        }
        let key_pem = fs_err::read_to_string(key).map_err(IdentityError::Io)?;
        let certificate = fs_err::read_to_string(certificate).map_err(IdentityError::Io)?;
        let shown = Shown(RwLock::new(certified(&certificate, &key_pem)?));
        let identity = Self {
            folder: folder.to_owned(),
            names: names.to_vec(),
            key_pem,
            shown: Arc::new(shown),
        };
        // Somebody may have given the device another name since.
        let list = folder.join(NAMES);
        let known = fs_err::read_to_string(&list).unwrap_or_default();
        if !names.is_empty() && known != lines(names) {
            identity.show(&identity.addresses())?;
            durable::write(&list, lines(names).as_bytes()).map_err(IdentityError::Io)?;
        }
        Ok(identity)
    }

    /// Has the certificate name an address too, of the same key. New connections are shown it at once.
    pub fn cover(&self, address: IpAddr) -> Result<(), IdentityError> {
        let mut addresses = self.addresses();
        if addresses.contains(&address) {
            return Ok(());
        }
        addresses.push(address);
        let surplus = addresses.len().saturating_sub(MOST_ADDRESSES);
        addresses.drain(..surplus);
        self.show(&addresses)?;
        let list = self.folder.join(ADDRESSES);
        durable::write(&list, lines(&addresses).as_bytes()).map_err(IdentityError::Io)
    }

    fn addresses(&self) -> Vec<IpAddr> {
        let known = fs_err::read_to_string(self.folder.join(ADDRESSES)).unwrap_or_default();
        known.lines().filter_map(|line| line.parse().ok()).collect()
    }

    /// Makes another certificate of the same key, keeps it and shows it.
    fn show(&self, addresses: &[IpAddr]) -> Result<(), IdentityError> {
        let key = KeyPair::from_pem(&self.key_pem).map_err(IdentityError::Make)?;
        let certificate = make(&key, &self.names, addresses)?;
        let shown = certified(&certificate, &self.key_pem)?;
        let file = self.folder.join(CERTIFICATE);
        durable::write(&file, certificate.as_bytes()).map_err(IdentityError::Io)?;
        *self.shown.0.write().unwrap_or_else(PoisonError::into_inner) = shown;
        Ok(())
    }

    /// Returns the SHA-256 of the certificate, as browsers show it.
    pub fn fingerprint(&self) -> String {
        let shown = self.shown.get();
        let certificate = shown.cert.first().map_or(&[][..], AsRef::as_ref);
        let digest = ring::digest::digest(&ring::digest::SHA256, certificate);
        let bytes = digest.as_ref().iter().map(|byte| format!("{byte:02X}"));
        bytes.collect::<Vec<_>>().join(":")
    }

    /// Returns the TLS settings of a server with this identity: TLS 1.2 and 1.3.
    pub fn tls(&self) -> Result<Arc<ServerConfig>, IdentityError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider);
        let builder = builder.with_safe_default_protocol_versions();
        let builder = builder.map_err(IdentityError::Tls)?.with_no_client_auth();
        let shown: Arc<dyn ResolvesServerCert> = Arc::clone(&self.shown) as _;
        let mut config = builder.with_cert_resolver(shown);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

/// Reads the certificate that the device of a folder shows.
pub fn certificate(folder: &Path) -> Result<CertificateDer<'static>, IdentityError> {
    let text = fs_err::read(folder.join(CERTIFICATE)).map_err(IdentityError::Io)?;
    CertificateDer::from_pem_slice(&text).map_err(IdentityError::Pem)
}

fn lines(entries: &[impl ToString]) -> String {
    let lines = entries.iter().map(|entry| entry.to_string() + "\n");
    lines.collect()
}

/// Makes a certificate in PEM.
fn make(key: &KeyPair, names: &[String], addresses: &[IpAddr]) -> Result<String, IdentityError> {
    let mut params = CertificateParams::default();
    let mut subject = DistinguishedName::new();
    let first = names.first().map_or("bakelite", String::as_str);
    subject.push(DnType::CommonName, first);
    params.distinguished_name = subject;
    for name in names {
        let name = name.clone().try_into().map_err(IdentityError::Make)?;
        params.subject_alt_names.push(SanType::DnsName(name));
    }
    let addresses = addresses.iter().copied().map(SanType::IpAddress);
    params.subject_alt_names.extend(addresses);
    let time = |seconds| {
        time::OffsetDateTime::from_unix_timestamp(seconds).expect("constants are in range")
    };
    params.not_before = time(NOT_BEFORE);
    params.not_after = time(NOT_AFTER);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let certificate = params.self_signed(key).map_err(IdentityError::Make)?;
    Ok(certificate.pem())
}

/// Puts key and certificate together.
fn certified(certificate: &str, key: &str) -> Result<Arc<CertifiedKey>, IdentityError> {
    let certificate = CertificateDer::from_pem_slice(certificate.as_bytes());
    let certificate = certificate.map_err(IdentityError::Pem)?;
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(IdentityError::Pem)?;
    let key = any_supported_type(&key).map_err(IdentityError::Tls)?;
    let both = CertifiedKey::new(vec![certificate], key);
    both.keys_match().map_err(IdentityError::Tls)?;
    Ok(Arc::new(both))
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn an_identity_is_kept_and_every_device_has_its_own() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let names = ["kvm.local".to_owned()];
        let first = Identity::load_or_make(one.path(), &names)
            .unwrap()
            .fingerprint();
        let again = Identity::load_or_make(one.path(), &names)
            .unwrap()
            .fingerprint();
        let other = Identity::load_or_make(two.path(), &names)
            .unwrap()
            .fingerprint();
        assert_eq!(first, again);
        assert_ne!(first, other);
        assert_eq!(first.len(), 95);
    }

    #[test]
    fn another_address_is_covered_at_once_by_the_same_key_and_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let identity = Identity::load_or_make(folder.path(), &["kvm.local".to_owned()]).unwrap();
        let (before, key) = (identity.fingerprint(), identity.key_pem.clone());
        for last in 1..=9 {
            identity.cover([192, 0, 2, last].into()).unwrap();
        }
        let after = identity.fingerprint();
        assert_ne!(before, after);
        identity.cover("192.0.2.9".parse().unwrap()).unwrap();
        assert_eq!(identity.fingerprint(), after, "it was covered already");
        let again = Identity::load_or_make(folder.path(), &[]).unwrap();
        assert_eq!((again.fingerprint(), &again.key_pem), (after, &key));
        let shown = again.shown.get();
        let certificate = shown.cert[0].as_ref();
        let names = |address: [u8; 4]| certificate.windows(4).any(|four| four == address);
        assert!(names([192, 0, 2, 9]) && names([192, 0, 2, 2]));
        assert!(!names([192, 0, 2, 1]), "the oldest makes room");
        // Another name: another certificate, the same key and addresses.
        let renamed = Identity::load_or_make(folder.path(), &["rack.local".to_owned()]).unwrap();
        assert_ne!(renamed.fingerprint(), again.fingerprint());
        let shown = renamed.shown.get();
        let certificate = shown.cert[0].as_ref();
        assert!(certificate.windows(4).any(|four| four == [192, 0, 2, 9]));
        assert!(certificate.windows(10).any(|ten| ten == b"rack.local"));
    }

    #[test]
    fn only_the_owner_can_read_the_key_and_it_is_never_printed() {
        let folder = tempfile::tempdir().unwrap();
        let identity = Identity::load_or_make(folder.path(), &[]).unwrap();
        assert_eq!(
            fs_err::metadata(folder.path().join(KEY))
                .unwrap()
                .permissions()
                .mode()
                & 0o777,
            0o600
        );
        assert!(!format!("{identity:?}").contains("PRIVATE"));
        identity.tls().unwrap();
    }
}
