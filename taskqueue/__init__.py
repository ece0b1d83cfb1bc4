"""The Redis protocol of Opsite: key names, Lua scripts, message types, and the clients that speak it."""
