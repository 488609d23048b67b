use content_digest::Sha256Digest;
use proptest::prelude::*;

use super::*;

fn update(index: u32) -> Update {
    Update {
        manifest: Sha256Digest::of("manifest"),
        version: "2.0".into(),
        rollback_index: index,
        created: 7,
        baseline: Vec::new(),
        replaces: Some(Other {
            root: Sha256Digest::of("root"),
            version: "1.0".into(),
            rollback_index: 1,
        }),
        arms: 0,
        steps: 0,
    }
}

fn copy() -> Other {
    update(0).replaces.unwrap()
}

/// A device without a disk: what the firmware was told, and what runs.
#[derive(Debug, Clone)]
struct Device {
    state: State,
    points_to: Slot,
    asked: Option<Slot>,
    running: Slot,
    starts: u32,
    notes: Vec<String>,
}

impl Device {
    fn new() -> Self {
        Self {
            state: State::default(),
            points_to: Slot::A,
            asked: None,
            running: Slot::A,
            starts: 0,
            notes: Vec::new(),
        }
    }

    fn tell(&mut self, event: Event) -> Result<(), Refused> {
        let step = next(&self.state, event)?;
        self.state = step.state;
        self.notes.extend(step.note);
        match step.deed {
            Deed::Nothing => {}
            Deed::AskOnce(slot) => self.asked = Some(slot),
            Deed::Unask => self.asked = None,
            Deed::PointTo(slot) => self.points_to = slot,
            Deed::Restart => self.restart(Cause::Restart),
            Deed::PointToAndRestart(slot) => {
                self.points_to = slot;
                self.restart(Cause::Restart);
            }
        }
        Ok(())
    }

    /// Starts as the firmware does: the flag holds once, and not over a power cut.
    fn restart(&mut self, cause: Cause) {
        if cause == Cause::Restart {
            self.tell(Event::Stopping).unwrap();
        }
        let asked = self.asked.take().filter(|_| cause != Cause::Power);
        self.start(asked.unwrap_or(self.points_to), cause);
    }

    fn start(&mut self, slot: Slot, cause: Cause) {
        self.running = slot;
        self.starts += 1;
        let boot = self.starts.to_string();
        self.tell(Event::Started { slot, boot, cause }).unwrap();
    }

    fn install(&mut self, way: Way) {
        self.tell(Event::Begin(update(1))).unwrap();
        self.tell(Event::Written).unwrap();
        self.tell(Event::Arm(way)).unwrap();
    }

    fn is_kept(&self) -> Option<bool> {
        self.state.outcome.as_ref().map(|outcome| outcome.is_kept)
    }
}

const WAYS: [Way; 2] = [Way::OneShot, Way::Counted];

#[test]
fn a_healthy_update_is_kept() {
    for way in WAYS {
        let mut device = Device::new();
        device.install(way);
        assert_eq!(
            device.points_to,
            if way == Way::OneShot {
                Slot::A
            } else {
                Slot::B
            }
        );
        device.restart(Cause::Restart);
        assert_eq!(device.running, Slot::B);
        assert_eq!(settings_of(&device.state), 1);
        device.tell(Event::Healthy).unwrap();
        assert_eq!(device.points_to, Slot::B);
        device.tell(Event::Committed).unwrap();
        assert_eq!(
            (
                device.state.good,
                device.state.settings,
                device.state.rollback_index
            ),
            (Slot::B, 1, 1)
        );
        assert_eq!(
            (device.is_kept(), device.state.clock_floor),
            (Some(true), 7)
        );
    }
}

#[test]
fn who_restarts_the_device_on_trial_does_not_reject_it() {
    for way in WAYS {
        let mut device = Device::new();
        device.install(way);
        device.restart(Cause::Restart);
        // The firmware cannot tell it from a crash.
        device.tell(Event::Stopping).unwrap();
        device.restart(Cause::Crash);
        assert_eq!(device.is_kept(), None, "{:?}", device.notes);
        if way == Way::OneShot {
            device.tell(Event::Arm(way)).unwrap();
            device.restart(Cause::Restart);
        }
        assert_eq!(device.running, Slot::B);
        // Once only: the next one is a crash.
        device.restart(Cause::Crash);
        assert_eq!(device.is_kept(), Some(false), "{:?}", device.notes);
    }
}

