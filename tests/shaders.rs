//! Every kernel's WGSL against its Rust side, by reflection and without a GPU: bindings, `Params`, WebGPU's limits,
//! the header comment, and that no file in `shaders/` is left over.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use pairtune::gpu::{Adapters, Bind, Kernel, Needs, Op, Variant};
use wgpu::naga::valid::{Capabilities, ShaderStages, SubgroupOperationSet, ValidationFlags, Validator};
use wgpu::naga::{AddressSpace, GlobalVariable, Module, ShaderStage, StorageAccess, TypeInner, front};

// Limits that WebGPU guarantees everywhere.
const MAX_STORAGE_BUFFERS: usize = 8;
const MAX_INVOCATIONS: u32 = 256;
const MAX_WORKGROUP_SIZE: [u32; 3] = [256, 256, 64];
const MAX_WORKGROUP_BYTES: u32 = 16_384;
const UNPACK_F16: Capabilities = Capabilities::SHADER_FLOAT16_IN_FLOAT32;

#[test]
fn every_kernel_agrees_with_its_shader() {
    assert!(pairtune::kernels::all().count() > 0, "there are kernels");
    assert_none(pairtune::kernels::all().flat_map(|kernel| kernel_problems(&kernel)).collect());
}

#[test]
fn kernel_names_are_unique() {
    let mut seen = BTreeSet::new();
    let twice = pairtune::kernels::all().filter(|kernel| !seen.insert(kernel.name()));
    assert_none(twice.map(|kernel| format!("{}: two kernels have this name", kernel.name())).collect());
}

#[test]
fn shaders_are_named_after_operation_variant_and_format() {
    let (files, libs) = (wgsl_files("shaders"), wgsl_files("shaders/lib"));
    let mut problems = Vec::new();
    for kernel in pairtune::kernels::all() {
        let (stem, used_libs) = parts(&kernel, &files, &libs).expect("another test finds what is wrong");
        let name = kernel.name();
        // `<operation>`, or `<operation>_<variant>`, of which what follows an underscore is a matter of its libs.
        let varied = stem.strip_prefix(kernel.op.name).map(|rest| rest.trim_start_matches('_'));
        let variant = kernel.variant.name;
        let family = |of: &str| variant == of || variant.strip_prefix(of).is_some_and(|rest| rest.starts_with('_'));
        if !varied.is_some_and(|varied| varied.is_empty() || family(varied)) {
            problems.push(format!("{name}: is made of shaders/{stem}.wgsl"));
        }
        let format = kernel.format.filter(|format| format.dtype.is_some()).map(|format| format.name);
        let weights: Vec<&str> = used_libs.iter().filter_map(|lib| lib.strip_prefix("weight_")).collect();
        if weights.iter().copied().ne(format) {
            problems.push(format!("{name}: reads {weights:?}, but says {format:?}"));
        }
    }
    assert_none(problems);
}

#[test]
fn every_adapter_has_a_variant_that_needs_nothing() {
    let lacks = |op: &&&Op, kind: Adapters| {
        let suits =
            |variant: &Variant| variant.needs == Needs::NOTHING && [Adapters::All, kind].contains(&variant.made_for);
        !op.variants.iter().any(suits)
    };
    let ops = pairtune::kernels::ops().iter();
    let needy = ops.filter(|op| lacks(op, Adapters::Software) || lacks(op, Adapters::Hardware));
    assert_none(needy.map(|op| format!("{}: a kind of adapter has no variant that needs nothing", op.name)).collect());
}

