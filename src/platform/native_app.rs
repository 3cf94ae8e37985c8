//! Desktop services for the app: its storage, the files that the user chooses, the window's surroundings. The browser's
//! versions, under the same names, are in `web`.

use std::cell::RefCell;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
#[cfg(unix)]
use std::os::unix::fs::symlink;
#[cfg(windows)]
use std::os::windows::fs::symlink_file as symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use futures_channel::oneshot;

use super::bytes::ByteSource;
use super::gpu_name::AdapterNames;
use super::native::{FileSource, PickedFile, io_error, make_folder, write_atomic};
use super::native_models::model_files;
use super::picked::{FileSet, Pick};
use super::types::{
    Environment, NetworkEntry, UiNode, Usage, World, is_temporary, path_parts, split_path, storage_full,
};
use crate::error::{Error, Result};

/// Callback for an answer, called on a thread of its own.
pub type Then<T> = Box<dyn FnOnce(T) + Send>;

/// The app's own storage: a folder of this user. Paths in it are relative, with `/` between the parts; the folders in
/// them are made when something is written.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
}

impl Store {
    /// Opens the storage in the folder `root`; an empty `root` stands for the system's place for an app's data.
    pub async fn open(root: &str) -> Result<Self> {
        let root = root_folder(root)?;
        make_folder(&root)?;
        Ok(Self { root })
    }

    /// Location of the storage, for the user to read.
    pub fn location(&self) -> String {
        for_people(&self.root)
    }

    /// Names of the files and folders directly in `dir`, sorted; empty if there is no such folder.
    pub async fn list(&self, dir: &str) -> Result<Vec<String>> {
        let path = self.folder_path(dir)?;
        let mut names: Vec<String> = entries(&path)?.iter().map(|entry| last_name(entry)).collect();
        names.retain(|name| !is_temporary(name));
        names.sort();
        Ok(names)
    }

    /// True if there is a file or folder at `path`.
    pub async fn exists(&self, path: &str) -> Result<bool> {
        let path = self.folder_path(path)?;
        path.try_exists().map_err(|e| io_error(&path, "look for", &e))
    }

    /// Reads a whole file.
    pub async fn read(&self, path: &str) -> Result<Vec<u8>> {
        let path = self.file_path(path)?;
        std::fs::read(&path).map_err(|e| io_error(&path, "read", &e))
    }

    /// Writes a whole file: a reader sees the old one or the new one.
    pub async fn write(&self, path: &str, bytes: &[u8]) -> Result<()> {
        let path = self.new_file_path(path)?;
        write_atomic(&path, bytes).map_err(|e| match super::is_storage_full(&e) {
            true => storage_full(Some(bytes.len() as u64), None, path.display().to_string()),
            false => e,
        })
    }

    /// Renames a file, replacing any file of the new name.
    pub async fn rename(&self, from: &str, to: &str) -> Result<()> {
        let (from, to) = (self.file_path(from)?, self.new_file_path(to)?);
        std::fs::rename(&from, &to).map_err(|e| io_error(&to, "write", &e))
    }

    /// Gives a file a second name, by a link, or by a copy on a disk without links. Replaces anything of that name.
    pub async fn link(&self, file: &str, name: &str) -> Result<()> {
        self.remove(name).await?;
        let (from, to) = (self.file_path(file)?, self.new_file_path(name)?);
        let (folders, _) = split_path(name)?;
        let target = path_parts(file)?;
        let shared = folders.iter().zip(&target).take_while(|(a, b)| a == b).count();
        let up = folders[shared..].iter().map(|_| "..");
        let target: PathBuf = up.chain(target[shared..].iter().copied()).collect();
        symlink(target, &to)
            .or_else(|_| std::fs::hard_link(&from, &to))
            .or_else(|_| std::fs::copy(&from, &to).map(drop))
            .map_err(|e| io_error(&to, "write", &e))
    }

