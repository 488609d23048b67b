use proptest::prelude::*;

use super::*;

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ me@home";

#[test]
fn the_example_sets_nothing_and_with_its_marks_taken_away_everything() {
    let file = String::from_utf8(example()).unwrap();
    assert_eq!(file.len(), SIZE);
    assert!(DeviceSettings::read(&file).unwrap().is_empty());
    let is_setting = |line: &str| line.starts_with('[') || line.contains(" = ");
    let all: String = EXAMPLE
        .lines()
        .map(|line| {
            line.strip_prefix("# ")
                .filter(|rest| is_setting(rest))
                .unwrap_or(line)
        })
        .map(|line| line.replace("ssh-ed25519 AAAAC3Nz... you@home", KEY) + "\r\n")
        .collect();
    let settings = DeviceSettings::read(&format!("\u{feff}{all}")).unwrap();
    assert_eq!(settings.host_name.unwrap().as_str(), "kvm");
    assert_eq!(settings.ssh_keys, [KEY]);
    let wi_fi = settings.wi_fi.unwrap();
    assert_eq!(
        (wi_fi.name.as_str(), wi_fi.country.unwrap().as_str()),
        ("My network", "DE")
    );
    assert_eq!(settings.address.unwrap().0, Connection::Wired);
    assert!(settings.claim_code.is_some());
}

#[test]
fn what_is_wrong_is_told_without_a_password() {
    let said = |text: &str| {
        let error = DeviceSettings::read(text).unwrap_err();
        assert!(!format!("{error:?}").contains("secret"), "{error:?}");
        let source = std::error::Error::source(&error).map(ToString::to_string);
        format!("{error}: {}", source.unwrap_or_default())
    };
    let text = said("[wi-fi]\nname = \"home\"\npassword = \"secret one\"\nhiden = true\n");
    assert!(text.contains("hiden") && !text.contains("secret"), "{text}");
    assert!(text.contains("line 4"), "{text}");
    let text = said("[wi-fi]\nname = \"home\"\npassword = 1234567890\n");
    assert!(text.contains("line 3") && !text.contains("12345"), "{text}");
    let text = said("[wi-fi]\nname = \"home\"\npassword = \"secret\n");
    assert!(!text.contains("secret"), "{text}");
    assert!(said("[wi-fi]\nname = \"home\"\npassword = \"short\"\n").contains("8 to 63"));
    assert!(
        said("[ssh]\nauthorized-keys = [\"-----BEGIN OPENSSH PRIVATE KEY-----\"]\n")
            .contains("no public SSH key")
    );
    assert!(said("[agent]\nclaim-code = \"AB\"\n").contains("at least 8"));
    assert!(
        said("[network]\nconnection = \"wi-fi\"\naddress = \"192.168.1.20/24\"\n")
            .contains("no [wi-fi]")
    );
    assert!(
        said("[network]\nconnection = \"wired\"\naddress = \"192.168.1.20\"\n")
            .contains("192.168.1.20/24")
    );
    assert!(said("schema = 2\n").contains("schema 2"));
    assert!(matches!(
        DeviceSettings::read(&" ".repeat(SIZE + 1)),
        Err(SettingsError::TooLong { .. })
    ));
}

fn settings() -> impl Strategy<Value = DeviceSettings> {
    let network = (
        "[ -~é]{1,20}",
        proptest::option::of("[ -~]{8,63}"),
        any::<bool>(),
        any::<bool>(),
    );
    let wi_fi = network.prop_map(|(name, password, is_hidden, has_country)| WiFi {
        name: name.parse().unwrap(),
        password: password.map(Hidden::new),
        is_hidden,
        country: has_country.then(|| "DE".parse().unwrap()),
    });
    let address = (1..255_u8, any::<bool>()).prop_map(|(host, has_gateway)| {
        let gateway = has_gateway.then(|| "10.0.0.1".parse().unwrap());
        StaticAddress::new(
            &format!("10.0.7.{host}/16"),
            gateway,
            vec![[9, 9, 9, 9].into()],
        )
        .unwrap()
    });
    (
        proptest::option::of("[a-z0-9]{1,20}"),
        0..4_usize,
        proptest::option::of(wi_fi),
        proptest::option::of(address),
        proptest::option::of("[A-Z0-9]{8,20}"),
    )
        .prop_map(|(name, keys, wi_fi, address, claim)| {
            let connection = if wi_fi.is_some() {
                Connection::WiFi
            } else {
                Connection::Wired
            };
            DeviceSettings {
                host_name: name.map(|name| name.parse().unwrap()),
                ssh_keys: vec![KEY.to_owned(); keys],
                wi_fi,
                address: address.map(|address| (connection, address)),
                claim_code: claim.map(Hidden::new),
            }
        })
}

proptest! {
    #[test]
    fn what_is_written_reads_back(settings in settings()) {
        let text = settings.to_text().unwrap();
        let file = padded(&text, SIZE).unwrap();
        let read = DeviceSettings::read(std::str::from_utf8(&file).unwrap()).unwrap();
        prop_assert_eq!(read, settings);
    }
}
