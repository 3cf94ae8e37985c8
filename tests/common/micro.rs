//! A Llama of two layers, 32 wide, with the demo's tokenizer and some of its pairs: for tests of what happens to a run,
//! not of what it learns. A step takes a tenth of the demo's.

use std::path::Path;

use pairtune::engine::protocol::{Command, Event, ModelCommand, ModelSource, PairsCommand, Settings, Summary, Watch};
use pairtune::platform::{Folder as _, read_all};
use serde_json::json;

use crate::random_llama::{RandomLlama, Sizes};
use crate::session::{TestEngine, demo_settings, start_run, unwatched};

/// Pairs that are opened with it: 32 to train on, 8 held out.
pub(crate) const PAIRS: usize = 40;

impl TestEngine {
    /// Starts an engine with an empty store, named after the test, and opens the micro model with its pairs.
    pub(crate) fn micro(test: &str) -> Self {
        let mut engine = Self::start(test);
        engine.open_micro();
        engine
    }

    /// Opens the micro model and its pairs, which are written beside the runs.
    pub(crate) fn open_micro(&mut self) {
        let (model, pairs) = (self.store.join("micro"), self.store.join("micro.jsonl"));
        write_model(&model);
        let text = include_str!("../../assets/demo/pairs.jsonl");
        let few: Vec<&str> = text.lines().take(PAIRS).collect();
        std::fs::write(&pairs, few.join("\n")).expect("written");
        let source = ModelSource::Picked { name: "micro".into(), path: Some(model.display().to_string()) };
        self.send(Command::Model(ModelCommand::Open { source }));
        self.wait(|event| matches!(event, Event::ModelOpened(_)));
        self.send_files(Command::Pairs(PairsCommand::Open { mapping: None }), &[pairs]);
        expect_event!(self, Event::PairsOpened(info) => assert_eq!(info.usable, PAIRS, "all of the demo's are usable"));
    }

    /// Trains the micro model for two steps, each evaluated, and returns what is said of it at its end.
    pub(crate) fn finished_micro(test: &str) -> (Self, Summary) {
        let mut engine = Self::micro(test);
        let watch = Watch { eval_steps: 1, keep_best: true, ..unwatched() };
        engine.send(micro_run(test, 2, watch));
        let summary = expect_event!(engine, Event::Finished(summary) => *summary);
        (engine, summary)
    }
}

/// A short run of the micro model.
pub(crate) fn micro_run(name: &str, steps: usize, watch: Watch) -> Command {
    start_run(name, micro_settings(steps), watch)
}

/// The demo's settings with a fifth of the pairs held out, for so many steps.
pub(crate) fn micro_settings(steps: usize) -> Settings {
    let mut settings = demo_settings(steps);
    settings.insert("eval_split".to_owned(), json!(0.2));
    settings
}

fn write_model(folder: &Path) {
    let llama = RandomLlama::new(Sizes { vocab: 1024, hidden: 32, inner: 64, layers: 2, heads: 2 });
    let source = llama.open("model.safetensors").expect("the weights are in memory");
    let weights = pollster::block_on(read_all(source.as_ref())).expect("the weights");
    std::fs::create_dir_all(folder).expect("a folder");
    let files: [(&str, &[u8]); 4] = [
        ("config.json", &llama.config),
        ("model.safetensors", &weights),
        ("tokenizer.json", include_bytes!("../../assets/demo/model/tokenizer.json")),
        ("tokenizer_config.json", include_bytes!("../../assets/demo/model/tokenizer_config.json")),
    ];
    for (name, bytes) in files {
        std::fs::write(folder.join(name), bytes).expect("written");
    }
}
