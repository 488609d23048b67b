use super::*;
use crate::package::parse_index;

/// Each line: `name version [Field: value; …]`.
fn universe(lines: &[&str]) -> Universe {
    let mut index = String::new();
    for line in lines {
        let (head, fields) = line.split_once(' ').unwrap_or((line, ""));
        index.push_str(&format!(
            "Package: {head}\nVersion: 1\nArchitecture: arm64\nFilename: pool/{head}.deb\nSize: 1\nSHA256: {}\n",
            "0".repeat(64)
        ));
        for field in fields.split(';').map(str::trim).filter(|f| !f.is_empty()) {
            index.push_str(&format!("{field}\n"));
        }
        index.push('\n');
    }
    Universe::new("arm64", parse_index(&index, 0).unwrap())
}

fn names(universe: &Universe, wanted: &[&str]) -> Result<Vec<String>, SolveError> {
    let wanted: Vec<String> = wanted.iter().map(|w| (*w).to_owned()).collect();
    Ok(solve(universe, &wanted)?
        .packages
        .iter()
        .map(|(p, _)| p.name.clone())
        .collect())
}

#[test]
fn takes_the_first_alternative_unless_another_is_there() {
    let world = universe(&["app Depends: mta-a | mta-b", "mta-a", "mta-b"]);
    assert_eq!(names(&world, &["app"]).unwrap(), ["app", "mta-a"]);
    assert_eq!(names(&world, &["app", "mta-b"]).unwrap(), ["app", "mta-b"]);
}

#[test]
fn a_versioned_provides_satisfies_a_bound_and_a_bare_one_does_not() {
    let world = universe(&[
        "app Depends: v (>= 2)",
        "good Provides: v (= 2)",
        "bare Provides: v",
    ]);
    assert_eq!(names(&world, &["app"]).unwrap(), ["app", "good"]);
}

#[test]
fn goes_back_on_a_choice_that_clashes_later() {
    let world = universe(&["app Depends: x | y, z", "x", "y", "z Conflicts: x"]);
    assert_eq!(names(&world, &["app"]).unwrap(), ["app", "y", "z"]);
}

#[test]
fn a_package_may_conflict_with_what_it_provides_itself() {
    let world = universe(&[
        "exim Provides: mta; Conflicts: mta",
        "postfix Provides: mta; Conflicts: mta",
    ]);
    assert_eq!(names(&world, &["exim"]).unwrap(), ["exim"]);
    let error = names(&world, &["exim", "postfix"]).unwrap_err().to_string();
    assert!(error.contains("postfix conflicts with exim"), "{error}");
}

#[test]
fn says_which_dependency_fails_and_how_it_came_in() {
    let world = universe(&["app Depends: lib", "lib Depends: gone (>= 3)"]);
    let error = names(&world, &["app"]).unwrap_err().to_string();
    assert_eq!(
        error,
        "lib needs gone (>= 3), which no source offers (app was asked for, app depends on lib)"
    );
}

#[test]
fn suggests_the_nearest_name() {
    let world = universe(&["openssh-server"]);
    let error = names(&world, &["openssh-sever"]).unwrap_err().to_string();
    assert!(error.ends_with("(is openssh-server meant?)"), "{error}");
}

#[test]
fn an_architecture_qualifier_must_match() {
    let world = universe(&[
        "app Depends: lib:any, tool:amd64 | lib:arm64",
        "lib",
        "tool",
    ]);
    assert_eq!(names(&world, &["app"]).unwrap(), ["app", "lib"]);
}

proptest::proptest! {
    /// Random small worlds: a set that is returned is closed and free of conflicts.
    #[test]
    fn every_solution_holds(edges in proptest::collection::vec((0..8usize, 0..8usize, 0..8usize, 0..4u8), 0..14)) {
        let mut fields = vec![(String::new(), String::new()); 8];
        for (from, a, b, kind) in edges {
            match kind {
                0 => fields[from].1.push_str(&format!("p{a}, ")),
                1 => fields[from].0.push_str(&format!("p{a} | p{b}, ")),
                _ => fields[from].0.push_str(&format!("p{a}, ")),
            }
        }
        let lines: Vec<String> = fields.iter().enumerate()
            .map(|(i, (d, c))| format!("p{i} Depends: {d}; Conflicts: {}", c.replace(&format!("p{i}, "), ""))).collect();
        let world = universe(&lines.iter().map(String::as_str).collect::<Vec<_>>());
        if let Ok(set) = names(&world, &["p0", "p1"]) {
            for (i, (depends, conflicts)) in fields.iter().enumerate().filter(|(i, _)| set.contains(&format!("p{i}"))) {
                for group in relation::parse(depends).unwrap() {
                    proptest::prop_assert!(group.0.iter().any(|r| set.contains(&r.name)), "{i}: {group}");
                }
                for group in relation::parse(conflicts).unwrap() {
                    let other = &group.0[0].name;
                    let own = format!("p{i}");
                    proptest::prop_assert!(*other == own || !set.contains(other));
                }
            }
        }
    }
}
