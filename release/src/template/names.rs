//! Names in a template: each must mean something.

use std::collections::BTreeMap;
use std::path::Path;

use super::Reader;
use super::Step;
use super::written::{PeopleToml, ReleaseToml};
use crate::journal::AllowedSigners;

/// Names become parts of file names and of signed events: small letters, digits and hyphens.
fn is_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !name.is_empty() && name.len() <= 64 && name.bytes().all(allowed)
}

pub(super) fn check(
    folder: &Path,
    release: &ReleaseToml,
    people: &PeopleToml,
    steps: &[Step],
    texts: &BTreeMap<String, String>,
    reader: &mut Reader,
) {
    check_people(&folder.join("people.toml"), release, people, reader);
    let roles: Vec<&str> = release.roles.keys().map(String::as_str).collect();
    let known = format!("known roles: {}", roles.join(", "));
    let file = folder.join("release.toml");
    for (name, question) in &release.questions {
        if !release.roles.contains_key(&question.role) {
            let text = format!(
                "question {name} is for “{}”, which is no role; {known}",
                question.role
            );
            reader.problem_near(&file, &format!("\"{}\"", question.role), text);
        }
    }
    for (key, target) in release.evidence.iter().map(|target| ("evidence", target)) {
        match release.targets.get(target) {
            None => reader.problem_near(&file, key, no_target(release, target)),
            Some(found) if !found.takes_pages() => {
                reader.problem_near(&file, key, only_releases(target));
            }
            Some(_) => {}
        }
    }
    for step in steps {
        check_step(folder, release, steps, step, texts, reader);
    }
}

fn no_target(release: &ReleaseToml, name: &str) -> String {
    let known: Vec<&str> = release.targets.keys().map(String::as_str).collect();
    format!(
        "there is no target “{name}” in release.toml; known targets: {}",
        known.join(", ")
    )
}

fn only_releases(name: &str) -> String {
    format!("target “{name}” takes releases only; this needs a folder or an S3 store")
}

fn check_people(file: &Path, release: &ReleaseToml, people: &PeopleToml, reader: &mut Reader) {
    let roles: Vec<&str> = release.roles.keys().map(String::as_str).collect();
    let known = format!("known roles: {}", roles.join(", "));
    for name in people.people.keys().chain(people.servers.keys()) {
        if !is_name(name) {
            let text = format!("“{name}”: names have small letters, digits and hyphens");
            reader.problem_near(file, name, text);
        }
    }
    for name in people
        .servers
        .keys()
        .filter(|name| people.people.contains_key(*name))
    {
        let text = format!("{name} is a person and a server: whose word would it be?");
        reader.problem_near(file, &format!("servers.{name}"), text);
    }
    let keys = people
        .people
        .iter()
        .flat_map(|(name, p)| p.keys.iter().map(move |k| (name, k)));
    let servers = people
        .servers
        .iter()
        .map(|(name, server)| (name, &server.key));
    for (name, key) in keys.chain(servers) {
        if key.starts_with("ssh-rsa ") {
            let text = format!(
                "the key of {name} is an RSA key, which is not verified here: “ssh-keygen -t ed25519” makes one that is"
            );
            reader.problem_near(file, key, text);
        } else if let Err(error) = AllowedSigners::default().add(name, key) {
            let text = format!("a key of {name} cannot be read: {error}");
            reader.problem_near(file, key, text);
        }
    }
    for (name, person) in &people.people {
        for role in person
            .roles
            .iter()
            .filter(|role| !release.roles.contains_key(*role))
        {
            let text = format!("{name} has the role “{role}”, which is none; {known}");
            reader.problem_near(file, &format!("\"{role}\""), text);
        }
    }
}

fn check_step(
    folder: &Path,
    release: &ReleaseToml,
    steps: &[Step],
    step: &Step,
    texts: &BTreeMap<String, String>,
    reader: &mut Reader,
) {
    let roles: Vec<&str> = release.roles.keys().map(String::as_str).collect();
    let known = format!("known roles: {}", roles.join(", "));
    let file = folder.join("steps").join(format!("{}.toml", step.name));
    if !is_name(&step.name) {
        reader.problem(&file, "names have small letters, digits and hyphens".into());
    }
    let named = std::iter::once(&step.written.role).chain(&step.written.reviewers);
    for role in named.filter(|role| !release.roles.contains_key(*role)) {
        let text = format!("“{role}” is no role; {known}");
        reader.problem_near(&file, &format!("\"{role}\""), text);
    }
    for other in step.written.after.iter().chain(&step.written.reviews) {
        // A step whose own file has a problem is told once, there.
        let other_file = folder.join("steps").join(format!("{other}.toml"));
        let is_there = reader.files.contains_key(&other_file);
        if !is_there && !steps.iter().any(|step| step.name == *other) {
            let text = format!("there is no step “{other}”");
            reader.problem_near(&file, &format!("\"{other}\""), text);
        }
    }
    let Some(action) = &step.written.action else {
        return;
    };
    for (target, must_take_pages) in action.targets() {
        let word = format!("\"{target}\"");
        match release.targets.get(target) {
            None => reader.problem_near(&file, &word, no_target(release, target)),
            Some(found) if must_take_pages && !found.takes_pages() => {
                reader.problem_near(&file, &word, only_releases(target));
            }
            Some(_) => {}
        }
    }
    if let Some(text) = action.text()
        && !texts.contains_key(text)
    {
        let known: Vec<&str> = texts.keys().map(String::as_str).collect();
        let text = format!(
            "there is no text “{text}” in texts/; known: {}",
            known.join(", ")
        );
        reader.problem_near(&file, "text", text);
    }
    if let super::Action::Mail { .. } = action
        && release.mail.is_none()
    {
        let text = "it sends mail, but release.toml has no [mail]".to_owned();
        reader.problem_near(&file, "action", text);
    }
}
