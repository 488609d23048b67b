//! Debian packages made to order, hostile ones included.

use std::collections::BTreeMap;
use std::io::Write as _;

/// A package to be made.
#[derive(Debug, Clone, Default)]
pub struct PackageBuilder {
    name: String,
    architecture: String,
    fields: Vec<(String, String)>,
    scripts: BTreeMap<String, String>,
    entries: Vec<(tar::Header, Vec<u8>)>,
}

impl PackageBuilder {
    /// Starts an arm64 package of version 1.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            architecture: "arm64".into(),
            ..Self::default()
        }
    }

    /// Sets the architecture.
    #[must_use]
    pub fn architecture(mut self, architecture: &str) -> Self {
        self.architecture = architecture.into();
        self
    }

    /// Adds a control field.
    #[must_use]
    pub fn field(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.into(), value.into()));
        self
    }

    /// Adds a maintainer script.
    #[must_use]
    pub fn script(mut self, name: &str, text: &str) -> Self {
        self.scripts.insert(name.into(), text.into());
        self
    }

    /// Adds a file.
    #[must_use]
    pub fn file(self, path: &str, contents: &[u8]) -> Self {
        self.entry(tar::EntryType::Regular, path, None, contents)
    }

    /// Adds any entry; names go in as they are, `..` and all.
    #[must_use]
    pub fn entry(
        mut self,
        kind: tar::EntryType,
        path: &str,
        link: Option<&str>,
        contents: &[u8],
    ) -> Self {
        let mut header = tar::Header::new_gnu();
        let gnu = header.as_gnu_mut().expect("made as GNU");
        gnu.name[..path.len()].copy_from_slice(path.as_bytes());
        if let Some(link) = link {
            gnu.linkname[..link.len()].copy_from_slice(link.as_bytes());
        }
        header.set_entry_type(kind);
        header.set_mode(if kind.is_dir() { 0o755 } else { 0o644 });
        header.set_size(contents.len() as u64);
        header.set_mtime(1_700_000_000);
        header.set_uid(0);
        header.set_gid(0);
        header.set_cksum();
        self.entries.push((header, contents.to_vec()));
        self
    }

    /// Returns the control stanza.
    pub fn control(&self) -> String {
        let mut text = format!(
            "Package: {}\nVersion: 1\nArchitecture: {}\nMaintainer: Test <test@example.invalid>\nInstalled-Size: 1\n",
            self.name, self.architecture
        );
        for (name, value) in &self.fields {
            text.push_str(&format!("{name}: {value}\n"));
        }
        text + "Description: for tests\n"
    }

    /// Returns the `.deb`.
    pub fn build(&self) -> Vec<u8> {
        let mut control = tar::Builder::new(Vec::new());
        let mut put = |name: &str, bytes: &[u8], mode| {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(mode);
            header.set_cksum();
            control
                .append_data(&mut header, name, bytes)
                .expect("memory takes everything");
        };
        put("control", self.control().as_bytes(), 0o644);
        for (name, script) in &self.scripts {
            put(name, script.as_bytes(), 0o755);
        }
        let control = control.into_inner().expect("memory takes everything");
        let mut data = tar::Builder::new(Vec::new());
        for (header, bytes) in &self.entries {
            data.append(header, &bytes[..])
                .expect("memory takes everything");
        }
        let data = data.into_inner().expect("memory takes everything");
        let data = gzip(&data);
        let mut deb = b"!<arch>\n".to_vec();
        for (name, bytes) in [
            ("debian-binary", &b"2.0\n"[..]),
            ("control.tar", &control),
            ("data.tar.gz", &data),
        ] {
            writeln!(
                deb,
                "{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`",
                0,
                0,
                0,
                "100644",
                bytes.len()
            )
            .expect("memory takes everything");
            deb.extend_from_slice(bytes);
            if bytes.len() % 2 == 1 {
                deb.push(b'\n');
            }
        }
        deb
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("memory takes everything");
    encoder.finish().expect("memory takes everything")
}
