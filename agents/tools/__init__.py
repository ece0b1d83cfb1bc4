"""Tools: what an agent may call, how it is told to the model, and how one call is made."""
