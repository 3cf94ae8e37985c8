//! The tokens of every method against those of TRL (`tests/fixtures/oracle2`), rows left out among them.

use std::collections::BTreeSet;

use pairtune::data::{
    Chat, DropReason, Example, Examples, Fields, Kind, KtoRules, Method, Record, Sample, SampleReader, SftRules,
    Tokenizer, first_columns, read_pairs, tokenize, tokenize_kto, tokenize_orpo, tokenize_prompts, tokenize_reward,
    tokenize_sft,
};
use serde_json::{Value, json};

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

/// The rows of a file as the kind that its columns say, or that is asked for.
fn samples(bytes: &[u8], kind: Option<Kind>) -> Vec<Sample> {
    let (samples, errors) = all_samples("x.jsonl", bytes, kind);
    assert!(errors.is_empty(), "{errors:?}");
    samples
}

fn all_samples(name: &str, bytes: &[u8], kind: Option<Kind>) -> (Vec<Sample>, Vec<pairtune::data::LineError>) {
    let fields = Fields::guess(&first_columns(name, bytes));
    let kind = kind.or(fields.kind()).expect("a kind");
    let mut reader = SampleReader::new(name, kind, &fields);
    reader.push(bytes).expect("text");
    reader.end().expect("an end");
    reader.into_rows()
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
fn each_column_tells_what_a_file_is_and_what_it_serves() {
    let strings = |columns: &[&str]| columns.iter().map(|&column| column.to_owned()).collect::<Vec<String>>();
    for (columns, kind) in [
        (&["prompt", "chosen", "rejected", "margin"][..], Some(Kind::Pairs)),
        (&["question", "output", "rejected"], Some(Kind::Pairs)),
        (&["prompt", "completion"], Some(Kind::Completions)),
        (&["prompt", "prompt_id", "messages"], Some(Kind::Completions)),
        (&["conversations", "id"], Some(Kind::Completions)),
        (&["instruction", "input", "output"], Some(Kind::Completions)),
        (&["text"], Some(Kind::Completions)),
        (&["text", "label"], Some(Kind::Completions)),
        (&["prompt", "completion", "label"], Some(Kind::Labelled)),
        (&["messages", "label"], Some(Kind::Labelled)),
        (&["prompt"], Some(Kind::Prompts)),
        (&["question", "level"], Some(Kind::Prompts)),
        (&["a", "b"], None),
    ] {
        assert_eq!(Kind::of(&strings(columns)), kind, "{columns:?}");
    }
    let check = |columns: &[&str], method: Method| Kind::for_method(&strings(columns), method, "rows.jsonl");
    let thumbs = ["prompt", "completion", "label"];
    let error = check(&thumbs, Method::Dpo).expect_err("no pairs");
    let words = ["has prompt, completion and label: thumbs", "--method kto", "takes preference pairs", "\"rejected\""];
    check_message(&error, &words);
    check_message(&error, &["rows.jsonl"]);
    let error = check(&["prompt", "level"], Method::Sft).expect_err("no answers");
    check_message(&error, &["has prompt: prompts", "grpo, rloo or ppo", "examples or thumbs", "\"completion\""]);
    let error = check(&["text"], Method::Grpo).expect_err("no prompts");
    check_message(&error, &["has text: examples, for --method sft;", "prompts"]);
    for (columns, method, kind) in [
        (&thumbs[..], Method::Sft, Kind::Labelled),
        (&thumbs, Method::Ppo, Kind::Labelled),
        (&["chosen", "rejected"], Method::Kto, Kind::Pairs),
        (&["messages"], Method::Rloo, Kind::Completions),
    ] {
        assert_eq!(check(columns, method).expect("it serves"), Some(kind), "{columns:?}");
    }
    assert_eq!(check(&["a"], Method::Dpo).expect("nothing is known"), None, "the rows will tell");
    for method in Method::ALL {
        assert_eq!(method.name().parse(), Ok(method), "its name");
        assert!(method.kind().methods().contains(&method), "{method} takes what it is made for");
    }
    check_message(&pairtune::Error::input("dpi".parse::<Method>().expect_err("none"), "", ""), &["dpi", "or ppo"]);
}

#[test]
fn rows_of_every_kind_are_read_as_others_name_them() {
    let one = |row: Value, kind: Kind| {
        let read = samples(row.to_string().as_bytes(), Some(kind));
        let [sample] = &read[..] else { panic!("one row: {read:?}") };
        sample.clone()
    };
    let message = |role: &str, content: &str| json!({"role": role, "content": content});
    let (ask, tell) = (message("user", "Tea?"), message("assistant", "Yes."));

    let shared = one(
        json!({"conversations": [{"from": "human", "value": "Tea?"}, {"from": "gpt", "value": "Yes."}],
        "tools": "[{\"name\": \"a\"}]", "chat_template_kwargs": {"x": 1}}),
        Kind::Completions,
    );
    assert_eq!(
        shared.to_json(),
        json!({"messages": [ask, tell], "tools": [{"name": "a"}], "chat_template_kwargs": {"x": 1}})
    );
    let alpaca = one(json!({"instruction": "Sum", "input": "1 2", "output": "3"}), Kind::Completions);
    assert_eq!(alpaca.to_json(), json!({"prompt": "Sum\n1 2", "completion": "3"}));
    assert_eq!(one(json!({"text": "All."}), Kind::Completions).to_json(), json!({"text": "All."}));
    let system = one(json!({"system": "Be kind.", "question": "Why?", "answer": "So."}), Kind::Completions);
    assert_eq!(system.to_json(), json!({"prompt": "Be kind.\nWhy?", "completion": "So."}));

    for (label, is_good) in [(json!(true), true), (json!(0), false), (json!("True"), true), (json!(" 0"), false)] {
        let thumb = one(json!({"prompt": "a", "completion": "b", "label": label}), Kind::Labelled);
        assert_eq!(thumb.label, Some(is_good), "{label}");
    }
    let thumb = one(json!({"messages": [ask, tell], "label": false}), Kind::Labelled);
    assert_eq!(thumb.to_json(), json!({"prompt": [ask], "completion": [tell], "label": false}));

    let prompt = one(json!({"prompt": "2+2?", "answer": "4", "level": 1}), Kind::Prompts);
    assert_eq!(prompt.to_json(), json!({"answer": "4", "level": 1, "prompt": "2+2?"}), "with its other columns");
    let prompt = one(json!({"question": "2+2?", "answer": "4", "input": null}), Kind::Prompts);
    assert_eq!((prompt.to_json(), prompt.columns.len()), (json!({"answer": "4", "prompt": "2+2?"}), 1), "renamed");
    let prompt = one(json!({"messages": [ask, tell], "id": 7}), Kind::Prompts);
    assert_eq!(prompt.to_json(), json!({"prompt": [ask], "id": 7}), "up to the answer");

    let table = b"prompt,completion,label\na,b,true\nc,d,0\n";
    let (rows, errors) = all_samples("x.csv", table, None);
    assert_eq!(rows.iter().map(|row| row.label).collect::<Vec<_>>(), [Some(true), Some(false)], "{errors:?}");
    let fields = "prompt=frage,completion=antwort,label=gut";
    assert_eq!(fields.parse::<Fields>().expect("columns").to_string(), fields);
    for wrong in ["", "label=a", "completion=b", "rejected=c"] {
        wrong.parse::<Fields>().expect_err(wrong);
    }
}

#[test]
fn rows_that_cannot_be_used_are_reported_and_the_rest_is_read() {
    let rows = [
        (json!({"prompt": "a", "completion": "b", "label": true}), ""),
        (json!({"prompt": "a", "completion": "b", "label": 2}), "\"label\" is 2"),
        (json!({"prompt": "a", "completion": "b", "label": null}), "\"label\" is missing"),
        (json!({"prompt": "a", "label": true}), "are missing"),
        (json!({"prompt": [{"role": "user", "content": "a"}], "completion": "b", "label": true}), "mixed"),
        (json!({"prompt": [{"role": "user", "content": "a"}], "completion": [], "label": true}), "no messages"),
        (json!({"prompt": 5, "completion": "b", "label": true}), "a number"),
        (json!({"prompt": "a", "completion": "b", "label": "yes"}), "true or false"),
        (json!([1]), "not an object"),
        (json!({"prompt": "a", "completion": "b", "label": false}), ""),
    ];
    let text: String = rows.iter().map(|(row, _)| format!("{row}\n")).collect();
    let (kept, errors) = all_samples("x.jsonl", text.as_bytes(), Some(Kind::Labelled));
    assert_eq!(kept.iter().map(|row| (row.row, row.line)).collect::<Vec<_>>(), [(0, 1), (9, 10)]);
    let wrong: Vec<&str> = rows.iter().map(|(_, word)| *word).filter(|word| !word.is_empty()).collect();
    assert_eq!(errors.len(), wrong.len(), "{errors:?}");
    for (error, word) in errors.iter().zip(wrong) {
        assert!(error.to_string().contains(word), "{word:?} is not in {error}");
    }
    let fields = Fields::guess(&["messages".to_owned()]);
    for (row, kind, word) in [
        (json!({"messages": [{"role": "user", "content": "a"}]}), Kind::Labelled, "does not end with an answer"),
        (json!({"messages": [{"role": "assistant", "content": "a"}]}), Kind::Prompts, "asks nothing"),
        (json!({"messages": "a"}), Kind::Completions, "a string"),
        (json!({"messages": [5]}), Kind::Completions, "Message 0"),
        (json!({"messages": []}), Kind::Completions, "no messages"),
    ] {
        let mut reader = SampleReader::new("x", kind, &fields);
        reader.push(row.to_string().as_bytes()).expect("text");
        check_message(&reader.finish().expect_err(word), &["None of the 1 rows", word]);
    }
    let empty = SampleReader::new("x", Kind::Prompts, &fields).finish().expect_err("nothing is in it");
    check_message(&empty, &["The file has no prompts", "\"prompt\""]);
}