#[test]
fn every_file_belongs_to_a_kernel() {
    let (files, libs) = (wgsl_files("shaders"), wgsl_files("shaders/lib"));
    let mut unused: BTreeSet<String> = files.keys().map(|stem| format!("shaders/{stem}.wgsl")).collect();
    unused.extend(libs.keys().map(|stem| format!("shaders/lib/{stem}.wgsl")));
    let mut problems = Vec::new();
    for kernel in pairtune::kernels::all() {
        match parts(&kernel, &files, &libs) {
            Ok((stem, used_libs)) => {
                unused.remove(&format!("shaders/{stem}.wgsl"));
                unused.retain(|path| !used_libs.iter().any(|lib| *path == format!("shaders/lib/{lib}.wgsl")));
            }
            Err(problem) => problems.push(problem),
        }
    }
    problems.extend(unused.iter().map(|path| format!("{path}: no kernel in kernels::all() uses it")));
    assert_none(problems);
}

#[test]
fn every_file_has_a_header() {
    let (files, libs) = (wgsl_files("shaders"), wgsl_files("shaders/lib"));
    let mut problems = Vec::new();
    for kernel in pairtune::kernels::all() {
        if let Ok((stem, used_libs)) = parts(&kernel, &files, &libs) {
            let reads = kernel.op.binds.contains(&Bind::Read);
            problems.extend(header_problems(&stem, &files[&stem], kernel.op.name, reads, &used_libs));
        }
    }
    for (stem, text) in &libs {
        if !text.starts_with(&format!("// lib/{stem}.wgsl:")) {
            problems.push(format!("shaders/lib/{stem}.wgsl:1: does not begin with `// lib/{stem}.wgsl: <its use>`"));
        }
    }
    problems.sort();
    problems.dedup();
    assert_none(problems);
}

/// Problems of a kernel, one line each.
fn kernel_problems(kernel: &Kernel) -> Vec<String> {
    let mut problems = text_problems(&kernel.wgsl());
    let source = kernel.source(false);
    match front::wgsl::parse_str(&source) {
        Err(e) => problems.push(format!("does not parse: {}", e.emit_to_string(&source))),
        Ok(module) => {
            if let Err(e) = validator(kernel).subgroup_stages(ShaderStages::COMPUTE).validate(&module) {
                problems.push(format!("is not valid: {}", e.emit_to_string(&source)));
            } else {
                problems.extend(module_problems(kernel, &module));
            }
        }
    }
    problems.into_iter().map(|problem| format!("{}: {problem}", kernel.name())).collect()
}

/// Whatever a device may lack is refused but in the variants that say so; what stays is `unpack2x16float`, which every
/// WebGPU device has.
fn validator(kernel: &Kernel) -> Validator {
    let Needs { subgroups, f16, matrices } = kernel.variant.needs;
    let needed = [
        (subgroups, Capabilities::SUBGROUP),
        (f16, Capabilities::SHADER_FLOAT16),
        (matrices > 0, Capabilities::COOPERATIVE_MATRIX),
    ];
    let needed: Capabilities = needed.into_iter().filter(|needed| needed.0).map(|needed| needed.1).collect();
    let mut validator = Validator::new(ValidationFlags::all(), UNPACK_F16 | needed);
    validator.subgroup_operations(SubgroupOperationSet::all());
    validator
}

/// Finds text that Tint refuses and naga does not, or that would need a feature.
fn text_problems(wgsl: &str) -> Vec<String> {
    let mut problems = Vec::new();
    for (i, line) in wgsl.lines().enumerate() {
        let code = line.split("//").next().unwrap_or_default();
        if code.contains("3.4028235e38") || code.contains("3.4028235e+38") {
            problems.push(format!("line {}: Tint rejects f32's largest value as a literal; use -1e30 to mask", i + 1));
        }
        if ["enable", "requires"].iter().any(|word| code.trim_start().starts_with(&format!("{word} "))) {
            problems.push(format!("line {}: `{}` asks for what not every device has", i + 1, code.trim()));
        }
    }
    problems
}

