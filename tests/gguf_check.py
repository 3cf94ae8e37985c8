"""GGUF against gguf-py and transformers, by hand: the numbers that the tests compare with, and whole files.

    python tests/gguf_check.py numbers           what tests/gguf/blocks.rs has as constants
    python tests/gguf_check.py file MODEL.gguf   a whole file: every tensor, the config, the tokens of many texts
    python tests/gguf_check.py models            a tiny model of every architecture, converted as llama.cpp does it
    python tests/gguf_check.py tokenizers MODEL.gguf   its byte-level vocabulary with every way to cut text
    python tests/gguf_check.py rewrite MODEL.gguf    written again in every type, against gguf-py's quantize
    python tests/gguf_check.py sentencepiece FOLDER    SentencePiece vocabularies, trained on the texts in the folder

All but the first run `target/debug/examples/gguf_dump`, and needs torch and transformers.
"""

import json
import os
import subprocess
import sys
import tempfile

import numpy as np
from gguf import GGMLQuantizationType as T
from gguf import quants

MASK = (1 << 64) - 1
TYPES = [T.F32, T.F16, T.BF16, T.Q4_0, T.Q4_1, T.Q5_0, T.Q5_1, T.Q8_0, T.Q4_K, T.Q5_K, T.Q6_K]
BYTES = {T.F32: 4, T.F16: 2, T.BF16: 2, T.Q4_0: 18, T.Q4_1: 20, T.Q5_0: 22, T.Q5_1: 24, T.Q8_0: 34, T.Q4_K: 144,
         T.Q5_K: 176, T.Q6_K: 210}
HALVES = {T.Q6_K: [208], T.Q4_1: [0, 2], T.Q5_1: [0, 2], T.Q4_K: [0, 2], T.Q5_K: [0, 2], T.F32: [2]}


class Random:
    """Knuth's generator, as in tests/gguf/common.rs."""

    def __init__(self, state):
        self.state = state

    def byte(self):
        self.state = (self.state * 6364136223846793005 + 1442695040888963407) & MASK
        return (self.state >> 33) & 0xFF

    def float(self):
        return np.float32(int.from_bytes(bytes([self.byte(), self.byte()]), "little", signed=True)) / np.float32(32768)

    def blocks(self, kind, n):
        size = BYTES[kind]
        data = bytearray(self.byte() for _ in range(n * size))
        for block in range(n):
            for at in HALVES.get(kind, [0]):
                data[block * size + at + 1] &= 0xBF
        return np.frombuffer(bytes(data), dtype=np.uint8)


def fingerprint(values):
    i = np.arange(len(values), dtype=np.uint64)
    with np.errstate(over="ignore"):
        weights = (i * np.uint64(0x9E3779B97F4A7C15)) | np.uint64(1)
        return int(np.sum(values.astype(np.uint64) * weights, dtype=np.uint64))


def floats_of(data, kind):
    return np.ascontiguousarray(quants.dequantize(data, kind), dtype=np.float32).reshape(-1)


