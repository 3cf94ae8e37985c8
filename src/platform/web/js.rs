//! JavaScript's values by name: what a browser lacks is an error or undefined, never a panic.

use js_sys::{Array, Function, Promise, Reflect};
use wasm_bindgen::{JsCast as _, JsValue};
use wasm_bindgen_futures::JsFuture;

/// Result of JavaScript: the value that it returned or threw.
pub(super) type JsResult<T = JsValue> = Result<T, JsValue>;

/// Calls a method that may be missing.
pub(super) fn call(target: &JsValue, name: &str, args: &[JsValue]) -> JsResult {
    let method: Function = match property(target, name).dyn_into() {
        Ok(method) => method,
        Err(_) => return Err(js_sys::TypeError::new(&format!("this browser has no {name}")).into()),
    };
    Reflect::apply(&method, target, &args.iter().collect::<Array>())
}

/// Calls a method that may be missing, and waits for its promise.
pub(super) async fn call_async(target: &JsValue, name: &str, args: &[JsValue]) -> JsResult {
    match call(target, name, args)?.dyn_into::<Promise>() {
        Ok(promise) => JsFuture::from(promise).await,
        Err(value) => Ok(value),
    }
}

/// A property, undefined if there is none.
pub(super) fn property(target: &JsValue, name: &str) -> JsValue {
    Reflect::get(target, &name.into()).unwrap_or_default()
}

/// A property that is a text, empty if there is none.
pub(super) fn text(target: &JsValue, name: &str) -> String {
    property(target, name).as_string().unwrap_or_default()
}

/// A property that is a number.
pub(super) fn number(target: &JsValue, name: &str) -> Option<f64> {
    property(target, name).as_f64()
}

/// Message of a thrown value.
pub(super) fn message(e: &JsValue) -> String {
    match (text(e, "name"), text(e, "message")) {
        (name, message) if name.is_empty() && message.is_empty() => {
            e.as_string().unwrap_or_else(|| "the browser does not say why".to_owned())
        }
        (name, message) if message.is_empty() => name,
        (_, message) => message.trim_end_matches('.').to_owned(),
    }
}

/// Lets a promise fail without a line in the console.
pub(super) fn ignore(promise: &Promise) {
    let promise = promise.clone();
    wasm_bindgen_futures::spawn_local(async move {
        drop(JsFuture::from(promise).await);
    });
}
