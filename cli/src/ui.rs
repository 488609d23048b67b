//! The only printer. Answers go to stdout, everything else to stderr.

#![expect(clippy::print_stderr, reason = "this is the one place that prints")]

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use image_builder::Event;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::arguments::Arguments;
use crate::command_error::CommandError;

/// Progress that is over sooner is not shown.
const PATIENCE: Duration = Duration::from_millis(250);

/// Prints for people, or JSON lines for programs.
pub(crate) struct Ui {
    json: bool,
    quiet: bool,
    bar: Option<ProgressBar>,
    started: Instant,
    step: String,
}

impl Ui {
    pub(crate) fn new(arguments: &Arguments) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let mut ui = Self {
            json: arguments.json,
            quiet: arguments.quiet,
            bar: None,
            started: Instant::now(),
            step: String::new(),
        };
        if terminal && !ui.quiet && !ui.json {
            ui.bar = Some(spinner());
        }
        if ui.json {
            ui.line(&serde_json::json!({ "event": "start", "version": 1 }));
        }
        ui
    }

    /// Prints one JSON line, when JSON was asked for.
    fn line(&self, value: &impl Serialize) {
        if self.json {
            let text = serde_json::to_string(value).expect("plain data");
            // A closed pipe ends the program soon enough.
            drop(writeln!(std::io::stdout(), "{text}"));
        }
    }

    /// Shows an event.
    pub(crate) fn event(&mut self, event: &Event) {
        self.line(event);
        if self.json || self.quiet {
            return;
        }
        match event {
            Event::StepStarted { step } => {
                self.step.clone_from(step);
                self.started = Instant::now();
                if let Some(bar) = &self.bar {
                    bar.set_prefix(step.clone());
                    bar.set_message("");
                }
            }
            Event::Progress { done, total, unit } => {
                if let Some(bar) = self
                    .bar
                    .as_ref()
                    .filter(|_| self.started.elapsed() > PATIENCE)
                {
                    let text = if unit == "bytes" {
                        format!("{} of {}", size(*done), size(*total))
                    } else {
                        format!("{done} of {total} {unit}")
                    };
                    bar.set_message(format!(
                        "{text}, {:.0} s",
                        self.started.elapsed().as_secs_f64()
                    ));
                    bar.tick();
                }
            }
            Event::StepDone {
                step,
                seconds,
                cached,
            } => {
                let time = if *cached {
                    "unchanged".to_owned()
                } else {
                    format!("{seconds:6.1} s")
                };
                self.status(&format!("  {step:<14} {time}"));
            }
            Event::Note { text } => self.status(&format!("  {text}")),
        }
    }

    /// Shows how far something is: `text` for people, `value` for programs.
    pub(crate) fn progress(&mut self, text: &str, value: &impl Serialize) {
        self.line(value);
        if let Some(bar) = &self.bar {
            let style = ProgressStyle::with_template("  {spinner} {msg}");
            bar.set_style(style.expect("the template is right"));
            bar.set_message(text.to_owned());
            bar.tick();
        }
    }

    /// Prints a line that is not the answer.
    pub(crate) fn status(&mut self, text: &str) {
        if self.json || self.quiet {
            return;
        }
        match &self.bar {
            // A line at a time: it fills each up to the terminal's width.
            Some(bar) => text.lines().for_each(|line| bar.println(line)),
            None => eprintln!("{text}"),
        }
    }

    /// Asks a question; the answer is typed after it.
    pub(crate) fn ask(&mut self, question: &str) {
        // One that was drawn would be drawn again, behind the question.
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
            self.bar = Some(spinner());
        }
        eprint!("{question}");
    }

    /// Prints the answer: `text` for people, `value` for programs.
    pub(crate) fn answer(&mut self, text: &str, value: &impl Serialize) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        if self.json {
            self.line(&serde_json::json!({ "event": "answer", "answer": value }));
        } else {
            // Whoever reads may have read enough (`| head`).
            drop(writeln!(std::io::stdout(), "{}", text.trim_end()));
        }
    }

    /// Prints an error with its causes and a hint.
    pub(crate) fn error(&mut self, error: &CommandError) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        let (causes, hint) = (error.causes(), error.hint());
        if self.json {
            self.line(&serde_json::json!({ "event": "error", "causes": causes, "hint": hint }));
            return;
        }
        for (index, cause) in causes.iter().enumerate() {
            eprintln!(
                "{}: {cause}",
                if index == 0 { "error" } else { "caused by" }
            );
        }
        if let Some(hint) = hint {
            eprintln!("\nhint: {hint}");
        }
    }
}

/// Makes the line that shows how far something is. It is not drawn before there is something to show.
fn spinner() -> ProgressBar {
    let style = ProgressStyle::with_template("  {spinner} {prefix:12} {msg}");
    ProgressBar::new_spinner().with_style(style.expect("the template is right"))
}

/// Writes a number of bytes for people, in units of 1024.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["B", "KiB", "MiB", "GiB"];
    let (mut whole, mut unit, mut tenth) = (bytes, 0, 0);
    while whole >= 1024 && unit + 1 < UNITS.len() {
        tenth = whole % 1024 * 10 / 1024;
        whole /= 1024;
        unit += 1;
    }
    if unit == 0 {
        format!("{whole} B")
    } else {
        format!("{whole}.{tenth} {}", UNITS[unit])
    }
}
