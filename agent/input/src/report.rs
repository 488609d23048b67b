//! The reports that go to the host and the one that comes back.

use serde::Serialize;

use crate::key::Key;

/// Keys that fit into a keyboard report.
const ROOM: usize = 6;
/// Usage that says “more keys than fit” in every place (HID Usage Tables 1.5, §10, `ErrorRollOver`).
const ROLL_OVER: u8 = 0x01;

/// A full report of a device: applying the last one alone gives the right state, but for motion.
pub trait Report: Copy + PartialEq + std::fmt::Debug + Default + Send + 'static {
    /// The bytes as they are written.
    type Bytes: AsRef<[u8]>;

    /// Returns the bytes as they are written.
    fn bytes(&self) -> Self::Bytes;

    /// Returns both as one report if the host would understand the same.
    #[must_use]
    fn merged(&self, next: &Self) -> Option<Self>;

    /// Returns the state without what happens only once, such as motion.
    #[must_use]
    fn at_rest(&self) -> Self;
}

/// Keyboard, in the boot protocol's form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KeyboardReport {
    modifiers: u8,
    keys: [u8; ROOM],
}

impl KeyboardReport {
    /// Makes the report of the keys that are down, in the order in which they were pressed.
    pub fn of(keys: impl IntoIterator<Item = Key>) -> Self {
        let mut report = Self::default();
        let mut used = 0;
        for key in keys {
            if let Some(bit) = key.modifier() {
                report.modifiers |= bit;
            } else {
                if let Some(place) = report.keys.get_mut(used) {
                    *place = key.usage();
                }
                used += 1;
            }
        }
        if used > ROOM {
            report.keys = [ROLL_OVER; ROOM];
        }
        report
    }

    /// Whether no key is down.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Report for KeyboardReport {
    type Bytes = [u8; 8];

    fn bytes(&self) -> [u8; 8] {
        let mut bytes = [0; 8];
        bytes[0] = self.modifiers;
        bytes[2..].copy_from_slice(&self.keys);
        bytes
    }

    fn merged(&self, next: &Self) -> Option<Self> {
        (self == next).then_some(*next)
    }

    fn at_rest(&self) -> Self {
        *self
    }
}

/// Mouse with absolute position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AbsoluteReport {
    /// Buttons, one bit each: left, right, middle, back, forward.
    pub buttons: u8,
    /// From the left edge, 0 to 32767.
    pub x: u16,
    /// From the top edge, 0 to 32767.
    pub y: u16,
    /// Steps of the wheel, away from the hand.
    pub wheel: i8,
    /// Steps to the right.
    pub pan: i8,
}

impl Report for AbsoluteReport {
    type Bytes = [u8; 7];

    fn bytes(&self) -> [u8; 7] {
        let ([xl, xh], [yl, yh]) = (self.x.to_le_bytes(), self.y.to_le_bytes());
        [
            self.buttons,
            xl,
            xh,
            yl,
            yh,
            self.wheel.to_le_bytes()[0],
            self.pan.to_le_bytes()[0],
        ]
    }

    fn merged(&self, next: &Self) -> Option<Self> {
        let is_same_place = self.x == next.x && self.y == next.y;
        // A wheel turns where the pointer is: it may not move to another place.
        let is_turning = self.wheel != 0 || self.pan != 0;
        if self.buttons != next.buttons || (is_turning && !is_same_place) {
            return None;
        }
        Some(Self {
            wheel: step(self.wheel.checked_add(next.wheel))?,
            pan: step(self.pan.checked_add(next.pan))?,
            ..*next
        })
    }

    fn at_rest(&self) -> Self {
        Self {
            wheel: 0,
            pan: 0,
            ..*self
        }
    }
}

/// Mouse with relative motion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RelativeReport {
    /// Buttons, one bit each: left, right, middle, back, forward.
    pub buttons: u8,
    /// Steps to the right.
    pub x: i8,
    /// Steps down.
    pub y: i8,
    /// Steps of the wheel, away from the hand.
    pub wheel: i8,
}

