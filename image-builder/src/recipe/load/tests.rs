use super::*;

fn project(files: &[(&str, &str)]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = folder.path().join(path);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, text).unwrap();
    }
    let recipe = folder.path().join("recipes/r.toml");
    (folder, recipe)
}

fn problems(files: &[(&str, &str)]) -> Vec<String> {
    let (folder, recipe) = project(files);
    let root = folder.path().to_str().unwrap();
    load(&recipe)
        .unwrap_err()
        .0
        .iter()
        .map(|p| p.to_string().replace(root, ""))
        .collect()
}

const RECIPE: &str = "schema = 1\nname = \"r\"\nversion = \"1\"\nboard = \"b\"\ndistro = \"d\"\n";
const BOARD: (&str, &str) = (
    "overlays/b/overlay.toml",
    "schema = 1\ndescription = \"\"\nkind = \"board\"\n",
);
const DISTRO: (&str, &str) = (
    "overlays/d/overlay.toml",
    "schema = 1\ndescription = \"\"\nkind = \"distro\"\n",
);

#[test]
fn loads_a_whole_recipe() {
    let (_folder, recipe) = project(&[("recipes/r.toml", RECIPE), BOARD, DISTRO]);
    let recipe = load(&recipe).unwrap();
    assert_eq!((recipe.name.as_str(), recipe.boot_mib), ("r", 256));
}

#[test]
fn every_unknown_key_is_told_with_its_line_and_the_nearest_known_key() {
    let recipe = format!(
        "{RECIPE}verson = \"2\"\npakages = [\n  \"a\",\n]\n[imag]\nx = 1\n[image]\nboot-mb = 1\n"
    );
    assert_eq!(
        problems(&[("recipes/r.toml", &recipe), BOARD, DISTRO]),
        [
            "/recipes/r.toml:6: unknown key “verson” (is “version” meant?)",
            "/recipes/r.toml:7: unknown key “pakages” (is “packages” meant?)",
            "/recipes/r.toml:10: unknown key “imag” (is “image” meant?)",
            "/recipes/r.toml:13: unknown key “boot-mb” (is “boot-mib” meant?)",
        ]
    );
}

#[test]
fn problems_of_all_files_are_told_at_once() {
    let recipe = format!("{RECIPE}overlays = [\"one\", \"two\", \"thre\"]\n");
    let overlay = "schema = 1\ndescription = \"\"\nkind = \"feature\"\nrequires = [\"four\"]\n[systemd]\nenable = [\"x.service\"]\n";
    let found = problems(&[
        ("recipes/r.toml", &recipe),
        BOARD,
        DISTRO,
        ("overlays/one/overlay.toml", overlay),
        (
            "overlays/two/overlay.toml",
            &overlay.replace("requires = [\"four\"]\n", "conflicts = [\"one\"]\n"),
        ),
        ("overlays/three/files/etc/x", ""),
    ]);
    assert_eq!(
        found,
        [
            "/recipes/r.toml: there is no overlay “thre” (is “three” meant?)",
            "/recipes/r.toml: overlay “one” requires overlay “four” (add it to overlays)",
            "/recipes/r.toml: overlays “two” and “one” conflict",
            "/recipes/r.toml: overlays “one” and “two” both set the unit x.service",
        ]
    );
}

#[test]
fn two_slots_need_the_agent_and_what_is_kept_has_a_form() {
    let recipe = format!(
        "{RECIPE}overlays = [\"grow\"]\n[image]\nlayout = \"ab\"\nroot-mib = 9\n[update]\nkeys = \"none\"\n"
    );
    let grow = "schema = 1\ndescription = \"\"\nkind = \"feature\"\nlayout = \"single\"\n[keep]\nsettings = [\"/etc/a\", \"etc/b\", \"/etc/../c/\"]\nshared = [\"/var/d\"]\n";
    let found = problems(&[
        ("recipes/r.toml", &recipe),
        BOARD,
        DISTRO,
        ("overlays/grow/overlay.toml", grow),
        (
            "overlays/grow/files/usr/lib/bakelite/migrate.d/README",
            "What is run here",
        ),
    ]);
    let expected = [
        "migrate.d/README: a device runs whatever lies in /usr/lib/bakelite/migrate.d/",
        "image.root-mib must be between 64 and 16384",
        "keep: “etc/b” is not an absolute path",
        "keep: “/etc/../c/” is not an absolute path",
        "keep.shared: “/var/d” must be a folder",
        "overlay “grow” is not for this image's layout",
        "update.keys: /none has no 1.root.json",
        "layout “ab” needs an overlay with the agent",
    ];
    for part in expected {
        assert!(
            found.iter().any(|problem| problem.contains(part)),
            "{part}: {found:?}"
        );
    }
    assert_eq!(found.len(), expected.len());
}

#[test]
fn a_newer_schema_is_refused_by_number() {
    let found = problems(&[
        (
            "recipes/r.toml",
            &RECIPE.replace("schema = 1", "schema = 2"),
        ),
        BOARD,
        DISTRO,
    ]);
    assert_eq!(
        found,
        ["/recipes/r.toml:1: schema 2 is not supported: this program reads schema 1"]
    );
}

#[test]
fn a_source_without_a_key_is_refused() {
    let distro = format!(
        "{}[[sources]]\narchive = \"a\"\nsuite = \"s\"\ncomponents = [\"main\"]\nkeys = []\n",
        DISTRO.1
    );
    let found = problems(&[("recipes/r.toml", RECIPE), BOARD, (DISTRO.0, &distro)]);
    assert_eq!(
        found,
        ["/overlays/d/overlay.toml: source s has no key: an unsigned archive is never used"]
    );
}

proptest::proptest! {
    #[test]
    fn never_panics_on_any_text(text in "(schema = 1\n)?([a-z\\[\\]=\"' \n.#]{0,12}){0,12}") {
        let (_folder, recipe) = project(&[("recipes/r.toml", &text), BOARD, DISTRO]);
        drop(load(&recipe));
    }
}
