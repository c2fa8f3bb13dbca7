"""What `tests/recorded/run` is made of: a scenario goes through config, scenario, backends and clients, and what was seen through compare."""
