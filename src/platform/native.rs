//! The platform facade over `std`: files, clock, atomic writes.

use std::fs::File;
use std::io::{BufWriter, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Instant;

use super::bytes::{ByteSource, Folder, FolderWriter, LocalFuture, MemorySource, short_read};
#[cfg(feature = "app")]
pub use super::dialogs::{pick, save_copy, save_file};
pub use super::native_app::{
    Store, StoreWriter, Then, adapter_names, address, announce, claim_gpu, environment, files_at, fragment, is_folder,
    keep_awake, mirror, network_ledger, on_battery, persist, pick_at, reload, set_fragment, set_title, sleep,
    unix_seconds, warn_before_leaving, yield_now,
};
use super::native_app::{has_gguf_ending, is_gguf, last_name};
#[cfg(feature = "app")]
pub use super::native_folders::{export_folder, open_folder};
#[cfg(feature = "app")]
pub use super::native_http::Fetched;
pub use super::native_hub::Hub;
pub use super::native_memory::{available_memory, video_memory};
pub use super::native_models::system_models;
#[cfg(feature = "app")]
pub use super::native_notice::{ask_to_notify, notify};
use super::types::storage_full;
use crate::error::{Error, Result};

/// A file that the user chose, or bytes in place of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PickedFile {
    content: Content,
    folder: String,
    /// Its name where that is not the one on the disk.
    name: Option<String>,
}

/// Content of a chosen file.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Content {
    /// A file on disk.
    At(PathBuf),
    /// Bytes in memory, under a name.
    Bytes(String, Arc<Vec<u8>>),
}

impl PickedFile {
    /// The file at `path`, chosen by itself.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { content: Content::At(path.into()), folder: String::new(), name: None }
    }

    /// The GGUF file at `path`, under a name with that ending: such files are known by it.
    pub(super) fn gguf(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        let name = (!has_gguf_ending(&path)).then(|| format!("{}.gguf", last_name(&path)));
        Self { name, ..Self::at(path) }
    }

    /// Bytes in memory as a file of this name, which has no path; here this never fails.
    pub fn from_bytes(name: &str, bytes: Vec<u8>) -> Result<Self> {
        Ok(Self { content: Content::Bytes(name.to_owned(), Arc::new(bytes)), folder: String::new(), name: None })
    }

    /// The same file, as chosen with the folder of this name.
    pub fn in_folder(self, folder: impl Into<String>) -> Self {
        Self { folder: folder.into(), ..self }
    }

    /// The folder that it is in, so that it can be opened again; none for bytes in memory.
    pub fn place(&self) -> Option<String> {
        match &self.content {
            Content::At(path) => path.parent().map(|folder| folder.display().to_string()),
            Content::Bytes(..) => None,
        }
    }

    /// Its whole path as text, by which it can be opened again; none for bytes in memory.
    pub fn whole_path(&self) -> Option<String> {
        match &self.content {
            Content::At(path) => Some(path.display().to_string()),
            Content::Bytes(..) => None,
        }
    }

    /// Its name, without folders.
    pub fn name(&self) -> String {
        match (&self.name, &self.content) {
            (Some(name), _) | (None, Content::Bytes(name, _)) => name.clone(),
            (None, Content::At(path)) => last_name(path),
        }
    }

    /// Name of the folder that it was chosen with; empty if it was chosen by itself.
    pub fn folder(&self) -> String {
        self.folder.clone()
    }

    /// Length in bytes; 0 if the file is gone.
    pub fn len(&self) -> u64 {
        match &self.content {
            Content::At(path) => std::fs::metadata(path).map_or(0, |meta| meta.len()),
            Content::Bytes(_, bytes) => bytes.len() as u64,
        }
    }

    /// True if it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Opens it for reading.
    pub fn source(&self) -> Result<Box<dyn ByteSource>> {
        match &self.content {
            Content::At(path) => Ok(Box::new(FileSource::open(path)?)),
            Content::Bytes(name, bytes) => Ok(Box::new(MemorySource { name: name.clone(), bytes: bytes.to_vec() })),
        }
    }

    /// Copies it to a path.
    pub fn copy_to(&self, to: &Path) -> Result<()> {
        match &self.content {
            Content::At(path) => std::fs::copy(path, to).map(drop).map_err(|e| io_error(to, "write", &e)),
            Content::Bytes(_, bytes) => write_atomic(to, bytes),
        }
    }
}

