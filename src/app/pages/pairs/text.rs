//! The texts of this page.

use super::rows::Order;
use crate::app::state::PlannedFlag;
use crate::app::text::units;
use crate::engine::protocol::{Kind, Mapping, PairsInfo, Passage, PlanInfo, ProblemKind, SkipReason};

/// Link that shows the path field.
pub(super) const BY_PATH: &str = "by its path";
pub(super) const PAIRS_TITLE: &str = "Pairs";
pub(super) const PAIRS_SUBTITLE: &str = "Each pair is a prompt with two answers: the one you prefer and the other.";
pub(super) const PAIRS_REFUSED: &str = "This file can't be used";
pub(super) const PICK_OTHER_FILE: &str = "Pick another file…";
pub(super) const PAIRS_LOADING: &str = "Reading pairs";
pub(super) const PAIRS_FORMAT: &str = "JSON Lines, or a JSON array, of objects like this:";
pub(super) const PAIRS_EXAMPLE: &str = "{\"prompt\": \"Can I get a refund?\", \"chosen\": \"Of course. Send us the \
    order \
                                        number…\", \"rejected\": \"No.\"}";
pub(super) const PAIRS_ALSO: &str = "Parquet, and CSV with a first row of names, work too, and text that gzip or zstd \
    packed; so do conversations as lists of messages and the column names of other trainers. Others can be mapped by \
    hand.";

/// Says that rows can be pasted, and where paths are opened, a path.
pub(super) fn paste(in_browser: bool) -> &'static str {
    match in_browser {
        true => "Ctrl+V opens rows that you have copied from somewhere else.",
        false => "Ctrl+V opens rows that you have copied from somewhere else, or a path.",
    }
}

pub(super) const NO_PAIRS: &str = "This file holds no pairs";
pub(super) const SWAPPED: &str = "chosen and rejected swapped";
pub(super) const COLUMNS: &str = "Columns";
pub(super) const EDIT_COLUMNS: &str = "Edit columns";
pub(super) const COLUMN_PROMPT: &str = "Prompt from";
pub(super) const COLUMN_CHOSEN: &str = "Chosen from";
pub(super) const COLUMN_REJECTED: &str = "Rejected from";
pub(super) const NO_COLUMN: &str = "(none)";
pub(super) const APPLY_COLUMNS: &str = "Apply";
pub(super) const KEEP_COLUMNS: &str = "Cancel";
pub(super) const CHANGE: &str = "change";
pub(super) const OPEN_OTHER_PAIRS: &str = "Open another file…";
pub(super) const SWAP: &str = "Swap chosen and rejected";
pub(super) const SWAP_HELP: &str = "For files in which the worse answer stands under \"chosen\". Click again to undo.";
pub(super) const SWAP_ROW: &str = "Swap this row";
pub(super) const SWAP_ROW_HELP: &str = "Swaps chosen and rejected of this row only, as an edit. Click again to undo.";
pub(super) const MAKE_HELP: &str = "A liked and a disliked answer to the same prompt become a pair, as DPO needs them. \
    Open the file again to undo.";
pub(super) const TAB_TABLE: &str = "Table";
pub(super) const TAB_READ: &str = "Inspect";
pub(super) const TAB_LENGTHS: &str = "Lengths";
const PAIR_COLUMNS: [&str; 6] = ["Line", "Prompt", "Chosen", "Rejected", "Flags", "Skip"];
pub(super) const NO_ROWS: &str = "There is no pair to inspect.";
pub(super) const PREVIOUS: &str = "Previous";
pub(super) const NEXT: &str = "Next";
pub(super) const PAIR: &str = "Pair";
pub(super) const AS_SEEN: &str = "As the model sees it";
pub(super) const AS_FILED: &str = "Raw";
pub(super) const EDIT: &str = "Edit";
pub(super) const SAVE_EDIT: &str = "Apply";
pub(super) const EDIT_HELP: &str =
    "Runs use the edited row. Your file stays as it is: \"Save rows…\" writes a new one.";
pub(super) const NOT_EDITABLE: &str = "This content is no text, and stays as it is.";
pub(super) const WRITE_ROWS: &str = "Save rows…";
pub(super) const WRITE_ROWS_HELP: &str = "Writes all rows that are not skipped as JSON Lines, with your edits.";
pub(super) const OPENING_PAIR: &str = "Opening this pair";
pub(super) const SEQUENCE: &str = "Tokens";
pub(super) const SIDES: [&str; 3] = ["Prompt", "Chosen", "Rejected"];
pub(super) const TOKENS_LEGEND: &str = "Tinted tokens are trained on. Grey: the prompt, which is not scored. Struck \
    through: truncated. \"…\" is a token within the character that follows.";
