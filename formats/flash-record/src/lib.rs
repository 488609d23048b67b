//! What went to which card or module, when, by whom, and how it ended. `flash` writes records, `release` takes
//! them as proof. In: records or lines. Out: lines or records, and the bytes that a signature is for. Never
//! touches files, never decides who is trusted.

mod line;
mod record;

pub use line::{Line, LineError, NAMESPACE, Sign, lines, write};
pub use record::{FlashRecord, Outcome, RecordedBuild, RecordedDevice, SCHEMA};
