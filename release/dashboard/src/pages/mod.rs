//! The pages. Each says in a sentence what is the matter, and works without JavaScript.

pub(crate) mod cost;
pub(crate) mod home;
pub(crate) mod journal;
pub(crate) mod overview;
pub(crate) mod sign_in;
pub(crate) mod step;

mod decision;
mod review;
mod wait;
mod words;

use maud::{DOCTYPE, Markup, html};

/// Where one is: for the head of a page.
pub(crate) struct Place<'a> {
    /// What the window is called.
    pub(crate) title: &'a str,
    /// Who is signed in.
    pub(crate) person: Option<&'a str>,
    /// The release, for links.
    pub(crate) version: Option<&'a str>,
    /// Which link is this page.
    pub(crate) at: &'a str,
}

/// A whole page.
pub(crate) fn frame(place: &Place<'_>, body: &Markup) -> Markup {
    let link = |name: &str, address: String, at: &str| {
        html! { a href=(address) aria-current=[(place.at == at).then_some("page")] { (name) } }
    };
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (place.title) " · Bakelite" }
                link rel="stylesheet" href="/style.css";
                link rel="icon" href="data:,";
                script src="/page.js" defer {}
            }
            body {
                a.skip href="#main" { "To the page" }
                header.top {
                    a.brand href="/" { span.mark aria-hidden="true" {} "Bakelite" }
                    @if let Some(person) = place.person {
                        nav aria-label="Pages" {
                            @if let Some(version) = place.version {
                                (link(&format!("Release {version}"), format!("/releases/{version}"), "release"))
                                (link("Journal", format!("/releases/{version}/journal"), "journal"))
                            } @else {
                                (link("Releases", "/".into(), "home"))
                            }
                            (link("Cost", "/cost".into(), "cost"))
                        }
                        form.who method="post" action="/sign-out" {
                            span { (person) }
                            button.quiet { "Sign out" }
                        }
                    }
                }
                main id="main" { (body) }
            }
        }
    }
}

/// A page that says that something is not there.
pub(crate) fn missing(person: &str, why: &str) -> Markup {
    let place = Place {
        title: "Not here",
        person: Some(person),
        version: None,
        at: "",
    };
    let body = html! {
        section.narrow {
            h1 { "Not here" }
            p { (why) }
            p { a href="/" { "All releases" } }
        }
    };
    frame(&place, &body)
}

/// What was refused, at the top of the page that the form came from.
fn refused(why: Option<&str>) -> Markup {
    html! {
        @if let Some(why) = why {
            div.banner.bad role="alert" { strong { "This was not recorded. " } (why) }
        }
    }
}
