# SPDX-License-Identifier: MIT
"""A source for `connector: exec`: prints the lines of a file that come after the stored position, and
goes on with what is appended. Its process id is in FILE.pid."""
import json
import os
import select
import sys

path = sys.argv[1]
after = int(os.environ.get("PUBSUB_POSITION") or 0)
with open(path + ".pid.new", "w", encoding="ascii") as file:
    file.write(str(os.getpid()))
os.rename(path + ".pid.new", path + ".pid")
print('{"state":"active"}', flush=True)
with open(path, encoding="utf-8") as lines:
    rest = ""
    while True:
        line = lines.readline()
        if not line:
            sys.stdout.flush()
            # A file's growth cannot be waited for; the end of the bridge can, whatever ended it.
            if select.select([sys.stdin], [], [], 0.01)[0]:
                break
            continue
        rest += line
        if rest.endswith("\n"):
            if int(json.loads(rest).get("position", 0)) > after:
                sys.stdout.write(rest)
            rest = ""
