//! Helpers of the page's tests.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use pairtune::engine::protocol::{Metrics, Settings};
use pairtune::files;

use crate::browser::{Browser, BrowserOptions};
use crate::server::{ServerOptions, StaticServer};
use crate::session::demo_settings;
use crate::ui::{PATIENCE, Ui};

/// Time for a piece of work on a software GPU that another test works on, too: a few steps, a load, an export. Each
/// takes a few seconds, or half a minute where the machine has more to do.
pub(crate) const LONG: Duration = Duration::from_secs(120);
/// Time for the scores of the demo's 480 pairs.
pub(crate) const SCORES: Duration = Duration::from_secs(300);
/// Time for the demo's 40 steps with their evaluations.
pub(crate) const THE_DEMO: Duration = Duration::from_secs(900);

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

/// Keeps the memory of the app's wasm at hand, for `assert_heap`, counts the engine's events by their kind, for `told`,
/// and remembers which file inputs the app has opened, for `choose`.
const HOOKS: &str = "{
    const instantiate = WebAssembly.instantiateStreaming;
    WebAssembly.instantiateStreaming = async (...all) => {
        const made = await instantiate.apply(WebAssembly, all);
        window.appMemory = made.instance.exports.memory;
        return made;
    };
    window.told = {};
    window.Worker = class extends Worker {
        constructor(...all) {
            super(...all);
            this.addEventListener('message', ({ data }) => {
                const kind = /^{\"event\":\"(\\w+)\"/.exec(data)?.[1];
                told[kind] = (told[kind] ?? 0) + 1;
            });
        }
    };
    window.opened = new Set();
    const click = HTMLInputElement.prototype.click;
    HTMLInputElement.prototype.click = function () {
        opened.add(this.id);
        click.call(this);
    };
}";

/// Opens the page and waits until its engine is ready. Without the service worker, which has tests of its own.
pub(crate) fn open(server: &StaticServer, options: &BrowserOptions) -> Browser {
    open_at(server, options, "", DEMO)
}

/// The same as `open` at an address with this fragment, where a button says that the engine is ready.
pub(crate) fn open_at(server: &StaticServer, options: &BrowserOptions, fragment: &str, button: &str) -> Browser {
    let browser = Browser::start(options);
    browser.before_load(HOOKS);
    browser.goto(&server.url(&format!("?nosw{fragment}")));
    wait_enabled(&browser, button);
    browser
}

/// The name of the runs of `open_with_few_pairs`.
pub(crate) const FEW_PAIRS: &str = "few-pairs";

/// Number of pairs that `open_with_few_pairs` opens.
pub(crate) const N_PAIRS: usize = 8;

/// Writes a few of the demo's pairs: scoring all of them takes minutes on a software GPU. None of their prompts is
/// watched during training, since answering one takes as long as several steps.
pub(crate) fn few_pairs() -> PathBuf {
    static WRITTEN: OnceLock<PathBuf> = OnceLock::new();
    let write = || {
        let folder = std::env::temp_dir().join(format!("pairtune-{FEW_PAIRS}-{}", std::process::id()));
        let path = folder.join(format!("{FEW_PAIRS}.jsonl"));
        let rows = include_str!("../../assets/demo/pairs.jsonl").lines().take(N_PAIRS);
        let mut rows: Vec<Metrics> = rows.map(|row| serde_json::from_str(row).expect("a pair")).collect();
        for row in &mut rows {
            row.insert("prompt".to_owned(), "\n".into());
        }
        let lines: Vec<String> = rows.iter().map(|row| serde_json::json!(row).to_string()).collect();
        std::fs::create_dir_all(&folder).expect("a folder");
        std::fs::write(&path, lines.join("\n")).expect("a file");
        path
    };
    WRITTEN.get_or_init(write).clone()
}

/// The demo's model as a GGUF file in 8 bits, in this folder.
pub(crate) fn demo_as_gguf(folder: &Path) -> PathBuf {
    let (path, root) = (folder.join("demo.gguf"), Path::new(env!("CARGO_MANIFEST_DIR")));
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_pairtune"));
    command.args(["export", "--outtype", "q8_0", "--model"]).arg(root.join("assets/demo/model"));
    let done = command.arg("--output").arg(&path).output().expect("the program runs");
    assert!(done.status.success(), "it is written: {}", String::from_utf8_lossy(&done.stderr));
    path
}

