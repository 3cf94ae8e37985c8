//! The platform facade over the browser, for the engine in its worker: chosen files by range, the origin private file
//! system, ranges of addresses, the clock. All of it works on the page too, but for `StoreWriter`.

use std::fmt;

use js_sys::{Array, AsyncIterator, Date, Function, Promise, Reflect, Uint8Array};
use wasm_bindgen::{JsCast as _, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    Blob, File, FileSystemDirectoryHandle, FileSystemFileHandle, FileSystemGetDirectoryOptions,
    FileSystemGetFileOptions, FileSystemReadWriteOptions, FileSystemRemoveOptions, FileSystemSyncAccessHandle,
    FileSystemWritableFileStream, Headers, MessageChannel, Performance, PerformanceResourceTiming,
    ReadableStreamDefaultReader, ReferrerPolicy, RequestCache, RequestCredentials, RequestInit, Response,
};

use super::bytes::{ByteSource, LocalFuture, read_all, short_read};
use super::picked::FileSet;
use super::types::{NetworkEntry, Purpose, Usage, is_temporary, path_parts, split_path, storage_full};
pub use super::web_gpu::{adapter_names, available_memory, video_memory};
pub use super::web_ui::{
    Then, address, announce, claim_gpu, crash, environment, export_folder, files_at, fragment, keep_awake, mirror,
    notify, on_battery, open_folder, persist, pick, pick_at, reload, save_copy, save_file, set_fragment, set_title,
    show_crashes, started, system_models, warn_before_leaving,
};
use crate::error::{Error, Result};

/// Result of JavaScript: the value that it returned or threw.
pub(super) type JsResult<T = JsValue> = std::result::Result<T, JsValue>;

/// A file that the user chose. Its bytes stay in the browser until they are read.
#[derive(Clone)]
pub struct PickedFile {
    file: File,
    folder: String,
}

impl PickedFile {
    /// A file of a form, a drop or a message; its folder is the one that it was chosen with.
    pub fn from_file(file: File) -> Self {
        let path = text(&file, "webkitRelativePath");
        let folder = path.rsplit('/').nth(1).unwrap_or_default().to_owned();
        Self { file, folder }
    }

    /// Bytes in memory as a file of this name.
    pub fn from_bytes(name: &str, bytes: Vec<u8>) -> Result<Self> {
        let file = File::new_with_u8_array_sequence(&Array::of1(&Uint8Array::from(bytes.as_slice())), name);
        let failed = |e: JsValue| Error::device(format!("The browser takes no file: {}", message(&e)), "Choose a file");
        file.map(Self::from_file).map_err(failed)
    }

    /// The same file, as chosen with the folder of this name.
    pub fn in_folder(self, folder: impl Into<String>) -> Self {
        Self { folder: folder.into(), ..self }
    }

    /// The browser's file, to send it to the worker.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Its name, without folders.
    pub fn name(&self) -> String {
        self.file.name()
    }

    /// Name of the folder that it was chosen with; empty if it was chosen by itself.
    pub fn folder(&self) -> String {
        self.folder.clone()
    }

    /// Its whole path as text; no browser tells.
    pub fn whole_path(&self) -> Option<String> {
        None
    }

    /// The folder that it is in; no browser tells.
    pub fn place(&self) -> Option<String> {
        None
    }

    /// Length in bytes.
    pub fn len(&self) -> u64 {
        self.file.size() as u64
    }

    /// True if it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Opens it for reading.
    pub fn source(&self) -> Result<Box<dyn ByteSource>> {
        Ok(Box::new(BlobSource { name: self.name(), len: self.len(), blob: self.file.clone().into() }))
    }
}

impl fmt::Debug for PickedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PickedFile({:?} in {:?}, {} bytes)", self.name(), self.folder, self.len())
    }
}

/// The bytes behind a `File`, of which only the ranges that are asked for come into memory.
struct BlobSource {
    name: String,
    len: u64,
    blob: Blob,
}

