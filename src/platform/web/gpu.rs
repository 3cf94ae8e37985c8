//! The GPU, as far as a browser tells pages and workers of it.

use js_sys::{Array, Function, Object, Reflect};
use wasm_bindgen::{JsCast as _, JsValue};

use super::js::{call, call_async, property, text};
use crate::platform::gpu_name::{AdapterNames, is_mask};

/// Names of the adapter that WebGPU gives for hard work, and of the GPU behind WebGL. Failures leave them empty.
pub async fn adapter_names() -> AdapterNames {
    let gpu = property(&property(&js_sys::global(), "navigator"), "gpu");
    let options = Object::new();
    // A plain object takes every key.
    drop(Reflect::set(&options, &"powerPreference".into(), &"high-performance".into()));
    let adapter = call_async(&gpu, "requestAdapter", &[options.into()]).await.unwrap_or_default();
    let info = property(&adapter, "info");
    AdapterNames {
        description: text(&info, "description"),
        vendor: text(&info, "vendor"),
        architecture: text(&info, "architecture"),
        device: text(&info, "device"),
        fallback: property(&info, "isFallbackAdapter").as_bool(),
        renderer: renderer().unwrap_or_default(),
    }
}

/// The renderer of WebGL, of a context that draws nothing; none without WebGL.
fn renderer() -> Option<String> {
    const RENDERER: u32 = 0x1f01;
    const UNMASKED_RENDERER: u32 = 0x9246;
    let class: Function = property(&js_sys::global(), "OffscreenCanvas").dyn_into().ok()?;
    let side = JsValue::from(1_u32);
    let canvas = Reflect::construct(&class, &Array::of2(&side, &side)).ok()?;
    let context = call(&canvas, "getContext", &["webgl".into()]).ok()?;
    let named = |name: u32| call(&context, "getParameter", &[name.into()]).ok()?.as_string();
    // Firefox tells it at once, and warns of the extension that others want.
    named(RENDERER).filter(|renderer| !is_mask(renderer)).or_else(|| {
        let extension = call(&context, "getExtension", &["WEBGL_debug_renderer_info".into()]).ok()?;
        if extension.is_truthy() { named(UNMASKED_RENDERER) } else { None }
    })
}

/// Bytes of memory that a run may take; no browser tells.
pub fn available_memory() -> Option<u64> {
    None
}

/// Bytes of a graphics card's own memory; no browser tells.
pub fn video_memory(_name: &str, _vendor: u32, _device: u32, _own: u64) -> Option<u64> {
    None
}
