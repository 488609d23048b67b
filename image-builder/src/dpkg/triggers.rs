//! Triggers (deb-triggers(5)): which installed packages must look at what others brought.

use std::collections::BTreeMap;
use std::path::Path;

use super::database::{ADMIN, Database, State};

/// Triggers that wait, by interested package, in the order they came up.
#[derive(Debug, Default)]
pub(super) struct Pending {
    queue: Vec<(String, Vec<String>)>,
}

impl Pending {
    fn add(&mut self, package: &str, trigger: &str) {
        match self.queue.iter_mut().find(|(name, _)| name == package) {
            Some((_, triggers)) if triggers.iter().any(|known| known == trigger) => {}
            Some((_, triggers)) => triggers.push(trigger.to_owned()),
            None => self
                .queue
                .push((package.to_owned(), vec![trigger.to_owned()])),
        }
    }

    /// Takes the package that waits longest, with its triggers.
    pub(super) fn next(&mut self) -> Option<(String, Vec<String>)> {
        (!self.queue.is_empty()).then(|| self.queue.remove(0))
    }

    /// Activates a trigger by name. Packages that are not configured yet are passed over: their own
    /// configuration does the work (dpkg's triggers.txt).
    pub(super) fn activate(&mut self, database: &Database, trigger: &str) {
        for entry in database
            .entries
            .values()
            .filter(|entry| entry.state == State::Installed)
        {
            if directives(&entry.triggers, "interest").any(|interest| interest == trigger) {
                self.add(&entry.name, trigger);
            }
        }
    }

    /// Activates file triggers for the paths that a package brings.
    pub(super) fn activate_files(&mut self, database: &Database, package: &str, paths: &[String]) {
        for entry in database
            .entries
            .values()
            .filter(|entry| entry.state == State::Installed && entry.name != package)
        {
            for interest in
                directives(&entry.triggers, "interest").filter(|interest| interest.starts_with('/'))
            {
                let below = |path: &String| {
                    path.strip_prefix(interest)
                        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
                };
                if paths.iter().any(below) {
                    self.add(&entry.name, interest);
                }
            }
        }
    }

    /// Activates what a package activates when its state changes.
    pub(super) fn activate_own(&mut self, database: &Database, package: &str) {
        let triggers = database.entries[package].triggers.clone();
        for trigger in directives(&triggers, "activate") {
            self.activate(database, trigger);
        }
    }

    /// Takes in what scripts asked for with dpkg-trigger(1).
    pub(super) fn incorporate(&mut self, database: &Database) -> std::io::Result<()> {
        let path = Path::new(ADMIN).join("triggers/Unincorp");
        let text = fs_err::read_to_string(&path).unwrap_or_default();
        if text.is_empty() {
            return Ok(());
        }
        for trigger in text
            .lines()
            .filter_map(|line| line.split_ascii_whitespace().next())
        {
            self.activate(database, trigger);
        }
        fs_err::OpenOptions::new()
            .write(true)
            .truncate(true)
            .open(&path)?;
        Ok(())
    }
}

/// Returns the trigger names of `interest` or `activate` lines, in all their forms.
fn directives<'t>(text: &'t str, verb: &'static str) -> impl Iterator<Item = &'t str> {
    text.lines().filter_map(move |line| {
        let mut words = line
            .split('#')
            .next()
            .unwrap_or_default()
            .split_ascii_whitespace();
        let word = words.next()?;
        let suffix = word.strip_prefix(verb)?;
        matches!(suffix, "" | "-await" | "-noawait").then(|| words.next())?
    })
}

/// Writes `triggers/File` and the files of named triggers, as dpkg keeps them.
pub(super) fn write_interests(database: &Database) -> std::io::Result<()> {
    let (mut files, mut named): (String, BTreeMap<String, String>) =
        (String::new(), BTreeMap::new());
    for entry in database.entries.values() {
        for line in entry.triggers.lines() {
            let mut words = line
                .split('#')
                .next()
                .unwrap_or_default()
                .split_ascii_whitespace();
            let (Some(verb), Some(trigger)) = (words.next(), words.next()) else {
                continue;
            };
            if !verb.starts_with("interest") {
                continue;
            }
            let package = entry.info_name();
            let noawait = if verb == "interest-noawait" {
                "/noawait"
            } else {
                ""
            };
            if trigger.starts_with('/') {
                files.push_str(&format!("{trigger} {package}{noawait}\n"));
            } else {
                named
                    .entry(trigger.to_owned())
                    .or_default()
                    .push_str(&format!("{package}{noawait}\n"));
            }
        }
    }
    let folder = Path::new(ADMIN).join("triggers");
    fs_err::write(folder.join("File"), files)?;
    for (trigger, text) in named {
        fs_err::write(folder.join(trigger), text)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_form_of_a_directive() {
        let text = "# note\ninterest /usr/lib\ninterest-noawait  ldconfig # why\nactivate-noawait ldconfig\ninterested x\n";
        assert_eq!(
            directives(text, "interest").collect::<Vec<_>>(),
            ["/usr/lib", "ldconfig"]
        );
        assert_eq!(
            directives(text, "activate").collect::<Vec<_>>(),
            ["ldconfig"]
        );
    }
}
