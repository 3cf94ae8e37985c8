//! What the app says and several pages, or the window, share; a page keeps its own texts beside it. Panels hold none.

pub(crate) mod chart;
pub(crate) mod labels;
pub(crate) mod machine;
pub(crate) mod notices;
pub(crate) mod run;
pub(crate) mod setting;
pub(crate) mod units;
