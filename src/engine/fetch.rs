//! Models from the Hugging Face Hub into the store: file by file, by ranges, and checked by size and hash.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::protocol::{Event, Origin};
use super::session::{PARTIAL, Wire};
use crate::error::{Error, Result};
use crate::model::Architecture;
use crate::platform::host::{Store, fetch_range};

/// A file of a repository, as the Hub's API lists it.
#[derive(Debug, Clone, Deserialize)]
struct RepoFile {
    path: String,
    size: u64,
    #[serde(default)]
    lfs: Option<Lfs>,
}

/// A large file's hash.
#[derive(Debug, Clone, Deserialize)]
struct Lfs {
    /// SHA-256 of the content, in hexadecimal.
    oid: String,
}

/// What is written beside a download that is not finished.
#[derive(Debug, Serialize, Deserialize)]
struct Download {
    #[serde(flatten)]
    origin: Origin,
    /// The commit that its files are of.
    commit: String,
}

/// Why the files of a model are asked for.
const MODEL_PURPOSE: &str = "a model that you asked for";
/// Where a repository's latest files are.
const BRANCH: &str = "main";
/// Bytes of a file that are in memory at a time when it is hashed again.
const SLICE_BYTES: u64 = 16 << 20;

/// Fetches what a model needs, going on where an earlier download ended; returns its name in the store.
pub(super) async fn fetch(wire: &mut Wire, store: &Store, repo: &str, endpoint: &str, models: &str) -> Result<String> {
    let plain = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_alphanumeric() || "-_.".contains(c));
    if repo.split('/').count() > 2 || !repo.split('/').all(plain) || repo.contains("..") {
        return Err(Error::input(format!("\"{repo}\" is no model's name"), "Give it as organisation/name", ""));
    }
    let endpoint = endpoint.trim_end_matches('/');
    let name = repo.replace('/', "--");
    let folder = format!("{models}/{name}");
    wire.begin();
    let marker = format!("{folder}/{PARTIAL}");
    let begun: Option<Download> = store.read(&marker).await.ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let commit = match commit(wire, repo, endpoint).await? {
        Some(sha) => sha,
        // Not told now: a download goes on with what it began with.
        None => begun.as_ref().map_or_else(|| BRANCH.to_owned(), |begun| begun.commit.clone()),
    };
    let list = format!("{endpoint}/api/models/{repo}/tree/{commit}");
    let listed = get(wire, &list, "the list of the model's files").await?;
    let files: Vec<RepoFile> = serde_json::from_slice(&listed)
        .map_err(|e| Error::input(format!("The list of files cannot be read: {e}"), "Try again later", list.clone()))?;
    let files: Vec<RepoFile> = files.into_iter().filter(|file| is_wanted(&file.path)).collect();
    if !files.iter().any(|file| file.path.ends_with(".safetensors")) {
        let what = "The repository has no .safetensors files in its main folder";
        return Err(Error::input(what, "Choose a repository with safetensors weights", repo));
    }
    // Whether the model can be trained at all, before gigabytes are fetched.
    let config = format!("{endpoint}/{repo}/resolve/{commit}/config.json");
    Architecture::from_bytes(&get(wire, &config, "the model's configuration").await?, &config)?;
    let total: u64 = files.iter().map(|file| file.size).sum();
    if begun.is_none_or(|begun| begun.commit != commit) {
        // Files of two commits do not belong together; what is whole and has a hash is compared with that.
        for file in &files {
            let path = format!("{folder}/{}", file.path);
            let whole = store.exists(&path).await? && store.source(&path).await?.len() == file.size;
            if file.lfs.is_none() || !whole {
                store.remove(&path).await?;
            }
        }
    }
    let origin = Origin { repo: repo.to_owned(), endpoint: endpoint.to_owned() };
    let download = Download { origin, commit };
    store.write(&marker, &serde_json::to_vec(&download).unwrap_or_default()).await?;
    let commit = &download.commit;
    let mut before = 0;
    for file in &files {
        let url = format!("{endpoint}/{repo}/resolve/{commit}/{}", file.path);
        fetch_file(wire, store, &url, &format!("{folder}/{}", file.path), file, before, total).await?;
        before += file.size;
    }
    store.remove(&marker).await?;
    Ok(name)
}

