//! The frame around every page: the rail, the strip of the run, status, log, messages, the target for drops.

use eframe::egui::{
    self, Align, Align2, Area, CentralPanel, Color32, CornerRadius, FontId, Frame, Layout, Margin, Order, Panel, Rect,
    RichText, ScrollArea, Sense, Stroke, StrokeKind, ThemePreference, Ui, UiBuilder,
};

use super::drops::Drop;
use super::text;
use crate::app::actions::{Action, Step};
use crate::app::state::{Connection, Course, LogLine, ModelState, RunPhase, State, network};
use crate::app::text::{labels, machine, notices, units};
use crate::app::theme::{self, GRID};
use crate::app::widgets::{self, Icon, Tone};
use crate::engine::protocol::{BUILD, Command, Kind, Level, Problem, RunCommand};
use crate::platform::Pick;

/// Subject of a plan: the name of the open model, and the open rows by name, number of usable ones, of skipped ones and
/// of edits, kind, and whether their sides are swapped.
pub(super) type PlannedAbout = (String, Option<(String, [usize; 3], Kind, bool)>);

/// State of the frame.
#[derive(Debug, Default)]
pub(super) struct FrameView {
    /// Subject of the last requested plan.
    pub(super) planned_about: PlannedAbout,
    /// Names of the model and the pairs that the settings were suited to, or were not, as the user had changed them.
    pub(super) suited_about: (String, Option<String>),
    /// Stem of proposed names: the name of the pairs, or of the run whose settings were taken.
    pub(super) name_stem: String,
    /// Number of stored runs when a name was last proposed.
    pub(super) n_runs: usize,
    /// The name that was proposed for the next run.
    pub(super) proposed_name: String,
    /// The sample prompts that were proposed.
    pub(super) proposed_prompts: Vec<String>,
    /// Question for a path, where there are no dialogs.
    pub(super) ask_for_path: Option<PathQuestion>,
    /// True if Escape was pressed while files hovered: dropping them opens nothing.
    pub(super) ignore_drop: bool,
    /// The last notices, for screen readers.
    pub(super) said: String,
}

impl FrameView {
    /// Takes in notices. Repeated ones must differ from the last ones to be said again.
    pub(super) fn say(&mut self, text: &str) {
        self.said = if self.said == text { format!("{text}\u{a0}") } else { text.to_owned() };
    }
}

/// A question for a path, in place of a dialog.
#[derive(Debug)]
pub(super) struct PathQuestion {
    /// Purpose of the files to choose.
    pub(super) pick: Pick,
    /// Why there is no dialog.
    pub(super) problem: Problem,
    /// The path typed so far.
    pub(super) path: String,
}

/// A short message.
#[derive(Debug, Clone)]
pub(super) struct Toast {
    /// Text of the message.
    pub(super) text: String,
    /// Time of its arrival, on egui's clock.
    pub(super) since: f64,
}

/// The answer to "keep running, pause and save, or quit".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum QuitChoice {
    /// Keep the window and the run.
    Stay,
    /// Stay, and go where it can be saved.
    Look(Step),
    /// Pause, save, then quit.
    Pause,
    /// Quit at once.
    Quit,
}

/// Width below which the rail is narrow.
const NARROW: f32 = 760.0;

/// Draws the pages, each with a mark for its state.
pub(super) fn rail_ui(ui: &mut Ui, state: &State, current: Step, actions: &mut Vec<Action>) {
    let palette = theme::palette(ui);
    let width = if ui.available_width() < NARROW { 126.0 } else { 168.0 };
    let frame = Frame::new().fill(palette.card).inner_margin(Margin::symmetric(10, 16));
    Panel::left("rail").resizable(false).exact_size(width).frame(frame).show(ui, |ui| {
        ui.horizontal(|ui| {
            let (rect, _) = ui.allocate_exact_size(egui::vec2(20.0, 22.0), Sense::hover());
            logo(ui, rect);
            ui.label(RichText::new(text::APP).heading().strong());
        });
        ui.add_space(GRID);
        ScrollArea::vertical().id_salt("rail").auto_shrink([false, false]).show(ui, |ui| {
            ui.spacing_mut().item_spacing.y = 2.0;
            let main = [Step::Start, Step::Model, Step::Pairs, Step::Plan, Step::Run, Step::Compare, Step::Export];
            for step in main {
                rail_entry(ui, state, step, current, actions);
            }
            ui.add_space(GRID);
            ui.separator();
            ui.add_space(GRID);
            for step in [Step::Hub, Step::Race, Step::Sweep, Step::Runs, Step::Help] {
                rail_entry(ui, state, step, current, actions);
            }
        });
    });
}

