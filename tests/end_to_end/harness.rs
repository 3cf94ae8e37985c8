//! The harness itself, on a page and a window of its own: what it reports as clicked, sent or stored has really been.

use std::path::Path;
use std::time::Duration;

use crate::browser::{Browser, BrowserKind, BrowserOptions};
use crate::desktop::XvfbApp;
use crate::process::program;
use crate::server::{ServerOptions, StaticServer};
use crate::ui::{PATIENCE, Ui as _};
use serde_json::json;

fn page() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/end_to_end/trial"))
}

fn open(options: &BrowserOptions) -> (StaticServer, Browser) {
    let server = StaticServer::start(page());
    let browser = Browser::start(options);
    browser.goto(&server.url(""));
    (server, browser)
}

#[test]
fn clicks_land_on_the_canvas_in_chromium() {
    clicks_land_on_the_canvas(BrowserKind::Chromium);
}

#[test]
fn clicks_land_on_the_canvas_in_firefox() {
    clicks_land_on_the_canvas(BrowserKind::Firefox);
}

fn clicks_land_on_the_canvas(kind: BrowserKind) {
    let (_server, browser) = open(&BrowserOptions::new(kind));
    assert_eq!(browser.inner_size(), (1280.0, 800.0), "the size is the page's own");
    browser.click("Start");
    browser.wait_for("Started", PATIENCE);
    let clicks = browser.execute("return state.clicks", &[]);
    assert_eq!(clicks[0][2], true, "the event is trusted");
    assert_eq!(clicks[0][3], "Start", "the button, not the heading, and after it stopped: {clicks}");
    browser.click("Later");
    browser.wait_for("Done late", PATIENCE);
    browser.click_role("CheckBox", "Keep best");
    browser
        .wait_that("the box to be checked", PATIENCE, || browser.find("checkbox", "Keep best")?.checked?.then_some(()));
    browser.fill("Note", "né 日本 +a");
    browser.wait_that("the text", PATIENCE, || (browser.find("textbox", "Note")?.value == "né 日本 +a").then_some(()));
    assert!(browser.find("textbox", "Note").is_some_and(|note| note.focused), "the field has the focus");
    browser.press("Control+Shift+ArrowLeft");
    let keys = browser.execute("return state.keys", &[]);
    assert_eq!(keys.as_array().and_then(|all| all.last()), Some(&json!("Control+Shift+ArrowLeft")), "{keys}");
    let slider = browser.wait_for("Beta", PATIENCE);
    browser.drag((slider.x + 1.0, slider.centre().1), slider.centre());
    browser.wait_that("the slider", PATIENCE, || (browser.find("", "Beta")?.value == "50").then_some(()));
    browser.click_nth("Open", 1);
    browser.wait_for("Opened 1", PATIENCE);
    browser.hover("Beta");
    assert_eq!(browser.execute("return state.hover", &[]), "Beta", "the pointer is over it");
    let rows = browser.wait_for("Rows", PATIENCE);
    browser.scroll_to("Row 40", &rows);
    browser.click("Row 40");
    browser.wait_for_starting("Row tak", PATIENCE);
    browser.scroll("Rows", -40.0);
    browser.click("Close");
    browser.wait_gone("Close", PATIENCE);
    browser.click_starting("Save");
    let saved = browser.wait_download("adapter.zip", PATIENCE);
    assert_eq!(std::fs::metadata(saved).expect("it is there").len(), 12345, "the whole download");
    assert!(saved_is_in(&browser), "downloads go to the folder");
    let picture = browser.downloads().join("picture.png");
    browser.screenshot(&picture);
    assert!(std::fs::read(picture).expect("a picture").starts_with(b"\x89PNG"), "a PNG");
    assert!(browser.errors().is_empty(), "{:?}", browser.errors());
    browser.set_window_size(600, 500);
    assert_eq!(browser.inner_size(), (600.0, 500.0), "the page is as small as asked");
    assert!(browser.find_starting("", "Nothing").is_none(), "what is not there is not found");
    assert_eq!(browser.title(), "trial", "the title is told");
}

