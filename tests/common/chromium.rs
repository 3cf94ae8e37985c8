//! A headless Chromium, driven by chromedriver and the DevTools protocol.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::browser::{BrowserOptions, Driver, Message, Sent};
use super::cdp::{Cdp, Target};
use super::process::{kill, own_group_ended_by, program, wait_for_line};
use super::ui::{PATIENCE, poll};

const INSTALL: &str = "apt-get install chromium chromium-driver";
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
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// Bytes in use, as the JavaScript engine counts them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heap {
    pub(crate) objects: u64,
    /// Array buffers and WebAssembly memories.
    pub(crate) buffers: u64,
}

pub(crate) struct Chromium {
    driver: Child,
    process: Option<i64>,
    agent: ureq::Agent,
    session: String,
    cdp: Option<Cdp>,
    _folders: Vec<tempfile::TempDir>,
}

impl Chromium {
    #[track_caller]
    pub(crate) fn start(options: &BrowserOptions, downloads: &Path) -> Self {
        let chromium = program(&["chromium", "chromium-browser", "google-chrome"], INSTALL);
        let (driver, port) = start_driver();
        let config = ureq::Agent::config_builder().http_status_as_error(false);
        let agent = config.timeout_global(Some(Duration::from_secs(180))).build().new_agent();
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
        let mut started = Self {
            driver,
            process: None,
            agent,
            session: format!("http://127.0.0.1:{port}/session"),
            cdp: None,
            _folders: [Some(own), fresh].into_iter().flatten().collect(),
        };
        let session = started.post("", &capabilities).unwrap_or_else(|error| panic!("Chromium: {error}"));
        started.process = session["capabilities"]["goog:processID"].as_i64();
        started.session += &format!("/{}", session["sessionId"].as_str().expect("a session has an id"));
        let debugger = session["capabilities"]["goog:chromeOptions"]["debuggerAddress"].as_str();
        started.cdp =
            Some(Cdp::connect(debugger.expect("chromedriver tells the debugger's address")).expect("DevTools"));
        let params = json!({ "behavior": "allow", "downloadPath": downloads, "eventsEnabled": false });
        started.devtools().call("Browser.setDownloadBehavior", params).expect("downloads can be directed");
        started
    }

    /// The dedicated worker whose address has that in it, as soon as it is there.
    #[track_caller]
    pub(crate) fn worker(&self, part: &str) -> Target {
        let found = poll(PATIENCE, || self.workers().into_iter().find(|worker| worker.url.contains(part)));
        found.unwrap_or_else(|| panic!("no worker came from {part}"))
    }

    /// The dedicated workers that live now.
    pub(crate) fn workers(&self) -> Vec<Target> {
        self.targets_of("worker")
    }

    /// The service workers that live now.
    pub(crate) fn service_workers(&self) -> Vec<Target> {
        self.targets_of("service_worker")
    }

    /// Live targets of one kind: `page`, `worker`, `service_worker`, `shared_worker`.
    fn targets_of(&self, kind: &str) -> Vec<Target> {
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
        let call = |method| self.command(method, json!({})).expect("the page answers");
        call("HeapProfiler.collectGarbage");
        heap(&call("Runtime.getHeapUsage"))
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
        let info = self.devtools().call("SystemInfo.getProcessInfo", json!({})).expect("processes are told");
        let processes = info["processInfo"].as_array().into_iter().flatten();
        let named = processes.filter_map(|one| Some((one["type"].as_str()?.to_owned(), one["id"].as_i64()?)));
        named.map(|(kind, process)| (kind, resident(process))).collect()
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
        self.command("Storage.overrideQuotaForOrigin", params).expect("the quota can be set");
    }

    /// Allows what a browser asks its user for, as `clipboardReadWrite` or `durableStorage`.
    #[track_caller]
    pub(crate) fn grant(&self, origin: &str, permissions: &[&str]) {
        let params = json!({ "origin": origin, "permissions": permissions });
        self.devtools().call("Browser.grantPermissions", params).expect("permissions can be granted");
    }

    /// Ends the GPU process, as a driver that resets: WebGPU devices and WebGL contexts are lost.
    pub(crate) fn crash_gpu(&self) {
        // The process may or may not answer before it is gone.
        drop(self.devtools().call("Browser.crashGpuProcess", json!({})));
    }

    /// Ends the page's process without a word, as when memory runs out, and goes on in a new tab.
    #[track_caller]
    pub(crate) fn crash_page(&self) {
        let crashed = self.window().expect("a tab has a handle");
        // chromedriver has to be elsewhere by then: it does not get over a page that is gone.
        self.new_window().expect("a tab opens");
        let page = self.targets_of("page").into_iter().find(|page| page.id == crashed).expect("the page lives");
        self.devtools().tell_in(&page, "Page.crash");
        poll(PATIENCE, || self.devtools().has_crashed(&page).then_some(())).expect("the page crashes");
        self.devtools().call("Target.closeTarget", json!({ "targetId": crashed })).expect("the crashed tab closes");
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
        self.execute(leave, &[json!(x), json!(y)]).expect("the page is told");
    }

