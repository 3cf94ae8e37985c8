//! A second line into the browser beside WebDriver: the DevTools protocol over a WebSocket, attached to every page and
//! worker from their first moment, so that no request and no message of a worker is missed.

use std::collections::{HashMap, HashSet};
use std::io::{Error, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

const REPLY_WITHIN: Duration = Duration::from_secs(60);

/// A page, worker or service worker that lives now.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// `page`, `worker`, `service_worker`, `shared_worker`, `iframe`.
    pub(crate) kind: String,
    pub(crate) url: String,
    pub(crate) id: String,
    session: String,
}

/// A line of a console, or an error that nobody caught.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    /// `error`, `warning`, `info`, `log`, `debug`.
    pub(crate) level: String,
    pub(crate) text: String,
    /// The kind of target it came from.
    pub(crate) from: String,
}

/// A request that a page or worker began, also one that never left, as under a Content-Security-Policy.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) method: String,
    pub(crate) url: String,
    pub(crate) body_bytes: usize,
    /// The kind of target it came from.
    pub(crate) from: String,
}

#[derive(Default)]
struct State {
    waited: HashSet<u64>,
    replies: HashMap<u64, Value>,
    targets: Vec<Target>,
    messages: Vec<Message>,
    sent: Vec<Sent>,
    crashed: HashSet<String>,
    offline: bool,
    closed: bool,
}

struct Shared {
    out: Mutex<TcpStream>,
    next: AtomicU64,
    state: Mutex<State>,
    changed: Condvar,
}

pub(crate) struct Cdp {
    shared: Arc<Shared>,
}

impl Cdp {
    /// Connects to the debugger at `host:port` and attaches to all that is there or comes.
    pub(crate) fn connect(address: &str) -> Result<Self, String> {
        let text = |error: Error| format!("DevTools at {address}: {error}");
        let mut version = ureq::get(format!("http://{address}/json/version")).call().map_err(|e| e.to_string())?;
        let version = version.body_mut().read_to_string().map_err(|e| e.to_string())?;
        let version: Value = serde_json::from_str(&version).map_err(|e| e.to_string())?;
        let url = version["webSocketDebuggerUrl"].as_str().ok_or("no webSocketDebuggerUrl")?;
        let path = url.splitn(4, '/').nth(3).ok_or("no path in webSocketDebuggerUrl")?;
        let mut stream = TcpStream::connect(address).map_err(text)?;
        let key = "cGFpcnR1bmUgdGVzdHMhIQ==";
        let hello = format!(
            "GET /{path} HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
        );
        stream.set_nodelay(true).map_err(text)?;
        stream.write_all(hello.as_bytes()).map_err(text)?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).map_err(text)?;
            head.push(byte[0]);
        }
        if !head.starts_with(b"HTTP/1.1 101") {
            return Err(format!("DevTools refused: {}", String::from_utf8_lossy(&head)));
        }
        let shared = Arc::new(Shared {
            out: Mutex::new(stream.try_clone().map_err(text)?),
            next: AtomicU64::new(1),
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let own = Arc::clone(&shared);
        std::thread::spawn(move || {
            while let Some(message) = read_message(&mut stream, &own) {
                own.take(&message);
            }
            own.state().closed = true;
            own.changed.notify_all();
        });
        shared.tell("Target.setDiscoverTargets", json!({ "discover": true }), None);
        shared.attach(None);
        Ok(Self { shared })
    }

    /// A command to the browser itself.
    pub(crate) fn call(&self, method: &str, params: Value) -> Result<Value, String> {
        self.shared.call(method, params, None)
    }

    /// A command to one page or worker.
    pub(crate) fn call_in(&self, target: &Target, method: &str, params: Value) -> Result<Value, String> {
        self.shared.call(method, params, Some(&target.session))
    }

    /// A command that gets no reply because it ends its target.
    pub(crate) fn tell_in(&self, target: &Target, method: &str) {
        self.shared.tell(method, json!({}), Some(&target.session));
    }

    pub(crate) fn has_crashed(&self, target: &Target) -> bool {
        self.shared.state().crashed.contains(&target.session)
    }

    /// The value of an expression in a page or worker; promises are waited for.
    pub(crate) fn evaluate(&self, target: &Target, expression: &str) -> Result<Value, String> {
        let params = json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        let reply = self.call_in(target, "Runtime.evaluate", params)?;
        match reply.get("exceptionDetails") {
            Some(details) => Err(exception(details)),
            None => Ok(reply["result"]["value"].clone()),
        }
    }

    pub(crate) fn targets(&self) -> Vec<Target> {
        self.shared.state().targets.clone()
    }

    pub(crate) fn messages(&self) -> Vec<Message> {
        self.shared.state().messages.clone()
    }

    pub(crate) fn sent(&self) -> Vec<Sent> {
        self.shared.state().sent.clone()
    }

    /// Forgets the messages and requests so far.
    pub(crate) fn forget(&self) {
        let mut state = self.shared.state();
        state.messages.clear();
        state.sent.clear();
    }

    /// Cuts pages and workers off the network, those that come later too, or joins them again.
    pub(crate) fn set_offline(&self, offline: bool) {
        let targets = {
            let mut state = self.shared.state();
            state.offline = offline;
            state.targets.clone()
        };
        for target in targets {
            drop(self.call_in(&target, "Network.emulateNetworkConditions", conditions(offline)));
        }
    }
}

