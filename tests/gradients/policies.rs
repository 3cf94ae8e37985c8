//! The twins of policy losses: against central differences, and against TRL's numbers.

use pairtune::reference::{self, Policy, PolicyLoss, PolicySettings, PpoPolicy};

use super::{DERIVATIVE, PRINTED, ROUNDING, assert_close, numeric_gradient, random};

const SETTINGS: PolicySettings = PolicySettings {
    loss_type: PolicyLoss::Dapo,
    epsilon: 0.2,
    epsilon_high: 0.2,
    delta: f64::INFINITY,
    sequence_level: false,
    on_policy: false,
    beta: 0.04,
    use_bias_correction_kl: true,
    top_entropy_quantile: 1.0,
    entropy_coef: 0.0,
    off_policy_mask_threshold: f64::INFINITY,
    sapo_temperature: [1.0, 1.05],
    vespo_k: [2.0, 3.0],
    vespo_lambda: [3.0, 2.0],
    max_completion_length: 16.0,
    step_tokens: 1.0,
    share: 1.0,
};

const ALL: [PolicyLoss; 8] = [
    PolicyLoss::Grpo,
    PolicyLoss::Bnpo,
    PolicyLoss::DrGrpo,
    PolicyLoss::Dapo,
    PolicyLoss::Luspo,
    PolicyLoss::Cispo,
    PolicyLoss::Sapo,
    PolicyLoss::Vespo,
];

/// Completions of 4, 1, 0, 5 and 3 tokens, the fourth of which does not count.
const RANGES: [[u32; 2]; 5] = [[0, 4], [4, 5], [5, 5], [5, 10], [10, 13]];
const SEQUENCES: [[f64; 4]; 5] =
    [[1.2, 1.0, 0.0, 0.0], [-0.7, 1.0, 0.0, 0.0], [0.4, 1.0, 0.0, 0.0], [0.9, 0.0, 0.0, 0.0], [-1.5, 1.0, 0.0, 0.0]];
const TOKENS: usize = 13;

/// Log-probabilities and entropies of the tokens, one behind the other.
fn variables() -> Vec<f64> {
    let draw = random(2 * TOKENS, 41);
    draw.iter().enumerate().map(|(i, d)| if i < TOKENS { d - 2.0 } else { 1.5 + d }).collect()
}

/// Facts from before the step: log-probabilities near those of now, on both sides, and the reference's.
fn facts() -> Vec<[f64; 4]> {
    let (now, draw) = (variables(), random(2 * TOKENS, 42));
    (0..TOKENS).map(|t| [now[t] + 0.5 * draw[t], now[t] + draw[TOKENS + t], 0.0, 0.0]).collect()
}

fn stats(variables: &[f64]) -> Vec<[f64; 4]> {
    (0..TOKENS).map(|t| [variables[t], 0.0, variables[TOKENS + t], 0.0]).collect()
}

fn policy(variables: &[f64], facts: &[[f64; 4]], settings: &PolicySettings) -> Policy {
    reference::policy(&stats(variables), &RANGES, facts, &SEQUENCES, settings)
}

/// One sequence with an advantage of 1.5, from section 8 of the notes on TRL.
fn trl(tokens: std::ops::Range<usize>, settings: &PolicySettings) -> Policy {
    let (lp, old, reference) = ([-1.0, -2.0, -0.5], [-1.2, -1.6, -0.5], [-1.1, -1.8, -0.9]);
    let stats: Vec<[f64; 4]> = tokens.clone().map(|t| [lp[t], 0.0, 1.0, 0.0]).collect();
    let facts: Vec<[f64; 4]> = tokens.map(|t| [old[t], reference[t], 0.0, 0.0]).collect();
    reference::policy(&stats, &[[0, stats.len() as u32]], &facts, &[[1.5, 1.0, 0.0, 0.0]], settings)
}