fn module_problems(kernel: &Kernel, module: &Module) -> Vec<String> {
    let mut problems = Vec::new();
    match &module.entry_points[..] {
        [entry] if entry.name == "main" && entry.stage == ShaderStage::Compute => {
            let size = entry.workgroup_size;
            let invocations: u32 = size.iter().product();
            if invocations > MAX_INVOCATIONS || size.iter().zip(MAX_WORKGROUP_SIZE).any(|(&n, max)| n > max) {
                problems.push(format!("a workgroup of {size:?} is beyond {MAX_INVOCATIONS} or {MAX_WORKGROUP_SIZE:?}"));
            }
        }
        entries => {
            let names: Vec<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
            problems.push(format!("needs one entry point, a compute shader named main, and has {names:?}"));
        }
    }
    if !module.overrides.is_empty() {
        problems.push("has an `override`, which `Op` cannot set: use `const` or Params".to_owned());
    }
    problems.extend(params_problems(kernel, module));
    problems.extend(storage_problems(kernel, module));
    let workgroup = module.global_variables.iter().filter(|(_, v)| v.space == AddressSpace::WorkGroup);
    let bytes: u32 = workgroup.map(|(_, v)| size_of_variable(module, v).next_multiple_of(16)).sum();
    if bytes > MAX_WORKGROUP_BYTES {
        problems.push(format!("{bytes} bytes of workgroup memory are more than {MAX_WORKGROUP_BYTES}"));
    }
    problems
}

/// Binding 0: `var<uniform> params: Params`, scalars and vec4s without gaps, as large as the Rust struct.
fn params_problems(kernel: &Kernel, module: &Module) -> Vec<String> {
    let uniforms: Vec<&GlobalVariable> =
        module.global_variables.iter().map(|(_, v)| v).filter(|v| v.space == AddressSpace::Uniform).collect();
    let [params] = uniforms[..] else {
        return vec![format!("needs one var<uniform>, the Params, and has {}", uniforms.len())];
    };
    let mut problems = Vec::new();
    if group_and_binding(params) != Some((0, 0)) {
        problems.push("the uniform is not at @group(0) @binding(0)".to_owned());
    }
    let ty = &module.types[params.ty];
    let TypeInner::Struct { members, span } = &ty.inner else {
        problems.push("the uniform is not a struct".to_owned());
        return problems;
    };
    if ty.name.as_deref() != Some("Params") {
        problems.push(format!("the uniform's struct is named {:?}, not Params", ty.name));
    }
    if *span as usize != kernel.op.params_bytes {
        problems.push(format!("Params has {span} bytes here and {} in Rust", kernel.op.params_bytes));
    }
    let mut end = 0;
    for member in members {
        let bytes = module.types[member.ty].inner.size(module.to_ctx());
        if ![4, 16].contains(&bytes) || member.offset != end {
            let name = member.name.as_deref().unwrap_or("?");
            problems.push(format!("Params.{name} has {bytes} bytes at {}, not 4 or 16 at {end}", member.offset));
        }
        end = member.offset + bytes;
    }
    problems
}

/// Bindings 1, 2, ...: the storage buffers of `Op::binds`, in order.
fn storage_problems(kernel: &Kernel, module: &Module) -> Vec<String> {
    let mut problems = Vec::new();
    let mut buffers = BTreeMap::new();
    for (_, variable) in module.global_variables.iter() {
        let name = variable.name.as_deref().unwrap_or("?");
        match variable.space {
            AddressSpace::Storage { access } => {
                if let Some(before) = buffers.insert(group_and_binding(variable), (name, access)) {
                    problems.push(format!("{name} has the binding of {}", before.0));
                }
            }
            AddressSpace::Handle => problems.push(format!("{name} is a texture or sampler; kernels use buffers only")),
            _ => {}
        }
    }
    if buffers.len() > MAX_STORAGE_BUFFERS {
        problems.push(format!("{} storage buffers are more than {MAX_STORAGE_BUFFERS}", buffers.len()));
    }
    if buffers.len() != kernel.op.binds.len() {
        problems.push(format!("{} storage buffers here, {} in Op::binds", buffers.len(), kernel.op.binds.len()));
    }
    for (i, bind) in kernel.op.binds.iter().enumerate() {
        let (binding, wanted) = match bind {
            Bind::Read => (i as u32 + 1, StorageAccess::LOAD),
            Bind::Write => (i as u32 + 1, StorageAccess::LOAD | StorageAccess::STORE),
        };
        match buffers.get(&Some((0, binding))) {
            None => problems.push(format!("no storage buffer at @group(0) @binding({binding})")),
            Some((name, access)) if *access != wanted => {
                problems.push(format!("{name} at binding {binding} is {access:?}, but Op::binds has {bind:?}"));
            }
            Some(_) => {}
        }
    }
    problems
}

