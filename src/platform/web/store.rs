//! The app's own storage in a page: the origin's private file system. `StoreWriter` works in a worker only.

use js_sys::{AsyncIterator, Reflect, Uint8Array};
use wasm_bindgen::{JsCast as _, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    File, FileSystemDirectoryHandle, FileSystemFileHandle, FileSystemGetDirectoryOptions, FileSystemGetFileOptions,
    FileSystemReadWriteOptions, FileSystemRemoveOptions, FileSystemSyncAccessHandle, FileSystemWritableFileStream,
};

use super::files::{BlobSource, PickedFile};
use super::js::{JsResult, call_async, message, number, property, text};
use crate::error::{Error, Result};
use crate::platform::bytes::{ByteSource, read_all};
use crate::platform::picked::FileSet;
use crate::platform::types::{Usage, is_temporary, path_parts, split_path, storage_full};

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
