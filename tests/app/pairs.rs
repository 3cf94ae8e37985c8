//! The pairs: read, counted, flagged, searched, mapped, skipped.

use std::sync::Arc;

use eframe::egui::{self, accesskit::Role};
use egui_kittest::kittest::{NodeT as _, Queryable as _};
use pairtune::engine::protocol::*;
use serde_json::{Map, json};

use super::script::{self, Stage, problem, progress};
use super::{Dropped, Folder};

#[test]
fn lengths_are_drawn_as_a_histogram() {
    let mut stage = Stage::planned();
    stage.harness.ctx.set_theme(egui::Theme::Light);
    stage.go("2  Pairs");
    stage.click("Lengths");
    stage.wait(1.0);
    stage.looks_like("lengths");
}

#[test]
fn what_a_file_is_called_and_the_scores_of_its_rows_are_shown() {
    let mut stage = Stage::planned();
    let shape = "UltraFeedback, binarized: the prompt is what both conversations begin with".to_owned();
    stage.say(Event::PairsOpened(Box::new(PairsInfo { shape: Some(shape.clone()), ..script::pairs(24) })));
    let mut rows = script::rows(24);
    rows[0].scores = Some([8.5, 3.0]);
    stage.say(Event::PairRows { first: 0, rows });
    stage.go("2  Pairs");
    stage.expect(&shape);
    stage.click("Inspect");
    stage.expect("scored 8.5 and 3 in the file");
    stage.click("Next");
    assert!(!stage.shows("scored 8.5"), "others have none");
}

#[test]
fn pairs_are_counted_while_they_are_read() {
    let mut stage = Stage::ready();
    stage.go("2  Pairs");
    let progress = progress("reading rows", 40_000_000, 100_000_000);
    stage.say(Event::PairsProgress { progress, rows: 1200, problems: 3 });
    stage.say(Event::PairRows { first: 0, rows: script::rows(50) });
    stage.expect("1200 usable so far, 3 with problems");
    stage.expect("How do I reset my password? (case 1)");
    stage.sent();
    stage.click("Cancel");
    assert_eq!(stage.sent(), [Command::Cancel], "reading ends");
}

#[test]
fn rows_with_problems_are_listed_and_must_be_agreed_to() {
    let mut stage = Stage::planned();
    stage.say(Event::PairsOpened(Box::new(script::pairs_with_problems(24))));
    stage.wait(1.0);
    stage.say(Event::Planned(Box::new(script::plan())));
    stage.go("3  Plan");
    stage.sent();
    stage.click("6 rows cannot be used: look at them");
    stage.expect("30 rows: 24 used");
    stage.click("Problems 6");
    stage.expect("6 rows: \"rejected\" is missing");
    stage.expect("Lines 77, 78, 79, 80, 81, 82");
    stage.expect("Add it, or map another column to it");
    stage.click("Train on the 24 usable rows; 6 have problems and are skipped");
    stage.go("3  Plan");
    stage.click("Start training");
    assert!(matches!(stage.sent()[..], [Command::Run(RunCommand::Start(_))]), "after that, a run begins");
}

#[test]
fn rows_are_skipped_and_sides_swapped() {
    let mut stage = Stage::planned();
    stage.go("2  Pairs");
    stage.sent();
    assert!(stage.harness.query_all_by_label("held out").count() > 0, "every tenth row is marked");
    stage.click("Skip line 3");
    assert_eq!(stage.sent(), [Command::Pairs(PairsCommand::Skip { rows: vec![2], skip: true })], "one row");
    stage.click("Swap chosen and rejected");
    assert_eq!(stage.sent(), [Command::Pairs(PairsCommand::Swap)], "all rows");
    stage.say(Event::PairsOpened(Box::new(PairsInfo { swapped: true, ..script::pairs(24) })));
    stage.expect("chosen and rejected swapped");
    stage.wait(1.0);
    assert!(matches!(stage.sent()[..], [Command::Plan(PlanCommand::Estimate { .. })]), "the plan is worked out again");
}

