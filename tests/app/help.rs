//! Help: keys, requests, the speed of the GPU, failures on purpose.

use pairtune::engine::protocol::*;
use pairtune::platform::World;

use super::script::{self, Stage};

#[test]
fn help_opens_at_a_click_and_is_told_to_screen_readers() {
    let mut stage = Stage::planned();
    stage.go("3  Plan");
    assert!(!stage.shows("Typical: "), "nothing is explained yet");
    stage.click("About: Max length (tokens)");
    stage.expect("Typical: ");
}

#[test]
fn the_gpu_is_measured_from_help() {
    let mut stage = Stage::ready();
    stage.go("Help");
    stage.sent();
    stage.click("Measure this GPU");
    assert!(matches!(stage.sent()[..], [Command::Bench]), "it is measured");
    stage.say(Event::Measuring("a training step of demo".to_owned()));
    stage.expect("Measuring a training step of demo");
    stage.click("Cancel");
    assert!(matches!(stage.sent()[..], [Command::Cancel]), "it can be ended");
    stage.say(Event::Cancelled { subject: Subject::Bench });
    stage.click("Measure this GPU");
    stage.say(Event::Measured("multiply-add peak 149.0 GFLOP/s".to_owned()));
    stage.expect("multiply-add peak 149.0 GFLOP/s");
    stage.expect("Measure again");
}

#[test]
fn failures_are_tested_while_a_run_is_at_work() {
    let mut stage = Stage::ready();
    stage.go("Help");
    stage.expect("Available while a run is training");
    let mut stage = Stage::running();
    stage.go("Help");
    stage.sent();
    stage.click("Lose the GPU");
    assert_eq!(stage.sent(), [Command::Drill(Drill::DestroyDevice)], "the device is destroyed");
}

#[test]
fn requests_are_listed() {
    let mut stage = Stage::ready();
    stage.say(Event::Request { url: "https://huggingface.co/a/b".into(), bytes: 5_000_000, purpose: Purpose::Model });
    stage.go("Help");
    stage.expect("1 request: 5.0 MB received, 0 B of your data sent");
    stage.expect("https://huggingface.co/a/b");
    stage.expect("Network: 0 B of your data sent, 5.0 MB received");
    assert!(!stage.shows("besides the app"), "the app was here before");
    let mut stage = Stage::in_environment(script::environment(World::Browser), Vec::new());
    stage.say(script::ready());
    stage.expect("Network: 0 B of your data sent, 0 B received besides the app");
    let url = "https://huggingface.co/api/models?search=smol".into();
    stage.say(Event::Request { url, bytes: 9_000, purpose: Purpose::ModelSearch });
    stage.expect("Network: the words of 1 search sent, 9 kB received besides the app");
}
