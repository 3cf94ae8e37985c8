//! Recognises files and folders that were mistaken for a model's weights: says what they are, and what to do.

use super::safetensors::{INDEX, SINGLE};
use crate::error::Error;

/// Recognises other formats by their first bytes: what it is, and what to do.
pub(super) fn foreign_format(start: &[u8]) -> Option<(&'static str, &'static str)> {
    const CONVERT: &str = "Use a revision with model.safetensors, or convert it with transformers' save_pretrained";
    const FETCH: &str = "Download the file itself, for example with `git lfs pull` or `hf download`";
    // A header of less than 4 GiB has four zero bytes in its length, where a pickle has opcodes.
    let pickle = start.starts_with(&[0x80, 0x02]) && start.get(4..8).is_some_and(|b| b != [0; 4]);
    if start.starts_with(b"GGUF") {
        Some(("This is a GGUF file, not safetensors", "Give it the ending .gguf, by which such a file is known"))
    } else if start.starts_with(b"PK\x03\x04") || pickle {
        Some(("This is a PyTorch (pickle) file, not safetensors", CONVERT))
    } else if start.starts_with(b"version https://git-lfs") {
        Some(("This is a Git LFS pointer, not the file it points to", FETCH))
    } else if start.starts_with(b"<!DOCTYPE") || start.starts_with(b"<html") {
        Some(("This is a web page, not a safetensors file", FETCH))
    } else {
        None
    }
}

/// The error of a folder without safetensors weights, from what it holds instead.
pub(super) fn no_model(folder: &str, files: &[String]) -> Error {
    let ending = |suffix: &str| files.iter().find(|file| file.ends_with(suffix));
    let (what, fix) = if files.iter().any(|file| file == "adapter_config.json") {
        (
            "This is an adapter (it has adapter_config.json), but a model is needed".to_owned(),
            "Name the folder of the base model here, and this folder as the adapter",
        )
    } else if let Some(file) = ending(".gguf") {
        match files.iter().filter(|file| file.ends_with(".gguf")).count() {
            1 => (
                format!("The weights are in a GGUF file ({file}), but safetensors are needed"),
                "Use the model's original folder, with model.safetensors and config.json",
            ),
            n => (format!("This folder has {n} GGUF files ({file} and others)"), "Name the file that you want"),
        }
    } else if let Some(file) = files.iter().find(|file| file.starts_with("pytorch_model") || file.ends_with(".bin")) {
        (
            format!("This folder has PyTorch (pickle) weights only ({file})"),
            "Use a revision with model.safetensors, or convert it with transformers' save_pretrained",
        )
    } else if let Some(file) = ending(".safetensors") {
        (
            format!("There is neither {SINGLE} nor {INDEX}, only {file}"),
            "Download the model's folder whole; a single file must be called model.safetensors",
        )
    } else {
        (format!("There is neither {SINGLE} nor {INDEX} in this folder"), "Name a folder with a Hugging Face model")
    };
    Error::input(what, fix, folder)
}
