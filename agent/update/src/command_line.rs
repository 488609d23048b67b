//! What the image tells on the kernel's command line.

/// The line lacks what an image with two slots says there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the kernel's command line {what}")]
pub struct BadCommandLine {
    what: String,
}

fn bad(what: impl Into<String>) -> BadCommandLine {
    BadCommandLine { what: what.into() }
}

/// What concerns this program. Both slots of a version have the same line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandLine {
    /// Signature of the disk (`bakelite.disk=`).
    pub disk: u32,
    /// Root hash of the root file system (`bakelite.root=`).
    pub root: [u8; 32],
    /// The program that all others come from (`init=`).
    pub init: String,
}

impl CommandLine {
    /// Reads the line, as `/proc/cmdline` has it.
    pub fn parse(line: &str) -> Result<Self, BadCommandLine> {
        let value = |key: &str| {
            line.split_whitespace()
                .rev()
                .find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
        };
        let needed = |key: &str| value(key).ok_or_else(|| bad(format!("has no {key}=")));
        let disk = u32::from_str_radix(needed("bakelite.disk")?, 16)
            .map_err(|_malformed| bad("says bakelite.disk= without eight hexadecimal digits"))?;
        let mut root = [0; 32];
        hex::decode_to_slice(needed("bakelite.root")?, &mut root)
            .map_err(|_malformed| bad("says bakelite.root= without 64 hexadecimal digits"))?;
        Ok(Self {
            disk,
            root,
            init: value("init").unwrap_or("/sbin/init").to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_holds_and_what_is_missing_is_told() {
        let root = "ab".repeat(32);
        let line = format!(
            "console=tty0 bakelite.disk=1 bakelite.disk=00c0ffee bakelite.root={root} quiet\n"
        );
        let read = CommandLine::parse(&line).unwrap();
        assert_eq!(
            (read.disk, read.root, read.init.as_str()),
            (0xc0_ffee, [0xab; 32], "/sbin/init")
        );
        for line in [
            "",
            "bakelite.disk=x",
            "bakelite.disk=1",
            "bakelite.disk=1 bakelite.root=ab",
        ] {
            let error = CommandLine::parse(line).unwrap_err().to_string();
            assert!(error.contains("bakelite."), "{error}");
        }
    }
}
