//! A card that takes nothing any more: whoever could sign in still can, and reads why nothing is kept.

use bakelite_tests::device::Device;

#[test]
fn a_device_whose_card_is_worn_out_is_still_there() {
    let folder = tempfile::tempdir().unwrap();
    let mut device = Device::build_and_boot(folder.path());
    device.claim();
    device.shell("echo workshop >/etc/hostname; sync");
    device.wear_out();
    // The cookie is of a session that the device kept.
    let (status, facts) = device.get("/api/v1/device");
    assert_eq!(
        (status, &facts["host-name"]),
        (200, &"workshop".into()),
        "{facts}"
    );
    let warnings = facts["warnings"].to_string();
    assert!(
        warnings.contains("nothing that you change now outlives a restart"),
        "{warnings}"
    );
    // The updater comes a moment after the page, and stays: what it answers on may be opened by the page's group.
    device.await_shell(
        "bakelite-agent update status 2>&1; ls -l /run/bakelite-update 2>&1; journalctl -b -u bakelite-update -o cat --no-pager",
        |said| {
            said.contains("slot A runs")
                && said.contains("\"phase\": \"idle\"")
                && said.contains("srw-rw----")
        },
    );
    let (status, view) = device.get("/api/v1/update");
    assert_eq!((status, &view["slot"]), (200, &"A".into()), "{view}");
    let said = device.shell("systemctl --failed --no-legend --plain; mount | grep ' /data '");
    assert!(said.starts_with("unkept on /data type tmpfs"), "{said}");
}
