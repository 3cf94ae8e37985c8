#!/usr/bin/env python3
"""Writes the files of fuzz/corpus that are not text, and copies of fixtures.

All are small, and in the repository; this says how they were made. The others are written by hand."""

import gzip
import io
import json
import struct
import zipfile
from pathlib import Path

HERE = Path(__file__).parent
CORPUS = HERE / "corpus"
FIXTURES = HERE.parent / "tests/fixtures"


def put(target, name, content):
    folder = CORPUS / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)


# Files as they are

def copies():
    for file in sorted((FIXTURES / "parquet").glob("*.parquet")):
        put("parquet", file.name, file.read_bytes())
    for file in sorted(FIXTURES.glob("*/model/config.json")):
        put("config", file.parts[-3], json.dumps(json.loads(file.read_text())))


# Packed text

def packed():
    lines = (CORPUS / "jsonl/lines").read_bytes()
    put("packed", "one.gz", gzip.compress(lines, mtime=0))
    put("packed", "two.gz", gzip.compress(lines[:300], 0, mtime=0) + gzip.compress(lines[300:], mtime=0))
    # A frame to skip, blocks that are stored and run-length; compressed ones are pages of the fixtures.
    skip = b"\x50\x2a\x4d\x18" + struct.pack("<I", 3) + b"abc"
    front, text = b"\x28\xb5\x2f\xfd\x00\x58", b'{"chosen": "a", "rejected": "'
    blocks = struct.pack("<I", len(text) << 3)[:3] + text + struct.pack("<I", 40 << 3 | 2)[:3] + b"x"
    blocks += struct.pack("<I", 3 << 3 | 1)[:3] + b'"}\n'
    put("packed", "frames.zst", skip + front + blocks)
    table = (FIXTURES / "parquet/pairs_polars_zstd.parquet").read_bytes()
    for n, part in enumerate(table.split(b"\x28\xb5\x2f\xfd")[1:4]):
        put("packed", f"page_{n}.zst", b"\x28\xb5\x2f\xfd" + part[:1500])


# Models

def safetensors(tensors, metadata=None):
    header, data = ({"__metadata__": metadata} if metadata else {}), b""
    for name, dtype, shape, content in tensors:
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


def floats(*values):
    return struct.pack(f"<{len(values)}f", *values)


def safetensors_files():
    plain = [("a", "F32", [2], floats(1, 2)), ("b", "F16", [2, 2], b"\x00\x3c" * 4), ("c", "BF16", [1], b"\x80\x3f")]
    put("safetensors", "types", safetensors(plain + [("d", "I8", [3], b"abc"), ("e", "F32", [0, 4], b"")]))
    q = "base_model.model.model.layers.0.q."
    lora = [(q + "lora_A.weight", "F32", [2, 3], floats(*range(6))), (q + "lora_B.weight", "F32", [1, 2], floats(0, 1))]
    put("safetensors", "adapter", safetensors(lora, {"format": "pt"}))
    dora = [(q + "lora_magnitude_vector", "F32", [1], floats(1))]
    put("safetensors", "dora", safetensors(lora + dora))
    put("safetensors", "empty", safetensors([]))


# GGUF

KINDS = {bool: 7, int: 4, float: 6, str: 8}


def text(string):
    content = string if isinstance(string, bytes) else string.encode()
    return struct.pack("<Q", len(content)) + content


def scalar(value):
    form = {bool: "<?", int: "<I", float: "<f"}
    return text(value) if isinstance(value, str) else struct.pack(form[type(value)], value)


def gguf(metadata, tensors, version=3):
    """Metadata as Python values, or as (type, bytes); tensors as name, dimensions (row length first), type, bytes."""
    out = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(metadata))
    for key, value in metadata.items():
        if isinstance(value, tuple):
            kind, content = value
        elif isinstance(value, list):
            kind, inner = 9, KINDS[type(value[0])]
            content = struct.pack("<IQ", inner, len(value)) + b"".join(map(scalar, value))
        else:
            kind, content = KINDS[type(value)], scalar(value)
        out += text(key) + struct.pack("<I", kind) + content
    data = b""
    for name, dims, kind, content in tensors:
        out += text(name) + struct.pack("<I", len(dims)) + struct.pack(f"<{len(dims)}Q", *dims)
        out += struct.pack("<IQ", kind, len(data))
        data += content + b"\0" * (-len(content) % 32)
    return out + b"\0" * (-len(out) % 32) + data


