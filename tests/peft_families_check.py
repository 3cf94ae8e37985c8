#!/usr/bin/env python3
"""Check that adapters of every model family load back in PEFT.  Run by hand:

    python tests/peft_families_check.py --pairtune target/release/pairtune [--cases lfm2,gpt2_apo_zero]

For each golden case in tests/fixtures, as LoRA and as DoRA: `pairtune train` makes a fresh adapter of all linear
layers and trains it for two steps; PEFT loads the folder without a missing or unexpected tensor and gives the
log-probabilities that `pairtune score --adapter` gives; so does transformers with the folder that `pairtune merge`
writes.  The exit status is 1 if a line fails.

Needs torch, transformers, peft, safetensors.  No network, no GPU for the Python side.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1", TOKENIZERS_PARALLELISM="false",
                  TRANSFORMERS_VERBOSITY="error", CUDA_VISIBLE_DEVICES="")
warnings.filterwarnings("ignore")

import torch  # noqa: E402
from peft import PeftConfig, get_peft_model, set_peft_model_state_dict  # noqa: E402
from safetensors.torch import load_file  # noqa: E402
from transformers import AutoModelForCausalLM  # noqa: E402

SUM_LOGP = 5e-3  # summed log-probability of one answer, nats


def call(*command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(str(part) for part in command)}\n{done.stderr[-2000:]}")


def load(folder):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()


def dtype_of(folder):
    config = json.loads((folder / "config.json").read_text())
    return config.get("dtype") or config.get("torch_dtype")


def log_prob(model, ids, mask):
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0].double()
    logps = logits.log_softmax(-1)[:-1].gather(-1, torch.tensor(ids[1:])[:, None])[:, 0]
    return (logps * torch.tensor(mask[1:], dtype=torch.float64)).sum().item()


def worst(model, rows):
    return max(abs(log_prob(model, row[f"{side}_ids"], row[f"{side}_mask"]) - row[f"{side}_logp"])
               for row in rows for side in ("chosen", "rejected"))


def check(pairtune, case, kind, tmp):
    model, pairs, length = case / "model", case / "pairs.jsonl", json.loads((case / "case.json").read_text())["train"]["max_length"]
    adapter, scores, merged = tmp / "adapter", tmp / "scores.jsonl", tmp / "merged"
    common = ["--model", model, "--pairs", pairs, "--max-length", length]
    call(pairtune, "train", *common, "--output", adapter, "--r", 4, "--lora-alpha", 8, "--target-modules", "all-linear",
         "--max-steps", 2, "--learning-rate", 1e-2, "--gradient-accumulation-steps", 1, "--use-dora", str(kind == "dora").lower())
    call(pairtune, "score", *common, "--adapter", adapter, "--output", scores)
    rows = [json.loads(line) for line in scores.read_text().splitlines()]

    config = PeftConfig.from_pretrained(adapter)
    base = load(model)
    of_base = worst(base, rows)
    tuned = get_peft_model(base, config)
    result = set_peft_model_state_dict(tuned, load_file(adapter / "adapter_model.safetensors"))
    missing = [key for key in result.missing_keys if "lora_" in key]
    found = worst(tuned.eval(), rows)
    call(pairtune, "merge", "--model", model, "--adapter", adapter, "--output", merged)
    of_merged = worst(load(merged), rows)
    # bf16 weights are rounded once more when they are merged: 8 bits, over some tens of tokens.
    rounded = 0.5 if dtype_of(model) == "bfloat16" else SUM_LOGP
    ok = not missing and not result.unexpected_keys and found <= SUM_LOGP and of_merged <= rounded and of_base > 10 * SUM_LOGP
    print(f"{case.name:24} {kind}: tensors missing {len(missing)}, unexpected {len(result.unexpected_keys)}; log-probabilities "
          f"differ by {found:.1e} in PEFT, {of_merged:.1e} merged, {of_base:.2f} without  {'ok' if ok else 'FAILED'}", flush=True)
    return ok


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--pairtune", required=True, type=Path)
    parser.add_argument("--cases", default="")
    args = parser.parse_args()
    fixtures = Path(__file__).parent / "fixtures"
    names = args.cases.split(",") if args.cases else sorted(p.parent.name for p in fixtures.glob("*/case.json"))
    failed = 0
    for name in names:
        for kind in ("lora", "dora"):
            with tempfile.TemporaryDirectory() as tmp:
                failed += not check(args.pairtune.absolute(), fixtures / name, kind, Path(tmp))
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main())
