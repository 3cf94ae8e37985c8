//! A page in a browser under test: Chromium, whose WebGL 2 and WebGPU are computed by SwiftShader, or Firefox, with
//! Mesa's drivers. Both show the page to the same tests through the same methods; what only Chromium can do is behind
//! `Browser::chromium`.
//!
//! The app is drawn on a canvas. It mirrors its widgets into elements inside `#mirror`, each with `role`, `aria-label`,
//! `data-x`, `data-y`, `data-w`, `data-h` in CSS pixels, and `aria-disabled`, `aria-checked`, `aria-valuetext` where
//! they mean something. Tests read widgets there and click on the canvas.

use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use serde_json::{Value, json};

use super::chromium::Chromium;
use super::firefox::Firefox;
use super::ui::{Node, POLL, Ui, read_nodes};

/// WebDriver's characters for the names of keys.
const KEYS: &[(&str, char)] = &[
    ("Backspace", '\u{e003}'),
    ("Tab", '\u{e004}'),
    ("Enter", '\u{e007}'),
    ("Shift", '\u{e008}'),
    ("Control", '\u{e009}'),
    ("Alt", '\u{e00a}'),
    ("Escape", '\u{e00c}'),
    ("Space", ' '),
    ("PageUp", '\u{e00e}'),
    ("PageDown", '\u{e00f}'),
    ("End", '\u{e010}'),
    ("Home", '\u{e011}'),
    ("ArrowLeft", '\u{e012}'),
    ("ArrowUp", '\u{e013}'),
    ("ArrowRight", '\u{e014}'),
    ("ArrowDown", '\u{e015}'),
    ("Delete", '\u{e017}'),
    ("F1", '\u{e031}'),
    ("F2", '\u{e032}'),
    ("F5", '\u{e035}'),
    ("F11", '\u{e03b}'),
    ("Meta", '\u{e03d}'),
];
/// Reads the mirror after the next frame, so that two looks see what has moved between them; hidden pages have none.
const MIRROR: &str = "
    await Promise.race([new Promise(requestAnimationFrame), new Promise(done => setTimeout(done, 250))]);
    const number = (e, name) => Number(e.getAttribute(name) ?? NaN);
    return [...document.querySelectorAll('#mirror [role]')].map(e => ({
        id: e.id, role: e.getAttribute('role'), name: e.getAttribute('aria-label') ?? '',
        value: e.getAttribute('aria-valuetext') ?? e.getAttribute('aria-valuenow') ?? '',
        x: number(e, 'data-x'), y: number(e, 'data-y'), width: number(e, 'data-w'), height: number(e, 'data-h'),
        disabled: e.getAttribute('aria-disabled') === 'true',
        checked: e.hasAttribute('aria-checked') ? e.getAttribute('aria-checked') === 'true' : null,
        focused: e === document.activeElement || e.getAttribute('data-focused') === 'true' }));";

/// The browsers that tests know. They differ in all that the app stands on: the compiler of its shaders (Tint and
/// naga), the storage, the workers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum BrowserKind {
    Chromium,
    Firefox,
}

/// Options for starting a browser.
#[derive(Clone)]
pub(crate) struct BrowserOptions {
    pub(crate) kind: BrowserKind,
    /// Width and height of the page in CSS pixels.
    pub(crate) size: (u32, u32),
    /// Device pixels per CSS pixel: 0.5, and 1 for the guide's pictures. A CPU draws the page, and at full size it took
    /// more time to draw a run than to train it.
    pub(crate) scale: f64,
    /// Without it the page has no `navigator.gpu` that answers.
    pub(crate) webgpu: bool,
    /// Slows hidden tabs down as a user's browser does; chromedriver would keep them fast.
    pub(crate) throttle: bool,
    /// A script that every page runs before its own; empty for none.
    pub(crate) before_load: &'static str,
    /// A profile folder to keep, so that stored files survive a restart; by default a fresh one.
    pub(crate) profile: Option<PathBuf>,
}

impl BrowserOptions {
    pub(crate) fn new(kind: BrowserKind) -> Self {
        Self {
            kind,
            size: (1280, 800),
            scale: if std::env::var_os("PAIRTUNE_DOCS").is_some() { 1.0 } else { 0.5 },
            webgpu: true,
            throttle: false,
            before_load: "",
            profile: None,
        }
    }
}

/// A line of a console, or an error that nobody caught.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    /// `error`, `warning`, `info`, `log`, `debug`.
    pub(crate) level: String,
    pub(crate) text: String,
    /// Source of the message: `page`, `worker`, `service_worker`. Firefox counts a page's workers as the page.
    pub(crate) from: String,
}

