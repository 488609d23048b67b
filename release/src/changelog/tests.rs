use super::*;

const CHANGELOG: &str = "# Changelog\n\n## [Unreleased]\n\n- Soon.\n\n## [2.6.0] - 2026-10-01\n\n- Coffee.\n\n[2.6.0]: https://example.com/2.6.0\n";

fn fragment(name: &str, text: &str) -> Fragment {
    Fragment::parse(name, text).unwrap()
}

fn some() -> Vec<Fragment> {
    vec![
        fragment("b", "+++\nkind = \"added\"\n+++\nTea.\n"),
        fragment(
            "a",
            "+++\nkind = \"changed\"\nbehaviour-change = true\nowners = [\"dora\", \"dan\"]\ntest = \"3.2\"\n+++\nWater boils\nby itself.\n",
        ),
        fragment("c", "+++\nkind = \"added\"\nbreaking = true\n+++\nCups.\n"),
        fragment(
            "z",
            "+++\nkind = \"security\"\ncve = \"CVE-2026-12345\"\n+++\nThe lid can be shut.\n",
        ),
    ]
}

#[test]
fn an_entry_has_security_first_and_breaking_changes_before_others() {
    assert_eq!(
        body(&some()),
        "### Security\n\n- CVE-2026-12345: The lid can be shut.\n\n### Added\n\n- **Breaking:** Cups.\n- Tea.\n\n### Changed\n\n- Water boils\n  by itself.\n"
    );
    assert_eq!(
        Fragment::facts(&some()),
        ["has-security-fix", "has-behaviour-change"]
    );
    assert_eq!(Fragment::owners(&some()), ["dan", "dora"]);
}

#[test]
fn an_entry_comes_before_the_newest_and_again_changes_nothing() {
    let once = insert(CHANGELOG, "2.7.0", "2026-12-01", &body(&some()));
    assert!(
        once.starts_with(
            "# Changelog\n\n## [Unreleased]\n\n- Soon.\n\n## [2.7.0] - 2026-12-01\n\n### Security\n"
        ),
        "{once}"
    );
    assert!(once.contains("  by itself.\n\n## [2.6.0]"), "{once}");
    assert_eq!(insert(&once, "2.7.0", "2026-12-01", &body(&some())), once);
    assert_eq!(remove(&once, "2.7.0"), CHANGELOG);
    assert_eq!(
        find(&once, "2.7.0").unwrap().date.as_deref(),
        Some("2026-12-01")
    );
    assert_eq!(find(&once, "2.6.0").unwrap().text, "- Coffee.");
    let yanked = yank(&yank(&once, "2.7.0"), "2.7.0");
    assert!(
        yanked.contains("## [2.7.0] - 2026-12-01 [YANKED]\n"),
        "{yanked}"
    );
    assert_eq!(yanked.len(), once.len() + " [YANKED]".len());
    // Links at the end stay at the end, and an empty file gets a title.
    let first = insert("", "1", "2026-01-01", "- A.");
    assert_eq!(first, "# Changelog\n\n## [1] - 2026-01-01\n\n- A.\n");
}

#[test]
fn a_fragment_that_says_too_little_is_told_with_its_line() {
    for (text, line, part) in [
        ("no head", 1, "between two lines"),
        ("+++\nkind = \"added\"\n+++\n\n", 1, "no text"),
        ("+++\nkind = \"other\"\n+++\nx\n", 2, "unknown variant"),
        (
            "+++\nkind = \"added\"\nowner = 1\n+++\nx\n",
            3,
            "unknown field",
        ),
        (
            "+++\nkind = \"added\"\nbehaviour-change = true\n+++\nx\n",
            3,
            "needs “owners”",
        ),
        (
            "+++\nkind = \"added\"\nbehaviour-change = true\nowners = [\"a\"]\n+++\nx\n",
            3,
            "needs “test”",
        ),
        (
            "+++\nkind = \"security\"\ncve = \"CVE-26-1\"\n+++\nx\n",
            3,
            "CVE-YEAR-NUMBER",
        ),
        ("+++\nkind = \"added\"\n+++\n# x\n", 4, "no headings"),
    ] {
        let (found, told) = Fragment::parse("f", text).unwrap_err();
        assert!(told.contains(part), "{text}: {told}");
        assert_eq!(found, Some(line), "{text}: {told}");
    }
}

#[test]
fn a_file_from_windows_keeps_its_line_ends() {
    let theirs = CHANGELOG.replace('\n', "\r\n");
    let once = insert(&theirs, "2.7.0", "2026-12-01", "- A.");
    assert!(
        once.contains("\r\n## [2.7.0] - 2026-12-01\r\n\r\n- A.\r\n"),
        "{once:?}"
    );
    assert_eq!(insert(&once, "2.7.0", "2026-12-01", "- A."), once);
    assert_eq!(remove(&once, "2.7.0"), theirs);
    // What the fuzzer found: an end that is half of one.
    let odd = insert("a\r", "1", "2026-01-01", "- A.");
    assert_eq!(insert(&odd, "1", "2026-01-01", "- A."), odd);
}
