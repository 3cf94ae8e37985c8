//! Models of a Hub on this computer, fetched into a cache as the Hugging Face tools have it.

use std::path::{Path, PathBuf};

use pairtune::engine::protocol::{
    Command, Event, HubCommand, HubEvent, ModelCommand, ModelSource, Problem, Subject, Token,
};
use pairtune::platform::host::Hub;

use crate::hub::{COMMIT, Repository};
use crate::server::StaticServer;
use crate::session::{TestEngine, new_store};

const NAME: &str = "org/tiny";
const TOKEN: &str = "hf_secret";

/// A Hub with one model, and an engine that fetches from it.
struct Stage {
    repository: Repository,
    server: StaticServer,
    engine: TestEngine,
    cache: PathBuf,
    served: tempfile::TempDir,
}

impl Stage {
    /// An empty cache, and no token but with `change`.
    fn new(test: &str, change: impl Fn(&mut Hub) + Send + Sync + 'static) -> Self {
        let served = tempfile::tempdir().expect("a folder");
        let repository = Repository::lay_out(served.path(), NAME);
        let server = StaticServer::start(served.path());
        let store = new_store(&format!("fetch-{test}"));
        // tests/hub_check.py looks at what is left there.
        let kept = std::env::var_os("PAIRTUNE_HUB_CACHE").map(|cache| PathBuf::from(cache).join(test));
        let cache = kept.unwrap_or_else(|| store.join("hub"));
        let (endpoint, own_cache) = (server.origin(), cache.clone());
        let engine = TestEngine::with(&store, move |session| {
            let mut hub = Hub {
                endpoint: endpoint.clone(),
                cache: Some(own_cache.clone()),
                token: None,
                token_places: Some("HF_TOKEN or a file".to_owned()),
                offline: None,
            };
            change(&mut hub);
            session.hub = Box::new(move || hub.clone());
        });
        Self { repository, server, engine, cache, served }
    }

    /// Asks for the model.
    fn get(&mut self) {
        let (repo, endpoint) = (NAME.to_owned(), self.server.url(""));
        self.engine.send(Command::Hub(HubCommand::Fetch { repo, endpoint }));
    }

    /// Asks for the model, which opens or is refused.
    fn asked(&mut self) -> Result<ModelSource, Problem> {
        self.get();
        match self.engine.wait(|event| matches!(event, Event::ModelOpened(_) | Event::Refused { .. })) {
            Event::ModelOpened(info) => Ok(info.source),
            Event::Refused { subject: Subject::Model, problem } => Err(problem),
            other => panic!("{other:?} is no answer"),
        }
    }

    /// Asks for the model, which opens.
    #[track_caller]
    fn opens(&mut self) -> ModelSource {
        self.asked().unwrap_or_else(|problem| panic!("it is refused: {problem}"))
    }

    /// Asks for the model, which is refused.
    #[track_caller]
    fn is_refused(&mut self) -> Problem {
        self.asked().expect_err("it is refused")
    }

    fn repo(&self) -> PathBuf {
        self.cache.join("models--org--tiny")
    }

    fn snapshot(&self) -> PathBuf {
        self.repo().join("snapshots").join(COMMIT)
    }

    fn blob(&self) -> PathBuf {
        self.repo().join("blobs").join(&self.repository.weights_sha256)
    }

    fn partial(&self) -> PathBuf {
        self.blob().with_extension("incomplete")
    }

    /// Bytes of the weights that went over the wire in each request.
    fn sent(&self) -> Vec<(u16, u64)> {
        let asked = self.server.asked_for(&self.repository.file("model.safetensors"));
        asked.iter().map(|asked| (asked.status, asked.sent)).collect()
    }
}

fn bytes(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |meta| meta.len())
}