fn saved_is_in(browser: &Browser) -> bool {
    browser.downloads().join("adapter.zip").is_file()
}

#[test]
fn a_failure_says_what_was_there_in_chromium() {
    a_failure_says_what_was_there(BrowserKind::Chromium);
}

#[test]
fn a_failure_says_what_was_there_in_firefox() {
    a_failure_says_what_was_there(BrowserKind::Firefox);
}

fn a_failure_says_what_was_there(kind: BrowserKind) {
    let (_server, browser) = open(&BrowserOptions::new(kind));
    browser.execute("console.error('a clue')", &[]);
    let failed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        browser.wait_for("Absent", Duration::from_millis(300));
    }));
    let why = failed.expect_err("it is not there").downcast::<String>().expect("a text");
    for part in ["Absent", "button \"Open\" at 20,360 80x30", "page error: a clue", "target/browser-failures/"] {
        assert!(why.contains(part), "{part} in {why}");
    }
}

#[test]
fn the_worker_computes_on_webgpu_in_chromium() {
    the_worker_computes_on_webgpu(BrowserKind::Chromium);
}

#[test]
fn the_worker_computes_on_webgpu_in_firefox() {
    the_worker_computes_on_webgpu(BrowserKind::Firefox);
}

fn the_worker_computes_on_webgpu(kind: BrowserKind) {
    let (_server, browser) = open(&BrowserOptions { size: (700, 500), scale: 2.0, ..BrowserOptions::new(kind) });
    let found = browser.execute_async("return await ask('gpu')", &[]);
    assert_eq!(found[0], 3969, "a shader has run in the worker: {found}");
    assert_eq!(browser.execute("return [!!gl, devicePixelRatio]", &[]), json!([true, 2]), "WebGL 2 at that scale");
    browser.click("Start");
    browser.wait_for("Started", PATIENCE);
    if kind == BrowserKind::Firefox {
        return;
    }
    assert_eq!(found, json!([3969, "google", "swiftshader", false]), "on the software GPU");
    browser.chromium().crash_gpu();
    let lost = browser.wait_js("ask('lost')", PATIENCE);
    assert!(lost.as_str().is_some_and(|lost| lost.starts_with("unknown: ")), "not destroyed by us: {lost}");
    let again = browser.wait_js("ask('gpu').then(v => Array.isArray(v) && v)", PATIENCE);
    assert_eq!(again[0], 3969, "a new device computes");
}

#[test]
fn without_webgpu_there_is_none_in_chromium() {
    without_webgpu_there_is_none(BrowserKind::Chromium);
}

#[test]
fn without_webgpu_there_is_none_in_firefox() {
    without_webgpu_there_is_none(BrowserKind::Firefox);
}

fn without_webgpu_there_is_none(kind: BrowserKind) {
    let (_server, browser) = open(&BrowserOptions { webgpu: false, ..BrowserOptions::new(kind) });
    let found = browser.execute_async("return await ask('gpu')", &[]);
    assert!(found == "no navigator.gpu" || found == "no adapter", "{found}");
    assert_eq!(browser.execute("return !!gl", &[]), true, "WebGL is still there");
}

#[test]
fn stored_files_survive_in_chromium() {
    stored_files_survive(BrowserKind::Chromium);
}

#[test]
fn stored_files_survive_in_firefox() {
    stored_files_survive(BrowserKind::Firefox);
}

