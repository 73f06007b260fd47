#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Every file: licence line, no paths of somebody's machine, nothing left open, links that lead
somewhere, no tabs or odd ends."""
import os
import re

from source_tree import ROOT, Findings, line_of, read, run, tree_files

SPDX = "SPDX-License-Identifier: MIT"
CODE = (".c", ".h", ".cpp", ".py", ".sh", ".bash")
BINARY = (".bin", ".png", ".seg", ".gz")
# Written so that this file does not contain what it looks for.
WORDS = [
    (re.compile(r"(?<![\w.$}/])/(?:wor[k]|roo[t]|hom[e]/\w+|User[s]/\w+)/[\w.]"),
     "a path of one machine"),
    (re.compile(r"\b(?:TOD[O]|FIXM[E]|XX[X]|HAC[K])\b"), "something left open"),
    (re.compile(r"\bissues?\s+#?\d+\b|(?<![\w&])#\d{1,4}\b(?!\w*;)(?=\s+(?:of|is|was|says))", re.I),
     "a number of an issue: say the thing itself"),
    (re.compile(r"\bthe brie[f]\b|\bsubagen[t]s?\b|\bthe lea[d]'s\b", re.I), "workplace talk"),
]


LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)")


def check_links(name, text, found):
    """Links between the pages lead somewhere."""
    for match in LINK.finditer(text):
        target = os.path.normpath(os.path.join(os.path.dirname(name), match.group(1)))
        if not os.path.exists(os.path.join(ROOT, target)):
            found.add(name, line_of(text, match.start()), f"a link to nothing: {match.group(1)}")


def main():
    found = Findings()
    for name in tree_files():
        if name.endswith(BINARY) or "/corpus/" in name:
            continue
        try:
            text = read(name)
        except UnicodeDecodeError:
            found.add(name, 1, "not UTF-8")
            continue
        found.looked_at += 1
        lines = text.split("\n")
        script = lines[0].startswith("#!")
        if (name.endswith(CODE) or script) and not any(SPDX in line for line in lines[:3]):
            found.add(name, 1, f"no line \"{SPDX}\" at the top")
        if name.endswith(".md"):
            check_links(name, text, found)
        if text and not text.endswith("\n"):
            found.add(name, len(lines), "no newline at the end of the file")
        for number, line in enumerate(lines, 1):
            if line.endswith((" ", "\t", "\r")) and not name.endswith(".md"):
                found.add(name, number, "space at the end of the line")
            if "\t" in line and name.endswith((".c", ".h", ".py", ".txt", ".cmake", ".md")):
                found.add(name, number, "a tab")
            for pattern, what in WORDS:
                match = pattern.search(line)
                if match:
                    found.add(name, number, f"{what}: {match.group(0)}")
    return found.finish("files of the tree")


if __name__ == "__main__":
    run(main)
