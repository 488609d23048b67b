//! Reads a recipe and its overlays, and collects every problem before giving up.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use super::meant::{BootSettings, Keep, Overlay, Recipe, Source, Systemd, User};
use super::problem::{Problem, Problems};
use super::written::{Kind, Layout, OverlayToml, RecipeToml};
use files::load_files;
use update::{authority, choices, newest_root};

/// Unknown keys are reported one by one; a file with more of them than this is no recipe.
const MOST_UNKNOWN_KEYS: usize = 50;

/// Loads a recipe, or returns everything that is wrong with it.
pub fn load(file: &Path) -> Result<Recipe, Problems> {
    let mut problems = Vec::new();
    let recipe = load_into(file, &mut problems);
    match recipe {
        Some(recipe) if problems.is_empty() => Ok(recipe),
        _ => Err(Problems(problems)),
    }
}

fn load_into(file: &Path, problems: &mut Vec<Problem>) -> Option<Recipe> {
    let written: RecipeToml = read_toml(file, problems)?;
    let Some(project) = find_project(file) else {
        problems.push(problem(
            file,
            None,
            "no folder “overlays” lies beside or above the recipe",
            None,
        ));
        return None;
    };
    check_word(file, "name", &written.name, problems);
    check_word(file, "version", &written.version, problems);
    if written.image.boot_mib < 64 || written.image.boot_mib > 1024 {
        problems.push(problem(
            file,
            None,
            "image.boot-mib must be between 64 and 1024",
            None,
        ));
    }
    if written.image.root_mib < 64 || written.image.root_mib > 16 << 10 {
        let text = "image.root-mib must be between 64 and 16384";
        problems.push(problem(file, None, text, None));
    }
    let names = [&written.distro, &written.board]
        .into_iter()
        .chain(&written.overlays);
    let mut overlays = Vec::new();
    let mut packages: BTreeSet<String> = written.packages.iter().cloned().collect();
    let mut agent = false;
    for (position, name) in names.enumerate() {
        let expected = [Kind::Distro, Kind::Board, Kind::Feature][position.min(2)];
        if let Some((overlay, toml)) = load_overlay(file, &project, name, expected, problems) {
            packages.extend(toml.packages.install.iter().cloned());
            agent |= toml.packages.agent;
            overlays.push((overlay, toml));
        }
    }
    check_together(file, &overlays, problems);
    let layout = written.image.layout;
    let others = overlays
        .iter()
        .filter(|(_, toml)| toml.layout.is_some_and(|only| only != layout));
    for (overlay, _) in others {
        let text = format!("overlay “{}” is not for this image's layout", overlay.name);
        problems.push(problem(file, None, text, Some("leave it out".into())));
    }
    let keys = project.join(written.update.keys.as_deref().unwrap_or("keys"));
    let update_root = newest_root(&keys);
    if written.update.keys.is_some() && update_root.is_none() {
        let text = format!("update.keys: {} has no 1.root.json", keys.display());
        let hint = Some("make keys with `bakelite keys init`".into());
        problems.push(problem(file, None, text, hint));
    }
    let update_before = written.update.before.as_ref();
    let update_before = update_before.map(|name| project.join(name));
    let update_choices = choices(&written.update).unwrap_or_else(|text| {
        let hint = Some("write the address of a folder, such as https://example.org/stable".into());
        problems.push(problem(file, None, text, hint));
        None
    });
    let update_authority = authority(&project, &written.update).unwrap_or_else(|text| {
        problems.push(problem(
            file,
            None,
            text,
            Some("it must be a PEM file".into()),
        ));
        None
    });
    if written.image.layout == Layout::Ab && !agent {
        let text =
            "layout “ab” needs an overlay with the agent: it is the agent that chooses the slot";
        let hint = Some("add overlay “kvm-agent”, or use layout “single”".into());
        problems.push(problem(file, None, text, hint));
    }
    Some(Recipe {
        file: file.to_owned(),
        project,
        name: written.name,
        version: written.version,
        description: written.description,
        board: written.board,
        distro: written.distro,
        overlays: overlays.into_iter().map(|(overlay, _)| overlay).collect(),
        packages: packages.into_iter().collect(),
        agent,
        layout: written.image.layout,
        compression: written.image.compression,
        boot_mib: written.image.boot_mib,
        free_mib: written.image.free_mib,
        root_mib: written.image.root_mib,
        update_root,
        update_choices,
        update_authority,
        rollback_index: written.update.rollback_index,
        update_budget: written.update.budget_mib,
        update_before,
        mirrors: written.mirrors,
    })
}

fn problem(
    file: &Path,
    line: Option<usize>,
    text: impl Into<String>,
    hint: Option<String>,
) -> Problem {
    Problem {
        file: file.to_owned(),
        line,
        text: text.into(),
        hint,
    }
}

