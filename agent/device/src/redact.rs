//! Takes out of a log what says where and whose a device is, kind by kind. The same thing gets the same
//! number, so that a log can still be followed.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// What is taken out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Addresses of the network (IPv4, IPv6).
    Address,
    /// Addresses of network cards (EUI-48).
    Card,
    /// Names of this device and of its users.
    Name,
    /// Serial numbers, identifiers, digests, keys, codes.
    Secret,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Address, Self::Card, Self::Name, Self::Secret];

    /// Returns the word that stands instead.
    pub fn word(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Card => "card",
            Self::Name => "name",
            Self::Secret => "secret",
        }
    }
}

/// Hexadecimal digits from which on a word is an identifier.
const IDENTIFIER: usize = 12;

/// Takes things out of line after line.
#[derive(Debug)]
pub struct Redactor {
    kinds: BTreeSet<Kind>,
    names: Vec<String>,
    seen: BTreeMap<(Kind, String), usize>,
}

impl Redactor {
    /// Takes these kinds out, and these names.
    pub fn new(
        kinds: impl IntoIterator<Item = Kind>,
        names: impl IntoIterator<Item = String>,
    ) -> Self {
        let names = names.into_iter().map(|name| name.to_ascii_lowercase());
        Self {
            kinds: kinds.into_iter().collect(),
            names: names.filter(|name| name.len() > 1).collect(),
            seen: BTreeMap::new(),
        }
    }

    /// Returns a line without them.
    pub fn line(&mut self, line: &str) -> String {
        let mut clean = String::with_capacity(line.len());
        let mut rest = line;
        while !rest.is_empty() {
            let word = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
            let (word, after) = rest.split_at(word);
            self.word(word, &mut clean);
            let gap = after.find(is_part).unwrap_or(after.len());
            clean.push_str(&after[..gap]);
            rest = &after[gap..];
        }
        clean
    }

    fn word(&mut self, word: &str, clean: &mut String) {
        // What ends a sentence is no part of what stands there.
        let core = word.trim_end_matches(['.', ':', '-', '_']);
        let Some(kind) = self.kind(core) else {
            // Words are also joined to others, and to ports.
            match core.rfind(['-', '_', ':']) {
                Some(at) => {
                    self.word(&core[..at], clean);
                    clean.push_str(&core[at..=at]);
                    self.word(&core[at + 1..], clean);
                    clean.push_str(&word[core.len()..]);
                }
                None => clean.push_str(word),
            }
            return;
        };
        if !self.kinds.contains(&kind) {
            clean.push_str(word);
            return;
        }
        let count = self.seen.keys().filter(|(other, _)| *other == kind).count();
        let key = (kind, core.to_ascii_lowercase());
        let number = *self.seen.entry(key).or_insert(count + 1);
        clean.push_str(&format!("[{} {number}]", kind.word()));
        clean.push_str(&word[core.len()..]);
    }

    fn kind(&self, word: &str) -> Option<Kind> {
        let lower = word.to_ascii_lowercase();
        if is_card(word) {
            return Some(Kind::Card);
        }
        if is_address(word) {
            return Some(Kind::Address);
        }
        let host = lower.strip_suffix(".local").unwrap_or(&lower);
        if self.names.iter().any(|name| name == host) {
            return Some(Kind::Name);
        }
        is_secret(word).then_some(Kind::Secret)
    }
}

fn is_part(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | ':' | '-' | '_')
}

/// An address of something else than this device itself.
fn is_address(word: &str) -> bool {
    let address = word.parse::<IpAddr>();
    address.is_ok_and(|ip| !ip.is_unspecified() && !ip.is_loopback())
}

fn is_card(word: &str) -> bool {
    let parts: Vec<&str> = word.split([':', '-']).collect();
    let is_byte = |part: &&str| part.len() == 2 && part.bytes().all(|c| c.is_ascii_hexdigit());
    parts.len() == 6 && parts.iter().all(is_byte)
}

/// Long hexadecimal numbers, also in groups, and codes of four capital letters and digits a group.
fn is_secret(word: &str) -> bool {
    let digits = word.bytes().filter(u8::is_ascii_hexdigit).count();
    let is_hex = word
        .bytes()
        .all(|c| c.is_ascii_hexdigit() || matches!(c, b'-' | b':'));
    // A date is digits and hyphens, too, but short.
    let is_identifier = is_hex && digits >= IDENTIFIER;
    let groups: Vec<&str> = word.split('-').collect();
    let is_group = |group: &&str| {
        group.len() == 4
            && group
                .bytes()
                .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit())
    };
    is_identifier || groups.len() >= 3 && groups.iter().all(is_group)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn redactor() -> Redactor {
        Redactor::new(Kind::ALL, ["rack-7".to_owned(), "Alice".to_owned()])
    }

    #[test]
    fn each_kind_is_taken_out_and_the_rest_stays() {
        let mut redactor = redactor();
        for (line, expected) in [
            (
                "lease of 192.0.2.7, again 192.0.2.7.",
                "lease of [address 1], again [address 1].",
            ),
            (
                "peer [2001:db8::5]:443 and 192.0.2.9:5000",
                "peer [[address 2]]:443 and [address 3]:5000",
            ),
            ("card 52:54:00:12:34:56 on eth0", "card [card 1] on eth0"),
            (
                "https://rack-7.local for alice",
                "https://[name 1] for [name 2]",
            ),
            (
                "shell@0-192.0.2.7:9000-192.0.2.9:49998.service",
                "shell@0-[address 1]:9000-[address 3]:49998.service",
            ),
            ("code ABCD-EF23-GH45", "code [secret 1]"),
            (
                "uuid 6b1db3c5-c098-3847-9562-ed00bd52714f",
                "uuid [secret 2]",
            ),
            (
                "at 2026-11-21T20:12:13+0000 took 1.5s on 127.0.0.1",
                "at 2026-11-21T20:12:13+0000 took 1.5s on 127.0.0.1",
            ),
            (
                "Größe 12:30 version 6.12.117",
                "Größe 12:30 version 6.12.117",
            ),
        ] {
            assert_eq!(redactor.line(line), expected);
        }
    }

    #[test]
    fn what_is_asked_for_stays() {
        let mut redactor = Redactor::new([Kind::Card], []);
        let line = "192.0.2.7 52:54:00:12:34:56";
        assert_eq!(redactor.line(line), "192.0.2.7 [card 1]");
    }

    proptest! {
        #[test]
        fn no_address_and_no_card_survives(
            address: [u8; 4], card: [u8; 6], before in "[ =(a-z]{0,4}[ =(]", after in "[ ,;)]?",
        ) {
            let address = std::net::Ipv4Addr::from(address);
            prop_assume!(!address.is_loopback() && !address.is_unspecified());
            let card = card.map(|byte| format!("{byte:02x}")).join(":");
            let line = redactor().line(&format!("{before}{address}{after} {card}"));
            prop_assert!(!line.contains(&address.to_string()) && !line.contains(&card), "{line}");
        }
    }
}
