//! The agent as a Debian package, on a device whose system can be written.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use bakelite_tests::bakelite::build_probe;
use bakelite_tests::device::Device;

/// The agent's package is purged and leaves nothing; then it is installed on what is a Debian now, as anybody
/// would, and serves again.
#[test]
fn the_package_goes_without_a_trace_and_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    // Only where the system can be written.
    let build = build_probe("0.1.0-single", |recipe| {
        let recipe = recipe.replace("layout = \"ab\"", "layout = \"single\"");
        recipe.replace("\"ssh\",", "\"ssh\", \"grow-root\",")
    });
    let image = build.join("kvm-probe-0.1.0-single.img.zst");
    let mut device = Device::boot_image(folder.path(), &image, false);
    let purged = device.shell(
        "DEBIAN_FRONTEND=noninteractive apt-get purge -y bakelite-agent 2>&1; echo purged $?",
    );
    assert!(purged.contains("purged 0"), "{purged}");
    let left = device.shell(
        "find / -xdev \\( -name '*bakelite*agent*' -o -name '*bakelite-helper*' \\) -not -path '/proc/*' -not -path '/var/lib/systemd/*' -not -path '/var/log/*' -not -path '/var/cache/*'
        ls -d /etc/bakelite /var/lib/bakelite-agent; systemctl list-unit-files --no-legend 'bakelite-agent*' 'bakelite-helper*' 'bakelite-update*' 'bakelite-fetch*' 'bakelite-deadman*'; echo looked",
    );
    let left: Vec<&str> = left
        .lines()
        .filter(|line| !line.contains("No such file"))
        .collect();
    assert_eq!(left, ["looked"], "purge leaves something");
    assert!(!device.answers(device.port));

    let package = build.join("bakelite-agent_0.1.0_arm64.deb");
    let package = STANDARD.encode(fs_err::read(package).unwrap());
    let lines: Vec<&str> = package
        .as_bytes()
        .chunks(1000)
        .map(|line| std::str::from_utf8(line).unwrap())
        .collect();
    let installed = device.shell(&format!(
        "base64 -d >/root/bakelite-agent_0.1.0_arm64.deb <<'END'\n{}\nEND\ncd /root; DEBIAN_FRONTEND=noninteractive apt-get install -y ./bakelite-agent_0.1.0_arm64.deb 2>&1; echo installed $?",
        lines.join("\n")
    ));
    assert!(installed.contains("installed 0"), "{installed}");
    device.wait_until_healthy(device.port);
    device.await_shell(
        "systemctl is-active bakelite-agent bakelite-helper",
        |said| said.trim() == "active\nactive",
    );
    assert_eq!(device.get("/api/v1/status").1["claimed"], false);
}