/// Draws the logo: two answers, one of them ahead.
fn logo(ui: &Ui, rect: Rect) {
    let palette = theme::palette(ui);
    let bar =
        |top: f32, width: f32| Rect::from_min_size(rect.left_top() + egui::vec2(0.0, top), egui::vec2(width, 6.0));
    ui.painter().rect_filled(bar(4.0, 20.0), CornerRadius::same(3), palette.accent);
    ui.painter().rect_filled(bar(13.0, 12.0), CornerRadius::same(3), palette.rejected);
}

/// Mark for the state of a page.
fn mark(state: &State, step: Step) -> Option<(Icon, Tone, &'static str)> {
    let done = Some((Icon::Check, Tone::Good, text::MARK_DONE));
    let busy = Some((Icon::Dot, Tone::Accent, text::MARK_BUSY));
    let look = Some((Icon::Warning, Tone::Warn, text::MARK_LOOK));
    match step {
        Step::Model => match &state.model {
            ModelState::Loading(_) => busy,
            _ if state.model_problem.is_some() => look,
            ModelState::None => None,
            ModelState::Open(_) => done,
        },
        Step::Pairs if state.pairs.loading.is_some() => busy,
        Step::Pairs if state.pairs.refused.is_some() => look,
        Step::Pairs => {
            let info = state.pairs.info.as_ref()?;
            if info.problem_count > 0 && !state.pairs.accepted { look } else { done }
        }
        Step::Plan if state.plan.problem.is_some() => look,
        Step::Plan => {
            if state.plan_info()?.blocked.is_some() {
                look
            } else {
                done
            }
        }
        Step::Run if matches!(state.connection, Connection::Crashed(_)) && state.run.is_some() => look,
        Step::Run => match state.run.as_ref().map(|run| (&run.phase, run.is_active())) {
            None if state.run_problem.is_some() => look,
            None | Some((RunPhase::Opened, _)) => None,
            Some((RunPhase::Failed { .. } | RunPhase::Recovering { .. }, _)) => look,
            Some((RunPhase::Finished(_), _)) => done,
            Some((_, true)) => busy,
            Some(_) => Some((Icon::Pause, Tone::Neutral, text::MARK_PAUSED)),
        },
        Step::Export if state.exporting => busy,
        Step::Export if state.export_problem.is_some() => look,
        Step::Export => state.exported.as_ref().and(done),
        Step::Race => course_mark(&state.race.course),
        Step::Sweep => course_mark(&state.sweep.course),
        Step::Hub if state.hub.searching => busy,
        Step::Start | Step::Hub | Step::Compare | Step::Runs | Step::Help => None,
    }
}

/// Mark for the state of a race or a sweep.
fn course_mark(course: &Course) -> Option<(Icon, Tone, &'static str)> {
    match course {
        Course::None | Course::Stopped => None,
        Course::Running | Course::Stopping => Some((Icon::Dot, Tone::Accent, text::MARK_BUSY)),
        Course::Done => Some((Icon::Check, Tone::Good, text::MARK_DONE)),
        Course::Failed(_) => Some((Icon::Warning, Tone::Warn, text::MARK_LOOK)),
    }
}

fn rail_entry(ui: &mut Ui, state: &State, step: Step, current: Step, actions: &mut Vec<Action>) {
    let palette = theme::palette(ui);
    let selected = step == current;
    let label = text::rail(step);
    let size = egui::vec2(ui.available_width(), 34.0);
    let (rect, response) = ui.allocate_exact_size(size, Sense::click());
    let fill = match (selected, response.hovered() || response.has_focus()) {
        (true, _) => palette.accent_soft,
        (false, true) => palette.inset,
        (false, false) => Color32::TRANSPARENT,
    };
    ui.painter().rect_filled(rect, CornerRadius::same(8), fill);
    if response.has_focus() {
        widgets::outline(ui, rect, palette.accent);
    }
    let color = if selected { palette.accent } else { palette.text };
    let at = egui::pos2(rect.left() + 12.0, rect.center().y);
    ui.painter().text(at, Align2::LEFT_CENTER, label, FontId::proportional(14.5), color);
    let mark = mark(state, step);
    if let Some((icon, tone, _)) = mark {
        let center = egui::pos2(rect.right() - 14.0, rect.center().y);
        widgets::paint_icon(ui, icon, center, 5.5, widgets::tone_colors(ui, tone).0);
    }
    response.widget_info(|| egui::WidgetInfo::selected(egui::accesskit::Role::Tab, true, selected, label));
    if let Some((_, _, says)) = mark {
        ui.ctx().accesskit_node_builder(response.id, |node| node.set_description(says));
    }
    if response.clicked() {
        actions.push(Action::Go(step));
    }
}

