//! Installs a bundle from a file.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use agent_region::{Kind, Phase, Update};
use agent_update::install::{Facts, Flow, Progress, Source, install};
use agent_update::machine::Event;
use ota_bundle::{Bundle, HEAD_LENGTH, Head};

use super::{Failure, Own, health, now, trust};
use crate::run::say;

/// What the image says of itself.
const IMAGE: &str = "/usr/lib/bakelite/image.json";

pub(super) fn run(path: &Path) -> Result<(), Failure> {
    let mut own = Own::open()?;
    let mut file = FileSource(File::open(path)?);
    let bundle = Bundle::read(&file.metadata()?)?;
    let floor = own.updater.state().clock_floor;
    let bundle = trust::check(bundle, now().max(floor))?;
    let manifest = bundle.manifest();
    facts()?.take(manifest)?;
    let update = Update {
        manifest: bundle.id(),
        version: manifest.version.clone(),
        rollback_index: manifest.rollback_index,
        created: manifest.created,
        baseline: health::passing(),
        arms: 0,
        steps: 0,
    };
    let is_same = |other: &Update| other.manifest == update.manifest;
    match &own.updater.state().phase {
        // It was interrupted: what is written already is found there.
        Phase::Writing { update: other } | Phase::Written { update: other } if is_same(other) => {}
        _ => own.tell(Event::Begin(update))?,
    }
    let running = own.running();
    let version = manifest.version.clone();
    own.log(
        Kind::Update,
        &format!("version {version} goes into slot {}", running.other()),
    )?;
    let mut last = 0;
    let progress = &mut |progress: Progress| {
        let percent = progress.done * 100 / progress.total.max(1);
        if percent / 10 > last {
            last = percent / 10;
            say(&format!("{percent} %"));
        }
        Flow::On
    };
    let done = match install(own.updater.disk(), &bundle, running, &mut file, progress) {
        Ok(done) => done,
        Err(error) => {
            own.tell(Event::Failed(error.to_string()))?;
            return Err(error.into());
        }
    };
    if matches!(own.updater.state().phase, Phase::Writing { .. }) {
        own.tell(Event::Written)?;
    }
    let text = format!(
        "version {version} is whole: {} MiB fetched, {} MiB written",
        done.fetched >> 20,
        done.written >> 20
    );
    own.log(Kind::Update, &text)?;
    let way = own.way();
    own.tell(Event::Arm(way))?;
    say("It is tried at the next start: restart the device.");
    Ok(())
}

/// Returns what this device is.
fn facts() -> Result<Facts, Failure> {
    let image: serde_json::Value = serde_json::from_slice(&fs_err::read(IMAGE)?)?;
    let compatible = fs_err::read_to_string("/proc/device-tree/compatible")?;
    Ok(Facts {
        product: image["name"].as_str().unwrap_or_default().to_owned(),
        compatible: compatible
            .split('\0')
            .filter(|word| !word.is_empty())
            .map(str::to_owned)
            .collect(),
    })
}

/// A bundle in a file.
struct FileSource(File);

impl FileSource {
    /// Reads what lies before the segments; its length is known to be within limits first.
    fn metadata(&mut self) -> Result<Vec<u8>, Failure> {
        let mut head = [0; HEAD_LENGTH];
        self.0.read_exact(&mut head)?;
        let length = Head::from_bytes(&head)?.metadata();
        let mut bytes = vec![0; usize::try_from(length)?];
        self.0.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
    }
}

impl Source for FileSource {
    fn read(&mut self, offset: u64, length: u32, bytes: &mut Vec<u8>) -> io::Result<()> {
        bytes.resize(length as usize, 0);
        self.0.read_exact_at(bytes, offset)
    }
}
