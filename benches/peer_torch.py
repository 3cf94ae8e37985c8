#!/usr/bin/env python3
"""The peer of benches/train.rs: the same 15M-parameter Llama, LoRA and batch in PyTorch with transformers and PEFT.

    python benches/peer_torch.py [--device cpu|cuda] [--steps 5] [--tokens 256]

One DPO step as TRL takes it with the reference's log-probabilities computed beforehand: chosen and rejected of 4 pairs,
so many tokens each, in one forward and backward pass in float32, then AdamW over the adapter. Prints tokens a second of
both sequences, to be compared with what `cargo bench --profile dev --bench train` prints on the same machine.
"""

import argparse
import time

import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

PAIRS = 4
LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=256)
    args = parser.parse_args()
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=8192, hidden_size=256, intermediate_size=2048, num_hidden_layers=6, num_attention_heads=8,
        num_key_value_heads=8, max_position_embeddings=1024, tie_word_embeddings=False)
    base = LlamaForCausalLM(config).to(args.device)
    model = get_peft_model(base, LoraConfig(r=8, lora_alpha=16, target_modules=LINEAR, task_type="CAUSAL_LM"))
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4)
    for what, prompt in [("half of each sequence is the prompt", args.tokens // 2), ("no shared prompt", 1)]:
        ids = torch.randint(8192, (2 * PAIRS, args.tokens), device=args.device)
        ids[PAIRS:, :prompt] = ids[:PAIRS, :prompt]
        times = []
        for _ in range(args.steps + 1):
            start = time.perf_counter()
            step(model, optimizer, ids, prompt)
            if args.device != "cpu":
                torch.cuda.synchronize()
            times.append(time.perf_counter() - start)
        best = min(times[1:])
        print(f"{what}: {ids.numel() / best:.0f} tokens/s (best of {args.steps}), {torch.get_num_threads()} threads")


def step(model, optimizer, ids, prompt):
    """One optimiser step; the reference is a constant, as it is once it has been computed."""
    # As TRL 1.16, the head is applied to completion positions only.
    logits = model(input_ids=ids, logits_to_keep=ids.shape[1] - prompt + 1, use_cache=False).logits[:, :-1]
    logps = torch.gather(logits.log_softmax(-1), 2, ids[:, prompt:, None]).squeeze(2).sum(1)
    chosen, rejected = logps.chunk(2)
    loss = -torch.nn.functional.logsigmoid(0.1 * (chosen - rejected)).mean()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()


if __name__ == "__main__":
    main()
