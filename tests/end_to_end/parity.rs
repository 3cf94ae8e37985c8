//! The same run natively and in the browser: the same losses, the same adapter; and runs that change places.

use std::path::PathBuf;

use pairtune::engine::protocol::{Command, Event, ExportKind, ExportRequest, Metrics, WhichAdapter};
use pairtune::files::{ModelConfig, TargetModules, parse};
use pairtune::model::{AdapterSettings, fresh};
use pairtune::train::TrainConfig;

use crate::browser::{Browser, BrowserOptions};
use crate::page::{
    A_RUN, FEW_PAIRS, LONG, few_pairs, losses, open_with_few_pairs, reach, read_archive, serve, wait_for_step,
    wait_until_done,
};
use crate::session::{TestEngine, demo_run, demo_settings, unwatched};
use crate::ui::{PATIENCE, Ui as _};

/// Enough that a run is still at work when it is told to pause.
const STEPS: usize = 8;

/// Largest difference of a step's loss.
const LOSS: f64 = 1e-4;
/// Largest difference of adapters, relative to the L2 norm of the update.
const UPDATE: f64 = 1e-3;

type Contents = Vec<(String, Vec<u8>)>;

#[test]
fn a_run_is_the_same_in_both_worlds_and_moves_between_them() {
    // Natively: whole, and once more, paused and written as an archive.
    let mut engine = TestEngine::start("parity");
    engine.open_demo();
    engine.send_files(Command::OpenPairs { mapping: None }, &[few_pairs()]);
    engine.wait(|event| matches!(event, Event::PairsOpened(_)));
    engine.send(demo_run("native", STEPS, unwatched()));
    let Event::Finished(summary) = engine.wait(|event| matches!(event, Event::Finished(_))) else {
        unreachable!("it was waited for")
    };
    let native = read_archive(&write_archive(&mut engine, &summary.record.run_id));
    engine.send(demo_run("native half", STEPS, unwatched()));
    engine.wait(|event| matches!(event, Event::RunStarted(info) if info.record.name == "native half"));
    engine.wait(|event| matches!(event, Event::Step { run_id, .. } if *run_id != summary.record.run_id));
    engine.send(Command::Pause);
    let Event::Paused { run_id, step: native_pause } = engine.wait(|event| matches!(event, Event::Paused { .. }))
    else {
        unreachable!("it was waited for")
    };
    let native_half = write_archive(&mut engine, &run_id);

    // In the browser: paused, written as an archive, continued, and written again.
    let server = serve();
    let browser = open_with_few_pairs(&server, &BrowserOptions::default(), STEPS);
    wait_for_step(&browser, 1);
    browser.click("Pause");
    browser.wait_for("Resume", LONG);
    let web_half = download_archive(&browser, &format!("{FEW_PAIRS}.run"));
    browser.click("4  Run");
    browser.click("Resume");
    browser.wait_that("the end", A_RUN, || browser.find("button", "Train more"));
    let web = read_archive(&download_archive(&browser, &format!("{FEW_PAIRS}.run")));

    // The numbers.
    let (native_losses, web_losses) = (losses(&native), losses(&web));
    assert_eq!(web_losses.len(), STEPS, "every step");
    assert_same(&native_losses, &web_losses);
    let difference = relative_difference(&native, &web);
    println!("adapters differ by {difference:.1e} of the update");
    assert!(difference <= UPDATE, "adapters differ by {difference:.1e} of the update");

    // The browser's checkpoint continues natively.
    let mut other = TestEngine::start("parity-from-the-page");
    other.send_files(Command::Import, &[web_half]);
    let imported = |event: &Event| matches!(event, Event::Runs { runs } if runs.len() == 1);
    let Event::Runs { runs } = other.wait(imported) else { unreachable!("it was waited for") };
    other.send(Command::Resume { run_id: runs[0].run_id.clone(), settings: Metrics::new() });
    let Event::Finished(summary) = other.wait(|event| matches!(event, Event::Finished(_))) else {
        unreachable!("it was waited for")
    };
    let moved = read_archive(&write_archive(&mut other, &summary.record.run_id));
    assert_same(&native_losses, &losses(&moved));
    assert!(relative_difference(&native, &moved) <= UPDATE, "the adapter that moved to the desktop is the same");

    // The native checkpoint continues in the browser.
    assert!((native_pause as u64) < STEPS as u64, "it was paused on the way");
    browser.click("Runs");
    browser.click("Import a .run archive…");
    browser.send_files("#pick-archive", &[&native_half]);
    browser.wait_for("Open native half", LONG);
    browser.click("Start");
    browser.wait_that("a run to continue", PATIENCE, || browser.find_starting("button", "Continue: "));
    browser.click_starting("Continue: ");
    browser.wait_that("the end", A_RUN, || browser.find("button", "Train more"));
    let moved = read_archive(&download_archive(&browser, "native-half.run"));
    assert_same(&native_losses, &losses(&moved));
    assert!(relative_difference(&native, &moved) <= UPDATE, "the adapter that moved to the page is the same");
}