impl Drop for Cdp {
    fn drop(&mut self) {
        let out = self.shared.out.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        drop(out.shutdown(std::net::Shutdown::Both));
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn call(&self, method: &str, params: Value, session: Option<&str>) -> Result<Value, String> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        self.state().waited.insert(id);
        self.send(id, method, params, session).map_err(|error| format!("{method}: {error}"))?;
        let start = Instant::now();
        let mut state = self.state();
        loop {
            if let Some(reply) = state.replies.remove(&id) {
                return match reply.get("error") {
                    Some(error) => Err(format!("{method}: {error}")),
                    None => Ok(reply["result"].clone()),
                };
            }
            let gone = session.is_some_and(|session| !state.targets.iter().any(|target| target.session == session));
            if state.closed || gone || start.elapsed() > REPLY_WITHIN {
                return Err(format!("{method}: no reply"));
            }
            let waited = self.changed.wait_timeout(state, Duration::from_millis(200));
            state = waited.unwrap_or_else(std::sync::PoisonError::into_inner).0;
        }
    }

    fn send(&self, id: u64, method: &str, params: Value, session: Option<&str>) -> std::io::Result<()> {
        let mut message = json!({ "id": id, "method": method, "params": params });
        if let Some(session) = session {
            message["sessionId"] = json!(session);
        }
        self.write_frame(1, message.to_string().as_bytes())
    }

    /// A command whose reply is not looked at. An error shows when the connection is read.
    fn tell(&self, method: &str, params: Value, session: Option<&str>) {
        drop(self.send(self.next.fetch_add(1, Ordering::Relaxed), method, params, session));
    }

    /// Asks to be attached to what the browser, or one target, has below it. New ones wait until we listen.
    fn attach(&self, session: Option<&str>) {
        let without = ["browser", "tab", "browser_ui"].map(|kind| json!({ "type": kind, "exclude": true }));
        let filter: Vec<Value> = without.into_iter().chain([json!({})]).collect();
        let params = json!({ "autoAttach": true, "waitForDebuggerOnStart": true, "flatten": true, "filter": filter });
        self.tell("Target.setAutoAttach", params, session);
    }

    fn take(&self, message: &Value) {
        if let Some(id) = message["id"].as_u64() {
            let mut state = self.state();
            if state.waited.remove(&id) {
                state.replies.insert(id, message.clone());
            }
        } else {
            self.event(message["method"].as_str().unwrap_or_default(), &message["params"], &message["sessionId"]);
        }
        self.changed.notify_all();
    }