/// The line at the bottom: GPU, network, storage, theme, log.
pub(super) fn status_ui(ui: &mut Ui, state: &State, log_open: &mut bool, actions: &mut Vec<Action>) {
    let palette = theme::palette(ui);
    let frame =
        Frame::new().fill(palette.card).stroke(Stroke::new(1.0, palette.border)).inner_margin(Margin::symmetric(14, 3));
    Panel::bottom("status").resizable(false).show_separator_line(false).frame(frame).show(ui, |ui| {
        ui.style_mut().override_text_style = Some(egui::TextStyle::Small);
        ui.spacing_mut().interact_size.y = 22.0;
        ui.spacing_mut().button_padding = egui::vec2(8.0, 2.0);
        ui.horizontal_wrapped(|ui| {
            let (tone, gpu) = text::gpu_line(state);
            widgets::icon(ui, Icon::Dot, tone);
            ui.label(gpu);
            if ui.available_width() > NARROW * 0.7 {
                ui.separator();
                let [_, others] = network(state);
                if widgets::link_button(ui, &machine::network_line(&others, state.in_browser)).clicked() {
                    actions.push(Action::Go(Step::Help));
                }
                ui.separator();
                ui.label(machine::storage_line(&state.storage));
            }
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                ui.toggle_value(log_open, text::LOG);
                theme_switch(ui);
            });
        });
    });
}

/// Draws the choice of the theme: as the system, light, or dark.
fn theme_switch(ui: &mut Ui) {
    let mut theme = ui.ctx().options(|options| options.theme_preference);
    let before = theme;
    let name = |theme| match theme {
        ThemePreference::System => text::THEME_SYSTEM,
        ThemePreference::Light => text::THEME_LIGHT,
        ThemePreference::Dark => text::THEME_DARK,
    };
    let combo = egui::ComboBox::from_id_salt("theme").width(110.0).selected_text(name(theme)).show_ui(ui, |ui| {
        for choice in [ThemePreference::System, ThemePreference::Light, ThemePreference::Dark] {
            ui.selectable_value(&mut theme, choice, name(choice));
        }
    });
    widgets::name_of(ui, &combo.response, text::THEME);
    if theme != before {
        ui.ctx().set_theme(theme);
    }
}

/// The log, newest at the bottom.
pub(super) fn log_ui(ui: &mut Ui, state: &State, actions: &mut Vec<Action>) {
    let palette = theme::palette(ui);
    let frame = Frame::new().fill(palette.inset).inner_margin(Margin::symmetric(14, 8));
    Panel::bottom("log").resizable(true).default_size(180.0).size_range(80.0..=480.0).frame(frame).show(ui, |ui| {
        ui.horizontal(|ui| {
            widgets::heading(ui, text::LOG);
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                if ui.button(text::SAVE_LOG).clicked() {
                    let name = "pairtune-log.txt".to_owned();
                    actions.push(Action::SaveFile { name, bytes: log_text(state).into_bytes() });
                }
                if ui.button(text::COPY_LOG).clicked() {
                    actions.push(Action::Copy(log_text(state)));
                }
            });
        });
        let height = ui.text_style_height(&egui::TextStyle::Monospace);
        let area = ScrollArea::both().id_salt("log").auto_shrink([false, false]).stick_to_bottom(true);
        if state.log.is_empty() {
            widgets::small(ui, text::LOG_EMPTY);
        }
        area.show_rows(ui, height, state.log.len(), |ui, rows| {
            for line in state.log.range(rows) {
                let color = match line.level {
                    Level::Error => palette.bad,
                    Level::Warn => palette.warn,
                    Level::Info => palette.text,
                };
                let text = RichText::new(log_line(line)).monospace().color(color);
                ui.add(egui::Label::new(text).extend());
            }
        });
    });
}

