//! Files that a person chose in a page. Their bytes stay in the browser until they are read, by range.

use std::fmt;

use js_sys::{Array, Uint8Array};
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::JsFuture;
use web_sys::{Blob, File};

use super::js::{message, text};
use crate::error::{Error, Result};
use crate::platform::bytes::{ByteSource, LocalFuture, short_read};

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
pub(super) struct BlobSource {
    pub(super) name: String,
    pub(super) len: u64,
    pub(super) blob: Blob,
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
