//! H.264 over WebRTC. In: a browser's offer (SDP, RFC 8829). Out: the answer, and pictures over UDP or,
//! where that is blocked, over TCP on the port of HTTPS (ICE-TCP, RFC 6544).
//!
//! All viewers share one UDP socket: who sends is found by the name that the first packet says
//! ([`stun`]). This end waits to be reached (ICE-lite, RFC 8445, §2.5) and only sends; it names one
//! address, that which the browser used itself.

pub mod stun;
pub mod framing;
pub mod exchange;
pub mod viewer;

pub use exchange::Exchange;
pub use viewer::{BadOffer, Viewer};

#[cfg(test)]
mod tests;
