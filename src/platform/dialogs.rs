//! The system's dialogs for files, where there are any.

use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::{Duration, Instant};

use super::native::{PickedFile, write_atomic};
use super::native_app::folder_files;
use super::picked::Pick;
use crate::error::{Error, Result};

/// True on Linux and similar systems, where dialogs belong to other programs that may be missing. There, asking for
/// several paths tells a closed dialog from one that was never shown. Elsewhere the system has dialogs.
const DIALOGS_MAY_BE_MISSING: bool = cfg!(not(any(target_os = "macos", target_os = "windows")));

/// Future of a dialog's answer.
type Chosen = Pin<Box<dyn Future<Output = Option<Vec<rfd::FileHandle>>> + Send>>;

/// Asks for files in the system's dialog, under this title. `done` gets the files, or why there is no dialog, on
/// another thread; it is not called if the dialog is closed without a choice.
pub fn pick(what: Pick, title: &str, done: impl FnOnce(Result<Vec<PickedFile>>) + Send + 'static) {
    let mut dialog = rfd::AsyncFileDialog::new().set_title(title);
    if !what.endings().is_empty() {
        let list = what.endings().iter().map(|ending| format!("*.{ending}")).collect::<Vec<_>>().join(", ");
        dialog = dialog.add_filter(list, what.endings()).add_filter("All files", &["*"]);
    }
    let is_folder = what.is_folder() || what == Pick::Destination;
    let several = DIALOGS_MAY_BE_MISSING || (what.is_multiple() && !is_folder);
    // Dialogs begin here, because macOS wants the main thread, and are awaited elsewhere.
    let chosen: Chosen = match (is_folder, several) {
        (true, true) => Box::pin(dialog.pick_folders()),
        (true, false) => Box::pin(one_of(dialog.pick_folder())),
        (false, true) => Box::pin(dialog.pick_files()),
        (false, false) => Box::pin(one_of(dialog.pick_file())),
    };
    std::thread::spawn(move || {
        let paths = pollster::block_on(chosen);
        let paths = paths.map(|files| files.iter().map(|file| file.path().to_owned()).collect());
        match answered(paths, DIALOGS_MAY_BE_MISSING) {
            Some(Ok(paths)) => done(chosen_files(what, paths)),
            Some(Err(e)) => done(Err(e)),
            None => {}
        }
    });
}

async fn one_of(chosen: impl Future<Output = Option<rfd::FileHandle>>) -> Option<Vec<rfd::FileHandle>> {
    chosen.await.map(|file| vec![file])
}

/// Result of a dialog for several paths: the paths, or an error if there is no dialog; none if the user closed it.
fn answered(chosen: Option<Vec<PathBuf>>, may_be_missing: bool) -> Option<Result<Vec<PathBuf>>> {
    match chosen {
        None if may_be_missing => Some(Err(no_dialogs())),
        Some(paths) if !paths.is_empty() => Some(Ok(paths)),
        _ => None,
    }
}

/// Error of a desktop without dialogs; choosing files gives no other device error.
fn no_dialogs() -> Error {
    Error::device(
        "This desktop shows no file dialog: neither its portal nor zenity answers",
        "Type the path, drop the files on the window, or install zenity",
    )
}

fn chosen_files(what: Pick, mut paths: Vec<PathBuf>) -> Result<Vec<PickedFile>> {
    if !what.is_multiple() || what.is_folder() {
        paths.truncate(1);
    }
    match paths.first() {
        Some(folder) if what.is_folder() => folder_files(what, folder),
        _ => Ok(paths.into_iter().map(PickedFile::at).collect()),
    }
}

/// Asks where to save a file, and writes it. `done` gets the path, or the error, on another thread; `Cancelled` if the
/// dialog is closed without a choice. Without dialogs the file goes to the user's documents.
pub fn save_file(name: &str, bytes: &[u8], done: impl FnOnce(Result<String>) + Send + 'static) {
    let bytes = bytes.to_vec();
    save(name, done, move |path| write_atomic(path, &bytes));
}

/// Copies a file to a path that the user chooses in the system's dialog.
pub fn save_copy(file: &PickedFile, done: impl FnOnce(Result<String>) + Send + 'static) {
    let from = file.clone();
    save(&file.name(), done, move |to| from.copy_to(to));
}

fn save(
    name: &str,
    done: impl FnOnce(Result<String>) + Send + 'static,
    write: impl FnOnce(&Path) -> Result<()> + Send + 'static,
) {
    let asked = Instant::now();
    let chosen = rfd::AsyncFileDialog::new().set_title("Save").set_file_name(name).save_file();
    let name = name.to_owned();
    std::thread::spawn(move || {
        let path = match pollster::block_on(chosen) {
            Some(file) => Some(file.path().to_owned()),
            None if DIALOGS_MAY_BE_MISSING && asked.elapsed() < AT_ONCE => documents().map(|to| free_path(&to, &name)),
            None => None,
        };
        done(match path {
            Some(path) => write(&path).map(|()| path.display().to_string()),
            None => Err(Error::Cancelled),
        });
    });
}

/// Time in which nobody closes a dialog: if it ends sooner, it was never shown.
const AT_ONCE: Duration = Duration::from_millis(250);

/// The user's documents folder, or home.
fn documents() -> Option<PathBuf> {
    let places = directories::UserDirs::new()?;
    let documents = places.document_dir().filter(|folder| folder.is_dir());
    Some(documents.unwrap_or(places.home_dir()).to_owned())
}

/// Returns an unused path in a folder.
fn free_path(folder: &Path, name: &str) -> PathBuf {
    let (stem, ending) = name.rsplit_once('.').unwrap_or((name, ""));
    let dot = if ending.is_empty() { "" } else { "." };
    let mut path = folder.join(name);
    let mut n = 1;
    while path.exists() {
        n += 1;
        path = folder.join(format!("{stem}-{n}{dot}{ending}"));
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dialog_that_was_closed_is_none_that_is_missing() {
        let paths = vec![PathBuf::from("/a")];
        assert_eq!(answered(Some(paths.clone()), true), Some(Ok(paths)), "what was chosen");
        assert_eq!(answered(Some(Vec::new()), true), None, "closed");
        assert_eq!(answered(None, false), None, "closed, where dialogs are the system's");
        let missing = answered(None, true).and_then(Result::err).expect("it is told that there is none");
        assert!(matches!(missing, Error::Device { .. }), "as what the computer lacks: {missing}");
        assert!(missing.to_string().contains("Type the path"), "with a way on: {missing}");
    }

    #[test]
    fn nothing_is_written_over_where_no_place_was_chosen() {
        let place = tempfile::tempdir().expect("a folder");
        let put = |name: &str| std::fs::write(place.path().join(name), "").expect("a file");
        assert_eq!(free_path(place.path(), "a.json"), place.path().join("a.json"), "nothing is there");
        put("a.json");
        put("a-2.json");
        assert_eq!(free_path(place.path(), "a.json"), place.path().join("a-3.json"), "two are");
        put("a");
        assert_eq!(free_path(place.path(), "a"), place.path().join("a-2"), "without an ending");
    }
}
