//! The tokens of every method against those of TRL (`tests/fixtures/oracle2`), rows left out among them.

use std::collections::BTreeSet;

use pairtune::data::{
    Chat, DropReason, Example, Examples, Kind, KtoRules, Record, Sample, SftRules, Tokenizer, first_columns,
    read_pairs, tokenize, tokenize_kto, tokenize_orpo, tokenize_prompts, tokenize_reward, tokenize_sft,
};
use serde_json::{Value, json};

use super::kinds::samples;
use super::{check_message, read, read_json, size, tokenizer};

const CASES: &str = "oracle2";

/// Each run of a case, with the tokens and the dropped rows that it should have.
fn each_run(case: &str, check: impl Fn(&str, &Value) -> Examples, shown: fn(&Example, &Value) -> Value) {
    let case = format!("{CASES}/{case}");
    let (settings, expected) = (read_json(&case, "case.json"), read_json(&case, "expected.json"));
    let runs = settings["runs"].as_object().expect("there are runs");
    assert!(!runs.is_empty(), "{case}: there are runs");
    for (name, run) in runs {
        let got = check(run["data"].as_str().expect("a file"), &run["config"]);
        let wanted = &expected["runs"][name];
        let tokens = wanted.get("tokens").unwrap_or(&expected["tokens"]).as_array().expect("tokens");
        assert_eq!(got.examples.len(), tokens.len(), "{case}, {name}: rows");
        for (example, tokens) in got.examples.iter().zip(tokens) {
            assert_eq!(shown(example, tokens), *tokens, "{case}, {name}: row {}", example.row);
        }
        let mut dropped: Vec<usize> = got.dropped.iter().map(|row| row.row).collect();
        dropped.sort_unstable();
        dropped.dedup();
        assert_eq!(json!(dropped), wanted["dropped_rows"], "{case}, {name}: dropped rows");
    }
}

fn pairs(case: &str, file: &str) -> Vec<Record> {
    let (records, errors) = read_pairs(&read(&format!("{CASES}/{case}"), file), file).expect("pairs");
    assert!(errors.is_empty(), "{errors:?}");
    records
}

fn model(case: &str) -> Tokenizer {
    tokenizer(&format!("{CASES}/{case}"))
}

fn side(example: &Example, at: usize) -> Value {
    let mask: Vec<u8> = (0..example.sequences[at].len()).map(|i| u8::from(i >= example.starts[at])).collect();
    json!({"input_ids": example.sequences[at], "completion_mask": mask})
}

fn both_sides(example: &Example, _: &Value) -> Value {
    json!({"row": example.row, "chosen": side(example, 0), "rejected": side(example, 1)})
}

#[test]
fn fine_tuning_has_the_tokens_and_labels_of_trl() {
    for case in ["sft_prompt_completion", "sft_chat"] {
        let tokens = |file: &str, config: &Value| {
            let samples = samples(&read(&format!("{CASES}/{case}"), file), None);
            tokenize_sft(&samples, &model(case), &sft_rules(config)).expect("tokens")
        };
        each_run(case, tokens, labelled);
    }
}

fn sft_rules(config: &Value) -> SftRules {
    SftRules {
        completion_only_loss: config["completion_only_loss"].as_bool(),
        assistant_only_loss: config["assistant_only_loss"] == true,
        max_length: size(&config["max_length"]),
    }
}

fn labelled(example: &Example, _: &Value) -> Value {
    let n = example.sequences[0].len();
    let labels = example.labels.clone().unwrap_or_else(|| vec![true; n]);
    assert!(example.sequences.len() == 1 && example.starts == [0], "one sequence");
    assert!(example.untruncated[0] >= n && labels.len() == n, "one label for each token");
    let mask: Vec<u8> = labels.into_iter().map(u8::from).collect();
    json!({"row": example.row, "input_ids": example.sequences[0], "loss_mask": mask})
}

