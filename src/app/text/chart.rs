//! Sentences by which a chart speaks to a screen reader.

pub(crate) const STEP: &str = "step";

pub(crate) fn at_step(step: f64) -> String {
    format!("step {step:.0}")
}

pub(crate) fn line(name: &str, [first, last]: [&str; 2], [from, to]: [f64; 2]) -> String {
    format!(". {name}: {first} at step {from:.0}, {last} at step {to:.0}")
}

pub(crate) fn line_across(name: &str, [first, last]: [&str; 2], across: &str, [from, to]: [&str; 2]) -> String {
    format!(". {name}: {first} at {across} {from}, {last} at {to}")
}

pub(crate) fn band([low, high]: &[String; 2]) -> String {
    format!(", 95 % interval {low} to {high}")
}

pub(crate) fn empty(name: &str) -> String {
    format!(". {name}: no values yet")
}

pub(crate) fn level(name: &str, value: &str) -> String {
    format!(". {name}: {value}")
}

pub(crate) fn warned(step: f64, warning: &str) -> String {
    format!(". Warning at step {step:.0}: {warning}")
}

pub(crate) fn from_to(name: &str, first: &str, last: &str) -> String {
    format!("{name}: {first} to {last}")
}

pub(crate) fn share(name: &str, share: &str, [low, high]: [&str; 2]) -> String {
    format!("{name}: {share}, 95 % interval {low} to {high}")
}

pub(crate) fn other(name: &str, share: &str) -> String {
    format!("; {name} {share}")
}

pub(crate) fn counts(name: &str, counts: &[String], [from, to]: [f64; 2]) -> String {
    format!("{name}: {} from {from} to {to}", counts.join(", "))
}

/// Says how many values lie in a bar.
pub(crate) fn bin([from, to]: [&str; 2], count: usize) -> String {
    format!("{from} to {to}: {count}")
}

pub(crate) const NO_POINTS: &str = "No values yet";
