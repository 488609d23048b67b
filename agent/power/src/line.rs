//! A GPIO line of the kernel (its character device: Documentation/userspace-api/gpio/chardev.rst).

use std::fmt;

use agent_device::config::LineConfig;
use gpiocdev::Request;
use gpiocdev::line::Value;

/// Who holds the line, as the kernel tells others.
const CONSUMER: &str = "bakelite-agent";

/// Whether a line is to be driven or seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// It is driven, and off at first.
    Output,
    /// It is seen.
    Input,
}

/// A line; on and off as they are meant, whatever the level.
pub trait Line: Send + Sync + fmt::Debug {
    /// Drives it.
    fn set(&self, on: bool) -> Result<(), LineError>;
    /// Sees it.
    fn get(&self) -> Result<bool, LineError>;
}

/// A line cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// There is no line of that name.
    #[error("there is no GPIO line “{0}”: `gpioinfo` lists them")]
    Missing(String),
    /// The kernel refused.
    #[error("the GPIO line “{line}” cannot be used")]
    Kernel {
        /// The line as it is configured.
        line: String,
        /// Why.
        #[source]
        source: gpiocdev::Error,
    },
}

/// A line of the kernel. It is held as long as this lives.
#[derive(Debug)]
pub struct KernelLine {
    name: String,
    offset: u32,
    request: Request,
}

impl KernelLine {
    /// Takes a line.
    pub fn open(config: &LineConfig, direction: Direction) -> Result<Self, LineError> {
        let name = config.line.clone();
        let missing = || LineError::Missing(name.clone());
        let (chip, offset) = if let Some((chip, number)) = name.split_once(':') {
            let digits = chip.strip_prefix("gpiochip").unwrap_or_default();
            let is_chip = !digits.is_empty() && digits.bytes().all(|c| c.is_ascii_digit());
            let number = number.parse().ok().filter(|_| is_chip);
            (format!("/dev/{chip}").into(), number.ok_or_else(missing)?)
        } else {
            let found = gpiocdev::find_named_line(&name).ok_or_else(missing)?;
            (found.chip, found.info.offset)
        };
        let mut builder = Request::builder();
        builder
            .with_consumer(CONSUMER)
            .on_chip(chip)
            .with_line(offset);
        if config.active_low {
            builder.as_active_low();
        }
        match direction {
            Direction::Output => builder.as_output(Value::Inactive),
            Direction::Input => builder.as_input(),
        };
        let request = builder.request().map_err(|source| LineError::Kernel {
            line: name.clone(),
            source,
        })?;
        Ok(Self {
            name,
            offset,
            request,
        })
    }

    fn failed(&self, source: gpiocdev::Error) -> LineError {
        LineError::Kernel {
            line: self.name.clone(),
            source,
        }
    }
}

impl Line for KernelLine {
    fn set(&self, on: bool) -> Result<(), LineError> {
        let value = if on { Value::Active } else { Value::Inactive };
        let set = self.request.set_value(self.offset, value);
        set.map(drop).map_err(|error| self.failed(error))
    }

    fn get(&self) -> Result<bool, LineError> {
        let value = self.request.value(self.offset);
        value
            .map(|value| value == Value::Active)
            .map_err(|error| self.failed(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_not_there_is_named() {
        for line in ["no such line", "gpiochip99:1", "gpiochip0:x", "../null:1"] {
            let config = LineConfig {
                line: line.into(),
                active_low: false,
            };
            let error = KernelLine::open(&config, Direction::Input).unwrap_err();
            assert!(error.to_string().contains(line), "{error}");
        }
    }
}
