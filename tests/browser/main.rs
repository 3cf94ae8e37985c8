//! The page in a real Chromium, as a person meets it: clicks on the canvas, found by the accessible names of widgets.
//!
//! Needs `dist/`, which `trunk build --release` writes.

#[path = "../common/browser.rs"]
mod browser;
#[path = "../common/cdp.rs"]
mod cdp;
#[path = "../common/desktop.rs"]
mod desktop;
mod harness;
mod journey;
#[path = "../common/server.rs"]
mod server;
#[path = "../common/session.rs"]
mod session;
#[path = "../common/ui.rs"]
mod ui;
