//! The rules of a house by topic: how large a file, a function and a folder may be; for `src/app/` also which pages
//! know of each other, where egui is, and no wildcard over what grows.

use std::collections::{BTreeMap, BTreeSet};

use crate::{Source, assert_found, assert_none, is_word, sources};

const MAX_LINES: usize = 600;
const MAX_FUNCTION: usize = 80;
const MAX_ENTRIES: usize = 15;

/// Folders with one file for each item of a list: layers, operations, their twins, families.
const LISTS: &[&str] = &["src", "src/kernels", "src/reference", "src/model/families"];

fn whole() -> Vec<Source> {
    let files = sources("src", "rs");
    assert!(files.len() > 250, "the sources are found");
    files
}

/// Enums that grow with the app. A match that ends in a wildcard would forget the next variant in silence.
const GROWING: &[&str] = &[
    "Command",
    "ModelCommand",
    "PairsCommand",
    "PlanCommand",
    "RunCommand",
    "CompareCommand",
    "LibraryCommand",
    "Event",
    "Method",
];

/// The state and its sentences, which the pages draw, and which know nothing of egui themselves.
const WITHOUT_EGUI: &[&str] = &["src/app/state/", "src/app/text/", "src/app/records.rs", "src/app/fields.rs"];

fn app() -> Vec<Source> {
    let files = sources("src/app", "rs");
    assert!(files.len() > 50, "the app's files are found");
    files
}

#[test]
fn files_are_short() {
    assert_none(whole().iter().filter_map(long_file).collect());
}

#[test]
fn functions_are_short() {
    assert_none(whole().iter().flat_map(long_functions).collect());
}

#[test]
fn folders_are_small() {
    let files = whole();
    assert_none(full_folders(files.iter().map(|source| source.path.as_str())));
}

#[test]
fn nothing_that_grows_is_matched_by_a_wildcard() {
    assert_none(app().iter().flat_map(wildcards).collect());
}

#[test]
fn no_page_uses_another_page() {
    assert_none(app().iter().flat_map(foreign_pages).collect());
}

#[test]
fn the_state_and_its_sentences_know_nothing_of_egui() {
    let inside = |source: &&Source| WITHOUT_EGUI.iter().any(|place| source.is_in(place));
    let named = |source: &Source| -> Vec<String> {
        let words = ["egui", "eframe"].into_iter().flat_map(|word| source.words(word));
        words.map(|(line, _)| source.finding(line, "egui belongs to pages, widgets, charts and the shell")).collect()
    };
    assert_none(app().iter().filter(inside).flat_map(named).collect());
}

/// Finds a file that is too long without its tests.
fn long_file(source: &Source) -> Option<String> {
    let lines = source.text.lines().take_while(|line| !line.starts_with("#[cfg(test)]")).count();
    (lines > MAX_LINES).then(|| source.finding(lines, format!("{lines} lines are more than {MAX_LINES}")))
}

fn long_functions(source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    for (line, at) in source.words("fn") {
        let name: String = source.code[at + 2..].trim_start().chars().take_while(|c| is_word(*c)).collect();
        let Some(end) = body(&source.code, at).map(|(_, end)| source.line_at(end)) else { continue };
        let lines = end - line + 1;
        if lines > MAX_FUNCTION && !name.is_empty() {
            found.push(source.finding(line, format!("`{name}` has {lines} lines, more than {MAX_FUNCTION}")));
        }
    }
    found
}

/// Start and end of the next block in braces, if one comes before a semicolon outside of other brackets.
fn body(code: &str, from: usize) -> Option<(usize, usize)> {
    let (mut depth, mut begin) = (0usize, None);
    for (i, c) in code[from..].char_indices() {
        match c {
            ';' if depth == 0 => return None,
            '{' if depth == 0 => begin = Some(from + i),
            _ => {}
        }
        match c {
            '{' | '(' | '[' => depth += 1,
            '}' | ')' | ']' => depth = depth.checked_sub(1)?,
            _ => {}
        }
        if let Some(begin) = begin.filter(|_| depth == 0) {
            return Some((begin, from + i));
        }
    }
    None
}

