//! The loss of held-out pairs against the twin of the loss that trains.

use pairtune::data::TokenPair;
use pairtune::reference::{LossWeights, PreferenceSettings, preference};
use pairtune::train::{TrainConfig, eval_loss};
use serde_json::{Value, json};

/// Pairs of a batch, and of all: the last batch is smaller.
const BATCH: usize = 3;
const PAIRS: usize = 7;

#[test]
fn eval_loss_is_the_loss_of_each_batch_by_its_pairs() {
    let none = LossWeights { sigmoid: 0.0, ipo: 0.0, hinge: 0.0, robust: 0.0, apo_zero: 0.0, sft: 0.0 };
    check(json!({"loss_type": "sigmoid"}), LossWeights { sigmoid: 1.0, ..none });
    check(json!({"loss_type": "ipo"}), LossWeights { ipo: 1.0, ..none });
    check(json!({"loss_type": "hinge"}), LossWeights { hinge: 1.0, ..none });
    check(json!({"loss_type": "robust", "label_smoothing": 0.25}), LossWeights { robust: 1.0, ..none });
    check(json!({"loss_type": "apo_zero"}), LossWeights { apo_zero: 1.0, ..none });
    let mixed = json!({"loss_type": ["sigmoid", "sft"], "loss_weights": [0.5, 2.0]});
    check(mixed, LossWeights { sigmoid: 0.5, sft: 2.0, ..none });
}

#[track_caller]
fn check(settings: Value, weights: LossWeights) {
    let Value::Object(mut map) = settings else { panic!("settings are an object") };
    map.insert("beta".to_owned(), json!(0.5));
    map.insert("per_device_train_batch_size".to_owned(), json!(BATCH));
    let config = TrainConfig::from_map(&map, "test").expect("settings");
    // Nothing precedes the first token of every other pair, which then has no log-probability.
    let pair = |i: usize| TokenPair {
        row: i,
        prompt_len: 2 * (i % 2),
        untruncated: [0, 0],
        chosen: vec![1; 4 + i],
        rejected: vec![1; 9 - i],
    };
    let pairs: Vec<TokenPair> = (0..PAIRS).map(pair).collect();
    let logps = |seed: usize| -> Vec<[f32; 2]> {
        let value = |k: usize| -0.5 - ((k * 37 + seed * 11) % 23) as f32;
        (0..PAIRS).map(|i| [value(2 * i), value(2 * i + 1)]).collect()
    };
    let (policy, reference) = (logps(1), logps(2));
    let settings = PreferenceSettings { beta: 0.5, label_smoothing: config.label_smoothing, weights };
    let mut sum = 0.0;
    for begin in (0..PAIRS).step_by(BATCH) {
        let rows: Vec<usize> = (begin..PAIRS.min(begin + BATCH)).collect();
        let both = |logps: &[[f32; 2]]| -> Vec<f64> {
            [0, 1].iter().flat_map(|&side| rows.iter().map(move |&i| f64::from(logps[i][side]))).collect()
        };
        let lengths = |of: fn(&TokenPair) -> [usize; 2]| -> Vec<u32> {
            [0, 1]
                .iter()
                .flat_map(|&side| rows.iter().map(move |&i| (i, side)))
                .map(|(i, side)| of(&pairs[i])[side] as u32)
                .collect()
        };
        let (all, scored) = (lengths(TokenPair::completion_lengths), lengths(TokenPair::scored_lengths));
        sum += preference(&both(&policy), &both(&reference), &all, &scored, &settings).loss * rows.len() as f64;
    }
    let (got, want) = (eval_loss(&config, &pairs, &policy, &reference), sum / PAIRS as f64);
    assert!((got - want).abs() < 1e-12 * want.abs().max(1.0), "{map:?}: {got} for {want}");
}