fn group_and_binding(variable: &GlobalVariable) -> Option<(u32, u32)> {
    variable.binding.map(|at| (at.group, at.binding))
}

fn size_of_variable(module: &Module, variable: &GlobalVariable) -> u32 {
    module.types[variable.ty].inner.size(module.to_ctx())
}

/// Grid, reads, writes and twin, in this order, in the comment that a shader begins with; and the libs it is made with.
fn header_problems(stem: &str, text: &str, op: &str, reads: bool, libs: &[String]) -> Vec<String> {
    let header: Vec<&str> = text.lines().take_while(|line| line.starts_with("//")).collect();
    let place = |start: &str| header.iter().position(|line| line.starts_with(start));
    let twin = format!("// Twin    reference::{op}");
    let mut problems = Vec::new();
    let mut needed = vec!["// Grid    ", "// Reads   ", "// Writes  ", &twin];
    if !reads {
        needed.remove(1);
    }
    let places: Vec<_> = needed.iter().map(|start| place(start)).collect();
    for (start, place) in needed.iter().zip(&places) {
        if place.is_none() {
            problems.push(format!("shaders/{stem}.wgsl:1: the header has no line `{}`", start.trim_end()));
        }
    }
    if !places.is_sorted() && problems.is_empty() {
        problems.push(format!("shaders/{stem}.wgsl:1: the header's order is grid, reads, writes, twin"));
    }
    if !header.iter().any(|line| *line == twin) && problems.is_empty() {
        problems.push(format!("shaders/{stem}.wgsl:1: the twin's line is not exactly `{twin}`"));
    }
    if header.first().is_none_or(|line| line.len() < 10 || needed.iter().any(|start| line.starts_with(start))) {
        problems.push(format!("shaders/{stem}.wgsl:1: the first line does not say what is computed"));
    }
    let with = place("// With    ").map_or_else(String::new, |at| {
        let more = header[at + 1..].iter().take_while(|line| line.starts_with("//         "));
        std::iter::once(&header[at]).chain(more).copied().collect()
    });
    for lib in libs {
        // A family is written `lib/weight_{f32,f16,bf16}.wgsl`, all of it `lib/weight_*.wgsl`.
        let (family, variant) = lib.split_once('_').unwrap_or((lib, ""));
        let members = with.split_once(&format!("lib/{family}_{{")).and_then(|(_, rest)| rest.split_once('}'));
        let all = !variant.is_empty() && with.contains(&format!("lib/{family}_*.wgsl"));
        let listed = all || members.is_some_and(|(members, _)| members.split(',').any(|member| member == variant));
        if !listed && !with.contains(&format!("lib/{lib}.wgsl")) {
            problems.push(format!("shaders/{stem}.wgsl:1: the header has no `// With    lib/{lib}.wgsl`"));
        }
    }
    problems
}

