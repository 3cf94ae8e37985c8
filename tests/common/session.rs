//! An engine on its thread, with a store in a folder of its own: send commands, wait for events.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use pairtune::engine::Session;
use pairtune::engine::protocol::{
    Command, Event, ExportKind, ExportRequest, Inputs, ModelCommand, Ready, RunCommand, RunRequest, Settings, Watch,
    WhichAdapter,
};
use pairtune::link::{Engine, Incoming, connect_with};
use pairtune::platform::host::PickedFile;
use serde_json::json;

/// Waits for an event of this pattern, and gives what is made of the names in it.
macro_rules! expect_event {
    ($engine:expr, $pattern:pat $(if $guard:expr)? => $value:expr) => {{
        let began = std::time::Instant::now();
        loop {
            match $engine.next(began) {
                $pattern $(if $guard)? => break $value,
                _ => {}
            }
        }
    }};
}

/// The engine, from a test's side.
pub(crate) struct TestEngine {
    pub(crate) engine: Box<dyn Engine>,
    woken: Receiver<()>,
    /// Everything it said.
    pub(crate) said: Vec<Event>,
    /// Folder in which it keeps runs.
    pub(crate) store: PathBuf,
}

/// A wait that is longer than this is a failure.
const PATIENCE: Duration = Duration::from_secs(120);

impl TestEngine {
    /// Starts an engine with an empty store, named after the test.
    pub(crate) fn start(test: &str) -> Self {
        Self::on(&new_store(test))
    }

    /// Starts an engine on a store that may hold runs.
    pub(crate) fn on(store: &Path) -> Self {
        Self::with(store, |_| ())
    }

    /// The same as `on`, but with a session of other settings.
    pub(crate) fn with(store: &Path, set_up: impl Fn(&mut Session) + Send + Sync + 'static) -> Self {
        let (wake, woken) = channel();
        let set_up = move |session: &mut Session| {
            // Nobody decides here: a lost device is tried again at once. Nobody reads the answers: they are short.
            (session.retry_seconds, session.sample_tokens) = (0.1, 4);
            set_up(session);
        };
        let engine = connect_with(store.display().to_string(), None, move || _ = wake.send(()), set_up);
        let mut started = Self { engine, woken, said: Vec::new(), store: store.to_owned() };
        let Ready { gpu, .. } = *expect_event!(started, Event::Ready(ready) => ready);
        gpu.expect("the tests need a GPU: apt-get install mesa-vulkan-drivers");
        started
    }

    /// Sends a command.
    pub(crate) fn send(&mut self, command: Command) {
        self.engine.send(command, Vec::new());
    }

    /// Sends a command about files.
    pub(crate) fn send_files(&mut self, command: Command, paths: &[PathBuf]) {
        self.engine.send(command, paths.iter().map(PickedFile::at).collect());
    }

    /// The next event that is wanted; those before it are kept in `said`.
    #[track_caller]
    pub(crate) fn wait(&mut self, wanted: impl Fn(&Event) -> bool) -> Event {
        let began = Instant::now();
        loop {
            let event = self.next(began);
            if wanted(&event) {
                return event;
            }
        }
    }

    /// The next event, which is kept in `said` too; none in a long time since `began` is a failure.
    #[track_caller]
    pub(crate) fn next(&mut self, began: Instant) -> Event {
        loop {
            match self.engine.poll() {
                Some(Incoming::Event(event)) => {
                    self.said.push((*event).clone());
                    return *event;
                }
                Some(Incoming::Crashed(text)) => panic!("the engine crashed: {text}"),
                None => _ = self.woken.recv_timeout(Duration::from_millis(50)),
            }
            assert!(
                began.elapsed() < PATIENCE,
                "nothing like it was said; the last: {:.2000}",
                format!("{:?}", self.said.iter().rev().take(3).collect::<Vec<_>>())
            );
        }
    }

    /// Opens the demo, with these settings over its own.
    pub(crate) fn open_demo(&mut self) {
        self.send(Command::Model(ModelCommand::OpenDemo));
        self.wait(|event| matches!(event, Event::Planned(_)));
    }

    /// Writes a run as an archive beside the store's runs, and gives its place.
    pub(crate) fn archive(&mut self, run_id: &str) -> PathBuf {
        let folder = self.store.join("archives").join(run_id);
        let request = ExportRequest {
            run_id: run_id.to_owned(),
            which: WhichAdapter::Last,
            strength: 1.0,
            kinds: vec![ExportKind::Archive],
            folder: folder.display().to_string(),
            card: String::new(),
        };
        self.send(Command::Export(Box::new(request)));
        let is_it = |done: &str| done == run_id;
        expect_event!(self, Event::Exported { run_id, files, .. } if is_it(&run_id) => folder.join(&files[0].path))
    }
}

/// An empty folder for runs, named after a test.
pub(crate) fn new_store(test: &str) -> PathBuf {
    let store = std::env::temp_dir().join(format!("pairtune-engine-{}-{test}", std::process::id()));
    drop(std::fs::remove_dir_all(&store));
    store
}

/// Starts a run of what is open.
pub(crate) fn start_run(name: &str, settings: Settings, watch: Watch) -> Command {
    let (name, inputs) = (name.to_owned(), Inputs::default());
    Command::Run(RunCommand::Start(Box::new(RunRequest { name, settings, watch, inputs })))
}

/// The demo's settings, for so many steps.
pub(crate) fn demo_settings(steps: usize) -> Settings {
    let mut settings: Settings =
        serde_json::from_slice(include_bytes!("../../assets/demo/config.json")).expect("the demo has settings");
    settings.insert("max_steps".to_owned(), json!(steps));
    settings.insert("per_device_train_batch_size".to_owned(), json!(4));
    // The app would hold some of other pairs out.
    settings.insert("eval_split".to_owned(), json!(0.0));
    settings
}

/// Watched as little as possible.
pub(crate) fn unwatched() -> Watch {
    Watch { prompts: vec!["Question: Why?\nAnswer:".to_owned()], ..Watch::default() }
}