fn check_word(file: &Path, key: &str, value: &str, problems: &mut Vec<Problem>) {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-._+~".contains(&b);
    if value.is_empty() || value.starts_with(['-', '.']) || !value.bytes().all(allowed) {
        let text = format!(
            "{key} “{value}” may hold letters, digits and - . _ + ~ only: it becomes part of file names"
        );
        problems.push(problem(file, None, text, None));
    }
}

fn find_project(recipe: &Path) -> Option<PathBuf> {
    let absolute = std::path::absolute(recipe).ok()?;
    absolute
        .ancestors()
        .skip(1)
        .find(|folder| folder.join("overlays").is_dir())
        .map(Path::to_owned)
}

fn load_overlay(
    recipe: &Path,
    project: &Path,
    name: &str,
    expected: Kind,
    problems: &mut Vec<Problem>,
) -> Option<(Overlay, OverlayToml)> {
    let folder = project.join("overlays").join(name);
    let file = folder.join("overlay.toml");
    if !file.is_file() {
        let others: Vec<String> = fs_err::read_dir(project.join("overlays"))
            .into_iter()
            .flatten()
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .collect();
        let near = apt_repository::solver::nearest(name, others.iter().map(String::as_str));
        let hint = near.map(|near| format!("is “{near}” meant?"));
        problems.push(problem(
            recipe,
            None,
            format!("there is no overlay “{name}”"),
            hint,
        ));
        return None;
    }
    let toml: OverlayToml = read_toml(&file, problems)?;
    if toml.kind != expected {
        let text = format!(
            "overlay “{name}” is a {:?}, but is used as a {expected:?}",
            toml.kind
        )
        .to_lowercase();
        problems.push(problem(&file, None, text, None));
    }
    let mut sources = Vec::new();
    for source in &toml.sources {
        let mut keys = Vec::new();
        for key in &source.keys {
            match fs_err::read_to_string(folder.join(key)) {
                Ok(text) => keys.push(text),
                Err(error) => problems.push(problem(&file, None, error.to_string(), None)),
            }
        }
        if keys.is_empty() {
            let text = format!(
                "source {} has no key: an unsigned archive is never used",
                source.suite
            );
            problems.push(problem(&file, None, text, None));
        }
        sources.push(Source {
            archive: source.archive.clone(),
            suite: source.suite.clone(),
            components: source.components.clone(),
            keys,
            mirror: source.mirror.clone(),
        });
    }
    let overlay = Overlay {
        name: name.to_owned(),
        files: load_files(&file, &folder, &toml, problems),
        sources,
        systemd: Systemd {
            enable: toml.systemd.enable.clone(),
            disable: toml.systemd.disable.clone(),
            mask: toml.systemd.mask.clone(),
        },
        users: toml
            .users
            .iter()
            .map(|user| load_user(&file, user, problems))
            .collect(),
        boot: BootSettings {
            config: toml.boot.config.clone(),
            kernel_arguments: toml.boot.kernel_arguments.clone(),
            initramfs_modules: toml.boot.initramfs_modules.clone(),
            boards: toml.boot.boards.clone(),
            device_trees: toml.boot.device_trees.clone(),
        },
        keep: load_keep(&file, &toml, problems),
        folder,
    };
    Some((overlay, toml))
}

fn load_keep(file: &Path, toml: &OverlayToml, problems: &mut Vec<Problem>) -> Keep {
    let is_plain = |path: &String| {
        let path = path.as_str();
        path.len() > 1
            && path.starts_with('/')
            && !path.contains(char::is_whitespace)
            && path.split('/').all(|part| part != "." && part != "..")
    };
    for path in toml.keep.settings.iter().chain(&toml.keep.shared) {
        if !is_plain(path) {
            let text = format!("keep: “{path}” is not an absolute path without blanks and dots");
            problems.push(problem(file, None, text, None));
        }
    }
    for path in toml.keep.shared.iter().filter(|path| !path.ends_with('/')) {
        let text = format!("keep.shared: “{path}” must be a folder, and end with /");
        problems.push(problem(file, None, text, None));
    }
    Keep {
        settings: toml.keep.settings.clone(),
        shared: toml.keep.shared.clone(),
    }
}

fn load_user(file: &Path, user: &super::written::UserToml, problems: &mut Vec<Problem>) -> User {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
    if user.name.is_empty()
        || !user.name.bytes().all(allowed)
        || user.name.starts_with(|c: char| !c.is_ascii_lowercase())
    {
        problems.push(problem(
            file,
            None,
            format!("“{}” is not a user name", user.name),
            None,
        ));
    }
    User {
        name: user.name.clone(),
        uid: user.uid,
        groups: user.groups.clone(),
        shell: user.shell.clone().unwrap_or_else(|| "/bin/bash".to_owned()),
        password_hash: user.password_hash.clone().unwrap_or_else(|| "!".to_owned()),
        ssh_keys: user.ssh_keys.clone(),
    }
}

