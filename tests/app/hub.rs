//! Finding a model on the Hub.

use egui_kittest::kittest::{NodeT as _, Queryable as _};
use pairtune::engine::protocol::*;
use pairtune::platform::{Environment, World};

use super::script::{self, Stage, problem};

const SMOL: &str = "HuggingFaceTB/SmolLM2-135M-Instruct";
const GATED: &str = "google/gemma-3-1b-it";
const OTHER: &str = "org/bloom-1b";

/// Models that a search found: one for anyone, one with conditions, one of no supported family.
pub(super) fn models() -> Vec<HubModel> {
    let model = |repo: &str, parameters: u64, licence: Option<&str>, gated| HubModel {
        repo: repo.to_owned(),
        parameters: Some(parameters),
        weight_bytes: Some(2 * parameters),
        downloads: parameters / 200,
        licence: licence.map(str::to_owned),
        gated,
    };
    vec![
        model(SMOL, 134_515_008, Some("apache-2.0"), false),
        model(GATED, 999_885_952, Some("gemma"), true),
        model(OTHER, 1_065_314_304, None, false),
    ]
}

/// Events with the needs of these models, as far as somebody without a token knows them.
pub(super) fn measured() -> Vec<Event> {
    let other = problem("The model_type \"bloom\" is not supported", "Choose a model of another family");
    let needs = [(SMOL, Ok(300_000_000)), (OTHER, Err(other))];
    let event = |(repo, needs): (&str, _)| Event::Hub(HubEvent::Measured { repo: repo.to_owned(), needs });
    needs.into_iter().map(event).collect()
}

fn is_disabled(stage: &Stage, label: &str) -> bool {
    stage.harness.get_by_label(label).accesskit_node().is_disabled()
}

#[test]
fn models_of_the_hub_are_found_with_their_sizes_and_licences() {
    let mut stage = Stage::in_environment(script::environment(World::Browser), Vec::new());
    stage.say(script::ready());
    stage.go("Find models");
    stage.sent();
    stage.type_into("Name", "smol");
    assert!(is_disabled(&stage, "Get"), "it is no whole name");
    stage.click("Search");
    let (text, endpoint) = ("smol".to_owned(), "https://huggingface.co".to_owned());
    let search = HubCommand::Search { text, most_parameters: Some(2_000_000_000), endpoint };
    assert_eq!(stage.sent(), [Command::Hub(search)], "what was asked for");
    stage.expect("Searching…");
    stage.say(Event::Hub(HubEvent::Found { models: models() }));
    for part in ["HuggingFaceTB/SmolLM2-135M-Instruct", "135 M", "269 MB", "apache-2.0", "gated", "not stated"] {
        stage.expect(part);
    }
    for event in measured() {
        stage.say(event);
    }
    stage.expect("fits");
    stage.expect("cannot be tuned");
    stage.expect("The model_type \"bloom\" is not supported");
    assert!(is_disabled(&stage, "Get org/bloom-1b"), "there is no use in fetching it");
    assert!(!is_disabled(&stage, "Get google/gemma-3-1b-it"), "a token may be given");

    stage.click("Token and server");
    stage.wait(1.0);
    stage.type_into("Token", "hf_secret");
    let sent = stage.sent();
    let last = Command::Hub(HubCommand::SetToken { token: Some(Token("hf_secret".to_owned())) });
    assert_eq!(sent.last(), Some(&last), "the engine has the token");
    assert!(!format!("{sent:?}").contains("secret"), "it is shown to nobody: {sent:?}");
    stage.click("Get HuggingFaceTB/SmolLM2-135M-Instruct");
    assert!(
        matches!(&stage.sent()[..], [Command::Hub(HubCommand::Fetch { .. }), Command::Library(_)]),
        "it is fetched"
    );
    stage.say(Event::ModelOpened(Box::new(script::model())));
    stage.expect("Choose another model");

    stage.go("Find models");
    stage.click("Search");
    stage.say(Event::Refused { subject: Subject::Hub, problem: problem("The server answered 503", "Try again later") });
    stage.expect("The search failed");
    stage.click("Dismiss");
    assert!(!stage.shows("The search failed"), "it was read");
    stage.say(Event::Hub(HubEvent::Found { models: Vec::new() }));
    stage.expect("No model has these words");
}

#[test]
fn offline_nothing_is_asked() {
    let mut stage = Stage::ready();
    stage.go("Help");
    stage.click("Offline: open no connection");
    let mut stage = Stage::again(stage.remembered());
    stage.say(script::ready());
    stage.go("Find models");
    stage.sent();
    stage.click("Search");
    stage.type_into("Name", SMOL);
    stage.click("Get");
    assert_eq!(stage.sent(), [], "neither a search nor a model is asked for");
    stage.expect("Offline is switched on, in Help under Network");
    stage.go("Help");
    stage.click("Offline: open no connection");
    stage.go("Find models");
    stage.sent();
    stage.click("Search");
    assert_eq!(stage.sent().len(), 1, "it is asked again");

    // Whatever connection there is ends with the switch, and nothing else does.
    let switch = |stage: &mut Stage| {
        stage.go("Help");
        stage.sent();
        stage.click("Offline: open no connection");
        stage.sent()
    };
    assert_eq!(switch(&mut stage), [Command::Cancel], "the search ends");
    switch(&mut stage);
    stage.say(Event::Hub(HubEvent::Found { models: models() }));
    stage.say(Event::Hub(HubEvent::Measuring(true)));
    assert_eq!(switch(&mut stage), [Command::Cancel], "so does reading what the models need");
    switch(&mut stage);
    stage.say(Event::Hub(HubEvent::Measuring(false)));
    assert_eq!(switch(&mut stage), [], "there is no connection to end");
}

#[test]
fn an_engine_that_starts_again_gets_the_token() {
    let mut stage = Stage::ready();
    stage.go("Find models");
    stage.click("Token and server");
    stage.wait(1.0);
    stage.type_into("Token", "hf_secret");
    stage.crash("index out of bounds");
    stage.click("Restart the engine");
    stage.sent();
    stage.say(script::ready());
    let token = Command::Hub(HubCommand::SetToken { token: Some(Token("hf_secret".to_owned())) });
    assert!(stage.sent().contains(&token), "it has the token that the field shows");
}

#[test]
fn the_policy_of_the_page_is_shown() {
    let policy = "default-src 'none'; connect-src 'self'".to_owned();
    let environment = Environment { policy: policy.clone(), ..script::environment(World::Browser) };
    let mut stage = Stage::in_environment(environment, Vec::new());
    stage.say(script::ready());
    stage.go("Help");
    stage.click("The page's policy, by which the browser refuses every other connection");
    stage.wait(1.0);
    stage.expect(&policy);
}

#[test]
fn a_refused_model_leads_to_others() {
    let mut stage = Stage::ready();
    stage.go("1  Model");
    let problem = problem("The model_type \"bloom\" is not supported", "Choose a model of another family");
    stage.say(Event::Refused { subject: Subject::Model, problem });
    stage.click("Find one that works");
    stage.expect("Good first models");
}