fn stored_files_survive(kind: BrowserKind) {
    let profile = tempfile::tempdir().expect("a folder");
    let options = BrowserOptions { profile: Some(profile.path().to_owned()), ..BrowserOptions::new(kind) };
    let (server, browser) = open(&options);
    assert_eq!(browser.execute_async("return await ask('write', arguments[0])", &[json!("step 80")]), 7, "written");
    browser.reload();
    assert_eq!(browser.execute_async("return await ask('read')", &[]), "step 80", "after a reload");
    browser.goto("about:blank");
    browser.back();
    assert_eq!(browser.url(), server.url(""), "back again");
    browser.quit();
    let browser = Browser::start(&options);
    browser.goto(&server.url(""));
    // The port is a part of the origin: the same server has to be there.
    assert_eq!(browser.execute_async("return await ask('read')", &[]), "step 80", "after a restart");
    if kind == BrowserKind::Firefox {
        return;
    }
    browser.chromium().set_quota(&server.origin(), Some(1 << 20));
    assert_eq!(
        browser.execute_async("return await ask('fill', 8 << 20)", &[]),
        "QuotaExceededError",
        "the disk is full"
    );
    browser.chromium().set_quota(&server.origin(), None);
    assert_eq!(browser.execute_async("return await ask('fill', 8 << 20)", &[]), 8 << 20, "there is room");
    browser.chromium().crash_page();
    browser.goto(&server.url(""));
    assert_eq!(browser.execute_async("return await ask('read')", &[]), "step 80", "after a crash");
}

#[test]
fn files_come_in_in_chromium() {
    files_come_in(BrowserKind::Chromium);
}

#[test]
fn files_come_in_in_firefox() {
    files_come_in(BrowserKind::Firefox);
}

fn files_come_in(kind: BrowserKind) {
    let (_server, browser) = open(&BrowserOptions::new(kind));
    let folder = tempfile::tempdir().expect("a folder");
    let (a, b) = (folder.path().join("a.jsonl"), folder.path().join("b.json"));
    std::fs::write(&a, "one").expect("written");
    std::fs::write(&b, "three").expect("written");
    browser.send_files("#files", &[&a, &b]);
    let files = browser.wait_js("state.files.length === 2 && state.files", PATIENCE);
    assert_eq!(files, json!([["a.jsonl", 3, "one"], ["b.json", 5, "three"]]), "two files");
    browser.execute("state.files = []", &[]);
    browser.send_files("#folder", &[folder.path()]);
    let files = browser.wait_js("state.files.length === 2 && state.files", PATIENCE);
    if kind == BrowserKind::Firefox {
        return;
    }
    assert!(files[0][0].as_str().is_some_and(|name| name.contains('/')), "with the folder's name: {files}");
    let chromium = browser.chromium();
    chromium.hold_files(&[&a], 300.0, 300.0);
    browser.wait_js("state.drag === 'dragover' || state.drag === 'dragenter'", PATIENCE);
    chromium.leave_with_files(300.0, 300.0);
    browser.wait_js("state.drag === 'dragleave'", PATIENCE);
    chromium.drop_files(&[&a, &b], 300.0, 300.0);
    let dropped = browser.wait_js("state.dropped.length && state.dropped", PATIENCE);
    assert_eq!(dropped, json!([["a.jsonl", 3], ["b.json", 5]]), "two dropped files");
}

