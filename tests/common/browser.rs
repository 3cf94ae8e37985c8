//! A headless Chromium under test, driven by chromedriver, with WebGL 2 and WebGPU computed by SwiftShader.
//!
//! The app is drawn on a canvas. It mirrors its widgets into elements inside `#mirror`, each with `role`, `aria-label`,
//! `data-x`, `data-y`, `data-w`, `data-h` in CSS pixels, and `aria-disabled`, `aria-checked`, `aria-valuetext` where
//! they mean something. Tests read widgets there and click on the canvas.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use serde_json::{Value, json};

use super::cdp::{Cdp, Message, Sent, Target};
use super::ui::{Node, PATIENCE, POLL, Ui, kill, program, read_nodes};

const PACKAGES: &str = "chromium chromium-driver";
/// The same software GPU on every machine, also where there is a real one, and a browser that keeps to itself.
const ARGUMENTS: &[&str] = &[
    "--headless=new",
    "--no-sandbox",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
    "--no-first-run",
    "--no-default-browser-check",
    "--hide-scrollbars",
    "--lang=en-US",
];
/// Switches of chromedriver that keep hidden tabs at full speed.
const UNTHROTTLED: &[&str] = &[
    "disable-background-timer-throttling",
    "disable-renderer-backgrounding",
    "disable-backgrounding-occluded-windows",
];
/// What a key's name stands for in WebDriver.
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
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";
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

/// How to start a browser.
#[derive(Clone)]
pub(crate) struct BrowserOptions {
    /// Width and height of the page in CSS pixels.
    pub(crate) size: (u32, u32),
    /// Device pixels per CSS pixel.
    pub(crate) scale: f64,
    /// Without it the page has no `navigator.gpu` that answers.
    pub(crate) webgpu: bool,
    /// Slows hidden tabs down as a user's browser does; chromedriver would keep them fast.
    pub(crate) throttle: bool,
    /// A script that every page runs before its own; empty for none.
    pub(crate) before_load: &'static str,
    /// A profile folder to keep, so that stored files survive a restart; by default a fresh one.
    pub(crate) profile: Option<PathBuf>,
    pub(crate) arguments: Vec<String>,
}

impl Default for BrowserOptions {
    fn default() -> Self {
        Self {
            size: (1280, 800),
            scale: 1.0,
            webgpu: true,
            throttle: false,
            before_load: "",
            profile: None,
            arguments: Vec::new(),
        }
    }
}

/// Bytes in use, as the JavaScript engine counts them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heap {
    pub(crate) objects: u64,
    /// Array buffers and WebAssembly memories.
    pub(crate) buffers: u64,
}

/// A browser with one session. It ends, with all of its processes, when this is dropped, or when the thread ends that
/// started it.
pub(crate) struct Browser {
    driver: Child,
    process: Option<i64>,
    agent: ureq::Agent,
    session: String,
    cdp: Option<Cdp>,
    downloads: tempfile::TempDir,
    _folders: Vec<tempfile::TempDir>,
}