pub(super) const NO_LENGTHS: &str = "Lengths are known once a model is open, for its tokenizer counts them.";
pub(super) const CHANGE_MAX_LENGTH: &str = "Change max length";
pub(super) const PAIRS_BY_LENGTH: &str = "Pairs by length";
pub(super) const TOKENS: &str = "Tokens of the longer side";
pub(super) const MAX_LENGTH: &str = "Max length";
pub(super) const NO_PROBLEMS: &str = "Every row of the file can be read.";
pub(super) const SAVE_REPORT: &str = "Save report";

pub(super) fn rows_so_far(rows: usize, problems: usize) -> String {
    match problems {
        0 => format!("{} usable so far", units::count(rows)),
        n => format!("{} usable so far, {} with problems", units::count(rows), units::count(n)),
    }
}

/// Number of the rows, of those that a run uses, and of those that it skips: by hand, or by the plan if there is one.
pub(super) fn pairs_summary(info: &PairsInfo, plan: Option<&PlanInfo>) -> String {
    let rows = units::counted(info.lines, "row");
    let rows = if info.kind == Kind::Pairs { rows } else { format!("{rows} of {}", info.kind.word()) };
    if info.usable == 0 {
        return format!("{rows}, none of which can be used");
    }
    let dropped = plan.map_or(0, |plan| plan.dropped.len());
    let skipped = info.skipped + dropped;
    let mut out = format!("{rows}: {} used", units::count(info.usable.saturating_sub(skipped)));
    if let Some(truncated) = plan.map(|plan| plan.truncated.len()).filter(|n| *n > 0) {
        out.push_str(&format!(" ({} truncated)", units::count(truncated)));
    }
    if skipped > 0 {
        out.push_str(&format!(", {} skipped", units::count(skipped)));
    }
    out
}

/// A row's fate in the planned run.
pub(super) fn planned_flag(flag: PlannedFlag) -> &'static str {
    match flag {
        PlannedFlag::Truncated => "truncated",
        PlannedFlag::Skipped(SkipReason::PromptTooLong) => "prompt too long",
        PlannedFlag::Skipped(SkipReason::TooLong) => "too long",
        PlannedFlag::Skipped(SkipReason::Template) => "rejected by the template",
        PlannedFlag::Skipped(SkipReason::Nothing) => "nothing to learn",
        PlannedFlag::Skipped(SkipReason::Unwanted) => "not for this method",
    }
}

/// Numbers of truncated and skipped rows in the planned run; none if there are no such rows.
pub(super) fn fates(plan: &PlanInfo) -> Option<String> {
    let truncated = (!plan.truncated.is_empty()).then(|| format!("{} truncated", units::count(plan.truncated.len())));
    let skipped = (!plan.dropped.is_empty()).then(|| format!("{} skipped", units::count(plan.dropped.len())));
    let both: Vec<String> = truncated.into_iter().chain(skipped).collect();
    (!both.is_empty()).then(|| format!("With this model and these settings, {}.", both.join(" and ")))
}

pub(super) const SEARCH: &str = "Search";
pub(super) const SEARCH_HINT: &str = "Text in any column, then Enter";
pub(super) const CLEAR_SEARCH: &str = "clear";
pub(super) const ORDER: &str = "Order";

pub(super) fn order(order: Order) -> &'static str {
    match order {
        Order::File => "As in the file",
        Order::Longest => "Longest first",
        Order::Shortest => "Shortest first",
    }
}

pub(super) fn found(rows: usize) -> String {
    format!("in {}", units::counted(rows, "row"))
}

pub(super) fn raise(length: usize) -> String {
    format!("Raise max length to {length}")
}

pub(super) fn problems(n: usize) -> String {
    units::counted(n, "problem")
}

pub(super) fn tab_problems(n: usize) -> String {
    match n {
        0 => "Problems".to_owned(),
        n => format!("Problems {}", units::count(n)),
    }
}

pub(super) fn mapping(mapping: &Mapping) -> String {
    let from = |name: &str, column: &str| match column {
        "" => format!("{name} ← {NO_COLUMN}"),
        column if column == name => name.to_owned(),
        column => format!("{name} ← {column}"),
    };
    let mut parts =
        vec![from("prompt", &mapping.prompt), from("chosen", &mapping.chosen), from("rejected", &mapping.rejected)];
    if mapping.follows_prompt() {
        parts.push(from("after the prompt", &mapping.system));
    } else if !mapping.system.is_empty() {
        parts.push(from("system", &mapping.system));
    }
    parts.join("   ")
}

