//! The advisory for people.

use std::fmt::Write as _;

use super::{Draft, Publication};

/// Returns the page.
pub fn markdown(draft: &Draft, publication: &Publication<'_>) -> String {
    let (product, fixed) = (publication.product, publication.fixed);
    let mut text = format!("# {}: {}\n\n", draft.id, draft.title);
    let mut line = |label: &str, value: &str| {
        writeln!(text, "- {label}: {value}").expect("strings take everything");
    };
    line(
        "Published",
        &publication.time.strftime("%Y-%m-%d").to_string(),
    );
    if let Some(cve) = &draft.cve {
        line("Number", cve);
    }
    if let Some(metrics) = draft.metrics() {
        let severity = format!("{} ({})", metrics.score().value(), metrics.severity());
        line("Severity", &format!("{severity}, `{metrics}`"));
    }
    let mut section = |title: &str, body: &str| {
        write!(text, "\n## {title}\n\n{}\n", body.trim()).expect("strings take everything");
    };
    section("What it is", &draft.summary);
    section(
        "Who is affected",
        &format!(
            "{product} from {} to before {fixed}. {}",
            draft.first_affected, draft.risk
        ),
    );
    section("What the fix is", &format!("Update to {product} {fixed}."));
    if !draft.workaround.trim().is_empty() {
        section("If you cannot update", &draft.workaround);
    }
    if !publication.images.is_empty() {
        let rows = publication.images.iter();
        let rows: Vec<String> = rows
            .map(|(name, sha256)| format!("- `{name}`: `{sha256}`"))
            .collect();
        section("Files of the fixed version (SHA-256)", &rows.join("\n"));
    }
    if !draft.credits.is_empty() {
        section("Thanks", &draft.credits.join(", "));
    }
    if !draft.references.is_empty() {
        let links: Vec<String> = draft
            .references
            .iter()
            .map(|url| format!("- <{url}>"))
            .collect();
        section("More", &links.join("\n"));
    }
    text
}