def f32(name, *dims):
    n = 1
    for dim in dims:
        n *= dim
    return name, list(dims), 0, floats(*(i / 8 for i in range(n)))


def front(arch, **more):
    keys = {
        "context_length": 16, "embedding_length": 8, "block_count": 1, "feed_forward_length": 8,
        "attention.head_count": 2, "attention.head_count_kv": 1, "attention.layer_norm_rms_epsilon": 1e-6,
        "attention.layer_norm_epsilon": 1e-5, "rope.freq_base": 5e5, "rope.dimension_count": 4,
    } | more
    return {"general.architecture": arch} | {f"{arch}.{key}": value for key, value in keys.items()}


def models():
    block = [
        f32("token_embd.weight", 8, 5), f32("output_norm.weight", 8), f32("blk.0.attn_norm.weight", 8),
        f32("blk.0.attn_q.weight", 8, 8), f32("blk.0.attn_k.weight", 8, 4), f32("blk.0.attn_v.weight", 8, 4),
        f32("blk.0.attn_output.weight", 8, 8), f32("blk.0.ffn_norm.weight", 8), f32("blk.0.ffn_gate.weight", 8, 8),
        f32("blk.0.ffn_up.weight", 8, 8), f32("blk.0.ffn_down.weight", 8, 8),
    ]
    put("gguf", "llama", gguf(front("llama"), block))
    factors = [f32("rope_freqs.weight", 2), f32("blk.0.attn_q.bias", 8), f32("output.weight", 8, 5)]
    put("gguf", "llama_factors", gguf(front("llama"), block + factors, 2))
    norms = [f32("blk.0.attn_q_norm.weight", 4), f32("blk.0.attn_k_norm.weight", 4)]
    after = [f32("blk.0.post_attention_norm.weight", 8), f32("blk.0.post_ffw_norm.weight", 8)]
    put("gguf", "qwen3", gguf(front("qwen3", **{"attention.key_length": 4}), block + norms))
    window = {"attention.sliding_window": 4, "attention.key_length": 4, "attn_logit_softcapping": 50.0,
        "final_logit_softcapping": 30.0, "rope.scaling.type": "linear", "rope.scaling.factor": 8.0}
    for arch in ("gemma2", "gemma3"):
        put("gguf", arch, gguf(front(arch, **window), block + norms + after))
    lists = {"attention.head_count_kv": [0, 1], "block_count": 2, "shortconv.l_cache": 3}
    conv = [f32("blk.0.shortconv.conv.weight", 3, 8), f32("blk.0.shortconv.in_proj.weight", 8, 24),
        f32("blk.0.shortconv.out_proj.weight", 8, 8)]
    moved = [(name.replace("blk.0.attn", "blk.1.attn"), *rest) for name, *rest in block]
    put("gguf", "lfm2", gguf(front("lfm2", **lists), [tuple(tensor) for tensor in moved] + conv))
    fused = [f32("token_embd.weight", 8, 5), f32("position_embd.weight", 8, 16), f32("output_norm.weight", 8),
        f32("blk.0.attn_qkv.weight", 8, 24), f32("blk.0.attn_qkv.bias", 24), f32("blk.0.attn_output.weight", 8, 8),
        f32("blk.0.ffn_up.weight", 8, 8), f32("blk.0.ffn_down.weight", 8, 8)]
    for arch in ("gpt2", "gptneox"):
        put("gguf", arch, gguf(front(arch, use_parallel_residual=True), fused))
    long = [f32("rope_factors_long.weight", 2), f32("rope_factors_short.weight", 2), f32("blk.0.ffn_up.weight", 8, 16)]
    yarn = {"rope.scaling.original_context_length": 8, "rope.scaling.type": "yarn", "rope.scaling.factor": 2.0}
    put("gguf", "phi3", gguf(front("phi3", **yarn), fused[:1] + [fused[3]] + long))
    # Bytes of a block of 32, or of 256.
    types = {2: 18, 3: 20, 6: 22, 7: 24, 8: 34, 12: 144, 13: 176, 14: 210, 1: 64, 30: 64}
    columns = {kind: 256 if 12 <= kind <= 14 else 32 for kind in types}
    blocks = [(f"t{kind}", [columns[kind], 1], kind, bytes(range(size))) for kind, size in types.items()]
    every = {"general.alignment": 32, "a": (0, b"\1"), "b": (1, b"\xff"), "c": (2, b"\1\0"), "d": (3, b"\1\0"),
        "e": (5, b"\1\0\0\0"), "f": (10, b"\1" * 8), "g": (11, b"\1" * 8), "h": (12, struct.pack("<d", 1.5)),
        "i": [1, 2], "j": [1.5], "k": [True, False], "l": ["x", ""], "m": (9, struct.pack("<IQ", 12, 1) + b"\0" * 8)}
    put("gguf", "types", gguf(every, blocks))


