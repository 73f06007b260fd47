# SPDX-License-Identifier: MIT
"""pouchdb-server, which speaks like CouchDB, for the tests of the couchdb connector. It comes from the npm
registry once, in the versions of tests/servers/pouchdb/package-lock.json, and is kept below the user's
cache directory."""
import fcntl
import os
import shutil
import subprocess
import sys

import kafka

VERSION = "4.2.0"  # as in package.json
SIZE = "about 45 MB"
FILES = ("package.json", "package-lock.json")
SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "servers", "pouchdb")


def cache():
    return os.path.join(kafka.cache_root(), f"pouchdb-{VERSION}")


def modules():
    """The directory for NODE_PATH, or None."""
    path = os.path.join(cache(), "node_modules")
    return path if os.path.isdir(path) else None


def fetch(say):
    """Download it unless it is there. A half-done download is never taken for a whole one."""
    os.makedirs(cache(), exist_ok=True)
    with open(os.path.join(cache(), "lock"), "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if modules():
            return modules()
        for name, package in (("node", "nodejs"), ("npm", "npm")):
            if shutil.which(name) is None:
                raise FileNotFoundError(f"{name} is not installed (package {package})")
        say(f"Downloading pouchdb-server {VERSION} from the npm registry ({SIZE}) to {cache()}")
        work = os.path.join(cache(), "new")
        shutil.rmtree(work, ignore_errors=True)
        os.makedirs(work)
        for name in FILES:
            shutil.copyfile(os.path.join(SOURCE, name), os.path.join(work, name))
        result = subprocess.run(
            ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error",
             "--cache", os.path.join(work, "npm-cache")],
            cwd=work, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=sys.stderr, check=False)
        if result.returncode != 0 or not os.path.isdir(os.path.join(work, "node_modules", "pouchdb-server")):
            raise OSError("npm could not download pouchdb-server, see above")
        os.rename(os.path.join(work, "node_modules"), os.path.join(cache(), "node_modules"))
        shutil.rmtree(work, ignore_errors=True)
    return modules()