#[test]
fn the_chat_template_is_shown_and_changed() {
    let mut stage = Stage::planned();
    stage.go("2  Pairs");
    stage.sent();
    stage.click("Chat template");
    stage.click("Thinking off");
    let off = Map::from_iter([("enable_thinking".to_owned(), json!(false))]);
    assert_eq!(
        stage.sent(),
        [Command::Pairs(PairsCommand::SetChat(Chat { template: None, kwargs: off.clone() }))],
        "its own template"
    );
    stage.say(Event::ChatSet(Box::new(ChatInfo { kwargs: off.clone(), ..script::chat() })));
    stage.type_into("Text of the template", "{{ x");
    stage.click("Use this template");
    let [Command::Pairs(PairsCommand::SetChat(Chat { template: Some(template), kwargs }))] = &stage.sent()[..] else {
        panic!("the edited template is set")
    };
    assert!(template.contains("{{ x") && *kwargs == off, "what was typed, and thinking as it was: {template}");
    let refused = problem("The chat template failed: unexpected end", "Correct it");
    stage.say(Event::Refused { subject: Subject::Chat, problem: refused });
    stage.expect("This template cannot be used");
    let changed = ChatInfo { template: Some("other".into()), kwargs: off.clone(), ..script::chat() };
    stage.say(Event::ChatSet(Box::new(changed)));
    assert!(stage.harness.query_by_label("This template cannot be used").is_none(), "the next one can");
    stage.expect("not the model's own");
    stage.click("Back to the model's own");
    assert_eq!(
        stage.sent(),
        [Command::Pairs(PairsCommand::SetChat(Chat { template: None, kwargs: off }))],
        "its own again"
    );
}

#[test]
fn a_flag_shows_its_rows_and_skips_them_only_when_asked_to() {
    let mut stage = Stage::planned();
    stage.go("2  Pairs");
    stage.sent();
    let chip = stage.harness.get_by_label("Show the rows with the flag \"long\"").rect();
    assert!(chip.height() >= 24.0, "its text has room: {chip:?}");
    stage.click("Show the rows with the flag \"long\"");
    assert_eq!(stage.sent(), [], "nothing is skipped by looking");
    assert_eq!(stage.harness.query_all_by_label_contains("Inspect line").count(), 3, "only they are in the table");
    stage.expect("Only \"long\": 3 rows");
    stage.click("Skip line 11");
    assert_eq!(
        stage.sent(),
        [Command::Pairs(PairsCommand::Skip { rows: vec![10], skip: true })],
        "the row that was clicked"
    );
    stage.click("Skip these 2 rows");
    assert_eq!(stage.sent(), [Command::Pairs(PairsCommand::Skip { rows: vec![3, 17], skip: true })], "the others");
    stage.say(Event::PairsOpened(Box::new(PairsInfo { skipped: 3, ..script::pairs(24) })));
    stage.expect("24 rows: 21 used (4 truncated), 3 skipped");
    stage.expect("Only \"long\": 3 rows, 3 skipped");
    stage.wait(1.0);
    stage.sent();
    stage.click("Take 3 rows back in");
    assert_eq!(
        stage.sent(),
        [Command::Pairs(PairsCommand::Skip { rows: vec![3, 10, 17], skip: false })],
        "and back in"
    );
    stage.click("Show all rows");
    assert!(stage.harness.query_all_by_label_contains("Inspect line").count() > 3, "all rows are there");
}

#[test]
fn a_file_without_a_usable_row_leads_nowhere() {
    let mut stage = Stage::ready();
    stage.say(Event::ModelOpened(Box::new(script::model())));
    stage.go("2  Pairs");
    let problems = script::pairs_with_problems(24);
    let first = LineProblem { line: 2, ..problems.problems[0].clone() };
    let kind = ProblemKind { count: 300, lines: vec![2, 15, 44], first };
    let purpose = Some(problem("This is a file for KTO", "Put a good and a bad answer into one row"));
    stage.say(Event::PairsOpened(Box::new(PairsInfo {
        lines: 300,
        usable: 0,
        problem_count: 300,
        problem_kinds: vec![kind],
        purpose,
        flags: Vec::new(),
        ..problems
    })));
    stage.expect("300 rows, none of which can be used");
    stage.expect("This is a file for KTO");
    stage.expect("300 rows: \"rejected\" is missing");
    stage.expect("Lines 2, 15, 44 and 297 more");
    for absent in ["Next: plan the run", "is the longer one in", "Held out", "Swap chosen"] {
        assert!(!stage.shows(absent), "nothing is said or done with no pairs: {absent}");
    }
    stage.go("3  Plan");
    stage.expect("No pair can be used: see why");
}

