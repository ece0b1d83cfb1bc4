"""`/v1/files` and `/v1/batches`, in OpenAI's form, beside the other hot routes."""
