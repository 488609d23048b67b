//! Same recipe, lock and overlays: same bytes, whoever builds, where and when.

use bakelite_tests::bakelite::{outputs, program, root, tool};

/// Builds again as another, unprivileged user, in another folder, umask and time zone, an hour ahead.
/// Needs root to make the user; `scripts/test` in a plain account builds as itself instead.
#[test]
fn another_user_elsewhere_an_hour_later_makes_the_same_bytes() {
    let lock = outputs("kvm").join("kvm-0.1.0.lock");
    let script = root().join("tests/rebuild-as-other-user.sh");
    let (good, text) = tool(
        "bash",
        &[
            script.to_str().unwrap(),
            program().to_str().unwrap(),
            lock.to_str().unwrap(),
            outputs("kvm").to_str().unwrap(),
        ],
    );
    assert!(good, "{text}");
}
