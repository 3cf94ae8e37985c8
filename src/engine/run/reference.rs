//! The reference's log-probabilities of a run: known from before, or computed when they are needed, and kept.

use crate::data::Example;
use crate::engine::protocol::{Level, Phase};
use crate::engine::run::between::tell;
use crate::engine::run::drive;
use crate::engine::session::Session;
use crate::error::Result;
use crate::gpu::Gpu;
use crate::model::{Adapter, Model};
use crate::train::{PairLogps, ReferenceKey, TrainConfig};

impl Session {
    /// Log-probabilities of pairs by the base model, as far as they are in the store.
    pub(in crate::engine) async fn known_reference(
        &mut self,
        gpu: &Gpu,
        key: &ReferenceKey,
        n_pairs: usize,
    ) -> Vec<Option<PairLogps>> {
        let stored = match &self.store {
            Ok(store) => store.read(&reference_path(gpu, key)).await.ok(),
            Err(_) => None,
        };
        drive::known_reference(stored.as_deref(), n_pairs)
    }

    /// Stores what is known of them.
    pub(in crate::engine) async fn keep_reference(
        &mut self,
        gpu: &Gpu,
        key: &ReferenceKey,
        known: &[Option<PairLogps>],
    ) {
        if let Ok(store) = &self.store
            && let Err(e) = store.write(&reference_path(gpu, key), &serde_json::to_vec(known).unwrap_or_default()).await
        {
            self.log(Level::Warn, format!("the reference log-probabilities are not kept: {e}"));
        }
    }

    /// Log-probabilities by the base model, or by the adapter that a run with this key begins with; from the store if
    /// they were computed before.
    pub(in crate::engine) async fn reference(
        &mut self,
        gpu: &Gpu,
        model: &Model,
        config: &TrainConfig,
        examples: &[Example],
        first: Option<(&Adapter, &ReferenceKey)>,
    ) -> Result<Vec<PairLogps>> {
        let tokenizer = self.opened()?.tokenizer().fingerprint();
        let initial = first.map(|(_, key)| key.0.as_bytes());
        let key = &ReferenceKey::new(model, &tokenizer, config, examples, initial);
        let mut known = self.known_reference(gpu, key, examples.len()).await;
        let run_id = self.run.as_ref().map(|run| run.record.run_id.clone()).unwrap_or_default();
        let (total, n_known) = (examples.len() as u64, known.iter().flatten().count());
        let wire = &mut self.wire;
        wire.begin();
        let adapter = first.map(|(adapter, _)| adapter);
        let logps = drive::reference(gpu, model, config, adapter, examples, &mut known, &mut |done| {
            tell(wire, &run_id, Phase::Reference, done as u64, total);
            !wire.inbox.wants_the_run_to_end(&run_id)
        })
        .await?;
        if n_known < examples.len() {
            self.keep_reference(gpu, key, &known).await;
        }
        Ok(logps)
    }
}

/// A hash of what a run is trained on and measured against; of answers that are written there is none.
pub(in crate::engine) fn data_of(
    model: &Model,
    tokenizer: &str,
    config: &TrainConfig,
    train: &[Example],
    initial: Option<&[u8]>,
) -> ReferenceKey {
    let train = if config.answers().is_some() { &[] } else { train };
    ReferenceKey::new(model, tokenizer, config, train, initial)
}

fn reference_path(gpu: &Gpu, key: &ReferenceKey) -> String {
    format!("reference/{}.json", key.scores(gpu))
}