    fn event(&self, method: &str, params: &Value, session: &Value) {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let from = |state: &State| {
            let target = state.targets.iter().find(|target| session == &target.session);
            target.map_or_else(String::new, |target| target.kind.clone())
        };
        let mut state = self.state();
        match method {
            "Target.attachedToTarget" => {
                let (session, info) = (text(&params["sessionId"]), &params["targetInfo"]);
                let target = Target {
                    kind: text(&info["type"]),
                    url: text(&info["url"]),
                    id: text(&info["targetId"]),
                    session: session.clone(),
                };
                if state.targets.iter().any(|known| known.id == target.id) {
                    // A service worker is seen from the browser and from its page: once is enough.
                    drop(state);
                    return self.tell("Runtime.runIfWaitingForDebugger", json!({}), Some(&session));
                }
                state.targets.push(target);
                let offline = state.offline;
                drop(state);
                for domain in ["Network.enable", "Runtime.enable", "Log.enable"] {
                    self.tell(domain, json!({}), Some(&session));
                }
                if offline {
                    self.tell("Network.emulateNetworkConditions", conditions(true), Some(&session));
                }
                self.attach(Some(&session));
                self.tell("Runtime.runIfWaitingForDebugger", json!({}), Some(&session));
            }
            "Target.detachedFromTarget" => {
                state.targets.retain(|target| params["sessionId"] != target.session);
            }
            "Target.targetInfoChanged" => {
                let info = &params["targetInfo"];
                for target in state.targets.iter_mut().filter(|target| info["targetId"] == target.id) {
                    target.url = text(&info["url"]);
                }
            }
            "Network.requestWillBeSent" if is_remote(&params["request"]["url"]) => {
                let request = &params["request"];
                let entries = request["postDataEntries"].as_array().into_iter().flatten();
                let entries: usize = entries.filter_map(|entry| entry["bytes"].as_str()).map(|b| b.len() / 4 * 3).sum();
                let body_bytes = request["postData"].as_str().map_or(entries, str::len);
                let from = from(&state);
                state.sent.push(Sent {
                    method: text(&request["method"]),
                    url: text(&request["url"]),
                    body_bytes,
                    from,
                });
            }
            "Network.webSocketCreated" | "Network.webTransportCreated" => {
                let from = from(&state);
                state.sent.push(Sent { method: "CONNECT".to_owned(), url: text(&params["url"]), body_bytes: 0, from });
            }
            "Runtime.consoleAPICalled" => {
                let words: Vec<String> = params["args"].as_array().into_iter().flatten().map(argument).collect();
                let from = from(&state);
                state.messages.push(Message { level: text(&params["type"]), text: words.join(" "), from });
            }
            "Runtime.exceptionThrown" => {
                let from = from(&state);
                let text = exception(&params["exceptionDetails"]);
                state.messages.push(Message { level: "error".to_owned(), text, from });
            }
            "Log.entryAdded" => {
                let entry = &params["entry"];
                let (level, from) = (text(&entry["level"]), from(&state));
                let text = format!("{} {}", text(&entry["text"]), text(&entry["url"]));
                state.messages.push(Message { level, text, from });
            }
            "Inspector.targetCrashed" => {
                let from = from(&state);
                let text = "the renderer crashed".to_owned();
                state.messages.push(Message { level: "error".to_owned(), text, from });
                state.crashed.insert(session.as_str().unwrap_or_default().to_owned());
            }
            _ => {}
        }
    }

    fn write_frame(&self, kind: u8, body: &[u8]) -> std::io::Result<()> {
        // Client frames are masked; with a mask of zeros the body stays as it is.
        let mut frame = vec![0x80 | kind];
        match body.len() {
            length @ 0..126 => frame.push(0x80 | length as u8),
            length @ 126..65536 => {
                frame.push(0x80 | 126);
                frame.extend((length as u16).to_be_bytes());
            }
            length => {
                frame.push(0x80 | 127);
                frame.extend((length as u64).to_be_bytes());
            }
        }
        frame.extend([0; 4]);
        frame.extend(body);
        self.out.lock().unwrap_or_else(std::sync::PoisonError::into_inner).write_all(&frame)
    }
}

/// The next whole message, or nothing when the connection has ended.
fn read_message(stream: &mut TcpStream, shared: &Shared) -> Option<Value> {
    let mut text = Vec::new();
    loop {
        let mut head = [0; 2];
        stream.read_exact(&mut head).ok()?;
        let length = match head[1] & 0x7f {
            126 => {
                let mut bytes = [0; 2];
                stream.read_exact(&mut bytes).ok()?;
                usize::from(u16::from_be_bytes(bytes))
            }
            127 => {
                let mut bytes = [0; 8];
                stream.read_exact(&mut bytes).ok()?;
                usize::try_from(u64::from_be_bytes(bytes)).ok()?
            }
            length => usize::from(length),
        };
        let mut body = vec![0; length];
        stream.read_exact(&mut body).ok()?;
        match head[0] & 0x0f {
            0 | 1 => text.extend(body),
            8 => return None,
            9 => shared.write_frame(10, &body).ok()?,
            _ => continue,
        }
        if head[0] & 0x80 != 0 && !text.is_empty() {
            return serde_json::from_slice(&text).ok();
        }
    }
}

/// Not `data:`, `blob:`, `about:` and such, which stay in the page.
fn is_remote(url: &Value) -> bool {
    let url = url.as_str().unwrap_or_default();
    ["http:", "https:", "ws:", "wss:", "ftp:"].iter().any(|start| url.starts_with(start))
}

fn argument(value: &Value) -> String {
    match &value["value"] {
        Value::String(text) => text.clone(),
        Value::Null => value["description"].as_str().or(value["type"].as_str()).unwrap_or_default().to_owned(),
        other => other.to_string(),
    }
}

fn exception(details: &Value) -> String {
    let description = details["exception"]["description"].as_str();
    let place = format!("{}:{}", details["url"].as_str().unwrap_or_default(), details["lineNumber"]);
    format!("{} {} ({place})", details["text"].as_str().unwrap_or_default(), description.unwrap_or_default())
}

fn conditions(offline: bool) -> Value {
    json!({ "offline": offline, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1 })
}