    #[track_caller]
    fn drag_files(&self, kind: &str, paths: &[&Path], x: f64, y: f64) {
        let data = json!({ "items": [], "files": paths, "dragOperationsMask": 1 });
        let drag = json!({ "type": kind, "x": x, "y": y, "data": data });
        self.command("Input.dispatchDragEvent", drag).expect("files can be dragged");
    }

    fn devtools(&self) -> &Cdp {
        self.cdp.as_ref().expect("DevTools are connected at the start")
    }

    /// A DevTools command to the current page.
    fn command(&self, method: &str, params: Value) -> Result<Value, String> {
        self.post("/goog/cdp/execute", &json!({ "cmd": method, "params": params }))
    }

    fn post(&self, path: &str, body: &Value) -> Result<Value, String> {
        let request = self.agent.post(format!("{}{path}", self.session)).content_type("application/json");
        answer(request.send(body.to_string())).map_err(|error| format!("{path}: {error}"))
    }

    fn get(&self, path: &str) -> Result<Value, String> {
        answer(self.agent.get(format!("{}{path}", self.session)).call()).map_err(|error| format!("{path}: {error}"))
    }
}

impl Driver for Chromium {
    fn goto(&self, url: &str) -> Result<(), String> {
        self.post("/url", &json!({ "url": url })).map(drop)
    }

    fn reload(&self) -> Result<(), String> {
        self.post("/refresh", &json!({})).map(drop)
    }

    fn back(&self) -> Result<(), String> {
        self.post("/back", &json!({})).map(drop)
    }

    fn execute(&self, body: &str, args: &[Value]) -> Result<Value, String> {
        self.post("/execute/sync", &json!({ "script": body, "args": args }))
    }

    fn evaluate_in_window(&self, handle: &str, expression: &str) -> Result<Value, String> {
        let page = self.targets_of("page").into_iter().find(|page| page.id == handle);
        self.devtools().evaluate(&page.ok_or_else(|| format!("there is no tab {handle}"))?, expression)
    }

    fn before_load(&self, script: &str) -> Result<(), String> {
        self.command("Page.addScriptToEvaluateOnNewDocument", json!({ "source": script })).map(drop)
    }

    fn input(&self, source: Value) -> Result<(), String> {
        self.post("/actions", &json!({ "actions": [source] })).map(drop)
    }

    fn set_files(&self, selector: &str, paths: &[&Path]) -> Result<(), String> {
        let found = self.post("/element", &json!({ "using": "css selector", "value": selector }))?;
        let element = found[ELEMENT].as_str().ok_or_else(|| format!("no {selector} in the page"))?;
        let lines: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
        self.post(&format!("/element/{element}/value"), &json!({ "text": lines.join("\n") })).map(drop)
    }

    fn screenshot(&self) -> Result<String, String> {
        Ok(self.get("/screenshot")?.as_str().unwrap_or_default().to_owned())
    }

    fn window(&self) -> Result<String, String> {
        Ok(self.get("/window")?.as_str().ok_or("a tab has a handle")?.to_owned())
    }

    fn new_window(&self) -> Result<String, String> {
        let opened = self.post("/window/new", &json!({ "type": "tab" }))?;
        let handle = opened["handle"].as_str().ok_or("a tab has a handle")?.to_owned();
        self.switch_window(&handle)?;
        Ok(handle)
    }

    fn switch_window(&self, handle: &str) -> Result<(), String> {
        self.post("/window", &json!({ "handle": handle }))?;
        self.command("Page.bringToFront", json!({})).map(drop)
    }

    fn close_window(&self) -> Result<(), String> {
        answer(self.agent.delete(format!("{}/window", self.session)).call()).map(drop)
    }

    fn set_window_size(&self, width: u32, height: u32) -> Result<(), String> {
        // A window is resized when its system gets to it: the page is asked until it has the size.
        let resized = poll(PATIENCE, || {
            const SIZES: &str = "return [innerWidth, innerHeight, outerWidth - innerWidth, outerHeight - innerHeight]";
            let sizes = self.execute(SIZES, &[]).ok()?;
            if sizes[0] == width && sizes[1] == height {
                return Some(());
            }
            let outer = |inner: u32, frame: &Value| f64::from(inner) + frame.as_f64().unwrap_or(0.0);
            let (width, height) = (outer(width, &sizes[2]), outer(height, &sizes[3]));
            self.post("/window/rect", &json!({ "width": width, "height": height })).ok()?;
            None
        });
        resized.ok_or_else(|| format!("the page does not become {width}x{height}"))
    }

    fn console(&self) -> Vec<Message> {
        self.devtools().messages()
    }

    fn network_log(&self) -> Vec<Sent> {
        self.devtools().sent()
    }

    fn forget(&self) {
        self.devtools().forget();
    }
}

impl Drop for Chromium {
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

/// Starts chromedriver and reads from it on which port it listens.
#[track_caller]
fn start_driver() -> (Child, u16) {
    // The kernel ends chromedriver, and with it the browser, should this thread end without a drop.
    let mut command = own_group_ended_by("TERM", &program(&["chromedriver"], INSTALL));
    command.args(["--port=0", "--log-level=SEVERE"]).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().expect("chromedriver starts");
    let port = wait_for_line(child.stdout.take().expect("its output is piped"), "successfully on port ");
    (child, port.trim_end_matches('.').parse().expect("chromedriver tells its port"))
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
