//! Models on this computer's disk: those that other programs keep, and those below a folder. Nothing is changed there.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::native::PickedFile;
use super::native_app::{files_in, has_gguf_ending, is_gguf, last_name};
use super::native_hub::Hub;
use super::picked::listed;
use super::types::{FoundModel, licence_in};
use crate::error::{Error, Result};

/// Entries of folders that the search of one place looks at, on a thread of its own.
const ENTRIES: usize = 20_000;
/// Entries that are looked at while the window waits.
const ENTRIES_AT_ONCE: usize = 5_000;
/// GGUF files that are listed: the metadata of each is read.
const GGUF_FILES: usize = 100;
/// Bytes that are read of a README or a manifest.
const TEXT_BYTES: u64 = 64 * 1024;
/// Layer of a manifest of Ollama that is the model.
const OLLAMA_MODEL: &str = "application/vnd.ollama.image.model";

/// Looks for whole models that other programs have fetched; `done` gets them on another thread.
pub fn system_models(done: impl FnOnce(Vec<FoundModel>) + Send + 'static) {
    std::thread::spawn(move || done(Places::of_this_person().models()));
}

/// The files of a folder that was chosen as a model. The error names models below it, if it is none itself.
pub(super) fn model_files(folder: &Path) -> Result<Vec<PickedFile>> {
    let files = files_in(folder)?;
    let is_of_model = |file: &PickedFile| {
        let name = file.name().to_lowercase();
        name == "config.json" || [".safetensors", ".gguf", ".bin"].iter().any(|ending| name.ends_with(ending))
    };
    if files.iter().any(is_of_model) {
        return Ok(files);
    }
    let found = Search { left: ENTRIES_AT_ONCE }.models_below(folder);
    let from_here = |path: &PathBuf| path.strip_prefix(folder).unwrap_or(path).display().to_string();
    let found: Vec<String> = found.iter().map(from_here).collect();
    let (what, fix) = match found.as_slice() {
        [] => return Ok(files),
        [one] => ("This folder is no model, but holds one".to_owned(), format!("Choose `{one}` in it")),
        several => {
            let what = format!("This folder is no model, but holds {}", several.len());
            (what, format!("Choose one of them: {}", listed(several)))
        }
    };
    Err(Error::input(what, fix, folder.display().to_string()))
}

/// Folders in which other programs keep models.
#[derive(Default)]
struct Places {
    hub: Option<PathBuf>,
    lm_studio: Vec<PathBuf>,
    ollama: Vec<PathBuf>,
}

impl Places {
    fn of_this_person() -> Self {
        let home = directories::BaseDirs::new().map(|places| places.home_dir().to_owned());
        let at_home = |path: &str| home.as_ref().map(|home| home.join(path));
        let own = std::env::var_os("OLLAMA_MODELS").filter(|path| !path.is_empty()).map(PathBuf::from);
        // The service of Linux has a home of its own.
        let service = Some(PathBuf::from("/usr/share/ollama/.ollama/models"));
        Self {
            hub: Hub::of_this_person().cache,
            lm_studio: [".lmstudio/models", ".cache/lm-studio/models"].into_iter().filter_map(at_home).collect(),
            ollama: [own, at_home(".ollama/models"), service].into_iter().flatten().collect(),
        }
    }

    /// Folders of the Hub's cache by their names, then GGUF files by theirs.
    fn models(&self) -> Vec<FoundModel> {
        let (mut folders, mut files) = (Vec::new(), Vec::new());
        if let Some(cache) = &self.hub {
            let mut search = new_search();
            for repo in search.entries(cache) {
                folders.extend(search.model_in(&repo));
                files.extend(search.gguf_in(&repo));
            }
        }
        for root in &self.lm_studio {
            let found = new_search().models_below(root).into_iter().filter(|path| path.is_file());
            files.extend(found.filter_map(|path| found_file(last_name(&path), &path, None)));
        }
        files.extend(self.ollama.iter().flat_map(|store| new_search().ollama(store)));
        folders.sort_by(|a, b| a.name.cmp(&b.name));
        files.sort_by(|a, b| (&a.name, &a.folder).cmp(&(&b.name, &b.folder)));
        // Two tags of Ollama may be one file.
        let mut known = HashSet::new();
        files.retain(|model| known.insert(model.folder.clone()));
        files.truncate(GGUF_FILES);
        folders.into_iter().chain(files).collect()
    }
}

