//! A fragment and a changelog as anybody may write them: the entry goes in, comes out, and leaves the rest alone.
#![no_main]

use release::changelog::{self, Fragment};

libfuzzer_sys::fuzz_target!(|texts: (&str, &str)| {
    let body = Fragment::parse("f", texts.0).map(|fragment| changelog::body(&[fragment]));
    let body = body.unwrap_or_else(|_| "- x".into());
    let once = changelog::insert(texts.1, "2.7.0", "2026-12-01", &body);
    let again = changelog::insert(&once, "2.7.0", "2026-12-01", &body);
    assert_eq!(once, again);
    assert!(changelog::find(&once, "2.7.0").is_some());
    changelog::hash_block::read(&once, "2.7.0");
    changelog::yank(&changelog::remove(&once, "2.7.0"), "2.7.0");
});
