//! The audit of labels on pairs that are odd in one way each, and on pairs that only look it.

use pairtune::data::{AuditRow, Flags, Side, audit};

const PROMPT: &str = "How do I return a bicycle after hours?";

#[test]
fn a_good_pair_has_no_flags() {
    let flags = audit(&[row(PROMPT, "Leave it at the rack by the pier.", "Just leave it somewhere, whatever.")]);
    assert_eq!(flags, [Flags::default()]);
    assert_eq!(flags[0].words().len(), 0);
}

#[test]
fn each_oddity_is_found_and_named() {
    let long = "word ".repeat(20);
    let leaking = format!("You asked: how do I return  a bicycle\nafter hours? {PROMPT}");
    let pairs = [
        row(PROMPT, " Same.", "Same. "),
        row(PROMPT, "Some.", "  \n"),
        row(PROMPT, "", ""),
        row(PROMPT, &leaking, "I would not know how to do that, and nobody here would know it either, sorry."),
        row(PROMPT, "A short one.", &long),
        row(PROMPT, &long, "A short one, no matter."),
    ];
    let flags = audit(&pairs);
    let words: Vec<Vec<String>> = flags.iter().map(Flags::words).collect();
    let want: [&[&str]; 6] = [
        &["identical"],
        &["empty"],
        &["identical", "empty"],
        &["repeats the prompt"],
        &["rejected much longer"],
        &["chosen much longer"],
    ];
    assert_eq!(words, want);
    assert_eq!((flags[4].much_longer, flags[5].much_longer), (Some(Side::Rejected), Some(Side::Chosen)));
}

#[test]
fn duplicates_and_contradictions_name_the_first_pair() {
    let pairs = [
        row("p", "a", "b"),
        row("q", "a", "b"),
        row("p ", " a", "b\n"),
        row("p", "b", "a"),
        row("p", "a", "b"),
        row("p", "c", "c"),
        row("p", "c", "c"),
    ];
    let flags = audit(&pairs);
    let duplicates: Vec<Option<usize>> = flags.iter().map(|flags| flags.duplicate_of).collect();
    assert_eq!(duplicates, [None, None, Some(0), None, Some(0), None, Some(5)]);
    let contradictions: Vec<Option<usize>> = flags.iter().map(|flags| flags.contradicts).collect();
    assert_eq!(contradictions, [None, None, None, Some(0), Some(3), None, None]);
}

#[test]
fn what_is_found_by_chance_is_no_flag() {
    let [x120, x121, y40, e100] = ["x".repeat(120), "x".repeat(121), "y".repeat(40), "é".repeat(100)];
    let pairs = [
        row("Hi", "Hi there, hi!", "Hi."),
        row("", "Nothing was asked.", "Nothing at all was."),
        row(PROMPT, "Yes", "Of course not, no"),
        row(PROMPT, &x120, &y40),
        row(PROMPT, &e100, &y40),
    ];
    for (pair, flags) in pairs.iter().zip(audit(&pairs)) {
        assert_eq!(flags, Flags::default(), "{pair:?}");
    }
    assert_eq!(audit(&[row(PROMPT, &x121, &y40)])[0].much_longer, Some(Side::Chosen), "one character more");
}

fn row<'a>(prompt: &'a str, chosen: &'a str, rejected: &'a str) -> AuditRow<'a> {
    AuditRow { prompt, chosen, rejected }
}
