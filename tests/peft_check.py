#!/usr/bin/env python3
"""Check pairtune against transformers, PEFT and TRL on a real model folder.  Run by hand:

    python tests/peft_check.py --pairtune target/release/pairtune \
        --model assets/demo/model --pairs assets/demo/pairs.jsonl

Five checks, each a few lines of the table that is printed; the exit status is 1 if any line fails.

    train     `pairtune train` writes an adapter folder that PEFT loads without missing or unexpected
              tensors, and that changes the model
    score     `pairtune score` with that adapter: token ids as TRL makes them, and log-probabilities
              as transformers + PEFT compute them in float32 from the same ids
    merge     `pairtune merge` writes a folder that transformers loads; its weights and logits are
              those of PEFT's merge_and_unload stored in the same type
    steps     `pairtune train --adapter` and TRL's DPOTrainer start from the same adapter and take the
              pairs in file order: loss and grad_norm of every step agree
    final     the adapters both end with agree

Needs torch, transformers, peft, trl, datasets, safetensors.  No network, no GPU for the Python side.
Works with any supported model folder and any pairs file of strings; a big model takes its time.
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1", HF_DATASETS_OFFLINE="1", TOKENIZERS_PARALLELISM="false",
                  TRANSFORMERS_VERBOSITY="error", TQDM_DISABLE="1", HF_HUB_DISABLE_PROGRESS_BARS="1", CUDA_VISIBLE_DEVICES="")
warnings.filterwarnings("ignore")

import datasets  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict  # noqa: E402
from safetensors.torch import load_file  # noqa: E402
from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: E402
from trl import DPOConfig, DPOTrainer  # noqa: E402

datasets.disable_progress_bars()

# Largest differences allowed.
SUM_LOGP = 5e-3      # summed log-probability of one answer, nats
TOKEN_LOGP = 1e-4    # the same divided by its tokens
LOGITS = 2e-3        # of the merged models; a weight may be rounded to the neighbouring value
STEP = 5e-4          # loss and grad_norm of one step
UPDATE = 1e-2        # final adapters: relative L2 difference of what training changed

# Settings of both training runs, under TRL's names.
SETTINGS = {"beta": 0.1, "loss_type": "sigmoid", "learning_rate": 1e-3, "lr_scheduler_type": "linear", "warmup_steps": 0,
            "weight_decay": 0.0, "max_grad_norm": 1.0, "per_device_train_batch_size": 4, "gradient_accumulation_steps": 1,
            "max_length": 128, "seed": 7, "train_sampling_strategy": "sequential"}
LORA = {"r": 8, "lora_alpha": 16}


class Table:
    """Lines of results, printed as they come."""

    def __init__(self):
        self.failed = 0
        print(f"{'check':8} {'what':58} {'found':>12} {'allowed':>12}  result")

    def line(self, check, what, found, allowed, ok):
        self.failed += not ok
        show = [f"{v:.3g}" if isinstance(v, float) else str(v) for v in (found, allowed)]
        print(f"{check:8} {what:58} {show[0]:>12} {show[1]:>12}  {'ok' if ok else 'FAILED'}", flush=True)

    def below(self, check, what, found, limit):
        self.line(check, what, float(found), float(limit), found <= limit)  # not-a-number fails

    def same(self, check, what, found, wanted):
        self.line(check, what, found, wanted, found == wanted)


def worse(a, b):
    """The larger of two differences; one that is not a number counts as the largest."""
    return a if b <= a else b


def call(command):
    """Run pairtune; stop here if it fails."""
    print("$ " + shlex.join(map(str, command)), flush=True)
    start = time.time()
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"exit status {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    print(f"  {time.time() - start:.1f} s", flush=True)


def flags(settings):
    """Settings as command line options: max_grad_norm=1.0 is `--max-grad-norm 1.0`."""
    return [x for k, v in settings.items() for x in ("--" + k.replace("_", "-"), str(v))]


def read_lines(path):
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines() if line.strip()]


def load_base(args):
    return AutoModelForCausalLM.from_pretrained(args.model, dtype=torch.float32).eval()


def load_with_adapter(args, adapter, table=None):
    """The model in float32 with an adapter; with a table, the adapter's tensor names are checked."""
    model = PeftModel.from_pretrained(load_base(args), adapter).eval()
    if table:
        stored = set(load_file(Path(adapter) / "adapter_model.safetensors"))
        wanted = set(get_peft_model_state_dict(model))
        table.same("train", "adapter tensors PEFT expects and does not find", len(wanted - stored), 0)
        table.same("train", "adapter tensors PEFT does not know", len(stored - wanted), 0)
    return model