#[test]
fn a_watch_that_died_while_it_told_the_firmware_tells_it_again() {
    for way in WAYS {
        let mut device = Device::new();
        device.install(way);
        device.restart(Cause::Restart);
        let told_before = device.points_to;
        device.tell(Event::Healthy).unwrap();
        // The state was written, and the firmware was not told.
        device.points_to = told_before;
        device.tell(Event::Healthy).unwrap();
        device.tell(Event::Committed).unwrap();
        assert_eq!((device.state.good, device.points_to), (Slot::B, Slot::B));
    }
}

#[test]
fn an_unhealthy_update_goes_back_with_its_reason() {
    for way in WAYS {
        let mut device = Device::new();
        device.install(way);
        device.restart(Cause::Restart);
        device.tell(Event::Failed("no network".into())).unwrap();
        assert_eq!((device.running, device.points_to), (Slot::A, Slot::A));
        assert_eq!(device.state.phase, Phase::Idle);
        assert_eq!(device.state.outcome.as_ref().unwrap().reason, "no network");
        assert_eq!((device.state.settings, device.state.rollback_index), (0, 0));
    }
}

#[test]
fn the_owner_goes_back_to_what_was_kept_before() {
    let mut device = Device::new();
    assert_eq!(device.tell(Event::Back(update(0))), Err(Refused::NoOther));
    device.install(Way::OneShot);
    device.restart(Cause::Restart);
    for event in [
        Event::Healthy,
        Event::Committed,
        Event::Back(update(0)),
        Event::Arm(Way::OneShot),
    ] {
        device.tell(event).unwrap();
    }
    device.restart(Cause::Restart);
    assert_eq!(device.running, Slot::A);
    for event in [Event::Healthy, Event::Committed] {
        device.tell(event).unwrap();
    }
    assert_eq!((device.state.good, device.is_kept()), (Slot::A, Some(true)));
    // And forth again; but what is written over is no way back.
    device.tell(Event::Begin(update(1))).unwrap();
    device.tell(Event::Failed("stopped".into())).unwrap();
    assert_eq!(device.tell(Event::Back(update(0))), Err(Refused::NoOther));
    // A version that raised the rollback index is not left.
    device.state.other = update(0).replaces;
    device.state.rollback_index = 2;
    let refused = device.tell(Event::Back(update(1)));
    assert_eq!(refused, Err(Refused::Rollback { found: 1, floor: 2 }));
}

#[test]
fn a_copy_is_what_the_other_slot_holds_until_it_is_written_over() {
    let mut device = Device::new();
    device.tell(Event::Copied(copy())).unwrap();
    assert_eq!(device.state.other, Some(copy()));
    assert_eq!((device.points_to, device.is_kept()), (Slot::A, None));
    device.tell(Event::Begin(update(1))).unwrap();
    assert_eq!(device.state.other, None);
    let refused = device.tell(Event::Copied(copy()));
    let doing = "being written";
    assert_eq!(refused, Err(Refused::Order { doing }));
}

#[test]
fn a_power_cut_on_trial_does_not_reject_it() {
    for way in WAYS {
        let mut device = Device::new();
        device.install(way);
        device.restart(Cause::Restart);
        device.restart(Cause::Power);
        assert_eq!(device.is_kept(), None, "{:?}", device.notes);
        if way == Way::OneShot {
            assert_eq!(device.running, Slot::A);
            device.tell(Event::Arm(way)).unwrap();
            device.restart(Cause::Restart);
        }
        assert_eq!(device.running, Slot::B);
        device.tell(Event::Healthy).unwrap();
        device.tell(Event::Committed).unwrap();
        assert_eq!(device.is_kept(), Some(true));
    }
}

#[test]
fn a_crash_on_trial_goes_back_at_once() {
    for way in WAYS {
        let mut device = Device::new();
        device.install(way);
        device.restart(Cause::Restart);
        device.restart(Cause::Crash);
        assert_eq!(
            (device.running, device.is_kept()),
            (Slot::A, Some(false)),
            "{:?}",
            device.notes
        );
        assert!(device.state.outcome.unwrap().reason.contains("crashed"));
    }
}

#[test]
fn a_slot_that_never_comes_is_given_up() {
    let mut device = Device::new();
    device.install(Way::OneShot);
    for arms in 1..=MOST_ARMS {
        // The firmware forgot, or the slot did not start.
        device.asked = None;
        device.restart(Cause::Unknown);
        assert_eq!(device.is_kept().is_some(), arms == MOST_ARMS);
        if arms < MOST_ARMS {
            device.tell(Event::Arm(Way::OneShot)).unwrap();
        }
    }
    assert_eq!(device.is_kept(), Some(false));
}