/// A file on disk, read by range.
pub struct FileSource {
    name: String,
    len: u64,
    file: Mutex<File>,
}

impl FileSource {
    /// Opens `path`; the error names it.
    pub fn open(path: &Path) -> Result<Self> {
        let failed = |e: std::io::Error| io_error(path, "read", &e);
        let file = File::open(path).map_err(failed)?;
        let meta = file.metadata().map_err(failed)?;
        if meta.is_dir() {
            return Err(Error::input(
                "This is a folder, but a file is needed",
                "Name a file",
                path.display().to_string(),
            ));
        }
        Ok(Self { name: path.display().to_string(), len: meta.len(), file: Mutex::new(file) })
    }
}

impl ByteSource for FileSource {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, len: usize) -> LocalFuture<'_, Result<Vec<u8>>> {
        Box::pin(async move {
            if offset.saturating_add(len as u64) > self.len {
                return Err(short_read(&self.name, offset, len, self.len));
            }
            let mut file = self.file.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let mut bytes = vec![0; len];
            file.seek(SeekFrom::Start(offset))
                .and_then(|_| file.read_exact(&mut bytes))
                .map_err(|e| io_error(Path::new(&self.name), "read", &e))?;
            Ok(bytes)
        })
    }
}

/// A folder on disk, or a GGUF file by itself, which is a whole model.
pub struct DiskFolder {
    path: PathBuf,
    name: String,
    /// The only file that counts, if this is a GGUF file.
    only: Option<PickedFile>,
}

impl DiskFolder {
    /// Checks that `path` is a folder or a GGUF file; the error says what was found instead.
    pub fn open(path: &Path) -> Result<Self> {
        let name = path.display().to_string();
        match std::fs::metadata(path) {
            Ok(meta) if meta.is_dir() => Ok(Self { path: path.to_owned(), name, only: None }),
            Ok(meta) if meta.is_file() && is_gguf(path) => {
                let folder = path.parent().unwrap_or(Path::new("")).to_owned();
                Ok(Self { path: folder, name, only: Some(PickedFile::gguf(path)) })
            }
            Ok(_) => Err(Error::input("This is a file, but a folder is needed", "Name the folder that holds it", name)),
            Err(e) => Err(io_error(path, "open", &e)),
        }
    }
}

impl Folder for DiskFolder {
    fn name(&self) -> &str {
        &self.name
    }

    fn files(&self) -> Vec<String> {
        if let Some(only) = &self.only {
            return vec![only.name()];
        }
        let Ok(entries) = std::fs::read_dir(&self.path) else { return Vec::new() };
        let mut names: Vec<String> = entries
            .filter_map(|entry| entry.ok())
            .filter(|entry| entry.path().is_file())
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        names.sort();
        names
    }

    fn open(&self, file: &str) -> Result<Box<dyn ByteSource>> {
        match &self.only {
            Some(only) if only.name() == file => only.source(),
            _ => Ok(Box::new(FileSource::open(&self.path.join(file))?)),
        }
    }
}

/// Writes `bytes` to a temporary name beside `path`, then renames: a reader sees the old file or the new one, whole.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = AtomicFile::create(path)?;
    file.write(bytes)?;
    file.commit()
}

/// A file that is written piece by piece under a temporary name beside `path`, and gets its name at the end.
pub struct AtomicFile {
    path: PathBuf,
    temporary: PathBuf,
    file: BufWriter<File>,
    committed: bool,
}