@torch.no_grad()
def log_prob(model, ids, mask):
    """(sum, number) of the log-probabilities of the tokens whose mask is 1, the first token excepted."""
    ids = torch.tensor([ids])
    logp = model(input_ids=ids).logits[0, :-1].double().log_softmax(-1).gather(1, ids[0, 1:, None])[:, 0]
    keep = torch.tensor(mask[1:], dtype=torch.bool)
    return logp[keep].sum().item(), int(keep.sum())


def trl_tokens(tok, pair, max_length):
    """The ids of both sides and the prompt's length, as TRL makes them from strings (oracle rules 1 to 5)."""
    eos = tok.eos_token
    texts = {s: pair[s] if pair[s].endswith(eos) else pair[s] + eos for s in ("chosen", "rejected")}
    prompt = tok(text=pair["prompt"])["input_ids"]
    full = {s: tok(text=pair["prompt"] + t)["input_ids"] for s, t in texts.items()}

    def common(a, b):
        return next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))
    n = min(common(prompt, ids) for ids in full.values())
    return n, {s: ids[:max_length] for s, ids in full.items()}


def check_scores(args, table, tmp, adapter):
    scores = tmp / "scores.jsonl"
    call([args.pairtune, "score", "--model", args.model, "--pairs", args.pairs, "--adapter", adapter, "--output", scores])
    rows, pairs = read_lines(scores), read_lines(args.pairs)
    table.line("score", "pairs scored, of those in the file", len(rows), len(pairs), 0 < len(rows) <= len(pairs))
    tok = AutoTokenizer.from_pretrained(args.model)
    policy, base = load_with_adapter(args, adapter, table), load_base(args)
    worst_sum = worst_token = moved = 0.0
    wrong_ids = wrong_masks = 0
    for row in rows[:args.rows]:
        longest = max(len(row["chosen_ids"]), len(row["rejected_ids"]))
        n, ids = trl_tokens(tok, pairs[row["row"]], longest)
        for side in ("chosen", "rejected"):
            got, mask = row[f"{side}_ids"], row[f"{side}_mask"]
            wrong_ids += got != ids[side]
            wrong_masks += row["prompt_len"] != n or [int(m) for m in mask] != [0] * n + [1] * (len(got) - n)
            wanted, count = log_prob(policy, got, mask)
            d = abs(wanted - row[f"{side}_logp"])
            worst_sum, worst_token = worse(worst_sum, d), worse(worst_token, d / max(count, 1))
            moved = max(moved, abs(wanted - log_prob(base, got, mask)[0]))
    table.same("score", f"sequences of {len(rows[:args.rows])} pairs with other ids than TRL's", wrong_ids, 0)
    table.same("score", "sequences with another prompt length or mask", wrong_masks, 0)
    table.below("score", "log-probability, sum, against PEFT in float32", worst_sum, SUM_LOGP)
    table.below("score", "log-probability, per token", worst_token, TOKEN_LOGP)
    table.line("train", "log-probabilities moved by the adapter, at least", moved, 2 * SUM_LOGP, moved >= 2 * SUM_LOGP)


