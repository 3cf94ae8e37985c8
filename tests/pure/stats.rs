//! Figures for the screen, against values worked out elsewhere and by slow obvious ways.

use pairtune::engine::stats::{
    Vote, decimate, eta_seconds, likelier_wins, longer_wins, median, smoothed, sparkline, what_if, wilson_interval,
    win_rate_from_votes,
};

#[test]
fn wilson_intervals_are_those_of_scipy() {
    // binomtest(wins, n).proportion_ci(method="wilson")
    let cases = [
        (24, 30, [0.626943036, 0.904948928]),
        (0, 10, [0.000000000, 0.277532800]),
        (10, 10, [0.722467200, 1.000000000]),
        (1, 1, [0.206549314, 1.000000000]),
        (530, 1000, [0.499010309, 0.560760085]),
    ];
    for (wins, n, [low, high]) in cases {
        let found = wilson_interval(wins, n);
        close(&found, &[low, high], 1e-9);
    }
    assert_eq!(wilson_interval(0, 0), [0.0, 1.0], "nothing is known");
    assert_eq!(wilson_interval(12, 10), wilson_interval(10, 10), "more wins than games");
}

#[test]
fn a_loss_at_another_beta_is_that_of_trl() {
    // The test vector of TRL's formulas: c - r of 2, -1 and -1.5.
    let pairs = [[1.0, -1.0], [-1.5, -0.5], [-0.25, 1.25]];
    let at = what_if(0.1, &pairs);
    close(&[at.loss, at.margin, at.accuracy], &[0.704498, -0.016667, 1.0 / 3.0], 1e-6);
    close(&at.weights, &[0.450166, 0.524979, 0.537430], 1e-6);
    close(&[at.mean_gradient_weight], &[at.weights.iter().sum::<f64>() / 3.0], 1e-12);
    // The weight is minus the slope of the loss over the margin: beta times it is what finite differences find.
    let h = 1e-5;
    let by_difference = (what_if(0.3, &[[2.0 + h, 1.0]]).loss - what_if(0.3, &[[2.0 - h, 1.0]]).loss) / (2.0 * h);
    close(&[-0.3 * what_if(0.3, &[[2.0, 1.0]]).weights[0]], &[by_difference], 1e-8);
}

#[test]
fn a_loss_at_another_beta_overflows_nowhere() {
    let at = what_if(10.0, &[[1e4, -1e4], [-1e4, 1e4]]);
    assert_eq!((at.weights.as_slice(), at.loss), (&[0.0, 1.0][..], 1e5));
    assert_eq!(what_if(0.1, &[]).weights.len(), 0);
    assert_eq!(what_if(0.1, &[]).loss, 0.0);
    assert_eq!(what_if(0.1, &[[3.0, 3.0]]).accuracy, 0.0, "a tie is not won");
}

#[test]
fn votes_make_a_rate_in_which_ties_are_half() {
    use Vote::{Base, Tie, Tuned};
    let rate = win_rate_from_votes(&[Tuned, Tuned, Tuned, Base, Tie, Tie]).expect("six votes");
    assert_eq!((rate.wins, rate.losses, rate.ties), (3, 1, 2));
    close(&[rate.rate], &[4.0 / 6.0], 1e-12);
    close(&rate.interval, &wilson_interval(4, 6), 1e-12);
    assert_eq!(win_rate_from_votes(&[]), None);
    assert_eq!(win_rate_from_votes(&[Base]).map(|rate| rate.rate), Some(0.0));
}

#[test]
fn the_longer_answer_wins_half_of_a_tie() {
    assert_eq!(longer_wins(&[[3, 2], [2, 2], [1, 9], [8, 0]]), Some(0.625));
    assert_eq!(longer_wins(&[]), None);
    // The first is likelier per token, though not as a whole; the last has no tokens on a side.
    let logps = [[-30.0, -20.0], [-1.0, -1.0], [-2.0, -1.0], [-9.0, -2.0], [-1.0, 0.0]];
    let lengths = [[30, 10], [1, 1], [1, 1], [3, 1], [1, 0]];
    assert_eq!(likelier_wins(&logps, &lengths), Some(0.375));
    assert_eq!(likelier_wins(&[], &[]), None);
}

#[test]
fn the_median_ignores_order_and_what_is_not_finite() {
    assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
    assert_eq!(median(&[4.0, f64::NAN, 1.0, 3.0, 2.0, f64::INFINITY]), Some(2.5));
    assert_eq!(median(&[f64::NAN]), None);
    assert_eq!(median(&[]), None);
}

