//! A repository of the Hugging Face Hub as files of a folder, for `StaticServer`: the demo's model, with the answers of
//! the Hub's API about it.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sha1::Sha1;
use sha2::{Digest as _, Sha256};

/// The commit that it is at.
pub(crate) const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// A repository in a folder.
pub(crate) struct Repository {
    root: PathBuf,
    name: String,
    /// SHA-256 of its weights.
    pub(crate) weights_sha256: String,
    /// Bytes of its weights.
    pub(crate) weights_bytes: u64,
}

impl Repository {
    /// Writes it below `root`, with the weights as a large file.
    pub(crate) fn lay_out(root: &Path, name: &str) -> Self {
        let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/demo/model");
        let bytes = std::fs::read(demo.join("model.safetensors")).expect("the demo's weights");
        let (weights_sha256, weights_bytes) = (hex(&Sha256::digest(&bytes)), bytes.len() as u64);
        let new = Self { root: root.to_owned(), name: name.to_owned(), weights_sha256, weights_bytes };
        let mut list = Vec::new();
        for file in
            ["config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]
        {
            let bytes = std::fs::read(demo.join(file)).expect("the demo's model");
            let git = Sha1::new_with_prefix(format!("blob {}\0", bytes.len())).chain_update(&bytes);
            let mut entry = json!({"type": "file", "path": file, "size": bytes.len(), "oid": hex(&git.finalize())});
            if file.ends_with(".safetensors") {
                // Git has a pointer in its place.
                entry["oid"] = json!("1".repeat(40));
                entry["lfs"] = json!({"oid": new.weights_sha256});
            }
            list.push(entry);
            new.put(&new.file(file), &bytes);
        }
        new.put(&new.list(), &serde_json::to_vec(&list).expect("JSON"));
        new.put(&new.revision(), format!(r#"{{"sha": "{COMMIT}"}}"#).as_bytes());
        new
    }

    /// Path of one of its files, below the root.
    pub(crate) fn file(&self, file: &str) -> String {
        format!("{}/resolve/{COMMIT}/{file}", self.name)
    }

    /// Path of the answer about its latest commit, below the root.
    pub(crate) fn revision(&self) -> String {
        format!("api/models/{}/revision/main", self.name)
    }

    /// Replaces something in the list of its files.
    pub(crate) fn change_list(&self, old: &str, new: &str) {
        let path = self.root.join(self.list());
        let list = std::fs::read_to_string(&path).expect("the list");
        assert!(list.contains(old), "the list has {old}: {list}");
        std::fs::write(path, list.replace(old, new)).expect("it is written");
    }

    /// A model as a search lists it, with this repository's weights.
    pub(crate) fn listed(&self, name: &str) -> Value {
        let parameters = self.weights_bytes / 2;
        json!({"id": name, "downloads": 7, "gated": false, "tags": ["license:mit"],
            "safetensors": {"parameters": {"BF16": parameters}, "total": parameters}})
    }

    /// Answers every search with these models.
    pub(crate) fn found(&self, models: &[Value]) {
        self.put("api/models/index.html", &serde_json::to_vec(models).expect("JSON"));
    }

    fn list(&self) -> String {
        format!("api/models/{}/tree/{COMMIT}", self.name)
    }

    /// Puts a file below the root.
    pub(crate) fn put(&self, path: &str, bytes: &[u8]) {
        let path = self.root.join(path);
        std::fs::create_dir_all(path.parent().expect("it is in a folder")).expect("a folder");
        std::fs::write(path, bytes).expect("it is written");
    }
}

fn hex(hash: &[u8]) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}
