//! Starts races and sweeps: on the demo with its settings, else with those of the plan.

use super::app::App;
use super::plan::{OF_THE_MACHINE, free_name};
use crate::app::state::State;
use crate::engine::plan::presets;
use crate::engine::protocol::{Command, Method, Over, RaceRequest, SweepRequest};

impl App {
    /// Races DPO against RLHF on the open model and pairs.
    pub(super) fn start_race(&mut self, against: Vec<Method>) {
        let settings = match self.state.is_demo() {
            true => presets::demo_race(),
            // Each stage uses the defaults of its method, plus the settings that suit model, machine and pairs.
            false => {
                let kept = |key: &str| key == "eval_split" || OF_THE_MACHINE.contains(&key);
                let plan = &self.state.plan.settings;
                plan.iter().filter(|(key, _)| kept(key)).map(|(key, value)| (key.clone(), value.clone())).collect()
            }
        };
        let name = free("Race", &self.state);
        self.send(Command::Race(Box::new(RaceRequest { name, settings, against })), Vec::new());
    }

    /// Trains the demo with values of beta from far too low to far too high.
    pub(super) fn sweep_demo(&mut self) {
        let own = self.state.plan.value(Over::Beta.key()).and_then(serde_json::Value::as_f64).unwrap_or(0.1);
        self.start_sweep(Over::Beta, Over::Beta.spread(own));
    }

    /// Trains the plan with several values of a setting.
    pub(super) fn start_sweep(&mut self, over: Over, values: Vec<f64>) {
        let (settings, inputs) = (self.state.plan.settings.clone(), self.state.plan.inputs.clone());
        let name = free("Sweep", &self.state);
        let request = SweepRequest { name, settings, inputs, over, values };
        self.send(Command::Sweep(Box::new(request)), Vec::new());
    }
}

/// Returns a name that no run of an earlier race or sweep begins with.
fn free(stem: &str, state: &State) -> String {
    free_name(stem, |name| {
        let beginning = format!("{name}: ");
        state.runs.iter().flatten().any(|run| run.name.starts_with(&beginning))
    })
}
