#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Every public declaration says what it returns, who may call it and who owns what.

A comment may serve several declarations that follow each other without an empty line, and a comment
that ends with "@{" serves everything up to "@}". Each @param must name a parameter of one of them. Members of function tables and callback types need a comment.
"""
import re

from source_tree import Findings, code_only, line_of, read, run, tree_files

TAGS = ("Returns:", "Thread:", "Ownership:", "Since:")
DECLARATION = re.compile(r"^(?:PUBSUB_API|static inline)\b[^;{]*[;{]", re.M)
CALLBACK = re.compile(r"^[ \t]*(?:typedef\s+)?[\w \t*]+\(\*(\w+)\)\s*\([^;]*;", re.M)
GROUP = re.compile(r"(/\*\*(?:(?!\*/).)*?@\{\s*\*/).*?@\}", re.S)
NAME = re.compile(r"(\w+)\s*\(")


def comment_above(text, offset):
    """The comment that ends directly above, and the declarations between it and the offset."""
    before = text[:offset].rstrip(" \t")
    block = before.split("\n\n")[-1]  # a comment with an empty line inside would not be one shape
    end = block.rfind("*/")
    if end < 0:
        return None, ""
    start = before.rfind("/**", 0, len(before) - len(block) + end)
    if start < 0 or "*/" in before[start:len(before) - len(block) + end]:
        return None, ""
    return before[start:len(before) - len(block) + end], block[end + 2:]


def group_of(groups, offset):
    return next((comment for begin, end, comment in groups if begin < offset < end), None)


def check_header(name, found):
    text = read(name)
    code = code_only(text)
    groups = [(m.end(1), m.end(), m.group(1)) for m in GROUP.finditer(text)]
    for match in DECLARATION.finditer(code):
        found.looked_at += 1
        line = line_of(text, match.start())
        title = NAME.search(match.group(0).replace("PUBSUB_API", ""))
        what = title.group(1) if title else "declaration"
        comment, between = comment_above(text, match.start())
        comment = group_of(groups, match.start()) or comment
        if comment is None:
            found.add(name, line, f"{what}: no /** comment directly above")
            continue
        for tag in TAGS:
            if not re.search(r"^\s*(?:/\*)?\*+\s*" + tag, comment, re.M):
                found.add(name, line, f"{what}: no line that begins with \"{tag}\"")
        known = between + match.group(0)
        following = code[match.end():].split("\n\n")[0]
        for param in re.findall(r"@param\s+(\w+)", comment):
            if not re.search(r"\b" + param + r"\b", known + following):
                found.add(name, line, f"{what}: @param {param} is not a parameter")
    for match in CALLBACK.finditer(code):
        found.looked_at += 1
        begin = match.start() + len(match.group(0)) - len(match.group(0).lstrip())
        comment, _ = comment_above(text, begin)
        if comment is None:
            found.add(name, line_of(text, begin), f"{match.group(1)}: no /** comment directly above")


def main():
    found = Findings()
    for name in tree_files():
        if name.startswith("core/include/") and name.endswith(".h"):
            check_header(name, found)
    return found.finish("comments of public declarations")


if __name__ == "__main__":
    run(main)