@torch.no_grad()
def check_merge(args, table, tmp, adapter):
    merged = tmp / "merged"
    call([args.pairtune, "merge", "--model", args.model, "--adapter", adapter, "--output", merged])
    stored = {}
    for file in sorted(merged.glob("*.safetensors")):
        stored.update(load_file(file))
    dtypes = {t.dtype for t in stored.values()}
    table.same("merge", "types of the stored weights", len(dtypes), 1)
    dtype = dtypes.pop()

    policy = load_with_adapter(args, adapter)
    reference = load_with_adapter(args, adapter).merge_and_unload().to(dtype)
    reference.save_pretrained(tmp / "peft_merged")
    wanted = {}
    for file in sorted((tmp / "peft_merged").glob("*.safetensors")):
        wanted.update(load_file(file))
    table.same("merge", f"names of the weights differ ({dtype})", len(set(stored) ^ set(wanted)), 0)
    off, elements, apart = 0, 0, 0.0
    for name in set(stored) & set(wanted):
        a, b = stored[name], wanted[name]
        if a.shape != b.shape:
            table.same("merge", f"shape of {name}", tuple(a.shape), tuple(b.shape))
            continue
        off, elements = off + int((a != b).sum()), elements + a.numel()
        # In units of the last place of the larger value.
        step = torch.finfo(dtype).eps * torch.maximum(a.float().abs(), b.float().abs()).clamp_min(torch.finfo(dtype).tiny)
        apart = worse(apart, ((a.float() - b.float()).abs() / step).max().item())
    limit = 16.0 if dtype == torch.float32 else 1.0
    table.below("merge", "weights, largest difference, units in the last place", apart, limit)
    table.below("merge", "weights that differ at all, share", off / max(elements, 1), 1.0 if dtype == torch.float32 else 0.01)

    ours = AutoModelForCausalLM.from_pretrained(merged, dtype=torch.float32).eval()
    theirs = AutoModelForCausalLM.from_pretrained(tmp / "peft_merged", dtype=torch.float32).eval()
    tok, base_tok = AutoTokenizer.from_pretrained(merged), AutoTokenizer.from_pretrained(args.model)
    worst, rounding, other_ids = 0.0, 0.0, 0
    for pair in read_lines(args.pairs)[:8]:
        ids = tok(text=pair["prompt"] + pair["chosen"])["input_ids"]
        other_ids += ids != base_tok(text=pair["prompt"] + pair["chosen"])["input_ids"]
        ids = torch.tensor([ids])
        a, b, c = (m(input_ids=ids).logits for m in (ours, theirs, policy))
        worst, rounding = worse(worst, (a - b).abs().max().item()), worse(rounding, (a - c).abs().max().item())
    table.same("merge", "texts its tokenizer splits otherwise than the base's", other_ids, 0)
    table.below("merge", "logits against PEFT's merged model, both as stored", worst, LOGITS)
    print(f"{'':8} logits, merged as {dtype} against base + adapter: {rounding:.3g} (the price of rounding, no check)")


