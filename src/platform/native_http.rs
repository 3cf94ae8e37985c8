//! The only connections of the desktop app: ranges of addresses, each on a thread of its own, so that whoever waits for
//! one can go away at any time.

use std::future::poll_fn;
use std::io::Read as _;
use std::time::Duration;

use futures_channel::{mpsc, oneshot};
use ureq::config::RedirectAuthHeaders;
use ureq::tls::{RootCerts, TlsConfig};
use ureq::{Agent, Body, ResponseExt as _, http};

use crate::error::{Error, Result};

/// A server's answer whose head is there and whose body comes in pieces. Dropping it ends the transfer.
#[derive(Debug)]
pub struct Fetched {
    /// 206 for the range; 200 for the whole file, from its start, if the server has no ranges.
    pub status: u16,
    /// Meaning of the status.
    pub meaning: String,
    /// The address that answered in the end.
    pub url: String,
    pieces: mpsc::Receiver<Result<Vec<u8>>>,
}

impl Fetched {
    /// The next bytes; none at the end.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>> {
        self.pieces.recv().await.ok().transpose()
    }
}

/// Maximum size of a piece, in bytes.
const PIECE: usize = 256 << 10;
/// Number of pieces that may wait to be taken.
const PIECES: usize = 8;
/// Time limit for finding a server's address, and for connecting to it.
const ANSWER: Duration = Duration::from_secs(30);
/// Time limit for an answer to begin, and for each read.
const STALL: Duration = Duration::from_secs(60);

/// Asks a server for the bytes of `url` from `begin` on, with a token for this server alone.
pub(super) async fn fetch_range(url: &str, begin: u64, token: Option<&str>) -> Result<Fetched> {
    let (tell, told) = oneshot::channel();
    let (sender, pieces) = mpsc::channel(PIECES);
    let request = http::Request::get(url).header("User-Agent", concat!("pairtune/", env!("CARGO_PKG_VERSION")));
    let request = match begin {
        0 => request,
        begin => request.header("Range", format!("bytes={begin}-")),
    };
    let request = match token {
        Some(token) => request.header("Authorization", format!("Bearer {token}")),
        None => request,
    };
    let failed = |e: &dyn std::fmt::Display| transfer_error(e, "did not begin", url);
    let request = request.body(()).map_err(|e| failed(&e))?;
    let asked = url.to_owned();
    let work = move || match agent().run(request) {
        Ok(answer) => {
            let (status, url) = (answer.status(), answer.get_uri().to_string());
            let meaning = status.canonical_reason().unwrap_or_default().to_owned();
            // The caller may no longer be waiting.
            if tell.send(Ok((status.as_u16(), meaning, url))).is_ok() {
                hand_over(answer.into_body(), sender, &asked);
            }
        }
        Err(e) => drop(tell.send(Err(transfer_error(&e, "did not begin", &asked)))),
    };
    std::thread::Builder::new().name("download".to_owned()).spawn(work).map_err(|e| failed(&e))?;
    let (status, meaning, url) = told.await.map_err(|e| failed(&e))??;
    Ok(Fetched { status, meaning, url, pieces })
}

/// Creates the client, with the proxy that the environment variables name and the certificates that the system trusts.
/// A request that is redirected to another host loses its token.
fn agent() -> Agent {
    let tls = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build();
    Agent::config_builder()
        .tls_config(tls)
        .http_status_as_error(false)
        .redirect_auth_headers(RedirectAuthHeaders::SameHost)
        .timeout_resolve(Some(ANSWER))
        .timeout_connect(Some(ANSWER))
        .timeout_recv_response(Some(STALL))
        .timeout_per_read(Some(STALL))
        .build()
        .into()
}

/// Reads a body and hands it over piece by piece, as fast as they are taken.
fn hand_over(body: Body, mut pieces: mpsc::Sender<Result<Vec<u8>>>, url: &str) {
    let (mut body, mut buffer) = (body.into_reader(), vec![0; PIECE]);
    loop {
        let piece = match body.read(&mut buffer) {
            Ok(0) => return,
            Ok(len) => Ok(buffer[..len].to_vec()),
            Err(e) => Err(transfer_error(&e, "broke off", url)),
        };
        let is_last = piece.is_err();
        let taken = pollster::block_on(poll_fn(|context| pieces.poll_ready(context)));
        if taken.and_then(|()| pieces.start_send(piece)).is_err() || is_last {
            return;
        }
    }
}

/// The error of a transfer that `went` wrong without an answer.
fn transfer_error(e: &dyn std::fmt::Display, went: &str, url: &str) -> Error {
    let fix = "Check the network and try again; a proxy is taken from HTTPS_PROXY, certificates from the system";
    Error::input(format!("The download {went}: {e}"), fix, url)
}
