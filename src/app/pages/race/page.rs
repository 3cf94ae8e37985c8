//! The page itself, from top to bottom; its parts are in sibling modules.

use std::collections::BTreeMap;

use eframe::egui::{self, RichText, ScrollArea, Ui};

use super::stages::stages_ui;
use super::text;
use super::votes::{Contenders, votes_ui};
use crate::app::actions::{Action, Demo, Step};
use crate::app::charts::{Across, Chart, Hue, Series, Unit};
use crate::app::state::{Course, ModelState, RaceState, State};
use crate::app::text::units::Unit as Amount;
use crate::app::text::{labels, run, setting};
use crate::app::widgets::{
    Ballot, Tone, card, columns, danger_button, heading, link_button, page_title, primary_button, problem_card,
    progress_bar, progress_ui, small, titled_card, weak,
};
use crate::engine::protocol::{Command, LibraryCommand, Method, RacePoint, RunCommand, Subject};
use crate::platform::host;

/// The methods that RLHF can end with.
const POLICIES: [Method; 3] = [Method::Ppo, Method::Rloo, Method::Grpo];

/// Maximum width of a cell of the table.
const CELL: f32 = 190.0;

/// State of this page.
#[derive(Debug)]
pub(crate) struct RaceView {
    /// True for each of the `POLICIES` that RLHF is to end with.
    against: [bool; 3],
    /// Blind tests by the two models compared; choosing others keeps them.
    pub(super) ballots: BTreeMap<Contenders, Ballot>,
    /// Index of the side that DPO is compared with in the blind test.
    pub(super) beside: usize,
    /// Id of the next request.
    pub(super) next_id: u64,
}

impl Default for RaceView {
    fn default() -> Self {
        // Ids start high, because other pages count theirs from 1.
        Self { against: [true, false, false], ballots: BTreeMap::new(), beside: 1, next_id: 1 << 40 }
    }
}

impl RaceView {
    fn against(&self) -> Vec<Method> {
        POLICIES.into_iter().zip(self.against).filter(|(_, chosen)| *chosen).map(|(method, _)| method).collect()
    }
}

/// Draws the page.
pub(crate) fn race_ui(ui: &mut Ui, state: &State, view: &mut RaceView, actions: &mut Vec<Action>) {
    page_title(ui, text::TITLE, text::SUBTITLE);
    let race = &state.race;
    if let Course::Failed(problem) = &race.course {
        problem_card(ui, Tone::Bad, text::REFUSED, problem, |ui| {
            if ui.button(labels::DISMISS).clicked() {
                actions.push(Action::DismissProblem(Subject::Race));
            }
        });
    }
    if state.races() {
        going_ui(ui, race, actions);
    } else {
        start_ui(ui, state, view, actions);
    }
    if race.plan.is_empty() {
        return;
    }
    stages_ui(ui, race, actions);
    table_ui(ui, race, actions);
    figures_ui(ui, race);
    if !state.races() {
        votes_ui(ui, state, view, actions);
    }
}

/// Draws, before and after a race, its description, its cost, and the buttons that start it.
fn start_ui(ui: &mut Ui, state: &State, view: &mut RaceView, actions: &mut Vec<Action>) {
    card(ui, |ui| {
        heading(
            ui,
            match state.race.course {
                Course::None | Course::Failed(_) => text::WHAT_TITLE,
                Course::Running | Course::Stopping | Course::Done => text::AGAIN_TITLE,
                Course::Stopped => text::STOPPED_TITLE,
            },
        );
        ui.add(egui::Label::new(text::WHAT).wrap());
        ui.horizontal_wrapped(|ui| {
            ui.label(text::AGAINST).on_hover_text(text::AGAINST_HELP);
            for (chosen, method) in view.against.iter_mut().zip(POLICIES) {
                ui.checkbox(chosen, text::policy(method)).on_hover_text(text::policy_help(method));
            }
        });
        weak(ui, text::TAKES);
        let against = view.against();
        let blocked = state.training_blocked();
        let is_own = state.open_model().is_some() && state.pairs.info.is_some() && !state.is_demo();
        ui.horizontal_wrapped(|ui| {
            if let ModelState::Loading(progress) = &state.model {
                progress_ui(ui, progress, Amount::Bytes);
                if ui.button(labels::CANCEL).clicked() {
                    actions.push(Action::Send(Command::Cancel));
                }
                return;
            }
            let may = |ok: bool| ok && !against.is_empty();
            if is_own {
                let button = ui.add_enabled_ui(may(blocked.is_none()), |ui| primary_button(ui, text::START)).inner;
                if button.clicked() {
                    actions.push(Action::Race(against.clone()));
                }
            }
            let free = matches!(state.gpu(), Some(Ok(_))) && !state.other_tab && !state.at_work();
            let button = ui.add_enabled_ui(may(free), |ui| match is_own {
                true => ui.button(text::ON_DEMO),
                false => primary_button(ui, text::ON_DEMO),
            });
            if button.inner.clicked() {
                actions.push(Action::Demo(Demo::Race(against.clone())));
            }
        });
        if against.is_empty() {
            small(ui, text::CHOOSE_ONE);
        } else if let Some(blocked) = blocked.filter(|_| is_own || state.at_work() || state.gpu().is_none()) {
            small(ui, setting::blocked(&blocked));
        } else if is_own {
            small(ui, text::own(state));
        }
    });
}