#[test]
fn a_model_of_the_hub_is_fetched_into_the_cache_that_other_tools_share() {
    let mut stage = Stage::new("cache", |_| ());
    let source = stage.opens();
    let path = stage.snapshot().display().to_string();
    assert_eq!(source, ModelSource::Picked { name: NAME.to_owned(), path: Some(path) }, "it opens as a folder");
    let refs = std::fs::read_to_string(stage.repo().join("refs/main")).expect("what is latest");
    assert_eq!(refs, COMMIT, "the latest commit");
    let link = std::fs::read_link(stage.snapshot().join("model.safetensors")).expect("a link");
    assert_eq!(link, Path::new("../../blobs").join(&stage.repository.weights_sha256), "to its content, by its hash");
    let names: Vec<_> = std::fs::read_dir(stage.repo().join("blobs")).expect("contents").flatten().collect();
    assert_eq!(names.len(), 5, "one of each file, and nothing else: {names:?}");
    let told = stage.engine.said.iter().filter(|event| matches!(event, Event::Request { .. })).count();
    assert_eq!(told, stage.server.asked().len(), "every request is in the ledger");

    // Files that are there already are not fetched again.
    stage.opens();
    assert_eq!(stage.sent().len(), 1, "once");
    std::fs::remove_dir_all(stage.repo().join("snapshots")).expect("removed");
    stage.opens();
    assert_eq!(stage.sent().len(), 1, "its content is there, only its name is not");
}

#[test]
fn a_download_that_breaks_off_or_is_cancelled_goes_on() {
    let mut stage = Stage::new("resumes", |_| ());
    let weights = stage.repository.file("model.safetensors");
    stage.server.cut_after(&weights, 600_000, 1);
    let problem = stage.is_refused();
    assert!(problem.what.starts_with("The download broke off"), "{problem}");
    let first = bytes(&stage.partial());
    assert_eq!(first, 600_000, "what has arrived stays");
    assert!(!stage.repo().join("refs").exists(), "nobody takes it for a whole model");

    // The rest trickles, until that is cancelled.
    stage.server.slow_down(&weights, Some(200_000));
    stage.get();
    let weights_bytes = stage.repository.weights_bytes;
    stage.engine.wait(|event| match event {
        Event::ModelProgress(progress) => progress.done + weights_bytes > progress.total + first + 20_000,
        _ => false,
    });
    let began = std::time::Instant::now();
    stage.engine.send(Command::Cancel);
    stage.engine.wait(|event| matches!(event, Event::Cancelled { .. }));
    assert!(began.elapsed().as_secs_f64() < 2.0, "cancelling waits for no server");
    let second = bytes(&stage.partial());
    assert!(second > first, "more has arrived: {second}");

    stage.server.slow_down(&weights, None);
    stage.opens();
    // In the order in which they ended, of which the cancelled one may be the last.
    let (rest, sent) = ((206, weights_bytes - second), stage.sent());
    assert!(sent.contains(&rest), "only the rest, {rest:?}: {sent:?}");
    assert!(!stage.partial().exists(), "it is whole");
}

#[test]
fn what_is_not_what_the_hub_says_is_not_taken() {
    let mut stage = Stage::new("hashes", |_| ());
    let (sum, wrong) = (stage.repository.weights_sha256.clone(), "0".repeat(64));
    stage.repository.change_list(&sum, &wrong);
    let problem = stage.is_refused();
    assert!(problem.what.contains(&format!("has the SHA-256 {sum}")), "{problem}");
    assert!(!stage.snapshot().join("model.safetensors").exists(), "it is not taken");
    assert!(stage.snapshot().join("config.json").exists(), "the others stay");
    stage.repository.change_list(&wrong, &sum);
    stage.opens();

    // A small file of the right length.
    let mut stage = Stage::new("small", |_| ());
    stage.repository.change_list("generation_config.json", "generation-config.json");
    let text = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/demo/model/generation_config.json"));
    let text = String::from_utf8(text.expect("a file")).expect("text").replace('{', "[");
    std::fs::write(stage.served.path().join(stage.repository.file("generation-config.json")), text).expect("written");
    let problem = stage.is_refused();
    assert!(problem.what.contains("has the git hash"), "{problem}");
}

#[test]
fn hashes_that_are_none_name_no_file() {
    let mut stage = Stage::new("names", |_| ());
    let sum = stage.repository.weights_sha256.clone();
    stage.repository.change_list(&sum, "../../../../x");
    let problem = stage.is_refused();
    assert!(problem.what.contains("has no hash"), "{problem}");
    assert_eq!(stage.sent(), [], "nothing was fetched");
}

