//! README and docs are true where a program can tell: every subcommand, flag and value of their commands is known,
//! and they count what is there.

use std::path::{Path, PathBuf};
use std::process::Command;

use pairtune::model::FAMILIES;

#[test]
fn every_command_in_the_docs_is_known() {
    let (mut n, mut refused) = (0, Vec::new());
    for page in pages() {
        let text = std::fs::read_to_string(&page).expect("a page");
        for command in commands(&text).iter().filter(|command| PLACEHOLDER.iter().all(|word| !command.contains(word))) {
            n += 1;
            let words = words(command);
            // The help is shown in place of running it, once all that stands before is understood.
            let run = Command::new(env!("CARGO_BIN_EXE_pairtune")).args(&words[1..]).arg("--help").output();
            let run = run.expect("the program runs");
            let said = String::from_utf8_lossy(&run.stderr);
            if !run.status.success() {
                refused.push(format!("{}: `{command}`: {said}", page.display()));
            }
        }
    }
    assert!(refused.is_empty(), "{}", refused.join("\n"));
    assert!(n >= 15, "the commands are found: {n}");
}

#[test]
fn families_and_golden_cases_are_counted_as_they_are() {
    let cases = read("tests/model.rs");
    let cases = cases.split_once("cases!(\n").and_then(|(_, rest)| rest.split_once(");")).expect("the list of cases").0;
    let (cases, families) = (cases.lines().count(), FAMILIES.len());
    let counted = [
        ("README.md", format!("[{families} families]")),
        ("README.md", format!("{} of DPO over all {families} families", 2 * cases)),
        ("docs/testing.md", format!("{} runs of DPO by TRL", 2 * cases)),
        ("docs/testing.md", format!("{cases} cases, of all {families} model families")),
    ];
    let listed = FAMILIES.iter().map(|family| ("docs/models.md", format!("`{}`", family.model_type)));
    for (page, wanted) in counted.into_iter().chain(listed) {
        assert!(read(page).contains(&wanted), "{page} does not say: {wanted}");
    }
}

#[test]
fn prose_is_as_narrow_as_code() {
    let mut wide = Vec::new();
    for page in pages() {
        let text = std::fs::read_to_string(&page).expect("a page");
        // A row of a table cannot be broken, and a block of code is shown as it is.
        let mut fenced = false;
        for (line, n) in text.lines().zip(1..) {
            fenced ^= line.starts_with("```");
            if !fenced && !line.starts_with('|') && line.chars().count() > 120 {
                wide.push(format!("{}:{n}", page.display()));
            }
        }
    }
    assert!(wide.is_empty(), "over 120 characters: {wide:#?}");
}

