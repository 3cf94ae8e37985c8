//! The journeys on the desktop: the window under Xvfb, tuned by clicks, and the adapter that it writes read again.

use std::path::Path;

use pairtune::files::Adapter;
use pairtune::platform::native::DiskFolder;

use crate::desktop::XvfbApp;
use crate::hub::{COMMIT, Repository};
use crate::page::{DEMO, LONG, THE_DEMO, demo_as_gguf, few_pairs, picture, reach, wait_enabled, write_both};
use crate::server::StaticServer;
use crate::ui::{PATIENCE, Ui as _};

/// Every change has to pass this test: a few pairs for a step or two, and the adapter at that step is exported.
#[test]
fn short_journey_in_the_window() {
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/demo/model").display().to_string();
    let pairs = few_pairs().display().to_string();
    let args = ["app", "--model", &model, "--pairs", &pairs];
    let app = XvfbApp::start(Path::new(env!("CARGO_BIN_EXE_pairtune")), &args, &[], (1280, 800));
    app.click("2  Pairs");
    app.wait_for("Open another file…", LONG);
    app.click("3  Plan");
    // At the top of the page, once the plan is there: to look for it before would scroll.
    app.wait_for("Start training", LONG);
    reach(&app, "Start training");
    stop_after_a_step(&app);
    export_adapter(&app, 16);
}

/// Ends the run that has begun as soon as it has taken a step.
fn stop_after_a_step(app: &XvfbApp) {
    app.wait_that("the first step", LONG, || {
        let is_step = |text: &str| text.strip_prefix("step ").is_some_and(|rest| !rest.starts_with("0/"));
        app.nodes().into_iter().find(|node| is_step(&node.name) || is_step(&node.value))
    });
    app.click("Stop and save");
    app.wait_for("Train more", LONG);
}

#[test]
fn a_gguf_file_is_tuned_in_the_window() {
    let folder = tempfile::tempdir().expect("a folder");
    let model = demo_as_gguf(folder.path()).display().to_string();
    let pairs = few_pairs().display().to_string();
    let args = ["app", "--pairs", &pairs];
    let app = XvfbApp::start(Path::new(env!("CARGO_BIN_EXE_pairtune")), &args, &[], (1280, 800));
    app.wait_for("Open another file…", LONG);
    app.click("Start");
    app.fill("Path of a model folder, or of a GGUF file", &model);
    app.press("Enter");
    app.wait_for("Choose another model", LONG);
    app.click("3  Plan");
    // At the top of the page, once the plan is there: to look for it before would scroll.
    app.wait_for("Start training", LONG);
    reach(&app, "Start training");
    stop_after_a_step(&app);
    export_adapter(&app, 16);
}

#[test]
fn the_window_fetches_a_model_by_clicks() {
    let served = tempfile::tempdir().expect("a folder");
    let repository = Repository::lay_out(served.path(), "org/tiny");
    let (weights, server) = (repository.file("model.safetensors"), StaticServer::start(served.path()));
    // The connection breaks in the middle of the weights, once; and the model is gated.
    server.cut_after(&weights, 600_000, 1);
    server.ask_for_token(&repository.revision(), "hf_secret");
    let home = tempfile::tempdir().expect("a folder");
    std::fs::create_dir_all(home.path().join("hf")).expect("a folder");
    std::fs::write(home.path().join("hf/token"), "hf_secret\n").expect("a token");
    let (endpoint, hub_home) = (server.origin(), home.path().join("hf").display().to_string());
    let env = [("HF_ENDPOINT", endpoint.as_str()), ("HF_HOME", &hub_home)];
    let app = XvfbApp::start_in(home, Path::new(env!("CARGO_BIN_EXE_pairtune")), &["app"], &env, (1280, 800));
    wait_enabled(&app, DEMO);
    app.click("or get one from Hugging Face");
    // Said before anything is asked: from where, to where, and who sees the token.
    let said = says(&app, "Fetched from 127.0.0.1");
    for part in ["into ~/hf/hub, at your click only", "A token in HF_TOKEN or ~/hf/token is shown to 127.0.0.1"] {
        assert!(said.contains(part), "{part:?} in {said:?}");
    }
    assert_eq!(server.asked(), [], "no connection without a click");
    app.fill("Name", "org/tiny");
    app.click("Get");
    app.wait_for("This model can't be used", LONG);
    wait_enabled(&app, "Get");
    app.click("Get");
    app.wait_for("Choose another model", LONG);
    let asked = server.asked_for(&weights);
    assert_eq!(asked.iter().map(|asked| asked.status).collect::<Vec<_>>(), [200, 206], "in two pieces: {asked:?}");

    // It is a model of the cache like any other.
    app.click("This computer");
    app.wait_for("Use org/tiny", PATIENCE);
    let repo = app.home().join("hf/hub/models--org--tiny");
    let link = std::fs::read_link(repo.join("snapshots").join(COMMIT).join("model.safetensors")).expect("a link");
    assert_eq!(link, Path::new("../../blobs").join(&repository.weights_sha256), "to its content");
    let requests = server.asked().len();
    app.click("Help");
    says(&app, &format!("{requests} requests: "));
}

