//! Reference log-probabilities: computed once, kept on disk by the hash of everything they depend on.

use std::path::{Path, PathBuf};

use pairtune::Result;
use pairtune::data::TokenPair;
use pairtune::engine::run;
use pairtune::gpu::Gpu;
use pairtune::model::{Adapter, Model};
use pairtune::platform::native::{make_folder, write_atomic};
use pairtune::train::{PairLogps, ReferenceKey};

use super::output::Output;

/// What the reference is, and how it is computed.
pub(super) struct Reference<'a> {
    /// The device.
    pub(super) gpu: &'a Gpu,
    /// The base model.
    pub(super) model: &'a Model,
    /// The initial adapter, if it is the reference.
    pub(super) adapter: Option<&'a Adapter>,
    /// Pairs at a time.
    pub(super) batch: usize,
    /// False to neither read nor write the cache.
    pub(super) cached: bool,
}

impl Reference<'_> {
    /// The log-probabilities of `pairs`, which `key` stands for.
    ///
    /// An error if one is not finite: the model itself is then of no use. `stop` is asked now and then.
    pub(super) async fn logps(
        &self,
        pairs: &[TokenPair],
        key: &ReferenceKey,
        stop: &dyn Fn() -> bool,
        out: &mut Output,
    ) -> Result<Vec<PairLogps>> {
        let file = if self.cached { cache_file(key) } else { None };
        if let Some(logps) = file.as_deref().and_then(|file| read(file, pairs.len())) {
            out.note(format_args!("Reference log-probabilities of {} pairs: from the cache", pairs.len()));
            return Ok(logps);
        }
        let total = pairs.len() as u64;
        out.begin_steps("reference", total);
        let logps = run::reference(self.gpu, self.model, self.adapter, pairs, self.batch, &mut |done| {
            out.advance(done as u64, total, "pairs");
            !stop()
        })
        .await?;
        out.end();
        if let Some(file) = file {
            keep(&file, &logps, out);
        }
        Ok(logps)
    }
}

/// `$XDG_CACHE_HOME/pairtune/reference/<key>.json`, by default in `~/.cache`; none without a home.
fn cache_file(key: &ReferenceKey) -> Option<PathBuf> {
    let folder = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = folder("XDG_CACHE_HOME").or_else(|| Some(folder("HOME")?.join(".cache")))?;
    Some(cache.join("pairtune/reference").join(format!("{}.json", key.0)))
}

/// The cached values, unless the file is missing or damaged: then they are computed again.
fn read(file: &Path, n_pairs: usize) -> Option<Vec<PairLogps>> {
    let bytes = std::fs::read(file).ok()?;
    let logps: Vec<PairLogps> = serde_json::from_slice(&bytes).ok()?;
    (logps.len() == n_pairs).then_some(logps)
}

/// A cache that cannot be written is no reason to stop.
fn keep(file: &Path, logps: &[PairLogps], out: &Output) {
    let written = file.parent().map_or(Ok(()), make_folder).and_then(|()| {
        let bytes = serde_json::to_vec(logps).unwrap_or_default();
        write_atomic(file, &bytes)
    });
    if let Err(e) = written {
        out.warn(format_args!("the reference log-probabilities are not cached: {e}"));
    }
}
