//! The pages of the race and of the sweep: begun by one click, drawn as they go, stopped, failed, at their end.

use egui_kittest::kittest::{NodeT as _, Queryable as _};
use pairtune::engine::protocol::*;
use pairtune::platform::World;
use serde_json::{Map, json};

use crate::script::{self, Stage, environment, problem};

const METHODS: [Method; 5] = [Method::Reward, Method::Dpo, Method::Sft, Method::Ppo, Method::Rloo];

/// The demo is open and planned with its own settings.
fn open_demo(stage: &mut Stage) {
    stage.say(Event::ModelOpened(Box::new(script::demo_model())));
    stage.say_pairs(48);
    stage.wait(1.0);
    let settings = json!({"beta": 0.1, "learning_rate": 0.0015}).as_object().cloned().expect("an object");
    stage.say(Event::Planned(Box::new(PlanInfo { settings, ..script::plan() })));
    stage.run();
}

fn race(event: RaceEvent) -> Event {
    Event::Race(event)
}

fn stage_of(method: Method, seconds: f64) -> StageResult {
    let adapter = if method == Method::Reward { "reward model" } else { "policy" };
    let mut memory = vec![("base".to_owned(), 1 << 21), (adapter.to_owned(), 1 << 20)];
    if matches!(method, Method::Ppo | Method::Rloo) {
        memory.extend([("reference".to_owned(), 1 << 18), ("reward model".to_owned(), 1 << 18)]);
    }
    StageResult {
        method,
        seconds,
        steps: 40,
        tokens_trained: 26_707,
        tokens_sampled: if method == Method::Ppo { 12_642 } else { 0 },
        memory,
        device_bytes: 1 << 23,
        settings: Map::new(),
    }
}

/// A race of these stages, measured as on the demo.
fn standing(done: &[Method]) -> Standing {
    let plan = race_sides(&[Method::Ppo, Method::Rloo], "a test").expect("sides");
    let base = Measure { won: 0.46, score: -0.81, score_std: 4.16, kl: 0.0, length: 26.7, cut: 0.0 };
    let side = |planned: &Side| {
        let last = *planned.stages.last().expect("a stage");
        let measure = match last {
            Method::Dpo => Measure { won: 0.96, score: 3.62, score_std: 1.07, kl: 0.68, length: 26.2, cut: 0.0 },
            _ => Measure { won: 0.99, score: 3.74, score_std: 0.2, kl: 1.05, length: 26.3, cut: 0.0 },
        };
        let curve = |share: f64| {
            let between = |from: f64, to: f64| from + share * (to - from);
            let (won, score, kl) =
                (between(base.won, measure.won), between(base.score, measure.score), between(0.0, measure.kl));
            RacePoint { done: share, measure: Measure { won, score, kl, ..measure } }
        };
        let is_done = done.contains(&last);
        SideResult {
            name: planned.name.clone(),
            stages: planned.stages.iter().filter(|m| done.contains(m)).map(|m| stage_of(*m, 19.0)).collect(),
            measure: is_done.then_some(measure),
            curve: if is_done { [0.0, 0.25, 0.5, 0.75, 1.0].map(curve).to_vec() } else { Vec::new() },
        }
    };
    let sides = plan.iter().map(side).collect();
    Standing { plan, base: Some(base), sides, seconds: 100.0 }
}

/// The first so many stages go, the last of them half way unless all are at their end.
fn run_stages(stage: &mut Stage, n: usize, ended: bool) {
    let plan = race_sides(&[Method::Ppo, Method::Rloo], "a test").expect("sides");
    let prompts = ["How much is a bicycle for the day?", "When is high tide?"].map(str::to_owned).to_vec();
    stage.say(race(RaceEvent::Begins { plan, prompts }));
    for (i, method) in METHODS.into_iter().take(n).enumerate() {
        stage.queue(race(RaceEvent::Stage { method, n_steps: 40 }));
        let steps = if i + 1 < n || ended { 40 } else { 20 };
        for step in 1..=steps {
            let metric = if matches!(method, Method::Ppo | Method::Rloo) { "objective/scores" } else { "loss" };
            let value = 0.7 / (step as f64).sqrt();
            stage.queue(race(RaceEvent::Step { method, step, metric: metric.to_owned(), value }));
        }
        if steps == 40 {
            stage.queue(race(RaceEvent::Stands(Box::new(standing(&METHODS[..=i])))));
            stage.queue(race(RaceEvent::Kept { method, run_id: format!("run-{}", method.name()) }));
        }
    }
    stage.run();
}

