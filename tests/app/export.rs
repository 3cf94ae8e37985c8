//! Exports: their kinds, checks, folders and failures.

use eframe::egui::Key;
use egui_kittest::kittest::Queryable as _;
use pairtune::engine::protocol::*;
use pairtune::platform::World;

use crate::at_run::*;
use crate::script::{self, Stage, problem};

#[test]
fn an_export_is_asked_for_and_shows_its_checks() {
    let mut test = Test::running(72);
    test.say(summary(true));
    test.page(Key::Num6);
    test.sees("Best, step 72");
    test.sees("~12.7 MB");
    assert!(!test.has("~1.2 GB"), "no model is open that the run would be merged with");
    test.shot("export");
    test.click("Settings and metrics");
    test.sent();
    test.click("Write files");
    let sent = test.sent();
    let [Command::Export(request)] = sent.as_slice() else { panic!("no export, but {sent:?}") };
    assert_eq!(request.kinds, [ExportKind::Adapter, ExportKind::Metrics]);
    assert_eq!((request.which, request.strength), (WhichAdapter::Best, 1.0));
    assert_eq!(request.folder, "~/Documents/pairtune/tone-v2", "where people look");
    assert!(request.card.contains("held-out accuracy: 40 % before, 80 % after"), "{}", request.card);
    test.sees("Writing and verifying");
    let files = vec![Exported {
        kind: ExportKind::Adapter,
        path: "/home/me/.local/share/pairtune/exports/tone-v2/adapter".into(),
        bytes: 12_700_000,
        check: "Verified: reloaded, logits on 3 prompts differ by 2e-6 at most".into(),
        snippets: vec!["PeftModel.from_pretrained(model, \"tone-v2/adapter\")".into()],
        notes: vec!["vLLM loads it, too.".into()],
    }];
    test.say(Event::Exported { run_id: RUN.into(), files });
    test.sees("logits on 3 prompts");
    test.say(Event::Refused { subject: Subject::Export, problem: problem("The disk is gone", "Try again") });
    test.sees("The rest was not written");
    test.sees("logits on 3 prompts");
    test.stage.harness.get_by_label_contains("logits on 3").scroll_to_me();
    test.stage.harness.run_steps(30);
    test.shot("exported");
    test.click("Copy: PeftModel.from_pretrained(model, \"tone-v2/adapter\")");
    test.sees("vLLM loads it, too.");
    assert!(!test.has("Copy: vLLM"), "a sentence is no command");
}

#[test]
fn the_folder_of_an_export_is_shown() {
    let asked = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
    let told = asked.clone();
    let mut test = Test { stage: Stage::with_folders(move |path| told.borrow_mut().push(path.to_owned())) };
    test.say(script::ready());
    test.say(Event::RunOpened(Box::new(run_info(vec![]))));
    test.page(Key::Num6);
    let path = "/home/me/Documents/pairtune/tone-v2/adapter".to_owned();
    let (check, snippets, notes) = ("Read again: no difference".into(), vec![], vec![]);
    let file = Exported { kind: ExportKind::Adapter, path: path.clone(), bytes: 9, check, snippets, notes };
    test.say(Event::Exported { run_id: RUN.into(), files: vec![file] });
    test.click("Open folder: Adapter (PEFT)");
    assert_eq!(*asked.borrow(), [path]);
    test.sees("There is no file manager");
}

#[test]
fn exports_go_where_the_last_one_went() {
    let mut test = Test::new();
    let folder = |test: &Test| test.stage.harness.get_by_label("Folder").value().unwrap_or_default();
    test.say(Event::RunOpened(Box::new(run_info(vec![]))));
    test.page(Key::Num6);
    assert_eq!(folder(&test), "~/Documents/pairtune/tone-v2");
    test.stage.type_into("Folder", "/media/usb/first");
    test.click("Write files");
    let another = || {
        let record = RunRecord { run_id: "another".into(), name: "calm".into(), ..record() };
        Event::RunOpened(Box::new(RunInfo { record, ..run_info(vec![]) }))
    };
    test.say(Event::Exported { run_id: RUN.into(), files: Vec::new() });
    test.say(another());
    assert_eq!(folder(&test), "/media/usb/calm", "beside the other");
    let mut test = Test { stage: Stage::again(test.stage.remembered()) };
    test.say(script::ready());
    test.say(another());
    test.page(Key::Num6);
    assert_eq!(folder(&test), "/media/usb/calm", "tomorrow, too");
}

#[test]
fn a_browser_exports_to_downloads_with_names() {
    let mut test = Test { stage: Stage::with_size(script::environment(World::Browser), Vec::new(), [1280.0, 720.0]) };
    test.say(script::ready());
    let record = RunRecord { step: 72, best_step: Some(72), ..record() };
    test.say(Event::RunOpened(Box::new(RunInfo { record, ..run_info(vec![]) })));
    test.page(Key::Num6);
    test.sees("Step 72, the best and the last");
    assert!(!test.has("Last, step 72"), "they are one");
    let file = |kind, name: &str| Exported {
        kind,
        path: format!("exports/1795499163590-tone-v2/{name}"),
        bytes: 12_700_000,
        check: "Verified: reloaded, logits identical on 3 prompts".into(),
        snippets: vec![],
        notes: vec![],
    };
    let files = vec![file(ExportKind::Adapter, "tone-v2-adapter"), file(ExportKind::Archive, "tone-v2.run")];
    test.say(Event::Exported { run_id: RUN.into(), files });
    test.sees("tone-v2-adapter");
    test.sees("Download all");
    assert!(!test.has("1795499163590"), "a place in the storage says nothing");
}

#[test]
fn a_run_is_exported_while_it_goes_on() {
    let mut test = Test::running(24);
    test.page(Key::Num6);
    test.sees("The run goes on meanwhile");
    test.stage.queue(step_taken(25));
    test.stage.harness.run_steps(3);
    test.click("Last, step 25");
    test.stage.queue(step_taken(26));
    test.stage.harness.run_steps(3);
    test.sent();
    test.click("Write files");
    let sent = test.sent();
    let [Command::Export(request)] = sent.as_slice() else { panic!("no export, but {sent:?}") };
    assert_eq!(request.which, WhichAdapter::Last, "what was chosen stays chosen at the next step");
    test.say(Event::Exported { run_id: RUN.into(), files: Vec::new() });
    test.click("Adapter (GGUF)");
    assert!(!test.has("Pause the run to write a merged model"), "an adapter does not need the weights");
    test.click("Whole model (GGUF, Q8_0)");
    test.sees("Pause the run to write a merged model");
    test.click("Whole model (GGUF, Q8_0)");
    test.click("Whole model (safetensors)");
    test.sees("Pause the run to write a merged model");
    test.shot("export-running");
}

#[test]
fn a_failed_export_says_why_and_tries_again() {
    let mut test = Test::running(72);
    test.say(summary(true));
    test.page(Key::Num6);
    test.click("Write files");
    test.sent();
    let problem =
        Problem::new("The folder cannot be written to", "Choose another one", "/media/usb/adapter_model.safetensors");
    test.say(Event::Refused { subject: Subject::Export, problem });
    test.sees("Nothing was written");
    test.sees("/media/usb/adapter_model.safetensors");
    test.shot("export-failed");
    test.click("Try again");
    assert!(matches!(test.sent().as_slice(), [Command::Export(_)]), "once more");
}
