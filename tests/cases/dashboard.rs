//! The release as a web page, in a real browser: a release manager, a support engineer and the product owner.

use std::path::{Path, PathBuf};
use std::process::Child;

use bakelite_tests::bakelite::{outputs, root, text};
use bakelite_tests::browser::{Browser, Look};
use bakelite_tests::serve::{client, free_port, wait_for};
use bakelite_tests::team::{FIVE, Team};
use content_digest::Sha256Digest;

/// The page of a release, on dana's computer.
struct Page {
    team: Team,
    server: Child,
    address: String,
}

impl Drop for Page {
    fn drop(&mut self) {
        drop(self.server.kill());
        drop(self.server.wait());
    }
}

/// Starts the server once to learn its key, names it in the template, and begins a release.
fn begin() -> Page {
    let team = Team::new(FIVE, |clone| {
        fs_err::create_dir(clone.join("changes")).unwrap();
        let change = "+++\nkind = \"changed\"\nbehaviour-change = true\nowners = [\"dora\"]\ntest = \"3.2\"\n+++\nA static address is tried out before it is kept.\n";
        fs_err::write(clone.join("changes/static-address.md"), change).unwrap();
    });
    let (first, _) = serve(&team);
    let key = first.1;
    let people = team.clone_of("dana").join("release/template/people.toml");
    let written = fs_err::read_to_string(&people).unwrap();
    fs_err::write(
        &people,
        format!("{written}[servers.dashboard]\nkey = {key:?}\n"),
    )
    .unwrap();
    let mut first = first.0;
    first.kill().unwrap();
    first.wait().unwrap();
    team.says("dana", &["start", "0.1.0", "--kind", "feature"]);
    team.says(
        "dana",
        &["candidate", "add", outputs("kvm").to_str().unwrap()],
    );
    team.says("dana", &["run", "draft-changelog", "--do"]);
    let ((server, _), address) = serve(&team);
    Page {
        team,
        server,
        address,
    }
}

/// Starts the server. Returns it with its key, and its address.
fn serve(team: &Team) -> ((Child, String), String) {
    use std::io::BufRead as _;
    let port = free_port();
    let listen = format!("127.0.0.1:{port}");
    let mut server = team.starts("dana", &["--json", "serve", "--listen", &listen]);
    let out = server.stdout.take().unwrap();
    wait_for(port, || {
        server.try_wait().is_ok_and(|ended| ended.is_none())
    });
    let mut lines = std::io::BufReader::new(out).lines();
    let answer = lines.find_map(|line| {
        let value: serde_json::Value = serde_json::from_str(&line.ok()?).ok()?;
        value["answer"]["key"].as_str().map(str::to_owned)
    });
    ((server, answer.unwrap()), format!("http://{listen}"))
}

const WIDE: Look = Look {
    width: 1280,
    height: 900,
    is_dark: false,
    scripts: true,
};

impl Page {
    fn invite(&self, name: &str) -> String {
        let said = self.team.says(
            "dana",
            &["--json", "invite", name, "--public", &self.address],
        );
        let value: serde_json::Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
        value["answer"]["link"].as_str().unwrap().to_owned()
    }

    /// A browser in which somebody is signed in.
    fn visited_by(&self, name: &str, look: Look) -> Browser {
        let browser = Browser::start(look);
        browser.open(&self.invite(name));
        browser.shows(&format!("This link is for {name}."));
        browser.press(&format!("Sign in as {name}"));
        browser.shows("Releases");
        browser
    }

    fn open(&self, browser: &Browser, path: &str) {
        browser.open(&format!("{}{path}", self.address));
    }
}

/// Keeps a picture for the documents where `BAKELITE_PICTURES` names a folder.
#[expect(clippy::disallowed_methods, reason = "tests read the environment")]
fn keep(browser: &Browser, name: &str, width: u32) {
    if let Ok(folder) = std::env::var("BAKELITE_PICTURES") {
        browser.fit(width);
        fs_err::write(Path::new(&folder).join(name), browser.picture()).unwrap();
    }
}

