//! A Firefox in a window that nobody sees, driven by WebDriver BiDi. It has a display because without one it offers
//! WebGPU but no WebGL; both are computed by Mesa's software drivers.

use std::cell::{Cell, RefCell};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

use super::browser::{BrowserOptions, Driver, Message, Sent, is_remote};
use super::process::{end_group, own_group, program, wait_for_line};
use super::ui::poll;
use super::websocket::Line;
use super::xserver::XServer;

/// A script of a test may wait for work of the page.
const REPLY_WITHIN: Duration = Duration::from_secs(150);
const QUIT_WITHIN: Duration = Duration::from_secs(15);
/// Larger than any window of a test.
const SCREEN: (u32, u32) = (1600, 1200);
/// WebGPU, which Linux has behind a switch, on drivers that Firefox would not trust; a browser that keeps to itself.
const PREFERENCES: &[(&str, &str)] = &[
    ("gfx.webgpu.ignore-blocklist", "true"),
    ("gfx.webgpu.force-enabled", "true"),
    ("webgl.force-enabled", "true"),
    ("app.update.enabled", "false"),
    ("browser.startup.page", "0"),
    ("browser.safebrowsing.malware.enabled", "false"),
    ("browser.shell.checkDefaultBrowser", "false"),
    ("datareporting.policy.dataSubmissionEnabled", "false"),
    ("network.captive-portal-service.enabled", "false"),
    ("network.connectivity-service.enabled", "false"),
    ("services.settings.server", "\"data:,\""),
    ("toolkit.telemetry.enabled", "false"),
];
const EVENTS: &[&str] =
    &["log.entryAdded", "network.beforeRequestSent", "network.responseCompleted", "network.fetchError"];

/// State gathered from the events so far.
#[derive(Clone, Default)]
struct Seen {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    messages: Vec<Message>,
    sent: Vec<Sent>,
}

pub(crate) struct Firefox {
    process: Child,
    line: Line,
    seen: Seen,
    /// The tab that is driven.
    context: RefCell<String>,
    size: Cell<(u32, u32)>,
    _display: XServer,
    _profile: Option<tempfile::TempDir>,
}

impl Firefox {
    #[track_caller]
    pub(crate) fn start(options: &BrowserOptions, downloads: &Path) -> Self {
        let display = XServer::start(SCREEN);
        let fresh = options.profile.is_none().then(|| tempfile::tempdir().expect("a temporary folder"));
        let profile = options.profile.clone().or_else(|| fresh.as_ref().map(|dir| dir.path().to_owned()));
        let profile = profile.unwrap_or_default();
        std::fs::write(profile.join("user.js"), preferences(options)).expect("the profile can be written");
        let (process, address) = start_process(&display, &profile);
        let seen = Seen::default();
        let own = seen.clone();
        let line = Line::connect(&address, "session", move |_, message| own.event(message)).expect("BiDi");
        let started = Self {
            process,
            line,
            seen,
            context: RefCell::default(),
            size: Cell::new(options.size),
            _display: display,
            _profile: fresh,
        };
        // Nobody is there to answer a dialog, or to choose files in one.
        let prompts = json!({ "default": "accept", "file": "dismiss" });
        let capabilities = json!({ "alwaysMatch": { "unhandledPromptBehavior": prompts } });
        let call =
            |method, params| started.call(method, params).unwrap_or_else(|error| panic!("Firefox starts: {error}"));
        call("session.new", json!({ "capabilities": capabilities }));
        call("session.subscribe", json!({ "events": EVENTS }));
        let to = json!({ "type": "allowed", "destinationFolder": downloads });
        call("browser.setDownloadBehavior", json!({ "downloadBehavior": to }));
        let tabs = call("browsingContext.getTree", json!({}));
        started.context.replace(tabs["contexts"][0]["context"].as_str().expect("a tab is open").to_owned());
        started
    }

    fn call(&self, method: &str, params: Value) -> Result<Value, String> {
        self.line.call(json!({ "method": method, "params": params }), REPLY_WITHIN, || false)
    }

    /// A command about the current tab.
    fn call_here(&self, method: &str, mut params: Value) -> Result<Value, String> {
        params["context"] = json!(*self.context.borrow());
        self.call(method, params)
    }