    /// Removes a file, or a folder with everything in it; does nothing if there is none.
    pub async fn remove(&self, path: &str) -> Result<()> {
        let path = self.file_path(path)?;
        let removed = match std::fs::symlink_metadata(&path) {
            Ok(meta) if meta.is_dir() => std::fs::remove_dir_all(&path),
            Ok(_) => std::fs::remove_file(&path),
            Err(e) => Err(e),
        };
        match removed {
            Err(e) if e.kind() != ErrorKind::NotFound => Err(io_error(&path, "remove", &e)),
            _ => Ok(()),
        }
    }

    /// Bytes of a file, or of all files in a folder and below it; 0 if there is none.
    pub async fn size(&self, dir: &str) -> Result<u64> {
        let mut paths = vec![self.folder_path(dir)?];
        let mut bytes = 0;
        while let Some(path) = paths.pop() {
            match std::fs::symlink_metadata(&path) {
                Ok(meta) if meta.is_dir() => paths.extend(entries(&path)?),
                Ok(meta) => bytes += meta.len(),
                // Removed in the meantime.
                Err(e) if e.kind() == ErrorKind::NotFound => {}
                Err(e) => return Err(io_error(&path, "measure", &e)),
            }
        }
        Ok(bytes)
    }

    /// Opens a file for reading by range.
    pub async fn source(&self, path: &str) -> Result<Box<dyn ByteSource>> {
        Ok(Box::new(FileSource::open(&self.file_path(path)?)?))
    }

    /// The files directly in the folder `path`; the error says that there is no such folder.
    pub async fn folder(&self, path: &str) -> Result<FileSet> {
        let folder = self.folder_path(path)?;
        // A missing folder is an error here, but empty in `list`.
        std::fs::read_dir(&folder).map_err(|e| io_error(&folder, "open", &e))?;
        let mut files = files_in(&folder)?;
        files.retain(|file| !is_temporary(&file.name()));
        Ok(FileSet::new(folder.display().to_string(), files))
    }

    /// Opens a file for writing from byte `offset` on. Bytes before `offset` stay and must be there; bytes after it are
    /// cut off.
    pub async fn create(&self, path: &str, offset: u64) -> Result<StoreWriter> {
        let path = self.new_file_path(path)?;
        let failed = |e: std::io::Error| io_error(&path, "write", &e);
        let mut file = OpenOptions::new().write(true).create(true).truncate(false).open(&path).map_err(failed)?;
        let len = file.metadata().map_err(failed)?.len();
        if len < offset {
            return Err(too_short(len, offset, path.display().to_string()));
        }
        if len > offset {
            file.set_len(offset).map_err(failed)?;
        }
        file.seek(SeekFrom::Start(offset)).map_err(failed)?;
        Ok(StoreWriter { path, file, end: offset })
    }

    /// Space that the storage uses.
    pub async fn usage(&self) -> Result<Usage> {
        Ok(Usage { used: self.size("").await?, quota: None, persisted: true })
    }

    /// Asks the platform not to clear the storage by itself; true if it agrees. A desktop never clears it.
    pub async fn persist(&self) -> Result<bool> {
        Ok(true)
    }

    fn folder_path(&self, path: &str) -> Result<PathBuf> {
        Ok(path_parts(path)?.iter().fold(self.root.clone(), |path, part| path.join(part)))
    }

    fn file_path(&self, path: &str) -> Result<PathBuf> {
        split_path(path)?;
        self.folder_path(path)
    }

    fn new_file_path(&self, path: &str) -> Result<PathBuf> {
        let (folders, name) = split_path(path)?;
        let folder = folders.iter().fold(self.root.clone(), |path, part| path.join(part));
        make_folder(&folder)?;
        Ok(folder.join(name))
    }
}

/// The storage's folder; an empty `root` stands for the system's place for an app's data.
fn root_folder(root: &str) -> Result<PathBuf> {
    if root.is_empty() {
        let places = directories::ProjectDirs::from("", "", "pairtune");
        return places.map(|places| places.data_dir().to_owned()).ok_or_else(|| {
            Error::input(
                "This system names no folder for an app's data",
                "Set HOME to a folder that can be written to",
                "",
            )
        });
    }
    // A `~` is allowed, because `Store::location` shows it.
    Ok(from_home(root))
}