/// The demo's settings for so many short steps.
pub(crate) fn short_settings(steps: usize) -> Settings {
    let mut settings = demo_settings(steps);
    settings.insert("per_device_train_batch_size".to_owned(), 2.into());
    settings
}

/// Opens the page with the demo's model, `few_pairs` and `short_settings` for so many steps, and starts the run.
pub(crate) fn open_with_few_pairs(server: &StaticServer, options: &BrowserOptions, steps: usize) -> Browser {
    let browser = open_demo_with_few_pairs(server, options);
    start_with_settings(&browser, steps);
    browser
}

/// Opens the page with the demo's model and `few_pairs`.
pub(crate) fn open_demo_with_few_pairs(server: &StaticServer, options: &BrowserOptions) -> Browser {
    let browser = open(server, options);
    open_demo_with(&browser, &few_pairs());
    browser
}

/// Opens the demo's model, and then these pairs in place of the demo's own.
pub(crate) fn open_demo_with(browser: &Browser, pairs: &Path) {
    browser.click("1  Model");
    browser.click("Demo");
    browser.click("Open the demo");
    browser.click("3  Plan");
    wait_for_text(browser, "Steps: 40,");
    browser.click("Start");
    browser.click_starting("Open a pairs file");
    choose(browser, "pick-pairs", &[pairs]);
    let name = pairs.file_stem().expect("a file has a name").to_string_lossy();
    browser.wait_for_starting(&name, LONG);
}

/// Starts a run with `short_settings`, which come from a file.
pub(crate) fn start_with_settings(browser: &Browser, steps: usize) {
    start_with(browser, &short_settings(steps), steps, None);
}

/// Starts a run of so many steps with settings, which come from a file, and a rule that says what answers are worth.
pub(crate) fn start_with(browser: &Browser, settings: &Settings, steps: usize, rule: Option<&str>) {
    load_settings(browser, settings);
    if let Some(rule) = rule {
        browser.fill("Rule", rule);
        browser.click("Add");
    }
    wait_for_text(browser, &format!("Steps: {steps},"));
    picture(browser, "browser-plan");
    reach(browser, "Start training");
}

/// Has the plan take settings from a file.
pub(crate) fn load_settings(browser: &Browser, settings: &Settings) {
    static WRITTEN: AtomicUsize = AtomicUsize::new(0);
    let number = WRITTEN.fetch_add(1, Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("pairtune-settings-{}-{number}.json", std::process::id()));
    std::fs::write(&path, serde_json::json!(settings).to_string()).expect("a file");
    browser.click("3  Plan");
    reach(browser, "Load file…");
    choose(browser, "pick-settings", &[&path]);
}

/// Chooses files in the dialog that the app has just opened, or is about to: what comes before it asks is lost.
pub(crate) fn choose(browser: &Browser, input: &str, paths: &[&Path]) {
    browser.wait_js(&format!("opened.delete('{input}')"), PATIENCE);
    browser.send_files(&format!("#{input}"), paths);
}

/// Pastes a text, as Ctrl+V does once the page has the keyboard. The event brings the text itself: there is one
/// clipboard for all tests that run side by side.
pub(crate) fn paste(browser: &Browser, text: &str) {
    // Browsers differ in what they take over of a clipboard that an event is made with, and not in its own properties.
    const PASTE: &str = "
        const clipboardData = new DataTransfer();
        clipboardData.setData('text/plain', arguments[0]);
        const event = new ClipboardEvent('paste', { bubbles: true, cancelable: true });
        Object.defineProperty(event, 'clipboardData', { value: clipboardData });
        document.activeElement.dispatchEvent(event);
        return event.defaultPrevented";
    browser.wait_that("the page to take what is pasted", PATIENCE, || {
        browser.execute(PASTE, &[text.into()]).as_bool().filter(|taken| *taken)
    });
}

