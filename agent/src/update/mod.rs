//! Updates on the device. One process with privileges, and no network but this device's own page to look at, owns the slots:
//! [`service`] answers whoever asks, [`worker`] does one thing after the other. What comes from the network is fetched by a
//! process without any privilege.

mod choices;
mod client;
mod firmware;
mod found;
mod health;
mod install;
mod own;
mod service;
mod source;
mod trial;
mod trust;
mod worker;

use std::path::Path;

/// Certificates that the image's makers trust for their channel, beside the system's.
const AUTHORITY: &str = "/usr/lib/bakelite/update-authority.pem";

pub(crate) type Failure = Box<dyn std::error::Error>;

/// Runs `serve`, which is the service, or what a person asks for.
pub(crate) fn run(words: impl Iterator<Item = String>) -> Result<(), Failure> {
    let words: Vec<String> = words.collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["serve"] => service::run(),
        _ => client::run(&words),
    }
}

/// Fetches for the process that has no network: what it asks comes on the standard input, which is a socket.
pub(crate) fn fetch() -> Result<(), Failure> {
    use std::os::fd::AsFd as _;
    let socket = std::io::stdin().as_fd().try_clone_to_owned()?;
    let stream = std::os::unix::net::UnixStream::from(socket);
    stream.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let stream = tokio::net::UnixStream::from_std(stream)?;
        let fetcher = agent_fetch::Fetcher::of_system_and(Path::new(AUTHORITY));
        agent_fetch::wire::serve(fetcher, stream).await
    })?;
    Ok(())
}

/// Returns an error with its causes, in a sentence.
fn sentence(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        next = cause.source();
    }
    text
}