/// Label of the column that stands before the prompt, or follows it.
pub(super) fn column_beside(mapping: &Mapping) -> &'static str {
    if mapping.follows_prompt() { "After the prompt from" } else { "System from" }
}

/// Describes rows that are not pairs, and names the columns that they are read from.
pub(super) fn read_as(kind: Kind, columns: &[String]) -> String {
    let what = match kind {
        Kind::Pairs => "Pairs: two answers to a prompt, of which one is preferred.",
        Kind::Completions => "Examples: answers to imitate.",
        Kind::Labelled => "Thumbs: single answers, liked or disliked.",
        Kind::Prompts => "Prompts: the model writes the answers, and rewards judge them.",
    };
    format!("{what} Columns: {}.", columns.join(", "))
}

/// Titles of the table's columns; a column with an empty title is left out.
pub(super) fn row_columns(kind: Kind) -> [&'static str; 6] {
    match kind {
        Kind::Pairs => PAIR_COLUMNS,
        Kind::Completions => ["Line", "Prompt", "Answer", "", "Flags", "Skip"],
        Kind::Labelled => ["Line", "Prompt", "Answer", "", "Thumb", "Skip"],
        Kind::Prompts => ["Line", "Prompt", "", "", "Flags", "Skip"],
    }
}

/// Titles of the three texts of a row; empty for a text that it lacks.
pub(super) fn sides(kind: Kind) -> [&'static str; 3] {
    match kind {
        Kind::Pairs => SIDES,
        _ => ["Prompt", "Answer", ""],
    }
}

/// Title of a passage of a row: the side, and the role of a message.
pub(super) fn passage(side: &str, passage: &Passage) -> String {
    passage.role.as_ref().map_or_else(|| side.to_owned(), |role| format!("{side}, {role}"))
}

/// Title of the editor of a row.
pub(super) fn editing(line: usize) -> String {
    format!("Line {}", units::count(line))
}

/// Button that makes pairs of liked and disliked answers.
pub(super) fn make(pairs: usize) -> String {
    format!("Make {} of them", units::counted(pairs, "pair"))
}

pub(super) fn longer_wins(share: f64) -> String {
    format!("The preferred answer is the longer one in {} of the pairs.", units::percent(share))
}

pub(super) fn held_out(n: Option<usize>, share: f64, seed: u64) -> String {
    let share = units::percent(share);
    match n {
        Some(n) => format!("Held out: {} ({share}, seed {seed}, whole prompts kept apart)", units::counted(n, "pair")),
        None => format!("Held out: {share} (seed {seed}, whole prompts kept apart)"),
    }
}

pub(super) fn beyond(n: usize) -> String {
    format!("{} more than fit in memory here, which are skipped.", units::counted(n, "row"))
}

pub(super) fn accept(usable: usize, problems: usize) -> String {
    let verb = if problems == 1 { "has a problem and is" } else { "have problems and are" };
    format!("Train on the {}; {} {verb} skipped", units::counted(usable, "usable row"), units::count(problems))
}

pub(super) fn inspect_line(line: usize) -> String {
    format!("Inspect line {line}")
}

/// Marks a row that is not trained on.
pub(super) const HELD_OUT_ROW: &str = "held out";

/// A flag, how many rows have it, and how many of them are skipped.
pub(super) fn flagged(flag: &str, rows: usize, skipped: usize) -> String {
    match skipped {
        0 => format!("{flag} {}", units::count(rows)),
        n if n == rows => format!("{flag} {}, skipped", units::count(rows)),
        n => format!("{flag} {}, {} skipped", units::count(rows), units::count(n)),
    }
}

/// Action of a flag's button, for screen readers.
pub(super) fn show_flagged(flag: &str, shown: bool) -> String {
    match shown {
        false => format!("Show the rows with the flag \"{flag}\""),
        true => format!("Show all rows again, not only \"{flag}\""),
    }
}

/// Says which rows the table shows while a flag filters it.
pub(super) fn only_flagged(flag: &str, rows: usize, skipped: usize) -> String {
    let shown = format!("Only \"{flag}\": {}", units::counted(rows, "row"));
    if skipped == 0 { shown } else { format!("{shown}, {} skipped", units::count(skipped)) }
}

pub(super) fn skip_these(rows: usize) -> String {
    if rows == 1 { "Skip this row".to_owned() } else { format!("Skip these {} rows", units::count(rows)) }
}

pub(super) fn take_back(rows: usize) -> String {
    format!("Take {} back in", units::counted(rows, "row"))
}

pub(super) const SHOW_ALL_ROWS: &str = "Show all rows";