    /// The value of an expression in a tab, waited for if it is a promise.
    fn evaluate(&self, context: &str, expression: &str) -> Result<Value, String> {
        // JSON carries the value, since BiDi wraps every value in its type.
        let expression = format!("(async () => JSON.stringify((await ({expression})) ?? null))()");
        let params = json!({ "expression": expression, "target": { "context": context }, "awaitPromise": true });
        let reply = self.call("script.evaluate", params)?;
        match reply["result"]["value"].as_str() {
            Some(text) => serde_json::from_str(text).map_err(|error| format!("{error}: {text}")),
            None => Err(format!("{expression}: {}", reply["exceptionDetails"]["text"])),
        }
    }

    fn resize(&self) -> Result<(), String> {
        let (width, height) = self.size.get();
        let viewport = json!({ "width": width, "height": height });
        self.call_here("browsingContext.setViewport", json!({ "viewport": viewport })).map(drop)
    }
}

impl Driver for Firefox {
    fn goto(&self, url: &str) -> Result<(), String> {
        self.call_here("browsingContext.navigate", json!({ "url": url, "wait": "complete" })).map(drop)
    }

    fn reload(&self) -> Result<(), String> {
        self.call_here("browsingContext.reload", json!({ "wait": "complete" })).map(drop)
    }

    fn back(&self) -> Result<(), String> {
        self.call_here("browsingContext.traverseHistory", json!({ "delta": -1 })).map(drop)
    }

    fn execute(&self, body: &str, args: &[Value]) -> Result<Value, String> {
        let expression = format!("(function () {{ {body} }}).apply(globalThis, {})", json!(args));
        self.evaluate(&self.context.borrow(), &expression)
    }

    fn evaluate_in_window(&self, handle: &str, expression: &str) -> Result<Value, String> {
        self.evaluate(handle, expression)
    }

    fn before_load(&self, script: &str) -> Result<(), String> {
        let function = format!("() => {{ {script} }}");
        self.call("script.addPreloadScript", json!({ "functionDeclaration": function })).map(drop)
    }

    fn input(&self, source: Value) -> Result<(), String> {
        self.call_here("input.performActions", json!({ "actions": [source] })).map(drop)
    }

    fn set_files(&self, selector: &str, paths: &[&Path]) -> Result<(), String> {
        let locator = json!({ "type": "css", "value": selector });
        let found = self.call_here("browsingContext.locateNodes", json!({ "locator": locator }))?;
        let node = found["nodes"][0]["sharedId"].as_str().ok_or_else(|| format!("no {selector} in the page"))?;
        if paths.iter().any(|path| path.is_dir()) {
            self.execute("document.querySelector(arguments[0]).multiple = true", &[json!(selector)])?;
        }
        let files: Vec<PathBuf> = paths.iter().flat_map(|path| files_at(path)).collect();
        self.call_here("input.setFiles", json!({ "element": { "sharedId": node }, "files": files })).map(drop)
    }

    fn screenshot(&self) -> Result<String, String> {
        let shot = self.call_here("browsingContext.captureScreenshot", json!({}))?;
        Ok(shot["data"].as_str().unwrap_or_default().to_owned())
    }

    fn window(&self) -> Result<String, String> {
        Ok(self.context.borrow().clone())
    }

    fn new_window(&self) -> Result<String, String> {
        let opened = self.call("browsingContext.create", json!({ "type": "tab" }))?;
        let handle = opened["context"].as_str().ok_or("a tab has a handle")?.to_owned();
        self.context.replace(handle.clone());
        self.resize()?;
        Ok(handle)
    }

    fn switch_window(&self, handle: &str) -> Result<(), String> {
        self.context.replace(handle.to_owned());
        self.call_here("browsingContext.activate", json!({})).map(drop)
    }

    fn close_window(&self) -> Result<(), String> {
        self.call_here("browsingContext.close", json!({})).map(drop)
    }

    fn set_window_size(&self, width: u32, height: u32) -> Result<(), String> {
        self.size.set((width, height));
        self.resize()
    }

    fn console(&self) -> Vec<Message> {
        self.seen.state().messages.clone()
    }