fn log_line(line: &LogLine) -> String {
    format!("{:>8}  {:<5}  {}", units::clock(line.at), line.level.name(), line.text)
}

/// The log as a text to send to someone.
fn log_text(state: &State) -> String {
    let mut out = format!("pairtune {BUILD}\n");
    if let Some(Ok(gpu)) = state.gpu() {
        out.push_str(&gpu.report);
        out.push('\n');
    }
    for line in &state.log {
        out.push_str(&log_line(line));
        out.push('\n');
    }
    out
}

/// Draws the training at work, on every page but its own.
pub(super) fn strip_ui(ui: &mut Ui, state: &State, current: Step, actions: &mut Vec<Action>) {
    let run = state.active_run();
    let (step, name, says, share) = match run {
        Some(run) => (Step::Run, run.info.record.name.as_str(), text::strip(run), run.fraction()),
        None if state.races() => {
            let (says, share) = text::race_strip(&state.race);
            (Step::Race, labels::step_name(Step::Race), says, share)
        }
        None if state.sweeps() => {
            let (says, share) = text::sweep_strip(&state.sweep);
            (Step::Sweep, labels::step_name(Step::Sweep), says, share)
        }
        None => return,
    };
    if step == current {
        return;
    }
    let palette = theme::palette(ui);
    let frame = Frame::new().fill(palette.accent_soft).inner_margin(Margin::symmetric(16, 6));
    Panel::top("strip").resizable(false).show_separator_line(false).frame(frame).show(ui, |ui| {
        ui.horizontal_wrapped(|ui| {
            widgets::icon(ui, Icon::Dot, Tone::Accent);
            ui.label(RichText::new(name).strong());
            ui.label(says);
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                if run.is_some_and(|run| matches!(run.phase, RunPhase::Running))
                    && widgets::icon_button(ui, Icon::Pause, text::PAUSE).clicked()
                {
                    actions.push(Action::Send(Command::Run(RunCommand::Pause)));
                }
                if ui.button(text::SHOW_RUN).clicked() {
                    actions.push(Action::Go(step));
                }
                ui.add_space(GRID);
                if ui.available_width() > 80.0 {
                    widgets::progress_bar(ui, text::RUN_PROGRESS, Some(share));
                }
            });
        });
    });
}

/// Maximum width of a page: pages of text stay readable, while tables, charts and texts side by side use the window.
fn max_width(step: Step) -> f32 {
    match step {
        Step::Start | Step::Model | Step::Export | Step::Help => theme::TEXT_WIDTH,
        Step::Hub | Step::Pairs | Step::Plan | Step::Run | Step::Compare | Step::Race | Step::Sweep | Step::Runs => {
            theme::MAX_WIDTH
        }
    }
}

/// Draws a page in a column that scrolls.
pub(super) fn content(ui: &mut Ui, step: Step, add: impl FnOnce(&mut Ui)) {
    let palette = theme::palette(ui);
    CentralPanel::default().frame(Frame::new().fill(palette.background)).show(ui, |ui| {
        ScrollArea::vertical().id_salt(("page", step)).auto_shrink([false, false]).show(ui, |ui| {
            let room = ui.available_rect_before_wrap();
            let pad = if room.width() < NARROW { 16.0 } else { 32.0 };
            let width = (room.width() - 2.0 * pad).min(max_width(step));
            let left = room.left() + (room.width() - width) / 2.0;
            let rect = Rect::from_min_size(egui::pos2(left, room.top() + 24.0), egui::vec2(width, room.height()));
            ui.scope_builder(UiBuilder::new().max_rect(rect), |ui| {
                ui.spacing_mut().item_spacing.y = GRID;
                add(ui);
                ui.add_space(32.0);
            });
        });
    });
}