#[test]
fn a_token_goes_to_its_server_and_to_no_other() {
    let mut stage = Stage::new("token", |hub| hub.token = Some(TOKEN.to_owned()));
    stage.server.ask_for_token(&stage.repository.revision(), TOKEN);
    // The weights lie elsewhere, as the Hub's do.
    let weights = stage.repository.file("model.safetensors");
    let elsewhere = StaticServer::start(stage.served.path());
    let port = elsewhere.origin().rsplit(':').next().expect("a port").to_owned();
    stage.server.redirect(&weights, &format!("http://localhost:{port}/{weights}"));
    stage.opens();
    let shown = Some(format!("Bearer {TOKEN}"));
    for asked in stage.server.asked() {
        assert_eq!(asked.authorization, shown, "its own server sees it: {asked:?}");
    }
    let asked = elsewhere.asked_for(&weights);
    assert_eq!(asked.len(), 1, "the weights came from there: {asked:?}");
    assert_eq!(asked[0].authorization, None, "without the token");
    let host = format!("from localhost:{port}");
    let told =
        stage.engine.said.iter().any(|event| matches!(event, Event::Request { url, .. } if url.ends_with(&host)));
    assert!(told, "the ledger names the other host");

    // Another server than the one that it is for.
    let mut stage = Stage::new("other", |hub| {
        (hub.endpoint, hub.token) = ("https://hub.invalid".to_owned(), Some(TOKEN.to_owned()));
    });
    stage.opens();
    assert!(stage.server.asked().iter().all(|asked| asked.authorization.is_none()), "it does not see the token");
}

#[test]
fn a_gated_model_says_where_a_token_is_looked_for() {
    let mut stage = Stage::new("gated", |_| ());
    stage.server.ask_for_token(&stage.repository.revision(), TOKEN);
    stage.server.answer_with(&format!("api/models/{NAME}/tree/{COMMIT}"), Some(401));
    let problem = stage.is_refused();
    assert!(problem.what.contains("401") && problem.fix.contains("leave a token in HF_TOKEN or a file"), "{problem}");
    assert!(problem.fix.contains("accept the model's conditions"), "{problem}");

    let mut stage = Stage::new("refused", |hub| hub.token = Some("hf_of_somebody".to_owned()));
    stage.server.ask_for_token(&stage.repository.revision(), TOKEN);
    let problem = stage.is_refused();
    assert!(problem.fix.contains("use a token that may read it"), "{problem}");
    assert!(!problem.to_string().contains("hf_of_somebody"), "the token itself is not told: {problem}");
}

