//! A run between two of its steps: it listens, measures, answers the sample prompts, and saves.

use std::rc::Rc;

use serde_json::{Value, json};

use crate::data::{Example, Method};
use crate::engine::compare::writing::{self, Style};
use crate::engine::model::open_model::OpenModel;
use crate::engine::protocol::{Answered, Command, Drill, Event, Metrics, Phase, RunCommand, SampleAnswer, step_of};
use crate::engine::run::answers::Writer;
use crate::engine::run::best::is_better;
use crate::engine::run::drive::{Host, Next};
use crate::engine::run::inputs::judged;
use crate::engine::run::open_run::{Run, texts_of};
use crate::engine::run::warnings::{Warning, swapped};
use crate::engine::session::{Session, Wire};
use crate::engine::stats::likelier_wins;
use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::kernels::Sampling;
use crate::model::{Adapter, MAX_TEXTS, Model};
use crate::platform::LocalFuture;
use crate::platform::host::{self, yield_now};
use crate::train::{
    Checkpoint, Judged, Options, PairLogps, PairSums, ReferenceKey, Scorer, TrainConfig, Trainer, evaluation,
};

/// Reason of a stop without a failure.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::engine) enum Stop {
    Finished,
    Paused,
    Stopped,
    Discarded,
}

/// Prefixes of evaluation metrics that log-probabilities alone do not give.
const OF_TOKENS: [&str; 3] = ["eval_entropy", "eval_logits/", "eval_mean_token_accuracy"];

/// Settings for answering the sample prompts, with the same seed every time.
pub(in crate::engine) const SAMPLING: Sampling = Sampling { temperature: 0.7, top_k: 0, top_p: 1.0, seed: 1 };

/// A run between two of its steps.
pub(in crate::engine) struct Live<'a> {
    pub(in crate::engine) session: &'a mut Session,
    pub(in crate::engine) gpu: &'a Rc<Gpu>,
    pub(in crate::engine) model: &'a Model,
    pub(in crate::engine) open: &'a OpenModel,
    pub(in crate::engine) data: &'a ReferenceKey,
    pub(in crate::engine) held_out: Vec<Example>,
    /// Writes answers to held-out prompts and judges them; none if the method writes no answers or nothing is held out.
    pub(in crate::engine) judge: Option<Writer<'a>>,
    /// The run begins as the base model does.
    pub(in crate::engine) fresh: bool,
    /// Time up to which the run's seconds are counted.
    pub(in crate::engine) counted: f64,
    pub(in crate::engine) saved_at: f64,
    /// Pairs whose reference is in the store.
    pub(in crate::engine) n_known: usize,
    pub(in crate::engine) stop: Option<Stop>,
}

/// Answers of an evaluation at most.
const MOST_JUDGED: usize = 4 * MAX_TEXTS;
/// Steps after which the base model is looked at, its held-out pairs and its answers, unless a look is due before.
const FIRST_STEPS: usize = 3;