#[test]
fn columns_are_mapped_by_hand() {
    let folder = Folder::new(&["tone.jsonl"]);
    let mut stage = Stage::ready();
    stage.harness.input_mut().dropped_files = vec![Arc::new(Dropped(folder.0.join("tone.jsonl")))];
    stage.run();
    stage.say_pairs(24);
    stage.sent();
    stage.click("Edit columns");
    stage.harness.get_by_role_and_label(Role::ComboBox, "Rejected from").click();
    stage.run();
    stage.click("note");
    stage.click("Apply");
    let sent = stage.sent_with_files();
    let [(Command::Pairs(PairsCommand::Open { mapping: Some(mapping) }), files)] = sent.as_slice() else {
        panic!("the file is read again, not {sent:?}")
    };
    assert_eq!(mapping.rejected, "note", "with the other column");
    assert_eq!(files, &["tone.jsonl"], "the same file");
}

#[test]
fn thumbs_become_pairs_by_a_click() {
    let folder = Folder::new(&["tone.jsonl"]);
    let mut stage = Stage::ready();
    stage.harness.input_mut().dropped_files = vec![Arc::new(Dropped(folder.0.join("tone.jsonl")))];
    stage.run();
    stage.say_pairs(24);
    assert!(!stage.shows("pairs of them"), "they are pairs already");
    let thumbs = PairsInfo { kind: Kind::Labelled, to_make: 12, ..script::pairs(24) };
    stage.harness.input_mut().dropped_files = vec![Arc::new(Dropped(folder.0.join("tone.jsonl")))];
    stage.run();
    stage.say(Event::PairRows { first: 0, rows: script::rows(24) });
    stage.say(Event::PairsOpened(Box::new(thumbs)));
    stage.expect("Edit columns");
    stage.type_into("Search", "password");
    stage.harness.key_press(egui::Key::Enter);
    stage.run();
    stage.say(Event::RowsFound { text: "password".into(), rows: vec![4, 20] });
    stage.sent();
    stage.click("Make 12 pairs of them");
    assert_eq!(stage.sent(), [Command::Pairs(PairsCommand::Make)]);
    stage.say(Event::PairRows { first: 0, rows: script::rows(12) });
    stage.say(Event::PairsOpened(Box::new(PairsInfo { edits: 1, ..script::pairs(12) })));
    assert!(!stage.shows("pairs of them") && !stage.shows("in 2 rows"), "the rows that were found are others");
    assert!(!stage.shows("Edit columns"), "the columns of the file are not those of the pairs");
    stage.expect("12 rows: 12 used");
    stage.expect("Save rows…");
}

#[test]
fn a_file_goes_and_comes_back_with_its_pairs() {
    let folder = Folder::new(&["tone.jsonl", "other.jsonl"]);
    let mut stage = Stage::ready();
    stage.harness.input_mut().dropped_files = vec![Arc::new(Dropped(folder.0.join("tone.jsonl")))];
    stage.run();
    stage.say_pairs(24);
    stage.click("Edit columns");
    stage.harness.input_mut().dropped_files = vec![Arc::new(Dropped(folder.0.join("other.jsonl")))];
    stage.run();
    stage.say(Event::Refused { subject: Subject::Pairs, problem: problem("No row can be used", "Map the columns") });
    stage.sent();
    assert!(!stage.shows("Apply"), "columns of another file are not edited any more");
    stage.click("Edit columns");
    stage.click("Apply");
    let sent = stage.sent_with_files();
    assert!(matches!(&sent[..], [(_, files)] if files == &["tone.jsonl"]), "the pairs that are open: {sent:?}");
}

