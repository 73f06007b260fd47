# SPDX-License-Identifier: MIT
"""A throw-away certificate authority, and the certificates that are wrong on purpose.

ca.pem               trusted by nobody but the test
server.pem/.key      for localhost and 127.0.0.1
client.pem/.key      signed by the same authority
expired.pem/.key     a server's, for localhost, its time is over
mismatch.pem/.key    a server's, valid, for another host name
wrong-ca.pem         another authority, and wrong-client.pem/.key signed by it
"""
import fcntl
import os
import shutil
import subprocess

CONFIG = """
[ca]
default_ca = here
[here]
database = {dir}/{name}.index
serial = {dir}/{name}.serial
new_certs_dir = {dir}
default_md = sha256
policy = any
unique_subject = no
[any]
commonName = supplied
[authority]
basicConstraints = critical,CA:true
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
[server]
basicConstraints = CA:false
keyUsage = digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = DNS:localhost,IP:127.0.0.1,IP:::1
[mismatch]
basicConstraints = CA:false
keyUsage = digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = DNS:broker.elsewhere.example
[client]
basicConstraints = CA:false
keyUsage = digitalSignature
extendedKeyUsage = clientAuth
[req]
distinguished_name = none
prompt = no
[none]
"""
CLIENT = "client"  # the name in the certificate of a client
VALID = ("20200101000000Z", "20491231235959Z")
OVER = ("20200101000000Z", "20200201000000Z")


def make(directory):
    """Make everything in this directory unless it is there; safe when several start at once."""
    os.makedirs(directory, mode=0o700, exist_ok=True)
    done = os.path.join(directory, "complete")
    with open(os.path.join(directory, "lock"), "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if os.path.exists(done):
            return directory
        if shutil.which("openssl") is None:
            raise FileNotFoundError("openssl is not installed")
        _authority(directory, "ca", "Throw-away CA of a pubsub test")
        _authority(directory, "wrong-ca", "Another throw-away CA")
        _sign(directory, "ca", "server", "localhost", "server", VALID)
        _sign(directory, "ca", "expired", "localhost", "server", OVER)
        _sign(directory, "ca", "mismatch", "broker.elsewhere.example", "mismatch", VALID)
        _sign(directory, "ca", "client", CLIENT, "client", VALID)
        _sign(directory, "wrong-ca", "wrong-client", CLIENT, "client", VALID)
        with open(done, "w", encoding="ascii"):
            pass
    return directory


def _openssl(directory, *arguments):
    result = subprocess.run(("openssl",) + arguments, cwd=directory, stdin=subprocess.DEVNULL,
                            capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise OSError(f"openssl {arguments[0]} failed: {result.stderr.strip()[-300:]}")


def _key(directory, name):
    _openssl(directory, "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256",
             "-out", f"{name}.key")
    os.chmod(os.path.join(directory, f"{name}.key"), 0o600)


def _request(directory, name, subject, config):
    _openssl(directory, "req", "-new", "-key", f"{name}.key", "-subj", f"/CN={subject}",
             "-config", config, "-out", f"{name}.csr")


def _authority(directory, name, subject):
    config = f"{name}.cnf"
    with open(os.path.join(directory, config), "w", encoding="ascii") as file:
        file.write(CONFIG.format(dir=".", name=name))
    with open(os.path.join(directory, f"{name}.index"), "w", encoding="ascii"):
        pass
    with open(os.path.join(directory, f"{name}.serial"), "w", encoding="ascii") as file:
        file.write("1000\n")
    _key(directory, name)
    _request(directory, name, subject, config)
    _openssl(directory, "ca", "-batch", "-notext", "-selfsign", "-config", config, "-keyfile",
             f"{name}.key", "-extensions", "authority", "-startdate", VALID[0], "-enddate", VALID[1],
             "-in", f"{name}.csr", "-out", f"{name}.pem")


def _sign(directory, authority, name, subject, extensions, validity):
    config = f"{authority}.cnf"
    _key(directory, name)
    _request(directory, name, subject, config)
    _openssl(directory, "ca", "-batch", "-notext", "-config", config, "-cert", f"{authority}.pem",
             "-keyfile", f"{authority}.key", "-extensions", extensions, "-startdate", validity[0],
             "-enddate", validity[1], "-in", f"{name}.csr", "-out", f"{name}.pem")
