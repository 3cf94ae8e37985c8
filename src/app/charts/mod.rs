//! Charts over steps: smoothing, thinning to the pixels at hand, one cursor that all charts share, marks where
//! something was noticed; and the small figures beside them (sparkline, scale with an interval, histogram).
//!
//! Every figure has a name and its values as text, which is what a screen reader says.

mod axes;
mod chart;
mod histogram;
mod lines;
mod parts;
mod series;
mod small;

pub(crate) use chart::{Across, Chart};
pub(crate) use histogram::Histogram;
pub(crate) use parts::{legend_ui, tight};
pub(crate) use series::{Hue, Mark, Series, Unit};
pub(crate) use small::{diverging, share_scale, sparkline};
