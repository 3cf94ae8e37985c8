//! Every kernel that hardware may take, compiled by a production compiler of GPU shaders without the GPU.
//!
//! Mesa's RADV compiles for an AMD GPU that is not there (`RADV_FORCE_FAMILY`) and reports registers, spills and
//! scratch memory. A kernel that spills, or leaves room for one wave at a time, is slow on every GPU. The figures of
//! the compiler that wrote them are in `benches/results/isa.md`; `PAIRTUNE_WRITE_ISA=1` writes them again.

#![expect(unsafe_code, reason = "Vulkan is called as it is: wgpu does not pass on what its compiler says")]

use std::collections::BTreeMap;
use std::ffi::{CStr, c_char};
use std::fmt::Write as _;
use std::path::Path;

use ash::{khr, vk};
use pairtune::gpu::{Adapters, Kernel};
use wgpu::naga;

/// RDNA2, and the GCN of many laptops.
const FAMILIES: [&str; 2] = ["NAVI21", "VEGA10"];
/// RDNA3, the first with matrix units that a driver offers.
const WITH_MATRICES: &str = "NAVI31";
/// Names the RADV of a newer Mesa: then the kernels with cooperative matrices are looked at, which Debian 12's does not
/// know. `scripts/matrices.sh` has one.
const OTHER_DRIVER: &str = "PAIRTUNE_RADV";
/// RADV where Debian 12 has it.
const DRIVER: &str = "/usr/share/vulkan/icd.d/radeon_icd.x86_64.json";
/// Registers of a lane: two waves on each SIMD of GCN.
const MAX_VGPRS: u64 = 128;
const COLUMNS: [&str; 7] =
    ["VGPRs", "Spilled VGPRs", "Scratch size", "LDS size", "Subgroups per SIMD", "Instructions", "Inverse Throughput"];

#[test]
fn kernels_for_hardware_spill_nothing() {
    if std::env::var_os(OTHER_DRIVER).is_some() {
        let (table, problems) = look(&[WITH_MATRICES], |kernel| kernel.variant.needs.matrices == 16);
        println!("{table}");
        return assert_none(&problems);
    }
    let (table, problems) = look(&FAMILIES, |kernel| kernel.variant.needs.matrices == 0);
    if std::env::var_os("PAIRTUNE_WRITE_ISA").is_some() {
        let head = "# What RADV makes of the kernels\n\n\
                    Written by `PAIRTUNE_WRITE_ISA=1 cargo test --test isa`. Cycles are the compiler's guess and leave \
                    caches and bandwidth out: use them to compare mixes of instructions only.\n";
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/results/isa.md");
        std::fs::write(path, format!("{head}{table}")).expect("the folder is there");
    }
    assert_none(&problems);
}

fn assert_none(problems: &[String]) {
    assert!(problems.is_empty(), "{} kernels ask too much of a GPU:\n{}", problems.len(), problems.join("\n"));
}

/// Statistics of the compiler for the `wanted` kernels for hardware, as a table, and the problems that they show.
fn look(families: &[&str], wanted: fn(&Kernel) -> bool) -> (String, Vec<String>) {
    let all = pairtune::kernels::all().filter(|kernel| kernel.variant.made_for != Adapters::Software);
    let shaders: Vec<(String, Vec<u32>)> = all.filter(wanted).map(|kernel| (kernel.name(), spirv(&kernel))).collect();
    assert!(!shaders.is_empty(), "there are kernels to look at");
    let mut table = String::new();
    let mut problems = Vec::new();
    for family in families {
        let (compiler, statistics) = compile(family, &shaders);
        write!(table, "\n## {family}\n\n{compiler}\n\n| kernel | {} |\n", COLUMNS.join(" | ")).expect("a string grows");
        writeln!(table, "|---|{}", "---:|".repeat(COLUMNS.len())).expect("a string grows");
        for ((name, _), statistics) in shaders.iter().zip(&statistics) {
            let values = COLUMNS.map(|column| statistics.get(column).copied().unwrap_or(0).to_string());
            writeln!(table, "| {name} | {} |", values.join(" | ")).expect("a string grows");
            let of = |column: &str| statistics.get(column).copied().expect("the compiler says it");
            if of("Spilled VGPRs") > 0 || of("Scratch size") > 0 || of("VGPRs") > MAX_VGPRS {
                problems.push(format!(
                    "{family} {name}: {} registers, {} spilled, {} bytes of scratch",
                    of("VGPRs"),
                    of("Spilled VGPRs"),
                    of("Scratch size")
                ));
            }
        }
    }
    (table, problems)
}

/// The shader as Vulkan drivers get it.
fn spirv(kernel: &Kernel) -> Vec<u32> {
    let module = naga::front::wgsl::parse_str(&kernel.source(false)).expect("tests/shaders.rs parses it");
    let all = naga::valid::Capabilities::all();
    let mut validator = naga::valid::Validator::new(naga::valid::ValidationFlags::all(), all);
    validator
        .subgroup_stages(naga::valid::ShaderStages::COMPUTE)
        .subgroup_operations(naga::valid::SubgroupOperationSet::all());
    let info = validator.validate(&module).expect("tests/shaders.rs validates it");
    let options = naga::back::spv::Options {
        lang_version: (1, 3),
        zero_initialize_workgroup_memory: naga::back::spv::ZeroInitializeWorkgroupMemoryMode::None,
        ..Default::default()
    };
    naga::back::spv::write_vec(&module, &info, &options, None).expect("it can be written")
}

