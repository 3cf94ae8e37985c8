//! TRL's templates for training: they write what the families' own do, and mark what the assistant writes.
//!
//! The templates are those of TRL 1.16 (`trl/chat_templates`), Apache License 2.0; see
//! `assets/chat_templates/README.md`.

use sha2::{Digest as _, Sha256};

/// SHA-256 of a template as its model has it, and the one that TRL trains with instead.
const TEMPLATES: [(&str, &str); 11] = [
    (
        "56a1447ad31926fdc21fb07e56e5642bd9c850c4f52d8c8af7bbe5f079a84f5f",
        include_str!("../../../assets/chat_templates/deepseek_r1_distill.jinja"),
    ),
    (
        "ecd6ae513fe103f0eb62e8ab5bfa8d0fe45c1074fa398b089c93a7e70c15cfd6",
        include_str!("../../../assets/chat_templates/gemma.jinja"),
    ),
    (
        "7de1c58e208eda46e9c7f86397df37ec49883aeece39fb961e0a6b24088dd3c4",
        include_str!("../../../assets/chat_templates/gemma3.jinja"),
    ),
    (
        "cef187400d62a59507aab3a642ea9a8d2a2ef263562bc3430560e116945273cf",
        include_str!("../../../assets/chat_templates/lfm2.jinja"),
    ),
    (
        "5504d163d879bfb6fd4135b7fa3d56768b2e69dd718338f7b146750289f46ab0",
        include_str!("../../../assets/chat_templates/lfm2_v2.jinja"),
    ),
    (
        "ba03a121d097859c7b5b9cd03af99aafe95275210d2876f642ad9929a150f122",
        include_str!("../../../assets/chat_templates/llama3.jinja"),
    ),
    (
        "dcaee66df77bfbb789ec541fe713218da30225a526f1db97138fc39ee6dc56aa",
        include_str!("../../../assets/chat_templates/phi3.jinja"),
    ),
    (
        "78d976a442bcde2f0be15aafbb8e3050e1104f86732266f68403251b89982a90",
        include_str!("../../../assets/chat_templates/phi3_5.jinja"),
    ),
    (
        "cd8e9439f0570856fd70470bf8889ebd8b5d1107207f67a5efb46e342330527f",
        include_str!("../../../assets/chat_templates/qwen2_5.jinja"),
    ),
    (
        "a55ee1b1660128b7098723e0abcd92caa0788061051c62d51cbe87d9cf1974d8",
        include_str!("../../../assets/chat_templates/qwen3.jinja"),
    ),
    (
        "64f85b198065d0fba2a81f37e10ed68161ce2c19a754c7100e67e0ca2ee9c326",
        include_str!("../../../assets/chat_templates/qwen3_instruct_2507.jinja"),
    ),
];

/// The template for training by which TRL replaces this one; none if it is none that TRL knows to the letter.
pub(in crate::data) fn training_template(source: &str) -> Option<&'static str> {
    let hash: String = Sha256::digest(source).iter().map(|byte| format!("{byte:02x}")).collect();
    TEMPLATES.iter().find(|(own, _)| *own == hash).map(|(_, text)| *text)
}
