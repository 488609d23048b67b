//! The room's front door: what viewers do becomes reports.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::endpoint::{self, HostSide, SharedOutbox};
use crate::held::{Held, Viewer};
use crate::key::Key;
use crate::report::{AbsoluteReport, KeyboardReport, Leds, RelativeReport};

/// How long a press counts without a sign of life. Pages give one every 200 ms while they hold
/// something, so five may be lost on the way.
pub const LEASE: Duration = Duration::from_secs(1);
/// The same for clients that press and release by single requests and give no sign of life.
pub const LONG_LEASE: Duration = Duration::from_secs(10);
/// Highest number of a button (the descriptors have eight).
pub const BUTTONS: u8 = 8;

/// The jiggler's motion: about two pixels of a screen 1920 wide.
const JIGGLE: u16 = 0x20;

/// Which mouse the host sees move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pointer {
    /// Where the pointer is on the screen.
    #[default]
    Absolute,
    /// How far it moves.
    Relative,
}

/// Something that cannot be done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InputError {
    /// There is no such button.
    #[error("there is no mouse button {number}; buttons are 0 (left) to 7")]
    NoButton {
        /// The number that was given.
        number: u8,
    },
}

/// Device nodes of the gadget's functions.
#[derive(Debug, Clone)]
pub struct Nodes {
    /// Keyboard.
    pub keyboard: PathBuf,
    /// Mouse with absolute position.
    pub absolute: PathBuf,
    /// Mouse with relative motion.
    pub relative: PathBuf,
}

#[derive(Debug, Default)]
struct State {
    keys: Held<Key>,
    buttons: Held<u8>,
    leases: std::collections::BTreeMap<Viewer, Duration>,
    place: (u16, u16),
    pointer: Pointer,
    last_action: Option<Instant>,
    last_jiggle: Option<Instant>,
    is_jiggled: bool,
}

/// Keyboard and mice of the machine.
#[derive(Debug)]
pub struct Input {
    state: Mutex<State>,
    keyboard: SharedOutbox<KeyboardReport>,
    absolute: SharedOutbox<AbsoluteReport>,
    relative: SharedOutbox<RelativeReport>,
    host: HostSide,
    leases_changed: Notify,
}

impl Default for Input {
    fn default() -> Self {
        Self {
            state: Mutex::default(),
            keyboard: SharedOutbox::default(),
            absolute: SharedOutbox::default(),
            relative: SharedOutbox::default(),
            host: HostSide {
                leds: watch::Sender::new(None),
            },
            leases_changed: Notify::new(),
        }
    }
}

impl Input {
    /// Serves the gadget's endpoints and ends leases, for ever.
    pub async fn serve(&self, nodes: &Nodes) {
        tokio::join!(
            endpoint::serve(&nodes.keyboard, &self.keyboard, Some(&self.host)),
            endpoint::serve(&nodes.absolute, &self.absolute, None),
            endpoint::serve(&nodes.relative, &self.relative, None),
            self.expire_leases(),
        );
    }

    /// Sets for how long a viewer's presses count without a sign of life ([`LEASE`] unless set).
    pub fn set_lease(&self, viewer: Viewer, lease: Duration) {
        self.lock().leases.insert(viewer, lease);
    }

    /// Presses or releases a key.
    pub fn key(&self, viewer: Viewer, key: Key, is_down: bool) {
        let mut state = self.lock();
        let (now, lease) = (state.act(), state.lease(viewer));
        if is_down {
            state.keys.press(viewer, key, now, lease);
        } else {
            state.keys.release(viewer, key);
        }
        self.push_keys(&state);
    }

    /// Presses or releases a button: 0 left, 1 right, 2 middle, 3 back, 4 forward.
    pub fn button(&self, viewer: Viewer, number: u8, is_down: bool) -> Result<(), InputError> {
        if number >= BUTTONS {
            return Err(InputError::NoButton { number });
        }
        let mut state = self.lock();
        let (now, lease) = (state.act(), state.lease(viewer));
        if is_down {
            state.buttons.press(viewer, number, now, lease);
        } else {
            state.buttons.release(viewer, number);
        }
        self.push_buttons(&state);
        Ok(())
    }

    /// Moves the pointer to a place on the screen, 0 to 32767 on both axes.
    pub fn move_to(&self, _viewer: Viewer, x: u16, y: u16) {
        let mut state = self.lock();
        state.act();
        self.use_pointer(&mut state, Pointer::Absolute);
        state.place = (x.min(0x7fff), y.min(0x7fff));
        self.push_buttons(&state);
    }

    /// Moves the pointer by steps, in as many reports as that takes.
    pub fn move_by(&self, _viewer: Viewer, x: i16, y: i16) {
        let mut state = self.lock();
        state.act();
        self.use_pointer(&mut state, Pointer::Relative);
        let buttons = state.button_bits();
        let (mut x, mut y) = (x, y);
        while (x, y) != (0, 0) {
            let (dx, dy) = (x.clamp(-127, 127), y.clamp(-127, 127));
            self.relative.push(RelativeReport {
                buttons,
                x: small(dx),
                y: small(dy),
                wheel: 0,
            });
            (x, y) = (x - dx, y - dy);
        }
    }

