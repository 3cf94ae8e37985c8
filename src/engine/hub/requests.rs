//! Requests to the Hub, each of which goes into the ledger.

use crate::engine::protocol::Event;
use crate::engine::session::Wire;
use crate::error::{Error, Result};
use crate::platform::Purpose;
use crate::platform::host::{Fetched, Hub};

/// Bytes of an answer that is read whole, at the most.
const SMALL_BYTES: usize = 16 << 20;

/// Fetches a small answer whole.
pub(super) async fn get(wire: &mut Wire, hub: &Hub, url: &str, purpose: Purpose) -> Result<Vec<u8>> {
    let got = wire.inbox.unless_cancelled(small(hub, url)).await;
    tell_small(wire, url, &got, purpose);
    got.map(|(_, bytes)| bytes)
}

/// Fetches a small answer whole; none if the user asked for something else before it was there, or after `seconds`.
pub(super) async fn get_unless_asked(
    wire: &mut Wire,
    hub: &Hub,
    url: &str,
    purpose: Purpose,
    seconds: f64,
) -> Option<Result<Vec<u8>>> {
    let got = wire.inbox.unless_asked(small(hub, url), seconds).await;
    tell_small(wire, url, got.as_ref().unwrap_or(&Err(Error::Cancelled)), purpose);
    got.map(|got| got.map(|(_, bytes)| bytes))
}

/// A small answer, and the address that it came from.
async fn small(hub: &Hub, url: &str) -> Result<(String, Vec<u8>)> {
    let mut answer = answered(hub, url, 0).await?;
    let mut bytes = Vec::new();
    while let Some(piece) = answer.next().await? {
        bytes.extend(piece);
        if bytes.len() > SMALL_BYTES {
            let what = format!("The server answers with more than {} MiB", SMALL_BYTES >> 20);
            return Err(Error::input(what, "Check the address of the server", url));
        }
    }
    Ok((answer.url.clone(), bytes))
}

/// Adds the request for a small answer to the ledger.
fn tell_small(wire: &Wire, url: &str, got: &Result<(String, Vec<u8>)>, purpose: Purpose) {
    let (from, bytes) = match got {
        Ok((from, bytes)) => (Some(from.as_str()), bytes.len() as u64),
        Err(_) => (None, 0),
    };
    tell_request(wire, url, from, bytes, purpose);
}

/// Asks for the bytes of a model's file from `begin` on. A failure goes into the ledger.
pub(super) async fn ask(wire: &mut Wire, hub: &Hub, url: &str, begin: u64) -> Result<Fetched> {
    let asked = wire.inbox.unless_cancelled(answered(hub, url, begin)).await;
    if asked.is_err() {
        tell_request(wire, url, None, 0, Purpose::Model);
    }
    asked
}

/// Asks for the bytes of `url` from `begin` on; an answer without any is an error.
async fn answered(hub: &Hub, url: &str, begin: u64) -> Result<Fetched> {
    let answer = hub.fetch_range(url, begin).await?;
    match answer.status {
        200 | 206 => Ok(answer),
        _ => Err(status_error(hub, &answer, url)),
    }
}

/// The error of a status that brings no bytes.
fn status_error(hub: &Hub, answer: &Fetched, url: &str) -> Error {
    let status = answer.status;
    let fix = match status {
        401 | 403 => hub.fix_for_refusal(url),
        404 | 410 => "Check the name of the model and of the file".to_owned(),
        408 | 425 | 429 => "Wait some minutes and try again".to_owned(),
        500.. => "The server is in trouble: try again later".to_owned(),
        _ => "Check the address, or download the file yourself and choose it".to_owned(),
    };
    let meaning = if answer.meaning.is_empty() { String::new() } else { format!(" ({})", answer.meaning) };
    Error::input(format!("The server answered {status}{meaning}"), fix, url)
}

/// Adds a request to the ledger, failed ones included, with the host that answered in the end: the one of `from`.
pub(super) fn tell_request(wire: &Wire, url: &str, from: Option<&str>, bytes: u64, purpose: Purpose) {
    let other = from.map(host_of).filter(|host| *host != host_of(url));
    let url = other.map_or_else(|| url.to_owned(), |host| format!("{url}, from {host}"));
    wire.send(Event::Request { url, bytes, purpose });
}

/// The host of an address, with its port.
fn host_of(url: &str) -> &str {
    let behind = url.split_once("://").map_or(url, |(_, behind)| behind);
    behind.split(['/', '?', '#']).next().unwrap_or_default()
}
