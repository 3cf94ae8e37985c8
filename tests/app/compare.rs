//! Comparing: prompts, held-out pairs, blind votes, another beta on paper.

use eframe::egui::{Key, accesskit::Role};
use egui_kittest::kittest::{NodeT as _, Queryable as _};
use pairtune::engine::protocol::*;
use serde_json::json;

use crate::at_run::*;
use crate::script;

/// A finished run at the page that compares.
fn comparing() -> Test {
    let mut test = Test::running(72);
    test.say(summary(true));
    test.page(Key::Num5);
    test.sent();
    test
}

fn text_of(test: &mut Test, id: u64, side: usize, piece: &str) {
    test.say(Event::Text { id, side, piece: piece.into(), end: true, tokens: 9, seconds: 1.5 });
}

fn generated(test: &Test) -> GenerateRequest {
    let sent = test.sent();
    let request = sent.iter().find_map(|command| match command {
        Command::Compare(CompareCommand::Generate(request)) => Some((**request).clone()),
        _ => None,
    });
    request.unwrap_or_else(|| panic!("no text was asked for, but {sent:?}"))
}

#[test]
fn both_models_answer_the_same_prompt() {
    let mut test = comparing();
    test.click("Generate");
    let request = generated(&test);
    assert_eq!((request.strengths.as_slice(), request.seed), ([0.0, 1.0].as_slice(), 7));
    assert_eq!(request.prompt, prompts()[0]);
    text_of(&mut test, request.id, 0, "You can not do that here, ask the support.");
    text_of(&mut test, request.id, 1, "Sure, you can do that here: open the settings and reset it.");
    test.sees("Sure, you can do that here");
    test.sees("Tuned, adapter scale 100 %");
    test.sees("12 words, 9 tokens, 6.0 tokens/s");
    assert!(!test.has("Reply") && !test.has("System prompt"), "these pairs are no conversations");
    test.shot("compare-prompts");
}

#[test]
fn a_list_of_prompts_is_answered() {
    let mut test = comparing();
    test.click("Several prompts");
    for number in (1..=prompts().len()).rev() {
        test.click(&format!("Remove prompt {number}"));
    }
    assert!(test.stage.harness.get_by_label("Generate all").accesskit_node().is_disabled(), "nothing to answer");
    test.click("Add a prompt");
    test.stage.type_into("Prompt 1", "Is it open?\n\nWho are you?\n");
    test.click("One prompt per line");
    assert!(!test.has("One prompt per line"), "each has one line");
    test.click("Add a prompt");
    test.click("Generate all");
    let request = generated(&test);
    assert_eq!(request.prompts().collect::<Vec<_>>(), ["Is it open?", "Who are you?"], "no empty one");
    assert_eq!(request.strengths, [0.0, 1.0]);
    for (side, answer) in ["No.", "Yes, gladly!", "Go away."].into_iter().enumerate() {
        text_of(&mut test, request.id, side, answer);
    }
    test.sees("Yes, gladly!");
    test.sees("1 of 2 prompts answered");
    test.shot("compare-list");
    test.click("Cancel");
    test.sends(Command::Cancel);
    test.say(Event::Cancelled { subject: Subject::Compare });
    test.sees("1 of 2 prompts answered");
    test.sees("This was not written to its end.");
    let save = test.stage.harness.get_by_label("Save the answers…");
    assert!(!save.accesskit_node().is_disabled(), "one prompt is answered by both");
}

#[test]
fn a_conversation_goes_on_side_by_side() {
    let mut test = Test::running(72);
    test.say(Event::ModelOpened(Box::new(script::model())));
    test.say(Event::PairsOpened(Box::new(PairsInfo { conversations: true, ..script::pairs(24) })));
    test.say(summary(true));
    test.page(Key::Num5);
    test.sent();
    test.stage.type_into("System prompt", "Be kind.");
    assert!(!test.has("Reply"), "nothing was said yet");
    test.click("Generate");
    let first = generated(&test);
    assert_eq!((first.system.as_str(), first.turns.len()), ("Be kind.", 0));
    text_of(&mut test, first.id, 0, "No.");
    text_of(&mut test, first.id, 1, "Gladly!");
    test.stage.type_into("Prompt", "And tomorrow?");
    test.click("Reply");
    let second = generated(&test);
    let turn = Turn { prompt: first.prompt.clone(), answers: vec!["No.".into(), "Gladly!".into()] };
    assert_eq!((second.prompt.as_str(), second.turns.as_slice()), ("And tomorrow?", [turn.clone()].as_slice()));
    text_of(&mut test, second.id, 0, "Ask the sign.");
    text_of(&mut test, second.id, 1, "At nine, dear guest.");
    test.sees("At nine, dear guest.");
    assert!(test.has("And tomorrow?"), "beside what they answer");
    test.sees("Gladly!");
    test.shot("compare-chat");
    test.stage.type_into("Prompt", "Something else");
    test.click("Generate");
    assert_eq!(generated(&test).turns, [], "a new conversation");
}

