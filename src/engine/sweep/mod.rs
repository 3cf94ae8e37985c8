//! A sweep over beta or the learning rate: the same training with several values, from too low to too high.

pub(super) mod commands;
mod judge;
mod meter;
mod running;

pub use judge::{
    Advice, CLEARLY, Ended, FAR, HARDLY, Judgement, Over, Point, Run, Verdict, beaten, clearly_more, judge,
    measured_steps, short,
};
pub use meter::{ANSWER_TOKENS, Meter};
pub use running::{Host, Sweep, check_method, check_values, config_of, value_of};
