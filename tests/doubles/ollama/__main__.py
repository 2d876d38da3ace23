"""The fake in a process of its own: `python -m tests.doubles.ollama --card PATH --model mistral:7b-instruct=4.4`."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from tests.doubles import acts
from tests.doubles.card import GIB, FakeCard
from tests.doubles.ollama import FakeOllama
from tests.doubles.ollama.runners import RunnerModel


def main() -> None:
    options = _options()
    asyncio.run(_serve(options))


async def _serve(options: argparse.Namespace) -> None:
    card = FakeCard(options.card, total=int(options.gib * GIB)) if options.card else None
    script = [acts.named(text) for text in options.act]
    fake = FakeOllama(*options.model, card=card, port=options.port, script=script)
    runners = fake.runners
    runners.parallel, runners.most_waiting = options.parallel, options.max_queue
    runners.load_seconds, runners.unload_seconds = options.load_seconds, options.unload_seconds
    runners.free_seconds, runners.gpu_share = options.free_seconds, options.gpu_share
    await fake.server.open()
    sys.stdout.write(f"{fake.url}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--card", type=Path, help="the file of the card whose memory it draws on")
    parser.add_argument("--gib", type=float, default=8.0, help="the card's memory")
    parser.add_argument("--model", type=_model, action="append", default=[], metavar="NAME=GIB")
    parser.add_argument("--act", action="append", default=[], help="what to do with the next request for an answer")
    parser.add_argument("--parallel", type=int, default=1)
    parser.add_argument("--max-queue", type=int, default=512)
    parser.add_argument("--load-seconds", type=float, default=0.0)
    parser.add_argument("--unload-seconds", type=float, default=0.0, help="inf: never")
    parser.add_argument("--free-seconds", type=float, default=0.0, help="from unloaded to free on the card")
    parser.add_argument("--gpu-share", type=float, default=1.0)
    return parser.parse_args()


def _model(text: str) -> RunnerModel:
    name, _, gib = text.partition("=")
    return RunnerModel(name if ":" in name else f"{name}:latest", weights=int(float(gib or 4) * GIB))


if __name__ == "__main__":
    main()