/// A file of the storage, written from front to back. Dropping it closes the file with the bytes written so far.
#[derive(Debug)]
pub struct StoreWriter {
    path: PathBuf,
    file: File,
    end: u64,
}

impl StoreWriter {
    /// Appends bytes.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(|e| match e.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
                storage_full(Some(bytes.len() as u64), None, self.path.display().to_string())
            }
            _ => io_error(&self.path, "write", &e),
        })?;
        self.end += bytes.len() as u64;
        Ok(())
    }

    /// Offset of the next byte, which is the length of the file.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Closes the file, once everything is on the disk.
    pub async fn finish(self) -> Result<()> {
        self.file.sync_all().map_err(|e| io_error(&self.path, "write", &e))
    }
}

/// Error of continuing beyond the end of a stored file.
fn too_short(len: u64, offset: u64, at: String) -> Error {
    Error::input(
        format!("The stored part has {len} bytes, but writing was to go on at byte {offset}"),
        "Start over",
        at,
    )
}

/// Names that a browser has for its adapter; natively the driver names it.
pub async fn adapter_names() -> AdapterNames {
    AdapterNames::default()
}

/// Seconds since 1970.
pub fn unix_seconds() -> f64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// Lets waiting messages come in. Natively they come in on another thread, so there is nothing to wait for.
pub async fn yield_now() {}

/// Waits so many seconds.
pub async fn sleep(seconds: f64) {
    let (over, wait) = oneshot::channel::<()>();
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_secs_f64(seconds.max(0.0)));
        drop(over);
    });
    // The wait ends when the other side is gone.
    wait.await.unwrap_or_default();
}

/// True if there is a folder at a typed path.
pub fn is_folder(typed: &str) -> bool {
    from_home(typed.trim()).is_dir()
}

/// Returns the files at a typed path, as if they had been chosen for `what`. Errors say what is there instead.
pub fn files_at(what: Pick, typed: &str) -> Result<Vec<PickedFile>> {
    let typed = typed.trim().trim_matches(['"', '\'']);
    let typed = typed.strip_prefix("file://").unwrap_or(typed);
    let path = from_home(typed);
    let wants_folder = what.is_folder() || what == Pick::Destination;
    let at = path.display().to_string();
    match std::fs::metadata(&path) {
        _ if typed.is_empty() => Err(Error::input("There is no path", "Type the path of a file or folder", "")),
        // A folder to write to need not be there yet.
        Err(_) if what == Pick::Destination => Ok(vec![PickedFile::at(path)]),
        Err(e) if e.kind() == ErrorKind::NotFound => {
            Err(Error::input("There is nothing at this path", "Check it, letter by letter", at))
        }
        Err(e) => Err(io_error(&path, "open", &e)),
        // A whole model in one file.
        Ok(meta) if what == Pick::ModelFolder && meta.is_file() && is_gguf(&path) => Ok(vec![PickedFile::gguf(path)]),
        Ok(meta) if wants_folder && !meta.is_dir() => {
            Err(Error::input("This is a file", "Name the folder that it is in", at))
        }
        Ok(meta) if !wants_folder && meta.is_dir() => Err(Error::input("This is a folder", "Name a file in it", at)),
        Ok(_) if what.is_folder() => match folder_files(what, &path)? {
            files if files.is_empty() => {
                let what = if what == Pick::Adapter { "an adapter" } else { "a model" };
                Err(Error::input("There are no files in this folder", format!("Name the folder of {what}"), at))
            }
            files => Ok(files),
        },
        Ok(_) => Ok(vec![PickedFile::at(path)]),
    }
}

/// Shortens a path for people to read, with `~` for their home.
pub(super) fn for_people(path: &Path) -> String {
    let home = directories::BaseDirs::new().map(|places| places.home_dir().to_owned());
    match home.and_then(|home| path.strip_prefix(home).ok().map(Path::to_owned)) {
        Some(below) => Path::new("~").join(below).display().to_string(),
        None => path.display().to_string(),
    }
}