/// The stem of the file with `main` that a kernel is made of, and those of the libs before it.
fn parts(
    kernel: &Kernel,
    files: &BTreeMap<String, String>,
    libs: &BTreeMap<String, String>,
) -> Result<(String, Vec<String>), String> {
    let stem = |of: &BTreeMap<String, String>, text: &str| of.iter().find(|(_, t)| *t == text).map(|(s, _)| s.clone());
    let (name, texts) = (kernel.name(), kernel.format.map(|format| format.part));
    let Some((main, before)) = kernel.variant.parts.split_last() else {
        return Err(format!("{name}: has no text"));
    };
    let Some(file) = stem(files, main) else {
        return Err(format!("{name}: its text does not end with a file of shaders/"));
    };
    let used = texts.iter().chain(before).map(|text| stem(libs, text));
    let used: Option<Vec<String>> = used.collect();
    used.map(|used| (file, used)).ok_or_else(|| format!("{name}: there is text that is no file of shaders/lib/"))
}

/// Texts of the `.wgsl` files directly in a folder, by stem; none of them is empty.
fn wgsl_files(folder: &str) -> BTreeMap<String, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let entries = std::fs::read_dir(&folder).expect("the shaders are there");
    let paths = entries.map(|entry| entry.expect("the folder can be read").path());
    let stem = |path: &Path| path.file_stem().expect("a file has a name").to_string_lossy().into_owned();
    let files: BTreeMap<String, String> = paths
        .filter(|path| path.extension().is_some_and(|extension| extension == "wgsl"))
        .map(|path| (stem(&path), std::fs::read_to_string(&path).expect("a shader is UTF-8")))
        .collect();
    assert!(!files.is_empty() && files.values().all(|text| !text.is_empty()), "{}: an empty file", folder.display());
    files
}

#[track_caller]
fn assert_none(problems: Vec<String>) {
    assert!(problems.is_empty(), "{} found:\n{}", problems.len(), problems.join("\n"));
}

/// A shader with nothing wrong, to be spoilt by the tests below.
const GOOD: &str = "\
struct Params { n: u32, scale: f32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
var<workgroup> tile: array<f32, 64>;
@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) lane: u32) {
    tile[lane] = x[lane];
    y[lane] = params.scale * tile[lane];
}
";

/// A kernel of one operation with one variant.
fn kernel(params_bytes: usize, binds: &'static [Bind], parts: &'static [&'static str]) -> Kernel {
    let variants = vec![Variant::only(parts, |shape| shape)].leak();
    let op: &'static Op = Box::leak(Box::new(Op { name: "made", params_bytes, binds, formats: &[], variants }));
    op.kernels().next().expect("it has a variant")
}

/// Makes each replacement in `GOOD` and expects one problem that contains `problem`.
#[track_caller]
fn assert_spoilt(replacements: &[(&str, &str)], problem: &str) {
    let mut wgsl = GOOD.to_owned();
    for (from, to) in replacements {
        assert!(wgsl.contains(from), "{from} is in the good shader");
        wgsl = wgsl.replace(from, to);
    }
    let parts: &'static [&'static str] = vec![&*wgsl.leak()].leak();
    let kernel = kernel(8, &[Bind::Read, Bind::Write], parts);
    let found = kernel_problems(&kernel);
    assert!(found.iter().any(|line| line.contains(problem)), "expected {problem:?}, found {found:?}");
}

#[test]
fn a_good_kernel_passes() {
    assert_none(kernel_problems(&kernel(8, &[Bind::Read, Bind::Write], &[GOOD])));
}

#[test]
fn a_wrong_binding_is_found() {
    assert_spoilt(&[("@binding(2)", "@binding(3)")], "no storage buffer at @group(0) @binding(2)");
    assert_spoilt(&[("@group(0) @binding(1)", "@group(1) @binding(1)")], "no storage buffer at @group(0) @binding(1)");
    assert_spoilt(&[("storage, read>", "storage, read_write>")], "x at binding 1");
    assert_spoilt(&[("@binding(0)", "@binding(9)")], "not at @group(0) @binding(0)");
    let third = "@group(0) @binding(3) var<storage, read> z: array<f32>;\n@compute";
    assert_spoilt(&[("@compute", third)], "3 storage buffers here, 2 in Op::binds");
    let many: String =
        (3..=9).map(|i| format!("@group(0) @binding({i}) var<storage, read> z{i}: array<f32>;\n")).collect();
    assert_spoilt(&[("@compute", &format!("{many}@compute"))], "9 storage buffers are more than 8");
}

