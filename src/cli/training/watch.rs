//! A training run on the terminal: its steps are shown, saved on the way, and can be interrupted.

use std::io::{Write as _, stderr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pairtune::data::{Chat, Example, Method, SplitBy, Tokenizer};
use pairtune::engine::run::drive::{self, Host, Next, number};
use pairtune::gpu::Gpu;
use pairtune::model::{Adapter, Model};
use pairtune::platform::LocalFuture;
use pairtune::platform::native::seconds;
use pairtune::train::{Checkpoint, Judged, Metrics, PairLogps, ReferenceKey, Scorer, TrainConfig, Trainer, evaluation};
use pairtune::{Error, Result};
use serde_json::{Map, Value, json};

use super::reference::ReferenceCache;
use super::rewards::Rewards;
use super::run_folder::{Counters, RunFolder};
use crate::cli::args::TrainArgs;
use crate::cli::output::Output;
use crate::cli::run::INTERRUPTED;

/// Takes the steps that are left, and saves on the way.
pub(in crate::cli) async fn steps(
    trainer: &mut Trainer<'_>,
    run: &mut RunFolder,
    saver: &Saver<'_>,
    held_out: &HeldOut<'_>,
    stop: &dyn Fn() -> bool,
    args: &TrainArgs,
    out: &mut Output,
) -> Result<()> {
    // Ctrl-C may have come before the evaluation that was due at this step.
    let is_due = args.evaluation.is_due(trainer.step, trainer.n_steps) && run.evaluation_at(trainer.step).is_none();
    let stops_early = is_due && held_out.look(trainer, run, out).await?;
    if stops_early {
        return Ok(());
    }
    out.begin_steps("train", trainer.n_steps as u64);
    out.skip_to(trainer.step as u64);
    let (began, tokens_before) = (seconds(), trainer.n_tokens);
    let (step, method) = (trainer.step, trainer.config.method());
    let mut terminal =
        Terminal { run, saver, held_out, stop, args, out, began, tokens_before, step, method, stops_early };
    let ended = drive::steps(trainer, &mut terminal).await;
    let stops_early = terminal.stops_early;
    saver.cache.keep(saver.data, trainer.reference(), out);
    if let Err(Error::Diverged { .. }) = ended {
        // The adapter is as it was after the last good step.
        let last = trainer.adapter.get(saver.gpu).await?;
        out.note(match run.best_step() {
            Some(best) => that_of_the_best(best),
            None => format!("the adapter is that of step {}, the last good one", trainer.step),
        });
        run.finish(&last, Counters::of(trainer, run.epoch()))?;
    }
    if ended? == Next::End && !stops_early {
        return Err(Error::Cancelled);
    }
    out.end();
    Ok(())
}

/// A run that is watched from a terminal.
struct Terminal<'a> {
    run: &'a mut RunFolder,
    saver: &'a Saver<'a>,
    held_out: &'a HeldOut<'a>,
    stop: &'a dyn Fn() -> bool,
    args: &'a TrainArgs,
    out: &'a mut Output,
    began: f64,
    tokens_before: u64,
    /// The steps that are done.
    step: usize,
    method: Method,
    /// No evaluation was better for long enough.
    stops_early: bool,
}

impl Host for Terminal<'_> {
    fn answers(&mut self, answers: Vec<Judged>, rewards: &[String]) -> Result<()> {
        let per_token = self.method == Method::Ppo;
        let lines: Vec<Value> = answers.iter().map(|answer| answer.to_json(rewards, per_token)).collect();
        for (answer, line) in answers.iter().zip(&lines) {
            let text = |ids: &[u32]| self.saver.tokenizer.decode(ids, true);
            self.out.event(&json!({
                "event": "rollout",
                "prompt": text(&answer.rollout.prompt)?,
                "completion": text(&answer.rollout.completion)?,
                "rewards": rewards.iter().cloned().zip(answer.rollout.rewards.iter().map(|reward| json!(reward)))
                    .collect::<Map<String, Value>>(),
                "advantages": line["advantages"],
            }));
        }
        self.run.add_rollouts(self.step + 1, lines)
    }

    fn after_step<'a>(
        &'a mut self,
        trainer: &'a Trainer<'_>,
        metrics: &'a Metrics,
        _seconds: f64,
    ) -> LocalFuture<'a, Result<Next>> {
        Box::pin(async move {
            let total = trainer.n_steps as u64;
            self.run.add_step(metrics)?;
            self.step = trainer.step;
            let tokens_per_sec = (trainer.n_tokens - self.tokens_before) as f64 / (seconds() - self.began);
            let text = format!("{} {tokens_per_sec:.0} tokens/s", told_of(metrics));
            self.out.advance(trainer.step as u64, total, &text);
            let mut event = Map::from_iter([("event".to_owned(), json!("step"))]);
            event.extend(metrics.clone());
            event.insert("n_steps".to_owned(), json!(total));
            event.insert("tokens_per_sec".to_owned(), json!(tokens_per_sec));
            self.out.event(&Value::Object(event));

            // A person who pressed Ctrl-C does not wait for an evaluation.
            if self.args.evaluation.is_due(trainer.step, trainer.n_steps) && !(self.stop)() {
                let began = seconds();
                self.stops_early = match self.held_out.look(trainer, self.run, self.out).await {
                    Ok(stops_early) => stops_early,
                    Err(error) => {
                        // The step is good, and it is the evaluation's error that counts.
                        if let Ok(path) = self.saver.save(trainer, self.run, self.out).await {
                            self.tell_saved(trainer, &path);
                        }
                        return Err(error);
                    }
                };
                if self.stops_early {
                    return Ok(Next::End);
                }
                self.out.begin_steps("train", total);
                self.out.skip_to(trainer.step as u64);
                self.began += seconds() - began;
            }
            let save_steps = trainer.config.save_steps;
            let interrupted = (self.stop)() && !trainer.done();
            if interrupted || (save_steps > 0 && trainer.step.is_multiple_of(save_steps)) {
                let path = self.saver.save(trainer, self.run, self.out).await?;
                if interrupted {
                    self.tell_saved(trainer, &path);
                    return Ok(Next::End);
                }
            }
            Ok(Next::GoOn)
        })
    }
}