#[test]
fn pairs_for_dpo_are_examples_too() {
    let tokens = |file: &str, config: &Value| {
        let max_length = size(&config["max_length"]);
        let tokens = tokenize(&pairs("dpo_losses", file), &model("dpo_losses"), max_length).expect("tokens");
        Examples { examples: tokens.pairs.into_iter().map(Example::from).collect(), dropped: tokens.dropped }
    };
    each_run("dpo_losses", tokens, |example, _| {
        let mut shown = both_sides(example, &Value::Null);
        shown["prompt_len"] = json!(example.starts[0]);
        shown["untruncated_len"] = json!({"chosen": example.untruncated[0], "rejected": example.untruncated[1]});
        shown
    });
}

#[test]
fn reward_models_have_the_tokens_of_trl_and_their_margins() {
    for case in ["reward_lora", "reward_pad_is_eos"] {
        let tokens = |file: &str, config: &Value| {
            let records = pairs(case, file);
            let got = tokenize_reward(&records, &model(case), size(&config["max_length"])).expect("tokens");
            for example in &got.examples {
                let margin = records[example.row].margin;
                assert_eq!(margin.is_some(), file == "margin.jsonl", "a margin where the file has one");
                assert_eq!(example.value, margin.unwrap_or(0.0), "row {}", example.row);
            }
            assert!(got.dropped.iter().all(|row| row.reason == DropReason::TooLong), "{:?}", got.dropped);
            got
        };
        each_run(case, tokens, without_masks);
    }
}

fn without_masks(example: &Example, _: &Value) -> Value {
    let ids = |at: usize| json!({"input_ids": example.sequences[at]});
    json!({"row": example.row, "chosen": ids(0), "rejected": ids(1)})
}

#[test]
fn thumbs_have_the_tokens_of_trl_with_another_rows_answer() {
    let tokens = |file: &str, config: &Value| {
        let samples = match file {
            "pairs.jsonl" => Sample::apart(&pairs("kto", file)),
            _ => samples(&read(&format!("{CASES}/kto"), file), None),
        };
        let rules = KtoRules {
            max_length: size(&config["max_length"]),
            batch_size: size(&config["per_device_train_batch_size"]),
            mismatched: config["loss_type"] == "kto",
        };
        tokenize_kto(&samples, &model("kto"), &rules).expect("tokens")
    };
    each_run("kto", tokens, judged);
}

fn judged(example: &Example, wanted: &Value) -> Value {
    let label = example.value == 1.0;
    if let (Some(n), [own, other]) = (wanted.get("n"), &example.sequences[..]) {
        assert!(n.is_number(), "only the order is told");
        return json!({"row": example.row, "label": label, "n": own.len(), "n_kl": other.len()});
    }
    let mut shown = side(example, 0);
    (shown["row"], shown["label"]) = (json!(example.row), json!(label));
    if example.sequences.len() > 1 {
        shown["kl"] = side(example, 1);
    }
    shown
}

