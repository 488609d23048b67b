//! A recipe and an overlay as anybody may write them.
#![no_main]

libfuzzer_sys::fuzz_target!(|texts: (&str, &str)| {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let overlay = folder.path().join("overlays/x");
    std::fs::create_dir_all(&overlay).expect("a temporary folder");
    std::fs::write(overlay.join("overlay.toml"), texts.1).expect("a temporary file");
    let recipe = folder.path().join("r.toml");
    std::fs::write(&recipe, texts.0).expect("a temporary file");
    drop(image_builder::recipe::load(&recipe));
});
