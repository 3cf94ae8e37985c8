//! A web server for tests: files of a folder on 127.0.0.1, with ranges, ETags and faults on request, and a record of
//! what was asked.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

const CHUNK: usize = 64 << 10;

/// One answered request.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Asked {
    pub(crate) method: String,
    /// Path as it was sent, with the sub-path and the query.
    pub(crate) path: String,
    pub(crate) range: Option<String>,
    /// The client's `Authorization` header.
    pub(crate) authorization: Option<String>,
    pub(crate) status: u16,
    /// Bytes of the body that were written.
    pub(crate) sent: u64,
}

/// Options for serving.
#[derive(Clone, Default)]
pub(crate) struct ServerOptions {
    /// The sub-path under which the folder appears, as `/pairtune/` on GitHub Pages; empty for the root.
    pub(crate) base: String,
    /// Lets pages of other origins read the answers.
    pub(crate) cors: bool,
    /// Sent with every answer, for example a Content-Security-Policy. Without a Cache-Control, nothing is cached.
    pub(crate) headers: Vec<(String, String)>,
}

/// Faults and other changes at one path.
#[derive(Clone, Default)]
struct Fault {
    /// Breaks the connection after that many bytes of a body, that many times.
    cut: Option<(u64, u32)>,
    bytes_per_second: Option<u64>,
    status: Option<u16>,
    redirect: Option<String>,
    /// The `Authorization` that a client must send to get the file.
    authorization: Option<String>,
}

struct Shared {
    root: PathBuf,
    options: ServerOptions,
    asked: Mutex<Vec<Asked>>,
    faults: Mutex<HashMap<String, Fault>>,
    open: Mutex<Vec<TcpStream>>,
    stop: AtomicBool,
}

/// Serves until it is dropped.
pub(crate) struct StaticServer {
    shared: Arc<Shared>,
    address: SocketAddr,
}

impl StaticServer {
    pub(crate) fn start(root: &Path) -> Self {
        Self::with(root, ServerOptions::default())
    }

    pub(crate) fn with(root: &Path, mut options: ServerOptions) -> Self {
        assert!(root.is_dir(), "{} is no folder to serve", root.display());
        options.base = match options.base.trim_matches('/') {
            "" => "/".to_owned(),
            base => format!("/{base}/"),
        };
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let address = listener.local_addr().expect("the listener has an address");
        let shared = Arc::new(Shared {
            root: root.to_owned(),
            options,
            asked: Mutex::default(),
            faults: Mutex::default(),
            open: Mutex::default(),
            stop: AtomicBool::new(false),
        });
        let own = Arc::clone(&shared);
        std::thread::spawn(move || accept(&listener, &own));
        Self { shared, address }
    }

    /// The address of a path inside the folder.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{}{}", self.address, self.shared.options.base, path.trim_start_matches('/'))
    }

    /// `http://127.0.0.1:port`, what requests to this server start with.
    pub(crate) fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Every request so far, in the order of the answers' ends.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        lock(&self.shared.asked).clone()
    }

    /// The requests for one path inside the folder.
    pub(crate) fn asked_for(&self, path: &str) -> Vec<Asked> {
        let full = format!("{}{}", self.shared.options.base, path.trim_start_matches('/'));
        let mut asked = self.asked();
        asked.retain(|one| one.path.split('?').next() == Some(full.as_str()));
        asked
    }

    /// Breaks the connection after `bytes` of the body, for the next `times` requests of that path.
    pub(crate) fn cut_after(&self, path: &str, bytes: u64, times: u32) {
        self.fault(path, |fault| fault.cut = Some((bytes, times)));
    }

    /// Sends no faster than this, so that a download can be watched or cancelled; `None` ends it.
    pub(crate) fn slow_down(&self, path: &str, bytes_per_second: Option<u64>) {
        self.fault(path, |fault| fault.bytes_per_second = bytes_per_second);
    }

    /// Answers with that status and no file; `None` ends it.
    pub(crate) fn answer_with(&self, path: &str, status: Option<u16>) {
        self.fault(path, |fault| fault.status = status);
    }

    /// Sends the client to another address, as the Hub does for large files.
    pub(crate) fn redirect(&self, path: &str, to: &str) {
        self.fault(path, |fault| fault.redirect = Some(to.to_owned()));
    }

    /// Gives a file only to those who show this token, as the Hub does for gated models.
    pub(crate) fn ask_for_token(&self, path: &str, token: &str) {
        self.fault(path, |fault| fault.authorization = Some(format!("Bearer {token}")));
    }

    fn fault(&self, path: &str, change: impl FnOnce(&mut Fault)) {
        change(lock(&self.shared.faults).entry(path.trim_start_matches('/').to_owned()).or_default());
    }
}

