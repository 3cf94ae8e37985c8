//! The page itself, from top to bottom.

use eframe::egui::{self, Ui};

use super::text;
use crate::app::actions::{Action, Demo, Step};
use crate::app::records::continued;
use crate::app::state::{Connection, ModelState, State, network, source_of};
use crate::app::text::units::Unit;
use crate::app::text::{labels, machine, notices, run};
use crate::app::theme::{self, GRID};
use crate::app::widgets::{self, Icon, Tone, by_path_ui, discard_ui};
use crate::engine::protocol::{Command, GpuInfo, Method, Problem};
use crate::platform::{Environment, Pick, World};

/// State of this page.
#[derive(Debug, Default)]
pub(crate) struct StartView {
    /// Index of the chosen model among those found.
    found: usize,
    /// Id of the run that the user is asked about before it is discarded.
    discard: Option<String>,
    /// The path of a model typed so far.
    model_path: String,
    /// The path of pairs typed so far.
    pairs_path: String,
}

/// Draws the page.
pub(crate) fn start_ui(
    ui: &mut Ui,
    state: &State,
    environment: &Environment,
    view: &mut StartView,
    actions: &mut Vec<Action>,
) {
    ui.add_space(GRID);
    widgets::page_title(ui, text::START_TITLE, text::START_SUBTITLE);
    gpu_trouble_ui(ui, state, environment, actions);
    continue_ui(ui, state, view, actions);
    demo_ui(ui, state, actions);
    open_ui(ui, state, view, actions);
    machine_ui(ui, state);
}

/// Draws the one big button, which starts the demo.
fn demo_ui(ui: &mut Ui, state: &State, actions: &mut Vec<Action>) {
    widgets::card(ui, |ui| {
        let loading = matches!(state.model, ModelState::Loading(_)) || state.run_pending;
        let palette = theme::palette(ui);
        ui.horizontal_wrapped(|ui| {
            let software = matches!(state.gpu(), Some(Ok(gpu)) if gpu.software);
            let why_not = match &state.connection {
                Connection::Starting => Some(text::ENGINE_STARTING),
                Connection::Ready(ready) if ready.gpu.is_err() => Some(text::DEMO_NEEDS_GPU),
                Connection::Ready(_) if state.other_tab => Some(machine::OTHER_TAB_TITLE),
                Connection::Ready(_) if state.active_run().is_some() => Some(machine::QUIT_TITLE),
                Connection::Ready(_) if state.at_work() => Some(machine::TRIAL_TITLE),
                Connection::Ready(_) => None,
                Connection::Crashed(_) | Connection::VersionMismatch { .. } => Some(notices::CRASHED),
            };
            let label = if software { text::DEMO_BUTTON_SLOW } else { text::DEMO_BUTTON };
            ui.add_enabled_ui(why_not.is_none() && !loading, |ui| {
                let size = egui::vec2(280.0, 52.0);
                if widgets::big_button(ui, Icon::Play, label, palette.accent, palette.on_accent, size).clicked() {
                    actions.push(Action::Demo(Demo::Run));
                }
            });
            ui.vertical(|ui| {
                ui.label(text::DEMO_WHAT);
                widgets::weak(ui, why_not.unwrap_or(text::DEMO_NOTE));
                ui.add_enabled_ui(why_not.is_none() && !loading, |ui| more_ui(ui, actions));
            });
        });
        if let ModelState::Loading(progress) = &state.model {
            ui.add_space(GRID);
            widgets::progress_ui(ui, progress, Unit::Bytes);
            if ui.button(labels::CANCEL).clicked() {
                actions.push(Action::Send(Command::Cancel));
            }
        }
    });
}

