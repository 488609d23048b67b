//! A device in the virtual machine that is its own host: what the agent types, its own kernel reads.

use std::io::{Read as _, Write as _};
use std::net::{TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::blocking::{Client, RequestBuilder, Response};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use serde_json::{Value, json};
use tungstenite::client::IntoClientRequest as _;
use tungstenite::stream::MaybeTlsStream;
use tungstenite::{Connector, Message, WebSocket};

use crate::bakelite::{command, outputs, run, text};
use crate::serve::free_port;

/// The socket of a page.
pub type Live = WebSocket<MaybeTlsStream<TcpStream>>;

/// A running device. It is switched off when this is dropped.
#[derive(Debug)]
pub struct Device {
    machine: Child,
    /// Port on 127.0.0.1 that leads to HTTPS, by TCP and by UDP.
    pub port: u16,
    shell: u16,
    console: PathBuf,
    client: Client,
}

impl Device {
    /// Builds the probe image and boots it.
    pub fn build_and_boot(folder: &Path) -> Self {
        let output = run(&["build", "recipes/kvm-probe.toml"]);
        assert!(output.status.success(), "{}", text(&output));
        Self::boot(folder)
    }

    /// Boots the probe image on a new disk in `folder` and waits until the agent answers.
    pub fn boot(folder: &Path) -> Self {
        drop(rustls::crypto::ring::default_provider().install_default());
        let image = outputs("kvm-probe").join("kvm-probe-0.1.0.img.zst");
        let (port, shell) = (free_pair(), free_port());
        let disk = folder.join("device.img");
        let arguments = [
            "boot".to_owned(),
            image.display().to_string(),
            "--disk".into(),
            disk.display().to_string(),
            "--port".into(),
            port.to_string(),
            "--forward".into(),
            format!("{shell}:9000"),
            "--forward".into(),
            format!("udp:{port}:443"),
        ];
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let machine = command(&arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program was built");
        let client = Client::builder()
            .danger_accept_invalid_certs(true)
            .cookie_store(true)
            .timeout(Duration::from_mins(2))
            .build();
        let mut device = Self {
            machine,
            port,
            shell,
            console: disk.with_extension("console"),
            client: client.expect("a client"),
        };
        device.wait_until_healthy();
        device
    }

    /// Waits until the agent answers.
    pub fn wait_until_healthy(&mut self) {
        let until = Instant::now() + Duration::from_mins(6);
        loop {
            let answer = self.client.get(self.address("/healthz"));
            let answer = answer.timeout(Duration::from_secs(5)).send();
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                return;
            }
            let is_alive = self.machine.try_wait().is_ok_and(|ended| ended.is_none());
            assert!(is_alive && Instant::now() < until, "{}", self.console());
            std::thread::sleep(Duration::from_millis(300));
        }
    }

    /// Returns what the machine told its console.
    pub fn console(&self) -> String {
        let bytes = fs_err::read(&self.console).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Returns an address of the agent.
    pub fn address(&self, path: &str) -> String {
        format!("https://127.0.0.1:{}{path}", self.port)
    }

    /// Runs a script as root in the machine and returns all that it says.
    pub fn shell(&self, script: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.shell)).expect("a shell");
        let script = format!("{script}\nexit\n");
        stream.write_all(script.as_bytes()).expect("it reads");
        let mut said = Vec::new();
        stream.read_to_end(&mut said).expect("it answers");
        String::from_utf8_lossy(&said).into_owned()
    }

    /// Runs a script until it says what is awaited. Returns what it said.
    pub fn await_shell(&self, script: &str, is_it: impl Fn(&str) -> bool) -> String {
        let until = Instant::now() + Duration::from_mins(1);
        loop {
            let said = self.shell(script);
            if is_it(&said) {
                return said;
            }
            assert!(Instant::now() < until, "{script}\nsays:\n{said}");
            std::thread::sleep(Duration::from_millis(300));
        }
    }

    /// Claims the device as `admin` with the code that its owner would read from the console.
    pub fn claim(&self) {
        let said = self.shell("cat /var/lib/bakelite-agent/claim-code");
        let claim = json!({ "code": said.trim(), "user": "admin", "password": "correct horse" });
        let (status, answer) = self.ask("POST", "/api/v1/claim", &claim);
        assert_eq!(status, 200, "{answer}");
    }

    /// Makes a request as the device's own page would. It carries the cookie, if there is one.
    pub fn request(&self, method: &str, path: &str) -> RequestBuilder {
        let method = method.parse().expect("a method");
        let origin = format!("https://127.0.0.1:{}", self.port);
        let request = self.client.request(method, self.address(path));
        request.header("origin", origin)
    }

    /// Makes a request without the cookies of this client.
    pub fn anybody(&self, method: &str, path: &str) -> RequestBuilder {
        let method = method.parse().expect("a method");
        let client = Client::builder().danger_accept_invalid_certs(true).build();
        let request = client
            .expect("a client")
            .request(method, self.address(path));
        request.header("origin", format!("https://127.0.0.1:{}", self.port))
    }

    /// Asks with a body and returns status and answer.
    pub fn ask(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let answer = self.request(method, path).json(body).send();
        read(answer.expect("it answers"))
    }

    /// Asks without a body and returns status and answer.
    pub fn get(&self, path: &str) -> (u16, Value) {
        read(self.request("GET", path).send().expect("it answers"))
    }

    /// Signs in from elsewhere and returns the cookie.
    pub fn cookie(&self, user: &str, password: &str) -> String {
        let client = Client::builder().danger_accept_invalid_certs(true).build();
        let answer = client
            .expect("a client")
            .post(self.address("/api/v1/session"))
            .json(&json!({ "user": user, "password": password }))
            .send()
            .expect("it answers");
        let cookie = answer.headers().get("set-cookie").expect("signed in");
        let text = cookie.to_str().expect("ASCII");
        text.split(';').next().expect("a value").to_owned()
    }

    /// Opens a WebSocket with a cookie.
    pub fn socket(&self, path: &str, cookie: &str) -> Live {
        let address = format!("wss://127.0.0.1:{}{path}", self.port);
        let mut request = address.into_client_request().expect("an address");
        let origin = format!("https://127.0.0.1:{}", self.port);
        let headers = request.headers_mut();
        headers.insert("origin", origin.parse().expect("ASCII"));
        headers.insert("cookie", cookie.parse().expect("ASCII"));
        let stream = TcpStream::connect(("127.0.0.1", self.port)).expect("it listens");
        let wait = Some(Duration::from_mins(1));
        stream.set_read_timeout(wait).expect("a plain socket");
        let connector = Some(Connector::Rustls(anybody()));
        let made = tungstenite::client_tls_with_config(request, stream, None, connector);
        made.expect("a WebSocket").0
    }

    /// Starts the machine's own view of its `keyboard`, `absolute` or `relative` mouse;
    /// [`Self::events`] returns what it saw.
    pub fn record(&self, what: &str) {
        let is_it = match what {
            "keyboard" => "[ $(cat $c/led) != 0 ]",
            "absolute" => "[ $(cat $c/abs) != 0 ]",
            _ => "[ $(cat $c/rel) != 0 ] && [ $(cat $c/abs) = 0 ]",
        };
        let script = format!(
            "systemctl stop record-{what} 2>/dev/null; : >/run/{what}
            for e in /dev/input/event*; do
              i=/sys/class/input/$(basename $e)/device; c=$i/capabilities
              grep -q ^Bakelite $i/name && {is_it} || continue
              systemd-run -q -G --unit=record-{what} sh -c \"stdbuf -oL evtest $e >/run/{what}\" && sleep 1
            done; cat /run/{what}"
        );
        self.await_shell(&script, |said| said.contains("Testing"));
    }

    /// Returns the events that were seen so far as `CODE VALUE`, without the frames between them.
    pub fn events(&self, what: &str) -> Vec<String> {
        let said = self.shell(&format!("cat /run/{what}"));
        let events = said.lines().filter_map(|line| {
            let (_, rest) = line.split_once(", code ")?;
            let (code, value) = rest.split_once("), value ")?;
            let name = code.split_once('(')?.1;
            Some(format!("{name} {}", value.trim()))
        });
        events.filter(|event| !event.starts_with("MSC_")).collect()
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        drop(self.machine.kill());
        drop(self.machine.wait());
    }
}

