//! The program as a person uses it: every command on the golden cases, and every kind of bad input.
//!
//! Each test runs the binary in a folder of its own, with a cache of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use pairtune::data::{Record, SplitBy, read_pairs, split_by_prompt};
use pairtune::files::{Tensor, parse};
use pairtune::gpu::{Kernel, Needs};
use serde_json::{Map, Value, json};
use wgpu::naga::valid::{Capabilities, ShaderStages, SubgroupOperationSet, ValidationFlags, Validator};

const LLAMA: [&str; 3] = ["llama_sigmoid", "llama3_tied_ipo", "llama_bf16_rslora"];

// Help and usage.

#[test]
fn no_arguments_print_help() {
    let run = Scratch::new("help").run(&[]);
    run.check(0);
    for command in ["train", "score", "generate", "merge", "export", "doctor"] {
        assert!(run.stdout.contains(command), "the help names {command}: {}", run.stdout);
    }
}

#[test]
fn wrong_usage_exits_with_2() {
    let run = Scratch::new("usage").run(&["train", "--no-such-flag"]);
    run.check(2);
}

// Train.

#[test]
fn train_llama_sigmoid_as_trl() {
    check_case("llama_sigmoid");
}

#[test]
fn train_llama3_tied_ipo_as_trl() {
    check_case("llama3_tied_ipo");
}

#[test]
fn train_llama_bf16_rslora_as_trl() {
    check_case("llama_bf16_rslora");
}

/// The run `b_rand` of a golden case, with its settings from a file.
#[track_caller]
fn check_case(case: &str) {
    let scratch = Scratch::new(&format!("train-{case}"));
    let spec = read_json(&fixture(case).join("case.json"));
    let (train, lora) = (&spec["train"], &spec["lora"]);
    let config = json!({
        "beta": train["beta"],
        "loss_type": train["loss_type"],
        "loss_weights": train["loss_weights"],
        "label_smoothing": train["label_smoothing"],
        "learning_rate": train["lr"],
        "lr_scheduler_type": train["scheduler"],
        "warmup_steps": train["warmup_steps"],
        "weight_decay": train["weight_decay"],
        "adam_beta1": train["adam_beta1"],
        "adam_beta2": train["adam_beta2"],
        "adam_epsilon": train["adam_epsilon"],
        "max_grad_norm": train["max_grad_norm"],
        "per_device_train_batch_size": train["batch_size"],
        "gradient_accumulation_steps": train["grad_accum"],
        "max_length": train["max_length"],
        "max_steps": train["steps"],
        "r": lora["r"],
        "lora_alpha": lora["alpha"],
        "target_modules": lora["targets"],
        "use_rslora": lora["use_rslora"],
        "reference": spec["b_rand_reference"],
        // The flag below beats this.
        "train_sampling_strategy": "random",
    });
    scratch.write("config.json", config.to_string());
    let (model, pairs) = (path(case, "model"), path(case, "pairs.jsonl"));
    let adapter = path(case, "adapter_init_b");
    let run = scratch.run(&[
        "train",
        "--model",
        &model,
        "--pairs",
        &pairs,
        "--adapter",
        &adapter,
        "--config",
        "config.json",
        "--output",
        "out",
        "--train-sampling-strategy",
        "sequential",
    ]);
    run.check(0);

    let expected = read_json(&fixture(case).join("expected.json"));
    let want = expected["runs"]["b_rand"]["log"].as_array().expect("the case has a log");
    let got = scratch.lines("out/metrics.jsonl");
    assert_eq!(got.len(), want.len(), "one line per optimiser step");
    for (got, want) in got.iter().zip(want) {
        let value = |of: &Value, key: &str| of[key].as_f64().unwrap_or_else(|| panic!("{key} is missing: {of}"));
        let step = value(want, "step");
        let check = |key: &str, tolerance: f64| {
            let (got, want) = (value(got, key), value(want, key));
            assert!((got - want).abs() <= tolerance, "step {step}: {key} is {got}, but TRL has {want}");
        };
        for key in ["step", "num_tokens"] {
            check(key, 0.0);
        }
        check("epoch", 1e-9);
        check("learning_rate", 1e-12);
        check("loss", 5e-4);
        check("grad_norm", 5e-4 * value(want, "grad_norm"));
        for key in ["chosen", "rejected", "accuracies", "margins"] {
            check(&format!("rewards/{key}"), 5e-3);
        }
        for key in ["logps/chosen", "logps/rejected", "logits/chosen", "logits/rejected", "entropy"] {
            check(key, 1e-2);
        }
        check("mean_token_accuracy", 1e-6);
        let keys = |of: &Value| of.as_object().map(|of| of.keys().cloned().collect::<Vec<_>>());
        assert_eq!(keys(got), keys(want), "the names of the metrics");
    }

    let start = tensors(&fixture(case).join("adapter_init_b"));
    let want = tensors(&fixture(case).join("adapter_final_b"));
    let got = tensors(&scratch.path("out"));
    assert_eq!(got.keys().collect::<Vec<_>>(), want.keys().collect::<Vec<_>>(), "the adapter's tensors");
    let square = |a: &BTreeMap<String, Tensor>, b: &BTreeMap<String, Tensor>| -> f64 {
        let pairs = a.iter().flat_map(|(key, a)| a.data.iter().zip(&b[key].data));
        pairs.map(|(a, b)| f64::from(a - b).powi(2)).sum()
    };
    let error = (square(&got, &want) / square(&want, &start)).sqrt();
    assert!(error <= 1e-2, "the update differs from TRL's by {error:.2e}");

    let state = read_json(&scratch.path("out/trainer_state.json"));
    assert_eq!(state["global_step"], train["steps"], "the state's step");
    assert_eq!(state["log_history"].as_array().map(Vec::len), Some(want_len(train)), "the state's history");
    assert!(scratch.path("out/README.md").exists(), "there is a model card");
    assert!(temporary_files(&scratch.path("out")).is_empty(), "nothing temporary is left");
}

fn want_len(train: &Value) -> usize {
    train["steps"].as_u64().unwrap_or_default() as usize
}

#[test]
fn resumed_run_equals_uninterrupted_one() {
    let scratch = Scratch::new("resume");
    let adapter = path("llama_sigmoid", "adapter_init_b");
    let run = scratch.train(
        "whole",
        &[
            "--max-steps",
            "6",
            "--save-steps",
            "4",
            "--learning-rate",
            "1e-3",
            "--eval-split",
            "0.2",
            "--adapter",
            &adapter,
            "--reference",
            "initial_adapter",
        ],
    );
    run.check(0);
    let first = scratch.lines("whole/metrics.jsonl")[0]["loss"].as_f64().expect("a number");
    assert!((first - 2f64.ln()).abs() < 1e-6, "policy and reference are equal at first: {first}");
    assert!(run.stdout.contains("held-out accuracy "), "the last sentence: {}", run.stdout);
    let run = scratch.train("rest", &["--resume", "whole/checkpoint-4"]);
    run.check(0);
    assert!(run.stderr.contains("Resuming after step 4 of 6"), "it says so: {}", run.stderr);
    for file in ["adapter_model.safetensors", "metrics.jsonl", "trainer_state.json"] {
        assert!(scratch.bytes(&format!("whole/{file}")) == scratch.bytes(&format!("rest/{file}")), "{file} differs");
    }
    // Two evaluations are in the history, and none in the metrics.
    let state = read_json(&scratch.path("rest/trainer_state.json"));
    let history = state["log_history"].as_array().expect("a list");
    let evaluations: Vec<_> = history.iter().filter(|entry| entry.get("eval_preference_accuracy").is_some()).collect();
    assert_eq!([history.len(), evaluations.len()], [8, 2], "six steps and two evaluations");
    assert_eq!(evaluations[1]["step"], 6, "the second is the last step's");
    assert_eq!(scratch.lines("rest/metrics.jsonl").len(), 6, "one line per step");

    let run = scratch.train("other", &["--resume", "whole/checkpoint-4", "--beta", "0.5", "--max-steps", "9"]);
    run.check_error("these differ: beta, max_steps");
    scratch.write("fewer.jsonl", first_pairs(20));
    let run = scratch.run(&[
        "train",
        "--model",
        &path("llama_sigmoid", "model"),
        "--pairs",
        "fewer.jsonl",
        "--output",
        "other",
        "--resume",
        "whole/checkpoint-4",
    ]);
    run.check_error("The checkpoint belongs to another model, other pairs");
    assert!(!scratch.path("other").exists(), "and no folder is made for it");
    let run = scratch.train("other", &["--resume", "whole"]);
    run.check_error("This is no checkpoint: it has no progress.json");
    let run = scratch.train("other", &["--max-steps", "1"]);
    run.check(0);
    let before = scratch.bytes("other/adapter_model.safetensors");
    for flags in [["--max-steps", "1"], ["--resume", "whole/checkpoint-4"]] {
        let run = scratch.train("other", &flags);
        run.check_error("The output folder already holds a run (adapter_config.json)");
    }
    assert!(scratch.bytes("other/adapter_model.safetensors") == before, "another run's adapter is as it was");
    let run = scratch.train("whole", &["--resume", "whole/checkpoint-4"]);
    run.check(0);
}

