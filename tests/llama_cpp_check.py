#!/usr/bin/env python3
"""`pairtune export` against the real llama.cpp (the wheel xllamacpp):

    python tests/llama_cpp_check.py [--only FAMILY,...] [--model FOLDER_OR_GGUF] [--keep FOLDER]

A tiny model of every family is made with random weights, and an adapter for it by PEFT. Each is exported, and

    f32      llama.cpp loads the merged model; the ids of three prompts through the chat template are ours; the
             likeliest answer is ours, token by token; log-probabilities differ by at most TOLERANCE["f32"], and ours
             are transformers' and PEFT's
    lora     the model without the adapter, and the adapter as GGUF: the same answers as ours with the adapter
    f16      as f32; for the families in EVERY_TYPE
    q8_0,    likewise, but that answers may differ: llama.cpp rounds activations to eight bits beside such weights, so
    q4_0     that it computes with nearly the same numbers

A token may be another where ours are no further apart than the log-probabilities of both programs: a tie.

"Ours" is target/debug/examples/greedy on the exported file. With --model a real model is exported instead, without an
adapter. Needs torch, transformers, peft, gguf, xllamacpp. No network; exit status 1 if a line fails.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1", TRANSFORMERS_VERBOSITY="error",
                  TOKENIZERS_PARALLELISM="false", CUDA_VISIBLE_DEVICES="")

ROOT = Path(__file__).resolve().parent.parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug"
PROMPTS = ["Name three colours.", "Why is the sky blue? It's 3 o'clock.", "def f(x):\n    return x"]
ANSWER = 16
# How far log-probabilities may be apart. llama.cpp rounds activations to F16 beside F16 weights, and to eight bits with
# a scale for 32 beside Q8_0 and Q4_0; Gemma's activation it takes from a table in F16.
TOLERANCE = {"f32": 5e-3, "f16": 3e-2, "lora": 5e-3, "q8_0": 0.3, "q4_0": 0.5}
# A real model has activations far from the others of their 32, which such rounding loses: llama.cpp's own F16 and Q8_0
# answers by SmolLM2-135M are 0.5 apart.
TOLERANCE_REAL = dict(TOLERANCE, q8_0=0.7, q4_0=1.0)
EVERY_TYPE = ["llama", "qwen2", "qwen3", "gemma3"]

LLAMA3 = dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
              original_max_position_embeddings=64, rope_theta=10000.0)
YARN = dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=128, rope_theta=1e6)
SMALL = dict(hidden_size=64, intermediate_size=96, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2,
             max_position_embeddings=512)
# Family: model_type, tokenizer (of a golden case), config, settings of the adapter.
FAMILIES = {
    "llama": ("llama", "llama_sigmoid", dict(SMALL, rope_parameters=LLAMA3, rms_norm_eps=1e-5), {}),
    "llama, rsLoRA and patterns": ("llama", "llama_sigmoid", dict(SMALL, tie_word_embeddings=True, head_dim=32), dict(
        use_rslora=True, rank_pattern={"q_proj": 2}, alpha_pattern={"k_proj": 3.0})),
    "qwen2": ("qwen2", "qwen2_hinge", dict(SMALL, tie_word_embeddings=True), {}),
    "qwen3": ("qwen3", "qwen3_chat_sigmoid", dict(SMALL, head_dim=32, tie_word_embeddings=True), {}),
    "gemma3": ("gemma3_text", "gemma3_robust", dict(
        SMALL, num_hidden_layers=7, head_dim=32, query_pre_attn_scalar=32, sliding_window=16,
        tie_word_embeddings=True), {}),
    "gemma": ("gemma", "gemma3_robust", dict(SMALL, head_dim=32), {}),
    "gemma2": ("gemma2", "gemma3_robust", dict(SMALL, head_dim=32, query_pre_attn_scalar=32, sliding_window=16), {}),
    "mistral": ("mistral", "llama_sigmoid", dict(SMALL, sliding_window=None), {}),
    "qwen2, yarn": ("qwen2", "qwen2_hinge", dict(SMALL, rope_parameters=YARN), {}),
    "phi3": ("phi3", "llama_sigmoid", dict(SMALL, sliding_window=None, original_max_position_embeddings=512), {}),
    "gpt2": ("gpt2", "llama_sigmoid", dict(n_embd=64, n_layer=3, n_head=4, n_positions=512), {}),
    "gpt_neox": ("gpt_neox", "llama_sigmoid", dict(SMALL, num_key_value_heads=4, rope_parameters=dict(
        rope_type="default", rope_theta=1e4, partial_rotary_factor=0.5)), {}),
    "olmo2": ("olmo2", "llama_sigmoid", dict(SMALL, num_key_value_heads=4), {}),
    "olmo3": ("olmo3", "llama_sigmoid", dict(SMALL, num_hidden_layers=5, num_key_value_heads=4, sliding_window=16), {}),
    "smollm3": ("smollm3", "llama_sigmoid", dict(SMALL, num_hidden_layers=5), {}),
    "granite": ("granite", "llama_sigmoid", dict(
        SMALL, attention_multiplier=0.25, embedding_multiplier=12.0, residual_multiplier=0.22, logits_scaling=8.0), {}),
    "lfm2": ("lfm2", "llama_sigmoid", dict(
        SMALL, layer_types=["conv", "full_attention", "conv"], block_auto_adjust_ff_dim=False), {}),
    "ministral3": ("ministral3", "llama_sigmoid", dict(SMALL, head_dim=16, rope_parameters=dict(
        YARN, beta_fast=32.0, beta_slow=1.0, mscale=1.0, mscale_all_dim=1.0, llama_4_scaling_beta=0.1)), {}),
    "exaone4": ("exaone4", "llama_sigmoid", dict(
        SMALL, sliding_window=None, layer_types=["full_attention"] * 3, rope_parameters=LLAMA3), {}),
    "hunyuan": ("hunyuan_v1_dense", "llama_sigmoid", dict(SMALL, head_dim=16), {}),
}
CHATML = ("{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>'"
          " + '\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}")
failures = []


def run(*args):
    done = subprocess.run([str(arg) for arg in args], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{Path(args[0]).name} {args[1]}: {done.stderr.strip()}")
    return done.stdout


def ours(model, adapter=None):
    more = ["--adapter", adapter] if adapter else []
    return json.loads(run(TARGET / "examples/greedy", model, *more, ANSWER, *PROMPTS))


def log_softmax(rows):
    import torch

    return torch.log_softmax(torch.tensor(rows, dtype=torch.float64), dim=-1)


class LlamaCpp:
    """A server of llama.cpp with a model and maybe an adapter, asked by its own protocol."""

    def __init__(self, model, adapter=None):
        import xllamacpp

        params = xllamacpp.CommonParams()
        params.model.path = str(model)
        params.n_ctx, params.n_parallel, params.n_predict, params.warmup = 512, 1, ANSWER, False
        params.cpuparams.n_threads, params.use_jinja, params.verbosity = 2, True, -1
        params.fit_params = False
        params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
        params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
        if adapter:
            params.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(str(adapter), 1.0)]
        self.server = xllamacpp.Server(params)

    def ask(self, path, **body):
        request = urllib.request.Request(f"{self.server.listening_address}{path}", json.dumps(body).encode(),
                                         {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=120) as answer:
            return json.load(answer)

    def prompt_ids(self, prompt):
        text = self.ask("/apply-template", messages=[{"role": "user", "content": prompt}])["prompt"]
        return self.ask("/tokenize", content=text, add_special=True, parse_special=True)["tokens"]

    def answer(self, ids, vocab):
        """The likeliest tokens after these, and the log-probabilities by id of those steps that have them.

        The server leaves out the steps of tokens that end within a character.
        """
        found = self.ask("/completion", prompt=ids, n_predict=ANSWER, temperature=0.0, n_probs=vocab, seed=1,
                         cache_prompt=False, return_tokens=True, samplers=["temperature"])
        tokens, known = found["tokens"], found.get("completion_probabilities", [])
        # Which token a step is of is certain where its first possible place is also its last.
        first, last = [], []
        for step in known:
            first.append(tokens.index(step["id"], first[-1] + 1 if first else 0))
        for step in reversed(known):
            end = last[-1] if last else len(tokens)
            last.append(max(at for at in range(end) if tokens[at] == step["id"]))
        return tokens, {at: {top["id"]: top["logprob"] for top in step["top_logprobs"]}
                        for step, at, other in zip(known, first, reversed(last)) if at == other}


def line(family, what, passed, text):
    if not passed:
        failures.append(f"{family}: {what}")
    print(f"{'ok  ' if passed else 'FAIL'} {family:28} {what:5} {text}", flush=True)


def compare(family, what, gguf, expected, vocab, adapter=None, tolerance=TOLERANCE):
    """llama.cpp's answers from a file against ours."""
    llama = LlamaCpp(gguf, adapter)
    largest, same, of, ties, differ, steps_seen, prompts = 0.0, 0, 0, 0, 0, 0, True
    for prompt, want in zip(PROMPTS, expected):
        prompts &= llama.prompt_ids(prompt) == want["prompt"]
        tokens, steps = llama.answer(want["prompt"], vocab)
        rows = log_softmax(want["logits"])
        # It stops at the end of an answer, and we go on.
        wanted = want["answer"][:max(len(tokens), 1)]
        of += len(wanted)
        for at, (token, ours_here) in enumerate(zip(tokens, wanted)):
            if at in steps:
                steps_seen += 1
                apart = [abs(p - rows[at][id].item()) for id, p in steps[at].items() if p > -30]
                largest = max([largest, *apart])
            if token != ours_here:
                ties += (rows[at][ours_here] - rows[at][token]).item() <= 2 * largest
                break
            same += 1
        differ += tokens != wanted[:len(tokens)]
    exact = what in ("f16", "f32", "lora")
    passed = prompts and steps_seen > 0 and largest <= tolerance[what] and (differ == ties or not exact)
    line(family, what, passed, f"prompts {'alike' if prompts else 'DIFFERENT'}, {same}/{of} tokens, {ties} ties, "
                               f"log-probabilities of {steps_seen} differ by {largest:.1e} "
                               f"(at most {tolerance[what]:.0e})")
    del llama


