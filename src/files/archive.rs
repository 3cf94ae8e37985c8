//! Archives of whole runs (`.run`): a zip file whose entries are stored as they are.
//!
//! The same files give the same bytes: no clock, no owner, no compression. The reader checks an archive before it
//! trusts it: names stay inside a folder and occur once each, the archive is large enough for its sizes, and the
//! checksums match.

use std::collections::{BTreeMap, HashSet};
use std::io::{Cursor, Read as _, Write as _};

use zip::result::ZipError;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, System, ZipArchive, ZipWriter};

use crate::error::{Error, Result};

/// The most that an archive's files may hold together, in bytes: 2 GiB, what a browser can hold at all.
pub const MAX_ARCHIVE_BYTES: u64 = 2 << 30;

/// Packs files, name and content, in this order; names are relative paths with `/`.
pub fn pack(files: &[(String, Vec<u8>)]) -> Result<Vec<u8>> {
    let at = "archive";
    let mut names = Names::default();
    let mut total = 0;
    for (name, content) in files {
        names.add(name, at)?;
        total += content.len() as u64;
    }
    check_total(total, at)?;
    let room = files.iter().map(|(name, content)| content.len() + 2 * name.len() + 128).sum::<usize>() + 64;
    let mut writer = ZipWriter::new(Cursor::new(room_for(room, at)?));
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Stored)
        .last_modified_time(DateTime::default())
        .unix_permissions(0o644)
        .system(System::Unix);
    let failed = |name: &str, e: &dyn std::fmt::Display| {
        Error::input(
            format!("The archive cannot be written: {e}"),
            "Leave large files out",
            format!("{at}, entry {name}"),
        )
    };
    for (name, content) in files {
        writer.start_file(name.as_str(), options).map_err(|e| failed(name, &e))?;
        writer.write_all(content).map_err(|e| failed(name, &e))?;
    }
    Ok(writer.finish().map_err(|e| failed("at the end", &e))?.into_inner())
}

/// The files of an archive, name and content, in its order; `file` is what messages call it.
///
/// Folders are passed over. An error names the entry that is compressed, encrypted or a link, that is damaged, or whose
/// name is absolute, leads out of the folder or comes twice.
pub fn unpack(file: &str, bytes: &[u8]) -> Result<Vec<(String, Vec<u8>)>> {
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(|e| unreadable(&e, file))?;
    check_directory(&archive, bytes, file)?;
    let mut names = Names::default();
    let (mut total, mut entries) = (0_u64, Vec::new());
    for i in 0..archive.len() {
        let listed = archive.name_for_index(i).unwrap_or_default().to_owned();
        let at = format!("{file}, entry {listed}");
        let entry = archive.by_index(i).map_err(|e| unreadable(&e, &at))?;
        if entry.is_symlink() {
            return Err(Error::input("The entry is a link", "Pack the file that it stands for", at));
        }
        if entry.is_dir() && entry.size() == 0 {
            continue;
        }
        let name = entry.name().to_owned();
        names.add(&name, file)?;
        if entry.compression() != CompressionMethod::Stored || entry.size() != entry.compressed_size() {
            return Err(compressed(&at));
        }
        total = total.saturating_add(entry.size());
        check_total(total, file)?;
        entries.push((i, name));
    }
    // Entries that are stored one after the other cannot hold more than the whole; those that overlap can.
    if total > bytes.len() as u64 {
        return Err(Error::input("The entries are larger than the archive", COPY_AGAIN, file));
    }
    let mut files = Vec::with_capacity(entries.len());
    for (i, name) in entries {
        let at = format!("{file}, entry {name}");
        let mut entry = archive.by_index(i).map_err(|e| unreadable(&e, &at))?;
        let mut content = room_for(entry.size() as usize, &at)?;
        let damaged = |e| Error::input(format!("The entry is damaged: {e}"), COPY_AGAIN, at.as_str());
        entry.read_to_end(&mut content).map_err(damaged)?;
        if content.len() as u64 != entry.size() {
            return Err(Error::input("The entry is cut short", COPY_AGAIN, at));
        }
        files.push((name, content));
    }
    Ok(files)
}

const COPY_AGAIN: &str = "Copy or download the file again; if that does not help, export the run again";

/// Names that were seen, to tell those that do not belong together in one folder.
#[derive(Default)]
struct Names {
    /// Names in lower case, since some disks ignore case.
    files: HashSet<String>,
    /// Folders that a file lies in, and one such file.
    folders: BTreeMap<String, String>,
}

