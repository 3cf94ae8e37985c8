#!/usr/bin/env python3
"""DPO with LoRA in TRL, with the settings that pairtune had: README.md says how to start it."""

import argparse
import json
import math
import os
from pathlib import Path

import torch
from datasets import Dataset
from peft import LoraConfig, PeftConfig, PeftModel, set_peft_model_state_dict
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM as Model, AutoTokenizer, BitsAndBytesConfig, set_seed
from trl import DPOConfig as Config, DPOTrainer as Trainer

HERE = Path(__file__).resolve().parent


def shared(args, world):
    """The settings of one process: a step has as many rows on several processes as on one."""
    each = args.get("steps_per_generation") or 0
    parts = math.gcd(world, args["gradient_accumulation_steps"], each)
    batch, rest = divmod(args["per_device_train_batch_size"], world // parts)
    if rest or not batch:
        raise SystemExit(f"{world} processes cannot share the rows of a step: change the batch size in settings.json")
    return {**args, "per_device_train_batch_size": batch, **({"steps_per_generation": each // parts} if each else {}),
            "per_device_eval_batch_size": args.get("num_generations", batch),
            "gradient_accumulation_steps": args["gradient_accumulation_steps"] // parts}


def rows(name):
    path = HERE / name
    return Dataset.from_list([json.loads(line) for line in path.open(encoding="utf-8")]) if path.exists() else None


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", help="folder or name of the base model, instead of the one in settings.json")
    parser.add_argument("--output", default=str(HERE / "output"))
    parser.add_argument("--float32", action="store_true", help="no bfloat16 anywhere, to compare numbers")
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint in the output folder")
    options = parser.parse_args()
    settings = json.loads((HERE / "settings.json").read_text(encoding="utf-8"))
    bf16 = not options.float32 and torch.cuda.is_available() and torch.cuda.is_bf16_supported()
    if not bf16:
        os.environ["ACCELERATE_MIXED_PRECISION"] = "no"
    # Before the model is loaded: DeepSpeed shards it as it comes, if it knows its settings by then.
    args = Config(output_dir=options.output, bf16=bf16, **shared(settings["trl"], int(os.environ.get("WORLD_SIZE", 1))))
    set_seed(args.seed)
    name, kwargs = options.model or settings["model"], dict(settings["model_kwargs"])
    if settings["quantization"]:
        kwargs["quantization_config"] = BitsAndBytesConfig(**settings["quantization"])
    model = Model.from_pretrained(name, dtype=torch.bfloat16 if bf16 else torch.float32, **kwargs)
    tokenizer = AutoTokenizer.from_pretrained(name)
    if (HERE / "chat_template.jinja").exists():
        tokenizer.chat_template = (HERE / "chat_template.jinja").read_text(encoding="utf-8")
    # TRL measures against the model without adapter, or against a frozen copy of an adapter that is there already.
    adapter, lora = HERE / "adapter", LoraConfig(**settings["lora"])
    if adapter.exists() and settings["reference"] == "initial_adapter":
        model, lora = PeftModel.from_pretrained(model, adapter, is_trainable=True), None
    elif adapter.exists():
        lora = PeftConfig.from_pretrained(adapter)
        lora.inference_mode = False
    kind, extra = Trainer, {}
    trainer = kind(model=model, args=args, processing_class=tokenizer, peft_config=lora, **extra,
                   train_dataset=rows("train.jsonl"), eval_dataset=rows("eval.jsonl"))
    if adapter.exists() and lora is not None:
        set_peft_model_state_dict(trainer.model, load_file(adapter / "adapter_model.safetensors"))
    trainer.train(resume_from_checkpoint=options.resume)
    if trainer.eval_dataset is not None:
        trainer.evaluate()
    trainer.save_model()
    trainer.save_state()


if __name__ == "__main__":
    main()
