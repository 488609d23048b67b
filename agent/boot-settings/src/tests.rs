use std::os::unix::fs::PermissionsExt as _;

use super::*;

const TEXT: &str = r#"
[system]
hostname = "Rack-7"
[ssh]
authorized-keys = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ me"]
[wi-fi]
name = " Café"
password = " pass\\word "
country = "de"
[network]
connection = "wi-fi"
address = "192.168.1.20/24"
gateway = "192.168.1.1"
name-servers = ["9.9.9.9", "1.1.1.1"]
[agent]
claim-code = "ABCD-EFGH"
"#;

/// A system with the folders that Debian's packages make.
fn system() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in [
        "boot",
        "etc/NetworkManager/system-connections",
        "etc/modprobe.d",
        "var/lib/bakelite-agent",
        "root",
    ] {
        fs_err::create_dir_all(folder.path().join(name)).unwrap();
    }
    folder
}

#[test]
fn settings_are_taken_once_and_the_card_forgets_them() {
    let system = system();
    let root = system.path();
    let boot = root.join("boot");
    fs_err::write(boot.join(FILE), TEXT).unwrap();
    tell_error(&boot, "of an earlier start").unwrap();
    let settings = take(&boot, root).unwrap().unwrap();
    assert!(
        !format!("{settings:?}").contains("pass\\"),
        "a secret is printed"
    );
    let read = |name: &str| fs_err::read_to_string(root.join(name)).unwrap();
    let mode = |name: &str| {
        fs_err::metadata(root.join(name))
            .unwrap()
            .permissions()
            .mode()
            & 0o777
    };
    assert_eq!(read("etc/hostname"), "rack-7\n");
    assert_eq!(mode("etc/hostname"), 0o644);
    assert!(read("root/.ssh/authorized_keys").ends_with(" me\n"));
    assert_eq!(
        (mode("root/.ssh"), mode("root/.ssh/authorized_keys")),
        (0o700, 0o600)
    );
    let network = "etc/NetworkManager/system-connections/bakelite-wi-fi.nmconnection";
    assert_eq!(mode(network), 0o600);
    let network = read(network);
    for part in [
        "ssid=32;67;97;102;195;169;\n",
        "psk=\\spass\\\\word \n",
        "address1=192.168.1.20/24,192.168.1.1\n",
        "dns=9.9.9.9;1.1.1.1;\n",
    ] {
        assert!(network.contains(part), "{part} is not in\n{network}");
    }
    assert!(read("etc/modprobe.d/bakelite-radio.conf").contains("=DE\n"));
    assert_eq!(read("var/lib/bakelite-agent/claim-code"), "ABCD-EFGH");
    assert_eq!(fs_err::read(boot.join(FILE)).unwrap(), example());
    assert!(!boot.join(ERROR).exists());
    assert!(take(&boot, root).unwrap().is_none(), "taken twice");
    assert!(
        take(&root.join("root"), root).unwrap().is_none(),
        "there is none"
    );
}

#[test]
fn the_same_again_changes_nothing() {
    let system = system();
    let boot = system.path().join("boot");
    for _ in 0..2 {
        fs_err::write(boot.join(FILE), TEXT).unwrap();
        take(&boot, system.path()).unwrap().unwrap();
    }
    let keys = fs_err::read_to_string(system.path().join("root/.ssh/authorized_keys")).unwrap();
    assert_eq!(keys.lines().count(), 1);
}

#[test]
fn what_is_wrong_stays_where_it_is_and_nothing_of_it_is_taken() {
    let system = system();
    let boot = system.path().join("boot");
    let text = TEXT.replace("country", "contry");
    fs_err::write(boot.join(FILE), &text).unwrap();
    let error = take(&boot, system.path()).unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(
        cause.contains("contry") && !cause.contains("pass\\w"),
        "{cause}"
    );
    assert!(!system.path().join("etc/hostname").exists());
    assert_eq!(fs_err::read_to_string(boot.join(FILE)).unwrap(), text);
}