impl ByteSource for BlobSource {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, len: usize) -> LocalFuture<'_, Result<Vec<u8>>> {
        Box::pin(async move {
            let end = offset.saturating_add(len as u64);
            if end > self.len {
                return Err(short_read(&self.name, offset, len, self.len));
            }
            let failed = |e: JsValue| {
                Error::input(
                    format!("Could not read it: {}", message(&e)),
                    "It was probably changed or moved after it was chosen: choose it again",
                    self.name.as_str(),
                )
            };
            let mut bytes = Vec::new();
            if bytes.try_reserve_exact(len).is_err() {
                let what = format!("There is no memory for {} MiB", len >> 20);
                return Err(Error::input(what, "Choose a smaller file, or use the desktop app", self.name.as_str()));
            }
            let range = self.blob.slice_with_f64_and_f64(offset as f64, end as f64).map_err(failed)?;
            let buffer = JsFuture::from(range.array_buffer()).await.map_err(failed)?;
            let read = Uint8Array::new(&buffer);
            if read.length() as usize != len {
                return Err(short_read(&self.name, offset, len, offset + u64::from(read.length())));
            }
            bytes.resize(len, 0);
            read.copy_to(&mut bytes);
            Ok(bytes)
        })
    }
}

/// The app's own storage: a folder in the browser's private file system of this origin. Paths in it are relative, with
/// `/` between the parts; the folders in them are made when something is written.
#[derive(Debug, Clone)]
pub struct Store {
    root: FileSystemDirectoryHandle,
}

impl Store {
    /// Opens the storage under the name `root`; an empty `root` stands for `pairtune`.
    pub async fn open(root: &str) -> Result<Self> {
        let failed = |e: JsValue| {
            Error::device(
                format!("This page may not store files: {}", message(&e)),
                "Open it by https and not in a private window, and allow it to keep data",
            )
        };
        let origin = call_async(&storage(), "getDirectory", &[]).await.map_err(failed)?;
        let origin: FileSystemDirectoryHandle = origin.unchecked_into();
        let name = if root.is_empty() { "pairtune" } else { root };
        let root = folder_in(&origin, path_parts(name)?, true).await.map_err(failed)?;
        Ok(Self { root })
    }

    /// Location of the storage, for the user to read.
    pub fn location(&self) -> String {
        "this browser's storage".to_owned()
    }

    /// Names of the files and folders directly in `dir`, sorted; empty if there is no such folder.
    pub async fn list(&self, dir: &str) -> Result<Vec<String>> {
        let entries = match folder_in(&self.root, path_parts(dir)?, false).await {
            Ok(folder) => entries(&folder).await,
            Err(e) => Err(e),
        };
        let entries = found(entries).map_err(|e| store_error(&e, "list", dir))?.unwrap_or_default();
        let mut names: Vec<String> = entries.iter().map(|entry| text(entry, "name")).collect();
        names.retain(|name| !is_temporary(name));
        names.sort();
        Ok(names)
    }

    /// True if there is a file or folder at `path`.
    pub async fn exists(&self, path: &str) -> Result<bool> {
        let parts = path_parts(path)?;
        Ok(self.entry(&parts).await.map_err(|e| store_error(&e, "look for", path))?.is_some())
    }

    /// Reads a whole file.
    pub async fn read(&self, path: &str) -> Result<Vec<u8>> {
        read_all(self.source(path).await?.as_ref()).await
    }

    /// Writes a whole file: a reader sees the old one or the new one.
    pub async fn write(&self, path: &str, bytes: &[u8]) -> Result<()> {
        let (folders, name) = split_path(path)?;
        let written = async {
            let folder = folder_in(&self.root, folders, true).await?;
            // The browser swaps new content in at once, but a new file would exist empty until then. So a new file is
            // written under another name until it is whole, where the browser can rename.
            let is_new = found(file_in(&folder, name, false).await)?.is_none();
            if is_new {
                let temporary = format!("{name}.tmp");
                let file = file_in(&folder, &temporary, true).await?;
                if Reflect::has(&file, &"move".into())? {
                    let moved = match swap_in(&file, bytes).await {
                        Ok(()) => call_async(&file, "move", &[name.into()]).await,
                        Err(e) => Err(e),
                    };
                    if moved.is_err() {
                        drop(JsFuture::from(folder.remove_entry(&temporary)).await);
                    }
                    return moved.map(|_| ());
                }
                JsFuture::from(folder.remove_entry(&temporary)).await?;
            }
            swap_in(&file_in(&folder, name, true).await?, bytes).await
        };
        match written.await {
            Ok(()) => Ok(()),
            Err(e) => Err(write_error(&e, bytes.len(), path).await),
        }
    }