#[test]
fn comparing_waits_for_a_pause() {
    let mut test = Test::running(24);
    test.page(Key::Num5);
    test.sees("The run needs the GPU");
    test.shot("compare-busy");
    test.click("Pause");
    test.sends(Command::Run(RunCommand::Pause));
}

#[test]
fn a_stored_run_is_opened_to_compare() {
    let mut test = Test::new();
    test.say(Event::Runs { runs: vec![record()] });
    test.page(Key::Num5);
    test.shot("compare-empty");
    test.sent();
    test.click("Open tone-v2");
    assert_eq!(test.sent(), [Command::Library(LibraryCommand::Open { run_id: RUN.into() })]);
    test.say(Event::RunOpened(Box::new(run_info((1..=80).map(metrics_at).collect()))));
    test.sees("Generate");
}

#[test]
fn held_out_pairs_are_scored_sorted_and_inspected() {
    let mut test = comparing();
    test.click("Pairs");
    test.click("Score 30 held-out pairs");
    assert_eq!(test.sent(), [Command::Compare(CompareCommand::ScoreHeldOut { strength: 1.0 })]);
    test.say(Event::HeldOut { strength: 1.0, pairs: held_out() });
    test.sees("Held-out accuracy ");
    test.sees("always the longer 62 %");
    test.shot("compare-pairs");
    test.click("Score at 50 %");
    assert_eq!(test.sent(), [Command::Compare(CompareCommand::ScoreHeldOut { strength: 0.5 })]);
    test.say(Event::HeldOut { strength: 0.5, pairs: held_out() });
    test.click("Most improved");
    test.click("All");
    test.click("Inspect line 1");
    assert_eq!(test.sent(), [Command::Compare(CompareCommand::InspectPair { index: 0, strength: 1.0 })]);
    let token = |text: &str, base: f32, tuned: f32| TokenChange { text: text.into(), base, tuned };
    let chosen = vec![
        token("Of", -2.0, -0.6),
        token(" course", -0.5, -0.3),
        token(".", -0.4, -0.4),
        token(" Send", -3.0, -1.1),
        token(" it", -1.0, -1.4),
        token(" back", -0.7, -0.5),
        token("\n", -1.0, -0.9),
    ];
    let sides = [chosen, vec![token("No", -1.0, -4.5), token(".", -0.5, -0.6)]];
    let prompt = "Can I get a refund?".into();
    test.say(Event::Inspected(Box::new(Inspection { index: 0, strength: 1.0, prompt, sides, margin: 0.72 })));
    test.sees("Line 1, token by token");
    test.sees("Most of the margin comes from");
    test.sees("Margin +0.720 = beta 0.1 ×");
    test.stage.harness.get_by_label_contains("Most of the margin comes from").scroll_to_me();
    test.stage.harness.run_steps(30);
    test.shot("inspector");
    let slider = test.stage.harness.get_all_by_role(Role::Slider).next().expect("a slider for the adapter scale");
    slider.set_value_accesskit(50.0);
    test.stage.harness.run_steps(3);
    assert!(!test.has("Line 1, token by token"), "it is at another adapter scale");
}

