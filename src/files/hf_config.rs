//! Facts about a model folder other than its architecture: its licence, and its name on the Hub.

use serde_json::{Map, Value};

use crate::platform::{Folder, is_hub_name, licence_in, read_all};

/// The licence that a model's README states, as the Hub names it.
pub async fn licence(folder: &dyn Folder) -> Option<String> {
    if !folder.files().iter().any(|file| file == "README.md") {
        return None;
    }
    licence_in(&read_all(folder.open("README.md").ok()?.as_ref()).await.ok()?)
}

/// The name on the Hub that the `config.json` of a folder states, if it is that of this folder: often it is that of
/// the model which this one was tuned from.
pub async fn stated_name(folder: &dyn Folder) -> Option<String> {
    let bytes = read_all(folder.open("config.json").ok()?.as_ref()).await.ok()?;
    let config: Map<String, Value> = serde_json::from_slice(&bytes).ok()?;
    let stated = config.get("_name_or_path")?.as_str()?;
    let (_, name) = stated.rsplit_once('/').filter(|_| is_hub_name(stated))?;
    let is_own = folder.name().trim_end_matches('/').rsplit(['/', '\\']).next() == Some(name);
    is_own.then(|| stated.to_owned())
}
