//! Methods whose model writes the answers that it trains on.

pub(super) mod advantages;
pub(super) mod policy;
pub(super) mod ppo;
pub(super) mod rollouts;
pub(super) mod run;