/// Clicks what has this name while something on the screen moves.
fn press(stage: &mut Stage, label: &str) {
    stage.harness.get_by_label(label).scroll_to_me();
    stage.harness.run_steps(3);
    stage.harness.get_by_label(label).click();
    stage.harness.run_steps(3);
}

/// A race of all stages, at its end.
fn raced(stage: &mut Stage) {
    stage.click("DPO beside RLHF, on the demo");
    open_demo(stage);
    run_stages(stage, METHODS.len(), true);
    stage.say(race(RaceEvent::Done));
    stage.sent();
}

#[test]
fn a_race_on_the_demo_is_one_click() {
    let mut stage = Stage::ready();
    stage.sent();
    stage.click("DPO beside RLHF, on the demo");
    assert_eq!(stage.sent(), [Command::Model(ModelCommand::OpenDemo)], "only the demo");
    stage.expect("one stage of DPO, three of RLHF");
    open_demo(&mut stage);
    let sent = stage.sent();
    let [Command::Race(request)] = sent.as_slice() else { panic!("a race begins, not {sent:?}") };
    assert_eq!(request.against, [Method::Ppo], "the article's");
    assert_eq!(request.settings["ppo"]["total_episodes"], json!(480), "with the demo's settings");
    assert_eq!(request.name, "Race");
    stage.expect("Preparing");
    stage.expect("Stop the race");
}

#[test]
fn the_stages_of_a_race_are_drawn_as_they_go() {
    let mut stage = Stage::ready();
    stage.click("DPO beside RLHF, on the demo");
    open_demo(&mut stage);
    run_stages(&mut stage, 3, false);
    for part in ["RLHF by PPO", "RLHF by RLOO", "Reward model", "Fine-tuning", "waiting", "running", "step 20/40"] {
        stage.expect(part);
    }
    stage.expect(" left of this stage, then 2 more stages");
    stage.expect("46 %");
    stage.expect("96 %");
    assert!(!stage.shows("99 %"), "RLHF is not measured yet");
    assert!(!stage.shows("Which answer is better?"), "nor can it be voted on");
    stage.go("3  Plan");
    stage.expect("sft, step 20/40");
    stage.sent();
    stage.click("A race is at work: show it");
    stage.expect("The race is on");
    stage.click("Stop the race");
    assert_eq!(stage.sent(), [Command::Run(RunCommand::Stop)]);
    stage.expect("Stopping: finishing this step");
    stage.go("3  Plan");
    stage.expect("Stopping: finishing this step");
    stage.say(race(RaceEvent::Step { method: Method::Sft, step: 40, metric: "loss".to_owned(), value: 0.1 }));
    stage.expect("Stopping: measuring this model");
    stage.go("Race");
    stage.expect("Stopping: measuring this model");
}

#[test]
fn a_stopped_race_keeps_its_table() {
    let mut stage = Stage::ready();
    stage.click("DPO beside RLHF, on the demo");
    open_demo(&mut stage);
    run_stages(&mut stage, 4, false);
    stage.click("Stop the race");
    stage.say(Event::Cancelled { subject: Subject::Race });
    stage.expect("The race was stopped");
    stage.expect("not done");
    stage.expect("96 %");
    stage.expect("DPO beside RLHF, on the demo");
    assert!(!stage.shows("Which answer is better?"), "one side has no model to vote on");
}

#[test]
fn a_finished_race_has_its_table_its_runs_and_its_votes() {
    let mut stage = Stage::ready();
    raced(&mut stage);
    for part in ["3.62 ± 1.07", "99 %", "RLHF by PPO took 3.0 times the time of DPO", "Score against KL"] {
        stage.expect(part);
    }
    press(&mut stage, "Start the test");
    let sent = stage.sent();
    let [Command::Compare(CompareCommand::Generate(request))] = sent.as_slice() else {
        panic!("two answers are wanted, not {sent:?}")
    };
    assert_eq!(request.runs, ["run-dpo", "run-ppo"], "of both sides");
    assert_eq!(request.prompt, "How much is a bicycle for the day?");
    for (side, piece) in ["Hello and welcome!", "Four pounds, dear guest."].into_iter().enumerate() {
        stage.queue(Event::Text { id: request.id, side, piece: piece.into(), end: true, tokens: 5, seconds: 1.0 });
    }
    stage.run();
    assert!(stage.shows("Question 1") && !stage.shows("Win rate"), "no names and no tally before a vote");
    press(&mut stage, "A is better");
    stage.expect("Win rate of RLHF by PPO");
    stage.expect("0 without difference");
    press(&mut stage, "Next");
    assert!(
        matches!(&stage.sent()[..], [Command::Compare(CompareCommand::Generate(next))] if next.prompt.contains("tide"))
    );
    press(&mut stage, "DPO beside RLHF by RLOO");
    press(&mut stage, "Start the test");
    assert!(
        matches!(&stage.sent()[..], [Command::Compare(CompareCommand::Generate(next))] if next.runs[1] == "run-rloo")
    );
    stage.harness.get_all_by_label("Open its run").next().expect("a run").scroll_to_me();
    stage.harness.run_steps(3);
    stage.harness.get_all_by_label("Open its run").next().expect("a run").click();
    stage.harness.run_steps(3);
    assert!(
        matches!(&stage.sent()[..], [Command::Library(LibraryCommand::Open { run_id })] if run_id == "run-dpo"),
        "DPO's is the first"
    );
}