    fn network_log(&self) -> Vec<Sent> {
        self.seen.state().sent.clone()
    }

    fn forget(&self) {
        *self.seen.state() = State::default();
    }
}

impl Drop for Firefox {
    fn drop(&mut self) {
        // Without an answer it has ended, or hangs: then it is ended below.
        self.line.tell(json!({ "method": "browser.close", "params": {} }));
        poll(QUIT_WITHIN, || self.process.try_wait().ok().flatten());
        self.line.close();
        end_group(&mut self.process);
    }
}

impl Seen {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn event(&self, message: &Value) {
        let params = &message["params"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let url = text(&params["request"]["url"]);
        let from = |context: &Value| if context.is_string() { "page" } else { "service_worker" }.to_owned();
        let failed = |why: String| Message { level: "error".to_owned(), text: why, from: from(&params["context"]) };
        let mut state = self.state();
        match message["method"].as_str().unwrap_or_default() {
            "log.entryAdded" => {
                let level = match params["level"].as_str() {
                    Some("warn") => "warning".to_owned(),
                    _ => text(&params["level"]),
                };
                let place = &params["stackTrace"]["callFrames"][0];
                let place = format!("{}:{}", place["url"].as_str().unwrap_or_default(), place["lineNumber"]);
                let text = format!("{} ({place})", params["text"].as_str().unwrap_or_default());
                state.messages.push(Message { level, text, from: from(&params["source"]["context"]) });
            }
            "network.beforeRequestSent" if is_remote(&url) => {
                let request = &params["request"];
                let body_bytes = request["bodySize"].as_u64().unwrap_or(0) as usize;
                let (method, from) = (text(&request["method"]), from(&params["context"]));
                state.sent.push(Sent { method, url, body_bytes, from });
            }
            "network.responseCompleted" => {
                let status = params["response"]["status"].as_u64().unwrap_or(0);
                if status >= 400 {
                    state.messages.push(failed(format!("the server answered {status} for {url}")));
                }
            }
            // A request that the page itself broke off is no error.
            "network.fetchError" if params["errorText"] != "NS_BINDING_ABORTED" => {
                state.messages.push(failed(format!("{} for {url}", text(&params["errorText"]))));
            }
            _ => {}
        }
    }
}

/// The text of a profile's `user.js`.
fn preferences(options: &BrowserOptions) -> String {
    let webgpu = options.webgpu.to_string();
    // BiDi's own ratio of pixels is not that of a canvas's content box, by which the app goes.
    let scale = format!("\"{}\"", options.scale);
    let chosen = [
        ("dom.webgpu.enabled", webgpu.as_str()),
        ("dom.webgpu.workers.enabled", webgpu.as_str()),
        ("layout.css.devPixelsPerPx", scale.as_str()),
    ];
    let all = chosen.iter().chain(PREFERENCES);
    all.map(|(name, value)| format!("user_pref(\"{name}\", {value});\n")).collect()
}

/// Starts Firefox, and gives the `host:port` at which it listens once it says so.
#[track_caller]
fn start_process(display: &XServer, profile: &Path) -> (Child, String) {
    let mut command = own_group(&program(&["firefox-esr", "firefox"], "apt-get install firefox-esr"));
    command.args(["--no-remote", "--remote-debugging-port", "0", "--profile"]).arg(profile).arg("about:blank");
    command.env("DISPLAY", display.display()).env_remove("WAYLAND_DISPLAY");
    // The same software drivers on every machine, also where there is a real GPU.
    command.env("LIBGL_ALWAYS_SOFTWARE", "1").env("VK_LOADER_DRIVERS_SELECT", "*lvp*");
    command.env("MOZ_CRASHREPORTER_DISABLE", "1").stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("Firefox starts");
    let errors = child.stderr.take().expect("its errors are piped");
    let address = wait_for_line(errors, "WebDriver BiDi listening on ws://");
    (child, address)
}

/// A file, or the files directly in a folder: BiDi takes no folders.
fn files_at(path: &Path) -> Vec<PathBuf> {
    match std::fs::read_dir(path) {
        Ok(entries) => entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file()).collect(),
        Err(_) => vec![path.to_owned()],
    }
}
