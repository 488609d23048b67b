//! Keys: one table from the names that browsers use to USB usages and Linux key codes.

use std::fmt;
use std::str::FromStr;

/// A key by its usage on the keyboard page (HID Usage Tables 1.5, §10).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(u8);

/// First and last modifier: left Control to right GUI.
const MODIFIERS: std::ops::RangeInclusive<u8> = 0xe0..=0xe7;

/// There is no such key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "there is no key “{name}”; keys are named as KeyboardEvent.code does, such as KeyA, Digit1 or ShiftLeft"
)]
pub struct UnknownKey {
    /// The name that was given.
    pub name: String,
}

impl Key {
    /// Left Shift.
    pub const SHIFT_LEFT: Self = Self(0xe1);
    /// Right Alt, on many layouts AltGr.
    pub const ALT_RIGHT: Self = Self(0xe6);
    /// Caps Lock.
    pub const CAPS_LOCK: Self = Self(0x39);
    /// Enter.
    pub const ENTER: Self = Self(0x28);
    /// Tab.
    pub const TAB: Self = Self(0x2b);
    /// The space bar.
    pub const SPACE: Self = Self(0x2c);

    /// Returns the usage.
    pub fn usage(self) -> u8 {
        self.0
    }

    /// Returns the bit of the modifier byte (HID 1.11, §8.3), if this is a modifier.
    pub fn modifier(self) -> Option<u8> {
        MODIFIERS.contains(&self.0).then(|| 1 << (self.0 - 0xe0))
    }

    /// Returns the key with a Linux code (`input-event-codes.h`).
    pub fn from_linux(code: u16) -> Option<Self> {
        let row = KEYS.iter().find(|row| row.2 == code)?;
        Some(Self(row.1))
    }

    /// Returns the Linux code.
    pub fn linux(self) -> u16 {
        self.row().2
    }

    /// Returns the name as `KeyboardEvent.code` (W3C UI Events code values).
    pub fn code(self) -> &'static str {
        self.row().0
    }

    /// Returns every key.
    pub fn all() -> impl Iterator<Item = Self> {
        KEYS.iter().map(|row| Self(row.1))
    }

    fn row(self) -> &'static (&'static str, u8, u16) {
        let row = KEYS.iter().find(|row| row.1 == self.0);
        row.expect("a key is only made from a row of the table")
    }
}

impl FromStr for Key {
    type Err = UnknownKey;