#[test]
fn a_search_says_what_each_model_needs() {
    let mut stage = Stage::new("search", |_| ());
    let listed = |name: &str| stage.repository.listed(name);
    let mut gated = listed("org/gated");
    gated["gated"] = "manual".into();
    stage.repository.found(&[listed("org/busy"), gated, listed(NAME), listed("org/other"), listed("../wrong")]);
    stage.server.answer_with("org/busy/resolve/main/config.json", Some(429));
    let config = format!("{NAME}/resolve/main/config.json");
    stage.repository.put(&config, &std::fs::read("assets/demo/model/config.json").expect("the demo's config"));
    stage.repository.put("org/other/resolve/main/config.json", br#"{"model_type": "bloom"}"#);
    let endpoint = stage.server.url("");
    stage.engine.send(Command::Hub(HubCommand::Search { text: "tiny".to_owned(), most_parameters: None, endpoint }));
    let found = stage.engine.wait(|event| matches!(event, Event::Hub(HubEvent::Found { .. })));
    let Event::Hub(HubEvent::Found { models }) = found else { unreachable!() };
    let names: Vec<_> = models.iter().map(|model| model.repo.as_str()).collect();
    assert_eq!(names, ["org/busy", "org/gated", NAME, "org/other"], "those that can be fetched");
    assert_eq!(models[2].weight_bytes, Some(stage.repository.weights_bytes), "its size");

    // The need that is said before a download is the one that is found after it.
    let measured = |stage: &mut Stage, name: &str| {
        let is_it = |event: &Event| matches!(event, Event::Hub(HubEvent::Measured { repo, .. }) if repo == name);
        let Event::Hub(HubEvent::Measured { needs, .. }) = stage.engine.wait(is_it) else { unreachable!() };
        needs
    };
    let needs = measured(&mut stage, NAME).expect("it can be tuned");
    let other = measured(&mut stage, "org/other").expect_err("nobody can read it");
    assert!(other.what.contains("\"bloom\" is not supported"), "{other}");
    stage.engine.wait(|event| matches!(event, Event::Hub(HubEvent::Measuring(false))));
    let is_of =
        |event: &Event, name: &str| matches!(event, Event::Hub(HubEvent::Measured { repo, .. }) if repo == name);
    let is_told = |name: &str| stage.engine.said.iter().any(|event| is_of(event, name));
    assert!(!is_told("org/busy"), "a server without time says nothing of the model");
    assert!(!is_told("org/gated"), "nothing is read of a gated model without a token");
    assert!(stage.server.asked_for("org/gated/resolve/main/config.json").is_empty(), "nor asked");
    stage.opens();
    let info = stage.engine.said.iter().find_map(|event| match event {
        Event::ModelOpened(info) => Some(info),
        _ => None,
    });
    let least = info.expect("it was opened").least_bytes;
    assert!(needs.abs_diff(least) * 50 < least, "{needs} before, {least} after");
}

#[test]
fn what_is_asked_for_ends_the_reading_of_needs() {
    let mut stage = Stage::new("asked", |_| ());
    stage.repository.found(&[stage.repository.listed(NAME)]);
    let config = format!("{NAME}/resolve/main/config.json");
    stage.repository.put(&config, &vec![b' '; 100_000]);
    stage.server.slow_down(&config, Some(1_000));
    let endpoint = stage.server.url("");
    stage.engine.send(Command::Hub(HubCommand::Search { text: String::new(), most_parameters: None, endpoint }));
    stage.engine.wait(|event| matches!(event, Event::Hub(HubEvent::Measuring(true))));
    stage.engine.send(Command::Model(ModelCommand::OpenDemo));
    stage.engine.wait(|event| matches!(event, Event::ModelOpened(_)));
    let of = |wanted: bool| {
        stage
            .engine
            .said
            .iter()
            .position(|event| *event == Event::Hub(HubEvent::Measuring(wanted)))
            .expect("it is told")
    };
    assert!(of(true) < of(false), "it began, and ended before its hundred seconds");
    assert!(!stage.engine.said.iter().any(|event| matches!(event, Event::Hub(HubEvent::Measured { .. }))), "unread");
}

#[test]
fn a_typed_token_is_used_instead_of_the_one_of_the_computer() {
    let mut stage = Stage::new("typed", |hub| hub.token = Some("hf_of_somebody".to_owned()));
    stage.server.ask_for_token(&stage.repository.revision(), TOKEN);
    stage.is_refused();
    let token =
        |token: Option<&str>| Command::Hub(HubCommand::SetToken { token: token.map(|token| Token(token.to_owned())) });
    stage.engine.send(token(Some(TOKEN)));
    stage.opens();
    stage.engine.send(token(None));
    stage.opens();
    let asked = stage.server.asked_for(&stage.repository.revision());
    let shown: Vec<_> = asked.iter().map(|asked| asked.authorization.as_deref().unwrap_or_default()).collect();
    assert_eq!(shown, ["Bearer hf_of_somebody", "Bearer hf_secret", "Bearer hf_of_somebody"], "in turn");
}

#[test]
fn a_variable_that_forbids_connections_is_obeyed() {
    let mut stage = Stage::new("offline", |hub| hub.offline = Some("HF_HUB_OFFLINE"));
    let problem = stage.is_refused();
    assert!(problem.what.starts_with("HF_HUB_OFFLINE is set"), "{problem}");
    assert_eq!(stage.server.asked(), [], "nobody was asked");
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_keeps_what_has_arrived() {
    let mut stage = Stage::new("full", |_| ());
    std::fs::create_dir_all(stage.repo().join("blobs")).expect("a folder");
    std::os::unix::fs::symlink("/dev/full", stage.partial()).expect("a link");
    let problem = stage.is_refused();
    assert!(problem.what.starts_with("Storage is full"), "{problem}");
    assert!(stage.snapshot().join("config.json").exists(), "what came before stays");
    std::fs::remove_file(stage.partial()).expect("room is made");
    stage.opens();
}
