//! What crosses rooms. One binary; `tidy` holds that no file here is forgotten.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends there")]

mod tidy;
mod archive;
mod vault;
mod flash;
mod crash_states;
mod slots;
mod hostile;
mod recipe;
mod image;
mod tree;
mod channel_store;
mod commands;
mod own_packages;
mod interrupted;
mod raspios;
mod boot;
mod reproducible;
mod solver;
mod station;
mod release;
mod release_whole;
mod dashboard;
mod deltas;
mod device;
mod device_network;
mod device_package;
mod device_page;
mod device_read_only;
mod device_settings;
mod device_tablet;
mod device_update;
mod device_update_killed;
mod device_wi_fi;
mod release_manual;
mod release_sync;
mod release_messages;
mod release_undo;
mod release_killed;
