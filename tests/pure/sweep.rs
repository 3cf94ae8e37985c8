//! Sweeps: which values are tried, which are given up, and what is said of each.

use pairtune::data::Method;
use pairtune::engine::sweep::{
    Advice, Ended, Over, Point, Run, Verdict, beaten, clearly_more, judge, measured_steps, short,
};

use Verdict::{AboutRight, TooHigh, TooLow, Unclear};

/// Held-out pairs.
const N: usize = 50;

#[test]
fn values_lie_around_the_usual_one() {
    assert_eq!(Over::Beta.around(0.1), [0.01, 0.05, 0.1, 0.3, 1.0], "beta");
    assert_eq!(Over::Beta.around(2.0), [0.2, 1.0, 2.0, 6.0, 20.0], "SimPO's");
    assert_eq!(Over::LearningRate.around(2e-5), [5e-6, 2e-5, 1e-4], "learning rate");
    for name in ["beta", "learning_rate", "learning-rate"] {
        assert!(name.parse::<Over>().is_ok(), "{name}");
    }
    assert!("gamma".parse::<Over>().is_err_and(|e| e.contains("beta or learning_rate")), "it says what there is");
    assert_eq!([0.1, 2e-5, 3.0, 1e30].map(short), ["0.1", "2e-5", "3", "1e30"], "as flags take them");
}

#[test]
fn a_run_is_measured_at_its_quarters() {
    assert_eq!(measured_steps(100), [25, 50, 75, 100]);
    assert_eq!(measured_steps(3), [1, 2, 3]);
    assert_eq!(measured_steps(1), [1]);
    assert_eq!(measured_steps(0), [0; 0]);
}

#[test]
fn a_clear_win_is_more_than_chance_on_the_pairs_that_differ() {
    let wins = |n: usize, of: usize| -> Vec<bool> { (0..of).map(|i| i < n).collect() };
    assert!(!clearly_more(&wins(4, 10), &wins(0, 10)), "four to none may be chance");
    assert!(clearly_more(&wins(5, 10), &wins(0, 10)), "five to none hardly");
    assert!(!clearly_more(&wins(0, 10), &wins(5, 10)), "the other way round");
    assert!(!clearly_more(&[true, false], &[false, true]), "one each");
    assert!(!clearly_more(&[], &[]), "no pairs");
}

#[test]
fn a_value_that_is_clearly_beaten_at_half_is_given_up() {
    let before = [run(0.1, 0.1, 0.0, 35), run(0.3, 0.1, 0.0, 40)];
    let points = |step: usize, won: usize| vec![point(0, 0.0, 0.0, 20), point(step, 0.1, 0.0, won)];
    assert_eq!(beaten(&points(50, 25), 100, &before), Some(0.3), "by the best");
    assert_eq!(beaten(&points(50, 38), 100, &before), None, "not clearly");
    assert_eq!(beaten(&points(25, 25), 100, &before), None, "too early");
    assert_eq!(beaten(&points(75, 25), 100, &before), None, "too late to save much");
    assert_eq!(beaten(&points(50, 25), 100, &[]), None, "nothing was before it");
    let broken = Run { ended: Ended::Diverged { what: String::new() }, ..before[1].clone() };
    assert_eq!(beaten(&points(50, 25), 100, &[broken]), None, "a run that broke down beats none");
    assert_eq!(beaten(&points(1, 25), 1, &before), None, "one step has no half");
}

#[test]
fn low_beta_drifts_and_high_beta_hardly_moves() {
    let runs = [run(0.01, 0.9, -30.0, 30), run(0.1, 0.1, -2.0, 36), run(1.0, 0.001, 0.0, 21)];
    let (said, advice) = judged(Over::Beta, Method::Dpo, &runs);
    assert_eq!(said, [TooLow, AboutRight, TooHigh]);
    assert_eq!((advice.value, advice.tried), (Some(0.1), true));
    let (texts, _) = judge(Over::Beta, Method::Dpo, &runs);
    for (judgement, words) in texts.iter().zip([
        ["beta 0.01 is too low", "drifts far", "30.0 nats less likely"],
        ["beta 0.1 is about right", "held-out accuracy 72 %, from 40 %", "KL 0.100 nats per token"],
        ["beta 1 is too high", "hardly moves", "the held-out accuracy of 0.1 is clearly higher"],
    ]) {
        assert!(words.iter().all(|word| judgement.text.contains(word)), "{words:?}: {}", judgement.text);
    }
}

#[test]
fn it_is_the_other_way_round_for_the_learning_rate_and_for_orpo() {
    let runs = [run(5e-6, 0.001, 0.0, 21), run(2e-5, 0.1, -2.0, 36), run(1e-4, 0.9, -30.0, 30)];
    for (over, method) in [(Over::LearningRate, Method::Dpo), (Over::Beta, Method::Orpo)] {
        let (said, advice) = judged(over, method, &runs);
        assert_eq!(said, [TooLow, AboutRight, TooHigh], "{over} of {method}");
        assert_eq!(advice.value, Some(2e-5));
    }
    let (texts, _) = judge(Over::LearningRate, Method::Dpo, &runs);
    assert!(texts[2].text.starts_with("learning rate 1e-4 is too high"), "{}", texts[2].text);
}

