//! A second line into Chromium beside WebDriver: the DevTools protocol, attached to every page and worker from their
//! first moment, so that no request and no message of a worker is missed.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

use super::browser::{Message, Sent, is_remote};
use super::websocket::Line;

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

#[derive(Default)]
struct State {
    targets: Vec<Target>,
    messages: Vec<Message>,
    sent: Vec<Sent>,
    crashed: HashSet<String>,
    offline: bool,
}

/// State gathered from the events so far.
#[derive(Clone, Default)]
struct Seen {
    state: Arc<Mutex<State>>,
}

pub(crate) struct Cdp {
    line: Line,
    seen: Seen,
}

impl Cdp {
    /// Connects to the debugger at `host:port` and attaches to all that is there or comes.
    pub(crate) fn connect(address: &str) -> Result<Self, String> {
        let mut version = ureq::get(format!("http://{address}/json/version")).call().map_err(|e| e.to_string())?;
        let version = version.body_mut().read_to_string().map_err(|e| e.to_string())?;
        let version: Value = serde_json::from_str(&version).map_err(|e| e.to_string())?;
        let url = version["webSocketDebuggerUrl"].as_str().ok_or("no webSocketDebuggerUrl")?;
        let path = url.splitn(4, '/').nth(3).ok_or("no path in webSocketDebuggerUrl")?;
        let seen = Seen::default();
        let own = seen.clone();
        let line = Line::connect(address, path, move |line, message| own.event(line, message))?;
        tell(&line, "Target.setDiscoverTargets", json!({ "discover": true }), None);
        attach(&line, None);
        Ok(Self { line, seen })
    }

    /// A command to the browser itself.
    pub(crate) fn call(&self, method: &str, params: Value) -> Result<Value, String> {
        self.line.call(command(method, params, None), REPLY_WITHIN, || false)
    }

    /// A command to one page or worker.
    pub(crate) fn call_in(&self, target: &Target, method: &str, params: Value) -> Result<Value, String> {
        let is_gone = || !self.seen.state().targets.iter().any(|known| known.session == target.session);
        self.line.call(command(method, params, Some(&target.session)), REPLY_WITHIN, is_gone)
    }

    /// A command that gets no reply because it ends its target.
    pub(crate) fn tell_in(&self, target: &Target, method: &str) {
        tell(&self.line, method, json!({}), Some(&target.session));
    }

    pub(crate) fn has_crashed(&self, target: &Target) -> bool {
        self.seen.state().crashed.contains(&target.session)
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
        self.seen.state().targets.clone()
    }

    pub(crate) fn messages(&self) -> Vec<Message> {
        self.seen.state().messages.clone()
    }

    pub(crate) fn sent(&self) -> Vec<Sent> {
        self.seen.state().sent.clone()
    }

    /// Forgets the messages and requests so far.
    pub(crate) fn forget(&self) {
        let mut state = self.seen.state();
        state.messages.clear();
        state.sent.clear();
    }

    /// Cuts pages and workers off the network, those that come later too, or joins them again.
    pub(crate) fn set_offline(&self, offline: bool) {
        let targets = {
            let mut state = self.seen.state();
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
        self.line.close();
    }
}

impl Seen {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn event(&self, line: &Line, message: &Value) {
        let (params, session) = (&message["params"], &message["sessionId"]);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let from = |state: &State| {
            let target = state.targets.iter().find(|target| session == &target.session);
            target.map_or_else(String::new, |target| target.kind.clone())
        };
        let mut state = self.state();
        match message["method"].as_str().unwrap_or_default() {
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
                    return tell(line, "Runtime.runIfWaitingForDebugger", json!({}), Some(&session));
                }
                state.targets.push(target);
                let offline = state.offline;
                drop(state);
                for domain in ["Network.enable", "Runtime.enable", "Log.enable"] {
                    tell(line, domain, json!({}), Some(&session));
                }
                if offline {
                    tell(line, "Network.emulateNetworkConditions", conditions(true), Some(&session));
                }
                attach(line, Some(&session));
                tell(line, "Runtime.runIfWaitingForDebugger", json!({}), Some(&session));
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
            "Network.requestWillBeSent" if is_remote(params["request"]["url"].as_str().unwrap_or_default()) => {
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
}

fn command(method: &str, params: Value, session: Option<&str>) -> Value {
    let mut command = json!({ "method": method, "params": params });
    if let Some(session) = session {
        command["sessionId"] = json!(session);
    }
    command
}

fn tell(line: &Line, method: &str, params: Value, session: Option<&str>) {
    line.tell(command(method, params, session));
}

/// Asks to be attached to what the browser, or one target, has below it. New ones wait until we listen.
fn attach(line: &Line, session: Option<&str>) {
    let without = ["browser", "tab", "browser_ui"].map(|kind| json!({ "type": kind, "exclude": true }));
    let filter: Vec<Value> = without.into_iter().chain([json!({})]).collect();
    let params = json!({ "autoAttach": true, "waitForDebuggerOnStart": true, "flatten": true, "filter": filter });
    tell(line, "Target.setAutoAttach", params, session);
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