#[test]
fn a_race_that_cannot_go_on_says_why() {
    let mut stage = Stage::at_address("race", true);
    stage.say(script::ready());
    stage.expect("What it does");
    stage.click("PPO");
    stage.expect("Choose at least one method.");
    stage.click("GRPO");
    stage.click("DPO beside RLHF, on the demo");
    open_demo(&mut stage);
    stage.say(Event::Refused { subject: Subject::Race, problem: problem("It does not fit", "Use a smaller model") });
    stage.expect("The race could not go on");
    stage.expect("Use a smaller model");
    stage.click("Dismiss");
    assert!(!stage.shows("Use a smaller model"), "it was read");
}

#[test]
fn a_race_on_an_own_model_has_what_suits_the_machine() {
    let mut stage = Stage::planned();
    stage.say(Event::Runs { runs: vec![script::record("r1", "Race: dpo", Status::Finished)] });
    stage.go("3  Plan");
    stage.click("Strong");
    stage.wait(1.0);
    stage.say(Event::Planned(Box::new(script::plan())));
    stage.go("Race");
    stage.expect("Open: Qwen3-0.6B with tone.jsonl");
    stage.sent();
    stage.click("Race on my model and pairs");
    let sent = stage.sent();
    let [Command::Race(request)] = sent.as_slice() else { panic!("a race begins, not {sent:?}") };
    assert_eq!(request.settings["r"], json!(32), "the adapter's rank");
    assert!(!request.settings.contains_key("learning_rate"), "each method has its own");
    assert_eq!(request.name, "Race 2", "the first one's runs are there");
    stage.sent();
    stage.go("1  Model");
    stage.click("Show");
    stage.expect("Stop the race");
}

fn point(step: usize, won: f64, kl: f64) -> SweepPoint {
    let loss = (step > 0).then_some(0.5);
    SweepPoint { step, loss, pairs_won: won, reward_accuracy: won, kl, chosen_change: 20.0 * kl - 1.0, won: Vec::new() }
}

/// Five values as on the demo; the last runs of a sweep that is not at its end are missing.
fn sweep_runs(stage: &mut Stage, n: usize) {
    let values = [0.003, 0.03, 0.1, 0.3, 3.0];
    stage.say(Event::Sweep(SweepEvent::Begins { values: values.to_vec() }));
    let ends = [(0.7, 2.5), (0.9, 0.9), (0.96, 0.07), (0.92, 0.02), (0.5, 0.001)];
    let mut runs = Vec::new();
    for (value, (won, kl)) in values.into_iter().zip(ends).take(n) {
        stage.queue(Event::Sweep(SweepEvent::Run { value, n_steps: 40 }));
        let points: Vec<SweepPoint> = (0..=4)
            .map(|i| {
                let share = i as f64 / 4.0;
                point(10 * i, 0.46 + share * (won - 0.46), share * kl)
            })
            .collect();
        for point in &points {
            stage.queue(Event::Sweep(SweepEvent::Step { value, step: point.step }));
            stage.queue(Event::Sweep(SweepEvent::Point { value, point: point.clone() }));
        }
        runs.push(SweepRun { value, ended: SweepEnded::Done, n_steps: 40, seconds: 28.0, points });
        let judgement = |run: &SweepRun| {
            let verdict = match run.value {
                value if value < 0.05 => Verdict::TooLow,
                value if value > 1.0 => Verdict::TooHigh,
                _ => Verdict::AboutRight,
            };
            Judgement { value: run.value, verdict, text: format!("beta {} is judged.", run.value) }
        };
        let advice = Advice { value: Some(0.3), tried: true, text: "Train with beta 0.3: it wins the most.".into() };
        let judgements = runs.iter().map(judgement).collect();
        stage.queue(Event::Sweep(SweepEvent::Stands(Box::new(SweepStanding {
            runs: runs.clone(),
            judgements,
            advice,
        }))));
        stage.queue(Event::Sweep(SweepEvent::Kept { value, run_id: format!("run-{value}") }));
    }
    stage.run();
}

