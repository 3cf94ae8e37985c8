//! What the page's tests share.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use pairtune::engine::protocol::Metrics;
use pairtune::files;

use crate::browser::{Browser, BrowserOptions};
use crate::server::{ServerOptions, StaticServer};
use crate::session::demo_settings;
use crate::ui::{PATIENCE, Ui};

/// A long wait, for work on a software GPU that another test works on, too.
pub(crate) const LONG: Duration = Duration::from_secs(600);
/// For a whole run.
pub(crate) const A_RUN: Duration = Duration::from_secs(1500);

/// Bytes of WebAssembly memory that a page or worker may take.
const HEAP: u64 = 512 << 20;

/// The built page.
pub(crate) fn dist() -> PathBuf {
    let dist = Path::new(env!("CARGO_MANIFEST_DIR")).join("dist");
    assert!(dist.join("index.html").exists(), "there is no dist/: run `trunk build --release` first");
    dist
}

/// Serves the page from a sub-folder, as GitHub Pages does.
pub(crate) fn serve() -> StaticServer {
    StaticServer::with(&dist(), ServerOptions { base: "/pairtune/".to_owned(), ..ServerOptions::default() })
}

/// The button that begins the demo, as it reads once the engine has found its software GPU.
pub(crate) const DEMO: &str = "Try the demo: a few minutes here";

/// Keeps the memory of the app's wasm at hand, for `assert_heap`.
const KEEP_MEMORY: &str = "
    const instantiate = WebAssembly.instantiateStreaming;
    WebAssembly.instantiateStreaming = async (...all) => {
        const made = await instantiate.apply(WebAssembly, all);
        window.appMemory = made.instance.exports.memory;
        return made;
    };";

/// Opens the page and waits until its engine is ready. Without the service worker, which has tests of its own.
pub(crate) fn open(server: &StaticServer, options: &BrowserOptions) -> Browser {
    let browser = Browser::start(options);
    browser.before_load(KEEP_MEMORY);
    browser.goto(&server.url("?nosw"));
    wait_enabled(&browser, DEMO);
    browser
}

/// The name of the runs of `open_with_few_pairs`.
pub(crate) const FEW_PAIRS: &str = "few-pairs";

/// The first of the demo's pairs: to score all 480 takes minutes on a software GPU.
pub(crate) fn few_pairs() -> PathBuf {
    const ROWS: usize = 40;
    static WRITTEN: OnceLock<PathBuf> = OnceLock::new();
    let write = || {
        let folder = std::env::temp_dir().join(format!("pairtune-{FEW_PAIRS}-{}", std::process::id()));
        let path = folder.join(format!("{FEW_PAIRS}.jsonl"));
        let all = include_str!("../../assets/demo/pairs.jsonl");
        std::fs::create_dir_all(&folder).expect("a folder");
        std::fs::write(&path, all.lines().take(ROWS).collect::<Vec<_>>().join("\n")).expect("a file");
        path
    };
    WRITTEN.get_or_init(write).clone()
}

/// A settings file of the demo, for so many steps.
pub(crate) fn short_settings(steps: usize) -> PathBuf {
    let path = std::env::temp_dir().join(format!("pairtune-settings-{}-{steps}.json", std::process::id()));
    std::fs::write(&path, serde_json::to_vec(&demo_settings(steps)).expect("settings are JSON")).expect("a file");
    path
}

/// Opens the page with the demo's model, `few_pairs` and the demo's settings for so many steps, and starts the run.
pub(crate) fn open_with_few_pairs(server: &StaticServer, options: &BrowserOptions, steps: usize) -> Browser {
    let browser = open(server, options);
    browser.click("1  Model");
    browser.click("Demo");
    browser.click("Open the demo");
    browser.click("3  Plan");
    wait_for_text(&browser, "Steps: 40,");
    browser.click("Start");
    browser.click_starting("Open a pairs file");
    browser.send_files("#pick-pairs", &[&few_pairs()]);
    browser.wait_for_starting(FEW_PAIRS, LONG);
    start_with_settings(&browser, steps);
    browser
}

/// Starts a run with the demo's settings for so many steps.
pub(crate) fn start_with_settings(browser: &Browser, steps: usize) {
    browser.click("3  Plan");
    browser.click("Load file…");
    browser.send_files("#pick-settings", &[&short_settings(steps)]);
    wait_for_text(browser, &format!("Steps: {steps},"));
    picture(browser, "browser-plan");
    reach(browser, "Start training");
}

/// The step that the page shows, and how many there are.
pub(crate) fn step(browser: &Browser) -> Option<(u64, u64)> {
    const FIND: &str = "const found = document.getElementById('mirror').textContent.match(/step (\\d+)\\/(\\d+)/);
                        return found && [Number(found[1]), Number(found[2])]";
    serde_json::from_value(browser.execute(FIND, &[])).ok()
}

