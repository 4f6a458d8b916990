"""Bytes to values and back, one protocol a file, without I/O: `parse` raises WireError and nothing else."""
