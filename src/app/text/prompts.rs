//! Lists of prompts.

pub(crate) const ADD: &str = "Add a prompt";
pub(crate) const REMOVE: &str = "Remove";

/// Name of a prompt's field.
pub(crate) fn numbered(each: &str, number: usize) -> String {
    format!("{each} {number}")
}

/// Name of the button that takes a prompt off the list.
pub(crate) fn remove(each: &str, number: usize) -> String {
    format!("{REMOVE} {} {number}", each.to_lowercase())
}
