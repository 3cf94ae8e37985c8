//! A line of JSON messages over a WebSocket, as DevTools and WebDriver BiDi speak it: commands with a number each get
//! an answer, and events come in between.

use std::collections::{HashMap, HashSet};
use std::io::{Error, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

#[derive(Default)]
struct State {
    waited: HashSet<u64>,
    replies: HashMap<u64, Value>,
    closed: bool,
}

/// One end of the line. Clones share it; it closes when `close` is called or the other end goes.
#[derive(Clone)]
pub(crate) struct Line {
    shared: Arc<Shared>,
}

struct Shared {
    out: Mutex<TcpStream>,
    next: AtomicU64,
    state: Mutex<State>,
    changed: Condvar,
}

impl Line {
    /// Connects to `ws://address/path`. `on_event` gets each message that answers no command, in order, on a thread of
    /// the line; it may `tell`, but must not `call`.
    pub(crate) fn connect(
        address: &str,
        path: &str,
        on_event: impl Fn(&Self, &Value) + Send + 'static,
    ) -> Result<Self, String> {
        let text = |error: Error| format!("ws://{address}/{path}: {error}");
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
            return Err(format!("ws://{address}/{path} refused: {}", String::from_utf8_lossy(&head)));
        }
        let line = Self {
            shared: Arc::new(Shared {
                out: Mutex::new(stream.try_clone().map_err(text)?),
                next: AtomicU64::new(1),
                state: Mutex::default(),
                changed: Condvar::new(),
            }),
        };
        let own = line.clone();
        std::thread::spawn(move || {
            while let Some(message) = read_message(&mut stream, &own) {
                if !own.take_reply(&message) {
                    on_event(&own, &message);
                }
                own.shared.changed.notify_all();
            }
            own.state().closed = true;
            own.shared.changed.notify_all();
        });
        Ok(line)
    }

    /// Sends a command, an object without its number, and waits for its result. `is_gone` says that none will come.
    pub(crate) fn call(
        &self,
        mut command: Value,
        within: Duration,
        is_gone: impl Fn() -> bool,
    ) -> Result<Value, String> {
        let method = command["method"].as_str().unwrap_or_default().to_owned();
        let id = self.number(&mut command);
        self.state().waited.insert(id);
        self.write_frame(1, command.to_string().as_bytes()).map_err(|error| format!("{method}: {error}"))?;
        let start = Instant::now();
        let mut state = self.state();
        loop {
            if let Some(mut reply) = state.replies.remove(&id) {
                return match reply.get("error") {
                    Some(error) => Err(format!("{method}: {error} {}", reply["message"].as_str().unwrap_or_default())),
                    None => Ok(reply["result"].take()),
                };
            }
            if state.closed {
                return Err(format!("{method}: the browser closed the connection"));
            }
            if start.elapsed() > within {
                return Err(format!("{method}: no reply within {} s", within.as_secs()));
            }
            drop(state);
            if is_gone() {
                return Err(format!("{method}: who was asked is gone"));
            }
            state = self.state();
            // The reply may have come while nobody looked.
            if !state.replies.contains_key(&id) {
                let waited = self.shared.changed.wait_timeout(state, Duration::from_millis(200));
                state = waited.unwrap_or_else(PoisonError::into_inner).0;
            }
        }
    }

    /// Sends a command whose reply is not looked at. An error shows when the connection is read.
    pub(crate) fn tell(&self, mut command: Value) {
        self.number(&mut command);
        drop(self.write_frame(1, command.to_string().as_bytes()));
    }

    pub(crate) fn close(&self) {
        let out = self.shared.out.lock().unwrap_or_else(PoisonError::into_inner);
        drop(out.shutdown(Shutdown::Both));
    }

    fn number(&self, command: &mut Value) -> u64 {
        let id = self.shared.next.fetch_add(1, Ordering::Relaxed);
        command["id"] = json!(id);
        id
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True if the message is an answer, which is kept where somebody waits for it.
    fn take_reply(&self, message: &Value) -> bool {
        let Some(id) = message["id"].as_u64() else { return false };
        let mut state = self.state();
        if state.waited.remove(&id) {
            state.replies.insert(id, message.clone());
        }
        true
    }

    fn write_frame(&self, kind: u8, body: &[u8]) -> std::io::Result<()> {
        // A client masks its frames. Firefox refuses a mask of zeros, which would leave the body as it is.
        const MASK: [u8; 4] = [0x5a, 0xa5, 0x3c, 0xc3];
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
        frame.extend(MASK);
        frame.extend(body.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        self.shared.out.lock().unwrap_or_else(PoisonError::into_inner).write_all(&frame)
    }
}

/// The next whole message, or nothing when the connection has ended.
fn read_message(stream: &mut TcpStream, line: &Line) -> Option<Value> {
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
            9 => line.write_frame(10, &body).ok()?,
            _ => continue,
        }
        if head[0] & 0x80 != 0 && !text.is_empty() {
            return serde_json::from_slice(&text).ok();
        }
    }
}