def gguf_tokenizers():
    letters = [chr(code) for code in range(0x21, 0x7f)] + ["\u0120", "\u010a"]
    tokens = ["<s>", "</s>", "<|im_end|>"] + letters + ["he", "ll", "hell", "hello", "\u0120\u0120", "12"]
    types = [3, 3, 4] + [1] * (len(tokens) - 3)
    base = {"general.architecture": "llama"}

    def keys(**values):
        return base | {f"tokenizer.ggml.{key}": value for key, value in values.items()}

    merges = ["h e", "l l", "he ll", "hell o", "\u0120 \u0120", "1 2"]
    for pre in ("gpt-2", "llama-bpe", "qwen2"):
        put("gguf_tokenizer", pre, gguf(keys(model="gpt2", pre=pre, tokens=tokens, token_type=types, merges=merges,
            bos_token_id=0, eos_token_id=1, add_bos_token=True) | {"tokenizer.chat_template": "{{ messages }}"}, []))
    pieces = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)]
    words = ["\u2581", "H", "e", "l", "o", "\u2581H", "el", "\u2581Hel", "lo", "\u2581Hello"]
    kinds = [2, 3, 3] + [6] * 256 + [1] * len(words)
    scores = [0.0] * 259 + [-float(n) for n in range(len(words))]
    sentence = keys(model="llama", pre="default", tokens=pieces + words, token_type=kinds, scores=scores,
        add_space_prefix=True)
    put("gguf_tokenizer", "sentencepiece", gguf(sentence, []))
    few = keys(model="llama", tokens=pieces[:3] + ["a"], token_type=[2, 3, 3, 1], scores=[0.0, 0.0, 0.0, -1.0])
    put("gguf_tokenizer", "sentencepiece_without_bytes", gguf(few, []))


# Tokenizers