/// Draws the other ways to start the demo: a race and a sweep.
fn more_ui(ui: &mut Ui, actions: &mut Vec<Action>) {
    ui.horizontal_wrapped(|ui| {
        if ui.button(text::RACE).on_hover_text(text::RACE_HELP).clicked() {
            actions.push(Action::Demo(Demo::Race(vec![Method::Ppo])));
        }
        if ui.button(text::SWEEP).on_hover_text(text::SWEEP_HELP).clicked() {
            actions.push(Action::Demo(Demo::Sweep));
        }
    });
}

/// Draws the buttons that open the user's own models and pairs.
fn open_ui(ui: &mut Ui, state: &State, view: &mut StartView, actions: &mut Vec<Action>) {
    widgets::titled_card(ui, text::OWN_TITLE, |ui| {
        ui.horizontal_wrapped(|ui| {
            if ui.button(labels::OPEN_MODEL_FOLDER).clicked() {
                actions.push(Action::Pick(Pick::ModelFolder));
            }
            found_ui(ui, state, view, actions);
            if widgets::link_button(ui, text::FROM_HUB).clicked() {
                actions.push(Action::Go(Step::Hub));
            }
        });
        if !state.in_browser {
            by_path_ui(ui, &mut view.model_path, Pick::ModelFolder, &state.recent.models, actions);
            ui.add_space(GRID);
        }
        ui.horizontal_wrapped(|ui| {
            if ui.button(labels::OPEN_PAIRS).clicked() {
                actions.push(Action::Pick(Pick::PairsFile));
            }
            widgets::weak(ui, labels::DROP_ANYWHERE);
        });
        if !state.in_browser {
            by_path_ui(ui, &mut view.pairs_path, Pick::PairsFile, &state.recent.pairs, actions);
        }
    });
}

/// Draws the models that other programs keep on this computer; those that cannot be tuned are told, and not chosen.
fn found_ui(ui: &mut Ui, state: &State, view: &mut StartView, actions: &mut Vec<Action>) {
    let why_not = |index: usize| state.not_tunable(&source_of(state.found.get(index)?));
    if why_not(view.found).is_some() {
        view.found = (0..state.found.len()).find(|index| why_not(*index).is_none()).unwrap_or(view.found);
    }
    let Some(chosen) = state.found.get(view.found) else { return };
    let combo = egui::ComboBox::from_id_salt("found").width(240.0).selected_text(&chosen.name);
    let combo = combo.show_ui(ui, |ui| {
        for (index, found) in state.found.iter().enumerate() {
            let why_not = why_not(index);
            let label = text::found(&found.name, found.bytes, why_not.is_none());
            ui.add_enabled_ui(why_not.is_none(), |ui| {
                let choice = ui.selectable_value(&mut view.found, index, label);
                if let Some(problem) = why_not {
                    choice.on_disabled_hover_text(problem.to_string());
                }
            });
        }
    });
    widgets::name_of(ui, &combo.response, labels::FOUND_HERE);
    let why_not = why_not(view.found);
    if ui.add_enabled(why_not.is_none(), egui::Button::new(text::OPEN_FOUND)).clicked() {
        actions.push(Action::OpenFound(view.found));
    }
    if let Some(problem) = why_not {
        widgets::weak(ui, problem.what);
    }
}

/// Draws the runs that wait to be continued.
fn continue_ui(ui: &mut Ui, state: &State, view: &mut StartView, actions: &mut Vec<Action>) {
    for run in state.continuable().take(3) {
        widgets::tone_card(ui, Tone::Accent, |ui| {
            ui.horizontal_wrapped(|ui| {
                ui.vertical(|ui| {
                    widgets::heading(ui, &text::continue_title(run));
                    widgets::weak(ui, text::continue_note(run));
                });
                let usable = state.may_continue() && matches!(state.gpu(), Some(Ok(_)));
                let go_on = ui.add_enabled_ui(usable, |ui| widgets::primary_button(ui, run::go_on(run))).inner;
                widgets::name_of(ui, &go_on, &text::continue_run(run));
                if go_on.clicked() {
                    actions.push(Action::Send(continued(run)));
                    actions.push(Action::Go(Step::Run));
                }
                if ui.button(text::SHOW_RUNS).clicked() {
                    actions.push(Action::Go(Step::Runs));
                }
                let discard = widgets::link_button(ui, run::DISCARD);
                widgets::name_of(ui, &discard, &text::discard_run(&run.name));
                if discard.clicked() {
                    view.discard = Some(run.run_id.clone());
                }
            });
        });
    }
    view.discard.take_if(|run_id| !discard_ui(ui, run_id, actions));
}

