//! CSAF 2.0, profile “Security Advisory” (OASIS, §4.4).

use serde_json::{Value, json};

use super::{Draft, Publication};

/// Name of the versions with the hole, within the document.
const AFFECTED: &str = "affected";
/// Name of the version without it.
const FIXED: &str = "fixed";

fn full_name(publication: &Publication<'_>, version: &str) -> String {
    format!(
        "{} {} {version}",
        publication.publisher, publication.product
    )
}

/// Returns the document.
pub fn csaf(draft: &Draft, publication: &Publication<'_>) -> Value {
    let time = publication.time.to_string();
    let range = format!(
        "vers:generic/>={}|<{}",
        draft.first_affected, publication.fixed
    );
    let hashes: Vec<Value> = publication
        .images
        .iter()
        .map(|(name, sha256)| {
            json!({ "filename": name, "file_hashes": [{ "algorithm": "sha256", "value": sha256 }] })
        })
        .collect();
    let name = |version: &str| full_name(publication, version);
    let mut repaired = json!({ "name": name(publication.fixed), "product_id": FIXED });
    if !hashes.is_empty() {
        repaired["product_identification_helper"] = json!({ "hashes": hashes });
    }
    let vulnerability = vulnerability(draft, publication);
    let references: Vec<Value> = draft
        .references
        .iter()
        .map(|url| json!({ "category": "external", "summary": "More", "url": url }))
        .collect();
    let mut document = json!({
        "category": "csaf_security_advisory",
        "csaf_version": "2.0",
        "title": draft.title,
        "lang": "en",
        "publisher": {
            "category": "vendor",
            "name": publication.publisher,
            "namespace": publication.website,
        },
        "distribution": { "tlp": { "label": "WHITE" } },
        "tracking": {
            "id": draft.id,
            "status": "final",
            "version": "1",
            "initial_release_date": time,
            "current_release_date": time,
            "revision_history": [{ "date": time, "number": "1", "summary": "First publication" }],
            "generator": { "engine": { "name": "bakelite" } },
        },
    });
    if !references.is_empty() {
        document["references"] = json!(references);
    }
    json!({
        "document": document,
        "product_tree": {
            "branches": [{
                "category": "vendor",
                "name": publication.publisher,
                "branches": [{
                    "category": "product_name",
                    "name": publication.product,
                    "branches": [
                        {
                            "category": "product_version_range",
                            "name": range,
                            "product": {
                                "name": name(&format!("from {} to before {}", draft.first_affected, publication.fixed)),
                                "product_id": AFFECTED,
                            },
                        },
                        { "category": "product_version", "name": publication.fixed, "product": repaired },
                    ],
                }],
            }],
        },
        "vulnerabilities": [vulnerability],
    })
}

fn vulnerability(draft: &Draft, publication: &Publication<'_>) -> Value {
    let mut vulnerability = json!({
        "title": draft.title,
        "notes": [
            { "category": "summary", "title": "What it is", "text": draft.summary },
            { "category": "description", "title": "What can happen", "text": draft.risk },
        ],
        "product_status": { "known_affected": [AFFECTED], "fixed": [FIXED] },
        "remediations": [{
            "category": "vendor_fix",
            "details": format!("Update to {}.", full_name(publication, publication.fixed)),
            "product_ids": [AFFECTED],
            "url": publication.website,
        }],
    });
    if let Some(cve) = &draft.cve {
        vulnerability["cve"] = json!(cve);
    } else {
        vulnerability["ids"] = json!([{ "system_name": publication.publisher, "text": draft.id }]);
    }
    if !draft.workaround.trim().is_empty() {
        let workaround = json!({ "category": "workaround", "details": draft.workaround, "product_ids": [AFFECTED] });
        vulnerability["remediations"]
            .as_array_mut()
            .expect("made above")
            .push(workaround);
    }
    if let Some(metrics) = draft.metrics() {
        let severity = metrics.severity().to_string().to_uppercase();
        vulnerability["scores"] = json!([{
            "products": [AFFECTED],
            "cvss_v3": {
                "version": "3.1",
                "vectorString": metrics.to_string(),
                "baseScore": metrics.score().value(),
                "baseSeverity": severity,
            },
        }]);
    }
    if !draft.credits.is_empty() {
        vulnerability["acknowledgments"] = json!([{ "names": draft.credits }]);
    }
    vulnerability
}