def tokenizers():
    for case in ("gemma3_robust", "gpt2_unscaled", "gpt_neox_sequential", "llama3_tied_ipo", "llama_bf16_rslora"):
        tokenizer = json.loads((FIXTURES / case / "model/tokenizer.json").read_text())
        model = tokenizer["model"]
        # The first merges, and the tokens that they and single letters make.
        if "merges" in model:
            model["merges"] = model["merges"][:12]
            merges = [merge if isinstance(merge, list) else merge.split(" ") for merge in model["merges"]]
            made = {"".join(merge) for merge in merges} | {token for merge in merges for token in merge}
            keep = [token for token in model["vocab"] if len(token) == 1 and token.isalnum() and token.isascii()]
            keep += [token for token in model["vocab"] if token in made or token in ("<0x0A>", "<unk>")]
            model["vocab"] = {token: n for n, token in enumerate(dict.fromkeys(keep))}
        put("tokenizer", case, json.dumps(tokenizer, ensure_ascii=False))
    added = {"id": 0, "content": "<unk>", "single_word": True, "lstrip": True, "rstrip": True, "normalized": True,
        "special": True}
    vocab = {"<unk>": 0, "he": 1, "##llo": 2, "</s>": 3, "\u2581Hello": 4}
    put("tokenizer", "wordpiece", json.dumps({
        "version": "1.0",
        "truncation": {"direction": "Right", "max_length": 8, "strategy": "LongestFirst", "stride": 1},
        "padding": {"strategy": {"Fixed": 4}, "direction": "Left", "pad_to_multiple_of": 2, "pad_id": 0,
            "pad_type_id": 0, "pad_token": "<unk>"},
        "added_tokens": [added],
        "normalizer": {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True,
            "strip_accents": None, "lowercase": True},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "BertProcessing", "sep": ["</s>", 3], "cls": ["<unk>", 0]},
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {"type": "WordPiece", "unk_token": "<unk>", "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100, "vocab": vocab},
    }))
    put("tokenizer", "unigram", json.dumps({
        "version": "1.0", "added_tokens": [],
        "normalizer": {"type": "Sequence", "normalizers": [{"type": "NFKC"}, {"type": "Lowercase"},
            {"type": "Strip", "strip_left": True, "strip_right": True},
            {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}]},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always", "split": True},
            {"type": "Split", "pattern": {"Regex": "\\p{N}{1,3}|\\s+(?!\\S)"}, "behavior": "Isolated", "invert": False},
            {"type": "Digits", "individual_digits": True}, {"type": "Punctuation", "behavior": "Contiguous"},
            {"type": "CharDelimiterSplit", "delimiter": "-"}, {"type": "UnicodeScripts"}]},
        "post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "</s>", "type_id": 0}},
            {"Sequence": {"id": "A", "type_id": 0}}], "pair": [{"Sequence": {"id": "A", "type_id": 0}},
            {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {"</s>": {"id": "</s>", "ids": [1], "tokens": ["</s>"]}}},
        "decoder": {"type": "Sequence", "decoders": [{"type": "Metaspace", "replacement": "\u2581",
            "prepend_scheme": "always", "split": True}, {"type": "ByteFallback"}, {"type": "Fuse"},
            {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
        "model": {"type": "Unigram", "unk_id": 0, "byte_fallback": True,
            "vocab": [["<unk>", 0.0], ["</s>", 0.0], ["\u2581", -2.0], ["h", -3.0], ["hello", -1.5], ["<0x0A>", -9.0]]},
    }))
    put("tokenizer", "wordlevel", json.dumps({
        "version": "1.0", "added_tokens": [], "normalizer": None, "pre_tokenizer": {"type": "WhitespaceSplit"},
        "post_processor": {"type": "RobertaProcessing", "sep": ["</s>", 3], "cls": ["<unk>", 0], "trim_offsets": True,
            "add_prefix_space": True}, "decoder": None,
        "model": {"type": "WordLevel", "vocab": vocab, "unk_token": "<unk>"},
    }))


# Archives

def archives():
    def zipped(entries, **options):
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as archive:
            for name, content in entries:
                archive.writestr(zipfile.ZipInfo(name), content, **options)
        return out.getvalue()

    files = [("run.json", '{"name": "a"}'), ("adapter/adapter_config.json", "{}"), ("empty", "")]
    put("archive", "stored", zipped(files))
    put("archive", "folders", zipped([("a/", "")] + files))
    put("archive", "deflated", zipped(files, compress_type=zipfile.ZIP_DEFLATED))
    put("archive", "behind_others", b"something before" + zipped(files[:1]))
    put("archive", "bad_name", zipped([("../x", "y")]))
    put("archive", "nothing", zipped([]))


if __name__ == "__main__":
    for make in (copies, packed, safetensors_files, models, gguf_tokenizers, tokenizers, archives):
        make()
    files = [file for file in CORPUS.rglob("*") if file.is_file()]
    print(f"{len(files)} files, {sum(file.stat().st_size for file in files)} bytes")
