"""Knowledge collections: documents, chunks and their embeddings, searched by pgvector."""
