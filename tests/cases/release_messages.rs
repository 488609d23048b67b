//! Messages go out once: by mail and to a chat. Whether one arrived after an interruption, only people can tell.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::http::StatusCode;
use axum::routing::post;
use bakelite_tests::bakelite::tool;
use bakelite_tests::serve::on_loopback;
use bakelite_tests::team::Team;

/// A mail server on loopback (RFC 5321) that keeps what it takes, and ends who sends it where it is told to.
#[derive(Default, Clone)]
struct Mailbox {
    mails: Arc<Mutex<Vec<String>>>,
    ends: Arc<Mutex<Option<u32>>>,
}

impl Mailbox {
    fn serve(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let mailbox = self.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A client that goes away is part of the game.
                drop(mailbox.talk(stream));
            }
        });
        address
    }

    fn talk(&self, mut stream: std::net::TcpStream) -> std::io::Result<()> {
        let mut lines = BufReader::new(stream.try_clone()?).lines();
        stream.write_all(b"220 mailbox\r\n")?;
        while let Some(line) = lines.next() {
            let line = line?;
            let answer: &[u8] = match line.get(..4).unwrap_or_default() {
                "EHLO" => b"250-mailbox\r\n250 8BITMIME\r\n",
                "DATA" => {
                    stream.write_all(b"354 go on\r\n")?;
                    let mut mail = String::new();
                    for line in lines.by_ref() {
                        let line = line?;
                        if line == "." {
                            break;
                        }
                        mail += &(line + "\n");
                    }
                    self.mails.lock().unwrap().push(mail);
                    if let Some(sender) = self.ends.lock().unwrap().take() {
                        let (good, said) = tool("kill", &["-9", &sender.to_string()]);
                        assert!(good, "{said}");
                        return Ok(());
                    }
                    b"250 taken\r\n"
                }
                "QUIT" => b"221 bye\r\n",
                _ => b"250 well\r\n",
            };
            stream.write_all(answer)?;
        }
        Ok(())
    }
}

/// One person with a mail and a message to send, about a candidate of two small files.
fn change(clone: &Path, mail: &str) {
    let template = clone.join("release/template");
    fs_err::remove_dir_all(template.join("steps")).unwrap();
    fs_err::create_dir(template.join("steps")).unwrap();
    let write = |name: &str, text: &str| fs_err::write(template.join(name), text).unwrap();
    write(
        "release.toml",
        &format!(
            "schema = 1\ndescription = \"small\"\n[budget]\nsteps = 9\ntouch-hours = 9\nirreversible = 9\n[mail]\nfrom = \"Team <team@example.com>\"\nserver = \"smtp://{mail}\"\n[roles.dev]\ntitle = \"Developer\"\nmay-waive = true\n"
        ),
    );
    let step = |action: &str| {
        format!(
            "title = \"t\"\nkind = \"command\"\nrole = \"dev\"\nminutes = 1\naction = {action}\n"
        )
    };
    write("steps/build.toml", &step("{ name = \"candidate\" }"));
    write(
        "steps/mail.toml",
        &step("{ name = \"mail\", to = [\"list@example.com\"], text = \"team.txt\" }"),
    );
    write(
        "steps/chat.toml",
        &step("{ name = \"webhook\", address-from = \"CHAT\", text = \"team.txt\" }"),
    );
}

fn team(mail: &str) -> Team {
    let team = Team::new(&[("ann", &["dev"])], |clone| change(clone, mail));
    let out = bakelite_tests::bakelite::outputs("kvm");
    team.says("ann", &["start", "1", "--kind", "patch"]);
    team.says("ann", &["candidate", "add", out.to_str().unwrap()]);
    team
}

#[test]
fn a_mail_goes_out_once_and_after_an_interruption_a_person_says_what_became_of_it() {
    let mailbox = Mailbox::default();
    let team = team(&mailbox.serve());
    let plan = team.says("ann", &["run", "mail"]);
    assert!(
        plan.contains("To: list@example.com") && plan.contains("Subject: KVM 1 is out"),
        "{plan}"
    );
    assert!(
        mailbox.mails.lock().unwrap().is_empty(),
        "a plan sends nothing"
    );

    // The server has it; who sent it is ended before it knows.
    let child = team.starts("ann", &["run", "mail", "--do"]);
    *mailbox.ends.lock().unwrap() = Some(child.id());
    let output = child.wait_with_output().unwrap();
    assert!(!output.status.success());
    team.is_refused(
        "ann",
        &["run", "mail", "--do"],
        "nobody can tell whether it went out",
    );
    let mails = mailbox.mails.lock().unwrap().clone();
    assert_eq!(mails.len(), 1, "it is not sent again");
    assert!(
        mails[0].contains("Message-ID: <1.mail.") && mails[0].contains("@example.com>"),
        "{}",
        mails[0]
    );
    team.says(
        "ann",
        &["settle", "mail", "done", "--note", "it is in the archive"],
    );
    let status = team.says("ann", &["status"]);
    assert!(status.contains("✓ mail"), "{status}");
}

#[test]
fn a_chat_gets_the_message_and_nobody_else_its_address() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let kept = seen.clone();
    let router = Router::new()
        .route(
            "/hook/very-secret",
            post(move |body: String| async move {
                kept.lock().unwrap().push(body);
            }),
        )
        .route(
            "/broken/very-secret",
            post(|| async { (StatusCode::BAD_GATEWAY, "no /broken/very-secret") }),
        );
    let address = on_loopback(router);
    let team = team("127.0.0.1:1");
    team.is_refused("ann", &["run", "chat", "--do"], "CHAT is not set");
    team.set("CHAT", &format!("http://{address}/broken/very-secret"));
    team.is_refused("ann", &["run", "chat", "--do"], "the server answered 502");
    // A port where nobody listens: the error has no address in it.
    team.set("CHAT", "http://127.0.0.1:1/hook/very-secret");
    let output = team.tries("ann", &["run", "chat", "--do"]);
    let said = bakelite_tests::bakelite::text(&output);
    assert!(!said.contains("very-secret"), "{said}");
    team.set("CHAT", &format!("http://{address}/hook/very-secret"));
    team.says("ann", &["run", "chat", "--do"]);
    let seen = seen.lock().unwrap().clone();
    assert_eq!(seen.len(), 1);
    assert!(seen[0].contains("\"text\":\"KVM 1 is out"), "{}", seen[0]);
    let log = team.says("ann", &["--json", "log"]);
    assert!(!log.contains("very-secret"), "{log}");
}
