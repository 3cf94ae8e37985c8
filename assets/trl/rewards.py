"""What answers are given, for train.py: the rules that settings.json names, reward models, functions of your own, or
answers with rewards that were recorded before (rollouts.jsonl), which are replayed."""

import json
import re
from pathlib import Path

import torch
from peft import PeftConfig, PeftModel
from transformers import AutoModelForSequenceClassification, GenerationConfig

HERE = Path(__file__).resolve().parent


def your_rewards():
    """Put functions of your own here: each gets lists, and returns a number for each answer, or None where it does not
    apply. Other columns of train.jsonl come by their names.

        def short(completions, **columns):
            return [-len(text_of(answer)) / 100 for answer in completions]
        return [short]
    """
    return []


def text_of(answer):
    """An answer as text, whether it is text or messages."""
    return answer if isinstance(answer, str) else "".join(message["content"] for message in answer)


def rule(text, ends):
    """A rule of pairtune as a function, `ends` being the tokens that answers end with: length:TOKENS, regex:PATTERN, contains:TEXT, json, equals or equals:COLUMN."""
    name, _, argument = text.partition(":")

    def is_json(answer):
        try:
            json.loads(answer.strip())
            return True
        except ValueError:
            return False

    def reward(completions, completion_ids, **columns):
        answers = [text_of(answer) for answer in completions]
        if name == "length":
            tokens = [sum(token not in ends for token in ids) for ids in completion_ids]
            return [max(0.0, 1 - abs(n / int(argument) - 1)) for n in tokens]
        if name == "regex":
            return [float(bool(re.search(argument, answer))) for answer in answers]
        if name == "contains":
            return [float(argument in answer) for answer in answers]
        if name == "json":
            return [float(is_json(answer)) for answer in answers]
        wanted = columns.get(argument or "answer") or [None] * len(answers)
        wanted = [json.dumps(value) if not isinstance(value, (str, type(None))) else value for value in wanted]
        same = [None if want is None else answer.strip() == want.strip() for answer, want in zip(answers, wanted)]
        return [None if yes is None else float(yes) for yes in same]

    if name not in ("length", "regex", "contains", "json", "equals"):
        raise SystemExit(f"settings.json, rewards: there is no rule {text!r}")
    reward.__name__ = name
    return reward


def reward_model(path, base, tokenizer):
    """A reward model as a function, which scores a prompt with its answer as pairtune does: an adapter on `base`, or a
    whole model, in a folder beside this file or anywhere."""
    path = HERE / path
    if (path / "adapter_config.json").exists():
        base = base or PeftConfig.from_pretrained(path).base_model_name_or_path
        model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=1)
        model = PeftModel.from_pretrained(model, path).merge_and_unload()
    else:
        model = AutoModelForSequenceClassification.from_pretrained(path, num_labels=1)
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    model.config.pad_token_id = pad
    model.eval().requires_grad_(False)

    def ids_of(prompt, answer, ids):
        if isinstance(prompt, str):
            return tokenizer(prompt)["input_ids"] + list(ids)
        return tokenizer.apply_chat_template(prompt + answer, tokenize=True, return_dict=False)

    def reward(prompts, completions, completion_ids, **columns):
        if torch.cuda.is_available():
            model.to(torch.cuda.current_device())
        scores = []
        for prompt, answer, ids in zip(prompts, completions, completion_ids):
            ids = torch.tensor([ids_of(prompt, answer, ids)], device=model.device)
            with torch.no_grad():
                scores.append(model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0, 0].item())
        return scores

    reward.__name__ = path.name
    return reward


def replaying(kind, path):
    """The trainer with recorded answers in the place of those that it would sample, in the order of the file, and what
    they were given."""
    import trl.trainer.grpo_trainer
    import trl.trainer.rloo_trainer

    for module in (trl.trainer.grpo_trainer, trl.trainer.rloo_trainer):
        module.shuffle_sequence_dict = lambda batch: batch  # micro-batches in the order of the file
    recorded = [json.loads(line) for line in path.open(encoding="utf-8")]
    taken = {"rows": []}

    class Replay(kind):
        batches = 0

        def _tokenize_prompts(self, prompts):
            # A batch of answers is cut into as many parts as there are processes, in their order.
            size, process = len(prompts), self.accelerator.process_index
            start = (self.batches * self.accelerator.num_processes + process) * size
            self.batches += 1
            taken["rows"] = recorded[start:start + size]
            if len(taken["rows"]) < size:
                raise SystemExit(f"{path} has no more answers")
            return [row["prompt_ids"] for row in taken["rows"]], None, {}

        def _generate_single_turn(self, *args, **kwargs):
            answers = [row["completion_ids"] for row in taken["rows"]]
            return (answers, None) if kind.__name__ == "GRPOTrainer" else answers

    def reward(name):
        def of(prompts, **columns):
            return [row["rewards"][name] for row in taken["rows"]]
        of.__name__ = name
        return of

    return Replay, [reward(name) for name in recorded[0]["rewards"]]


def with_rewards(kind, settings, base, tokenizer):
    """The trainer's class, and what it needs beside the others' arguments."""
    path = HERE / "rollouts.jsonl"
    if path.exists():
        kind, functions = replaying(kind, path)
        return kind, {"reward_funcs": functions}
    ends = {tokenizer.eos_token_id}
    try:
        more = GenerationConfig.from_pretrained(base).eos_token_id
        ends.update(more if isinstance(more, list) else [more])
    except OSError:
        pass  # the model has no such file
    functions = [rule(text, ends) for text in settings["rewards"]]
    functions += [reward_model(path, base, tokenizer) for path in settings["reward_models"]] + your_rewards()
    if not functions:
        raise SystemExit("Nothing says what answers are worth: put a function into your_rewards in rewards.py, or a "
                         "rule or a reward model into settings.json")
    return kind, {"reward_funcs": functions}
