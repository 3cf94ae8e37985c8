//! Guesses from their names what files are good for, before they are read.

use std::path::Path;

use eframe::egui::HoveredFile;

use super::text;
use crate::platform::Pick;
use crate::platform::host::{self, PickedFile};

/// Effect of dropping files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Drop {
    /// Open them as if they had been picked for this.
    Pick(Pick),
    /// No effect; the text says why, and what would work.
    Unknown(String),
}

/// Parts of the media types of pairs files.
const PAIRS_TYPES: [&str; 6] = ["json", "csv", "tab-separated", "parquet", "gzip", "zstd"];

/// Returns the effect of dropping files with these names.
pub(super) fn kind(names: &[String]) -> Drop {
    let names: Vec<String> = names.iter().map(|name| name.to_lowercase()).collect();
    let any = |endings: &[&str]| names.iter().any(|name| endings.iter().any(|ending| name.ends_with(ending)));
    let is_config = |name: &String| ["config.json", "tokenizer.json", "tokenizer_config.json"].contains(&name.as_str());
    if any(&["adapter_config.json", "adapter_model.safetensors"]) {
        return Drop::Pick(Pick::Adapter);
    }
    if any(&[".safetensors"]) || names.iter().any(is_config) {
        return Drop::Pick(Pick::ModelFiles);
    }
    match names.as_slice() {
        [] => Drop::Unknown(text::EMPTY_FOLDER.to_owned()),
        [name] if name.ends_with(".gguf") => Drop::Pick(Pick::ModelFiles),
        _ if any(&[".bin", ".pt", ".pth", ".ckpt"]) => Drop::Unknown(text::NO_PICKLE.to_owned()),
        _ if any(&[".xlsx", ".arrow"]) => Drop::Unknown(text::NO_TABLES.to_owned()),
        [name] if name.ends_with(".zip") || name.ends_with(".run") => Drop::Pick(Pick::Archive),
        [name] if name.ends_with("settings.json") => Drop::Pick(Pick::Settings),
        [name] if Pick::PairsFile.endings().iter().any(|ending| name.ends_with(&format!(".{ending}"))) => {
            Drop::Pick(Pick::PairsFile)
        }
        [name] => Drop::Unknown(text::unknown_file(name)),
        _ => Drop::Unknown(text::MANY_FILES.to_owned()),
    }
}

/// Returns the effect of dropping the files that hover now: by their paths, or by their media types where the browser
/// hides the names. None if only the drop itself can tell.
pub(super) fn hovered(files: &[HoveredFile]) -> Option<Drop> {
    let paths: Option<Vec<&Path>> = files.iter().map(|file| file.path.as_deref()).collect();
    if let Some(paths) = paths {
        let names: Vec<String> = paths.iter().flat_map(|path| open_path(path)).map(|file| file.name()).collect();
        return Some(kind(&names));
    }
    Some(match files {
        [file] if PAIRS_TYPES.iter().any(|kind| file.mime.contains(kind)) => Drop::Pick(Pick::PairsFile),
        [file] if file.mime.contains("zip") => Drop::Pick(Pick::Archive),
        // A folder, or a file of unknown type, such as JSON Lines in a browser.
        [file] if file.mime.is_empty() => return None,
        [file] => Drop::Unknown(text::unknown_file(&file.mime)),
        _ => Drop::Pick(Pick::ModelFiles),
    })
}

/// Returns the files at `path`: a file by itself, or all files directly in a folder.
pub(super) fn open_path(path: &Path) -> Vec<PickedFile> {
    let inside = host::pick_at(&path.display().to_string());
    if !inside.is_empty() {
        return inside;
    }
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return Vec::new() };
    let beside = host::pick_at(&folder.display().to_string());
    beside.into_iter().filter(|file| file.name() == name.to_string_lossy()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_what_files_are_for() {
        let of = |names: &[&str]| kind(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        assert_eq!(of(&["config.json", "model.safetensors"]), Drop::Pick(Pick::ModelFiles), "a model");
        assert_eq!(of(&["m.Q4_K_M.gguf"]), Drop::Pick(Pick::ModelFiles), "a model in one file");
        assert_eq!(of(&["tone.JSONL"]), Drop::Pick(Pick::PairsFile), "pairs");
        assert_eq!(of(&["train-00000-of-00001.parquet"]), Drop::Pick(Pick::PairsFile), "pairs in a table");
        assert_eq!(of(&["tone.csv.gz"]), Drop::Pick(Pick::PairsFile), "packed pairs");
        assert_eq!(of(&["tone.run.zip"]), Drop::Pick(Pick::Archive), "an archive");
        assert_eq!(of(&["a settings.json"]), Drop::Pick(Pick::Settings), "settings");
        assert_eq!(of(&["README.md", "adapter_config.json"]), Drop::Pick(Pick::Adapter), "an adapter");
        for bad in ["m.bin", "a.arrow", "a.png"] {
            assert!(matches!(of(&[bad]), Drop::Unknown(_)), "{bad} is not taken");
        }
        assert!(matches!(of(&[]), Drop::Unknown(_)), "nothing");
    }

    #[test]
    fn what_hovers_over_a_page_is_known_by_its_kind_only() {
        let of = |mime: &str| hovered(&[HoveredFile { path: None, mime: mime.to_owned() }]);
        assert_eq!(of("text/csv"), Some(Drop::Pick(Pick::PairsFile)), "a table");
        assert_eq!(of("application/gzip"), Some(Drop::Pick(Pick::PairsFile)), "packed pairs");
        assert_eq!(of("application/zip"), Some(Drop::Pick(Pick::Archive)), "an archive");
        assert_eq!(of(""), None, "a folder");
        assert!(matches!(of("image/png"), Some(Drop::Unknown(_))), "a picture");
    }
}
