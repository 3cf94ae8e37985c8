#!/usr/bin/env python3
"""By hand: is a base that pairtune quantises at load the base that PyTorch has with the same weights, and what does it
cost?

    python tests/quantised_check.py PAIRTUNE MODEL PAIRS OUT [--pairs 32] [--steps 12] [--only agree|cost|runs]

MODEL is a Hugging Face folder of a Llama or a like decoder, PAIRS a JSON Lines file. Needs torch, transformers, peft
and safetensors. For int8, int4 and nf4 the script quantises the decoder's linear layers by the rules of
`src/reference/quantise.rs`, in numpy, and writes the weights that are left as a folder of its own.

agree   `pairtune score --load-in` on MODEL against transformers on that folder, a sequence (2e-2), and the gradients of
        an adapter with random A and B after one step against autograd's, relative L2 (1e-3).
cost    Against the full weights, in transformers: perplexity of the chosen answers, mean |change of log p| of a token,
        cosine of the gradients.
runs    The same short run with each base in pairtune: accuracy of held-out pairs before and after.
"""

import argparse
import json
import pathlib
import shutil
import subprocess

import numpy as np
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

FORMATS = ["int8", "int4", "nf4"]
SIDES = ["chosen", "rejected"]
NF4 = np.array([
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
    -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
    0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0], dtype=np.float32)
BETA = 0.1


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ["pairtune", "model", "pairs", "out"]:
        parser.add_argument(name)
    parser.add_argument("--pairs", dest="n_pairs", type=int, default=32)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--only", choices=["agree", "cost", "runs"])
    args = parser.parse_args()
    torch.manual_seed(1)
    out = pathlib.Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    few = out / "pairs.jsonl"
    few.write_text("".join(f"{line}\n" for line in pathlib.Path(args.pairs).read_text().splitlines()[:args.n_pairs]))
    write_folders(args.model, out)
    adapter = out / "adapter"
    if not adapter.exists():
        write_adapter(args.model, adapter)
    if args.only in (None, "agree"):
        for name in FORMATS:
            agree(args.pairtune, args.model, few, out, name, adapter)
    if args.only in (None, "cost"):
        cost(args.model, few, out, adapter)
    if args.only in (None, "runs"):
        for name in ["stored", *FORMATS]:
            short_run(args.pairtune, args.model, args.pairs, out, name, args.steps)


# The weights.

def write_folders(model, out):
    """A folder for the full weights in f32, and one for what each format leaves of them."""
    weights = load_file(pathlib.Path(model) / "model.safetensors")
    for name in ["stored", *FORMATS]:
        folder = out / name
        if (folder / "model.safetensors").exists():
            continue
        shutil.copytree(model, folder, dirs_exist_ok=True)
        left, off, all_ = {}, 0.0, 0.0
        for key, tensor in weights.items():
            w = tensor.float().numpy()
            is_linear = w.ndim == 2 and ".layers." in key and w.shape[1] % 64 == 0
            if is_linear and name != "stored":
                q = globals()[name](w.reshape(-1)).reshape(w.shape)
                off, all_ = off + ((q - w).astype(np.float64) ** 2).sum(), all_ + (w.astype(np.float64) ** 2).sum()
                w = q
            left[key] = torch.from_numpy(np.ascontiguousarray(w, dtype=np.float32))
        save_file(left, folder / "model.safetensors", metadata={"format": "pt"})
        config = json.loads((folder / "config.json").read_text())
        config["dtype"] = "float32"
        (folder / "config.json").write_text(json.dumps(config))
        if all_:
            print(f"{name}: error of the linear layers' weights {np.sqrt(off / all_):.4f} of their size", flush=True)


def int8(w):
    blocks = w.reshape(-1, 32)
    largest = np.abs(blocks).max(1)
    scale = (largest * np.float32(1 / 127)).astype(np.float16).astype(np.float64)[:, None]
    return (nearest(blocks, scale, -127, 127) * scale).astype(np.float32)


def int4(w):
    blocks = w.reshape(-1, 32)
    furthest = blocks[np.arange(len(blocks)), np.abs(blocks).argmax(1)]
    sign = np.where(furthest > 0, -1.0, 1.0)[:, None]
    best, least = np.zeros(blocks.shape), np.full(len(blocks), np.inf)
    for k in range(28, 43):
        scale = (np.abs(furthest) * np.float32(k / 256)).astype(np.float16).astype(np.float64)[:, None]
        values = sign * nearest(sign * blocks, scale, -8, 7) * scale
        error = ((values - blocks) ** 2).sum(1)
        better = error < least
        best[better], least[better] = values[better], error[better]
    return best.astype(np.float32)


def nf4(w):
    blocks = w.reshape(-1, 64)
    scale = np.abs(blocks).max(1)[:, None]
    middles = ((NF4[1:].astype(np.float64) + NF4[:-1]) / 2).astype(np.float32)
    places = sum((blocks > middle * scale).astype(np.int64) for middle in middles)
    return NF4[places] * scale


