//! Result of a sweep: a table and sentences, `sweep.json`, `sweep.svg`, and the command that trains with the
//! recommended value.

use std::path::PathBuf;

use pairtune::Result;
use pairtune::engine::run::warnings::CHOSEN_FALL;
use pairtune::engine::sweep::{Advice, CLEARLY, Ended, FAR, HARDLY, Judgement, Over, Point, Run, judge, short};
use pairtune::gpu::Gpu;
use pairtune::platform::native::write_atomic;
use pairtune::train::{METHOD, TrainConfig};
use serde_json::{Map, Value, json};

use super::plot::{Axis, Figure, Line, Panel};
use crate::cli::args::SweepArgs;
use crate::cli::output::Output;
use crate::cli::training::watch::quoted;

/// The file of everything that was measured.
pub(in crate::cli) const FILE: &str = "sweep.json";

/// Definition of `kl` in the record.
const KL: &str = "nats per token to the starting model, by Schulman's third estimator (k3), on answers to held-out \
                  prompts that the tuned model samples at temperature 1";

/// The runs so far, and what is said of them.
pub(in crate::cli) struct Report {
    output: PathBuf,
    over: Over,
    config: TrainConfig,
    /// The parts of the record that do not change.
    head: Map<String, Value>,
    /// The words of the command that trains, without the value.
    command: Vec<String>,
    values: Vec<f64>,
    /// In the order in which they were run.
    runs: Vec<Run>,
    /// Numbers of training pairs and of held-out ones.
    n_pairs: [usize; 2],
}

impl Report {
    /// Before the first run.
    pub(in crate::cli) fn new(
        args: &SweepArgs,
        over: Over,
        values: &[f64],
        config: &TrainConfig,
        gpu: &Gpu,
        n_pairs: [usize; 2],
    ) -> Self {
        let device = gpu.report();
        let mut settings = config.to_map();
        settings.remove(over.key());
        let head = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "device": {
                "name": device.name, "backend": device.backend, "type": device.device_type, "driver": device.driver,
            },
            "model": args.model.display().to_string(),
            "data": args.data.display().to_string(),
            "pairs": {"train": n_pairs[0], "held_out": n_pairs[1]},
            "over": over.key(),
            "values": values,
            "method": config.method().name(),
            "settings": settings,
            "kl": KL,
            "rules": {"far": FAR, "hardly": HARDLY, "clearly": CLEARLY, "chosen_fall": CHOSEN_FALL},
        });
        let Value::Object(head) = head else { unreachable!("it is an object") };
        Self {
            output: args.output.clone(),
            over,
            config: config.clone(),
            head,
            command: command(args, over, config),
            values: values.to_vec(),
            runs: Vec::new(),
            n_pairs,
        }
    }

    /// Adds a run, and writes everything anew, so that nothing is lost.
    pub(in crate::cli) fn add(&mut self, run: Run, out: &Output) -> Result<()> {
        let mut event =
            Map::from_iter([("event".to_owned(), json!("value")), (self.over.key().to_owned(), json!(run.value))]);
        event.insert("ended".to_owned(), json!(run.ended));
        event.insert("seconds".to_owned(), json!(run.seconds));
        out.event(&Value::Object(event));
        let value = short(run.value);
        match &run.ended {
            Ended::Done => {}
            Ended::Diverged { what } => out.note(format_args!("{} {value} broke down: {what}", self.over)),
            Ended::Beaten { by } => out.note(format_args!(
                "{} {value} is given up at half of its steps: {} clearly wins more pairs there",
                self.over,
                short(*by)
            )),
            Ended::Interrupted => out.note(format_args!("{} {value} was interrupted", self.over)),
        }
        self.runs.push(run);
        write_atomic(&self.output.join(FILE), &serde_json::to_vec_pretty(&self.record()).unwrap_or_default())?;
        write_atomic(&self.output.join("sweep.svg"), self.figure().to_svg()?.as_bytes())
    }

    /// Says what was found.
    pub(in crate::cli) fn tell(&self, out: &Output) {
        let (judgements, advice) = self.judge();
        out.result(self.table());
        for judgement in &judgements {
            out.result(&judgement.text);
        }
        out.result(&advice.text);
        if let Some(command) = self.command_for(&advice) {
            out.result(format_args!("  {command}"));
        }
        out.result(format_args!("The measurements and a figure are in {}", self.output.display()));
        let mut event = Map::from_iter([("event".to_owned(), json!("sweep"))]);
        if let Value::Object(record) = self.record() {
            event.extend(record);
        }
        out.event(&Value::Object(event));
    }

    /// The runs by rising value.
    fn sorted(&self) -> Vec<Run> {
        let mut runs = self.runs.clone();
        runs.sort_by(|a, b| a.value.total_cmp(&b.value));
        runs
    }

    fn judge(&self) -> (Vec<Judgement>, Advice) {
        judge(self.over, self.config.method(), &self.sorted())
    }

    fn record(&self) -> Value {
        let (judgements, advice) = self.judge();
        let runs: Vec<Value> = self
            .sorted()
            .iter()
            .zip(&judgements)
            .map(|(run, judgement)| {
                let mut run = json!(run);
                run["verdict"] = json!(judgement.verdict);
                run["why"] = json!(judgement.text);
                run
            })
            .collect();
        let is_left = |value: &&f64| self.runs.iter().all(|run| run.value != **value);
        let left: Vec<&f64> = self.values.iter().filter(is_left).collect();
        let mut record = self.head.clone();
        record.insert("runs".to_owned(), json!(runs));
        record.insert("not_run".to_owned(), json!(left));
        record.insert("command".to_owned(), json!(self.command_for(&advice)));
        record.insert("advice".to_owned(), json!(advice));
        Value::Object(record)
    }

    /// The command that trains with the value that is recommended.
    fn command_for(&self, advice: &Advice) -> Option<String> {
        let flag = format!("--{} {}", self.over.key().replace('_', "-"), short(advice.value?));
        Some(format!("{} {flag}", self.command.join(" ")))
    }

    fn table(&self) -> String {
        let percent = |share: f64| format!("{:.1} %", 100.0 * share);
        let none = || "-".to_owned();
        let names = ["held-out accuracy", "reward accuracy", "KL per token", "chosen", "loss", "seconds"];
        let mut rows = vec![[&[self.over.key()][..], &names].concat().into_iter().map(str::to_owned).collect()];
        let runs = self.sorted();
        if let Some(start) = runs.first().and_then(|run| run.points.first()) {
            let won = percent(start.pairs_won);
            rows.push(vec!["start".to_owned(), won, none(), none(), none(), none(), none()]);
        }
        for run in &runs {
            let Some(last) = run.last().filter(|last| last.step > 0) else {
                rows.push([vec![short(run.value)], vec![none(); 6]].concat());
                continue;
            };
            rows.push(vec![
                short(run.value),
                percent(last.pairs_won),
                percent(last.reward_accuracy),
                format!("{:.4}", last.kl),
                format!("{:+.2}", last.chosen_change),
                last.loss.map_or_else(none, |loss| format!("{loss:.4}")),
                format!("{:.1}", run.seconds),
            ]);
        }
        aligned(&rows)
    }

    fn figure(&self) -> Figure {
        let runs = self.sorted();
        let name = self.over.word();
        let of = |run: &Run| format!("{name} {}", short(run.value));
        let by_step = |title: &str, y: Axis, value: &dyn Fn(&Point) -> f64| Panel {
            title: title.to_owned(),
            x: Axis::new("step", ""),
            y,
            lines: runs
                .iter()
                .map(|run| {
                    Line::new(of(run), run.points.iter().map(|point| [point.step as f64, value(point)]).collect())
                })
                .collect(),
        };
        let ends = runs.iter().map(|run| {
            let end = run.last().filter(|last| last.step > 0).map(|last| [last.kl, 100.0 * last.pairs_won]);
            Line::points(of(run), end.into_iter().collect())
        });
        let (train, held_out) = (self.n_pairs[0], self.n_pairs[1]);
        let (_, advice) = self.judge();
        Figure {
            title: format!(
                "{} over {name}: {train} pairs, {held_out} held out",
                self.config.method().to_string().to_uppercase()
            ),
            description: format!("The same training with {} values of {name}. {}", runs.len(), advice.text),
            panels: vec![
                by_step("Held-out accuracy", Axis::new("held-out accuracy", "%"), &|point| 100.0 * point.pairs_won),
                by_step("Drift", Axis::new("KL to the starting model", "nats per token"), &|point| point.kl),
                by_step("Chosen answers", Axis::new("log-probability", "nats gained per answer"), &|point| {
                    point.chosen_change
                }),
                Panel {
                    title: "What the drift buys, at the end".to_owned(),
                    x: Axis::new("KL to the starting model", "nats per token").log(),
                    y: Axis::new("held-out accuracy", "%"),
                    lines: ends.collect(),
                },
            ],
        }
    }
}