def numbers():
    random = Random(1)
    for kind in TYPES:
        found = floats_of(random.blocks(kind, 64).reshape(1, -1), kind)
        print(f"    (GgmlType::{kind.name.replace('_K', 'K')}, {fingerprint(found.view(np.uint32)):#x}),")
    random = Random(2)
    for kind in [T.F32, T.F16, T.BF16, T.Q8_0, T.Q4_0]:
        scales = np.array([1.0, 1e-7, 300.0, 0.0, 1e-3], dtype=np.float32)
        floats = np.array([random.float() * scales[i // 64] for i in range(320)], dtype=np.float32)
        floats[260], floats[270] = -2.0, 2.0
        found = np.ascontiguousarray(quants.quantize(floats.reshape(1, -1), kind)).view(np.uint8).reshape(-1)
        print(f"    (GgmlType::{kind.name}, {fingerprint(found):#x}),")


TEXTS = [
    "Hello world", "", " ", "  ", "   leading spaces", "trailing  ", "a  b   c    d", "\n\n1. First\n\n2. Second",
    "Tabs\tand\t\ttabs\r\nCRLF\r\n\r\n", "  42 is  the answer to 6 x 7", "  \n  x", "x  \n\n  y", "\n", "end\n",
    "I've 'told he's there, 'RE you sure? 'M not sure I'll make it, 'D you like some tea? We'Ve a'lL",
    "3 33 333 3333 33333 333333 3.3 3..3 1,234,567.89 x2y3 v1.2.3 2024-01-15",
    "def f(x):\n    return x**2  # square\n\n\nclass A:\n\tpass\n", "Ünïcödé straße ŒUVRE naïve café ﬁn Å",
    "我想在apple工作1314151天～ 日本語のテキスト 한국어 텍스트", "нещо на Български, Привет мир!", "مرحبا بالعالم ١٢٣",
    "កាន់តែពិសេសអាច😁 🚀 (normal) 😶\u200d🌫️ ✅ 🦙🦙 \U0001f468\u200d\U0001f469\u200d\U0001f467",
    "------======= '''''' ```````\"\"\"\"......!!!!!!??????", "<|endoftext|>", "text<|endoftext|>more <|im_end|> x",
    "<|im_start|>user\nHi there<|im_end|>\n<|im_start|>assistant\n", "<s>a</s> b <unk> c",
    "[INST] Hi [/INST] ok </s>\n<s>", "https://example.com/path?q=1&b=2#frag user@host.org C:\\dir\\file",
    "{\"key\": [1, 2.5, null], \"k2\": \"v\"}", "$x^2 + y^2 = z^2$ \\alpha_{1}",
    "\u00a0nbsp\u2003em\u3000ideo\u200bzw\ufeffbom", "हिन्दी பைத்தான் ไทย", "▁literal▁lower▁", "Ġliteral Ċ",
    "CamelCaseIDENTIFIERS snake_case_ids kebab-case XMLHttpRequest", "\x00\x01\x7f control",
    "\n \n\n \n\n\n \t \t\t \t\n  \n   \n    \n     \n", "…“quotes” ‘single’ – — • ™ © ½ ²", "a" * 300,
    " " * 50 + "x", "1\u0660\u0966\uff11 Ⅷ ① 𝟘", "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𝒎𝒂𝒕𝒉", "<think>\nok\n</think>",
    "<start_of_turn>user\nhi<end_of_turn>\n",
    "cafe\u0301 A\u030a", "<|user|>\nHi <tool>x</tool><|end|>\n <|assistant|>  \n",
]


def dump(path, hf_names):
    with tempfile.TemporaryDirectory() as folder:
        lists = [(os.path.join(folder, "texts"), TEXTS), (os.path.join(folder, "names"), hf_names)]
        for file, content in lists:
            with open(file, "w", encoding="utf-8") as f:
                json.dump(content, f)
        program = os.path.join(os.path.dirname(__file__), "../target/debug/examples/gguf_dump")
        run = subprocess.run([program, path, *(file for file, _ in lists)], capture_output=True, text=True)
        if run.returncode:
            raise SystemExit(f"gguf_dump: {run.stderr}")
        return json.loads(run.stdout)


def alike(ours, theirs):
    if isinstance(ours, float) or isinstance(theirs, float):
        return theirs is not None and ours is not None and np.float32(ours) == np.float32(theirs)
    return ours == theirs


def file(path):
    import torch
    from gguf import GGUFReader
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GgufConfig

    reader = GGUFReader(path)
    folder, name = os.path.split(os.path.abspath(path))
    plain = GgufConfig(dequantize=True)
    model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype=torch.float32, quantization_config=plain)
    state = model.state_dict()
    found = dump(path, list(state))

    wrong = 0
    for tensor in reader.tensors:
        shape, kind, ours = found["tensors"][tensor.name]
        theirs = fingerprint(floats_of(tensor.data, tensor.tensor_type).view(np.uint32))
        if (shape, kind, int(ours, 16)) != ([int(n) for n in reversed(tensor.shape)], tensor.tensor_type.name, theirs):
            wrong += 1
            print("DIFFERENT tensor", tensor.name, shape, kind)
    print(f"tensors: {len(reader.tensors)}, {wrong} different from gguf-py")

    wrong = 0
    for key, tensor in state.items():
        theirs = fingerprint(tensor.contiguous().numpy().reshape(-1).view(np.uint32))
        ours = found["hf"][key]
        if ours is None and found["config"].get("tie_word_embeddings") and key == "lm_head.weight":
            continue
        if ours is None or (ours[0], int(ours[1], 16)) != (list(tensor.shape), theirs):
            wrong += 1
            print("DIFFERENT hf tensor", key, list(tensor.shape), ours)
    print(f"hf tensors: {len(state)}, {wrong} different from transformers")

    theirs = AutoConfig.from_pretrained(folder, gguf_file=name).to_dict()
    for key, value in found["config"].items():
        if key in theirs and not alike(value, theirs[key]):
            print(f"config {key}: ours {value}, transformers {theirs[key]}")
    ours = {key: found["config"].get(key) for key in ("rope_theta", "rope_scaling")}
    print("config, rope:", ours, theirs.get("rope_parameters"))

    if found["tokens"]:
        tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=name)
        compare("transformers", found["tokens"], tokenizer)
        pre = reader.fields["tokenizer.ggml.pre"].contents()
        if pre in DIGITS + NFC + WHOLE:
            as_its_own(tokenizer.backend_tokenizer, pre)
            compare(f"transformers, with the words of {pre}", found["tokens"], tokenizer)


def compare(of, tokens, tokenizer, texts=None):
    wrong = 0
    for i, text in enumerate(TEXTS if texts is None else texts):
        for key, special in [("ids", False), ("with_special", True)]:
            theirs = tokenizer.encode(text, add_special_tokens=special)
            if tokens[key][i] != theirs:
                wrong += 1
                print(f"DIFFERENT {key} {text!r}\n  ours   {tokens[key][i]}\n  theirs {theirs}")
        back = tokenizer.decode(tokens["ids"][i], clean_up_tokenization_spaces=False)
        if tokens["decoded"][i] != back:
            wrong += 1
            print(f"DIFFERENT text {text!r}\n  ours   {tokens['decoded'][i]!r}\n  theirs {back!r}")
    print(f"texts: {len(TEXTS)}, {wrong} differences from {of}")


SMALL = dict(vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
             num_key_value_heads=2, max_position_embeddings=256, bos_token_id=1, eos_token_id=2, pad_token_id=0)
LLAMA3 = dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
              original_max_position_embeddings=8192, rope_theta=500000.0)