impl Terminal<'_> {
    /// Says how to go on from a checkpoint.
    fn tell_saved(&self, trainer: &Trainer<'_>, checkpoint: &Path) {
        self.out.note(format_args!("Step {} of {} is saved. Continue with:", trainer.step, trainer.n_steps));
        self.out.note(format_args!("  {}", resume_command(self.args, checkpoint)));
    }
}

/// Says that a run ends with the adapter of an earlier step.
pub(in crate::cli) fn that_of_the_best(step: usize) -> String {
    format!("the adapter is that of step {step}, of the best evaluation")
}

/// Summary of a step: the first two of these values that its method has.
fn told_of(metrics: &Metrics) -> String {
    const TOLD: [(&str, &str); 7] = [
        ("loss", "loss"),
        ("rewards/accuracies", "accuracy"),
        ("accuracy", "accuracy"),
        ("mean_token_accuracy", "token accuracy"),
        ("reward", "reward"),
        ("objective/scores", "score"),
        ("objective/kl", "kl"),
    ];
    let there = TOLD.iter().filter(|(name, _)| metrics.contains_key(*name)).take(2);
    there.map(|(name, word)| format!("{word} {:.4}", number(metrics, name))).collect::<Vec<_>>().join(" ")
}

/// Everything but the trainer that a checkpoint needs.
pub(in crate::cli) struct Saver<'a> {
    pub(in crate::cli) tokenizer: &'a Tokenizer,
    pub(in crate::cli) rewards: &'a Rewards,
    pub(in crate::cli) value: Option<&'a Path>,
    pub(in crate::cli) gpu: &'a Gpu,
    pub(in crate::cli) data: &'a ReferenceKey,
    pub(in crate::cli) chat: &'a Chat,
    pub(in crate::cli) cache: &'a ReferenceCache<'a>,
    pub(in crate::cli) initial: Option<&'a Path>,
    pub(in crate::cli) split: SplitBy,
}

impl Saver<'_> {
    async fn save(&self, trainer: &Trainer<'_>, run: &RunFolder, out: &Output) -> Result<PathBuf> {
        // The path must still hold when the run is resumed from elsewhere.
        let initial = self.initial.map(whole_path);
        let mut checkpoint = Checkpoint::take(self.gpu, trainer, &self.data.0, self.chat, initial.as_deref()).await?;
        checkpoint.place.split = self.split;
        checkpoint.place.rewards = self.rewards.recorded();
        checkpoint.place.value_adapter = self.value.map(whole_path);
        let path = run.save_checkpoint(&checkpoint, Counters::of(trainer, run.epoch()))?;
        out.event(&json!({"event": "checkpoint", "step": trainer.step, "path": path.display().to_string()}));
        Ok(path)
    }
}

/// A path from the root, if there is such a place.
fn whole_path(path: &Path) -> String {
    std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned()).display().to_string()
}

/// Held-out examples, scored before the first step, after the last and, if that is asked for, between.
pub(in crate::cli) struct HeldOut<'a> {
    pub(in crate::cli) gpu: &'a Gpu,
    pub(in crate::cli) model: &'a Model,
    pub(in crate::cli) examples: &'a [Example],
    pub(in crate::cli) reference: &'a [PairLogps],
}