#[test]
fn all_requests_and_messages_are_seen() {
    let (server, browser) = open(&BrowserOptions::new(BrowserKind::Chromium));
    let chromium = browser.chromium();
    browser.before_load("window.early = 1");
    browser.goto(&server.url("?sw"));
    assert_eq!(browser.execute("return early", &[]), 1, "the script ran first");
    browser.wait_js("navigator.serviceWorker.ready.then(r => !!r.active)", PATIENCE);
    let other = tempfile::tempdir().expect("a folder");
    std::fs::write(other.path().join("weights.bin"), vec![7; 1 << 20]).expect("written");
    let hub = StaticServer::with(other.path(), ServerOptions { cors: true, ..ServerOptions::default() });
    browser.execute_async("return await ask('fetch', [arguments[0]])", &[json!(hub.url("weights.bin"))]);
    browser.execute_async("await fetch('data.json', { method: 'POST', body: 'x'.repeat(10) })", &[]);
    let log = browser.network_log();
    for (path, from) in
        [("trial.js", "page"), ("worker.js", ""), ("sw.js", ""), ("data.json?from=sw", "service_worker")]
    {
        assert!(
            log.iter().any(|one| one.url.ends_with(path) && (from.is_empty() || one.from == from)),
            "{path} from {from} in {log:#?}"
        );
    }
    assert!(log.iter().any(|one| one.url == hub.url("weights.bin") && one.from == "worker"), "{log:#?}");
    assert!(log.iter().any(|one| one.method == "POST" && one.body_bytes == 10), "{log:#?}");
    assert!(
        log.iter().all(|one| one.url.starts_with(&server.origin()) || one.url.starts_with(&hub.origin())),
        "{log:#?}"
    );
    assert_eq!(chromium.service_workers().len(), 1, "one service worker");
    browser.execute_async("await ask('say', 'worker says'); await ask('throw'); fetch('missing.txt')", &[]);
    browser.wait_that("the messages", PATIENCE, || {
        let errors = browser.errors();
        let has = |from: &str, text: &str| errors.iter().any(|m| m.from == from && m.text.contains(text));
        (has("worker", "worker says") && has("worker", "thrown in the worker") && has("page", "404")).then_some(())
    });
    assert!(browser.console().iter().any(|m| m.from == "service_worker"), "{:?}", browser.console());
    let workers = chromium.workers();
    assert_eq!(workers.len(), 1, "one worker: {workers:?}");
    assert_eq!(chromium.execute_in(&workers[0], "Promise.resolve(typeof can.gpu)"), "function", "in the worker");
    browser.forget();
    assert!(browser.console().is_empty(), "forgotten");
    chromium.set_offline(true);
    let cut = browser.execute_async("return await ask('fetch', [arguments[0]])", &[json!(hub.url("weights.bin"))]);
    assert_eq!(cut[0], 0, "offline: {cut}");
    chromium.set_offline(false);
    let got = browser.execute_async("return await ask('fetch', [arguments[0]])", &[json!(hub.url("weights.bin"))]);
    assert_eq!(got[1], 1 << 20, "online: {got}");
}

/// Firefox reports neither where in the page a message comes from, nor anything of service workers.
#[test]
fn requests_and_messages_are_seen_in_firefox() {
    let (server, browser) = open(&BrowserOptions::new(BrowserKind::Firefox));
    browser.before_load("window.early = 1");
    browser.reload();
    assert_eq!(browser.execute("return early", &[]), 1, "the script ran first");
    browser.execute_async("return await ask('fetch', ['data.json'])", &[]);
    browser.execute_async("await fetch('data.json', { method: 'POST', body: 'x'.repeat(10) })", &[]);
    let log = browser.network_log();
    for path in ["trial.js", "worker.js", "data.json"] {
        assert!(log.iter().any(|one| one.url.ends_with(path) && one.from == "page"), "{path} in {log:#?}");
    }
    assert!(log.iter().any(|one| one.method == "POST" && one.body_bytes == 10), "{log:#?}");
    assert!(log.iter().all(|one| one.url.starts_with(&server.origin())), "{log:#?}");
    browser.execute_async("await ask('say', 'worker says'); await ask('throw'); fetch('missing.txt')", &[]);
    browser.wait_that("the messages", PATIENCE, || {
        let errors = browser.errors();
        let has = |text: &str| errors.iter().any(|m| m.text.contains(text));
        (has("worker says") && has("thrown in the worker") && has("404")).then_some(())
    });
    browser.forget();
    assert!(browser.console().is_empty(), "forgotten");
}

