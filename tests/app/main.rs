//! The window without an engine: what each page shows in each state, and which commands a click sends.
//! A topic has a file, as the pages have.

mod at_run;
mod compare;
mod engine;
mod export;
mod failures;
mod files;
mod help;
mod hub;
mod methods;
mod model;
mod pairs;
mod paste;
mod plan;
mod rows;
mod run;
mod runs;
mod script;
mod sizes;
mod start;
mod trials;
mod window;
mod words;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use eframe::egui;
use pairtune::Error;
use pairtune::engine::protocol::*;
use pairtune::platform::World;

use script::{Stage, problem, progress};

fn close_requested(stage: &mut Stage, on: bool) {
    let events = &mut stage.harness.input_mut().viewports.entry(egui::ViewportId::ROOT).or_default().events;
    events.clear();
    if on {
        events.push(egui::ViewportEvent::Close);
    }
}

/// A folder with empty files that is taken away in the end.
struct Folder(PathBuf);

impl Folder {
    fn new(files: &[&str]) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("pairtune-ui-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).expect("a folder for the test");
        for file in files {
            std::fs::write(path.join(file), "{}").expect("a file for the test");
        }
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// Something dropped on the window.
#[derive(Debug)]
struct Dropped(PathBuf);

impl egui::DroppedFile for Dropped {
    fn path(&self) -> &Path {
        &self.0
    }

    fn bytes(&self) -> Result<Vec<u8>, String> {
        Err("the app opens files by their path".to_owned())
    }
}

/// Draws every page, light and dark, into the folder that PAIRTUNE_SHOTS names; for people to look at.
#[test]
fn pages_are_drawn_for_people_to_look_at() {
    let Some(folder) = std::env::var_os("PAIRTUNE_SHOTS").map(PathBuf::from) else { return };
    std::fs::create_dir_all(&folder).expect("the folder for the pictures");
    for (theme, suffix) in [(egui::Theme::Light, "light"), (egui::Theme::Dark, "dark")] {
        let shoot = |stage: &mut Stage, name: &str| {
            stage.harness.ctx.set_theme(theme);
            stage.wait(0.5);
            let picture = stage.harness.render().expect("the page is drawn");
            picture.save(folder.join(format!("{name}-{suffix}.png"))).expect("the picture is saved");
        };
        let mut stage = Stage::ready();
        shoot(&mut stage, "start");
        let runs = vec![script::record("r9", "tone-v2", Status::Paused)];
        stage.say(Event::Runs { runs });
        shoot(&mut stage, "start-continue");
        stage.go("1  Model");
        shoot(&mut stage, "model-none");
        stage.say(Event::ModelProgress(progress("reading weights", 900_000_000, 1_500_000_000)));
        shoot(&mut stage, "model-loading");
        let mut stage = Stage::planned();
        stage.go("1  Model");
        shoot(&mut stage, "model-open");
        stage.go("2  Pairs");
        shoot(&mut stage, "pairs-table");
        stage.click("Lengths");
        shoot(&mut stage, "pairs-lengths");
        stage.click("Inspect");
        let tokens = "<|im_start|> user \n How| do| I| reset| my| password? <|im_end|> \n Sure .| Open| Settings ,|";
        let mut tokens: Vec<String> = tokens.split_whitespace().map(|t| t.replace('|', " ")).collect();
        tokens.extend((0..60).map(|i| format!(" word{i}")));
        let seen = SeenSequence { tokens, prompt_len: 9, cut: 6 };
        let parts = ["How do I reset my password?", "Sure. Open Settings.", "No."].map(script::passage);
        let view = PairView { index: 0, line: 1, parts, seen: Ok(vec![seen.clone(), seen]) };
        stage.say(Event::PairView(Box::new(view)));
        shoot(&mut stage, "pairs-read");
        stage.say(Event::PairsOpened(Box::new(script::pairs_with_problems(24))));
        stage.click("Problems 6");
        shoot(&mut stage, "pairs-problems");
        let purpose = problem("This is a file for KTO: one answer to a prompt, with a verdict", "Put two into one row");
        let none = PairsInfo { usable: 0, purpose: Some(purpose), ..script::pairs_with_problems(24) };
        stage.say(Event::PairsOpened(Box::new(none)));
        shoot(&mut stage, "pairs-none");
        stage.go("3  Plan");
        shoot(&mut stage, "plan-blocked");
        let mut stage = Stage::planned();
        stage.go("2  Pairs");
        stage.click("Show the rows with the flag \"long\"");
        shoot(&mut stage, "pairs-flag");
        stage.go("3  Plan");
        stage.click("More settings");
        stage.wait(1.0);
        stage.type_into("Max steps", "3");
        stage.type_into("Seed", "7");
        shoot(&mut stage, "plan-changed-open");
        let mut stage = Stage::again(stage.remembered());
        stage.say(script::ready());
        stage.go("3  Plan");
        shoot(&mut stage, "plan-changed");
        let none = Error::device(
            "This desktop shows no file dialog: neither its portal nor zenity answers",
            "Type the path, drop the files on the window, or install zenity",
        );
        let mut stage = Stage::with_dialogs(vec![Some(Err(none))]);
        stage.say(script::ready());
        stage.click("Open a model folder…");
        shoot(&mut stage, "no-dialogs");
        let mut stage = Stage::planned();
        stage.go("1  Model");
        let refused = problem("The model is of type \"gemma3\"", "Choose another family. Supported: Llama, Qwen");
        stage.say(Event::Refused { subject: Subject::Model, problem: refused });
        shoot(&mut stage, "model-refused");
        let mut stage = Stage::planned();
        stage.go("3  Plan");
        shoot(&mut stage, "plan");
        stage.say(Event::Planned(Box::new(script::plan_that_does_not_fit())));
        stage.click("More settings");
        stage.wait(1.0);
        shoot(&mut stage, "plan-does-not-fit");
        let mut stage = Stage::running();
        stage.go("Help");
        shoot(&mut stage, "help-running");
        stage.crash("index out of bounds at attention.rs:12");
        stage.click("Log");
        shoot(&mut stage, "crash");
        let mut stage = Stage::in_environment(script::environment(World::Browser), Vec::new());
        stage.say(script::ready_with(Err(problem("navigator.gpu is missing", "Switch WebGPU on"))));
        shoot(&mut stage, "no-gpu");
        stage.go("Find models");
        stage.say(Event::Hub(HubEvent::Found { models: hub::models() }));
        for event in hub::measured() {
            stage.say(event);
        }
        shoot(&mut stage, "hub");
    }
    for (name, size, scale) in [("zoomed", [1280.0, 720.0], 2.0), ("large", [2560.0, 1440.0], 1.0)] {
        let mut stage = Stage::with_size(script::environment(World::Desktop), Vec::new(), size);
        stage.harness.set_pixels_per_point(scale);
        stage.say(script::ready());
        for page in ["Start", "1  Model", "2  Pairs", "3  Plan"] {
            stage.say(Event::ModelOpened(Box::new(script::model())));
            stage.say_pairs(24);
            stage.say(Event::Planned(Box::new(script::plan())));
            stage.go(page);
            stage.wait(0.5);
            let picture = stage.harness.render().expect("the page is drawn");
            picture.save(folder.join(format!("{name}-{}.png", page.trim()))).expect("the picture is saved");
        }
    }
}
