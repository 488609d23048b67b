//! GPIO lines that an owner gave a name: a lamp, a relay, a sensor.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use agent_device::config::{ChannelConfig, Direction};
use serde::Serialize;

use crate::line::{self, KernelLine, Line, LineError};

/// How long a pulse may be.
pub const PULSES: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(30));

/// All channels by their names.
#[derive(Debug, Default)]
pub struct Channels(BTreeMap<String, Channel>);

#[derive(Debug)]
struct Channel {
    label: String,
    direction: Direction,
    pulse: Duration,
    line: Box<dyn Line>,
    is_on: AtomicBool,
    is_busy: AtomicBool,
}

/// How a channel is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ChannelState {
    /// Its name in the settings.
    pub name: String,
    /// Its name for people.
    pub label: String,
    /// Whether it is driven or seen.
    pub direction: Direction,
    /// Whether it is on; nothing if it cannot be seen.
    pub is_on: Option<bool>,
    /// Whether a pulse runs.
    pub is_busy: bool,
    /// Length of a pulse in milliseconds.
    pub pulse_milliseconds: u64,
}

/// A channel was not switched.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// There is none of that name.
    #[error("there is no GPIO channel “{0}”: see [gpio] in the settings")]
    Unknown(String),
    /// It is an input.
    #[error("“{0}” is an input: it is only seen")]
    Input(String),
    /// A pulse runs.
    #[error("“{0}” is busy: a pulse runs")]
    Busy(String),
    /// The pulse is too short or too long.
    #[error("a pulse takes 0.01 to 30 seconds")]
    Pulse,
    /// The line failed.
    #[error(transparent)]
    Line(#[from] LineError),
}

/// Switches off again, whatever happens.
struct Pulse<'a>(&'a Channel);

impl Drop for Pulse<'_> {
    fn drop(&mut self) {
        // A second try is all that can be done; the next start of the agent switches off, too.
        if self.0.line.set(false).is_err() {
            let _outcome = self.0.line.set(false);
        }
        self.0.is_on.store(false, Ordering::SeqCst);
        self.0.is_busy.store(false, Ordering::SeqCst);
    }
}

impl Channels {
    /// Takes the lines that are configured; outputs are off at first.
    pub fn open(config: &BTreeMap<String, ChannelConfig>) -> Result<Self, LineError> {
        let open = |(name, config): (&String, &ChannelConfig)| {
            let direction = match config.direction {
                Direction::Input => line::Direction::Input,
                Direction::Output => line::Direction::Output,
            };
            let channel = Channel {
                label: config.label.clone().unwrap_or_else(|| name.clone()),
                direction: config.direction,
                pulse: Duration::from_millis(config.pulse_milliseconds).clamp(PULSES.0, PULSES.1),
                line: Box::new(KernelLine::open(&config.line(), direction)?),
                is_on: AtomicBool::new(false),
                is_busy: AtomicBool::new(false),
            };
            Ok((name.clone(), channel))
        };
        config.iter().map(open).collect::<Result<_, _>>().map(Self)
    }

    /// Tells how each is.
    pub fn read(&self) -> Vec<ChannelState> {
        let read = |(name, channel): (&String, &Channel)| ChannelState {
            name: name.clone(),
            label: channel.label.clone(),
            direction: channel.direction,
            is_on: match channel.direction {
                Direction::Input => channel.line.get().ok(),
                Direction::Output => Some(channel.is_on.load(Ordering::SeqCst)),
            },
            is_busy: channel.is_busy.load(Ordering::SeqCst),
            pulse_milliseconds: u64::try_from(channel.pulse.as_millis()).unwrap_or(u64::MAX),
        };
        self.0.iter().map(read).collect()
    }

