//! Windows and letters of other sizes, and charts as they did look.

use eframe::egui::{Key, accesskit::Role};
use egui_kittest::kittest::{NodeT as _, Queryable as _};
use pairtune::engine::protocol::*;
use pairtune::engine::run::warnings::Action as Offer;

use crate::at_run::*;
use crate::runs::stored;
use crate::script;

/// Everything that can be used or read lies between the window's edges.
#[track_caller]
fn fits(test: &Test, page: &str) {
    let width = 640.0;
    for node in test.stage.harness.root().children_recursive() {
        let found = node.accesskit_node();
        // Nodes that are not drawn have no place.
        let Some(bounds) = found.bounding_box() else { continue };
        let name = found.label().or_else(|| found.value()).unwrap_or_default();
        let is_window = matches!(found.role(), Role::Window | Role::GenericContainer);
        assert!(is_window || bounds.x1 <= width + 0.5, "{page}: {:?} {name:?} ends at {bounds:?}", found.role());
    }
}

#[test]
fn nothing_runs_off_a_small_window() {
    let mut test = Test::sized(640.0, 400.0);
    test.say(pair_rows());
    let mut long = record();
    long.name = "a name that somebody made far too long to fit beside the buttons of any window".into();
    test.say(Event::RunStarted(Box::new(RunInfo { record: long, ..run_info(vec![]) })));
    test.page(Key::Num4);
    test.take_steps(84);
    test.say(warned(52, Offer::LowerLearningRate));
    fits(&test, "running");
    test.say(summary(true));
    test.stage.harness.run_steps(3);
    fits(&test, "finished");
    test.page(Key::Num5);
    fits(&test, "prompts");
    test.click("Blind test");
    fits(&test, "blind");
    test.say(Event::HeldOut { strength: 0.25, pairs: held_out() });
    test.click("What if");
    fits(&test, "what if");
    // The table itself scrolls sideways, and needs the adapter scale that is chosen.
    test.click("Pairs");
    test.sees("Held-out accuracy ");
    fits(&test, "scales");
    test.shot("small-scales");
    test.page(Key::Num6);
    fits(&test, "export");
}

#[test]
fn other_pages_fit_large_letters() {
    let mut test = Test::sized(640.0, 360.0);
    let pages = [("start", Key::Num0), ("model", Key::Num1), ("pairs", Key::Num2), ("plan", Key::Num3)];
    for (page, key) in pages.into_iter().chain([("help", Key::F1)]) {
        test.page(key);
        fits(&test, page);
    }
    test.say(Event::Runs { runs: Vec::new() });
    test.page(Key::Num7);
    fits(&test, "runs");
    test.say(Event::ModelOpened(Box::new(script::model())));
    test.stage.say_pairs(24);
    test.say(Event::Planned(Box::new(script::plan())));
    test.say(Event::Runs { runs: stored() });
    // The table itself scrolls sideways.
    test.page(Key::Num2);
    test.click("Lengths");
    for (page, key) in pages {
        test.page(key);
        fits(&test, page);
    }
}

#[test]
fn charts_look_as_they_did() {
    let mut test = Test::running(84);
    test.say(warned(52, Offer::None));
    test.stage.harness.get_by_label_contains("Margin. train: ").scroll_to_me();
    test.stage.harness.run_steps(30);
    test.stage.looks_like("run_charts");
}

#[test]
fn pages_fit_large_windows_and_large_letters() {
    let mut long = record();
    long.name = "a name that somebody made far too long to fit beside the buttons of any window".into();
    for (name, width, height, zoom) in [("large", 2560.0, 1440.0, 1.0), ("zoomed", 1280.0, 720.0, 2.0)] {
        let mut test = Test::sized(width, height);
        test.stage.harness.ctx.set_zoom_factor(zoom);
        test.say(Event::RunStarted(Box::new(RunInfo { record: long.clone(), ..run_info(vec![]) })));
        test.page(Key::Num4);
        test.take_steps(84);
        test.sees("step 84/278");
        test.shot(&format!("{name}-running"));
        test.say(summary(true));
        for (page, key) in [("compare", Key::Num5), ("export", Key::Num6), ("runs", Key::Num7)] {
            test.page(key);
            test.say(Event::Runs { runs: stored() });
            test.shot(&format!("{name}-{page}"));
        }
    }
}
