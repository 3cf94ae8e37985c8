//! A folder that goes on with a run in TRL on accelerate: settings, rows, adapter and scripts, name and bytes.
//!
//! Pure: nothing is read or written here.

use std::collections::HashSet;

use serde_json::{Map, Value, json};

use crate::data::{Example, Method, Sample};
use crate::error::{Error, Result};
use crate::files::{Adapter, ModelCard, Task};
use crate::model::LoadIn;
use crate::train::{Reference, Rows, TrainConfig, settings};

/// Inputs of the exported folder.
#[derive(Debug, Clone)]
pub struct TrlExport<'a> {
    /// The settings.
    pub config: &'a TrainConfig,
    /// Path of the base model, or its name on the Hub.
    pub model: &'a str,
    /// The adapter to start from; PEFT makes a fresh one if there is none.
    pub adapter: Option<&'a Adapter>,
    /// Files that say how conversations become text.
    pub chat: Vec<(String, Vec<u8>)>,
    /// The rows to train on, by `trl_rows`.
    pub train: Vec<Value>,
    /// The rows held out.
    pub held_out: Vec<Value>,
    /// Rules that answers are given rewards by (grpo, rloo).
    pub rewards: Vec<String>,
    /// Folders of reward models (grpo, rloo).
    pub reward_models: Vec<String>,
    /// Answers with rewards that were recorded before, to be replayed (grpo, rloo).
    pub rollouts: Option<Vec<u8>>,
}

/// Destination of one of pairtune's settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Home {
    /// Into the arguments of TRL's config, under its name.
    Trl,
    /// Into the arguments of PEFT's `LoraConfig`, under its name.
    Lora,
    /// Elsewhere: the README says where.
    Own,
}

const TRAIN: &str = include_str!("../../../assets/trl/train.py");
const REWARDS: &str = include_str!("../../../assets/trl/rewards.py");
const REQUIREMENTS: &str = include_str!("../../../assets/trl/requirements.txt");
const README: &str = include_str!("../../../assets/trl/README.md");
const ACCELERATE: [(&str, &str); 4] = [
    ("accelerate/one.yaml", include_str!("../../../assets/trl/accelerate/one.yaml")),
    ("accelerate/ddp.yaml", include_str!("../../../assets/trl/accelerate/ddp.yaml")),
    ("accelerate/zero3.yaml", include_str!("../../../assets/trl/accelerate/zero3.yaml")),
    ("accelerate/fsdp.yaml", include_str!("../../../assets/trl/accelerate/fsdp.yaml")),
];

/// An error if TRL cannot go on with a run of this method.
pub fn check_method(method: Method) -> Result<()> {
    match method {
        Method::Ppo => Err(Error::input(
            "TRL has had no PPO since 1.13",
            "Export with --method rloo, which TRL keeps in its place, or train PPO here",
            "--method ppo",
        )),
        _ => Ok(()),
    }
}

/// The files of the folder, by their names in it.
pub fn trl_files(export: &TrlExport<'_>) -> Result<Vec<(String, Vec<u8>)>> {
    let method = export.config.method();
    check_method(method)?;
    if let Some(own) = export.config.loss_type.iter().find(|loss| !loss.is_trls()) {
        let what = format!("TRL has no loss_type {}", own.name());
        return Err(Error::input(what, "Train with it here, or choose another loss", "loss_type"));
    }
    let mut files = vec![
        ("train.py".to_owned(), script(method).into_bytes()),
        ("settings.json".to_owned(), pretty(&settings_file(export))),
        ("README.md".to_owned(), readme(export).into_bytes()),
        ("requirements.txt".to_owned(), requirements(export.config).into_bytes()),
        ("train.jsonl".to_owned(), lines(&export.train)),
    ];
    files.extend(ACCELERATE.map(|(name, text)| (name.to_owned(), text.as_bytes().to_vec())));
    if !export.held_out.is_empty() {
        files.push(("eval.jsonl".to_owned(), lines(&export.held_out)));
    }
    if method.is_online() {
        files.push(("rewards.py".to_owned(), REWARDS.as_bytes().to_vec()));
    }
    files.extend(export.rollouts.clone().map(|bytes| ("rollouts.jsonl".to_owned(), bytes)));
    if let Some(adapter) = export.adapter {
        let card = ModelCard::of_run("model", None, &Map::new(), &[]);
        let own = adapter.files(&card).into_iter().filter(|(name, _)| name != "README.md");
        files.extend(own.map(|(name, bytes)| (format!("adapter/{name}"), bytes)));
    }
    files.extend(export.chat.clone());
    Ok(files)
}

