//! Rules of each command, in one table that lists all of them.

use serde::{Deserialize, Serialize};

use super::{Command, CompareCommand, HubCommand, LibraryCommand, ModelCommand, PairsCommand, PlanCommand, RunCommand};

/// Rules of a command, which the session, the window and tests share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules<'a> {
    /// Subject of its refusal or cancellation.
    pub subject: Subject,
    /// The app asks for it by itself, so a refusal is not told to the person.
    pub quiet: bool,
    /// It would share the GPU, or the stored runs, with another tab or window at work.
    pub needs_gpu: bool,
    /// It stores something that would be missed, so that a page asks the browser not to clear its storage.
    pub keeps: bool,
    /// The engine refuses it while a run trains.
    pub waits_for_pause: Waits<'a>,
}

/// Cases in which a command waits until the run at work has paused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waits<'a> {
    /// The engine answers it between two steps, or it is for the run at work itself.
    Never,
    /// It needs what the run has: the device, the model or the pairs.
    Always,
    /// It waits if the run at work is this one.
    IfAtWork(&'a str),
    /// It waits if another run than this one is at work.
    UnlessAtWork(&'a str),
}

impl Waits<'_> {
    /// True if it waits while a race or a sweep is at work, which has no run that is open.
    pub fn for_trials(self) -> bool {
        matches!(self, Self::Always | Self::UnlessAtWork(_))
    }

    /// True if it waits while the run of this id is at work.
    pub fn for_run(self, run_id: &str) -> bool {
        match self {
            Self::Never => false,
            Self::Always => true,
            Self::IfAtWork(own) => own == run_id,
            Self::UnlessAtWork(own) => own != run_id,
        }
    }
}

impl<'a> Rules<'a> {
    /// Returns the rules of a command that a person asks for, that needs no GPU and that is answered at any time.
    const fn about(subject: Subject) -> Self {
        Self { subject, quiet: false, needs_gpu: false, keeps: false, waits_for_pause: Waits::Never }
    }

    const fn quiet(self) -> Self {
        Self { quiet: true, ..self }
    }

    const fn on_gpu(self) -> Self {
        Self { needs_gpu: true, ..self }
    }

    const fn keeping(self) -> Self {
        Self { keeps: true, ..self }
    }

    const fn waiting(self, waits_for_pause: Waits<'a>) -> Self {
        Self { waits_for_pause, ..self }
    }
}

impl Command {
    /// The one table of what holds for each command. It lists all of them, so that a new command cannot be forgotten.
    pub fn rules(&self) -> Rules<'_> {
        use Subject as S;
        use Waits::{Always, IfAtWork, UnlessAtWork};
        let about = Rules::about;
        match self {
            Self::Model(command) => match command {
                ModelCommand::OpenDemo => about(S::Model).on_gpu().waiting(Always),
                ModelCommand::Open { .. } | ModelCommand::Forget { .. } => about(S::Model).waiting(Always),
                ModelCommand::Keep => about(S::Model).keeping().waiting(Always),
                ModelCommand::Measure { .. } => about(S::Model).quiet(),
            },
            Self::Hub(command) => match command {
                HubCommand::Search { .. } => about(S::Hub).waiting(Always),
                HubCommand::SetToken { .. } => about(S::Hub).quiet(),
                HubCommand::Fetch { .. } => about(S::Model).keeping().waiting(Always),
            },
            Self::Pairs(command) => match command {
                PairsCommand::Open { .. } | PairsCommand::Skip { .. } => about(S::Pairs).waiting(Always),
                PairsCommand::Swap | PairsCommand::SwapRow { .. } => about(S::Pairs).waiting(Always),
                PairsCommand::Make | PairsCommand::Edit { .. } => about(S::Pairs).waiting(Always),
                PairsCommand::Write => about(S::Pairs),
                PairsCommand::Read { .. } | PairsCommand::Find { .. } => about(S::Pairs).quiet(),
                PairsCommand::SetChat(_) => about(S::Chat).waiting(Always),
            },
            Self::Plan(command) => match command {
                PlanCommand::Estimate { .. } => about(S::Plan).quiet(),
                PlanCommand::Trial { .. } => about(S::Plan).on_gpu().waiting(Always),
            },
            Self::Run(command) => match command {
                RunCommand::Start(_) => about(S::Run).on_gpu().keeping().waiting(Always),
                RunCommand::Resume { run_id, .. } => about(S::Run).on_gpu().waiting(UnlessAtWork(run_id)),
                RunCommand::Pause | RunCommand::Stop => about(S::Run),
                RunCommand::Discard { .. } => about(S::Run).on_gpu(),
            },
            Self::Race(_) => about(S::Race).on_gpu().keeping().waiting(Always),
            Self::Sweep(_) => about(S::Sweep).on_gpu().keeping().waiting(Always),
            Self::Compare(command) => match command {
                CompareCommand::Generate(_)
                | CompareCommand::ScoreHeldOut { .. }
                | CompareCommand::InspectPair { .. } => about(S::Compare).on_gpu().waiting(Always),
            },
            // A merged model needs its weights a second time.
            Self::Export(request) if request.kinds.iter().any(|kind| kind.is_model()) => {
                about(S::Export).on_gpu().waiting(Always)
            }
            Self::Export(request) => about(S::Export).on_gpu().waiting(UnlessAtWork(&request.run_id)),
            Self::Library(command) => match command {
                LibraryCommand::Open { .. } | LibraryCommand::Import | LibraryCommand::ImportAdapter => {
                    about(S::Runs).on_gpu().waiting(Always)
                }
                LibraryCommand::Describe { .. } => about(S::Runs).on_gpu(),
                LibraryCommand::Delete { run_id } => about(S::Runs).on_gpu().waiting(IfAtWork(run_id)),
                LibraryCommand::List | LibraryCommand::ReadHistory { .. } | LibraryCommand::MeasureStorage => {
                    about(S::Runs).quiet()
                }
            },
            Self::Bench => about(S::Bench).on_gpu().waiting(Always),
            Self::Cancel | Self::Drill(_) => about(S::Run),
        }
    }
}

/// Subject of a refusal or a cancellation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// Opening a model.
    Model,
    /// Searching the Hugging Face Hub.
    Hub,
    /// Opening pairs, or reading one.
    Pairs,
    /// Setting the chat template.
    Chat,
    /// Settings.
    Plan,
    /// A run.
    Run,
    /// DPO beside RLHF.
    Race,
    /// A sweep over values of a setting.
    Sweep,
    /// Comparing.
    Compare,
    /// Writing files.
    Export,
    /// Stored runs.
    Runs,
    /// Measuring the GPU.
    Bench,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::protocol::Settings;

    #[test]
    fn a_command_waits_only_for_a_run_that_is_in_its_way() {
        let waits = |command: Command, at_work: &str| command.rules().waits_for_pause.for_run(at_work);
        assert!(waits(Command::Pairs(PairsCommand::Swap), "a"), "the run trains on these pairs");
        assert!(!waits(Command::Library(LibraryCommand::List), "a"), "a list is answered between two steps");
        assert!(
            waits(Command::Library(LibraryCommand::Delete { run_id: "a".to_owned() }), "a"),
            "its own files are in use"
        );
        assert!(
            !waits(Command::Library(LibraryCommand::Delete { run_id: "a".to_owned() }), "b"),
            "the files of another run are not"
        );
        let resume = || Command::Run(RunCommand::Resume { run_id: "a".to_owned(), settings: Settings::new() });
        assert!(!waits(resume(), "a"), "it is the run at work");
        assert!(waits(resume(), "b"), "two runs do not train at once");
    }
}
