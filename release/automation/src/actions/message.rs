//! Messages: a mail, or a post to a chat. Nobody can ask the world whether one was sent: the journal's attempt
//! says so, and after an interruption a person must look.

use std::time::Duration;

use lettre::message::header::ContentType;
use lettre::transport::smtp::authentication::Credentials;
use lettre::{Message, SmtpTransport, Transport as _};
use release::template::written::MailToml;
use serde_json::json;

use super::{Action, Probe};
use crate::error::ActionError;
use crate::http;
use crate::job::{Job, write_whole};
use crate::texts;

/// Says how to go on when an attempt was interrupted.
fn unknown(job: &Job<'_>) -> Result<Probe, ActionError> {
    let attempts = &job.run.steps[&job.step.name].attempts;
    let is_open = attempts
        .last()
        .is_some_and(|attempt| attempt.outcome.is_none());
    if !is_open {
        return Ok(Probe::Absent);
    }
    Ok(Probe::Conflict(format!(
        "an attempt to send it was interrupted, and nobody can tell whether it went out. Look where it should have \
         arrived ({}), then say “bakelite release settle {} done” or “failed”",
        message_id(job)?,
        job.step.name
    )))
}

/// The same for every attempt: two copies of a mail are known as one (RFC 5322, §3.6.4).
fn message_id(job: &Job<'_>) -> Result<String, ActionError> {
    let from = job
        .run
        .template()
        .release
        .mail
        .as_ref()
        .map_or("", |mail| &mail.from);
    let host = from
        .rsplit('@')
        .next()
        .unwrap_or_default()
        .trim_end_matches('>');
    let candidate = job.candidate()?.digest.short();
    Ok(format!(
        "<{}.{}.{candidate}@{host}>",
        job.version, job.step.name
    ))
}

pub(super) struct Mail<'a> {
    pub(super) job: &'a Job<'a>,
    pub(super) to: &'a [String],
    pub(super) text: &'a str,
}

impl Mail<'_> {
    fn settings(&self) -> Result<&MailToml, ActionError> {
        let mail = self.job.run.template().release.mail.as_ref();
        mail.ok_or_else(|| ActionError::Refused("release.toml has no [mail]".into()))
    }

    /// Subject and body.
    fn words(&self) -> Result<(String, String), ActionError> {
        let text = texts::render(self.job, self.text)?;
        let (subject, body) = text.split_once('\n').unwrap_or((&text, ""));
        Ok((subject.trim().to_owned(), body.trim().to_owned() + "\n"))
    }

    fn message(&self) -> Result<Message, ActionError> {
        let (subject, body) = self.words()?;
        let wrong = |what: &str, why: &dyn std::fmt::Display| ActionError::Mail {
            what: format!("“{what}”: {why}"),
        };
        let from = &self.settings()?.from;
        let mut message = Message::builder()
            .from(from.parse().map_err(|why| wrong(from, &why))?)
            .subject(subject)
            .date(self.job.time.into())
            .message_id(Some(message_id(self.job)?));
        for to in self.to {
            message = message.to(to.parse().map_err(|why| wrong(to, &why))?);
        }
        message
            .header(ContentType::TEXT_PLAIN)
            .body(body)
            .map_err(|why| wrong("body", &why))
    }

    /// The file instead of a server, if mail goes to a folder.
    fn file(&self) -> Result<Option<std::path::PathBuf>, ActionError> {
        let folder = self.settings()?.folder.as_ref();
        let name = format!("{}-{}.eml", self.job.version, self.job.step.name);
        Ok(folder.map(|folder| self.job.project.join(folder).join(name)))
    }
}

impl Action for Mail<'_> {
    fn probe(&self) -> Result<Probe, ActionError> {
        match self.file()? {
            Some(file) if file.exists() => Ok(Probe::Satisfied(file.display().to_string())),
            Some(_) => Ok(Probe::Absent),
            None => unknown(self.job),
        }
    }

    fn plan(&self) -> Result<Vec<String>, ActionError> {
        let (subject, body) = self.words()?;
        let mail = self.settings()?;
        let by = match (self.file()?, &mail.server) {
            (Some(file), _) => format!("write {}", file.display()),
            (None, Some(server)) => format!("send by {server}"),
            (None, None) => "[mail] in release.toml has neither “server” nor “folder”".into(),
        };
        let mut lines = vec![
            by,
            format!("From: {}", mail.from),
            format!("To: {}", self.to.join(", ")),
            format!("Subject: {subject}"),
            String::new(),
        ];
        lines.extend(body.lines().map(str::to_owned));
        Ok(lines)
    }

    fn run(&self, _say: &mut dyn FnMut(&str)) -> Result<String, ActionError> {
        let message = self.message()?;
        if let Some(file) = self.file()? {
            write_whole(&file, &message.formatted())?;
            return Ok(file.display().to_string());
        }
        let server = self.settings()?.server.as_deref().ok_or_else(|| {
            ActionError::Refused("[mail] in release.toml has neither “server” nor “folder”".into())
        })?;
        drop(rustls::crypto::ring::default_provider().install_default());
        let mut transport = SmtpTransport::from_url(server)
            .map_err(ActionError::Smtp)?
            .timeout(Some(Duration::from_mins(1)));
        if let Some(user) = self.job.secrets.find("BAKELITE_SMTP_USER") {
            let why = "the mail server knows the user by it";
            let password = self.job.secrets.need("BAKELITE_SMTP_PASSWORD", why)?;
            let (user, password) = (user.expose().to_owned(), password.expose().to_owned());
            transport = transport.credentials(Credentials::new(user, password));
        }
        transport
            .build()
            .send(&message)
            .map_err(ActionError::Smtp)?;
        Ok(format!(
            "{} to {}",
            message_id(self.job)?,
            self.to.join(", ")
        ))
    }

    fn undo(&self) -> Result<String, ActionError> {
        Err(ActionError::NoUndo(": a mail cannot be called back"))
    }

    fn can_probe(&self) -> bool {
        self.file().is_ok_and(|file| file.is_some())
    }
}

pub(super) struct Webhook<'a> {
    pub(super) job: &'a Job<'a>,
    pub(super) address_from: &'a str,
    pub(super) text: &'a str,
}

impl Action for Webhook<'_> {
    fn probe(&self) -> Result<Probe, ActionError> {
        unknown(self.job)
    }

    fn plan(&self) -> Result<Vec<String>, ActionError> {
        let text = texts::render(self.job, self.text)?;
        let mut lines = vec![format!("post to the address in {}:", self.address_from)];
        lines.extend(text.lines().map(str::to_owned));
        Ok(lines)
    }

    fn run(&self, _say: &mut dyn FnMut(&str)) -> Result<String, ActionError> {
        let why = "the chat's address for incoming messages";
        let address = self.job.secrets.need(self.address_from, why)?;
        let text = texts::render(self.job, self.text)?;
        let what = "post the message";
        // Slack's form, which Mattermost, Rocket.Chat and Discord (with “/slack”) take too.
        let answer = http::client()?
            .post(address.expose())
            .timeout(Duration::from_mins(1))
            .json(&json!({ "text": text }))
            .send()
            .map_err(ActionError::http(what))?;
        // What the server says may repeat its own address, which is the secret.
        let status = answer.status();
        if !status.is_success() {
            return Err(ActionError::Status {
                what: what.to_owned(),
                status: status.as_u16(),
                answer: String::new(),
            });
        }
        Ok("posted".into())
    }

    fn undo(&self) -> Result<String, ActionError> {
        Err(ActionError::NoUndo(": people may have read it"))
    }

    fn can_probe(&self) -> bool {
        false
    }
}