YARN = dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=64, rope_theta=1e6)
# Name, model_type, architecture in GGUF, config.
MODELS = [
    ("llama", "llama", "llama", dict(SMALL, rope_parameters=LLAMA3, rms_norm_eps=1e-5, tie_word_embeddings=True)),
    ("llama with biases", "llama", "llama", dict(SMALL, attention_bias=True, mlp_bias=True, head_dim=16)),
    ("llama, linear", "llama", "llama", dict(
        SMALL, rope_parameters=dict(rope_type="linear", factor=2.0, rope_theta=1e4))),
    ("mistral", "mistral", "llama", dict(SMALL, head_dim=16, sliding_window=None)),
    ("qwen2", "qwen2", "qwen2", dict(SMALL, rope_parameters=YARN)),
    ("qwen3", "qwen3", "qwen3", dict(SMALL, head_dim=16, tie_word_embeddings=True)),
    ("gemma", "gemma", "gemma", dict(SMALL, head_dim=16)),
    ("gemma2", "gemma2", "gemma2", dict(SMALL, head_dim=16, query_pre_attn_scalar=16, sliding_window=128)),
    ("gemma3", "gemma3_text", "gemma3", dict(
        SMALL, head_dim=16, query_pre_attn_scalar=16, sliding_window=128, num_hidden_layers=7, rope_parameters=dict(
            full_attention=dict(rope_type="linear", factor=8.0, rope_theta=1e6),
            sliding_attention=dict(rope_type="default", rope_theta=1e4)))),
    ("phi3", "phi3", "phi3", dict(SMALL, sliding_window=200, original_max_position_embeddings=256)),
    ("phi3, long", "phi3", "phi3", dict(
        SMALL, original_max_position_embeddings=64, head_dim=8, rope_parameters=dict(
            rope_type="longrope", long_factor=[1.5, 2.0, 3.25], short_factor=[1.0, 1.05, 1.1],
            original_max_position_embeddings=64, rope_theta=1e4, partial_rotary_factor=0.75))),
    ("gpt2", "gpt2", "gpt2", dict(
        vocab_size=64, n_embd=32, n_layer=2, n_head=4, n_positions=256, bos_token_id=1, eos_token_id=1)),
    ("gpt_neox", "gpt_neox", "gptneox", dict(
        SMALL, rope_parameters=dict(rope_type="default", rope_theta=1e4, partial_rotary_factor=0.5))),
    ("olmo2", "olmo2", "olmo2", dict(SMALL)),
    ("olmo3", "olmo3", "olmo2", dict(SMALL, num_hidden_layers=5, sliding_window=128)),
    ("smollm3", "smollm3", "smollm3", dict(SMALL, num_hidden_layers=5)),
    ("granite", "granite", "granite", dict(
        SMALL, attention_multiplier=0.25, embedding_multiplier=12.0, residual_multiplier=0.22, logits_scaling=8.0)),
    ("lfm2", "lfm2", "lfm2", dict(
        SMALL, layer_types=["conv", "full_attention", "conv"], num_hidden_layers=3, block_auto_adjust_ff_dim=False)),
    ("ministral3", "ministral3", "mistral3", dict(SMALL, head_dim=16, rope_parameters=dict(
        YARN, beta_fast=32.0, beta_slow=1.0, mscale=1.0, mscale_all_dim=1.0, llama_4_scaling_beta=0.1))),
    ("exaone4", "exaone4", "exaone4", dict(
        SMALL, num_hidden_layers=5, sliding_window=128, sliding_window_pattern=4, rope_parameters=LLAMA3)),
    ("exaone4, full", "exaone4", "exaone4", dict(SMALL, sliding_window=None, layer_types=["full_attention"] * 2)),
    ("hunyuan", "hunyuan_v1_dense", "hunyuan-dense", dict(SMALL, head_dim=16)),
]