#[test]
fn an_older_update_is_refused_and_steps_have_an_order() {
    let mut device = Device::new();
    device.state.rollback_index = 5;
    assert_eq!(
        device.tell(Event::Begin(update(4))),
        Err(Refused::Rollback { found: 4, floor: 5 })
    );
    device.tell(Event::Begin(update(5))).unwrap();
    for event in [Event::Arm(Way::OneShot), Event::Healthy, Event::Committed] {
        assert_eq!(
            device.tell(event),
            Err(Refused::Order {
                doing: "being written"
            })
        );
    }
}

#[test]
fn a_good_slot_that_does_not_start_gives_its_place_to_the_other() {
    let mut device = Device::new();
    device.start(Slot::B, Cause::Power);
    assert_eq!((device.state.good, device.points_to), (Slot::B, Slot::B));
}

/// One thing that may happen to the device.
#[derive(Debug, Clone)]
enum Turn {
    Back,
    Copied,
    Begin(u32),
    Written,
    Arm(bool),
    Healthy,
    Committed,
    Failed,
    Restart(u8),
}

fn turns() -> impl Strategy<Value = Vec<Turn>> {
    let turn = prop_oneof![
        (0_u32..4).prop_map(Turn::Begin),
        Just(Turn::Written),
        any::<bool>().prop_map(Turn::Arm),
        Just(Turn::Back),
        Just(Turn::Copied),
        Just(Turn::Healthy),
        Just(Turn::Committed),
        Just(Turn::Failed),
        (0_u8..4).prop_map(Turn::Restart),
    ];
    proptest::collection::vec(turn, 0..80)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Whatever happens: the firmware never points to a slot that is written or was never whole, counters do not fall, and
    /// an update ends.
    #[test]
    fn whatever_happens_the_device_starts(turns in turns()) {
        let mut device = Device::new();
        // The second slot of a new card is empty.
        let mut is_whole = [true, false];
        let at = |slot: Slot| usize::from(slot == Slot::B);
        let mut floor = 0;
        for turn in turns {
            let told = match turn {
                Turn::Begin(index) => device.tell(Event::Begin(update(index))),
                Turn::Written => device.tell(Event::Written),
                Turn::Back => {
                    let outcome = device.tell(Event::Back(update(0)));
                    prop_assert!(outcome.is_err() || is_whole[at(device.state.good.other())]);
                    outcome
                }
                Turn::Copied => {
                    let outcome = device.tell(Event::Copied(copy()));
                    is_whole[at(device.state.good.other())] |= outcome.is_ok();
                    outcome
                }
                Turn::Arm(once) => device.tell(Event::Arm(WAYS[usize::from(once)])),
                // Only the slot on trial knows that it is healthy.
                Turn::Healthy if device.running != device.state.good => device.tell(Event::Healthy),
                Turn::Committed if device.running != device.state.good => device.tell(Event::Committed),
                Turn::Failed => device.tell(Event::Failed("why".into())),
                Turn::Restart(cause) => {
                    let causes = [Cause::Power, Cause::Restart, Cause::Crash, Cause::Unknown];
                    device.restart(causes[usize::from(cause)]);
                    Ok(())
                }
                Turn::Healthy | Turn::Committed => Ok(()),
            };
            drop(told);
            let target = device.state.good.other();
            match &device.state.phase {
                Phase::Writing { .. } => is_whole[at(target)] = false,
                Phase::Written { .. } => is_whole[at(target)] = true,
                _ => {}
            }
            prop_assert!(is_whole[at(device.points_to)], "points to {}", device.points_to);
            prop_assert!(device.asked.is_none_or(|slot| is_whole[at(slot)]));
            prop_assert!(is_whole[at(device.state.good)]);
            prop_assert!(device.state.rollback_index >= floor);
            floor = device.state.rollback_index;
            if let Phase::Idle | Phase::Writing { .. } = device.state.phase {
                prop_assert_eq!(device.points_to, device.state.good);
                prop_assert_eq!(device.running, device.state.good);
            }
        }
        // Left alone, restarted again and again, it comes to rest in the good slot.
        for _ in 0..40 {
            drop(device.tell(Event::Arm(Way::OneShot)));
            device.restart(Cause::Unknown);
        }
        let rests = matches!(device.state.phase, Phase::Idle);
        prop_assert!(rests, "{:?}", device.state.phase);
        prop_assert_eq!(device.running, device.state.good);
    }
}
