//! Every method on TRL's golden cases, as the command line runs it: tokens, every step's log, the gradients of the
//! first step, what was computed of answers, and the final adapters. `tests/fixtures/oracle2` has the cases;
//! `tests/fixtures/oracle2/README.md` says what their numbers are and how close is close.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use pairtune::files::{Tensor, parse};
use serde_json::{Map, Value, json};

#[test]
fn sft_prompt_completion() {
    check_case("sft_prompt_completion");
}

#[test]
fn sft_chat() {
    check_case("sft_chat");
}

#[test]
fn dpo_losses() {
    check_case("dpo_losses");
}

#[test]
fn reward_lora() {
    check_case("reward_lora");
}

#[test]
fn reward_pad_is_eos() {
    check_case("reward_pad_is_eos");
}

#[test]
fn kto() {
    check_case("kto");
}

#[test]
fn orpo() {
    check_case("orpo");
}

#[test]
fn simpo() {
    check_case("simpo");
}

#[test]
fn grpo_replay() {
    check_case("grpo_replay");
}

#[test]
fn rloo_replay() {
    check_case("rloo_replay");
}

#[test]
fn ppo_replay() {
    check_case("ppo_replay");
}

/// Losses that exponentiate log-ratios are less well conditioned, and get five times as much.
const WIDER: [&str; 5] = ["forward_kl", "alpha_half", "alpha_two", "exo_alpha", "discopop"];
/// Means that TRL takes over padding too.
const PADDED: [&str; 3] = ["logits/chosen", "logits/rejected", "policy/entropy_avg"];

/// A run of a case: what it was told, and what came of it.
struct Run<'a> {
    name: &'a str,
    method: &'a str,
    case: PathBuf,
    spec: &'a Value,
    expected: &'a Value,
    out: PathBuf,
    tokens: PathBuf,
    gradients: PathBuf,
}

#[track_caller]
fn check_case(case: &str) {
    let folder = Path::new("tests/fixtures/oracle2").join(case);
    let (spec, expected) = (read_json(&folder.join("case.json")), read_json(&folder.join("expected.json")));
    let scratch = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("methods-{case}"));
    drop(fs::remove_dir_all(&scratch));
    fs::create_dir_all(&scratch).expect("a folder");
    let gradients = tensors(&folder.join("grads.safetensors"));
    for (name, run) in spec["runs"].as_object().expect("the case has runs") {
        let run = Run {
            name,
            method: spec["method"].as_str().expect("a method"),
            case: folder.clone(),
            spec: run,
            expected: &expected,
            out: scratch.join(name),
            tokens: scratch.join(format!("{name}.tokens.jsonl")),
            gradients: scratch.join(format!("{name}.gradients.safetensors")),
        };
        run.train(&scratch);
        run.check_tokens();
        run.check_log();
        run.check_gradients(&gradients);
        run.check_adapter(&run.out, "final_adapter", "initial_adapter");
        if run.method == "ppo" {
            run.check_adapter(&run.out.join("value"), "final_value_adapter", "initial_value_adapter");
        }
        run.check_answers();
    }
}

