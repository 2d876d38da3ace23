"""What a lab runs, for whoever must know: `make sbom` writes .cache/sbom/introeval.cdx.json and licenses.md.

The first is CycloneDX: the packages of requirements/runtime.lock as they are installed, and the models, each with its
licence, each file of weights with its sha256. The second is the same as a table for people.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from queueing.engines.llm import models as llm
from queueing.engines.speech import models as speech

ROOT: Final = Path(__file__).parents[1]
LOCK: Final = ROOT / "requirements" / "runtime.lock"
OUT: Final = ROOT / ".cache" / "sbom"
TOOLS: Final = OUT / "tools" / "bin" / "python"  # of cyclonedx-bom, which is not where the lab's packages are
# Reads from its standard input what is to be CycloneDX; says what is wrong with it.
VALIDATE: Final = """
import json, sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

text = sys.stdin.read()
error = JsonStrictValidator(SchemaVersion.from_version(json.loads(text)["specVersion"])).validate_str(text)
sys.exit(error and f"no valid CycloneDX: {error}")
"""

# A lab may use and pass on all of these beside its own. What is under another one needs a look by a person first.
EXPECTED: Final = frozenset({"MIT", "MIT-0", "BSD-2-Clause", "BSD-3-Clause", "0BSD", "Apache-2.0", "MPL-2.0"}) | {
    *("PSF-2.0", "ZPL-2.1", "Zlib", "CC0-1.0", "TCL", "LGPL-3.0-only")
}
# What packages call a licence that they don't name as SPDX does.
SPDX: Final = {
    "MIT License": "MIT",
    "BSD": "BSD-3-Clause",
    "BSD License": "BSD-3-Clause",
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache 2": "Apache-2.0",
    "Apache 2.0": "Apache-2.0",
    "Apache License, Version 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
}
MODELS: Final = {  # as their publishers say
    "tiny.en": "MIT",
    "base": "MIT",
    llm.SMALL: "Apache-2.0",
    llm.JUDGE: "Apache-2.0",
}


@dataclass(frozen=True, slots=True)
class LicensedModel:
    name: str
    files: dict[str, str]  # name → sha256

    @property
    def license(self) -> str:
        return MODELS[self.name]


def models() -> Iterator[LicensedModel]:
    """All that the engines know by name."""
    for name, packaged in (speech.PACKAGED | llm.PACKAGED).items():
        yield LicensedModel(name, dict(packaged.sha256))
    for name, joined in llm.IN_PARTS.items():
        yield LicensedModel(name, {joined.file: joined.sha256})


def packages() -> list[str]:
    return re.findall(r"^([\w.-]+)==", LOCK.read_text(), re.MULTILINE)


def license_of(package: str) -> str:
    """As an SPDX expression; empty: it does not say."""
    facts = metadata.metadata(package).json
    if expression := facts.get("license_expression"):
        return str(expression)
    classifiers = [each.rpartition(" :: ")[2] for each in facts.get("classifier", ()) if each.startswith("License ::")]
    for said in (str(facts.get("license", "")), *classifiers):
        found = SPDX.get(said.strip(), said.strip())
        if found and not unexpected(found):
            return found
    return ""


def unexpected(expression: str) -> set[str]:
    """The licences in an expression of which nobody has said that they are all right; of `A OR B` one is enough."""
    choices = [set(re.split(r" AND |[()]", choice)) - {"", " "} for choice in expression.split(" OR ")]
    missing = [{each.strip() for each in choice} - EXPECTED for choice in choices]
    return min(missing, key=len)


def write() -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    bom = OUT / "introeval.cdx.json"
    command: list[str | Path] = [TOOLS, "-m", "cyclonedx_py", "environment", "--output-reproducible"]
    command += ["--of", "JSON", "-o", bom, sys.executable]
    subprocess.run(command, cwd=ROOT, check=True)
    found = _of_a_lab(json.loads(bom.read_text()))
    subprocess.run([TOOLS, "-c", VALIDATE], input=json.dumps(found), text=True, check=True)
    bom.write_text(json.dumps(found, indent=2) + "\n")
    rows = [(name, metadata.version(name), license_of(name)) for name in packages()]
    rows += [(f"{model.name} (weights)", "", model.license) for model in models()]
    lines = [f"| {' | '.join(row)} |" for row in [("what", "version", "licence"), ("---", "---", "---"), *rows]]
    (OUT / "licenses.md").write_text("\n".join(lines) + "\n")
    sys.stdout.write(f"{bom}: {len(found['components'])} components\n{OUT / 'licenses.md'}\n")


def _of_a_lab(bom: dict[str, Any]) -> dict[str, Any]:
    """Without what only tests and tools need, and with the models."""
    wanted = {_plain(name) for name in packages()}
    kept = [one for one in bom["components"] if _plain(one["name"]) in wanted]
    if missing := wanted - {_plain(one["name"]) for one in kept}:
        raise SystemExit(f"not installed: {', '.join(sorted(missing))}. `make setup` first")
    refs = {one["bom-ref"] for one in kept}
    depend = [one for one in bom.get("dependencies", []) if one["ref"] in refs]
    for one in depend:
        one["dependsOn"] = [ref for ref in one.get("dependsOn", []) if ref in refs]
    return {**bom, "components": [*kept, *map(_component, models())], "dependencies": depend}


def _component(model: LicensedModel) -> dict[str, Any]:
    files = [
        {"type": "file", "name": name, "hashes": [{"alg": "SHA-256", "content": digest}]}
        for name, digest in model.files.items()
    ]
    licenses = [{"license": {"id": model.license}}]
    made = {"type": "machine-learning-model", "bom-ref": f"model:{model.name}", "name": model.name}
    return {**made, "licenses": licenses, "components": files}


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    write()
