//! The widgets as elements of the page, for screen readers and tests.

use std::cell::RefCell;
use std::collections::HashMap;

use wasm_bindgen::JsCast as _;
use web_sys::{Element, HtmlElement};

use super::js::{JsResult, message};
use super::ui::{document, element, new_element};
use crate::platform::types::UiNode;

/// Invisible copies of the widgets as elements of the page, in `<div id="mirror">`: for screen readers, and for tests
/// that look for a widget by its name.
#[derive(Default)]
struct Mirror {
    nodes: Vec<UiNode>,
    elements: HashMap<u64, (Element, UiNode)>,
}

/// Shows the widgets of this frame to screen readers and tests. Only what differs from the last frame is touched.
pub fn mirror(nodes: &[UiNode]) {
    thread_local! {
        static MIRROR: RefCell<Mirror> = RefCell::default();
    }
    MIRROR.with_borrow_mut(|mirror| {
        if mirror.nodes != nodes {
            mirror.nodes = nodes.to_vec();
            if let Err(e) = mirror.update() {
                log::warn!("Screen readers do not see all: {}", message(&e));
            }
        }
    });
}

impl Mirror {
    fn update(&mut self) -> JsResult<()> {
        let document = document()?;
        let root = element("mirror", || {
            let root = new_element("div", "mirror")?;
            root.set_class_name("mirror");
            Ok(root)
        })?;
        let mut gone = std::mem::take(&mut self.elements);
        // Next element, if the order has not changed.
        let mut next = root.first_element_child();
        for node in &self.nodes {
            if self.elements.contains_key(&node.id) {
                continue;
            }
            let (element, old) = match gone.remove(&node.id) {
                Some((element, old)) => (element, Some(old)),
                None => (document.create_element("div")?, None),
            };
            if old.as_ref() != Some(node) {
                describe(&element, node, old.as_ref())?;
            }
            match &next {
                Some(there) if *there == element => next = there.next_element_sibling(),
                _ => {
                    root.insert_before(&element, next.as_ref().map(AsRef::as_ref))?;
                }
            }
            self.elements.insert(node.id, (element, node.clone()));
        }
        for (element, _) in gone.values() {
            element.remove();
        }
        Ok(())
    }
}

/// Sets the attributes of `node` that `old`, which the element shows now, does not have.
fn describe(element: &Element, node: &UiNode, old: Option<&UiNode>) -> JsResult<()> {
    let new = attributes(node);
    let old = old.map(attributes).unwrap_or_default();
    for (name, _) in old.iter().filter(|(name, _)| !new.iter().any(|(kept, _)| kept == name)) {
        element.remove_attribute(name)?;
    }
    for (name, value) in new.iter().filter(|attribute| !old.contains(attribute)) {
        match (*name, element.dyn_ref::<HtmlElement>()) {
            // The page's policy forbids style attributes, so the style is set through the object model.
            ("style", Some(element)) => element.style().set_css_text(value),
            _ => element.set_attribute(name, value)?,
        }
    }
    let shown = shown_text(node);
    if element.text_content().as_deref() != Some(shown) {
        element.set_text_content(Some(shown));
    }
    Ok(())
}

/// Text that is read from the element itself: that of a label, or the content of a text field.
fn shown_text(node: &UiNode) -> &str {
    match role(&node.role) {
        // Some labels have their text as a value.
        "" if node.name.is_empty() => &node.value,
        "" => &node.name,
        "textbox" => &node.value,
        _ => "",
    }
}

/// The attributes that say what a node is, and where.
fn attributes(node: &UiNode) -> Vec<(&'static str, String)> {
    let pixels = |value: f32| format!("{}", (value * 10.0).round() / 10.0);
    let (x, y, width, height) = (pixels(node.x), pixels(node.y), pixels(node.width), pixels(node.height));
    let style = format!("position:fixed;overflow:hidden;left:{x}px;top:{y}px;width:{width}px;height:{height}px");
    let mut attributes = vec![
        ("style", style),
        ("data-id", node.id.to_string()),
        ("data-role", node.role.clone()),
        ("data-x", x),
        ("data-y", y),
        ("data-w", width),
        ("data-h", height),
    ];
    let role = role(&node.role);
    if !role.is_empty() {
        attributes.push(("role", role.to_owned()));
        attributes.push(("aria-label", node.name.clone()));
    }
    if matches!(role, "slider" | "progressbar" | "combobox") && !node.value.is_empty() {
        attributes.push(("aria-valuetext", node.value.clone()));
        if let Ok(value) = node.value.parse::<f64>() {
            attributes.push(("aria-valuenow", value.to_string()));
        }
    }
    if !node.value.is_empty() {
        attributes.push(("data-value", node.value.clone()));
    }
    if role == "heading" {
        attributes.push(("aria-level", "2".to_owned()));
    }
    if node.role == "MultilineTextInput" {
        attributes.push(("aria-multiline", "true".to_owned()));
    }
    if node.disabled {
        attributes.push(("aria-disabled", "true".to_owned()));
    }
    if let Some(checked) = node.checked {
        let name = match role {
            "tab" => "aria-selected",
            "button" => "aria-pressed",
            _ => "aria-checked",
        };
        attributes.push((name, checked.to_string()));
    }
    if node.focused {
        attributes.push(("data-focused", "true".to_owned()));
    }
    attributes
}

/// The page's name for a role of AccessKit; none for plain text.
fn role(role: &str) -> &'static str {
    match role {
        "Button" => "button",
        "CheckBox" => "checkbox",
        "RadioButton" => "radio",
        "Switch" => "switch",
        "TextInput" | "MultilineTextInput" => "textbox",
        "Slider" => "slider",
        "SpinButton" => "spinbutton",
        "Link" => "link",
        "Tab" => "tab",
        "ProgressIndicator" => "progressbar",
        "ComboBox" => "combobox",
        // The name of a meter says its value in words.
        "Image" | "Meter" => "img",
        "Heading" => "heading",
        "Dialog" => "dialog",
        "Figure" => "figure",
        "Label" => "",
        _ => "group",
    }
}
