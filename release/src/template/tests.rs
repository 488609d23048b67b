use super::*;

const RELEASE: &str = "schema = 1\ndescription = \"test\"\n\
    [budget]\nsteps = 3\ntouch-hours = 1\nirreversible = 1\n\
    [roles.dev]\ntitle = \"Developer\"\n[roles.owner]\ntitle = \"Product owner\"\nmay-waive = true\n\
    [questions.impact]\ntext = \"Who is hit?\"\nrole = \"dev\"\n";
const PEOPLE: &str =
    "[people.alice]\nroles = [\"dev\", \"owner\"]\n[people.bob]\nroles = [\"dev\", \"owner\"]\n";
const STEP: &str = "title = \"Do\"\nkind = \"manual\"\nrole = \"dev\"\nminutes = 10\nwhy = \"w\"\nowner = \"dev\"\nadded = \"1\"\nlast-caught = \"1\"\n";

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs_err::create_dir(folder.path().join("steps")).unwrap();
    for (name, text) in [("release.toml", RELEASE), ("people.toml", PEOPLE)]
        .iter()
        .chain(files)
    {
        fs_err::write(folder.path().join(name), text).unwrap();
    }
    folder
}

fn problems(files: &[(&str, &str)]) -> String {
    let folder = folder(files);
    Template::load(folder.path()).unwrap_err().to_string()
}

#[test]
fn steps_come_after_those_that_they_wait_for() {
    let last = STEP.to_owned() + "after = [\"c\", \"b\"]\n";
    let folder = folder(&[
        ("steps/a.toml", &last),
        ("steps/b.toml", STEP),
        ("steps/c.toml", &(STEP.to_owned() + "after = [\"b\"]\n")),
    ]);
    let template = Template::load(folder.path()).unwrap();
    let names: Vec<&str> = template.steps.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(names, ["b", "c", "a"]);
}

#[test]
fn problems_of_all_files_are_told_at_once_with_their_lines() {
    let text = problems(&[
        (
            "steps/a.toml",
            "title = \"A\"\nkind = \"manual\"\nrole = \"dev\"\nminuets = 5\n",
        ),
        ("steps/b.toml", &STEP.replace("\"dev\"", "\"boss\"")),
        (
            "steps/c.toml",
            &(STEP.to_owned() + "after = [\"nowhere\"]\n"),
        ),
        ("steps/d.toml", &STEP.replace("manual", "magic")),
    ]);
    for part in [
        "a.toml:4: unknown field `minuets`",
        "b.toml:3: “boss” is no role; known roles: dev, owner",
        "c.toml:9: there is no step “nowhere”",
        "d.toml:2: unknown variant `magic`",
    ] {
        assert!(text.contains(part), "“{part}” is not in: {text}");
    }
}

#[test]
fn a_circle_is_named() {
    let text = problems(&[
        ("steps/a.toml", &(STEP.to_owned() + "after = [\"b\"]\n")),
        ("steps/b.toml", &(STEP.to_owned() + "after = [\"c\"]\n")),
        ("steps/c.toml", &(STEP.to_owned() + "after = [\"b\"]\n")),
    ]);
    assert!(
        text.contains("b.toml:9: steps wait for each other: b → c → b"),
        "{text}"
    );
}

#[test]
fn bad_people_are_refused() {
    let text = problems(&[(
        "people.toml",
        "[people.Alice]\nroles = [\"king\"]\nkeys = [\"ssh-ed25519 AAAA\"]\n",
    )]);
    for part in [
        "people.toml:1: “Alice”: names have small letters",
        "people.toml:3: a key of Alice cannot be read",
        "people.toml:2: Alice has the role “king”, which is none",
    ] {
        assert!(text.contains(part), "“{part}” is not in: {text}");
    }
}

#[test]
fn the_digest_names_every_file() {
    let digest = |files: &[(&str, &str)]| Template::load(folder(files).path()).unwrap().digest;
    let one = digest(&[("steps/a.toml", STEP), ("steps/a.md", "how")]);
    assert_eq!(
        one,
        digest(&[("steps/a.toml", STEP), ("steps/a.md", "how")])
    );
    assert_ne!(
        one,
        digest(&[("steps/a.toml", STEP), ("steps/a.md", "how to")])
    );
    assert_ne!(
        one,
        digest(&[("steps/b.toml", STEP), ("steps/b.md", "how")])
    );
}

#[test]
fn lint_holds_the_budget_and_wants_reasons() {
    let bare = "title = \"Do\"\nkind = \"manual\"\nrole = \"dev\"\nminutes = 50\neffect = \"irreversible\"\n";
    let folder = folder(&[
        ("people.toml", "[people.alice]\nroles = [\"dev\"]\n"),
        ("steps/a.toml", bare),
        ("steps/b.toml", bare),
        ("steps/c.toml", STEP),
        ("steps/c.md", "how"),
        ("steps/d.toml", &STEP.replace("last-caught = \"1\"\n", "")),
        ("steps/d.md", "how"),
    ]);
    let template = Template::load(folder.path()).unwrap();
    let found: Vec<String> = lint(&template).iter().map(ToString::to_string).collect();
    for part in [
        "error: 4 steps, but the budget is 3",
        "error: 2 h 00 min of attention, but the budget is 1 h",
        "error: 2 irreversible steps, but the budget is 1",
        "error: role dev is in the hands of alice alone",
        "error: role owner is in the hands of nobody alone",
        "error: step a: “why” is missing",
        "error: step a: “owner” is missing",
        "error: step a: steps/a.md is missing",
        "error: step a: it cannot be undone and nothing can tell",
        "warning: step d: it has not caught anything yet",
    ] {
        assert!(
            found.iter().any(|text| text.contains(part)),
            "“{part}” is not in {found:#?}"
        );
    }
    assert!(
        !found.iter().any(|text| text.contains("step c")),
        "{found:#?}"
    );
}

#[test]
fn actions_name_targets_and_texts_that_are_there() {
    let step = |action: &str| STEP.replace("manual", "command") + "action = " + action + "\n";
    let text = problems(&[
        (
            "steps/a.toml",
            &step("{ name = \"publish\", target = \"nowhere\" }"),
        ),
        (
            "steps/b.toml",
            &step("{ name = \"mail\", to = [\"a@example.com\"], text = \"x\" }"),
        ),
        ("steps/c.toml", &step("{ name = \"magic\" }")),
    ]);
    for part in [
        "a.toml:9: there is no target “nowhere” in release.toml",
        "b.toml:9: there is no text “x” in texts/",
        "b.toml:9: it sends mail, but release.toml has no [mail]",
        "c.toml:9: unknown variant `magic`, expected one of `candidate`",
    ] {
        assert!(text.contains(part), "“{part}” is not in: {text}");
    }
}

#[test]
fn a_key_that_would_not_be_verified_is_refused_at_once() {
    let text = problems(&[(
        "people.toml",
        "[people.ann]\nroles = [\"dev\"]\nkeys = [\"ssh-rsa AAAAB3NzaC1yc2E=\"]\n[servers.ann]\nkey = \"ssh-ed25519 AAAA\"\n",
    )]);
    for part in [
        "people.toml:3: the key of ann is an RSA key",
        "ann is a person and a server",
    ] {
        assert!(text.contains(part), "“{part}” is not in: {text}");
    }
}
