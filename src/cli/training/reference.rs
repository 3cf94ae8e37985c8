//! Reference log-probabilities: computed when they are first needed, kept on disk by the hash of everything they depend
//! on.

use std::path::{Path, PathBuf};

use pairtune::Result;
use pairtune::data::Example;
use pairtune::engine::run::drive;
use pairtune::gpu::Gpu;
use pairtune::model::{Adapter, Model};
use pairtune::platform::native::{make_folder, write_atomic};
use pairtune::train::{PairLogps, ReferenceKey, TrainConfig};

use crate::cli::output::Output;

/// Cache of the reference log-probabilities, and the objects to compute them with.
pub(in crate::cli) struct ReferenceCache<'a> {
    /// The device.
    pub(in crate::cli) gpu: &'a Gpu,
    /// The base model.
    pub(in crate::cli) model: &'a Model,
    /// The settings of the run.
    pub(in crate::cli) config: &'a TrainConfig,
    /// False to neither read nor write the cache.
    pub(in crate::cli) cached: bool,
}

impl ReferenceCache<'_> {
    /// Reads the cached values of `n_pairs` pairs, which `key` stands for; none for pairs that are not in the cache.
    pub(in crate::cli) fn known(&self, key: &ReferenceKey, n_pairs: usize, out: &Output) -> Vec<Option<PairLogps>> {
        let stored = self.file(key).and_then(|file| std::fs::read(file).ok());
        let known = drive::known_reference(stored.as_deref(), n_pairs);
        let n_known = known.iter().flatten().count();
        if n_known > 0 {
            out.note(format_args!("Reference log-probabilities of {n_known} of {n_pairs} pairs: from the cache"));
        }
        known
    }

    /// Keeps what is known.
    pub(in crate::cli) fn keep(&self, key: &ReferenceKey, known: &[Option<PairLogps>], out: &Output) {
        if let Some(file) = self.file(key) {
            keep(&file, &serde_json::to_vec(known).unwrap_or_default(), out);
        }
    }

    /// The log-probabilities of all of `examples`, by the base model or by the adapter that the run begins with.
    ///
    /// An error if one is not finite: the model itself is then of no use. `stop` is asked now and then.
    pub(in crate::cli) async fn logps(
        &self,
        adapter: Option<&Adapter>,
        examples: &[Example],
        key: &ReferenceKey,
        stop: &dyn Fn() -> bool,
        out: &mut Output,
    ) -> Result<Vec<PairLogps>> {
        let mut known = self.known(key, examples.len(), out);
        let (total, n_known) = (examples.len() as u64, known.iter().flatten().count());
        if n_known == examples.len() {
            return Ok(known.into_iter().flatten().collect());
        }
        out.begin_steps("reference", total);
        let logps = drive::reference(self.gpu, self.model, self.config, adapter, examples, &mut known, &mut |done| {
            out.advance(done as u64, total, "rows");
            !stop()
        })
        .await?;
        out.end();
        self.keep(key, &known, out);
        Ok(logps)
    }

    fn file(&self, key: &ReferenceKey) -> Option<PathBuf> {
        if self.cached { cache_file("reference", &key.scores(self.gpu)) } else { None }
    }
}

/// `$XDG_CACHE_HOME/pairtune/<kind>/<key>.json`, by default in `~/.cache`; none without a home.
pub(in crate::cli) fn cache_file(kind: &str, key: &str) -> Option<PathBuf> {
    let folder = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = folder("XDG_CACHE_HOME").or_else(|| Some(folder("HOME")?.join(".cache")))?;
    Some(cache.join("pairtune").join(kind).join(format!("{key}.json")))
}

/// A cache that cannot be written is no reason to stop.
pub(in crate::cli) fn keep(file: &Path, bytes: &[u8], out: &Output) {
    let written = file.parent().map_or(Ok(()), make_folder).and_then(|()| write_atomic(file, bytes));
    if let Err(e) = written {
        out.warn(format_args!("{} is not kept: {e}", file.display()));
    }
}
