"""Amazon SageMaker: endpoints whose containers answer, jobs that run, and the model registry."""