impl Drop for StaticServer {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
        for stream in lock(&self.shared.open).drain(..) {
            drop(stream.shutdown(Shutdown::Both));
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming().flatten() {
        if shared.stop.load(Ordering::SeqCst) {
            return;
        }
        if let Ok(copy) = stream.try_clone() {
            lock(&shared.open).push(copy);
        }
        let own = Arc::clone(shared);
        std::thread::spawn(move || {
            // The client went away: that is its right.
            drop(converse(&stream, &own));
            drop(stream.shutdown(Shutdown::Both));
        });
    }
}

/// Answers the requests of one connection until one side ends it.
fn converse(stream: &TcpStream, shared: &Shared) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut input = BufReader::new(stream.try_clone()?);
    loop {
        let mut line = String::new();
        if input.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let mut words = line.split_whitespace();
        let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let mut headers = HashMap::new();
        loop {
            let mut line = String::new();
            if input.read_line(&mut line)? == 0 || line.trim().is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(':') {
                headers.insert(name.trim().to_ascii_lowercase(), value.trim().to_owned());
            }
        }
        let length = headers.get("content-length").and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
        std::io::copy(&mut (&mut input).take(length), &mut std::io::sink())?;
        let mut answer = Answer { stream, shared, head: method == "HEAD", sent: 0, status: 0 };
        let done = answer.give(method, path, &headers);
        let (status, sent) = (answer.status, answer.sent);
        let (range, authorization) = (headers.get("range").cloned(), headers.get("authorization").cloned());
        let (method, path) = (method.to_owned(), path.to_owned());
        lock(&shared.asked).push(Asked { method, path, range, authorization, status, sent });
        if !done? || headers.get("connection").is_some_and(|value| value.eq_ignore_ascii_case("close")) {
            return Ok(());
        }
    }
}

struct Answer<'a> {
    stream: &'a TcpStream,
    shared: &'a Shared,
    head: bool,
    sent: u64,
    status: u16,
}