#[test]
fn a_quantised_base_is_scored_trained_and_resumed_as_such() {
    let scratch = Scratch::new("load-in");
    let (model, pairs) = (path("llama_sigmoid", "model"), path("llama_sigmoid", "pairs.jsonl"));
    let mut scores = BTreeSet::new();
    for load_in in ["stored", "nf4"] {
        let output = format!("{load_in}.jsonl");
        let flags = ["score", "--model", &model, "--pairs", &pairs, "--load-in", load_in, "--output", &output];
        scratch.run(&flags).check(0);
        scores.insert(scratch.lines(&output)[0]["chosen_logp"].to_string());
    }
    assert_eq!(scores.len(), 2, "each has numbers of its own: {scores:?}");
    let run = scratch.run(&["score", "--model", &model, "--pairs", &pairs, "--load-in", "int3", "--output", "o"]);
    run.check(2);
    assert!(run.stderr.contains("give stored, int8, int4 or nf4"), "the formats are named: {}", run.stderr);

    // One after the other with one cache: the scores of a reference are those of its own base.
    for load_in in ["stored", "nf4"] {
        let flags = ["--max-steps", "4", "--save-steps", "2", "--learning-rate", "1e-3", "--load-in", load_in];
        scratch.train(load_in, &flags).check(0);
        let first = scratch.lines(&format!("{load_in}/metrics.jsonl"))[0]["loss"].as_f64().expect("a number");
        assert!((first - 2f64.ln()).abs() < 1e-6, "{load_in}: policy and reference are equal at first: {first}");
    }
    scratch.train("rest", &["--resume", "nf4/checkpoint-2"]).check(0);
    for file in ["adapter_model.safetensors", "metrics.jsonl"] {
        assert!(scratch.bytes(&format!("nf4/{file}")) == scratch.bytes(&format!("rest/{file}")), "{file} differs");
    }
    let run = scratch.train("other", &["--resume", "nf4/checkpoint-2", "--load-in", "int8"]);
    run.check_error("these differ: load_in");
}

#[test]
fn a_run_of_an_earlier_version_is_resumed_with_the_split_that_it_was_made_with() {
    let scratch = Scratch::new("resume-split");
    // Each question twice, in other words to those versions.
    let line = |i: usize| {
        let prompt = format!("question {}{}", i / 2, ["", "?"][i % 2]);
        format!("{}\n", json!({"prompt": prompt, "chosen": format!("a{i}"), "rejected": "no"}))
    };
    let lines: Vec<String> = (0..24).map(line).collect();
    let records = |by| {
        let records = read_pairs(lines.concat().as_bytes(), "x").expect("pairs").0;
        split_by_prompt(records, by, 0.25, 42).expect("a split")
    };
    let [before, now] = [SplitBy::Equal, SplitBy::Similar].map(records);
    assert_ne!(before.1, now.1, "the two split in other ways");
    let text = |records: &[Record]| records.iter().map(|record| lines[record.row].clone()).collect::<String>();
    scratch.write("all.jsonl", lines.concat());
    scratch.write("train.jsonl", text(&before.0));
    scratch.write("held_out.jsonl", text(&before.1));
    let model = path("llama_sigmoid", "model");
    let train = |pairs: &str, output: &str, more: &[&str]| {
        scratch.run(&[&["train", "--model", &model, "--pairs", pairs, "--output", output][..], more].concat())
    };
    let flags = ["--eval-pairs", "held_out.jsonl", "--max-steps", "3", "--save-steps", "2", "--warmup-steps", "0"];
    train("train.jsonl", "old", &flags).check(0);
    // The old versions wrote the checkpoint like this.
    let place = scratch.path("old/checkpoint-2/progress.json");
    let mut run = read_json(&place);
    fs::remove_file(&place).expect("removable");
    let place = scratch.path("old/checkpoint-2/run.json");
    assert_eq!(run.as_object_mut().expect("an object").remove("format"), Some(json!(2)), "today's");
    run["config"]["eval_split"] = json!(0.25);
    assert_eq!(run.as_object_mut().expect("an object").remove("split"), Some(json!("similar")), "today's");
    fs::write(&place, run.to_string()).expect("writable");
    train("all.jsonl", "again", &["--resume", "old/checkpoint-2", "--save-steps", "1"]).check(0);
    let same = scratch.bytes("old/adapter_model.safetensors") == scratch.bytes("again/adapter_model.safetensors");
    assert!(same, "the same pairs, in the same order");
    let saved = read_json(&scratch.path("again/checkpoint-3/progress.json"));
    assert_eq!(saved["split"], "equal", "and its own checkpoints say so");
}

#[test]
fn pairs_come_from_parquet_and_packed_files() {
    let scratch = Scratch::new("tables");
    let rows = fs::read(fixture("parquet").join("texts.json")).expect("readable");
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut packed, &rows).expect("it is packed");
    scratch.write("rows.json", String::from_utf8(rows).expect("text"));
    fs::write(scratch.path("rows.json.gz"), packed.finish().expect("it is packed")).expect("writable");
    let score = |pairs: &str| {
        let args = ["score", "--model", &path("llama_sigmoid", "model"), "--pairs", pairs, "--output", "scores.jsonl"];
        let run = scratch.run(&args);
        run.check(0);
        assert!(run.stderr.contains("is missing"), "a row without an answer is told: {}", run.stderr);
        scratch.lines("scores.jsonl")
    };
    let wanted = score("rows.json");
    assert_eq!(score("rows.json.gz"), wanted, "unpacked");
    assert_eq!(score(&path("parquet", "texts_pandas.parquet")), wanted, "from a table");
}

#[test]
fn a_run_that_is_resumed_at_its_end_keeps_its_epoch_and_is_not_scored_as_its_beginning() {
    let scratch = Scratch::new("resume-end");
    let run = scratch.train("out", &["--max-steps", "2", "--save-steps", "2"]);
    run.check(0);
    let epoch = |run: &str| read_json(&scratch.path(&format!("{run}/trainer_state.json")))["epoch"].clone();
    scratch.write("held-out.jsonl", first_pairs(4));
    scratch.train("again", &["--resume", "out/checkpoint-2", "--eval-pairs", "held-out.jsonl"]).check(0);
    assert_eq!(epoch("again"), epoch("out"), "the epoch");
    let history = read_json(&scratch.path("again/trainer_state.json"))["log_history"].clone();
    let steps: Vec<&Value> = history.as_array().expect("a list").iter().map(|entry| &entry["step"]).collect();
    assert_eq!(steps, [1, 2, 2], "two steps, and an evaluation after them");
}

/// Steps of the evaluations in a file of metrics, or in a history.
fn evaluated(entries: &[Value]) -> Vec<u64> {
    let evaluations = entries.iter().filter(|entry| entry.get("eval_preference_accuracy").is_some());
    evaluations.map(|entry| entry["step"].as_u64().expect("a step")).collect()
}

/// Ends a run with the adapter of its best evaluation.
const BEST: &str = "--load-best-model-at-end";
/// Settings of a run that learns much at every step.
const FAST: [&str; 10] = [
    "--learning-rate",
    "5e-3",
    "--lr-scheduler-type",
    "constant",
    "--warmup-steps",
    "0",
    "--gradient-accumulation-steps",
    "1",
    "--save-steps",
    "3",
];

/// A run whose held-out pairs say the opposite of those that it is trained on, so that every step makes them worse.
fn train_swapped(scratch: &Scratch, output: &str, more: &[&str]) -> Run {
    let pairs = first_pairs(8);
    let swapped = pairs.replace("\"chosen\"", "\"x\"").replace("\"rejected\"", "\"chosen\"");
    scratch.write("swapped.jsonl", swapped.replace("\"x\"", "\"rejected\""));
    scratch.write("pairs.jsonl", pairs);
    let model = path("llama_sigmoid", "model");
    let files = ["train", "--model", &model, "--pairs", "pairs.jsonl", "--eval-pairs", "swapped.jsonl"];
    let every: &[&str] = if more.contains(&"--eval-steps") { &[] } else { &["--eval-steps", "2"] };
    scratch.run(&[&files[..], &["--output", output], every, more].concat())
}

