//! The three files of a template as anybody may write them.
#![no_main]

libfuzzer_sys::fuzz_target!(|texts: (&str, &str, &str)| {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::create_dir(folder.path().join("steps")).expect("a temporary folder");
    for (name, text) in [
        ("release.toml", texts.0),
        ("people.toml", texts.1),
        ("steps/a.toml", texts.2),
    ] {
        std::fs::write(folder.path().join(name), text).expect("a temporary file");
    }
    if let Ok(template) = release::template::Template::load(folder.path()) {
        release::template::lint(&template);
    }
});