/// Expands a path that people wrote, with `~` for their home.
pub(super) fn from_home(path: &str) -> PathBuf {
    match (Path::new(path).strip_prefix("~"), directories::BaseDirs::new()) {
        (Ok(below), Some(places)) => places.home_dir().join(below),
        _ => PathBuf::from(path),
    }
}

/// The files directly in a folder, as if it had been chosen; none if it cannot be read.
pub fn pick_at(folder: &str) -> Vec<PickedFile> {
    files_in(Path::new(folder)).unwrap_or_else(|e| {
        log::warn!("{e}");
        Vec::new()
    })
}

/// Names the page in the browser; a window has its own title.
pub fn set_title(_title: &str) {}

/// Keeps the computer from going to sleep while `on`.
#[cfg(feature = "desktop")]
pub fn keep_awake(on: bool) {
    thread_local! {
        static AWAKE: RefCell<Option<keepawake::KeepAwake>> = const { RefCell::new(None) };
    }
    AWAKE.with_borrow_mut(|awake| {
        if !on {
            *awake = None;
        } else if awake.is_none() {
            let reason = "a model is being trained";
            let mut builder = keepawake::Builder::default();
            builder.display(false).idle(true).sleep(true).reason(reason).app_name("pairtune");
            match builder.create() {
                Ok(kept) => *awake = Some(kept),
                Err(e) => log::warn!("The computer may go to sleep while a model is being trained: {e}"),
            }
        }
    });
}

/// A build without the desktop's services has no way to ask for that.
#[cfg(not(feature = "desktop"))]
pub fn keep_awake(_on: bool) {}

/// Has the browser ask before the page is left, while `on`; a window asks by itself.
pub fn warn_before_leaving(_on: bool) {}

/// The page's address; a window has none.
pub fn address() -> String {
    String::new()
}

/// Fragment of the page's address (after the `#`); a window has none.
pub fn fragment() -> String {
    String::new()
}

/// Sets the fragment of the page's address; a window has none.
pub fn set_fragment(_fragment: &str) {}

/// Has screen readers say something in the browser; a window has a node for that among its widgets.
pub fn announce(_text: &str) {}

/// True if the computer is known to run on its battery; only Linux is asked.
pub fn on_battery() -> bool {
    discharging(Path::new("/sys/class/power_supply"))
}

/// True if a battery among these power supplies is giving power.
fn discharging(supplies: &Path) -> bool {
    let is = |folder: &Path, file: &str, value: &str| {
        std::fs::read_to_string(folder.join(file)).is_ok_and(|text| text.trim() == value)
    };
    let mut folders = std::fs::read_dir(supplies).into_iter().flatten().flatten().map(|entry| entry.path());
    folders.any(|supply| is(&supply, "type", "Battery") && is(&supply, "status", "Discharging"))
}

/// Claims the GPU and the storage at `store` against other windows, for as long as the program runs: `done` gets true
/// if no other window has them.
pub fn claim_gpu(store: &str, done: impl FnOnce(bool) + 'static) {
    done(match root_folder(store).and_then(|root| lock(&root)) {
        Ok(Some(file)) => {
            // It is unlocked when the program ends, however it ends.
            Box::leak(Box::new(file));
            true
        }
        Ok(None) => false,
        // A disk without locks is no reason not to begin.
        Err(e) => {
            log::warn!("Other windows may be using the same runs: {e}");
            true
        }
    });
}

/// Locks a folder until the file is closed; none if somebody else has the lock.
fn lock(folder: &Path) -> Result<Option<File>> {
    make_folder(folder)?;
    let path = folder.join("window.lock");
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(&path);
    let file = file.map_err(|e| io_error(&path, "open", &e))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(e)) => Err(io_error(&path, "lock", &e)),
    }
}

/// Asks the platform not to clear the app's storage by itself, then calls `done`: a desktop never clears it.
pub fn persist(done: impl FnOnce() + 'static) {
    done();
}

