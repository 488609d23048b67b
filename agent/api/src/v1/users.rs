//! Users, for administrators.

use std::sync::Arc;

use agent_access::audit::Action;
use agent_access::users::BadUserName;
use agent_access::{Principal, Role, Secret, UserName};
use axum::extract::{Path, State};
use axum::{Extension, Json};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::extract::Body;
use crate::app::App;
use crate::failure::{Code, Failure};
use crate::guard::Peer;

/// A user.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct User {
    /// The name.
    name: String,
    /// What the user may do: `viewer`, `operator` or `admin`.
    #[schemars(with = "String")]
    role: Role,
    /// Whether a second factor is asked for.
    second_factor: bool,
}

/// A new user.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct NewUser {
    /// The name: lower-case letters, digits, dots, hyphens, underscores.
    name: String,
    /// `viewer`, `operator` or `admin`.
    #[schemars(with = "String")]
    role: Role,
    /// The password, at least 8 characters.
    #[schemars(with = "String")]
    password: Secret,
}

/// What changes. What is absent stays.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Change {
    /// The new role. The user's sessions end.
    #[schemars(with = "Option<String>")]
    role: Option<Role>,
    /// The new password. The user's sessions end.
    #[schemars(with = "Option<String>")]
    password: Option<Secret>,
    /// `false` takes the second factor away, for a user who lost the authenticator.
    second_factor: Option<bool>,
}

impl From<BadUserName> for Failure {
    fn from(error: BadUserName) -> Self {
        Self::new(Code::BadRequest, error.to_string())
    }
}

/// Lists users.
pub async fn list(State(app): State<Arc<App>>) -> Json<Vec<User>> {
    let users = app.parts.access.users().into_iter().map(|user| User {
        name: user.name.to_string(),
        role: user.role,
        second_factor: user.second_factor,
    });
    Json(users.collect())
}

/// Adds a user.
pub async fn add(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    Extension(principal): Extension<Principal>,
    Body(user): Body<NewUser>,
) -> Result<Json<()>, Failure> {
    let name: UserName = user.name.parse()?;
    app.parts
        .access
        .add_user(name, user.role, user.password)
        .await?;
    app.audit(
        Some(&principal),
        Some(peer),
        Action::UserAdded,
        Some(user.name),
    );
    Ok(Json(()))
}

/// Changes a user.
pub async fn change(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    Extension(principal): Extension<Principal>,
    Path(name): Path<String>,
    Body(change): Body<Change>,
) -> Result<Json<()>, Failure> {
    let user: UserName = name.parse()?;
    let access = &app.parts.access;
    if change.second_factor == Some(true) {
        let text = "a second factor is set by its user, who has the authenticator";
        return Err(Failure::new(Code::BadRequest, text));
    }
    if let Some(password) = change.password {
        let keep = (user == principal.user).then_some(&principal.session);
        access.set_password(&user, password, keep).await?;
    }
    if change.second_factor == Some(false) {
        access.set_second_factor(&user, None, app.now())?;
    }
    if let Some(role) = change.role {
        access.set_role(&user, role)?;
    }
    app.audit(
        Some(&principal),
        Some(peer),
        Action::UserChanged,
        Some(name),
    );
    Ok(Json(()))
}

/// Removes a user.
pub async fn remove(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    Extension(principal): Extension<Principal>,
    Path(name): Path<String>,
) -> Result<Json<()>, Failure> {
    app.parts.access.remove_user(&name.parse()?)?;
    app.audit(
        Some(&principal),
        Some(peer),
        Action::UserRemoved,
        Some(name),
    );
    Ok(Json(()))
}