#[test]
fn an_inspected_pair_has_the_name_of_its_row_and_is_brought_into_view() {
    let mut test = comparing();
    let Event::PairRows { first, mut rows } = pair_rows() else { panic!("rows") };
    rows.iter_mut().for_each(|row| row.line += 76);
    test.say(Event::PairRows { first, rows });
    test.click("Pairs");
    test.say(Event::HeldOut { strength: 1.0, pairs: held_out() });
    test.click("All");
    test.click("Inspect line 77");
    test.stage.harness.run_steps(20);
    let work = test.stage.harness.get_by_role_and_label(Role::ProgressIndicator, "Scoring every token");
    let bottom = work.rect().bottom();
    assert!(bottom < 720.0, "the work is seen, not at {bottom}");
    let sides = [0.1, -0.2].map(|tuned| vec![TokenChange { text: "No".into(), base: -1.0, tuned }]);
    let inspection = Inspection { index: 0, strength: 1.0, prompt: "Refund?".into(), sides, margin: 0.1 };
    test.say(Event::Inspected(Box::new(inspection)));
    test.stage.harness.run_steps(20);
    let bottom = test.stage.harness.get_by_label("Line 77, token by token").rect().bottom();
    assert!(bottom < 720.0, "and so is what came of it, not at {bottom}");
    test.stage.harness.get_by_label("Held-out accuracy by adapter scale").scroll_to_me();
    test.stage.harness.run_steps(20);
    let top = test.stage.harness.get_by_label("Line 77, token by token").rect().top();
    assert!(top > bottom, "once: who scrolls away is not brought back");
}

#[test]
fn every_adapter_scale_is_scored_at_a_click() {
    let mut test = comparing();
    test.click("Pairs");
    test.say(Event::HeldOut { strength: 1.0, pairs: held_out() });
    test.click("Score all");
    for strength in [0.25, 0.5] {
        assert_eq!(test.sent(), [Command::Compare(CompareCommand::ScoreHeldOut { strength })], "one after the other");
        test.say(Event::HeldOut { strength, pairs: held_out() });
    }
    assert_eq!(test.sent(), [Command::Compare(CompareCommand::ScoreHeldOut { strength: 0.75 })]);
    test.click("Cancel");
    test.say(Event::Cancelled { subject: Subject::Compare });
    assert_eq!(test.sent(), [Command::Cancel], "and no other");
    test.click("Score all");
    for strength in [0.75, 1.25, 1.5] {
        assert_eq!(test.sent(), [Command::Compare(CompareCommand::ScoreHeldOut { strength })], "those that are left");
        test.say(Event::HeldOut { strength, pairs: held_out() });
    }
    assert_eq!(test.sent(), [], "that was the last");
    assert!(!test.has("Score all"), "nothing is left");
}

#[test]
fn a_blind_test_is_done_by_keys() {
    let mut test = comparing();
    test.click("Blind test");
    test.click("Start the test");
    for (round, key) in [Key::Num1, Key::Num0, Key::Num2].into_iter().enumerate() {
        let request = generated(&test);
        assert_eq!(request.seed, 7 + round as u64, "another seed each time");
        test.stage.harness.key_press(key);
        test.stage.harness.run_steps(3);
        test.sees("Keys: 1 for A"); // No vote before both are written.
        text_of(&mut test, request.id, 0, "You can't.");
        text_of(&mut test, request.id, 1, "Sure, open Settings.");
        if round == 0 {
            assert!(test.stage.harness.query_by_label("tuned").is_none(), "no names before the vote");
            test.shot("blind");
        }
        test.stage.harness.key_press(key);
        test.stage.harness.run_steps(3);
        test.sees("The tuned model wins");
        if round < 2 {
            test.stage.harness.key_press(Key::Space);
            test.stage.harness.run_steps(3);
        }
    }
    test.sees("1 without difference");
    test.shot("blind-votes");
    test.click("Start over");
    test.sees("3 votes, not saved as pairs");
    test.sees("The tuned model wins");
    test.click("Discard them");
    assert!(!test.has("The tuned model wins"), "the votes are gone");
}

/// A blind test of which the first question is answered by both models.
fn blind() -> (Test, GenerateRequest) {
    let mut test = comparing();
    test.click("Blind test");
    test.click("Start the test");
    let request = generated(&test);
    text_of(&mut test, request.id, 0, "You can't.");
    (test, request)
}

fn vote(test: &mut Test) {
    test.stage.harness.key_press(Key::Num1);
    test.stage.harness.run_steps(3);
}

#[test]
fn what_was_not_written_to_its_end_is_not_voted_on() {
    let (mut test, before) = blind();
    test.click("Cancel");
    test.sends(Command::Cancel);
    test.say(Event::Cancelled { subject: Subject::Compare });
    vote(&mut test);
    assert!(!test.has("The tuned model wins"), "one of them has said nothing");
    test.sees("This was not written to its end.");
    test.shot("blind-failed");
    test.click("Write again");
    let again = generated(&test);
    assert_eq!((&again.prompt, again.seed), (&before.prompt, before.seed), "the same question");
}

