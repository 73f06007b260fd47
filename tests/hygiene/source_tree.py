# SPDX-License-Identifier: MIT
"""What the hygiene checks share: the files of the tree, C text without comments, reporting."""
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def tree_files():
    """Every file that belongs to the tree, as paths relative to its root, sorted."""
    if os.path.exists(os.path.join(ROOT, ".git")):
        try:
            out = subprocess.run(
                ["git", "-c", "safe.directory=" + ROOT, "ls-files", "-co", "--exclude-standard",
                 "-z"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
            names = out.stdout.decode("utf-8").split("\0")
            return sorted(n for n in names if n and os.path.isfile(os.path.join(ROOT, n)))
        except (OSError, subprocess.CalledProcessError):
            pass
    found = []
    for folder, folders, files in os.walk(ROOT):
        folders[:] = [f for f in folders
                      if f not in (".git", "build", ".cache") and not f.startswith("__")]
        found += [os.path.relpath(os.path.join(folder, f), ROOT) for f in files]
    return sorted(found)


def read(name):
    with open(os.path.join(ROOT, name), encoding="utf-8") as file:
        return file.read()


TOKEN = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)


def code_only(text):
    """C text in which comments, strings and characters are blanked; line numbers stay true."""
    def blank(match):
        piece = match.group(0)
        if piece[0] in "\"'":
            return piece[0] + " " * (len(piece) - 2) + piece[0]
        return re.sub(r"[^\n]", " ", piece)
    return TOKEN.sub(blank, text)


def line_of(text, offset):
    return text.count("\n", 0, offset) + 1


class Findings:
    """Collects "file:line: what is wrong"; exit code 1 when there are any."""

    def __init__(self):
        self.lines = []
        self.looked_at = 0

    def add(self, name, line, what):
        self.lines.append(f"{name}:{line}: {what}")

    def finish(self, what):
        if self.looked_at == 0:
            print(f"{what}: found nothing to look at, the check itself is broken")
            return 1
        for line in self.lines:
            print(line)
        print(f"{what}: {self.looked_at} looked at, {len(self.lines)} wrong")
        return 1 if self.lines else 0


def run(main):
    sys.exit(main())