# A file does not say which kind of Llama it is, a config not always which type its weights had.
EXPECTED = {"dtype", "model_type", "full_attn_idxs"}


def llama3_factors(rope, dim):
    import torch

    freqs = 1.0 / (rope["rope_theta"] ** (torch.arange(0, dim, 2, dtype=torch.float32) / dim))
    old, low, high = rope["original_max_position_embeddings"], rope["low_freq_factor"], rope["high_freq_factor"]
    factors = []
    for freq in freqs:
        wavelength = 2 * np.pi / freq
        if wavelength < old / high:
            factors.append(1)
        elif wavelength > old / low:
            factors.append(rope["factor"])
        else:
            smooth = (old / wavelength - low) / (high - low)
            factors.append(1 / ((1 - smooth) / rope["factor"] + smooth))
    return np.array(factors, dtype=np.float32)


def parameters(writer, arch, config):
    """As TextModel.set_gguf_parameters of llama.cpp's converter and its subclasses."""
    c = config.to_dict()
    rope = c.get("rope_parameters") or {}
    full = rope.get("full_attention", rope)
    heads, layers = c.get("num_attention_heads", c.get("n_head")), c.get("num_hidden_layers", c.get("n_layer"))
    hidden = c.get("hidden_size", c.get("n_embd"))
    kv = c.get("num_key_value_heads") or heads
    dim = c.get("head_dim") or hidden // heads
    writer.add_block_count(layers)
    writer.add_context_length(c.get("max_position_embeddings", c.get("n_positions")))
    writer.add_embedding_length(hidden)
    writer.add_feed_forward_length(c.get("intermediate_size") or 4 * hidden)
    writer.add_head_count(heads)
    if arch == "lfm2":
        kv = [kv if kind != "conv" else 0 for kind in c["layer_types"]]
        writer.add_shortconv_l_cache(c["conv_L_cache"])
    if arch not in ("gpt2", "gptneox"):
        writer.add_head_count_kv(kv)
        writer.add_layer_norm_rms_eps(c.get("rms_norm_eps") or c["norm_eps"])
    else:
        writer.add_layer_norm_eps(c.get("layer_norm_eps") or c["layer_norm_epsilon"])
    if arch == "gptneox":
        writer.add_parallel_residual(c["use_parallel_residual"])
        writer.add_rope_dimension_count(int(rope["partial_rotary_factor"] * dim))
    elif arch == "phi3":
        writer.add_rope_scaling_orig_ctx_len(c["original_max_position_embeddings"])
        writer.add_rope_dimension_count(int(rope.get("partial_rotary_factor", 1.0) * hidden) // heads)
        writer.add_sliding_window(c["sliding_window"] or 0)
    elif arch in ("llama", "granite", "smollm3", "mistral3"):
        writer.add_vocab_size(c["vocab_size"])
        writer.add_rope_dimension_count(dim)
    if c.get("head_dim") and arch not in ("phi3", "granite", "lfm2"):
        writer.add_key_length(dim)
        writer.add_value_length(dim)
    if arch == "gptneox":
        return
    if full.get("rope_theta"):
        writer.add_rope_freq_base(full["rope_theta"])
    kind = full.get("rope_type")
    if kind == "linear":
        writer.add_rope_scaling_type(gguf_types().LINEAR)
        writer.add_rope_scaling_factor(full["factor"])
    elif kind == "yarn":
        writer.add_rope_scaling_type(gguf_types().YARN)
        writer.add_rope_scaling_factor(full["factor"])
        writer.add_rope_scaling_orig_ctx_len(full["original_max_position_embeddings"])
        if full.get("beta_fast"):
            writer.add_rope_scaling_yarn_beta_fast(full["beta_fast"])
            writer.add_rope_scaling_yarn_beta_slow(full["beta_slow"])
    elif kind == "longrope":
        scale = c["max_position_embeddings"] / c["original_max_position_embeddings"]
        original = c["original_max_position_embeddings"]
        writer.add_rope_scaling_attn_factors(float(np.sqrt(1 + np.log(scale) / np.log(original))))
        writer.add_tensor("rope_factors_long.weight", np.array(full["long_factor"], dtype=np.float32))
        writer.add_tensor("rope_factors_short.weight", np.array(full["short_factor"], dtype=np.float32))
    elif kind == "llama3":
        writer.add_tensor("rope_freqs.weight", llama3_factors(full, dim))
    if arch == "mistral3":
        writer.add_rope_scaling_yarn_log_mul(rope["mscale_all_dim"])
        writer.add_attn_temperature_scale(rope["llama_4_scaling_beta"])
    if arch == "gemma2":
        writer.add_attn_logit_softcapping(c["attn_logit_softcapping"])
        writer.add_final_logit_softcapping(c["final_logit_softcapping"])
    if arch in ("gemma2", "gemma3"):
        writer.add_sliding_window(c["sliding_window"])
    if arch in ("olmo2", "exaone4") and c.get("sliding_window"):
        writer.add_sliding_window(c["sliding_window"])
        writer.add_sliding_window_pattern([kind == "sliding_attention" for kind in c["layer_types"]])
    if arch == "granite":
        writer.add_attention_scale(c["attention_multiplier"])
        writer.add_embedding_scale(c["embedding_multiplier"])
        writer.add_residual_scale(c["residual_multiplier"])
        writer.add_logit_scale(c["logits_scaling"])


def gguf_types():
    from gguf import RopeScalingType

    return RopeScalingType


def permute(weights, n_head):
    halves = weights.reshape(n_head, 2, weights.shape[0] // n_head // 2, *weights.shape[1:])
    return halves.swapaxes(1, 2).reshape(weights.shape)


def converted(arch, config, name, data):
    """As modify_tensors of llama.cpp's converter and its subclasses."""
    if arch in ("llama", "granite", "smollm3", "mistral3"):
        if name.endswith(("q_proj.weight", "q_proj.bias")):
            return permute(data, config.num_attention_heads)
        if name.endswith(("k_proj.weight", "k_proj.bias")):
            return permute(data, config.num_key_value_heads)
    if arch in ("gemma", "gemma2", "gemma3") and name.endswith("norm.weight"):
        return data + 1
    if arch == "gpt2" and name.endswith((".c_attn.weight", ".c_proj.weight", ".c_fc.weight")):
        return data.T
    if arch == "lfm2" and "conv.conv" in name:
        return data.squeeze(1)
    if arch == "gptneox" and "query_key_value" in name:
        n, width = config.num_attention_heads, config.hidden_size // config.num_attention_heads
        split = data.reshape(n, 3, width, *data.shape[1:])
        return np.concatenate([split[:, i].reshape(-1, *data.shape[1:]) for i in range(3)], axis=0)
    return data


def write_model(path, model, arch):
    import gguf

    writer = gguf.GGUFWriter(path, arch)
    config = model.config
    parameters(writer, arch, config)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2 if arch != "gpt2" else 1)
    if arch != "gpt2":
        writer.add_pad_token_id(0)
    number = next(number for number, name in gguf.MODEL_ARCH_NAMES.items() if name == arch)
    names = gguf.get_tensor_name_map(number, 8)
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight" and (config.tie_word_embeddings or arch in ("gemma", "gemma2", "gemma3")):
            continue
        base, suffix = name.rsplit(".", 1)
        data = converted(arch, config, name, tensor.numpy())
        writer.add_tensor(f"{names.get_name(base)}.{suffix}", np.ascontiguousarray(data))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def models():
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    for label, model_type, arch, kwargs in MODELS:
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(model_type, **kwargs))
        state = model.state_dict()
        for tensor in state.values():
            tensor.normal_()
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "model.gguf")
            write_model(path, model, arch)
            found = dump(path, list(state))
        wrong = []
        for key, tensor in state.items():
            theirs = fingerprint(tensor.contiguous().numpy().reshape(-1).view(np.uint32))
            ours = found["hf"][key]
            tied = ours is None and found["config"]["tie_word_embeddings"] and key == "lm_head.weight"
            if arch in ("gemma", "gemma2", "gemma3") and key.endswith("norm.weight"):
                theirs = fingerprint(((tensor + 1) - 1).numpy().view(np.uint32))
            found_same = ours is not None and ours[0] == list(tensor.shape) and int(ours[1], 16) == theirs
            if not tied and not found_same:
                wrong.append(f"{key} {list(tensor.shape)} {ours}")
        theirs = model.config.to_dict()
        wrong += [f"config {key}: ours {value}, transformers {theirs[key]}" for key, value in found["config"].items()
                  if key in theirs and key not in EXPECTED and not alike(value, theirs[key])]
        wrong += rope_differences(found["config"], theirs, model_type)
        print(f"{label}: {len(state)} tensors", "" if wrong else "and the config as in transformers")
        for what in wrong:
            print("   ", what)