/// Rows as TRL's trainer of a method takes them, without those that pairtune leaves out: `kept` are the others' tokens.
pub fn trl_rows(rows: &Rows, method: Method, kept: &[Example]) -> Result<Vec<Value>> {
    let wanted = |example: &Example| (example.row, method == Method::Kto && example.value == 1.0);
    let kept: HashSet<(usize, bool)> = kept.iter().map(wanted).collect();
    let samples = |samples: Vec<Sample>| -> Vec<Value> {
        let label = |sample: &Sample| method == Method::Kto && sample.label == Some(true);
        samples.iter().filter(|row| kept.contains(&(row.row, label(row)))).map(Sample::to_json).collect()
    };
    let mut rows = match (rows, method) {
        (Rows::Samples(rows), _) => samples(rows.clone()),
        (Rows::Pairs(rows), Method::Sft) => samples(rows.iter().map(Sample::chosen_of).collect()),
        (Rows::Pairs(rows), Method::Kto) => samples(Sample::apart(rows)),
        (Rows::Pairs(rows), method) if method.is_online() => samples(rows.iter().map(Sample::prompt_of).collect()),
        (Rows::Pairs(rows), _) => {
            rows.iter().filter(|row| kept.contains(&(row.row, false))).map(|row| row.to_json()).collect()
        }
    };
    let margins = method == Method::Reward && rows.iter().any(|row| row.get("margin").is_some());
    for row in rows.iter_mut().filter_map(Value::as_object_mut) {
        // TRL asks for neither, and would want each in every row.
        row.shift_remove("score_chosen");
        row.shift_remove("score_rejected");
        if margins {
            row.entry("margin").or_insert(json!(0.0));
        } else if !method.is_online() {
            row.shift_remove("margin");
        }
        // A table's column has one type: a list of unlike schemas has none.
        if let Some(tools) = row.get("tools").filter(|tools| !tools.is_string()).map(Value::to_string) {
            row.insert("tools".to_owned(), tools.into());
        }
    }
    check_one_form(&rows)?;
    Ok(rows)
}

/// TRL decides by the first row what all are.
fn check_one_form(rows: &[Value]) -> Result<()> {
    let form = |row: &Value| {
        let what = |key: &str| row.get(key).map(|value| if value.is_string() { "text" } else { "messages" });
        ["prompt", "completion", "chosen", "rejected", "messages", "text"].map(what)
    };
    let Some(first) = rows.first().map(form) else { return Ok(()) };
    match rows.iter().position(|row| form(row) != first) {
        None => Ok(()),
        Some(other) => Err(Error::input(
            format!(
                "Rows of several forms: row {} has not the columns, or not the kind of text, of the first",
                other + 1
            ),
            "Export text and conversations from files of their own: TRL takes all rows as it takes the first",
            "--data",
        )),
    }
}

/// A replay's prompts, one row each: TRL counts them, and shows them in its tables.
pub fn replay_rows(prompts: &[String], num_generations: usize) -> Vec<Value> {
    prompts.iter().step_by(num_generations.max(1)).map(|prompt| json!({"prompt": prompt})).collect()
}

/// Returns the destination of a setting.
fn home(key: &str) -> Home {
    match key {
        "r" | "lora_alpha" | "target_modules" | "use_rslora" | "use_dora" | "lora_dropout" => Home::Lora,
        "reference" | "eval_split" | "load_in" | "fp16" | "save_steps" | "dpop_lambda" => Home::Own,
        _ => Home::Trl,
    }
}