impl Names {
    fn add(&mut self, name: &str, file: &str) -> Result<()> {
        let at = format!("{file}, entry {name}");
        if let Some(problem) = problem(name) {
            return Err(Error::input(problem, "Give the entry a relative path such as adapter/config.json", at));
        }
        let lower = name.to_lowercase();
        for (i, _) in lower.match_indices('/') {
            let folder = &lower[..i];
            if self.files.contains(folder) {
                let what = format!("\"{name}\" lies in a folder that is also the name of a file");
                return Err(Error::input(what, "Rename one of them", at));
            }
            self.folders.entry(folder.to_owned()).or_insert_with(|| name.to_owned());
        }
        if let Some(other) = self.folders.get(&lower) {
            let what = format!("\"{name}\" is also the folder of \"{other}\"");
            return Err(Error::input(what, "Rename one of them", at));
        }
        match self.files.insert(lower) {
            true => Ok(()),
            false => Err(Error::input(format!("\"{name}\" comes twice"), "Keep one of the two entries", at)),
        }
    }
}

/// Returns the fault of a name, or none.
fn problem(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        return Some("The entry has no name");
    }
    if name.starts_with('/') {
        return Some("The path is absolute");
    }
    if name.contains('\\') || name.contains(':') {
        return Some("The path has a backslash or a colon");
    }
    if name.chars().any(char::is_control) {
        return Some("The path has a control character");
    }
    if name.split('/').any(|part| part == "..") {
        return Some("The path leads out of its folder");
    }
    if name.split('/').any(|part| part.is_empty() || part == ".") {
        return Some("The path has an empty part");
    }
    name.split('/').any(is_odd_on_windows).then_some("The path has a part that Windows takes for something else")
}

/// True for names of devices, and for names that lose their end.
fn is_odd_on_windows(part: &str) -> bool {
    let stem = part.split('.').next().unwrap_or_default().trim_end().to_ascii_lowercase();
    let numbered = |device: &str| stem.strip_prefix(device).is_some_and(|n| n.len() == 1 && n != "0");
    part.ends_with(['.', ' '])
        || ["con", "prn", "aux", "nul"].contains(&stem.as_str())
        || numbered("com")
        || numbered("lpt")
}

/// Refuses a file that is too large for an archive, before it is read.
pub fn check_archive_size(file: &str, bytes: u64) -> Result<()> {
    check_total(bytes.saturating_sub(DIRECTORY_BYTES), file)
}

/// More than the names and headers of an archive take.
const DIRECTORY_BYTES: u64 = 16 << 20;

fn check_total(total: u64, file: &str) -> Result<()> {
    if total <= MAX_ARCHIVE_BYTES {
        return Ok(());
    }
    let gib = total as f64 / f64::from(1 << 30);
    let what = format!("The files take {gib:.1} GiB, more than the {} GiB of an archive", MAX_ARCHIVE_BYTES >> 30);
    Err(Error::input(what, "Leave merged models and old checkpoints out", file))
}

fn room_for(bytes: usize, at: &str) -> Result<Vec<u8>> {
    let mut room = Vec::new();
    room.try_reserve_exact(bytes).map_err(|_| {
        let mib = bytes >> 20;
        Error::input(format!("There is no memory for {mib} MiB"), "Close other runs, or use the desktop app", at)
    })?;
    Ok(room)
}

/// Walks through the central directory: the reader keeps only the last of entries with the same name.
fn check_directory(archive: &ZipArchive<Cursor<&[u8]>>, bytes: &[u8], file: &str) -> Result<()> {
    let mut at = archive.central_directory_start() as usize;
    let mut names = HashSet::new();
    while let Some(header) = bytes.get(at..at.saturating_add(46)).filter(|header| header.starts_with(b"PK\x01\x02")) {
        let length = |i: usize| usize::from(u16::from_le_bytes([header[i], header[i + 1]]));
        let name = bytes.get(at + 46..at + 46 + length(28)).unwrap_or_default();
        if !names.insert(name) {
            let name = String::from_utf8_lossy(name);
            let what = format!("\"{name}\" comes twice");
            return Err(Error::input(what, "Keep one of the two entries", format!("{file}, entry {name}")));
        }
        at += 46 + length(28) + length(30) + length(32);
    }
    match names.len() == archive.len() {
        true => Ok(()),
        false => Err(Error::input("The archive's directory is damaged", COPY_AGAIN, file)),
    }
}

fn unreadable(e: &ZipError, at: &str) -> Error {
    match e {
        ZipError::CompressionMethodNotSupported(_) => compressed(at),
        ZipError::UnsupportedArchive(text) if text.contains("assword") => {
            Error::input("The entry is encrypted", "Export the run again, or pack its folder without a password", at)
        }
        ZipError::UnsupportedArchive(text) => {
            Error::input(format!("The archive cannot be read: {text}"), COPY_AGAIN, at)
        }
        e => Error::input(format!("This is no archive of a run, or it is cut short: {e}"), COPY_AGAIN, at),
    }
}

fn compressed(at: &str) -> Error {
    Error::input(
        "The entry is compressed",
        "Export the run again, or pack its folder without compression (zip -0 -r run.zip .)",
        at,
    )
}