impl Browser {
    #[track_caller]
    pub(crate) fn start(options: &BrowserOptions) -> Self {
        let chromium = program(&["chromium", "chromium-browser", "google-chrome"], PACKAGES);
        let (driver, port) = start_driver();
        let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(minutes(3)));
        let agent = config.build().new_agent();
        let fresh = options.profile.is_none().then(|| tempfile::tempdir().expect("a temporary folder"));
        let profile = options.profile.clone().or_else(|| fresh.as_ref().map(|dir| dir.path().to_owned()));
        let mut arguments: Vec<String> = ARGUMENTS.iter().map(|argument| (*argument).to_owned()).collect();
        arguments.push(format!("--user-data-dir={}", profile.unwrap_or_default().display()));
        arguments.push(format!("--force-device-scale-factor={}", options.scale));
        arguments.push(format!("--window-size={},{}", options.size.0, options.size.1));
        if options.webgpu {
            arguments.extend(["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"].map(str::to_owned));
        } else {
            arguments.push("--disable-features=WebGPU,WebGPUService".to_owned());
        }
        arguments.extend(options.arguments.iter().cloned());
        let downloads = tempfile::tempdir().expect("a temporary folder");
        let own = tempfile::tempdir().expect("a temporary folder");
        let launcher = write_launcher(own.path(), &chromium);
        let capabilities = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "timeouts": { "script": 120_000, "pageLoad": 120_000 },
            "goog:chromeOptions": {
                "binary": launcher,
                "args": arguments,
                "excludeSwitches": if options.throttle { UNTHROTTLED } else { &[] },
            },
        } } });
        let mut browser = Self {
            driver,
            process: None,
            agent,
            session: format!("http://127.0.0.1:{port}/session"),
            cdp: None,
            downloads,
            _folders: [Some(own), fresh].into_iter().flatten().collect(),
        };
        let started = browser.post("", &capabilities);
        browser.process = started["capabilities"]["goog:processID"].as_i64();
        browser.session += &format!("/{}", started["sessionId"].as_str().expect("a session has an id"));
        let debugger = started["capabilities"]["goog:chromeOptions"]["debuggerAddress"].as_str();
        browser.cdp =
            Some(Cdp::connect(debugger.expect("chromedriver tells the debugger's address")).expect("DevTools"));
        browser.set_window_size(options.size.0, options.size.1);
        browser.before_load(options.before_load);
        let folder = browser.downloads.path();
        let params = json!({ "behavior": "allow", "downloadPath": folder, "eventsEnabled": false });
        browser.devtools().call("Browser.setDownloadBehavior", params).expect("downloads can be directed");
        browser
    }

    #[track_caller]
    pub(crate) fn goto(&self, url: &str) {
        self.post("/url", &json!({ "url": url }));
    }

    #[track_caller]
    pub(crate) fn reload(&self) {
        self.post("/refresh", &json!({}));
    }

    #[track_caller]
    pub(crate) fn back(&self) {
        self.post("/back", &json!({}));
    }

    #[track_caller]
    pub(crate) fn title(&self) -> String {
        self.get("/title").as_str().unwrap_or_default().to_owned()
    }

    #[track_caller]
    pub(crate) fn url(&self) -> String {
        self.get("/url").as_str().unwrap_or_default().to_owned()
    }

    /// What a function body returns in the page; `arguments[0]` and so on are `args`, and a promise is waited for.
    #[track_caller]
    pub(crate) fn execute(&self, body: &str, args: &[Value]) -> Value {
        self.post("/execute/sync", &json!({ "script": body, "args": args }))
    }

    /// As `execute`, in an async function, so that the body can `await`.
    #[track_caller]
    pub(crate) fn execute_async(&self, body: &str, args: &[Value]) -> Value {
        self.execute(&async_body(body), args)
    }

    /// The value of an expression as soon as it is true in JavaScript's sense.
    #[track_caller]
    pub(crate) fn wait_js(&self, expression: &str, timeout: Duration) -> Value {
        self.wait_that(&format!("{expression} to be true"), timeout, || {
            let script = async_body(&format!("const value = await ({expression}); return [!!value, value];"));
            let both = self.try_post("/execute/sync", &json!({ "script": script, "args": [] })).ok()?;
            (both[0] == true).then(|| both[1].clone())
        })
    }

    /// Runs a script in every page before the page's own, from the next navigation on.
    #[track_caller]
    pub(crate) fn before_load(&self, script: &str) {
        self.cdp("Page.addScriptToEvaluateOnNewDocument", json!({ "source": script }));
    }

    /// A DevTools command to the current page.
    #[track_caller]
    pub(crate) fn cdp(&self, method: &str, params: Value) -> Value {
        self.post("/goog/cdp/execute", &json!({ "cmd": method, "params": params }))
    }

    /// What all pages and workers wrote to their consoles, with errors that nobody caught and failed loads.
    pub(crate) fn console(&self) -> Vec<Message> {
        self.devtools().messages()
    }

    /// The messages of level `error`.
    pub(crate) fn errors(&self) -> Vec<Message> {
        let mut messages = self.console();
        messages.retain(|message| message.level == "error");
        messages
    }

    /// Every request that pages and workers began.
    pub(crate) fn network_log(&self) -> Vec<Sent> {
        self.devtools().sent()
    }

    /// Forgets console and network so far.
    pub(crate) fn forget(&self) {
        self.devtools().forget();
    }

    /// The dedicated worker whose address has that in it, as soon as it is there.
    #[track_caller]
    pub(crate) fn worker(&self, part: &str) -> Target {
        self.wait_that(&format!("a worker from {part}"), PATIENCE, || {
            self.workers().into_iter().find(|worker| worker.url.contains(part))
        })
    }

    /// The dedicated workers that live now.
    pub(crate) fn workers(&self) -> Vec<Target> {
        self.targets_of("worker")
    }

    /// The service workers that live now.
    pub(crate) fn service_workers(&self) -> Vec<Target> {
        self.targets_of("service_worker")
    }

    /// What lives now of one kind: `page`, `worker`, `service_worker`, `shared_worker`.
    pub(crate) fn targets_of(&self, kind: &str) -> Vec<Target> {
        let mut targets = self.devtools().targets();
        targets.retain(|target| target.kind == kind);
        targets
    }

    /// The value of an expression in a worker; a promise is waited for.
    #[track_caller]
    pub(crate) fn execute_in(&self, worker: &Target, expression: &str) -> Value {
        self.devtools().evaluate(worker, expression).unwrap_or_else(|error| panic!("in {}: {error}", worker.url))
    }

    /// The heap of the current page after a collection.
    #[track_caller]
    pub(crate) fn heap_bytes(&self) -> Heap {
        self.cdp("HeapProfiler.collectGarbage", json!({}));
        heap(&self.cdp("Runtime.getHeapUsage", json!({})))
    }

    /// The heap of a worker after a collection.
    #[track_caller]
    pub(crate) fn heap_bytes_in(&self, worker: &Target) -> Heap {
        let call = |method| self.devtools().call_in(worker, method, json!({})).expect("a worker answers");
        call("HeapProfiler.collectGarbage");
        heap(&call("Runtime.getHeapUsage"))
    }

    /// Resident memory of the browser's processes by kind: `browser`, `renderer`, `GPU`.
    #[track_caller]
    pub(crate) fn resident_bytes(&self) -> Vec<(String, u64)> {
        self.processes().into_iter().map(|(kind, process)| (kind, resident(process))).collect()
    }

    #[track_caller]
    fn processes(&self) -> Vec<(String, i64)> {
        let info = self.devtools().call("SystemInfo.getProcessInfo", json!({})).expect("processes are told");
        let processes = info["processInfo"].as_array().into_iter().flatten();
        let named = processes.filter_map(|one| Some((one["type"].as_str()?.to_owned(), one["id"].as_i64()?)));
        named.collect()
    }

    /// Cuts pages and workers off the network, or joins them again.
    pub(crate) fn set_offline(&self, offline: bool) {
        self.devtools().set_offline(offline);
    }

    /// Limits what an origin may store, to see a full disk; `None` lifts the limit.
    #[track_caller]
    pub(crate) fn set_quota(&self, origin: &str, bytes: Option<u64>) {
        let mut params = json!({ "origin": origin });
        if let Some(bytes) = bytes {
            params["quotaSize"] = json!(bytes);
        }
        self.cdp("Storage.overrideQuotaForOrigin", params);
    }

    /// Allows what a browser asks its user for, as `clipboardReadWrite` or `durableStorage`.
    #[track_caller]
    pub(crate) fn grant(&self, origin: &str, permissions: &[&str]) {
        let params = json!({ "origin": origin, "permissions": permissions });
        self.devtools().call("Browser.grantPermissions", params).expect("permissions can be granted");
    }

    /// Ends the GPU process, as a driver that resets: WebGPU devices and WebGL contexts are lost.
    pub(crate) fn crash_gpu(&self) {
        // Whether it answers before it is gone is a matter of luck.
        drop(self.devtools().call("Browser.crashGpuProcess", json!({})));
    }

    /// Ends the page's process without a word, as when memory runs out, and goes on in a new tab.
    #[track_caller]
    pub(crate) fn crash_page(&self) {
        let crashed = self.window();
        // chromedriver has to be elsewhere by then: it does not get over a page that is gone.
        self.new_window();
        let page = self.targets_of("page").into_iter().find(|page| page.id == crashed).expect("the page lives");
        self.devtools().tell_in(&page, "Page.crash");
        self.wait_that("the page to crash", PATIENCE, || self.devtools().has_crashed(&page).then_some(()));
        self.devtools().call("Target.closeTarget", json!({ "targetId": crashed })).expect("the crashed tab closes");
    }

    /// Opens a tab and goes on there; the tab before is hidden from now on. Gives its handle.
    #[track_caller]
    pub(crate) fn new_window(&self) -> String {
        let opened = self.post("/window/new", &json!({ "type": "tab" }));
        let handle = opened["handle"].as_str().expect("a tab has a handle").to_owned();
        self.switch_window(&handle);
        handle
    }

    /// Goes on in another tab and shows it.
    #[track_caller]
    pub(crate) fn switch_window(&self, handle: &str) {
        self.post("/window", &json!({ "handle": handle }));
        self.cdp("Page.bringToFront", json!({}));
    }

    #[track_caller]
    pub(crate) fn window(&self) -> String {
        self.get("/window").as_str().expect("a tab has a handle").to_owned()
    }

    /// Closes the current tab; `switch_window` has to follow.
    #[track_caller]
    pub(crate) fn close_window(&self) {
        let reply = self.agent.delete(format!("{}/window", self.session)).call();
        reply.expect("chromedriver answers");
    }

    /// Makes the page, without a window's frame, this large in CSS pixels.
    #[track_caller]
    pub(crate) fn set_window_size(&self, width: u32, height: u32) {
        self.post("/window/rect", &json!({ "width": width, "height": height }));
        let (inner_width, inner_height) = self.inner_size();
        let (more_width, more_height) = (f64::from(width) - inner_width, f64::from(height) - inner_height);
        if more_width != 0.0 || more_height != 0.0 {
            let outer = (f64::from(width) + more_width, f64::from(height) + more_height);
            self.post("/window/rect", &json!({ "width": outer.0, "height": outer.1 }));
        }
    }

    /// Gives files, or a folder for an input with `webkitdirectory`, to an `<input type=file>`, shown or not.
    #[track_caller]
    pub(crate) fn send_files(&self, selector: &str, paths: &[&Path]) {
        let found = self.post("/element", &json!({ "using": "css selector", "value": selector }));
        let element = found[ELEMENT].as_str().unwrap_or_else(|| panic!("no {selector} in the page"));
        let lines: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
        self.post(&format!("/element/{element}/value"), &json!({ "text": lines.join("\n") }));
    }

    /// Drags files from outside over a point of the page and lets go there.
    #[track_caller]
    pub(crate) fn drop_files(&self, paths: &[&Path], x: f64, y: f64) {
        self.drag_files("dragEnter", paths, x, y);
        self.drag_files("dragOver", paths, x, y);
        self.drag_files("drop", paths, x, y);
    }

    /// Drags files from outside over a point and holds them there; `leave_with_files` ends it.
    #[track_caller]
    pub(crate) fn hold_files(&self, paths: &[&Path], x: f64, y: f64) {
        self.drag_files("dragEnter", paths, x, y);
        self.drag_files("dragOver", paths, x, y);
    }

    /// Takes the files away again from the point over which they were held.
    #[track_caller]
    pub(crate) fn leave_with_files(&self, x: f64, y: f64) {
        self.drag_files("dragCancel", &[], x, y);
        // DevTools end the drag without telling the page.
        let leave = "document.elementFromPoint(arguments[0], arguments[1])?.dispatchEvent(
            new DragEvent('dragleave', { bubbles: true, cancelable: true, dataTransfer: new DataTransfer() }))";
        self.execute(leave, &[json!(x), json!(y)]);
    }

    /// The folder into which downloads go.
    pub(crate) fn downloads(&self) -> &Path {
        self.downloads.path()
    }

    /// The path of a downloaded file once it is whole.
    #[track_caller]
    pub(crate) fn wait_download(&self, name: &str, timeout: Duration) -> PathBuf {
        let path = self.downloads.path().join(name);
        self.wait_that(&format!("the download {name}"), timeout, || {
            let others = std::fs::read_dir(self.downloads.path()).ok()?.flatten();
            let unfinished =
                others.filter(|file| file.path().extension().is_some_and(|end| end == "crdownload")).count();
            (path.is_file() && unfinished == 0).then(|| path.clone())
        })
    }

    /// Ends the browser as a user does, so that what it stored is written out.
    pub(crate) fn quit(self) {
        drop(self);
    }

    #[track_caller]
    fn drag_files(&self, kind: &str, paths: &[&Path], x: f64, y: f64) {
        let data = json!({ "items": [], "files": paths, "dragOperationsMask": 1 });
        self.cdp("Input.dispatchDragEvent", json!({ "type": kind, "x": x, "y": y, "data": data }));
    }

    #[track_caller]
    fn actions(&self, source: Value) {
        self.post("/actions", &json!({ "actions": [source] }));
    }

    #[track_caller]
    fn pointer(&self, actions: &[Value]) {
        self.actions(
            json!({ "type": "pointer", "id": "mouse", "parameters": { "pointerType": "mouse" }, "actions": actions }),
        );
    }

    fn devtools(&self) -> &Cdp {
        self.cdp.as_ref().expect("DevTools are connected at the start")
    }

    #[track_caller]
    fn post(&self, path: &str, body: &Value) -> Value {
        self.try_post(path, body).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    fn try_post(&self, path: &str, body: &Value) -> Result<Value, String> {
        let request = self.agent.post(format!("{}{path}", self.session)).content_type("application/json");
        answer(request.send(body.to_string()))
    }

    #[track_caller]
    fn get(&self, path: &str) -> Value {
        answer(self.agent.get(format!("{}{path}", self.session)).call())
            .unwrap_or_else(|error| panic!("{path}: {error}"))
    }
}

