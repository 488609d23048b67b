//! Relations between packages: `a (>= 1) | b:any, c` as in Depends, Conflicts and Provides.

use std::fmt;

use crate::version::DebVersion;

/// How a version is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// `<<`
    Earlier,
    /// `<=`
    EarlierOrEqual,
    /// `=`
    Equal,
    /// `>=`
    LaterOrEqual,
    /// `>>`
    Later,
}

impl Comparison {
    /// Returns whether `version` stands in this relation to `bound`.
    pub fn holds(self, version: &DebVersion, bound: &DebVersion) -> bool {
        match self {
            Self::Earlier => version < bound,
            Self::EarlierOrEqual => version <= bound,
            Self::Equal => version == bound,
            Self::LaterOrEqual => version >= bound,
            Self::Later => version > bound,
        }
    }
}

/// One alternative: a package name, perhaps an architecture and a bound on the version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relation {
    /// The package's name, real or virtual.
    pub name: String,
    /// What follows the colon: `any`, `native` or an architecture.
    pub architecture: Option<String>,
    /// The bound on the version.
    pub bound: Option<(Comparison, DebVersion)>,
}

impl Relation {
    /// Returns whether a package of this version satisfies the bound.
    pub fn allows(&self, version: &DebVersion) -> bool {
        self.bound
            .as_ref()
            .is_none_or(|(comparison, bound)| comparison.holds(version, bound))
    }
}

impl fmt::Display for Relation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if let Some(architecture) = &self.architecture {
            write!(f, ":{architecture}")?;
        }
        if let Some((comparison, version)) = &self.bound {
            let sign = match comparison {
                Comparison::Earlier => "<<",
                Comparison::EarlierOrEqual => "<=",
                Comparison::Equal => "=",
                Comparison::LaterOrEqual => ">=",
                Comparison::Later => ">>",
            };
            write!(f, " ({sign} {version})")?;
        }
        Ok(())
    }
}

/// Alternatives of which one must hold, in order of preference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alternatives(pub Vec<Relation>);

impl fmt::Display for Alternatives {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, relation) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(" | ")?;
            }
            write!(f, "{relation}")?;
        }
        Ok(())
    }
}

/// The text is not a relation field.
#[derive(Debug, thiserror::Error)]
#[error("“{text}” is not a package relation: {reason}")]
pub struct ParseRelationError {
    /// The part that was not understood.
    pub text: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

/// Parses a whole field: groups separated by commas, alternatives by bars.
pub fn parse(field: &str) -> Result<Vec<Alternatives>, ParseRelationError> {
    let groups = field
        .split(',')
        .map(str::trim)
        .filter(|group| !group.is_empty());
    groups
        .map(|group| {
            Ok(Alternatives(
                group.split('|').map(parse_one).collect::<Result<_, _>>()?,
            ))
        })
        .collect()
}

fn parse_one(text: &str) -> Result<Relation, ParseRelationError> {
    let fail = |reason| ParseRelationError {
        text: text.trim().to_owned(),
        reason,
    };
    let (head, tail) = text.split_once('(').unwrap_or((text, ""));
    // Architecture lists and build profiles occur in source packages only, and are not for us.
    let head = head.split(['[', '<']).next().unwrap_or_default().trim();
    let (name, architecture) = match head.split_once(':') {
        Some((name, architecture)) => (name, Some(architecture.to_owned())),
        None => (head, None),
    };
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"+-._".contains(&b);
    if name.is_empty() || !name.bytes().all(allowed) {
        return Err(fail(
            "the package name is missing or has strange characters",
        ));
    }
    let bound = match tail.split_once(')') {
        None if tail.is_empty() => None,
        None => return Err(fail("the parenthesis is not closed")),
        Some((inner, _)) => {
            let inner = inner.trim();
            let split = inner
                .find(|c: char| !"<>=".contains(c))
                .unwrap_or(inner.len());
            let comparison = match &inner[..split] {
                "<<" => Comparison::Earlier,
                "<=" | "<" => Comparison::EarlierOrEqual,
                "=" => Comparison::Equal,
                ">=" | ">" => Comparison::LaterOrEqual,
                ">>" => Comparison::Later,
                _ => return Err(fail("the comparison is none of << <= = >= >>")),
            };
            match inner[split..].trim().parse() {
                Ok(version) => Some((comparison, version)),
                Err(_) => return Err(fail("the version is not valid")),
            }
        }
    };
    Ok(Relation {
        name: name.to_owned(),
        architecture,
        bound,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_control_files_hold() {
        let groups = parse("libc6 (>= 2.38), debconf (>= 0.5) | debconf-2.0,python3:any,").unwrap();
        let texts: Vec<_> = groups.iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "libc6 (>= 2.38)",
                "debconf (>= 0.5) | debconf-2.0",
                "python3:any"
            ]
        );
    }

    #[test]
    fn bounds_compare_versions() {
        let case = |bound: &str, version: &str| {
            parse_one(&format!("a ({bound})"))
                .unwrap()
                .allows(&version.parse().unwrap())
        };
        assert!(
            case(">= 1", "1")
                && case("= 1", "1")
                && case("<< 2", "1")
                && case("<= 1", "1")
                && case(">> 0", "1")
        );
        assert!(!case(">> 1", "1") && !case("<< 1", "1") && !case("= 1", "2"));
    }

    #[test]
    fn refuses_nonsense() {
        for text in ["a (>= 1", "a (~ 1)", "(>= 1)", "a b", "a (>= )"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_printed_reads_back(name in "[a-z][a-z0-9+.-]{1,8}", version in "[0-9]{1,3}(\\.[0-9]){0,2}") {
            let text = format!("{name} (>= {version}) | {name}:any");
            let groups = parse(&text).unwrap();
            proptest::prop_assert_eq!(groups[0].to_string(), text);
        }
    }
}