    /// Fails: renaming a file is not supported here, and nothing needs it.
    pub async fn rename(&self, from: &str, _to: &str) -> Result<()> {
        Err(Error::input("A page gives no file another name", "Use the desktop app", from))
    }

    /// Fails: a browser's storage has no links to give a file a second name.
    pub async fn link(&self, file: &str, _name: &str) -> Result<()> {
        Err(Error::input("A page gives no file a second name", "Use the desktop app", file))
    }

    /// Removes a file, or a folder with everything in it; does nothing if there is none.
    pub async fn remove(&self, path: &str) -> Result<()> {
        let (folders, name) = split_path(path)?;
        let options = FileSystemRemoveOptions::new();
        options.set_recursive(true);
        let removed = match folder_in(&self.root, folders, false).await {
            Ok(folder) => JsFuture::from(folder.remove_entry_with_options(name, &options)).await,
            Err(e) => Err(e),
        };
        found(removed).map(|_| ()).map_err(|e| store_error(&e, "remove", path))
    }

    /// Bytes of a file, or of all files in a folder and below it; 0 if there is none.
    pub async fn size(&self, dir: &str) -> Result<u64> {
        let failed = |e: JsValue| store_error(&e, "measure", dir);
        let mut pending: Vec<JsValue> = self.entry(&path_parts(dir)?).await.map_err(failed)?.into_iter().collect();
        let mut bytes = 0;
        while let Some(entry) = pending.pop() {
            if text(&entry, "kind") == "directory" {
                pending.extend(found(entries(entry.unchecked_ref()).await).map_err(failed)?.unwrap_or_default());
            } else {
                // A file that is gone by now has no bytes.
                let file = found(JsFuture::from(entry.unchecked_ref::<FileSystemFileHandle>().get_file()).await);
                bytes += file.map_err(failed)?.map_or(0, |file| file.unchecked_into::<File>().size() as u64);
            }
        }
        Ok(bytes)
    }

    /// Opens a file for reading by range.
    pub async fn source(&self, path: &str) -> Result<Box<dyn ByteSource>> {
        let (folders, name) = split_path(path)?;
        let opened = async {
            let folder = folder_in(&self.root, folders, false).await?;
            JsFuture::from(file_in(&folder, name, false).await?.get_file()).await
        };
        let file: File = opened.await.map_err(|e| store_error(&e, "read", path))?.unchecked_into();
        Ok(Box::new(BlobSource { name: path.to_owned(), len: file.size() as u64, blob: file.into() }))
    }

    /// The files directly in the folder `path`; the error says that there is no such folder.
    pub async fn folder(&self, path: &str) -> Result<FileSet> {
        let parts = path_parts(path)?;
        let name = parts.last().copied().unwrap_or_default().to_owned();
        let opened = async {
            let folder = folder_in(&self.root, parts, false).await?;
            let mut files = Vec::new();
            for entry in entries(&folder).await? {
                if text(&entry, "kind") == "file" && !is_temporary(&text(&entry, "name")) {
                    let file = JsFuture::from(entry.unchecked_into::<FileSystemFileHandle>().get_file()).await?;
                    files.push(PickedFile::from_file(file.unchecked_into()).in_folder(name.as_str()));
                }
            }
            Ok(files)
        };
        Ok(FileSet::new(path, opened.await.map_err(|e| store_error(&e, "open", path))?))
    }

