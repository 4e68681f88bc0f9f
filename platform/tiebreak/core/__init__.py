"""The kernel: errors, state transitions, audit events, egress, text hygiene. Imports nothing of ours."""