/// Draws the progress of a race, and the button that stops it.
fn going_ui(ui: &mut Ui, race: &RaceState, actions: &mut Vec<Action>) {
    card(ui, |ui| {
        let stage = race.now.and_then(|method| race.stage(method));
        ui.horizontal_wrapped(|ui| {
            heading(
                ui,
                &match (&race.course, race.plan.is_empty()) {
                    (Course::Stopping, _) => run::stopping_trial(stage.map(|stage| (stage.step, stage.n_steps))),
                    (_, true) => text::PREPARING.to_owned(),
                    (_, false) => text::GOING.to_owned(),
                },
            );
            let now = host::seconds();
            let left = stage.filter(|_| race.course == Course::Running).and_then(|stage| stage.left(now));
            small(ui, text::times(now - race.since, left, race.n_waiting()));
        });
        progress_bar(ui, text::GOING, Some(race.fraction()));
        ui.horizontal_wrapped(|ui| {
            let stops = race.course == Course::Stopping;
            if ui.add_enabled_ui(!stops, |ui| danger_button(ui, text::STOP)).inner.clicked() {
                actions.push(Action::Send(Command::Run(RunCommand::Stop)));
            }
            weak(ui, text::STOP_NOTE);
        });
    });
}

/// Draws the article's table, as far as it was measured, and its conclusion.
fn table_ui(ui: &mut Ui, race: &RaceState, actions: &mut Vec<Action>) {
    let standing = &race.standing;
    if standing.sides.is_empty() {
        return;
    }
    titled_card(ui, text::TABLE, |ui| {
        ScrollArea::horizontal().id_salt("race table").show(ui, |ui| {
            egui::Grid::new("race table")
                .striped(true)
                .num_columns(2 + standing.sides.len())
                .spacing([24.0, 6.0])
                .show(ui, |ui| {
                    ui.label("");
                    let names = standing.sides.iter().map(|side| side.name.as_str());
                    for name in std::iter::once(text::BASE).chain(names) {
                        ui.label(RichText::new(name).strong());
                    }
                    ui.end_row();
                    for (name, cells) in standing.rows() {
                        ui.label(text::row(name)).on_hover_text(text::row_help(name));
                        for cell in cells {
                            ui.scope(|ui| {
                                ui.set_max_width(CELL);
                                ui.add(egui::Label::new(cell).wrap());
                            });
                        }
                        ui.end_row();
                    }
                });
        });
        for sentence in standing.verdict() {
            ui.add(egui::Label::new(sentence).wrap());
        }
        small(ui, text::JUDGE);
        if race.course == Course::Done && link_button(ui, text::SAVE_TABLE).clicked() {
            let said = format!("{}\n{}\n", standing.table(), standing.verdict().join("\n"));
            actions.push(Action::SaveFile { name: text::TABLE_FILE.to_owned(), bytes: said.into_bytes() });
        }
    });
}

/// Draws the score against KL, and the held-out accuracy over the last stage of each side.
fn figures_ui(ui: &mut Ui, race: &RaceState) {
    let sides = &race.standing.sides;
    if sides.iter().all(|side| side.curve.is_empty()) {
        return;
    }
    let of = |of: fn(&RacePoint) -> [f64; 2]| -> Vec<Vec<[f64; 2]>> {
        sides.iter().map(|side| side.curve.iter().map(of).collect()).collect()
    };
    let chart = |ui: &mut Ui, title: &str, help: &str, across: Across, unit: Unit, lines: &[Vec<[f64; 2]>]| {
        let mut chart = Chart::new(title, help).across(across).unit(unit);
        for (i, (side, points)) in sides.iter().zip(lines).enumerate() {
            chart = chart.line(Series::new(side.name.as_str(), points, Hue::of(i)));
        }
        chart.show(ui);
    };
    let bought = of(|point| [point.measure.kl, point.measure.score]);
    let won = of(|point| [100.0 * point.done, point.measure.won]);
    card(ui, |ui| {
        let kl = Across { name: text::KL, log: false };
        let done = Across { name: text::DONE_SHARE, log: false };
        columns(
            ui,
            380.0,
            &mut [&mut |ui| chart(ui, text::BOUGHT, text::BOUGHT_HELP, kl, Unit::Plain, &bought), &mut |ui| {
                chart(ui, text::ACCURACY, text::ACCURACY_HELP, done, Unit::Percent, &won);
            }],
        );
    });
}

/// Draws the button that opens the run of a stage.
pub(super) fn open_ui(ui: &mut Ui, run_id: &str, enabled: bool, actions: &mut Vec<Action>) {
    if ui.add_enabled_ui(enabled, |ui| link_button(ui, text::OPEN_RUN)).inner.clicked() {
        actions.push(Action::Send(Command::Library(LibraryCommand::Open { run_id: run_id.to_owned() })));
        actions.push(Action::Go(Step::Compare));
    }
}
