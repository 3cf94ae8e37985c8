//! The page of the race, DPO against RLHF: progress of the stages, the article's table, reward against KL, blind votes.

mod page;
mod stages;
mod text;
mod votes;

pub(crate) use page::{RaceView, race_ui};
