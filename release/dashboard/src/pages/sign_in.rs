//! Signing in.

use maud::{Markup, html};

use super::{Place, frame};

fn bare(title: &str, body: &Markup) -> Markup {
    let place = Place {
        title,
        person: None,
        version: None,
        at: "",
    };
    frame(&place, &html! { section.narrow { h1 { (title) } (body) } })
}

/// How to sign in.
pub(crate) fn how() -> Markup {
    bare(
        "Sign in",
        &html! {
            p { "Ask whoever runs this page for your link. It signs you in once, on this browser, for a month." }
            p.hint { "They make it with " code { "bakelite release invite YOUR-NAME" } "." }
        },
    )
}

/// Signs in at a click: a mail program that looks at the link uses nothing up.
pub(crate) fn confirm(person: &str, token: &str) -> Markup {
    bare(
        "Sign in",
        &html! {
            p { "This link is for " strong { (person) } ". Everything you do here is recorded under that name." }
            form method="post" action={ "/sign-in/" (token) } {
                button.primary autofocus { "Sign in as " (person) }
            }
        },
    )
}

/// A link that is used up.
pub(crate) fn used() -> Markup {
    bare(
        "This link is used up",
        &html! {
            p { "A link works once, and for a day. Ask for a new one." }
            p { "If it was not you who used it, tell the release manager." }
        },
    )
}
