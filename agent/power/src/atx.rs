//! The machine's front panel: two buttons and two lights (ATX12VO Design Guide, “front panel”).

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use agent_device::config::AtxConfig;
use serde::{Deserialize, Serialize};

use crate::line::{Direction, KernelLine, Line, LineError};

/// A press that firmware and system take as one.
pub const SHORT: Duration = Duration::from_millis(200);
/// A press after which the power is off: four seconds are asked for (ACPI, §4.8.2.2.1.1), with room.
pub const LONG: Duration = Duration::from_millis(5500);

/// A button.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Button {
    /// The power button.
    Power,
    /// The reset button.
    Reset,
}

/// How long it is pressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Press {
    /// As somebody would.
    #[default]
    Short,
    /// Until the power is off.
    Long,
}

/// What the lights show; nothing where none is wired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Lights {
    /// The power light.
    pub power: Option<bool>,
    /// The disk light.
    pub disk: Option<bool>,
}

/// A button was not pressed.
#[derive(Debug, thiserror::Error)]
pub enum PressError {
    /// It is not wired.
    #[error("no GPIO line is wired to that button: see [atx] in the settings")]
    NotWired,
    /// One is pressed already.
    #[error("a button is being pressed")]
    Busy,
    /// The line failed.
    #[error(transparent)]
    Line(#[from] LineError),
}

/// The front panel.
#[derive(Debug, Default)]
pub struct Atx {
    power_button: Option<Box<dyn Line>>,
    reset_button: Option<Box<dyn Line>>,
    power_light: Option<Box<dyn Line>>,
    disk_light: Option<Box<dyn Line>>,
    is_busy: AtomicBool,
}

/// Lets the button go, whatever happens.
struct Pressed<'a> {
    line: &'a dyn Line,
    is_busy: &'a AtomicBool,
}

impl Drop for Pressed<'_> {
    fn drop(&mut self) {
        // A second try is all that can be done; the next start of the agent lets go, too.
        if self.line.set(false).is_err() {
            let _outcome = self.line.set(false);
        }
        self.is_busy.store(false, Ordering::SeqCst);
    }
}

impl Atx {
    /// Takes the lines that are configured. Buttons are let go: a crash may have left one pressed.
    pub fn open(config: &AtxConfig) -> Result<Self, LineError> {
        let open = |line: &Option<_>, direction| -> Result<Option<Box<dyn Line>>, LineError> {
            let Some(config) = line else { return Ok(None) };
            Ok(Some(Box::new(KernelLine::open(config, direction)?)))
        };
        Ok(Self {
            power_button: open(&config.power_button, Direction::Output)?,
            reset_button: open(&config.reset_button, Direction::Output)?,
            power_light: open(&config.power_light, Direction::Input)?,
            disk_light: open(&config.disk_light, Direction::Input)?,
            is_busy: AtomicBool::new(false),
        })
    }

    /// Whether anything is wired.
    pub fn is_wired(&self) -> bool {
        let lines = [&self.power_button, &self.reset_button, &self.power_light];
        lines.into_iter().any(Option::is_some)
    }

    /// Whether a button is wired.
    pub fn has(&self, button: Button) -> bool {
        self.line(button).is_some()
    }

    /// Whether a button is being pressed.
    pub fn is_busy(&self) -> bool {
        self.is_busy.load(Ordering::SeqCst)
    }

    /// Sees the lights. One that cannot be seen is as one that is not wired.
    pub fn lights(&self) -> Lights {
        let see = |line: &Option<Box<dyn Line>>| line.as_ref()?.get().ok();
        Lights {
            power: see(&self.power_light),
            disk: see(&self.disk_light),
        }
    }

    /// Presses a button. If the future is dropped the button is let go at once.
    pub async fn press(&self, button: Button, press: Press) -> Result<(), PressError> {
        let line = self.line(button).ok_or(PressError::NotWired)?;
        if self.is_busy.swap(true, Ordering::SeqCst) {
            return Err(PressError::Busy);
        }
        let pressed = Pressed {
            line,
            is_busy: &self.is_busy,
        };
        pressed.line.set(true)?;
        tokio::time::sleep(match press {
            Press::Short => SHORT,
            Press::Long => LONG,
        })
        .await;
        pressed.line.set(false)?;
        Ok(())
    }

    fn line(&self, button: Button) -> Option<&dyn Line> {
        match button {
            Button::Power => self.power_button.as_deref(),
            Button::Reset => self.reset_button.as_deref(),
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
            Err(LineError::Missing("x".into()))
        }
    }

    fn atx() -> (Arc<Atx>, Noted) {
        let noted = Noted::default();
        let atx = Atx {
            power_button: Some(Box::new(noted.clone())),
            disk_light: Some(Box::new(noted.clone())),
            ..Atx::default()
        };
        (Arc::new(atx), noted)
    }

    #[tokio::test]
    async fn a_button_is_pressed_once_at_a_time_and_always_let_go() {
        let (atx, noted) = atx();
        atx.press(Button::Power, Press::Short).await.unwrap();
        assert_eq!(*noted.0.lock().unwrap(), [true, false, false]);
        assert!(matches!(
            atx.press(Button::Reset, Press::Short).await,
            Err(PressError::NotWired)
        ));
        noted.0.lock().unwrap().clear();
        let long = tokio::spawn({
            let atx = Arc::clone(&atx);
            async move { atx.press(Button::Power, Press::Long).await }
        });
        while !atx.is_busy() {
            tokio::task::yield_now().await;
        }
        assert!(matches!(
            atx.press(Button::Power, Press::Short).await,
            Err(PressError::Busy)
        ));
        long.abort();
        assert!(long.await.is_err());
        assert_eq!(noted.0.lock().unwrap().last(), Some(&false), "it sticks");
        assert!(!atx.is_busy());
    }

    #[test]
    fn a_light_that_cannot_be_seen_is_not_shown_as_off() {
        let (atx, _) = atx();
        assert_eq!(atx.lights(), Lights::default());
        assert!(atx.has(Button::Power) && !atx.has(Button::Reset) && atx.is_wired());
    }
}
