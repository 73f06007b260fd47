# SPDX-License-Identifier: MIT
"""Python packages for tests, from PyPI once, by the hashes of a requirements file, kept below the user's
cache directory."""
import fcntl
import os
import shutil
import subprocess
import sys

import kafka

TESTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")


class Package:
    """One pure Python package. requirements: the file with its hash, below tests/; module: what is imported."""

    def __init__(self, name, version, size, requirements, module):
        self.name = name
        self.version = version  # as in the file
        self.size = size
        self.requirements = os.path.join(TESTS, requirements)
        self.module = module

    def cache(self):
        return os.path.join(kafka.cache_root(), f"{self.name}-{self.version}")

    def folder(self):
        """What to put on Python's path, or None."""
        path = os.path.join(self.cache(), "packages")
        return path if os.path.isdir(path) else None

    def fetch(self, say):
        """Download it unless it is there. A half-done download is never taken for a whole one."""
        os.makedirs(self.cache(), exist_ok=True)
        with open(os.path.join(self.cache(), "lock"), "w", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if self.folder():
                return self.folder()
            say(f"Downloading {self.name} {self.version} from PyPI ({self.size}) to {self.cache()}")
            self.download()
        return self.folder()

    def download(self):
        work = os.path.join(self.cache(), "new")
        shutil.rmtree(work, ignore_errors=True)
        result = subprocess.run(
            [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-compile", "--only-binary", ":all:",
             "--require-hashes", "--no-cache-dir", "--disable-pip-version-check", "--root-user-action=ignore",
             "--target", work, "-r", self.requirements],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=sys.stderr, check=False)
        if result.returncode != 0 or not os.path.isdir(os.path.join(work, self.module)):
            raise OSError(f"pip (package python3-pip) could not download {self.name}, see above")
        os.rename(work, os.path.join(self.cache(), "packages"))


# Another implementation of Kafka's protocol than librdkafka.
KAFKA = Package("kafka-python", "3.0.12", "about 1 MB", os.path.join("interop", "python", "requirements.txt"), "kafka")
