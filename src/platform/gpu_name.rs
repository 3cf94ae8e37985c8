//! The GPU's name in a browser: WebGPU rarely names the card, but WebGL often does.

/// Names that a browser has for its WebGPU adapter and for the GPU behind WebGL; empty where it keeps them to itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AdapterNames {
    /// The adapter, described for people.
    pub description: String,
    /// Its maker, as in `nvidia`.
    pub vendor: String,
    /// Its family, as in `ampere`.
    pub architecture: String,
    /// Its model, as an identifier.
    pub device: String,
    /// True if the processor computes in its place; none if the browser does not say.
    pub fallback: Option<bool>,
    /// Renderer of WebGL, which may be on another GPU.
    pub renderer: String,
}

/// Makers: by WebGPU's name, by the name that people know, and by words in the names of WebGL's renderers. Software
/// comes first.
const MAKERS: &[(&str, &str, &[&str])] = &[
    ("google", "Google", &["swiftshader"]),
    ("mesa", "Mesa", &["llvmpipe", "softpipe"]),
    ("microsoft", "Microsoft", &["basic render"]),
    ("nvidia", "NVIDIA", &["nvidia", "geforce", "quadro"]),
    ("amd", "AMD", &["amd", "radeon"]),
    ("intel", "Intel", &["intel"]),
    ("apple", "Apple", &["apple"]),
    ("qualcomm", "Qualcomm", &["qualcomm", "adreno"]),
    ("arm", "ARM", &["mali", "immortalis"]),
    ("samsung", "Samsung", &["xclipse"]),
    ("img-tec", "Imagination", &["powervr"]),
];
/// Makers of programs that compute on the processor, by WebGPU's names.
const SOFTWARE: [&str; 3] = ["google", "mesa", "microsoft"];
/// Renderers that stand for any GPU.
const MASKS: [&str; 3] = ["WebKit WebGL", "Mozilla", "Generic Renderer"];

impl AdapterNames {
    /// A short name for people; none if the browser tells nothing.
    pub fn shown(&self) -> Option<String> {
        match self.description.trim() {
            "" => self.card().or_else(|| self.family()),
            description => Some(description.to_owned()),
        }
    }

    /// The card that WebGL names, if nothing speaks for another one.
    fn card(&self) -> Option<String> {
        let card = card_in(&self.renderer)?;
        let renderer = self.renderer.to_lowercase();
        let maker = MAKERS.iter().find(|(_, _, marks)| marks.iter().any(|mark| renderer.contains(mark)));
        let maker = maker.map(|(maker, ..)| *maker);
        let is_same = match self.vendor.trim() {
            "" => self.fallback.is_none_or(|fallback| fallback == maker.is_some_and(|maker| SOFTWARE.contains(&maker))),
            vendor => maker.is_some_and(|maker| maker.eq_ignore_ascii_case(vendor)),
        };
        is_same.then_some(card)
    }

    /// Maker and family, as in `NVIDIA ampere`.
    fn family(&self) -> Option<String> {
        let vendor = self.vendor.trim();
        let known = MAKERS.iter().find(|(maker, ..)| maker.eq_ignore_ascii_case(vendor));
        let maker = known.map_or(vendor, |(_, name, _)| name);
        let family = if self.architecture.is_empty() { &self.device } else { &self.architecture };
        let name = format!("{maker} {}", family.trim());
        (!name.trim().is_empty()).then(|| name.trim().to_owned())
    }
}

/// True for a renderer's name that hides the GPU.
pub(super) fn is_mask(renderer: &str) -> bool {
    renderer.trim().is_empty() || MASKS.contains(&renderer.trim())
}

