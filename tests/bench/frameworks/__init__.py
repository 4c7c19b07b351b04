"""The same work through Sluice, through frameworks, and through a loop written by hand; `race` sets them side by side.

A framework's loop runs in an environment of its own, which holds that framework, fastavro and nothing of ours but
`sluice_schemas`: `work`, `ends` and the loop import no more than that, and each other as siblings.
"""