    /// Opens a file for writing from byte `offset` on, in a worker. Bytes before `offset` stay and must be there; bytes
    /// after it are cut off.
    pub async fn create(&self, path: &str, offset: u64) -> Result<StoreWriter> {
        let (folders, name) = split_path(path)?;
        let failed = |e: JsValue| store_error(&e, "write", path);
        let opened = async {
            let folder = folder_in(&self.root, folders, true).await?;
            let file = file_in(&folder, name, true).await?;
            call_async(&file, "createSyncAccessHandle", &[]).await
        };
        let handle: FileSystemSyncAccessHandle = opened.await.map_err(failed)?.unchecked_into();
        // Dropping the writer releases the file, also after an error below.
        let writer = StoreWriter { path: path.to_owned(), handle, end: offset };
        let len = writer.handle.get_size().map_err(failed)? as u64;
        if len < offset {
            return Err(Error::input(
                format!("The stored part has {len} bytes, but writing was to go on at byte {offset}"),
                "Start over",
                path,
            ));
        }
        if len > offset {
            writer.handle.truncate_with_f64(offset as f64).map_err(failed)?;
        }
        Ok(writer)
    }

    /// Space that the storage uses, with the browser's other data for this page. Chromium makes the quota up: it is
    /// always 10 GiB more than the space in use, so only a write tells what fits.
    pub async fn usage(&self) -> Result<Usage> {
        let failed = |e: JsValue| store_error(&e, "measure", "");
        let estimate = call_async(&storage(), "estimate", &[]).await.map_err(failed)?;
        let persisted = call_async(&storage(), "persisted", &[]).await.map_err(failed)?;
        Ok(Usage {
            used: number(&estimate, "usage").unwrap_or_default() as u64,
            quota: number(&estimate, "quota").map(|bytes| bytes as u64),
            persisted: persisted.is_truthy(),
        })
    }

    /// Asks the browser not to clear the storage by itself; true if it agrees. Some browsers answer on the page only.
    pub async fn persist(&self) -> Result<bool> {
        let storage = storage();
        let name = if Reflect::has(&storage, &"persist".into()).unwrap_or(false) { "persist" } else { "persisted" };
        let agreed = call_async(&storage, name, &[]).await;
        Ok(agreed.map_err(|e| store_error(&e, "keep", ""))?.is_truthy())
    }

    /// The handle of a file or folder, if it is there.
    async fn entry(&self, parts: &[&str]) -> JsResult<Option<JsValue>> {
        let Some((name, folders)) = parts.split_last() else { return Ok(Some(self.root.clone().into())) };
        let Some(folder) = found(folder_in(&self.root, folders.to_vec(), false).await)? else { return Ok(None) };
        match found(file_in(&folder, name, false).await)? {
            Some(file) => Ok(Some(file.into())),
            None => Ok(found(folder_in(&folder, vec![name], false).await)?.map(JsValue::from)),
        }
    }
}

/// A file of the storage, written from front to back. Dropping it closes the file with the bytes written so far.
#[derive(Debug)]
pub struct StoreWriter {
    path: String,
    handle: FileSystemSyncAccessHandle,
    end: u64,
}

impl StoreWriter {
    /// Appends bytes.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let options = FileSystemReadWriteOptions::new();
            options.set_at(self.end as f64);
            match self.handle.write_with_u8_array_and_options(rest, &options) {
                Ok(count) if count >= 1.0 => {
                    let count = (count as usize).min(rest.len());
                    self.end += count as u64;
                    rest = &rest[count..];
                }
                Ok(_) => return Err(full(rest.len(), &self.path).await),
                Err(e) => return Err(write_error(&e, rest.len(), &self.path).await),
            }
        }
        Ok(())
    }

    /// Offset of the next byte, which is the length of the file.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Closes the file, once everything is on the disk.
    pub async fn finish(self) -> Result<()> {
        match self.handle.flush() {
            Ok(()) => Ok(()),
            Err(e) => Err(write_error(&e, 0, &self.path).await),
        }
    }
}

impl Drop for StoreWriter {
    /// Closes the file, so that it can be opened again.
    fn drop(&mut self) {
        self.handle.close();
    }
}