#[test]
fn a_run_is_evaluated_on_its_way_and_ends_with_the_best_adapter() {
    let scratch = Scratch::new("eval-steps");
    let train = |output: &str, more: &[&str]| {
        let run = train_swapped(&scratch, output, more);
        run.check(0);
        run
    };
    let state = |run: &str, key: &str| read_json(&scratch.path(&format!("{run}/trainer_state.json")))[key].clone();
    let adapter = |run: &str| scratch.bytes(&format!("{run}/adapter_model.safetensors"));
    let (best, settings) = (BEST, FAST);

    let run = train("whole", &[&settings[..], &["--max-steps", "6", best]].concat());
    assert!(run.stdout.contains("the adapter is that of step 2, of the best evaluation"), "{}", run.stdout);
    let counters = ["global_step", "best_global_step", "eval_steps"].map(|key| state("whole", key));
    assert_eq!(counters, [json!(6), json!(2), json!(2.0)], "the state");
    let history = state("whole", "log_history");
    assert_eq!(evaluated(history.as_array().expect("a list")), [0, 2, 4, 6], "before, every other step, and after");
    assert_eq!(evaluated(&scratch.lines("whole/metrics.jsonl")), [0, 2, 4, 6], "in the metrics, too");
    train("two", &[&settings[..], &["--max-steps", "2"]].concat());
    assert!(adapter("whole") == adapter("two"), "it is that of the second step");
    train("rest", &["--resume", "whole/checkpoint-3", best]);
    assert!(adapter("rest") == adapter("whole"), "a resumed run has it from before");
    assert_eq!(scratch.lines("rest/metrics.jsonl"), scratch.lines("whole/metrics.jsonl"), "with the same numbers");

    let patience = [best, "--early-stopping-patience", "3"];
    let run = train("early", &[&settings[..], &["--max-steps", "20"], &patience].concat());
    let why = "Stopped early: no better held-out result in 3 evaluations. The best adapter, of step 2, is kept.";
    assert!(run.stderr.contains(why), "it says why: {}", run.stderr);
    assert_eq!(state("early", "global_step"), 8, "three evaluations after the best");
    train("later", &[&["--resume", "early/checkpoint-6"][..], &patience].concat());
    assert_eq!(state("later", "global_step"), 8, "a resumed run counts on");
    assert!(adapter("early") == adapter("two") && adapter("later") == adapter("two"), "with the same adapter");
    scratch.train("out", &[BEST]).check(2);
}

#[test]
fn a_best_adapter_that_is_gone_stays_gone_at_every_resume() {
    let scratch = Scratch::new("best-gone");
    let train = |output: &str, more: &[&str]| {
        let run = train_swapped(&scratch, output, more);
        run.check(0);
        run
    };
    let best = |run: &str| read_json(&scratch.path(&format!("{run}/trainer_state.json")))["best_global_step"].clone();
    // The best evaluation is the one after step 2, and no adapter is kept.
    train("plain", &[&FAST[..], &["--max-steps", "8"]].concat());
    let run = train("first", &["--resume", "plain/checkpoint-3", BEST]);
    assert!(run.stderr.contains("of step 2, is gone"), "{}", run.stderr);
    assert!(best("first").as_u64() > Some(2), "a later one is the best");
    assert!(scratch.path("first/checkpoint-6/best").exists(), "its adapter is kept");
    let run = train("second", &["--resume", "first/checkpoint-6", BEST]);
    assert_eq!(best("second"), best("first"), "and it is that one's when the run is resumed again");
    assert!(!run.stderr.contains("is gone"), "nothing more was lost: {}", run.stderr);
    let adapter = |run: &str| scratch.bytes(&format!("{run}/adapter_model.safetensors"));
    assert!(adapter("second") == adapter("first"), "the runs end alike");
}

#[test]
fn evaluations_on_the_way_are_planned_and_score_at_most_the_pairs_that_are_asked_for() {
    let scratch = Scratch::new("eval-memory");
    let split = ["--eval-split", "0.5", "--per-device-train-batch-size", "16", "--max-steps", "1"];
    let needs = |more: &[&str]| {
        let run = scratch.train("out", &[&split[..], &["--memory-limit", "0.0001"], more].concat());
        run.check_error("The run needs about ");
        let after = run.stderr.split("The run needs about ").nth(1).expect("the memory");
        after.split(' ').next().and_then(|mib| mib.parse::<u64>().ok()).expect("a number")
    };
    let (without, on_the_way) = (needs(&[]), needs(&["--eval-steps", "2"]));
    assert!(on_the_way > without, "the trainer keeps what it has: {on_the_way} MiB, {without} MiB");
    let of_one = needs(&["--eval-steps", "2", "--max-eval-pairs", "1"]);
    assert!(of_one < on_the_way, "one pair is a small batch: {of_one} MiB, {on_the_way} MiB");

    let run = scratch.train("out", &[&split[..], &["--max-eval-pairs", "3"]].concat());
    run.check(0);
    assert!(run.stdout.contains("(3 pairs)"), "three are scored: {}", run.stdout);
    let all = run.stderr.lines().find_map(|line| line.strip_prefix("Pairs: ")).expect("the numbers of pairs");
    let numbers: Vec<u64> = all.split(' ').filter_map(|word| word.parse().ok()).collect();
    assert!(matches!(numbers[..], [train, 3] if train < 30), "the others are not trained on: {all}");
}

#[test]
fn same_seed_gives_the_same_adapter_with_and_without_cache() {
    let scratch = Scratch::new("seed");
    let flags = ["--max-steps", "2", "--learning-rate", "1e-3", "--seed", "7"];
    let run = scratch.train("first", &flags);
    run.check(0);
    assert!(!run.stderr.contains("from the cache"), "nothing is cached yet: {}", run.stderr);
    let same = || {
        for file in ["adapter_model.safetensors", "metrics.jsonl"] {
            let same = scratch.bytes(&format!("first/{file}")) == scratch.bytes(&format!("second/{file}"));
            assert!(same, "{file} differs");
        }
    };
    let run = scratch.train("second", &flags);
    run.check(0);
    assert!(run.stderr.contains("from the cache"), "the reference is cached: {}", run.stderr);
    same();

    let cache = scratch.path("cache/pairtune/reference");
    let entry = fs::read_dir(&cache).expect("there is a cache").next().expect("an entry").expect("readable").path();
    let whole = fs::read(&entry).expect("readable");
    fs::write(&entry, &whole[..whole.len() / 2]).expect("writable");
    let run = scratch.train("second", &[flags.as_slice(), &["--overwrite"]].concat());
    run.check(0);
    assert!(!run.stderr.contains("from the cache"), "a damaged entry is not used: {}", run.stderr);
    assert_eq!(fs::read(&entry).expect("readable"), whole, "and is written again");
    same();
}