    fn from_str(name: &str) -> Result<Self, UnknownKey> {
        let row = KEYS.iter().find(|row| row.0 == name);
        row.map(|row| Self(row.1)).ok_or_else(|| UnknownKey {
            name: name.chars().take(40).collect(),
        })
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// `KeyboardEvent.code`, usage, Linux code (as the kernel's `hid-input.c` maps the usage).
const KEYS: &[(&str, u8, u16)] = &[
    ("KeyA", 0x04, 30),
    ("KeyB", 0x05, 48),
    ("KeyC", 0x06, 46),
    ("KeyD", 0x07, 32),
    ("KeyE", 0x08, 18),
    ("KeyF", 0x09, 33),
    ("KeyG", 0x0a, 34),
    ("KeyH", 0x0b, 35),
    ("KeyI", 0x0c, 23),
    ("KeyJ", 0x0d, 36),
    ("KeyK", 0x0e, 37),
    ("KeyL", 0x0f, 38),
    ("KeyM", 0x10, 50),
    ("KeyN", 0x11, 49),
    ("KeyO", 0x12, 24),
    ("KeyP", 0x13, 25),
    ("KeyQ", 0x14, 16),
    ("KeyR", 0x15, 19),
    ("KeyS", 0x16, 31),
    ("KeyT", 0x17, 20),
    ("KeyU", 0x18, 22),
    ("KeyV", 0x19, 47),
    ("KeyW", 0x1a, 17),
    ("KeyX", 0x1b, 45),
    ("KeyY", 0x1c, 21),
    ("KeyZ", 0x1d, 44),
    ("Digit1", 0x1e, 2),
    ("Digit2", 0x1f, 3),
    ("Digit3", 0x20, 4),
    ("Digit4", 0x21, 5),
    ("Digit5", 0x22, 6),
    ("Digit6", 0x23, 7),
    ("Digit7", 0x24, 8),
    ("Digit8", 0x25, 9),
    ("Digit9", 0x26, 10),
    ("Digit0", 0x27, 11),
    ("Enter", 0x28, 28),
    ("Escape", 0x29, 1),
    ("Backspace", 0x2a, 14),
    ("Tab", 0x2b, 15),
    ("Space", 0x2c, 57),
    ("Minus", 0x2d, 12),
    ("Equal", 0x2e, 13),
    ("BracketLeft", 0x2f, 26),
    ("BracketRight", 0x30, 27),
    ("Backslash", 0x31, 43),
    ("Semicolon", 0x33, 39),
    ("Quote", 0x34, 40),
    ("Backquote", 0x35, 41),
    ("Comma", 0x36, 51),
    ("Period", 0x37, 52),
    ("Slash", 0x38, 53),
    ("CapsLock", 0x39, 58),
    ("F1", 0x3a, 59),
    ("F2", 0x3b, 60),
    ("F3", 0x3c, 61),
    ("F4", 0x3d, 62),
    ("F5", 0x3e, 63),
    ("F6", 0x3f, 64),
    ("F7", 0x40, 65),
    ("F8", 0x41, 66),
    ("F9", 0x42, 67),
    ("F10", 0x43, 68),
    ("F11", 0x44, 87),
    ("F12", 0x45, 88),
    ("PrintScreen", 0x46, 99),
    ("ScrollLock", 0x47, 70),
    ("Pause", 0x48, 119),
    ("Insert", 0x49, 110),
    ("Home", 0x4a, 102),
    ("PageUp", 0x4b, 104),
    ("Delete", 0x4c, 111),
    ("End", 0x4d, 107),
    ("PageDown", 0x4e, 109),
    ("ArrowRight", 0x4f, 106),
    ("ArrowLeft", 0x50, 105),
    ("ArrowDown", 0x51, 108),
    ("ArrowUp", 0x52, 103),
    ("NumLock", 0x53, 69),
    ("NumpadDivide", 0x54, 98),
    ("NumpadMultiply", 0x55, 55),
    ("NumpadSubtract", 0x56, 74),
    ("NumpadAdd", 0x57, 78),
    ("NumpadEnter", 0x58, 96),
    ("Numpad1", 0x59, 79),
    ("Numpad2", 0x5a, 80),
    ("Numpad3", 0x5b, 81),
    ("Numpad4", 0x5c, 75),
    ("Numpad5", 0x5d, 76),
    ("Numpad6", 0x5e, 77),
    ("Numpad7", 0x5f, 71),
    ("Numpad8", 0x60, 72),
    ("Numpad9", 0x61, 73),
    ("Numpad0", 0x62, 82),
    ("NumpadDecimal", 0x63, 83),
    ("IntlBackslash", 0x64, 86),
    ("ContextMenu", 0x65, 127),
    ("Power", 0x66, 116),
    ("NumpadEqual", 0x67, 117),
    ("F13", 0x68, 183),
    ("F14", 0x69, 184),
    ("F15", 0x6a, 185),
    ("F16", 0x6b, 186),
    ("F17", 0x6c, 187),
    ("F18", 0x6d, 188),
    ("F19", 0x6e, 189),
    ("F20", 0x6f, 190),
    ("F21", 0x70, 191),
    ("F22", 0x71, 192),
    ("F23", 0x72, 193),
    ("F24", 0x73, 194),
    ("Open", 0x74, 134),
    ("Help", 0x75, 138),
    ("Props", 0x76, 130),
    ("Select", 0x77, 132),
    ("Again", 0x79, 129),
    ("Undo", 0x7a, 131),
    ("Cut", 0x7b, 137),
    ("Copy", 0x7c, 133),
    ("Paste", 0x7d, 135),
    ("Find", 0x7e, 136),
    ("AudioVolumeMute", 0x7f, 113),
    ("AudioVolumeUp", 0x80, 115),
    ("AudioVolumeDown", 0x81, 114),
    ("NumpadComma", 0x85, 121),
    ("IntlRo", 0x87, 89),
    ("KanaMode", 0x88, 93),
    ("IntlYen", 0x89, 124),
    ("Convert", 0x8a, 92),
    ("NonConvert", 0x8b, 94),
    ("Lang1", 0x90, 122),
    ("Lang2", 0x91, 123),
    ("Lang3", 0x92, 90),
    ("Lang4", 0x93, 91),
    ("Lang5", 0x94, 85),
    ("ControlLeft", 0xe0, 29),
    ("ShiftLeft", 0xe1, 42),
    ("AltLeft", 0xe2, 56),
    ("MetaLeft", 0xe3, 125),
    ("ControlRight", 0xe4, 97),
    ("ShiftRight", 0xe5, 54),
    ("AltRight", 0xe6, 100),
    ("MetaRight", 0xe7, 126),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_has_one_name_one_usage_and_one_linux_code() {
        for key in Key::all() {
            assert_eq!(key.code().parse(), Ok(key));
            assert_eq!(Key::from_linux(key.linux()), Some(key));
        }
        for column in [
            Key::all().map(|k| k.code().to_owned()).collect::<Vec<_>>(),
            Key::all().map(|k| k.linux().to_string()).collect(),
            Key::all().map(|k| k.usage().to_string()).collect(),
        ] {
            let mut distinct = column.clone();
            distinct.sort();
            distinct.dedup();
            assert_eq!(distinct.len(), column.len());
        }
    }

    #[test]
    fn a_name_that_is_no_key_is_told_and_cut() {
        let error = "x".repeat(1000).parse::<Key>().unwrap_err();
        assert_eq!(error.name.len(), 40);
        assert!("KeyAA".parse::<Key>().is_err());
    }

    #[test]
    fn modifiers_have_bits_in_the_order_of_the_specification() {
        assert_eq!("ControlLeft".parse::<Key>().unwrap().modifier(), Some(1));
        assert_eq!("MetaRight".parse::<Key>().unwrap().modifier(), Some(0x80));
        assert_eq!("KeyA".parse::<Key>().unwrap().modifier(), None);
    }
}
