//! `pairtune race`: DPO beside RLHF on the same base, pairs and held-out prompts, on one copy of the weights.

use std::path::Path;

use pairtune::Result;
use pairtune::data::{Method, SplitBy};
use pairtune::engine::compare::writing::eos_ids;
use pairtune::engine::race::{
    HELD_OUT, Host, Measure, Point, Race, StageResult, Standing, check_given, sides, stage_config, told,
};
use pairtune::engine::run::drive::Next;
use pairtune::files;
use pairtune::gpu::Gpu;
use pairtune::model::Adapter;
use pairtune::platform::LocalFuture;
use pairtune::platform::native::{make_folder, write_atomic};
use pairtune::train::{Metrics, Rows, Trainer};
use serde_json::{Map, Value, json};

use super::plot::{Axis, Figure, Line, Panel};
use crate::cli::args::RaceArgs;
use crate::cli::data::read_rows;
use crate::cli::output::Output;
use crate::cli::run::{ModelFolder, open_gpu};
use crate::cli::training::start::{given_settings, settings_origin};

/// Runs the race and writes its table, figures and records.
pub(in crate::cli) async fn race(args: &RaceArgs, out: &mut Output) -> Result<()> {
    let at = settings_origin(args.config.as_deref());
    let (given, columns) = (given_settings(args.config.as_deref(), &args.settings).await?, args.columns.as_ref());
    let plan = sides(&args.against, "command line, --against")?;
    check_given(&given, &plan, &at)?;
    let methods: Vec<Method> = plan[1..].iter().filter_map(|side| side.stages.last().copied()).collect();
    let mut folder = ModelFolder::open(&args.model).await?;
    folder.set_chat(&args.chat, pairtune::data::Chat::default()).await?;
    let pairs = stage_config(&given, Method::Dpo, &at)?;
    let share = if pairs.eval_split > 0.0 { pairs.eval_split } else { HELD_OUT };
    let rows = read_rows(columns, &args.data, Method::Dpo, out).await?;
    let (train, held_out) = match &args.eval_pairs {
        Some(path) => (rows, read_rows(columns, path, Method::Dpo, out).await?),
        None => rows.split(SplitBy::Similar, share, pairs.seed)?,
    };
    let n_held_out = held_out.tokenize(&folder.tokenizer, &pairs)?.examples.len();
    out.note(format_args!("Pairs: {} to train on, {n_held_out} held out", train.len()));

    let gpu = open_gpu(&args.gpu.choice(), out).await?;
    let positions = longest(&[&train, &held_out], &folder, &given, &at, &methods)?;
    gpu.allow(pairs.precision());
    let model = folder.load(&gpu, pairs.load_in, positions, out).await?;
    let race = Race {
        gpu: &gpu,
        model: &model,
        tokenizer: &folder.tokenizer,
        eos: eos_ids(&folder.folder, &folder.config, &folder.tokenizer).await,
        base: "",
        weight_bytes: folder.weight_bytes.on_device(pairs.load_in),
        given: &given,
        at: &at,
        train,
        held_out,
        against: &methods,
    };
    let standing = race.run(&mut Watcher { gpu: &gpu, output: &args.output, out }).await?;
    write(&args.output, &standing, &gpu, out)
}

/// Tokens of the longest sequence that any stage may have.
fn longest(
    rows: &[&Rows],
    folder: &ModelFolder,
    given: &Map<String, Value>,
    at: &str,
    methods: &[Method],
) -> Result<usize> {
    let mut longest = 1;
    for rows in rows {
        for method in [Method::Dpo, Method::Sft, Method::Reward] {
            let examples = rows.tokenize(&folder.tokenizer, &stage_config(given, method, at)?)?.examples;
            let lengths = examples.iter().flat_map(|example| &example.sequences).map(Vec::len);
            longest = longest.max(lengths.max().unwrap_or(0));
        }
        for method in methods {
            let config = stage_config(given, *method, at)?;
            let prompts = rows.tokenize(&folder.tokenizer, &config)?.examples;
            let lengths = prompts.iter().flat_map(|prompt| &prompt.sequences).map(Vec::len);
            longest = longest.max(lengths.max().unwrap_or(0) + config.answers().map_or(0, |[_, longest]| longest) + 16);
        }
    }
    Ok(longest)
}

/// Shows the steps of a race, says what was measured, and keeps the adapters beside the results.
struct Watcher<'a> {
    gpu: &'a Gpu,
    output: &'a Path,
    out: &'a mut Output,
}