impl Ui for Browser {
    fn nodes(&self) -> Vec<Node> {
        let found = self.try_post("/execute/sync", &json!({ "script": async_body(MIRROR), "args": [] }));
        read_nodes(&found.unwrap_or_default())
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
        self.actions(json!({ "type": "wheel", "id": "wheel", "actions": [turn] }));
    }

    #[track_caller]
    fn type_text(&self, text: &str) {
        let keys = text.chars().map(|c| if c == '\n' { '\u{e007}' } else { c });
        let actions: Vec<Value> = keys.flat_map(|key| [key_action("keyDown", key), key_action("keyUp", key)]).collect();
        self.actions(json!({ "type": "key", "id": "keyboard", "actions": actions }));
    }

    #[track_caller]
    fn press(&self, key: &str) {
        let keys: Vec<char> = key.split('+').map(key_code).collect();
        let down = keys.iter().map(|key| key_action("keyDown", *key));
        let actions: Vec<Value> = down.chain(keys.iter().rev().map(|key| key_action("keyUp", *key))).collect();
        self.actions(json!({ "type": "key", "id": "keyboard", "actions": actions }));
    }

    fn screenshot(&self, path: &Path) {
        let picture = answer(self.agent.get(format!("{}/screenshot", self.session)).call()).unwrap_or_default();
        let bytes = base64::engine::general_purpose::STANDARD.decode(picture.as_str().unwrap_or_default());
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

impl Drop for Browser {
    fn drop(&mut self) {
        let quick = self.agent.delete(&self.session).config().timeout_global(Some(Duration::from_secs(10))).build();
        drop(quick.call());
        self.cdp = None;
        let driver = i64::from(self.driver.id());
        let mut targets = vec![-driver, driver];
        if let Some(process) = self.process {
            wait_gone(process);
            targets.extend([-process, process]);
        }
        kill(&targets);
        drop(self.driver.wait());
    }
}

/// A script that starts Chromium so that the kernel ends it should chromedriver end first.
fn write_launcher(folder: &Path, chromium: &Path) -> PathBuf {
    let path = folder.join("chromium");
    let text = format!("exec setpriv --pdeathsig KILL -- '{}' \"$@\"", chromium.display());
    // Not written from here: a file that another thread's new process still holds open for writing cannot be run.
    let write = "printf '#!/bin/sh\\n%s\\n' \"$1\" > \"$2\" && chmod 700 \"$2\"";
    let status = Command::new("sh").args(["-c", write, "sh", &text]).arg(&path).status();
    assert!(status.is_ok_and(|status| status.success()), "{} can be written", path.display());
    path
}

/// Starts chromedriver in a process group of its own and reads from it on which port it listens.
#[track_caller]
fn start_driver() -> (Child, u16) {
    use std::os::unix::process::CommandExt as _;
    let driver = program(&["chromedriver"], PACKAGES);
    // The kernel ends chromedriver, and with it the browser, should this thread end without a drop.
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "TERM", "--"]).arg(driver).args(["--port=0", "--log-level=SEVERE"]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).process_group(0);
    let mut child = command.spawn().expect("chromedriver starts");
    let mut lines = BufReader::new(child.stdout.take().expect("its output is piped")).lines();
    let port = lines.by_ref().map_while(Result::ok).find_map(|line| {
        line.split_once("successfully on port ").and_then(|(_, rest)| rest.trim_end_matches('.').parse().ok())
    });
    // It must not stop on a full pipe.
    std::thread::spawn(move || lines.for_each(drop));
    (child, port.expect("chromedriver tells its port"))
}

