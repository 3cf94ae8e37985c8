//! Hands the accessibility tree to the platform, because the browser needs it as elements of the page.

use eframe::egui::{self, accesskit};

use crate::platform::{UiNode, host};

/// Reads every frame's tree.
#[derive(Debug, Default)]
pub(super) struct Mirror {
    attached: bool,
}

impl Mirror {
    /// Makes sure that frames have a tree, and that it is handed on.
    pub(super) fn attach(&mut self, ctx: &egui::Context) {
        ctx.enable_accesskit();
        if !self.attached {
            self.attached = true;
            ctx.add_plugin(MirrorPlugin::default());
        }
    }
}

/// Sits between egui and what shows its output.
#[derive(Debug, Default)]
struct MirrorPlugin {
    last: Vec<UiNode>,
}

impl egui::Plugin for MirrorPlugin {
    fn debug_name(&self) -> &'static str {
        "mirror"
    }

    fn output_hook(&mut self, ctx: &egui::Context, output: &mut egui::FullOutput) {
        if let Some(update) = &output.platform_output.accesskit_update {
            let nodes = nodes(update, ctx.zoom_factor());
            if nodes != self.last {
                host::mirror(&nodes);
                self.last = nodes;
            }
        }
    }
}

/// Nodes that have a name, or that the user can act on; `scale` turns points into pixels of the window.
fn nodes(update: &accesskit::TreeUpdate, scale: f32) -> Vec<UiNode> {
    let label_of = |id: &accesskit::NodeId| {
        let (_, node) = update.nodes.iter().find(|(other, _)| other == id)?;
        node.label().or(node.value()).map(str::to_owned)
    };
    let as_shown = |(id, node): &(accesskit::NodeId, accesskit::Node)| {
        let labels: Vec<String> = node.labelled_by().iter().filter_map(label_of).collect();
        let name = node.label().map_or_else(|| labels.join(" "), str::to_owned);
        let value = node.value().map(str::to_owned).or_else(|| Some(node.numeric_value()?.to_string()));
        let is_input = node.supports_action(accesskit::Action::Click) || node.supports_action(accesskit::Action::Focus);
        let bounds = node.bounds()?;
        let value = value.unwrap_or_default();
        // A run of text is part of a label that is there too.
        let is_part = node.role() == accesskit::Role::TextRun;
        if is_part || (name.is_empty() && value.is_empty() && !is_input) {
            return None;
        }
        Some(UiNode {
            id: id.0,
            role: format!("{:?}", node.role()),
            name,
            value,
            x: bounds.x0 as f32 * scale,
            y: bounds.y0 as f32 * scale,
            width: (bounds.x1 - bounds.x0) as f32 * scale,
            height: (bounds.y1 - bounds.y0) as f32 * scale,
            disabled: node.is_disabled(),
            checked: node.toggled().map(|toggled| toggled == accesskit::Toggled::True),
            focused: update.focus == *id,
        })
    };
    update.nodes.iter().filter_map(as_shown).collect()
}
