//! OSV (OSSF, schema 1.6): for databases of vulnerabilities.

use serde_json::{Value, json};

use super::{Draft, Publication};

/// Returns the document. Its id begins with `x_`, as those of databases that OSV does not know do; an image is
/// no package of an ecosystem, so only the range of versions is named.
pub fn osv(draft: &Draft, publication: &Publication<'_>) -> Value {
    let time = publication.time.to_string();
    let mut value = json!({
        "schema_version": "1.6.0",
        "id": format!("x_{}", draft.id),
        "modified": time,
        "published": time,
        "summary": draft.title,
        "details": format!("{}\n\n{}", draft.summary, draft.risk),
        "affected": [{
            "ranges": [{
                "type": "SEMVER",
                "events": [{ "introduced": draft.first_affected }, { "fixed": publication.fixed }],
            }],
        }],
        "references": draft
            .references
            .iter()
            .map(|url| json!({ "type": "WEB", "url": url }))
            .collect::<Vec<_>>(),
        "credits": draft
            .credits
            .iter()
            .map(|name| json!({ "name": name, "type": "FINDER" }))
            .collect::<Vec<_>>(),
    });
    if let Some(cve) = &draft.cve {
        value["aliases"] = json!([cve]);
    }
    if let Some(metrics) = draft.metrics() {
        value["severity"] = json!([{ "type": "CVSS_V3", "score": metrics.to_string() }]);
    }
    value
}
