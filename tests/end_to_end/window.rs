//! The journey on the desktop: the window under Xvfb, tuned by clicks, and the adapter that it writes read again.

use std::path::Path;

use pairtune::files::Adapter;
use pairtune::platform::native::DiskFolder;

use crate::desktop::XvfbApp;
use crate::page::{A_RUN, LONG, picture, reach, wait_until_done};
use crate::ui::{PATIENCE, Ui as _};

#[test]
fn the_window_tunes_the_demo_by_clicks() {
    let app = XvfbApp::start(Path::new(env!("CARGO_BIN_EXE_pairtune")), &["app"], &[], (1280, 800));
    app.wait_for_starting("Try the ", LONG);
    picture(&app, "native-start");
    app.click_starting("Try the ");
    app.wait_for("Pause", LONG);
    app.click("Pause");
    app.wait_for("Resume", LONG);
    app.click("Resume");
    app.wait_for("Pause", LONG);
    picture(&app, "native-run");

    // Every page can be reached while the run is on.
    for page in ["1  Model", "2  Pairs", "3  Plan", "Runs", "Help", "4  Run"] {
        app.click(page);
    }
    app.wait_that("the end", A_RUN, || app.find("button", "Train more"));
    picture(&app, "native-finished");
    app.click_role("button", "Compare");
    app.click("Write both");
    wait_until_done(&app, "Write both");
    picture(&app, "native-compare");

    app.click("6  Export");
    app.wait_for("Write files", PATIENCE);
    let folder = app.home().join("tuned");
    app.fill("Folder", &folder.display().to_string());
    reach(&app, "Write files");
    app.wait_for("Written and checked", LONG);
    picture(&app, "native-export");
    let written = std::fs::read_dir(&folder).expect("the folder was made").flatten().next().expect("it is not empty");
    let adapter = pollster::block_on(async {
        Adapter::read(&DiskFolder::open(&written.path()).expect("a folder")).await.expect("an adapter")
    });
    assert_eq!(adapter.config.r, 8, "the demo's rank");
    let changed = adapter.tensors.iter().filter(|(name, _)| name.contains("lora_B"));
    assert!(changed.flat_map(|(_, b)| &b.data).any(|value| *value != 0.0), "it was trained");
}