/// The Hugging Face Hub, from which a page fetches into its own storage, and without a token.
pub struct Hub {
    /// Its address.
    pub endpoint: String,
    /// Places where a token is looked for: none.
    pub token_places: Option<String>,
}

impl Hub {
    /// The public Hub, the same for everybody.
    pub fn of_this_person() -> Self {
        Self { endpoint: "https://huggingface.co".to_owned(), token_places: None }
    }

    /// Destination of downloads, for the user to read.
    pub fn place(&self) -> String {
        "this browser's storage".to_owned()
    }

    /// The cache that other tools share; a page shares none.
    pub async fn cache(&self) -> Result<Option<Store>> {
        Ok(None)
    }

    /// Advice about a model that the server gives only to some users.
    pub fn fix_for_refusal(&self, _url: &str) -> String {
        "Choose a model that anyone may download, or fetch it with the desktop app and choose its files".to_owned()
    }

    /// Asks a server for the bytes of `url` from `begin` on.
    pub async fn fetch_range(&self, url: &str, begin: u64) -> Result<Fetched> {
        let failed = |e: JsValue| fetch_error(&e, "did not begin", url);
        let headers = Headers::new().map_err(failed)?;
        headers.set("Range", &format!("bytes={begin}-")).map_err(failed)?;
        let init = RequestInit::new();
        init.set_headers(&headers);
        // Gigabytes are kept in the storage, not a second time in the browser's cache; and no site learns who asks.
        init.set_cache(RequestCache::NoStore);
        init.set_credentials(RequestCredentials::Omit);
        init.set_referrer_policy(ReferrerPolicy::NoReferrer);
        let response = call_async(&js_sys::global(), "fetch", &[url.into(), init.into()]).await.map_err(failed)?;
        let response: Response = response.unchecked_into();
        let body = response.body().map(|stream| stream.get_reader().unchecked_into());
        Ok(Fetched { status: response.status(), meaning: response.status_text(), url: response.url(), body })
    }
}

/// A server's answer whose head is there and whose body comes in pieces. Dropping it ends the transfer.
#[derive(Debug)]
pub struct Fetched {
    /// 206 for the range; 200 for the whole file, from its start, if the server has no ranges.
    pub status: u16,
    /// Meaning of the status, if the server says so.
    pub meaning: String,
    /// The address that answered in the end.
    pub url: String,
    body: Option<ReadableStreamDefaultReader>,
}

impl Fetched {
    /// The next bytes; none at the end.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>> {
        let Some(body) = &self.body else { return Ok(None) };
        let piece = match JsFuture::from(body.read()).await {
            Ok(piece) => piece,
            Err(e) => {
                self.body = None;
                return Err(fetch_error(&e, "broke off", &self.url));
            }
        };
        if property(&piece, "done").is_truthy() {
            self.body = None;
            return Ok(None);
        }
        Ok(Some(Uint8Array::new(&property(&piece, "value")).to_vec()))
    }
}

impl Drop for Fetched {
    fn drop(&mut self) {
        if let Some(body) = self.body.take() {
            ignore(&body.cancel());
        }
    }
}

/// The error of a transfer that `went` wrong without an answer.
fn fetch_error(e: &JsValue, went: &str, url: &str) -> Error {
    let fix = match property(&property(&js_sys::global(), "navigator"), "onLine").as_bool() {
        Some(false) => "There is no network: connect to it and try again",
        _ => "Try again; if it stays so, the server or a blocker keeps pages from reading it: download it yourself",
    };
    Error::input(format!("The download {went}: {}", message(e)), fix, url)
}

/// Seconds since the page or worker began, for measuring.
pub fn seconds() -> f64 {
    match property(&js_sys::global(), "performance").dyn_into::<Performance>() {
        Ok(performance) => performance.now() / 1000.0,
        Err(_) => unix_seconds(),
    }
}

/// Seconds since 1970.
pub fn unix_seconds() -> f64 {
    Date::now() / 1000.0
}

