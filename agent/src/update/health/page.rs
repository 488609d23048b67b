//! Whether the page answers: over TLS, as the device that it is.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme, Stream,
};

/// How long each step may take: a busy Pi Zero needs a second for a handshake.
const PATIENCE: Duration = Duration::from_secs(5);

/// Asks for the page where the daemon listens. It must show this certificate, and answer without a fault of its own.
pub(super) fn answers(
    listens: SocketAddr,
    certificate: CertificateDer<'static>,
) -> Result<(), String> {
    let address = SocketAddr::new(from_here(listens.ip()), listens.port());
    ask(address, certificate).map_err(|error| format!("https://{address}: {error}"))
}

/// Where one that listens everywhere is reached from the device itself.
const fn from_here(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    }
}

fn ask(
    address: SocketAddr,
    certificate: CertificateDer<'static>,
) -> Result<(), Box<dyn std::error::Error>> {
    let provider = Arc::new(ring::default_provider());
    let verifier = Arc::new(Itself {
        certificate,
        provider: Arc::clone(&provider),
    });
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    let name = ServerName::IpAddress(address.ip().into());
    let mut connection = ClientConnection::new(Arc::new(config), name)?;
    let mut socket = TcpStream::connect_timeout(&address, PATIENCE)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.set_write_timeout(Some(PATIENCE))?;
    let mut stream = Stream::new(&mut connection, &mut socket);
    write!(
        stream,
        "GET / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )?;
    // "HTTP/1.1 200": which status it is says enough.
    let mut begin = [0; 12];
    stream.read_exact(&mut begin)?;
    let status = std::str::from_utf8(&begin)?
        .strip_prefix("HTTP/1.1 ")
        .and_then(|status| status.parse::<u16>().ok())
        .ok_or("what answers does not speak HTTP")?;
    if status >= 500 {
        return Err(format!("it answers with status {status}").into());
    }
    Ok(())
}

/// Trusts this device's own certificate alone.
#[derive(Debug)]
struct Itself {
    certificate: CertificateDer<'static>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Itself {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if shown.as_ref() == self.certificate.as_ref() {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(Error::General(
                "it shows another certificate than this device has".into(),
            ))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use agent_device::identity::{Identity, certificate};
    use agent_https::Server;
    use axum::Router;
    use axum::http::StatusCode;

    use super::*;

    /// Serves one status for everything, as the device of a folder. Returns where.
    fn serve(
        runtime: &tokio::runtime::Runtime,
        folder: &std::path::Path,
        status: u16,
    ) -> SocketAddr {
        let tls = Identity::load_or_make(folder, &[]).unwrap().tls().unwrap();
        let everywhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let server = runtime.block_on(Server::bind(everywhere, tls, 4)).unwrap();
        let address = server.address().unwrap();
        let status = StatusCode::from_u16(status).unwrap();
        let router = Router::new().fallback(move || async move { status });
        runtime.spawn(server.serve(router));
        address
    }

    #[test]
    fn a_page_answers_as_this_device_or_says_why_not() {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let (own, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let good = serve(&runtime, own.path(), 200);
        let broken = serve(&runtime, own.path(), 503);
        let foreign = serve(&runtime, other.path(), 200);
        let shown = || certificate(own.path()).unwrap();
        assert_eq!(answers(good, shown()), Ok(()));
        let why = |address| answers(address, shown()).unwrap_err();
        assert!(why(broken).contains("status 503"), "{}", why(broken));
        assert!(
            why(foreign).contains("another certificate"),
            "{}",
            why(foreign)
        );
        // A port that is open and speaks something else.
        let plain = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = plain.local_addr().unwrap();
        let serving = std::thread::spawn(move || {
            plain
                .accept()
                .map(|(mut stream, _)| stream.write_all(b"220 mail"))
        });
        let said = why(address);
        assert!(!said.contains("refused"), "{said}");
        // Once it is gone, nobody listens there.
        drop(serving.join().unwrap().unwrap());
        let said = why(address);
        assert!(said.contains("refused"), "{said}");
    }
}
