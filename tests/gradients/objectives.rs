//! The twins of rewards, of values and of KTO: against central differences, and against TRL's numbers.

use pairtune::reference::{self, KtoSettings};

use super::{DERIVATIVE, PRINTED, ROUNDING, assert_close, dot, numeric_gradient, random};

// Values.

#[test]
fn value_backward_is_the_derivative_of_forward() {
    let (normed, score, dvalues) = (random(5 * 8, 1), random(8, 2), random(5, 3));
    assert_close("value", &reference::value_forward(&[1.0, 2.0, 3.0, 4.0], &[10.0, 1.0]), &[12.0, 34.0], ROUNDING);

    let loss_of_normed = |normed: &[f64]| dot(&dvalues, &reference::value_forward(normed, &score));
    let dnormed = reference::value_backward(&dvalues, &score);
    assert_close("dnormed", &dnormed, &numeric_gradient(loss_of_normed, &normed), DERIVATIVE);

    let loss_of_score = |score: &[f64]| dot(&dvalues, &reference::value_forward(&normed, score));
    let dscore = reference::value_backward_weight(&dvalues, &normed);
    assert_close("dscore", &dscore, &numeric_gradient(loss_of_score, &score), DERIVATIVE);
}

// Rewards.

#[test]
fn reward_is_the_formula_written_out() {
    let got = reference::reward(&[1.0, -0.5, 0.25, 0.5], &[0.0, 0.5], 0.01);
    let loss = |gap: f64| (1.0 + (-gap).exp()).ln();
    let want = (loss(0.75) + 0.01 * 1.25 * 1.25 + loss(-1.5)) / 2.0;
    assert_close("loss", &[got.loss], &[want], ROUNDING);
    assert_eq!((got.lowest, got.highest, got.accuracy), (-0.5, 1.0, 0.5));
    assert_close("means", &[got.mean, got.margin], &[0.3125, -0.125], ROUNDING);
}

#[test]
fn reward_dvalues_is_the_derivative_of_loss() {
    let values: Vec<f64> = random(10, 4).iter().map(|v| 3.0 * v).collect();
    let margins = random(5, 5);
    for centre in [0.0, 0.3] {
        let got = reference::reward(&values, &margins, centre).dvalues;
        let want = numeric_gradient(|values| reference::reward(values, &margins, centre).loss, &values);
        assert_close("dvalues", &got, &want, DERIVATIVE);
    }
}

#[test]
fn reward_survives_values_far_apart() {
    let got = reference::reward(&[-1e6, 1e6, 1e6, -1e6], &[0.0, 0.0], 0.0);
    assert_close("loss", &[got.loss], &[1e6], ROUNDING);
    assert_close("dvalues", &got.dvalues, &[-0.5, 0.0, 0.5, 0.0], ROUNDING);
}

// KTO.

const KTO: KtoSettings = KtoSettings { beta: 0.1, desirable_weight: 1.0, undesirable_weight: 1.0, mismatched: true };

/// Log-ratios of four completions, of which the first two are desirable, and of their mismatched ones.
const RATIOS: [f64; 8] = [1.0, -1.5, 0.25, -0.5, 0.3, -0.1, 0.6, 0.4];

/// The loss of log-ratios over a reference of -20 each; the mismatched are left out where the settings say so.
fn kto(ratios: &[f64], settings: &KtoSettings) -> reference::Kto {
    let (sums, known) = kto_case(ratios, settings);
    reference::kto(&sums, &known, settings)
}

fn kto_case(ratios: &[f64], settings: &KtoSettings) -> (Vec<[f64; 8]>, Vec<[f64; 4]>) {
    let n = ratios.len() / 2;
    let sequences = if settings.mismatched { 2 * n } else { n };
    let sums = ratios[..sequences].iter().enumerate();
    let sums = sums.map(|(s, ratio)| [ratio - 20.0, 9.0, 8.0 + s as f64, 4.0, 0.0, 0.0, 0.0, 0.0]).collect();
    let known = (0..sequences).map(|s| [-20.0, 3.0, 2.0, f64::from(u8::from(s % n < 2))]).collect();
    (sums, known)
}

#[test]
fn kto_losses_match_trl() {
    let weighted = KtoSettings { desirable_weight: 1.5, undesirable_weight: 0.5, ..KTO };
    let unpaired = KtoSettings { mismatched: false, ..KTO };
    for (name, settings, want) in [("kto", KTO, 0.501537), ("weights", weighted, 0.507615), ("apo", unpaired, 0.501551)]
    {
        let loss = kto(&RATIOS, &settings).loss;
        assert!((loss - want).abs() <= PRINTED, "{name}: got {loss}, want {want}");
    }
    assert_close("kl", &[kto(&RATIOS, &KTO).kl, kto(&RATIOS, &unpaired).kl], &[0.3, 0.0], ROUNDING);
}

#[test]
fn kto_metrics_are_means_of_each_kind() {
    let got = kto(&RATIOS, &KTO);
    let [Some(chosen), Some(rejected)] = got.kinds else { panic!("both kinds are there") };
    assert_close("chosen", &[chosen.reward, chosen.logp, chosen.logit], &[-0.025, -20.25, 17.0 / 4.0], ROUNDING);
    assert_close(
        "rejected",
        &[rejected.reward, rejected.logp, rejected.logit],
        &[-0.0125, -20.125, 21.0 / 4.0],
        ROUNDING,
    );
    assert_close("entropy", &[got.entropy], &[2.0], ROUNDING);
    let (sums, mut known) = kto_case(&RATIOS, &KTO);
    known.iter_mut().for_each(|known| known[3] = 0.0);
    assert!(reference::kto(&sums, &known, &KTO).kinds[0].is_none(), "no completion is desirable");
}

#[test]
fn kto_dsums_is_the_derivative_of_loss() {
    let unpaired = KtoSettings { mismatched: false, ..KTO };
    let steep = KtoSettings { beta: 0.7, desirable_weight: 1.5, undesirable_weight: 0.5, mismatched: true };
    for settings in [KTO, unpaired, steep] {
        let dsums = kto(&RATIOS, &settings).dsums;
        let got: Vec<f64> = dsums.iter().take(4).map(|d| d[0]).collect();
        // No gradient goes through the mismatched completions.
        let loss = |own: &[f64]| kto(&[own, &RATIOS[4..]].concat(), &settings).loss;
        assert_close("dsums", &got, &numeric_gradient(loss, &RATIOS[..4]), DERIVATIVE);
        assert!(dsums[4..].iter().chain(&dsums[..4]).all(|d| d[1] == 0.0), "the second column does not count");
        assert!(dsums[4..].iter().all(|d| d[0] == 0.0), "the mismatched do not count");
    }
}

#[test]
fn kto_clamps_the_mean_and_survives_large_ratios() {
    let ratios = [1e6, -1e6, 1e6, -1e6, -3.0, 1.0, 0.5, 0.5];
    let got = kto(&ratios, &KTO);
    assert_eq!((got.kl, got.loss), (0.0, 0.5));
    assert!(got.dsums.iter().all(|d| d[0] == 0.0), "all are saturated: {:?}", got.dsums);
}