/// Conflicts between overlays: named ones, files laid twice, users made twice, units both ways.
fn check_together(recipe: &Path, overlays: &[(Overlay, OverlayToml)], problems: &mut Vec<Problem>) {
    let names: Vec<&str> = overlays
        .iter()
        .map(|(overlay, _)| overlay.name.as_str())
        .collect();
    let mut owners: BTreeMap<String, &str> = BTreeMap::new();
    let mut claim = |what: String, name, problems: &mut Vec<Problem>| {
        if let Some(other) = owners.insert(what.clone(), name) {
            let text = if other == name {
                format!("overlay “{name}” is listed twice, or sets {what} twice")
            } else {
                format!("overlays “{other}” and “{name}” both set {what}")
            };
            problems.push(problem(recipe, None, text, None));
        }
    };
    for (overlay, toml) in overlays {
        for needed in toml
            .requires
            .iter()
            .filter(|needed| !names.contains(&needed.as_str()))
        {
            let text = format!("overlay “{}” requires overlay “{needed}”", overlay.name);
            problems.push(problem(
                recipe,
                None,
                text,
                Some("add it to overlays".into()),
            ));
        }
        for enemy in toml
            .conflicts
            .iter()
            .filter(|enemy| names.contains(&enemy.as_str()))
        {
            let text = format!("overlays “{}” and “{enemy}” conflict", overlay.name);
            problems.push(problem(recipe, None, text, None));
        }
        for file in &overlay.files {
            claim(format!("the file {}", file.path), &overlay.name, problems);
        }
        for user in &overlay.users {
            claim(format!("the user {}", user.name), &overlay.name, problems);
        }
        let off = overlay.systemd.disable.iter().chain(&overlay.systemd.mask);
        for path in overlay.keep.settings.iter().chain(&overlay.keep.shared) {
            claim(format!("that {path} is kept"), &overlay.name, problems);
        }
        for unit in overlay.systemd.enable.iter().chain(off) {
            claim(format!("the unit {unit}"), &overlay.name, problems);
        }
    }
}

/// Parses TOML; each unknown key is a problem of its own, with its line and the nearest known key.
fn read_toml<T: DeserializeOwned>(file: &Path, problems: &mut Vec<Problem>) -> Option<T> {
    let mut text = match fs_err::read_to_string(file) {
        Ok(text) => text,
        Err(error) => {
            problems.push(problem(file, None, error.to_string(), None));
            return None;
        }
    };
    let known = problems.len();
    let sorted =
        |problems: &mut Vec<Problem>| problems[known..].sort_by_key(|problem| problem.line);
    for _ in 0..MOST_UNKNOWN_KEYS {
        let error = match toml::from_str::<T>(&text) {
            Ok(value) => {
                sorted(problems);
                return (problems.len() == known).then_some(value);
            }
            Err(error) => error,
        };
        let span = error.span().unwrap_or(0..0);
        let line = text[..span.start].matches('\n').count() + 1;
        let message = error.message().to_owned();
        if let Some((key, rest)) = message
            .strip_prefix("unknown field `")
            .and_then(|rest| rest.split_once('`'))
        {
            let expected: Vec<&str> = rest.split('`').skip(1).step_by(2).collect();
            let hint = match apt_repository::solver::nearest(key, expected.iter().copied()) {
                Some(near) => format!("is “{near}” meant?"),
                None => format!("known keys: {}", expected.join(", ")),
            };
            problems.push(problem(
                file,
                Some(line),
                format!("unknown key “{key}”"),
                Some(hint),
            ));
            if !blank_out(&mut text, span) {
                return None;
            }
        } else {
            problems.push(problem(file, Some(line), message.replace('\n', "; "), None));
            return None;
        }
    }
    None
}

/// Removes the key at `span` with its value, so that the rest can be checked too. Lines stay.
fn blank_out(text: &mut String, span: std::ops::Range<usize>) -> bool {
    let line_start = text[..span.start].rfind('\n').map_or(0, |at| at + 1);
    let header = text[line_start..].trim_start().starts_with('[');
    let mut end = span.start;
    // A table goes up to the next header; a key up to where the text parses again.
    loop {
        end = text[end..].find('\n').map_or(text.len(), |at| end + at + 1);
        let done = if header {
            end == text.len() || text[end..].trim_start().starts_with('[')
        } else {
            let mut rest = text.clone();
            rest.replace_range(line_start..end, &blank(&text[line_start..end]));
            end == text.len() || rest.parse::<toml::Table>().is_ok()
        };
        if done {
            break;
        }
    }
    if end == line_start {
        return false;
    }
    let blank = blank(&text[line_start..end]);
    text.replace_range(line_start..end, &blank);
    true
}

fn blank(text: &str) -> String {
    text.chars().filter(|c| *c == '\n').collect()
}

mod files;
#[cfg(test)]
mod tests;
mod update;