    /// Turns the wheel by steps: positive away from the hand, and to the right.
    pub fn wheel(&self, _viewer: Viewer, steps: i8, pan: i8) {
        let mut state = self.lock();
        state.act();
        let (steps, pan) = (steps.max(-127), pan.max(-127));
        let buttons = state.button_bits();
        match state.pointer {
            Pointer::Absolute => self.absolute.push(AbsoluteReport {
                wheel: steps,
                pan,
                ..state.absolute_report()
            }),
            Pointer::Relative => self.relative.push(RelativeReport {
                buttons,
                wheel: steps,
                ..RelativeReport::default()
            }),
        }
    }

    /// Lets everything go that a viewer holds: it lost the focus, the connection or its right.
    pub fn release(&self, viewer: Viewer) {
        let mut state = self.lock();
        state.keys.release_all(viewer);
        state.buttons.release_all(viewer);
        self.push_keys(&state);
        self.push_buttons(&state);
    }

    /// Forgets a viewer that is gone.
    pub fn leave(&self, viewer: Viewer) {
        self.release(viewer);
        self.lock().leases.remove(&viewer);
    }

    /// Takes a viewer's sign of life.
    pub fn renew(&self, viewer: Viewer) {
        let mut state = self.lock();
        let (now, lease) = (Instant::now().into_std(), state.lease(viewer));
        state.keys.renew(viewer, now, lease);
        state.buttons.renew(viewer, now, lease);
    }

    /// Has everything written anew: the host was away, or starts.
    pub fn host_lost(&self) {
        self.keyboard.host_lost();
        self.absolute.host_lost();
        self.relative.host_lost();
    }

    /// Waits until the host took all keyboard reports.
    pub async fn keyboard_drained(&self) {
        self.keyboard.drained().await;
    }

    /// Returns the host's lights, now and as they change; nothing while the host has not said.
    pub fn leds(&self) -> watch::Receiver<Option<Leds>> {
        self.host.leds.subscribe()
    }

    /// Returns which mouse moved last.
    pub fn pointer(&self) -> Pointer {
        self.lock().pointer
    }

    /// Chooses the mouse.
    pub fn set_pointer(&self, pointer: Pointer) {
        self.use_pointer(&mut self.lock(), pointer);
    }

    /// Returns for how long nobody has done anything; nothing if nobody ever has.
    pub fn idle(&self) -> Option<Duration> {
        self.lock().last_action.map(|at| at.elapsed())
    }

    /// Returns the keys that are down.
    pub fn keys_down(&self) -> Vec<Key> {
        self.lock().keys.down()
    }

    /// Whether nobody, the jiggler included, has done anything for so long.
    pub fn is_jiggle_due(&self, idle: Duration) -> bool {
        let state = self.lock();
        let last = state.last_action.max(state.last_jiggle);
        last.is_none_or(|at| at.elapsed() >= idle)
    }

    /// Moves the mouse a little, and back the next time.
    pub fn jiggle(&self) {
        let mut state = self.lock();
        state.last_jiggle = Some(Instant::now());
        state.is_jiggled = !state.is_jiggled;
        match state.pointer {
            Pointer::Absolute => {
                state.place.0 ^= JIGGLE;
                self.absolute.push(state.absolute_report());
            }
            Pointer::Relative => self.relative.push(RelativeReport {
                buttons: state.button_bits(),
                x: if state.is_jiggled { 1 } else { -1 },
                ..RelativeReport::default()
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push_keys(&self, state: &State) {
        self.keyboard.push(KeyboardReport::of(state.keys.down()));
        self.leases_changed.notify_one();
    }

    fn push_buttons(&self, state: &State) {
        match state.pointer {
            Pointer::Absolute => self.absolute.push(state.absolute_report()),
            Pointer::Relative => self.relative.push(RelativeReport {
                buttons: state.button_bits(),
                ..RelativeReport::default()
            }),
        }
        self.leases_changed.notify_one();
    }

    /// Buttons follow the mouse that moves: the other one lets them go.
    fn use_pointer(&self, state: &mut State, pointer: Pointer) {
        if state.pointer == pointer {
            return;
        }
        match state.pointer {
            Pointer::Absolute => self.absolute.push(AbsoluteReport {
                buttons: 0,
                ..state.absolute_report()
            }),
            Pointer::Relative => self.relative.push(RelativeReport::default()),
        }
        state.pointer = pointer;
    }

    async fn expire_leases(&self) {
        loop {
            let next = {
                let mut state = self.lock();
                let now = Instant::now().into_std();
                let quiet = state.keys.expire(now).len() + state.buttons.expire(now).len();
                if quiet > 0 {
                    self.push_keys(&state);
                    self.push_buttons(&state);
                }
                [state.keys.next_expiry(), state.buttons.next_expiry()]
                    .into_iter()
                    .flatten()
                    .min()
            };
            let ends = async {
                match next {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = ends => {}
                () = self.leases_changed.notified() => {}
            }
        }
    }
}

impl State {
    fn act(&mut self) -> std::time::Instant {
        let now = Instant::now();
        self.last_action = Some(now);
        now.into_std()
    }

    fn lease(&self, viewer: Viewer) -> Duration {
        self.leases.get(&viewer).copied().unwrap_or(LEASE)
    }

    fn button_bits(&self) -> u8 {
        self.buttons.down().iter().fold(0, |bits, n| bits | 1 << n)
    }

    fn absolute_report(&self) -> AbsoluteReport {
        AbsoluteReport {
            buttons: self.button_bits(),
            x: self.place.0,
            y: self.place.1,
            wheel: 0,
            pan: 0,
        }
    }
}

fn small(number: i16) -> i8 {
    i8::try_from(number).expect("clamped to a byte")
}