/// Waits for a text that begins so, and gives all of it.
#[track_caller]
fn says(app: &XvfbApp, start: &str) -> String {
    app.wait_that(&format!("a text that begins with {start:?}"), PATIENCE, || {
        app.nodes().into_iter().map(|node| node.value).find(|text| text.starts_with(start))
    })
}

#[test]
fn the_window_tunes_the_demo_by_clicks() {
    let home = tempfile::tempdir().expect("a folder");
    put_into_cache(home.path(), "town/helper");
    let app = XvfbApp::start_in(home, Path::new(env!("CARGO_BIN_EXE_pairtune")), &["app"], &[], (1280, 800));
    wait_enabled(&app, DEMO);
    picture(&app, "native-start");

    // A model of one's own, out of the Hugging Face cache.
    app.click("Use this model");
    app.click("1  Model");
    app.wait_for("Choose another model", LONG);
    app.click("Start");
    app.click(DEMO);
    app.wait_for("Pause", LONG);
    app.click("Pause");
    app.wait_for("Resume", LONG);
    app.click("Resume");
    app.wait_for("Pause", LONG);

    // Every page can be reached while the run is on.
    for (page, button) in [
        ("1  Model", "Choose another model"),
        ("2  Pairs", "Open another file…"),
        ("3  Plan", "Load file…"),
        ("Runs", "Import a .run archive…"),
        ("Help", "How it works"),
        ("4  Run", "Stop and save"),
    ] {
        app.click(page);
        app.wait_for(button, PATIENCE);
        picture(&app, &format!("native-{}", page.trim_start_matches(|c| !char::is_alphabetic(c)).to_lowercase()));
    }
    app.wait_that("the end", THE_DEMO, || app.find("button", "Train more"));
    picture(&app, "native-finished");
    app.click_role("button", "Compare");
    write_both(&app);
    picture(&app, "native-compare");

    export_adapter(&app, 8);
}

/// Writes the adapter into a folder by the window's Export step, and reads it: it is of that rank, and trained.
fn export_adapter(app: &XvfbApp, rank: usize) {
    app.click("6  Export");
    app.wait_for("Write files", PATIENCE);
    let folder = app.home().join("tuned");
    app.fill("Folder", &folder.display().to_string());
    reach(app, "Write files");
    app.wait_for("Written and verified", LONG);
    picture(app, "native-export");
    let written = std::fs::read_dir(&folder).expect("the folder was made").flatten().next().expect("it is not empty");
    let adapter = pollster::block_on(async {
        Adapter::read(&DiskFolder::open(&written.path()).expect("a folder")).await.expect("an adapter")
    });
    assert_eq!(adapter.config.r, rank, "the rank that was planned");
    let changed = adapter.tensors.iter().filter(|(name, _)| name.contains("lora_B"));
    assert!(changed.flat_map(|(_, b)| &b.data).any(|value| *value != 0.0), "it was trained");
}

/// The demo's model, as `hf download` would have put it into the cache of this home folder.
fn put_into_cache(home: &Path, name: &str) {
    let repository = format!("models--{}", name.replace('/', "--"));
    let folder = home.join("cache/huggingface/hub").join(repository).join("snapshots/0");
    std::fs::create_dir_all(&folder).expect("a folder");
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/demo/model");
    for file in std::fs::read_dir(model).expect("the demo's model").flatten() {
        std::fs::copy(file.path(), folder.join(file.file_name())).expect("a copy");
    }
}