def check_steps(args, table, tmp, targets):
    """The same steps by both trainers, from an adapter whose A is random and whose B is zero."""
    torch.manual_seed(SETTINGS["seed"])
    lora = LoraConfig(**LORA, target_modules=targets, lora_dropout=0.0, bias="none", task_type="CAUSAL_LM")
    first = tmp / "first"
    get_peft_model(load_base(args), lora).save_pretrained(first)
    last = tmp / "last"
    call([args.pairtune, "train", "--model", args.model, "--pairs", args.pairs, "--adapter", first, "--output", last,
          *flags({**SETTINGS, "max_steps": args.steps}), *shlex.split(args.train_args)])
    ours = [m for m in read_lines(last / "metrics.jsonl") if "loss" in m and "grad_norm" in m]

    data = datasets.Dataset.from_list([{k: p[k] for k in ("prompt", "chosen", "rejected")} for p in read_lines(args.pairs)])
    start = load_file(first / "adapter_model.safetensors")
    config = DPOConfig(output_dir=str(tmp / "trl"), report_to="none", save_strategy="no", logging_steps=1, disable_tqdm=True,
                       use_cpu=True, bf16=False, fp16=False, gradient_checkpointing=False, dataloader_num_workers=0,
                       **{**SETTINGS, "max_steps": args.steps, "loss_type": [SETTINGS["loss_type"]]})
    # A new adapter, so that the reference is the base model; then the same start as ours.
    trainer = DPOTrainer(model=load_base(args), args=config, train_dataset=data, processing_class=AutoTokenizer.from_pretrained(args.model),
                         peft_config=lora)
    set_peft_model_state_dict(trainer.model, start)
    trainer.remove_callback(transformers.PrinterCallback)
    trainer.train()
    theirs = [m for m in trainer.state.log_history if "loss" in m]

    table.same("steps", "steps logged", len(ours), len(theirs))
    for i, (a, b) in enumerate(zip(ours, theirs)):
        for key in ("loss", "grad_norm"):
            table.below("steps", f"step {i + 1} {key}: {a[key]:.6f}, TRL {b[key]:.6f}", abs(a[key] - b[key]), STEP)
    for key in ("learning_rate", "rewards/chosen", "rewards/rejected", "rewards/accuracies", "logps/chosen", "logps/rejected"):
        both = [(a[key], b[key]) for a, b in zip(ours, theirs) if key in a and key in b]
        if both:
            allowed = {"learning_rate": 1e-8, "logps/chosen": SUM_LOGP, "logps/rejected": SUM_LOGP}.get(key, STEP)
            table.below("steps", f"{key}, largest difference over {len(both)} steps", max(abs(x - y) for x, y in both), allowed)

    end, wanted = load_file(last / "adapter_model.safetensors"), get_peft_model_state_dict(trainer.model)
    table.same("final", "names of the adapters' tensors differ", len(set(end) ^ set(wanted)), 0)
    names = sorted(set(end) & set(wanted))
    apart = sum((end[n].double() - wanted[n].double()).pow(2).sum() for n in names)
    update = sum((wanted[n].double() - start[n].double()).pow(2).sum() for n in names)
    table.below("final", "adapters, relative L2 difference of the update", (apart / update).sqrt().item(), UPDATE)


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("--pairtune", type=Path, required=True, help="the binary")
    ap.add_argument("--model", type=Path, required=True, help="a Hugging Face model folder")
    ap.add_argument("--pairs", type=Path, required=True, help="JSON lines with prompt, chosen and rejected as strings")
    ap.add_argument("--rows", type=int, default=32, help="pairs whose scores are checked (default 32)")
    ap.add_argument("--steps", type=int, default=3, help="optimiser steps of each training run (default 3)")
    ap.add_argument("--targets", default="q_proj,k_proj,v_proj,o_proj,gate_proj,up_proj,down_proj",
                    help="modules that get an adapter, separated by commas (default: all seven of a Llama)")
    ap.add_argument("--train-args", default="", help="more options for `pairtune train`, as one string")
    ap.add_argument("--keep", type=Path, help="put the files here and keep them")
    args = ap.parse_args()
    torch.set_num_threads(1)
    args.pairtune = args.pairtune.resolve()

    with tempfile.TemporaryDirectory() as scratch:
        tmp = args.keep or Path(scratch)
        tmp.mkdir(parents=True, exist_ok=True)
        table = Table()
        adapter = tmp / "adapter"
        call([args.pairtune, "train", "--model", args.model, "--pairs", args.pairs, "--output", adapter,
              *flags({**SETTINGS, **LORA, "target_modules": args.targets, "max_steps": args.steps}), *shlex.split(args.train_args)])
        check_scores(args, table, tmp, adapter)
        check_merge(args, table, tmp, adapter)
        check_steps(args, table, tmp, args.targets.split(","))
    print(f"\n{table.failed} failed" if table.failed else "\nall as PEFT and TRL have it")
    sys.exit(1 if table.failed else 0)


if __name__ == "__main__":
    main()
