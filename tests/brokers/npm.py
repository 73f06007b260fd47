# SPDX-License-Identifier: MIT
"""Node packages for tests, from the npm registry once, in the versions of a package-lock.json, kept below
the user's cache directory."""
import fcntl
import os
import shutil
import subprocess
import sys

import kafka

FILES = ("package.json", "package-lock.json")
TESTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")


class Package:
    """One package with all it needs. folder: where its package.json is, below tests/."""

    def __init__(self, name, version, size, folder):
        self.name = name
        self.version = version  # as in package.json
        self.size = size
        self.source = os.path.join(TESTS, folder)

    def cache(self):
        return os.path.join(kafka.cache_root(), f"{self.name}-{self.version}")

    def modules(self):
        """The directory for NODE_PATH, or None."""
        path = os.path.join(self.cache(), "node_modules")
        return path if os.path.isdir(path) else None

    def fetch(self, say):
        """Download it unless it is there. A half-done download is never taken for a whole one."""
        os.makedirs(self.cache(), exist_ok=True)
        with open(os.path.join(self.cache(), "lock"), "w", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if self.modules():
                return self.modules()
            for name, package in (("node", "nodejs"), ("npm", "npm")):
                if shutil.which(name) is None:
                    raise FileNotFoundError(f"{name} is not installed (package {package})")
            say(f"Downloading {self.name} {self.version} from the npm registry ({self.size}) to {self.cache()}")
            self.download()
        return self.modules()

    def download(self):
        work = os.path.join(self.cache(), "new")
        shutil.rmtree(work, ignore_errors=True)
        os.makedirs(work)
        for name in FILES:
            shutil.copyfile(os.path.join(self.source, name), os.path.join(work, name))
        result = subprocess.run(
            ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error",
             "--cache", os.path.join(work, "npm-cache")],
            cwd=work, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=sys.stderr, check=False)
        if result.returncode != 0 or not os.path.isdir(os.path.join(work, "node_modules", self.name)):
            raise OSError(f"npm could not download {self.name}, see above")
        os.rename(os.path.join(work, "node_modules"), os.path.join(self.cache(), "node_modules"))
        shutil.rmtree(work, ignore_errors=True)


AMQPLIB = Package("amqplib", "0.10.9", "less than 1 MB", os.path.join("interop", "node"))
# Speaks like CouchDB, for the tests of the couchdb connector.
POUCHDB = Package("pouchdb-server", "4.2.0", "about 45 MB", os.path.join("servers", "pouchdb"))