#[test]
fn rows_that_are_hard_to_tokenise_have_the_tokens_of_trl_too() {
    // Made by TRL's trainers themselves: `tests/fixtures/methods/make.py`.
    let runs = read("methods", "expected.jsonl");
    let runs = serde_json::Deserializer::from_slice(&runs).into_iter::<Value>();
    let mut methods = BTreeSet::new();
    for run in runs.map(|run| run.expect("JSON")) {
        let word = |key: &str| run[key].as_str().unwrap_or_default();
        let (method, file) = (word("method"), format!("{}.jsonl", word("rows")));
        let what = format!("{method}, {file}, {}", word("template"));
        let own = tokenizer(word("model"));
        let template = |name: &str| String::from_utf8(read(".", name)).expect("UTF-8");
        let template = run["template"].as_str().map(template);
        let tokenizer = own.with_chat(Chat { template, ..Chat::default() }).expect("it compiles");
        let (rows, max_length) = (read("methods", &file), size(&run["max_length"]));
        let pairs = || read_pairs(&rows, &file).expect("pairs").0;
        let shown: fn(&Example, &Value) -> Value;
        let got = match method {
            "sft" => {
                shown = labelled;
                tokenize_sft(&samples(&rows, None), &tokenizer, &sft_rules(&run))
            }
            "reward" => {
                shown = without_masks;
                tokenize_reward(&pairs(), &tokenizer, max_length)
            }
            "kto" => {
                shown = judged;
                let mismatched = run["loss_type"] != "apo_zero_unpaired";
                let rules = KtoRules { max_length, batch_size: size(&run["batch"]), mismatched };
                let is_pairs = Kind::of(&first_columns(&file, &rows)) == Some(Kind::Pairs);
                let samples = if is_pairs { Sample::apart(&pairs()) } else { samples(&rows, None) };
                tokenize_kto(&samples, &tokenizer, &rules)
            }
            _ => {
                shown = both_sides;
                tokenize_orpo(&pairs(), &tokenizer, max_length)
            }
        };
        let got = got.expect(&what);
        let wanted = run["tokens"].as_array().expect("tokens");
        assert_eq!(got.examples.len(), wanted.len(), "{what}: rows; left out: {:?}", got.dropped);
        for (example, tokens) in got.examples.iter().zip(wanted) {
            assert_eq!(shown(example, tokens), *tokens, "{what}: row {}", example.row);
        }
        let dropped: BTreeSet<usize> = got.dropped.iter().map(|row| row.row).collect();
        assert_eq!(json!(dropped), run["dropped_rows"], "{what}: dropped rows");
        methods.insert(method.to_owned());
    }
    assert_eq!(methods.into_iter().collect::<Vec<_>>(), ["cpo", "kto", "orpo", "reward", "sft"]);
}

#[test]
fn orpo_and_simpo_have_the_tokens_of_trls_older_trainers() {
    for case in ["orpo", "simpo"] {
        let tokens = |file: &str, config: &Value| {
            tokenize_orpo(&pairs(case, file), &model(case), size(&config["max_length"])).expect("tokens")
        };
        each_run(case, tokens, both_sides);
    }
}

#[test]
fn prompts_have_the_tokens_that_answers_were_written_to() {
    for case in ["grpo_replay", "rloo_replay", "ppo_replay"] {
        let folder = format!("{CASES}/{case}");
        let prompts = samples(&read(&folder, "prompts.jsonl"), Some(Kind::Prompts));
        let got = tokenize_prompts(&prompts, &model(case)).expect("tokens");
        assert_eq!((got.examples.len(), got.dropped.len()), (prompts.len(), 0), "{case}: all are kept");
        let rollouts = read(&folder, "rollouts.jsonl");
        let rollouts = serde_json::Deserializer::from_slice(&rollouts).into_iter::<Value>();
        let mut seen = 0;
        for rollout in rollouts.map(|rollout| rollout.expect("JSON")) {
            let is_it = |example: &&Example| match rollout.get("prompt_row") {
                Some(row) => json!(example.row) == *row,
                None => json!(example.sequences[0]) == rollout["prompt_ids"],
            };
            let example = got.examples.iter().find(is_it).expect("its prompt");
            assert_eq!(json!(example.sequences[0]), rollout["prompt_ids"], "{case}: row {}", example.row);
            assert_eq!(example.starts, [example.sequences[0].len()], "the answer comes behind it");
            seen += 1;
        }
        assert!(seen > 10, "{case}: {seen} rollouts");
    }
}