def nearest(x, scale, low, high):
    """Whole numbers that times the scale are nearest to x, the lower one of two."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(scale == 0, 0, np.clip(np.ceil(x.astype(np.float64) / scale - 0.5), low, high))


# What both compute.

def write_adapter(model, folder):
    """LoRA of rank 8 on all linear layers, A and B random."""
    base = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    lora = LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM")
    tuned = get_peft_model(base, lora)
    for name, parameter in tuned.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.02)
    tuned.save_pretrained(folder)


def run(*command):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}\n{done.stderr}")
    return done.stdout


def scored(pairtune, model, pairs, file, load_in):
    run(pairtune, "score", "--model", model, "--pairs", pairs, "--output", file, "--load-in", load_in)
    return [json.loads(line) for line in file.read_text().splitlines()]


def token_logps(model, ids, prompt_len):
    """Log-probabilities of the tokens of a completion."""
    logits = model(torch.tensor([ids]), use_cache=False).logits[0, :-1].log_softmax(-1)
    return logits[torch.arange(len(ids) - 1), torch.tensor(ids[1:])][prompt_len - 1:]


def torch_gradients(folder, pairs, adapter):
    """Gradients of the first step: the DPO loss of all pairs, measured against the base."""
    base = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tuned = PeftModel.from_pretrained(base, adapter, is_trainable=True)
    for pair in pairs:
        policy = [token_logps(tuned, pair[f"{side}_ids"], pair["prompt_len"]).sum() for side in SIDES]
        with torch.no_grad(), tuned.disable_adapter():
            known = [token_logps(tuned, pair[f"{side}_ids"], pair["prompt_len"]).sum() for side in SIDES]
        margin = BETA * ((policy[0] - known[0]) - (policy[1] - known[1]))
        (-torch.nn.functional.logsigmoid(margin) / len(pairs)).backward()
    key = lambda name: name.replace(".default", "")
    return {key(name): p.grad.numpy() for name, p in tuned.named_parameters() if p.grad is not None}


def agree(pairtune, model, pairs, out, name, adapter):
    lines = scored(pairtune, model, pairs, out / f"{name}.jsonl", name)
    plain = AutoModelForCausalLM.from_pretrained(out / name, dtype=torch.float32)
    worst = 0.0
    with torch.no_grad():
        for line in lines:
            for side in SIDES:
                want = token_logps(plain, line[f"{side}_ids"], line["prompt_len"]).sum().item()
                worst = max(worst, abs(want - line[f"{side}_logp"]))
    print(f"{name}: log-probabilities of {2 * len(lines)} sequences agree to {worst:.1e} (2e-2)", flush=True)
    step = out / f"step-{name}"
    shutil.rmtree(step, ignore_errors=True)
    few = out / "few.jsonl"
    few.write_text("".join(f"{line}\n" for line in pairs.read_text().splitlines()[:8]))
    run(pairtune, "train", "--model", model, "--pairs", few, "--output", step, "--adapter", adapter, "--load-in", name,
        "--max-steps", 1, "--save-steps", 1, "--max-grad-norm", 0, "--per-device-train-batch-size", 8,
        "--gradient-accumulation-steps", 1, "--beta", BETA, "--no-cache")
    moments = load_file(step / "checkpoint-1/optimizer.safetensors")
    want = torch_gradients(out / name, lines[:8], adapter)
    off = size = 0.0
    for key, gradient in want.items():
        # Adam's first moment after a step is a tenth of the gradient.
        got = moments[f"exp_avg.{key}"].numpy() * 10
        off, size = off + ((got - gradient) ** 2).sum(), size + (gradient ** 2).sum()
    print(f"{name}: gradients of {len(want)} matrices agree to {np.sqrt(off / size):.1e} (1e-3)", flush=True)
    if not (worst <= 2e-2 and off <= 1e-6 * size):
        raise SystemExit("that is too much")


def tokens_of(model, pairs):
    """Pairs of strings as TRL reads them: prompt and answer by themselves, then the token that ends a text."""
    tokenizer = AutoTokenizer.from_pretrained(model)
    for line in pairs.read_text().splitlines():
        pair = json.loads(line)
        prompt = tokenizer(pair["prompt"]).input_ids
        ids = {f"{side}_ids": prompt + tokenizer(pair[side]).input_ids + [tokenizer.eos_token_id] for side in SIDES}
        yield {"prompt_len": len(prompt), **ids}


def cost(model, pairs, out, adapter):
    lines = list(tokens_of(model, pairs))
    full = gradients = None
    for name in ["stored", *FORMATS]:
        plain = AutoModelForCausalLM.from_pretrained(out / name, dtype=torch.float32)
        with torch.no_grad():
            logps = torch.cat([token_logps(plain, line["chosen_ids"], line["prompt_len"]) for line in lines])
        flat = np.concatenate([g.ravel() for g in torch_gradients(out / name, lines[:8], adapter).values()])
        if full is None:
            full, gradients = logps, flat
        cosine = flat @ gradients / np.linalg.norm(flat) / np.linalg.norm(gradients)
        change = (logps - full).abs().mean().item()
        print(f"{name}: perplexity {torch.exp(-logps.mean()).item():.3f} ({len(logps)} tokens), mean |change of log p| "
              f"{change:.4f}, cosine of the gradients {cosine:.5f}", flush=True)


def short_run(pairtune, model, pairs, out, name, steps):
    folder = out / f"run-{name}"
    shutil.rmtree(folder, ignore_errors=True)
    run(pairtune, "train", "--model", model, "--pairs", pairs, "--output", folder, "--load-in", name, "--max-steps",
        steps, "--per-device-train-batch-size", 8, "--gradient-accumulation-steps", 1, "--learning-rate", 2e-4,
        "--eval-split", 0.1, "--no-cache")
    history = json.loads((folder / "trainer_state.json").read_text())["log_history"]
    before, after = [entry for entry in history if "eval_loss" in entry]
    of = lambda entry, key: entry[f"eval_{key}"]
    accuracy = [of(entry, "preference_accuracy") for entry in (before, after)]
    print(f"{name}: held-out accuracy {accuracy[0]:.3f} to {accuracy[1]:.3f}, "
          f"by reward {of(after, 'rewards/accuracies'):.3f}, margin {of(after, 'rewards/margins'):.4f}, loss "
          f"{of(after, 'loss'):.4f} after {steps} steps", flush=True)


if __name__ == "__main__":
    main()
