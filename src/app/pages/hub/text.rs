//! The texts of this page.

pub(super) const TITLE: &str = "Find models";
pub(super) const SUBTITLE: &str = "Language models on the Hugging Face Hub, the most downloaded first.";
pub(super) const NAME: &str = "Name";
pub(super) const NAME_HINT: &str = "words, or organisation/name";
pub(super) const SIZE: &str = "Parameters";
/// Choices of the largest number of parameters, the first one for any.
pub(super) const SIZES: [(&str, Option<u64>); 5] = [
    ("any number", None),
    ("up to 500 M", Some(500_000_000)),
    ("up to 2 B", Some(2_000_000_000)),
    ("up to 4 B", Some(4_000_000_000)),
    ("up to 9 B", Some(9_000_000_000)),
];
pub(super) const SEARCH: &str = "Search";
pub(super) const SEARCHING: &str = "Searching…";
pub(super) const GET: &str = "Get";
pub(super) const GET_WHY: &str = "Give the whole name, organisation/name, or search and choose";
pub(super) const FIRST: &str = "Good first models";
pub(super) const SERVER_AND_TOKEN: &str = "Token and server";
pub(super) const TOKEN: &str = "Token";
pub(super) const TOKEN_HINT: &str = "hf_…";
pub(super) const TOKEN_NOTE: &str = "For gated and private models. It is kept until pairtune is closed, and nowhere \
    else. Create one that may read at huggingface.co/settings/tokens.";
pub(super) const ENDPOINT: &str = "Address";
pub(super) const SEARCH_REFUSED: &str = "The search failed";
pub(super) const NONE_FOUND: &str = "No model has these words in its name and so many parameters.";
pub(super) const COLUMNS: [&str; 7] = ["Name", "Parameters", "Download", "Memory", "Downloads", "Licence", ""];
pub(super) const GATED: &str = "gated";
pub(super) const GATED_WHY: &str = "Accept its conditions on its page on the Hub first, then use a token of your \
    account.";
pub(super) const NOT_STATED: &str = "not stated";
pub(super) const MEASURING: &str = "Reading what these models need…";
pub(super) const RESULTS_NOTE: &str = "Download: the weights. Memory: the smallest run, in 4 bits. Downloads: the \
    last 30 days.";

/// Says before a request where it goes, where a download goes, and to whom a token is shown.
pub(super) fn note(endpoint: &str, place: &str, token_places: Option<&str>) -> String {
    let server = endpoint.split_once("://").map_or(endpoint, |(_, server)| server);
    let mut note = format!(
        "Fetched from {server} into {place}, at your click only. A search sends its words, and reads the \
         configuration of what it finds. A download that stops continues where it was, and every file is checked."
    );
    if let Some(places) = token_places {
        note.push_str(&format!(" A token in {places} is shown to {server} alone."));
    }
    note
}

pub(super) fn get(repo: &str) -> String {
    format!("{GET} {repo}")
}