impl AtomicFile {
    /// Begins an empty file; the folder must exist.
    pub fn create(path: &Path) -> Result<Self> {
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(".tmp");
        let temporary = PathBuf::from(temporary);
        let file = File::create(&temporary).map_err(|e| io_error(path, "write", &e))?;
        Ok(Self { path: path.to_owned(), temporary, file: BufWriter::new(file), committed: false })
    }

    /// Appends bytes.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(|e| io_error(&self.path, "write", &e))
    }

    /// Gives the file its name, once everything is on the disk.
    pub fn commit(mut self) -> Result<()> {
        let written = self.file.flush().and_then(|()| self.file.get_ref().sync_all());
        written
            .and_then(|()| std::fs::rename(&self.temporary, &self.path))
            .map_err(|e| io_error(&self.path, "write", &e))?;
        self.committed = true;
        Ok(())
    }
}

impl Drop for AtomicFile {
    /// Removes an unfinished file.
    fn drop(&mut self) {
        if !self.committed {
            drop(std::fs::remove_file(&self.temporary));
        }
    }
}

/// Writes files into a folder that exists, each by [`AtomicFile`].
pub struct DiskWriter {
    path: PathBuf,
    file: Option<AtomicFile>,
}

impl DiskWriter {
    /// A writer into `path`.
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), file: None }
    }
}

impl FolderWriter for DiskWriter {
    fn begin<'a>(&'a mut self, name: &'a str) -> LocalFuture<'a, Result<()>> {
        Box::pin(async move {
            self.file = Some(AtomicFile::create(&self.path.join(name))?);
            Ok(())
        })
    }

    fn write<'a>(&'a mut self, bytes: &'a [u8]) -> LocalFuture<'a, Result<()>> {
        Box::pin(async move { self.file.as_mut().map_or(Ok(()), |file| file.write(bytes)) })
    }

    fn end(&mut self) -> LocalFuture<'_, Result<()>> {
        Box::pin(async move { self.file.take().map_or(Ok(()), AtomicFile::commit) })
    }
}

/// Seconds since the first call, for measuring.
pub fn seconds() -> f64 {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_secs_f64()
}

/// Makes `path` and its parents.
pub fn make_folder(path: &Path) -> Result<()> {
    std::fs::create_dir_all(path).map_err(|e| io_error(path, "create", &e))
}

/// The error of a failed file operation: `verb` is what was tried.
pub fn io_error(path: &Path, verb: &str, e: &std::io::Error) -> Error {
    let fix = match e.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
            return storage_full(None, None, path.display().to_string());
        }
        std::io::ErrorKind::NotFound => "Check the path",
        std::io::ErrorKind::PermissionDenied => "Check the permissions",
        _ => "Check the path and the disk",
    };
    Error::input(format!("Could not {verb} it: {e}"), fix, path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::read_all;

    #[test]
    fn bytes_stand_in_for_a_file() {
        let file = PickedFile::from_bytes("pasted.csv", b"prompt,chosen".to_vec()).expect("a file");
        assert_eq!((file.name().as_str(), file.len(), file.is_empty()), ("pasted.csv", 13, false), "its facts");
        assert_eq!((file.place(), file.whole_path(), file.folder()), (None, None, String::new()), "it is nowhere");
        let source = file.source().expect("it opens");
        assert_eq!(source.name(), "pasted.csv", "the name in messages");
        let read = pollster::block_on(read_all(source.as_ref()));
        assert_eq!(read.as_deref(), Ok(b"prompt,chosen".as_slice()), "its content");
        let folder = tempfile::tempdir().expect("a folder");
        let to = folder.path().join("copy.csv");
        file.copy_to(&to).expect("it is written");
        assert_eq!(std::fs::read(&to).expect("a file"), b"prompt,chosen", "a copy");
        let again = folder.path().join("again.csv");
        PickedFile::at(&to).copy_to(&again).expect("it is copied");
        assert_eq!(PickedFile::at(&again).len(), 13, "a copy of a file");
    }
}
