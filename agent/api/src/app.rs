//! What handlers share.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use agent_access::audit::{Action, AuditLog, Entry};
use agent_access::{Access, Principal, SessionId};
use agent_device::claim::ClaimCode;
use agent_device::identity::Identity;
use agent_helper::gadget::Places;
use agent_helper::{Client, GadgetState};
use agent_input::control::{Busy, Control};
use agent_input::held::Viewer;
use agent_input::{Input, Leds};
use agent_media::Store;
use agent_power::{Atx, Channels};
use agent_video::{Video, VideoState};
use agent_webrtc::Exchange;
use tokio::sync::{Notify, watch};

use crate::failure::{Code, Failure, chain};
use crate::guard::Peer;
use crate::live::state::{ControlState, DriveState, LiveState, PasteState, ViewerEntry};
use crate::meters::Meters;
use crate::pikvm::state::Chosen;
use crate::settings::Settings;
use crate::v1::fetch::Running;
use crate::v1::power::Power;

/// Most seats that are remembered: more than there can be sessions and tokens.
const SEATS: usize = 512;

/// What the rooms beside this one give.
#[derive(Debug)]
pub struct Parts {
    /// Root of the device's file system.
    pub root: PathBuf,
    /// Folder of the agent's own files.
    pub state: PathBuf,
    /// Names under which the device is reached, beside its addresses.
    pub names: Vec<String>,
    /// Whether clients of the `PiKVM` kind may send users' passwords instead of tokens.
    pub passwords_for_clients: bool,
    /// Key and certificate.
    pub identity: Identity,
    /// Users, sessions and tokens.
    pub access: Access,
    /// The audit log.
    pub audit: AuditLog,
    /// The claim code.
    pub claim: ClaimCode,
    /// The machine's front panel.
    pub atx: Atx,
    /// Lines with names of their own.
    pub channels: Channels,
    /// Keyboard and mouse.
    pub input: Arc<Input>,
    /// The picture.
    pub video: Video,
    /// Where packets of WebRTC are exchanged; none if the port was taken.
    pub webrtc: Option<Arc<Exchange>>,
    /// Images.
    pub media: Store,
    /// The helper.
    pub helper: Client,
    /// Socket of the updater.
    pub updater: PathBuf,
    /// Where the kernel says how the host is.
    pub places: Places,
    /// Seconds since 1970.
    pub clock: fn() -> u64,
}

/// Parts and what this room keeps itself.
#[derive(Debug)]
pub struct App {
    /// What the rooms beside this one give.
    pub parts: Parts,
    /// What all viewers see, as it changes.
    pub live: watch::Sender<LiveState>,
    /// What is measured.
    pub meters: Meters,
    /// What users chose.
    pub settings: watch::Sender<Settings>,
    /// Has the program start again, with what is set now.
    pub again: Notify,
    control: Mutex<Control>,
    viewers: Mutex<BTreeMap<Viewer, ViewerEntry>>,
    seats: Mutex<BTreeMap<SessionId, Viewer>>,
    sessions: Mutex<BTreeMap<Viewer, SessionId>>,
    next_viewer: AtomicU64,
    /// What a client of the `PiKVM` kind chose for the drive.
    pub(crate) chosen: Mutex<Option<Chosen>>,
    /// Images that are being fetched.
    pub(crate) fetches: Mutex<Vec<Running>>,
    /// Ends the paste that is running.
    pub(crate) paste: Mutex<Option<watch::Sender<bool>>>,
}

impl App {
    /// Puts the parts together.
    pub fn new(parts: Parts) -> Arc<Self> {
        Arc::new(Self {
            settings: watch::Sender::new(Settings::load(&parts.state)),
            parts,
            live: watch::Sender::new(LiveState::default()),
            meters: Meters::default(),
            again: Notify::new(),
            control: Mutex::default(),
            viewers: Mutex::default(),
            seats: Mutex::default(),
            sessions: Mutex::default(),
            next_viewer: AtomicU64::new(1),
            chosen: Mutex::new(None),
            fetches: Mutex::default(),
            paste: Mutex::new(None),
        })
    }

    /// Returns the time in seconds since 1970.
    pub fn now(&self) -> u64 {
        (self.parts.clock)()
    }

    /// Writes to the audit log. A full disk must not keep an owner out of the device, so that is all
    /// that happens when it fails: the state says so.
    pub fn audit(
        &self,
        who: Option<&Principal>,
        peer: Option<Peer>,
        action: Action,
        subject: Option<String>,
    ) {
        let user = who.map(|principal| principal.user.to_string());
        self.audit_named(user, peer, action, subject);
    }

    /// The same for somebody who is not signed in.
    pub fn audit_named(
        &self,
        user: Option<String>,
        peer: Option<Peer>,
        action: Action,
        subject: Option<String>,
    ) {
        let entry = Entry {
            time: self.now(),
            user,
            address: peer.map(|peer| peer.0.ip().to_canonical()),
            action,
            subject,
        };
        let is_kept = self.parts.audit.append(&entry).is_ok();
        self.change(|live| live.audit_fails = !is_kept);
    }

