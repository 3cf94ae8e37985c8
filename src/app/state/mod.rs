//! State of the screen, folded from the engine's events. There is no egui in it, and nothing here asks for anything.

mod compare;
mod export;
mod fold;
mod hub;
mod library;
mod machine;
mod model;
mod pairs;
mod plan;
mod race;
mod run;
mod run_events;
mod sweep;

pub(crate) use compare::{Generation, TextSide, is_same_strength};
pub(crate) use fold::State;
pub(crate) use library::{Recent, RecentPath};
pub(crate) use machine::{BenchState, Connection, LogLine, network};
pub(crate) use model::{ModelState, source_of};
pub(crate) use plan::{Blocked, FEW_ENOUGH, PlannedFlag, RunParts, Trial};
pub(crate) use race::{Course, RaceState};
pub(crate) use run::{Rollouts, RunPhase, RunState, accuracy_of, series};
pub(crate) use sweep::{SweepState, Tried};
