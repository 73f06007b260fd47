#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Every public macro is expanded and compiled: check_macros.py COMPILER INCLUDE_DIRECTORY

A macro that is an expression is tried as one. The others (with parameters, initialisers, attributes)
need a line in USES that shows how they are used; a macro nobody expands may be broken for years.
"""
import os
import re
import subprocess
import sys



def map_use(name, function):
    """A table of rows: each row, whatever its columns, becomes a + 1."""
    return (f"int {function}(void); int {function}(void) {{\n#define X(...) + 1\n"
            f"return 0 {name}(X);\n#undef X\n}}")


USES = {
    "PUBSUB_API": "PUBSUB_API int try_api(void); PUBSUB_API int try_api(void) { return 0; }",
    "PUBSUB_PRINTF": "PUBSUB_PRINTF(1, 2) void try_printf(const char *f, ...); "
                     "void try_printf(const char *f, ...) { (void)f; }",
    "PUBSUB_ERROR_MAP": "int try_map(void); int try_map(void) {\n#define X(n, v, c, t) + (int)sizeof "
                        "\"\" t + (v) + (int)PUBSUB_CLASS_##c + (int)PUBSUB_##n\n"
                        "return 0 PUBSUB_ERROR_MAP(X);\n#undef X\n}",
    "PUBSUB_FEATURE_MAP": map_use("PUBSUB_FEATURE_MAP", "try_features"),
    "PUBSUB_STATS_MAP": map_use("PUBSUB_STATS_MAP", "try_stats"),
    "PUBSUB_POSITION_NONE": "void try_position(void); void try_position(void) "
                            "{ pubsub_position p = PUBSUB_POSITION_NONE; (void)p; }",
    "PUBSUB_BIT": "int try_bit(void); int try_bit(void) { return PUBSUB_BIT(3) == 8 ? 0 : 1; }",
}
INITIALISER = re.compile(r"^\s*\{.*\}\s*$", re.S)
DEFINE = re.compile(r"^[ \t]*#[ \t]*define[ \t]+(PUBSUB_\w+)(\()?[ \t]*((?:\\\n|[^\n])*)", re.M)


def main():
    compiler, include = sys.argv[1:3]
    headers = []
    for folder in ("pubsub", "pubsub/spi"):
        headers += sorted(f"{folder}/{name}" for name in os.listdir(os.path.join(include, folder))
                          if name.endswith(".h"))
    lines = ["".join(f"#include <{h}>\n" for h in headers)]
    wrong, seen = [], {}
    for header in headers:
        with open(os.path.join(include, header), encoding="utf-8") as file:
            text = re.sub(r"/\*.*?\*/", " ", file.read(), flags=re.S)
        for name, parameters, value in DEFINE.findall(text):
            value = value.replace("\\\n", " ")
            if name.endswith("_H") or name == "PUBSUB_X" or name in seen:
                continue
            seen[name] = header
            lower = name.lower()
            if name in USES:
                lines.append(USES[name])
            elif parameters:
                wrong.append(f"{header}: {name} has parameters: show a use in USES")
            elif INITIALISER.match(value):
                kind = name.replace("_INIT", "").lower()
                if name.endswith("_INIT"):
                    lines.append(f"void try_{lower}(void); void try_{lower}(void) "
                                 f"{{ {kind} value = {name}; (void)value; }}")
                else:
                    wrong.append(f"{header}: {name} is an initialiser not called {kind}_INIT: "
                                 "show a use in USES")
            else:
                lines.append(f"void try_{lower}(void); void try_{lower}(void) {{ (void)({name}); }}")
    for name in USES:
        if name not in seen:
            wrong.append(f"USES has {name}, which no header defines")
    flags = ["-xc", "-std=c11", "-Wall", "-Wextra", "-pedantic", "-Werror", "-fsyntax-only", "-I",
             include, "-"]
    done = subprocess.run([compiler] + flags, input="\n".join(lines) + "\n", text=True)
    print("\n".join(wrong + [f"{len(seen)} macros"]))
    return 1 if wrong or done.returncode != 0 or not seen else 0


if __name__ == "__main__":
    sys.exit(main())
