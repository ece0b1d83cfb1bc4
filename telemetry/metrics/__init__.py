"""Every metric by its name: what Prometheus reads of web, recorder, effects and orchestrator (and of the workers, through it).

Labels are bounded: pools, states, codes and routes, all of them the operator's own or the code's; never tenants, tasks or paths as
they were asked for. docs/telemetry.md lists them, and a test holds that list to these files.
"""