/// An arrow function sees the `arguments` of the function around it.
fn async_body(body: &str) -> String {
    format!("return (async () => {{ {body} }})();")
}

/// Waits a little for a process to end by itself.
fn wait_gone(process: i64) {
    let start = Instant::now();
    while Path::new(&format!("/proc/{process}")).exists() && start.elapsed() < Duration::from_secs(3) {
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn answer(reply: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Result<Value, String> {
    let mut reply = reply.map_err(|error| error.to_string())?;
    let text = reply.body_mut().with_config().limit(256 << 20).read_to_string().map_err(|error| error.to_string())?;
    let mut value: Value = serde_json::from_str(&text).map_err(|error| format!("{error}: {text}"))?;
    let value = value["value"].take();
    match value.get("error") {
        Some(error) if !reply.status().is_success() => {
            let message = value["message"].as_str().unwrap_or_default();
            Err(format!("{error}: {}", message.split("\nStacktrace").next().unwrap_or_default()))
        }
        _ => Ok(value),
    }
}

fn heap(usage: &Value) -> Heap {
    let bytes = |name: &str| usage[name].as_f64().unwrap_or(0.0) as u64;
    Heap { objects: bytes("usedSize"), buffers: bytes("backingStorageSize") }
}

fn resident(process: i64) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0) << 10
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

fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(60 * minutes)
}
