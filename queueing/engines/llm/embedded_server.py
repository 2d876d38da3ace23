"""The child's side of `embedded`: llama.cpp's server on a loopback port. Nothing here is imported by the parent."""

from __future__ import annotations

import os
import re

import xllamacpp

from queueing.exceptions import Infrastructure, OutOfMemory

HEADS = 4  # of prompts, kept at once; each takes 28 KiB a token with Qwen2.5 1.5B
_MEMORY = re.compile(r"bad_alloc|failed to allocate|out of memory|cannot allocate", re.IGNORECASE)


class LlamaServer:
    """Listens from the moment it exists; ends with its process.

    `facts` are its address and the names of the files for slot states. Callers must send `key`: other users of the
    machine and pages in a browser reach loopback ports too.
    """

    def __init__(self, *, path: str, name: str, key: str, threads: int, context_tokens: int) -> None:
        params = xllamacpp.CommonParams()
        params.model.path = path
        params.model_alias = {name}
        params.api_keys = [key]
        params.hostnames = ["127.0.0.1"]
        params.port = 0
        # One answer at a time; more calls wait in its queue. Two in one batch change each other's numbers: with 4-bit
        # weights, how a row of a matrix is multiplied depends on how many rows there are.
        params.n_parallel = 1
        params.n_ctx = context_tokens
        params.cpuparams.n_threads = threads
        params.cpuparams_batch.n_threads = threads
        params.cache_ram_mib = 0  # else it keeps up to 8 GB of old prompts
        params.n_ctx_checkpoints = 0
        # Files in memory, which end with this process however it ends. The server joins this folder and a file's name.
        params.slot_save_path = "/proc/self/fd/"
        files = [str(os.memfd_create(f"head-{number}")) for number in range(HEADS)]
        params.fit_params = False
        params.endpoint_slots = False
        params.ui = False
        params.offline = True
        params.verbosity = 0
        self._server = _serve(params)
        self.facts: tuple[str, list[str]] = self._server.listening_address, files


def _serve(params: xllamacpp.CommonParams) -> xllamacpp.Server:
    try:
        return xllamacpp.Server(params)
    except (MemoryError, RuntimeError) as error:
        message = f"llama.cpp can't load {params.model.path}: {error or type(error).__name__}"
        out_of_memory = isinstance(error, MemoryError) or _MEMORY.search(str(error))
        raise OutOfMemory(message) if out_of_memory else Infrastructure(message, code="model_missing") from error
