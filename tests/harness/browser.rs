//! A headless Chromium, driven over `WebDriver` (W3C).

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use reqwest::blocking::Client;
use serde_json::{Value, json};

use crate::serve::{free_port, wait_for};

/// The key under which `WebDriver` names an element (W3C `WebDriver`, §12).
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// The browser. It ends when this is dropped.
#[derive(Debug)]
pub struct Browser {
    driver: Child,
    client: Client,
    session: String,
    _profile: tempfile::TempDir,
}

/// How the browser is set.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    /// Width of the window in pixels.
    pub width: u32,
    /// Height of the window in pixels.
    pub height: u32,
    /// Whether the system likes it dark.
    pub is_dark: bool,
    /// Whether scripts run.
    pub scripts: bool,
}

impl Browser {
    /// Starts it.
    #[expect(clippy::disallowed_methods, reason = "tests start programs")]
    pub fn start(look: Look) -> Self {
        drop(rustls::crypto::ring::default_provider().install_default());
        let port = free_port();
        let profile = tempfile::tempdir().expect("a temporary folder");
        let mut driver = Command::new("chromedriver")
            .arg(format!("--port={port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromium-driver is installed");
        wait_for(port, || {
            driver.try_wait().is_ok_and(|ended| ended.is_none())
        });
        let client = Client::builder().timeout(Duration::from_mins(2)).build();
        let client = client.expect("a client");
        let mut arguments = vec![
            "--headless=new".to_owned(),
            "--no-sandbox".into(),
            "--disable-gpu".into(),
            "--disable-dev-shm-usage".into(),
            "--hide-scrollbars".into(),
            // Devices of the tests are on this machine, where browsers do not look for WebRTC.
            "--allow-loopback-in-peer-connection".into(),
            format!("--window-size={},{}", look.width, look.height),
            format!("--user-data-dir={}", profile.path().display()),
        ];
        if look.is_dark {
            arguments.push("--force-dark-mode".into());
            arguments.push("--blink-settings=preferredColorScheme=0".into());
        }
        let scripts = if look.scripts { 1 } else { 2 };
        let options = json!({
            "args": arguments,
            "prefs": { "profile.managed_default_content_settings.javascript": scripts },
        });
        let wanted = json!({ "capabilities": { "alwaysMatch": { "acceptInsecureCerts": true, "browserName": "chrome", "goog:chromeOptions": options } } });
        let base = format!("http://127.0.0.1:{port}");
        let made: Value = client
            .post(format!("{base}/session"))
            .json(&wanted)
            .send()
            .and_then(reqwest::blocking::Response::json)
            .expect("chromedriver answers");
        let id = made["value"]["sessionId"].as_str();
        let id = id.unwrap_or_else(|| panic!("no session: {made}"));
        Self {
            session: format!("{base}/session/{id}"),
            driver,
            client,
            _profile: profile,
        }
    }

    fn post(&self, path: &str, value: &Value) -> Value {
        let answer: Value = self
            .client
            .post(format!("{}/{path}", self.session))
            .json(value)
            .send()
            .and_then(reqwest::blocking::Response::json)
            .expect("chromedriver answers");
        let error = &answer["value"]["error"];
        assert!(
            error.is_null(),
            "{path} {value}: {}",
            answer["value"]["message"]
        );
        answer["value"].clone()
    }

    fn get(&self, path: &str) -> Value {
        let answer: Value = self
            .client
            .get(format!("{}/{path}", self.session))
            .send()
            .and_then(reqwest::blocking::Response::json)
            .expect("chromedriver answers");
        answer["value"].clone()
    }

    /// Opens an address.
    pub fn open(&self, address: &str) {
        self.post("url", &json!({ "url": address }));
    }

    /// Returns the address.
    pub fn address(&self) -> String {
        self.get("url").as_str().unwrap_or_default().to_owned()
    }

    fn find(&self, xpath: &str) -> String {
        // A page may still be on its way after a click.
        for _ in 0..100 {
            let found = self.post("elements", &json!({ "using": "xpath", "value": xpath }));
            if let Some(id) = found[0][ELEMENT].as_str() {
                return id.to_owned();
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!(
            "{}: nothing is {xpath} in:\n{}",
            self.address(),
            self.text()
        );
    }

    /// Clicks what an `XPath` finds.
    pub fn click(&self, xpath: &str) {
        let id = self.find(xpath);
        self.post(&format!("element/{id}/click"), &json!({}));
    }

    /// Clicks the button with a text.
    pub fn press(&self, text: &str) {
        self.click(&format!("//button[contains(normalize-space(.), '{text}')]"));
    }

    /// Follows the link with a text.
    pub fn follow(&self, text: &str) {
        self.click(&format!("//a[contains(normalize-space(.), '{text}')]"));
    }

    /// Types into what an `XPath` finds.
    pub fn write(&self, xpath: &str, text: &str) {
        let id = self.find(xpath);
        self.post(&format!("element/{id}/clear"), &json!({}));
        self.post(&format!("element/{id}/value"), &json!({ "text": text }));
    }

    /// Chooses a file.
    pub fn choose(&self, xpath: &str, file: &Path) {
        let id = self.find(xpath);
        let file = file.to_str().expect("UTF-8");
        self.post(&format!("element/{id}/value"), &json!({ "text": file }));
    }

    /// Presses keys, wherever the focus is: `\u{E004}` is Tab, `\u{E007}` Enter.
    pub fn keys(&self, keys: &str) {
        let mut actions = Vec::new();
        for key in keys.chars() {
            actions.push(json!({ "type": "keyDown", "value": key }));
            actions.push(json!({ "type": "keyUp", "value": key }));
        }
        let keyboard = json!({ "type": "key", "id": "keyboard", "actions": actions });
        self.post("actions", &json!({ "actions": [keyboard] }));
    }

    /// Has fingers touch the screen: for each, its actions as `WebDriver` names them.
    pub fn fingers(&self, fingers: &[Vec<Value>]) {
        let finger = |(number, actions): (usize, &Vec<Value>)| {
            json!({ "type": "pointer", "id": format!("finger {number}"),
                "parameters": { "pointerType": "touch" }, "actions": actions })
        };
        let fingers: Vec<Value> = fingers.iter().enumerate().map(finger).collect();
        self.post("actions", &json!({ "actions": fingers }));
    }

    /// Gives the window another size.
    pub fn resize(&self, width: u32, height: u32) {
        let size = json!({ "width": width, "height": height });
        self.post("window/rect", &size);
    }

    /// Returns the text of what has the focus.
    pub fn focused(&self) -> String {
        let id = self.get("element/active");
        let id = id[ELEMENT].as_str().unwrap_or_default().to_owned();
        let text = self.get(&format!("element/{id}/text"));
        text.as_str().unwrap_or_default().to_owned()
    }

    /// Returns the visible text of the page.
    pub fn text(&self) -> String {
        let found = self.post(
            "elements",
            &json!({ "using": "css selector", "value": "body" }),
        );
        let id = found[0][ELEMENT].as_str().unwrap_or_default();
        let text = self.get(&format!("element/{id}/text"));
        text.as_str().unwrap_or_default().to_owned()
    }

    /// Waits until the page shows a text.
    pub fn shows(&self, part: &str) {
        self.shows_within(part, Duration::from_secs(15));
    }

    /// Waits so long until the page shows a text.
    pub fn shows_within(&self, part: &str, limit: Duration) {
        let until = Instant::now() + limit;
        while Instant::now() < until {
            if self.text().contains(part) {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("{}: “{part}” is not in:\n{}", self.address(), self.text());
    }

    /// Runs a script and returns its value. An `async` one calls its last argument.
    pub fn script(&self, script: &str) -> Value {
        self.post("execute/async", &json!({ "script": script, "args": [] }))
    }

    /// Returns a picture of the window as PNG.
    pub fn picture(&self) -> Vec<u8> {
        use base64::prelude::{BASE64_STANDARD, Engine as _};
        let text = self.get("screenshot");
        let text = text.as_str().expect("a picture");
        BASE64_STANDARD.decode(text).expect("base64")
    }

    /// Makes the window as high as the page.
    pub fn fit(&self, width: u32) {
        // A page is never lower than its window.
        self.post("window/rect", &json!({ "width": width, "height": 300 }));
        let height = self.post(
            "execute/sync",
            &json!({ "script": "return document.documentElement.scrollHeight", "args": [] }),
        );
        let height = height.as_u64().unwrap_or(800).min(1500);
        self.post(
            "window/rect",
            &json!({ "width": width, "height": height + 140 }),
        );
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        drop(self.client.delete(&self.session).send());
        drop(self.driver.kill());
        drop(self.driver.wait());
    }
}
