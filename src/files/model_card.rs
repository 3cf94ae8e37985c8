//! The README beside a saved adapter: a model card with front matter, as the Hub reads it.

use serde_json::{Map, Value, json};

use super::adapter::{AdapterConfig, Task};
use crate::platform::is_hub_name;

/// The method of settings that name none.
const DPO: &str = "dpo";

/// Contents of the README beside a saved adapter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelCard {
    /// Heading.
    pub title: String,
    /// Description of the adapter, as a person wrote it; none for a sentence that names the method.
    pub about: Option<String>,
    /// Training method, as in TRL's lower-case names: `dpo`.
    pub method: String,
    /// Licence of the base model, as the Hub names it.
    pub licence: Option<String>,
    /// Settings of the run, name and value, in the order shown.
    pub settings: Vec<(String, String)>,
    /// Final metrics, name and value, in the order shown.
    pub metrics: Vec<(String, String)>,
}

impl ModelCard {
    /// The card of a run: its settings, and its latest metrics. `base` is the name of the base model.
    pub fn of_run(
        base: &str,
        licence: Option<&str>,
        settings: &Map<String, Value>,
        history: &[Map<String, Value>],
    ) -> Self {
        // An evaluation may have come after the last step.
        let mut latest = Map::new();
        for entry in history.iter().rev().take(2).rev() {
            latest.extend(entry.clone());
        }
        let rounded = |value: &Value| match value.as_f64() {
            Some(number) if number.fract() == 0.0 => format!("{number}"),
            Some(number) if number.abs() >= 1e-3 => format!("{number:.4}"),
            _ => value.to_string(),
        };
        let method = settings.get("method").and_then(Value::as_str).unwrap_or(DPO);
        let tuned =
            if method == DPO { "preference-tuned".to_owned() } else { format!("tuned by {}", method.to_uppercase()) };
        Self {
            title: format!("{base}, {tuned}"),
            about: None,
            method: method.to_owned(),
            licence: licence.map(str::to_owned),
            settings: settings.iter().map(|(name, value)| (name.clone(), value.to_string())).collect(),
            metrics: latest.iter().map(|(name, value)| (name.clone(), rounded(value))).collect(),
        }
    }

    /// The same in a person's words: a heading that they begin with is the card's.
    #[must_use]
    pub fn in_words(mut self, words: &str) -> Self {
        let words = words.trim();
        let (title, about) = match words.strip_prefix("# ") {
            Some(words) => words.split_once('\n').unwrap_or((words, "")),
            None => ("", words),
        };
        if !title.trim().is_empty() {
            self.title = title.to_owned();
        }
        self.about = Some(about.trim().to_owned()).filter(|about| !about.is_empty());
        self
    }

    /// Markdown with the front matter that the Hugging Face Hub reads.
    pub(super) fn to_markdown(&self, config: &AdapterConfig) -> String {
        let mut text = "---\n".to_owned();
        let mut tags = vec!["lora".to_owned(), self.method.clone(), "pairtune".to_owned()];
        // The Hub refuses what is no name there, such as a path.
        if let Some(base) = config.base_model_name_or_path.as_ref().filter(|base| names_a_repository(base)) {
            // A JSON string is a YAML string, quotes and escapes included.
            text += &format!("base_model: {}\n", json!(base));
            tags.insert(0, format!("base_model:adapter:{base}"));
        }
        text += "library_name: peft\n";
        if let Some(licence) = &self.licence {
            text += &format!("license: {}\n", json!(licence));
        }
        let task = if config.task == Task::SeqCls { "text-classification" } else { "text-generation" };
        text += &format!("pipeline_tag: {task}\ntags:\n");
        for tag in &tags {
            text += &format!("- {}\n", json!(tag));
        }
        text += &format!("---\n\n# {}\n\n", one_line(&self.title));
        text += &self.about.clone().unwrap_or_else(|| about(&self.method));
        text += "\n\nLoad it with `PeftModel.from_pretrained(base_model, folder)`.\n";
        for (heading, rows) in [("Settings", &self.settings), ("Final metrics", &self.metrics)] {
            if rows.is_empty() {
                continue;
            }
            text += &format!("\n## {heading}\n\n| name | value |\n|---|---|\n");
            for (name, value) in rows {
                text += &format!("| {} | {} |\n", cell(name), cell(value));
            }
        }
        text
    }
}

/// Default description of an adapter.
fn about(method: &str) -> String {
    match method {
        DPO => {
            "A LoRA adapter trained on preference pairs with direct preference optimisation (DPO) by pairtune.".into()
        }
        method => format!("A LoRA adapter trained by {} with pairtune.", method.to_uppercase()),
    }
}

/// True for `org/name`. A lone name may be that of a folder.
fn names_a_repository(base: &str) -> bool {
    base.contains('/') && is_hub_name(base)
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn cell(text: &str) -> String {
    one_line(text).replace('|', "\\|")
}
