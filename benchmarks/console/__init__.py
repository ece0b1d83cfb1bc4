"""Is the console as quick with a million tasks as with ten?"""
