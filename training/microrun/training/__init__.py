"""Models, simulators and training loops: everything that happens before the export."""
