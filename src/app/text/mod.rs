//! Sentences that several pages, the window or the state share, by subject; each page has its own in its folder.

pub(crate) mod chart;
pub(crate) mod labels;
pub(crate) mod machine;
pub(crate) mod notices;
pub(crate) mod prompts;
pub(crate) mod run;
pub(crate) mod setting;
pub(crate) mod units;
pub(crate) mod votes;