#[test]
fn policy_tokens_match_trl() {
    for (t, loss, kl) in [(0, -1.799764, 0.005908), (1, -1.004906, 0.014347), (2, -1.497187, 0.070320)] {
        let got = trl(t..t + 1, &SETTINGS);
        assert!((got.loss - loss).abs() <= PRINTED, "token {t}: got {}, want {loss}", got.loss);
        assert!((got.kl - kl).abs() <= PRINTED, "kl of token {t}: got {}, want {kl}", got.kl);
    }
    let each = [-1.799764, -1.004906, -1.497187];
    let sum: f64 = each.iter().sum();
    use PolicyLoss::{Bnpo, Dapo, DrGrpo, Grpo, Luspo};
    let wants = [(Grpo, sum / 3.0), (Bnpo, sum / 3.0), (DrGrpo, sum / 16.0), (Dapo, sum / 5.0), (Luspo, sum)];
    for (loss_type, want) in wants {
        let got = trl(0..3, &PolicySettings { loss_type, step_tokens: 5.0, ..SETTINGS }).loss;
        assert!((got - want).abs() <= 3.0 * PRINTED, "{loss_type:?}: got {got}, want {want}");
    }
    let gspo = PolicySettings { sequence_level: true, beta: 0.0, step_tokens: 3.0, ..SETTINGS };
    let got = trl(0..3, &gspo).loss;
    assert!((got + 1.5 * 0.935507).abs() <= 2.0 * PRINTED, "GSPO: got {got}");
}

#[test]
fn policy_derivatives_are_those_of_loss() {
    use PolicyLoss::{Cispo, Vespo};
    let facts = facts();
    let options = [
        SETTINGS,
        PolicySettings { use_bias_correction_kl: false, share: 0.5, ..SETTINGS },
        PolicySettings { sequence_level: true, epsilon: 0.05, epsilon_high: 0.03, ..SETTINGS },
        PolicySettings { sequence_level: true, epsilon: 0.5, beta: 0.0, ..SETTINGS },
        PolicySettings { delta: 1.1, epsilon_high: 0.3, ..SETTINGS },
        PolicySettings { entropy_coef: 0.3, top_entropy_quantile: 0.6, share: 0.5, ..SETTINGS },
        PolicySettings { off_policy_mask_threshold: 0.01, entropy_coef: 0.1, ..SETTINGS },
    ];
    for loss_type in ALL.into_iter().filter(|loss_type| ![Cispo, Vespo].contains(loss_type)) {
        for option in options {
            let settings = PolicySettings { loss_type, ..option };
            let got = policy(&variables(), &facts, &settings);
            let want = numeric_gradient(|variables| policy(variables, &facts, &settings).loss, &variables());
            assert_close(&format!("{settings:?}"), &[got.dlogp, got.dentropy].concat(), &want, DERIVATIVE);
        }
    }
}

/// CISPO and VESPO pass no gradient through the weight of a token. Here the old log-probabilities move together with
/// the new ones, so that the weight stays the same.
#[test]
fn policy_derivatives_are_those_of_weighted_log_probabilities() {
    let facts = facts();
    for loss_type in [PolicyLoss::Cispo, PolicyLoss::Vespo] {
        for sequence_level in [false, true] {
            let settings = PolicySettings { loss_type, sequence_level, epsilon_high: 1.05, beta: 0.0, ..SETTINGS };
            let got = policy(&variables(), &facts, &settings);
            let loss = |moved: &[f64]| {
                let by = |t: usize| moved[t] - variables()[t];
                let facts: Vec<[f64; 4]> = (0..TOKENS).map(|t| [facts[t][0] + by(t), facts[t][1], 0.0, 0.0]).collect();
                policy(moved, &facts, &settings).loss
            };
            let want = numeric_gradient(loss, &variables());
            assert_close("dlogp", &[got.dlogp.clone(), got.dentropy].concat(), &want, DERIVATIVE);
            // The distance to the reference adds its own.
            let near = PolicySettings { beta: 0.3, ..settings };
            let added: Vec<f64> =
                policy(&variables(), &facts, &near).dlogp.iter().zip(&got.dlogp).map(|(a, b)| a - b).collect();
            let loss = |logps: &[f64]| {
                let variables = [logps, &variables()[TOKENS..]].concat();
                policy(&variables, &facts, &near).loss - policy(&variables, &facts, &settings).loss
            };
            assert_close("kl", &added, &numeric_gradient(loss, &variables()[..TOKENS]), DERIVATIVE);
        }
    }
}

#[test]
fn policy_on_policy_has_ratios_of_one() {
    let mut facts = facts();
    for loss_type in ALL {
        for sequence_level in [false, true] {
            let settings = PolicySettings { loss_type, sequence_level, ..SETTINGS };
            let got = policy(&variables(), &facts, &PolicySettings { on_policy: true, ..settings });
            (0..TOKENS).for_each(|t| facts[t][0] = variables()[t]);
            assert_eq!(got, policy(&variables(), &facts, &settings), "{loss_type:?}");
            // CISPO's cap is an absolute one, below 1 here.
            let highest = if loss_type == PolicyLoss::Cispo { 1.0 } else { 0.0 };
            assert_eq!((got.low, got.extremes), (0.0, Some([0.0, highest])), "{loss_type:?}");
            assert!(got.dlogp.iter().any(|d| *d != 0.0), "{loss_type:?} must pull somewhere");
            facts = self::facts();
        }
    }
}

