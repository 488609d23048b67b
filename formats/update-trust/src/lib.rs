//! Who may release an update: The Update Framework (<https://theupdateframework.github.io/specification/latest/>) through
//! `tough`, for devices without a battery behind their clock. In: a root that the device was made with, metadata from
//! anywhere, and what was seen before. Out: digests that were vouched for, and what was said of them. Never fetches by itself, and
//! is told the time.

mod metadata;
mod root;
mod said;
mod seen;
mod sign;
mod verify;

pub use metadata::{BadMetadata, Metadata};
pub use root::{RootFacts, is_whole, read_root, root, sign_root};
pub use said::{Delta, Held, Said, Step, Wave};
pub use seen::{Memory, Seen};
pub use sign::{FileSigner, Key, NewKey, Release, SignError, Signer, Validity, release};
pub use verify::{Expired, Files, MOST_FILE, TrustError, Trusted, verify, verify_as_needed};

/// Runs what `tough` does with its asynchronous functions; none of them waits for anything here.
fn run<T>(future: impl Future<Output = T>) -> std::io::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    Ok(runtime.block_on(future))
}

#[cfg(test)]
mod tests;
