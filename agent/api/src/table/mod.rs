//! The table of all operations.

use std::sync::Arc;

use agent_access::Role::{Admin, Operator, Viewer};
use agent_update::protocol::{Choices, View};
use axum::extract::State;
use axum::http::Method;
use axum::{Json, Router};
use serde_json::Value;

use crate::app::App;
use crate::guard::Need::{Public, Role};
use crate::pikvm::{
    atx, gpio as pikvm_gpio, hid, log, media as pikvm_media, msd, socket, streamer, system,
};
use crate::routes::{self, Operation as Op};
use crate::v1::{
    audit, device, fetch, gadget, gpio, keyboard, logs, media, metrics, network, power, session,
    status, streams, tokens, update, users, video, wake,
};
use crate::{live, openapi, page};

const GET: Method = Method::GET;
const PUT: Method = Method::PUT;
const POST: Method = Method::POST;
const PATCH: Method = Method::PATCH;
const DELETE: Method = Method::DELETE;

/// Returns the router of all operations.
pub fn router(app: &Arc<App>) -> Router {
    routes::router(app, all())
}

/// Returns all operations.
pub fn all() -> Vec<Op> {
    [
        who(),
        people(),
        machine(),
        updates(),
        drive(),
        picture(),
        clients(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

async fn document(State(_): State<Arc<App>>) -> Json<Value> {
    Json(openapi::document(&all()))
}

#[rustfmt::skip]
fn who() -> Vec<Op> {
    vec![
        Op::new(GET, "/", Public, "Answers the page", page::index)
            .gives_bytes("text/html"),
        Op::new(GET, "/assets/{name}", Public, "Answers a file of the page", page::asset)
            .gives_bytes("application/octet-stream"),
        Op::new(GET, "/healthz", Public, "Answers that the agent is there", status::healthz)
            .gives_bytes("text/plain"),
        Op::new(GET, "/api/v1/status", Public, "Answers how the device is", status::status)
            .gives::<status::Status>(),
        Op::new(GET, "/api/v1/openapi.json", Role(Viewer), "Answers this document", document)
            .gives::<Value>(),
        Op::new(POST, "/api/v1/claim", Public, "Makes the first administrator of a device that nobody owns", session::claim)
            .takes::<session::Claim>().gives::<session::Who>(),
        Op::new(GET, "/api/v1/session", Role(Viewer), "Answers who is signed in", session::who)
            .gives::<session::Who>(),
        Op::new(POST, "/api/v1/session", Public, "Signs in", session::sign_in)
            .takes::<session::SignIn>().gives::<session::Who>(),
        Op::new(DELETE, "/api/v1/session", Role(Viewer), "Signs out", session::sign_out),
        Op::new(PUT, "/api/v1/session/password", Role(Viewer), "Changes one's own password", session::set_password)
            .takes::<session::NewPassword>(),
        Op::new(POST, "/api/v1/session/second-factor", Role(Viewer), "Offers a key for an authenticator", session::offer_factor)
            .gives::<session::FactorOffer>(),
        Op::new(PUT, "/api/v1/session/second-factor", Role(Viewer), "Sets one's own second factor", session::set_factor)
            .takes::<session::FactorProof>(),
        Op::new(DELETE, "/api/v1/session/second-factor", Role(Viewer), "Takes one's own second factor away", session::remove_factor)
            .takes::<session::SignIn>(),
    ]
}

#[rustfmt::skip]
fn people() -> Vec<Op> {
    vec![
        Op::new(GET, "/api/v1/sessions", Role(Viewer), "Lists sessions", session::list)
            .gives::<Vec<session::Entry>>(),
        Op::new(DELETE, "/api/v1/sessions/{id}", Role(Viewer), "Ends a session and all that streams for it", session::revoke),
        Op::new(GET, "/api/v1/users", Role(Admin), "Lists users", users::list)
            .gives::<Vec<users::User>>(),
        Op::new(POST, "/api/v1/users", Role(Admin), "Adds a user", users::add)
            .takes::<users::NewUser>(),
        Op::new(PATCH, "/api/v1/users/{name}", Role(Admin), "Changes a user", users::change)
            .takes::<users::Change>(),
        Op::new(DELETE, "/api/v1/users/{name}", Role(Admin), "Removes a user", users::remove),
        Op::new(GET, "/api/v1/tokens", Role(Viewer), "Lists tokens", tokens::list)
            .gives::<Vec<tokens::Token>>(),
        Op::new(POST, "/api/v1/tokens", Role(Viewer), "Makes a token for a program", tokens::add)
            .takes::<tokens::NewToken>().gives::<tokens::Token>(),
        Op::new(DELETE, "/api/v1/tokens/{id}", Role(Viewer), "Revokes a token", tokens::revoke),
        Op::new(GET, "/api/v1/audit", Role(Admin), "Answers the last entries of the audit log", audit::read)
            .gives::<Vec<audit::AuditEntry>>(),
    ]
}

#[rustfmt::skip]
fn machine() -> Vec<Op> {
    vec![
        Op::new(GET, "/api/v1/live", Role(Viewer), "Opens the socket for input and for what changes (WebSocket)", live::socket::open),
        Op::new(GET, "/api/v1/keyboard/layouts", Role(Viewer), "Lists keyboard layouts", keyboard::layouts)
            .gives::<Vec<keyboard::LayoutEntry>>(),
        Op::new(GET, "/api/v1/keyboard/layouts/{name}", Role(Viewer), "Answers what each key of a layout writes", keyboard::layout)
            .gives::<keyboard::LayoutKeys>(),
        Op::new(POST, "/api/v1/keyboard/paste", Role(Operator), "Types a text, or says what typing it would be", keyboard::paste)
            .takes::<keyboard::NewPaste>().gives::<keyboard::PasteAnswer>(),
        Op::new(DELETE, "/api/v1/keyboard/paste", Role(Operator), "Cancels the paste that is running", keyboard::cancel_paste),
        Op::new(POST, "/api/v1/keyboard/shortcut", Role(Operator), "Presses keys together and releases them", keyboard::shortcut)
            .takes::<keyboard::Shortcut>(),
        Op::new(POST, "/api/v1/keyboard/wake", Role(Operator), "Wakes a sleeping host", keyboard::wake),
        Op::new(GET, "/api/v1/gadget", Role(Viewer), "Answers what the host sees on its USB port", gadget::read)
            .gives::<gadget::Gadget>(),
        Op::new(PATCH, "/api/v1/gadget", Role(Operator), "Changes what the host sees on its USB port", gadget::change)
            .takes::<gadget::Change>(),
        Op::new(GET, "/api/v1/wake", Role(Viewer), "Lists machines that are woken over the network", wake::list)
            .gives::<Vec<wake::Machine>>(),
        Op::new(PUT, "/api/v1/wake", Role(Operator), "Adds or changes a machine", wake::put)
            .takes::<wake::Machine>(),
        Op::new(DELETE, "/api/v1/wake/{name}", Role(Operator), "Removes a machine", wake::remove),
        Op::new(POST, "/api/v1/wake/{name}", Role(Operator), "Wakes a machine", wake::wake),
        Op::new(GET, "/api/v1/power", Role(Viewer), "Answers what is wired to the machine's front panel, and its lights", power::read)
            .gives::<power::Power>(),
        Op::new(POST, "/api/v1/power/{button}", Role(Operator), "Presses the power or the reset button", power::press)
            .takes::<power::NewPress>(),
        Op::new(GET, "/api/v1/gpio", Role(Viewer), "Lists GPIO lines with names, and how they are", gpio::list)
            .gives::<Vec<gpio::Channel>>(),
        Op::new(PUT, "/api/v1/gpio/{name}", Role(Operator), "Switches an output", gpio::put)
            .takes::<gpio::Switch>(),
        Op::new(POST, "/api/v1/gpio/{name}/pulse", Role(Operator), "Switches an output on and off again", gpio::post)
            .takes::<gpio::NewPulse>(),
        Op::new(GET, "/api/v1/network", Role(Viewer), "Answers how the network is", network::read)
            .gives::<network::Network>(),
        Op::new(PUT, "/api/v1/network/{interface}", Role(Admin), "Tries another address; it is taken back unless it is kept in time", network::change)
            .takes::<network::Change>().gives::<network::Trial>(),
        Op::new(GET, "/api/v1/network/{interface}/wi-fi", Role(Admin), "Lists the Wi-Fi networks in reach", network::search)
            .gives::<Vec<network::InReach>>(),
        Op::new(DELETE, "/api/v1/network/{interface}/wi-fi/{name}", Role(Admin), "Forgets a Wi-Fi network", network::forget),
        Op::new(POST, "/api/v1/network/keep", Public, "Keeps the change on trial: with its token, at the new address", network::keep)
            .takes::<network::Keep>(),
        Op::new(DELETE, "/api/v1/network/trial", Role(Admin), "Takes the change on trial back", network::take_back),
        Op::new(GET, "/api/v1/device", Role(Viewer), "Answers how the device itself is", device::read)
            .gives::<device::Device>(),
        Op::new(PUT, "/api/v1/device/name", Role(Admin), "Gives the device another name; the agent starts again", device::rename)
            .takes::<device::NewName>(),
        Op::new(POST, "/api/v1/device/factory-reset", Role(Admin), "Deletes all that is on the device but its system, and restarts it", device::factory_reset)
            .takes::<device::Confirmation>(),
        Op::new(GET, "/api/v1/logs", Role(Admin), "Answers the last lines of the device's log", logs::read)
            .query(&["lines", "keep", "download"]).gives_bytes("text/plain"),
        Op::new(POST, "/api/v1/device/restart", Role(Admin), "Restarts the device", device::restart),
        Op::new(POST, "/api/v1/device/power-off", Role(Admin), "Switches the device off", device::power_off),
        Op::new(GET, "/api/v1/metrics", Role(Viewer), "Answers measurements for Prometheus", metrics::read)
            .gives_bytes("text/plain"),
    ]
}

#[rustfmt::skip]
fn updates() -> Vec<Op> {
    vec![
        Op::new(GET, "/api/v1/update", Role(Viewer), "Answers which version runs, what is offered and what is going on", update::read)
            .gives::<View>(),
        Op::new(POST, "/api/v1/update/look", Role(Admin), "Looks what the channel offers", update::look)
            .gives::<View>(),
        Op::new(POST, "/api/v1/update/plan", Role(Admin), "Counts what installing would fetch and write", update::plan)
            .gives::<View>(),
        Op::new(POST, "/api/v1/update/install", Role(Admin), "Installs what is offered, now or at night", update::install)
            .takes::<update::Install>().gives::<View>(),
        Op::new(POST, "/api/v1/update/install-upload", Role(Admin), "Installs a bundle that was uploaded among the images", update::install_upload)
            .takes::<update::InstallUpload>().gives::<View>(),
        Op::new(DELETE, "/api/v1/update", Role(Admin), "Stops what is being fetched and written", update::stop)
            .gives::<View>(),
        Op::new(POST, "/api/v1/update/back", Role(Admin), "Goes back to the version before", update::back)
            .gives::<View>(),
        Op::new(PUT, "/api/v1/update/choices", Role(Admin), "Sets what the device does by itself, and where it looks", update::choose)
            .takes::<Choices>().gives::<View>(),
        Op::new(PUT, "/api/v1/update/token", Role(Admin), "Sets the token that a fleet server knows this device by; an empty one forgets it", update::set_token)
            .takes::<update::NewToken>().gives::<View>(),
    ]
}

#[rustfmt::skip]
fn drive() -> Vec<Op> {
    vec![
        Op::new(GET, "/api/v1/media", Role(Viewer), "Lists images and what is in the drive", media::list)
            .gives::<media::Media>(),
        Op::new(PUT, "/api/v1/media/{name}", Role(Operator), "Takes an image or, with Content-Range, the next part of one", media::upload)
            .query(&["sha256"]).takes_bytes("application/octet-stream").gives::<media::Image>(),
        Op::new(DELETE, "/api/v1/media/{name}", Role(Operator), "Deletes an image", media::remove),
        Op::new(POST, "/api/v1/fetches", Role(Operator), "Fetches an image from an https address", fetch::begin)
            .takes::<fetch::NewFetch>().gives::<media::Image>(),
        Op::new(DELETE, "/api/v1/fetches/{name}", Role(Operator), "Ends a fetch", fetch::end),
        Op::new(PUT, "/api/v1/drive", Role(Operator), "Puts an image into the drive", media::insert)
            .takes::<media::Insert>(),
        Op::new(DELETE, "/api/v1/drive", Role(Operator), "Takes the image out, whether the host likes it or not", media::eject),
    ]
}

#[rustfmt::skip]
fn picture() -> Vec<Op> {
    vec![
        Op::new(GET, "/stream", Role(Viewer), "Streams pictures as an image that moves (multipart/x-mixed-replace)", streams::mjpeg)
            .gives_bytes("multipart/x-mixed-replace"),
        Op::new(GET, "/api/v1/video", Role(Viewer), "Answers how it stands with the picture", video::read)
            .gives::<video::Video>(),
        Op::new(PATCH, "/api/v1/video", Role(Operator), "Changes how pictures are made", video::change)
            .takes::<video::Change>(),
        Op::new(GET, "/api/v1/video/snapshot.jpg", Role(Viewer), "Answers one picture", video::snapshot)
            .gives_bytes("image/jpeg"),
        Op::new(GET, "/api/v1/video/h264", Role(Viewer), "Streams H.264 (WebSocket)", streams::websocket),
        Op::new(POST, "/api/v1/video/webrtc", Role(Viewer), "Answers an offer of WebRTC", streams::webrtc)
            .takes::<streams::Offer>().gives::<streams::Answer>(),
        Op::new(GET, "/api/v1/video/edid", Role(Viewer), "Answers what the host is told of its screen", video::edid)
            .gives::<video::EdidEntry>(),
        Op::new(PUT, "/api/v1/video/edid", Role(Operator), "Sets what the host is told of its screen", video::set_edid)
            .takes::<video::NewEdid>(),
    ]
}

/// What clients of the `PiKVM` kind ask for.
#[rustfmt::skip]
fn clients() -> Vec<Op> {
    let get = |path, summary| (GET, path, Role(Viewer), summary);
    let post = |path, summary| (POST, path, Role(Operator), summary);
    macro_rules! op {
        ($described:expr, $handler:expr) => {{
            let (method, path, need, summary) = $described;
            Op::for_clients(method, path, need, summary, $handler)
        }};
    }
    vec![
        op!((POST, "/api/auth/login", Public, "PiKVM: checks a token"), system::sign_in),
        op!(get("/api/auth/check", "PiKVM: answers that whoever asks is known"), system::check),
        op!((POST, "/api/auth/logout", Role(Viewer), "PiKVM: takes the cookie back"), system::sign_out),
        op!(get("/api/info", "PiKVM: answers what the device is"), system::info),
        op!((GET, "/api/log", Role(Admin), "PiKVM: answers the device's log"), log::read),
        op!(get("/api/atx", "PiKVM: answers what the front panel shows"), atx::read),
        op!(post("/api/atx/power", "PiKVM: switches the machine on or off"), atx::power),
        op!(post("/api/atx/click", "PiKVM: presses a button"), atx::click),
        op!(get("/api/gpio", "PiKVM: answers which lines have names, and how they are"), pikvm_gpio::read),
        op!(post("/api/gpio/switch", "PiKVM: switches a line"), pikvm_gpio::turn),
        op!(post("/api/gpio/pulse", "PiKVM: switches a line on and off again"), pikvm_gpio::pulse),
        op!(get("/api/hid", "PiKVM: answers how keyboard and mouse are"), hid::read),
        op!(get("/api/hid/keymaps", "PiKVM: lists keyboard layouts"), hid::keymaps),
        op!(get("/api/hid/inactivity", "PiKVM: answers for how long nobody did anything"), hid::inactivity),
        op!(post("/api/hid/set_params", "PiKVM: sets mouse and jiggler"), hid::set),
        op!(post("/api/hid/set_connected", "PiKVM: plugs the USB gadget in or out"), hid::connect),
        op!(post("/api/hid/reset", "PiKVM: lets all keys go"), hid::reset),
        op!(post("/api/hid/print", "PiKVM: types a text"), hid::print),
        op!(post("/api/hid/events/send_shortcut", "PiKVM: presses keys together"), hid::shortcut),
        op!(post("/api/hid/events/send_key", "PiKVM: presses or releases a key"), hid::key),
        op!(post("/api/hid/events/send_mouse_button", "PiKVM: presses or releases a button"), hid::mouse_button),
        op!(post("/api/hid/events/send_mouse_move", "PiKVM: moves the pointer"), hid::mouse_move),
        op!(post("/api/hid/events/send_mouse_relative", "PiKVM: moves the mouse"), hid::mouse_relative),
        op!(post("/api/hid/events/send_mouse_wheel", "PiKVM: turns the wheel"), hid::mouse_wheel),
        op!(get("/api/msd", "PiKVM: answers images and drive"), msd::read),
        op!(post("/api/msd/write", "PiKVM: takes an image"), msd::write),
        op!(post("/api/msd/write_remote", "PiKVM: fetches an image"), msd::write_remote),
        op!(get("/api/msd/read", "PiKVM: answers an image"), msd::download),
        op!(post("/api/msd/set_params", "PiKVM: chooses an image"), msd::choose),
        op!(post("/api/msd/set_connected", "PiKVM: inserts or ejects it"), msd::connect),
        op!(post("/api/msd/remove", "PiKVM: deletes an image"), msd::remove),
        op!(post("/api/msd/reset", "PiKVM: ejects and forgets the choice"), msd::reset),
        op!(get("/api/streamer", "PiKVM: answers how the picture is"), streamer::read),
        op!(post("/api/streamer/set_params", "PiKVM: sets the quality"), streamer::set),
        op!(get("/api/streamer/snapshot", "PiKVM: answers one picture"), streamer::snapshot),
        op!(get("/streamer/stream", "PiKVM: streams pictures"), streams::mjpeg),
        op!(get("/api/media", "PiKVM: answers which streams there are"), pikvm_media::read),
        op!(get("/api/media/ws", "PiKVM: streams H.264 (WebSocket)"), pikvm_media::open),
        op!(get("/api/ws", "PiKVM: opens its socket (WebSocket)"), socket::open),
        op!(get("/api/export/prometheus/metrics", "PiKVM: answers measurements for Prometheus"), metrics::read),
    ]
}

#[cfg(test)]
mod tests;
