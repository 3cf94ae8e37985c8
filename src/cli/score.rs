//! `pairtune score`: the log-probabilities of pairs, one JSON object a line.

use pairtune::data::{Method, Record, TokenPair, tokenize};
use pairtune::engine::run::drive::upload_adapter;
use pairtune::files::{self, Task};
use pairtune::model::AdapterSettings;
use pairtune::platform::native::AtomicFile;
use pairtune::train::{PairLogps, Rows, Scorer, TrainConfig, batch_size};
use pairtune::{Error, Result};
use serde_json::{Value, json};

use super::args::ScoreArgs;
use super::output::Output;
use super::run::{ModelFolder, Pairs, listed, open_gpu, read_any_adapter, read_pairs, warn_dropped};

/// Scores the pairs of a file and writes what was found.
pub(super) async fn score(args: &ScoreArgs, out: &mut Output) -> Result<()> {
    if args.max_length < 2 || args.batch_size == 0 {
        return Err(Error::input(
            "Nothing can be scored",
            "Give --max-length 2 or more and --batch-size 1 or more",
            "",
        ));
    }
    let mut model = ModelFolder::open(&args.model).await?;
    model.set_chat(&args.chat, ModelFolder::chat_of(args.adapter.as_deref(), out).await?).await?;
    let Pairs { records, errors, n_errors } = read_pairs(&args.pairs, args.columns.as_ref(), out).await?;
    let adapter = match &args.adapter {
        Some(path) => Some((read_any_adapter(path, &model.config).await?, path.display().to_string())),
        None => None,
    };
    if let Some(((values, settings), from)) =
        adapter.as_ref().filter(|((values, _), _)| values.config.task == Task::SeqCls)
    {
        return reward(args, &records, &model, values, settings, from, out).await;
    }
    let tokenized = tokenize(&records, &model.tokenizer, args.max_length)?;
    drop(records);
    warn_dropped(&tokenized.dropped, args.max_length, out);

    let gpu = open_gpu(&args.gpu.choice(), out).await?;
    let weights = model.load(&gpu, args.load_in, batch_positions(&tokenized.pairs), out).await?;
    let adapter = match adapter {
        Some(((values, settings), from)) => Some(upload_adapter(&gpu, &model.config, settings, &values, &from)?),
        None => None,
    };
    let settings = adapter.as_ref().map(|adapter| &adapter.settings);
    let pairs = &tokenized.pairs;
    log::debug!("largest batch: {:?}", batch_size(pairs, args.batch_size));
    let scorer = Scorer::new(&gpu, &weights, settings, pairs, args.batch_size)?;
    let total = pairs.len() as u64;
    out.begin_steps("score", total);
    let scores = scorer
        .score(pairs, adapter.as_ref(), &mut |done| {
            out.advance(done as u64, total, "pairs");
            true
        })
        .await?;
    out.end();

    let mut file = AtomicFile::create(&args.output)?;
    for (pair, logps) in pairs.iter().zip(&scores) {
        file.write(format!("{}\n", line(pair, *logps)).as_bytes())?;
    }
    file.commit()?;
    let mut summary = format!("pairs scored: {}", pairs.len());
    if !tokenized.dropped.is_empty() {
        let rows: Vec<usize> = tokenized.dropped.iter().map(|pair| pair.row).collect();
        summary += &format!("; dropped: {} (rows {})", rows.len(), listed(&rows));
    }
    if !errors.is_empty() {
        let lines: Vec<usize> = errors.iter().map(|error| error.line).collect();
        summary += &format!("; malformed: {n_errors} (lines {})", listed(&lines));
    }
    out.result(summary);
    Ok(())
}

/// Scores the two texts of each pair with a reward model.
async fn reward(
    args: &ScoreArgs,
    records: &[Record],
    model: &ModelFolder,
    values: &files::Adapter,
    settings: &AdapterSettings,
    from: &str,
    out: &mut Output,
) -> Result<()> {
    let defaults = TrainConfig::defaults_of(Method::Reward);
    let config = TrainConfig { max_length: args.max_length, per_device_train_batch_size: args.batch_size, ..defaults };
    let tokens = Rows::Pairs(records.to_vec()).tokenize(&model.tokenizer, &config)?;
    warn_dropped(&tokens.dropped, args.max_length, out);
    let examples = tokens.examples;
    let longest = examples.iter().flat_map(|example| &example.sequences).map(Vec::len).max().unwrap_or(1);
    let gpu = open_gpu(&args.gpu.choice(), out).await?;
    let weights = model.load(&gpu, args.load_in, longest, out).await?;
    let adapter = upload_adapter(&gpu, &model.config, settings.clone(), values, from)?;
    let scorer = Scorer::for_run(&gpu, &weights, &config, Some(&adapter.settings), &examples)?;
    let total = examples.len() as u64;
    out.begin_steps("score", total);
    let sums = scorer
        .sums(&examples, Some(&adapter), &mut |done| {
            out.advance(done as u64, total, "pairs");
            true
        })
        .await?;
    out.end();
    let mut file = AtomicFile::create(&args.output)?;
    for (example, sums) in examples.iter().zip(&sums) {
        let line = json!({
            "row": example.row,
            "chosen_ids": example.sequences[0],
            "rejected_ids": example.sequences[1],
            "chosen_score": sums[0][0],
            "rejected_score": sums[1][0],
        });
        file.write(format!("{line}\n").as_bytes())?;
    }
    file.commit()?;
    let won = sums.iter().filter(|sums| sums[0][0] > sums[1][0]).count();
    out.result(format!("pairs scored: {total}; the chosen text scores higher in {won}"));
    Ok(())
}

/// Tokens of the longest sequence.
pub(super) fn batch_positions(pairs: &[TokenPair]) -> usize {
    pairs.iter().map(|pair| pair.chosen.len().max(pair.rejected.len())).max().unwrap_or(1)
}

fn line(pair: &TokenPair, [chosen_logp, rejected_logp]: PairLogps) -> Value {
    let mask = |ids: &[u32]| -> Vec<u8> { (0..ids.len()).map(|i| u8::from(i >= pair.prompt_len)).collect() };
    json!({
        "row": pair.row,
        "prompt_len": pair.prompt_len,
        "chosen_ids": pair.chosen,
        "rejected_ids": pair.rejected,
        "chosen_mask": mask(&pair.chosen),
        "rejected_mask": mask(&pair.rejected),
        "chosen_logp": chosen_logp,
        "rejected_logp": rejected_logp,
    })
}
