//! Models from the Hugging Face Hub, fetched file by file in ranges, and checked by size and hash. The destination is
//! chosen in `src/engine/hub/place.rs`.

use serde::Deserialize;
use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::place::{BRANCH, Place, RepoFile, Sum, is_hex};
use super::requests::{ask, get, tell_request};
use crate::engine::model::commands::SLICE_BYTES;
use crate::engine::protocol::{Event, ModelSource};
use crate::engine::session::Wire;
use crate::error::{Error, Result};
use crate::model::Architecture;
use crate::platform::host::{Hub, Store};
use crate::platform::{ByteSource, Purpose, is_hub_name};

/// Fetches the files of a model, going on where an earlier download ended, and returns the model's source.
pub(in crate::engine) async fn fetch(
    wire: &mut Wire,
    hub: &Hub,
    store: Result<&Store>,
    repo: &str,
    endpoint: &str,
) -> Result<ModelSource> {
    if !is_hub_name(repo) {
        return Err(Error::input(format!("\"{repo}\" is no model's name"), "Give it as organisation/name", ""));
    }
    let endpoint = endpoint.trim_end_matches('/');
    wire.begin();
    let mut place = Place::open(hub, store, repo).await?;
    let commit = match commit(wire, hub, repo, endpoint).await {
        Ok(commit) => commit,
        Err(Error::Cancelled) => return Err(Error::Cancelled),
        // Without an answer from the server, a download goes on with the commit that it began with.
        Err(error) => place.known_commit().await.ok_or(error)?,
    };
    let list = format!("{endpoint}/api/models/{repo}/tree/{commit}");
    let listed = get(wire, hub, &list, Purpose::ModelList).await?;
    let files: Vec<RepoFile> = serde_json::from_slice(&listed)
        .map_err(|e| Error::input(format!("The list of files cannot be read: {e}"), "Try again later", list.clone()))?;
    let is_weight = |file: &RepoFile| file.path.ends_with(".safetensors");
    let mut files: Vec<RepoFile> = files.into_iter().filter(|file| is_wanted(&file.path)).collect();
    // Weights last: without them nobody takes it for a whole model.
    files.sort_by_key(is_weight);
    if !files.iter().any(is_weight) {
        let what = "The repository has no .safetensors files in its main folder";
        return Err(Error::input(what, "Choose a repository with safetensors weights", repo));
    }
    // A model that cannot be trained is refused before gigabytes are fetched.
    let config = format!("{endpoint}/{repo}/resolve/{commit}/config.json");
    Architecture::from_bytes(&get(wire, hub, &config, Purpose::ModelConfig).await?, &config)?;
    let total: u64 = files.iter().map(|file| file.size).sum();
    place.begin(endpoint, commit.clone(), &files).await?;
    let mut before = 0;
    for file in &files {
        let url = format!("{endpoint}/{repo}/resolve/{commit}/{}", file.path);
        fetch_file(wire, hub, &place, &Part { url, file, before, total }).await?;
        before += file.size;
    }
    place.finish().await
}

/// The commit that a repository is at, so that all files are of the same one.
async fn commit(wire: &mut Wire, hub: &Hub, repo: &str, endpoint: &str) -> Result<String> {
    #[derive(Deserialize)]
    struct Revision {
        sha: String,
    }
    let url = format!("{endpoint}/api/models/{repo}/revision/{BRANCH}");
    let told = get(wire, hub, &url, Purpose::ModelCommit).await?;
    match serde_json::from_slice::<Revision>(&told).map(|told| told.sha) {
        Ok(sha) if is_hex(&sha) => Ok(sha),
        _ => Err(Error::input("The server does not tell the model's commit", "Check the address of the server", url)),
    }
}

/// A file of a download of `total` bytes, `before` of which belong to the files before it.
struct Part<'a> {
    url: String,
    file: &'a RepoFile,
    before: u64,
    total: u64,
}

/// Fetches one file, or what is missing of it, and checks it; a file that is wrong is taken away.
async fn fetch_file(wire: &mut Wire, hub: &Hub, place: &Place, part: &Part<'_>) -> Result<()> {
    let Part { url, file, .. } = part;
    if place.has(file).await? {
        return Ok(());
    }
    let (store, path) = (&place.store, &place.partial(file)?);
    let mut have = match store.exists(path).await? {
        true => store.source(path).await?.len(),
        false => 0,
    };
    if have > file.size {
        store.remove(path).await?;
        have = 0;
    }
    if have < file.size {
        have = receive(wire, hub, store, path, part, have).await?;
    } else if !store.exists(path).await? {
        // An empty file, of which there is nothing to ask for.
        store.write(path, &[]).await?;
    }
    if have != file.size {
        let what = format!("{have} of {} bytes arrived", file.size);
        return Err(Error::input(what, "Press Get again: the download goes on from there", url));
    }
    let source = store.source(path).await?;
    let (kind, found, stated) = match file.sum() {
        None => return place.keep(file).await,
        Some(Sum::Sha256(stated)) => ("SHA-256", hash(wire, Sha256::new(), source.as_ref(), part).await?, stated),
        Some(Sum::Git(stated)) => {
            let head = Sha1::new_with_prefix(format!("blob {}\0", file.size));
            ("git hash", hash(wire, head, source.as_ref(), part).await?, stated)
        }
    };
    drop(source);
    if found == stated {
        return place.keep(file).await;
    }
    store.remove(path).await?;
    Err(Error::input(
        format!("The file that arrived has the {kind} {found}, but the Hub says {stated}"),
        "It was damaged on the way and was removed: press Get again",
        url,
    ))
}

/// Fetches the bytes of a file that are missing behind the first `have`; returns how many are there then.
///
/// The bytes that arrived stay after a failure, so that the next attempt goes on from there.
async fn receive(wire: &mut Wire, hub: &Hub, store: &Store, path: &str, part: &Part<'_>, mut have: u64) -> Result<u64> {
    let Part { url, file, before, total } = part;
    let mut answer = ask(wire, hub, url, have).await?;
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
        if have > file.size {
            // The server must not fill the disk with more than it listed.
            break Ok(());
        }
        if let Some(progress) = wire.progress(&format!("fetching {}", file.path), before + have, *total) {
            wire.send(Event::ModelProgress(progress));
        }
    };
    let kept = writer.finish().await;
    tell_request(wire, url, Some(&answer.url), have - begin, Purpose::Model);
    ended.and(kept).map(|()| have)
}

/// The hash of a file's content behind what was hashed before, in hexadecimal.
async fn hash(wire: &mut Wire, mut hash: impl Digest, source: &dyn ByteSource, part: &Part<'_>) -> Result<String> {
    let Part { file, before, total, .. } = part;
    for offset in (0..file.size).step_by(SLICE_BYTES as usize) {
        let len = SLICE_BYTES.min(file.size - offset);
        hash.update(source.read_at(offset, len as usize).await?);
        if let Some(progress) = wire.progress(&format!("checking {}", file.path), before + offset + len, *total) {
            wire.send(Event::ModelProgress(progress));
        }
        if wire.inbox.cancelled() {
            return Err(Error::Cancelled);
        }
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// True for the files of a model folder that pairtune reads, or that belong with it.
fn is_wanted(path: &str) -> bool {
    let endings = [".safetensors", ".json", ".jinja"];
    !path.contains('/') && (endings.iter().any(|end| path.ends_with(end)) || path == "README.md")
}
