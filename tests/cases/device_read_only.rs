//! A card that takes nothing any more, or that lost what was kept: whoever could sign in still can where the settings can be read, and
//! reads why nothing is kept.

use bakelite_tests::device::Device;
use serde_json::json;

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

    // In a reader that lets it be written, all is as it was.
    device.cut_power(device.port);
    let (status, facts) = device.get("/api/v1/device");
    assert_eq!((status, &facts["warnings"]), (200, &json!([])), "{facts}");

    // And a card that loses every superblock of the data partition, so that there is nothing to mend.
    let said = device.shell(
        "for block in $(/usr/sbin/dumpe2fs /dev/vd?7 2>&1 | sed -n 's/.*superblock at \\([0-9]*\\),.*/\\1/p'); do \
         dd if=/dev/zero of=$(echo /dev/vd?7) bs=4096 seek=$block count=1 conv=notrunc oflag=direct 2>&1; done",
    );
    assert!(said.matches("4096 bytes").count() > 1, "{said}");
    device.cut_power(device.port);
    let said = device.shell("cat /etc/hostname /run/bakelite-unkept; mount | grep ' /data '");
    assert!(
        !said.contains("workshop")
            && said.contains("cannot mount the data partition")
            && said.contains("unkept on /data type tmpfs"),
        "{said}"
    );
    let (status, said) = device.get("/api/v1/device");
    assert_eq!(status, 401, "it is as on the first day: {said}");
}