#[test]
fn votes_stay_with_the_adapter_that_they_are_about() {
    let (mut test, request) = blind();
    text_of(&mut test, request.id, 1, "Sure.");
    vote(&mut test);
    test.sees("The tuned model wins");
    let opened = |run_id: &str, best_step: usize| {
        let record = RunRecord { run_id: run_id.into(), best_step: Some(best_step), ..record() };
        Event::RunOpened(Box::new(RunInfo { record, ..run_info(vec![]) }))
    };
    test.say(opened("another", 72));
    assert!(!test.has("The tuned model wins"), "it is about another run");
    test.say(opened(RUN, 96));
    assert!(!test.has("The tuned model wins"), "another adapter of the run has no votes yet");
    test.sees("Step 72 at adapter scale 100 %: ");
    test.say(opened(RUN, 72));
    test.sees("The tuned model wins");
}

#[test]
fn closing_the_window_on_votes_that_are_not_saved_asks_first() {
    const ASKS: &str = "Your votes are not saved";
    let close = |test: &mut Test| {
        for on in [true, false] {
            crate::close_requested(&mut test.stage, on);
            test.stage.harness.run_steps(2);
        }
    };
    let (mut test, request) = blind();
    text_of(&mut test, request.id, 1, "Sure.");
    vote(&mut test);
    test.page(Key::Num0);
    close(&mut test);
    test.sees(ASKS);
    test.click("Show the votes");
    assert!(!test.has(ASKS), "the dialog is gone");
    test.sees("The tuned model wins");
    close(&mut test);
    test.click("Stay");
    assert!(!test.has(ASKS), "the dialog is gone");
    let (mut test, _) = blind();
    close(&mut test);
    assert!(!test.has(ASKS), "nobody has voted");
}

#[test]
fn an_open_question_outlives_a_look_at_another_run() {
    let (mut test, request) = blind();
    text_of(&mut test, request.id, 1, "Sure.");
    let opened = |run_id: &str| {
        let record = RunRecord { run_id: run_id.into(), best_step: Some(72), ..record() };
        Event::RunOpened(Box::new(RunInfo { record, ..run_info(vec![]) }))
    };
    test.say(opened("another"));
    test.say(opened(RUN));
    vote(&mut test);
    test.sees("The tuned model wins");
    assert_eq!(test.sent(), [], "nothing is written twice");
}

#[test]
fn a_blind_question_is_asked_again_when_the_run_went_on() {
    let mut test = comparing();
    test.click("Blind test");
    test.click("Start the test");
    let before = generated(&test);
    text_of(&mut test, before.id, 0, "You can't.");
    test.say(Event::RunStarted(Box::new(run_info(vec![]))));
    test.say(summary(true));
    test.stage.harness.run_steps(3);
    let after = generated(&test);
    assert_eq!((&after.prompt, after.seed), (&before.prompt, before.seed), "the same question");
    text_of(&mut test, after.id, 0, "You can't.");
    text_of(&mut test, after.id, 1, "Sure.");
    test.stage.harness.key_press(Key::Num1);
    test.stage.harness.run_steps(3);
    test.sees("The tuned model wins");
}

#[test]
fn another_beta_is_tried_on_paper() {
    let mut test = comparing();
    test.say(Event::HeldOut { strength: 1.0, pairs: held_out() });
    test.click("What if");
    test.sees("Not a new training run");
    test.sees("Choose another beta first.");
    let slider = test.stage.harness.get_all_by_role(Role::Slider).next().expect("a slider for beta");
    slider.set_value_accesskit(0.4);
    test.stage.harness.run_steps(3);
    test.sees("Beta 0.400");
    assert!(!test.has("Choose another beta first."), "it was chosen");
    test.sees("Gradient weights of the pairs: ");
    test.shot("what-if");
    test.stage.looks_like("what_if");
    test.sent();
    test.click("Start as a new run with this beta");
    // Its steps are done: without further ones, nothing would be trained.
    assert_eq!(test.sent(), [resume(json!({ "beta": 0.4, "num_train_epochs": 2.0 }))]);
}
