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

/// Ports on 127.0.0.1: HTTPS, the same at [`OTHER`], a root shell, the same at [`OTHER`].
#[derive(Debug, Clone, Copy)]
struct Ports {
    https: u16,
    other: u16,
    shell: u16,
    other_shell: u16,
}

/// An address that the device can be given: of its network, and not leased.
pub const OTHER: &str = "10.0.2.77";

/// Two access points behind radios of their own in a network namespace: one with a password, one open. Each gives
/// addresses.
pub const ACCESS_POINTS: &str = r#"
modprobe mac80211_hwsim radios=3
ip netns add air
ip -n air link set lo up
for point in 1 2; do
    until nmcli device set wlan$point managed no; do sleep 1; done
    until nmcli --get-values GENERAL.STATE device show wlan$point | grep -q unmanaged; do sleep 1; done
    iw phy "$(cat /sys/class/net/wlan$point/phy80211/name)" set netns name air
    ip -n air addr add 10.7$point.0.1/24 dev wlan$point
    ip -n air link set wlan$point up
done
printf 'network={\n ssid="Workshop"\n mode=2\n frequency=2412\n key_mgmt=WPA-PSK\n proto=RSN\n pairwise=CCMP\n psk="drill and lathe"\n}\n' >/run/air1.conf
printf 'network={\n ssid="Guests"\n mode=2\n frequency=2437\n key_mgmt=NONE\n}\n' >/run/air2.conf
for point in 1 2; do
    # Units of their own: what a shell starts ends with it.
    run() { systemd-run --quiet --property=NetworkNamespacePath=/run/netns/air --unit="$@"; }
    run air$point wpa_supplicant -i wlan$point -c /run/air$point.conf
    run air$point-addresses dnsmasq --keep-in-foreground --interface=wlan$point --bind-interfaces --port=0 \
        --leasefile-ro --dhcp-range=10.7$point.0.10,10.7$point.0.50,1h --pid-file=/run/air$point.pid
    until ip netns exec air iw dev wlan$point info | grep -q 'ssid'; do sleep 1; echo waiting; done
done
echo on the air
"#;

/// A running device. It is switched off when this is dropped.
#[derive(Debug)]
pub struct Device {
    machine: Child,
    /// Port on 127.0.0.1 that leads to HTTPS, by TCP and by UDP.
    pub port: u16,
    /// Port on 127.0.0.1 that leads to HTTPS where the device has the address [`OTHER`].
    pub other: u16,
    ports: Ports,
    image: PathBuf,
    restarts: bool,
    disk: PathBuf,
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

    /// Boots the probe image on a new disk in `folder` and waits until the agent answers. A restart ends the machine.
    pub fn boot(folder: &Path) -> Self {
        let image = outputs("kvm-probe").join("kvm-probe-0.1.0.img.zst");
        Self::boot_image(folder, &image, false)
    }

    /// The same with another image, and a machine that may restart.
    pub fn boot_image(folder: &Path, image: &Path, restarts: bool) -> Self {
        drop(rustls::crypto::ring::default_provider().install_default());
        let ports = Ports {
            https: free_pair(),
            other: free_port(),
            shell: free_port(),
            other_shell: free_port(),
        };
        let disk = folder.join("device.img");
        let machine = start(ports, image, restarts, &disk, false);
        let client = Client::builder()
            .danger_accept_invalid_certs(true)
            .cookie_store(true)
            .timeout(Duration::from_mins(2))
            .build();
        let mut device = Self {
            machine,
            port: ports.https,
            other: ports.other,
            ports,
            image: image.to_owned(),
            restarts,
            console: disk.with_extension("console"),
            disk,
            client: client.expect("a client"),
        };
        device.wait_until_healthy(ports.https);
        device
    }

    /// Cuts the power, switches the device on again, and waits until it answers on a port.
    pub fn cut_power(&mut self, port: u16) {
        self.cut_and_start(false);
        self.wait_until_healthy(port);
    }

    /// The same with a card that takes nothing from then on.
    pub fn wear_out(&mut self) {
        self.cut_and_start(true);
        self.wait_until_healthy(self.port);
    }

    fn cut_and_start(&mut self, is_worn_out: bool) {
        drop(self.machine.kill());
        drop(self.machine.wait());
        let (image, disk) = (&self.image, &self.disk);
        self.machine = start(self.ports, image, self.restarts, disk, is_worn_out);
    }

    /// Waits until the machine has switched itself off, or has restarted: that ends it here.
    pub fn await_end(&mut self) {
        let until = Instant::now() + Duration::from_mins(2);
        while self.machine.try_wait().is_ok_and(|ended| ended.is_none()) {
            assert!(Instant::now() < until, "{}", self.console());
            std::thread::sleep(Duration::from_millis(300));
        }
    }

