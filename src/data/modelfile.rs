//! Ollama's `Modelfile` for a GGUF file: the template in Ollama's own language, and the parameters of an answer.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::tokens::tokenizer::Tokenizer;

/// Contents of a `Modelfile`.
pub struct Modelfile<'a> {
    /// The file that it is made for, in the same folder.
    pub gguf: &'a str,
    /// True if that is an adapter, and the base model is in `base.gguf` beside it.
    pub is_adapter: bool,
    /// The model's.
    pub tokenizer: &'a Tokenizer,
    /// Tokens that end an answer.
    pub ends: &'a [u32],
    /// Longest sequence the model was made for, in tokens.
    pub context: usize,
    /// The model's `generation_config.json`; empty if it has none.
    pub generation: &'a Map<String, Value>,
}

/// Tokens that Ollama keeps room for; more takes memory even where it is not used.
const MOST_CONTEXT: usize = 8192;

/// Format of a family's conversations: the text before and after each turn.
struct Turns {
    name: &'static str,
    /// None if the system prompt goes before the first text of the user, with an empty line between.
    system: Option<[&'static str; 2]>,
    user: [&'static str; 2],
    assistant: [&'static str; 2],
    /// Before the answer that is asked for.
    answer: &'static str,
}

#[rustfmt::skip]
const KNOWN: &[Turns] = &[
    Turns {
        name: "ChatML",
        system: Some(["<|im_start|>system\n", "<|im_end|>\n"]),
        user: ["<|im_start|>user\n", "<|im_end|>\n"],
        assistant: ["<|im_start|>assistant\n", "<|im_end|>\n"],
        answer: "<|im_start|>assistant\n",
    },
    Turns {
        name: "Llama 3",
        system: Some(["<|start_header_id|>system<|end_header_id|>\n\n", "<|eot_id|>"]),
        user: ["<|start_header_id|>user<|end_header_id|>\n\n", "<|eot_id|>"],
        assistant: ["<|start_header_id|>assistant<|end_header_id|>\n\n", "<|eot_id|>"],
        answer: "<|start_header_id|>assistant<|end_header_id|>\n\n",
    },
    Turns {
        name: "Gemma",
        system: None,
        user: ["<start_of_turn>user\n", "<end_of_turn>\n"],
        assistant: ["<start_of_turn>model\n", "<end_of_turn>\n"],
        answer: "<start_of_turn>model\n",
    },
    Turns {
        name: "Mistral",
        system: None,
        user: ["[INST] ", " [/INST]"],
        assistant: [" ", "</s>"],
        answer: "",
    },
    Turns {
        name: "Mistral",
        system: None,
        user: ["[INST] ", " [/INST]"],
        assistant: ["", "</s>"],
        answer: "",
    },
    Turns {
        name: "Mistral",
        system: None,
        user: ["[INST] ", "[/INST]"],
        assistant: [" ", "</s>"],
        answer: "",
    },
    Turns {
        name: "Phi 3",
        system: Some(["<|system|>\n", "<|end|>\n"]),
        user: ["<|user|>\n", "<|end|>\n"],
        assistant: ["<|assistant|>\n", "<|end|>\n"],
        answer: "<|assistant|>\n",
    },
    Turns {
        name: "Zephyr",
        system: Some(["<|system|>\n", "</s>\n"]),
        user: ["<|user|>\n", "</s>\n"],
        assistant: ["<|assistant|>\n", "</s>\n"],
        answer: "<|assistant|>\n",
    },
];

impl Modelfile<'_> {
    /// The file's text.
    ///
    /// The template is recognised by what it makes of two conversations, since Ollama's language is not Jinja. One that
    /// is not recognised is left out: Ollama then looks whether it knows the one in the GGUF file.
    pub fn text(&self) -> String {
        let mut text = "# ollama create NAME -f MODELFILE\n".to_owned();
        if self.is_adapter {
            text += "# The base model as base.gguf: pairtune export --model MODEL --output base.gguf\n";
            _ = writeln!(text, "FROM ./base.gguf\nADAPTER ./{}", self.gguf);
        } else {
            _ = writeln!(text, "FROM ./{}", self.gguf);
        }
        match (self.tokenizer.chat_template().is_ok(), self.recognised()) {
            (false, _) => {
                text += "\n# The model has no chat template: what is asked is continued.\nTEMPLATE {{ .Prompt }}\n";
            }
            (true, Some((turns, system))) => {
                _ = write!(text, "\n# {}\nTEMPLATE \"\"\"{}\"\"\"\n", turns.name, turns.in_go());
                if let Some(system) = system {
                    _ = writeln!(text, "SYSTEM \"\"\"{system}\"\"\"");
                }
            }
            (true, None) => {
                text += "\n# No TEMPLATE: the model's is not among those that are known here. Ollama looks whether it\n\
                         # knows the one in the GGUF file; if answers are odd, write one here.\n";
            }
        }
        text += "\n";
        for stop in self.stops() {
            _ = writeln!(text, "PARAMETER stop \"{stop}\"");
        }
        _ = writeln!(text, "PARAMETER num_ctx {}", self.context.min(MOST_CONTEXT));
        for key in ["temperature", "top_k", "top_p"] {
            if let Some(value) = self.generation.get(key).filter(|value| value.is_number()) {
                _ = writeln!(text, "PARAMETER {key} {value}");
            }
        }
        text
    }

    /// The way in which the model's template writes conversations, and the system prompt that it adds by itself.
    fn recognised(&self) -> Option<(&'static Turns, Option<String>)> {
        let turn = |role: &str, content: &str| {
            Map::from_iter([("role".to_owned(), Value::from(role)), ("content".to_owned(), content.into())])
        };
        let (system, turns) = (turn("system", "S"), [("user", "U"), ("assistant", "A"), ("user", "V")]);
        let turns = turns.map(|(role, content)| turn(role, content));
        let rendered = |with_system: bool| {
            let messages: Vec<_> = with_system.then_some(&system).into_iter().chain(&turns).collect();
            self.tokenizer.render(&messages, true, None, None).ok()
        };
        let (without, with) = (rendered(false)?, rendered(true));
        // A BOS at the front Ollama adds by itself; of some models it is the beginning of every turn, too.
        let bos = self.tokenizer.special_token("bos_token").unwrap_or_default();
        ["", bos].into_iter().find_map(|bos| {
            let without = without.strip_prefix(bos)?;
            KNOWN.iter().find_map(|turns| {
                let added = turns.added_system(without)?;
                // Some templates refuse system prompts.
                let is_same = |with: &String| with.strip_prefix(bos) == Some(turns.write(Some("S")).as_str());
                with.as_ref().is_none_or(is_same).then_some((turns, added))
            })
        })
    }

    /// Texts that end an answer.
    fn stops(&self) -> Vec<String> {
        let mut stops: Vec<String> = Vec::new();
        for id in self.ends {
            match self.tokenizer.decode(&[*id], false) {
                Ok(text) if !text.is_empty() && !text.contains('"') && !stops.contains(&text) => stops.push(text),
                _ => {}
            }
        }
        stops
    }
}

impl Turns {
    /// Writes a conversation of three turns.
    fn write(&self, system: Option<&str>) -> String {
        let [before, after] = self.user;
        let (first, begin) = match (system, self.system) {
            (None, _) => (String::new(), String::new()),
            (Some(system), Some([before, after])) => (String::new(), format!("{before}{system}{after}")),
            (Some(system), None) => (format!("{system}\n\n"), String::new()),
        };
        let [says, said] = self.assistant;
        format!("{begin}{before}{first}U{after}{says}A{said}{before}V{after}{}", self.answer)
    }

    /// The system prompt that a template adds where there is none, if the text is that of such a conversation.
    fn added_system(&self, text: &str) -> Option<Option<String>> {
        let begin = text.strip_suffix(self.write(None).as_str())?;
        if begin.is_empty() {
            return Some(None);
        }
        let [before, after] = self.system?;
        let system = begin.strip_prefix(before)?.strip_suffix(after)?;
        (!system.contains("\"\"\"")).then(|| Some(system.to_owned()))
    }

    /// The same as a template of Go, for all conversations. Ollama puts system prompts among the messages, the first.
    fn in_go(&self) -> String {
        let [before, after] = self.user;
        let [says, said] = self.assistant;
        let (system, first) = match self.system {
            Some([before, after]) => {
                (format!("{{{{ if eq .Role \"system\" }}}}{before}{{{{ .Content }}}}{after}{{{{ else if "), "")
            }
            None => ("{{ if ".to_owned(), "{{ if and $.System (le $i 1) }}{{ $.System }}\n\n{{ end }}"),
        };
        let answer = match self.answer {
            "" => String::new(),
            answer => format!("{{{{ if and $last (ne .Role \"assistant\") }}}}{answer}{{{{ end }}}}"),
        };
        format!(
            "{{{{ range $i, $_ := .Messages }}}}{{{{ $last := eq (len (slice $.Messages $i)) 1 }}}}\
             {system}eq .Role \"user\" }}}}{before}{first}{{{{ .Content }}}}{after}\
             {{{{ else if eq .Role \"assistant\" }}}}{says}{{{{ .Content }}}}{{{{ if not $last }}}}{said}{{{{ end }}}}\
             {{{{ end }}}}{answer}{{{{ end }}}}"
        )
    }
}
