//! Keyboard and mouse. In: what viewers press, move and paste. Out: USB HID reports written to the
//! gadget's endpoints, and the host's keyboard lights.
//!
//! The rule of this room: *no key can stick*. [`held`] keeps who holds which key and for how long
//! that may count; [`outbox`] keeps the reports in order and, whatever was lost on the way, ends
//! with the state that is true now; [`endpoint`] writes it whenever the host listens.

pub mod key;
pub mod report;
pub mod descriptor;
pub mod held;
pub mod outbox;
pub mod endpoint;
pub mod layout;
pub mod paste;
pub mod control;
pub mod input;

pub use input::{Input, InputError, Pointer};
pub use key::Key;
pub use report::Leds;