/// Folders with more files and folders in them than fit on a screen.
fn full_folders<'a>(paths: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut folders: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for mut path in paths {
        while let Some((folder, entry)) = path.rsplit_once('/') {
            folders.entry(folder).or_default().insert(entry);
            path = folder;
        }
    }
    let full = folders.iter().filter(|(folder, entries)| !LISTS.contains(folder) && entries.len() > MAX_ENTRIES);
    full.map(|(folder, entries)| format!("{folder}: {} entries are more than {MAX_ENTRIES}", entries.len())).collect()
}

/// Matches over a growing enum that end in a wildcard.
fn wildcards(source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    for (_, at) in source.words("match") {
        let Some((begin, end)) = body(&source.code, at) else { continue };
        let patterns = patterns(&source.code, begin + 1, end);
        let Some(named) = GROWING.iter().find(|name| patterns.iter().any(|(pattern, _)| names(pattern, name))) else {
            continue;
        };
        for (pattern, at) in patterns.iter().filter(|(pattern, _)| takes_all(pattern)) {
            let line = source.line_at(*at);
            found.push(source.finding(line, format!("`{pattern} =>` hides a new `{named}`: list them")));
        }
    }
    found
}

/// True if a pattern has a variant of this enum in it.
fn names(pattern: &str, name: &str) -> bool {
    pattern.match_indices(&format!("{name}::")).any(|(i, _)| !pattern[..i].ends_with(is_word))
}

/// True for `_`, for a name, and for both in brackets; but not for `true`, `false`, a number or a literal.
fn takes_all(pattern: &str) -> bool {
    let mut words = pattern.split(|c: char| !is_word(c)).filter(|word| !word.is_empty());
    let plain = pattern.chars().all(|c| is_word(c) || "(), ".contains(c));
    plain
        && words.all(|word| {
            !word.starts_with(|c: char| c.is_uppercase() || c.is_numeric()) && !["true", "false"].contains(&word)
        })
}

/// The patterns of a match whose arms lie between `from` and `end`, without their guards, each with its place.
fn patterns(code: &str, from: usize, end: usize) -> Vec<(String, usize)> {
    let mut patterns = Vec::new();
    let mut at = from;
    while let Some(arrow) = outside(code, at, end, "=>") {
        let begin = at + code[at..arrow].len() - code[at..arrow].trim_start().len();
        let pattern = code[begin..arrow].split_whitespace().collect::<Vec<_>>().join(" ");
        patterns.push((pattern.split(" if ").next().unwrap_or_default().to_owned(), begin));
        let after = arrow + 2 + code[arrow + 2..].len() - code[arrow + 2..].trim_start().len();
        at = match body(code, after).filter(|(begin, _)| *begin == after) {
            Some((_, close)) => close + 1 + usize::from(code[close + 1..].starts_with(',')),
            None => outside(code, after, end, ",").map_or(end, |comma| comma + 1),
        };
    }
    patterns
}

