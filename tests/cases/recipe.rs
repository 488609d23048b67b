//! Recipes through the command line.

use bakelite_tests::bakelite::{root, run, text};

#[test]
fn every_shipped_recipe_is_right() {
    for entry in fs_err::read_dir(root().join("recipes")).unwrap() {
        let path = entry.unwrap().path();
        if path
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            let output = run(&["check", path.to_str().unwrap()]);
            assert!(output.status.success(), "{}", text(&output));
        }
    }
}

#[test]
fn a_wrong_recipe_ends_with_status_2_and_says_where() {
    let folder = tempfile::tempdir().unwrap();
    fs_err::create_dir(folder.path().join("overlays")).unwrap();
    let recipe = folder.path().join("r.toml");
    fs_err::write(
        &recipe,
        "schema = 1\nname = \"x\"\nversion = \"1\"\nboard = \"b\"\ndistro = \"d\"\noverlay = []\n",
    )
    .unwrap();
    let output = run(&["check", recipe.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        text(&output).contains("r.toml:6: unknown key “overlay” (is “overlays” meant?)"),
        "{}",
        text(&output)
    );
}

#[test]
fn help_is_there_for_every_command_and_man_pages_and_completions_are_made() {
    for command in [
        "check", "lock", "plan", "build", "diff", "boot", "shell", "inspect", "verify", "doctor",
        "cache", "hash", "release",
    ] {
        let output = run(&[command, "--help"]);
        assert!(output.status.success(), "{command}: {}", text(&output));
    }
    assert!(text(&run(&["completions", "bash"])).contains("_bakelite()"));
    let folder = tempfile::tempdir().unwrap();
    assert!(
        run(&["man", folder.path().to_str().unwrap()])
            .status
            .success()
    );
    assert!(folder.path().join("bakelite-build.1").exists());
}