fn read(page: &str) -> String {
    std::fs::read_to_string(root().join(page)).expect("a text of the repository")
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A stranger follows the guide with a model and pairs, here the demo's: trains by each method that it shows, answers,
/// merges, exports, races and sweeps.
#[test]
fn commands_of_the_guide_run_as_they_stand() {
    let here = tempfile::tempdir().expect("a folder");
    stock(here.path());
    let mut done = Vec::new();
    for page in ["README.md", "docs/getting-started.md", "docs/command-line.md", "docs/methods.md", "docs/models.md"] {
        for command in commands(&read(page)) {
            let words: Vec<String> = words(&command).iter().map(|word| stand_in(word).to_owned()).collect();
            let whole = RUN.contains(&words[1].as_str()) && words.iter().any(|w| w == "--output" || w == "--prompt");
            if !whole || ELSEWHERE.iter().any(|name| command.contains(name)) || done.contains(&words) {
                continue;
            }
            let mut program = Command::new(env!("CARGO_BIN_EXE_pairtune"));
            let program = program.args(&words[1..]).current_dir(here.path()).env("XDG_CACHE_HOME", here.path());
            let run = program.output().expect("the program runs");
            let said = String::from_utf8_lossy(&run.stderr);
            assert!(run.status.success(), "{page}: `{command}`, which ran as {words:?}: {said}");
            done.push(words);
        }
    }
    assert!(done.len() >= 13, "the commands are found: {done:#?}");
    for made in
        ["tuned/adapter_model.safetensors", "merged/model.safetensors", "tuned.gguf", "in-trl/train.py", "race/race.md"]
    {
        assert!(here.path().join(made).is_file(), "{made} is written");
    }
}

/// Commands that are run; others only name a flag in running text, or open a window.
const RUN: [&str; 6] = ["train", "generate", "merge", "export", "race", "sweep"];

/// Folders of commands that are not run: one of the app's runs, and the article's comparison, which is `race` on more
/// pairs and takes minutes.
const ELSEWHERE: [&str; 2] = ["$run", "assets/demo"];

/// Puts the demo's model, a few of its pairs, and prompts with answers into a folder, by the names of the guide.
fn stock(folder: &Path) {
    let model = folder.join("model");
    std::fs::create_dir(&model).expect("a folder");
    for file in std::fs::read_dir(root().join("assets/demo/model")).expect("the demo's model") {
        let file = file.expect("a file");
        std::fs::copy(file.path(), model.join(file.file_name())).expect("a copy");
    }
    let pairs: Vec<String> = read("assets/demo/pairs.jsonl").lines().take(12).map(str::to_owned).collect();
    let prompt = |pair: &String| -> String {
        let pair: serde_json::Value = serde_json::from_str(pair).expect("a pair");
        serde_json::json!({ "prompt": pair["prompt"], "answer": pair["chosen"] }).to_string()
    };
    let prompts: Vec<String> = pairs.iter().take(4).map(prompt).collect();
    for (name, lines) in [("pairs.jsonl", pairs), ("prompts.jsonl", prompts)] {
        std::fs::write(folder.join(name), lines.join("\n")).expect("a file");
    }
}

/// Returns the name in [`stock`] that stands for a word of the guide.
fn stand_in(word: &str) -> &str {
    match word {
        "SmolLM2-135M-Instruct" | "MODEL" | "DIR" => "model",
        "FILE" => "pairs.jsonl",
        "RUN" => "tuned",
        "FOLDER" => "in-trl-again",
        word => word,
    }
}

/// Placeholders for words of a list, in whose place any other word would be refused.
const PLACEHOLDER: [&str; 2] = ["COMMAND", "METHOD"];

/// The texts of the root, the guide, and the page of the demo.
fn pages() -> Vec<PathBuf> {
    let docs = std::fs::read_dir(root().join("docs")).expect("the guide");
    let docs =
        docs.map(|entry| entry.expect("a page").path()).filter(|path| path.extension().is_some_and(|e| e == "md"));
    let others = ["README.md", "CONTRIBUTING.md", "ARCHITECTURE.md", "assets/demo/README.md"];
    docs.chain(others.map(|page| root().join(page))).collect()
}

/// Commands of blocks of code, their continued lines joined, and those with flags in running text.
fn commands(text: &str) -> Vec<String> {
    let (mut found, mut fenced) = (Vec::new(), false);
    let joined = text.replace("\\\n", " ");
    for line in joined.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if fenced {
            let line = line.trim_start().trim_start_matches('$').trim_start();
            found.extend(line.starts_with("pairtune ").then(|| line.to_owned()));
        } else {
            let spans = line.split('`').skip(1).step_by(2);
            let named = spans.filter(|span| span.starts_with("pairtune ") && span.contains(" --"));
            found.extend(named.filter(|span| !span.contains('…')).map(str::to_owned));
        }
    }
    found
}

/// Words of a command as a shell would split them: quotes hold words together, `#` begins a comment. Brackets mark what
/// may be left out.
fn words(command: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
    for c in command.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '"' | '\'') => quote = Some(c),
            (None, '[' | ']') => {}
            (None, '#') if word.is_empty() => break,
            (None, c) if c.is_whitespace() => words.extend((!word.is_empty()).then(|| std::mem::take(&mut word))),
            (_, c) => word.push(c),
        }
    }
    words.extend((!word.is_empty()).then_some(word));
    words
}

#[test]
fn commands_are_read_as_a_shell_reads_them() {
    let text = "Run `pairtune train --beta 0.1`, or `pairtune …`:\n\n```\npairtune generate --prompt \"How do\" \\\n  \
                --raw  # as it is\n```\n";
    let found = commands(text);
    assert_eq!(found.len(), 2, "{found:?}");
    assert_eq!(words(&found[1]), ["pairtune", "generate", "--prompt", "How do", "--raw"]);
}
