//! Handlers of `/api/v1`, one module a noun.

pub mod status;
pub mod session;
pub mod users;
pub mod tokens;
pub mod update;
pub mod keyboard;
pub mod gadget;
pub mod gpio;
pub mod video;
pub mod streams;
pub mod media;
pub mod fetch;
pub mod metrics;
pub mod device;
pub mod network;
pub mod logs;
pub mod power;
pub mod wake;
pub mod audit;
pub mod extract;
