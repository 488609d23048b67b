//! Which modules a module needs before it, from what depmod wrote (modules.dep(5), modules.softdep).

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

/// What depmod knows of a kernel's modules. Names are compared with `_` for `-`, as the kernel does.
#[derive(Debug, Default)]
pub(super) struct Modules {
    /// Path and paths needed, by name.
    files: BTreeMap<String, (String, Vec<String>)>,
    built_in: BTreeSet<String>,
    softly: BTreeMap<String, Vec<String>>,
    aliases: BTreeMap<String, Vec<String>>,
}

fn name_of(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.split(".ko").next().unwrap_or(file).replace('-', "_")
}

impl Modules {
    pub(super) fn read(folder: &Path) -> io::Result<Self> {
        let text = |name: &str| fs_err::read_to_string(folder.join(name));
        Ok(Self::parse(
            &text("modules.dep")?,
            &text("modules.builtin")?,
            &text("modules.softdep")?,
            &text("modules.alias")?,
        ))
    }

    fn parse(dependencies: &str, built_in: &str, softly: &str, aliases: &str) -> Self {
        let mut modules = Self::default();
        for (path, needed) in dependencies.lines().filter_map(|line| line.split_once(':')) {
            let needed = needed.split_whitespace().map(str::to_owned).collect();
            modules
                .files
                .insert(name_of(path), (path.to_owned(), needed));
        }
        modules.built_in = built_in.lines().map(name_of).collect();
        for line in softly.lines() {
            let mut words = line.split_whitespace();
            if let (Some("softdep"), Some(name)) = (words.next(), words.next()) {
                let before = words
                    .skip_while(|word| *word != "pre:")
                    .skip(1)
                    .take_while(|word| *word != "post:");
                let list = modules.softly.entry(name.replace('-', "_")).or_default();
                list.extend(before.map(str::to_owned));
            }
        }
        for line in aliases.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            // Patterns are for hardware; what modules ask for softly are plain names.
            if let ["alias", alias, name] = words[..]
                && !alias.contains(['*', '?', '['])
            {
                let alias = alias.replace('-', "_");
                modules
                    .aliases
                    .entry(alias)
                    .or_default()
                    .push(name.replace('-', "_"));
            }
        }
        modules
    }

    /// Returns the paths of the named modules and of all that they need, each after those that it needs.
    pub(super) fn in_order<'n>(
        &self,
        names: impl IntoIterator<Item = &'n str>,
    ) -> io::Result<Vec<String>> {
        let mut order = Vec::new();
        let mut seen = BTreeSet::new();
        for name in names {
            let name = name.replace('-', "_");
            if !self.files.contains_key(&name) && !self.built_in.contains(&name) {
                return Err(io::Error::other(format!(
                    "the kernel has no module “{name}”, which the initramfs needs"
                )));
            }
            self.add(&name, &mut seen, &mut order);
        }
        Ok(order)
    }

    fn add(&self, name: &str, seen: &mut BTreeSet<String>, order: &mut Vec<String>) {
        let Some((path, needed)) = self.files.get(name) else {
            return;
        };
        if !seen.insert(name.to_owned()) {
            return;
        }
        for softly in self.softly.get(name).into_iter().flatten() {
            let softly = softly.replace('-', "_");
            self.add(&softly, seen, order);
            for provider in self.aliases.get(&softly).into_iter().flatten() {
                self.add(provider, seen, order);
            }
        }
        for path in needed {
            self.add(&name_of(path), seen, order);
        }
        order.push(path.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_needed_comes_first_and_once() {
        let modules = Modules::parse(
            "k/fs/ext4.ko.xz: k/lib/crc16.ko.xz k/fs/jbd2.ko.xz\nk/lib/crc16.ko.xz:\nk/fs/jbd2.ko.xz:\nk/c/crc32c_generic.ko.xz:\nk/d/usb-storage.ko.xz:\n",
            "kernel/drivers/of.ko\n",
            "# comment\nsoftdep ext4 pre: crypto-crc32c\nsoftdep jbd2 pre: crypto-crc32c post: usb-storage\n",
            "alias crypto-crc32c crc32c_generic\nalias usb:v* usb_storage\n",
        );
        let order = modules
            .in_order(["of", "ext4", "usb_storage", "ext4"])
            .unwrap();
        let expected = [
            "k/c/crc32c_generic.ko.xz",
            "k/lib/crc16.ko.xz",
            "k/fs/jbd2.ko.xz",
            "k/fs/ext4.ko.xz",
            "k/d/usb-storage.ko.xz",
        ];
        assert_eq!(order, expected);
        let error = modules.in_order(["nothing"]).unwrap_err().to_string();
        assert!(error.contains("“nothing”"), "{error}");
    }
}