/// The compiler's name, and its statistics for each shader.
fn compile(family: &str, shaders: &[(String, Vec<u32>)]) -> (String, Vec<BTreeMap<String, u64>>) {
    let driver = std::env::var(OTHER_DRIVER).unwrap_or_else(|_| DRIVER.to_owned());
    let driver = driver.as_str();
    assert!(
        Path::new(driver).exists(),
        "there is no {driver}: the test needs RADV (Debian: apt-get install mesa-vulkan-drivers)"
    );
    for (name, value) in [
        ("RADV_FORCE_FAMILY", family),
        ("VK_DRIVER_FILES", driver),
        ("VK_ICD_FILENAMES", driver),
        ("VK_LOADER_LAYERS_DISABLE", "*"),
    ] {
        // SAFETY: this binary has one test, so no other thread reads the environment.
        unsafe { std::env::set_var(name, value) };
    }
    // SAFETY: handles are used in the order in which they are made, with structures that live as long as the calls.
    unsafe {
        let entry = ash::Entry::load().expect("libvulkan.so.1 is there");
        let application = vk::ApplicationInfo::default().api_version(vk::API_VERSION_1_3);
        let info = vk::InstanceCreateInfo::default().application_info(&application);
        let instance = entry.create_instance(&info, None).expect("an instance");
        let physical = *instance.enumerate_physical_devices().expect("a device").first().expect("a device");
        let properties = instance.get_physical_device_properties(physical);
        let compiler = text(&properties.device_name);
        let queues = [vk::DeviceQueueCreateInfo::default().queue_priorities(&[1.0])];
        let mut extensions = vec![khr::pipeline_executable_properties::NAME.as_ptr()];
        let mut matrices =
            vk::PhysicalDeviceCooperativeMatrixFeaturesKHR::default().cooperative_matrix(family == WITH_MATRICES);
        if family == WITH_MATRICES {
            extensions.push(khr::cooperative_matrix::NAME.as_ptr());
        }
        let mut executables =
            vk::PhysicalDevicePipelineExecutablePropertiesFeaturesKHR::default().pipeline_executable_info(true);
        let mut features11 = vk::PhysicalDeviceVulkan11Features::default().storage_buffer16_bit_access(true);
        let mut features12 = vk::PhysicalDeviceVulkan12Features::default()
            .shader_float16(true)
            .vulkan_memory_model(true)
            .vulkan_memory_model_device_scope(true);
        let features = vk::PhysicalDeviceFeatures::default().shader_int16(true);
        let info = vk::DeviceCreateInfo::default()
            .queue_create_infos(&queues)
            .enabled_extension_names(&extensions)
            .enabled_features(&features)
            .push_next(&mut executables)
            .push_next(&mut features11)
            .push_next(&mut features12);
        let info = if family == WITH_MATRICES { info.push_next(&mut matrices) } else { info };
        let device = instance.create_device(physical, &info, None).expect("a device");
        let says = khr::pipeline_executable_properties::Device::new(&instance, &device);
        let statistics = shaders.iter().map(|(name, code)| statistics(&device, &says, name, code)).collect();
        device.destroy_device(None);
        instance.destroy_instance(None);
        (compiler, statistics)
    }
}

/// # Safety
/// `device` and `says` belong together and are alive.
unsafe fn statistics(
    device: &ash::Device,
    says: &khr::pipeline_executable_properties::Device,
    name: &str,
    code: &[u32],
) -> BTreeMap<String, u64> {
    let bindings: Vec<vk::DescriptorSetLayoutBinding<'_>> = (0..12)
        .map(|binding| {
            let kind = match binding {
                0 => vk::DescriptorType::UNIFORM_BUFFER,
                _ => vk::DescriptorType::STORAGE_BUFFER,
            };
            vk::DescriptorSetLayoutBinding::default()
                .binding(binding)
                .descriptor_type(kind)
                .descriptor_count(1)
                .stage_flags(vk::ShaderStageFlags::COMPUTE)
        })
        .collect();
    // SAFETY: as the caller says; what is made here is destroyed here.
    unsafe {
        let info = vk::DescriptorSetLayoutCreateInfo::default().bindings(&bindings);
        let set = device.create_descriptor_set_layout(&info, None).expect("a layout");
        let sets = [set];
        let info = vk::PipelineLayoutCreateInfo::default().set_layouts(&sets);
        let layout = device.create_pipeline_layout(&info, None).expect("a layout");
        let module =
            device.create_shader_module(&vk::ShaderModuleCreateInfo::default().code(code), None).expect("a module");
        let stage = vk::PipelineShaderStageCreateInfo::default()
            .stage(vk::ShaderStageFlags::COMPUTE)
            .module(module)
            .name(c"main");
        let info = vk::ComputePipelineCreateInfo::default()
            .flags(vk::PipelineCreateFlags::CAPTURE_STATISTICS_KHR)
            .stage(stage)
            .layout(layout);
        let made = device.create_compute_pipelines(vk::PipelineCache::null(), &[info], None);
        let pipeline = made.unwrap_or_else(|e| panic!("{name}: {e:?}"))[0];
        let info = vk::PipelineExecutableInfoKHR::default().pipeline(pipeline);
        let found = says.get_pipeline_executable_statistics(&info).expect("statistics");
        let named = found.iter().map(|statistic| (text(&statistic.name), statistic.value.u64)).collect();
        device.destroy_pipeline(pipeline, None);
        device.destroy_shader_module(module, None);
        device.destroy_pipeline_layout(layout, None);
        device.destroy_descriptor_set_layout(set, None);
        named
    }
}

fn text(chars: &[c_char]) -> String {
    let bytes: Vec<u8> = chars.iter().map(|c| c.cast_unsigned()).collect();
    CStr::from_bytes_until_nul(&bytes).expect("it ends").to_string_lossy().into_owned()
}
