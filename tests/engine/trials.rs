//! Races and sweeps behind the protocol: what is told on the way, what they leave among the runs, how they stop.

use pairtune::engine::protocol::{
    Command, CompareCommand, Event, GenerateRequest, Inputs, LibraryCommand, Method, Over, RaceEvent, RaceRequest,
    RunCommand, Settings, Standing, Subject, SweepEvent, SweepRequest, Verdict,
};
use serde_json::json;

use crate::micro::micro_settings;
use crate::session::TestEngine;

/// A race of few steps.
fn race(against: &[Method]) -> Command {
    let mut settings = micro_settings(2);
    settings.remove("beta");
    let own = json!({"per_device_train_batch_size": 4, "total_episodes": 8, "num_ppo_epochs": 1, "response_length": 4});
    settings.insert("ppo".to_owned(), own);
    let own = json!({"per_device_train_batch_size": 4, "num_generations": 2, "max_completion_length": 4});
    settings.insert("rloo".to_owned(), own);
    let (name, against) = ("Race".to_owned(), against.to_vec());
    Command::Race(Box::new(RaceRequest { name, settings: known(settings), against }))
}

/// Without what no stage of a race has.
fn known(mut settings: Settings) -> Settings {
    settings.remove("loss_type");
    settings
}

fn is_over(event: &Event) -> bool {
    matches!(
        event,
        Event::Race(RaceEvent::Done)
            | Event::Sweep(SweepEvent::Done)
            | Event::Refused { .. }
            | Event::Cancelled { subject: Subject::Race | Subject::Sweep }
    )
}

/// Latest standing of the race that was told.
fn standing(said: &[Event]) -> &Standing {
    let stands = said.iter().rev().find_map(|event| match event {
        Event::Race(RaceEvent::Stands(standing)) => Some(&**standing),
        _ => None,
    });
    stands.expect("it was told how the race stands")
}

fn kept(said: &[Event]) -> Vec<(Method, String)> {
    let of = |event: &Event| match event {
        Event::Race(RaceEvent::Kept { method, run_id }) => Some((*method, run_id.clone())),
        _ => None,
    };
    said.iter().filter_map(of).collect()
}

#[test]
fn a_race_measures_both_sides_and_leaves_runs() {
    let mut engine = TestEngine::micro("race");
    engine.send(race(&[Method::Ppo, Method::Rloo]));
    let end = engine.wait(is_over);
    assert!(matches!(end, Event::Race(RaceEvent::Done)), "it comes to its end: {end:?}");
    let stages = engine.said.iter().filter_map(|event| match event {
        Event::Race(RaceEvent::Stage { method, n_steps }) => Some((*method, *n_steps)),
        _ => None,
    });
    let stages: Vec<Method> = stages.map(|(method, _)| method).collect();
    assert_eq!(stages, [Method::Reward, Method::Dpo, Method::Sft, Method::Ppo, Method::Rloo], "the judge first");
    let standing = standing(&engine.said);
    assert!(standing.base.is_some() && standing.sides.iter().all(|side| side.measure.is_some()), "all is measured");
    let steps: Vec<usize> = standing.sides.iter().map(|side| side.stages.len()).collect();
    assert_eq!(steps, [1, 3, 3], "stages of each side");
    assert!(standing.rows().iter().flat_map(|(_, cells)| cells).all(|cell| !cell.is_empty()), "the table is filled");
    assert_eq!(standing.verdict().len(), 8, "four sentences on each side of RLHF");
    assert!(standing.sides.iter().all(|side| side.curve.len() == 3), "start, middle and end");

    let kept = kept(&engine.said);
    assert_eq!(kept.iter().map(|(method, _)| *method).collect::<Vec<_>>(), stages, "every stage is kept");
    engine.send(Command::Library(LibraryCommand::List));
    let runs = expect_event!(engine, Event::Runs { runs } if runs.len() == 5 => runs);
    let of = |method: Method| {
        let (_, run_id) = kept.iter().find(|(kept, _)| *kept == method).expect("it is kept");
        runs.iter().find(|run| run.run_id == *run_id).expect("it is listed")
    };
    let (ppo, dpo) = (of(Method::Ppo), of(Method::Dpo));
    assert_eq!(ppo.name, "Race: ppo", "it says where it comes from");
    assert_eq!(ppo.inputs.start_from.as_ref(), Some(&of(Method::Sft).run_id), "from the fine-tuned model");
    assert_eq!(ppo.inputs.rewards, [Inputs::run_reward(&of(Method::Reward).run_id)], "judged by the reward model");
    assert!(dpo.won.is_some() && dpo.n_held_out == 8, "with what was measured");

    // The models are set against each other, though no run is open.
    let request = GenerateRequest {
        others: Vec::new(),
        id: 7,
        prompt: "Question: When?\nAnswer:".to_owned(),
        system: String::new(),
        turns: Vec::new(),
        seed: 1,
        temperature: 0.7,
        max_new_tokens: 4,
        strengths: Vec::new(),
        runs: vec![dpo.run_id.clone(), ppo.run_id.clone()],
    };
    engine.send(Command::Compare(CompareCommand::Generate(Box::new(request))));
    // Either may be the first to end.
    for _ in 0..2 {
        engine.wait(|event| matches!(event, Event::Text { id: 7, end: true, .. }));
    }
    // The open model and pairs will do for these runs, since they were trained on them.
    for run in [ppo, dpo] {
        let before = engine.said.len();
        engine.send(Command::Library(LibraryCommand::Open { run_id: run.run_id.clone() }));
        let info = expect_event!(engine, Event::RunOpened(info) => info);
        assert_eq!(info.record.step, 2, "of all its steps");
        assert_eq!(info.history.len(), 4, "two steps, and two evaluations");
        let opened = engine.said[before..].iter().any(|event| matches!(event, Event::ModelOpened(_)));
        assert!(!opened, "the model is the open one");
    }
}

