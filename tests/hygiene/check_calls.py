#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Calls that are not used here: unbounded string functions, raw allocation, waiting by time."""
import re

from source_tree import Findings, code_only, line_of, read, run, tree_files


def call(*names):
    return re.compile(r"(?<![\w.>])(" + "|".join(names) + r")\s*\(")


# (what, why, which files, which are exempt)
RULES = [
    (call("strcpy", "stpcpy", "strcat", "strncpy", "strncat", "sprintf", "vsprintf", "strtok", "gets",
          "atoi", "atol", "atoll", "atof", "alloca", "tmpnam", "mktemp"),
     "banned: unbounded or cannot report an error",
     ("core/", "adapters/", "bridge/", "cli/", "benchmarks/", "examples/", "tests/"), ()),
    (call("malloc", "calloc", "realloc", "reallocarray", "free", "strdup", "strndup", "aligned_alloc",
          "posix_memalign", "asprintf", "vasprintf"),
     "memory goes through base/alloc.h",
     ("core/", "adapters/", "cli/"), ("core/base/alloc.c",)),
    (call("sleep", "usleep", "nanosleep", "clock_nanosleep", "uv_sleep"),
     "tests wait for a condition with a deadline, not for a time",
     ("tests/",), ("tests/support/wait.c",)),
    (call("system", "popen"),
     "no shell from C: fork and exec",
     ("core/", "adapters/", "bridge/", "cli/"), ()),
]
SHELL_SLEEP = re.compile(r"^\s*(?:sleep|usleep)\s+[\d$]", re.M)


def main():
    found = Findings()
    for name in tree_files():
        if name.startswith("tests/") and name.endswith(".sh"):
            text = read(name)
            found.looked_at += 1
            for match in SHELL_SLEEP.finditer(text):
                found.add(name, line_of(text, match.start()), "sleep in a test")
        if not name.endswith((".c", ".h", ".cpp")):
            continue
        found.looked_at += 1
        code = code_only(read(name))
        for pattern, why, folders, exempt in RULES:
            if name.startswith(folders) and name not in exempt:
                for match in pattern.finditer(code):
                    found.add(name, line_of(code, match.start()), f"{match.group(1)}: {why}")
    return found.finish("banned calls")


if __name__ == "__main__":
    run(main)
