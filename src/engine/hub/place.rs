//! The destination of a download: in a page a folder of the app's own storage, natively the cache of the Hugging Face
//! tools, in their layout, so that each finds what the other has fetched.

use serde::{Deserialize, Serialize};

use crate::engine::model::commands::{MODELS, PARTIAL};
use crate::engine::protocol::{ModelSource, Origin};
use crate::error::{Error, Result};
use crate::platform::Folder as _;
use crate::platform::host::{Hub, Store};

/// A file of a repository, as the Hub's API lists it.
#[derive(Debug, Clone, Deserialize)]
pub(in crate::engine) struct RepoFile {
    /// Its name.
    pub(in crate::engine) path: String,
    /// Its bytes.
    pub(in crate::engine) size: u64,
    /// Git's hash of the file; for a large file, of its pointer in the repository.
    #[serde(default)]
    oid: Option<String>,
    /// Hash of a large file; none for others.
    #[serde(default)]
    lfs: Option<Lfs>,
}

/// A large file's hash.
#[derive(Debug, Clone, Deserialize)]
struct Lfs {
    /// SHA-256 of the content, in hexadecimal.
    oid: String,
}

/// Expected hash of a file's content, in hexadecimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::engine) enum Sum<'a> {
    /// SHA-256 of a large file.
    Sha256(&'a str),
    /// Git's hash of any other file: SHA-1 of its length and content.
    Git(&'a str),
}

impl RepoFile {
    /// The hash that the list gives for it.
    pub(in crate::engine) fn sum(&self) -> Option<Sum<'_>> {
        match (&self.lfs, &self.oid) {
            (Some(lfs), _) => Some(Sum::Sha256(&lfs.oid)),
            (None, Some(oid)) => Some(Sum::Git(oid)),
            (None, None) => None,
        }
    }

    /// Returns the hash, which names the content in the cache. It becomes a file name, so anything else is an error.
    fn blob(&self) -> Result<&str> {
        let (hash, len) = match self.sum() {
            Some(Sum::Sha256(hash)) => (hash, 64),
            Some(Sum::Git(hash)) => (hash, 40),
            None => ("", 40),
        };
        match hash.len() == len && is_hex(hash) {
            true => Ok(hash),
            false => Err(Error::input(
                "The server's list of files has no hash for one of them",
                "Choose another server, or download the file yourself and choose it",
                self.path.escape_debug().to_string(),
            )),
        }
    }
}

/// Marker beside an unfinished download in the app's storage.
#[derive(Debug, Serialize, Deserialize)]
struct Download {
    #[serde(flatten)]
    origin: Origin,
    /// The commit that its files are of.
    commit: String,
}

/// Branch with a repository's latest files.
pub(in crate::engine) const BRANCH: &str = "main";

/// Destination of one model's files.
pub(in crate::engine) struct Place {
    /// The storage that they are in.
    pub(in crate::engine) store: Store,
    repo: String,
    /// The model's folder in it.
    folder: String,
    /// Name of the model among those that the app keeps; none in the cache.
    kept: Option<String>,
    /// The commit that is being fetched.
    commit: String,
}

impl Place {
    /// The place of a model: in the cache that `hub` knows, or else among the models that the app keeps.
    pub(in crate::engine) async fn open(hub: &Hub, store: Result<&Store>, repo: &str) -> Result<Self> {
        let (name, repo, commit) = (repo.replace('/', "--"), repo.to_owned(), String::new());
        Ok(match hub.cache().await? {
            Some(store) => Self { store, repo, folder: format!("models--{name}"), kept: None, commit },
            None => Self { store: store?.clone(), repo, folder: format!("{MODELS}/{name}"), kept: Some(name), commit },
        })
    }

    /// The commit to go on with where the server does not tell the latest one.
    pub(in crate::engine) async fn known_commit(&self) -> Option<String> {
        if self.kept.is_some() {
            return Some(self.begun().await.map_or_else(|| BRANCH.to_owned(), |begun| begun.commit));
        }
        let commit = self.store.read(&self.reference()).await.ok()?;
        String::from_utf8(commit).ok().map(|commit| commit.trim().to_owned()).filter(|commit| is_hex(commit))
    }