/// Draws problems of the engine as a whole above every page, where they do not scroll away.
pub(super) fn connection_ui(ui: &mut Ui, state: &State, actions: &mut Vec<Action>) {
    let storage_problem = state.ready().and_then(|ready| ready.storage_problem.as_ref());
    let ready = matches!(state.connection, Connection::Starting | Connection::Ready(_));
    if ready && storage_problem.is_none() && !state.other_tab {
        return;
    }
    let frame = Frame::new().fill(theme::palette(ui).background).inner_margin(Margin::symmetric(16, 8));
    Panel::top("connection").resizable(false).show_separator_line(false).frame(frame).show(ui, |ui| {
        match &state.connection {
            Connection::Crashed(why) => {
                widgets::tone_card(ui, Tone::Bad, |ui| {
                    widgets::heading(ui, notices::CRASHED);
                    ui.label(text::CRASHED_SAFE);
                    ScrollArea::vertical().id_salt("why").max_height(80.0).show(ui, |ui| {
                        ui.add(egui::Label::new(RichText::new(why).monospace()).wrap());
                    });
                    ui.horizontal_wrapped(|ui| {
                        if widgets::primary_button(ui, text::RESTART_ENGINE).clicked() {
                            actions.push(Action::RestartEngine);
                        }
                        if ui.button(text::COPY_LOG).clicked() {
                            actions.push(Action::Copy(log_text(state)));
                        }
                        if state.in_browser && ui.button(text::RELOAD).clicked() {
                            actions.push(Action::Reload);
                        }
                    });
                });
            }
            Connection::VersionMismatch { engine } => {
                widgets::tone_card(ui, Tone::Warn, |ui| {
                    widgets::heading(ui, text::MISMATCH_TITLE);
                    ui.label(text::mismatch(engine));
                    ui.horizontal_wrapped(|ui| {
                        if widgets::primary_button(ui, text::RELOAD).clicked() {
                            actions.push(Action::Reload);
                        }
                        if ui.button(text::COPY_LOG).clicked() {
                            actions.push(Action::Copy(log_text(state)));
                        }
                    });
                });
            }
            Connection::Starting | Connection::Ready(_) => {
                if let Some(problem) = storage_problem {
                    widgets::problem_card(ui, Tone::Warn, text::NO_STORAGE, problem, |_| {});
                }
                if state.other_tab {
                    widgets::tone_card(ui, Tone::Warn, |ui| {
                        widgets::heading(ui, machine::OTHER_TAB_TITLE);
                        ui.label(text::OTHER_TAB);
                    });
                }
            }
        }
    });
}

/// Has screen readers say the last notices in a window, by a node that takes no place on the screen. A page has an
/// element for that.
pub(super) fn said_ui(ctx: &egui::Context, said: &str) {
    if said.is_empty() {
        return;
    }
    ctx.accesskit_node_builder(egui::Id::unique("said"), |node| {
        node.set_role(egui::accesskit::Role::Status);
        node.set_label(said);
        node.set_live(egui::accesskit::Live::Polite);
    });
}

/// Messages at the lower right edge.
pub(super) fn toasts_ui(ctx: &egui::Context, toasts: &[Toast]) {
    if toasts.is_empty() {
        return;
    }
    let area = Area::new(egui::Id::unique("toasts")).order(Order::Foreground).interactable(false);
    area.anchor(Align2::RIGHT_BOTTOM, egui::vec2(-24.0, -48.0)).show(ctx, |ui| {
        let palette = theme::palette(ui);
        ui.set_max_width(420.0);
        for toast in toasts {
            let frame = Frame::new()
                .fill(palette.text)
                .corner_radius(CornerRadius::same(8))
                .inner_margin(Margin::symmetric(16, 10));
            frame.show(ui, |ui| {
                ui.add(egui::Label::new(RichText::new(&toast.text).color(palette.background)).wrap());
            });
        }
    });
}

/// Draws the whole window as a drop target that names the effect of a drop.
pub(super) fn drop_ui(ctx: &egui::Context, drop: Option<&Drop>) {
    let screen = ctx.content_rect();
    let area = Area::new(egui::Id::unique("drop")).order(Order::Foreground).fixed_pos(screen.min).interactable(false);
    area.show(ctx, |ui| {
        let palette = theme::palette(ui);
        let (color, title, why) = match drop {
            Some(Drop::Pick(pick)) => (palette.accent, text::drop_title(*pick), text::DROP_NOTE),
            None => (palette.accent, text::DROP_UNCLEAR, text::DROP_NOTE),
            Some(Drop::Unknown(why)) => (palette.warn, text::DROP_UNKNOWN, why.as_str()),
        };
        ui.painter().rect_filled(screen, CornerRadius::ZERO, palette.background.gamma_multiply(0.94));
        let inner = screen.shrink(24.0);
        ui.painter().rect_stroke(inner, CornerRadius::same(16), Stroke::new(3.0, color), StrokeKind::Inside);
        let middle = Rect::from_center_size(screen.center(), egui::vec2(inner.width() - 64.0, 160.0));
        ui.scope_builder(UiBuilder::new().max_rect(middle), |ui| {
            ui.vertical_centered(|ui| {
                ui.label(RichText::new(title).text_style(theme::figure()).color(color).strong());
                ui.label(why);
                widgets::small(ui, text::DROP_ESCAPE);
            });
        });
    });
}

