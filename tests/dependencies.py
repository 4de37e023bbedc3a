"""Holds the dependency tree to deny.toml: licences, banned packages, sources.

usage: tests/dependencies.py      (from anywhere; asks `cargo metadata` for the tree)

Understands the part of cargo-deny's format that our deny.toml uses. Exit code 0 and one line, or 1 and every breach.
"""

import json
import os
import re
import subprocess
import sys
import tomllib

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
REGISTRY = "registry+https://github.com/rust-lang/crates.io-index"


def allowed(expression, licences):
    """Whether an SPDX expression can be met with `licences` alone. `a/b` is the old spelling of `a OR b`."""
    tokens = re.findall(r"\(|\)|[^\s()]+(?: WITH [^\s()]+)?", expression.replace("/", " OR "))
    python = {"AND": "and", "OR": "or", "(": "(", ")": ")"}
    return eval(" ".join(python.get(token) or str(token in licences) for token in tokens))


def licence_breaches(packages, licences):
    for package in packages:
        expression = package["license"]
        if not expression:
            yield f"{package['name']} {package['version']} states no licence"
        elif not allowed(expression, licences):
            yield f"{package['name']} {package['version']} has the licence {expression}"


def ban_breaches(metadata, bans):
    names = {package["id"]: package["name"] for package in metadata["packages"]}
    for ban in bans:
        for node in metadata["resolve"]["nodes"]:
            dependent = names[node["id"]]
            depends = any(names[dependency] == ban["name"] for dependency in node["dependencies"])
            if depends and dependent not in ban.get("wrappers", []):
                yield f"{dependent} depends on {ban['name']}: {ban['reason']}"


def source_breaches(packages):
    for package in packages:
        if package["source"] not in (None, REGISTRY):
            yield f"{package['name']} {package['version']} comes from {package['source']}"


def main():
    with open(os.path.join(ROOT, "deny.toml"), "rb") as file:
        rules = tomllib.load(file)
    command = ["cargo", "metadata", "--format-version", "1", "--locked", "--all-features"]
    metadata = json.loads(subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout)
    packages = metadata["packages"]
    breaches = [
        *licence_breaches(packages, rules["licenses"]["allow"]),
        *ban_breaches(metadata, rules["bans"]["deny"]),
        *source_breaches(packages),
    ]
    if breaches:
        sys.exit("\n".join(breaches))
    print(f"{len(packages)} packages, all within deny.toml")


if __name__ == "__main__":
    main()