#[test]
fn pairs_serve_other_methods() {
    let records = pairs("kto", "pairs.jsonl");
    let samples: Vec<Sample> = records.iter().map(Sample::chosen_of).collect();
    let rules = SftRules { completion_only_loss: None, assistant_only_loss: false, max_length: 512 };
    let tokenizer = model("kto");
    let learnt = tokenize_sft(&samples, &tokenizer, &rules).expect("tokens");
    let pairs = tokenize(&records, &tokenizer, 512).expect("tokens").pairs;
    for (example, pair) in learnt.examples.iter().zip(&pairs) {
        assert_eq!((example.row, &example.sequences[0]), (pair.row, &pair.chosen), "the preferred answer");
    }
    let prompts: Vec<Sample> = records.iter().map(Sample::prompt_of).collect();
    let prompts = tokenize_prompts(&prompts, &tokenizer).expect("tokens").examples;
    assert!(prompts.iter().all(|prompt| prompt.labels.is_none() && prompt.sequences.len() == 1), "one each");
    assert_eq!((learnt.examples.len(), prompts.len()), (records.len(), records.len()), "all of them");

    let thumbs = Sample::apart(&records[..3]);
    let learnt = tokenize_sft(&thumbs, &tokenizer, &rules).expect("tokens");
    assert_eq!(learnt.examples.iter().map(|row| row.row).collect::<Vec<_>>(), [0, 1, 2], "those that are wanted");
    assert!(learnt.dropped.iter().all(|row| row.reason == DropReason::Unwanted), "{:?}", learnt.dropped);
}

#[test]
fn what_a_method_cannot_use_is_told() {
    let tokenizer = model("simpo");
    let record = |text: Value| read_pairs(text.to_string().as_bytes(), "x").expect("a pair").0;
    // "ir" and "s" are one token each, "irst" is one: TRL finds no boundary between them.
    let merged = record(json!({"prompt": "irs", "chosen": "t", "rejected": "!"}));
    let error = tokenize_orpo(&merged, &tokenizer, 64).expect_err("no boundary");
    check_message(&error, &["The only pair cannot be trained on", "tokens change where an answer follows"]);
    let long = record(json!({"prompt": "a b c d e f g h", "chosen": "i", "rejected": "j"}));
    let error = tokenize_orpo(&long, &tokenizer, 4).expect_err("too long");
    check_message(&error, &["max length (4 tokens)", "in 1 pair;", "Raise max length"]);
    let error = tokenize_reward(&long, &tokenizer, 4).expect_err("too long");
    check_message(&error, &["max length (4 tokens) is too short for 1 pair"]);

    let lines =
        "{\"chosen\": \"a\", \"rejected\": \"b\", \"margin\": \"0.5\"}\n{\"chosen\": \"c\", \"rejected\": \"d\"}";
    let (some, _) = read_pairs(lines.as_bytes(), "x").expect("pairs");
    assert_eq!((some[0].margin, some[1].margin), (Some(0.5), None), "a number as text is one");
    assert_eq!(some[0].to_json()["margin"], json!(0.5), "and is kept");
    check_message(&tokenize_reward(&some, &tokenizer, 64).expect_err("one has none"), &["a margin", "line 2"]);

    let rules = SftRules { completion_only_loss: None, assistant_only_loss: false, max_length: 4 };
    let alone = samples(b"{\"prompt\": \"a\"}", None);
    check_message(&tokenize_sft(&alone, &tokenizer, &rules).expect_err("no answer"), &["\"completion\"", "line 1"]);
    let answers = samples(b"{\"prompt\": \"a b c d e f g\", \"completion\": \"h\"}", None);
    check_message(
        &tokenize_sft(&answers, &tokenizer, &rules).expect_err("too long"),
        &["The only example cannot be trained on"],
    );
    let kto = KtoRules { max_length: 64, batch_size: 2, mismatched: true };
    check_message(&tokenize_kto(&answers, &tokenizer, &kto).expect_err("no verdict"), &["no verdict", "\"label\""]);

    let text = samples(b"{\"text\": \"a\"}", None);
    check_message(
        &tokenize_prompts(&text, &tokenizer).map(|_| ()).err().unwrap_or(pairtune::Error::Cancelled),
        &["The only prompt cannot be trained on"],
    );
}