impl Run<'_> {
    fn train(&self, scratch: &Path) {
        let mut config = self.spec["config"].clone();
        config["reference"] = self.spec["reference"].clone();
        config["seed"] = json!(0);
        config["eval_split"] = json!(0);
        let file = scratch.join(format!("{}.json", self.name));
        fs::write(&file, config.to_string()).expect("it is written");
        let mut command = Command::new(env!("CARGO_BIN_EXE_pairtune"));
        let folder = |key: &str| self.case.join(self.spec[key].as_str().expect("a folder"));
        command.args(["train", "--no-cache", "--method", self.method]);
        command.arg("--model").arg(self.case.join("model")).arg("--adapter").arg(folder("initial_adapter"));
        command.arg("--config").arg(&file).arg("--output").arg(&self.out);
        command.arg("--write-first-gradients").arg(&self.gradients);
        match self.method {
            "grpo" | "rloo" | "ppo" => command.arg("--rollouts").arg(self.case.join("rollouts.jsonl")),
            _ => command.arg("--write-tokens").arg(&self.tokens).arg("--data").arg(folder("data")),
        };
        if self.method == "ppo" {
            command.arg("--value-adapter").arg(folder("initial_value_adapter"));
        }
        let done = command.output().expect("the program runs");
        assert!(done.status.success(), "{}: {}", self.name, String::from_utf8_lossy(&done.stderr));
    }

    fn expected(&self, key: &str) -> &Value {
        let own = &self.expected["runs"][self.name][key];
        if own.is_null() { &self.expected[key] } else { own }
    }

    fn wide(&self) -> f64 {
        let wide = self.method == "dpo" && WIDER.contains(&self.name.trim_start_matches("h_"));
        if wide { 5.0 } else { 1.0 }
    }

    fn check_tokens(&self) {
        let Some(want) = self.expected("tokens").as_array() else { return };
        let got = lines(&self.tokens);
        assert_eq!(got.len(), want.len(), "{}: rows that are trained on", self.name);
        for (got, want) in got.iter().zip(want) {
            for (key, want) in want.as_object().expect("a row") {
                let masks = |value: &Value| value.to_string().replace("true", "1").replace("false", "0");
                if matches!(key.as_str(), "row" | "label" | "input_ids" | "completion_mask" | "loss_mask") {
                    assert_eq!(masks(&got[key]), masks(want), "{}: {key}", self.name);
                } else if want.is_object() && key != "untruncated_len" {
                    for part in ["input_ids", "completion_mask"] {
                        if !want[part].is_null() {
                            assert_eq!(got[key][part], want[part], "{}: {part} of {key}", self.name);
                        }
                    }
                }
            }
        }
    }

    fn check_log(&self) {
        let want = self.expected("log").as_array().expect("a log");
        let got = lines(&self.out.join("metrics.jsonl"));
        assert_eq!(got.len(), want.len(), "{}: steps", self.name);
        for (step, (got, want)) in got.iter().zip(want).enumerate() {
            for (key, want) in want.as_object().expect("an entry") {
                let padded = PADDED.contains(&key.as_str()) && matches!(self.method, "orpo" | "cpo" | "ppo");
                if padded || matches!(key.as_str(), "epoch" | "step") {
                    continue;
                }
                let want = want.as_f64().expect("a number");
                let got = got[key].as_f64().unwrap_or_else(|| panic!("{}, step {step}: {key} is missing", self.name));
                let tolerance = self.wide() * tolerance(key, want);
                let what = format!("{}, step {step}: {key} is {got}, but TRL has {want}", self.name);
                assert!((got - want).abs() <= tolerance, "{what}");
            }
        }
    }

    fn check_gradients(&self, all: &BTreeMap<String, Tensor>) {
        let prefix = format!("{}.grad.", self.name);
        let mut want: BTreeMap<&str, &Tensor> = BTreeMap::new();
        want.extend(all.iter().filter_map(|(key, tensor)| Some((key.strip_prefix(&prefix)?, tensor))));
        let got = tensors(&self.gradients);
        assert!(got.keys().eq(want.keys().copied()), "{}: names of the gradients", self.name);
        let error: f64 = want.iter().map(|(key, want)| square(&got[*key], want)).sum();
        let size: f64 = want.values().flat_map(|tensor| &tensor.data).map(|g| f64::from(*g).powi(2)).sum();
        let error = (error / size.max(1e-60)).sqrt();
        assert!(error <= 5e-4 * self.wide(), "{}: the first gradients differ by {error:.2e}", self.name);
    }

    fn check_adapter(&self, folder: &Path, last: &str, first: &str) {
        let of = |folder: &Path| tensors(&folder.join("adapter_model.safetensors"));
        let case = |key: &str| of(&self.case.join(self.spec[key].as_str().expect("a folder")));
        let (got, want, start) = (of(folder), case(last), case(first));
        assert!(got.keys().eq(want.keys()), "{}: tensors of {last}", self.name);
        let error: f64 = want.iter().map(|(key, want)| square(&got[key], want)).sum();
        let moved: f64 = want.iter().map(|(key, want)| square(&start[key], want)).sum();
        let error = (error / moved).sqrt();
        assert!(error <= 1e-2 * self.wide(), "{}: {last} differs from TRL's by {error:.2e}", self.name);
    }

    /// Checks the numbers that were computed from answers sampled before.
    fn check_answers(&self) {
        let Some(generations) = self.expected("generations").as_array() else { return };
        let mut rows = lines(&self.out.join("rollouts.jsonl")).into_iter();
        for generation in generations {
            let advantages = generation["advantages"].as_array().expect("advantages");
            for at in 0..advantages.len() {
                let row = rows.next().expect("a line for each answer");
                for (key, tolerance) in
                    [("old_logps", 5e-3), ("ref_logps", 5e-3), ("values", 1e-3), ("advantages", 2e-3)]
                {
                    let want = numbers(&generation[key][at]);
                    if row[key].is_null() || want.is_empty() {
                        continue;
                    }
                    let got = numbers(&row[key]);
                    let scale = want.iter().fold(1.0, |most: f64, want| most.max(want.abs()));
                    assert_eq!(got.len(), want.len(), "{}: {key}", self.name);
                    let worst = got.iter().zip(&want).map(|(got, want)| (got - want).abs()).fold(0.0, f64::max);
                    assert!(worst <= tolerance * scale, "{}: {key} differ by {worst:.2e}", self.name);
                }
            }
        }
        assert_eq!(rows.next(), None, "{}: no answer but TRL's", self.name);
    }
}

