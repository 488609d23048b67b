use super::*;
use crate::changelog::Fragment;

fn written() -> &'static str {
    "id = \"ACME-2026-001\"\ncve = \"CVE-2026-12345\"\ntitle = \"The lid\"\nsummary = \"Steam.\"\nfirst-affected = \"2.0.0\"\nrisk = \"Burns.\"\nworkaround = \"Gloves.\"\ncvss = \"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H\"\ncredits = [\"Ada\"]\nreferences = [\"https://example.com\"]\n"
}

fn loaded(text: &str) -> Result<Draft, String> {
    let folder = tempfile::tempdir().unwrap();
    fs_err::write(folder.path().join("a.toml"), text).unwrap();
    let drafts = read_folder(folder.path()).map_err(|problems| problems.to_string())?;
    Ok(drafts.into_iter().next().unwrap())
}

fn publication() -> Publication<'static> {
    Publication {
        product: "KVM",
        publisher: "Acme",
        website: "https://example.com",
        fixed: "2.7.0",
        images: vec![("kvm.img.zst".into(), Sha256Digest::of("image"))],
        time: "2026-12-01T10:00:00Z".parse().unwrap(),
    }
}

#[test]
fn all_forms_name_hole_range_repair_and_hash() {
    let draft = loaded(written()).unwrap();
    let forms = [
        csaf(&draft, &publication()).to_string(),
        markdown(&draft, &publication()),
    ];
    for form in forms {
        for part in [
            "CVE-2026-12345",
            "2.0.0",
            "2.7.0",
            "9.8",
            &Sha256Digest::of("image").to_string(),
            "Gloves",
        ] {
            assert!(form.contains(part), "“{part}” is not in {form}");
        }
    }
    let osv = osv(&draft, &publication());
    assert_eq!(
        osv["affected"][0]["ranges"][0]["events"][1]["fixed"],
        "2.7.0"
    );
    assert_eq!(
        csaf(&draft, &publication())["vulnerabilities"][0]["scores"][0]["cvss_v3"]["baseSeverity"],
        "CRITICAL"
    );
}

#[test]
fn a_fresh_draft_says_what_is_still_to_be_written() {
    let fragment = Fragment::parse(
        "lid",
        "+++\nkind = \"security\"\n+++\nThe lid can be shut.\n",
    )
    .unwrap();
    let text = draft_for(&fragment, "ACME-2026-001");
    let told = loaded(&text).unwrap_err();
    for part in [
        ":6: “summary” is empty",
        ":8: “first-affected” is empty",
        ":10: “risk” is empty",
    ] {
        assert!(told.contains(part), "“{part}” is not in {told}");
    }
    assert!(!told.contains("“id”"), "{told}");
    assert!(
        loaded(&written().replace("AV:N", "AV:Q"))
            .unwrap_err()
            .contains(":8: “cvss” is no CVSS")
    );
}

#[test]
fn file_names_follow_the_standard() {
    assert_eq!(file_name("Acme 2026/001 (b)"), "acme_2026_001_b_");
    assert_eq!(file_name("ACME-2026-001"), "acme-2026-001");
}