impl Host for Live<'_> {
    fn answers(&mut self, answers: Vec<Judged>, rewards: &[String]) -> Result<()> {
        let (run_id, step) = (self.run().record.run_id.clone(), self.run().record.step + 1);
        let tokenizer = self.open.tokenizer();
        let mut told = Vec::with_capacity(answers.len());
        for Judged { rollout, advantages, .. } in answers {
            told.push(Answered {
                row: rollout.prompt_row,
                prompt: tokenizer.decode(&rollout.prompt, true)?,
                text: tokenizer.decode(&rollout.completion, true)?,
                tokens: rollout.completion.len(),
                rewards: rollout.rewards,
                // PPO has one for each token.
                advantage: advantages.iter().sum::<f64>() / advantages.len().max(1) as f64,
            });
        }
        self.session.wire.send(Event::Rollouts { run_id, step, rewards: rewards.to_vec(), answers: told });
        Ok(())
    }

    fn after_step<'a>(
        &'a mut self,
        trainer: &'a Trainer<'_>,
        metrics: &'a Metrics,
        seconds: f64,
    ) -> LocalFuture<'a, Result<Next>> {
        Box::pin(async move {
            self.step_taken(trainer, metrics, seconds);
            if self.session.drilled(Drill::Diverge) {
                return Err(Error::Diverged { step: trainer.step + 1, what: "a test of a failure".to_owned() });
            }
            if self.session.drilled(Drill::OutOfMemory) {
                let (what, fix) = ("The GPU ran out of memory (a test of a failure)", "Apply one of the fixes");
                return Err(Error::OutOfMemory { what: what.to_owned(), fix: fix.to_owned() });
            }
            // Messages that were sent while the step ran can arrive now.
            yield_now().await;
            self.listen(trainer).await?;
            let due = self.look_due(trainer);
            if self.stop.is_none() && (due || trainer.step >= FIRST_STEPS || trainer.done()) {
                self.look_at_the_base(trainer).await?;
            }
            if self.stop.is_none() && due {
                self.look(trainer).await?;
            }
            self.listen(trainer).await?;
            // The best adapter is saved with the state that it was measured in.
            // After a failed write, the next attempt waits until a save is due.
            let due = self.save_due(trainer) || (self.run().best_is_new && !self.run().unsaved);
            match self.stop {
                Some(Stop::Discarded) => return Ok(Next::End),
                Some(_) => self.save(trainer).await?,
                None if due => self.save(trainer).await?,
                None => {}
            }
            Ok(if self.stop.is_some() { Next::End } else { Next::GoOn })
        })
    }
}