/// The step that the page shows of its run, and how many there are: on the run's own page and in the line that the
/// other pages have. A stored run that is offered has a step of its own, which is not meant.
pub(crate) fn step(browser: &Browser) -> Option<(u64, u64)> {
    const FIND: &str = "
        const texts = [...document.querySelectorAll('#mirror > *')].map(e => e.textContent);
        const found = texts.map(text => /^(?:step|.*, step) (\\d+)\\/(\\d+)(?:$|, \\d+ %$)/.exec(text)).find(Boolean);
        return found && [Number(found[1]), Number(found[2])]";
    serde_json::from_value(browser.execute(FIND, &[])).ok()
}

/// Number of events of that kind that the engine has told the page since it was loaded.
pub(crate) fn told(browser: &Browser, kind: &str) -> u64 {
    browser.execute("return told[arguments[0]] ?? 0", &[kind.into()]).as_u64().expect("a number")
}

/// All that the page says in words.
pub(crate) fn texts(browser: &Browser) -> String {
    let texts = browser.execute("return document.getElementById('mirror').textContent", &[]);
    texts.as_str().expect("a text").to_owned()
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
    browser.wait_for("Stop and save", LONG);
    step(browser).expect("the step is shown").0
}

/// Waits until the run has taken so many steps.
pub(crate) fn wait_for_step(browser: &Browser, wanted: u64) -> (u64, u64) {
    browser.wait_that(&format!("step {wanted}"), LONG, || step(browser).filter(|(done, _)| *done >= wanted))
}

/// The memories of page and worker are small, for all that went through them.
pub(crate) fn assert_heap(browser: &Browser) {
    const ASK: &str = "return await new Promise(done => {
        const channel = new BroadcastChannel('pairtune-memory');
        channel.onmessage = ({ data }) => { channel.close(); done(data) };
        channel.postMessage('how large?');
    })";
    let engine = browser.execute_async(ASK, &[]);
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
    let mut last = None;
    ui.wait_that(&format!("\"{name}\" in sight"), PATIENCE, || {
        // A page that is still being scrolled would carry it out of sight again.
        let now = ui.find("button", name).map(|node| node.centre().1);
        if last.replace(now) != Some(now) {
            ui.frame();
            return None;
        }
        // A control far below is not drawn, and so is not found yet.
        let hidden = match now {
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

/// Has both models write, and waits until they have.
pub(crate) fn write_both(ui: &impl Ui) {
    ui.click("Generate");
    // The button is disabled from the first of their texts until the last is written.
    ui.wait_for("Base model", PATIENCE);
    wait_enabled(ui, "Generate");
}

/// Writes the files that are chosen on the page of exports, and waits until they are read again.
pub(crate) fn write_files(browser: &Browser) {
    let before = told(browser, "exported");
    reach(browser, "Write files");
    browser.wait_that("the end of an export", LONG, || (told(browser, "exported") > before).then_some(()));
    browser.wait_for("Written and verified", PATIENCE);
}

/// A picture for the guide, if they are asked for.
pub(crate) fn picture(ui: &impl Ui, name: &str) {
    if let Some(folder) = std::env::var_os("PAIRTUNE_DOCS") {
        // The text of widgets is known before it is drawn.
        std::thread::sleep(Duration::from_secs(1));
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        std::fs::create_dir_all(&folder).expect("the folder of pictures can be made");
        ui.screenshot(&folder.join(format!("{name}.png")));
    }
}

/// Files that an archive of a run holds.
pub(crate) fn read_archive(path: &Path) -> Vec<(String, Vec<u8>)> {
    let bytes = std::fs::read(path).expect("the archive was downloaded");
    files::unpack("archive", &bytes).expect("it is an archive")
}

/// An archive's log: steps and evaluations.
pub(crate) fn logged(contents: &[(String, Vec<u8>)]) -> Vec<Metrics> {
    let (_, log) = contents.iter().find(|(name, _)| name.ends_with("metrics.jsonl")).expect("there is a log");
    let lines = log.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).expect("a line is an object")).collect()
}

/// The steps of an archive's log: step and loss.
pub(crate) fn losses(contents: &[(String, Vec<u8>)]) -> Vec<(u64, f64)> {
    logged(contents)
        .iter()
        .filter_map(|entry| Some((entry.get("step")?.as_u64()?, entry.get("loss")?.as_f64()?)))
        .collect()
}