/// Environment that the app runs in.
pub fn environment() -> Environment {
    let system = match std::env::consts::OS {
        "linux" => "Linux",
        "macos" => "macOS",
        "windows" => "Windows",
        other => other,
    };
    Environment {
        world: World::Desktop,
        browser: String::new(),
        system: system.to_owned(),
        webgpu: true,
        secure: true,
        online: true,
        asks_to_notify: false,
        policy: String::new(),
    }
}

/// Requests of the page. In a window only the engine fetches, and it reports its requests itself.
pub fn network_ledger() -> Vec<NetworkEntry> {
    Vec::new()
}

/// Loads the page again; a window stays.
pub fn reload() {}

/// Writes the widgets to the file that PAIRTUNE_UI_TREE names, whenever they have changed; for tests.
pub fn mirror(nodes: &[UiNode]) {
    thread_local! {
        static LAST: RefCell<Option<Vec<UiNode>>> = const { RefCell::new(None) };
    }
    let Some(path) = std::env::var_os("PAIRTUNE_UI_TREE").filter(|path| !path.is_empty()) else { return };
    LAST.with_borrow_mut(|last| {
        if last.as_deref() != Some(nodes) {
            *last = Some(nodes.to_vec());
            if let Err(e) = write_nodes(Path::new(&path), nodes) {
                log::warn!("{e}");
            }
        }
    });
}

/// Renames the file into place, as always, but does not wait for the disk, because this happens in every frame.
fn write_nodes(path: &Path, nodes: &[UiNode]) -> Result<()> {
    let temporary = path.with_extension("tmp");
    let json = serde_json::to_vec(nodes)
        .map_err(|e| Error::input(format!("The widgets are not JSON: {e}"), "Report this", ""))?;
    std::fs::write(&temporary, json)
        .and_then(|()| std::fs::rename(&temporary, path))
        .map_err(|e| io_error(path, "write", &e))
}

/// The files of a folder that was chosen for `what`.
pub(super) fn folder_files(what: Pick, folder: &Path) -> Result<Vec<PickedFile>> {
    if what == Pick::ModelFolder { model_files(folder) } else { files_in(folder) }
}

/// The files directly in a folder, links to files among them, by name; a GGUF file stands for itself.
pub(super) fn files_in(folder: &Path) -> Result<Vec<PickedFile>> {
    if folder.is_file() && is_gguf(folder) {
        return Ok(vec![PickedFile::gguf(folder)]);
    }
    let name = last_name(folder);
    let mut paths = entries(folder)?;
    paths.retain(|path| path.is_file());
    paths.sort();
    Ok(paths.into_iter().map(|path| PickedFile::at(path).in_folder(name.as_str())).collect())
}

/// True for a GGUF file by its name.
pub(super) fn has_gguf_ending(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("gguf"))
}

/// True for a GGUF file by its name or its first bytes, because Ollama names files by their hashes.
pub(super) fn is_gguf(path: &Path) -> bool {
    let begins_so = || {
        let mut start = [0; 4];
        File::open(path).is_ok_and(|mut file| file.read_exact(&mut start).is_ok()) && &start == b"GGUF"
    };
    has_gguf_ending(path) || begins_so()
}

/// Paths of the entries directly in a folder; empty if there is no such folder.
pub(super) fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let failed = |e: std::io::Error| io_error(folder, "list", &e);
    match std::fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| entry.map(|entry| entry.path()).map_err(failed)).collect(),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(e) => Err(failed(e)),
    }
}