impl Live<'_> {
    pub(in crate::engine) fn run(&mut self) -> &mut Run {
        self.session.run.as_mut().expect("a run that is trained is open")
    }

    /// Remembers the most that the run ever held on the device.
    fn measure(&mut self) {
        let bytes = self.gpu.live_bytes();
        let run = self.run();
        run.device_bytes = run.device_bytes.max(bytes);
    }

    /// Counts the time until now as the run's.
    fn count_time(&mut self) {
        let now = host::seconds();
        let since = now - std::mem::replace(&mut self.counted, now);
        self.run().record.seconds += since;
    }

    fn step_taken(&mut self, trainer: &Trainer<'_>, metrics: &Metrics, seconds: f64) {
        self.count_time();
        self.measure();
        let run = self.run();
        run.history.push(metrics.clone());
        run.record.step = trainer.step;
        run.time_step(seconds);
        let warnings = run.watcher.as_mut().map(|watcher| watcher.step(metrics, seconds)).unwrap_or_default();
        let run_id = run.record.run_id.clone();
        self.warn(warnings);
        self.session.wire.send(Event::Step { run_id, metrics: metrics.clone(), seconds });
    }

    fn warn(&mut self, warnings: Vec<Warning>) {
        let Session { run, wire, .. } = &mut *self.session;
        run.iter_mut().for_each(|run| run.warn(wire, warnings.clone()));
    }

    /// True at the steps at which the model is looked at.
    pub(in crate::engine) fn look_due(&mut self, trainer: &Trainer<'_>) -> bool {
        let every = self.run().record.watch.eval_steps;
        every > 0 && trainer.step.is_multiple_of(every) && !trainer.done()
    }

    fn save_due(&mut self, trainer: &Trainer<'_>) -> bool {
        let (every, seconds) = (trainer.config.save_steps, self.run().record.watch.save_seconds);
        (every > 0 && trainer.step.is_multiple_of(every))
            || (seconds > 0.0 && host::seconds() - self.saved_at >= seconds)
    }

    /// Takes what people sent since the last step.
    async fn listen(&mut self, trainer: &Trainer<'_>) -> Result<()> {
        while let Some(message) = self.session.wire.inbox.poll() {
            match message.command {
                Command::Run(RunCommand::Pause) | Command::Cancel => self.stop = self.stop.or(Some(Stop::Paused)),
                Command::Run(RunCommand::Stop) => self.stop = Some(Stop::Stopped),
                Command::Run(RunCommand::Discard { ref run_id }) if self.session.is_current(run_id) => {
                    self.stop = Some(Stop::Discarded);
                }
                Command::Export(_) => {
                    // The export gets everything that was trained until now, even if it cannot be stored.
                    self.save(trainer).await?;
                    self.session.handle_aside(message).await;
                }
                _ => self.session.handle_aside(message).await,
            }
        }
        Ok(())
    }

    /// Scores the held-out pairs and answers the sample prompts, unless somebody wants something else.
    pub(in crate::engine) async fn look(&mut self, trainer: &Trainer<'_>) -> Result<()> {
        let (began, n_before) = (host::seconds(), self.run().n_looks());
        let looked = async {
            self.evaluate(trainer).await?;
            self.sample(trainer, None).await
        };
        match looked.await {
            Ok(()) => {
                let run = self.run();
                // A step that was looked at before takes no time again.
                if run.n_looks() > n_before {
                    run.time_round(host::seconds() - began);
                }
                Ok(())
            }
            // The message that cancelled it is handled next.
            Err(Error::Cancelled) => Ok(()),
            failed => failed,
        }
    }

    /// Looks at what the run begins as, unless that was done before.
    pub(in crate::engine) async fn look_at_the_base(&mut self, trainer: &Trainer<'_>) -> Result<()> {
        if !self.fresh {
            return Ok(());
        }
        let looked = async {
            if self.run().evaluation_at(0).is_none() {
                self.evaluate_base(trainer).await?;
            }
            self.sample(trainer, Some(0)).await?;
            Ok(())
        };
        match looked.await {
            // Somebody wants something else, and gets it next.
            Err(Error::Cancelled) => Ok(()),
            looked => looked,
        }
    }

    /// The reference's log-probabilities of the held-out rows; none for methods without one.
    async fn reference(&mut self, trainer: &Trainer<'_>) -> Result<Vec<PairLogps>> {
        if !trainer.config.has_reference() {
            return Ok(Vec::new());
        }
        if let Some((_, reference)) = &self.run().held_out {
            return Ok(reference.clone());
        }
        let first = trainer.reference_adapter().map(|adapter| (adapter, self.data));
        let held_out = std::mem::take(&mut self.held_out);
        let scored = self.session.reference(self.gpu, self.model, &trainer.config, &held_out, first).await;
        self.held_out = held_out;
        let reference = scored?;
        if trainer.config.method() == Method::Dpo && first.is_none() {
            let lengths: Vec<_> = self.held_out.iter().map(Example::scored_lengths).collect();
            let likelier = likelier_wins(&reference, &lengths);
            let held_out = (self.held_out.clone(), reference.clone());
            let run = self.run();
            (run.held_out, run.record.likelier_wins) = (Some(held_out), likelier);
            self.warn(swapped(likelier, lengths.len()).into_iter().collect());
        }
        Ok(reference)
    }

    /// Evaluates step 0: the base model, which a fresh adapter equals.
    async fn evaluate_base(&mut self, trainer: &Trainer<'_>) -> Result<()> {
        if self.judge.is_some() {
            return self.judge(trainer, 0, json!(0.0), None).await.map(drop);
        }
        if self.held_out.is_empty() {
            return Ok(());
        }
        let reference = self.reference(trainer).await?;
        let known = trainer.config.has_reference();
        let policy: Vec<PairSums> = match known {
            true => reference.iter().map(|logps| logps.map(sums_of)).collect(),
            false => self.score(trainer, None).await?,
        };
        let mut metrics = evaluation(self.gpu, &trainer.config, &self.held_out, &policy, &reference).await?;
        // A reference gives only log-probabilities, so metrics that need more are left out.
        metrics.retain(|name, _| !known || !OF_TOKENS.iter().any(|of_tokens| name.starts_with(of_tokens)));
        self.record_evaluation(0, json!(0.0), metrics).map(drop)
    }

    /// Scores the held-out rows unless they were at this step, keeps the adapter if no evaluation was better, and ends
    /// the run if none was for long enough.
    async fn evaluate(&mut self, trainer: &Trainer<'_>) -> Result<()> {
        if self.run().evaluation_at(trainer.step).is_some() || self.held_out.is_empty() {
            return Ok(());
        }
        let epoch = self.run().history.iter().rev().find_map(|entry| entry.get("epoch").cloned());
        let epoch = epoch.unwrap_or(json!(0.0));
        let best = match self.judge.is_some() {
            true => self.judge(trainer, trainer.step, epoch, Some(&trainer.adapter)).await?,
            false => {
                let reference = self.reference(trainer).await?;
                let policy = self.score(trainer, Some(&trainer.adapter)).await?;
                self.evaluated(trainer, trainer.step, epoch, &policy, &reference).await?
            }
        };
        if best && self.run().record.watch.keep_best {
            let adapter = trainer.adapter.get(self.gpu).await?;
            let run = self.run();
            run.record.best_step = Some(trainer.step);
            (run.best, run.best_is_new) = (Some(adapter), true);
        }
        if self.stop.is_none()
            && let Some(warning) = self.run().stops_early()
        {
            self.warn(vec![warning]);
            self.stop = Some(Stop::Stopped);
        }
        Ok(())
    }

    /// Has answers to held-out prompts written and judged; true if they are the best of an adapter that was trained.
    async fn judge(
        &mut self,
        trainer: &Trainer<'_>,
        step: usize,
        epoch: Value,
        adapter: Option<&Adapter>,
    ) -> Result<bool> {
        let Some(writer) = self.judge.take() else { return Ok(false) };
        let run_id = self.run().record.run_id.clone();
        let prompts: Vec<usize> = (0..writer.n_prompts().min(MOST_JUDGED)).collect();
        let mut answers = Vec::with_capacity(prompts.len());
        self.session.wire.begin();
        let mut written = Ok(());
        for some in prompts.chunks(MAX_TEXTS) {
            tell(&mut self.session.wire, &run_id, Phase::Evaluating, answers.len() as u64, prompts.len() as u64);
            yield_now().await;
            if self.session.wire.inbox.wants_the_run_to_end(&run_id) {
                written = Err(Error::Cancelled);
                break;
            }
            // The same seed each time, so that what differs is the model.
            match writer.answer(self.gpu, self.model, adapter, some, trainer.config.seed).await {
                Ok(some) => answers.extend(some),
                Err(error) => {
                    written = Err(error);
                    break;
                }
            }
        }
        let metrics = judged(&answers, writer.names(), reward_weights(&trainer.config));
        self.judge = Some(writer);
        written?;
        self.record_evaluation(step, epoch, metrics)
    }

    /// Computes an evaluation, records it and tells it; true if it is the best of an adapter that was trained.
    async fn evaluated(
        &mut self,
        trainer: &Trainer<'_>,
        step: usize,
        epoch: Value,
        policy: &[PairSums],
        reference: &[PairLogps],
    ) -> Result<bool> {
        let metrics = evaluation(self.gpu, &trainer.config, &self.held_out, policy, reference).await?;
        self.record_evaluation(step, epoch, metrics)
    }

    fn record_evaluation(&mut self, step: usize, epoch: Value, values: Metrics) -> Result<bool> {
        let run_id = self.run().record.run_id.clone();
        let mut metrics = Metrics::from_iter([("step".to_owned(), json!(step)), ("epoch".to_owned(), epoch)]);
        metrics.extend(values);
        let run = self.run();
        let best = is_better(&metrics, run.record.best.as_ref());
        // In the order of the steps, though the base model is measured after the first of them.
        let at = run.history.iter().position(|entry| step_of(entry) > step).unwrap_or(run.history.len());
        run.history.insert(at, metrics.clone());
        run.record.won = run.won();
        if best {
            run.record.best = Some(metrics.clone());
        }
        let warnings = run.watcher.as_mut().map(|watcher| watcher.evaluation(&metrics)).unwrap_or_default();
        self.warn(warnings);
        self.session.wire.send(Event::Evaluated { run_id, metrics, best });
        Ok(best)
    }

    /// Returns the sums that the loss is made of, for the held-out rows by an adapter or the base model.
    async fn score(&mut self, trainer: &Trainer<'_>, adapter: Option<&Adapter>) -> Result<Vec<PairSums>> {
        let run_id = self.run().record.run_id.clone();
        let settings = Some(&trainer.adapter.settings);
        let scorer = Scorer::for_run(self.gpu, self.model, &trainer.config, settings, &self.held_out)?;
        self.measure();
        let (wire, total) = (&mut self.session.wire, self.held_out.len() as u64);
        wire.begin();
        let mut scored = |done: usize| {
            tell(wire, &run_id, Phase::Evaluating, done as u64, total);
            !wire.inbox.wants_the_run_to_end(&run_id)
        };
        scorer.sums(&self.held_out, adapter, &mut scored).await
    }

    /// Answers the sample prompts, unless that was done at this step; at step 0 by the base model.
    async fn sample(&mut self, trainer: &Trainer<'_>, at: Option<usize>) -> Result<()> {
        let step = at.unwrap_or(trainer.step);
        let (prompts, run_id) = (self.run().prompts.clone(), self.run().record.run_id.clone());
        if prompts.is_empty() || self.run().samples.iter().any(|(done, _)| *done == step) {
            return Ok(());
        }
        let raw = self.session.pairs.as_ref().is_some_and(|pairs| !pairs.conversations());
        let tokenizer = &self.open.tokenizer();
        let prompts = writing::prompts_ids(&prompts, raw, tokenizer)?;
        let mut answers = vec![SampleAnswer { text: String::new(), cut: false }; prompts.len()];
        // A fresh adapter is the base model: writing without it is faster.
        let adapter = if step == 0 && self.fresh { None } else { Some(&trainer.adapter) };
        let style = Style { sampling: SAMPLING, max_new_tokens: self.session.sample_tokens };
        let (gpu, model, eos) = (self.gpu, self.model, &self.open.eos);
        let total = (prompts.len() * style.max_new_tokens) as u64;
        let (wire, mut said) = (&mut self.session.wire, 0);
        wire.begin();
        let written = writing::write(gpu, model, tokenizer, adapter, &prompts, eos, &style, &mut |text, piece| {
            answers[text].text += piece;
            said += 1;
            tell(wire, &run_id, Phase::Sampling, said, total);
            Ok(!wire.inbox.wants_the_run_to_end(&run_id))
        })
        .await?;
        for ((answer, prompt), tokens) in answers.iter_mut().zip(&prompts).zip(written) {
            answer.cut = tokens >= style.room(model, prompt);
        }
        let run = self.run();
        let at = run.samples.iter().position(|(done, _)| *done > step).unwrap_or(run.samples.len());
        run.samples.insert(at, (step, answers.clone()));
        let warnings =
            run.watcher.as_mut().map(|watcher| watcher.samples(step, &texts_of(&answers))).unwrap_or_default();
        self.warn(warnings);
        self.session.wire.send(Event::Samples { run_id, step, answers });
        Ok(())
    }

    /// Saves the run as it is.
    pub(in crate::engine) async fn save(&mut self, trainer: &Trainer<'_>) -> Result<()> {
        self.count_time();
        let mut checkpoint =
            Checkpoint::take(self.gpu, trainer, &self.data.0, self.open.tokenizer().chat(), None).await?;
        checkpoint.place.rewards.clone_from(&self.run().record.inputs.rewards);
        self.run().checkpoint = Some(checkpoint);
        let n_known = trainer.reference().iter().flatten().count();
        if n_known > self.n_known {
            self.session.keep_reference(self.gpu, self.data, trainer.reference()).await;
            self.n_known = n_known;
        }
        self.session.store_run().await;
        self.saved_at = host::seconds();
        Ok(())
    }
}

/// Says how far a phase of a run is.
pub(in crate::engine) fn tell(wire: &mut Wire, run_id: &str, phase: Phase, done: u64, total: u64) {
    let what = match phase {
        Phase::Reference => "scoring pairs with the base model",
        Phase::Evaluating => "evaluating the held-out pairs",
        Phase::Sampling => "answering the sample prompts",
        Phase::Loading => "reading the weights",
        Phase::Training => "training",
        Phase::Saving => "saving",
    };
    if let Some(progress) = wire.progress(what, done, total) {
        wire.send(Event::Phase { run_id: run_id.to_owned(), phase, progress });
    }
}

/// The sums of an answer of which the log-probability alone is known.
fn sums_of(logp: f32) -> [f32; 8] {
    [logp, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]
}

/// Returns the weight of each reward, if weights were set.
fn reward_weights(config: &TrainConfig) -> Option<&[f64]> {
    match &config.options {
        Options::Grpo(_, online, _) | Options::Rloo(online, _) => online.reward_weights.as_deref(),
        _ => None,
    }
}