/// Lets waiting messages come in.
pub async fn yield_now() {
    let Ok(channel) = MessageChannel::new() else { return };
    let (here, there) = (channel.port1(), channel.port2());
    let came = Promise::new(&mut |resolve: Function, _reject: Function| here.set_onmessage(Some(&resolve)));
    if there.post_message(&JsValue::NULL).is_ok() {
        drop(JsFuture::from(came).await);
    }
    here.set_onmessage(None);
    here.close();
}

/// Waits so many seconds.
pub async fn sleep(seconds: f64) {
    let global = js_sys::global();
    let over = Promise::new(&mut |resolve: Function, _reject: Function| {
        drop(call(&global, "setTimeout", &[resolve.into(), (seconds.max(0.0) * 1000.0).into()]));
    });
    drop(JsFuture::from(over).await);
}

/// Requests of this page, or of this worker, so far; each lists only its own.
pub fn network_ledger() -> Vec<NetworkEntry> {
    // Browsers list 250 entries unless told otherwise.
    const ENTRIES: u32 = 10_000;
    let global = js_sys::global();
    let Ok(performance) = property(&global, "performance").dyn_into::<Performance>() else { return Vec::new() };
    performance.set_resource_timing_buffer_size(ENTRIES);
    let origin = format!("{}/", text(&global, "origin"));
    let entries =
        ["navigation", "resource"].into_iter().flat_map(|kind| performance.get_entries_by_type(kind).to_vec());
    let entries = entries.map(|entry| {
        let entry: PerformanceResourceTiming = entry.unchecked_into();
        let url = text(&entry, "name");
        // A file from the cache counts without its headers.
        let bytes = |name: &str| number(&entry, name).unwrap_or_default() as u64;
        let is_own = url.strip_prefix("blob:").unwrap_or(&url).starts_with(&origin);
        let purpose = if is_own { Purpose::App } else { Purpose::Other };
        NetworkEntry { bytes: bytes("transferSize").max(bytes("encodedBodySize")), url, purpose }
    });
    entries.collect()
}

/// `navigator.storage`, undefined where the page may not store anything.
fn storage() -> JsValue {
    property(&property(&js_sys::global(), "navigator"), "storage")
}

/// Returns the folder at the end of these nested names.
async fn folder_in(
    folder: &FileSystemDirectoryHandle,
    names: Vec<&str>,
    create: bool,
) -> JsResult<FileSystemDirectoryHandle> {
    let options = FileSystemGetDirectoryOptions::new();
    options.set_create(create);
    let mut folder = folder.clone();
    for name in names {
        folder = JsFuture::from(folder.get_directory_handle_with_options(name, &options)).await?.unchecked_into();
    }
    Ok(folder)
}

/// A file directly in a folder.
async fn file_in(folder: &FileSystemDirectoryHandle, name: &str, create: bool) -> JsResult<FileSystemFileHandle> {
    let options = FileSystemGetFileOptions::new();
    options.set_create(create);
    Ok(JsFuture::from(folder.get_file_handle_with_options(name, &options)).await?.unchecked_into())
}

/// Handles of the entries directly in a folder.
async fn entries(folder: &FileSystemDirectoryHandle) -> JsResult<Vec<JsValue>> {
    let values: AsyncIterator = folder.values();
    let mut entries = Vec::new();
    loop {
        let next = JsFuture::from(values.next()?).await?;
        if property(&next, "done").is_truthy() {
            return Ok(entries);
        }
        entries.push(property(&next, "value"));
    }
}

/// Replaces the whole content of a file: the browser writes to another file, and swaps the two in the end.
async fn swap_in(file: &FileSystemFileHandle, bytes: &[u8]) -> JsResult<()> {
    // Bytes that are in memory a second time.
    const PIECE: usize = 16 << 20;
    let stream = call_async(file, "createWritable", &[]).await?;
    let stream: FileSystemWritableFileStream = stream.unchecked_into();
    for piece in bytes.chunks(PIECE) {
        let written = match stream.write_with_js_u8_array(&Uint8Array::from(piece)) {
            Ok(written) => JsFuture::from(written).await,
            Err(e) => Err(e),
        };
        if let Err(e) = written {
            // The old content stays.
            drop(call_async(&stream, "abort", &[]).await);
            return Err(e);
        }
    }
    call_async(&stream, "close", &[]).await.map(|_| ())
}

