//! The clock, turns of the event loop, and the requests that the browser lists.

use js_sys::{Date, Function, Promise};
use wasm_bindgen::{JsCast as _, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{MessageChannel, Performance, PerformanceResourceTiming};

use super::js::{call, number, property, text};
use crate::platform::types::{NetworkEntry, Purpose};

/// Seconds since the page or worker began, for measuring.
pub fn seconds() -> f64 {
    match property(&js_sys::global(), "performance").dyn_into::<Performance>() {
        Ok(performance) => performance.now() / 1000.0,
        Err(_) => unix_seconds(),
    }
}

/// Seconds since 1970.
pub fn unix_seconds() -> f64 {
    Date::now() / 1000.0
}

/// Lets waiting messages come in.
pub async fn yield_now() {
    let Ok(channel) = MessageChannel::new() else { return };
    let (here, there) = (channel.port1(), channel.port2());
    let came = Promise::new(&mut |resolve: Function, _reject: Function| here.set_onmessage(Some(&resolve)));
    if there.post_message(&JsValue::NULL).is_ok() {
        drop(JsFuture::from(came).await);
    }
    here.set_onmessage(None);
    here.close();
}

/// Waits so many seconds.
pub async fn sleep(seconds: f64) {
    let global = js_sys::global();
    let over = Promise::new(&mut |resolve: Function, _reject: Function| {
        drop(call(&global, "setTimeout", &[resolve.into(), (seconds.max(0.0) * 1000.0).into()]));
    });
    drop(JsFuture::from(over).await);
}

/// Requests of this page, or of this worker, so far; each lists only its own.
pub fn network_ledger() -> Vec<NetworkEntry> {
    // Browsers list 250 entries unless told otherwise.
    const ENTRIES: u32 = 10_000;
    let global = js_sys::global();
    let Ok(performance) = property(&global, "performance").dyn_into::<Performance>() else { return Vec::new() };
    performance.set_resource_timing_buffer_size(ENTRIES);
    let origin = format!("{}/", text(&global, "origin"));
    let entries =
        ["navigation", "resource"].into_iter().flat_map(|kind| performance.get_entries_by_type(kind).to_vec());
    let entries = entries.map(|entry| {
        let entry: PerformanceResourceTiming = entry.unchecked_into();
        let url = text(&entry, "name");
        // A file from the cache counts without its headers.
        let bytes = |name: &str| number(&entry, name).unwrap_or_default() as u64;
        let is_own = url.strip_prefix("blob:").unwrap_or(&url).starts_with(&origin);
        let purpose = if is_own { Purpose::App } else { Purpose::Other };
        NetworkEntry { bytes: bytes("transferSize").max(bytes("encodedBodySize")), url, purpose }
    });
    entries.collect()
}