#[test]
fn wrong_params_are_found() {
    assert_spoilt(&[("n: u32, ", "")], "Params has 4 bytes here and 8 in Rust");
    assert_spoilt(&[("n: u32, scale", "n: vec2<u32>, scale")], "Params.n has 8 bytes");
    assert_spoilt(&[("scale: f32 }", "@align(16) scale: f32 }")], "Params.scale has 4 bytes at 16, not 4 or 16 at 4");
    assert_spoilt(&[("Params", "Scalars")], "not Params");
    let private = "var<private> params: Params;";
    assert_spoilt(&[("@group(0) @binding(0) var<uniform> params: Params;", private)], "needs one var<uniform>");
}

#[test]
fn limits_are_checked() {
    assert_spoilt(&[("@workgroup_size(64)", "@workgroup_size(64, 8)")], "a workgroup of [64, 8, 1]");
    assert_spoilt(&[("@workgroup_size(64)", "@workgroup_size(1, 1, 128)")], "a workgroup of [1, 1, 128]");
    assert_spoilt(&[("array<f32, 64>", "array<f32, 4100>")], "16400 bytes of workgroup memory");
    assert_spoilt(&[("fn main", "fn start")], "named main");
    assert_spoilt(&[("@compute", "override wide = true;\n@compute")], "has an `override`");
    assert_spoilt(&[("struct Params", "enable f16;\nstruct Params")], "asks for what not every device has");
    assert_spoilt(&[("params.scale", "3.4028235e38")], "Tint rejects");
    assert_spoilt(&[("tile[lane] = x[lane]", "tile[lane] = x")], "is not valid");
    assert_spoilt(&[("tile[lane] = x[lane]", "tile[lane] =")], "does not parse");
}

#[test]
fn a_wrong_header_is_found() {
    let good = "// Adds two vectors.\n//\n// Grid    One.\n// Reads   x\n// Writes  y =\n// Twin    reference::add\n\
                // With    lib/weight_{f32,f16}.wgsl\nconst A = 1;\n";
    let libs = ["weight_f16".to_owned()];
    assert_none(header_problems("add", good, "add", true, &libs));
    for line in ["// Adds two vectors.", "// Grid", "// Reads", "// Writes", "// Twin", "// With"] {
        let from = good.find(line).expect("the line is there");
        let to = from + good[from..].find('\n').expect("the line ends") + 1;
        let without = format!("{}{}", &good[..from], &good[to..]);
        assert_eq!(header_problems("add", &without, "add", true, &libs).len(), 1, "without {line}");
    }
    assert_none(header_problems("add", &good.replace("// Reads   x\n", ""), "add", false, &libs));
    assert_eq!(header_problems("sub", good, "sub", true, &libs).len(), 1, "another twin");
    assert_eq!(header_problems("ad", good, "ad", true, &libs).len(), 1, "a twin that only begins alike");
}

#[test]
fn text_that_is_no_file_is_found() {
    let files = BTreeMap::from([("add".to_owned(), "fn main() {}\n".to_owned())]);
    let libs = BTreeMap::from([("reduce".to_owned(), "const WG = 64u;\n".to_owned())]);
    let of = |texts| parts(&kernel(0, &[], texts), &files, &libs);
    let good = &["const WG = 64u;\n", "fn main() {}\n"];
    assert_eq!(of(good), Ok(("add".to_owned(), vec!["reduce".to_owned()])), "a good one");
    assert!(of(&["fn other() {}\n"]).is_err(), "another text");
    assert!(of(&[]).is_err(), "no text");
    assert!(of(&["const X = 1;\n", "fn main() {}\n"]).is_err(), "text made in Rust");
}