/// Draws the facts about this machine.
fn machine_ui(ui: &mut Ui, state: &State) {
    widgets::titled_card(ui, text::MACHINE_TITLE, |ui| {
        match state.gpu() {
            None => widgets::marked(ui, Tone::Neutral, text::GPU_ASKED),
            Some(Ok(gpu)) => {
                let tone = if gpu.software { Tone::Warn } else { Tone::Good };
                widgets::marked(ui, tone, &text::gpu_details(gpu))
            }
            Some(Err(problem)) => widgets::marked(ui, Tone::Warn, &problem.what),
        };
        let [_, others] = network(state);
        widgets::marked(ui, Tone::Good, &text::network_details(&others, state.in_browser));
        if let Some(ready) = state.ready() {
            widgets::marked(ui, Tone::Good, &text::storage_details(&ready.storage, &state.storage, state.in_browser));
        }
    });
}

/// Explains why there is no GPU, or only a slow one, and what to do about it.
fn gpu_trouble_ui(ui: &mut Ui, state: &State, environment: &Environment, actions: &mut Vec<Action>) {
    match state.gpu() {
        Some(Err(problem)) => no_gpu_ui(ui, problem, environment, actions),
        Some(Ok(gpu)) if gpu.software => software_ui(ui, gpu, actions),
        _ => {}
    }
}

fn no_gpu_ui(ui: &mut Ui, problem: &Problem, environment: &Environment, actions: &mut Vec<Action>) {
    let in_browser = environment.world == World::Browser;
    let title = if in_browser { text::NO_WEBGPU } else { text::NO_GPU };
    widgets::tone_card(ui, Tone::Warn, |ui| {
        ui.horizontal_top(|ui| {
            widgets::icon(ui, Icon::Warning, Tone::Warn);
            widgets::heading(ui, title);
        });
        if in_browser {
            // The fix of the problem is about drivers; advice for this browser follows instead.
            ui.add(egui::Label::new(&problem.what).wrap());
        } else {
            widgets::problem_text(ui, problem);
        }
        ui.add_space(GRID);
        widgets::heading(ui, text::WHAT_TO_DO);
        for line in text::gpu_fixes(environment) {
            widgets::marked(ui, Tone::Neutral, &line);
        }
        ui.add_space(GRID);
        widgets::heading(ui, text::STILL_WORKS);
        for line in text::WORKS_WITHOUT_GPU {
            widgets::marked(ui, Tone::Good, line);
        }
        ui.horizontal_wrapped(|ui| {
            if ui.button(labels::COPY_REPORT).clicked() {
                actions.push(Action::Copy(machine::report(environment, None, Some(problem))));
            }
            if in_browser && ui.button(text::DESKTOP_APP).clicked() {
                actions.push(Action::Copy(text::RUN_DESKTOP.to_owned()));
            }
        });
    });
}

fn software_ui(ui: &mut Ui, gpu: &GpuInfo, actions: &mut Vec<Action>) {
    widgets::tone_card(ui, Tone::Warn, |ui| {
        ui.horizontal_wrapped(|ui| {
            widgets::icon(ui, Icon::Warning, Tone::Warn);
            widgets::heading(ui, text::SOFTWARE_TITLE);
        });
        ui.add(egui::Label::new(text::software(&gpu.name)).wrap());
        if widgets::link_button(ui, labels::COPY_REPORT).clicked() {
            actions.push(Action::Copy(gpu.report.clone()));
        }
    });
}