/// The settings of a run as `train.py` reads them.
fn settings_file(export: &TrlExport<'_>) -> Value {
    let config = export.config;
    let (method, map) = (config.method(), config.to_map());
    // A null setting is at its default, which is TRL's too.
    let part = |wanted: Home| -> Map<String, Value> {
        let of = |key: &&str| home(key) == wanted && map.get(*key).is_some_and(|value| !value.is_null());
        let keys = settings(method).map(|setting| setting.key).filter(of);
        keys.map(|key| (key.to_owned(), map[key].clone())).collect()
    };
    let (mut trl, mut lora) = (part(Home::Trl), part(Home::Lora));
    if export.rollouts.is_some() {
        trl.insert("shuffle_dataset".to_owned(), false.into());
    }
    // pairtune does this by itself, where TRL's defaults differ.
    trl.insert("optim".to_owned(), "adamw_torch".into());
    trl.insert("logging_steps".to_owned(), 1.into());
    trl.insert("report_to".to_owned(), "none".into());
    match config.save_steps {
        0 => trl.insert("save_strategy".to_owned(), "no".into()),
        steps => {
            trl.insert("save_strategy".to_owned(), "steps".into());
            trl.insert("save_steps".to_owned(), steps.into())
        }
    };
    let scores = method == Method::Reward;
    lora.insert("task_type".to_owned(), if scores { "SEQ_CLS" } else { "CAUSAL_LM" }.into());
    let mut file = json!({
        "method": method.name(),
        "model": export.model,
        "model_kwargs": if scores { json!({"num_labels": 1}) } else { json!({}) },
        "reference": match config.reference {
            Reference::Base => "base",
            Reference::InitialAdapter => "initial_adapter",
        },
        "quantization": quantization(config.load_in),
        "trl": trl,
        "lora": lora,
        "pairtune": Value::Object(map),
    });
    if method.is_online() {
        file["rewards"] = json!(export.rewards);
        file["reward_models"] = json!(export.reward_models);
    }
    file
}

/// The arguments of `BitsAndBytesConfig` for a base in fewer bits.
fn quantization(load_in: LoadIn) -> Value {
    match load_in {
        LoadIn::Stored => Value::Null,
        LoadIn::Int8 => json!({"load_in_8bit": true}),
        LoadIn::Int4 | LoadIn::Nf4 => json!({
            "load_in_4bit": true,
            "bnb_4bit_quant_type": "nf4",
            "bnb_4bit_use_double_quant": false,
            "bnb_4bit_compute_dtype": "bfloat16",
            "bnb_4bit_quant_storage": "bfloat16",
        }),
    }
}

/// TRL's names of a method's classes, without `Config` and `Trainer`, and the module that has them.
fn classes(method: Method) -> (&'static str, &'static str) {
    match method {
        Method::Sft => ("SFT", "trl"),
        Method::Dpo => ("DPO", "trl"),
        Method::Reward => ("Reward", "trl"),
        Method::Kto => ("KTO", "trl"),
        Method::Orpo => ("ORPO", "trl.experimental.orpo"),
        Method::Cpo => ("CPO", "trl.experimental.cpo"),
        Method::Grpo => ("GRPO", "trl"),
        Method::Rloo | Method::Ppo => ("RLOO", "trl"),
    }
}

/// The script for a method: the one text, with the lines that name classes exchanged.
fn script(method: Method) -> String {
    let (class, module) = classes(method);
    let mut text = TRAIN.replace(
        "from trl import DPOConfig as Config, DPOTrainer as Trainer",
        &format!("from {module} import {class}Config as Config, {class}Trainer as Trainer"),
    );
    let title = if method == Method::Reward { "A reward model" } else { class };
    text = text.replace("\"\"\"DPO with", &format!("\"\"\"{title} with"));
    if method == Method::Reward {
        text = text.replace("AutoModelForCausalLM", "AutoModelForSequenceClassification");
    }
    if method.is_online() {
        text = text.replace(
            "    kind, extra = Trainer, {}\n",
            "    kind, extra = with_rewards(Trainer, settings, name, tokenizer)\n",
        );
        text = text.replace("\nHERE = ", "\nfrom rewards import with_rewards\n\nHERE = ");
    }
    text
}

fn requirements(config: &TrainConfig) -> String {
    let more = if config.load_in == LoadIn::Stored { "" } else { "bitsandbytes\n" };
    format!("{REQUIREMENTS}{more}")
}

fn readme(export: &TrlExport<'_>) -> String {
    let method = export.config.method();
    let class = classes(method).0;
    let start = match export.adapter {
        Some(_) => "and the adapter to start from",
        None => "and the settings of a fresh adapter",
    };
    let notes: String = notes(export).iter().map(|note| format!("* {note}\n")).collect();
    README
        .replace("{METHOD}", class)
        .replace("{CONFIG}", &format!("{class}Config"))
        .replace("{START}", start)
        .replace("{MODEL}", export.model)
        .replace("{PROCESSES}", processes(method))
        .replace("{NOTES}\n", &notes)
}