/// The card in the name of WebGL's renderer, without the driver and the interface that stand around it.
fn card_in(renderer: &str) -> Option<String> {
    // Firefox names a card that stands for several, and says so.
    const SIMILAR: &str = ", or similar";
    // The driver, the interface and identifiers follow the card.
    const ENDS: [&str; 6] = [" (", "/PCI", "/SSE", " Direct3D", " OpenGL", " vs_"];
    let plain = ["(R)", "(TM)", "(tm)"].iter().fold(renderer.trim().to_owned(), |text, mark| text.replace(mark, ""));
    let (whole, similar) = match plain.strip_suffix(SIMILAR) {
        Some(whole) => (whole, SIMILAR),
        None => (plain.as_str(), ""),
    };
    // ANGLE names the maker, the card by one of its drivers, and the driver's version.
    let inside = whole.strip_prefix("ANGLE (").map(|inside| inside.strip_suffix(')').unwrap_or(inside));
    let named = inside.map_or(whole, |inside| {
        let parts = parts(inside);
        parts.get(1).or(parts.first()).copied().unwrap_or(inside)
    });
    let mut named = named.strip_prefix("ANGLE Metal Renderer: ").unwrap_or(named);
    // These two name the card in brackets, after themselves.
    if named.starts_with("Vulkan ") || named.starts_with("D3D12 ") {
        named = named.split_once('(').map_or(named, |(_, card)| card.trim_end_matches(')'));
    }
    let end = ENDS.iter().filter_map(|end| named.find(end)).min().unwrap_or(named.len());
    let mut card = named[..end].trim();
    for before in ["Mesa ", "DRI "] {
        card = card.strip_prefix(before).unwrap_or(card);
    }
    card = card.strip_suffix(" Device").unwrap_or(card);
    let words: Vec<&str> = card.split_whitespace().collect();
    let card = words.join(" ");
    (!is_mask(&card)).then(|| card + similar)
}