fn tolerance(key: &str, want: f64) -> f64 {
    let share = ["accurac", "clip", "frac_"].iter().any(|part| key.contains(part));
    match key {
        "loss" => 5e-4 + 3e-4 * want.abs(),
        "grad_norm" => 5e-4 * want.abs().max(1e-6),
        "learning_rate" | "lr" => 1e-5 * want.abs().max(1e-12),
        "num_tokens" | "episode" | "val/num_eos_tokens" => 0.0,
        _ if share => 0.13,
        _ => 5e-3 + 2e-4 * want.abs(),
    }
}

fn numbers(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(list) => list.iter().filter_map(Value::as_f64).collect(),
        other => other.as_f64().into_iter().collect(),
    }
}

fn square(a: &Tensor, b: &Tensor) -> f64 {
    a.data.iter().zip(&b.data).map(|(a, b)| f64::from(a - b).powi(2)).sum()
}

fn tensors(file: &Path) -> BTreeMap<String, Tensor> {
    let bytes = fs::read(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    parse("tensors", &bytes).expect("the file is sound").into_iter().collect()
}

fn read_json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).expect("the fixture is there")).expect("the fixture is JSON")
}

fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    text.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect()
}

/// Message of a run that was refused.
fn refused(code: i32, arguments: &[&str], config: &Value) -> String {
    let scratch = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("refused-{}", arguments.join("-").len()));
    fs::create_dir_all(&scratch).expect("a folder");
    let file = scratch.join("config.json");
    fs::write(&file, config.to_string()).expect("it is written");
    let case = Path::new("tests/fixtures/oracle2/kto");
    let mut command = Command::new(env!("CARGO_BIN_EXE_pairtune"));
    command.arg("train").arg("--model").arg(case.join("model")).arg("--output").arg(scratch.join("out"));
    let done = command.arg("--config").arg(&file).args(arguments).output().expect("the program runs");
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert_eq!(done.status.code(), Some(code), "it must be refused: {said}");
    said
}

#[test]
fn a_setting_that_the_method_does_not_have_is_refused_by_name() {
    let data = ["--data", "tests/fixtures/oracle2/kto/data.jsonl"];
    let said = refused(2, &[&data[..], &["--method", "kto"]].concat(), &json!({"cpo_alpha": 1.0}));
    assert!(said.contains("The method kto has no setting \"cpo_alpha\"") && said.contains("(cpo)"), "{said}");
    let said = refused(2, &[&data[..], &["--method", "kto"]].concat(), &json!({"desirable_wieght": 1.0}));
    assert!(said.contains("Did you mean \"desirable_weight\""), "{said}");
    let said = refused(2, &[&data[..], &["--method", "trpo"]].concat(), &Value::Object(Map::new()));
    assert!(said.contains("trpo"), "{said}");
}