    /// Switches an output on or off.
    pub fn switch(&self, name: &str, on: bool) -> Result<(), ChannelError> {
        let channel = self.output(name)?;
        if channel.is_busy.swap(true, Ordering::SeqCst) {
            return Err(ChannelError::Busy(name.to_owned()));
        }
        let set = channel.line.set(on);
        if set.is_ok() {
            channel.is_on.store(on, Ordering::SeqCst);
        }
        channel.is_busy.store(false, Ordering::SeqCst);
        Ok(set?)
    }

    /// Switches an output on and off again, after its own time unless another is given. If the future is
    /// dropped it is off at once.
    pub async fn pulse(&self, name: &str, length: Option<Duration>) -> Result<(), ChannelError> {
        let channel = self.output(name)?;
        let length = length.unwrap_or(channel.pulse);
        if !(PULSES.0..=PULSES.1).contains(&length) {
            return Err(ChannelError::Pulse);
        }
        if channel.is_busy.swap(true, Ordering::SeqCst) {
            return Err(ChannelError::Busy(name.to_owned()));
        }
        let pulse = Pulse(channel);
        pulse.0.line.set(true)?;
        pulse.0.is_on.store(true, Ordering::SeqCst);
        tokio::time::sleep(length).await;
        Ok(pulse.0.line.set(false)?)
    }

    /// Checks that an output of that name is there.
    pub fn check_output(&self, name: &str) -> Result<(), ChannelError> {
        self.output(name).map(|_| ())
    }

    fn output(&self, name: &str) -> Result<&Channel, ChannelError> {
        let channel = self.0.get(name);
        let channel = channel.ok_or_else(|| ChannelError::Unknown(name.to_owned()))?;
        match channel.direction {
            Direction::Output => Ok(channel),
            Direction::Input => Err(ChannelError::Input(name.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Debug, Clone, Default)]
    struct Noted(Arc<Mutex<Vec<bool>>>);

    impl Line for Noted {
        fn set(&self, on: bool) -> Result<(), LineError> {
            self.0.lock().unwrap().push(on);
            Ok(())
        }

        fn get(&self) -> Result<bool, LineError> {
            Ok(true)
        }
    }

    fn channels() -> (Arc<Channels>, Noted) {
        let noted = Noted::default();
        let channel = |direction| Channel {
            label: "a channel".into(),
            direction,
            pulse: Duration::from_millis(20),
            line: Box::new(noted.clone()),
            is_on: AtomicBool::new(false),
            is_busy: AtomicBool::new(false),
        };
        let all = [("door", Direction::Input), ("lamp", Direction::Output)];
        let all = all.map(|(name, direction)| (name.to_owned(), channel(direction)));
        (Arc::new(Channels(all.into())), noted)
    }

    #[tokio::test]
    async fn outputs_are_switched_and_pulsed_and_inputs_are_only_seen() {
        let (channels, noted) = channels();
        channels.switch("lamp", true).unwrap();
        let is_on = |at: usize| channels.read()[at].is_on;
        assert_eq!((is_on(0), is_on(1)), (Some(true), Some(true)));
        assert!(matches!(
            channels.switch("door", true),
            Err(ChannelError::Input(_))
        ));
        assert!(matches!(
            channels.switch("fan", true),
            Err(ChannelError::Unknown(_))
        ));
        let pulse = tokio::spawn({
            let channels = Arc::clone(&channels);
            async move {
                let length = Some(Duration::from_secs(20));
                channels.pulse("lamp", length).await
            }
        });
        while !channels.read()[1].is_busy {
            tokio::task::yield_now().await;
        }
        assert!(matches!(
            channels.switch("lamp", false),
            Err(ChannelError::Busy(_))
        ));
        pulse.abort();
        assert!(pulse.await.is_err());
        assert_eq!(is_on(1), Some(false), "it stays on");
        channels.pulse("lamp", None).await.unwrap();
        let long = Some(Duration::from_secs(31));
        assert!(channels.pulse("lamp", long).await.is_err());
        assert_eq!(
            *noted.0.lock().unwrap(),
            [true, true, false, true, false, false]
        );
    }
}
