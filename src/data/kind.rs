//! Kinds of rows, and the methods that each kind serves.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::reading::columns::{Columns, other_purpose};
use super::reading::fields::Fields;
use super::reading::reader::Wanted;
use crate::error::{Error, Result};

/// Kind of the rows of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Two answers to a prompt, of which one is preferred.
    Pairs,
    /// One answer to a prompt, a whole conversation, or a whole text.
    Completions,
    /// One answer to a prompt, and whether it is wanted.
    Labelled,
    /// A prompt, perhaps with columns that a rule for rewards looks at.
    Prompts,
}

/// A way to train, by TRL's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Supervised fine-tuning: the model learns to write what is there.
    Sft,
    /// Direct preference optimisation.
    Dpo,
    /// A reward model.
    Reward,
    /// Kahneman-Tversky optimisation, with a verdict on single answers.
    Kto,
    /// Odds ratio preference optimisation, without a reference.
    Orpo,
    /// Contrastive preference optimisation, SimPO among it, without a reference.
    Cpo,
    /// Group relative policy optimisation: rewards of several answers to a prompt are compared.
    Grpo,
    /// REINFORCE with the other answers' rewards as the baseline.
    Rloo,
    /// Proximal policy optimisation, with a value model.
    Ppo,
}

impl Kind {
    /// Plural noun for such rows.
    pub fn word(self) -> &'static str {
        match self {
            Self::Pairs => "preference pairs",
            Self::Completions => "examples",
            Self::Labelled => "thumbs",
            Self::Prompts => "prompts",
        }
    }

    /// Finds the kind of a file's rows by its columns; none if they do not tell.
    pub fn of(columns: &[String]) -> Option<Self> {
        let pairs = Columns::guess(columns);
        let has_both = !pairs.chosen.is_empty() && !pairs.rejected.is_empty();
        if has_both { Some(Self::Pairs) } else { Fields::guess(columns).kind() }
    }

    /// The methods that such rows serve, the likeliest first.
    pub fn methods(self) -> &'static [Method] {
        use Method::{Cpo, Dpo, Grpo, Kto, Orpo, Ppo, Reward, Rloo, Sft};
        match self {
            Self::Pairs => &[Dpo, Reward, Orpo, Cpo, Kto, Sft, Grpo, Rloo, Ppo],
            Self::Completions => &[Sft, Grpo, Rloo, Ppo],
            Self::Labelled => &[Kto, Sft, Grpo, Rloo, Ppo],
            Self::Prompts => &[Grpo, Rloo, Ppo],
        }
    }

    /// Returns the kind that such a file is read as for a method that it serves: online methods take the prompts of all
    /// rows but pairs, which are read as pairs.
    pub fn read_for(self, method: Method) -> Self {
        if method.is_online() && self != Self::Pairs { Self::Prompts } else { self }
    }

    /// Finds the kind of a file's rows for a method that is to train on them; none if its columns do not tell. The
    /// error says what the file is and what it can be used for.
    pub fn for_method(columns: &[String], method: Method, file: &str) -> Result<Option<Self>> {
        let Some(kind) = Self::of(columns) else { return Ok(None) };
        let fields = Fields::guess(columns);
        let serves = |method: &Method| kind == Self::Pairs || !method.is_online() || fields.have_prompts();
        let methods: Vec<Method> = kind.methods().iter().copied().filter(serves).collect();
        if methods.contains(&method) {
            return Ok(Some(kind));
        }
        let uses = listed(methods.iter().map(|method| method.name()), "or");
        let what = format!(
            "This file has {}: {}, for --method {uses}; --method {method} takes {}",
            listed(fields.names().into_iter(), "and"),
            kind.word(),
            method.takes()
        );
        let fix = match other_purpose(columns) {
            Some([_, fix]) if method.kind() == Self::Pairs => fix.to_owned(),
            _ => format!("Each row needs {}", method.kind().wanted().columns),
        };
        Err(Error::input(what, format!("Train with another method, or change the file. {fix}"), file))
    }

    /// Words for such rows in messages.
    pub(super) fn wanted(self) -> Wanted {
        match self {
            Self::Pairs => Wanted {
                noun: "pair",
                columns: "\"prompt\", \"chosen\" and \"rejected\"",
                keys: "Each row needs \"prompt\", \"chosen\" and \"rejected\"",
            },
            Self::Completions => Wanted {
                noun: "example",
                columns: "\"prompt\" and \"completion\", or \"messages\", or \"text\"",
                keys: "Each row needs \"prompt\" and \"completion\", or \"messages\", or \"text\"",
            },
            Self::Labelled => Wanted {
                noun: "thumb",
                columns: "\"prompt\", \"completion\" and \"label\"",
                keys: "Each row needs \"prompt\", \"completion\" and \"label\" (true or false)",
            },
            Self::Prompts => Wanted {
                noun: "prompt",
                columns: "\"prompt\"",
                keys: "Each row needs \"prompt\", a string or messages",
            },
        }
    }
}

impl Method {
    /// All of them.
    pub const ALL: [Self; 9] =
        [Self::Dpo, Self::Sft, Self::Reward, Self::Kto, Self::Orpo, Self::Cpo, Self::Grpo, Self::Rloo, Self::Ppo];

    /// Its name on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sft => "sft",
            Self::Dpo => "dpo",
            Self::Reward => "reward",
            Self::Kto => "kto",
            Self::Orpo => "orpo",
            Self::Cpo => "cpo",
            Self::Grpo => "grpo",
            Self::Rloo => "rloo",
            Self::Ppo => "ppo",
        }
    }

    /// The kind of rows that it is made for.
    pub fn kind(self) -> Kind {
        match self {
            Self::Sft => Kind::Completions,
            Self::Kto => Kind::Labelled,
            Self::Dpo | Self::Reward | Self::Orpo | Self::Cpo => Kind::Pairs,
            Self::Grpo | Self::Rloo | Self::Ppo => Kind::Prompts,
        }
    }

    /// True for those that train on answers which the model itself writes.
    pub fn is_online(self) -> bool {
        self.kind() == Kind::Prompts
    }

    /// Lists the kinds of rows that the method takes.
    fn takes(self) -> String {
        let kinds = [Kind::Pairs, Kind::Completions, Kind::Labelled, Kind::Prompts];
        listed(kinds.into_iter().filter(|kind| kind.methods().contains(&self)).map(Kind::word), "or")
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Method {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let found = Self::ALL.into_iter().find(|method| method.name() == text);
        found.ok_or_else(|| format!("\"{text}\" is not {}", listed(Self::ALL.into_iter().map(Self::name), "or")))
    }
}

/// `a, b and c`.
fn listed<'a>(words: impl Iterator<Item = &'a str>, last: &str) -> String {
    let words: Vec<&str> = words.collect();
    match words.split_last() {
        Some((end, [])) => (*end).to_owned(),
        Some((end, rest)) => format!("{} {last} {end}", rest.join(", ")),
        None => String::new(),
    }
}