#[test]
fn downloads_break_and_resume() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("w.bin"), vec![7; 1 << 20]).expect("written");
    let headers = vec![("Content-Security-Policy".to_owned(), "default-src 'self'".to_owned())];
    let hub = StaticServer::with(folder.path(), ServerOptions { cors: true, base: "/org/name".to_owned(), headers });
    let (_server, browser) = open(&BrowserOptions::new(BrowserKind::Chromium));
    let fetch = |from: Option<u64>| {
        let args = [json!([hub.url("w.bin"), from])];
        browser.execute_async("return await ask('fetch', [arguments[0][0], arguments[0][1] ?? undefined])", &args)
    };
    hub.cut_after("w.bin", 300_000, 1);
    let first = fetch(None);
    assert_eq!((&first[0], &first[2]), (&json!(200), &json!("cut")), "broken off");
    let got = first[1].as_u64().expect("a number");
    assert!(got <= 300_000, "no more than was sent");
    let rest = fetch(Some(got));
    assert_eq!(rest, json!([206, (1 << 20) - got, format!("bytes {got}-1048575/1048576")]), "the rest");
    let asked = hub.asked_for("w.bin");
    assert_eq!(asked.iter().filter(|one| one.method == "GET").count(), 2, "{asked:?}");
    assert_eq!(asked.iter().find(|one| one.status == 200).map(|one| one.sent), Some(300_000), "{asked:?}");
    assert!(asked.iter().any(|one| one.range == Some(format!("bytes={got}-")) && one.status == 206), "{asked:?}");
    hub.answer_with("w.bin", Some(503));
    assert_eq!(fetch(None)[0], 503, "the Hub is down");
    hub.answer_with("w.bin", None);
    hub.slow_down("w.bin", Some(2 << 20));
    let start = std::time::Instant::now();
    assert_eq!(fetch(None)[1], 1 << 20, "all of it");
    assert!(start.elapsed() > Duration::from_millis(400), "slowly");
    hub.slow_down("w.bin", None);
    hub.redirect("resolve/main/w.bin", &hub.url("w.bin"));
    let args = [json!(hub.url("resolve/main/w.bin"))];
    let moved = browser.execute_async("return await ask('fetch', [arguments[0]])", &args);
    assert_eq!(moved[1], 1 << 20, "{moved}");
}

#[test]
fn tabs_hide_each_other() {
    let (server, browser) = open(&BrowserOptions { throttle: true, ..BrowserOptions::new(BrowserKind::Chromium) });
    let first = browser.window();
    let second = browser.new_window();
    browser.goto(&server.url("data.json"));
    let shown = browser.execute("return document.visibilityState", &[]);
    // Asked in the background, without showing it.
    let hidden = |expression: &str| browser.evaluate_in_window(&first, expression);
    assert_eq!(shown, "visible", "the second tab is seen");
    assert_eq!(hidden("state.hidden"), true, "the first tab is hidden");
    let timers = "new Promise(done => { let n = 0; setInterval(() => n++, 10); setTimeout(() => done(n), 2000) })";
    let timers = hidden(timers).as_u64().expect("a number");
    assert!(timers < 10, "hidden timers come once a second: {timers}");
    let turns = hidden("ask('spin', 1000)").as_u64().expect("a number");
    assert!(turns > 50, "its worker goes on: {turns}");
    browser.close_window();
    browser.switch_window(&first);
    browser.wait_js("state.hidden === false", PATIENCE);
    assert_ne!(first, second, "two tabs");
    browser.chromium().grant(&server.origin(), &["clipboardReadWrite", "durableStorage"]);
    browser.execute_async("await navigator.clipboard.writeText('copied')", &[]);
    assert_eq!(browser.execute_async("return await navigator.clipboard.readText()", &[]), "copied", "the clipboard");
    assert_eq!(browser.execute_async("return await navigator.storage.persist()", &[]), true, "storage may stay");
}