impl Report for RelativeReport {
    type Bytes = [u8; 4];

    fn bytes(&self) -> [u8; 4] {
        let byte = |number: i8| number.to_le_bytes()[0];
        [self.buttons, byte(self.x), byte(self.y), byte(self.wheel)]
    }

    fn merged(&self, next: &Self) -> Option<Self> {
        if self.buttons != next.buttons {
            return None;
        }
        Some(Self {
            buttons: next.buttons,
            x: step(self.x.checked_add(next.x))?,
            y: step(self.y.checked_add(next.y))?,
            wheel: step(self.wheel.checked_add(next.wheel))?,
        })
    }

    fn at_rest(&self) -> Self {
        Self {
            buttons: self.buttons,
            ..Self::default()
        }
    }
}

/// -128 is outside what the descriptors allow.
fn step(number: Option<i8>) -> Option<i8> {
    number.filter(|number| *number != i8::MIN)
}

/// The host's keyboard lights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
#[expect(clippy::struct_excessive_bools, reason = "five lights are five bits")]
pub struct Leds {
    /// Num Lock.
    pub num: bool,
    /// Caps Lock.
    pub caps: bool,
    /// Scroll Lock.
    pub scroll: bool,
    /// Compose.
    pub compose: bool,
    /// Kana.
    pub kana: bool,
}

impl Leds {
    /// Reads the output report of one byte (HID 1.11, appendix B.1).
    pub fn from_report(byte: u8) -> Self {
        let bit = |number: u8| byte & (1 << number) != 0;
        Self {
            num: bit(0),
            caps: bit(1),
            scroll: bit(2),
            compose: bit(3),
            kana: bit(4),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        name.parse().unwrap()
    }

    #[test]
    fn a_keyboard_report_has_modifiers_then_keys_in_the_order_pressed() {
        let report = KeyboardReport::of([key("ShiftLeft"), key("KeyB"), key("KeyA")]);
        assert_eq!(report.bytes(), [0x02, 0, 5, 4, 0, 0, 0, 0]);
    }

    #[test]
    fn seven_keys_are_a_roll_over_and_six_again_are_keys() {
        let names = ["KeyA", "KeyB", "KeyC", "KeyD", "KeyE", "KeyF", "KeyG"];
        let keys: Vec<Key> = names.iter().map(|name| key(name)).collect();
        let with_shift = keys.iter().copied().chain([Key::SHIFT_LEFT]);
        assert_eq!(
            KeyboardReport::of(with_shift).bytes(),
            [2, 0, 1, 1, 1, 1, 1, 1]
        );
        assert_eq!(
            KeyboardReport::of(keys[1..].iter().copied()).bytes(),
            [0, 0, 5, 6, 7, 8, 9, 10]
        );
    }

    #[test]
    fn motion_adds_up_until_it_no_longer_fits() {
        let slow = RelativeReport {
            x: 100,
            ..RelativeReport::default()
        };
        let back = RelativeReport {
            x: -90,
            ..RelativeReport::default()
        };
        assert_eq!(slow.merged(&back).unwrap().x, 10);
        assert_eq!(slow.merged(&slow), None);
        let lowest = RelativeReport {
            x: -127,
            ..RelativeReport::default()
        };
        let one = RelativeReport {
            x: -1,
            ..RelativeReport::default()
        };
        assert_eq!(lowest.merged(&one), None, "-128 is not allowed");
    }

    #[test]
    fn a_click_is_never_merged_away_and_a_wheel_turns_where_the_pointer_is() {
        let at = |x, buttons, wheel| AbsoluteReport {
            buttons,
            x,
            wheel,
            ..AbsoluteReport::default()
        };
        assert_eq!(at(1, 0, 0).merged(&at(2, 0, 0)), Some(at(2, 0, 0)));
        assert_eq!(at(1, 0, 0).merged(&at(1, 1, 0)), None);
        assert_eq!(at(1, 0, 1).merged(&at(2, 0, 0)), None);
        assert_eq!(at(1, 0, 1).merged(&at(1, 0, 1)), Some(at(1, 0, 2)));
    }
}
