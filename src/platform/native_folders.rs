//! Folders that people see: the place of exports, and a file manager that shows them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::native_app::{for_people, from_home};
use crate::error::{Error, Result};

/// Name of the folder for all exports.
const FOLDER: &str = "pairtune";

/// The folder for exports, for people to read: in their documents, or at home if they have no folder for documents.
pub fn export_folder() -> Option<String> {
    let places = directories::UserDirs::new()?;
    Some(for_people(&exports_in(places.document_dir(), places.home_dir())))
}

fn exports_in(documents: Option<&Path>, home: &Path) -> PathBuf {
    documents.filter(|documents| documents.is_dir()).unwrap_or(home).join(FOLDER)
}

/// Shows a folder, or the one that a file is in, in the system's file manager; `failed` gets the error on another
/// thread if that cannot be done.
pub fn open_folder(path: &str, failed: impl FnOnce(Error) + Send + 'static) {
    let path = from_home(path);
    let folder = if path.is_dir() { path.as_path() } else { path.parent().unwrap_or(&path) }.to_owned();
    let manager = match std::env::consts::OS {
        "macos" => "open",
        "windows" => "explorer",
        _ => "xdg-open",
    };
    std::thread::spawn(move || {
        if let Err(error) = show(manager, &folder) {
            failed(error);
        }
    });
}

/// Has a program show a folder. It goes on when this one ends.
fn show(manager: &str, folder: &Path) -> Result<()> {
    let at = folder.display().to_string();
    let failed =
        |why: String| Error::input(format!("The folder cannot be shown: {why}"), "Open it by its path", at.as_str());
    let mut command = Command::new(manager);
    command.arg(folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let mut child = command.spawn().map_err(|e| failed(format!("{manager}: {e}")))?;
    let ended = child.wait().map_err(|e| failed(format!("{manager}: {e}")))?;
    // Explorer ends with 1 whether it shows the folder or not.
    match ended.success() || manager == "explorer" {
        true => Ok(()),
        false => Err(failed(format!("{manager} ended with {ended}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exports_go_to_the_documents_if_there_are_any() {
        let home = tempfile::tempdir().expect("a folder");
        let documents = home.path().join("Dokumente");
        let place = || exports_in(Some(&documents), home.path());
        assert_eq!(place(), home.path().join(FOLDER), "the system names a folder that is not there");
        std::fs::create_dir(&documents).expect("a folder");
        assert_eq!(place(), documents.join(FOLDER), "now it is");
        assert_eq!(exports_in(None, home.path()), home.path().join(FOLDER), "the system names none");
    }

    #[cfg(unix)]
    #[test]
    fn a_file_manager_that_fails_is_told_of() {
        let folder = Path::new("/");
        assert_eq!(show("true", folder), Ok(()), "it was shown");
        for manager in ["false", "pairtune-has-no-such-program"] {
            let error = show(manager, folder).expect_err("it was not shown").to_string();
            assert!(error.contains(manager) && error.contains("Open it by its path"), "{error}");
        }
    }
}
