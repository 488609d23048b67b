//! The tables: one text file a layout in `layouts/`, written by `scripts/keyboard-layouts`.

use std::collections::{BTreeMap, HashMap};

use crate::key::Key;
use crate::layout::Stroke;

/// A layout, ready to be asked.
#[derive(Debug, Clone)]
pub struct Layout {
    name: &'static str,
    title: &'static str,
    text: &'static str,
    characters: HashMap<char, Stroke>,
    dead: HashMap<char, Stroke>,
}

/// There is no such layout.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no keyboard layout “{name}”")]
pub struct UnknownLayout {
    /// The name that was given.
    pub name: String,
}

impl Layout {
    /// Returns names and titles of all layouts, ordered by name.
    pub fn list() -> impl Iterator<Item = (&'static str, &'static str)> {
        TABLES.iter().map(|(name, text)| (*name, title(text)))
    }

    /// Returns a layout by name, such as `de` or `us-intl`.
    pub fn named(name: &str) -> Result<Self, UnknownLayout> {
        let found = TABLES.iter().find(|table| table.0 == name);
        let (name, text) = found.ok_or_else(|| UnknownLayout {
            name: name.chars().take(40).collect(),
        })?;
        Ok(Self::read(name, text))
    }

    /// Returns the name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Returns the title, for people.
    pub fn title(&self) -> &'static str {
        self.title
    }

    /// Returns the stroke that writes a character by itself.
    pub fn direct(&self, character: char) -> Option<Stroke> {
        self.characters.get(&character).copied()
    }

    /// Returns the stroke of the dead key for a combining character.
    pub fn dead(&self, mark: char) -> Option<Stroke> {
        self.dead.get(&mark).copied()
    }

    /// Returns what each key writes: alone, with Shift, with AltGr, with both. A dead key is its
    /// accent, nothing is empty.
    pub fn keys(&self) -> BTreeMap<&'static str, Vec<String>> {
        let shown = |word: &str| match word.split_once(['-', '+']) {
            Some(("dead", mark)) => format!("\u{25cc}{}", code_point(mark)),
            Some(("U", character)) if word.len() > 2 => code_point(character).to_string(),
            _ if word == "-" => String::new(),
            _ => word.to_owned(),
        };
        let rows = self
            .text
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(' '));
        rows.map(|(key, words)| (key, words.split(' ').map(shown).collect()))
            .collect()
    }

    fn read(name: &'static str, text: &'static str) -> Self {
        let mut layout = Self {
            name,
            title: title(text),
            text,
            characters: HashMap::new(),
            dead: HashMap::new(),
        };
        // The easiest stroke wins: all keys alone, then all with Shift, then AltGr, then both.
        for level in 0..4 {
            for line in text.lines().skip(1) {
                let mut words = line.split(' ');
                let key: Key = words
                    .next()
                    .and_then(|name| name.parse().ok())
                    .expect("a key");
                let stroke = Stroke {
                    key,
                    shift: level % 2 == 1,
                    altgr: level >= 2,
                };
                let Some(word) = words.nth(level) else {
                    continue;
                };
                if let Some(mark) = word.strip_prefix("dead-") {
                    layout.dead.entry(code_point(mark)).or_insert(stroke);
                } else if let Some(character) = word.strip_prefix("U+") {
                    let character = code_point(character);
                    layout.characters.entry(character).or_insert(stroke);
                } else if word != "-" {
                    let character = word.chars().next().expect("split at single spaces");
                    layout.characters.entry(character).or_insert(stroke);
                }
            }
        }
        layout
    }
}

fn title(text: &'static str) -> &'static str {
    let first = text.lines().next().unwrap_or_default();
    first.trim_start_matches("# ")
}

fn code_point(hexadecimal: &str) -> char {
    let number = u32::from_str_radix(hexadecimal, 16).ok();
    number.and_then(char::from_u32).expect("a code point")
}

const TABLES: &[(&str, &str)] = &[
    ("be", include_str!("../../layouts/be.txt")),
    ("bg", include_str!("../../layouts/bg.txt")),
    ("br", include_str!("../../layouts/br.txt")),
    ("ca", include_str!("../../layouts/ca.txt")),
    ("ch-fr", include_str!("../../layouts/ch-fr.txt")),
    ("ch", include_str!("../../layouts/ch.txt")),
    ("cz-qwerty", include_str!("../../layouts/cz-qwerty.txt")),
    ("cz", include_str!("../../layouts/cz.txt")),
    ("de", include_str!("../../layouts/de.txt")),
    ("dk", include_str!("../../layouts/dk.txt")),
    ("ee", include_str!("../../layouts/ee.txt")),
    ("es", include_str!("../../layouts/es.txt")),
    ("fi", include_str!("../../layouts/fi.txt")),
    ("fr-bepo", include_str!("../../layouts/fr-bepo.txt")),
    ("fr", include_str!("../../layouts/fr.txt")),
    ("gb", include_str!("../../layouts/gb.txt")),
    ("gr", include_str!("../../layouts/gr.txt")),
    ("hr", include_str!("../../layouts/hr.txt")),
    ("hu", include_str!("../../layouts/hu.txt")),
    ("il", include_str!("../../layouts/il.txt")),
    ("is", include_str!("../../layouts/is.txt")),
    ("it", include_str!("../../layouts/it.txt")),
    ("jp", include_str!("../../layouts/jp.txt")),
    ("latam", include_str!("../../layouts/latam.txt")),
    ("lt", include_str!("../../layouts/lt.txt")),
    ("lv", include_str!("../../layouts/lv.txt")),
    ("nl", include_str!("../../layouts/nl.txt")),
    ("no", include_str!("../../layouts/no.txt")),
    ("pl", include_str!("../../layouts/pl.txt")),
    ("pt", include_str!("../../layouts/pt.txt")),
    ("ro", include_str!("../../layouts/ro.txt")),
    ("rs-latin", include_str!("../../layouts/rs-latin.txt")),
    ("ru", include_str!("../../layouts/ru.txt")),
    ("se", include_str!("../../layouts/se.txt")),
    ("si", include_str!("../../layouts/si.txt")),
    ("sk", include_str!("../../layouts/sk.txt")),
    ("tr", include_str!("../../layouts/tr.txt")),
    ("ua", include_str!("../../layouts/ua.txt")),
    ("us-colemak", include_str!("../../layouts/us-colemak.txt")),
    ("us-dvorak", include_str!("../../layouts/us-dvorak.txt")),
    ("us-intl", include_str!("../../layouts/us-intl.txt")),
    ("us", include_str!("../../layouts/us.txt")),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_is_whole() {
        let mut count = 0;
        for (name, title) in Layout::list() {
            let layout = Layout::named(name).unwrap();
            assert_eq!((layout.name(), layout.title()), (name, title));
            assert!(layout.characters.len() > 80, "{name}");
            let keys = layout.keys();
            assert!(
                keys.values()
                    .flatten()
                    .all(|text| text.chars().count() <= 2),
                "{name}"
            );
            assert_eq!(keys["Space"][0], " ", "{name}");
            assert_eq!(layout.direct(' ').unwrap().key, Key::SPACE, "{name}");
            for digit in '0'..='9' {
                assert!(layout.direct(digit).is_some(), "{name} {digit}");
            }
            count += 1;
        }
        assert_eq!(count, 42);
        assert!(Layout::named("xx").is_err());
    }
}
