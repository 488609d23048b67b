use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex as Lock};

use proptest::prelude::*;

use super::*;
use crate::state::Interface;

/// A manager that only notes what it was told.
#[derive(Debug, Clone, Default)]
struct Noted(Arc<Lock<Vec<String>>>);

impl Noted {
    fn note(&self, what: String) {
        self.0.lock().unwrap().push(what);
    }

    fn last(&self) -> String {
        self.0.lock().unwrap().last().cloned().unwrap_or_default()
    }
}

impl Manager for Noted {
    async fn interfaces(&self) -> Result<Vec<Interface>, ManagerError> {
        let tried = self.last().starts_with("try");
        let new = tried.then(|| "192.0.2.7/24".to_owned());
        Ok(vec![Interface {
            name: "eth0".into(),
            kind: "ethernet".into(),
            card: String::new(),
            is_connected: true,
            wi_fi: None,
            method: "automatic".into(),
            addresses: std::iter::once("192.0.2.1/24".to_owned())
                .chain(new)
                .collect(),
            gateway: None,
            servers: Vec::new(),
        }])
    }

    async fn try_plan(
        &self,
        interface: &str,
        plan: &Plan,
        limit: Duration,
    ) -> Result<WayBack, ManagerError> {
        if interface == "gone0" {
            return Err(ManagerError::NoInterface(interface.into()));
        }
        self.note(format!("try {:?} for {}", plan.address(), limit.as_secs()));
        Ok("/checkpoint/1".into())
    }

    async fn keep(&self, _: &str, plan: &Plan, way_back: &str) -> Result<(), ManagerError> {
        self.note(format!("keep {:?} {way_back}", plan.address()));
        Ok(())
    }

    async fn go_back(&self, way_back: &str) -> Result<(), ManagerError> {
        self.note(format!("back {way_back}"));
        Ok(())
    }
}

/// Each test has its own process, so this clock is its own.
static NOW: AtomicU64 = AtomicU64::new(100);

fn clock() -> Duration {
    Duration::from_secs(NOW.load(Ordering::SeqCst))
}

fn plan() -> Plan {
    Plan::Manual {
        address: "192.0.2.7".parse().unwrap(),
        prefix: 24,
        gateway: None,
        servers: Vec::new(),
    }
}

fn new() -> IpAddr {
    "192.0.2.7".parse().unwrap()
}

const LIMIT: Duration = Duration::from_mins(1);

#[tokio::test]
async fn a_change_is_kept_by_its_token_and_by_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let (noted, file) = (Noted::default(), folder.path().join("network.json"));
    let changes = Changes::open(noted.clone(), file.clone(), clock);
    changes
        .change("eth0", &plan(), LIMIT, "secret")
        .await
        .unwrap();
    assert_eq!(noted.last(), "try Some(192.0.2.7) for 63");
    assert!(matches!(
        changes.change("eth0", &plan(), LIMIT, "other").await,
        Err(ChangeError::Pending)
    ));
    assert!(changes.keep("secres", new()).await.is_err());
    // The process ends and starts again.
    drop(changes);
    let changes = Changes::open(noted.clone(), file.clone(), clock);
    assert_eq!(changes.read().await.unwrap().pending.unwrap().seconds, 60);
    let old = "192.0.2.1".parse().unwrap();
    assert!(matches!(
        changes.keep("secret", old).await,
        Err(ChangeError::NotShown)
    ));
    changes.keep("secret", new()).await.unwrap();
    assert_eq!(noted.last(), "keep Some(192.0.2.7) /checkpoint/1");
    assert!(!file.exists());
    let state = changes.read().await.unwrap();
    assert_eq!(
        (state.pending, state.outcome.as_deref()),
        (None, Some("kept"))
    );
    assert!(changes.keep("secret", new()).await.is_err());
}

#[tokio::test]
async fn who_comes_too_late_keeps_nothing_and_the_next_change_can_begin() {
    let folder = tempfile::tempdir().unwrap();
    let noted = Noted::default();
    let changes = Changes::open(noted.clone(), folder.path().join("network.json"), clock);
    changes
        .change("eth0", &plan(), LIMIT, "secret")
        .await
        .unwrap();
    NOW.fetch_add(60, Ordering::SeqCst);
    assert!(matches!(
        changes.keep("secret", new()).await,
        Err(ChangeError::NotPending)
    ));
    let outcome = changes.read().await.unwrap().outcome.unwrap();
    assert!(outcome.contains("nobody was there"), "{outcome}");
    changes
        .change("eth0", &plan(), LIMIT, "again")
        .await
        .unwrap();
    changes.go_back().await.unwrap();
    assert_eq!(noted.last(), "back /checkpoint/1");
    assert!(changes.go_back().await.is_err());
}

#[tokio::test]
async fn nonsense_never_reaches_the_manager() {
    let folder = tempfile::tempdir().unwrap();
    let noted = Noted::default();
    let file = folder.path().join("network.json");
    fs_err::write(&file, "{\"interface\":\"e").unwrap();
    let changes = Changes::open(noted.clone(), file, clock);
    let second = Duration::from_secs(1);
    assert!(changes.change("eth0", &plan(), second, "t").await.is_err());
    assert!(
        changes
            .change("../eth0", &plan(), LIMIT, "t")
            .await
            .is_err()
    );
    assert!(changes.change("gone0", &plan(), LIMIT, "t").await.is_err());
    assert_eq!(noted.last(), "");
    let outcome = changes.read().await.unwrap().outcome.unwrap();
    assert!(outcome.contains("gone0"), "{outcome}");
}

proptest! {
    #[test]
    fn tokens_are_compared_whole(a in "[a-c]{0,4}", b in "[a-c]{0,4}") {
        prop_assert_eq!(is_same(&a, &b), a == b);
    }
}