/// The commit that a repository is at, so that all files are of the same one; none where a server does not tell.
async fn commit(wire: &mut Wire, repo: &str, endpoint: &str) -> Result<Option<String>> {
    #[derive(Deserialize)]
    struct Revision {
        sha: String,
    }
    let url = format!("{endpoint}/api/models/{repo}/revision/{BRANCH}");
    let told = match get(wire, &url, "the model's commit").await {
        Err(Error::Cancelled) => return Err(Error::Cancelled),
        told => told.ok().and_then(|bytes| serde_json::from_slice::<Revision>(&bytes).ok()),
    };
    Ok(told.map(|told| told.sha).filter(|sha| !sha.is_empty() && sha.chars().all(|c| c.is_ascii_hexdigit())))
}

/// Fetches one file, or what is missing of it, and checks it; a file that is wrong is taken away.
async fn fetch_file(
    wire: &mut Wire,
    store: &Store,
    url: &str,
    path: &str,
    file: &RepoFile,
    before: u64,
    total: u64,
) -> Result<()> {
    let mut have = match store.exists(path).await? {
        true => store.source(path).await?.len(),
        false => 0,
    };
    if have > file.size {
        store.remove(path).await?;
        have = 0;
    }
    if have < file.size {
        let asked = wire.inbox.unless_cancelled(fetch_range(url, have)).await;
        let mut answer = asked.inspect_err(|_| tell_request(wire, url, 0, MODEL_PURPOSE))?;
        if answer.status == 200 {
            // The server has no ranges: from the beginning.
            have = 0;
        }
        let mut writer = store.create(path, have).await?;
        let begin = have;
        let ended = loop {
            // A connection may stall: cancelling does not wait for it.
            match wire.inbox.unless_cancelled(answer.next()).await {
                Ok(Some(bytes)) => {
                    if let Err(error) = writer.write(&bytes).await {
                        break Err(error);
                    }
                    have += bytes.len() as u64;
                }
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
            if let Some(progress) = wire.progress(&format!("fetching {}", file.path), before + have, total) {
                wire.send(Event::ModelProgress(progress));
            }
        };
        // What has arrived stays, so that the next attempt goes on from there.
        let kept = writer.finish().await;
        tell_request(wire, url, have - begin, MODEL_PURPOSE);
        ended.and(kept)?;
    }
    if have != file.size {
        let what = format!("{have} of {} bytes arrived", file.size);
        return Err(Error::input(what, "Press Get again: the download goes on from there", url));
    }
    let Some(lfs) = &file.lfs else { return Ok(()) };
    let source = store.source(path).await?;
    let mut hash = Sha256::new();
    for offset in (0..file.size).step_by(SLICE_BYTES as usize) {
        let len = SLICE_BYTES.min(file.size - offset);
        hash.update(source.read_at(offset, len as usize).await?);
        if let Some(progress) = wire.progress(&format!("checking {}", file.path), before + offset + len, total) {
            wire.send(Event::ModelProgress(progress));
        }
        if wire.inbox.cancelled() {
            return Err(Error::Cancelled);
        }
    }
    let found: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    if found == lfs.oid {
        return Ok(());
    }
    drop(source);
    store.remove(path).await?;
    Err(Error::input(
        format!("The file that arrived has the SHA-256 {found}, but the Hub says {}", lfs.oid),
        "It was damaged on the way and was removed: press Get again",
        url,
    ))
}

/// Fetches a small answer whole.
async fn get(wire: &mut Wire, url: &str, purpose: &str) -> Result<Vec<u8>> {
    let (inbox, mut bytes) = (&mut wire.inbox, Vec::new());
    let got = async {
        let mut answer = inbox.unless_cancelled(fetch_range(url, 0)).await?;
        while let Some(piece) = inbox.unless_cancelled(answer.next()).await? {
            bytes.extend(piece);
        }
        Ok(())
    };
    let got = got.await;
    tell_request(wire, url, bytes.len() as u64, purpose);
    got.map(|()| bytes)
}

/// Adds a request to the ledger; what failed was asked for all the same.
fn tell_request(wire: &Wire, url: &str, bytes: u64, purpose: &str) {
    wire.send(Event::Request { url: url.to_owned(), bytes, purpose: purpose.to_owned() });
}

/// True for the files of a model folder that pairtune reads, or that belong with it.
fn is_wanted(path: &str) -> bool {
    let endings = [".safetensors", ".json", ".jinja"];
    !path.contains('/') && (endings.iter().any(|end| path.ends_with(end)) || path == "README.md")
}
