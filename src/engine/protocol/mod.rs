//! The protocol between the engine and its user interface: plain data, no tensors, no handles.
//!
//! A [`Command`] goes in, [`Event`]s come out. The first event is always [`Event::Ready`], whose build identifier the
//! other side compares with its own. Files travel beside a command, as `PickedFile`s; what the engine writes goes to
//! the store, and events name the place. Metrics have TRL's names.
//!
//! A topic has a file, with the names of the session's folders.

mod command;
mod compare;
mod data;
mod event;
mod export;
mod hub;
mod library;
mod machine;
mod model;
mod plan;
mod rules;
mod run;
mod trials;

pub use crate::data::{Chat, Columns as Mapping, Kind, Method, Passage, count, counted};
pub use crate::engine::race::{
    Measure, Point as RacePoint, Row as RaceRow, Side, SideResult, StageResult, Standing, sides as race_sides,
};
pub use crate::engine::run::rewards::{RULES, Rule};
pub use crate::engine::sweep::{
    Advice, Ended as SweepEnded, Judgement, Over, Point as SweepPoint, Run as SweepRun, Verdict, short,
};
pub use crate::error::ErrorCode;
pub use crate::gpu::Backend;
pub use crate::platform::Purpose;
pub use crate::train::{LossType, METHOD, Setting, SettingKind, settings};
pub use command::Command;
pub use compare::{CompareCommand, GenerateRequest, HeldOutPair, Inspection, TokenChange, Turn};
pub use data::{LineProblem, PairRow, PairView, PairsCommand, PairsInfo, ProblemKind, SeenSequence};
pub use event::Event;
pub use export::{ExportKind, ExportRequest, Exported, GgufForm, WhichAdapter};
pub use hub::{HubCommand, HubEvent, HubModel, Token};
pub use library::LibraryCommand;
pub use machine::{
    BUILD, GpuInfo, Level, Metrics, Problem, Progress, Ready, Settings, StorageInfo, is_evaluation, step_of,
};
pub use model::{ChatInfo, ModelCommand, ModelInfo, ModelSource, Origin, StoredModel, THINKING};
pub use plan::{Check, Fix, PlanCommand, PlanInfo, SkipReason, TRIAL_STEPS};
pub use rules::{Rules, Subject, Waits};
pub use run::{
    Answered, Drill, Failure, Inputs, Phase, RunCommand, RunInfo, RunRecord, RunRequest, SampleAnswer, Share, Status,
    Summary, Watch,
};
pub use trials::{RaceEvent, RaceRequest, SweepEvent, SweepRequest, SweepStanding};
