"""The model runtime: judges, encoders and reward models, usable alone by `python -m models_rt`; no Django in it."""