/// The command that trains as the sweep does, without the value.
fn command(args: &SweepArgs, over: Over, config: &TrainConfig) -> Vec<String> {
    let mut words = vec!["pairtune train".to_owned()];
    let mut flag = |name: &str, value: &str| words.push(format!("--{} {}", name.replace('_', "-"), quoted(value)));
    let paths = [
        ("model", Some(&args.model)),
        ("data", Some(&args.data)),
        ("eval_pairs", args.eval_pairs.as_ref()),
        ("adapter", args.adapter.as_ref()),
        ("config", args.config.as_ref()),
        ("chat_template_path", args.chat.chat_template_path.as_ref()),
    ];
    for (name, path) in paths {
        if let Some(path) = path {
            flag(name, &path.display().to_string());
        }
    }
    flag("output", &args.output.join("tuned").display().to_string());
    if let Some(columns) = &args.columns {
        flag("columns", &columns.to_string());
    }
    if let Some(kwargs) = &args.chat.chat_template_kwargs {
        flag("chat_template_kwargs", kwargs);
    }
    if let Some(method) = args.method {
        flag(METHOD, method.name());
    }
    let mut given = args.settings.to_map();
    given.remove(over.key());
    if args.eval_pairs.is_none() {
        // The same pairs as in the sweep.
        given.entry("eval_split").or_insert(json!(config.eval_split));
    }
    for (key, value) in &given {
        flag(key, &word(value));
    }
    words
}

/// A setting's value as a flag takes it.
fn word(value: &Value) -> String {
    match value {
        Value::String(word) => word.clone(),
        Value::Array(values) => values.iter().map(word).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

/// Rows under each other, the first column to the left and the others to the right.
fn aligned(rows: &[Vec<String>]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..rows[0].len()).map(width).collect();
    let line = |row: &Vec<String>| {
        let cell = |(column, cell): (usize, &String)| match column {
            0 => format!("{cell:<0$}", widths[column]),
            _ => format!("{cell:>0$}", widths[column]),
        };
        row.iter().enumerate().map(cell).collect::<Vec<_>>().join("  ")
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}
