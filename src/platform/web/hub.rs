//! Ranges of addresses, for models that a page fetches into its own storage.

use js_sys::Uint8Array;
use wasm_bindgen::{JsCast as _, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    Headers, ReadableStreamDefaultReader, ReferrerPolicy, RequestCache, RequestCredentials, RequestInit, Response,
};

use super::js::{call_async, ignore, message, property};
use super::store::Store;
use crate::error::{Error, Result};
use crate::platform::is_below;

/// The Hugging Face Hub, from which a page fetches into its own storage.
pub struct Hub {
    /// Its address.
    pub endpoint: String,
    /// The token that the user typed, which no other server gets.
    pub token: Option<String>,
    /// Places where a token is looked for: none.
    pub token_places: Option<String>,
}

impl Hub {
    /// The public Hub, the same for everybody.
    pub fn of_this_person() -> Self {
        Self { endpoint: "https://huggingface.co".to_owned(), token: None, token_places: None }
    }

    /// Destination of downloads, for the user to read.
    pub fn place(&self) -> String {
        "this browser's storage".to_owned()
    }

    /// The cache that other tools share; a page shares none.
    pub async fn cache(&self) -> Result<Option<Store>> {
        Ok(None)
    }

    /// Advice about a model that the server gives only to some users.
    pub fn fix_for_refusal(&self, url: &str) -> String {
        let endpoint = &self.endpoint;
        match &self.token {
            _ if !is_below(url, endpoint) => format!("A token goes to {endpoint} alone: choose a model for anyone"),
            Some(_) => format!("Check the name, accept the model's conditions at {endpoint}, or use another token"),
            None => {
                format!("Check the name, accept the model's conditions at {endpoint}, and give a token in Find models")
            }
        }
    }

    /// Asks a server for the bytes of `url` from `begin` on.
    pub async fn fetch_range(&self, url: &str, begin: u64) -> Result<Fetched> {
        let failed = |e: JsValue| fetch_error(&e, "did not begin", url);
        let headers = Headers::new().map_err(failed)?;
        headers.set("Range", &format!("bytes={begin}-")).map_err(failed)?;
        if let Some(token) = self.token.as_ref().filter(|_| is_below(url, &self.endpoint)) {
            headers.set("Authorization", &format!("Bearer {token}")).map_err(failed)?;
        }
        let init = RequestInit::new();
        init.set_headers(&headers);
        // Gigabytes are kept in the storage, not a second time in the browser's cache; and no site learns who asks.
        init.set_cache(RequestCache::NoStore);
        init.set_credentials(RequestCredentials::Omit);
        init.set_referrer_policy(ReferrerPolicy::NoReferrer);
        let response = call_async(&js_sys::global(), "fetch", &[url.into(), init.into()]).await.map_err(failed)?;
        let response: Response = response.unchecked_into();
        let body = response.body().map(|stream| stream.get_reader().unchecked_into());
        Ok(Fetched { status: response.status(), meaning: response.status_text(), url: response.url(), body })
    }
}

/// A server's answer whose head is there and whose body comes in pieces. Dropping it ends the transfer.
#[derive(Debug)]
pub struct Fetched {
    /// 206 for the range; 200 for the whole file, from its start, if the server has no ranges.
    pub status: u16,
    /// Meaning of the status, if the server says so.
    pub meaning: String,
    /// The address that answered in the end.
    pub url: String,
    body: Option<ReadableStreamDefaultReader>,
}

impl Fetched {
    /// The next bytes; none at the end.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>> {
        let Some(body) = &self.body else { return Ok(None) };
        let piece = match JsFuture::from(body.read()).await {
            Ok(piece) => piece,
            Err(e) => {
                self.body = None;
                return Err(fetch_error(&e, "broke off", &self.url));
            }
        };
        if property(&piece, "done").is_truthy() {
            self.body = None;
            return Ok(None);
        }
        Ok(Some(Uint8Array::new(&property(&piece, "value")).to_vec()))
    }
}

impl Drop for Fetched {
    fn drop(&mut self) {
        if let Some(body) = self.body.take() {
            ignore(&body.cancel());
        }
    }
}

/// The error of a transfer that `went` wrong without an answer.
fn fetch_error(e: &JsValue, went: &str, url: &str) -> Error {
    let fix = match property(&property(&js_sys::global(), "navigator"), "onLine").as_bool() {
        Some(false) => "There is no network: connect to it and try again",
        _ => "Try again; if it stays so, the server or a blocker keeps pages from reading it: download it yourself",
    };
    Error::input(format!("The download {went}: {}", message(e)), fix, url)
}