def rope_differences(ours, theirs, model_type):
    """transformers reads our older keys into the newer ones, which must come out as they were."""
    from transformers import AutoConfig

    if model_type == "gpt2":
        return []
    ours = {key: value for key, value in ours.items() if key != "model_type"}
    if isinstance(ours.get("rope_scaling"), dict):
        ours["rope_scaling"] = {k: v for k, v in ours["rope_scaling"].items() if k != "gguf_tensor"}
    if model_type == "mistral":
        ours["sliding_window"] = None
    again = AutoConfig.for_model(model_type, **ours).to_dict()
    different = []
    for key in ("rope_parameters", "layer_types", "no_rope_layers", "sliding_window", "attention_bias", "mlp_bias"):
        if key in theirs and not same(again.get(key), theirs.get(key)):
            different.append(f"{key} read again: ours {again.get(key)}, transformers {theirs.get(key)}")
    return different


def same(a, b):
    if isinstance(a, dict) and isinstance(b, dict):
        return set(a) == set(b) and all(same(a[key], b[key]) for key in a)
    return alike(a, b)


# Where the models' own tokenizer.json has more than transformers reads from a GGUF file.
DIGITS = ["starcoder", "refact", "smollm", "codeshell", "exaone", "minerva-7b", "mellum2", "command-r"]
NFC = ["mpt", "olmo", "command-r", "qwen2", "qwen35"]
WHOLE = ["llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2", "jina-v5-nano",
         "tekken"]
