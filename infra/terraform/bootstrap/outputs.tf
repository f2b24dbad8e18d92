output "state_bucket" {
  description = "The bucket of infra/terraform's state."
  value       = module.state_bucket.name
}

output "releases_bucket" {
  description = "The bucket of models from outside of the pipeline."
  value       = module.release_bucket.name
}

output "repositories" {
  description = "Where to push each image: its repository's URL by part."
  value       = { for part, repository in aws_ecr_repository.images : part => repository.repository_url }
}
