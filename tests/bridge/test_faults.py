# SPDX-License-Identifier: MIT
"""The smoke diagonal of faults: each connector with each fault once. tests/bridge/matrix runs them all.

The first argument may name a connector: only its tests run."""
import sys

import bridging
import faults

SOURCE = sys.argv.pop(1) if len(sys.argv) > 1 and sys.argv[1] in faults.SOURCES else None

KILLED = {"exec": "amqp", "webhook": "mqtt"}


class Faults(bridging.Case):
    pass


def add(source, fault):
    target = KILLED.get(source) if fault == "kill-broker" else None
    target = target or faults.target_for(source, fault, "local")

    def test(self):
        try:
            cell = faults.Cell(self, source, fault, target)
        except bridging.interop.Missing as missing:
            self.skipTest(str(missing))
        print("%d twice, all there after %.1f s, %d lost by the broker" % cell.run(), end=" ", file=sys.stderr)

    setattr(Faults, "test_%s_%s" % (source, fault.replace("-", "_")), test)


for each in faults.SOURCES:
    for what in faults.FAULTS:
        if what != "end-broker" and SOURCE in (None, each):
            add(each, what)

if __name__ == "__main__":
    bridging.main()