    /// Changes what all viewers see. Nothing is sent if nothing changes.
    pub fn change(&self, change: impl FnOnce(&mut LiveState)) {
        self.live.send_if_modified(|live| {
            let before = live.clone();
            change(live);
            *live != before
        });
    }

    /// Changes what users chose, and keeps it.
    pub fn choose(&self, change: impl FnOnce(&mut Settings)) -> Result<(), Failure> {
        self.settings.send_modify(change);
        let saved = self.settings.borrow().save(&self.parts.state);
        saved.map_err(|error| Failure::new(Code::Failed, chain(&error)))
    }

    /// Notes the gadget as it is now.
    pub fn set_gadget(&self, gadget: Result<GadgetState, String>) {
        self.change(|live| {
            (live.gadget, live.gadget_problem) = match gadget {
                Ok(gadget) => (Some(gadget), None),
                Err(problem) => (None, Some(problem)),
            };
        });
    }

    /// Notes the host's lights.
    pub fn set_leds(&self, leds: Option<Leds>) {
        self.change(|live| live.leds = leds);
    }

    /// Notes how it stands with the picture.
    pub fn set_video(&self, state: &VideoState) {
        let sentence = state.sentence();
        self.change(|live| (live.video, live.video_sentence) = (state.clone(), sentence));
    }

    /// Looks what is in the virtual drive: the host may have ejected it.
    pub fn look_at_drive(&self) {
        let drive = agent_helper::media::drive(&self.parts.places);
        let drive = drive.map(|(image, drive, writable)| DriveState {
            image,
            drive,
            writable,
        });
        self.change(|live| live.drive = drive);
    }

    /// Looks what the lights of the machine's front panel show.
    pub fn look_at_power(&self) {
        let power = Power::read(self);
        self.change(|live| live.power = power);
    }

    /// Notes how a paste goes.
    pub fn set_paste(&self, paste: Option<PasteState>) {
        self.change(|live| live.paste = paste);
    }

    /// Lets a viewer in.
    pub fn enter(&self, principal: &Principal) -> Viewer {
        let viewer = self.new_viewer();
        lock(&self.seats).insert(principal.session.clone(), viewer);
        lock(&self.sessions).insert(viewer, principal.session.clone());
        let entry = ViewerEntry {
            id: viewer.0,
            user: principal.user.to_string(),
            role: principal.role,
        };
        lock(&self.viewers).insert(viewer, entry);
        self.show_viewers();
        viewer
    }

    /// Returns a number that no viewer has.
    pub fn new_viewer(&self) -> Viewer {
        Viewer(self.next_viewer.fetch_add(1, Ordering::Relaxed))
    }

    /// Returns the seat of a request: that of its session's page, or one of its own.
    pub fn seat_of(&self, principal: &Principal) -> Viewer {
        let mut seats = lock(&self.seats);
        if seats.len() >= SEATS {
            seats.clear();
            lock(&self.sessions).clear();
        }
        let seat = seats.entry(principal.session.clone());
        let seat = *seat.or_insert_with(|| self.new_viewer());
        lock(&self.sessions).insert(seat, principal.session.clone());
        seat
    }

    /// Lets a viewer go, and with it whatever it held.
    pub fn leave(&self, viewer: Viewer) {
        self.parts.input.leave(viewer);
        lock(&self.viewers).remove(&viewer);
        lock(&self.control).leave(viewer);
        lock(&self.seats).retain(|_, seat| *seat != viewer);
        lock(&self.sessions).remove(&viewer);
        self.show_viewers();
        self.show_control();
    }

    /// Notes that a viewer acts: it must control the machine, or get control because nobody has it.
    pub fn act(&self, viewer: Viewer, principal: &Principal) -> Result<(), Busy> {
        let name = principal.user.to_string();
        let now = Instant::now();
        let mut result = lock(&self.control).act(viewer, &name, now);
        if result.is_err() && self.is_own_seat(principal) {
            // Another connection of the same session: nobody has to be asked.
            self.with_control(|control| control.seize(viewer, &name, now));
            result = Ok(());
        }
        self.show_control();
        result
    }

    /// Changes who controls. Whoever loses it lets all keys go.
    pub fn with_control<T>(&self, change: impl FnOnce(&mut Control) -> T) -> T {
        let (result, before, after) = {
            let mut control = lock(&self.control);
            let before = control.holder().map(|seat| seat.viewer);
            let result = change(&mut control);
            (result, before, control.holder().map(|seat| seat.viewer))
        };
        if let Some(before) = before.filter(|viewer| Some(*viewer) != after) {
            self.parts.input.release(before);
        }
        self.show_control();
        result
    }

    /// Whether a connection of this session controls.
    fn is_own_seat(&self, principal: &Principal) -> bool {
        let holder = lock(&self.control).holder().map(|seat| seat.viewer);
        let sessions = lock(&self.sessions);
        holder.is_some_and(|holder| sessions.get(&holder) == Some(&principal.session))
    }

    fn show_viewers(&self) {
        let viewers = lock(&self.viewers).values().cloned().collect();
        self.change(|live| live.viewers = viewers);
    }

    fn show_control(&self) {
        let control = ControlState::of(&lock(&self.control));
        self.change(|live| live.control = control);
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
