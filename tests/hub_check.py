#!/usr/bin/env python3
"""By hand: does the real huggingface_hub find what pairtune has fetched into the Hugging Face cache?

    python tests/hub_check.py

Needs huggingface_hub. Runs the engine's tests of downloads with their caches in a folder that stays, then asks in each
cache for the model without a network: the snapshot of `main`, every file of it, and no half of anything.
"""

import hashlib
import os
import pathlib
import subprocess
import tempfile

REPO = "org/tiny"
FILES = ["config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]
# Each leaves a whole model behind.
CACHES = ["cache", "resumes", "hashes", "token", "other", "full"]
ROOT = pathlib.Path(__file__).parent.parent


def main():
    with tempfile.TemporaryDirectory() as folder:
        command = ["cargo", "test", "--locked", "--no-default-features", "--features", "app", "--test", "engine"]
        environment = {**os.environ, "PAIRTUNE_HUB_CACHE": folder}
        subprocess.run([*command, "--", "fetch::"], cwd=ROOT, env=environment, check=True)
        os.environ["HF_HUB_OFFLINE"] = "1"
        for name in CACHES:
            check(pathlib.Path(folder) / name)
    print("huggingface_hub finds every model")


def check(cache):
    from huggingface_hub import scan_cache_dir, snapshot_download, try_to_load_from_cache

    snapshot = pathlib.Path(snapshot_download(REPO, cache_dir=cache, local_files_only=True))
    assert sorted(path.name for path in snapshot.iterdir()) == FILES, f"{snapshot} has every file"
    for name in FILES:
        found = try_to_load_from_cache(REPO, name, cache_dir=cache)
        assert found == str(snapshot / name), f"{name} is found: {found}"
        own = (ROOT / "assets/demo/model" / name).read_bytes()
        assert hashlib.sha256(pathlib.Path(found).read_bytes()).digest() == hashlib.sha256(own).digest(), name
    report = scan_cache_dir(cache)
    assert not report.warnings, report.warnings
    [repo] = report.repos
    [revision] = repo.revisions
    assert (repo.repo_id, set(revision.refs), len(revision.files)) == (REPO, {"main"}, len(FILES)), repo
    half = list(cache.rglob("*.incomplete"))
    assert not half, half
    print(f"{cache.name}: {repo.size_on_disk} bytes in {len(revision.files)} files of {revision.commit_hash}")


if __name__ == "__main__":
    main()