pub(super) fn skip_line(line: usize) -> String {
    format!("Skip line {line}")
}

pub(super) fn of_pairs(n: usize, line: usize) -> String {
    format!("of {}, line {line}", units::count(n))
}

/// Scores that the file gives to the two answers of a pair.
pub(super) fn scores([chosen, rejected]: [f64; 2]) -> String {
    format!("scored {chosen} and {rejected} in the file")
}

pub(super) fn sequence(tokens: usize, prompt: usize, cut: usize) -> String {
    let scored = tokens.saturating_sub(prompt).saturating_sub(cut);
    match cut {
        0 => format!("{}, {} scored", units::counted(tokens, "token"), units::count(scored)),
        cut => format!(
            "{}, {} scored, {} truncated",
            units::counted(tokens, "token"),
            units::count(scored),
            units::count(cut)
        ),
    }
}

pub(super) fn more_tokens(n: usize) -> String {
    format!("and {} more", units::counted(n, "token"))
}

pub(super) fn lengths(plan: &PlanInfo, longest: u32) -> String {
    let out = format!("{}, the longest has {longest} tokens.", units::counted(plan.lengths.len(), "row"));
    fates(plan).map_or(out.clone(), |fates| format!("{out} {fates}"))
}

pub(super) fn problems_skipped(problems: usize, usable: usize) -> String {
    let verb = if problems == 1 { "row is" } else { "rows are" };
    format!("{} {verb} skipped; {} usable.", units::count(problems), units::count(usable))
}

pub(super) fn more_problems(n: usize) -> String {
    format!("and {} more", units::count(n))
}

/// Describes a problem, with the number of rows that have it.
pub(super) fn problem_kind(kind: &ProblemKind) -> String {
    match kind.count {
        1 => format!("Line {}: {}", kind.first.line, kind.first.what),
        n => format!("{} rows: {}", units::count(n), kind.first.what),
    }
}

/// Line numbers of the first rows with a problem.
pub(super) fn kind_lines(kind: &ProblemKind) -> String {
    let lines = kind.lines.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
    match kind.count - kind.lines.len() {
        0 => format!("Lines {lines}"),
        more => format!("Lines {lines} and {} more", units::count(more)),
    }
}

/// The problems of a pairs file, as a text file.
pub(super) fn problem_report(info: &PairsInfo) -> String {
    let mut out = format!("{}: {}, {} usable\n\n", info.name, units::counted(info.lines, "row"), info.usable);
    for problem in &info.problems {
        out.push_str(&format!("Line {}: {}. {}\n    {}\n", problem.line, problem.what, problem.fix, problem.excerpt));
    }
    let more = info.problem_count - info.problems.len();
    if more > 0 {
        out.push_str(&format!("and {more} more\n"));
    }
    out
}

/// A token with its white space in sight; one within a character has no text. A line may break before a space: at the
/// thin one, because it breaks nowhere else.
pub(super) fn token(text: &str) -> String {
    if text.is_empty() {
        return "…".to_owned();
    }
    text.replace('\n', "↵").replace('\t', "→").replace(' ', "\u{2009}·")
}

/// The part about the chat template.
pub(super) mod template {
    pub(crate) const TAB: &str = "Chat template";
    pub(crate) const TEMPLATE: &str = "Text of the template";
    pub(crate) const NO_MODEL: &str = "Choose a model to see its chat template.";
    pub(crate) const REFUSED: &str = "This template cannot be used";
    pub(crate) const HINT: &str = "A Jinja template, as in chat_template.jinja";
    pub(crate) const USE: &str = "Use this template";
    pub(crate) const UNDO: &str = "Undo my changes";
    pub(crate) const OWN: &str = "Back to the model's own";
    pub(crate) const CHANGED: &str = "not the model's own";
    pub(crate) const THINKING: &str = "Thinking before the answer:";
    pub(crate) const AS_IT_IS: &str = "as the template has it";
    pub(crate) const ON: &str = "on";
    pub(crate) const OFF: &str = "off";

    pub(crate) fn thinking(choice: &str) -> String {
        format!("Thinking {choice}")
    }

    pub(crate) fn what(conversations: bool, there: bool) -> &'static str {
        match (conversations, there) {
            (true, true) => {
                "Makes the text that the model reads out of a conversation. It is kept with the run and exported."
            }
            (true, false) => "The model has no template, but these pairs are conversations. Write one to use them.",
            (false, true) => {
                "These pairs are plain text and need no template. It makes the text of prompts in Compare, and is \
                 kept with the run and exported."
            }
            (false, false) => "The model has no template, and these pairs are plain text: none is needed.",
        }
    }
}
