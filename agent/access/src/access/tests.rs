use super::*;

fn credentials(name: &str, password: &str) -> Credentials {
    Credentials {
        name: name.into(),
        password: Secret::new(password),
        code: None,
        address: "192.0.2.1".parse().unwrap(),
        agent: "test".into(),
    }
}

/// Returns a device that ann has claimed.
async fn claimed(folder: &Path) -> (Access, SignedIn) {
    let access = Access::load(folder).unwrap();
    let code = ClaimCode::load_or_make(folder).unwrap();
    let ann = credentials("ann", "correct horse");
    let signed_in = access
        .claim(&code, code.for_console(), &ann, 100)
        .await
        .unwrap();
    (access, signed_in)
}

#[tokio::test]
async fn the_first_who_knows_the_code_owns_the_device_and_nobody_after() {
    let folder = tempfile::tempdir().unwrap();
    let access = Access::load(folder.path()).unwrap();
    let code = ClaimCode::load_or_make(folder.path()).unwrap();
    let ann = credentials("ann", "correct horse");
    let wrong = access.claim(&code, "AAAA-AAAA-AAAA", &ann, 100).await;
    assert!(matches!(wrong, Err(AccessError::Wrong)));
    assert!(!access.is_claimed());
    let capital = credentials("Ann", "correct horse");
    let bad = access.claim(&code, code.for_console(), &capital, 100).await;
    assert!(
        matches!(bad, Err(AccessError::Name(_))),
        "told what a name is"
    );
    let given = code.for_console().to_lowercase().replace('-', " ");
    let signed_in = access.claim(&code, &given, &ann, 100).await.unwrap();
    assert_eq!(signed_in.principal.role, Role::Admin);
    assert!(access.is_claimed());
    let again = access.claim(&code, code.for_console(), &ann, 100).await;
    assert!(matches!(again, Err(AccessError::Claimed)));
    assert!(!folder.path().join("claim-code").exists(), "used up");
    let after = Access::load(folder.path()).unwrap();
    assert!(after.is_claimed(), "it is kept");
    assert!(
        after.by_cookie(&signed_in.cookie, 101).is_some(),
        "sessions are kept"
    );
}

#[tokio::test]
async fn guessing_is_slowed_down_and_an_unknown_name_looks_like_a_wrong_password() {
    let folder = tempfile::tempdir().unwrap();
    let (access, _) = claimed(folder.path()).await;
    let mut answers = Vec::new();
    for name in ["ann", "nobody", "ann", "ann"] {
        let answer = access.sign_in(&credentials(name, "wrong guess"), 100).await;
        answers.push(answer.unwrap_err().to_string());
    }
    assert_eq!(answers[0], answers[1]);
    assert!(answers[3].contains("too many attempts"), "{answers:?}");
    let right = access
        .sign_in(&credentials("ann", "correct horse"), 100)
        .await;
    assert!(
        matches!(right, Err(AccessError::Wait { .. })),
        "even the right one"
    );
    let mut elsewhere = credentials("bob", "wrong guess");
    elsewhere.address = "192.0.2.77".parse().unwrap();
    let other = access.sign_in(&elsewhere, 100).await;
    assert!(
        matches!(other, Err(AccessError::Wrong)),
        "others are not slowed down"
    );
}

#[tokio::test]
async fn a_second_factor_is_asked_for_and_each_code_is_taken_once() {
    let folder = tempfile::tempdir().unwrap();
    let (access, ann) = claimed(folder.path()).await;
    let name = ann.principal.user;
    let factor = SecondFactor::new().unwrap();
    let unproven = access.set_second_factor(&name, Some((factor.clone(), "000000x")), 1000);
    assert!(matches!(unproven, Err(AccessError::Wrong)));
    let first = factor.code(1000).unwrap();
    access
        .set_second_factor(&name, Some((factor.clone(), first.reveal())), 1000)
        .unwrap();
    let other = SecondFactor::new().unwrap();
    let code = other.code(1000).unwrap();
    let replaced = access.set_second_factor(&name, Some((other, code.reveal())), 1000);
    assert!(matches!(replaced, Err(AccessError::HasFactor { .. })));
    let mut given = credentials("ann", "correct horse");
    assert!(access.sign_in(&given, 1000).await.is_err(), "no code");
    given.code = Some(first.reveal().into());
    assert!(access.sign_in(&given, 1000).await.is_err(), "used");
    given.code = Some(factor.code(1030).unwrap().reveal().into());
    access.sign_in(&given, 1030).await.unwrap();
}

#[tokio::test]
async fn the_last_administrator_stays() {
    let folder = tempfile::tempdir().unwrap();
    let (access, ann) = claimed(folder.path()).await;
    let name = ann.principal.user;
    let alone = access.remove_user(&name);
    assert!(matches!(alone, Err(AccessError::LastAdmin { .. })));
    assert!(access.set_role(&name, Role::Viewer).is_err());
    let bob: UserName = "bob".parse().unwrap();
    let password = Secret::new("battery staple");
    access
        .add_user(bob.clone(), Role::Admin, password.clone())
        .await
        .unwrap();
    let twice = access.add_user(bob.clone(), Role::Viewer, password).await;
    assert!(matches!(twice, Err(AccessError::Exists { .. })));
    access.remove_user(&name).unwrap();
    assert!(
        access.by_cookie(&ann.cookie, 101).is_none(),
        "her session is over"
    );
    assert!(access.remove_user(&bob).is_err());
}

#[tokio::test]
async fn a_change_of_role_or_password_ends_what_streams() {
    let folder = tempfile::tempdir().unwrap();
    let (access, _) = claimed(folder.path()).await;
    let bob: UserName = "bob".parse().unwrap();
    let password = Secret::new("battery staple");
    access
        .add_user(bob.clone(), Role::Operator, password)
        .await
        .unwrap();
    let given = credentials("bob", "battery staple");
    let first = access.sign_in(&given, 100).await.unwrap();
    access.set_role(&bob, Role::Viewer).unwrap();
    first.principal.ended().await;
    let second = access.sign_in(&given, 100).await.unwrap();
    assert_eq!(second.principal.role, Role::Viewer);
    let third = access.sign_in(&given, 100).await.unwrap();
    let keep = Some(&third.principal.session);
    access
        .set_password(&bob, Secret::new("another one"), keep)
        .await
        .unwrap();
    second.principal.ended().await;
    assert!(
        access.by_cookie(&third.cookie, 100).is_some(),
        "the one in use stays"
    );
    assert!(access.sign_in(&given, 100).await.is_err());
}

#[tokio::test]
async fn a_token_can_do_no_more_than_its_user_and_ends() {
    let folder = tempfile::tempdir().unwrap();
    let (access, ann) = claimed(folder.path()).await;
    let token = |role, life| access.add_token(&ann.principal, "script", role, 100, life);
    let (entry, secret) = token(Role::Operator, 60).unwrap();
    assert!(secret.reveal().starts_with(tokens::PREFIX));
    let principal = access.by_token(&secret, 159).unwrap();
    assert_eq!((principal.role, principal.is_token), (Role::Operator, true));
    assert!(access.by_token(&secret, 160).is_none(), "it has ended");
    access.revoke_token(&entry.id).unwrap();
    principal.ended().await;
    assert!(access.revoke_token(&entry.id).is_err());
    let (_, secret) = token(Role::Admin, u64::MAX).unwrap();
    assert!(access.by_token(&secret, 100 + tokens::LONGEST).is_none());
    let stored = fs_err::read_to_string(folder.path().join("tokens.json")).unwrap();
    assert!(!stored.contains(secret.reveal()));
}
