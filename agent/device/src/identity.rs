//! Who this device is: a key and a certificate of its own, made at first start and kept.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::durable;

const KEY: &str = "device.key";
const CERTIFICATE: &str = "device.crt";
/// A Pi has no battery clock and may believe that it is 1970: the certificate holds from then on …
const NOT_BEFORE: i64 = 0;
/// … and does not end by itself (RFC 5280 §4.1.2.5: 99991231235959Z, "no well-defined expiration").
const NOT_AFTER: i64 = 253_402_300_799;

/// The device's key and certificate. The key is never printed.
pub struct Identity {
    key_pem: String,
    certificate_pem: String,
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
            let made = Self::make(names)?;
            fs_err::create_dir_all(folder).map_err(IdentityError::Io)?;
            durable::write(&key, made.key_pem.as_bytes()).map_err(IdentityError::Io)?;
            durable::write(&certificate, made.certificate_pem.as_bytes())
                .map_err(IdentityError::Io)?;
        }
        Ok(Self {
            key_pem: fs_err::read_to_string(key).map_err(IdentityError::Io)?,
            certificate_pem: fs_err::read_to_string(certificate).map_err(IdentityError::Io)?,
        })
    }

    fn make(names: &[String]) -> Result<Self, IdentityError> {
        let key = KeyPair::generate().map_err(IdentityError::Make)?;
        let mut params = CertificateParams::default();
        let mut subject = DistinguishedName::new();
        subject.push(
            DnType::CommonName,
            names.first().map_or("bakelite", String::as_str),
        );
        params.distinguished_name = subject;
        for name in names {
            let name = name.clone().try_into().map_err(IdentityError::Make)?;
            params.subject_alt_names.push(SanType::DnsName(name));
        }
        let time = |seconds| {
            time::OffsetDateTime::from_unix_timestamp(seconds).expect("constants are in range")
        };
        params.not_before = time(NOT_BEFORE);
        params.not_after = time(NOT_AFTER);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let certificate = params.self_signed(&key).map_err(IdentityError::Make)?;
        Ok(Self {
            key_pem: key.serialize_pem(),
            certificate_pem: certificate.pem(),
        })
    }

    /// Returns the SHA-256 of the certificate, as browsers show it.
    pub fn fingerprint(&self) -> Result<String, IdentityError> {
        let certificate = CertificateDer::from_pem_slice(self.certificate_pem.as_bytes())
            .map_err(IdentityError::Pem)?;
        let digest = ring::digest::digest(&ring::digest::SHA256, &certificate);
        let bytes: Vec<String> = digest
            .as_ref()
            .iter()
            .map(|byte| format!("{byte:02X}"))
            .collect();
        Ok(bytes.join(":"))
    }

    /// Returns the TLS settings of a server with this identity: TLS 1.2 and 1.3.
    pub fn tls(&self) -> Result<Arc<ServerConfig>, IdentityError> {
        let certificate = CertificateDer::from_pem_slice(self.certificate_pem.as_bytes())
            .map_err(IdentityError::Pem)?;
        let key =
            PrivateKeyDer::from_pem_slice(self.key_pem.as_bytes()).map_err(IdentityError::Pem)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|builder| {
                builder
                    .with_no_client_auth()
                    .with_single_cert(vec![certificate], key)
            })
            .map_err(IdentityError::Tls)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
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
            .fingerprint()
            .unwrap();
        let again = Identity::load_or_make(one.path(), &names)
            .unwrap()
            .fingerprint()
            .unwrap();
        let other = Identity::load_or_make(two.path(), &names)
            .unwrap()
            .fingerprint()
            .unwrap();
        assert_eq!(first, again);
        assert_ne!(first, other);
        assert_eq!(first.len(), 95);
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
