//! The real app with its real engine, as a person meets it: the window under Xvfb, and the page in Chromium and in
//! Firefox, driven by clicks that are found by the accessible names of widgets.
//!
//! The page's tests need `dist/`, which `trunk build --release` writes. `PAIRTUNE_DOCS=docs` makes the journeys write
//! the screenshots of the guide.

#[path = "../common/browser.rs"]
mod browser;
#[path = "../common/cdp.rs"]
mod cdp;
#[path = "../common/chromium.rs"]
mod chromium;
mod demo;
#[path = "../common/desktop.rs"]
mod desktop;
mod drills;
mod files;
#[path = "../common/firefox.rs"]
mod firefox;
mod harness;
#[path = "../common/hub.rs"]
mod hub;
mod journey;
mod kernels;
mod page;
mod parity;
#[path = "../common/process.rs"]
mod process;
mod rows;
#[path = "../common/server.rs"]
mod server;
mod serving;
#[path = "../common/session.rs"]
mod session;
mod sweep;
#[path = "../common/ui.rs"]
mod ui;
#[path = "../common/websocket.rs"]
mod websocket;
mod window;
#[path = "../common/xserver.rs"]
mod xserver;
