//! Bills of materials from our own record of what was installed: SPDX 2.3 and CycloneDX 1.6.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::licence;
use crate::lock::LockedPackage;
use crate::partitions::layout::uuid;

/// What the documents are about.
#[derive(Debug)]
pub struct Subject<'a> {
    /// Name of the image.
    pub name: &'a str,
    /// Version of the image.
    pub version: &'a str,
    /// Newest time in the image, RFC 3339.
    pub timestamp: &'a str,
    /// Digest of the lock: makes the documents' ids.
    pub lock: content_digest::Sha256Digest,
    /// Packages with their licences.
    pub packages: Vec<(&'a LockedPackage, Vec<String>)>,
}

/// Returns the package URL (purl-spec, type deb).
fn purl(package: &LockedPackage) -> String {
    let encode = |text: &str| {
        text.replace('%', "%25")
            .replace('+', "%2B")
            .replace(':', "%3A")
    };
    format!(
        "pkg:deb/debian/{}@{}?arch={}",
        encode(&package.name),
        encode(package.version.as_str()),
        package.architecture
    )
}

/// Returns the SPDX 2.3 document.
pub fn spdx(subject: &Subject<'_>) -> String {
    let mut packages = vec![json!({
        "SPDXID": "SPDXRef-image",
        "name": subject.name,
        "versionInfo": subject.version,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": false,
        "primaryPackagePurpose": "OPERATING-SYSTEM",
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": "NOASSERTION",
        "copyrightText": "NOASSERTION",
    })];
    let mut relationships = vec![json!({
        "spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "DESCRIBES", "relatedSpdxElement": "SPDXRef-image",
    })];
    let mut references: BTreeMap<String, String> = BTreeMap::new();
    for (package, licences) in &subject.packages {
        let id = format!("SPDXRef-Package-{}", package.name.replace('+', "-plus-"));
        let declared: Vec<String> = licences
            .iter()
            .map(|name| {
                let reference = licence::reference(name);
                references.insert(reference.clone(), name.clone());
                reference
            })
            .collect();
        packages.push(json!({
            "SPDXID": id,
            "name": package.name,
            "versionInfo": package.version.as_str(),
            "supplier": "Organization: Debian",
            "downloadLocation": "NOASSERTION",
            "filesAnalyzed": false,
            "sourceInfo": format!("built from source package {} {}", package.source, package.source_version),
            "licenseConcluded": "NOASSERTION",
            "licenseDeclared": if declared.is_empty() { "NOASSERTION".to_owned() } else { declared.join(" AND ") },
            "copyrightText": "NOASSERTION",
            "checksums": [{ "algorithm": "SHA256", "checksumValue": package.sha256 }],
            "externalRefs": [{
                "referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": purl(package),
            }],
        }));
        relationships.push(json!({
            "spdxElementId": "SPDXRef-image", "relationshipType": "CONTAINS", "relatedSpdxElement": id,
        }));
    }
    let extracted: Vec<Value> = references
        .iter()
        .map(|(id, name)| {
            json!({
                "licenseId": id, "name": name,
                "extractedText": format!("See /usr/share/doc/*/copyright in the image: {name}"),
            })
        })
        .collect();
    pretty(&json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": format!("{}-{}", subject.name, subject.version),
        "documentNamespace": format!("urn:uuid:{}", uuid(&subject.lock.as_bytes()[..16])),
        "creationInfo": { "created": subject.timestamp, "creators": [format!("Tool: bakelite-{}", env!("CARGO_PKG_VERSION"))] },
        "packages": packages,
        "relationships": relationships,
        "hasExtractedLicensingInfos": extracted,
    }))
}

/// Returns the CycloneDX 1.6 document.
pub fn cyclonedx(subject: &Subject<'_>) -> String {
    let components: Vec<Value> = subject
        .packages
        .iter()
        .map(|(package, licences)| {
            let licences: Vec<Value> = licences
                .iter()
                .map(|name| json!({ "license": { "name": name } }))
                .collect();
            json!({
                "type": "library",
                "bom-ref": purl(package),
                "name": package.name,
                "version": package.version.as_str(),
                "purl": purl(package),
                "licenses": licences,
                "hashes": [{ "alg": "SHA-256", "content": package.sha256 }],
                "properties": [
                    { "name": "debian:source", "value": package.source },
                    { "name": "debian:source-version", "value": package.source_version },
                ],
            })
        })
        .collect();
    pretty(&json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": format!("urn:uuid:{}", uuid(&subject.lock.as_bytes()[16..32])),
        "version": 1,
        "metadata": {
            "timestamp": subject.timestamp,
            "tools": { "components": [{ "type": "application", "name": "bakelite", "version": env!("CARGO_PKG_VERSION") }] },
            "component": { "type": "operating-system", "bom-ref": "image", "name": subject.name, "version": subject.version },
        },
        "components": components,
    }))
}

/// Returns the list of packages with versions, sources and licences, tab-separated.
pub fn package_list(subject: &Subject<'_>) -> String {
    let mut text = String::from("package\tversion\tarchitecture\tsource\tlicences\n");
    for (package, licences) in &subject.packages {
        let licences = if licences.is_empty() {
            "see copyright file".to_owned()
        } else {
            licences.join(", ")
        };
        text.push_str(&format!(
            "{}\t{}\t{}\t{} {}\t{licences}\n",
            package.name,
            package.version,
            package.architecture,
            package.source,
            package.source_version
        ));
    }
    text
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).expect("plain data") + "\n"
}
