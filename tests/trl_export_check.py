#!/usr/bin/env python3
"""`pairtune export --to trl` in the real TRL: run by `check.sh full`, and by hand.

For a golden case of each method (tests/fixtures/oracle2) a run of two steps is trained, and then three more from its
adapter: by `pairtune train`, and by the folder that `pairtune export --to trl` writes, on one process and on two, with
torch on the CPU in float32. The losses must agree step by step, and the adapter that comes back must load.

Two processes share a step in two ways: "micro" gives each its own micro-batches, "rows" each its rows of every
micro-batch. Where TRL's loss looks at a whole micro-batch, "rows" computes something else, which is told and not held
against it: DIFFERS says where, and why.

    tests/trl_export_check.py [--only CASES] [--keep FOLDER]      CARGO_TARGET_DIR says where the program is
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CASES = ROOT / "tests/fixtures/oracle2"
PAIRTUNE = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug/pairtune"
STEPS = 3
TOLERANCE = 1e-3

# Case and run -> its settings beside those of the case.
RUNS = [
    ("dpo_losses", "sigmoid", {}),
    ("dpo_losses", "initial_reference_nca", {}),
    ("sft_prompt_completion", "b_rand", {"per_device_train_batch_size": 4}),
    ("sft_chat", "completion_and_assistant", {}),
    ("reward_lora", "margin", {}),
    # Of its rows ten are short enough: three steps of four would come to the end, where accelerate fills a batch up.
    ("reward_pad_is_eos", "b_rand", {"per_device_train_batch_size": 2}),
    ("kto", "b_rand", {}),
    ("kto", "apo_zero_unpaired", {}),
    ("orpo", "b_rand", {}),
    ("simpo", "simpo", {}),
    ("simpo", "simpo_nll", {}),
    ("grpo_replay", "grpo_kl", {}),
    ("grpo_replay", "dapo_default", {}),
    ("rloo_replay", "default", {}),
]

# What two processes compute otherwise, by how they share a step.
DIFFERS = {
    ("kto", "b_rand", "micro"): "the KL is a mean over both processes' micro-batches",
    ("kto", "b_rand", "rows"): "a prompt gets the answer of the row before it in its own process's micro-batch",
    ("orpo", "b_rand", "rows"): "the mean over tokens becomes a mean of two means",
    ("simpo", "simpo_nll", "rows"): "the mean over tokens of the chosen answers becomes a mean of two means",
}

failures = []


def run(*command, **more):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, **more)
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))}\n{done.stdout[-2000:]}{done.stderr[-3000:]}")
    return done.stdout


def line(name, what, good, says):
    print(f"{'ok   ' if good else 'WRONG'} {name:<36} {what:<14} {says}", flush=True)
    if not good:
        failures.append(f"{name} {what}: {says}")


def losses_of(metrics):
    return [row["loss"] for row in map(json.loads, metrics.open()) if "loss" in row][:STEPS]


def in_trl(folder, output, processes):
    """The losses of an exported folder. `accelerate launch --cpu` starts one process, however many are asked for, where
    there is no MPI; torch's launcher starts them, and accelerate takes them as they are."""
    script = [folder / "train.py", "--float32", "--output", output]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TRL_EXPERIMENTAL_SILENCE": "1", "OMP_NUM_THREADS": "1",
                   "TOKENIZERS_PARALLELISM": "false", "ACCELERATE_USE_CPU": "true"}
    if processes == 1:
        one = folder / "accelerate/one.yaml"
        run(sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--config_file", one, *script, env=environment)
    else:
        run(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", processes, *script,
            env=environment)
    history = json.loads((output / "trainer_state.json").read_text())["log_history"]
    return [row["loss"] for row in history if "loss" in row][:STEPS]


def apart(ours, theirs):
    if len(ours) != len(theirs) or not ours:
        return float("inf")
    return max(abs(a - b) / max(1.0, abs(a)) for a, b in zip(ours, theirs))


def check(place, case, name, more):
    case_dir, label = CASES / case, f"{case} {name}"
    spec = json.loads((case_dir / "case.json").read_text())
    method, golden = spec["method"], spec["runs"][name]
    online = method in ("grpo", "rloo")
    model = ["--model", case_dir / "model"]
    data = ["--rollouts", case_dir / "rollouts.jsonl"] if online else ["--data", case_dir / golden["data"]]
    config = {**golden["config"], "reference": golden["reference"], "seed": 0, "eval_split": 0, "max_steps": 2, **more}
    place.mkdir(parents=True)
    (place / "first.json").write_text(json.dumps(config))
    run(PAIRTUNE, "train", "--no-cache", "--method", method, *model, *data, "--config", place / "first.json",
        "--adapter", case_dir / golden["initial_adapter"], "--output", place / "run")

    # The same rows in a step, in one micro-batch and in two.
    whole, steps = config["per_device_train_batch_size"], config["gradient_accumulation_steps"]
    rows = whole * steps if online else whole
    shapes = {"rows": (rows, 1), "micro": (rows // 2, 2)}
    for shape, (batch, accumulation) in shapes.items():
        asked = {"max_steps": STEPS, "per_device_train_batch_size": batch, "gradient_accumulation_steps": accumulation}
        if online:
            asked["steps_per_generation"] = accumulation
        folder = place / shape
        folder.mkdir()
        (folder / "asked.json").write_text(json.dumps(asked))
        run(PAIRTUNE, "export", "--to", "trl", place / "run", *model, *data, "--config", folder / "asked.json",
            "--output", folder / "trl")
        settings = json.loads((place / "run/pairtune_settings.json").read_text())
        (folder / "all.json").write_text(json.dumps({**settings, **asked}))
        run(PAIRTUNE, "train", "--no-cache", "--method", method, *model, *data, "--config", folder / "all.json",
            "--adapter", place / "run", "--output", folder / "ours")
        ours = losses_of(folder / "ours/metrics.jsonl")
        told = " ".join(f"{loss:.4f}" for loss in ours)
        if shape == "rows":
            theirs = in_trl(folder / "trl", folder / "one", 1)
            far = apart(ours, theirs)
            line(label, "one process", far <= TOLERANCE, f"losses {told}; TRL's differ by {far:.1e}")
            check_adapter(label, folder, model, case_dir, method)
        theirs = in_trl(folder / "trl", folder / "two", 2)
        far, why = apart(ours, theirs), DIFFERS.get((case, name, shape))
        says = f"losses {told}; TRL's differ by {far:.1e}" + (f": {why}" if why else "")
        line(label, f"two, {shape}", far <= TOLERANCE or bool(why), says)
        if why and far <= TOLERANCE:
            line(label, f"two, {shape}", False, "they agree: take this out of DIFFERS")


def check_adapter(label, folder, model, case_dir, method):
    """The adapter that TRL wrote computes here what ours does."""
    if method == "reward":
        config = json.loads((folder / "all.json").read_text())
        config.update(max_steps=1)
        (folder / "again.json").write_text(json.dumps(config))
        first = []
        for adapter in ("one", "ours"):
            run(PAIRTUNE, "train", "--no-cache", "--method", method, *model, "--data", case_dir / "data.jsonl",
                "--config", folder / "again.json", "--adapter", folder / adapter, "--output", folder / f"again-{adapter}")
            first.append(losses_of(folder / f"again-{adapter}/metrics.jsonl")[0])
        far = abs(first[0] - first[1])
        line(label, "comes back", far <= 5e-3, f"the next loss differs by {far:.1e}")
        return
    pairs = folder / "pairs.jsonl"
    pairs.write_text('{"prompt": "The", "chosen": " river", "rejected": " old house"}\n')
    scores = []
    for adapter in ("one", "ours"):
        run(PAIRTUNE, "score", *model, "--adapter", folder / adapter, "--pairs", pairs, "--output",
            folder / "score.jsonl")
        row = json.loads((folder / "score.jsonl").read_text().splitlines()[0])
        scores.append([value for key, value in row.items() if "logp" in key and isinstance(value, float)])
    far = max(abs(a - b) for a, b in zip(*scores)) if scores[0] else float("inf")
    line(label, "comes back", far <= 5e-2, f"log-probabilities differ by {far:.1e}")


def check_defaults(place):
    """TRL takes every setting of every method, at pairtune's defaults."""
    for method, case in {"dpo": "dpo_losses", "sft": "sft_prompt_completion", "reward": "reward_lora", "kto": "kto",
                         "orpo": "orpo", "cpo": "simpo", "grpo": "grpo_replay", "rloo": "rloo_replay"}.items():
        folder = place / f"defaults-{method}"
        place.mkdir(parents=True, exist_ok=True)
        (place / "empty.json").write_text("{}")
        data = ["--rollouts", CASES / case / "rollouts.jsonl"] if method in ("grpo", "rloo") else [
            "--data", CASES / case / "data.jsonl"]
        run(PAIRTUNE, "export", "--to", "trl", "--method", method, "--config", place / "empty.json", "--model",
            CASES / case / "model", *data, "--output", folder)
        take = ("import json, sys; sys.path.insert(0, sys.argv[1]); import train; s = json.load(open(sys.argv[1] + "
                "'/settings.json')); train.LoraConfig(**s['lora']); train.Config(output_dir='x', bf16=False, "
                "**train.shared(s['trl'], 2))")
        run(sys.executable, "-c", take, folder, env={**os.environ, "TRL_EXPERIMENTAL_SILENCE": "1"})
        line(f"defaults {method}", "settings", True, "TRL and PEFT take them")


def check_sampling(place):
    """GRPO and RLOO sample answers of their own, and rules and reward models of ours judge them."""
    for method, case in {"grpo": "grpo_replay", "rloo": "rloo_replay"}.items():
        folder, model = place / f"samples-{method}", ["--model", CASES / case / "model"]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "first.json").write_text(json.dumps({"max_steps": 1, "r": 4, "max_length": 128}))
        run(PAIRTUNE, "train", "--no-cache", "--method", "reward", *model, "--data", CASES / "reward_lora/data.jsonl",
            "--config", folder / "first.json", "--output", folder / "judge")
        (folder / "asked.json").write_text(json.dumps({
            "max_steps": 1, "r": 4, "num_generations": 4, "max_completion_length": 8, "eval_split": 0.2,
            "per_device_train_batch_size": 4, "gradient_accumulation_steps": 1}))
        run(PAIRTUNE, "export", "--to", "trl", "--method", method, "--config", folder / "asked.json", *model, "--data",
            CASES / case / "prompts.jsonl", "--reward", "length:8", "--reward", "contains:e", "--reward-model",
            folder / "judge", "--output", folder / "trl")
        losses = in_trl(folder / "trl", folder / "one", 1)
        last = json.loads((folder / "one/trainer_state.json").read_text())["log_history"]
        names = {key.split("/")[1] for row in last for key in row if key.startswith(("rewards/", "eval_rewards/"))}
        evaluated = any("eval_loss" in row for row in last)
        good = len(losses) == 1 and names == {"length", "contains", "judge"} and evaluated
        line(f"{method} samples", "one process", good, f"loss {losses}, rewards {sorted(names)}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help="cases, separated by commas")
    parser.add_argument("--keep", help="folder in which runs and exports stay")
    args = parser.parse_args()
    wanted = args.only.split(",") if args.only else None
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(args.keep or scratch)
        for number, (case, name, more) in enumerate(RUNS):
            if wanted and case not in wanted and f"{case}:{name}" not in wanted:
                continue
            try:
                check(place / f"{number}-{case}-{name}", case, name, more)
            except Exception as error:  # the others still count
                line(f"{case} {name}", "", False, f"{type(error).__name__}: {error}")
        for name, more in (("defaults", check_defaults), ("samples", check_sampling)):
            try:
                if not wanted or name in wanted:
                    more(place)
            except Exception as error:
                line(name, "", False, f"{type(error).__name__}: {error}")
    print(f"{len(failures)} failures" + "".join(f"\n  {failure}" for failure in failures))
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