#[test]
fn policy_counts_only_what_is_kept() {
    let (facts, free) = (facts(), PolicySettings { beta: 0.0, ..SETTINGS });
    let mut moved = variables();
    (5..10).for_each(|t| moved[t] -= 50.0);
    (TOKENS + 5..TOKENS + 10).for_each(|t| moved[t] += 3.0);
    for loss_type in ALL {
        for sequence_level in [false, true] {
            let settings = PolicySettings { loss_type, sequence_level, top_entropy_quantile: 0.5, ..free };
            let got = policy(&moved, &facts, &settings);
            assert_eq!(got, policy(&variables(), &facts, &settings), "{loss_type:?}");
            assert!(got.dlogp[5..10].iter().all(|d| *d == 0.0), "{loss_type:?}: the fourth does not count");
        }
    }
}

#[test]
fn policy_masks_low_entropies_and_what_has_moved_away() {
    let facts = facts();
    // Six of the eight kept tokens have enough entropy: the quantile is at place 0.2 * 7, between the second and the
    // third.
    let settings = PolicySettings { beta: 0.0, top_entropy_quantile: 0.8, entropy_coef: 1.0, ..SETTINGS };
    let got = policy(&variables(), &facts, &settings);
    assert_eq!(got.dentropy.iter().filter(|d| **d != 0.0).count(), 6);
    assert_close("dentropy", &[got.dentropy.iter().sum()], &[-1.0], ROUNDING);
    // The last sequence has a negative advantage: its mean of old - logp decides.
    let drift = (10..13).map(|t| facts[t][0] - variables()[t]).sum::<f64>() / 3.0;
    for (threshold, counts) in [(drift + 1e-6, true), (drift - 1e-6, false)] {
        let settings = PolicySettings { beta: 0.0, off_policy_mask_threshold: threshold, ..SETTINGS };
        let got = policy(&variables(), &facts, &settings).dlogp;
        assert_eq!(got[10..].iter().any(|d| *d != 0.0), counts, "at {threshold}");
    }
}

#[test]
fn policy_shares_of_clipped_ratios() {
    let logp = [-1.0; 6];
    let old = [-1.5, -1.0, -1.5, -0.5, -0.5, -1.0];
    let stats: Vec<[f64; 4]> = logp.iter().map(|logp| [*logp, 0.0, 1.0, 0.0]).collect();
    let facts: Vec<[f64; 4]> = old.iter().map(|old| [*old, 0.0, 0.0, 0.0]).collect();
    // Ratios of 1.65, 1, 1.65 with a positive advantage, of 0.61, 0.61, 1 with a negative one.
    let sequences = [[1.0, 1.0, 0.0, 0.0], [-1.0, 1.0, 0.0, 0.0]];
    let settings = PolicySettings { beta: 0.0, ..SETTINGS };
    let got = reference::policy(&stats, &[[0, 3], [3, 6]], &facts, &sequences, &settings);
    assert_close("shares", &[got.low, got.high], &[1.0 / 3.0, 1.0 / 3.0], ROUNDING);
    let extremes = got.extremes.expect("there are sequences");
    assert_close("extremes", &extremes, &[0.0, 2.0 / 3.0], ROUNDING);
    let none = reference::policy(&stats, &[[0, 6]], &facts, &[[1.0, 0.0, 0.0, 0.0]], &settings);
    assert_eq!((none.extremes, none.loss), (None, 0.0));
}

// RLOO.

#[test]
fn rloo_matches_trl_and_its_derivative() {
    let (lp, old) = ([-1.0, -2.0, -0.5], [-1.2, -1.6, -0.5]);
    let stats: Vec<[f64; 4]> = lp.iter().map(|lp| [*lp, 0.0, 1.0, 0.0]).collect();
    let before: Vec<[f64; 4]> = old.iter().map(|old| [*old, 0.0, 0.0, 0.0]).collect();
    let got = reference::rloo(&stats, &[[0, 3]], &before, &[[1.5, 1.0, 0.0, 0.0]], [0.2; 2]);
    assert!((got.loss + 1.5 * 0.818731).abs() <= 2.0 * PRINTED, "got {}", got.loss);

    let facts = facts();
    for epsilon in [[0.2, 0.2], [0.6, 5.0]] {
        let run = |variables: &[f64]| reference::rloo(&self::stats(variables), &RANGES, &facts, &SEQUENCES, epsilon);
        let want = numeric_gradient(|variables| run(variables).loss, &variables());
        assert_close("dlogp", &run(&variables()).dlogp, &want[..TOKENS], DERIVATIVE);
    }
    let got = reference::rloo(&self::stats(&variables()), &RANGES, &facts, &SEQUENCES, [0.2; 2]);
    assert!(got.dlogp[5..10].iter().all(|d| *d == 0.0), "the fourth does not count");
}

