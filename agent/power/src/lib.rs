//! Power of the machine. In: which machine. Out: the packet that wakes it over the network. Buttons and
//! lights on GPIO lines will live here too.

pub mod address;
pub mod wake;

pub use address::{BadAddress, MacAddress};
