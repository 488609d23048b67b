//! An S3-compatible store on loopback: moto, from `PyPI`.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::bakelite::{root, tool};
use crate::serve::{free_port, wait_for};

/// Returns a Python environment with the packages of `tests/requirements.txt`, made once.
pub fn python() -> PathBuf {
    let script = root().join("tests/python.sh");
    let (good, said) = tool("bash", &[script.to_str().expect("UTF-8")]);
    assert!(good, "{said}");
    root().join("target/tests/python")
}

/// The store. It ends when this is dropped.
#[derive(Debug)]
pub struct Moto {
    child: Child,
    /// Where it listens, without a scheme.
    pub address: String,
}

impl Moto {
    /// Starts it with a bucket.
    #[expect(clippy::disallowed_methods, reason = "tests start programs")]
    pub fn start(bucket: &str) -> Self {
        let port = free_port();
        let mut child = Command::new(python().join("bin/moto_server"))
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("moto is installed");
        wait_for(port, || child.try_wait().is_ok_and(|ended| ended.is_none()));
        let address = format!("127.0.0.1:{port}");
        drop(rustls::crypto::ring::default_provider().install_default());
        let made = reqwest::blocking::Client::new()
            .put(format!("http://{address}/{bucket}"))
            .send();
        let made = made.expect("moto answers").status();
        assert!(made.is_success(), "{made}");
        Self { child, address }
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        // It is ours, and has nothing to lose.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