/// A request that a page or worker began, also one that never left, as under a Content-Security-Policy.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) method: String,
    pub(crate) url: String,
    pub(crate) body_bytes: usize,
    /// Source of the request, as in `Message`.
    pub(crate) from: String,
}

/// Operations that each kind of browser implements; the methods of `Browser` say what each is for.
pub(crate) trait Driver {
    fn goto(&self, url: &str) -> Result<(), String>;
    fn reload(&self) -> Result<(), String>;
    fn back(&self) -> Result<(), String>;
    fn execute(&self, body: &str, args: &[Value]) -> Result<Value, String>;
    fn evaluate_in_window(&self, handle: &str, expression: &str) -> Result<Value, String>;
    fn before_load(&self, script: &str) -> Result<(), String>;
    /// Carries out one input source's actions, written as in WebDriver.
    fn input(&self, source: Value) -> Result<(), String>;
    fn set_files(&self, selector: &str, paths: &[&Path]) -> Result<(), String>;
    /// A PNG in base64.
    fn screenshot(&self) -> Result<String, String>;
    fn window(&self) -> Result<String, String>;
    fn new_window(&self) -> Result<String, String>;
    fn switch_window(&self, handle: &str) -> Result<(), String>;
    fn close_window(&self) -> Result<(), String>;
    fn set_window_size(&self, width: u32, height: u32) -> Result<(), String>;
    fn console(&self) -> Vec<Message>;
    fn network_log(&self) -> Vec<Sent>;
    fn forget(&self);
}

/// A browser with one session. It ends, with all of its processes, when this is dropped, or when the thread ends that
/// started it.
pub(crate) struct Browser {
    driven: Driven,
    downloads: tempfile::TempDir,
}

enum Driven {
    Chromium(Box<Chromium>),
    Firefox(Box<Firefox>),
}

impl Browser {
    #[track_caller]
    pub(crate) fn start(options: &BrowserOptions) -> Self {
        let downloads = tempfile::tempdir().expect("a temporary folder");
        let driven = match options.kind {
            BrowserKind::Chromium => Driven::Chromium(Box::new(Chromium::start(options, downloads.path()))),
            BrowserKind::Firefox => Driven::Firefox(Box::new(Firefox::start(options, downloads.path()))),
        };
        let browser = Self { driven, downloads };
        browser.set_window_size(options.size.0, options.size.1);
        browser.before_load(options.before_load);
        browser
    }

    /// Gives access to what only Chromium can do: faults that are tested, memory, workers.
    #[track_caller]
    pub(crate) fn chromium(&self) -> &Chromium {
        match &self.driven {
            Driven::Chromium(chromium) => chromium,
            Driven::Firefox(_) => panic!("only Chromium can do this: the test has to run there"),
        }
    }

    #[track_caller]
    pub(crate) fn goto(&self, url: &str) {
        done(self.driver().goto(url));
    }

    #[track_caller]
    pub(crate) fn reload(&self) {
        done(self.driver().reload());
    }

    #[track_caller]
    pub(crate) fn back(&self) {
        done(self.driver().back());
    }

    #[track_caller]
    pub(crate) fn title(&self) -> String {
        self.execute("return document.title", &[]).as_str().unwrap_or_default().to_owned()
    }

    #[track_caller]
    pub(crate) fn url(&self) -> String {
        self.execute("return location.href", &[]).as_str().unwrap_or_default().to_owned()
    }

    /// Returns the result of a function body in the page; `arguments[0]` and so on are `args`, and a promise is waited
    /// for.
    #[track_caller]
    pub(crate) fn execute(&self, body: &str, args: &[Value]) -> Value {
        done(self.driver().execute(body, args))
    }

    /// The same as `execute`, but in an async function, so that the body can `await`.
    #[track_caller]
    pub(crate) fn execute_async(&self, body: &str, args: &[Value]) -> Value {
        self.execute(&async_body(body), args)
    }

    /// The value of an expression as soon as it is true in JavaScript's sense.
    #[track_caller]
    pub(crate) fn wait_js(&self, expression: &str, timeout: Duration) -> Value {
        self.wait_that(&format!("{expression} to be true"), timeout, || {
            let script = async_body(&format!("const value = await ({expression}); return [!!value, value];"));
            let both = self.driver().execute(&script, &[]).ok()?;
            (both[0] == true).then(|| both[1].clone())
        })
    }