/// Splits a list at the commas outside of its brackets.
fn parts(list: &str) -> Vec<&str> {
    let mut depth = 0usize;
    let at_comma = |c: char| {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ',' && depth == 0
    };
    list.split(at_comma).map(str::trim).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(vendor: &str, architecture: &str, renderer: &str) -> AdapterNames {
        AdapterNames {
            vendor: vendor.to_owned(),
            architecture: architecture.to_owned(),
            renderer: renderer.to_owned(),
            ..AdapterNames::default()
        }
    }

    #[test]
    fn cards_are_found_in_the_names_of_renderers() {
        let cases = [
            (
                "ANGLE (NVIDIA, NVIDIA GeForce RTX 3060 (0x00002504) Direct3D11 vs_5_0 ps_5_0, D3D11)",
                "NVIDIA GeForce RTX 3060",
            ),
            (
                "ANGLE (NVIDIA, Vulkan 1.3.194 (NVIDIA GeForce RTX 3060 (0x00002504)), NVIDIA)",
                "NVIDIA GeForce RTX 3060",
            ),
            ("ANGLE (NVIDIA Corporation, NVIDIA GeForce RTX 3060/PCIe/SSE2, OpenGL 4.5.0)", "NVIDIA GeForce RTX 3060"),
            ("ANGLE (Microsoft Corporation, D3D12 (NVIDIA GeForce RTX 3060), OpenGL 4.2)", "NVIDIA GeForce RTX 3060"),
            ("NVIDIA GeForce RTX 3060/PCIe/SSE2", "NVIDIA GeForce RTX 3060"),
            ("ANGLE (Apple, ANGLE Metal Renderer: Apple M1, Unspecified Version)", "Apple M1"),
            ("Apple GPU", "Apple GPU"),
            ("AMD Radeon RX 6600 (radeonsi, navi23, LLVM 15.0.7, DRM 3.49, 6.1.0)", "AMD Radeon RX 6600"),
            ("ANGLE (AMD, Radeon RX 580 Series (POLARIS10, DRM 3.49), OpenGL 4.6)", "Radeon RX 580 Series"),
            ("ANGLE (ATI Technologies Inc., AMD Radeon Pro 5300M OpenGL Engine, OpenGL 4.1)", "AMD Radeon Pro 5300M"),
            ("ANGLE (Intel, Mesa Intel(R) UHD Graphics 620 (KBL GT2), OpenGL 4.6)", "Intel UHD Graphics 620"),
            ("ANGLE (Intel(R) HD Graphics Direct3D11 vs_5_0 ps_5_0)", "Intel HD Graphics"),
            ("Adreno (TM) 640", "Adreno 640"),
            ("llvmpipe (LLVM 15.0.6, 256 bits)", "llvmpipe"),
            ("ANGLE (Mesa, llvmpipe (LLVM 15.0.6, 256 bits), OpenGL 4.5)", "llvmpipe"),
            (
                "ANGLE (Google, Vulkan 1.3.0 (SwiftShader Device (Subzero) (0x0000C0DE)), SwiftShader driver)",
                "SwiftShader",
            ),
            ("NVIDIA GeForce GTX 980, or similar", "NVIDIA GeForce GTX 980, or similar"),
            (
                "ANGLE (NVIDIA, NVIDIA GeForce GTX 980 Direct3D11 vs_5_0 ps_5_0), or similar",
                "NVIDIA GeForce GTX 980, or similar",
            ),
        ];
        for (renderer, card) in cases {
            assert_eq!(names("", "", renderer).shown().as_deref(), Some(card), "{renderer}");
        }
    }

    #[test]
    fn another_gpu_behind_webgl_is_not_taken_for_the_adapter() {
        let intel = "ANGLE (Intel, Intel(R) UHD Graphics 630 (0x00003E9B) Direct3D11 vs_5_0 ps_5_0, D3D11)";
        let shown = |names: AdapterNames| names.shown().unwrap_or_default();
        assert_eq!(shown(names("intel", "gen-9", intel)), "Intel UHD Graphics 630", "the same");
        assert_eq!(shown(names("nvidia", "ampere", intel)), "NVIDIA ampere", "a laptop with two GPUs");
        assert_eq!(shown(names("nvidia", "ampere", "llvmpipe (LLVM 15.0.6, 256 bits)")), "NVIDIA ampere", "no WebGL");
        assert_eq!(shown(names("nvidia", "ampere", "NV134")), "NVIDIA ampere", "a renderer of no known maker");
        assert_eq!(shown(names("google", "swiftshader", intel)), "Google swiftshader", "WebGPU on the processor");
        let by_processor = |fallback, renderer| AdapterNames { fallback: Some(fallback), ..names("", "", renderer) };
        assert_eq!(by_processor(true, intel).shown(), None, "WebGPU computes on the processor, WebGL does not");
        assert_eq!(by_processor(false, "llvmpipe, or similar").shown(), None, "the other way round");
        assert_eq!(shown(by_processor(true, "llvmpipe, or similar")), "llvmpipe, or similar", "both do");
        assert_eq!(shown(by_processor(false, intel)), "Intel UHD Graphics 630", "neither does");
    }

    #[test]
    fn without_a_card_the_maker_is_named() {
        let shown = |vendor, architecture| names(vendor, architecture, "WebKit WebGL").shown();
        for (vendor, architecture, name) in [
            ("nvidia", "lovelace", "NVIDIA lovelace"),
            ("amd", "rdna-3", "AMD rdna-3"),
            ("apple", "", "Apple"),
            ("arm", "valhall", "ARM valhall"),
            ("newcomer", "one", "newcomer one"),
        ] {
            assert_eq!(shown(vendor, architecture).as_deref(), Some(name), "{vendor}");
        }
        assert_eq!(shown("", ""), None, "nothing is told");
        let device = AdapterNames { device: "0x2504".to_owned(), ..names("nvidia", "", "") };
        assert_eq!(device.shown().as_deref(), Some("NVIDIA 0x2504"), "its number in place of its family");
    }

    #[test]
    fn a_description_comes_first() {
        let described = AdapterNames { description: "NVIDIA GeForce RTX 4070".to_owned(), ..names("nvidia", "x", "") };
        assert_eq!(described.shown().as_deref(), Some("NVIDIA GeForce RTX 4070"));
    }
}
