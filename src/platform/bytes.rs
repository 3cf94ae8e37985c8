//! Files as ranges of bytes: a 3 GB model is never in memory as a whole.

use std::future::Future;
use std::pin::Pin;

use crate::error::{Error, Result};

/// A future of this thread; the browser's file reads are not `Send`.
pub type LocalFuture<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// One readable file.
pub trait ByteSource {
    /// Name for messages: a path, or a file name in the browser.
    fn name(&self) -> &str;
    /// Length in bytes.
    fn len(&self) -> u64;
    /// True if the file has no bytes.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Reads exactly `len` bytes from `offset`; an error if the file is shorter.
    fn read_at(&self, offset: u64, len: usize) -> LocalFuture<'_, Result<Vec<u8>>>;
}

/// Named files side by side: a folder on disk, or the files that the user chose in the browser.
pub trait Folder {
    /// Name for messages: its path, or its name.
    fn name(&self) -> &str;
    /// The file names directly in it, sorted.
    fn files(&self) -> Vec<String>;
    /// Opens one of them; the error says that it is missing and what is there instead.
    fn open(&self, file: &str) -> Result<Box<dyn ByteSource>>;
}

/// A folder that is being written, one file at a time.
pub trait FolderWriter {
    /// Begins a file; the one before must have ended.
    fn begin<'a>(&'a mut self, name: &'a str) -> LocalFuture<'a, Result<()>>;
    /// Appends bytes to it.
    fn write<'a>(&'a mut self, bytes: &'a [u8]) -> LocalFuture<'a, Result<()>>;
    /// Ends it; only now does it have its name and its content for good.
    fn end(&mut self) -> LocalFuture<'_, Result<()>>;
}

/// Reads a whole (small) file.
pub async fn read_all(source: &dyn ByteSource) -> Result<Vec<u8>> {
    let len = usize::try_from(source.len())
        .map_err(|_| Error::input("The file is too large for this device", "Choose another file", source.name()))?;
    source.read_at(0, len).await
}

/// Bytes in memory under a name, for tests and for files that are bundled with the program.
pub struct MemorySource {
    /// Name that `name()` returns.
    pub name: String,
    /// The whole content.
    pub bytes: Vec<u8>,
}

impl ByteSource for MemorySource {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_at(&self, offset: u64, len: usize) -> LocalFuture<'_, Result<Vec<u8>>> {
        Box::pin(async move {
            let begin = offset as usize;
            match self.bytes.get(begin..begin.saturating_add(len)) {
                Some(bytes) => Ok(bytes.to_vec()),
                None => Err(short_read(&self.name, offset, len, self.bytes.len() as u64)),
            }
        })
    }
}

/// Files in memory side by side: the bundled demo, the content of an archive.
pub struct MemoryFolder {
    /// Name that `name()` returns.
    pub name: String,
    /// Names and contents.
    pub files: Vec<(String, Vec<u8>)>,
}

impl Folder for MemoryFolder {
    fn name(&self) -> &str {
        &self.name
    }

    fn files(&self) -> Vec<String> {
        let mut names: Vec<String> = self.files.iter().map(|(name, _)| name.clone()).collect();
        names.sort();
        names
    }

    fn open(&self, file: &str) -> Result<Box<dyn ByteSource>> {
        match self.files.iter().find(|(name, _)| name == file) {
            Some((_, bytes)) => {
                Ok(Box::new(MemorySource { name: format!("{}/{file}", self.name), bytes: bytes.clone() }))
            }
            None => Err(missing_file(&self.name, file, &self.files())),
        }
    }
}

/// Error for a file that a folder lacks.
pub fn missing_file(folder: &str, file: &str, there: &[String]) -> Error {
    Error::input(
        format!("There is no {file}; there is: {}", there.join(", ")),
        format!("Choose a folder that holds {file}"),
        folder,
    )
}

/// The error of a read beyond the end of a file.
pub fn short_read(name: &str, offset: u64, len: usize, size: u64) -> Error {
    Error::input(
        format!("The file has {size} bytes, but {len} bytes from byte {offset} are needed"),
        "It was probably cut off while downloading or copying: fetch it again",
        name,
    )
}
