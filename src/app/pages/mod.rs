//! The pages, one folder for each: what it draws, its parts, and its texts. No page uses another one.

pub(crate) mod compare;
pub(crate) mod export;
pub(crate) mod help;
pub(crate) mod hub;
pub(crate) mod model;
pub(crate) mod pairs;
pub(crate) mod plan;
pub(crate) mod race;
pub(crate) mod run;
pub(crate) mod runs;
pub(crate) mod start;
pub(crate) mod sweep;