impl Watcher<'_> {
    async fn keep(&self, name: &str, adapter: &Adapter) -> Result<()> {
        let folder = self.output.join(name);
        make_folder(&folder)?;
        let adapter = adapter.get(self.gpu).await?;
        let card = files::ModelCard::of_run("model", None, &Map::new(), &[]);
        for (name, bytes) in adapter.files(&card) {
            write_atomic(&folder.join(name), &bytes)?;
        }
        Ok(())
    }
}

impl Host for Watcher<'_> {
    fn begins(&mut self, method: Method, n_steps: usize) {
        self.out.begin_steps(method.name(), n_steps as u64);
    }

    fn after_step<'a>(
        &'a mut self,
        trainer: &'a Trainer<'_>,
        metrics: &'a Metrics,
        _seconds: f64,
    ) -> LocalFuture<'a, Result<Next>> {
        let text = told(metrics).map_or(String::new(), |(name, value)| format!("{name} {value:.4}"));
        self.out.advance(trainer.step as u64, trainer.n_steps as u64, &text);
        Box::pin(async { Ok(Next::GoOn) })
    }

    fn ended<'a>(
        &'a mut self,
        stage: &'a StageResult,
        trainer: &'a Trainer<'_>,
        _measure: Option<&'a Measure>,
    ) -> LocalFuture<'a, Result<()>> {
        Box::pin(async move {
            self.out.end();
            match stage.method {
                // Fine-tuning is only where RLHF begins.
                Method::Sft => Ok(()),
                method => self.keep(method.name(), &trainer.adapter).await,
            }
        })
    }

    fn measured(&mut self, name: &str, measure: &Measure) {
        self.out.end();
        self.out.note(format_args!(
            "{name}: held-out accuracy {:.0} %, score {:.2} ± {:.2}, KL {:.2} nats, {:.1} tokens per answer",
            100.0 * measure.won,
            measure.score,
            measure.score_std,
            measure.kl,
            measure.length
        ));
    }

    fn stands(&mut self, _standing: &Standing) {}
}

/// Writes table, records and figure, and says what came out.
fn write(output: &Path, standing: &Standing, gpu: &Gpu, out: &Output) -> Result<()> {
    let (table, said) = (standing.table(), standing.verdict());
    let seconds = standing.seconds;
    let record = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "device": gpu.report().name,
        "seconds": seconds,
        "base": standing.base,
        "sides": standing.sides,
        "verdict": said,
    });
    make_folder(output)?;
    write_atomic(&output.join("race.json"), &serde_json::to_vec_pretty(&record).unwrap_or_default())?;
    write_atomic(&output.join("race.md"), format!("{table}\n{}\n", said.join("\n")).as_bytes())?;
    write_atomic(&output.join("race.svg"), figure(standing).to_svg()?.as_bytes())?;
    out.result(format_args!("{table}\n{}", said.join("\n")));
    out.result(format_args!("The race took {seconds:.0} s; table, figure and adapters are in {}", output.display()));
    let mut event = Map::from_iter([("event".to_owned(), json!("race"))]);
    event.extend(record.as_object().cloned().unwrap_or_default());
    out.event(&Value::Object(event));
    Ok(())
}

/// Score against KL, and both over the last stage.
fn figure(standing: &Standing) -> Figure {
    let line = |of: &dyn Fn(&Point) -> [f64; 2]| -> Vec<Line> {
        standing.sides.iter().map(|side| Line::new(side.name.clone(), side.curve.iter().map(of).collect())).collect()
    };
    let panel = |title: &str, x: Axis, y: Axis, lines: Vec<Line>| Panel { title: title.to_owned(), x, y, lines };
    Figure {
        title: "DPO beside RLHF".to_owned(),
        description: format!(
            "Score of fresh answers by the reward model, and distance from the base model, whose answers score {:.2}.",
            standing.base.map_or(0.0, |base| base.score)
        ),
        panels: vec![
            panel(
                "What the distance buys",
                Axis::new("KL to the base model", "nats per answer"),
                Axis::new("score by the reward model", ""),
                line(&|point| [point.measure.kl, point.measure.score]),
            ),
            panel(
                "Held-out accuracy",
                Axis::new("last stage done", "%"),
                Axis::new("held-out accuracy", "%").within(0.0, 100.0),
                line(&|point| [100.0 * point.done, 100.0 * point.measure.won]),
            ),
        ],
    }
}
