//! Colours, sizes and type of the app, light and dark.

use eframe::egui::{
    self, Color32, CornerRadius, FontFamily, FontId, Margin, Shadow, Stroke, Style, TextStyle, Theme, Visuals,
};

/// One unit of the grid that everything sits on.
pub(super) const GRID: f32 = 8.0;
/// Maximum width of a page of text.
pub(super) const TEXT_WIDTH: f32 = 1180.0;
/// Maximum width of a page with tables, charts, or columns side by side.
pub(super) const MAX_WIDTH: f32 = 2200.0;
/// Rounding of cards.
pub(super) const RADIUS: u8 = 10;

/// The colours of a theme.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Palette {
    /// Background behind everything.
    pub(super) background: Color32,
    /// Background of cards.
    pub(super) card: Color32,
    /// Background of fields, and of insets in a card.
    pub(super) inset: Color32,
    /// Border of cards and fields.
    pub(super) border: Color32,
    /// Text.
    pub(super) text: Color32,
    /// Text that matters less.
    pub(super) weak: Color32,
    /// Elements that are active or chosen, and the tuned model.
    pub(super) accent: Color32,
    /// Tint of `accent` for backgrounds.
    pub(super) accent_soft: Color32,
    /// Text on `accent`.
    pub(super) on_accent: Color32,
    /// Success.
    pub(super) good: Color32,
    /// Something that deserves a look.
    pub(super) warn: Color32,
    /// Tint of `warn` for backgrounds.
    pub(super) warn_soft: Color32,
    /// Failure.
    pub(super) bad: Color32,
    /// Tint of `bad` for backgrounds.
    pub(super) bad_soft: Color32,
    /// The preferred answer, in charts and texts.
    pub(super) chosen: Color32,
    /// The other answer.
    pub(super) rejected: Color32,
    /// Colours that tell lines and bars apart, to be used in this order.
    pub(super) series: [Color32; 6],
}

const LIGHT: Palette = Palette {
    background: Color32::from_rgb(0xFA, 0xFA, 0xF9),
    card: Color32::from_rgb(0xFF, 0xFF, 0xFF),
    inset: Color32::from_rgb(0xF5, 0xF4, 0xF2),
    border: Color32::from_rgb(0xE4, 0xE2, 0xDE),
    text: Color32::from_rgb(0x1F, 0x24, 0x28),
    weak: Color32::from_rgb(0x5F, 0x66, 0x6B),
    accent: Color32::from_rgb(0x0F, 0x76, 0x6E),
    accent_soft: Color32::from_rgb(0xDD, 0xF0, 0xED),
    on_accent: Color32::from_rgb(0xFF, 0xFF, 0xFF),
    good: Color32::from_rgb(0x15, 0x80, 0x3D),
    warn: Color32::from_rgb(0x9A, 0x5B, 0x00),
    warn_soft: Color32::from_rgb(0xFE, 0xF3, 0xD6),
    bad: Color32::from_rgb(0xB4, 0x23, 0x18),
    bad_soft: Color32::from_rgb(0xFD, 0xE8, 0xE5),
    chosen: Color32::from_rgb(0x0F, 0x76, 0x6E),
    rejected: Color32::from_rgb(0xB4, 0x53, 0x09),
    series: [
        Color32::from_rgb(0x0F, 0x76, 0x6E),
        Color32::from_rgb(0xB4, 0x53, 0x09),
        Color32::from_rgb(0x43, 0x5C, 0xB8),
        Color32::from_rgb(0x9D, 0x3C, 0x7F),
        Color32::from_rgb(0x5B, 0x7A, 0x1F),
        Color32::from_rgb(0x6B, 0x72, 0x80),
    ],
};

const DARK: Palette = Palette {
    background: Color32::from_rgb(0x16, 0x1A, 0x1D),
    card: Color32::from_rgb(0x1E, 0x23, 0x27),
    inset: Color32::from_rgb(0x18, 0x1D, 0x20),
    border: Color32::from_rgb(0x32, 0x39, 0x3E),
    text: Color32::from_rgb(0xE7, 0xE9, 0xE8),
    weak: Color32::from_rgb(0x9D, 0xA6, 0xAB),
    accent: Color32::from_rgb(0x2D, 0xD4, 0xBF),
    accent_soft: Color32::from_rgb(0x17, 0x3B, 0x39),
    on_accent: Color32::from_rgb(0x08, 0x2A, 0x27),
    good: Color32::from_rgb(0x4A, 0xDE, 0x80),
    warn: Color32::from_rgb(0xFB, 0xBF, 0x24),
    warn_soft: Color32::from_rgb(0x3A, 0x30, 0x16),
    bad: Color32::from_rgb(0xF8, 0x8A, 0x7D),
    bad_soft: Color32::from_rgb(0x42, 0x20, 0x1D),
    chosen: Color32::from_rgb(0x2D, 0xD4, 0xBF),
    rejected: Color32::from_rgb(0xF5, 0x9E, 0x4B),
    series: [
        Color32::from_rgb(0x2D, 0xD4, 0xBF),
        Color32::from_rgb(0xF5, 0x9E, 0x4B),
        Color32::from_rgb(0x8E, 0xA6, 0xFF),
        Color32::from_rgb(0xE7, 0x8B, 0xC8),
        Color32::from_rgb(0xA8, 0xCB, 0x5C),
        Color32::from_rgb(0x9C, 0xA3, 0xAF),
    ],
};

/// The colours that `ui` is drawn in.
pub(super) fn palette(ui: &egui::Ui) -> Palette {
    if ui.visuals().dark_mode { DARK } else { LIGHT }
}