/// Position of the next `what` outside of brackets.
fn outside(code: &str, from: usize, end: usize, what: &str) -> Option<usize> {
    let mut depth = 0usize;
    for (i, c) in code[from..end].char_indices() {
        if depth == 0 && code[from + i..end].starts_with(what) {
            return Some(from + i);
        }
        match c {
            '{' | '(' | '[' => depth += 1,
            '}' | ')' | ']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    None
}

/// Pages that a page names beside itself; what several pages need lies in `widgets`, `records` or `text`.
fn foreign_pages(source: &Source) -> Vec<String> {
    let Some(own) = source.path.strip_prefix("src/app/pages/").and_then(|rest| rest.split_once('/')) else {
        // Only the window puts pages together.
        let outside = !source.is_in("src/app/shell/") && source.path != "src/app/mod.rs";
        let named = source.paths("crate").into_iter().filter(|(_, path)| outside && path.get(2).is_some());
        let named = named.filter(|(_, path)| path[1] == "app" && path[2] == "pages");
        return named.map(|(line, path)| source.finding(line, format!("`{}` is a page's", path.join("::")))).collect();
    };
    let paths = source.paths("crate").into_iter();
    let foreign = paths.filter(|(_, path)| {
        path.get(1).is_some_and(|name| name == "app")
            && path.get(2).is_some_and(|name| name == "pages")
            && path.get(3).is_none_or(|name| name != own.0)
    });
    foreign.map(|(line, path)| source.finding(line, format!("`{}` is another page's", path.join("::")))).collect()
}

#[test]
fn a_long_file_is_found() {
    assert_eq!(long_file(&Source::new("src/app/a.rs", "\n".repeat(MAX_LINES))), None, "just short enough");
    assert!(long_file(&Source::new("src/app/a.rs", "\n".repeat(MAX_LINES + 1))).is_some(), "a line too long");
}

#[test]
fn a_long_function_is_found() {
    let of = |n: usize| {
        let text =
            format!("trait A {{\n    fn a();\n}}\nfn b(c: [u8; 2]) -> u8 {{\n{}}}\n", "    c(\"}\");\n".repeat(n));
        long_functions(&Source::new("src/app/a.rs", text))
    };
    assert_found(&of(MAX_FUNCTION - 2), &[]);
    assert_found(&of(MAX_FUNCTION - 1), &["a.rs:4: `b` has 81 lines"]);
}

#[test]
fn a_full_folder_is_found() {
    let paths = |n: usize| (0..n).map(|i| format!("src/app/a/{i}/b.rs")).collect::<Vec<_>>();
    assert_found(&full_folders(paths(MAX_ENTRIES).iter().map(String::as_str)), &[]);
    assert_found(&full_folders(paths(MAX_ENTRIES + 1).iter().map(String::as_str)), &["src/app/a: 16 entries"]);
}

#[test]
fn a_wildcard_is_found() {
    let check = |text: &str| wildcards(&Source::new("src/app/a.rs", text));
    let arms = |last: &str| {
        format!("fn f() {{\n    match a {{\n        Event::A {{ b, .. }} => b,\n        {last}\n    }}\n}}")
    };
    assert_found(&check(&arms("_ => 1,")), &["a.rs:4: `_ =>` hides a new `Event`"]);
    assert_found(&check(&arms("_ if a => 1,")), &["`_ =>`"]);
    assert_found(&check(&arms("event => g(event),")), &["`event =>`"]);
    assert_found(&check("match (a, b) { (1, Method::B) => 1, (_, _) => { 2 } }"), &["hides a new `Method`"]);
    assert_found(&check(&arms("Event::C | Event::D(_) => {}")), &[]);
    assert_found(&check("match (a, b) { (true, false) if c != Method::D => 1, (true, true) => 2, _ => 3 }"), &[]);
    assert_found(&check("match (a, b) { (Some(_), Command::B) => 1, (None, Command::B) => 2 }"), &[]);
    assert_found(
        &check("match a { Some(b) => match b { Kind::A => Event::B, _ => Event::C }, None => Event::D }"),
        &[],
    );
}

#[test]
fn a_foreign_page_is_found() {
    let check = |path: &str, text: &str| foreign_pages(&Source::new(path, text));
    let text = "use crate::app::pages::run::run_ui;\nuse crate::app::{pages, state};";
    assert_found(
        &check("src/app/pages/plan/page.rs", text),
        &["`crate::app::pages::run::run_ui`", "`crate::app::pages`"],
    );
    assert_found(&check("src/app/pages/run/page.rs", "use super::text;\nuse crate::app::pages::run::x;"), &[]);
    assert_found(&check("src/app/widgets/run.rs", text), &["`crate::app::pages::run::run_ui`", "`crate::app::pages`"]);
    assert_found(&check("src/app/shell/draw.rs", text), &[]);
}
