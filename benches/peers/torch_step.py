#!/usr/bin/env python3
"""A training step of the sizes that `pairtune bench` measures, in PyTorch with transformers and PEFT.

    python benches/peers/torch_step.py [--device cpu|cuda] [--models SmolLM2-135M,demo] [--precisions fp32,bf16]

One DPO step as TRL takes it, the reference computed beforehand: 2 pairs of 512 tokens (128 on a CPU), half of each the
prompt, LoRA of rank 16 on all linear layers, AdamW. Prints one JSON line for each model and precision, whose
`tokens_per_second` stands beside that of the same step of `pairtune bench`.
"""

import argparse
import contextlib
import json
import time

import peft
import torch
import transformers
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

PAIRS = 2
LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
MODELS = {
    "demo": dict(vocab_size=1024, hidden_size=128, intermediate_size=352, num_hidden_layers=4,
                 num_attention_heads=4, num_key_value_heads=2, head_dim=32),
    "SmolLM2-135M": dict(vocab_size=49152, hidden_size=576, intermediate_size=1536, num_hidden_layers=30,
                         num_attention_heads=9, num_key_value_heads=3, head_dim=64),
    "Llama-3.2-1B": dict(vocab_size=128256, hidden_size=2048, intermediate_size=8192, num_hidden_layers=16,
                         num_attention_heads=32, num_key_value_heads=8, head_dim=64),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--models", help="default: SmolLM2-135M, beside a GPU Llama-3.2-1B too")
    parser.add_argument("--precisions", help="default: fp32, beside a GPU tf32 and bf16 too")
    parser.add_argument("--steps", type=int, default=5)
    args = parser.parse_args()
    tokens = 512 if args.device != "cpu" else 128
    models = args.models or ("SmolLM2-135M" if args.device == "cpu" else "SmolLM2-135M,Llama-3.2-1B")
    for name in models.split(","):
        for precision in (args.precisions or ("fp32" if args.device == "cpu" else "fp32,tf32,bf16")).split(","):
            seconds = measure(MODELS[name], precision, args.device, tokens, args.steps)
            print(json.dumps({
                "model": name, "precision": precision, "device": args.device, "pairs": PAIRS, "tokens": tokens,
                "seconds": seconds, "tokens_per_second": 2 * PAIRS * tokens / seconds, "torch": torch.__version__,
                "transformers": transformers.__version__, "peft": peft.__version__,
                "threads": torch.get_num_threads(),
            }), flush=True)


def measure(sizes, precision, device, tokens, steps):
    """Seconds of a step: the best of some, after one that warms up."""
    torch.manual_seed(1)
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    config = LlamaConfig(max_position_embeddings=4096, tie_word_embeddings=True, **sizes)
    base = LlamaForCausalLM(config).to(device=device, dtype=dtype)
    model = get_peft_model(base, LoraConfig(r=16, lora_alpha=32, target_modules=LINEAR, task_type="CAUSAL_LM"))
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-5)
    prompt = tokens // 2
    ids = torch.randint(sizes["vocab_size"], (2 * PAIRS, tokens), device=device)
    ids[PAIRS:, :prompt] = ids[:PAIRS, :prompt]
    times = []
    for _ in range(steps + 1):
        start = time.perf_counter()
        step(model, optimizer, ids, prompt)
        if device != "cpu":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    del model, base, optimizer
    with contextlib.suppress(RuntimeError, AssertionError):
        torch.cuda.empty_cache()
    return min(times[1:])


def step(model, optimizer, ids, prompt):
    """One optimiser step; the reference is a constant, as it is once it has been computed."""
    # As TRL 1.16, the head is applied to completion positions only.
    logits = model(input_ids=ids, logits_to_keep=ids.shape[1] - prompt + 1, use_cache=False).logits[:, :-1]
    logps = torch.gather(logits.float().log_softmax(-1), 2, ids[:, prompt:, None]).squeeze(2).sum(1)
    chosen, rejected = logps.chunk(2)
    loss = -torch.nn.functional.logsigmoid(0.1 * (chosen - rejected)).mean()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()


if __name__ == "__main__":
    main()