    /// The value of an expression in a tab, which need not be the one that is shown; a promise is waited for.
    #[track_caller]
    pub(crate) fn evaluate_in_window(&self, handle: &str, expression: &str) -> Value {
        done(self.driver().evaluate_in_window(handle, expression))
    }

    /// Runs a script in every page before the page's own, from the next navigation on.
    #[track_caller]
    pub(crate) fn before_load(&self, script: &str) {
        done(self.driver().before_load(script));
    }

    /// Messages that all pages and workers wrote to their consoles, with errors that nobody caught and failed loads.
    pub(crate) fn console(&self) -> Vec<Message> {
        self.driver().console()
    }

    /// The messages of level `error`.
    pub(crate) fn errors(&self) -> Vec<Message> {
        let mut messages = self.console();
        messages.retain(|message| message.level == "error");
        messages
    }

    /// Every request that pages and workers began.
    pub(crate) fn network_log(&self) -> Vec<Sent> {
        self.driver().network_log()
    }

    /// Forgets console and network so far.
    pub(crate) fn forget(&self) {
        self.driver().forget();
    }

    /// Opens a tab and goes on there; the tab before is hidden from now on. Gives its handle.
    #[track_caller]
    pub(crate) fn new_window(&self) -> String {
        done(self.driver().new_window())
    }

    /// Goes on in another tab and shows it.
    #[track_caller]
    pub(crate) fn switch_window(&self, handle: &str) {
        done(self.driver().switch_window(handle));
    }

    /// The handle of the current tab.
    #[track_caller]
    pub(crate) fn window(&self) -> String {
        done(self.driver().window())
    }

    /// Closes the current tab; `switch_window` has to follow.
    #[track_caller]
    pub(crate) fn close_window(&self) {
        done(self.driver().close_window());
    }

    /// Makes the page, without a window's frame, this large in CSS pixels.
    #[track_caller]
    pub(crate) fn set_window_size(&self, width: u32, height: u32) {
        done(self.driver().set_window_size(width, height));
    }

    /// Gives files, or a folder for an input with `webkitdirectory`, to an `<input type=file>`, shown or not. Firefox
    /// takes the files of the folder without its name.
    #[track_caller]
    pub(crate) fn send_files(&self, selector: &str, paths: &[&Path]) {
        done(self.driver().set_files(selector, paths));
    }

    /// The folder into which downloads go.
    pub(crate) fn downloads(&self) -> &Path {
        self.downloads.path()
    }

    /// The path of a downloaded file once it is whole.
    #[track_caller]
    pub(crate) fn wait_download(&self, name: &str, timeout: Duration) -> PathBuf {
        let path = self.downloads.path().join(name);
        let is_part = |path: &Path| path.extension().is_some_and(|end| end == "crdownload" || end == "part");
        self.wait_that(&format!("the download {name}"), timeout, || {
            let mut others = std::fs::read_dir(self.downloads.path()).ok()?.flatten();
            (path.is_file() && !others.any(|file| is_part(&file.path()))).then(|| path.clone())
        })
    }

    /// Ends the browser as a user does, so that what it stored is written out.
    pub(crate) fn quit(self) {
        drop(self);
    }

    fn driver(&self) -> &dyn Driver {
        match &self.driven {
            Driven::Chromium(chromium) => chromium.as_ref(),
            Driven::Firefox(firefox) => firefox.as_ref(),
        }
    }

    #[track_caller]
    fn pointer(&self, actions: &[Value]) {
        let mouse = json!({ "pointerType": "mouse" });
        done(self.driver().input(json!({ "type": "pointer", "id": "mouse", "parameters": mouse, "actions": actions })));
    }

    #[track_caller]
    fn keys(&self, actions: &[Value]) {
        done(self.driver().input(json!({ "type": "key", "id": "keyboard", "actions": actions })));
    }
}

impl Ui for Browser {
    fn nodes(&self) -> Vec<Node> {
        read_nodes(&self.driver().execute(&async_body(MIRROR), &[]).unwrap_or_default())
    }

