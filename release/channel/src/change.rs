//! Changes what a channel says of releases that are out: waves that stand still or go on, releases that are halted or taken back,
//! and what nobody needs any more.

use update_trust::Held;

use crate::channel::{Channel, ChannelError, Contents, METADATA, numbered};
use crate::keys::Keys;

/// A change of a release that is out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Its wave stands still: no more devices take it by themselves.
    Pause,
    /// Its wave goes on where it stood still, and a halt ends.
    Resume,
    /// Nobody begins to install it, not by hand either.
    Halt,
    /// The same, and devices that have it go on to the newest that is left.
    Yank,
}

impl Channel {
    /// Changes a release, for all devices that look from now on. Returns what the channel says then.
    pub fn change(
        &self,
        keys: &Keys,
        version: &str,
        change: Change,
        now: i64,
    ) -> Result<Contents, ChannelError> {
        self.sign_again(keys, now, |contents| {
            let place = contents.find(version)?;
            let said = &mut contents.releases[place].1;
            match change {
                Change::Halt => said.held = Held::Halted,
                Change::Yank => said.held = Held::Yanked,
                Change::Pause => {
                    let no_wave = || ChannelError::NoWave {
                        version: version.into(),
                    };
                    let wave = said.wave.as_mut().ok_or_else(no_wave)?;
                    let now = u64::try_from(now).unwrap_or(0);
                    wave.paused = Some(wave.paused.map_or(now, |paused| paused.min(now)));
                }
                Change::Resume => {
                    said.held = Held::No;
                    if let Some(wave) = &mut said.wave
                        && let Some(paused) = wave.paused.take()
                    {
                        // It goes on where it stood, and does not catch up at once.
                        let stood = u64::try_from(now).unwrap_or(0).saturating_sub(paused);
                        wave.start += stood;
                    }
                }
            }
            Ok(())
        })
    }

    /// Signs what the channel says anew, so that it does not expire.
    pub fn renew(&self, keys: &Keys, now: i64) -> Result<Contents, ChannelError> {
        self.sign_again(keys, now, |_| Ok(()))
    }

    /// Takes away all but the newest `keep` releases that are not held back, and files that no release names. Returns the names of
    /// what is gone.
    pub fn prune(&self, keys: &Keys, keep: usize, now: i64) -> Result<Vec<String>, ChannelError> {
        let mut left = keep.max(1);
        let contents = self.sign_again(keys, now, |contents| {
            contents.releases.retain(|(_, said)| {
                // Devices that have a release which was taken back must go on hearing of it.
                let counts = said.held == Held::No;
                let stays = !counts || left > 0;
                left = left.saturating_sub(usize::from(counts));
                stays
            });
            Ok(())
        })?;
        // The metadata that named them is gone; what was just being fetched fails once and is looked for anew.
        let mut gone = Vec::new();
        let is_needed = |path: &str| {
            let mut all = contents.releases.iter();
            all.any(|(_, said)| {
                let is_its = said.deltas.iter().any(|delta| delta.path == path);
                (said.bundle == path || is_its) && said.held != Held::Yanked
            })
        };
        for folder in ["bundles", "deltas"] {
            for name in self.store.list(folder)? {
                let path = format!("{folder}/{name}");
                if !is_needed(&path) {
                    gone.push(path);
                }
            }
        }
        for name in self.store.list(METADATA)? {
            if numbered(&name).is_some_and(|number| number < contents.version) {
                gone.push(format!("metadata/{name}"));
            }
        }
        for path in &gone {
            self.store.delete(path)?;
        }
        Ok(gone)
    }

    fn sign_again(
        &self,
        keys: &Keys,
        now: i64,
        change: impl FnOnce(&mut Contents) -> Result<(), ChannelError>,
    ) -> Result<Contents, ChannelError> {
        let empty = || ChannelError::Empty {
            address: self.store.address(""),
        };
        let before = self.contents(keys, now)?.ok_or_else(empty)?;
        let mut after = before.clone();
        change(&mut after)?;
        let (signed, version) = self.sign(keys, Some(&before), &after.releases, now)?;
        self.show(&signed)?;
        Ok(Contents { version, ..after })
    }
}