#[test]
fn time_left_follows_the_median_of_the_last_twenty_steps() {
    assert_eq!(eta_seconds(&[], 5), None);
    assert_eq!(eta_seconds(&[2.0], 5), Some(10.0));
    assert_eq!(eta_seconds(&[2.0], 0), Some(0.0));
    let mut seconds = vec![100.0; 50];
    seconds.extend([2.0; 20]);
    assert_eq!(eta_seconds(&seconds, 3), Some(6.0), "what lies further back is forgotten");
    seconds[69] = 1e6;
    assert_eq!(eta_seconds(&seconds, 3), Some(6.0), "one slow step changes nothing");
}

#[test]
fn smoothing_is_tensorboards() {
    // vz_line_chart's resmoothDataset at 0.6, worked out by hand: 1, (0.4 + 0.6 * 0.4) / .. and so on.
    let values = [1.0, 2.0, 4.0, 0.0];
    let mut want = Vec::new();
    let mut last = 0.0;
    for (i, value) in values.iter().enumerate() {
        last = last * 0.6 + 0.4 * value;
        want.push(last / (1.0 - 0.6f64.powi(i as i32 + 1)));
    }
    close(&smoothed(&values, 0.6), &want, 1e-12);
    close(&smoothed(&values, 0.6)[..2], &[1.0, 1.625], 1e-12);
    assert_eq!(smoothed(&values, 0.0), values);
    assert_eq!(smoothed(&[0.1; 3], 0.9), [0.1; 3], "exactly");
    assert_eq!(smoothed(&[], 0.5).len(), 0);
    let gap = smoothed(&[1.0, f64::NAN, 2.0], 0.6);
    assert!(gap[1].is_nan(), "a gap stays a gap");
    close(&[gap[0], gap[2]], &[1.0, 1.625], 1e-12);
    assert!(smoothed(&[1.0, 2.0], 1.0).iter().all(|value| *value >= 1.0), "a weight of 1 is not followed to 0");
}

#[test]
fn thinned_curves_keep_their_ends_their_peaks_and_their_order() {
    let points: Vec<[f64; 2]> = (0..10_000)
        .map(|i| {
            [
                f64::from(i),
                if i == 7_777 {
                    50.0
                } else if i == 3_333 {
                    -50.0
                } else {
                    f64::from(i % 7)
                },
            ]
        })
        .collect();
    let mut shuffled = points.clone();
    shuffled.reverse();
    shuffled.push([5.0, f64::NAN]);
    for max in [4, 100, 101, 1000] {
        let thin = decimate(&shuffled, max);
        assert!(thin.len() <= max && thin.len() > max / 3, "{} of {max}", thin.len());
        assert_eq!((thin[0], thin[thin.len() - 1]), (points[0], points[9_999]));
        assert!(thin.windows(2).all(|two| two[0][0] < two[1][0]), "by x");
        assert!(thin.contains(&[7_777.0, 50.0]) && thin.contains(&[3_333.0, -50.0]), "both peaks of {max}");
    }
    for max in 0..4 {
        assert_eq!(decimate(&points, max), [points[0], points[9_999]], "{max}");
    }
}

#[test]
fn short_curves_are_only_put_in_order() {
    assert_eq!(decimate(&[[2.0, 1.0], [1.0, 5.0]], 2), [[1.0, 5.0], [2.0, 1.0]]);
    assert_eq!(decimate(&[[2.0, f64::INFINITY]], 10).len(), 0);
    let same_x = vec![[1.0, 0.0]; 50];
    assert!(decimate(&same_x, 10).len() <= 10, "points above each other");
}

#[test]
fn sparklines_have_the_length_that_is_asked_for() {
    assert_eq!(sparkline(&[1.0, 3.0, 5.0, 7.0], 2), [2.0, 6.0]);
    assert_eq!(sparkline(&[1.0, 3.0], 5), [1.0, 1.5, 2.0, 2.5, 3.0]);
    assert_eq!(sparkline(&[4.0, f64::NAN], 3), [4.0; 3]);
    assert_eq!(sparkline(&[], 3).len(), 0);
    assert_eq!(sparkline(&[1.0, 2.0], 0).len(), 0);
    let values: Vec<f64> = (0..97).map(f64::from).collect();
    assert_eq!(sparkline(&values, 10).len(), 10);
}

fn close(found: &[f64], want: &[f64], tolerance: f64) {
    assert_eq!(found.len(), want.len(), "lengths of {found:?} and {want:?}");
    for (a, b) in found.iter().zip(want) {
        assert!((a - b).abs() <= tolerance, "{found:?} is not {want:?}");
    }
}