/// A film of a few seconds, made by the browser itself: a counter, and a flicker in the middle.
fn film(browser: &Browser, folder: &Path) -> PathBuf {
    use base64::prelude::{BASE64_STANDARD, Engine as _};
    browser.open("about:blank");
    let value = browser.script(
        "const done = arguments[arguments.length - 1];
        const canvas = document.createElement('canvas'); canvas.width = 640; canvas.height = 360;
        const pen = canvas.getContext('2d'); const parts = []; let frame = 0;
        const recorder = new MediaRecorder(canvas.captureStream(15), { mimeType: 'video/webm' });
        recorder.ondataavailable = (event) => parts.push(event.data);
        recorder.onstop = () => { const reader = new FileReader(); reader.onload = () => done(reader.result.split(',')[1]); reader.readAsDataURL(new Blob(parts)); };
        const timer = setInterval(() => {
          frame += 1;
          pen.fillStyle = '#0b1d2a'; pen.fillRect(0, 0, 640, 360);
          pen.fillStyle = '#d7e3ea'; pen.font = '22px monospace';
          pen.fillText('Aptio Setup Utility', 24, 40); pen.fillText('Boot option 1   [USB: KVM virtual media]', 24, 110);
          pen.fillText('Boot option 2   [NVMe]', 24, 146); pen.fillText('Save and exit', 24, 218);
          if (frame > 20 && frame % 6 < 2) { pen.fillStyle = '#ff2aa055'; pen.fillRect(0, 120, 640, 60); }
          pen.fillStyle = '#8aa'; pen.fillText('test-product  device 10000000abc  frame ' + frame, 24, 336);
          if (frame === 45) { clearInterval(timer); recorder.stop(); }
        }, 66);
        recorder.start();",
    );
    let bytes = BASE64_STANDARD.decode(value.as_str().unwrap()).unwrap();
    let path = folder.join("test-product.webm");
    fs_err::write(&path, bytes).unwrap();
    path
}

#[test]
#[expect(
    clippy::too_many_lines,
    reason = "three people, from the first look to the decision"
)]
fn three_people_play_a_release_in_the_browser() {
    let page = begin();
    let folder = tempfile::tempdir().unwrap();
    // The release manager sees what is to be done, and by whom.
    let dana = page.visited_by("dana", WIDE);
    page.open(&dana, "/releases/0.1.0");
    for part in [
        "What you can do now",
        "What the release waits for",
        "When it will be out",
        "Every step",
        "rc1",
    ] {
        dana.shows(part);
    }
    dana.follow("Draft the security advisories");
    dana.shows("Not needed");

    // carl films, and the page takes the film in.
    let carl = page.visited_by("carl", WIDE);
    let path = film(&carl, folder.path());
    page.open(&carl, "/releases/0.1.0/steps/test-product");
    carl.shows("After: Update the test plan");
    let sam = page.visited_by("sam", WIDE);
    page.open(&sam, "/releases/0.1.0");
    sam.follow("Update the test plan");
    sam.press("I am at it");
    sam.shows("sam is at it");
    keep(&sam, "dashboard-step.png", 1280);
    sam.write("//input[@name='note']", "3.2 is new");
    sam.press("It is done");
    sam.shows("Done");
    for step in ["test-product", "test-update", "test-diy"] {
        page.open(&carl, &format!("/releases/0.1.0/steps/{step}"));
        carl.press("It is done");
        carl.shows("This was not recorded. ");
        carl.shows("needs 1 pieces of evidence; there are 0");
        carl.write("//input[@name='serial']", "10000000abc");
        carl.choose("//input[@type='file']", &path);
        carl.press("Upload");
        carl.shows("device 10000000abc");
        carl.press("It is done");
        carl.shows("carl,");
    }
    page.team.says(
        "dana",
        &[
            "waive",
            "run-end-to-end",
            "--reason",
            "the bench is being moved",
        ],
    );
    // The film is there as it was made, and in the journal with its length.
    let made = Sha256Digest::of(fs_err::read(&path).unwrap());
    let kept = page
        .team
        .clone_of("dana")
        .join("release/evidence")
        .join(made.to_string());
    assert_eq!(Sha256Digest::of(fs_err::read(kept).unwrap()), made);

    // sam looks, notes the flicker at its second, and approves what he ticked.
    page.open(&sam, "/releases/0.1.0/steps/review-results");
    sam.shows("test-product.webm");
    let ready = sam.script(
        "const done = arguments[arguments.length - 1]; const film = document.querySelector('video');
        const seek = () => { film.addEventListener('timeupdate', () => setTimeout(() => done(document.querySelector('[data-now]').value), 50), { once: true }); film.currentTime = 2; };
        if (film.readyState > 0) seek(); else { film.addEventListener('loadedmetadata', seek); film.load(); }",
    );
    assert_eq!(ready, "0:02", "the note is about the moment that one sees");
    sam.write(
        "(//form[input[@value='finding']])[1]//input[@name='title']",
        "The picture flickers",
    );
    sam.press("Note it");
    sam.shows("0:02");
    keep(&sam, "dashboard-review.png", 1280);
    sam.press("Approve");
    sam.shows("3 pieces of evidence were not looked at");
    for box_number in 1..=3 {
        sam.click(&format!("(//input[@type='checkbox'])[{box_number}]"));
    }
    sam.press("Approve");
    sam.shows("Approved");
    let dora = page.visited_by("dora", WIDE);
    page.open(&dora, "/releases/0.1.0/steps/review-results");
    dora.shows("You own behaviour that changed in this release");
    for box_number in 1..=3 {
        dora.click(&format!("(//input[@type='checkbox'])[{box_number}]"));
    }
    dora.press("Approve");
    dora.shows("Done");

    // The questions, each by its role; the decision by the product owner alone.
    page.open(&carl, "/releases/0.1.0/steps/draft-announcement");
    carl.press("It is done");
    carl.shows("Done");
    page.open(&sam, "/releases/0.1.0/steps/decide");
    sam.write(
        "(//td//input[@name='answer'])[1]",
        "Everybody with a 1080p screen, for a second",
    );
    sam.click("(//td//button[text()='Answer'])[1]");
    sam.shows("Everybody with a 1080p screen");
    assert!(!sam.text().contains("Your decision"), "{}", sam.text());
    page.open(&dora, "/releases/0.1.0/steps/decide");
    dora.click("(//td//button[text()='Unknown'])[1]");
    dora.shows("Unknown");
    let olga = page.visited_by("olga", WIDE);
    page.open(&olga, "/releases/0.1.0");
    keep(&olga, "dashboard-overview.png", 1280);
    olga.follow("Decide whether to publish");
    olga.shows("Still unknown");
    keep(&olga, "dashboard-decision.png", 1280);
    olga.press("Go: publish rc1");
    olga.shows("nothing was decided about it");
    olga.click("//select[@name='finding-the-picture-flickers']/option[@value='known-issue']");
    olga.press("Go: publish rc1");
    olga.shows("this needs a reason");
    olga.click("//select[@name='finding-the-picture-flickers']/option[@value='known-issue']");
    olga.write(
        "//textarea[@name='reason']",
        "It is over in a second; the fix comes with 0.1.1",
    );
    olga.press("Go: publish rc1");
    olga.shows("Go for rc1, olga");
    watch_and_hand_over(&page, &sam, folder.path());
    page.open(&olga, "/releases/0.1.0/journal");
    olga.shows("by dashboard");
    keep(&olga, "dashboard-journal.png", 1280);
    page.open(&olga, "/cost");
    olga.shows("What a release costs");
    keep(&olga, "dashboard-cost.png", 1280);
    // What was written here is what everybody else reads.
    assert!(page.team.says("dana", &["status"]).contains("✓ decide"));
    assert!(
        page.team
            .says("dana", &["verify"])
            .contains("every signature and link holds")
    );
}

