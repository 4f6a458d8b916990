"""The outside world: sockets, files, processes. Each file serves plain values in and out (DESIGN.md)."""