/// Type of a page's title.
pub(super) fn title() -> TextStyle {
    TextStyle::Name("title".into())
}

/// Type of a large figure.
pub(super) fn figure() -> TextStyle {
    TextStyle::Name("figure".into())
}

/// Gives a context its styles, once.
pub(super) fn install(ctx: &egui::Context) {
    // Arrows and such are in the other font.
    let mut fonts = egui::FontDefinitions::default();
    let monospace = fonts.families.get(&FontFamily::Monospace).cloned().unwrap_or_default();
    let proportional = fonts.families.entry(FontFamily::Proportional).or_default();
    proportional.extend(monospace.into_iter().filter(|name| name == "Hack"));
    ctx.set_fonts(fonts);
    for (theme, palette) in [(Theme::Light, LIGHT), (Theme::Dark, DARK)] {
        ctx.style_mut_of(theme, |style| restyle(style, &palette, theme));
    }
}

fn restyle(style: &mut Style, palette: &Palette, theme: Theme) {
    let proportional = |size| FontId::new(size, FontFamily::Proportional);
    style.text_styles = [
        (TextStyle::Small, proportional(12.0)),
        (TextStyle::Body, proportional(14.0)),
        (TextStyle::Button, proportional(14.0)),
        (TextStyle::Heading, proportional(16.5)),
        (title(), proportional(24.0)),
        (figure(), proportional(28.0)),
        (TextStyle::Monospace, FontId::new(13.0, FontFamily::Monospace)),
    ]
    .into();
    let spacing = &mut style.spacing;
    spacing.item_spacing = egui::vec2(GRID, GRID);
    spacing.button_padding = egui::vec2(12.0, 6.0);
    spacing.interact_size = egui::vec2(40.0, 30.0);
    spacing.indent = 16.0;
    spacing.icon_width = 18.0;
    spacing.icon_width_inner = 10.0;
    spacing.icon_spacing = 6.0;
    spacing.text_edit_width = 220.0;
    spacing.slider_width = 160.0;
    spacing.combo_width = 120.0;
    spacing.tooltip_width = 380.0;
    spacing.scroll = egui::style::ScrollStyle::thin();
    spacing.menu_margin = Margin::same(8);
    style.interaction.tooltip_delay = 0.25;
    style.animation_time = 0.1;
    style.visuals = visuals(palette, theme);
}

fn visuals(palette: &Palette, theme: Theme) -> Visuals {
    let mut visuals = match theme {
        Theme::Light => Visuals::light(),
        Theme::Dark => Visuals::dark(),
    };
    let radius = CornerRadius::same(6);
    visuals.panel_fill = palette.background;
    visuals.window_fill = palette.card;
    visuals.window_stroke = Stroke::new(1.0, palette.border);
    visuals.window_corner_radius = CornerRadius::same(RADIUS);
    visuals.menu_corner_radius = CornerRadius::same(8);
    visuals.extreme_bg_color = palette.inset;
    visuals.faint_bg_color = palette.inset;
    visuals.code_bg_color = palette.inset;
    visuals.hyperlink_color = palette.accent;
    visuals.warn_fg_color = palette.warn;
    visuals.error_fg_color = palette.bad;
    visuals.weak_text_color = Some(palette.weak);
    visuals.selection.bg_fill = palette.accent_soft;
    visuals.selection.stroke = Stroke::new(1.0, palette.accent);
    visuals.slider_trailing_fill = true;
    visuals.interact_cursor = Some(egui::CursorIcon::PointingHand);
    let shade = if theme == Theme::Light { 24 } else { 96 };
    let shadow = Shadow { offset: [0, 4], blur: 16, spread: 0, color: Color32::from_black_alpha(shade) };
    visuals.window_shadow = shadow;
    visuals.popup_shadow = shadow;

    let widgets = &mut visuals.widgets;
    let (hover, press) = match theme {
        Theme::Light => (Color32::from_rgb(0xEF, 0xED, 0xEA), Color32::from_rgb(0xE4, 0xE2, 0xDE)),
        Theme::Dark => (Color32::from_rgb(0x2B, 0x32, 0x37), Color32::from_rgb(0x37, 0x3F, 0x45)),
    };
    for state in [
        &mut widgets.noninteractive,
        &mut widgets.inactive,
        &mut widgets.hovered,
        &mut widgets.active,
        &mut widgets.open,
    ] {
        state.corner_radius = radius;
        state.expansion = 0.0;
        state.fg_stroke = Stroke::new(1.0, palette.text);
        state.bg_stroke = Stroke::new(1.0, palette.border);
    }
    widgets.noninteractive.bg_fill = palette.card;
    widgets.noninteractive.weak_bg_fill = palette.card;
    let raised = if theme == Theme::Light { palette.card } else { Color32::from_rgb(0x25, 0x2B, 0x30) };
    for (state, fill) in [
        (&mut widgets.inactive, raised),
        (&mut widgets.hovered, hover),
        (&mut widgets.active, press),
        (&mut widgets.open, hover),
    ] {
        state.weak_bg_fill = fill;
        state.bg_fill = fill;
    }
    let edge =
        if theme == Theme::Light { Color32::from_rgb(0xC4, 0xC0, 0xB9) } else { Color32::from_rgb(0x4E, 0x58, 0x5E) };
    widgets.inactive.bg_stroke = Stroke::new(1.0, edge);
    widgets.hovered.bg_stroke = Stroke::new(1.0, palette.weak);
    widgets.active.bg_stroke = Stroke::new(1.5, palette.accent);
    visuals
}
