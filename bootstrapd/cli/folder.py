"""The hosts folder as the command line changes it: the would-be folder is checked, then one file written."""

from __future__ import annotations