fn read(answer: Response) -> (u16, Value) {
    let status = answer.status().as_u16();
    let bytes = answer.bytes().expect("a body");
    let text = || Value::String(String::from_utf8_lossy(&bytes).into_owned());
    (
        status,
        serde_json::from_slice(&bytes).unwrap_or_else(|_| text()),
    )
}

/// Sends one message of a page.
pub fn say(live: &mut Live, message: &Value) {
    let text = message.to_string();
    live.send(Message::text(text)).expect("it listens");
}

/// Reads messages until one is what is awaited.
pub fn hear(live: &mut Live, is_it: impl Fn(&Value) -> bool) -> Value {
    for _ in 0..1000 {
        match live.read().expect("it talks") {
            Message::Text(text) => {
                let message: Value = serde_json::from_str(text.as_str()).expect("JSON");
                if is_it(&message) {
                    return message;
                }
            }
            Message::Close(frame) => panic!("closed: {frame:?}"),
            _ => {}
        }
    }
    panic!("it says other things");
}

/// Returns a port that is free for TCP and UDP.
fn free_pair() -> u16 {
    loop {
        let port = free_port();
        if UdpSocket::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

fn anybody() -> Arc<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody))
        .with_no_client_auth();
    Arc::new(config)
}

/// The device made its certificate a moment ago: nobody can vouch for it.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::ring::default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}