#[test]
fn drift_that_clearly_pays_is_about_right() {
    let runs = [run(0.01, 0.9, -30.0, 45), run(0.1, 0.1, -2.0, 30)];
    assert_eq!(judged(Over::Beta, Method::Dpo, &runs).0, [AboutRight, TooHigh], "the calmer one learns too little");
    let (said, advice) = judged(Over::Beta, Method::Dpo, &[run(0.1, 0.1, -2.0, 30), run(0.3, 0.05, -1.0, 32)]);
    assert_eq!(said, [AboutRight, AboutRight], "two pairs tell nothing");
    assert_eq!(advice.value, Some(0.3), "the one with more");
    assert!(advice.text.contains("50 held-out pairs do not tell it from 0.1 for sure"), "{}", advice.text);
    let (_, advice) = judged(Over::Beta, Method::Dpo, &[run(0.1, 0.1, -2.0, 32), run(0.3, 0.05, -1.0, 32)]);
    assert_eq!(advice.value, Some(0.3), "of equals the calmer one");
}

#[test]
fn a_calmer_value_that_clearly_wins_more_says_too_far() {
    let runs = [run(2e-5, 0.1, -2.0, 40), run(1e-4, 0.2, -4.0, 30)];
    let (said, _) = judged(Over::LearningRate, Method::Dpo, &runs);
    assert_eq!(said, [AboutRight, TooHigh]);
}

#[test]
fn a_run_that_broke_down_went_too_far() {
    let broken = Run { ended: Ended::Diverged { what: "step 3: loss NaN".to_owned() }, ..run(1e-3, 0.0, 0.0, 20) };
    let start = Run { points: broken.points[..1].to_vec(), ..broken };
    let (texts, advice) = judge(Over::LearningRate, Method::Dpo, &[run(2e-5, 0.1, 0.0, 30), start.clone()]);
    assert_eq!([texts[0].verdict, texts[1].verdict], [AboutRight, TooHigh]);
    assert!(texts[1].text.contains("broke down after step 0 (step 3: loss NaN)"), "{}", texts[1].text);
    assert_eq!(advice.value, Some(2e-5));
    let (said, advice) = judged(Over::LearningRate, Method::Dpo, &[start]);
    assert_eq!((said, advice.value, advice.tried), (vec![TooHigh], Some(3.3e-4), false), "a third of it");
}

#[test]
fn what_lies_between_or_beyond_is_recommended_where_no_value_will_do() {
    let (far, weak) = (|value| run(value, 0.9, -30.0, 24), |value| run(value, 0.001, 0.0, 21));
    let advice = |runs: &[Run]| judged(Over::Beta, Method::Dpo, runs).1;
    assert_eq!(advice(&[far(0.01), far(0.1)]).value, Some(0.3), "higher than all");
    let between = advice(&[far(0.01), weak(1.0)]);
    assert_eq!((between.value, between.tried), (Some(0.1), false));
    assert!(between.text.contains("try beta 0.1"), "{}", between.text);
}

#[test]
fn nothing_is_said_where_nothing_moves() {
    let runs = [run(0.01, 0.0005, 0.0, 20), run(0.1, 0.0001, 0.0, 21)];
    let (texts, advice) = judge(Over::Beta, Method::Dpo, &runs);
    assert!(texts.iter().all(|judgement| judgement.verdict == Unclear), "{texts:?}");
    assert!(texts[0].text.contains("no value moves the model in so few steps"), "{}", texts[0].text);
    assert_eq!(advice.value, None, "{}", advice.text);
    let (said, advice) = judged(Over::Beta, Method::Dpo, &[]);
    assert_eq!((said, advice.value), (Vec::new(), None), "no runs");
}

#[test]
fn values_are_compared_at_their_last_common_step() {
    let given_up = Run {
        ended: Ended::Beaten { by: 0.1 },
        points: vec![point(0, 0.0, 0.0, 20), point(50, 0.001, 0.0, 20)],
        ..run(1.0, 0.0, 0.0, 0)
    };
    let mut best = run(0.1, 0.1, -2.0, 36);
    best.points[1] = point(50, 0.05, -1.0, 30);
    let (texts, _) = judge(Over::Beta, Method::Dpo, &[best, given_up]);
    assert_eq!(texts[1].verdict, TooHigh);
    assert!(texts[1].text.contains("given up at step 50 of 100"), "{}", texts[1].text);
}

fn judged(over: Over, method: Method, runs: &[Run]) -> (Vec<Verdict>, Advice) {
    let (judgements, advice) = judge(over, method, runs);
    (judgements.iter().map(|judgement| judgement.verdict).collect(), advice)
}

/// A run of 100 steps from 20 pairs won, measured at its half and its end, where all is the same.
fn run(value: f64, kl: f64, chosen_change: f64, won: usize) -> Run {
    let points = vec![point(0, 0.0, 0.0, 20), point(50, kl, chosen_change, won), point(100, kl, chosen_change, won)];
    Run { value, ended: Ended::Done, n_steps: 100, seconds: 1.0, points }
}

fn point(step: usize, kl: f64, chosen_change: f64, won: usize) -> Point {
    Point {
        step,
        loss: Some(0.5),
        pairs_won: won as f64 / N as f64,
        reward_accuracy: 0.5,
        kl,
        chosen_change,
        won: (0..N).map(|i| i < won).collect(),
    }
}
