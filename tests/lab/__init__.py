"""The lab: hosts with real software on one machine. See README.md."""