/// Asks what to do with the training at work when the window closes, or whether a run that could not be saved, or
/// `votes` that were not, may be lost.
pub(super) fn quit_ui(ctx: &egui::Context, state: &State, votes: bool, waiting: bool) -> Option<QuitChoice> {
    let mut choice = None;
    let unsaved = state.unsaved();
    // A race or a sweep cannot be continued later.
    let can_wait = !state.races() && !state.sweeps();
    let response = egui::Modal::new(egui::Id::unique("quit")).show(ctx, |ui| {
        ui.set_width(420.0);
        if unsaved && !waiting {
            widgets::heading(ui, text::QUIT_UNSAVED_TITLE);
            ui.label(text::QUIT_UNSAVED_TEXT);
            votes_ui(ui, votes);
            choice = lose_ui(ui, text::QUIT_EXPORT, Step::Export, text::QUIT_LOSE);
            return;
        }
        if votes && !state.at_work() {
            widgets::heading(ui, text::QUIT_VOTES_TITLE);
            ui.label(text::QUIT_VOTES_TEXT);
            choice = lose_ui(ui, text::QUIT_COMPARE, Step::Compare, text::QUIT_LOSE_VOTES);
            return;
        }
        widgets::heading(ui, if can_wait { machine::QUIT_TITLE } else { machine::TRIAL_TITLE });
        ui.label(match (waiting, can_wait) {
            (true, _) => text::QUIT_WAITING,
            (false, true) => text::QUIT_TEXT,
            (false, false) => text::QUIT_TRIAL,
        });
        votes_ui(ui, votes && !waiting);
        ui.add_space(GRID);
        ui.horizontal_wrapped(|ui| {
            if widgets::primary_button(ui, text::QUIT_STAY).clicked() {
                choice = Some(QuitChoice::Stay);
            }
            if !waiting && can_wait && ui.button(text::QUIT_PAUSE).clicked() {
                choice = Some(QuitChoice::Pause);
            }
            if widgets::danger_button(ui, text::QUIT_NOW).clicked() {
                choice = Some(QuitChoice::Quit);
            }
        });
    });
    if response.should_close() {
        choice = Some(QuitChoice::Stay);
    }
    choice
}

/// Says that votes would be lost, too.
fn votes_ui(ui: &mut Ui, votes: bool) {
    if votes {
        ui.label(text::QUIT_VOTES);
    }
}

/// Draws the choice between staying, going to the page `step` where it can be saved, and losing it.
fn lose_ui(ui: &mut Ui, look: &str, step: Step, lose: &str) -> Option<QuitChoice> {
    ui.add_space(GRID);
    let choice = ui.horizontal_wrapped(|ui| {
        let stay = widgets::primary_button(ui, text::QUIT_UNSAVED_STAY).clicked().then_some(QuitChoice::Stay);
        let look = ui.button(look).clicked().then_some(QuitChoice::Look(step));
        let lose = widgets::danger_button(ui, lose).clicked().then_some(QuitChoice::Quit);
        stay.or(look).or(lose)
    });
    choice.inner
}

/// Asks for a path where there is no dialog; returns false once the user has answered.
pub(super) fn path_question_ui(ctx: &egui::Context, question: &mut PathQuestion, actions: &mut Vec<Action>) -> bool {
    let PathQuestion { pick, problem, path } = question;
    let response = egui::Modal::new(egui::Id::unique("path")).show(ctx, |ui| {
        ui.set_width(520.0);
        widgets::heading(ui, text::pick_title(*pick));
        widgets::problem_text(ui, problem);
        ui.add_space(GRID);
        if let Some(path) = widgets::path_field(ui, path, *pick) {
            actions.push(Action::OpenPath(*pick, path));
            ui.close();
        }
        if ui.button(labels::CANCEL).clicked() {
            ui.close();
        }
    });
    !response.should_close()
}