/// Returns a text on how several processes change the numbers.
fn processes(method: Method) -> &'static str {
    match method {
        Method::Sft => {
            "SFT's loss is a mean over the tokens of the whole step, on however many processes: the numbers stay."
        }
        Method::Dpo => {
            "DPO's loss is a mean over pairs, and the numbers stay; but `aot` and `aot_unpaired` sort the pairs of one \
             process's micro-batch."
        }
        Method::Reward => "The loss is a mean over pairs: the numbers stay.",
        Method::Kto => {
            "KTO's do not stay: TRL gives a prompt the answer of the row before it in the process's own micro-batch, \
             and takes the KL's mean over all processes. Keep to one, or to the loss `apo_zero_unpaired`, which needs \
             neither."
        }
        Method::Orpo => {
            "ORPO's stay where the processes share the micro-batches; where they share the rows of one, its mean over \
             tokens becomes a mean of means, and the loss differs a little."
        }
        Method::Cpo => {
            "The numbers stay where the processes share the micro-batches; where they share the rows of one, \
             `cpo_alpha`'s mean over tokens becomes a mean of means, and the loss differs a little. With `cpo_alpha` \
             0 (SimPO) they stay in any case."
        }
        Method::Grpo => {
            "Rewards are compared over all processes, and the numbers stay for the same answers with the losses \
             `grpo`, `dapo`, `dr_grpo` and `luspo`; `bnpo` means over the tokens of one process's micro-batch. What \
             is sampled is never the same twice."
        }
        Method::Rloo | Method::Ppo => {
            "Rewards are compared over all processes, and the numbers stay for the same answers. What is sampled is \
             never the same twice."
        }
    }
}

/// Returns the README's notes: differences from pairtune, and settings that are given elsewhere.
fn notes(export: &TrlExport<'_>) -> Vec<String> {
    let config = export.config;
    let method = config.method();
    let mut notes = vec![
        "The learning rate's schedule starts over, and so does AdamW: `max_steps` and `num_train_epochs` count from \
         the adapter that is here."
            .to_owned(),
    ];
    if config.has_reference() {
        notes.push(match (config.reference, export.adapter) {
            (Reference::InitialAdapter, Some(_)) => {
                "`reference` is initial_adapter: TRL measures against a frozen copy \
                 of the adapter that is here, not of the one that the run before began with."
                    .to_owned()
            }
            _ => "`reference` is base: TRL measures against the model without adapter.".to_owned(),
        });
    }
    let held_out = export.held_out.len();
    notes.push(match held_out {
        0 => "`eval_split`: no rows are held out.".to_owned(),
        n => format!("`eval_split`: {n} rows are held out, in `eval.jsonl`; they are evaluated once, at the end."),
    });
    match config.load_in {
        LoadIn::Stored => {}
        LoadIn::Int8 => notes.push(
            "`load_in` is int8: bitsandbytes' 8 bits stand for pairtune's blocks of 32, with other rounding. Such a \
             model cannot be sharded: use `one.yaml` or `ddp.yaml`."
                .to_owned(),
        ),
        LoadIn::Int4 => notes.push(
            "`load_in` is int4: bitsandbytes has no such format, and its NF4 stands for it, with other rounding."
                .to_owned(),
        ),
        LoadIn::Nf4 => notes.push("`load_in` is nf4: bitsandbytes' NF4 without double quantisation.".to_owned()),
    }
    if config.fp16 {
        notes.push("`fp16` is pairtune's: on GPUs that have bfloat16 the folder trains in that.".to_owned());
    }
    let shuffled = !method.is_online() && config.to_map().get("train_sampling_strategy") == Some(&json!("random"));
    if shuffled || (method.is_online() && export.rollouts.is_none()) {
        notes.push("The rows are shuffled by torch, by the same seed, into another order than pairtune's.".to_owned());
    }
    if export.adapter.is_none() {
        notes.push("The fresh adapter is PEFT's: its random A is another than pairtune's of the same seed.".to_owned());
    } else {
        notes.push("`lora` is not read while there is an `adapter/`, whose own settings count.".to_owned());
    }
    if config.adapter("").task == Task::SeqCls && export.adapter.is_none() {
        notes.push("The head that scores begins with random numbers of transformers'.".to_owned());
    }
    if matches!(method, Method::Orpo | Method::Cpo) {
        notes.push("TRL's ORPO and CPO take no notice of the columns `tools` and `chat_template_kwargs`.".to_owned());
    }
    if matches!(method, Method::Grpo | Method::Rloo) {
        notes.push(
            "GRPO and RLOO take no notice of the columns `tools` and `chat_template_kwargs`; generation is \
             transformers', or vLLM's with `use_vllm` in `settings.json`."
                .to_owned(),
        );
    }
    notes
}