/// After publishing, on the command line: the watch, and a distributor who says the wrong hash first.
fn watch_and_hand_over(page: &Page, sam: &Browser, folder: &Path) {
    for step in ["publish-changelog", "publish-release"] {
        page.team.says("dana", &["run", step, "--do"]);
    }
    page.open(sam, "/releases/0.1.0/steps/publish-release");
    sam.shows("12 files at");
    let log = folder.join("update.log");
    fs_err::write(&log, "the device runs 0.1.0").unwrap();
    page.open(sam, "/releases/0.1.0/steps/verify-updates");
    sam.choose("//input[@type='file']", &log);
    sam.press("Upload");
    sam.shows("update.log");
    sam.press("It is done");
    sam.shows("sam, ");
    page.team.says("dana", &["run", "tell-team", "--do"]);
    page.open(sam, "/releases/0.1.0/steps/watch");
    sam.shows("2 days left");
    sam.write("//input[@name='reports']", "3");
    sam.write("//input[@name='note']", "two about cables, one about tea");
    sam.press("I looked");
    sam.shows("3 reports so far");
    sam.click("//summary[text()='Watch longer']");
    sam.write("//input[@name='hours']", "12");
    sam.write(
        "(//input[@name='reason'])[1]",
        "a weekend is no 48 hours of users",
    );
    sam.click("//button[text()='Watch longer']");
    sam.shows("of 60 h");
    keep(sam, "dashboard-watch.png", 1280);
    page.team.says(
        "dana",
        &["waive", "watch", "--reason", "this is a rehearsal"],
    );

    page.open(sam, "/releases/0.1.0/steps/hand-to-distributor");
    sam.write("//input[@name='image']", &"0".repeat(64));
    sam.press("Enter their answer");
    sam.shows("not the candidate's");
    let sums = fs_err::read_to_string(outputs("kvm").join("SHA256SUMS")).unwrap();
    let image = sums
        .lines()
        .find(|line| line.ends_with(".img.zst"))
        .unwrap();
    sam.write("//input[@name='image']", &image[..64]);
    sam.press("Enter their answer");
    sam.shows("Done");
}