// PPO.

fn ppo_policy(logps: &[f64]) -> PpoPolicy {
    let (now, draw) = (variables(), random(2 * TOKENS, 43));
    let mask = |t: usize| if t == 4 { 0.0 } else { 1.0 };
    let fact = |t: usize| [now[t] + 0.5 * draw[t], 2.0 * draw[TOKENS + t], mask(t), 0.0];
    let facts: Vec<[f64; 4]> = (0..TOKENS).map(fact).collect();
    let stats: Vec<[f64; 4]> = logps.iter().map(|logp| [*logp, 0.0, 1.0, 0.0]).collect();
    reference::ppo_policy(&stats, &facts, 0.2, 20.0)
}

#[test]
fn ppo_policy_dlogp_is_the_derivative_of_loss() {
    let logps = &variables()[..TOKENS];
    let got = ppo_policy(logps);
    assert_close("dlogp", &got.dlogp, &numeric_gradient(|logps| ppo_policy(logps).loss, logps), DERIVATIVE);
    assert_eq!(got.dlogp[4], 0.0, "what is masked out does not count");
    assert!(got.clipfrac > 0.0 && got.clipfrac < 1.0, "some are clipped");
}

#[test]
fn ppo_policy_is_the_formula_written_out() {
    // Ratios of 2 and 1/2: the first is clipped for a positive advantage, the second is not.
    let ln2 = 2_f64.ln();
    let stats = [[-1.0, 0.0, 0.5, 0.0], [-1.0 - ln2, 0.0, 1.5, 0.0]];
    let facts = [[-1.0 - ln2, 3.0, 1.0, 0.0], [-1.0, 1.0, 1.0, 0.0]];
    let got = reference::ppo_policy(&stats, &facts, 0.2, 4.0);
    assert_close("loss", &[got.loss], &[-(3.0 * 1.2 + 0.5) / 2.0], ROUNDING);
    assert_close("dlogp", &got.dlogp, &[0.0, -0.25], ROUNDING);
    let means = [got.approxkl, got.clipfrac, got.ratio, got.entropy];
    assert_close("means", &means, &[0.5 * 2.0 * ln2 * ln2 / 4.0, 0.5, 4.5 / 4.0, 1.0], ROUNDING);
}

#[test]
fn ppo_value_dvalues_is_the_derivative_of_loss() {
    let draw = random(3 * TOKENS, 44);
    let mask = |t: usize| if t == 4 { 0.0 } else { 1.0 };
    let facts: Vec<[f64; 4]> =
        (0..TOKENS).map(|t| [draw[t] + 0.5 * draw[TOKENS + t], 2.0 * draw[2 * TOKENS + t], mask(t), 0.0]).collect();
    let run = |values: &[f64]| reference::ppo_value(values, &facts, 0.2);
    let got = run(&draw[..TOKENS]);
    assert_close("dvalues", &got.dvalues, &numeric_gradient(|values| run(values).loss, &draw[..TOKENS]), DERIVATIVE);
    assert!(got.clipfrac > 0.0 && got.clipfrac < 1.0, "some are clipped");
}

#[test]
fn ppo_value_is_the_formula_written_out() {
    // Old values 0 and 0, returns 1: a value of 0.5 is held at 0.2, which is further away; one of -0.5 at -0.2, nearer.
    let facts = [[0.0, 1.0, 1.0, 0.0], [0.0, 1.0, 1.0, 0.0], [0.0, 9.0, 0.0, 0.0]];
    let got = reference::ppo_value(&[0.5, -0.5, 3.0], &facts, 0.2);
    assert_close("loss", &[got.loss], &[0.5 * (0.64 + 2.25) / 2.0], ROUNDING);
    assert_close("dvalues", &got.dvalues, &[0.0, -0.75, 0.0], ROUNDING);
    assert_close("clipfrac", &[got.clipfrac], &[0.5], ROUNDING);
}
