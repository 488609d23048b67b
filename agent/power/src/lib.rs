//! Power of the machine. In: a button and how long it is pressed, or which machine to wake. Out: a pulse on
//! a GPIO line that is wired to the machine's button or to whatever an owner named, or the packet that wakes it over the network.

pub mod address;
pub mod wake;
pub mod line;
pub mod atx;
pub mod channels;

pub use address::{BadAddress, MacAddress};
pub use atx::{Atx, Button, Lights, Press};
pub use channels::Channels;