#[track_caller]
fn assert_same(expected: &[(u64, f64)], found: &[(u64, f64)]) {
    assert_eq!(expected.len(), found.len(), "the same steps");
    for ((step, a), (other, b)) in expected.iter().zip(found) {
        assert_eq!(step, other, "in order");
        assert!((a - b).abs() <= LOSS, "step {step}: {a} and {b}");
    }
}

/// The L2 norm of the difference of two runs' final adapters, relative to the first one's update.
fn relative_difference(a: &Contents, b: &Contents) -> f64 {
    let config = include_bytes!("../../assets/demo/model/config.json");
    let model = ModelConfig::from_bytes(config, "config.json").expect("the demo's model");
    let settings = TrainConfig::from_map(&demo_settings(STEPS), "settings").expect("the demo's settings");
    assert_ne!(settings.target_modules, TargetModules::AllLinear, "they are named");
    let adapter = AdapterSettings::new(settings.adapter("demo"), &model).expect("targets of the model");
    let start = fresh(&adapter, &model, settings.seed);
    let tensors = |contents: &Contents| {
        let name = format!("checkpoint-{STEPS}/adapter_model.safetensors");
        let (_, bytes) = contents.iter().find(|(file, _)| *file == name).expect("the last checkpoint");
        parse("adapter", bytes).expect("tensors")
    };
    let (a, b) = (tensors(a), tensors(b));
    let (mut difference, mut update) = (0.0, 0.0);
    for (name, tensor) in &a {
        for ((a, b), start) in tensor.data.iter().zip(&b[name].data).zip(&start.tensors[name].data) {
            difference += f64::from(a - b).powi(2);
            update += f64::from(a - start).powi(2);
        }
    }
    (difference / update).sqrt()
}

/// Writes the open run as an archive by the page's Export step.
fn download_archive(browser: &Browser, name: &str) -> PathBuf {
    browser.click("6  Export");
    browser.wait_for("Write files", PATIENCE);
    let archive = "Run archive (.run)";
    if browser.find("checkbox", archive).is_some_and(|node| node.checked != Some(true)) {
        browser.click_role("checkbox", archive);
    }
    reach(browser, "Write files");
    wait_until_done(browser, "Write files");
    browser.wait_for("Written and checked", LONG);
    reach(browser, "Download: Run archive (.run)");
    let file = browser.wait_download(name, PATIENCE);
    let kept = file.with_extension(format!("{}.kept", file.metadata().map_or(0, |meta| meta.len())));
    std::fs::rename(&file, &kept).expect("the download can be renamed");
    kept
}

/// Writes a run as an archive by the native engine.
fn write_archive(engine: &mut TestEngine, run_id: &str) -> PathBuf {
    let folder = engine.store.join("archives").join(run_id);
    let request = ExportRequest {
        run_id: run_id.to_owned(),
        which: WhichAdapter::Last,
        strength: 1.0,
        kinds: vec![ExportKind::Archive],
        folder: folder.display().to_string(),
        card: String::new(),
    };
    engine.send(Command::Export(Box::new(request)));
    engine.wait(|event| matches!(event, Event::Exported { run_id: done, .. } if done == run_id));
    std::fs::read_dir(&folder).expect("a folder").flatten().next().expect("an archive").path()
}
