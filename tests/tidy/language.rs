//! Comments begin with their subject: no sentence starts with a word that makes a newcomer read it twice.

use crate::{Source, assert_found, assert_none, sources};

/// Words that begin a sentence obliquely ("What the field is called" for "Label of the field").
const OBLIQUE: &[&str] = &[
    "What", "Which", "Whose", "Who", "Whom", "Whether", "How", "Where", "Of", "For", "As", "Those", "That", "Likewise",
    "From", "With", "By", "Beside", "To",
];

/// Openings that are plain all the same.
const PLAIN: &[&str] = &["For example", "As a result", "By default", "To do so"];

#[test]
fn comments_begin_with_their_subject() {
    let all = [sources("src", "rs"), sources("shaders", "wgsl"), sources("tests", "rs")];
    assert_none(all.iter().flatten().flat_map(oblique_starts).collect());
}

/// Finds sentences of whole-line comments that begin obliquely.
fn oblique_starts(source: &Source) -> Vec<String> {
    let (mut found, mut fenced) = (Vec::new(), false);
    // The line above within the same comment; none where a comment begins.
    let mut above: Option<String> = None;
    for (line, text) in source.text.lines().enumerate() {
        // A line of a string literal may begin like a comment; its escapes tell.
        let Some(comment) = comment_of(text).filter(|_| !text.contains("\\n")) else {
            (above, fenced) = (None, false);
            continue;
        };
        let said = comment.trim();
        fenced ^= said.starts_with("```");
        if fenced || said.starts_with("```") || comment.starts_with("    ") {
            continue;
        }
        let body = said.trim_start_matches(['-', '*', '|']).trim_start();
        let begins = above.as_ref().is_none_or(|above| above.is_empty() || above.ends_with(['.', '!', '?']));
        let within = body.match_indices(". ").map(|(at, dot)| &body[at + dot.len()..]);
        let starts = begins.then_some(body).into_iter().chain(within);
        found.extend(starts.filter(|start| is_oblique(start)).map(|start| {
            let opening: String = start.chars().take(40).collect();
            source.finding(line + 1, format!("begin with the subject, not with {opening:?}"))
        }));
        above = Some(said.to_owned());
    }
    found
}

/// The text of a whole-line comment.
fn comment_of(line: &str) -> Option<&str> {
    let rest = line.trim_start().strip_prefix("//")?;
    let rest = rest.strip_prefix(['/', '!']).unwrap_or(rest);
    Some(rest.strip_prefix(' ').unwrap_or(rest))
}

fn is_oblique(sentence: &str) -> bool {
    let word = sentence.split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or("");
    OBLIQUE.contains(&word) && !PLAIN.iter().any(|plain| sentence.starts_with(plain))
}

#[test]
fn an_oblique_start_is_found() {
    let text =
        "/// What the field is called.\nfn a() {}\n\n// Read first. Of all rows, the last.\n//! For example, 1.\n";
    let found = oblique_starts(&Source::new("src/a.rs", text));
    assert_found(&found, &["What the field", "Of all rows"]);
    let fine = "/// Label of the field,\n/// which has one.\n/// ```\n/// What is code.\n/// ```\nfn a() {}\n";
    assert_none(oblique_starts(&Source::new("src/a.rs", fine)));
}