#[cfg(unix)]
#[test]
fn ctrl_c_saves_a_checkpoint_and_exits_with_130() {
    let scratch = Scratch::new("ctrl-c");
    let (model, pairs) = (path("llama_sigmoid", "model"), path("llama_sigmoid", "pairs.jsonl"));
    let mut child = scratch
        .command(&["train", "--model", &model, "--pairs", &pairs, "--output", "out", "--max-steps", "500", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let lines = BufReader::new(child.stdout.take().expect("stdout is piped")).lines();
    let mut events = Vec::new();
    for line in lines {
        let event: Value = serde_json::from_str(&line.expect("text")).expect("one JSON object a line");
        if event["event"] == "step" && !events.iter().any(|event: &Value| event["event"] == "step") {
            let pid = child.id().to_string();
            Command::new("kill").args(["-INT", &pid]).status().expect("kill works");
        }
        events.push(event);
    }
    let output = child.wait_with_output().expect("the program ends");
    assert_eq!(output.status.code(), Some(130), "{}", String::from_utf8_lossy(&output.stderr));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("--resume out/checkpoint-"), "it says how to go on: {stderr}");
    let checkpoint = events.iter().find(|event| event["event"] == "checkpoint").expect("a checkpoint was saved");
    let step = checkpoint["step"].as_u64().expect("its step");
    for file in ["progress.json", "optimizer.safetensors", "adapter_model.safetensors", "trainer_state.json"] {
        assert!(scratch.path(&format!("out/checkpoint-{step}/{file}")).exists(), "it has {file}");
    }
    assert_eq!(scratch.lines("out/metrics.jsonl").len() as u64, step, "a line per step");
}

#[test]
fn diverged_run_keeps_the_last_good_adapter() {
    let scratch = Scratch::new("diverged");
    let flags = ["--learning-rate", "1e30", "--lr-scheduler-type", "constant", "--max-steps", "5"];
    let run = scratch.train("out", &flags);
    run.check_error("was not finite");
    let steps = scratch.lines("out/metrics.jsonl").len();
    assert!(run.stderr.contains(&format!("Step {} was not finite", steps + 1)), "the step: {}", run.stderr);
    let told = format!("the adapter is that of step {steps}, the last good one");
    assert!(run.stderr.contains(&told), "it says which adapter it is: {}", run.stderr);
    let tensors = tensors(&scratch.path("out"));
    assert!(tensors.values().flat_map(|t| &t.data).all(|v| v.is_finite()), "the adapter is finite");
}

#[test]
fn diverged_run_ends_with_the_best_adapter_if_that_is_asked_for() {
    let scratch = Scratch::new("diverged-best");
    train_swapped(&scratch, "whole", &[&FAST[..], &["--max-steps", "8", BEST]].concat()).check(0);
    // The run goes on at a rate that breaks it, and is not evaluated before.
    let place = scratch.path("whole/checkpoint-3/progress.json");
    let mut run = read_json(&place);
    run["config"]["learning_rate"] = json!(1e30);
    fs::write(&place, run.to_string()).expect("writable");
    let run = train_swapped(&scratch, "rest", &["--resume", "whole/checkpoint-3", "--eval-steps", "100", BEST]);
    run.check_error("was not finite");
    assert!(run.stderr.contains("the adapter is that of step 2, of the best evaluation"), "{}", run.stderr);
    assert_eq!(read_json(&scratch.path("rest/trainer_state.json"))["best_global_step"], 2, "as the state says");
    let best = scratch.bytes("whole/checkpoint-3/best/adapter_model.safetensors");
    assert!(scratch.bytes("rest/adapter_model.safetensors") == best, "and so it is");
}

#[test]
fn pairs_that_are_seen_too_often_are_warned_of_before_the_run() {
    let scratch = Scratch::new("passes");
    scratch.write("few.jsonl", first_pairs(4));
    let model = path("llama_sigmoid", "model");
    let train = |output: &str, steps: &str| {
        let run = scratch.run(&[
            "train",
            "--model",
            &model,
            "--pairs",
            "few.jsonl",
            "--output",
            output,
            "--max-length",
            "128",
            "--gradient-accumulation-steps",
            "1",
            "--max-steps",
            steps,
        ]);
        run.check(0);
        run.stderr
    };
    let warned = train("many", "9");
    let (warning, step) = (warned.find("warning: Each of the 4 pairs is seen 9 times"), warned.find("train ..."));
    assert!(warning.is_some() && warning < step, "before the first step: {warned}");
    assert!(!train("some", "8").contains("times"), "eight passes are usual");
}

// Sweep.

#[test]
fn a_sweep_is_the_runs_that_train_does() {
    let scratch = Scratch::new("sweep");
    let run = scratch.sweep("out", &["--beta", "0.05,0.5", "--learning-rate", "5e-3", "--max-steps", "4", "--json"]);
    run.check(0);
    let events: Vec<Value> = run.stdout.lines().map(|line| serde_json::from_str(line).expect("an object")).collect();
    let of = |name: &str| events.iter().filter(|event| event["event"] == name).collect::<Vec<_>>();
    let first: Vec<f64> =
        of("step").iter().filter(|step| step["step"] == 1).filter_map(|step| step["loss"].as_f64()).collect();
    assert_eq!(first.len(), 2, "two runs: {}", run.stdout);
    assert!(first.iter().all(|loss| (loss - 2f64.ln()).abs() < 1e-6), "with the same reference: {first:?}");
    assert_eq!(of("measure").len(), 10, "each at its start and at four steps");
    assert_eq!(of("value").len(), 2, "and its end");

    let record = read_json(&scratch.path("out/sweep.json"));
    assert_eq!(of("sweep")[0]["runs"], record["runs"], "the last event has it all");
    assert_eq!([&record["over"], &record["values"]], [&json!("beta"), &json!([0.05, 0.5])], "what was swept");
    assert!(record["device"]["name"].is_string() && record["version"].is_string(), "where: {record}");
    assert_eq!(record["settings"]["max_steps"], 4, "with which settings");
    let (runs, stderr) = (record["runs"].as_array().expect("a list"), &run.stderr);
    let starts: Vec<&Value> = runs.iter().map(|run| &run["points"][0]).collect();
    assert_eq!(starts[0], starts[1], "from the same start");
    for run in runs {
        let last = run["points"].as_array().and_then(|points| points.last()).expect("points");
        assert_eq!((&last["step"], &run["ended"]["how"]), (&json!(4), &json!("done")), "{run}");
        assert!(last["kl"].as_f64().is_some_and(|kl| kl > 0.0), "it went somewhere: {run}");
        for key in ["pairs_won", "reward_accuracy", "chosen_change", "loss"] {
            assert!(last[key].is_number(), "{key}: {run}");
        }
        let why = run["why"].as_str().expect("a sentence");
        assert!(stderr.lines().any(|line| line == why), "{why} is said: {stderr}");
    }
    let command = record["command"].as_str().expect("a command");
    let words: Vec<&str> = command.split_whitespace().skip(1).collect();
    let value = record["advice"]["value"].as_f64().expect("a value");
    let same = scratch.run(&words);
    same.check(0);
    let steps = scratch.lines("out/tuned/metrics.jsonl");
    let swept = runs.iter().find(|run| run["value"] == value).expect("it was run");
    assert_eq!(steps[3]["loss"], swept["points"][4]["loss"], "train takes the same steps");
    let state = read_json(&scratch.path("out/tuned/trainer_state.json"));
    let history = state["log_history"].as_array().expect("a list");
    let evaluated = history.iter().rev().find_map(|entry| entry.get("eval_preference_accuracy")).expect("evaluated");
    assert_eq!(*evaluated, swept["points"][4]["pairs_won"], "and wins the same held-out pairs");

    let svg = String::from_utf8(scratch.bytes("out/sweep.svg")).expect("text");
    let document = roxmltree::Document::parse(&svg).expect("well-formed");
    let texts: Vec<&str> = document.descendants().filter(|n| n.is_text()).filter_map(|n| n.text()).collect();
    for word in ["beta 0.05", "beta 0.5", "Drift", "Chosen answers"] {
        assert!(texts.iter().any(|text| text.trim() == word), "{word} is not in the figure: {texts:?}");
    }
    scratch.sweep("out", &["--beta", "0.05,0.5"]).check_error("The output folder already holds a sweep (sweep.json)");
}

#[test]
fn a_learning_rate_that_breaks_the_model_is_too_high() {
    let scratch = Scratch::new("sweep-rate");
    let flags = ["--learning-rate", "1e-3,1e30", "--lr-scheduler-type", "constant", "--max-steps", "4"];
    let run = scratch.sweep("out", &[flags.as_slice(), &["--method", "orpo"]].concat());
    run.check(0);
    assert!(run.stdout.contains("learning rate 1e30 is too high: its run broke down"), "{}", run.stdout);
    let header = run.stdout.lines().next().unwrap_or_default();
    let names: Vec<&str> = header.split("  ").map(str::trim).filter(|name| !name.is_empty()).collect();
    let wanted = ["learning_rate", "held-out accuracy", "reward accuracy", "KL per token", "chosen", "loss", "seconds"];
    assert_eq!(names, wanted, "the table: {}", run.stdout);
    assert!(run.stdout.lines().any(|line| line.starts_with("0.001 ")), "a row for each value: {}", run.stdout);
}

#[test]
fn wrong_sweeps_are_refused_before_any_gpu_is_asked() {
    let scratch = Scratch::new("sweep-wrong");
    let refused = |flags: &[&str], message: &str| {
        let run = scratch.sweep("out", flags);
        run.check_error(message);
        assert!(!run.stderr.contains("GPU:"), "no GPU was opened: {}", run.stderr);
    };
    refused(&[], "Nothing differs from run to run");
    refused(&["--beta", "0.1"], "Nothing differs from run to run");
    refused(&["--beta", "0.1,0.2", "--learning-rate", "1e-5,1e-4"], "cannot both be swept");
    refused(&["--over", "learning_rate", "--beta", "0.1,0.2"], "cannot both be swept");
    refused(&["--beta", "0.1,0.2,0.10"], "beta 0.1 is given twice");
    refused(&["--beta", "0.1,-1"], "beta is -1, but must be above 0");
    refused(&["--beta", "1,2,3,4,5,6,7,8,9,10,11,12,13"], "The sweep has 13 values");
    refused(&["--over", "beta", "--method", "sft"], "which sft does not train on");
    refused(&["--over", "beta", "--eval-split", "0"], "No pairs are held out");
    scratch.sweep("out", &["--over", "gamma"]).check(2);
    scratch.sweep("out", &["--beta", "0.1,much"]).check(2);
    assert!(!scratch.path("out").exists(), "nothing was written");
}

#[cfg(unix)]
#[test]
fn ctrl_c_leaves_what_a_sweep_has_measured() {
    let scratch = Scratch::new("sweep-ctrl-c");
    let flags = ["--over", "beta", "--max-steps", "8", "--json"];
    let mut child = scratch
        .sweep_command("out", &flags)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let lines = BufReader::new(child.stdout.take().expect("stdout is piped")).lines();
    for line in lines {
        let event: Value = serde_json::from_str(&line.expect("text")).expect("one JSON object a line");
        if event["event"] == "measure" && event["step"] == 2 {
            Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill works");
        }
    }
    let output = child.wait_with_output().expect("the program ends");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{stderr}");
    let record = read_json(&scratch.path("out/sweep.json"));
    let runs = record["runs"].as_array().expect("a list");
    assert_eq!(runs.len(), 1, "one had begun: {record}");
    assert_eq!((&runs[0]["value"], &runs[0]["ended"]["how"]), (&json!(0.1), &json!("interrupted")), "the usual one");
    assert!(runs[0]["points"].as_array().is_some_and(|points| points.len() >= 2), "what was measured: {record}");
    assert_eq!(record["not_run"], json!([0.01, 0.05, 0.3, 1.0]), "and what was not");
    assert!(scratch.path("out/sweep.svg").exists(), "with a figure");
}

// Score, merge, generate, doctor.

#[test]
fn score_agrees_with_transformers() {
    for case in LLAMA {
        let scratch = Scratch::new(&format!("score-{case}"));
        let max_length = read_json(&fixture(case).join("case.json"))["train"]["max_length"].to_string();
        let scores = scratch.score(&path(case, "model"), case, &max_length, &[]);
        let expected = read_json(&fixture(case).join("expected.json"));
        let (tokens, logps) = (expected["tokens"].as_array(), expected["base_logps"].as_array());
        let (tokens, logps) = (tokens.expect("a list"), logps.expect("a list"));
        assert_eq!(scores.len(), tokens.len(), "the kept pairs");
        for ((score, tokens), logps) in scores.iter().zip(tokens).zip(logps) {
            for key in ["row", "prompt_len"] {
                assert_eq!(score[key], tokens[key], "{case}: {key}");
            }
            for side in ["chosen", "rejected"] {
                assert_eq!(score[format!("{side}_ids")], tokens[side]["input_ids"], "{case}: {side} ids");
                assert_eq!(score[format!("{side}_mask")], tokens[side]["completion_mask"], "{case}: {side} mask");
                let got = score[format!("{side}_logp")].as_f64().expect("a number");
                let want = logps[side].as_f64().expect("a number");
                assert!((got - want).abs() <= 5e-3, "{case}, row {}: {got} for {want}", score["row"]);
            }
        }
    }
}

#[test]
fn merged_model_scores_as_the_model_with_the_adapter() {
    let scratch = Scratch::new("merge");
    let (model, adapter) = (path("llama_sigmoid", "model"), path("llama_sigmoid", "adapter_final_b"));
    scratch.run(&["merge", "--model", &model, "--adapter", &adapter, "--output", "merged"]).check(0);
    for file in ["config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json"] {
        assert!(
            fs::read(Path::new(&model).join(file)).ok() == Some(scratch.bytes(&format!("merged/{file}"))),
            "{file}"
        );
    }
    let merged = scratch.score("merged", "llama_sigmoid", "128", &[]);
    let with_adapter = scratch.score(&model, "llama_sigmoid", "128", &["--adapter", &adapter]);
    let mut moved = 0.0f64;
    for (a, b) in merged.iter().zip(&with_adapter) {
        for key in ["chosen_logp", "rejected_logp"] {
            let (a, b) = (a[key].as_f64().expect("a number"), b[key].as_f64().expect("a number"));
            assert!((a - b).abs() <= 5e-3, "{key}: merged {a}, with adapter {b}");
            moved += a.abs();
        }
    }
    assert!(moved > 0.0, "there was something to compare");
    let again = scratch.run(&["merge", "--model", &model, "--adapter", &adapter, "--output", "merged"]);
    again.check_error("The output folder already holds a model");
    let onto = scratch.run(&["merge", "--model", "merged", "--adapter", &adapter, "--output", "merged"]);
    onto.check_error("The output folder is the base model's own");
}

#[test]
fn an_exported_model_scores_as_the_model_with_the_adapter() {
    let scratch = Scratch::new("export");
    let (model, adapter) = (path("llama_sigmoid", "model"), path("llama_sigmoid", "adapter_final_b"));
    let export = |more: &[&str]| {
        let mut args = vec!["export", "--model", &model];
        args.extend(more);
        scratch.run(&args)
    };
    export(&["--adapter", &adapter, "--output", "tuned.gguf", "--outtype", "f32"]).check(0);
    let exported = scratch.score("tuned.gguf", "llama_sigmoid", "128", &[]);
    let with_adapter = scratch.score(&model, "llama_sigmoid", "128", &["--adapter", &adapter]);
    for (a, b) in exported.iter().zip(&with_adapter) {
        assert_eq!(a["chosen_ids"], b["chosen_ids"], "the tokenizer came along");
        let (a, b) = (a["chosen_logp"].as_f64().expect("a number"), b["chosen_logp"].as_f64().expect("a number"));
        assert!((a - b).abs() <= 5e-3, "exported {a}, with adapter {b}");
    }
    assert!(!exported.is_empty(), "there was something to compare");
    let modelfile = String::from_utf8(scratch.bytes("tuned.Modelfile")).expect("text");
    assert!(modelfile.contains("FROM ./tuned.gguf"), "{modelfile}");

    export(&["--output", "tuned.gguf"]).check_error("The output file is there already");
    export(&["--output", "tuned.bin"]).check_error("The output is not named as a GGUF file");
    export(&["--output", "lora.gguf", "--outtype", "lora"]).check_error("There is no adapter to write");
    let lora = export(&["--adapter", &adapter, "--output", "lora.gguf", "--outtype", "lora"]);
    lora.check(0);
    assert!(lora.stdout.contains("the adapter of"), "{}", lora.stdout);
    let onto = scratch.run(&["export", "--model", "tuned.gguf", "--output", "tuned.gguf", "--overwrite"]);
    onto.check_error("The output is the base model itself");
}

#[test]
fn a_run_is_exported_to_trl() {
    let scratch = Scratch::new("export-trl");
    scratch.train("out", &["--max-steps", "1", "--beta", "0.3"]).check(0);
    let (model, pairs) = (path("llama_sigmoid", "model"), path("llama_sigmoid", "pairs.jsonl"));
    let export = |output: &str, more: &[&str]| {
        let mut args = vec!["export", "--to", "trl", "--model", &model, "--output", output];
        args.extend(more);
        scratch.run(&args)
    };
    scratch.write("more.json", r#"{"max_steps": 7, "eval_split": 0.2}"#);
    export("trl", &["out", "--data", &pairs, "--config", "more.json"]).check(0);
    let settings = read_json(&scratch.path("trl/settings.json"));
    assert_eq!(settings["trl"]["beta"], json!(0.3), "the run's");
    assert_eq!(settings["trl"]["max_steps"], json!(7), "the file's beats it");
    assert_eq!(settings["lora"]["task_type"], "CAUSAL_LM");
    let rows = [scratch.lines("trl/train.jsonl"), scratch.lines("trl/eval.jsonl")];
    assert!(rows.iter().all(|rows| !rows.is_empty()), "some are held out: {}", rows[1].len());
    assert_eq!(tensors(&scratch.path("trl/adapter")), tensors(&scratch.path("out")), "the run's adapter");
    for file in ["train.py", "requirements.txt", "README.md", "accelerate/zero3.yaml", "adapter/adapter_config.json"] {
        assert!(scratch.path("trl").join(file).is_file(), "{file} is written");
    }

    export("trl", &["out", "--data", &pairs]).check_error("The output folder is not empty");
    export("a", &["--data", &pairs]).check_error("There are no settings to export");
    export("a", &["out"]).check_error("There are no rows to export");
    export("a", &["out", "--data", &pairs, "--method", "ppo"]).check_error("TRL has had no PPO since 1.13");
    export("a", &["cache", "--data", &pairs]).check_error("The folder does not say which settings its run had");
    let gguf = scratch.run(&["export", "out", "--model", &model, "--output", "a.gguf"]);
    gguf.check_error("are not for a GGUF file");

    // Another method takes the adapter alone; a file of settings begins without a run.
    export("sft", &["out", "--data", &pairs, "--method", "sft"]).check(0);
    assert_eq!(scratch.lines("sft/train.jsonl")[0].as_object().map(|row| row.contains_key("completion")), Some(true));
    export("fresh", &["--data", &pairs, "--config", "more.json"]).check(0);
    assert!(!scratch.path("fresh/adapter").exists(), "PEFT makes the adapter");
}

#[test]
fn generate_is_decided_by_its_arguments() {
    let scratch = Scratch::new("generate");
    let model = path("llama_sigmoid", "model");
    let answer = |more: &[&str]| {
        let mut args = vec!["generate", "--model", &model, "--prompt", "List two facts", "--max-new-tokens", "8"];
        args.extend(more);
        let run = scratch.run(&args);
        run.check(0);
        run.stdout
    };
    let greedy = answer(&["--temperature", "0"]);
    let as_json = answer(&["--temperature", "0", "--seed", "1", "--json"]);
    let as_json: Value = serde_json::from_str(&as_json).expect("one object");
    assert_eq!(format!("{}\n", as_json["text"].as_str().expect("text")), greedy, "greedy has no chance in it");
    assert_eq!(as_json["prompt"], "List two facts", "the prompt");
    let adapter = path("llama_sigmoid", "adapter_final_b");
    let tuned = answer(&["--seed", "3", "--adapter", &adapter]);
    assert_eq!(tuned, answer(&["--seed", "3", "--adapter", &adapter]), "the same seed");
    assert_ne!(tuned, answer(&["--seed", "3"]), "the adapter counts");
}

#[test]
fn doctor_reports_in_json() {
    let run = Scratch::new("doctor").run(&["doctor", "--json"]);
    run.check(0);
    let report: Value = serde_json::from_str(&run.stdout).expect("one object");
    assert!(report["adapter"]["name"].is_string(), "the adapter's name: {report}");
    let kernels = report["kernels"].as_array().expect("a list");
    assert!(kernels.iter().all(|kernel| kernel["ok"] == true && kernel["name"].is_string()), "{report}");
    let checked: BTreeSet<&str> = kernels.iter().filter_map(|kernel| kernel["name"].as_str()).collect();
    let all: Vec<Kernel> = pairtune::kernels::all().collect();
    let names: BTreeSet<String> = all.iter().map(Kernel::name).collect();
    assert!(checked.iter().all(|name| names.contains(*name)), "the doctor checks kernels of the one list");
    let anywhere = || all.iter().filter(|kernel| kernel.variant.needs == Needs::NOTHING);
    // Weights in blocks are read by one variant of each operation.
    let is_block = |kernel: &&Kernel| kernel.format.and_then(|f| f.dtype).is_some_and(|dtype| dtype.block().0 > 1);
    let plain = anywhere().filter(|kernel| !is_block(kernel)).map(Kernel::name);
    let missed: Vec<String> = plain.filter(|name| !checked.contains(name.as_str())).collect();
    assert!(missed.is_empty(), "every kernel that runs everywhere is checked, but for {missed:?}");
    let of = |kernel: &Kernel| (kernel.op.name, kernel.format.map_or("", |format| format.name));
    let seen: BTreeSet<_> = all.iter().filter(|kernel| checked.contains(kernel.name().as_str())).map(of).collect();
    let unseen: Vec<_> = anywhere().filter(is_block).map(of).filter(|form| !seen.contains(form)).collect();
    assert!(unseen.is_empty(), "every operation on blocks is checked, but for {unseen:?}");
    assert!(report["fma_peak_gflops"].as_f64().is_some_and(|peak| peak > 0.0), "the peak: {report}");
    assert!(report["matmul"][0]["share"].as_f64().is_some_and(|share| share > 0.0), "the share: {report}");
}

#[test]
fn doctor_writes_every_shader_without_a_gpu() {
    let scratch = Scratch::new("shaders");
    let write = |folder: &str, more: &[&str]| {
        let args = [&["doctor", "--shaders", folder], more].concat();
        let mut command = scratch.command(&args);
        Run::of(command.env("VK_DRIVER_FILES", "/nonexistent.json").env("VK_ICD_FILENAMES", "/nonexistent.json"))
    };
    let run = write("out/shaders", &[]);
    run.check(0);
    let files = || -> BTreeMap<String, Vec<u8>> {
        let entries = fs::read_dir(scratch.path("out/shaders")).expect("the folder is made");
        let paths = entries.map(|entry| entry.expect("readable").path());
        let name = |path: &Path| path.file_name().expect("a name").to_string_lossy().into_owned();
        paths.map(|path| (name(&path), fs::read(&path).expect("readable"))).collect()
    };
    let first = files();
    let kernels: Vec<Kernel> = pairtune::kernels::all().collect();
    let wanted: BTreeMap<String, _> =
        kernels.iter().map(|kernel| (format!("{}.wgsl", kernel.name()), kernel)).collect();
    assert_eq!(first.keys().collect::<Vec<_>>(), wanted.keys().collect::<Vec<_>>(), "one file for each kernel");
    assert_eq!(wanted.len(), kernels.len(), "no two kernels are written to one file");
    assert!(wanted.contains_key("matmul_forward.subgroup.bf16.wgsl") && wanted.contains_key("rope.wgsl"), "the names");
    assert_eq!(run.stdout, format!("{} shaders are in out/shaders\n", kernels.len()), "it says how many");
    for (name, kernel) in &wanted {
        let text = String::from_utf8(first[name].clone()).expect("text");
        let (needs, wgsl) = text.split_once('\n').expect("a line of needs");
        // Validation below fails if the text uses what it does not say it needs.
        let Needs { subgroups, f16, matrices } = kernel.variant.needs;
        let uses = ["subgroupBroadcast", "subgroupShuffle", "subgroup_id"].into_iter().any(|word| wgsl.contains(word));
        assert!(!subgroups || uses, "{name}");
        let all = [(subgroups, "subgroups"), (f16, "shader-f16"), (matrices > 0, "wgpu-cooperative-matrix")];
        let said = all.into_iter().filter(|n| n.0).map(|n| n.1);
        let said = said.collect::<Vec<_>>().join(", ");
        assert_eq!(needs, format!("// needs: {}", if said.is_empty() { "nothing" } else { &said }), "{name}");
        assert!(wgsl == kernel.source(false), "{name} is the text that is compiled");
        let module = wgpu::naga::front::wgsl::parse_str(&text).unwrap_or_else(|e| panic!("{name}: {e}"));
        let needed = [
            (subgroups, Capabilities::SUBGROUP),
            (f16, Capabilities::SHADER_FLOAT16),
            (matrices > 0, Capabilities::COOPERATIVE_MATRIX),
        ];
        let needed: Capabilities = needed.into_iter().filter(|needed| needed.0).map(|needed| needed.1).collect();
        let capabilities = Capabilities::SHADER_FLOAT16_IN_FLOAT32 | needed;
        let mut validator = Validator::new(ValidationFlags::all(), capabilities);
        validator.subgroup_stages(ShaderStages::COMPUTE).subgroup_operations(SubgroupOperationSet::all());
        validator.validate(&module).unwrap_or_else(|e| panic!("{name}: {e}"));
    }

    // Again, over what is there; what is not a shader of ours stays.
    scratch.write("out/shaders/rope.wgsl", "of another version");
    scratch.write("out/shaders/notes.txt", "a person's own");
    let run = write("out/shaders", &["--json"]);
    run.check(0);
    let report: Value = serde_json::from_str(&run.stdout).expect("one object");
    assert_eq!(report["shaders"].as_array().map(Vec::len), Some(kernels.len()), "each is named: {report}");
    let mut second = files();
    assert_eq!(second.remove("notes.txt").as_deref(), Some(&b"a person's own"[..]), "it is not ours");
    assert!(second == first, "the same files");

    write("out/shaders/rope.wgsl", &[]).check_error("Could not create it");
    write("out/shaders/rope.wgsl/deeper", &[]).check_error("Could not create it");
}

// Bad input: every message says what was found.

#[test]
fn bad_models_are_refused_before_any_gpu_is_asked() {
    let scratch = Scratch::new("bad-models");
    let pairs = path("llama_sigmoid", "pairs.jsonl");
    let check = |model: &str, message: &str| {
        let run = scratch.run(&["score", "--model", model, "--pairs", &pairs, "--output", "scores.jsonl"]);
        run.check_error(message);
        assert!(!run.stderr.contains("GPU:"), "no GPU was opened: {}", run.stderr);
        assert!(!scratch.path("scores.jsonl").exists(), "nothing was written");
    };
    check("nowhere", "Could not open it: No such file");
    check(&pairs, "This is a file, but a folder is needed");
    check(&path("llama_sigmoid", "adapter_init"), "This is an adapter");

    let weights = fs::read(fixture("llama_sigmoid").join("model/model.safetensors")).expect("readable");
    let model = |name: &str| scratch.copy_model(name);
    scratch.write(&format!("{}/model.safetensors", model("cut")), &weights[..weights.len() - 100]);
    check("cut", "damaged or cut off");
    scratch.write(&format!("{}/model.safetensors", model("header")), [&[0xff; 4], &weights[4..]].concat());
    check("header", "The header claims 4294967295 bytes");
    scratch.write(&format!("{}/model.safetensors", model("gguf")), b"GGUF\x03\0\0\0\0\0\0\0\0\0\0\0");
    check("gguf", "This is a GGUF file");
    fs::remove_file(scratch.path(&format!("{}/model.safetensors", model("gguf-folder")))).expect("removable");
    scratch.write("gguf-folder/model.gguf", b"GGUF");
    check("gguf-folder", "The file is damaged or cut off");

    let edit = |name: &str, key: &str, value: Value| {
        let file = format!("{}/config.json", model(name));
        let mut config = read_json(&scratch.path(&file));
        config[key] = value;
        scratch.write(&file, config.to_string());
    };
    edit("other-type", "model_type", json!("mamba"));
    check("other-type", "mamba");
    edit("small-vocab", "vocab_size", json!(100));
    check("small-vocab", "but the model has 100 rows (vocab_size)");
    edit("wide", "intermediate_size", json!(148));
    check("wide", "but config.json asks for");
    edit("deep", "num_hidden_layers", json!(9));
    check("deep", "model.layers.3.");
    fs::remove_file(scratch.path(&format!("{}/tokenizer.json", model("no-tokenizer")))).expect("removable");
    check("no-tokenizer", "The folder has no tokenizer.json");
}

#[test]
fn hostile_sizes_stall_no_command() {
    let scratch = Scratch::new("hostile");
    let pairs = path("llama_sigmoid", "pairs.jsonl");
    scratch.copy_model("model");
    let refused = |command: &str, more: &[&str], message: &str| {
        let mut args = vec![command, "--model", "model", "--pairs", &pairs, "--output", "out"];
        args.extend(more);
        let run = Run::within(&mut scratch.command(&args), Duration::from_secs(10));
        run.check_error(message);
        assert!(!run.stderr.contains("load ..."), "no weight was read: {}", run.stderr);
        assert!(!scratch.path("out").exists(), "nothing was written");
    };
    let config = read_json(&scratch.path("model/config.json"));
    for (key, value, message) in [
        ("num_hidden_layers", 4_000_000_000_u64, "4000000000 is not a positive whole number below 2^31"),
        ("num_hidden_layers", 2_000_000_000, "config.json has 2000000000 layers (num_hidden_layers), but the weights"),
        ("hidden_size", 4_000_000_000, "4000000000 is not a positive"),
        ("hidden_size", 2_000_000_000, "but config.json asks for"),
        ("intermediate_size", 2_000_000_000, "but config.json asks for"),
        ("vocab_size", 2_000_000_000, "but config.json asks for"),
        ("num_attention_heads", 1_000_000_000, "heads of 16 columns are 2^31 columns or more"),
        ("num_key_value_heads", u64::MAX, "is not a positive whole number"),
        ("head_dim", 2_000_000_000, "columns are 2^31 columns or more"),
        ("head_dim", 1_000_000, "but config.json asks for"),
        ("max_position_embeddings", 4_000_000_000, "4000000000 is not a positive"),
    ] {
        let mut config = config.clone();
        config[key] = json!(value);
        scratch.write("model/config.json", config.to_string());
        refused("score", &[], message);
        refused("train", &["--max-steps", "1"], message);
    }
    scratch.write("model/config.json", config.to_string());

    // An adapter whose config claims more than its matrices have.
    let adapter = scratch.path("adapter");
    fs::create_dir(&adapter).expect("a new folder");
    for file in ["adapter_config.json", "adapter_model.safetensors"] {
        fs::copy(fixture("llama_sigmoid").join("adapter_init").join(file), adapter.join(file)).expect("a copy");
    }
    let settings = read_json(&adapter.join("adapter_config.json"));
    for (r, message) in [(4_000_000_000_u64, "r is 4000000000"), (65_535, "does not fit the rank 65535")] {
        let mut settings = settings.clone();
        settings["r"] = json!(r);
        scratch.write("adapter/adapter_config.json", settings.to_string());
        refused("score", &["--adapter", "adapter"], message);
        refused("train", &["--adapter", "adapter"], message);
    }

    // Sizes that nothing here grows with: the answer is the one of the model as it was.
    let mut config = config.clone();
    config["max_position_embeddings"] = json!(2_147_483_644);
    scratch.write("model/config.json", config.to_string());
    let mut tokenizer = read_json(&scratch.path("model/tokenizer.json"));
    tokenizer["padding"] = json!({
        "strategy": {"Fixed": 4_000_000_000_u64}, "direction": "Right", "pad_to_multiple_of": 1_000_000_000,
        "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]",
    });
    tokenizer["truncation"] =
        json!({"direction": "Right", "max_length": 4_000_000_000_u64, "strategy": "LongestFirst", "stride": 3});
    scratch.write("model/tokenizer.json", tokenizer.to_string());
    let mut settings = read_json(&scratch.path("model/tokenizer_config.json"));
    settings["model_max_length"] = json!(1e30);
    scratch.write("model/tokenizer_config.json", settings.to_string());
    let generation = json!({"max_length": u64::MAX, "max_new_tokens": u64::MAX, "eos_token_id": [u64::MAX, 4e18]});
    scratch.write("model/generation_config.json", generation.to_string());
    let original = path("llama_sigmoid", "model");
    let [want, got] = [original.as_str(), "model"].map(|model| {
        let args = ["generate", "--model", model, "--prompt", "List", "--max-new-tokens", "4", "--temperature", "0"];
        let run = Run::within(&mut scratch.command(&args), Duration::from_secs(60));
        run.check(0);
        run.stdout
    });
    assert_eq!(got, want, "claims of the files change nothing");
}

#[test]
fn bad_pairs_are_refused_or_reported_by_line() {
    let scratch = Scratch::new("bad-pairs");
    let model = path("llama_sigmoid", "model");
    let score = |pairs: &str, more: &[&str]| {
        let mut args = vec!["score", "--model", &model, "--pairs", pairs, "--output", "scores.jsonl"];
        args.extend(more);
        scratch.run(&args)
    };
    score("nowhere.jsonl", &[]).check_error("No such file");
    scratch.write("empty.jsonl", "");
    score("empty.jsonl", &[]).check_error("The file has no pairs");
    scratch.write("all-bad.jsonl", "{\"prompt\": 1}\n[]\n");
    score("all-bad.jsonl", &[]).check_error("None of the 2 rows can be used");
    let pairs = fs::read_to_string(path("llama_sigmoid", "pairs.jsonl")).expect("readable");
    let lines: Vec<&str> = pairs.lines().collect();
    // These two prompts have 128 tokens or more.
    scratch.write("long.jsonl", format!("{}\n{}\n", lines[34], lines[36]));
    score("long.jsonl", &["--max-length", "128"]).check_error("None of the 2 pairs can be trained on");

    scratch.write("one-bad.jsonl", format!("{}\n{{\"prompt\": \"cut of\n{}\n{}\n", lines[0], lines[1], lines[2]));
    let run = score("one-bad.jsonl", &[]);
    run.check(0);
    assert!(run.stderr.contains("Line 2:"), "the line is named: {}", run.stderr);
    assert_eq!(run.stdout, "pairs scored: 3; malformed: 1 (lines 2)\n", "the summary");
    let rows: Vec<Value> = scratch.lines("scores.jsonl").iter().map(|score| score["row"].clone()).collect();
    assert_eq!(rows, [0, 2, 3], "the others are scored");

    scratch.write("other.csv", "instruction,accepted,worse\nSay hello,Hello there,No\n");
    let run = score("other.csv", &[]);
    run.check_error("\"chosen\" or \"rejected\" is missing");
    assert!(run.stderr.contains("columns prompt=instruction,chosen=accepted"), "the guess: {}", run.stderr);
    score("other.csv", &["--columns", "prompt=instruction,chosen=accepted,rejected=worse"]).check(0);
    score("other.csv", &["--columns", "chosen=accepted"]).check(2);
}

#[test]
fn bad_settings_and_devices_are_refused() {
    let scratch = Scratch::new("bad-settings");
    scratch.write("config.json", "{\"learning_rat\": 1e-4}");
    scratch.train("out", &["--config", "config.json"]).check_usage("Did you mean \"learning_rate\"");
    scratch.write("config.json", "[1]");
    scratch.train("out", &["--config", "config.json"]).check_error("This is not a JSON object");
    scratch.train("out", &["--beta", "-1"]).check(2);
    scratch.train("out", &["--beta=-1"]).check_error("beta is -1, but must be above 0");
    scratch.train("out", &["--target-modules", "c_attn"]).check_error("target_modules names \"c_attn\"");
    let adapter = path("llama_sigmoid", "adapter_init");
    let run = scratch.train("out", &["--adapter", &adapter, "--r", "3"]);
    run.check_error("r differs from that of the adapter the run starts from");

    let run = scratch.train("out", &["--adapter-name", "no such card"]);
    run.check_error("No adapter's name contains \"no such card\"");
    let mut command = scratch.command(&["doctor"]);
    Run::of(command.env("PAIRTUNE_ADAPTER", "other card")).check_error("No adapter's name contains \"other card\"");
    let run = scratch.train("out", &["--memory-limit", "0.001"]);
    run.check_error("The run needs about ");
    assert!(run.stderr.contains("but the device has 2 MiB (weights 1 MiB"), "the sizes: {}", run.stderr);
    assert!(!run.stderr.contains("load ..."), "no weight was read: {}", run.stderr);
    assert!(!scratch.path("out").exists(), "nothing was written");
}

#[cfg(target_os = "linux")]
#[test]
fn machine_without_gpu_is_told_what_to_install() {
    let scratch = Scratch::new("no-gpu");
    let mut command = scratch.command(&["doctor"]);
    command.env("VK_DRIVER_FILES", "/nonexistent.json").env("VK_ICD_FILENAMES", "/nonexistent.json");
    command.env_remove("PAIRTUNE_ADAPTER");
    Run::of(&mut command).check_error("mesa-vulkan-drivers");
}

#[test]
fn model_with_nan_is_refused_before_training() {
    let scratch = Scratch::new("nan");
    let mut weights = fs::read(fixture("llama_sigmoid").join("model/model.safetensors")).expect("readable");
    let end = weights.len();
    weights[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    scratch.write(&format!("{}/model.safetensors", scratch.copy_model("nan")), &weights);
    let pairs = path("llama_sigmoid", "pairs.jsonl");
    let run = scratch.run(&["train", "--model", "nan", "--pairs", &pairs, "--output", "out"]);
    run.check_error("not finite, before any training");
    assert!(!scratch.path("out/adapter_model.safetensors").exists(), "no adapter is written");
}

// Shared by the tests.

/// Result of a run of the program.
struct Run {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Run {
    fn of(command: &mut Command) -> Self {
        let output = command.output().expect("the program starts");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        Self { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// A run that must end by itself within this time; the little it says fits its pipes.
    #[track_caller]
    fn within(command: &mut Command, limit: Duration) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
        let began = Instant::now();
        while child.try_wait().expect("the program can be waited for").is_none() {
            if began.elapsed() > limit {
                child.kill().expect("the program can be ended");
                panic!("it was still running after {limit:?}: {command:?}");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let output = child.wait_with_output().expect("the program has ended");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        Self { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    #[track_caller]
    fn check(&self, code: i32) {
        assert_eq!(self.code, Some(code), "stdout: {}\nstderr: {}", self.stdout, self.stderr);
    }

    /// The program failed with a message that contains this, and did not panic.
    #[track_caller]
    fn check_error(&self, message: &str) {
        self.check(1);
        self.says(message);
    }

    /// It ended as it does for an unknown flag, with a message that contains this.
    #[track_caller]
    fn check_usage(&self, message: &str) {
        self.check(2);
        self.says(message);
    }

    #[track_caller]
    fn says(&self, message: &str) {
        let found = self.stderr.lines().any(|line| line.starts_with("error: ") && line.contains(message));
        assert!(found && !self.stderr.contains("panicked"), "{message:?} is not in: {}", self.stderr);
    }
}

/// A folder of one test, taken away when it ends well.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cli").join(name);
        if folder.exists() {
            fs::remove_dir_all(&folder).expect("the last run's folder is removable");
        }
        fs::create_dir_all(&folder).expect("the folder is new");
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.path(name), bytes).expect("writable");
    }

    #[track_caller]
    fn bytes(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    #[track_caller]
    fn lines(&self, name: &str) -> Vec<Value> {
        let text = String::from_utf8(self.bytes(name)).expect("text");
        text.lines().map(|line| serde_json::from_str(line).expect("one JSON object a line")).collect()
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pairtune"));
        command.args(args).current_dir(&self.0).env("XDG_CACHE_HOME", self.path("cache"));
        // Mesa compiles each kernel once for all tests, not once per folder.
        command.env("MESA_SHADER_CACHE_DIR", Path::new(env!("CARGO_TARGET_TMPDIR")).join("kernels"));
        command
    }

    fn run(&self, args: &[&str]) -> Run {
        Run::of(&mut self.command(args))
    }

    /// A short training run of the first golden model.
    fn train(&self, output: &str, more: &[&str]) -> Run {
        let (model, pairs) = (path("llama_sigmoid", "model"), path("llama_sigmoid", "pairs.jsonl"));
        let mut args = vec!["train", "--model", &model, "--pairs", &pairs, "--output", output];
        // A resumed run has its settings from its checkpoint.
        if !more.contains(&"--resume") {
            args.extend(["--max-length", "128", "--gradient-accumulation-steps", "1", "--warmup-steps", "0"]);
        }
        args.extend(more);
        self.run(&args)
    }

    /// A short sweep on it.
    fn sweep_command(&self, output: &str, more: &[&str]) -> Command {
        let (model, pairs) = (path("llama_sigmoid", "model"), path("llama_sigmoid", "pairs.jsonl"));
        let mut args = vec!["sweep", "--model", &model, "--data", &pairs, "--output", output, "--max-length", "128"];
        args.extend(["--gradient-accumulation-steps", "1", "--warmup-steps", "0"]);
        args.extend(more);
        self.command(&args)
    }

    fn sweep(&self, output: &str, more: &[&str]) -> Run {
        Run::of(&mut self.sweep_command(output, more))
    }

    #[track_caller]
    fn score(&self, model: &str, case: &str, max_length: &str, more: &[&str]) -> Vec<Value> {
        let pairs = path(case, "pairs.jsonl");
        let mut args = vec!["score", "--model", model, "--pairs", &pairs, "--max-length", max_length];
        args.extend(["--output", "scores.jsonl"]);
        args.extend(more);
        self.run(&args).check(0);
        self.lines("scores.jsonl")
    }

    /// A copy of the first golden model, to be damaged; returns its name.
    fn copy_model(&self, name: &str) -> String {
        fs::create_dir(self.path(name)).expect("a new folder");
        for entry in fs::read_dir(fixture("llama_sigmoid").join("model")).expect("readable") {
            let file = entry.expect("readable").path();
            let to = self.path(name).join(file.file_name().expect("a file"));
            fs::copy(&file, to).expect("a copy");
        }
        name.to_owned()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            drop(fs::remove_dir_all(&self.0));
        }
    }
}

fn fixture(case: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(case)
}

fn path(case: &str, name: &str) -> String {
    fixture(case).join(name).display().to_string()
}

#[track_caller]
fn read_json(path: &Path) -> Value {
    let bytes = fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    Value::Object(serde_json::from_slice::<Map<String, Value>>(&bytes).expect("a JSON object"))
}

#[track_caller]
fn tensors(folder: &Path) -> BTreeMap<String, Tensor> {
    let bytes = fs::read(folder.join("adapter_model.safetensors")).expect("there is an adapter");
    parse("adapter_model.safetensors", &bytes).expect("and it is whole")
}

fn first_pairs(n: usize) -> String {
    let text = fs::read_to_string(fixture("llama_sigmoid").join("pairs.jsonl")).expect("readable");
    text.lines().take(n).map(|line| format!("{line}\n")).collect()
}

fn temporary_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("readable").map(|entry| entry.expect("readable").path());
    entries.filter(|path| path.extension().is_some_and(|end| end == "tmp")).collect()
}
