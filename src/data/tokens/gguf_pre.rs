//! Ways in which byte-level tokenizers cut text before merging, by llama.cpp's names (`tokenizer.ggml.pre`).
//!
//! The patterns are those of the models' own `tokenizer.json`, not llama.cpp's, which were adapted to its regex engine.

/// A way to cut text into words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::data) struct Pre {
    /// Patterns that cut, one after the other; what matches and what is between are words.
    pub(in crate::data) splits: &'static [&'static str],
    /// True if every digit is a word.
    pub(in crate::data) digits: bool,
    /// True if GPT-2's pattern cuts at last.
    pub(in crate::data) gpt2: bool,
    /// True if text is brought to Unicode's form C before.
    pub(in crate::data) nfc: bool,
    /// True if a word that is a token stays whole, whether or not merges lead to it.
    pub(in crate::data) whole_words: bool,
    /// True if a text begins with the BOS token where the file does not say.
    pub(in crate::data) adds_bos: bool,
}

const GPT2: Pre = Pre { splits: &[], digits: false, gpt2: true, nfc: false, whole_words: false, adds_bos: false };
const DIGITS: Pre = Pre { digits: true, ..GPT2 };
const LLAMA3: Pre = Pre { splits: &[LLAMA3_PATTERN], gpt2: false, ..GPT2 };
const QWEN2: Pre = Pre { splits: &[QWEN2_PATTERN], ..LLAMA3 };

const LLAMA3_PATTERN: &str = concat!(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}",
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
);
const QWEN2_PATTERN: &str = concat!(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}",
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
);
const QWEN35_PATTERN: &str = concat!(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}",
    r"| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
);
const TEKKEN_PATTERN: &str = concat!(
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+",
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*",
    r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
);
const GPT4O_PATTERN: &str = concat!(
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
);
const SEED_PATTERN: &str = concat!(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}",
    r"| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+"
);
const DEEPSEEK3_PATTERN: &str = concat!(
    r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"##,
    r"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
);

/// Names and what they mean; the first of several is the one that is written.
const KNOWN: &[(&[&str], Pre)] = &[
    (
        &[
            "gpt-2",
            "default",
            "phi-2",
            "jina-es",
            "jina-de",
            "jina-v1-en",
            "jina-v2-es",
            "jina-v2-de",
            "jina-v2-code",
            "roberta-bpe",
            "gigachat",
            "a.x-4.0",
            "mellum",
            "modern-bert",
            "exaone4",
            "jais",
            "trillion",
            "granite-docling",
        ],
        GPT2,
    ),
    (&["olmo", "mpt"], Pre { nfc: true, ..GPT2 }),
    (&["smollm", "starcoder", "refact", "codeshell", "exaone", "minerva-7b", "mellum2"], DIGITS),
    (&["command-r"], Pre { nfc: true, ..DIGITS }),
    (
        &["llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2", "jina-v5-nano"],
        Pre { whole_words: true, adds_bos: true, ..LLAMA3 },
    ),
    (&["dbrx", "smaug-bpe", "glm4", "chatglm-bpe"], LLAMA3),
    (&["qwen2"], Pre { nfc: true, ..QWEN2 }),
    (&["stablelm2", "deepseek-r1-qwen", "kormo", "f2llmv2", "megrez", "hunyuan", "solar-open", "grok-2"], QWEN2),
    (&["qwen35"], Pre { splits: &[QWEN35_PATTERN], nfc: true, ..LLAMA3 }),
    (&["tekken"], Pre { splits: &[TEKKEN_PATTERN], whole_words: true, adds_bos: true, ..LLAMA3 }),
    (&["gpt-4o", "llama4", "kanana2", "talkie", "minimax-m2"], Pre { splits: &[GPT4O_PATTERN], ..LLAMA3 }),
    (&["seed-coder"], Pre { splits: &[SEED_PATTERN], ..LLAMA3 }),
    (
        &["deepseek-v3", "hunyuan-dense", "joyai-llm", "hy_v4"],
        Pre { splits: &[r"\p{N}{1,3}", "[一-龥぀-ゟ゠-ヿ]+", DEEPSEEK3_PATTERN], ..LLAMA3 },
    ),
    (
        &["deepseek-coder"],
        Pre { splits: &[r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", "[一-龥ࠀ-一가-퟿]+"], digits: true, ..LLAMA3 },
    ),
];

/// Looks up the way to cut text that llama.cpp calls `name`; `default` is GPT-2's, as in transformers.
pub(in crate::data) fn pre(name: &str) -> Option<Pre> {
    KNOWN.iter().find(|(names, _)| names.contains(&name)).map(|(_, pre)| *pre)
}

/// A model tokenizer's way to cut text; the fields are those of `Pre`.
pub(in crate::data) struct Cuts<'a> {
    pub(in crate::data) splits: Vec<&'a str>,
    pub(in crate::data) digits: bool,
    pub(in crate::data) gpt2: bool,
    pub(in crate::data) nfc: bool,
    pub(in crate::data) whole_words: bool,
}

/// llama.cpp's name for a way to cut text. llama.cpp never normalises to form C, so `nfc` only chooses between names of
/// the same way.
pub(in crate::data) fn name_of(cuts: &Cuts<'_>) -> Option<&'static str> {
    let alike = |pre: &Pre| {
        (pre.splits, pre.digits, pre.gpt2) == (&cuts.splits[..], cuts.digits, cuts.gpt2)
            && pre.whole_words == cuts.whole_words
    };
    let found = || KNOWN.iter().filter(|(_, pre)| alike(pre));
    let same = found().find(|(_, pre)| pre.nfc == cuts.nfc).or_else(|| found().next());
    same.and_then(|(names, _)| names.first()).copied()
}

/// All names, for messages.
pub(in crate::data) fn names() -> String {
    KNOWN.iter().flat_map(|(names, _)| *names).copied().collect::<Vec<_>>().join(", ")
}