#[test]
fn a_file_of_another_kind_is_refused_by_its_name() {
    let data = ["--data", "tests/fixtures/oracle2/kto/data.jsonl"];
    let said = refused(1, &[&data[..], &["--method", "reward"]].concat(), &Value::Object(Map::new()));
    assert!(said.contains("thumbs") && said.contains("--method kto"), "{said}");
}

/// Trains on answers that the policy writes, whole and from a checkpoint, and compares.
#[track_caller]
fn check_resume(method: &str, config: &Value, from: usize) {
    let scratch = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("resumed-{method}"));
    drop(fs::remove_dir_all(&scratch));
    fs::create_dir_all(&scratch).expect("a folder");
    let file = scratch.join("config.json");
    fs::write(&file, config.to_string()).expect("it is written");
    let case = Path::new("tests/fixtures/oracle2/kto");
    let run = |output: &str, arguments: &[&Path]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pairtune"));
        command.args(["train", "--model"]).arg(case.join("model")).arg("--data").arg(case.join("data.jsonl"));
        let done = command.arg("--output").arg(scratch.join(output)).args(arguments).output().expect("it runs");
        assert!(done.status.success(), "{method}: {}", String::from_utf8_lossy(&done.stderr));
    };
    let path = Path::new;
    let rewards = [path("--reward"), path("length:5"), path("--reward"), path("regex:[aeiou]")];
    run("whole", &[&[path("--method"), path(method), path("--config"), &file], &rewards[..]].concat());
    // The rewards are in the checkpoint.
    run("rest", &[path("--resume"), &scratch.join(format!("whole/checkpoint-{from}"))]);
    let mut files = vec!["adapter_model.safetensors", "metrics.jsonl"];
    if method == "ppo" {
        files.push("value/adapter_model.safetensors");
    }
    for name in files {
        let [whole, rest] = ["whole", "rest"].map(|run| fs::read(scratch.join(run).join(name)).expect("it is there"));
        assert!(whole == rest, "{method}: {name} differs after a resumed run");
    }
    let log = lines(&scratch.join("whole/metrics.jsonl"));
    let start = if method == "ppo" { "objective/scores" } else { "rewards/length/mean" };
    assert!(log[0][start].as_f64().is_some_and(f64::is_finite), "{method}: what answers got is logged: {}", log[0]);
    let answers = lines(&scratch.join("whole/rollouts.jsonl"));
    let judged = |answer: &Value| answer["advantages"].is_number() || answer["advantages"].is_array();
    assert!(answers.iter().all(judged), "{method}: every answer was judged");
}

#[test]
fn grpo_is_resumed_within_a_batch_of_answers() {
    let config = json!({
        "max_steps": 4, "per_device_train_batch_size": 4, "gradient_accumulation_steps": 1, "steps_per_generation": 2,
        "num_iterations": 2, "num_generations": 4, "max_completion_length": 6, "save_steps": 1, "learning_rate": 1e-2,
        "r": 2, "lora_alpha": 4, "entropy_coef": 0.01,
    });
    check_resume("grpo", &config, 1);
}

#[test]
fn rloo_is_resumed() {
    let config = json!({
        "max_steps": 4, "per_device_train_batch_size": 4, "gradient_accumulation_steps": 2, "num_generations": 2,
        "max_completion_length": 6, "save_steps": 2, "learning_rate": 1e-2, "r": 2, "lora_alpha": 4,
    });
    check_resume("rloo", &config, 2);
}

#[test]
fn ppo_is_resumed_with_its_value_model() {
    let config = json!({
        "per_device_train_batch_size": 4, "gradient_accumulation_steps": 1, "total_episodes": 16, "num_ppo_epochs": 2,
        "response_length": 6, "save_steps": 2, "learning_rate": 1e-2, "r": 2, "lora_alpha": 4,
    });
    check_resume("ppo", &config, 2);
}