#[test]
fn a_sweep_of_the_demo_is_one_click_and_its_advice_another() {
    let mut stage = Stage::ready();
    stage.sent();
    stage.click("Beta from too low to too high, on the demo");
    assert_eq!(stage.sent(), [Command::Model(ModelCommand::OpenDemo)], "only the demo");
    open_demo(&mut stage);
    let sent = stage.sent();
    let [Command::Sweep(request)] = sent.as_slice() else { panic!("a sweep begins, not {sent:?}") };
    assert_eq!(request.values, [0.003, 0.03, 0.1, 0.3, 3.0], "from too low to too high");
    assert_eq!(request.settings["learning_rate"], json!(0.0015), "with the demo's settings");
    sweep_runs(&mut stage, 5);
    stage.say(Event::Sweep(SweepEvent::Done));
    for part in ["too low", "about right", "too high", "Train with beta 0.3", "All values of beta in one picture"] {
        stage.expect(part);
    }
    stage.sent();
    stage.click("Use beta 0.3");
    stage.expect("What the run will do");
    stage.wait(1.0);
    let sent = stage.sent();
    let [Command::Plan(PlanCommand::Estimate { settings, .. })] = sent.as_slice() else {
        panic!("it is planned, not {sent:?}")
    };
    assert_eq!((&settings["beta"], &settings["learning_rate"]), (&json!(0.3), &json!(0.0015)), "the sweep's, with it");
}

#[test]
fn a_sweep_under_way_shows_the_values_so_far() {
    let mut stage = Stage::ready();
    stage.click("Beta from too low to too high, on the demo");
    open_demo(&mut stage);
    sweep_runs(&mut stage, 2);
    stage.expect(" so far, ~");
    stage.queue(Event::Sweep(SweepEvent::Run { value: 0.1, n_steps: 40 }));
    stage.say(Event::Sweep(SweepEvent::Step { value: 0.1, step: 7 }));
    stage.expect("Beta 0.1, step 7/40");
    stage.expect("waiting");
    assert!(!stage.shows("What to train with"), "there is more to come");
    stage.sent();
    stage.go("Start");
    stage.expect("beta 0.1, step 7/40");
    stage.go("Sweep");
    stage.click("Stop the sweep");
    assert_eq!(stage.sent(), [Command::Run(RunCommand::Stop)]);
    stage.expect("Stopping: finishing this step");
    stage.say(Event::Sweep(SweepEvent::Step { value: 0.1, step: 40 }));
    stage.expect("Stopping: measuring this model");
    stage.say(Event::Cancelled { subject: Subject::Sweep });
    stage.expect("The sweep was stopped");
    stage.expect("not tried");
    stage.expect("Use beta 0.3");
}

#[test]
fn the_values_of_a_sweep_are_typed() {
    let mut stage = Stage::planned();
    stage.go("Sweep");
    stage.expect("Beta in the plan: 0.1");
    stage.type_into("Values", "0.1");
    stage.expect("Give at least two values.");
    stage.type_into("Values", "0.1, much");
    stage.expect("numbers with commas");
    stage.click("Learning rate");
    stage.expect("Learning rate in the plan: 2e-5");
    stage.type_into("Values", "1e-5, 5e-5");
    stage.sent();
    stage.click("Try these values");
    let sent = stage.sent();
    let [Command::Sweep(request)] = sent.as_slice() else { panic!("a sweep begins, not {sent:?}") };
    assert_eq!((request.over, request.values.as_slice()), (Over::LearningRate, [1e-5, 5e-5].as_slice()));
    stage.say(Event::Refused { subject: Subject::Sweep, problem: problem("No pairs are held out", "Give more pairs") });
    stage.expect("The sweep could not go on");
    stage.expect("Give more pairs");
}

#[test]
fn race_and_sweep_wait_for_their_model_and_gpu() {
    let mut stage = Stage::with_size(environment(World::Browser), Vec::new(), [1920.0, 1000.0]);
    stage.say(script::ready_with(Err(problem("navigator.gpu is missing", "Switch WebGPU on"))));
    stage.go("Sweep");
    stage.expect("What it does");
    assert!(
        stage.harness.get_by_label("Beta from too low to too high, on the demo").accesskit_node().is_disabled(),
        "it needs a GPU"
    );
    stage.go("Race");
    assert!(stage.harness.get_by_label("DPO beside RLHF, on the demo").accesskit_node().is_disabled(), "so does this");
}
