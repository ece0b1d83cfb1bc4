"""Files and batches, in the form of the OpenAI API."""
