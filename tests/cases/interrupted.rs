//! A build may end at any moment: what it leaves is never taken for whole, and the next one goes on.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use bakelite_tests::bakelite::text;

use super::own_packages::World;

fn listing(folder: &Path) -> BTreeMap<String, u64> {
    let entries = fs_err::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|e| {
            (
                e.file_name().to_string_lossy().into_owned(),
                e.metadata().map_or(0, |d| d.len()),
            )
        })
        .collect()
}

#[test]
fn a_killed_build_leaves_nothing_that_is_taken_for_whole() {
    let world = World::new("mine-slow");
    let mut child = world
        .build()
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    // Wait for the base tree to be under way, then pull the plug.
    let partial = world.folder.path().join("cache/partial");
    for _ in 0..1200 {
        let names = listing(&partial);
        let begun = names.keys().any(|name| {
            name.starts_with("tree-") && partial.join(name).join("usr/bin/dash").exists()
        });
        if begun || child.try_wait().unwrap().is_some() {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(
        !listing(&partial).is_empty(),
        "the plug was pulled while something was half made"
    );
    assert!(world.trees_with("boot/firmware").is_empty());
    assert!(listing(&world.folder.path().join("out")).is_empty());
    // The next build clears what is left before it begins.
    let recipe = world.folder.path().join("overlays/mine/overlay.toml");
    let overlay = fs_err::read_to_string(&recipe)
        .unwrap()
        .replace("mine-slow", "mine-good");
    fs_err::write(&recipe, overlay).unwrap();
    let output = world.build().output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    assert!(listing(&partial).is_empty(), "{:?}", listing(&partial));
}

/// How a build ends before its time.
#[derive(Debug, Clone, Copy)]
enum End {
    /// `kill -9` for the build alone, as the kernel does when memory runs out.
    Killed,
    /// Ctrl-C: the terminal tells every process of the group.
    Interrupted,
}

/// Builds until `step` began and `delay` passed, then ends the build. Returns whether the step was
/// reached at all.
fn build_until(world: &World, step: &str, delay: Duration, end: End) -> bool {
    use std::os::unix::process::CommandExt as _;
    let arguments = [
        "--json",
        "build",
        &world.path("recipes/r.toml"),
        "--out",
        &world.path("out"),
    ];
    let mut command = world.command(&arguments);
    let mut child = command
        .process_group(0)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let wanted = format!("\"step\":\"{step}\"");
    let reached = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok)
        .any(|line| line.contains("step-started") && line.contains(&wanted));
    std::thread::sleep(delay);
    match end {
        End::Killed => child.kill().unwrap(),
        End::Interrupted => {
            let group = format!("-{}", child.id());
            let (good, said) = bakelite_tests::bakelite::tool("kill", &["-INT", "--", &group]);
            assert!(good || child.try_wait().unwrap().is_some(), "{said}");
        }
    }
    child.wait().unwrap();
    reached
}

/// Empties the cache but for the packages.
fn forget_results(world: &World) {
    let mut command = world.command(&["cache", "gc", "--days", "0"]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
}

/// Ends builds at the beginning and in the middle of every step; in the end the image is the one that
/// a build from nothing makes.
#[test]
fn builds_that_end_at_every_step_spoil_nothing() {
    let world = World::new("mine-good");
    // The middle of each step, in milliseconds; a step that is over by then ends in the next one.
    let steps = [
        ("packages", 20),
        ("tools", 1500),
        ("base", 2000),
        ("base", 8000),
        ("initramfs", 1200),
        ("overlays", 100),
        ("image", 700),
        ("outputs", 900),
    ];
    for (number, (step, middle)) in steps.into_iter().enumerate() {
        let ends = if number % 2 == 0 {
            [End::Killed, End::Interrupted]
        } else {
            [End::Interrupted, End::Killed]
        };
        for (end, delay) in ends.into_iter().zip([0, middle]) {
            let delay = Duration::from_millis(delay);
            if !build_until(&world, step, delay, end) {
                // A quick machine was done with the step before its end came: it begins again.
                forget_results(&world);
                assert!(
                    build_until(&world, step, delay, end),
                    "{step} was never reached"
                );
            }
            let published = world.path("out/r/1");
            if Path::new(&published).exists() {
                // It was done as a whole: then all of it is there.
                let output = world.command(&["verify", &published]).output().unwrap();
                assert!(output.status.success(), "{}", text(&output));
                fs_err::remove_dir_all(&published).unwrap();
                forget_results(&world);
            }
        }
    }
    let output = world.build().output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let out = world.path("out/r/1");
    let recipe = world.path("recipes/r.toml");
    let output = world
        .command(&["verify", &out, "--rebuild", &recipe])
        .current_dir(world.folder.path())
        .output()
        .unwrap();
    assert!(
        text(&output).contains("made the same bytes"),
        "{}",
        text(&output)
    );
    // What was left is gone, beside the outputs and in the cache.
    let left = |folder: &str| listing(&world.folder.path().join(folder));
    assert_eq!(left("out/r").into_keys().collect::<Vec<_>>(), ["1"]);
    assert!(
        left("cache/partial").is_empty(),
        "{:?}",
        left("cache/partial")
    );

    // A cache can be emptied but for the packages.
    forget_results(&world);
    assert!(left("cache/trees").is_empty() && left("cache/results").is_empty());
    assert!(!left("cache/vault").is_empty());

    // Outputs that were changed are not verified.
    let list = format!("{out}/r-1.packages.tsv");
    fs_err::write(&list, "nothing").unwrap();
    let output = world.command(&["verify", &out]).output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", text(&output));
}
