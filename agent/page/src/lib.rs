//! The web page, embedded: plain files in `assets/`, served as they lie there. It asks nobody but this
//! device for anything.

/// A file of the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asset {
    /// Its name.
    pub name: &'static str,
    /// Its media type.
    pub media_type: &'static str,
    /// Its bytes.
    pub bytes: &'static [u8],
}

/// What the page may do: its own scripts and styles, its own pictures and connections, nothing else
/// (Content Security Policy level 3). Text never becomes markup or code.
pub const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self' blob:; media-src 'self' blob:; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'; trusted-types 'none'";

macro_rules! assets {
    ($($name:literal $media_type:literal),* $(,)?) => {
        &[$(Asset {
            name: $name,
            media_type: $media_type,
            bytes: include_bytes!(concat!("../assets/", $name)),
        }),*]
    };
}

/// All files. The first is the page itself.
pub const ASSETS: &[Asset] = assets![
    "index.html" "text/html; charset=utf-8",
    "style.css" "text/css; charset=utf-8",
    "icon.svg" "image/svg+xml",
    "app.js" "text/javascript; charset=utf-8",
    "api.js" "text/javascript; charset=utf-8",
    "dom.js" "text/javascript; charset=utf-8",
    "input.js" "text/javascript; charset=utf-8",
    "touch.js" "text/javascript; charset=utf-8",
    "keyboard.js" "text/javascript; charset=utf-8",
    "live.js" "text/javascript; charset=utf-8",
    "media.js" "text/javascript; charset=utf-8",
    "network.js" "text/javascript; charset=utf-8",
    "people.js" "text/javascript; charset=utf-8",
    "power.js" "text/javascript; charset=utf-8",
    "screen.js" "text/javascript; charset=utf-8",
    "settings.js" "text/javascript; charset=utf-8",
    "updates.js" "text/javascript; charset=utf-8",
    "transports.js" "text/javascript; charset=utf-8",
];

/// Returns the tag of all files together: it changes when one of them does (FNV-1a; not a secret, so
/// nothing stronger is needed).
pub fn tag() -> &'static String {
    static TAG: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| {
        let bytes = ASSETS.iter().flat_map(|asset| asset.bytes);
        let digest = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |digest, byte| {
            (digest ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
        format!("\"{digest:016x}\"")
    });
    &TAG
}

/// Returns the page.
pub fn page() -> &'static Asset {
    &ASSETS[0]
}

/// Returns a file by name.
pub fn asset(name: &str) -> Option<&'static Asset> {
    ASSETS.iter().find(|asset| asset.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_small_and_asks_nobody_else() {
        let size: usize = ASSETS.iter().map(|asset| asset.bytes.len()).sum();
        assert!(size < 150_000, "{size} bytes");
        for asset in ASSETS {
            let text = std::str::from_utf8(asset.bytes).unwrap();
            // Names of XML vocabularies are no requests, nor is what people are told to write.
            let text = text.replace("http://www.w3.org/2000/svg", "");
            let text = text.replace("“hawkbit+https://…”", "");
            assert!(
                !text.contains("http:") && !text.contains("https:"),
                "{}",
                asset.name
            );
            for forbidden in ["innerHTML", "eval(", "onclick=", "<style", "document.write"] {
                assert!(!text.contains(forbidden), "{}: {forbidden}", asset.name);
            }
        }
    }

    #[test]
    fn every_file_is_embedded_and_every_import_is_there() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/assets");
        for entry in std::fs::read_dir(folder).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            assert!(asset(&name).is_some(), "{name}");
        }
        for asset_ in ASSETS.iter().filter(|asset| asset.name.ends_with(".js")) {
            let text = std::str::from_utf8(asset_.bytes).unwrap();
            for import in text.split("from \"./").skip(1) {
                let name = import.split('"').next().unwrap();
                assert!(asset(name).is_some(), "{} imports {name}", asset_.name);
            }
        }
    }
}