LLAMA3_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|"
    r"\s+(?!\S)|\s+")
SPLITS = {
    "hunyuan-dense": [
        r"\p{N}{1,3}", r"[一-龥぀-ゟ゠-ヿ]+",
        r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|"
        r"\s*[\r\n]+|\s+(?!\S)|\s+"],
    "deepseek-coder": [r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", "[一-龥ࠀ-一가-\uD7FF]+"],
    "seed-coder": [
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|"
        r"\s+(?!\S)|\s+"],
    "glm4": [LLAMA3_SPLIT],
}
CHECKED = list(SPLITS) + DIGITS + NFC[:2] + NFC[3:] + WHOLE + [
    "default", "gpt-2", "phi-2", "exaone4", "dbrx", "smaug-bpe", "deepseek-r1-qwen", "gpt-4o", "llama4", "megrez"]


def vocabulary(path, arch, entries):
    """A tiny model with a tokenizer."""
    import gguf

    writer = gguf.GGUFWriter(path, arch)
    for key, value in dict(block_count=1, context_length=64, embedding_length=8, feed_forward_length=8).items():
        writer.add_uint32(f"{arch}.{key}", value)
    writer.add_head_count(1)
    writer.add_layer_norm_rms_eps(1e-5)
    for add, value in entries.items():
        getattr(writer, add)(value)
    writer.add_tensor("token_embd.weight", np.zeros((len(entries["add_token_list"]), 8), dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def tokenizers(path):
    from gguf import GGUFReader
    from transformers import AutoTokenizer

    fields = GGUFReader(path).fields
    content = lambda name: fields[f"tokenizer.ggml.{name}"].contents()
    tokens, merges, types = content("tokens"), content("merges"), content("token_type")
    # A token that no merges lead to, a user-defined one, and one with a space.
    tokens[-4:], types[-4:] = ["HelloĠworldĠof", "xyzzyqq", "<think>", "  "], [1, 1, 4, 4]
    known = set(tokens)
    merges = [merge for merge in merges if kept(merge, known)]
    for pre in CHECKED:
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "model.gguf")
            vocabulary(path, "llama", dict(
                add_tokenizer_model="gpt2", add_tokenizer_pre=pre, add_token_list=tokens, add_token_types=types,
                add_token_merges=merges, add_bos_token_id=1, add_eos_token_id=2, add_add_bos_token=True,
                add_add_eos_token=pre in NFC, add_chat_template="{{ messages }}"))
            found = dump(path, [])["tokens"]
            theirs = AutoTokenizer.from_pretrained(folder, gguf_file="model.gguf")
        as_its_own(theirs.backend_tokenizer, pre)
        # transformers spells the user-defined token of spaces in bytes, and so does not find it in a text.
        theirs.add_tokens(["  "])
        print(f"{pre}: ", end="")
        compare("transformers", found, theirs)


def as_its_own(backend, pre):
    """Cuts text as the model's own tokenizer.json does, of which transformers' reader of GGUF files leaves some out."""
    from tokenizers import Regex, normalizers, pre_tokenizers

    if pre in DIGITS:
        backend.pre_tokenizer = pre_tokenizers.Sequence([
            pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    if pre in SPLITS:
        splits = [pre_tokenizers.Split(Regex(split), "isolated") for split in SPLITS[pre]]
        digits = [pre_tokenizers.Digits(individual_digits=True)] if pre == "deepseek-coder" else []
        last = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        backend.pre_tokenizer = pre_tokenizers.Sequence(splits + digits + [last])
    if pre in NFC:
        backend.normalizer = normalizers.NFC()
    if pre in WHOLE:
        backend.model.ignore_merges = True


def kept(merge, vocabulary):
    left, right = merge.split(" ")
    return left in vocabulary and right in vocabulary and left + right in vocabulary


def sentencepiece(folder):
    import sentencepiece as spm
    from transformers import AutoTokenizer

    files = [os.path.join(root, file) for root, _, names in os.walk(folder) for file in names if file.endswith(".md")]
    lines = [line for file in files for line in open(file, encoding="utf-8")] + TEXTS * 5
    with tempfile.TemporaryDirectory() as place:
        spm.SentencePieceTrainer.train(
            sentence_iterator=iter(lines), model_prefix=os.path.join(place, "spm"), vocab_size=2500, model_type="bpe",
            byte_fallback=True, normalization_rule_name="identity", remove_extra_whitespaces=False, split_digits=True,
            character_coverage=0.995, allow_whitespace_only_pieces=True, minloglevel=2)
        model = spm.SentencePieceProcessor(model_file=os.path.join(place, "spm.model"))
    n = model.vocab_size()
    tokens, scores = [model.id_to_piece(i) for i in range(n)], [model.get_score(i) for i in range(n)]
    kind = lambda i: 2 if model.is_unknown(i) else 3 if model.is_control(i) else 6 if model.is_byte(i) else 1
    types = [kind(i) for i in range(n)]
    for token, of in [("<|user|>", 3), ("<|assistant|>", 3), ("<|end|>", 3), ("<tool>", 4), ("[PAD9]", 5)]:
        tokens, scores, types = tokens + [token], scores + [-1000.0], types + [of]
    common = dict(add_tokenizer_model="llama", add_tokenizer_pre="default", add_token_list=tokens,
                  add_token_scores=scores, add_token_types=types, add_bos_token_id=1, add_eos_token_id=2,
                  add_unk_token_id=0)
    spaces = [" " * len(token) if len(token) > 1 and not token.strip("\u2581") else token for token in tokens]
    marked = [4 if token != spaced else of for token, spaced, of in zip(tokens, spaces, types)]
    for label, arch, changes in [
        ("llama", "llama", {}),
        ("llama with EOS", "llama", dict(add_add_bos_token=False, add_add_eos_token=True)),
        ("gemma2", "gemma2", dict(add_add_space_prefix=False, add_token_list=spaces, add_token_types=marked)),
        ("gemma3", "gemma3", dict(add_add_space_prefix=False, add_token_list=spaces, add_token_types=marked)),
        ("phi3", "phi3", {}),
        ("llama without a space before", "llama", dict(add_add_space_prefix=False)),
    ]:
        with tempfile.TemporaryDirectory() as place:
            path = os.path.join(place, "model.gguf")
            vocabulary(path, arch, dict(common, **changes, **PHI3.get(arch, {})))
            found = dump(path, [])["tokens"]
            theirs = AutoTokenizer.from_pretrained(place, gguf_file="model.gguf")
        if "without" in label:
            theirs.backend_tokenizer.pre_tokenizer.prepend_scheme = "never"
            theirs.backend_tokenizer.decoder = SEQUENCE()
        print(f"{label}: ", end="")
        compare("transformers", found, theirs)
        if label == "llama":
            plain = [i for i, text in enumerate(TEXTS) if "<" not in text]
            wrong = [TEXTS[i] for i in plain if model.encode(TEXTS[i]) != found["ids"][i]]
            print(f"   and {len(wrong)} of {len(plain)} texts different from SentencePiece: {wrong}")


def rewrite(path):
    from gguf import GGUFReader

    program = os.path.join(os.path.dirname(__file__), "../target/debug/examples/gguf_rewrite")
    before = GGUFReader(path)
    for kind in [T.F32, T.F16, T.BF16, T.Q8_0, T.Q4_0]:
        with tempfile.TemporaryDirectory() as folder:
            out = os.path.join(folder, "out.gguf")
            subprocess.run([program, path, out, kind.name], check=True)
            after = GGUFReader(out)
            wrong = [key for key, field in before.fields.items() if not key.startswith("GGUF.")
                     and (field.contents() != after.fields[key].contents() or field.types != after.fields[key].types)]
            for old, new in zip(sorted(before.tensors, key=lambda t: t.data_offset), after.tensors):
                floats = floats_of(old.data, old.tensor_type).reshape([int(n) for n in reversed(old.shape)])
                theirs = quants.quantize(floats, kind if len(old.shape) > 1 else T.F32)
                same = np.array_equal(np.ascontiguousarray(theirs).view(np.uint8).reshape(-1),
                                      np.ascontiguousarray(new.data).view(np.uint8).reshape(-1))
                if old.name != new.name or list(old.shape) != list(new.shape) or not same:
                    wrong.append(old.name)
            size = f"{len(after.fields)} fields, {len(after.tensors)} tensors"
            print(f"{kind.name}: {size}, different from gguf-py: {wrong}")


PHI3 = {"phi3": dict(add_rope_scaling_orig_ctx_len=64)}


def SEQUENCE():
    from tokenizers import decoders

    return decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()])


if __name__ == "__main__":
    commands = [numbers, file, models, tokenizers, sentencepiece, rewrite]
    {command.__name__: command for command in commands}[sys.argv[1]](*sys.argv[2:])
