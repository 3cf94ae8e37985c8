//! Files that the user chose, side by side as if in one folder.

use super::bytes::{ByteSource, Folder};
use super::host::PickedFile;
use crate::error::{Error, Result};

/// Purpose of the files that the user is asked to choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Pick {
    /// A folder with a model.
    ModelFolder,
    /// The files of a model, one by one.
    ModelFiles,
    /// A file with preference pairs.
    PairsFile,
    /// A file with settings.
    Settings,
    /// An archive with a whole run.
    Archive,
    /// The PEFT folder of an adapter.
    Adapter,
    /// A folder to write files to; on the desktop only.
    Destination,
}

impl Pick {
    /// Endings of the file names that fit; none if everything does.
    pub fn endings(self) -> &'static [&'static str] {
        match self {
            Self::ModelFolder | Self::Adapter | Self::Destination => &[],
            Self::ModelFiles => &["gguf", "safetensors", "json", "jinja", "txt", "model"],
            Self::PairsFile => &["jsonl", "json", "ndjson", "csv", "tsv", "parquet", "gz", "zst"],
            Self::Settings => &["json"],
            Self::Archive => &["run", "zip"],
        }
    }

    /// True if more than one file may be chosen.
    pub fn is_multiple(self) -> bool {
        self.is_folder() || self == Self::ModelFiles
    }

    /// True if all files of a folder are chosen together.
    pub fn is_folder(self) -> bool {
        matches!(self, Self::ModelFolder | Self::Adapter)
    }
}

/// Chosen files under a common name.
#[derive(Debug, Clone)]
pub struct FileSet {
    name: String,
    files: Vec<PickedFile>,
}

impl FileSet {
    /// Puts `files` side by side, in the order of their names; `name` is their common name in messages.
    pub fn new(name: impl Into<String>, mut files: Vec<PickedFile>) -> Self {
        files.sort_by_key(PickedFile::name);
        Self { name: name.into(), files }
    }

    /// The files, in the order of their names.
    pub fn picked(&self) -> &[PickedFile] {
        &self.files
    }
}

impl Folder for FileSet {
    fn name(&self) -> &str {
        &self.name
    }

    fn files(&self) -> Vec<String> {
        self.files.iter().map(PickedFile::name).collect()
    }

    fn open(&self, file: &str) -> Result<Box<dyn ByteSource>> {
        if let Some(found) = self.files.iter().find(|picked| picked.name() == file) {
            return found.source();
        }
        let what = match self.files.as_slice() {
            [] => format!("`{file}` is missing; there are no files"),
            _ => format!("`{file}` is missing; there are only {}", listed(&self.files())),
        };
        Err(Error::input(what, format!("Add `{file}`, or choose the folder that holds it"), &self.name))
    }
}

/// The first names, and how many more there are.
pub(super) fn listed(names: &[String]) -> String {
    const SHOWN: usize = 8;
    let shown = names.iter().take(SHOWN).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    match names.len().checked_sub(SHOWN) {
        Some(more @ 1..) => format!("{shown} and {more} more"),
        _ => shown,
    }
}