impl HeldOut<'_> {
    /// Evaluates a run on its way, and keeps its adapter if it is the best. True if the run is to stop, which is said.
    async fn look(&self, trainer: &Trainer<'_>, run: &mut RunFolder, out: &mut Output) -> Result<bool> {
        let Trainer { adapter, config, step, .. } = trainer;
        let Some(metrics) = self.evaluate(adapter, config, *step, run.epoch(), out).await? else { return Ok(false) };
        if run.add_evaluation(metrics)? {
            run.keep_best(adapter.get(self.gpu).await?);
        }
        let why = run.stops_early();
        if let Some(why) = &why {
            out.note(why);
        }
        Ok(why.is_some())
    }

    /// The metrics of an adapter; none if nothing is held out.
    pub(in crate::cli) async fn evaluate(
        &self,
        adapter: &Adapter,
        config: &TrainConfig,
        step: usize,
        epoch: f64,
        out: &mut Output,
    ) -> Result<Option<Metrics>> {
        if self.examples.is_empty() {
            return Ok(None);
        }
        let scorer = Scorer::for_run(self.gpu, self.model, config, Some(&adapter.settings), self.examples)?;
        let total = self.examples.len() as u64;
        out.begin_steps("evaluate", total);
        let sums = scorer
            .sums(self.examples, Some(adapter), &mut |done| {
                out.advance(done as u64, total, "rows");
                true
            })
            .await?;
        out.end();
        let mut metrics = Metrics::from_iter([("step".to_owned(), json!(step)), ("epoch".to_owned(), json!(epoch))]);
        metrics.extend(evaluation(self.gpu, config, self.examples, &sums, self.reference).await?);
        let mut event = Map::from_iter([("event".to_owned(), json!("eval"))]);
        event.extend(metrics.clone());
        out.event(&Value::Object(event));
        let told = TOLD.iter().filter(|(name, _)| metrics.contains_key(*name));
        let told: Vec<String> = told.map(|(name, what)| format!("{what} {:.4}", number(&metrics, name))).collect();
        out.note(format_args!("evaluation at step {step}: {}", told.join(", ")));
        Ok(Some(metrics))
    }
}

pub(in crate::cli) const PREFERENCE_ACCURACY: &str = "eval_preference_accuracy";

/// An evaluation in one figure: the held-out accuracy, or the loss of other rows.
pub(in crate::cli) fn headline(metrics: &Metrics) -> String {
    match metrics.contains_key(PREFERENCE_ACCURACY) {
        true => format!("{:.1} %", 100.0 * number(metrics, PREFERENCE_ACCURACY)),
        false => format!("{:.4}", number(metrics, "eval_loss")),
    }
}

/// Metrics that the summary of an evaluation shows, if it has them.
const TOLD: [(&str, &str); 6] = [
    ("eval_loss", "loss"),
    ("eval_preference_accuracy", "held-out accuracy"),
    ("eval_rewards/accuracies", "reward accuracy"),
    ("eval_rewards/margins", "reward margin"),
    ("eval_mean_token_accuracy", "token accuracy"),
    ("eval_margin", "margin"),
];

/// The command that continues an interrupted run.
fn resume_command(args: &TrainArgs, checkpoint: &Path) -> String {
    let mut words = vec!["pairtune train".to_owned()];
    let paths = [
        ("--model", Some(args.model.as_path())),
        ("--data", args.data.as_deref()),
        ("--eval-pairs", args.eval_pairs.as_deref()),
        ("--output", Some(args.output.as_path())),
        ("--resume", Some(checkpoint)),
    ];
    for (flag, path) in paths {
        if let Some(path) = path {
            words.push(format!("{flag} {}", quoted(&path.display().to_string())));
        }
    }
    if let Some(columns) = &args.columns {
        words.push(format!("--columns {}", quoted(&columns.to_string())));
    }
    words.extend(args.evaluation.words());
    words.join(" ")
}

/// A word as a POSIX shell reads it.
pub(in crate::cli) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-+:@%=,".contains(c);
    if word.chars().all(plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', "'\\''")) }
}

/// The first Ctrl-C asks the run to stop after its step; the second ends the program.
pub(in crate::cli) fn watch_ctrl_c() -> Result<Arc<AtomicBool>> {
    let asked = Arc::new(AtomicBool::new(false));
    let flag = asked.clone();
    let watching = ctrlc::set_handler(move || {
        if flag.swap(true, Ordering::SeqCst) {
            std::process::exit(INTERRUPTED.into());
        }
        drop(writeln!(stderr(), "Stopping after this step (Ctrl-C again stops at once)"));
    });
    watching.map_err(|e| Error::device(format!("Ctrl-C cannot be watched: {e}"), "Start pairtune from a terminal"))?;
    Ok(asked)
}