#[test]
fn the_pages_work_without_scripts_by_keyboard_in_the_dark_and_on_a_telephone() {
    let page = begin();
    let look = Look {
        width: 420,
        height: 900,
        is_dark: true,
        scripts: false,
    };
    let sam = page.visited_by("sam", look);
    page.open(&sam, "/releases/0.1.0");
    sam.shows("What you can do now");
    keep(&sam, "dashboard-telephone.png", 420);
    page.open(&sam, "/releases/0.1.0/steps/update-test-plan");
    // Tab leads to the first thing of the page that can be done; Enter does it.
    let mut reached = false;
    for _ in 0..20 {
        sam.keys("\u{E004}");
        let focus = sam.focused();
        if focus.contains("I am at it") {
            reached = true;
            break;
        }
    }
    assert!(reached, "the keyboard does not lead to the button");
    sam.keys("\u{E007}");
    sam.shows("sam is at it");
    // Evidence too, without the bar.
    let path = root().join("README.md");
    let carl = page.visited_by("carl", look);
    page.open(&carl, "/releases/0.1.0/steps/test-diy");
    carl.choose("//input[@type='file']", &path);
    carl.press("Upload");
    carl.shows("README.md");
}

#[test]
fn nobody_acts_who_is_not_signed_in_or_comes_from_elsewhere() {
    let page = begin();
    let client = client(false);
    for path in [
        "/",
        "/releases/0.1.0",
        "/releases/0.1.0/journal",
        "/cost",
        "/evidence/00",
        "/releases/0.1.0/steps/decide",
    ] {
        let answer = client
            .get(format!("{}{path}", page.address))
            .send()
            .unwrap();
        let wanted = if path == "/evidence/00" { 404 } else { 401 };
        assert_eq!(answer.status(), wanted, "{path}");
        let policy = answer.headers()["content-security-policy"]
            .to_str()
            .unwrap()
            .to_owned();
        assert!(
            policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"),
            "{policy}"
        );
    }
    let link = page.invite("olga");
    let answer = client
        .post(&link)
        .header("Origin", &page.address)
        .send()
        .unwrap();
    let cookie = answer.headers()["set-cookie"].to_str().unwrap().to_owned();
    assert!(
        cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"),
        "{cookie}"
    );
    let cookie = cookie.split(';').next().unwrap().to_owned();
    assert_eq!(
        client
            .post(&link)
            .header("Origin", &page.address)
            .send()
            .unwrap()
            .status(),
        410
    );
    let post = |origin: Option<&str>, form: &str| {
        let mut request = client
            .post(format!("{}/releases/0.1.0/events", page.address))
            .header("Cookie", &cookie)
            .header("Content-Type", "application/x-www-form-urlencoded")
            .body(form.to_owned());
        if let Some(origin) = origin {
            request = request.header("Origin", origin);
        }
        request.send().unwrap().status().as_u16()
    };
    let form = "act=retro&note=x";
    assert_eq!(post(None, form), 403);
    assert_eq!(post(Some("https://elsewhere.example"), form), 403);
    assert_eq!(post(Some(&page.address), form), 303);
    // A role that one has not is refused here as everywhere.
    assert_eq!(post(Some(&page.address), "act=done&step=test-diy"), 409);
    // Another name for this address is none (DNS rebinding).
    let answer = client
        .get(&page.address)
        .header("Host", "evil.example")
        .send()
        .unwrap();
    assert_eq!(answer.status(), 421);
}

#[test]
fn two_at_once_lose_nothing() {
    let page = begin();
    let client = client(false);
    let cookies: Vec<String> = ["olga", "sam", "carl", "dora"]
        .iter()
        .map(|name| {
            let answer = client
                .post(page.invite(name))
                .header("Origin", &page.address)
                .send()
                .unwrap();
            let cookie = answer.headers()["set-cookie"].to_str().unwrap().to_owned();
            cookie.split(';').next().unwrap().to_owned()
        })
        .collect();
    std::thread::scope(|scope| {
        for (index, cookie) in cookies.iter().enumerate() {
            let (client, address) = (&client, &page.address);
            scope.spawn(move || {
                for number in 0..10 {
                    let answer = client
                        .post(format!("{address}/releases/0.1.0/events"))
                        .header("Cookie", cookie)
                        .header("Origin", address)
                        .header("Content-Type", "application/x-www-form-urlencoded")
                        .body(format!(
                            "act=finding&title=finding+{index}+{number}&finding=f-{index}-{number}"
                        ))
                        .send();
                    assert_eq!(answer.unwrap().status(), 303);
                }
            });
        }
        // And somebody at the command line, meanwhile.
        for number in 0..10 {
            page.team
                .says("dana", &["finding", &format!("dana-{number}"), "here"]);
        }
    });
    let status = page.team.tries("dana", &["status"]);
    let status = text(&status);
    assert_eq!(status.matches("  ! ").count(), 50, "{status}");
    assert!(!status.contains("ignored"), "{status}");
    page.team.says("dana", &["verify"]);
}