#[test]
fn memory_is_told() {
    let (_server, browser) = open(&BrowserOptions::new(BrowserKind::Chromium));
    let chromium = browser.chromium();
    let worker = &chromium.worker("worker.js");
    let before = chromium.heap_bytes_in(worker);
    browser.execute_async("await ask('hold', 200 << 20)", &[]);
    let held = chromium.heap_bytes_in(worker);
    browser.execute_async("await ask('hold', 0); await ask('memory', 1600)", &[]);
    let wasm = chromium.heap_bytes_in(worker);
    let page = chromium.heap_bytes();
    assert!(held.buffers >= before.buffers + (200 << 20), "the buffer counts");
    assert!(wasm.buffers < held.buffers, "and is let go");
    assert!(page.objects > 0, "the page has a heap");
    assert!(chromium.resident_bytes().iter().any(|(kind, bytes)| kind == "renderer" && *bytes > 10 << 20), "resident");
}

/// Widgets as a program tells them, for one that cannot.
fn tell(app: &XvfbApp, nodes: &serde_json::Value) {
    let part = app.home().join("ui.part");
    std::fs::write(&part, nodes.to_string()).expect("the home folder can be written");
    std::fs::rename(part, app.tree()).expect("the tree can be written");
}

#[test]
fn a_desktop_button_is_clicked() {
    let args = ["-buttons", "no:3,yes:4", "-print", "-geometry", "300x100+0+0", "A question"];
    let mut app =
        XvfbApp::start(&program(&["xmessage"], "apt-get install x11-utils"), &args, &[("LC_ALL", "C")], (640, 480));
    // Positions at which xmessage draws its two buttons, as the picture shows.
    tell(
        &app,
        &json!([
            { "id": 1, "role": "Button", "name": "no",
              "x": 5, "y": 79, "width": 24, "height": 18 },
            { "id": 2, "role": "Button", "name": "yes",
              "x": 33, "y": 79, "width": 30, "height": 18, "disabled": false },
            { "id": 3, "role": "CheckBox", "name": "box", "x": 0, "y": 0, "width": 9, "height": 9, "checked": true },
        ]),
    );
    assert_eq!(app.wait_for("box", PATIENCE).checked, Some(true), "checked is read");
    let picture = app.home().join("picture.png");
    app.screenshot(&picture);
    assert!(std::fs::read(picture).expect("a picture").starts_with(b"\x89PNG"), "a PNG");
    app.click_role("button", "yes");
    assert_eq!(app.wait_exit(PATIENCE).code(), Some(4), "the button was pressed");
    assert_eq!(app.log().trim(), "yes", "its output is kept");
    let home = app.quit();
    assert!(home.path().join("data").is_dir(), "the home folder stays");
}

#[test]
fn desktop_input_arrives() {
    let args = ["-geometry", "600x400+0+0"];
    let app =
        XvfbApp::start(&program(&["xev"], "apt-get install x11-utils"), &args, &[("PAIRTUNE_TEST", "1")], (640, 480));
    tell(
        &app,
        &json!([
            { "id": "a", "role": "Slider", "name": "Beta",
              "x": 100, "y": 200, "width": 200, "height": 20, "value": 0.5, "focused": true },
        ]),
    );
    let node = app.wait_for("Beta", PATIENCE);
    assert_eq!((node.value.as_str(), node.focused, app.is_focused("Beta")), ("0.5", true, true), "the node is read");
    app.fill("Beta", "aé日 +");
    app.press("Control+Shift+ArrowLeft");
    app.press("Enter");
    app.scroll("Beta", 100.0);
    app.scroll_at(50.0, 60.0, -50.0);
    app.hover("Beta");
    app.drag((10.0, 20.0), (110.0, 120.0));
    let seen = |what: &str| app.log().contains(what);
    for what in [
        "(keysym 0x61, a)",
        "(keysym 0xe9, eacute)",
        "(keysym 0x10065e5, U65E5)",
        "(keysym 0x2b, plus)",
        "(keysym 0xff51, Left)",
        "(keysym 0xff0d, Return)",
        "button 5",
        "button 4",
        "(200,210)",
        "(60,70)",
        "(110,120)",
    ] {
        app.wait_that(&format!("{what} in the log"), PATIENCE, || seen(what).then_some(()));
    }
}