    /// Whether the agent answers on a port.
    pub fn answers(&self, port: u16) -> bool {
        let address = format!("https://127.0.0.1:{port}/healthz");
        let answer = self.client.get(address).timeout(Duration::from_secs(5));
        answer
            .send()
            .is_ok_and(|answer| answer.status().is_success())
    }

    /// Waits until the agent answers.
    pub fn wait_until_healthy(&mut self, port: u16) {
        let until = Instant::now() + Duration::from_mins(6);
        while !self.answers(port) {
            let is_alive = self.machine.try_wait().is_ok_and(|ended| ended.is_none());
            assert!(is_alive && Instant::now() < until, "{}", self.console());
            std::thread::sleep(Duration::from_millis(300));
        }
    }

    /// Returns what the machine told its console.
    pub fn console(&self) -> String {
        let read = |path: &Path| fs_err::read(path).unwrap_or_default();
        let bytes = [read(&self.console), read(&self.disk.with_extension("said"))].concat();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Returns an address of the agent.
    pub fn address(&self, path: &str) -> String {
        format!("https://127.0.0.1:{}{path}", self.port)
    }

    /// Runs a script as root in the machine and returns all that it says.
    pub fn shell(&self, script: &str) -> String {
        self.shell_on(self.ports.shell, script)
    }

    /// The same where the device has the address [`OTHER`] alone.
    pub fn shell_at_other(&self, script: &str) -> String {
        self.shell_on(self.ports.other_shell, script)
    }

    #[expect(clippy::unused_self, reason = "a device that is gone has no shell")]
    fn shell_on(&self, port: u16, script: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("a shell");
        // The way is lost when the device's address goes in between; nobody tells this end.
        let wait = Some(Duration::from_secs(30));
        stream.set_read_timeout(wait).expect("a plain socket");
        let script = format!("{script}\nexit\n");
        stream.write_all(script.as_bytes()).expect("it reads");
        let mut said = Vec::new();
        // What came before is said, too; whoever awaits something asks again.
        let _outcome = stream.read_to_end(&mut said);
        String::from_utf8_lossy(&said).into_owned()
    }

    /// Runs a script again and again, over restarts of the device, until it says what is awaited.
    pub fn await_over_restarts(&self, script: &str, is_it: impl Fn(&str) -> bool) -> String {
        let until = Instant::now() + Duration::from_mins(8);
        loop {
            // While it starts nobody listens there, or somebody who goes away.
            let said = self.try_shell(script).unwrap_or_default();
            if is_it(&said) {
                return said;
            }
            assert!(
                Instant::now() < until,
                "{script}\nsays:\n{said}\n{}",
                self.console()
            );
            std::thread::sleep(Duration::from_secs(1));
        }
    }

    fn try_shell(&self, script: &str) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.ports.shell))?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        stream.write_all(format!("{script}\nexit\n").as_bytes())?;
        let mut said = Vec::new();
        stream.read_to_end(&mut said)?;
        Ok(String::from_utf8_lossy(&said).into_owned())
    }

    /// Runs a script until it says what is awaited. Returns what it said.
    pub fn await_shell(&self, script: &str, is_it: impl Fn(&str) -> bool) -> String {
        let until = Instant::now() + Duration::from_mins(3);
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

    /// Asks on another port.
    pub fn ask_at(&self, port: u16, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let method = method.parse().expect("a method");
        let origin = format!("https://127.0.0.1:{port}");
        let request = self.client.request(method, format!("{origin}{path}"));
        let answer = request.header("origin", origin).json(body).send();
        read(answer.expect("it answers"))
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

/// Starts the probe image on a disk: a new one, or as it was left.
fn start(ports: Ports, image: &Path, restarts: bool, disk: &Path, is_worn_out: bool) -> Child {
    let mut arguments = vec![
        "boot".to_owned(),
        image.display().to_string(),
        "--disk".into(),
        disk.display().to_string(),
        "--port".into(),
        ports.https.to_string(),
    ];
    if !restarts {
        arguments.push("--end-at-restart".into());
    }
    if is_worn_out {
        arguments.push("--read-only".into());
    }
    for forward in [
        format!("udp:{}:443", ports.https),
        format!("{}:9000", ports.shell),
        format!("{}:{OTHER}:443", ports.other),
        format!("{}:{OTHER}:9000", ports.other_shell),
    ] {
        arguments.extend(["--forward".into(), forward]);
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    command(&arguments)
        .stdout(Stdio::null())
        .stderr(said_beside(disk))
        .spawn()
        .expect("the program was built")
}

/// Where the program that runs the machine tells why it ended.
fn said_beside(disk: &Path) -> std::fs::File {
    std::fs::File::create(disk.with_extension("said")).expect("a log")
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
