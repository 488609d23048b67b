//! From text to strokes, without typing anything.

use serde::Serialize;
use unicode_normalization::UnicodeNormalization as _;

use crate::key::Key;
use crate::layout::Layout;

/// One key with the modifiers that are held meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stroke {
    /// The key.
    pub key: Key,
    /// Whether Shift is held.
    pub shift: bool,
    /// Whether right Alt is held.
    pub altgr: bool,
}

impl Stroke {
    /// Returns the stroke of a key alone.
    pub fn of(key: Key) -> Self {
        Self {
            key,
            shift: false,
            altgr: false,
        }
    }

    /// Returns the keys that are down, modifiers first.
    pub fn keys(self) -> impl Iterator<Item = Key> {
        let shift = self.shift.then_some(Key::SHIFT_LEFT);
        let altgr = self.altgr.then_some(Key::ALT_RIGHT);
        shift.into_iter().chain(altgr).chain([self.key])
    }
}

/// A character that the layout cannot write.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct CannotType {
    /// The character.
    pub character: char,
    /// Line of its first occurrence, from 1.
    pub line: usize,
    /// Column of its first occurrence, from 1.
    pub column: usize,
    /// How often it occurs.
    pub count: usize,
}

/// What typing a text would be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// The strokes, in order, without what cannot be typed.
    pub strokes: Vec<Stroke>,
    /// Each character that cannot be typed, once.
    pub cannot: Vec<CannotType>,
}

impl Plan {
    /// Plans the strokes of a text. Line ends of any system are Enter.
    pub fn new(text: &str, layout: &Layout) -> Self {
        let mut plan = Self::default();
        let (mut line, mut column) = (1, 1);
        let text = text.replace("\r\n", "\n").replace('\r', "\n");
        for character in text.nfc() {
            if !plan.write(character, layout) {
                plan.note(character, line, column);
            }
            column += 1;
            if character == '\n' {
                (line, column) = (line + 1, 1);
            }
        }
        plan
    }

    /// Frames the strokes by Caps Lock when the host's light says that it is on.
    #[must_use]
    pub fn without_caps_lock(mut self, is_on: bool) -> Self {
        if is_on {
            self.strokes.insert(0, Stroke::of(Key::CAPS_LOCK));
            self.strokes.push(Stroke::of(Key::CAPS_LOCK));
        }
        self
    }

    fn write(&mut self, character: char, layout: &Layout) -> bool {
        match character {
            '\n' => self.strokes.push(Stroke::of(Key::ENTER)),
            '\t' => self.strokes.push(Stroke::of(Key::TAB)),
            _ => {
                let strokes = match layout.direct(character) {
                    Some(stroke) => vec![stroke],
                    None => match composed(character, layout) {
                        Some(strokes) => strokes.into(),
                        None => return false,
                    },
                };
                self.strokes.extend(strokes);
            }
        }
        true
    }

    fn note(&mut self, character: char, line: usize, column: usize) {
        match self.cannot.iter_mut().find(|c| c.character == character) {
            Some(known) => known.count += 1,
            None => self.cannot.push(CannotType {
                character,
                line,
                column,
                count: 1,
            }),
        }
    }
}

/// A dead key and what follows it.
fn composed(character: char, layout: &Layout) -> Option<[Stroke; 2]> {
    // What a dead key and the space bar write on Linux and Windows alike.
    let spacing = match character {
        '`' => Some('\u{300}'),
        '\'' => Some('\u{301}'),
        '^' => Some('\u{302}'),
        '~' => Some('\u{303}'),
        '"' => Some('\u{308}'),
        _ => None,
    };
    if let Some(mark) = spacing {
        return Some([layout.dead(mark)?, layout.direct(' ')?]);
    }
    let mut parts = std::iter::once(character).nfd();
    let (base, mark) = (parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    Some([layout.dead(mark)?, layout.direct(base)?])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str, layout: &str) -> String {
        let plan = Plan::new(text, &Layout::named(layout).unwrap());
        assert_eq!(plan.cannot, [], "{layout}");
        let names = plan.strokes.iter().map(|stroke| {
            let keys: Vec<&str> = stroke.keys().map(Key::code).collect();
            keys.join("+")
        });
        names.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn letters_are_where_the_layout_has_them() {
        assert_eq!(written("aZ", "us"), "KeyA ShiftLeft+KeyZ");
        assert_eq!(written("zY", "de"), "KeyY ShiftLeft+KeyZ");
        assert_eq!(written("a1", "fr"), "KeyQ ShiftLeft+Digit1");
        assert_eq!(written("@", "de"), "AltRight+KeyQ");
        assert_eq!(
            written("ſ\n\t", "de"),
            "AltRight+KeyS Enter Tab",
            "AltGr, Enter and Tab"
        );
    }

    #[test]
    fn accents_are_written_by_dead_keys() {
        assert_eq!(written("é", "de"), "Equal KeyE");
        assert_eq!(written("^", "de"), "Backquote Space");
        assert_eq!(written("Ê", "fr"), "BracketLeft ShiftLeft+KeyE");
        assert_eq!(written("ÿ", "us-intl"), "ShiftLeft+Quote KeyY");
        assert_eq!(
            written("e\u{301}", "de"),
            "Equal KeyE",
            "decomposed text too"
        );
    }

    #[test]
    fn what_cannot_be_typed_is_listed_once_with_its_place() {
        let plan = Plan::new("ab\r\nc→→é", &Layout::named("us").unwrap());
        let cannot: Vec<_> = plan
            .cannot
            .iter()
            .map(|c| (c.character, c.line, c.column, c.count))
            .collect();
        assert_eq!(cannot, [('→', 2, 2, 2), ('é', 2, 4, 1)]);
        assert_eq!(plan.strokes.len(), 4, "the rest is planned");
    }

    #[test]
    fn caps_lock_is_switched_off_before_and_on_again_after() {
        let plan = Plan::new("a", &Layout::named("us").unwrap());
        let keys: Vec<Key> = plan
            .without_caps_lock(true)
            .strokes
            .iter()
            .map(|stroke| stroke.key)
            .collect();
        assert_eq!(keys[0], Key::CAPS_LOCK);
        assert_eq!(keys[2], Key::CAPS_LOCK);
    }

    /// A simulated host with the same layout must read what was planned.
    #[test]
    fn every_layout_writes_its_own_ascii_back() {
        for (name, _) in Layout::list() {
            let layout = Layout::named(name).unwrap();
            for character in (' '..='~').chain("äéñçßøåłőž".chars()) {
                let plan = Plan::new(&character.to_string(), &layout);
                let Some(last) = plan.strokes.last().copied() else {
                    continue;
                };
                let direct = layout.direct(character) == Some(last);
                assert!(direct || plan.strokes.len() == 2, "{name} {character}");
            }
        }
    }
}