fn pretty(value: &Value) -> Vec<u8> {
    let mut bytes = serde_json::to_vec_pretty(value).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}

fn lines(rows: &[Value]) -> Vec<u8> {
    rows.iter().map(|row| format!("{row}\n")).collect::<String>().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::read_pairs;
    use crate::train::LossType;

    /// Settings of a method with no value at its default where a default is null.
    fn every_setting(method: Method) -> TrainConfig {
        let mut map = Map::from_iter([("method".to_owned(), json!(method.name()))]);
        let more = match method {
            Method::Dpo => json!({"loss_weights": [1.0], "ld_alpha": 0.5}),
            Method::Sft => json!({"completion_only_loss": true}),
            Method::Reward => json!({"center_rewards_coefficient": 0.01}),
            Method::Grpo => json!({
                "steps_per_generation": 4, "epsilon_high": 0.3, "reward_weights": [1.0], "delta": 2.0,
                "off_policy_mask_threshold": 0.5,
            }),
            Method::Rloo => json!({
                "steps_per_generation": 4, "epsilon_high": 0.3, "reward_weights": [1.0],
                "reward_clip_range": [-1.0, 1.0],
            }),
            _ => json!({}),
        };
        map.extend(more.as_object().cloned().unwrap_or_default());
        TrainConfig::from_map(&map, "test").expect("the settings are right")
    }

    fn export(config: &TrainConfig) -> TrlExport<'_> {
        TrlExport {
            config,
            model: "/models/tiny",
            adapter: None,
            chat: vec![("chat_template.jinja".to_owned(), b"{{ messages }}".to_vec())],
            train: vec![json!({"prompt": "a"})],
            held_out: vec![json!({"prompt": "b"})],
            rewards: vec!["json".to_owned()],
            reward_models: Vec::new(),
            rollouts: None,
        }
    }

    fn file(files: &[(String, Vec<u8>)], name: &str) -> String {
        let found = files.iter().find(|(file, _)| file == name).unwrap_or_else(|| panic!("there is no {name}"));
        String::from_utf8(found.1.clone()).expect("it is text")
    }

    fn methods() -> impl Iterator<Item = Method> {
        Method::ALL.into_iter().filter(|method| *method != Method::Ppo)
    }

    #[test]
    fn every_setting_of_every_method_is_translated_or_told_of() {
        for method in methods() {
            let config = every_setting(method);
            let files = trl_files(&export(&config)).expect("it is written");
            let written: Value = serde_json::from_str(&file(&files, "settings.json")).expect("it is JSON");
            let map = config.to_map();
            for setting in settings(method) {
                let (key, value) = (setting.key, map.get(setting.key).unwrap_or(&Value::Null));
                assert!(!value.is_null(), "{method}: the test sets {key}");
                match home(key) {
                    Home::Trl => assert_eq!(written["trl"][key], *value, "{method}: {key}"),
                    Home::Lora => assert_eq!(written["lora"][key], *value, "{method}: {key}"),
                    Home::Own => {
                        let told = file(&files, "README.md").contains(&format!("`{key}`"));
                        let silent = match key {
                            // Its loss is refused.
                            "dpop_lambda" => true,
                            "load_in" => written["quantization"].is_null(),
                            "reference" => written["reference"] == *value,
                            "fp16" => *value == json!(false),
                            "save_steps" => written["trl"]["save_strategy"] == "no",
                            _ => false,
                        };
                        assert!(told || silent, "{method}: the README tells of {key}");
                    }
                }
            }
        }
    }

    #[test]
    fn scripts_are_short_and_name_their_classes() {
        for method in methods() {
            let text = script(method);
            assert!(text.lines().count() <= 80, "{method}: {} lines", text.lines().count());
            assert!(text.lines().all(|line| line.chars().count() <= 120), "{method}: a line is too long");
            let (class, module) = classes(method);
            assert!(text.contains(&format!("from {module} import {class}Config as Config")), "{method}: {text}");
            assert_eq!(text.contains("SequenceClassification"), method == Method::Reward, "{method}: the model");
            assert_eq!(text.contains("with_rewards(Trainer"), method.is_online(), "{method}: rewards");
            assert_eq!(text.contains("DPO"), method == Method::Dpo, "{method}: nothing of DPO's is left");
        }
    }

    #[test]
    fn ppo_is_refused_by_name() {
        let config = TrainConfig::defaults_of(Method::Ppo);
        let error = trl_files(&export(&config)).expect_err("TRL has none").to_string();
        assert!(error.contains("1.13") && error.contains("rloo"), "it names what to do: {error}");
    }

    #[test]
    fn a_loss_that_trl_has_not_is_refused_by_name() {
        for loss in LossType::ALL {
            let map = json!({"loss_type": [loss.name()], "label_smoothing": 0.1});
            let config = TrainConfig::from_map(map.as_object().expect("an object"), "test").expect("they are right");
            match trl_files(&export(&config)) {
                Ok(_) => assert!(loss.is_trls(), "{}: TRL would fail", loss.name()),
                Err(error) => assert!(!loss.is_trls() && error.to_string().contains(loss.name()), "{error}"),
            }
        }
    }

    #[test]
    fn bases_in_fewer_bits_and_checkpoints_are_translated() {
        let map = json!({"load_in": "nf4", "save_steps": 50});
        let config = TrainConfig::from_map(map.as_object().expect("an object"), "test").expect("they are right");
        let files = trl_files(&export(&config)).expect("it is written");
        let written: Value = serde_json::from_str(&file(&files, "settings.json")).expect("it is JSON");
        assert_eq!(written["quantization"]["bnb_4bit_quant_type"], "nf4");
        assert_eq!([&written["trl"]["save_strategy"], &written["trl"]["save_steps"]], [&json!("steps"), &json!(50)]);
        assert!(file(&files, "requirements.txt").contains("bitsandbytes"), "it is asked for");
        assert!(!requirements(&TrainConfig::defaults()).contains("bitsandbytes"), "only then");
    }

    #[test]
    fn the_readme_has_no_gap() {
        for method in methods() {
            let config = every_setting(method);
            let text = readme(&export(&config));
            assert!(!text.contains('{') && !text.contains('}'), "{method}: {text}");
        }
    }

    #[test]
    fn rows_are_written_in_columns_of_trl_without_those_left_out() {
        let text = b"{\"prompt\": \"a\", \"chosen\": \"b\", \"rejected\": \"c\", \"margin\": 1}\n\
            {\"prompt\": \"d\", \"chosen\": \"e\", \"rejected\": \"f\"}\n\
            {\"prompt\": \"g\", \"chosen\": \"h\", \"rejected\": \"i\"}\n";
        let (records, _) = read_pairs(text, "pairs.jsonl").expect("they are pairs");
        let rows = Rows::Pairs(records);
        let example = |row: usize, value: f64| Example {
            row,
            sequences: Vec::new(),
            starts: Vec::new(),
            untruncated: Vec::new(),
            labels: None,
            value,
        };
        let kept = [example(0, 0.0), example(1, 0.0)];
        let dpo = trl_rows(&rows, Method::Dpo, &kept).expect("one form");
        assert_eq!(dpo[0], json!({"prompt": "a", "chosen": "b", "rejected": "c"}));
        assert_eq!(dpo.len(), 2, "the third is left out");
        let reward = trl_rows(&rows, Method::Reward, &kept).expect("one form");
        assert_eq!([&reward[0]["margin"], &reward[1]["margin"]], [&json!(1.0), &json!(0.0)], "each has a margin");
        let kept = [example(0, 1.0), example(0, 0.0), example(2, 1.0)];
        let kto = trl_rows(&rows, Method::Kto, &kept).expect("one form");
        let labels: Vec<&Value> = kto.iter().map(|row| &row["label"]).collect();
        assert_eq!(labels, [&json!(true), &json!(true), &json!(false)], "chosen ones first");
        assert_eq!(
            trl_rows(&rows, Method::Sft, &kept).expect("one form")[0],
            json!({"prompt": "a", "completion": "b"})
        );
    }

    #[test]
    fn rows_of_several_forms_are_refused() {
        let rows = [json!({"text": "a"}), json!({"prompt": "a", "completion": "b"})];
        let error = check_one_form(&rows).expect_err("they are of two forms").to_string();
        assert!(error.contains("row 2"), "it names the row: {error}");
    }
}
