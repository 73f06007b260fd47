#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Count the results of a ctest run: count_tests.py JUNIT_XML SKIPPED_OUT

Prints "passed failed skipped". A cmocka program that skips some of its cases is one passed test for
ctest; each case it skipped is counted as skipped here, so that nothing is hidden. One line for each
skipped test or program goes to SKIPPED_OUT.
"""
import re
import sys
import xml.etree.ElementTree as ElementTree

CASES = re.compile(r"^\[  SKIPPED \] +(\d+) test\(s\)", re.M)
NAMES = re.compile(r"^\[  SKIPPED \] +(?!\d+ test)(\S+)", re.M)


def main() -> int:
    passed = failed = skipped = 0
    lines = []
    for case in ElementTree.parse(sys.argv[1]).getroot().iter("testcase"):
        name = case.get("name", "?")
        output = case.findtext("system-out") or ""
        if case.get("status") == "run":
            passed += 1
            inside = sum(int(n) for n in CASES.findall(output))
            if inside:
                skipped += inside
                names = " ".join(dict.fromkeys(NAMES.findall(output)))
                lines.append(f"{name}: {inside} case(s): {names}".rstrip(": "))
        elif case.get("status") in ("notrun", "disabled") and case.find("skipped") is not None:
            reason = case.find("skipped").get("message", "")
            if reason.startswith("SKIP_") or case.get("status") == "disabled":
                skipped += 1
                last = output.strip().splitlines()
                lines.append(f"{name}: {last[-1] if last else reason}")
            else:
                failed += 1
        else:
            failed += 1
    with open(sys.argv[2], "w", encoding="utf-8") as out:
        out.writelines(line + "\n" for line in lines)
    print(passed, failed, skipped)
    return 0


if __name__ == "__main__":
    sys.exit(main())
