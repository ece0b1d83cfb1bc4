"""What workers are made from, brought to this host before a worker is needed: container images, and weights from a model hub."""