    /// Begins, or goes on, with the files of this commit.
    pub(in crate::engine) async fn begin(&mut self, endpoint: &str, commit: String, files: &[RepoFile]) -> Result<()> {
        if self.kept.is_none() {
            self.commit = commit;
            return files.iter().try_for_each(|file| file.blob().map(drop));
        }
        if self.begun().await.is_none_or(|begun| begun.commit != commit) {
            // Files of two commits do not belong together; what is whole and has a hash is compared with that.
            for file in files {
                let path = self.partial(file)?;
                let whole = self.bytes(&path).await? == Some(file.size);
                if file.sum().is_none() || !whole {
                    self.store.remove(&path).await?;
                }
            }
        }
        let origin = Origin { repo: self.repo.clone(), endpoint: endpoint.to_owned() };
        let download = serde_json::to_vec(&Download { origin, commit }).unwrap_or_default();
        self.store.write(&self.marker(), &download).await
    }

    /// Returns the path of a file that is not yet known to be whole.
    pub(in crate::engine) fn partial(&self, file: &RepoFile) -> Result<String> {
        Ok(match &self.kept {
            Some(_) => format!("{}/{}", self.folder, file.path),
            None => format!("{}/blobs/{}.incomplete", self.folder, file.blob()?),
        })
    }

    /// True if a file is there already, fetched before by whomever; its content has then been checked.
    pub(in crate::engine) async fn has(&self, file: &RepoFile) -> Result<bool> {
        if self.kept.is_some() {
            return Ok(false);
        }
        if self.bytes(&self.shown(file)).await? == Some(file.size) {
            return Ok(true);
        }
        let blob = self.blob(file)?;
        let is_there = self.bytes(&blob).await? == Some(file.size);
        if is_there {
            self.store.link(&blob, &self.shown(file)).await?;
        }
        Ok(is_there)
    }

    /// Takes in a file that is whole and checked.
    pub(in crate::engine) async fn keep(&self, file: &RepoFile) -> Result<()> {
        if self.kept.is_some() {
            return Ok(());
        }
        let blob = self.blob(file)?;
        self.store.rename(&self.partial(file)?, &blob).await?;
        self.store.link(&blob, &self.shown(file)).await
    }

    /// All files are there: says where the model is.
    pub(in crate::engine) async fn finish(self) -> Result<ModelSource> {
        if let Some(name) = &self.kept {
            self.store.remove(&self.marker()).await?;
            return Ok(ModelSource::Stored { name: name.clone() });
        }
        // Last of all: whoever goes by it finds a whole model.
        self.store.write(&self.reference(), self.commit.as_bytes()).await?;
        let folder = self.store.folder(&self.snapshot()).await?;
        Ok(ModelSource::Picked { name: self.repo, path: Some(folder.name().to_owned()) })
    }

    async fn begun(&self) -> Option<Download> {
        serde_json::from_slice(&self.store.read(&self.marker()).await.ok()?).ok()
    }

    /// Bytes of a file; none if there is no such file.
    async fn bytes(&self, path: &str) -> Result<Option<u64>> {
        Ok(match self.store.exists(path).await? {
            true => Some(self.store.source(path).await?.len()),
            false => None,
        })
    }

    fn marker(&self) -> String {
        format!("{}/{PARTIAL}", self.folder)
    }

    /// Returns the path of the cache's file that names the latest commit.
    fn reference(&self) -> String {
        format!("{}/refs/{BRANCH}", self.folder)
    }

    /// The folder in which the cache shows the files of a commit under their names.
    fn snapshot(&self) -> String {
        format!("{}/snapshots/{}", self.folder, self.commit)
    }

    fn shown(&self, file: &RepoFile) -> String {
        format!("{}/{}", self.snapshot(), file.path)
    }

    fn blob(&self, file: &RepoFile) -> Result<String> {
        Ok(format!("{}/blobs/{}", self.folder, file.blob()?))
    }
}

/// True for a hash in hexadecimal.
pub(in crate::engine) fn is_hex(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}
