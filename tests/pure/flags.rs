//! The audit of labels on pairs that are odd in one way each, and on pairs that only look it.

use pairtune::data::{AuditRow, Flags, Side, audit, summary, swap_suspicion};

const PROMPT: &str = "How do I return a bicycle after hours?";

#[test]
fn a_good_pair_has_no_flags() {
    let flags = audit(&[row(PROMPT, "Leave it at the rack by the pier.", "Just leave it somewhere, whatever.")]);
    assert_eq!(flags, [Flags::default()]);
    assert!(!flags[0].any());
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
    assert!(flags.iter().all(Flags::any));
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

#[test]
fn a_summary_counts_pairs_and_lengths() {
    let pairs =
        [row("p", "aa", "b"), row("p", "aa", "b"), row("p", "b", "aa"), row("p", "c", "c"), row("p", "éé", "ddd")];
    let found = summary(&pairs, &audit(&pairs));
    assert_eq!((found.identical, found.empty, found.duplicate, found.contradicting), (1, 0, 1, 1));
    assert_eq!((found.leaks, found.much_longer), (0, 0));
    assert_eq!(found.longer_chosen_share, 0.5, "two longer, one equal, two shorter");
    assert_eq!(summary(&[], &[]).longer_chosen_share, 0.5);
    let one = [row("p", "aa", "b")];
    assert_eq!(summary(&one, &audit(&one)).longer_chosen_share, 1.0);
}

#[test]
fn swapped_columns_are_suspected_per_token_and_only_with_enough_pairs() {
    // The rejected answer is likelier per token, though not as a whole.
    let (logps, lengths) = ([-20.0, -30.0], [10, 30]);
    let many = swap_suspicion(&[logps; 20], &[lengths; 20]);
    assert_eq!((many.share, many.n_pairs), (1.0, 20));
    assert!(many.verdict.is_some_and(|text| text.contains("100 % of 20 pairs") && text.contains("swapped")));
    assert_eq!(swap_suspicion(&[logps; 19], &[lengths; 19]).verdict, None, "too few");

    let mut mixed = vec![[-20.0, -30.0]; 85];
    mixed.extend([[-10.0, -300.0]; 15]);
    let found = swap_suspicion(&mixed, &[[10, 30]; 100]);
    assert_eq!((found.share, found.verdict), (0.85, None), "not above the limit");
}

#[test]
fn pairs_that_cannot_be_compared_are_left_out() {
    let logps = [[f32::NAN, -1.0], [-1.0, -1.0], [-2.0, -1.0], [-1.0, f32::NEG_INFINITY], [-1.0, -1.0]];
    let lengths = [[1, 1], [1, 1], [1, 1], [1, 1], [0, 1]];
    let found = swap_suspicion(&logps, &lengths);
    assert_eq!((found.n_pairs, found.share), (2, 0.75), "a tie and one for the rejected answer");
    assert_eq!(swap_suspicion(&[], &[]).share, 0.5);
}

fn row<'a>(prompt: &'a str, chosen: &'a str, rejected: &'a str) -> AuditRow<'a> {
    AuditRow { prompt, chosen, rejected }
}
