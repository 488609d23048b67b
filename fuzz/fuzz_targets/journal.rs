//! Files of a journal as anybody may write them: each is told as a problem, or is an event of a known signer.
#![no_main]

use release::journal::{AllowedSigners, Verified};

libfuzzer_sys::fuzz_target!(|files: Vec<(String, Vec<u8>)>| {
    let signers = AllowedSigners::default();
    let count = files.len();
    let files = files.into_iter().map(|(name, text)| (name.into(), text)).collect();
    let verified = Verified::of(files, &signers);
    assert_eq!(verified.problems().len(), count, "nobody may sign here");
});