/// The last part of a path.
pub(super) fn last_name(path: &Path) -> String {
    path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use pollster::block_on;

    use super::*;
    use crate::platform::{Folder as _, is_storage_full, read_all};

    /// A folder that is removed in the end.
    struct Temporary(PathBuf);

    impl Temporary {
        fn new() -> Self {
            static COUNT: AtomicUsize = AtomicUsize::new(0);
            let name = format!("pairtune-app-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
            let path = std::env::temp_dir().join(name);
            std::fs::create_dir_all(&path).expect("a folder for the test");
            Self(path)
        }

        fn put(&self, path: &str, text: &str) {
            let path = self.0.join(path);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("folders are made");
            std::fs::write(path, text).expect("the file is written");
        }

        fn store(&self) -> Store {
            block_on(Store::open(&self.0.join("store").display().to_string())).expect("the store opens")
        }
    }

    impl Drop for Temporary {
        fn drop(&mut self) {
            drop(std::fs::remove_dir_all(&self.0));
        }
    }

    #[test]
    fn a_typed_path_is_opened_as_if_it_had_been_chosen() {
        let place = Temporary::new();
        place.put("m/config.json", "{}");
        place.put("m/deep/x.json", "{}");
        place.put("tone.jsonl", "{}");
        std::fs::create_dir_all(place.0.join("empty")).expect("a folder");
        let at = |what, name: &str| {
            let files = files_at(what, &format!(" '{}' ", place.0.join(name).display()))?;
            Ok::<_, Error>(files.iter().map(PickedFile::name).collect::<Vec<_>>())
        };
        assert_eq!(at(Pick::ModelFolder, "m"), Ok(vec!["config.json".to_owned()]), "a folder");
        assert_eq!(at(Pick::PairsFile, "tone.jsonl"), Ok(vec!["tone.jsonl".to_owned()]), "a file");
        assert_eq!(at(Pick::Destination, "new"), Ok(vec!["new".to_owned()]), "a folder that is yet to be made");
        for (what, name, words) in [
            (Pick::ModelFolder, "none", "nothing at this path"),
            (Pick::ModelFolder, "tone.jsonl", "This is a file"),
            (Pick::ModelFolder, "empty", "no files in this folder"),
            (Pick::PairsFile, "m", "This is a folder"),
            (Pick::PairsFile, "none.jsonl", "nothing at this path"),
        ] {
            let error = at(what, name).expect_err("it cannot be opened").to_string();
            assert!(error.contains(words) && error.contains(name), "{name}: {error}");
        }
        assert!(files_at(Pick::PairsFile, "  ").is_err(), "nothing was typed");
    }

    #[test]
    fn a_battery_that_gives_power_is_found() {
        let folder = tempfile::tempdir().expect("a folder");
        let supply = |name: &str, kind: &str, status: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(&path).expect("a folder");
            std::fs::write(path.join("type"), format!("{kind}\n")).expect("a file");
            std::fs::write(path.join("status"), format!("{status}\n")).expect("a file");
        };
        assert!(!discharging(&folder.path().join("none")), "no supplies");
        supply("AC", "Mains", "Discharging");
        supply("BAT0", "Battery", "Charging");
        assert!(!discharging(folder.path()), "it is being charged");
        supply("BAT1", "Battery", "Discharging");
        assert!(discharging(folder.path()), "the second one is not");
    }

    #[test]
    fn a_folder_is_one_windows_at_a_time() {
        let place = Temporary::new();
        let first = lock(&place.0.join("store")).expect("it can be locked");
        assert!(first.is_some(), "nobody had it");
        assert!(lock(&place.0.join("store")).expect("it can be asked for").is_none(), "somebody has it");
        drop(first);
        assert!(lock(&place.0.join("store")).expect("it can be locked").is_some(), "nobody has it any more");
    }

    #[test]
    fn what_is_stored_is_found_again() {
        let place = Temporary::new();
        let store = place.store();
        block_on(async {
            assert_eq!(store.list("runs").await, Ok(vec![]), "nothing yet");
            store.write("runs/a/x.bin", b"12345").await.expect("x is written");
            store.write("runs/a/deep/y.bin", b"678").await.expect("y is written");
            store.write("runs/a/x.bin", b"123456").await.expect("x is written again");
            std::fs::write(store.root.join("runs/a/z.tmp"), "half").expect("a temporary file");
            assert_eq!(store.list("runs/a").await, Ok(vec!["deep".into(), "x.bin".into()]), "list");
            assert_eq!(store.read("runs/a/x.bin").await.as_deref(), Ok(b"123456".as_slice()), "content");
            assert_eq!(store.size("runs").await, Ok(6 + 3 + 4), "size");
            assert_eq!(store.usage().await, Ok(Usage { used: 13, quota: None, persisted: true }), "usage");
            assert_eq!(store.exists("runs/a/x.bin").await, Ok(true), "a file");
            assert_eq!(store.exists("runs/b").await, Ok(false), "no folder");
            let source = store.source("runs/a/x.bin").await.expect("x opens");
            assert_eq!(source.read_at(2, 3).await.as_deref(), Ok(b"345".as_slice()), "a range");
            store.remove("runs/a").await.expect("all is removed");
            store.remove("runs/a").await.expect("removed twice");
            assert_eq!(store.list("runs").await, Ok(vec![]), "nothing left");
            assert!(store.write("../out", b"").await.is_err(), "not outside");
            assert!(store.remove("").await.is_err(), "not everything");
        });
    }

    #[test]
    fn a_stored_folder_says_what_is_missing() {
        let place = Temporary::new();
        let store = place.store();
        block_on(async {
            store.write("models/m/config.json", b"{}").await.expect("written");
            store.write("models/m/a.safetensors", b"abc").await.expect("written");
            let folder = store.folder("models/m").await.expect("the folder");
            assert_eq!(folder.files(), ["a.safetensors", "config.json"], "names");
            assert_eq!(folder.picked()[0].folder(), "m", "its folder");
            let source = folder.open("a.safetensors").expect("it opens");
            assert_eq!(read_all(source.as_ref()).await.as_deref(), Ok(b"abc".as_slice()), "content");
            let missing = folder.open("tokenizer.json").err().map(|e| e.to_string()).unwrap_or_default();
            assert!(missing.contains("there are only `a.safetensors`, `config.json`"), "{missing}");
            assert!(store.folder("models/n").await.is_err(), "no folder");
        });
    }

    #[test]
    fn writing_goes_on_where_it_ended() {
        let place = Temporary::new();
        let store = place.store();
        block_on(async {
            let mut writer = store.create("a/part", 0).await.expect("begun");
            writer.write(b"hello ").await.expect("written");
            writer.write(b"there").await.expect("written");
            drop(writer);
            let mut writer = store.create("a/part", 6).await.expect("gone on");
            writer.write(b"you").await.expect("written");
            assert_eq!(writer.end(), 9, "end");
            writer.finish().await.expect("finished");
            assert_eq!(store.read("a/part").await.as_deref(), Ok(b"hello you".as_slice()), "content");
            assert!(store.create("a/part", 10).await.is_err(), "a gap");
        });
    }

    #[cfg(unix)]
    #[test]
    fn a_file_has_a_second_name() {
        let place = Temporary::new();
        let store = place.store();
        block_on(async {
            store.write("m/blobs/one.incomplete", b"12345").await.expect("written");
            store.rename("m/blobs/one.incomplete", "m/blobs/one").await.expect("renamed");
            for _ in 0..2 {
                store.link("m/blobs/one", "m/snapshots/c/a.bin").await.expect("linked");
            }
            let link = std::fs::read_link(store.root.join("m/snapshots/c/a.bin")).expect("a link");
            assert_eq!(link, Path::new("../../blobs/one"), "a folder that is moved stays whole");
            assert_eq!(store.read("m/snapshots/c/a.bin").await.as_deref(), Ok(b"12345".as_slice()), "its content");
            store.remove("m/snapshots/c/a.bin").await.expect("removed");
            assert_eq!(store.exists("m/blobs/one").await, Ok(true), "only the name went");
        });
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_is_told() {
        let place = Temporary::new();
        let store = place.store();
        symlink("/dev/full", store.root.join("full")).expect("a link");
        block_on(async {
            let mut writer = store.create("full", 0).await.expect("opened");
            let error = writer.write(b"123").await.expect_err("full");
            assert!(is_storage_full(&error) && error.to_string().contains("3 bytes needed"), "{error}");
        });
    }
}