fn new_search() -> Search {
    Search { left: ENTRIES }
}

/// Search that ends after so many entries of folders, however many there are. Unreadable ones are skipped, because they
/// are not ours.
struct Search {
    left: usize,
}

impl Search {
    /// Paths of the entries directly in a folder, by name.
    fn entries(&mut self, folder: &Path) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).take(self.left).collect();
        self.left -= paths.len();
        paths.sort();
        paths
    }

    /// Whole models up to two folders below one.
    fn models_below(&mut self, folder: &Path) -> Vec<PathBuf> {
        let (mut found, mut level) = (Vec::new(), vec![folder.to_owned()]);
        for _ in 0..3 {
            let paths: Vec<PathBuf> = level.iter().flat_map(|folder| self.entries(folder)).collect();
            let is_model = |path: &PathBuf| is_model_file(path) || is_whole_model(path);
            let (models, others): (Vec<PathBuf>, Vec<PathBuf>) = paths.into_iter().partition(is_model);
            found.extend(models);
            level = others.into_iter().filter(|path| path.is_dir()).collect();
        }
        found
    }

    /// Commits of a repository in the Hub's cache, the one that `main` was last seen at before all others.
    fn snapshots(&mut self, repo: &Path) -> Vec<PathBuf> {
        let main = std::fs::read_to_string(repo.join("refs/main")).unwrap_or_default();
        let mut folders = self.entries(&repo.join("snapshots"));
        folders.sort_by_key(|folder| (last_name(folder) != main.trim(), folder.clone()));
        folders
    }

    /// The model in `models--<org>--<name>`: of the first commit that is whole.
    fn model_in(&mut self, repo: &Path) -> Option<FoundModel> {
        let name = last_name(repo).strip_prefix("models--")?.replace("--", "/");
        let folder = self.snapshots(repo).into_iter().find(|folder| is_whole_model(folder))?;
        let files = files_in(&folder).ok()?;
        let bytes = files.iter().filter(|file| !file.name().ends_with(".incomplete")).map(PickedFile::len).sum();
        let licence = licence(&folder.join("README.md"));
        Some(FoundModel { name, folder: folder.display().to_string(), bytes, licence })
    }

    /// GGUF files in `models--<org>--<name>`, each of the first commit that has it.
    fn gguf_in(&mut self, repo: &Path) -> Vec<FoundModel> {
        if !last_name(repo).starts_with("models--") {
            return Vec::new();
        }
        let mut found: BTreeMap<String, FoundModel> = BTreeMap::new();
        for folder in self.snapshots(repo) {
            for path in self.entries(&folder).into_iter().filter(|path| is_model_file(path)) {
                let name = last_name(&path);
                if !found.contains_key(&name)
                    && let Some(model) = found_file(name.clone(), &path, licence(&folder.join("README.md")))
                {
                    found.insert(name, model);
                }
            }
        }
        found.into_values().collect()
    }

    /// Models in Ollama's store: `manifests/<server>/<namespace>/<name>/<tag>` names the file of each.
    fn ollama(&mut self, store: &Path) -> Vec<FoundModel> {
        let mut tags = vec![store.join("manifests")];
        for _ in 0..4 {
            tags = tags.iter().flat_map(|folder| self.entries(folder)).collect();
        }
        let model = |tag: PathBuf| {
            let blob = store.join("blobs").join(model_blob(&beginning(&tag)?)?);
            let name = tag.parent()?;
            let namespace = last_name(name.parent()?);
            let owner = if namespace == "library" { String::new() } else { format!("{namespace}/") };
            let name = format!("{owner}{}:{}", last_name(name), last_name(&tag));
            if is_gguf(&blob) { found_file(name, &blob, None) } else { None }
        };
        tags.into_iter().filter_map(model).collect()
    }
}