/// Turns the error of a missing entry, or of a folder in place of a file (or the reverse), into none.
fn found<T>(result: JsResult<T>) -> JsResult<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(e) if matches!(text(&e, "name").as_str(), "NotFoundError" | "TypeMismatchError") => Ok(None),
        Err(e) => Err(e),
    }
}

/// The error of a failed write, with what is missing if the storage is full.
async fn write_error(e: &JsValue, need: usize, path: &str) -> Error {
    match text(e, "name").as_str() {
        "QuotaExceededError" => full(need, path).await,
        _ => store_error(e, "write", path),
    }
}

/// The error of a storage that has no space for `need` bytes more.
async fn full(need: usize, path: &str) -> Error {
    let estimate = call_async(&storage(), "estimate", &[]).await.unwrap_or_default();
    let left = number(&estimate, "quota").zip(number(&estimate, "usage")).map(|(quota, used)| (quota - used).max(0.0));
    // Some browsers make the quota up, so that pages cannot tell one disk from another.
    let left = left.filter(|left| *left < need as f64).map(|bytes| bytes as u64);
    storage_full((need > 0).then_some(need as u64), left, path)
}

/// The error of a failed operation on the storage: `verb` is what was tried.
fn store_error(e: &JsValue, verb: &str, path: &str) -> Error {
    let name = text(e, "name");
    if name == "QuotaExceededError" {
        return storage_full(None, None, path);
    }
    let (what, fix) = match name.as_str() {
        "NotFoundError" => ("there is no such file in this browser's storage".to_owned(), "Check the path"),
        "TypeMismatchError" => ("a folder is where a file is needed, or a file is a folder".into(), "Check the path"),
        "NoModificationAllowedError" | "InvalidModificationError" => (
            "it is being written already".into(),
            "Close other tabs and windows with this app, or wait for them to finish",
        ),
        "TypeError" => (message(e), "Use a newer browser, and keep the app in one tab"),
        _ => (message(e), "Reload the page; if it stays so, see if the browser may keep data for this page"),
    };
    Error::input(format!("Could not {verb} it: {what}"), fix, path)
}

/// Calls a method that may be missing.
pub(super) fn call(target: &JsValue, name: &str, args: &[JsValue]) -> JsResult {
    let method: Function = match property(target, name).dyn_into() {
        Ok(method) => method,
        Err(_) => return Err(js_sys::TypeError::new(&format!("this browser has no {name}")).into()),
    };
    Reflect::apply(&method, target, &args.iter().collect::<Array>())
}

/// Calls a method that may be missing, and waits for its promise.
pub(super) async fn call_async(target: &JsValue, name: &str, args: &[JsValue]) -> JsResult {
    match call(target, name, args)?.dyn_into::<Promise>() {
        Ok(promise) => JsFuture::from(promise).await,
        Err(value) => Ok(value),
    }
}

/// A property, undefined if there is none.
pub(super) fn property(target: &JsValue, name: &str) -> JsValue {
    Reflect::get(target, &name.into()).unwrap_or_default()
}

/// A property that is a text, empty if there is none.
pub(super) fn text(target: &JsValue, name: &str) -> String {
    property(target, name).as_string().unwrap_or_default()
}

/// A property that is a number.
pub(super) fn number(target: &JsValue, name: &str) -> Option<f64> {
    property(target, name).as_f64()
}

/// Message of a thrown value.
pub(super) fn message(e: &JsValue) -> String {
    match (text(e, "name"), text(e, "message")) {
        (name, message) if name.is_empty() && message.is_empty() => {
            e.as_string().unwrap_or_else(|| "the browser does not say why".to_owned())
        }
        (name, message) if message.is_empty() => name,
        (_, message) => message.trim_end_matches('.').to_owned(),
    }
}

/// Lets a promise fail without a line in the console.
pub(super) fn ignore(promise: &Promise) {
    let promise = promise.clone();
    wasm_bindgen_futures::spawn_local(async move {
        drop(JsFuture::from(promise).await);
    });
}
