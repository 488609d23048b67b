use super::*;
use crate::journal::{Event, SCHEMA, What};
use crate::template::Template;

#[test]
fn the_arithmetic_is_that_of_the_known_cases() {
    let seed = Automation {
        releases: 5.5,
        minutes_now: 22.0,
        minutes_then: 0.0,
        errors: 0.0,
        hours_an_error: 0.0,
        upkeep: 0.0,
        build: 10.0,
    };
    let years = |automation: Automation| {
        let payback = automation.payback();
        (format!("{:.1}", payback.years.unwrap()), payback.verdict)
    };
    // Ten hours to save two a year.
    assert_eq!(years(seed), ("5.0".into(), Verdict::Dont));
    let upkeep = Automation {
        upkeep: 0.5,
        ..seed
    };
    assert_eq!(years(upkeep), ("6.6".into(), Verdict::Dont));
    let errors = Automation {
        errors: 0.05,
        hours_an_error: 4.0,
        ..seed
    };
    assert_eq!(years(errors), ("3.2".into(), Verdict::Dont));
    let built_in = Automation { build: 0.5, ..seed };
    assert_eq!(years(built_in), ("0.2".into(), Verdict::WorthIt));
    assert_eq!(
        format!("{:.1}", seed.payback().break_even_releases.unwrap()),
        "27.3"
    );
    let worse = Automation {
        minutes_then: 30.0,
        ..seed
    };
    assert_eq!(
        (worse.payback().years, worse.payback().break_even_releases),
        (None, None)
    );
}

fn template() -> (tempfile::TempDir, Template) {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs_err::write(folder.path().join(name), text).unwrap();
    fs_err::create_dir(folder.path().join("steps")).unwrap();
    write(
        "release.toml",
        "schema = 1\ndescription = \"t\"\n[budget]\nsteps = 9\ntouch-hours = 9\nirreversible = 9\n[roles.dev]\ntitle = \"d\"\n[roles.boss]\ntitle = \"b\"\n",
    );
    write(
        "people.toml",
        "[people.ann]\nroles = [\"dev\"]\n[people.bob]\nroles = [\"dev\", \"boss\"]\n",
    );
    let step = |role: &str, after: &str| {
        format!(
            "title = \"t\"\nkind = \"manual\"\nrole = \"{role}\"\nminutes = 7\nafter = [{after}]\n"
        )
    };
    write("steps/a.toml", &step("dev", ""));
    write("steps/b.toml", &step("boss", "\"a\""));
    let template = Template::load(folder.path()).unwrap();
    (folder, template)
}

#[test]
fn touch_is_from_claim_to_done_and_wait_from_ready_to_claim() {
    let (_folder, template) = template();
    let event = |minute: i64, actor: &str, what| Event {
        schema: SCHEMA,
        run: "1".into(),
        id: String::new(),
        time: jiff::Timestamp::from_second(minute * 60).unwrap(),
        actor: actor.into(),
        via: None,
        after: Vec::new(),
        what,
    };
    let claim = |step: &str| What::StepClaimed { step: step.into() };
    let done = |step: &str| What::StepDone {
        step: step.into(),
        candidate: None,
        note: String::new(),
    };
    let start = What::RunStarted {
        kind: crate::journal::RunKind::Patch,
        template: template.digest,
    };
    let events = [
        event(0, "ann", start),
        event(10, "ann", claim("a")),
        event(25, "ann", done("a")),
        // An event that does not count changes no measure.
        event(26, "ann", claim("b")),
        event(65, "bob", done("b")),
    ];
    let samples = samples("1", &template, &events);
    let steps = per_step(&template, &samples);
    let touch = steps[0].touch.unwrap();
    assert_eq!(
        (touch.median, touch.count, steps[0].wait.unwrap().median),
        (15 * 60, 1, 600)
    );
    assert_eq!(
        (steps[1].touch, steps[1].wait.unwrap().median),
        (None, 40 * 60)
    );
    assert_eq!(
        (steps[0].only.as_deref(), steps[1].only.as_deref()),
        (None, Some("bob"))
    );
    assert_eq!(per_person(&samples)["ann"], 15 * 60);
}