#[test]
fn a_pair_is_read_as_the_model_sees_it() {
    let mut stage = Stage::planned();
    stage.go("2  Pairs");
    stage.sent();
    stage.click("Inspect");
    assert_eq!(stage.sent(), [Command::Pairs(PairsCommand::Read { index: 0, max_length: 1024 })], "the first pair");
    let sequence = SeenSequence {
        tokens: ["<|im_start|>", "user", "\n", "Refund", "?", "Of", " course", "."].map(str::to_owned).to_vec(),
        prompt_len: 5,
        cut: 1,
    };
    let parts = ["Refund?", "Of course.", "No."].map(script::passage);
    let view = PairView { index: 0, line: 1, parts, seen: Ok(vec![sequence.clone(), sequence]) };
    stage.say(Event::PairView(Box::new(view)));
    stage.expect("<|im_start|>");
    stage.expect("Of\u{2009}·course.");
    assert_eq!(stage.harness.query_all_by_label_contains("8 tokens, 2 scored, 1 truncated").count(), 2, "both sides");
    stage.click("Raw");
    stage.expect("Refund?");
    stage.click("Next");
    assert_eq!(stage.sent(), [Command::Pairs(PairsCommand::Read { index: 1, max_length: 1024 })], "the next pair");
}

#[test]
fn rows_that_a_plan_skips_or_cuts_are_told_alike_everywhere() {
    let mut stage = Stage::planned();
    let dropped = vec![(2, SkipReason::TooLong), (6, SkipReason::TooLong), (8, SkipReason::Template)];
    stage.say(Event::Planned(Box::new(PlanInfo { dropped, lengths: vec![900, 1500], ..script::plan() })));
    stage.go("2  Pairs");
    stage.sent();
    stage.expect("24 rows: 21 used (4 truncated), 3 skipped");
    stage.click("Problems");
    stage.expect("With this model and these settings, 4 truncated and 3 skipped.");
    stage.click("Show the rows with the flag \"too long\"");
    stage.expect("Only \"too long\": 2 rows");
    assert_eq!(stage.harness.query_all_by_label_contains("Inspect line").count(), 2, "only they are in the table");
    stage.click("Skip these 2 rows");
    assert_eq!(stage.sent(), [Command::Pairs(PairsCommand::Skip { rows: vec![2, 6], skip: true })], "those rows");
    stage.click("Show the rows with the flag \"truncated\"");
    stage.click("Raise max length to 1500");
    stage.wait(1.0);
    let sent = stage.sent();
    let [Command::Plan(PlanCommand::Estimate { settings, .. })] = &sent[..] else {
        panic!("it is planned again, not {sent:?}")
    };
    assert_eq!(settings["max_length"], json!(1500), "as long as the longest row");
    stage.go("3  Plan");
    stage.expect("4 truncated, 3 skipped");
}

#[test]
fn rows_are_searched_and_sorted() {
    let mut stage = Stage::planned();
    stage.go("2  Pairs");
    stage.sent();
    stage.type_into("Search", "password");
    stage.harness.key_press(egui::Key::Enter);
    stage.run();
    assert_eq!(
        stage.sent(),
        [Command::Pairs(PairsCommand::Find { text: "password".into() })],
        "the engine has the whole texts"
    );
    stage.say(Event::RowsFound { text: "password".into(), rows: vec![4, 9] });
    stage.expect("in 2 rows");
    stage.say(Event::PairsOpened(Box::new(PairsInfo { skipped: 1, ..script::pairs(24) })));
    stage.expect("in 2 rows");
    stage.wait(1.0);
    stage.sent();
    assert_eq!(stage.harness.query_all_by_label_contains("Inspect line").count(), 2, "only they are in the table");
    stage.click("clear");
    assert!(stage.harness.query_all_by_label_contains("Inspect line").count() > 3, "all rows are there");
    let line = |stage: &Stage| {
        let rows = stage.harness.query_all_by_label_contains("Inspect line");
        rows.map(|row| (row.rect().top() as i32, row.accesskit_node().label().unwrap_or_default()))
            .min()
            .expect("a row")
            .1
    };
    let first = line(&stage);
    stage.click("Order");
    stage.click("Longest first");
    let longest = line(&stage);
    assert_ne!(first, longest, "another row comes first");
    stage.click("Order");
    stage.click("Shortest first");
    assert_ne!(longest, line(&stage), "and not the longest now");
}

#[test]
fn thousands_of_rows_are_drawn_as_few() {
    let mut stage = Stage::ready();
    stage.say(Event::PairRows { first: 0, rows: script::rows(20_000) });
    stage.say(Event::PairsOpened(Box::new(script::pairs(20_000))));
    stage.go("2  Pairs");
    let drawn = stage.harness.query_all_by_label_contains("Inspect line").count();
    assert!((5..80).contains(&drawn), "{drawn} rows are drawn");
}
