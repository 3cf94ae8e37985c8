//! Settings of all methods: names, kinds, ranges, defaults.

pub(super) mod common;
pub(super) mod config;
pub(super) mod fields;
pub(super) mod method;
pub(super) mod ranges;