#[test]
fn a_race_stops_at_a_step_and_keeps_what_is_done() {
    let mut engine = TestEngine::micro("race-stopped");
    engine.send(race(&[Method::Ppo]));
    engine.wait(|event| matches!(event, Event::Race(RaceEvent::Stage { method: Method::Dpo, .. })));
    // Commands that can run beside the race are carried out; another training is refused.
    engine.send(Command::Library(LibraryCommand::List));
    engine.send(Command::Sweep(Box::new(sweep(vec![0.1, 1.0]))));
    engine.send(Command::Run(RunCommand::Stop));
    let refused = expect_event!(engine, Event::Refused { subject, problem } => (subject, problem));
    assert_eq!(refused.0, Subject::Sweep, "two do not train at once");
    assert!(refused.1.fix.contains("stop it"), "{}", refused.1);
    let end = engine.wait(is_over);
    assert_eq!(end, Event::Cancelled { subject: Subject::Race });
    assert_eq!(kept(&engine.said).iter().map(|(method, _)| *method).collect::<Vec<_>>(), [Method::Reward]);
    assert!(standing(&engine.said).base.is_some(), "the base model was measured");
    engine.send(Command::Race(Box::new(RaceRequest {
        name: "Race".to_owned(),
        settings: Settings::from_iter([("bta".to_owned(), json!(1))]),
        against: Vec::new(),
    })));
    let problem = expect_event!(engine, Event::Refused { subject: Subject::Race, problem } => problem);
    assert!(problem.what.contains("\"bta\""), "{problem}");
}

fn sweep(values: Vec<f64>) -> SweepRequest {
    let settings = micro_settings(4);
    SweepRequest { name: "Sweep".to_owned(), settings, inputs: Inputs::default(), over: Over::Beta, values }
}

#[test]
fn a_sweep_says_what_to_train_with_and_leaves_runs() {
    let mut engine = TestEngine::micro("sweep");
    engine.send(Command::Sweep(Box::new(sweep(vec![1.0, 0.1, 0.01]))));
    let end = engine.wait(is_over);
    assert!(matches!(end, Event::Sweep(SweepEvent::Done)), "it comes to its end: {end:?}");
    let begun = engine.said.iter().filter_map(|event| match event {
        Event::Sweep(SweepEvent::Run { value, n_steps: 4 }) => Some(*value),
        _ => None,
    });
    let begun: Vec<f64> = begun.collect();
    assert_eq!(begun[0], 0.1, "the value in use goes first");
    assert_eq!(begun.len(), 3, "{begun:?}");
    let points = engine.said.iter().filter(|event| matches!(event, Event::Sweep(SweepEvent::Point { .. }))).count();
    assert!(points >= 12, "each is measured at its start and its quarters: {points}");
    let stands = engine.said.iter().rev().find_map(|event| match event {
        Event::Sweep(SweepEvent::Stands(standing)) => Some(standing.clone()),
        _ => None,
    });
    let stands = stands.expect("it is judged");
    let values: Vec<f64> = stands.judgements.iter().map(|judgement| judgement.value).collect();
    assert_eq!(values, [0.01, 0.1, 1.0], "by rising value");
    assert!(stands.judgements.iter().all(|judgement| judgement.verdict != Verdict::Unclear) || !stands.advice.tried);
    engine.send(Command::Library(LibraryCommand::List));
    let runs = expect_event!(engine, Event::Runs { runs } if runs.len() == 3 => runs);
    let mut names: Vec<&str> = runs.iter().map(|run| run.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["Sweep: beta 0.01", "Sweep: beta 0.1", "Sweep: beta 1"]);
    engine.send(Command::Library(LibraryCommand::Open { run_id: runs[0].run_id.clone() }));
    let record = expect_event!(engine, Event::RunOpened(info) => info.record);
    assert!(record.checkpoint.is_some(), "it can be gone on with");
}

#[test]
fn a_sweep_that_cannot_be_is_refused() {
    let mut engine = TestEngine::micro("sweep-refused");
    let mut refused = |request: SweepRequest, what: &str| {
        engine.send(Command::Sweep(Box::new(request)));
        let problem = expect_event!(engine, Event::Refused { subject: Subject::Sweep, problem } => problem);
        assert!(problem.what.contains(what), "{problem}");
    };
    refused(sweep(vec![0.1]), "The sweep has 1 values");
    refused(sweep(vec![0.1, 0.1]), "given twice");
    refused(sweep(vec![0.1, -1.0]), "beta");
    let mut sft = sweep(vec![0.1, 1.0]);
    sft.settings = Settings::from_iter([("method".to_owned(), json!("sft"))]);
    refused(sft, "A sweep compares models by pairs");
}