    /// A page that is busy draws seldom: what stands still between two looks may only be waiting for its next frame.
    fn frame(&self) {
        const TWO: &str = "if (!document.hidden) await Promise.race([
            new Promise(drawn => requestAnimationFrame(() => requestAnimationFrame(drawn))),
            new Promise(late => setTimeout(late, 10000)),
        ])";
        std::thread::sleep(POLL);
        self.execute_async(TWO, &[]);
    }

    fn inner_size(&self) -> (f64, f64) {
        let size = self.execute("return [innerWidth, innerHeight]", &[]);
        (size[0].as_f64().unwrap_or(0.0), size[1].as_f64().unwrap_or(0.0))
    }

    #[track_caller]
    fn hover_at(&self, x: f64, y: f64) {
        self.pointer(&[move_to(x, y)]);
    }

    #[track_caller]
    fn click_at(&self, x: f64, y: f64) {
        // A frame between the events, for an app that takes in one of them at a time.
        self.pointer(&[
            move_to(x, y),
            pause(40),
            json!({ "type": "pointerDown", "button": 0 }),
            pause(40),
            json!({ "type": "pointerUp", "button": 0 }),
        ]);
    }

    #[track_caller]
    fn drag(&self, from: (f64, f64), to: (f64, f64)) {
        let mut actions = vec![move_to(from.0, from.1), pause(40), json!({ "type": "pointerDown", "button": 0 })];
        for step in 1..=8 {
            let part = f64::from(step) / 8.0;
            actions.push(pause(20));
            actions.push(move_to(from.0 + (to.0 - from.0) * part, from.1 + (to.1 - from.1) * part));
        }
        actions.extend([pause(40), json!({ "type": "pointerUp", "button": 0 })]);
        self.pointer(&actions);
    }

    #[track_caller]
    fn scroll_at(&self, x: f64, y: f64, dy: f64) {
        let (x, y, dy) = (x.round() as i64, y.round() as i64, dy.round() as i64);
        let turn = json!({
            "type": "scroll", "x": x, "y": y, "deltaX": 0, "deltaY": dy, "duration": 0, "origin": "viewport"
        });
        done(self.driver().input(json!({ "type": "wheel", "id": "wheel", "actions": [turn] })));
    }

    #[track_caller]
    fn type_text(&self, text: &str) {
        let keys = text.chars().map(|c| if c == '\n' { '\u{e007}' } else { c });
        let actions: Vec<Value> = keys.flat_map(|key| [key_action("keyDown", key), key_action("keyUp", key)]).collect();
        self.keys(&actions);
    }

    #[track_caller]
    fn press(&self, key: &str) {
        let keys: Vec<char> = key.split('+').map(key_code).collect();
        let down = keys.iter().map(|key| key_action("keyDown", *key));
        let actions: Vec<Value> = down.chain(keys.iter().rev().map(|key| key_action("keyUp", *key))).collect();
        self.keys(&actions);
    }

    fn screenshot(&self, path: &Path) {
        let picture = self.driver().screenshot().unwrap_or_default();
        let bytes = base64::engine::general_purpose::STANDARD.decode(picture);
        std::fs::write(path, bytes.unwrap_or_default()).expect("the screenshot can be written");
    }

    fn is_focused(&self, name: &str) -> bool {
        // The text goes to a hidden input, which the app moves the focus to.
        let input = self.execute("return !!document.activeElement?.matches('input, textarea')", &[]);
        let nodes = self.nodes();
        let told = nodes.iter().any(|node| node.focused);
        input == true && nodes.iter().any(|node| node.name == name && node.focused == told)
    }

    fn report(&self) -> String {
        let messages = self.console();
        let last = &messages[messages.len().saturating_sub(30)..];
        let lines: Vec<String> = last.iter().map(|m| format!("  {} {}: {}", m.from, m.level, m.text)).collect();
        format!("the end of the console:\n{}", lines.join("\n"))
    }
}

#[track_caller]
fn done<T>(result: Result<T, String>) -> T {
    result.unwrap_or_else(|error| panic!("{error}"))
}

/// An arrow function sees the `arguments` of the function around it.
fn async_body(body: &str) -> String {
    format!("return (async () => {{ {body} }})();")
}

/// Not `data:`, `blob:`, `about:` and such, which stay in the page.
pub(crate) fn is_remote(url: &str) -> bool {
    ["http:", "https:", "ws:", "wss:", "ftp:"].iter().any(|start| url.starts_with(start))
}

fn move_to(x: f64, y: f64) -> Value {
    let (x, y) = (x.round() as i64, y.round() as i64);
    json!({ "type": "pointerMove", "duration": 0, "x": x, "y": y, "origin": "viewport" })
}

fn pause(milliseconds: u64) -> Value {
    json!({ "type": "pause", "duration": milliseconds })
}

fn key_action(kind: &str, key: char) -> Value {
    json!({ "type": kind, "value": key })
}

#[track_caller]
fn key_code(name: &str) -> char {
    let mut letters = name.chars();
    match (letters.next(), letters.next()) {
        (Some(letter), None) => letter,
        _ => KEYS.iter().find(|(known, _)| *known == name).unwrap_or_else(|| panic!("no key is called {name:?}")).1,
    }
}
