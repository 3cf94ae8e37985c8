//! Reads a file of rows into the examples that a method trains on, and reports on the way.

use std::path::Path;

use pairtune::Result;
use pairtune::data::{Columns, Example, Fields, Kind, Method, PairsFile, SplitBy};
use pairtune::engine::data::pairs::keep_at_most;
use pairtune::platform::ByteSource as _;
use pairtune::platform::native::{AtomicFile, FileSource};
use pairtune::train::{Rows, TrainConfig};
use serde_json::{Value, json};

use super::args::TrainArgs;
use super::output::Output;
use super::run::{ModelFolder, SHOWN, read_pairs, warn_dropped};

/// Examples to train on, and examples that are held out.
pub(super) struct Data {
    pub(super) train: Vec<Example>,
    pub(super) held_out: Vec<Example>,
}

impl Data {
    /// Reads the files that the arguments name, for a run with these settings.
    pub(super) async fn read(
        args: &TrainArgs,
        file: &Path,
        config: &TrainConfig,
        split: SplitBy,
        folder: &ModelFolder,
        out: &Output,
    ) -> Result<Self> {
        let rows = read_rows(args.columns.as_ref(), file, config.method(), out).await?;
        let (train, held_out) = match &args.eval_pairs {
            Some(path) => (rows, Some(read_rows(args.columns.as_ref(), path, config.method(), out).await?)),
            None => {
                let (train, held_out) = rows.split(split, config.eval_split, config.seed)?;
                (train, Some(held_out).filter(|rows| !rows.is_empty()))
            }
        };
        let tokens = |rows: &Rows| -> Result<Vec<Example>> {
            let tokens = rows.tokenize(&folder.tokenizer, config)?;
            warn_dropped(&tokens.dropped, config.max_length, out);
            Ok(tokens.examples)
        };
        let train = tokens(&train)?;
        let mut held_out = held_out.map_or(Ok(Vec::new()), |rows| tokens(&rows))?;
        keep_at_most(&mut held_out, args.evaluation.max_eval_pairs);
        let is_cut = |example: &&Example| example.untruncated.iter().any(|&len| len > config.max_length);
        let cut = train.iter().filter(is_cut).count();
        if cut > 0 && !config.method().is_online() {
            out.warn(format_args!(
                "rows that are longer than max length ({} tokens) and truncated: {cut}",
                config.max_length
            ));
        }
        let noun = if config.method().kind() == Kind::Pairs { "Pairs" } else { "Rows" };
        out.note(format_args!("{noun}: {} to train on, {} held out", train.len(), held_out.len()));
        Ok(Self { train, held_out })
    }

    /// Tokens of the longest sequence.
    pub(super) fn longest(&self) -> usize {
        let all = self.train.iter().chain(&self.held_out).flat_map(|example| &example.sequences);
        all.map(Vec::len).max().unwrap_or(1)
    }

    /// Writes the tokens that reach the model: those of a row on a line.
    pub(super) fn write_tokens(&self, method: Method, path: &Path) -> Result<()> {
        let mut file = AtomicFile::create(path)?;
        for example in &self.train {
            file.write(format!("{}\n", tokens_of(example, method)).as_bytes())?;
        }
        file.commit()
    }
}

/// The rows of a file as a method takes them; rows that cannot be used are warned of.
pub(super) async fn read_rows(columns: Option<&Columns>, path: &Path, method: Method, out: &Output) -> Result<Rows> {
    let source = FileSource::open(path)?;
    let file = PairsFile::open(&source).await?;
    let kind = match columns {
        // Columns that are named are those of pairs.
        Some(_) => Some(Kind::Pairs),
        None => Kind::for_method(file.columns(), method, source.name())?,
    };
    let kind = kind.unwrap_or(method.kind()).read_for(method);
    if kind == Kind::Pairs {
        return Ok(Rows::Pairs(read_pairs(path, columns, out).await?.records));
    }
    let fields = Fields::guess(file.columns());
    let reader = file.read_samples(kind, &fields, u64::MAX, &mut |_, _| true).await?;
    let n_errors = reader.n_errors();
    let (samples, errors) = reader.finish()?;
    for error in errors.iter().take(SHOWN) {
        out.warn(format_args!("{}: {error}", source.name()));
    }
    if n_errors > SHOWN {
        out.warn(format_args!("{}: rows that cannot be used: {n_errors} in all", source.name()));
    }
    Ok(Rows::Samples(samples))
}

fn tokens_of(example: &Example, method: Method) -> Value {
    let ids = |side: usize| &example.sequences[side];
    let mask = |side: usize| -> Vec<u8> {
        (0..ids(side).len()).map(|token| u8::from(token >= example.starts[side])).collect()
    };
    let side = |side: usize| json!({"input_ids": ids(side), "completion_mask": mask(side)});
    let row = example.row;
    match method {
        Method::Sft => {
            let labels: Vec<u8> = match &example.labels {
                Some(labels) => labels.iter().map(|label| u8::from(*label)).collect(),
                None => vec![1; ids(0).len()],
            };
            json!({"row": row, "input_ids": ids(0), "loss_mask": labels})
        }
        Method::Reward => {
            json!({"row": row, "chosen": {"input_ids": ids(0)}, "rejected": {"input_ids": ids(1)}})
        }
        Method::Kto => {
            let mut line = json!({
                "row": row, "label": example.value == 1.0, "input_ids": ids(0), "completion_mask": mask(0),
            });
            if example.sequences.len() > 1 {
                line["kl"] = side(1);
            }
            line
        }
        Method::Dpo | Method::Orpo | Method::Cpo => json!({"row": row, "chosen": side(0), "rejected": side(1)}),
        Method::Grpo | Method::Rloo | Method::Ppo => json!({"row": row, "prompt_ids": ids(0)}),
    }
}