def make(folder, family):
    """A model of random weights with a tokenizer, and an adapter; what transformers computes of both."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    model_type, case, config, lora = FAMILIES[family]
    tokenizer = AutoTokenizer.from_pretrained(ROOT / "tests/fixtures" / case / "model")
    if not tokenizer.chat_template:
        # As Llama 3's. Of a model without BOS llama.cpp would put the token of id 11 there.
        tokenizer.chat_template = ("{{ bos_token }}" if tokenizer.bos_token else "") + CHATML
    eos = tokenizer.eos_token_id
    config = AutoConfig.for_model(model_type, vocab_size=len(tokenizer) + 5, bos_token_id=tokenizer.bos_token_id,
                                  eos_token_id=eos, pad_token_id=tokenizer.pad_token_id, **config)
    torch.manual_seed(8)
    model = AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for name, tensor in model.named_parameters():
            tensor.normal_(std=0.12 if tensor.dim() > 1 else 0.1)
            if "norm" in name or ".ln_" in name:
                tensor.add_(0.0 if "gemma" in model_type else 1.0)
    model.save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    settings = dict(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM") | lora
    tuned = get_peft_model(model, LoraConfig(**settings, fan_in_fan_out=model_type == "gpt2")).eval()
    with torch.no_grad():
        for name, tensor in tuned.named_parameters():
            if "lora_" in name:
                tensor.normal_(std=0.1)
    tuned.save_pretrained(folder / "adapter")
    return tuned, len(tokenizer) + 5


def check_family(folder, family):
    import torch

    pairtune, model, adapter = TARGET / "pairtune", folder / "model", folder / "adapter"
    tuned, vocab = make(folder, family)
    export = [pairtune, "export", "--model", model]
    for what in ("f32", "f16", "q8_0", "q4_0") if family in EVERY_TYPE else ("f32",):
        gguf = folder / f"{what}.gguf"
        run(*export, "--adapter", adapter, "--output", gguf, "--outtype", what)
        expected = ours(gguf)
        compare(family, what, gguf, expected, vocab)
        if what == "f32":
            largest = 0.0
            for want in expected:
                ids = torch.tensor([want["prompt"] + want["answer"]])
                with torch.no_grad():
                    logits = tuned(ids).logits[0, len(want["prompt"]) - 1:-1]
                apart = torch.log_softmax(logits.double(), dim=-1) - log_softmax(want["logits"])
                largest = max(largest, apart.abs().max().item())
            line(family, what, largest <= TOLERANCE[what], f"transformers and PEFT differ by {largest:.1e}")
    run(*export, "--output", folder / "base.gguf", "--outtype", "f32")
    run(*export, "--adapter", adapter, "--output", folder / "lora.gguf", "--outtype", "lora")
    compare(family, "lora", folder / "base.gguf", ours(folder / "base.gguf", adapter), vocab, folder / "lora.gguf")


def check_model(folder, model):
    for what in ("f16", "q8_0", "q4_0"):
        gguf = folder / f"{what}.gguf"
        run(TARGET / "pairtune", "export", "--model", model, "--output", gguf, "--outtype", what)
        compare(Path(model).name[:28], what, gguf, ours(gguf), 50, tolerance=TOLERANCE_REAL)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help="families, separated by commas")
    parser.add_argument("--model", help="a real model instead")
    parser.add_argument("--keep", help="folder in which models and files stay")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(args.keep or scratch)
        wanted = args.only.split(",") if args.only else FAMILIES
        for number, family in enumerate([] if args.model else [f for f in FAMILIES if f in wanted or not args.only]):
            folder = place / str(number)
            folder.mkdir(parents=True, exist_ok=True)
            try:
                check_family(folder, family)
            except Exception as error:  # the others still count
                line(family, "", False, f"{type(error).__name__}: {error}")
        if args.model:
            check_model(place, args.model)
    print(f"{len(failures)} failures" + "".join(f"\n  {failure}" for failure in failures))
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