impl Answer<'_> {
    /// True where the connection can go on.
    fn give(&mut self, method: &str, path: &str, headers: &HashMap<String, String>) -> std::io::Result<bool> {
        if method == "OPTIONS" {
            return self.plain(204, &[]);
        }
        let path = path.split(['?', '#']).next().unwrap_or_default();
        let Some(inside) = path.strip_prefix(self.shared.options.base.as_str()).map(decode) else {
            return self.plain(404, &[]);
        };
        let fault = lock(&self.shared.faults).get(&inside).cloned().unwrap_or_default();
        if fault.authorization.is_some() && headers.get("authorization") != fault.authorization.as_ref() {
            return self.plain(401, &[]);
        }
        if let Some(to) = &fault.redirect {
            return self.plain(302, &[("Location", to)]);
        }
        if let Some(status) = fault.status {
            return self.plain(status, &[]);
        }
        if inside.split('/').any(|part| part == "..") {
            return self.plain(403, &[]);
        }
        let mut file = self.shared.root.join(&inside);
        if file.is_dir() {
            file.push("index.html");
        }
        let Ok(mut open) = std::fs::File::open(&file) else {
            return self.plain(404, &[]);
        };
        let about = open.metadata()?;
        let size = about.len();
        let changed = about.modified().ok().and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
        let tag = format!("\"{size:x}-{:x}\"", changed.unwrap_or_default().as_nanos());
        if headers.get("if-none-match").is_some_and(|seen| *seen == tag) {
            return self.plain(304, &[("ETag", &tag)]);
        }
        let wanted = match headers.get("if-range") {
            Some(seen) if *seen != tag => None,
            _ => headers.get("range"),
        };
        let mut fields = vec![
            ("Content-Type", mime(&file)),
            ("ETag", &tag),
            ("Accept-Ranges", "bytes"),
            ("Cache-Control", "no-cache"),
        ];
        let all = format!("bytes */{size}");
        let (from, to) = match wanted.map(|range| span(range, size)) {
            None => (0, size),
            Some(Some(span)) => span,
            Some(None) => return self.plain(416, &[("Content-Range", &all)]),
        };
        let part = format!("bytes {from}-{}/{size}", to.saturating_sub(1));
        if wanted.is_some() {
            fields.push(("Content-Range", &part));
        }
        self.start(if wanted.is_some() { 206 } else { 200 }, to - from, &fields)?;
        if self.head {
            return Ok(true);
        }
        let limit = self.cut(&inside).unwrap_or(u64::MAX);
        open.seek(SeekFrom::Start(from))?;
        self.body(&mut open, to - from, limit, fault.bytes_per_second)
    }

    /// The number of bytes after which this answer breaks off, if it has to.
    fn cut(&self, inside: &str) -> Option<u64> {
        let mut faults = lock(&self.shared.faults);
        let (bytes, times) = faults.get_mut(inside)?.cut.as_mut()?;
        *times = times.checked_sub(1)?;
        Some(*bytes)
    }

    fn body(&mut self, file: &mut std::fs::File, length: u64, limit: u64, rate: Option<u64>) -> std::io::Result<bool> {
        let begun = Instant::now();
        let mut buffer = vec![0; rate.map_or(CHUNK, |rate| (rate as usize / 20).clamp(1, CHUNK))];
        while self.sent < length.min(limit) {
            let want = (length.min(limit) - self.sent).min(buffer.len() as u64) as usize;
            let got = file.read(&mut buffer[..want])?;
            if got == 0 {
                return Ok(false);
            }
            self.stream.write_all(&buffer[..got])?;
            self.sent += got as u64;
            if let Some(rate) = rate {
                let due = Duration::from_secs_f64(self.sent as f64 / rate as f64);
                std::thread::sleep(due.saturating_sub(begun.elapsed()));
            }
            if self.shared.stop.load(Ordering::SeqCst) {
                return Ok(false);
            }
        }
        if self.sent < length {
            // A client throws away what it has not read when the connection breaks.
            std::thread::sleep(Duration::from_millis(300));
        }
        Ok(self.sent == length)
    }

    fn plain(&mut self, status: u16, fields: &[(&str, &str)]) -> std::io::Result<bool> {
        let text = if matches!(status, 204 | 304) { String::new() } else { format!("{status}\n") };
        self.start(status, text.len() as u64, fields)?;
        if !self.head {
            self.stream.write_all(text.as_bytes())?;
            self.sent = text.len() as u64;
        }
        Ok(true)
    }

    fn start(&mut self, status: u16, length: u64, fields: &[(&str, &str)]) -> std::io::Result<()> {
        self.status = status;
        let mut text = format!("HTTP/1.1 {status} Test\r\n");
        if !matches!(status, 204 | 304) {
            text += &format!("Content-Length: {length}\r\n");
        }
        let own = self.shared.options.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        if !own.clone().any(|(name, _)| name.eq_ignore_ascii_case("cache-control")) {
            // No answer may come from a cache, so that every request of a page arrives here.
            text += "Cache-Control: no-store\r\n";
        }
        for (name, value) in fields.iter().copied().chain(own) {
            text += &format!("{name}: {value}\r\n");
        }
        if self.shared.options.cors {
            text += "Access-Control-Allow-Origin: *\r\nAccess-Control-Allow-Headers: *\r\n\
                     Access-Control-Allow-Methods: GET, HEAD, OPTIONS\r\n\
                     Access-Control-Expose-Headers: Content-Length, Content-Range, ETag, Accept-Ranges\r\n";
        }
        self.stream.write_all((text + "\r\n").as_bytes())
    }
}

/// `bytes=a-b`, `bytes=a-` or `bytes=-n` as from and to-but-not-including, if that lies in the file.
fn span(range: &str, size: u64) -> Option<(u64, u64)> {
    let (from, to) = range.strip_prefix("bytes=")?.split_once('-')?;
    let (from, to) = match (from.trim(), to.trim()) {
        ("", last) => (size.saturating_sub(last.parse().ok()?), size),
        (from, "") => (from.parse().ok()?, size),
        (from, to) => (from.parse().ok()?, to.parse::<u64>().ok()?.saturating_add(1).min(size)),
    };
    (from < to).then_some((from, to))
}

fn decode(path: &str) -> String {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let [first, after @ ..] = rest {
        let hex = after.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        match hex.and_then(|two| u8::from_str_radix(two, 16).ok()) {
            Some(byte) if *first == b'%' => {
                bytes.push(byte);
                rest = &after[2..];
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn mime(path: &Path) -> &'static str {
    match path.extension().and_then(|end| end.to_str()).unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "wasm" => "application/wasm",
        "json" => "application/json",
        "jsonl" | "txt" | "md" | "wgsl" | "jinja" => "text/plain; charset=utf-8",
        "webmanifest" => "application/manifest+json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "zip" => "application/zip",
        _ => "application/octet-stream",
    }
}
