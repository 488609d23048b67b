//! A package index, and the solver on whatever it says.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(packages) = apt_repository::package::parse_index(text, 0) {
        let wanted: Vec<String> = packages.iter().take(3).map(|package| package.name.clone()).collect();
        let universe = apt_repository::Universe::new("arm64", packages);
        drop(apt_repository::solver::solve(&universe, &wanted));
    }
});
