//! The commands of docs/release.md, as they stand there.

use bakelite_tests::bakelite::{program, root, tool};

/// Runs every `sh` block of the page, one after the other, in one shell.
#[test]
fn the_commands_of_the_page_lead_to_a_closed_release() {
    let page = fs_err::read_to_string(root().join("docs/release.md")).unwrap();
    let blocks = page.split("```sh\n").skip(1);
    let script: String = blocks
        .map(|rest| rest.split("```").next().unwrap())
        .collect();
    assert!(script.matches("bakelite release").count() > 30, "{script}");
    let folder = tempfile::tempdir().unwrap();
    let bin = folder.path().join("bin");
    let product = folder.path().join("product");
    fs_err::create_dir(&bin).unwrap();
    fs_err::create_dir(&product).unwrap();
    // The recipe lies in this repository, whose own release/ is the crate: the product's is another one.
    let wrapper = format!(
        "#!/bin/sh\nif [ \"$1\" = build ]; then here=$PWD; cd '{}'; exec '{1}' \"$@\" --out \"$here/out\"; fi\nexec '{1}' \"$@\"\n",
        root().display(),
        program().display()
    );
    fs_err::write(bin.join("bakelite"), wrapper).unwrap();
    fs_err::write(
        product.join("script"),
        format!("set -euxo pipefail\n{script}"),
    )
    .unwrap();
    let run = format!(
        "chmod +x '{0}/bakelite'; cd '{1}'; git init -q .; PATH='{0}':$PATH exec bash script",
        bin.display(),
        product.display()
    );
    let (good, said) = tool("bash", &["-c", &run]);
    assert!(good, "{said}");
    assert!(said.contains("every signature and link holds"), "{said}");
}