fn found_file(name: String, path: &Path, licence: Option<String>) -> Option<FoundModel> {
    let bytes = std::fs::metadata(path).ok()?.len();
    Some(FoundModel { name, folder: path.display().to_string(), bytes, licence })
}

/// True for a GGUF file that may be a whole model: no part of one, and no projector of images.
fn is_model_file(path: &Path) -> bool {
    let name = last_name(path).to_lowercase();
    has_gguf_ending(path) && !name.contains("mmproj") && !is_part(&name) && path.is_file()
}

/// True for a name such as `model-00001-of-00003.gguf`.
fn is_part(name: &str) -> bool {
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    let mut words = stem.rsplit('-');
    let is_number = |word: Option<&str>| word.is_some_and(|word| word.parse::<u32>().is_ok());
    is_number(words.next()) && words.next() == Some("of") && is_number(words.next())
}

/// Name of the file that a manifest of Ollama names as the model.
fn model_blob(manifest: &[u8]) -> Option<String> {
    /// The one field of a manifest that matters here.
    #[derive(Deserialize)]
    struct Manifest {
        layers: Vec<Layer>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Layer {
        media_type: String,
        digest: String,
    }
    let manifest: Manifest = serde_json::from_slice(manifest).ok()?;
    let layer = manifest.layers.into_iter().find(|layer| layer.media_type == OLLAMA_MODEL)?;
    let hash = layer.digest.strip_prefix("sha256:")?;
    hash.bytes().all(|b| b.is_ascii_hexdigit()).then(|| format!("sha256-{hash}"))
}

/// True if a folder has all that a model needs, with every shard of its weights.
fn is_whole_model(folder: &Path) -> bool {
    /// The one field of `model.safetensors.index.json` that matters here.
    #[derive(Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let has = |name: &str| folder.join(name).is_file();
    let has_shards = || {
        let index = std::fs::read(folder.join("model.safetensors.index.json")).ok();
        let index: Option<Index> = index.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        index.is_some_and(|index| !index.weight_map.is_empty() && index.weight_map.values().all(|shard| has(shard)))
    };
    has("config.json") && has("tokenizer.json") && (has("model.safetensors") || has_shards())
}

/// The licence that a README states at its beginning.
fn licence(readme: &Path) -> Option<String> {
    licence_in(&beginning(readme)?)
}

/// The first bytes of a file.
fn beginning(path: &Path) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(TEXT_BYTES).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    #[cfg(target_os = "linux")]
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::platform::host::{DiskFolder, files_at, pick_at};
    use crate::platform::{Folder as _, Pick};

    fn put(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("folders are made");
        std::fs::write(path, text).expect("the file is written");
    }

    /// Models in a cache of the Hub.
    fn models_in(cache: &Path) -> Vec<FoundModel> {
        Places { hub: Some(cache.to_owned()), ..Places::default() }.models()
    }

    fn names(models: &[FoundModel]) -> Vec<&str> {
        models.iter().map(|model| model.name.as_str()).collect()
    }

    #[test]
    fn whole_models_of_the_hub_are_found() {
        let place = tempfile::tempdir().expect("a folder");
        let put = |path: &str, text: &str| put(place.path(), path, text);
        let repo = |name: &str, commit: &str, files: &[&str]| {
            for file in files {
                put(&format!("hub/models--{name}/snapshots/{commit}/{file}"), "12345");
            }
        };
        repo("org--one", "c1", &["config.json", "tokenizer.json", "model.safetensors", "x.incomplete"]);
        repo("org--one", "c0", &["config.json", "tokenizer.json", "model.safetensors"]);
        put("hub/models--org--one/refs/main", "c1\n");
        put("hub/models--org--one/snapshots/c1/README.md", "---\ntags: []\nlicense: \"mit\"\n---\nlicense: no\n");
        repo("gpt2", "c1", &["config.json", "tokenizer.json", "s1.safetensors"]);
        put("hub/models--gpt2/snapshots/c1/model.safetensors.index.json", r#"{"weight_map":{"a":"s1.safetensors"}}"#);
        repo("org--half", "c1", &["config.json", "tokenizer.json", "s1.safetensors"]);
        put(
            "hub/models--org--half/snapshots/c1/model.safetensors.index.json",
            r#"{"weight_map":{"a":"s1.safetensors","b":"s2.safetensors"}}"#,
        );
        repo("org--weights", "c1", &["config.json", "model.safetensors"]);
        put("hub/datasets--org--d/snapshots/c1/config.json", "{}");
        put("hub/version.txt", "1");
        let models = models_in(&place.path().join("hub"));
        let found: Vec<_> = models.iter().map(|m| (m.name.as_str(), m.bytes, m.licence.as_deref())).collect();
        let readme = "---\ntags: []\nlicense: \"mit\"\n---\nlicense: no\n".len() as u64;
        assert_eq!(found, [("gpt2", 15 + 37, None), ("org/one", 15 + readme, Some("mit"))], "whole models");
        assert!(models[1].folder.ends_with("c1"), "the commit of main, not {}", models[1].folder);
        assert!(models_in(&place.path().join("none")).is_empty(), "no cache");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn links_in_the_cache_are_followed() {
        let place = tempfile::tempdir().expect("a folder");
        let hub = place.path().join("hub");
        put(&hub, "models--a--b/blobs/0", "0123456789");
        let snapshot = hub.join("models--a--b/snapshots/c");
        std::fs::create_dir_all(&snapshot).expect("a folder");
        for name in ["config.json", "tokenizer.json", "model.safetensors"] {
            assert!(models_in(&hub).is_empty(), "not whole before {name}");
            symlink("../../blobs/0", snapshot.join(name)).expect("a link");
        }
        assert_eq!(models_in(&hub).first().map(|model| model.bytes), Some(30), "sizes behind the links");
        std::fs::remove_file(hub.join("models--a--b/blobs/0")).expect("removed");
        assert!(models_in(&hub).is_empty(), "links that lead nowhere");
    }

    #[test]
    fn gguf_files_of_the_hub_and_of_lm_studio_are_found() {
        let place = tempfile::tempdir().expect("a folder");
        let hub = |commit: &str, file: &str| {
            put(place.path(), &format!("hub/models--org--g/snapshots/{commit}/{file}"), commit);
        };
        put(place.path(), "hub/models--org--g/refs/main", "c2");
        hub("c1", "m.Q8_0.gguf");
        hub("c1", "m.F16.GGUF");
        hub("c2", "m.Q8_0.gguf");
        hub("c2", "mmproj-m-f16.gguf");
        hub("c2", "big-00001-of-00003.gguf");
        hub("c2", "README.md");
        let studio = |path: &str| put(place.path(), &format!("studio/{path}"), "GGUF and more");
        studio("org/repo/s.Q4_K_M.gguf");
        studio("org/repo/s.mmproj.gguf");
        studio("org/repo/deeper/t.gguf");
        let places = Places {
            hub: Some(place.path().join("hub")),
            lm_studio: vec![place.path().join("studio"), place.path().join("none")],
            ..Places::default()
        };
        let models = places.models();
        assert_eq!(names(&models), ["m.F16.GGUF", "m.Q8_0.gguf", "s.Q4_K_M.gguf"], "no parts and projectors");
        assert!(models[1].folder.contains("c2"), "the commit of main, not {}", models[1].folder);
        assert_eq!(models[2].bytes, 13, "the size of the file");
        let files = pick_at(&models[2].folder);
        assert_eq!(files.iter().map(PickedFile::name).collect::<Vec<_>>(), ["s.Q4_K_M.gguf"], "it opens by its path");
    }

    #[test]
    fn models_of_ollama_are_found_and_open_by_their_content() {
        let place = tempfile::tempdir().expect("a folder");
        let layer = |kind: &str, hash: &str| {
            format!(r#"{{"mediaType":"application/vnd.ollama.image.{kind}","digest":"sha256:{hash}","size":9}}"#)
        };
        let manifest = |path: &str, layers: &[String]| {
            let text = format!(r#"{{"schemaVersion":2,"layers":[{}]}}"#, layers.join(","));
            put(place.path(), &format!("manifests/{path}"), &text);
        };
        let model = || layer("model", "ab12");
        manifest("registry.ollama.ai/library/smollm2/135m", &[layer("license", "00"), model()]);
        manifest("registry.ollama.ai/library/smollm2/latest", &[model()]);
        manifest("registry.ollama.ai/someone/tiny/latest", &[layer("model", "cd34")]);
        manifest("registry.ollama.ai/library/other/latest", &[layer("model", "ef56")]);
        manifest("registry.ollama.ai/library/gone/latest", &[layer("model", "0000")]);
        manifest("registry.ollama.ai/library/bad/latest", &[layer("model", "../ab12")]);
        put(place.path(), "manifests/registry.ollama.ai/library/cut/latest", "{");
        put(place.path(), "blobs/sha256-ab12", "GGUF one");
        put(place.path(), "blobs/sha256-cd34", "GGUF other");
        put(place.path(), "blobs/sha256-ef56", "no model");
        let models = Places { ollama: vec![place.path().to_owned()], ..Places::default() }.models();
        assert_eq!(names(&models), ["smollm2:135m", "someone/tiny:latest"], "one file is listed once");
        let files = pick_at(&models[0].folder);
        let seen: Vec<_> = files.iter().map(|file| (file.name(), file.whole_path())).collect();
        let path = place.path().join("blobs/sha256-ab12").display().to_string();
        assert_eq!(seen, [("sha256-ab12.gguf".to_owned(), Some(path.clone()))], "a GGUF file, where it lies");
        assert_eq!(files_at(Pick::ModelFolder, &path).expect("it opens"), files, "also by its path");
        let folder = DiskFolder::open(Path::new(&path)).expect("it opens");
        assert_eq!(folder.files(), ["sha256-ab12.gguf"], "and on the command line");
        assert_eq!(folder.open("sha256-ab12.gguf").expect("it opens").len(), 8, "its content");
        let other = place.path().join("blobs/sha256-ef56").display().to_string();
        assert!(files_at(Pick::ModelFolder, &other).is_err(), "another file is no model");
    }

    #[test]
    fn a_folder_of_models_names_them() {
        let place = tempfile::tempdir().expect("a folder");
        let at = || files_at(Pick::ModelFolder, &place.path().display().to_string());
        put(place.path(), "notes.txt", "mine");
        put(place.path(), "empty/deep/er/m.gguf", "");
        assert_eq!(at().expect("its files").len(), 1, "what is deeper is not looked for");
        for file in ["config.json", "tokenizer.json", "model.safetensors"] {
            put(place.path(), &format!("a/{file}"), "{}");
        }
        let error = at().expect_err("it is no model").to_string();
        assert!(error.contains("holds one") && error.contains("`a`"), "{error}");
        put(place.path(), "org/b.gguf", "");
        put(place.path(), "org/repo/c.gguf", "");
        let error = at().expect_err("it is no model").to_string();
        let separator = std::path::MAIN_SEPARATOR;
        let files = format!("`a`, `org{separator}b.gguf`, `org{separator}repo{separator}c.gguf`");
        assert!(error.contains("holds 3") && error.contains(&files), "{error}");
        put(place.path(), "config.json", "{}");
        assert_eq!(at().expect("its files").len(), 2, "a model of its own, though not whole");
    }

    #[test]
    fn a_search_of_a_huge_folder_ends() {
        let place = tempfile::tempdir().expect("a folder");
        for n in 0..9 {
            put(place.path(), &format!("m{n}.gguf"), "");
        }
        assert_eq!(Search { left: 4 }.models_below(place.path()).len(), 4, "as many as it may look at");
        let mut search = Search { left: 20 };
        assert_eq!((search.entries(place.path()).len(), search.left), (9, 11), "what is left for others");
    }
}
