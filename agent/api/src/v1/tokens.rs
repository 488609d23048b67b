//! Tokens for programs.

use std::sync::Arc;

use agent_access::audit::Action;
use agent_access::tokens::TokenEntry;
use agent_access::{Principal, Role};
use axum::extract::{Path, State};
use axum::{Extension, Json};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::extract::Body;
use crate::app::App;
use crate::failure::{Code, Failure};
use crate::guard::Peer;

/// A token.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Token {
    /// Its name in lists.
    id: String,
    /// What it is for.
    name: String,
    /// Who made it.
    user: String,
    /// What it may do.
    #[schemars(with = "String")]
    role: Role,
    /// Made, in seconds since 1970.
    made: u64,
    /// Ends, in seconds since 1970.
    expires: u64,
    /// The token itself: shown when it is made, never again.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
}

/// A new token.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct NewToken {
    /// What it is for.
    name: String,
    /// What it may do, at most what its user may.
    #[schemars(with = "String")]
    role: Role,
    /// Days until it ends, 1 to 366.
    days: u64,
}

impl Token {
    fn of(entry: TokenEntry, secret: Option<String>) -> Self {
        Self {
            id: entry.id.to_string(),
            name: entry.name,
            user: entry.user.to_string(),
            role: entry.role,
            made: entry.made,
            expires: entry.expires,
            secret,
        }
    }
}

fn visible(app: &App, principal: &Principal) -> Vec<TokenEntry> {
    let own = (principal.role < Role::Admin).then_some(&principal.user);
    app.parts.access.tokens(own)
}

/// Lists tokens: all for administrators, one's own for others.
pub async fn list(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
) -> Json<Vec<Token>> {
    let tokens = visible(&app, &principal).into_iter();
    Json(tokens.map(|entry| Token::of(entry, None)).collect())
}

/// Makes a token.
pub async fn add(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    Extension(principal): Extension<Principal>,
    Body(new): Body<NewToken>,
) -> Result<Json<Token>, Failure> {
    if principal.is_token {
        let text = "a token cannot make tokens: it would outlive itself";
        return Err(Failure::new(Code::NotAllowed, text));
    }
    if !(1..=366).contains(&new.days) || new.name.trim().is_empty() {
        let text = "a token has a name and ends after 1 to 366 days";
        return Err(Failure::new(Code::BadRequest, text));
    }
    let life = new.days * 24 * 60 * 60;
    let made = app
        .parts
        .access
        .add_token(&principal, &new.name, new.role, app.now(), life);
    let (entry, secret) = made?;
    let subject = Some(entry.id.to_string());
    app.audit(Some(&principal), Some(peer), Action::TokenAdded, subject);
    Ok(Json(Token::of(entry, Some(secret.reveal().to_owned()))))
}

/// Revokes a token and all that streams for it.
pub async fn revoke(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    Extension(principal): Extension<Principal>,
    Path(id): Path<String>,
) -> Result<Json<()>, Failure> {
    let mut tokens = visible(&app, &principal).into_iter();
    let found = tokens.find(|token| token.id.to_string() == id);
    let token = found.ok_or_else(|| Failure::not_found("token"))?;
    app.parts.access.revoke_token(&token.id)?;
    app.audit(Some(&principal), Some(peer), Action::TokenRevoked, Some(id));
    Ok(Json(()))
}
