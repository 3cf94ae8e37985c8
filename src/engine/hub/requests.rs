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
    let mut answer = ask(wire, hub, url, 0).await?;
    let (inbox, mut bytes) = (&mut wire.inbox, Vec::new());
    let got = async {
        while let Some(piece) = inbox.unless_cancelled(answer.next()).await? {
            bytes.extend(piece);
            if bytes.len() > SMALL_BYTES {
                let what = format!("The server answers with more than {} MiB", SMALL_BYTES >> 20);
                return Err(Error::input(what, "Check the address of the server", url));
            }
        }
        Ok(())
    };
    let got = got.await;
    tell_request(wire, url, Some(&answer), bytes.len() as u64, purpose);
    got.map(|()| bytes)
}

/// Asks for the bytes of `url` from `begin` on; an answer without any is an error. A failure goes into the ledger.
pub(super) async fn ask(wire: &mut Wire, hub: &Hub, url: &str, begin: u64) -> Result<Fetched> {
    let asked = wire.inbox.unless_cancelled(hub.fetch_range(url, begin)).await;
    let error = match asked {
        Ok(answer) if matches!(answer.status, 200 | 206) => return Ok(answer),
        Ok(answer) => status_error(hub, &answer, url),
        Err(error) => error,
    };
    tell_request(wire, url, None, 0, Purpose::Model);
    Err(error)
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

/// Adds a request to the ledger, failed ones included, with the host that answered in the end.
pub(super) fn tell_request(wire: &Wire, url: &str, answer: Option<&Fetched>, bytes: u64, purpose: Purpose) {
    let other = answer.map(|answer| host_of(&answer.url)).filter(|host| *host != host_of(url));
    let url = other.map_or_else(|| url.to_owned(), |host| format!("{url}, from {host}"));
    wire.send(Event::Request { url, bytes, purpose });
}

/// The host of an address, with its port.
fn host_of(url: &str) -> &str {
    let behind = url.split_once("://").map_or(url, |(_, behind)| behind);
    behind.split(['/', '?', '#']).next().unwrap_or_default()
}