/// Waits until the page says something, in whatever widget.
pub(crate) fn wait_for_text(browser: &Browser, text: &str) {
    const ASK: &str = "return document.getElementById('mirror').textContent.includes(arguments[0])";
    browser.wait_that(&format!("the text \"{text}\""), LONG, || {
        browser.execute(ASK, &[text.into()]).as_bool().filter(|there| *there)
    });
}

/// Continues the run that the start page offers. Gives the step that the run shows first.
pub(crate) fn continue_run(browser: &Browser) -> u64 {
    browser.wait_that("a run to continue", LONG, || {
        browser.find_starting("button", "Continue: ").filter(|node| !node.disabled)
    });
    browser.click_starting("Continue: ");
    browser.wait_for("Stop and keep", LONG);
    step(browser).expect("the step is shown").0
}

/// Waits until the run has taken so many steps.
pub(crate) fn wait_for_step(browser: &Browser, wanted: u64) -> (u64, u64) {
    browser.wait_that(&format!("step {wanted}"), LONG, || step(browser).filter(|(done, _)| *done >= wanted))
}

/// The memories of page and worker are small, for all that went through them.
pub(crate) fn assert_heap(browser: &Browser) {
    let engine = browser.execute_in(&browser.worker("blob:"), "self.pairtuneMemory.buffer.byteLength");
    let page = browser.execute("return appMemory.buffer.byteLength", &[]);
    for (whose, bytes) in [("engine", engine), ("page", page)] {
        let bytes = bytes.as_u64().expect("a number");
        assert!(bytes < HEAP, "the {whose}'s memory is {} MB", bytes >> 20);
    }
}

/// No errors on the console, and nothing asked of any other place.
pub(crate) fn assert_quiet(browser: &Browser, server: &StaticServer) {
    assert!(browser.errors().is_empty(), "the console has errors: {:?}", browser.errors());
    let origin = server.origin();
    for sent in browser.network_log() {
        assert!(sent.url.starts_with(&origin), "a request left this machine: {}", sent.url);
    }
}

/// Clicks a control, after scrolling the page until it is in sight.
pub(crate) fn reach(ui: &impl Ui, name: &str) {
    let (width, height) = ui.inner_size();
    ui.wait_that(&format!("\"{name}\" in sight"), PATIENCE, || {
        // What is far below is not drawn, and not there yet.
        let hidden = match ui.find("button", name).map(|node| node.centre().1) {
            Some(y) if y < 20.0 => -240.0,
            Some(y) if y < height - 60.0 => return Some(()),
            _ => 240.0,
        };
        // In the margin, where no table takes the wheel.
        let (x, y) = (width * 0.978, height * 0.5);
        ui.hover_at(x, y);
        ui.scroll_at(x, y, hidden);
        ui.frame();
        None
    });
    ui.click_role("button", name);
}

/// Waits until a button can be pressed.
pub(crate) fn wait_enabled(ui: &impl Ui, button: &str) {
    ui.wait_that(&format!("\"{button}\" to be usable"), LONG, || {
        ui.find("button", button).filter(|node| !node.disabled)
    });
}

/// Waits until the work that a press of this button began is done: until then it rests, or is not there.
pub(crate) fn wait_until_done(ui: &impl Ui, button: &str) {
    let is_ready = || ui.find("button", button).filter(|node| !node.disabled);
    // It rests from the next frame on.
    let begun = Instant::now();
    while is_ready().is_some() && begun.elapsed() < Duration::from_secs(2) {
        std::thread::sleep(Duration::from_millis(20));
    }
    wait_enabled(ui, button);
}

/// A picture for the README, if they are asked for.
pub(crate) fn picture(ui: &impl Ui, name: &str) {
    if let Some(folder) = std::env::var_os("PAIRTUNE_DOCS") {
        // What the widgets say is known before it is drawn.
        std::thread::sleep(Duration::from_secs(1));
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        std::fs::create_dir_all(&folder).expect("the folder of pictures can be made");
        ui.screenshot(&folder.join(format!("{name}.png")));
    }
}

/// What an archive of a run holds.
pub(crate) fn read_archive(path: &Path) -> Vec<(String, Vec<u8>)> {
    let bytes = std::fs::read(path).expect("the archive was downloaded");
    files::unpack("archive", &bytes).expect("it is an archive")
}

/// The steps of an archive's log: step and loss.
pub(crate) fn losses(contents: &[(String, Vec<u8>)]) -> Vec<(u64, f64)> {
    let (_, log) = contents.iter().find(|(name, _)| name.ends_with("metrics.jsonl")).expect("there is a log");
    let lines = log.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let entries = lines.map(|line| serde_json::from_slice::<Metrics>(line).expect("a line is an object"));
    entries.filter_map(|entry| Some((entry.get("step")?.as_u64()?, entry.get("loss")?.as_f64()?))).collect()
}
