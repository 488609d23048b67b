//! A file of keys, sums and signatures as anybody may write them.
#![no_main]

libfuzzer_sys::fuzz_target!(|texts: (&str, &str, &str, &str)| {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let put = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("a temporary file");
        path
    };
    let keys = put("keys", texts.0);
    put("SHA256SUMS", texts.1);
    put("SHA256SUMS.sig", texts.2);
    put("SHA256SUMS.minisig", texts.3);
    if let Ok(signers) = flash::Signers::load(&[keys]) {
        drop(signers.sums(folder.path()));
    }
});
